//! The gradients of layer norm and of RMS norm.
//!
//! With x̂ the normalized row, σ what it was divided by, u the gradient of what comes of y = x̂·γ + β, and g = u·γ:
//!
//! - layer norm, x̂ = (a − mean(a)) / σ, σ = √(var(a) + ε), a = x + residual: dx = (g − mean(g) − x̂·mean(g·x̂)) / σ, and the residual has the
//!   same (Ba, Kiros and Hinton 2016, equation 4, differentiated; Xu et al. 2019, *Understanding and improving layer
//!   normalization*, section 3.2);
//! - RMS norm, x̂ = x / σ, σ = √(mean(x²) + ε): dx = (g − x̂·mean(g·x̂)) / σ (Zhang and Sennrich 2019, section 4).
//!
//! Beside dx it gives u·x̂, whose sum over the rows is γ's gradient: `reduction/sum` adds it to γ's own shape, as it adds u to β's. f32; all are
//! dense `[rows, columns]`, γ is `[columns]` or, with a row stride, `[rows, columns]`. A NaN in x or u makes its row of dx NaN.
//!
//! Ladder: the moments are computed anew, which costs two passes over a row that is in the cache by then, and saves that the
//! forward kernels write them; in two passes as theirs, since E\[a²\] − mean² loses all digits where the mean is large.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::normalization as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// Sizes, ε, and what is asked for.
    pub struct Parameters {
        /// Rows.
        pub rows: u32,
        /// Columns.
        pub columns: u32,
        /// ε, added to the variance or the mean square.
        pub epsilon: f32,
        /// 1 if there is a residual.
        pub has_residual: u32,
        /// From one row of γ to the next: 0 where all rows of x have the same.
        pub gamma_row: u32,
        /// 1 to give dx.
        pub gives_dx: u32,
        /// 1 to give u·x̂, the summands of γ's gradient.
        pub gives_summands: u32,
    }
}

/// The kernel.
pub struct NormGradient;

/// The variant for layer norm, or for RMS norm, that reduces rows as that one does.
pub(crate) fn variant(rows: Variant, centered: bool) -> Variant {
    rows.with("CENTERED", centered)
}

const BINDINGS: &[Binding] = &[
    Binding::read("upstream"),
    Binding::read("x"),
    Binding::read("residual"),
    Binding::read("gamma"),
    Binding::write("dx"),
    Binding::write("summands"),
];

impl Kernel for NormGradient {
    fn about(&self) -> About {
        const { About::ours("normalization/norm_gradient", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let both = |rows: Variant| [true, false].map(|centered| variant(rows.clone(), centered));
        reduce::variants().into_iter().flat_map(both).collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        reduce::workgroups(variant, Parameters::from_bytes(parameters).rows, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let centered = variant.flag("CENTERED");
        let [upstream, x, residual, gamma] = [0, 1, 2, 3].map(|binding| arguments.f32(binding));
        let [dx, summands] = [4, 5].map(|binding| arguments.f32_mut(binding));
        let (rows, columns) = (p.rows as usize, p.columns as usize);
        // x̂, u and γ of a row, and 1 / σ.
        let normalized = |row: usize| {
            let start = row * columns;
            let mut x: Vec<f32> = x[start..start + columns].to_vec();
            if p.has_residual != 0 {
                x.iter_mut().zip(&residual[start..]).for_each(|(x, residual)| *x += residual);
            }
            if centered {
                let origin = x[0];
                let mean = origin + mean(x.iter().map(|x| x - origin));
                x.iter_mut().for_each(|x| *x -= mean);
            }
            let scale = 1.0 / (mean(x.iter().map(|x| x * x)) + p.epsilon).sqrt();
            x.iter_mut().for_each(|x| *x *= scale);
            (x, &upstream[start..start + columns], &gamma[row * p.gamma_row as usize..][..columns], scale)
        };
        if p.gives_summands != 0 {
            let all = (rows * columns).min(summands.len());
            parallel::rows(&mut summands[..all], columns, 8, |first, summands| {
                for (row, summands) in (first..).zip(summands.chunks_exact_mut(columns.max(1))) {
                    let (x, u, ..) = normalized(row);
                    summands.iter_mut().zip(x.iter().zip(u)).for_each(|(s, (x, u))| *s = u * x);
                }
            });
        }
        if p.gives_dx != 0 {
            let all = (rows * columns).min(dx.len());
            parallel::rows(&mut dx[..all], columns, 12, |first, dx| {
                for (row, dx) in (first..).zip(dx.chunks_exact_mut(columns.max(1))) {
                    let (x, u, gamma, scale) = normalized(row);
                    let g = || u.iter().zip(gamma).map(|(u, gamma)| u * gamma);
                    let shift = if centered { mean(g()) } else { 0.0 };
                    let along = mean(g().zip(&x).map(|(g, x)| g * x));
                    for ((dx, g), x) in dx.iter_mut().zip(g()).zip(&x) {
                        *dx = (g - shift - x * along) * scale;
                    }
                }
            });
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.columns);
        let gammas = if p.gamma_row == 0 { u64::from(p.columns) } else { elements };
        let arrays =
            2 + u64::from(p.has_residual.min(1)) + u64::from(p.gives_dx) + u64::from(p.gives_summands);
        Cost {
            flops: 18 * elements,
            bytes: 4 * (arrays * elements + gammas),
            iterations: reduce::iterations(variant, p.columns.into(), 4, 4),
        }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let centered = variant.flag("CENTERED");
        let mut sizes = vec![(1, 1), (3, 5), (200, 3), (70, 64), (7, 384), (2, 1025)];
        if depth == Depth::Full {
            for rows in [1, 2, 63, 64, 65] {
                sizes.extend([2, 3, 31, 32, 33, 127, 128].map(|columns| (rows, columns)));
            }
            sizes.extend([(3, 768), (2, 4096), (70_000, 3)]);
        }
        let mut cases: Vec<Case> =
            sizes.into_iter().map(|size| case(centered, size, Form::default())).collect();
        for size in [(67, 33), (3, 130)] {
            cases.extend([
                case(centered, size, Form { residual: true, ..Form::default() }),
                case(centered, size, Form { rows_of_gamma: true, gives_dx: false, ..Form::default() }),
                case(
                    centered,
                    size,
                    Form { rows_of_gamma: true, residual: true, gives_summands: false, ..Form::default() },
                ),
                case(centered, size, Form { nan: true, ..Form::default() }),
            ]);
        }
        cases
    }
}

/// The mean of some numbers, in order.
fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / count as f32
}

/// The inputs beside x and u, and what is asked for.
#[derive(Clone, Copy, Debug)]
struct Form {
    residual: bool,
    rows_of_gamma: bool,
    gives_dx: bool,
    gives_summands: bool,
    nan: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self { residual: false, rows_of_gamma: false, gives_dx: true, gives_summands: true, nan: false }
    }
}

fn case(centered: bool, (rows, columns): (usize, usize), form: Form) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns) as u64);
    // Every third row has a mean that is many times its deviation.
    let offset = 25.0;
    let mut x = inputs.values(rows * columns, 1.0);
    for row in x.chunks_exact_mut(columns).step_by(3) {
        row.iter_mut().for_each(|value| *value += offset);
    }
    let residual = inputs.values(rows * columns, 0.5);
    let mut upstream = inputs.values(rows * columns, 1.0);
    let gamma_row = if form.rows_of_gamma { columns } else { 0 };
    let gamma = inputs.values(columns.max(rows * gamma_row), 1.0);
    if form.nan {
        x[columns + 2] = f32::NAN;
        upstream[2 * columns + 1] = f32::from_bits(0x7f80_0001);
    }
    // Of one or two columns a norm leaves nothing to differentiate but what ε lets through. A small one hides where it is added.
    let epsilon = if columns < 4 || form.residual { 1.0 } else { 1e-6_f32 };
    let [of_x, of_gamma] = oracle::norm_gradient(
        centered,
        &upstream,
        (&x, form.residual.then_some(&residual)),
        &gamma,
        columns,
        epsilon.into(),
    );
    let given = |values: Vec<f64>, gives: bool| {
        CaseArgument::output(values.into_iter().map(|value| gives.then_some(value)).collect())
    };
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        epsilon,
        has_residual: form.residual.into(),
        gamma_row: gamma_row as u32,
        gives_dx: form.gives_dx.into(),
        gives_summands: form.gives_summands.into(),
    };
    // The mean of a row errs by the roundings of sums near the offset (here the two of a + residual and of the mean), and all of
    // x̂ with it, over a deviation near 1 (or √ε); what multiplies it in dx and in u·x̂ is u or g at most.
    let of_mean = rounding_floor(2, f64::from(offset));
    let magnitude = largest(&of_x).max(largest(&of_gamma)).max(1.0);
    Case {
        label: format!("[{rows}, {columns}] {form:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: of_mean * 4.0 + rounding_floor(4, magnitude),
        arguments: vec![
            CaseArgument::F32(upstream),
            CaseArgument::F32(x),
            CaseArgument::F32(residual),
            CaseArgument::F32(gamma),
            given(of_x, form.gives_dx),
            given(of_gamma, form.gives_summands),
        ],
    }
}
