//! Mean and maximum along axes.
//!
//! mean\[o, i\] = Σ_c x\[o, c, i\] / C and maximum\[o, i\] = max_c x\[o, c, i\]: over space they squeeze a channel to one number
//! (Hu et al. 2018, equation 2; Woo et al. 2018, section 3.1), over channels they are the two maps of CBAM's spatial
//! attention. f32, dense; C is at least 1. A NaN among the elements makes both NaN.
//!
//! Ladder: one read of x for both. A row's elements lie `inner` apart, so over channels an invocation a row reads what
//! its neighbour reads beside it; over space the row is contiguous and shared by lanes (see `kernels::reduce`).

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::reduce;
use crate::reference::pooling as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes: x is `[rows / inner, columns, inner]`.
    pub struct Parameters {
        /// Means to give.
        pub rows: u32,
        /// Elements of each.
        pub columns: u32,
        /// From one of them to the next.
        pub inner: u32,
        /// 1 to give the maxima too.
        pub has_maximum: u32,
    }
}

/// The kernel.
pub struct MeanMax;

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("mean"), Binding::write("maximum")];

impl Kernel for MeanMax {
    fn about(&self) -> About {
        const { About::ours("pooling/mean_max", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, mean, maximum) = (arguments.f32(0), arguments.f32_mut(1), arguments.f32_mut(2));
        let [rows, columns, inner] = [p.rows, p.columns, p.inner].map(|size| size as usize);
        for row in 0..rows {
            let base = row / inner * columns * inner + row % inner;
            let elements = || (0..columns).map(|column| x[base + column * inner]);
            mean[row] = elements().sum::<f32>() / columns as f32;
            if p.has_maximum != 0 {
                let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
                maximum[row] = elements().fold(f32::NEG_INFINITY, larger);
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        Cost {
            flops: 2 * elements,
            bytes: 4 * (elements + u64::from(p.rows) * u64::from(1 + p.has_maximum)),
            iterations: reduce::iterations(variant, p.columns.into(), 1, 3),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // Outer, columns, inner.
        let mut sizes = vec![[1, 1, 1], [3, 65, 1], [2, 5, 7], [70, 3, 1], [2, 130, 33], [3, 2, 130]];
        if depth == Depth::Full {
            sizes.extend([[64, 196, 1], [2, 512, 196], [1, 2049, 3], [129, 64, 2], [5, 4096, 1]]);
        }
        let cases = sizes.into_iter().flat_map(|sizes| [true, false].map(|maximum| case(sizes, maximum, "")));
        cases.chain(["a NaN", "infinities", "far from 0"].map(|what| case([5, 67, 3], true, what))).collect()
    }
}

fn case([outer, columns, inner]: [usize; 3], has_maximum: bool, what: &str) -> Case {
    let mut inputs = Inputs::new((outer * 1_000_003 + columns * 1009 + inner) as u64);
    let mut x = inputs.values(outer * columns * inner, 1.0);
    let at = |o: usize, c: usize, i: usize| (o * columns + c) * inner + i;
    match what {
        // One in a column of its own each: at the begin, within, at the end; a signaling one too.
        "a NaN" => {
            x[at(0, 0, 1)] = f32::NAN;
            x[at(1, columns / 2, 0)] = f32::from_bits(0x7f80_0001);
            x[at(2, columns - 1, 2)] = f32::NAN;
        }
        "infinities" => {
            (0..columns).for_each(|c| x[at(0, c, 0)] = f32::NEG_INFINITY);
            x[at(1, columns - 1, 1)] = f32::INFINITY;
            x[at(2, 1, 1)] = f32::NEG_INFINITY;
        }
        // All below 0.
        "far from 0" => x.iter_mut().for_each(|value| *value -= 100.0),
        _ => {}
    }
    let [mean, maximum] = oracle::mean_max(&x, [outer, columns, inner]);
    let parameters = Parameters {
        rows: (outer * inner) as u32,
        columns: columns as u32,
        inner: inner as u32,
        has_maximum: has_maximum.into(),
    };
    let some = |values: Vec<f64>| values.into_iter().map(Some).collect();
    let floor = rounding_floor(columns, largest(&mean).max(1.0));
    Case {
        label: format!(
            "[{outer}, {columns}, {inner}]{}{}{what}",
            if has_maximum { "" } else { " mean alone" },
            if what.is_empty() { "" } else { " " }
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor,
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::output(some(mean)),
            // One of the elements, bit for bit.
            match has_maximum {
                true => CaseArgument::output_within(some(maximum), 0.0),
                false => CaseArgument::Exact(vec![None; outer * inner]),
            },
        ],
    }
}
