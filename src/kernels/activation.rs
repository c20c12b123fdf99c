//! Activations.

use crate::kernels::wide::wide;
use crate::reference::activation as oracle;

/// What a linear layer applies to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// None.
    #[default]
    None,
    /// x · Φ(x), by erf (Hendrycks and Gimpel 2016).
    Gelu,
    /// Its approximation by tanh, as GPT-2 has it.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x / (1 + exp(−x)).
    Silu,
    /// tanh(x).
    Tanh,
    /// 1 / (1 + exp(−x)).
    Sigmoid,
}

impl Activation {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Gelu, Self::GeluTanh, Self::Relu, Self::Silu, Self::Tanh, Self::Sigmoid];

    /// Its number in `shaders/shared/activation.wgsl`.
    pub(crate) fn code(self) -> u32 {
        Self::ALL.iter().position(|&activation| activation == self).unwrap_or(0) as u32
    }

    pub(crate) fn from_code(code: u32) -> Self {
        Self::ALL.get(code as usize).copied().unwrap_or_default()
    }

    /// Its f64 oracle.
    pub(crate) fn oracle(self) -> fn(f64) -> f64 {
        match self {
            Self::None => oracle::identity,
            Self::Gelu => oracle::gelu,
            Self::GeluTanh => oracle::gelu_tanh,
            Self::Relu => oracle::relu,
            Self::Silu => oracle::silu,
            Self::Tanh => oracle::tanh,
            Self::Sigmoid => oracle::sigmoid,
        }
    }

    /// The f64 oracle of its slope.
    pub(crate) fn slope_oracle(self) -> fn(f64) -> f64 {
        match self {
            Self::None => oracle::identity_slope,
            Self::Gelu => oracle::gelu_slope,
            Self::GeluTanh => oracle::gelu_tanh_slope,
            Self::Relu => oracle::relu_slope,
            Self::Silu => oracle::silu_slope,
            Self::Tanh => oracle::tanh_slope,
            Self::Sigmoid => oracle::sigmoid_slope,
        }
    }

    /// [`Activation::apply`] of each value.
    pub(crate) fn apply_all(self, values: &mut [f32]) {
        // A loop for each, without a branch inside it, so that the compiler makes it several values at a time.
        let gelu = |x: f32| Self::Gelu.apply(x);
        let relu = |x: f32| Self::Relu.apply(x);
        wide(|| match self {
            Self::None => {}
            Self::Gelu => values.iter_mut().for_each(|value| *value = gelu(*value)),
            Self::Relu => values.iter_mut().for_each(|value| *value = relu(*value)),
            _ => values.iter_mut().for_each(|value| *value = self.apply(*value)),
        });
    }

    /// The f32 computation of the CPU device: the shader's formulas, with [`exp`] and [`tanh`].
    #[inline(always)]
    pub(crate) fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => 0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x))),
            Self::Relu if x < 0.0 => 0.0,
            Self::Relu => x,
            Self::Silu => x * logistic(x),
            Self::Tanh => tanh(x),
            Self::Sigmoid => logistic(x),
        }
    }

    /// Its derivative at x, by the formulas of `elementwise/activation_gradient`.
    #[inline(always)]
    pub(crate) fn slope(self, x: f32) -> f32 {
        // The derivative of σ at v.
        let logistic_slope = |v: f32| {
            let e = exp(-v.abs());
            e / ((1.0 + e) * (1.0 + e))
        };
        match self {
            Self::None => 1.0,
            Self::Gelu => {
                let near = x.clamp(-20.0, 20.0);
                let density = 0.398_942_3 * exp(-0.5 * near * near);
                0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + near * density
            }
            Self::GeluTanh => {
                const TWICE: f32 = 2.0 * 0.797_884_6;
                let near = x.clamp(-20.0, 20.0);
                let twice = TWICE * (near + 0.044_715 * near * near * near);
                logistic(twice) + near * logistic_slope(twice) * TWICE * (1.0 + 0.134_145 * near * near)
            }
            // A NaN stays one.
            Self::Relu if x > 0.0 => 1.0,
            Self::Relu if x <= 0.0 => 0.0,
            Self::Relu => x,
            Self::Silu => {
                let near = x.clamp(-100.0, 100.0);
                logistic(near) + near * logistic_slope(near)
            }
            Self::Tanh => 4.0 * logistic_slope(2.0 * x),
            Self::Sigmoid => logistic_slope(x),
        }
    }
}

/// The shader's erf: see `shaders/shared/activation.wgsl`.
#[expect(clippy::approx_constant, reason = "a fitted coefficient that happens to be near 2/√π")]
#[inline(always)]
fn erf(x: f32) -> f32 {
    const WITHIN: [f32; 7] = [
        7.889_119e-5,
        -0.000_802_084_1,
        0.005_189_535,
        -0.026_854_444,
        0.112_836,
        -0.376_126_26,
        1.128_379_1,
    ];
    const BEYOND: [f32; 9] = [
        -1.860_716_6e-6,
        3.019_784_5e-5,
        -0.000_191_806_4,
        0.000_421_879_96,
        0.002_004_033,
        -0.021_538_997,
        0.104_414_71,
        0.635_978_34,
        1.128_489,
    ];
    // Both are computed, and one is taken: see `apply_all`.
    let a = if x.abs() < 4.0 { x.abs() } else { 4.0 };
    let beyond = (1.0 - exp(-a * horner(&BEYOND, a))).copysign(x);
    let within = x * horner(&WITHIN, x * x);
    if x.abs() > 1.0 { beyond } else { within }
}

#[inline(always)]
fn horner<const N: usize>(coefficients: &[f32; N], t: f32) -> f32 {
    coefficients.iter().fold(0.0, |sum, c| sum * t + c)
}

/// tanh(x) by the formulas of `shaders/shared/tanh.wgsl`, since libm's does not become instructions for several values.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const SERIES: [f32; 5] = [0.021_869_488, -0.053_968_254, 0.133_333_34, -0.333_333_34, 1.0];
    let e = exp(-2.0 * x.abs());
    let beyond = ((1.0 - e) / (1.0 + e)).copysign(x);
    let series = x * horner(&SERIES, x * x);
    if x.abs() > 0.25 { beyond } else { series }
}

/// σ(x) = 1 / (1 + exp(−x)), by an exponential that does not overflow.
#[inline(always)]
fn logistic(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// exp(x) for x ≤ 0, within two units in the last place: libm's does not become instructions for several values. Below
/// −87, where it comes near the subnormal numbers, it is 0; a NaN gives a NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; 2ⁿ by the bits, eʳ by a polynomial (its coefficients are those of Taylor's series,
/// which at degree 7 is off by 5e-9).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // What is added to a number below 2²² leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few bits, so that n times it is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -0.000_212_194_44];
    const POLYNOMIAL: [f32; 8] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let bounded = if x < -87.0 { -87.0 } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (bounded - n * LN_2[0]) - n * LN_2[1];
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { horner(&POLYNOMIAL, r) * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        for activation in Activation::ALL {
            assert_eq!(Activation::from_code(activation.code()), activation);
        }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for step in 0..=870_000 {
            let x = step as f32 * -1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs();
            assert!(
                error <= 2.0 * exact * f64::from(f32::EPSILON),
                "exp({x}) is off by {error:e} of {exact:e}"
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([exp(-87.1), exp(f32::NEG_INFINITY)], [0.0; 2]);
    }

    #[test]
    fn tanh_is_within_four_units_in_the_last_place() {
        for step in -200_000..=200_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - exact).abs();
            assert!(error <= 4.0 * exact.abs() * f64::from(f32::EPSILON), "tanh({x}) is off by {error:e}");
        }
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(0.0)], [1.0, -1.0, 0.0]);
    }

    #[test]
    fn erf_is_within_two_units_in_the_last_place() {
        for step in -60_000..=60_000 {
            let x = step as f32 * 1e-4;
            let error = (f64::from(erf(x)) - oracle::erf(x.into())).abs();
            assert!(error <= 1.5e-7, "erf({x}) is off by {error:e}");
        }
        assert!(erf(f32::NAN).is_nan());
        assert_eq!(erf(f32::INFINITY), 1.0);
    }
}
