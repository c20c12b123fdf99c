//! The gradient of pooling with L2 normalization.
//!
//! With p the pooled row of an item, as [`pool`](super::pool) has it, and u the gradient of what comes of it: without normalization
//! g = u; with it, y = p / ‖p‖ and g = (u − y·(y·u)) / ‖p‖, and where ‖p‖ is below 1e-12, as of a row of zeros, g = 0: such a row has no
//! direction. Then dx\[b, l, :\] is g / length_b for each token of a mean, g for the first token (CLS) and 0 for the others, or, of a
//! maximum, g where l is the first token that has it, and 0 elsewhere. f32; x and dx are dense `[rows / length, length, columns]`, p and
//! u `[rows / length, columns]`. Tokens from the length on get zeros, and x is not read there; x is read for maxima alone, p for those and
//! for the norm.
//!
//! Ladder: a row is a token and not a text, so that there are many; each computes its item's norm, which lies in the cache.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::pooling::{self as oracle, Dims, Kind};
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes and what was taken.
    pub struct Parameters {
        /// Tokens of all batch items, padding included.
        pub rows: u32,
        /// Tokens of each.
        pub length: u32,
        /// Elements of a token.
        pub columns: u32,
        /// 0 mean, 1 first (CLS), 2 max.
        pub kind: u32,
        /// 1 if it was divided by the L2 norm.
        pub normalize: u32,
    }
}

/// The kernel.
pub struct PoolGradient;

const BINDINGS: &[Binding] = &[
    Binding::read("upstream"),
    Binding::read("x"),
    Binding::read("lengths"),
    Binding::read("pooled"),
    Binding::write("dx"),
];

impl Kernel for PoolGradient {
    fn about(&self) -> About {
        const { About::ours("pooling/pool_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        // As pooling itself has them.
        reduce::variants().into_iter().filter(|variant| variant.name() != "invocation").collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (upstream, x, lengths) = (arguments.f32(0), arguments.f32(1), arguments.words(2));
        let (pooled, dx) = (arguments.f32(3), arguments.f32_mut(4));
        let (columns, length) = (p.columns as usize, p.length as usize);
        let all = (p.rows as usize * columns).min(dx.len());
        let row = |row: usize, dx: &mut [f32]| {
            let (item, token) = (row / length, row % length);
            let tokens = lengths[item].min(p.length) as usize;
            let of_item = item * columns..(item + 1) * columns;
            dx.copy_from_slice(&upstream[of_item.clone()]);
            if p.normalize != 0 {
                let pooled = &pooled[of_item.clone()];
                let norm = pooled.iter().map(|p| p * p).sum::<f32>().sqrt();
                let scale = if norm < 1e-12 { 0.0 } else { 1.0 / norm };
                let along = pooled.iter().zip(&*dx).map(|(p, u)| p * u).sum::<f32>() * scale * scale;
                dx.iter_mut().zip(pooled).for_each(|(dx, p)| *dx = (*dx - p * along) * scale);
            }
            let value = |token: usize, column: usize| x[(item * length + token) * columns + column];
            for (column, dx) in dx.iter_mut().enumerate() {
                let has = |token: &usize| value(*token, column) == pooled[item * columns + column];
                *dx = match p.kind {
                    _ if token >= tokens => 0.0,
                    0 => *dx / tokens as f32,
                    1 if token == 0 => *dx,
                    2 if has(&token) && !(0..token).any(|earlier| has(&earlier)) => *dx,
                    _ => 0.0,
                };
            }
        };
        parallel::rows(&mut dx[..all], columns, 8, |first, dx| {
            (first..).zip(dx.chunks_exact_mut(columns.max(1))).for_each(|(place, dx)| row(place, dx));
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let read = u64::from(p.kind == 2);
        let of_items = elements / u64::from(p.length.max(1)) * (1 + read.max(p.normalize.min(1).into()));
        let earlier = u64::from(p.length) * read;
        Cost {
            flops: elements * (2 + 4 * u64::from(p.normalize.min(1))),
            bytes: 4 * (elements * (1 + read) + of_items),
            iterations: reduce::iterations(variant, p.columns.into(), earlier + 2, 2),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1, 1), (5, 9, 7), (3, 30, 130)];
        if depth == Depth::Full {
            for batch in [1, 2, 33] {
                sizes.extend([(1, 64), (2, 65), (17, 33), (64, 384)].map(|(l, c)| (batch, l, c)));
            }
        }
        let kinds = [Kind::Mean, Kind::Cls, Kind::Max];
        let all = sizes.into_iter().flat_map(|size| kinds.map(|kind| (size, kind)));
        let mut cases: Vec<Case> = all
            .flat_map(|(size, kind)| [false, true].map(|normalize| case(size, kind, normalize, "")))
            .collect();
        for what in ["short", "ties", "NaN"] {
            cases.extend(kinds.map(|kind| case((5, 9, 70), kind, true, what)));
        }
        cases
    }
}

fn case((batch, length, columns): (usize, usize, usize), kind: Kind, normalize: bool, what: &str) -> Case {
    let mut inputs = Inputs::new((batch * 1_000_003 + length * 1009 + columns) as u64);
    let mut x = inputs.values(batch * length * columns, 1.0);
    let mut upstream = inputs.values(batch * columns, 1.0);
    // Among them a length of 0 (where there are two items), one past the end, and one of all tokens.
    let mut lengths: Vec<u32> =
        inputs.below(batch, length as u32 + 2).into_iter().map(|n| n.max(1)).collect();
    if batch > 1 {
        lengths[1] = 0;
    }
    if batch > 2 {
        lengths[2] = length as u32 + 3;
        // No direction.
        x[2 * length * columns..3 * length * columns].fill(0.0);
    }
    match what {
        // Their squares still are numbers.
        "short" => x.iter_mut().for_each(|value| *value *= 1e-8),
        "ties" => x.iter_mut().for_each(|value| *value = value.round()),
        // With the norm it makes all of the item NaN.
        "NaN" => upstream[3 * columns + 1] = f32::NAN,
        _ => {}
    }
    for (item, &tokens) in x.chunks_exact_mut(length * columns).zip(&lengths) {
        item[(tokens as usize).min(length) * columns..].fill(f32::NAN);
    }
    let dims = Dims { batch, length, columns };
    let pooled = oracle::pool(&x, &lengths, kind, false, dims);
    let expected = oracle::pool_gradient(&x, &lengths, &upstream, (kind, normalize), dims);
    // What is not read is a NaN.
    let (reads_x, reads_pooled) = (kind == Kind::Max, kind == Kind::Max || normalize);
    let x = if reads_x { x } else { vec![f32::NAN; x.len()] };
    let of_pooled = |value: f64| if reads_pooled { value as f32 } else { f32::NAN };
    let pooled = pooled.into_iter().map(of_pooled).collect();
    let parameters = Parameters {
        rows: (batch * length) as u32,
        length: length as u32,
        columns: columns as u32,
        kind: match kind {
            Kind::Mean => 0,
            Kind::Cls => 1,
            Kind::Max => 2,
        },
        normalize: normalize.into(),
    };
    Case {
        label: format!(
            "[{batch}, {length}, {columns}] {kind:?}{}{}{what}",
            if normalize { " normalized" } else { "" },
            if what.is_empty() { "" } else { " " }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // A rounding of the share; with the norm those of two sums, of which each error is a share of the gradient itself.
        floor: rounding_floor(if normalize { columns } else { 1 }, largest(&expected)),
        arguments: vec![
            CaseArgument::F32(upstream),
            CaseArgument::F32(x),
            CaseArgument::Words(lengths),
            CaseArgument::F32(pooled),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
