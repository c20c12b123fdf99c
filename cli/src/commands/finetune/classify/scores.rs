//! How good labels are.

/// The share of right labels, and the mean over labels of their F1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    pub accuracy: f64,
    pub macro_f1: f64,
}

/// Of labels that were found beside those that are right. As scikit-learn has it, the mean is over the labels that are there in either,
/// and the F1 of one, 2·right / (found + there), is 0 where none was found right.
pub fn score(found: &[u32], right: &[u32], labels: usize) -> Score {
    let mut counts = vec![[0_u64; 3]; labels];
    for (&found, &right) in found.iter().zip(right) {
        counts[found as usize][0] += 1;
        counts[right as usize][1] += 1;
        counts[right as usize][2] += u64::from(found == right);
    }
    let there = counts.iter().filter(|[found, there, _]| found + there > 0);
    let f1: Vec<f64> =
        there.map(|&[found, there, right]| 2.0 * right as f64 / (found + there) as f64).collect();
    let right: u64 = counts.iter().map(|[_, _, right]| right).sum();
    Score {
        accuracy: right as f64 / found.len().max(1) as f64,
        macro_f1: f1.iter().sum::<f64>() / f1.len().max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // f1_score([0, 0, 1, 2], [0, 1, 1, 1], average="macro"): 2/3, 1/2 and 0.
        let found = score(&[0, 1, 1, 1], &[0, 0, 1, 2], 5);
        assert_eq!(found.accuracy, 0.5);
        assert!((found.macro_f1 - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12, "{found:?}");
        assert_eq!(score(&[], &[], 3), Score { accuracy: 0.0, macro_f1: 0.0 });
    }
}
