//! Sums along an axis.

use super::expect_length;

/// Σ x\[o, c, i\] over c, for each o and i of x `[O, C, I]`; returns `[O, I]`. The terms are added in the order of their
/// magnitudes, the smallest first.
///
/// # Panics
/// If x has another length.
pub fn sum(x: &[f32], dims: [usize; 3]) -> Vec<f64> {
    sum_blocks(x, dims, dims[1])
}

/// The same over each block of so many c, the last of which may have fewer: `[O, B, I]`, one block where C is 0.
///
/// # Panics
/// As [`sum`].
pub fn sum_blocks(x: &[f32], [outer, count, inner]: [usize; 3], block: usize) -> Vec<f64> {
    expect_length("sum: x", x.len(), outer * count * inner);
    let block = block.max(1);
    let blocks = count.div_ceil(block).max(1);
    let mut sums = Vec::with_capacity(outer * blocks * inner);
    for o in 0..outer {
        for b in 0..blocks {
            for i in 0..inner {
                let within = b * block..count.min((b + 1) * block);
                let mut terms: Vec<f64> = within.map(|c| f64::from(x[(o * count + c) * inner + i])).collect();
                terms.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
                // Not `Iterator::sum`, whose sum of nothing is −0.
                sums.push(terms.iter().fold(0.0, |sum, term| sum + term));
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // [2, 3, 2].
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, -2.0, -3.0, -4.0, 0.5, f32::NAN];
        let sums = sum(&x, [2, 3, 2]);
        assert_eq!(sums[..3], [9.0, 12.0, -3.5]);
        assert!(sums[3].is_nan());
        let sums = sum_blocks(&x, [2, 3, 2], 2);
        assert_eq!(sums[..7], [4.0, 6.0, 5.0, 6.0, -4.0, -6.0, 0.5]);
        assert_eq!(sum(&x[..6], [1, 6, 1]), [21.0]);
        assert_eq!(sum(&x[..6], [6, 1, 1]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(sum(&[f32::INFINITY, f32::NEG_INFINITY], [1, 2, 1])[0].is_nan());
    }

    #[test]
    fn small_terms_are_not_lost() {
        // 1e16 swallows a 1 that is added to it alone, even in f64.
        let mut x = vec![1.0_f32; 4096];
        x[0] = 1e16;
        assert_eq!(sum(&x, [1, 4096, 1])[0], f64::from(1e16_f32) + 4096.0);
    }

    #[test]
    fn sizes_of_zero() {
        assert_eq!(sum(&[], [2, 0, 1]), [0.0, 0.0]);
        assert!(sum(&[], [0, 3, 1]).is_empty());
        assert!(sum(&[], [2, 3, 0]).is_empty());
    }
}
