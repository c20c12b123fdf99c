//! Attention over channels, over space, and at sampled places.

use super::expect_length;

/// σ(bias + the convolution of two maps `[B, H, W]` with a weight `[2, k, k]`), zeros around them; returns `[B, H, W]`.
///
/// Woo et al. 2018 (*CBAM*), section 3.1. By scattering: each element of a map is added where a window meets it. A NaN in
/// a map spreads to its windows.
///
/// # Panics
/// If a slice has another length, or k is even.
pub fn spatial_attention(
    maps: [&[f32]; 2],
    weight: &[f32],
    bias: f32,
    [batch, height, width]: [usize; 3],
    window: usize,
) -> Vec<f64> {
    assert!(window % 2 == 1, "spatial_attention: the window must be odd, but is {window}");
    expect_length("spatial_attention: weight", weight.len(), 2 * window * window);
    let padding = (window / 2) as isize;
    let mut sums = vec![f64::from(bias); batch * height * width];
    for (map, weight) in maps.iter().zip(weight.chunks_exact(window * window)) {
        expect_length("spatial_attention: a map", map.len(), sums.len());
        for (place, &x) in map.iter().enumerate() {
            let (b, i, j) = (place / (height * width), place / width % height, place % width);
            for (at, &w) in weight.iter().enumerate() {
                let (u, v) = ((at / window) as isize, (at % window) as isize);
                // The window whose element (u, v) lies here has its middle there.
                let (row, column) = (i as isize - u + padding, j as isize - v + padding);
                if (0..height as isize).contains(&row) && (0..width as isize).contains(&column) {
                    sums[(b * height + row as usize) * width + column as usize] +=
                        f64::from(x) * f64::from(w);
                }
            }
        }
    }
    sums.into_iter().map(super::activation::sigmoid).collect()
}

/// The sizes of a deformable attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeformableDims {
    /// B.
    pub batch: usize,
    /// Q.
    pub queries: usize,
    /// H.
    pub heads: usize,
    /// D.
    pub head_dim: usize,
    /// P.
    pub points: usize,
}

/// Σ_l Σ_p A · v_l(φ_l(r) + Δ) (Zhu et al. 2021, *Deformable DETR*, equation 3); returns `[B, Q, H·D]`.
///
/// `values` is `[B, S, H, D]`, level after level of `shapes` (height, width); `references` `[B, Q, L, 2]`, or with boxes
/// `[B, Q, L, 4]`; `offsets` `[B, Q, H, L, P, 2]`, x before y; `weights` `[B, Q, H, L, P]`; `padding` `[B, S]`, 0 for
/// values that count as 0. Bilinear by its definition: every value of the level, weighted by the product of two hats
/// max(0, 1 − |distance|) around the location, in elements whose middles lie at halves. A NaN location makes its query's
/// head NaN.
///
/// # Panics
/// If a slice has another length.
pub fn deformable_attention(
    values: &[f32],
    shapes: &[[usize; 2]],
    (references, boxes): (&[f32], bool),
    offsets: &[f32],
    weights: &[f32],
    padding: Option<&[u32]>,
    dims: DeformableDims,
) -> Vec<f64> {
    let DeformableDims { batch, queries, heads, head_dim, points } = dims;
    let positions: usize = shapes.iter().map(|[height, width]| height * width).sum();
    let (levels, size) = (shapes.len(), if boxes { 4 } else { 2 });
    let sampled = batch * queries * heads * levels * points;
    expect_length("deformable_attention: values", values.len(), batch * positions * heads * head_dim);
    expect_length("deformable_attention: references", references.len(), batch * queries * levels * size);
    expect_length("deformable_attention: offsets", offsets.len(), 2 * sampled);
    expect_length("deformable_attention: weights", weights.len(), sampled);
    let mut output = vec![0.0; batch * queries * heads * head_dim];
    for b in 0..batch {
        for q in 0..queries {
            for h in 0..heads {
                let row = ((b * queries + q) * heads + h) * head_dim;
                let mut start = 0;
                for (l, &[height, width]) in shapes.iter().enumerate() {
                    let reference: Vec<f64> = references[((b * queries + q) * levels + l) * size..][..size]
                        .iter()
                        .map(|&part| part.into())
                        .collect();
                    for p in 0..points {
                        let point = (((b * queries + q) * heads + h) * levels + l) * points + p;
                        let middle = |axis: usize, extent: usize| {
                            let (offset, extent) = (f64::from(offsets[2 * point + axis]), extent as f64);
                            // A level may be empty: nothing is divided by its extent.
                            match boxes {
                                true => {
                                    (reference[axis] + offset / points as f64 * reference[2 + axis] * 0.5)
                                        * extent
                                }
                                false => reference[axis] * extent + offset,
                            }
                        };
                        let (x, y) = (middle(0, width), middle(1, height));
                        let hat = |index: usize, at: f64| (1.0 - (index as f64 + 0.5 - at).abs()).max(0.0);
                        let weight = f64::from(weights[point]);
                        for d in 0..head_dim {
                            let mut sample = if x.is_nan() || y.is_nan() { f64::NAN } else { 0.0 };
                            for i in 0..height {
                                for j in 0..width {
                                    let at = b * positions + start + i * width + j;
                                    if padding.is_none_or(|padding| padding[at] != 0) {
                                        let value = f64::from(values[(at * heads + h) * head_dim + d]);
                                        sample += hat(i, y) * hat(j, x) * value;
                                    }
                                }
                            }
                            output[row + d] += weight * sample;
                        }
                    }
                    start += height * width;
                }
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_meets_its_neighbours() {
        // One row of three; of each window the right neighbour of the mean, and the maximum itself.
        let mut weight = [0.0; 18];
        (weight[5], weight[9 + 4]) = (1.0, 10.0);
        let map = spatial_attention([&[1.0, 2.0, 3.0], &[0.1, 0.2, 0.3]], &weight, 0.5, [1, 1, 3], 3);
        let sums = [0.5 + 2.0 + 1.0, 0.5 + 3.0 + 2.0, 0.5 + 3.0];
        for (got, sum) in map.iter().zip(sums) {
            assert!((got - 1.0 / (1.0 + f64::exp(-sum))).abs() < 1e-7, "{got} {sum}");
        }
    }

    #[test]
    fn samples_by_hand() {
        // One level of 2 × 2: 1 2 / 4 8.
        let values = [1.0, 2.0, 4.0, 8.0];
        let dims = DeformableDims { batch: 1, queries: 1, heads: 1, head_dim: 1, points: 1 };
        let at = |reference: &[f32], offset: [f32; 2], padding: Option<&[u32]>| {
            let boxes = reference.len() == 4;
            deformable_attention(&values, &[[2, 2]], (reference, boxes), &offset, &[2.0], padding, dims)[0]
        };
        // The middle of all four; that of the first; half of it outside; far outside.
        assert_eq!(at(&[0.5, 0.5], [0.0, 0.0], None), 2.0 * 15.0 / 4.0);
        assert_eq!(at(&[0.5, 0.5], [-0.5, -0.5], None), 2.0);
        assert_eq!(at(&[0.0, 0.25], [0.0, 0.0], None), 2.0 * 0.5);
        assert_eq!(at(&[0.5, 0.5], [9.0, f32::NEG_INFINITY], None), 0.0);
        // x before y.
        assert_eq!(at(&[0.75, 0.25], [0.0, 0.0], None), 4.0);
        // From a box: half of its width to the right.
        assert_eq!(at(&[0.5, 0.25, 0.5, 0.0], [1.0, 7.0], None), 4.0);
        assert_eq!(at(&[0.5, 0.5], [0.0, 0.0], Some(&[1, 0, 1, 1])), 2.0 * 13.0 / 4.0);
        assert!(at(&[0.5, 0.5], [f32::NAN, 0.0], None).is_nan());
    }
}
