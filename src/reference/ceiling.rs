//! The oracle of the kernels that only measure.

/// Σ over k below `chains` of aₙ(x + k), with a₀(s) = s and aₙ₊₁ = aₙ · factor + term, in closed form: n steps give
/// s · factorⁿ + term · (factorⁿ − 1) / (factor − 1), for a factor other than 1. One result for each x.
pub fn multiply_add(x: &[f32], steps: u32, chains: u32, factor: f64, term: f64) -> Vec<f64> {
    let power = factor.powi(i32::try_from(steps).unwrap_or(i32::MAX));
    let gathered = term * (power - 1.0) / (factor - 1.0);
    let chain = |x: f64, k: u32| (x + f64::from(k)) * power + gathered;
    x.iter().map(|&x| (0..chains).map(|k| chain(x.into(), k)).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_near;
    use super::multiply_add;

    #[test]
    fn chains_by_hand() {
        // 3 → 3·2 + 1 = 7 → 15, and 4 → 9 → 19.
        assert_near(&multiply_add(&[3.0], 2, 2, 2.0, 1.0), &[34.0], 1e-12);
        // 1 → −0.5 + 2 = 1.5 → 1.25 → 1.375.
        assert_near(&multiply_add(&[1.0, 0.0], 3, 1, -0.5, 2.0), &[1.375, 1.5], 1e-12);
        assert_near(&multiply_add(&[1.0], 0, 3, 0.5, 9.0), &[6.0], 1e-12);
    }
}
