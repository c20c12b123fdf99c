//! RMS normalization.
//!
//! y = x / √(mean(x²) + ε) · γ over each row (Zhang and Sennrich 2019, equation 4). f32; x and y are dense
//! `[rows, columns]`, γ is `[columns]` or, with a row stride, `[rows, columns]`. A NaN makes its row NaN.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::reduce;
use crate::reference;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes and ε.
    pub struct Parameters {
        /// Rows.
        pub rows: u32,
        /// Columns.
        pub columns: u32,
        /// ε, added to the mean square.
        pub epsilon: f32,
        /// From one row of γ to the next: 0 where all rows of x have the same.
        pub gamma_row: u32,
    }
}

/// The kernel.
pub struct RmsNorm;

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::read("gamma"), Binding::write("y")];

impl Kernel for RmsNorm {
    fn about(&self) -> About {
        const { About::ours("normalization/rms_norm", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, gamma, y) = (arguments.f32(0), arguments.f32(1), arguments.f32_mut(2));
        let columns = (p.columns as usize).max(1);
        let rows = x.chunks_exact(columns).zip(y.chunks_exact_mut(columns));
        for (row, (x, y)) in rows.take(p.rows as usize).enumerate() {
            let mean = x.iter().map(|x| x * x).sum::<f32>() / columns as f32;
            let scale = 1.0 / (mean + p.epsilon).sqrt();
            for ((y, x), gamma) in y.iter_mut().zip(x).zip(&gamma[row * p.gamma_row as usize..]) {
                *y = x * scale * gamma;
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let gammas = if p.gamma_row == 0 { u64::from(p.columns) } else { elements };
        Cost {
            flops: 4 * elements,
            bytes: 4 * (2 * elements + gammas),
            iterations: reduce::iterations(variant, p.columns.into(), 2, 1),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1), (3, 5), (70, 64), (200, 3), (7, 384), (2, 1025)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 64, 65, 300] {
                sizes.extend([2, 3, 31, 32, 33, 127, 128, 768, 1024, 4096].map(|columns| (rows, columns)));
            }
        }
        let mut cases: Vec<Case> = sizes.into_iter().map(|size| case(size, false)).collect();
        cases.push(case((67, 33), true));
        cases
    }
}

fn case((rows, columns): (usize, usize), gamma_for_each_row: bool) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    let x = inputs.values(rows * columns, 1.0);
    let gamma_row = if gamma_for_each_row { columns } else { 0 };
    let gamma = inputs.values(columns.max(rows * gamma_row), 1.0);
    // A small one hides where it is added.
    let epsilon = if gamma_for_each_row { 0.25_f32 } else { 1e-6 };
    let expected = reference::normalization::rms_norm(&x, &gamma, columns, epsilon.into());
    let parameters =
        Parameters { rows: rows as u32, columns: columns as u32, epsilon, gamma_row: gamma_row as u32 };
    Case {
        label: format!("[{rows}, {columns}]{}", if gamma_for_each_row { " γ for each row" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Half of the relative error of the sum of squares reaches y, which is at most about 4 · 4.
        floor: rounding_floor(columns, 8.0),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(gamma),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
