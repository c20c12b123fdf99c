//! Softmax along an axis.
//!
//! yⱼ = exp(xⱼ − m) / Σ exp(xⱼ' − m), m = maxⱼ xⱼ. f32; x and y are dense `[outer, columns, stride]`, and a row is one
//! place of the outer and of the inner axis. A row with a NaN or +∞ is NaN, and so is one of −∞ alone; beside a finite
//! element −∞ gives 0.
//!
//! Ladder: three passes over the row (maximum; exponentials and sum; division), as `attention/scale_mask_softmax`.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::rounding_floor;
use crate::reference::softmax as oracle;

parameters! {
    /// Sizes.
    pub struct Parameters {
        /// Rows: places of all axes but the one summed over.
        pub rows: u32,
        /// Elements of a row.
        pub columns: u32,
        /// From one element of a row to the next.
        pub stride: u32,
    }
}

/// The kernel.
pub struct Softmax;

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Softmax {
    fn about(&self) -> About {
        const { About::ours("normalization/softmax", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        match p.columns {
            0 => [0; 3],
            _ => reduce::workgroups(variant, p.rows, per_dimension),
        }
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        let [rows, columns, stride] = [p.rows, p.columns, p.stride].map(|size| size as usize);
        // Rows that lie side by side go together.
        let block = columns * stride;
        let all = (rows * columns).min(y.len());
        parallel::rows(&mut y[..all], block, 20, |first, y| {
            for (x, y) in x[first * block..].chunks(block.max(1)).zip(y.chunks_mut(block.max(1))) {
                for row in 0..stride.min(y.len()) {
                    let places = || (0..columns).map(|column| column * stride + row);
                    let largest = places().map(|place| x[place]).fold(f32::NEG_INFINITY, f32::max);
                    let mut sum = 0.0;
                    for place in places() {
                        y[place] = (x[place] - largest).exp();
                        sum += y[place];
                    }
                    places().for_each(|place| y[place] /= sum);
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        Cost {
            flops: 5 * elements,
            bytes: 8 * elements,
            iterations: reduce::iterations(variant, p.columns.into(), 3, 3),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![[1, 1, 1], [3, 5, 1], [70, 64, 1], [2, 1025, 1], [2, 7, 33], [1, 65, 3]];
        if depth == Depth::Full {
            for columns in [2, 31, 32, 33, 127, 129, 384, 4096] {
                sizes.extend([[1, columns, 1], [65, columns, 1], [2, columns, 5], [1, columns, 64]]);
            }
            sizes.extend([[70_000, 3, 1], [2, 3, 35_001]]);
        }
        let spreads = [1.0, 30.0, 1e4];
        let seeds = sizes.len();
        let spread = |index: usize| spreads[index % spreads.len()];
        let mut cases: Vec<Case> =
            sizes.into_iter().enumerate().map(|(index, size)| case(size, spread(index), false)).collect();
        cases.push(case([200, 3, 1], 1.0, false));
        cases.push(case([13, 67, 1], spread(seeds), true));
        cases.push(case([5, 67, 3], spread(seeds + 1), true));
        cases
    }
}

fn case([outer, columns, inner]: [usize; 3], spread: f32, with_infinities: bool) -> Case {
    let mut inputs = Inputs::new((columns * 1_000_003 + outer * 1009 + inner) as u64);
    let mut x = inputs.values(outer * columns * inner, spread);
    let rows = outer * inner;
    if with_infinities {
        let place = |row: usize, column: usize| (row / inner * columns + column) * inner + row % inner;
        x[place(1, 3)] = f32::NEG_INFINITY;
        x[place(2, 66)] = f32::NAN;
        x[place(3, 0)] = f32::INFINITY;
        x[place(4, 1)] = -f32::NAN;
        for column in 0..columns {
            x[place(5, column)] = f32::NEG_INFINITY;
            x[place(6, column)] = f32::MIN;
            // A difference beyond f32.
            x[place(7, column)] = if column % 2 == 0 { f32::MAX } else { f32::MIN };
            // Scores like others, and −∞ beside them.
            x[place(8, column)] = if column % 2 == 0 { f32::NEG_INFINITY } else { f32::MIN };
            x[place(9, column)] = -3.4e38;
            x[place(10, column)] = if column == 66 { f32::MIN } else { f32::NEG_INFINITY };
            x[place(11, column)] = f32::MAX;
            x[place(12, column)] = if column % 3 == 0 { f32::MIN } else { -3.4e38 };
        }
    }
    let expected = oracle::softmax(&x, [outer, columns, inner]);
    let parameters = Parameters { rows: rows as u32, columns: columns as u32, stride: inner as u32 };
    // exp is good to 3 + 2·|x| units in the last place in WGSL, and x is about ln(columns) where weights count; a weight
    // w moves by w·(1 − w), at most 1/4, of that.
    let of_exp = (3.0 + 2.0 * (columns as f64).ln()) * f64::from(f32::EPSILON) * 0.25;
    let infinities = if with_infinities { " with infinities and NaN" } else { "" };
    Case {
        label: format!("[{outer}, {columns}, {inner}] ×{spread}{infinities}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(columns, 1.0 / (columns as f64).sqrt()) + of_exp,
        arguments: vec![CaseArgument::F32(x), CaseArgument::output(expected.into_iter().map(Some).collect())],
    }
}
