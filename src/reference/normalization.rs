//! Layer normalization with a two-pass mean and variance, and RMS normalization.

use super::expect_length;

/// y\[r, c\] = γ\[c\]·(h\[r, c\] − μᵣ) / √(σ²ᵣ + eps) + β\[c\], with h = x + residual; returns `[R, C]`.
///
/// Ba, Kiros and Hinton 2016 (*Layer Normalization*), equation 4, with the gain and bias of section 3.1, over
/// the C features of each row: μ is the mean of h, and σ² the mean of (h − μ)² (divided by C, not by C − 1),
/// each in a pass of its own. `eps` is added under the root.
///
/// C is the length of `gamma`. Lengths: `x` and `residual` R·C, `beta` C. C = 0 gives nothing. NaN or infinity
/// anywhere in a row makes the whole row NaN.
///
/// # Panics
/// If `x` is not a whole number of rows, or another slice has another length.
pub fn layer_norm(x: &[f32], residual: Option<&[f32]>, gamma: &[f32], beta: &[f32], eps: f64) -> Vec<f64> {
    let sum: Vec<f64> = match residual {
        None => x.iter().map(|&x| f64::from(x)).collect(),
        Some(residual) => {
            expect_length("layer_norm: residual", residual.len(), x.len());
            x.iter().zip(residual).map(|(&x, &r)| f64::from(x) + f64::from(r)).collect()
        }
    };
    layer_norm_f64(&sum, gamma, beta, eps)
}

/// [`layer_norm`] of rows that are f64 already, for what is composed from several steps.
///
/// # Panics
/// As [`layer_norm`].
pub fn layer_norm_f64(x: &[f64], gamma: &[f32], beta: &[f32], eps: f64) -> Vec<f64> {
    let columns = gamma.len();
    expect_length("layer_norm: beta", beta.len(), columns);
    if columns == 0 {
        expect_length("layer_norm: x", x.len(), 0);
        return Vec::new();
    }
    assert!(
        x.len().is_multiple_of(columns),
        "layer_norm: x must be rows of {columns} elements, but has {} elements",
        x.len()
    );
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(columns) {
        let mean = row.iter().sum::<f64>() / columns as f64;
        let variance = row.iter().map(|h| (h - mean) * (h - mean)).sum::<f64>() / columns as f64;
        let deviation = (variance + eps).sqrt();
        for ((h, &g), &b) in row.iter().zip(gamma).zip(beta) {
            y.push((h - mean) / deviation * f64::from(g) + f64::from(b));
        }
    }
    y
}

/// The mean and 1 / √(variance + eps) of each row of `columns` elements: what [`layer_norm`] subtracts and multiplies by.
pub fn moments(x: &[f32], columns: usize, eps: f64) -> (Vec<f64>, Vec<f64>) {
    let rows = x.chunks_exact(columns.max(1)).map(|row| {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / columns as f64;
        (mean, 1.0 / (variance + eps).sqrt())
    });
    rows.unzip()
}

/// y\[r, c\] = γ\[c\]·x\[r, c\] / √(mean(xᵣ²) + eps); returns `[R, C]`. γ is as long as a row, or as x.
pub fn rms_norm(x: &[f32], gamma: &[f32], columns: usize, eps: f64) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len());
    let gammas = gamma.chunks_exact(columns.max(1)).cycle();
    for (row, gamma) in x.chunks_exact(columns.max(1)).zip(gammas) {
        let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let root = (squares / columns as f64 + eps).sqrt();
        y.extend(row.iter().zip(gamma).map(|(&x, &g)| f64::from(x) / root * f64::from(g)));
    }
    y
}

/// The gradients of Σ u·y, y being the layer norm (`centered`) or the RMS norm of h = x + residual: by h, and the summands u·x̂ of
/// that by γ; each `[R, C]`. γ is as long as a row, or as x.
///
/// By the whole Jacobian of each row: ∂x̂ₖ/∂hⱼ = (δⱼₖ − 1/C)/σ − (hⱼ − μ)(hₖ − μ)/(C·σ³), for the RMS norm without 1/C and μ.
///
/// # Panics
/// If the slices' lengths do not go together.
pub fn norm_gradient(
    centered: bool,
    upstream: &[f32],
    (x, residual): (&[f32], Option<&Vec<f32>>),
    gamma: &[f32],
    columns: usize,
    eps: f64,
) -> [Vec<f64>; 2] {
    expect_length("norm_gradient: upstream", upstream.len(), x.len());
    if let Some(residual) = residual {
        expect_length("norm_gradient: residual", residual.len(), x.len());
    }
    let (mut of_h, mut of_gamma) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
    let size = columns as f64;
    for row in 0..x.len() / columns.max(1) {
        let cells = row * columns..(row + 1) * columns;
        let added = |cell: usize| residual.map_or(0.0, |residual| f64::from(residual[cell]));
        let h: Vec<f64> = cells.clone().map(|cell| f64::from(x[cell]) + added(cell)).collect();
        let mean = if centered { h.iter().sum::<f64>() / size } else { 0.0 };
        let deviations: Vec<f64> = h.iter().map(|h| h - mean).collect();
        let sigma = (deviations.iter().map(|d| d * d).sum::<f64>() / size + eps).sqrt();
        let u: Vec<f64> = upstream[cells].iter().map(|&u| f64::from(u)).collect();
        let gamma = &gamma[row * columns % gamma.len()..][..columns];
        for (j, d) in deviations.iter().enumerate() {
            let entry = |k: usize| {
                let one = if j == k { 1.0 } else { 0.0 };
                let of_mean = if centered { 1.0 / size } else { 0.0 };
                let slope = (one - of_mean) / sigma - d * deviations[k] / (size * sigma * sigma * sigma);
                u[k] * f64::from(gamma[k]) * slope
            };
            of_h.push((0..columns).map(entry).sum());
            of_gamma.push(u[j] * d / sigma);
        }
    }
    [of_h, of_gamma]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    #[test]
    fn the_gradients_are_those_of_differences() {
        let mut random = Random(41);
        for (centered, rows, columns, rows_of_gamma) in [
            (true, 1, 1, false),
            (true, 3, 5, false),
            (true, 2, 4, true),
            (false, 3, 5, false),
            (false, 2, 4, true),
        ] {
            let cells = rows * columns;
            let gammas = if rows_of_gamma { cells } else { columns };
            let [x, residual] = [0; 2].map(|_| coarse_values(&mut random, cells));
            let gamma = coarse_values(&mut random, gammas);
            let u = random.values(cells);
            let y = |x: &[f32], residual: &[f32], gamma: &[f32]| -> f64 {
                let h: Vec<f32> = x.iter().zip(residual).map(|(x, residual)| x + residual).collect();
                let normed: Vec<f64> = match centered {
                    true => (0..rows)
                        .flat_map(|row| {
                            let cells = row * columns..(row + 1) * columns;
                            let gamma = &gamma[row * columns % gammas..][..columns];
                            layer_norm(&h[cells], None, gamma, &vec![0.0; columns], 0.5)
                        })
                        .collect(),
                    false => rms_norm(&h, gamma, columns, 0.5),
                };
                normed.iter().zip(&u).map(|(y, &u)| y * f64::from(u)).sum()
            };
            let [of_h, summands] = norm_gradient(centered, &u, (&x, Some(&residual)), &gamma, columns, 0.5);
            assert_near(&of_h, &numeric_gradient(&x, |x| y(x, &residual, &gamma)), 1e-7);
            assert_near(&of_h, &numeric_gradient(&residual, |residual| y(&x, residual, &gamma)), 1e-7);
            let of_gamma: Vec<f64> =
                (0..gammas).map(|place| summands.iter().skip(place).step_by(gammas).sum()).collect();
            assert_near(&of_gamma, &numeric_gradient(&gamma, |gamma| y(&x, &residual, gamma)), 1e-7);
        }
        let [x, gamma] = norm_gradient(true, &[1.0, 2.0], (&[f32::NAN, 1.0], None), &[1.0, 1.0], 2, 0.5);
        assert!(x.iter().chain(&gamma).all(|value| value.is_nan()));
        assert_eq!(norm_gradient(false, &[], (&[], None), &[1.0], 1, 0.5), [const { Vec::<f64>::new() }; 2]);
    }

    #[test]
    fn by_hand() {
        // Mean 2.5, variance (2.25 + 0.25 + 0.25 + 2.25) / 4 = 1.25; eps 1 makes the deviation 1.5.
        let y = layer_norm(&[1.0, 2.0, 3.0, 4.0], None, &[1.0, 3.0, 1.0, 2.0], &[0.0, 0.0, 10.0, 0.5], 1.0);
        assert_near(&y, &[-1.0, -1.0, 10.0 + 1.0 / 3.0, 2.5], 1e-15);
    }

    #[test]
    fn rows_have_mean_0_and_variance_1() {
        let x = Random(2).values(3 * 257);
        let y = layer_norm(&x, None, &[1.0; 257], &[0.0; 257], 0.0);
        for row in y.chunks(257) {
            let mean = row.iter().sum::<f64>() / 257.0;
            let variance = row.iter().map(|y| y * y).sum::<f64>() / 257.0;
            assert!(mean.abs() < 1e-14 && (variance - 1.0).abs() < 1e-13, "mean {mean}, variance {variance}");
        }
    }

    #[test]
    fn shift_and_scale_do_not_matter() {
        let x: Vec<f32> = (0..16).map(|i| ((i * 7) % 16) as f32).collect();
        let moved: Vec<f32> = x.iter().map(|x| 4.0 * x + 4096.0).collect();
        let (gamma, beta) = (Random(3).values(16), Random(4).values(16));
        let a = layer_norm(&x, None, &gamma, &beta, 0.0);
        assert_near(&layer_norm(&moved, None, &gamma, &beta, 0.0), &a, 1e-12);
    }

    #[test]
    fn the_residual_is_added_first() {
        let (x, r) = ([1.0, 2.0, 4.0, 8.0], [0.5, -3.0, 0.25, 1.0]);
        let sum: Vec<f32> = x.iter().zip(&r).map(|(x, r)| x + r).collect();
        let (gamma, beta) = ([1.0, 2.0], [3.0, 4.0]);
        let expected = layer_norm(&sum, None, &gamma, &beta, 1e-5);
        assert_eq!(layer_norm(&x, Some(&r), &gamma, &beta, 1e-5), expected);
    }

    #[test]
    fn a_constant_row_gives_beta() {
        let y = layer_norm(&[1e8, 1e8, 1e8, 7.0, 7.0, 7.0], None, &[5.0; 3], &[1.0, 2.0, 3.0], 1e-12);
        assert_eq!(y, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn nan_and_infinity_take_their_row_only() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let y = layer_norm(&[1.0, bad, 1.0, 3.0], None, &[1.0; 2], &[0.0; 2], 0.0);
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[2..], [-1.0, 1.0]);
        }
    }

    #[test]
    fn rms_norm_by_hand() {
        // mean(1, 9, 25, 1) = 9 and eps 7: the root is 4.
        let x = [1.0, -3.0, 5.0, 1.0];
        assert_eq!(rms_norm(&x, &[1.0, 2.0, 1.0, 4.0], 4, 7.0), [0.25, -1.5, 1.25, 1.0]);
        // The same row twice, with a γ of its own each.
        let y = rms_norm(&[x, x].concat(), &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 4.0], 4, 7.0);
        assert_eq!(y, [0.25, -0.75, 1.25, 0.25, 0.0, 0.0, 0.0, 1.0]);
        let y = rms_norm(&[1.0, f32::NAN, 3.0, 4.0], &[1.0; 2], 2, 0.0);
        assert!(y[0].is_nan() && y[1].is_nan() && y[2].is_finite());
        assert!(rms_norm(&[], &[], 0, 1e-5).is_empty());
    }

    #[test]
    fn moments_by_hand() {
        // Variance 1.25 and eps 1: the deviation is 1.5.
        let (means, inverses) = moments(&[1.0, 2.0, 3.0, 4.0, 7.0, 7.0, 7.0, 7.0], 4, 1.0);
        assert_near(&means, &[2.5, 7.0], 0.0);
        assert_near(&inverses, &[1.0 / 1.5, 1.0], 1e-15);
    }

    #[test]
    fn sizes_of_zero() {
        assert!(layer_norm(&[], None, &[], &[], 1e-5).is_empty());
        assert!(layer_norm(&[], Some(&[]), &[1.0], &[1.0], 1e-5).is_empty());
    }

    #[test]
    #[should_panic(expected = "x must be rows of 2 elements, but has 3 elements")]
    fn a_broken_row_is_named() {
        layer_norm(&[1.0; 3], None, &[1.0; 2], &[0.0; 2], 1e-5);
    }
}
