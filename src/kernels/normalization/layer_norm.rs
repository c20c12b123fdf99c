//! Layer normalization with a fused residual.
//!
//! y = (a − mean(a)) / √(var(a) + ε) · γ + β, a = x + residual, over each row (Ba, Kiros and Hinton 2016, equation 4;
//! the variance is the biased one). f32. x, the residual and y are dense `[rows, columns]`. A NaN makes its row NaN.
//!
//! Ladder: three passes, the variance about the mean: E\[a²\] − mean² loses all digits where the mean is large. The
//! mean itself is summed relative to the row's first element (for rows with a mean of 100 deviations, 384 long, the
//! largest error fell from 2.0e-4 to 1.5e-5: `attentive verify --kernel layer_norm`).

use crate::kernel::{
    Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::rows;
use crate::reference;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes and ε.
    pub struct Parameters {
        /// Rows.
        pub rows: u32,
        /// Columns.
        pub columns: u32,
        /// ε, added to the variance.
        pub epsilon: f32,
        /// 1 if there is a residual.
        pub has_residual: u32,
    }
}

/// The kernel.
pub struct LayerNorm;

/// Normalizes `summand(column)` for each column of a row into `y`, as the shaders do.
pub(crate) fn normalize_row(
    summand: impl Fn(usize) -> f32,
    epsilon: f32,
    (gamma, beta): (&[f32], &[f32]),
    y: &mut [f32],
) {
    let columns = y.len();
    let origin = summand(0);
    let mean = origin + (0..columns).map(|column| summand(column) - origin).sum::<f32>() / columns as f32;
    let squares: f32 = (0..columns).map(|column| (summand(column) - mean).powi(2)).sum();
    let scale = 1.0 / (squares / columns as f32 + epsilon).sqrt();
    for (column, y) in y.iter_mut().enumerate() {
        *y = (summand(column) - mean) * scale * gamma[column] + beta[column];
    }
}

impl Kernel for LayerNorm {
    fn name(&self) -> &'static str {
        "normalization/layer_norm"
    }

    fn formula(&self) -> &'static str {
        "y = (a − mean(a)) / √(var(a) + ε) · γ + β, a = x + residual"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/normalization/layer_norm.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const {
            &[
                Binding::read("x"),
                Binding::read("residual"),
                Binding::read("gamma"),
                Binding::read("beta"),
                Binding::write("y"),
            ]
        }
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        rows::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        rows::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, residual) = (arguments.f32(0), arguments.f32(1));
        let affine = (arguments.f32(2), arguments.f32(3));
        let columns = p.columns as usize;
        let y = arguments.f32_mut(4);
        for (row, y) in y.chunks_exact_mut(columns.max(1)).take(p.rows as usize).enumerate() {
            let start = row * columns;
            match p.has_residual {
                0 => normalize_row(|column| x[start + column], p.epsilon, affine, y),
                _ => {
                    normalize_row(|column| x[start + column] + residual[start + column], p.epsilon, affine, y)
                }
            }
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let passes = 2 + u64::from(p.has_residual.min(1));
        Cost {
            flops: 8 * elements,
            bytes: 4 * (passes * elements + 2 * u64::from(p.columns)),
            iterations: rows::iterations(variant, p.columns.into(), 3, 2),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![(1, 1), (3, 5), (200, 3), (70, 64), (7, 384), (2, 1025)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 64, 65, 300] {
                sizes.extend([2, 3, 31, 32, 33, 127, 128, 768, 1024, 4096].map(|columns| (rows, columns)));
            }
            sizes.push((70_000, 3));
        }
        let residuals = [false, true];
        sizes.into_iter().flat_map(|size| residuals.map(|residual| case(size, residual))).collect()
    }
}

fn case((rows, columns): (usize, usize), has_residual: bool) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    // Every third row has a mean a hundred times its deviation.
    let mut x = inputs.values(rows * columns, 1.0);
    for row in x.chunks_exact_mut(columns).step_by(3) {
        row.iter_mut().for_each(|value| *value += 100.0);
    }
    // Two or three values may lie so near each other that the last bit of each decides: the floor takes a deviation of 1.
    if columns < 4 {
        for row in x.chunks_exact_mut(columns) {
            row.iter_mut().enumerate().for_each(|(column, value)| *value += 8.0 * column as f32);
        }
    }
    let residual = inputs.values(rows * columns, 0.5);
    let (gamma, beta) = (inputs.values(columns, 1.0), inputs.values(columns, 1.0));
    // A small one hides where it is added.
    let epsilon = if has_residual { 0.25_f32 } else { 1e-12 };
    let expected = reference::normalization::layer_norm(
        &x,
        has_residual.then_some(residual.as_slice()),
        &gamma,
        &beta,
        epsilon.into(),
    );
    let parameters =
        Parameters { rows: rows as u32, columns: columns as u32, epsilon, has_residual: has_residual.into() };
    Case {
        label: format!("[{rows}, {columns}]{}", if has_residual { " residual" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // One rounding of a sum near 100, over a deviation near 1, times a γ of up to 4: 1.5e-5.
        floor: rounding_floor(4, 100.0),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(residual),
            CaseArgument::F32(gamma),
            CaseArgument::F32(beta),
            CaseArgument::Output(expected.into_iter().map(Some).collect()),
        ],
    }
}
