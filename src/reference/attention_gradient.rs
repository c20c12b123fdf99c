//! The gradients of attention in f64.

use super::attention::Dims;
use super::{expect_length, largest};

/// The gradient of a softmax's logits from its weights w and their gradient u, rows of that many keys: w·(u − Σ w·u), 0 where w is 0,
/// whatever u is there.
pub fn logit_gradient(weights: &[f32], upstream: &[f32], keys: usize) -> Vec<f64> {
    expect_length("logit_gradient: upstream", upstream.len(), weights.len());
    let mut gradient = Vec::with_capacity(weights.len());
    for (weights, upstream) in weights.chunks_exact(keys.max(1)).zip(upstream.chunks_exact(keys.max(1))) {
        let product = |(&w, &u): (&f32, &f32)| if w == 0.0 { 0.0 } else { f64::from(w) * f64::from(u) };
        let sum: f64 = weights.iter().zip(upstream).map(product).sum();
        let of_key =
            |(&w, &u): (&f32, &f32)| if w == 0.0 { 0.0 } else { f64::from(w) * (f64::from(u) - sum) };
        gradient.extend(weights.iter().zip(upstream).map(of_key));
    }
    gradient
}

/// The gradients of attention's queries, keys and values.
#[derive(Debug)]
pub struct Gradients {
    /// `[B, H, Lq, D]`.
    pub q: Vec<f64>,
    /// `[B, Hkv, Lk, D]`.
    pub k: Vec<f64>,
    /// `[B, Hkv, Lk, Dv]`.
    pub v: Vec<f64>,
    /// The largest sum of the terms' magnitudes, of each of the three: what rounding is measured by.
    pub magnitudes: [f64; 3],
}

/// The gradients of attention, from its weights P and the slopes of its logits along the products q · k, both `[B, H, Lq, Lk]`: dV = Pᵀ·u,
/// dS = P ⊙ (u·Vᵀ − Σ P ⊙ u·Vᵀ) ⊙ slopes, dQ = dS·K, dK = dSᵀ·Q (Dao et al. 2022, appendix B.2). q `[B, H, Lq, D]`, k `[B, Hkv, Lk, D]`,
/// v `[B, Hkv, Lk, Dv]` and the output's gradient u `[B, H, Lq, Dv]` are dense. A key that is not `allowed`, or has a weight of 0, takes no part.
///
/// # Panics
/// If a slice has another length.
pub fn gradients(
    [q, k, v, upstream]: [&[f32]; 4],
    weights: &[f64],
    slopes: &[f64],
    allowed: &[bool],
    dims: Dims,
) -> Gradients {
    let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = dims;
    expect_length("attention: q", q.len(), batch * heads * queries * head_dim);
    expect_length("attention: k", k.len(), batch * heads_kv * keys * head_dim);
    expect_length("attention: v", v.len(), batch * heads_kv * keys * value_dim);
    expect_length("attention: upstream", upstream.len(), batch * heads * queries * value_dim);
    for length in [weights.len(), slopes.len(), allowed.len()] {
        expect_length("attention: weights, slopes, allowed", length, dims.weights());
    }
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let mut made = [q.len(), k.len(), v.len()].map(|count| vec![0.0; count]);
    let mut sizes = made.clone();
    for row in 0..batch * heads * queries {
        let (item, head) = (row / queries / heads, row / queries % heads);
        let group = item * heads_kv + dims.head_kv(head);
        let key =
            |key: usize, columns: usize| (group * keys + key) * columns..(group * keys + key + 1) * columns;
        let [of_q, of_u] = [head_dim, value_dim].map(|columns| row * columns..(row + 1) * columns);
        let taken = || (0..keys).filter(|j| allowed[row * keys + j] && weights[row * keys + j] != 0.0);
        let of_weights: Vec<(usize, f64)> =
            taken().map(|j| (j, dot(&upstream[of_u.clone()], &v[key(j, value_dim)]))).collect();
        let mean: f64 = of_weights.iter().map(|(j, u)| weights[row * keys + j] * u).sum();
        for (j, u) in of_weights {
            let weight = weights[row * keys + j];
            let gradient = weight * (u - mean) * slopes[row * keys + j];
            let size = weight * (u.abs() + mean.abs()) * slopes[row * keys + j].abs();
            let mut add = |side: usize, to: std::ops::Range<usize>, factors: [f64; 2], values: &[f32]| {
                for (place, value) in to.zip(values) {
                    made[side][place] += factors[0] * f64::from(*value);
                    sizes[side][place] += factors[1] * f64::from(value.abs());
                }
            };
            add(0, of_q.clone(), [gradient, size], &k[key(j, head_dim)]);
            add(1, key(j, head_dim), [gradient, size], &q[of_q.clone()]);
            add(2, key(j, value_dim), [weight; 2], &upstream[of_u.clone()]);
        }
    }
    let magnitudes = sizes.map(|sizes| largest(&sizes));
    let [q, k, v] = made;
    Gradients { q, k, v, magnitudes }
}

/// The summands of Σ weights\[row, j\] · x\[row, :\] for each key j: of each place in y the sum over all rows, which are given by their
/// row of weights, where in x they begin, and the key-value head that they go to; `place` tells where a head's key begins in y. A
/// weight of 0 takes nothing.
pub fn transposed_values(
    weights: &[f32],
    x: &[f32],
    rows: &[(usize, usize, usize)],
    keys: usize,
    columns: usize,
    place: impl Fn(usize, usize) -> usize,
) -> Vec<(usize, f64)> {
    let mut groups: Vec<usize> = rows.iter().map(|&(.., group)| group).collect();
    groups.dedup();
    let mut sums = Vec::new();
    for group in groups {
        for key in 0..keys {
            for column in 0..columns {
                let terms = rows.iter().filter(|&&(.., own)| own == group).filter_map(|&(row, first, _)| {
                    let weight = weights[row * keys + key];
                    (weight != 0.0).then(|| f64::from(weight) * f64::from(x[first + column]))
                });
                sums.push((place(group, key) + column, terms.sum()));
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::attention::{
        Causal, Options, Strided, View, allowed, attention, scale_mask_softmax, scores, stage,
    };
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    /// Each gradient against central differences of Σ u ⊙ attention(q, k, v), with a softcap, a causal bound that leaves a row without keys,
    /// and heads that share their keys.
    #[test]
    fn gradients_are_central_differences() {
        let dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries: 3, keys: 5, head_dim: 4, value_dim: 3 };
        let bound = Causal::Offset(-1);
        let options = Options { softcap: 1.5, causal: bound, position: bound, ..Options::for_head_dim(4) };
        let mut random = Random(11);
        let inputs =
            [2 * 4 * 3 * 4, 2 * 2 * 5 * 4, 2 * 2 * 5 * 3].map(|count| coarse_values(&mut random, count));
        let upstream = coarse_values(&mut random, 2 * 4 * 3 * 3);
        fn views(inputs: [&[f32]; 3]) -> [View<'_>; 3] {
            let sizes = [[4, 3, 4], [2, 5, 4], [2, 5, 3]];
            std::array::from_fn(|side| {
                let [heads, rows, columns] = sizes[side];
                View::new(inputs[side], Strided::heads_first(heads, rows, columns))
            })
        }
        let [q, k, v] = inputs.each_ref().map(Vec::as_slice);
        let [q_view, k_view, _] = views([q, k, v]);
        let products = scores(q_view, k_view, dims);
        let weights = scale_mask_softmax(&products, dims, options);
        let capped = stage(&products, 1, dims, options);
        let slopes: Vec<f64> =
            capped.iter().map(|capped| options.scale * (1.0 - (capped / options.softcap).powi(2))).collect();
        let made = gradients([q, k, v, &upstream], &weights, &slopes, &allowed(dims, options), dims);
        for (side, made) in [made.q, made.k, made.v].into_iter().enumerate() {
            let expected = numeric_gradient(&inputs[side], |moved| {
                let mut inputs = [q, k, v];
                inputs[side] = moved;
                let [q, k, v] = views(inputs);
                let y = attention(q, k, v, dims, options);
                y.iter().zip(&upstream).map(|(y, u)| y * f64::from(*u)).sum()
            });
            assert!(largest(&made) > 0.1, "{side}: {made:?}");
            assert_near(&made, &expected, 1e-7);
        }
    }
}
