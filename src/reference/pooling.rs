//! Pooling of token vectors to one vector a sentence.

use super::expect_length;

/// Which pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The mean of the rows that take part.
    Mean,
    /// The first row.
    Cls,
    /// The largest value of each column among the rows that take part.
    Max,
}

/// The sizes of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B: sentences.
    pub batch: usize,
    /// L: rows of each sentence, padding included.
    pub length: usize,
    /// C: the columns of a row.
    pub columns: usize,
}

/// Pools `x` `[B, L, C]` over its rows; returns `[B, C]`.
///
/// Of sentence b the first n = `lengths[b]` rows take part (at most L); what lies in the others is not read.
/// - [`Kind::Mean`]: (Σ_{l<n} x\[b, l, c\]) / max(n, 1e-9)
/// - [`Kind::Cls`]: x\[b, 0, c\]
/// - [`Kind::Max`]: max_{l<n} x\[b, l, c\], NaN if one of them is NaN
///
/// With `normalize`, each result p then becomes p / max(‖p‖₂, 1e-12). A sentence of length 0 gives zeros, for
/// each kind. The forms and both clamps are those of Sentence-BERT's implementation (Reimers and Gurevych 2019,
/// section 3).
///
/// Lengths: `x` B·L·C, `lengths` B.
///
/// # Panics
/// If a slice has another length.
pub fn pool(x: &[f32], lengths: &[u32], kind: Kind, normalize: bool, dims: Dims) -> Vec<f64> {
    let Dims { batch, length, columns } = dims;
    expect_length("pool: x", x.len(), batch * length * columns);
    expect_length("pool: lengths", lengths.len(), batch);
    let mut pooled = vec![0.0; batch * columns];
    for b in 0..batch {
        let rows = length.min(lengths[b] as usize);
        if rows == 0 {
            continue;
        }
        let out = &mut pooled[b * columns..][..columns];
        for (c, out) in out.iter_mut().enumerate() {
            let column = (0..rows).map(|l| f64::from(x[(b * length + l) * columns + c]));
            *out = match kind {
                Kind::Mean => column.sum::<f64>() / (rows as f64).max(1e-9),
                Kind::Cls => f64::from(x[b * length * columns + c]),
                Kind::Max => column.fold(f64::NEG_INFINITY, |a, x| if x > a || x.is_nan() { x } else { a }),
            };
        }
        if normalize {
            let norm = out.iter().map(|p| p * p).sum::<f64>().sqrt();
            // Not f64::max, which would drop a NaN.
            let norm = if norm < 1e-12 { 1e-12 } else { norm };
            out.iter_mut().for_each(|p| *p /= norm);
        }
    }
    pooled
}

/// The gradient of Σ u·y by x `[B, L, C]`, y being what [`pool`] gives of it; returns `[B, L, C]`, zeros for rows that take no part.
///
/// The normalization by its whole Jacobian, (δⱼₖ − pⱼ·pₖ/‖p‖²)/‖p‖; where ‖p‖ is below 1e-12 it gives 0. Of several rows with the
/// largest value of a column the first has its gradient.
///
/// # Panics
/// If a slice has another length.
pub fn pool_gradient(
    x: &[f32],
    lengths: &[u32],
    upstream: &[f32],
    (kind, normalize): (Kind, bool),
    dims: Dims,
) -> Vec<f64> {
    let Dims { batch, length, columns } = dims;
    expect_length("pool_gradient: upstream", upstream.len(), batch * columns);
    let pooled = pool(x, lengths, kind, false, dims);
    let mut dx = vec![0.0; x.len()];
    for b in 0..batch {
        let p = &pooled[b * columns..][..columns];
        let u: Vec<f64> = upstream[b * columns..][..columns].iter().map(|&u| f64::from(u)).collect();
        let norm = p.iter().map(|p| p * p).sum::<f64>().sqrt();
        let rows = length.min(lengths[b] as usize);
        for j in 0..columns {
            let entry = |k: usize| {
                let one = if j == k { 1.0 } else { 0.0 };
                u[k] * (one - p[j] / norm * (p[k] / norm)) / norm
            };
            let g = match normalize {
                false => u[j],
                true if norm < 1e-12 => 0.0,
                true => (0..columns).map(entry).sum(),
            };
            let at = |l: usize| (b * length + l) * columns + j;
            let first = (0..rows).find(|&l| f64::from(x[at(l)]) == p[j]);
            for l in 0..rows {
                dx[at(l)] = match kind {
                    Kind::Mean => g / rows as f64,
                    Kind::Cls if l == 0 => g,
                    Kind::Max if first == Some(l) => g,
                    _ => 0.0,
                };
            }
        }
    }
    dx
}

/// The mean and the largest of x\[o, :, i\] for each o and i of x `[O, C, I]`; each `[O, I]`. A NaN among them makes both
/// NaN.
///
/// Hu et al. 2018 (*Squeeze-and-Excitation Networks*), equation 2, for the mean over space; Woo et al. 2018 (*CBAM*),
/// section 3.1, for both over space and over channels.
///
/// # Panics
/// If x has another length.
pub fn mean_max(x: &[f32], [outer, columns, inner]: [usize; 3]) -> [Vec<f64>; 2] {
    expect_length("mean_max: x", x.len(), outer * columns * inner);
    let (mut means, mut maxima) = (Vec::new(), Vec::new());
    for o in 0..outer {
        for i in 0..inner {
            let mut elements: Vec<f64> =
                (0..columns).map(|c| f64::from(x[(o * columns + c) * inner + i])).collect();
            means.push(elements.iter().sum::<f64>() / columns as f64);
            // Sorted with every NaN last.
            elements.sort_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
            maxima.push(elements.last().copied().unwrap_or(f64::NEG_INFINITY));
        }
    }
    [means, maxima]
}

#[cfg(test)]
mod tests {
    #[test]
    fn means_and_maxima_by_hand() {
        // [1, 3, 2]: the columns are 1, 3, 8 and 2, -1, NaN.
        let [mean, maximum] = super::mean_max(&[1.0, 2.0, 3.0, -1.0, 8.0, f32::NAN], [1, 3, 2]);
        assert_eq!((mean[0], maximum[0]), (4.0, 8.0));
        assert!(mean[1].is_nan() && maximum[1].is_nan());
        let [mean, maximum] = super::mean_max(&[f32::NEG_INFINITY, -2.0], [2, 1, 1]);
        assert_eq!((mean, maximum), (vec![f64::NEG_INFINITY, -2.0], vec![f64::NEG_INFINITY, -2.0]));
    }

    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Mean, Kind::Cls, Kind::Max];
    const DIMS: Dims = Dims { batch: 2, length: 3, columns: 2 };
    const X: [f32; 12] = [1.0, 2.0, 5.0, -4.0, 9.0, 9.0, -3.0, -1.0, -6.0, -2.0, -9.0, -6.0];

    #[test]
    fn by_hand() {
        assert_eq!(pool(&X, &[2, 3], Kind::Mean, false, DIMS), [3.0, -1.0, -6.0, -3.0]);
        assert_eq!(pool(&X, &[2, 3], Kind::Cls, false, DIMS), [1.0, 2.0, -3.0, -1.0]);
        assert_eq!(pool(&X, &[2, 3], Kind::Max, false, DIMS), [5.0, 2.0, -3.0, -1.0]);
    }

    #[test]
    fn the_gradients_are_those_of_differences() {
        let mut random = Random(61);
        let dims = Dims { batch: 3, length: 4, columns: 5 };
        let mut x = coarse_values(&mut random, 60);
        // The values of a column so far apart that no difference changes which is the largest.
        for (place, x) in x.iter_mut().enumerate() {
            *x += (place / 5 * 3 % 4) as f32 * 4.0;
        }
        let u = random.values(15);
        for kind in KINDS {
            for normalize in [false, true] {
                let lengths = [3, 0, 9];
                let weighted = |x: &[f32]| -> f64 {
                    let y = pool(x, &lengths, kind, normalize, dims);
                    y.iter().zip(&u).map(|(y, &u)| y * f64::from(u)).sum()
                };
                let got = pool_gradient(&x, &lengths, &u, (kind, normalize), dims);
                assert_near(&got, &numeric_gradient(&x, weighted), 1e-7);
            }
        }
    }

    #[test]
    fn gradients_at_ties_and_of_nothing() {
        let dims = Dims { batch: 1, length: 3, columns: 2 };
        let x = [1.0, 2.0, 3.0, 2.0, 3.0, -1.0];
        let dx = pool_gradient(&x, &[3], &[5.0, 7.0], (Kind::Max, false), dims);
        assert_eq!(dx, [0.0, 7.0, 5.0, 0.0, 0.0, 0.0]);
        let dx = pool_gradient(&[0.0; 6], &[3], &[5.0, 7.0], (Kind::Mean, true), dims);
        assert_eq!(dx, [0.0; 6]);
        assert!(
            pool_gradient(&[], &[5], &[1.0; 2], (Kind::Max, true), Dims { length: 0, ..dims }).is_empty()
        );
    }

    #[test]
    fn normalized_vectors_have_length_1() {
        let x = Random(5).values(4 * 6 * 9);
        let dims = Dims { batch: 4, length: 6, columns: 9 };
        for kind in KINDS {
            let plain = pool(&x, &[1, 3, 6, 5], kind, false, dims);
            let unit = pool(&x, &[1, 3, 6, 5], kind, true, dims);
            for (p, u) in plain.chunks(9).zip(unit.chunks(9)) {
                let norm = p.iter().map(|p| p * p).sum::<f64>().sqrt();
                assert_near(&[u.iter().map(|u| u * u).sum::<f64>()], &[1.0], 1e-14);
                assert_near(u, &p.iter().map(|p| p / norm).collect::<Vec<_>>(), 1e-15);
            }
        }
        // 3-4-5.
        let y = pool(&[3.0, -4.0], &[1], Kind::Cls, true, Dims { batch: 1, length: 1, columns: 2 });
        assert_near(&y, &[0.6, -0.8], 1e-15);
    }

    #[test]
    fn a_tiny_vector_is_divided_by_the_clamp() {
        let y = pool(&[1e-20], &[1], Kind::Mean, true, Dims { batch: 1, length: 1, columns: 1 });
        assert_near(&y, &[f64::from(1e-20f32) / 1e-12], 0.0);
    }

    #[test]
    fn padding_is_not_read() {
        let mut poisoned = X;
        poisoned[4] = f32::NAN;
        poisoned[11] = f32::INFINITY;
        for kind in KINDS {
            for normalize in [false, true] {
                let a = pool(&X, &[2, 2], kind, normalize, DIMS);
                assert_eq!(pool(&poisoned, &[2, 2], kind, normalize, DIMS), a);
            }
        }
    }

    #[test]
    fn nan_in_what_takes_part_comes_out() {
        for at in [0, 2, 4] {
            let mut x = X;
            x[at] = f32::NAN;
            for kind in [Kind::Mean, Kind::Max] {
                let y = pool(&x, &[3, 3], kind, false, DIMS);
                assert!(y[0].is_nan() && y[1].is_finite() && y[2].is_finite());
                // One NaN makes the norm NaN, and with it the whole vector.
                let y = pool(&x, &[3, 3], kind, true, DIMS);
                assert!(y[0].is_nan() && y[1].is_nan() && y[2].is_finite());
            }
        }
    }

    #[test]
    fn length_0_gives_zeros() {
        let dims = Dims { batch: 2, length: 1, columns: 2 };
        for kind in KINDS {
            for normalize in [false, true] {
                let y = pool(&[f32::NAN, 7.0, 0.0, 2.0], &[0, 1], kind, normalize, dims);
                assert_eq!(y, [0.0, 0.0, 0.0, if normalize { 1.0 } else { 2.0 }]);
                let none = Dims { batch: 1, length: 0, columns: 2 };
                assert_eq!(pool(&[], &[5], kind, normalize, none), [0.0, 0.0]);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_rows_takes_all_rows() {
        for kind in KINDS {
            assert_eq!(pool(&X, &[9, 3], kind, false, DIMS), pool(&X, &[3, 3], kind, false, DIMS));
        }
    }
}
