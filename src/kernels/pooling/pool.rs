//! Pooling with L2 normalization.
//!
//! y\[b, :\] = the mean over the first `length_b` tokens of x\[b, :, :\], its first token, or its largest values (Reimers
//! and Gurevych 2019, section 3), then divided by max(‖y‖₂, 1e-12) on demand. f32; x is dense
//! `[rows, length, columns]`. A length of 0 gives zeros; tokens from the length on are not read.
//!
//! Ladder: a lane sums a column down the tokens, so that neighbouring lanes read neighbouring words.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::pooling::{self as oracle, Dims, Kind};
use crate::reference::rounding_floor;

parameters! {
    /// Sizes and what to take.
    pub struct Parameters {
        /// Batch items.
        pub rows: u32,
        /// Tokens of each, padding included.
        pub length: u32,
        /// Elements of a token.
        pub columns: u32,
        /// 0 mean, 1 first (CLS), 2 max.
        pub kind: u32,
        /// 1 to divide by the L2 norm.
        pub normalize: u32,
    }
}

/// The kernel.
pub struct Pool;

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::read("lengths"), Binding::write("y")];

impl Kernel for Pool {
    fn about(&self) -> About {
        const { About::ours("pooling/pool", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        // Not one invocation a row: rows are few, and each is a whole text.
        reduce::variants().into_iter().filter(|variant| variant.name() != "invocation").collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, lengths, y) = (arguments.f32(0), arguments.words(1), arguments.f32_mut(2));
        let columns = p.columns as usize;
        let all = (p.rows as usize * columns).min(y.len());
        let row = |row: usize, y: &mut [f32]| {
            let tokens = lengths[row].min(p.length) as usize;
            let x = &x[row * p.length as usize * columns..];
            y.fill(0.0);
            for (token, x) in x.chunks_exact(columns).take(tokens).enumerate() {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = match (token, p.kind) {
                        (0, _) => x,
                        (_, 0) => *y + x,
                        (_, 1) => *y,
                        _ => y.max(x),
                    };
                }
            }
            if p.kind == 0 && tokens > 0 {
                y.iter_mut().for_each(|y| *y /= tokens as f32);
            }
            if p.normalize != 0 {
                let norm = y.iter().map(|y| y * y).sum::<f32>().sqrt();
                let factor = 1.0 / norm.max(1e-12);
                y.iter_mut().for_each(|y| *y *= factor);
            }
        };
        parallel::rows(&mut y[..all], columns, p.length.into(), |first, y| {
            (first..).zip(y.chunks_exact_mut(columns.max(1))).for_each(|(place, y)| row(place, y));
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.length) * u64::from(p.columns);
        Cost {
            flops: elements,
            bytes: 4 * (elements + u64::from(p.rows) * u64::from(p.columns)),
            iterations: reduce::iterations(variant, p.columns.into(), u64::from(p.length) + 2, 1),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1, 1), (5, 9, 7), (3, 30, 384)];
        if depth == Depth::Full {
            for batch in [1, 2, 65] {
                sizes
                    .extend([(1, 64), (2, 65), (17, 33), (128, 384), (256, 768)].map(|(l, c)| (batch, l, c)));
            }
        }
        let kinds = [Kind::Mean, Kind::Cls, Kind::Max];
        let cases = sizes.into_iter().flat_map(|size| kinds.map(|kind| (size, kind)));
        cases.flat_map(|(size, kind)| [false, true].map(|normalize| case(size, kind, normalize))).collect()
    }
}

fn case((batch, length, columns): (usize, usize, usize), kind: Kind, normalize: bool) -> Case {
    let mut inputs = Inputs::new((batch * 1_000_003 + length * 1009 + columns) as u64);
    let mut x = inputs.values(batch * length * columns, 1.0);
    // Short vectors are made as long as the others.
    if let (true, Some(item)) = (normalize, x.chunks_exact_mut(length * columns).nth(2)) {
        item.iter_mut().for_each(|value| *value *= 1e-8);
    }
    // Among them a length of 0 (where there are two items) and one past the end.
    let mut lengths: Vec<u32> =
        inputs.below(batch, length as u32 + 2).into_iter().map(|n| n.max(1)).collect();
    if batch > 1 {
        lengths[1] = 0;
    }
    for (item, &tokens) in x.chunks_exact_mut(length * columns).zip(&lengths) {
        item[(tokens as usize).min(length) * columns..].fill(f32::NAN);
    }
    let expected = oracle::pool(&x, &lengths, kind, normalize, Dims { batch, length, columns });
    let parameters = Parameters {
        rows: batch as u32,
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
            "[{batch}, {length}, {columns}] {kind:?}{}",
            if normalize { " normalized" } else { "" }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(length, 1.0),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::Words(lengths),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
