//! Activations, and the error function that the exact GELU needs.
//!
//! NaN gives NaN everywhere. Of the infinities, +∞ gives what the limit says; at −∞ the products of GELU and
//! SiLU are −∞·0, and so NaN, as their formulas are written.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// `function` of each element; any number of them.
pub fn apply(x: &[f32], function: fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|&x| function(f64::from(x))).collect()
}

/// x: no activation.
pub fn identity(x: f64) -> f64 {
    x
}

/// x·Φ(x) = x·½·erfc(−x/√2), Φ being the normal distribution's cumulative function.
///
/// Hendrycks and Gimpel 2016 (*Gaussian Error Linear Units*), section 2. Written with [`erfc`] so that nothing
/// cancels for negative x.
pub fn gelu(x: f64) -> f64 {
    x * (0.5 * erfc(-x * FRAC_1_SQRT_2))
}

/// ½·x·(1 + tanh(u)) with u = √(2/π)·(x + 0.044715·x³).
///
/// Hendrycks and Gimpel 2016, section 2 (the approximation). Computed as x/(1 + exp(−2u)), which is the same
/// by tanh(u) = 2/(1 + exp(−2u)) − 1, and does not cancel for negative x.
pub fn gelu_tanh(x: f64) -> f64 {
    let sqrt_2_over_pi = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    let u = sqrt_2_over_pi * (x + 0.044715 * x * x * x);
    x / (1.0 + (-2.0 * u).exp())
}

/// max(x, 0), and NaN for NaN (unlike [`f64::max`]).
pub fn relu(x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { x }
}

/// x/(1 + exp(−x)): x times its logistic function.
///
/// Elfwing et al. 2017 (*Sigmoid-Weighted Linear Units*), the SiLU; also called swish.
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The logistic function 1/(1 + exp(−x)), 0 at −∞ and 1 at +∞.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    x.tanh()
}

/// The derivative of [`identity`]: 1, and NaN for NaN.
pub fn identity_slope(x: f64) -> f64 {
    if x.is_nan() { x } else { 1.0 }
}

/// The derivative of [`gelu`], Φ(x) + x·φ(x) with the normal distribution's density φ; at the infinities its limits.
pub fn gelu_slope(x: f64) -> f64 {
    let density = 0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI * (-0.5 * x * x).exp();
    0.5 * erfc(-x * FRAC_1_SQRT_2) + if x.is_infinite() { 0.0 } else { x * density }
}

/// The derivative of [`gelu_tanh`], ½·(1 + tanh(u)) + ½·x·u′/cosh(u)²; at the infinities its limits.
pub fn gelu_tanh_slope(x: f64) -> f64 {
    let sqrt_2_over_pi = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    let u = sqrt_2_over_pi * (x + 0.044715 * x * x * x);
    let slope = sqrt_2_over_pi * (1.0 + 3.0 * 0.044715 * x * x);
    0.5 * (1.0 + u.tanh()) + if u.abs() > 300.0 { 0.0 } else { 0.5 * x * slope / u.cosh().powi(2) }
}

/// The derivative of [`relu`]: 1 above 0, 0 up to it, at 0 too, and NaN for NaN.
pub fn relu_slope(x: f64) -> f64 {
    if x.is_nan() { x } else { f64::from(u8::from(x > 0.0)) }
}

/// The derivative of [`silu`], σ(x) + x·σ′(x); at the infinities its limits.
pub fn silu_slope(x: f64) -> f64 {
    sigmoid(x) + if x.is_infinite() { 0.0 } else { x * sigmoid_slope(x) }
}

/// The derivative of [`tanh`], 1/cosh(x)².
pub fn tanh_slope(x: f64) -> f64 {
    1.0 / x.cosh().powi(2)
}

/// The derivative of [`sigmoid`], ¼/cosh(x/2)².
pub fn sigmoid_slope(x: f64) -> f64 {
    0.25 / (0.5 * x).cosh().powi(2)
}

/// The gradient of Σ u·f(x) by x, given the derivative of f.
///
/// # Panics
/// If the lengths differ.
pub fn gradient(x: &[f32], upstream: &[f32], slope: fn(f64) -> f64) -> Vec<f64> {
    super::expect_length("gradient: upstream", upstream.len(), x.len());
    x.iter().zip(upstream).map(|(&x, &u)| f64::from(u) * slope(f64::from(x))).collect()
}

/// The error function: erf(x) = 2/√π·∫₀ˣ exp(−t²) dt, with an error below 1e-15.
///
/// Below |x| = 1 by the series with terms of one sign (Abramowitz and Stegun 7.1.6), so that small x keep
/// their relative accuracy; above as 1 − [`erfc`].
pub fn erf(x: f64) -> f64 {
    if x.abs() < 1.0 {
        erf_series(x)
    } else if x > 0.0 {
        1.0 - erfc_fraction(x)
    } else {
        // NaN comes this way too, and stays NaN.
        erfc_fraction(-x) - 1.0
    }
}

/// 1 − erf(x), with a relative error below 4e-15 (so that the far tail is right too).
///
/// Below |x| = 1 as 1 − erf(x), which loses no more than a factor of 6; above by Laplace's continued fraction
/// (Abramowitz and Stegun 7.1.14).
pub fn erfc(x: f64) -> f64 {
    if x.abs() < 1.0 {
        1.0 - erf_series(x)
    } else if x > 0.0 {
        erfc_fraction(x)
    } else {
        2.0 - erfc_fraction(-x)
    }
}

/// erf(x) = 2/√π·exp(−x²)·Σₙ 2ⁿ·x²ⁿ⁺¹/(1·3·…·(2n+1)), for |x| < 1.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    // At |x| = 1 the 25th term is below 2²⁵/(1·3·…·51) < 1e-25.
    for n in 1..=25 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    FRAC_2_SQRT_PI * exp_minus_square(x) * sum
}

/// erfc(x) = exp(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))), for x ≥ 1.
fn erfc_fraction(x: f64) -> f64 {
    // erfc(28) is below the smallest f64.
    if x > 28.0 {
        return 0.0;
    }
    // So many levels that cutting off there changes less than f64's rounding, measured over [1, 25] against
    // 40 digits. From the innermost level outwards all is positive and stable.
    let levels = 10 + (220.0 / (x * x)) as u32;
    let fraction = (1..=levels).rev().fold(x, |inner, k| x + 0.5 * f64::from(k) / inner);
    0.5 * FRAC_2_SQRT_PI * exp_minus_square(x) / fraction
}

/// exp(−x²), with the rounding of x² put back: exp would magnify it by x².
fn exp_minus_square(x: f64) -> f64 {
    let square = x * x;
    let rest = x.mul_add(x, -square);
    (-square).exp() * (1.0 - rest)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    type Function = fn(f64) -> f64;

    const SLOPES: [(Function, Function); 7] = [
        (identity, identity_slope),
        (gelu, gelu_slope),
        (gelu_tanh, gelu_tanh_slope),
        (relu, relu_slope),
        (silu, silu_slope),
        (tanh, tanh_slope),
        (sigmoid, sigmoid_slope),
    ];

    #[test]
    fn slopes_are_those_of_differences() {
        let mut random = Random(51);
        let mut x = coarse_values(&mut random, 40);
        // ReLU has a kink at 0.
        x.iter_mut().for_each(|x| *x = (*x * 4.0).abs().max(0.0625).copysign(*x));
        let u = random.values(x.len());
        for (function, slope) in SLOPES {
            let weighted =
                |x: &[f32]| apply(x, function).iter().zip(&u).map(|(y, &u)| y * f64::from(u)).sum();
            assert_near(&gradient(&x, &u, slope), &numeric_gradient(&x, weighted), 1e-7);
        }
    }

    #[test]
    fn slopes_at_the_ends() {
        let infinite = f64::INFINITY;
        for (place, (_, slope)) in SLOPES.into_iter().enumerate() {
            assert!(slope(f64::NAN).is_nan());
            let ends = match place {
                0 => [1.0, 1.0],
                5 | 6 => [0.0, 0.0],
                _ => [0.0, 1.0],
            };
            assert_eq!([slope(-infinite), slope(infinite)], ends, "{place}");
            assert_eq!([slope(-1e38), slope(1e38)], ends, "{place}");
        }
        assert_eq!([relu_slope(0.0), relu_slope(-0.0)], [0.0; 2]);
    }

    /// x, erf(x), erfc(x), to 20 digits (mpmath).
    #[allow(clippy::excessive_precision)]
    const ERF: [(f64, f64, f64); 16] = [
        (0.125, 0.14031620480133381739, 0.85968379519866618261),
        (0.5, 0.52049987781304653768, 0.47950012218695346232),
        (0.75, 0.7111556336535151316, 0.2888443663464848684),
        (0.9375, 0.81510240103439980418, 0.18489759896560019582),
        (1.0, 0.84270079294971486934, 0.15729920705028513066),
        (1.5, 0.96610514647531072707, 0.033894853524689272933),
        (2.0, 0.99532226501895273416, 0.0046777349810472658379),
        (3.0, 0.99997790950300141456, 0.000022090496998585441373),
        (5.0, 0.99999999999846254021, 1.5374597944280348502e-12),
        (10.0, 1.0, 2.088487583762544757e-45),
        (25.0, 1.0, 8.300172571196522752e-274),
        // Their squares are not exact.
        (0.3333333333333333, 0.36264811176606291472, 0.63735188823393708528),
        (2.7, 0.99986566726005947581, 0.00013433273994052419237),
        (7.3, 1.0, 5.5025737506919224165e-25),
        (12.7, 1.0, 3.9712599756985401515e-72),
        (24.9, 1.0, 1.2244878020839104083e-271),
    ];

    #[test]
    fn erf_has_its_known_values() {
        for (x, erf_x, erfc_x) in ERF {
            assert!((erf(x) - erf_x).abs() < 1e-15, "erf({x}) = {:e}", erf(x));
            assert!((erf(-x) + erf_x).abs() < 1e-15, "erf(-{x}) = {:e}", erf(-x));
            assert!((erfc(x) / erfc_x - 1.0).abs() < 4e-15, "erfc({x}) = {:e}", erfc(x));
            assert!((erfc(-x) - (1.0 + erf_x)).abs() < 1e-15, "erfc(-{x}) = {:e}", erfc(-x));
        }
    }

    #[test]
    fn erf_at_the_ends() {
        assert_eq!((erf(0.0), erf(f64::INFINITY), erf(f64::NEG_INFINITY)), (0.0, 1.0, -1.0));
        assert_eq!((erfc(0.0), erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (1.0, 0.0, 2.0));
        assert!(erf(f64::NAN).is_nan() && erfc(f64::NAN).is_nan());
        assert!(erf(-0.0).is_sign_negative());
        // Small x keep their relative accuracy.
        assert!((erf(1e-300) / (FRAC_2_SQRT_PI * 1e-300) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn both_methods_meet_where_they_change() {
        for x in [1.0, 1.05, 1.1, 1.2] {
            let (series, fraction) = (1.0 - erf_series(x), erfc_fraction(x));
            assert!((series - fraction).abs() < 5e-16, "{x}: {series:e} {fraction:e}");
        }
    }

    /// A third method: Simpson's rule over the integral itself.
    #[test]
    fn erf_is_its_integral() {
        let (step, mut integral) = (1.0 / 512.0, 0.0);
        let density = |t: f64| FRAC_2_SQRT_PI * (-t * t).exp();
        for i in 0..512 * 4 {
            let t = f64::from(i) * step;
            integral += step / 6.0 * (density(t) + 4.0 * density(t + step / 2.0) + density(t + step));
            let x = t + step;
            assert!((erf(x) - integral).abs() < 1e-13, "erf({x}) = {} ≠ {integral}", erf(x));
        }
    }

    #[test]
    #[allow(clippy::excessive_precision)]
    fn known_values() {
        // x, gelu, gelu_tanh, silu, to 20 digits (mpmath).
        let table: [(f64, f64, f64, f64); 9] = [
            (-8.0, -4.9767684594174272988e-15, -3.107782937501111218e-21, -0.002682801043731824831),
            (-4.0, -0.00012668496733247968502, -0.000070245948192372689818, -0.071944839848366232107),
            (-2.0, -0.045500263896358414401, -0.045402305912224981219, -0.23840584404423511188),
            (-1.0, -0.15865525393145705141, -0.15880800939172329522, -0.26894142136999512075),
            (-0.5, -0.15426876936299344818, -0.15428599017485607796, -0.18877033439907271768),
            (0.5, 0.34573123063700655182, 0.34571400982514392204, 0.31122966560092728232),
            (1.0, 0.84134474606854294859, 0.84119199060827670478, 0.73105857863000487925),
            (2.0, 1.9544997361036415856, 1.9545976940877750188, 1.7615941559557648881),
            (4.0, 3.9998733150326675203, 3.9999297540518076273, 3.9280551601516337679),
        ];
        for (x, g, t, s) in table {
            for (name, got, expected) in
                [("gelu", gelu(x), g), ("tanh", gelu_tanh(x), t), ("silu", silu(x), s)]
            {
                // The tail of gelu_tanh is exp(−94), whose argument's rounding shows.
                assert!((got / expected - 1.0).abs() < 3e-14, "{name}({x}) = {got:e}, not {expected:e}");
            }
        }
    }

    #[test]
    fn gelu_tanh_is_the_formula_with_tanh() {
        for i in -60..=60 {
            let x = f64::from(i) / 10.0;
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            assert!((gelu_tanh(x) - 0.5 * x * (1.0 + tanh(u))).abs() < 2e-15);
        }
    }

    #[test]
    fn odd_parts_are_x() {
        // With f(x) = x·s(x) and s(x) + s(−x) = 1: f(x) − f(−x) = x·(s(x) + s(−x)) = x.
        for i in 0..200 {
            let x = f64::from(i) / 16.0;
            for f in [gelu, gelu_tanh, silu, relu] {
                assert!((f(x) - f(-x) - x).abs() < 1e-14, "{x}");
            }
        }
    }

    #[test]
    fn sigmoid_is_half_of_tanh_of_the_half() {
        for i in -100..=100 {
            let x = f64::from(i) / 5.0;
            assert!((sigmoid(x) - 0.5 * (1.0 + (0.5 * x).tanh())).abs() < 1e-15, "{x}");
        }
        assert_eq!([f64::NEG_INFINITY, 0.0, f64::INFINITY].map(sigmoid), [0.0, 0.5, 1.0]);
        assert!(sigmoid(f64::NAN).is_nan());
    }

    #[test]
    fn infinities_and_nan() {
        for f in [identity, gelu, gelu_tanh, relu, silu, tanh] {
            assert!(f(f64::NAN).is_nan());
            assert_eq!(f(0.0), 0.0);
        }
        for f in [identity, gelu, gelu_tanh, relu, silu] {
            assert_eq!(f(f64::INFINITY), f64::INFINITY);
        }
        for f in [gelu, gelu_tanh, silu] {
            assert!(f(f64::NEG_INFINITY).is_nan());
            // Large finite values, up to f32's largest, are finite.
            assert_eq!(f(f64::from(f32::MAX)), f64::from(f32::MAX));
            assert_eq!(f(-f64::from(f32::MAX)), 0.0);
        }
        assert_eq!(relu(f64::NEG_INFINITY), 0.0);
        assert_near(&apply(&[-1.0, 2.0], relu), &[0.0, 2.0], 0.0);
    }
}
