//! The gradient of softmax along an axis.
//!
//! dxⱼ = yⱼ · (uⱼ − Σₖ uₖ·yₖ): the Jacobian of softmax is yⱼ·(δⱼₖ − yₖ) (Bridle 1990, *Probabilistic interpretation of feedforward
//! classification network outputs*; FlashAttention, Dao et al. 2022, appendix B.2). f32; y is the softmax itself, u the gradient of what
//! comes of it; both and dx are dense `[outer, columns, stride]`, rows as [`softmax`](super::softmax) has them. A NaN in y or u makes its row
//! NaN; where y is 0, as for a score of −∞, so is dx.

use crate::kernel::{About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant};
use crate::kernels::{parallel, reduce};
use crate::reference::softmax as oracle;
use crate::reference::{largest, rounding_floor};

pub use super::softmax::Parameters;

/// The kernel.
pub struct SoftmaxGradient;

const BINDINGS: &[Binding] = &[Binding::read("upstream"), Binding::read("y"), Binding::write("dx")];

impl Kernel for SoftmaxGradient {
    fn about(&self) -> About {
        const { About::ours("normalization/softmax_gradient", BINDINGS, Parameters::FIELDS) }
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
        let (upstream, y, dx) = (arguments.f32(0), arguments.f32(1), arguments.f32_mut(2));
        let [rows, columns, stride] = [p.rows, p.columns, p.stride].map(|size| size as usize);
        // Rows that lie side by side go together.
        let block = columns * stride;
        let all = (rows * columns).min(dx.len());
        parallel::rows(&mut dx[..all], block, 4, |first, dx| {
            let behind = first * block;
            let blocks = y[behind..].chunks(block.max(1)).zip(upstream[behind..].chunks(block.max(1)));
            for (dx, (y, u)) in dx.chunks_mut(block.max(1)).zip(blocks) {
                for row in 0..stride.min(dx.len()) {
                    let places = || (0..columns).map(|column| column * stride + row);
                    let sum: f32 = places().map(|place| u[place] * y[place]).sum();
                    places().for_each(|place| dx[place] = y[place] * (u[place] - sum));
                }
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        Cost {
            flops: 4 * elements,
            bytes: 12 * elements,
            iterations: reduce::iterations(variant, p.columns.into(), 2, 1),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes =
            vec![[1, 1, 1], [3, 5, 1], [70, 64, 1], [2, 1025, 1], [2, 7, 33], [1, 65, 3], [200, 3, 1]];
        if depth == Depth::Full {
            for columns in [2, 31, 32, 33, 127, 129, 384] {
                sizes.extend([[1, columns, 1], [65, columns, 1], [2, columns, 5], [1, columns, 64]]);
            }
            sizes.extend([[3, 4096, 1], [70_000, 3, 1], [2, 3, 35_001]]);
        }
        let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, false)).collect();
        cases.extend([[13, 67, 1], [5, 67, 3]].map(|size| case(size, true)));
        cases
    }
}

fn case([outer, columns, inner]: [usize; 3], with_nan: bool) -> Case {
    let mut inputs = Inputs::new((columns * 1_000_003 + outer * 1009 + inner) as u64);
    let dims = [outer, columns, inner];
    let mut x = inputs.values(outer * columns * inner, 1.5);
    let mut upstream = inputs.values(outer * columns * inner, 1.0);
    let place = |row: usize, column: usize| (row / inner * columns + column) * inner + row % inner;
    if with_nan {
        x[place(1, 3)] = f32::NEG_INFINITY;
        x[place(2, 66)] = f32::NAN;
        upstream[place(4, 1)] = f32::NAN;
        (x[place(5, 0)], upstream[place(5, 0)]) = (f32::NEG_INFINITY, -f32::NAN);
        upstream[place(6, 66)] = f32::from_bits(0x7f80_0001);
        // Equal gradients: what all are moved by alike moves no softmax, and dx is 0 but for rounding.
        (0..columns).for_each(|column| upstream[place(7, column)] = 0.5);
    }
    let y: Vec<f32> = oracle::softmax(&x, dims).into_iter().map(|y| y as f32).collect();
    let exact: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
    let expected = oracle::softmax_gradient(&exact, &upstream, dims);
    let parameters =
        Parameters { rows: (outer * inner) as u32, columns: columns as u32, stride: inner as u32 };
    // The sum errs by what its terms' roundings come to, Σ y being 1, and a y, at most 1, takes its share of it and of u.
    let magnitude =
        upstream.iter().filter(|u| u.is_finite()).fold(0.0, |most: f64, &u| most.max(u.abs().into()));
    Case {
        label: format!("[{outer}, {columns}, {inner}]{}", if with_nan { " with NaN" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(4, magnitude * largest(&exact)),
        arguments: vec![
            CaseArgument::F32(upstream),
            CaseArgument::F32(y),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
