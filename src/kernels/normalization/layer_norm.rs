//! Layer normalization with a fused residual.
//!
//! y = (a − mean(a)) / √(var(a) + ε) · γ + β, a = x + residual, over each row (Ba, Kiros and Hinton 2016, equation 4;
//! the variance is the biased one). f32. x, the residual and y are dense `[rows, columns]`; γ and β, which may be absent, are
//! `[columns]` or, with a row stride, `[rows, columns]`. On demand each row's mean and 1 / √(var + ε) too. A NaN makes its
//! row NaN.
//!
//! Ladder: three passes, the variance about the mean: E\[a²\] − mean² loses all digits where the mean is large. The
//! mean itself is summed relative to the row's first element (for rows with a mean of 100 deviations, 384 long, the
//! largest error fell from 2.0e-4 to 1.5e-5: `attentive verify --kernel layer_norm`).

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
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
        /// 1 if there is a β.
        pub has_beta: u32,
        /// 1 if the rows' moments are written.
        pub has_moments: u32,
        /// From one row of γ to the next: 0 where all rows of x have the same.
        pub gamma_row: u32,
        /// The same for β.
        pub beta_row: u32,
    }
}

/// The kernel.
pub struct LayerNorm;

/// Normalizes `summand(column)` for each column of a row into `y`, as the shaders do. The mean, and what the deviations
/// are multiplied by.
pub(crate) fn normalize_row(
    summand: impl Fn(usize) -> f32,
    epsilon: f32,
    (gamma, beta): (&[f32], &[f32]),
    y: &mut [f32],
) -> (f32, f32) {
    let columns = y.len();
    let origin = summand(0);
    let mean = origin + sum(columns, |column| summand(column) - origin) / columns as f32;
    let squares = sum(columns, |column| (summand(column) - mean).powi(2));
    let scale = 1.0 / (squares / columns as f32 + epsilon).sqrt();
    for (column, y) in y.iter_mut().enumerate() {
        *y = (summand(column) - mean) * scale * gamma[column] + beta[column];
    }
    (mean, scale)
}

/// The sum over all columns, in eight chains: a processor adds several at a time.
fn sum(columns: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0; 8];
    let whole = columns - columns % sums.len();
    for first in (0..whole).step_by(sums.len()) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += value(first + lane);
        }
    }
    sums.iter().sum::<f32>() + (whole..columns).map(value).sum::<f32>()
}

const BINDINGS: &[Binding] = &[
    Binding::read("x"),
    Binding::read("residual"),
    Binding::read("gamma"),
    Binding::read("beta"),
    Binding::write("y"),
    Binding::write("means"),
    Binding::write("inv_std_devs"),
];

impl Kernel for LayerNorm {
    fn about(&self) -> About {
        const { About::ours("normalization/layer_norm", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, residual) = (arguments.f32(0), arguments.f32(1));
        let columns = p.columns as usize;
        let zeros = vec![0.0; columns];
        let [y, means, inv_std_devs] = [4, 5, 6].map(|binding| arguments.f32_mut(binding));
        let (gammas, betas) = (arguments.f32(2), arguments.f32(3));
        let one = |row: usize, y: &mut [f32]| {
            let start = row * columns;
            let gamma = &gammas[row * p.gamma_row as usize..];
            let beta = match p.has_beta {
                0 => &zeros[..],
                _ => &betas[row * p.beta_row as usize..],
            };
            match p.has_residual {
                0 => normalize_row(|column| x[start + column], p.epsilon, (gamma, beta), y),
                _ => {
                    let sum = |column| x[start + column] + residual[start + column];
                    normalize_row(sum, p.epsilon, (gamma, beta), y)
                }
            }
        };
        if p.has_moments != 0 {
            for (row, y) in y.chunks_exact_mut(columns.max(1)).take(p.rows as usize).enumerate() {
                (means[row], inv_std_devs[row]) = one(row, y);
            }
            return;
        }
        let all = (p.rows as usize * columns).min(y.len());
        parallel::rows(&mut y[..all], columns, 8, |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(columns.max(1))) {
                one(row, y);
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let passes = 2 + u64::from(p.has_residual.min(1));
        let affine = |row: u32| if row == 0 { u64::from(p.columns) } else { elements };
        let weights = affine(p.gamma_row) + u64::from(p.has_beta) * affine(p.beta_row);
        let moments = 2 * u64::from(p.has_moments) * u64::from(p.rows);
        Cost {
            flops: 8 * elements,
            bytes: 4 * (passes * elements + weights + moments),
            iterations: reduce::iterations(variant, p.columns.into(), 3, 2),
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
        let mut cases: Vec<Case> = sizes
            .into_iter()
            .flat_map(|size| residuals.map(|residual| case(size, residual, Form::Usual)))
            .collect();
        for size in [(1, 1), (67, 33), (3, 384)] {
            cases.extend(
                [Form::NoBeta, Form::RowsOfBeta, Form::RowsOfBoth].map(|form| case(size, false, form)),
            );
            cases.push(case(size, true, Form::RowsOfBoth));
        }
        cases
    }
}

/// The inputs beside x and the residual; all but the usual form give the moments too.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// One γ and one β for all rows.
    Usual,
    NoBeta,
    RowsOfBeta,
    RowsOfBoth,
}

fn case((rows, columns): (usize, usize), has_residual: bool, form: Form) -> Case {
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
    let (has_beta, has_moments) = (form != Form::NoBeta, form != Form::Usual);
    let gamma_row = if form == Form::RowsOfBoth { columns } else { 0 };
    let beta_row = if matches!(form, Form::RowsOfBeta | Form::RowsOfBoth) { columns } else { 0 };
    let gamma = inputs.values(columns.max(rows * gamma_row), 1.0);
    let beta = inputs.values(columns.max(rows * beta_row), 1.0);
    // A row of one column has a variance of 0, and with the moments 1 / √ε shall be near 1.
    // A small one hides where it is added.
    let epsilon = match (has_moments, has_residual) {
        (true, _) => 1.0,
        (_, true) => 0.25,
        (false, false) => 1e-12_f32,
    };
    let zeros = vec![0.0; columns];
    let expected = (0..rows).flat_map(|row| {
        let cells = row * columns..(row + 1) * columns;
        reference::normalization::layer_norm(
            &x[cells.clone()],
            has_residual.then_some(&residual[cells]),
            &gamma[row * gamma_row..][..columns],
            if has_beta { &beta[row * beta_row..][..columns] } else { &zeros },
            epsilon.into(),
        )
    });
    let expected: Vec<f64> = expected.collect();
    let summands: Vec<f32> = match has_residual {
        true => x.iter().zip(&residual).map(|(x, residual)| x + residual).collect(),
        false => x.clone(),
    };
    let (means, inv_std_devs) = reference::normalization::moments(&summands, columns, epsilon.into());
    let moment = |values: Vec<f64>| {
        CaseArgument::output(values.into_iter().map(|value| has_moments.then_some(value)).collect())
    };
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        epsilon,
        has_residual: has_residual.into(),
        has_beta: has_beta.into(),
        has_moments: has_moments.into(),
        gamma_row: gamma_row as u32,
        beta_row: beta_row as u32,
    };
    let form = if form == Form::Usual { String::new() } else { format!(" {form:?}") };
    Case {
        label: format!("[{rows}, {columns}]{}{form}", if has_residual { " residual" } else { "" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // One rounding of a sum near 100, over a deviation near 1, times a γ of up to 4: 1.5e-5.
        floor: rounding_floor(4, 100.0),
        arguments: vec![
            CaseArgument::F32(x),
            CaseArgument::F32(residual),
            CaseArgument::F32(gamma),
            CaseArgument::F32(beta),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
            moment(means),
            moment(inv_std_devs),
        ],
    }
}
