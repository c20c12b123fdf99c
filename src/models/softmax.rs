//! Softmax on the host, in f64.

/// log Σ exp(x); NaN if an element is.
pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().map(f64::from).fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() && !logits.iter().any(|logit| logit.is_nan()) {
        return largest;
    }
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    largest + sum.ln()
}

/// log softmax. What is at an infinite top shares all: where nothing is allowed, everything is alike.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let sum = log_sum_exp(logits);
    if sum.is_infinite() {
        let at_top = |logit: f32| f64::from(logit) == sum;
        let share = -(logits.iter().filter(|&&logit| at_top(logit)).count() as f64).ln();
        return logits.iter().map(|&logit| if at_top(logit) { share } else { f64::NEG_INFINITY }).collect();
    }
    logits.iter().map(|&logit| f64::from(logit) - sum).collect()
}

/// Softmax, rounded to f32; NaN where the largest is infinite, as PyTorch has it.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let sum = log_sum_exp(logits);
    let sum = if sum.is_infinite() { f64::NAN } else { sum };
    logits.iter().map(|&logit| (f64::from(logit) - sum).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_large_numbers_infinities_and_nan() {
        let found = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(found, [0.5, 0.5, 0.0]);
        assert!((log_sum_exp(&[0.0, 0.0]) - 2_f64.ln()).abs() < 1e-15);
        for logits in [[f32::NAN, 0.0], [f32::NEG_INFINITY, f32::NAN], [f32::INFINITY, f32::NAN]] {
            assert!(softmax(&logits).iter().all(|value| value.is_nan()));
        }
        for logits in [[f32::NEG_INFINITY; 2], [f32::INFINITY, 3.0]] {
            assert!(softmax(&logits).iter().all(|value| value.is_nan()));
        }
        assert_eq!(softmax(&[f32::NEG_INFINITY, 3.0]), [0.0, 1.0]);
        let half = 0.5_f64.ln();
        assert_eq!(log_softmax(&[f32::NEG_INFINITY; 2]), [half; 2]);
        assert_eq!(log_softmax(&[f32::INFINITY, 3.0, f32::INFINITY]), [half, f64::NEG_INFINITY, half]);
        assert!(softmax(&[]).is_empty());
    }
}
