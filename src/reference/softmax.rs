//! Softmax along an axis, in two passes.

/// exp(xⱼ − m) / Σ exp(xⱼ' − m), m = maxⱼ xⱼ, along the middle axis of `[outer, columns, inner]`.
///
/// In IEEE 754 arithmetic as it stands: a row with a NaN or +∞ is NaN, and so is one of −∞ alone; beside a finite
/// element −∞ gives 0.
///
/// # Panics
/// If `x` has another length.
pub fn softmax(x: &[f32], [outer, columns, inner]: [usize; 3]) -> Vec<f64> {
    super::expect_length("softmax: x", x.len(), outer * columns * inner);
    let mut y = vec![0.0; x.len()];
    for row in 0..outer * inner {
        let place = |column: usize| (row / inner * columns + column) * inner + row % inner;
        let values = || (0..columns).map(|column| f64::from(x[place(column)]));
        let largest = values().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = values().map(|value| (value - largest).exp()).sum();
        for (column, value) in values().enumerate() {
            y[place(column)] = (value - largest).exp() / sum;
        }
    }
    y
}

/// The gradient of Σ u·y by x, y being the softmax of x as [`softmax`] gives it, by its whole Jacobian: Σₖ uₖ·yₖ·(δⱼₖ − yⱼ).
///
/// # Panics
/// If a slice has another length.
pub fn softmax_gradient(y: &[f64], upstream: &[f32], [outer, columns, inner]: [usize; 3]) -> Vec<f64> {
    super::expect_length("softmax_gradient: y", y.len(), outer * columns * inner);
    super::expect_length("softmax_gradient: upstream", upstream.len(), y.len());
    let mut dx = vec![0.0; y.len()];
    for row in 0..outer * inner {
        let place = |column: usize| (row / inner * columns + column) * inner + row % inner;
        for j in 0..columns {
            let entry = |k: usize| {
                let one = if j == k { 1.0 } else { 0.0 };
                f64::from(upstream[place(k)]) * y[place(k)] * (one - y[place(j)])
            };
            dx[place(j)] = (0..columns).map(entry).sum();
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    #[test]
    fn the_gradient_is_that_of_differences() {
        let mut random = Random(31);
        for dims in [[1, 1, 1], [2, 5, 1], [2, 4, 3]] {
            let count = dims.iter().product();
            let (x, u) = (coarse_values(&mut random, count), random.values(count));
            let weighted = |x: &[f32]| softmax(x, dims).iter().zip(&u).map(|(y, &u)| y * f64::from(u)).sum();
            assert_near(
                &softmax_gradient(&softmax(&x, dims), &u, dims),
                &numeric_gradient(&x, weighted),
                1e-7,
            );
        }
        let y = softmax_gradient(&[f64::NAN; 2], &[1.0, 2.0], [1, 2, 1]);
        assert!(y.iter().all(|y| y.is_nan()));
        assert!(softmax_gradient(&[], &[], [2, 0, 3]).is_empty());
    }

    #[test]
    fn by_hand() {
        let (a, b) = (2_f32.ln(), 3_f32.ln());
        assert_near(&softmax(&[0.0, a, b], [1, 3, 1]), &[1.0 / 6.0, 1.0 / 3.0, 0.5], 1e-7);
        // Columns two apart, and an offset that exp alone could not take.
        let x = [1e4, -1e4, 1e4 + 1.0, -1e4 + 1.0];
        let e = 1.0 / (1.0 + 1_f64.exp());
        assert_near(&softmax(&x, [1, 2, 2]), &[e, e, 1.0 - e, 1.0 - e], 1e-15);
    }

    #[test]
    fn infinities_and_nan() {
        let infinite = f32::INFINITY;
        assert_eq!(softmax(&[1.0, -infinite, 1.0], [1, 3, 1]), [0.5, 0.0, 0.5]);
        for row in [[infinite, 0.0], [f32::NAN, 0.0], [-infinite; 2]] {
            assert!(softmax(&row, [1, 2, 1]).iter().all(|y| y.is_nan()), "{row:?}");
        }
        assert!(softmax(&[], [2, 0, 3]).is_empty());
    }
}
