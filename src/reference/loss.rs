//! Losses and their gradients.

/// The label of a row that counts for nothing.
const IGNORED: u32 = u32::MAX;

/// The rows of x with their labels; `None` for an ignored one.
fn rows<'a>(
    x: &'a [f32],
    columns: usize,
    labels: &'a [u32],
) -> impl Iterator<Item = (Vec<f64>, Option<usize>)> + 'a {
    super::expect_length("cross_entropy: x", x.len(), columns * labels.len());
    labels.iter().enumerate().map(move |(row, &label)| {
        let values = x[row * columns..(row + 1) * columns].iter().map(|&x| f64::from(x)).collect();
        (values, (label != IGNORED).then_some(label as usize))
    })
}

/// Whether a softmax of the row has a NaN.
fn is_nan(x: &[f64]) -> bool {
    let above = |x: &f64| x.is_nan() || *x == f64::INFINITY;
    x.iter().any(above) || x.iter().all(|&x| x == f64::NEG_INFINITY)
}

/// factorᵣ · (log Σ exp(xᵣ) − (1 − ε)·x_y − ε/V · Σ x_j) for each row of x `[R, V]` with the label y; 0 for a row with the label
/// 2³² − 1; returns `[R]`.
///
/// As (log Σ exp(x) − x_y) + ε·(x_y − mean(x)), the first of them log(1 + Σ exp(x_j − x_y)) over the others. A row that has no
/// softmax is NaN; −∞ at the label, or anywhere with smoothing, is infinite.
///
/// # Panics
/// If a slice has another length, or a label lies outside of its row.
pub fn cross_entropy(x: &[f32], columns: usize, labels: &[u32], factors: &[f32], smoothing: f64) -> Vec<f64> {
    super::expect_length("cross_entropy: factors", factors.len(), labels.len());
    let loss = |x: &[f64], label: usize| {
        if is_nan(x) {
            return f64::NAN;
        }
        if x[label] == f64::NEG_INFINITY || (smoothing > 0.0 && x.contains(&f64::NEG_INFINITY)) {
            return f64::INFINITY;
        }
        let above = x.iter().map(|of_class| of_class - x[label]).fold(0.0, f64::max);
        let others: f64 = (0..x.len()).filter(|&j| j != label).map(|j| (x[j] - x[label] - above).exp()).sum();
        let log = if above == 0.0 { others.ln_1p() } else { above + (others + (-above).exp()).ln() };
        let mean: f64 = x.iter().map(|of_class| x[label] - of_class).sum::<f64>() / columns as f64;
        log + if smoothing > 0.0 { smoothing * mean } else { 0.0 }
    };
    let each = rows(x, columns, labels).zip(factors);
    each.map(|((x, label), &factor)| label.map_or(0.0, |label| f64::from(factor) * loss(&x, label))).collect()
}

/// For each row the maximum m, Σ exp(x_j − m) without the label and with it; NaN where there is no softmax, 0 for ignored rows;
/// returns `[R, 3]`.
///
/// # Panics
/// As [`cross_entropy`].
pub fn statistics(x: &[f32], columns: usize, labels: &[u32]) -> Vec<f64> {
    let of_row = |(x, label): (Vec<f64>, Option<usize>)| match label {
        None => [0.0; 3],
        Some(_) if is_nan(&x) => [f64::NAN; 3],
        Some(label) => {
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut weights: Vec<f64> = x.iter().map(|x| (x - largest).exp()).collect();
            let all = weights.iter().sum();
            weights.remove(label);
            [largest, weights.iter().sum(), all]
        }
    };
    rows(x, columns, labels).flat_map(of_row).collect()
}

/// The gradient of upstream · Σᵣ [`cross_entropy`] by x: upstream · factorᵣ · (p_j − ε/V − (1 − ε)·\[j = y\]), p = softmax(xᵣ);
/// returns `[R, V]`.
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_gradient(
    x: &[f32],
    columns: usize,
    labels: &[u32],
    factors: &[f32],
    smoothing: f64,
    upstream: f32,
) -> Vec<f64> {
    super::expect_length("cross_entropy_gradient: factors", factors.len(), labels.len());
    let probabilities = super::softmax::softmax(x, [labels.len(), columns, 1]);
    let mut gradient = Vec::with_capacity(x.len());
    for (row, &label) in labels.iter().enumerate() {
        for column in 0..columns {
            let target =
                if column as u32 == label { 1.0 - smoothing } else { 0.0 } + smoothing / columns as f64;
            let slope = probabilities[row * columns + column] - target;
            let scale = f64::from(upstream) * f64::from(factors[row]);
            gradient.push(if label == IGNORED { 0.0 } else { scale * slope });
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    #[test]
    fn by_hand() {
        // Probabilities 1/2 and 1/2, and 1/4 and 3/4.
        let x = [0.0, 0.0, 0.0, 3_f32.ln()];
        let (two, four) = (2_f64.ln(), 4_f64.ln());
        assert_near(&cross_entropy(&x, 2, &[0, 0], &[1.0, 0.5], 0.0), &[two, 0.5 * four], 1e-7);
        // Half of the target on both.
        let smoothed = 0.5 * four + 0.5 * (0.5 * four + 0.5 * (four - 3_f64.ln()));
        assert_near(&cross_entropy(&x, 2, &[1, 0], &[0.0, 1.0], 0.5), &[0.0, smoothed], 1e-7);
        let gradient = cross_entropy_gradient(&x, 2, &[0, 0], &[1.0, 1.0], 0.0, 2.0);
        assert_near(&gradient, &[-1.0, 1.0, -1.5, 1.5], 1e-7);
        assert_near(&statistics(&x, 2, &[0, 1])[3..], &[3_f64.ln(), 1.0 / 3.0, 4.0 / 3.0], 1e-7);
        // A loss that is far below 1 keeps its digits.
        let small = cross_entropy(&[0.0, -40.0], 2, &[0], &[1.0], 0.0)[0];
        assert!((small / (-40_f64).exp() - 1.0).abs() < 1e-12, "{small}");
    }

    #[test]
    fn infinities_nan_and_what_is_ignored() {
        let (infinite, nan) = (f32::INFINITY, f32::NAN);
        let x = [nan, 1.0, -infinite, 0.0, -infinite, 0.0, 0.0, infinite, -infinite, -infinite];
        let losses = cross_entropy(&x, 2, &[IGNORED, 0, 1, 0, 0], &[1.0; 5], 0.0);
        assert_near(&losses, &[0.0, f64::INFINITY, 0.0, f64::NAN, f64::NAN], 0.0);
        assert_eq!(cross_entropy(&x[4..6], 2, &[1], &[1.0], 0.1), [f64::INFINITY]);
        assert_eq!(
            cross_entropy_gradient(&x[..4], 2, &[IGNORED, 0], &[1.0; 2], 0.0, 3.0),
            [0.0, 0.0, -3.0, 3.0]
        );
        assert!(cross_entropy(&[], 0, &[IGNORED], &[1.0], 0.0) == [0.0]);
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let mut random = Random(11);
        for (smoothing, columns) in [(0.0, 5), (0.3, 4), (1.0, 3)] {
            let x = coarse_values(&mut random, 3 * columns);
            let (factors, upstream) = (random.values(3), random.value());
            let labels = [1, IGNORED, 2];
            let loss = |x: &[f32]| {
                let losses = cross_entropy(x, columns, &labels, &factors, smoothing);
                losses.iter().sum::<f64>() * f64::from(upstream)
            };
            let gradient = cross_entropy_gradient(&x, columns, &labels, &factors, smoothing, upstream);
            let size = super::super::largest(&gradient);
            assert_near(&gradient, &numeric_gradient(&x, loss), 1e-7 * size);
        }
    }
}
