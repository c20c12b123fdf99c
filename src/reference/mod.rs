//! f64 oracles: each by another algorithm than the kernel that it judges.
//!
//! Every function here takes the kernel's own f32 inputs (which f64 holds exactly), computes in f64 by the
//! plainest algorithm there is (nested loops, two-pass softmax, two-pass variance) and returns f64. None of
//! them tiles, fuses or runs online, so that a fault of a tiled, fused or online kernel is not repeated here.
//!
//! They are the test side: a slice of the wrong length is a defect of the caller and panics with a message
//! that names it. Sizes of 0 are valid everywhere.

pub mod activation;
pub mod additive;
pub mod attention;
pub mod attention_gradient;
pub mod cast;
pub mod ceiling;
pub mod elementwise;
pub mod embedding;
pub mod linear;
pub mod loss;
pub mod normalization;
pub mod optimizer;
pub mod pooling;
pub mod random;
pub mod recurrent;
pub mod reduction;
pub mod rotary;
pub mod softmax;
pub mod vision;

/// Panics, naming `what`, unless a slice has exactly the length that the sizes ask for.
#[track_caller]
fn expect_length(what: &str, found: usize, expected: usize) {
    assert!(found == expected, "{what} must have {expected} elements, but has {found}");
}

/// How far an f32 sum of `terms` products may be from the exact one by rounding alone:
/// 4·2⁻²⁴·√terms·`magnitude`, with `magnitude` the largest |partial sum|. For
/// [`Tolerance::floor`](crate::verify::compare::Tolerance::floor).
///
/// *Derivation.* Let u = 2⁻²⁴, the largest relative error of one f32 rounding. Summing n products, the k-th
/// addition errs by δₖ·Sₖ (Sₖ its partial sum) and the k-th product by εₖ·pₖ, with |δₖ|, |εₖ| ≤ u; every |Sₖ|
/// is at most the magnitude S, and |pₖ| = |Sₖ − Sₖ₋₁| mostly is too. As roundings are nearly independent, with
/// mean 0 and a variance of at most u²/3 (uniform), the sum's error has a standard deviation of at most
/// u·√(2n/3)·S = 0.82·u·√n·S. The factor 4 is thus 4.9 standard deviations; that √n (and not n, the bound of
/// the worst case) is what to expect of n roundings is Higham and Mary 2019 (*A new approach to probabilistic
/// rounding error analysis*). A sum in blocks or a tree, as kernels do it, errs less.
///
/// *What to pass for `magnitude`*: for a mean or a softmax-weighted sum, max |v|; for zero-mean terms of size
/// p, about p·√n; never more than Σ|pₖ|. It is an absolute error, so outputs that are scaled after the sum
/// need the scaled magnitude. With 1,000 terms the floor is 8e-6 of the magnitude, a hundredth of the smallest
/// fault the tests of this module plant; a too generous magnitude hides wrong elements.
pub fn rounding_floor(terms: usize, magnitude: f64) -> f64 {
    const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    4.0 * UNIT_ROUNDOFF * (terms as f64).sqrt() * magnitude.abs()
}

/// A score as f32 has it: where f32 tells no two whole numbers apart any more, from 2²⁴ on, it is rounded, and infinite beyond the
/// range. What an ordinary score is added to a mask of −3.4e38 makes no difference there, and two such masks are −∞.
pub(crate) fn in_f32(score: f64) -> f64 {
    if score.abs() < 16_777_216.0 { score } else { f64::from(score as f32) }
}

/// The largest magnitude of the oracle's finite values.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().filter(|value| value.is_finite()).fold(0.0, |largest, value| value.abs().max(largest))
}

#[cfg(test)]
mod testing {
    /// Numbers for tests: SplitMix64, seeded.
    pub struct Random(pub u64);

    impl Random {
        /// The next value, uniform in [-1, 1).
        pub fn value(&mut self) -> f32 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        }

        /// `count` values, uniform in [-1, 1).
        pub fn values(&mut self, count: usize) -> Vec<f32> {
            (0..count).map(|_| self.value()).collect()
        }
    }

    /// Values for [`numeric_gradient`]: uniform in [-1, 1), multiples of 2⁻¹², so that f32 has what lies beside them exactly.
    pub fn coarse_values(random: &mut Random, count: usize) -> Vec<f32> {
        (0..count).map(|_| (random.value() * 4096.0).round() / 4096.0).collect()
    }

    /// ∂f/∂x for each element of x, by central differences of the fourth order in f64; x from [`coarse_values`]. Good to some 1e-9
    /// where f's fifth derivative is small.
    pub fn numeric_gradient(x: &[f32], f: impl Fn(&[f32]) -> f64) -> Vec<f64> {
        const STEP: f32 = 1.0 / 256.0;
        let at = |place: usize, steps: f32| {
            let mut moved = x.to_vec();
            moved[place] += steps * STEP;
            f(&moved)
        };
        let of = |place| 8.0 * (at(place, 1.0) - at(place, -1.0)) - (at(place, 2.0) - at(place, -2.0));
        (0..x.len()).map(|place| of(place) / (12.0 * f64::from(STEP))).collect()
    }

    /// Panics unless both have the same length and no pair is further apart than `tolerance`.
    #[track_caller]
    pub fn assert_near(got: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(got.len(), expected.len(), "lengths differ");
        for (i, (g, e)) in got.iter().zip(expected).enumerate() {
            let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= tolerance;
            assert!(same, "element {i}: {g} is not {e}\n got {got:?}\n expected {expected:?}");
        }
    }
}
