//! Additive attention by nested loops and a two-pass softmax.

use super::{expect_length, in_f32};

/// The sizes of an additive attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B: items, each with keys of its own.
    pub items: usize,
    /// Lq: queries of each item.
    pub queries: usize,
    /// Lk: keys of each item, padding included.
    pub keys: usize,
    /// A: the columns of q and k.
    pub width: usize,
    /// Dv: the columns of v.
    pub value_dim: usize,
}

/// The results of an additive attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Attended {
    /// `[B, Lq, Dv]`.
    pub output: Vec<f64>,
    /// `[B, Lq, Lk]`.
    pub weights: Vec<f64>,
}

/// weightsᵢⱼ = softmaxⱼ(Σ_a w\[a\]·tanh(q\[i, a\] + k\[j, a\])), outputᵢ = Σⱼ weightsᵢⱼ·vⱼ over the first `lengths[b]` keys of
/// each item (all of them without lengths). q is `[B, Lq, A]`, k `[B, Lk, A]`, v `[B, Lk, Dv]`, w `[A]`.
///
/// Bahdanau et al. 2015 (*Neural Machine Translation by Jointly Learning to Align and Translate*), appendix A.1.2, with
/// the projections done. A score beyond f32's range is infinite. Masked keys never contribute, whatever they hold; a query without keys has weights and an output
/// of 0; a NaN or +∞ among its scores makes its weights NaN, and so do scores that are all −∞.
///
/// # Panics
/// If a slice has another length.
pub fn additive(q: &[f32], k: &[f32], v: &[f32], w: &[f32], lengths: Option<&[u32]>, dims: Dims) -> Attended {
    let Dims { items, queries, keys, width, value_dim } = dims;
    expect_length("additive: q", q.len(), items * queries * width);
    expect_length("additive: k", k.len(), items * keys * width);
    expect_length("additive: v", v.len(), items * keys * value_dim);
    expect_length("additive: w", w.len(), width);
    let mut attended = Attended {
        output: vec![0.0; items * queries * value_dim],
        weights: vec![0.0; items * queries * keys],
    };
    for row in 0..items * queries {
        let item = row / queries;
        let there = lengths.map_or(keys, |lengths| keys.min(lengths[item] as usize));
        let score = |key: usize| -> f64 {
            let products = (0..width).map(|a| {
                let x = f64::from(q[row * width + a]) + f64::from(k[(item * keys + key) * width + a]);
                f64::from(w[a]) * x.tanh()
            });
            in_f32(products.sum())
        };
        let scores: Vec<f64> = (0..there).map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        let weights = &mut attended.weights[row * keys..][..keys];
        if there > 0 && sum.is_nan() {
            weights.fill(f64::NAN);
        }
        for (weight, score) in weights.iter_mut().zip(&scores) {
            *weight = (score - largest).exp() / sum;
        }
        for (column, output) in attended.output[row * value_dim..][..value_dim].iter_mut().enumerate() {
            let value = |key: usize| f64::from(v[(item * keys + key) * value_dim + column]);
            *output = (0..there).map(|key| weights[key] * value(key)).sum();
        }
    }
    attended
}

/// The gradients of additive scores: of a side, and of w in parts, a part for each element of the side.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreGradients {
    /// Of the queries, and w's parts, both `[B, Lq, A]`.
    pub of_queries: [Vec<f64>; 2],
    /// Of the keys, and w's parts, both `[B, Lk, A]`.
    pub of_keys: [Vec<f64>; 2],
}

/// The gradients of Σ g\[i, j\] · Σ_a w\[a\]·tanh(q\[i, a\] + k\[j, a\]), with g `[B, Lq, Lk]`; where g is 0, nothing is taken from q and k.
///
/// Pair by pair, by tanh′ = 1/cosh², each added to both sides. A NaN in a pair's g, or in its q + k, is in all that it is added to.
///
/// # Panics
/// If a slice has another length.
pub fn score_gradients(q: &[f32], k: &[f32], w: &[f32], g: &[f32], dims: Dims) -> ScoreGradients {
    let Dims { items, queries, keys, width, .. } = dims;
    expect_length("additive gradient: q", q.len(), items * queries * width);
    expect_length("additive gradient: k", k.len(), items * keys * width);
    expect_length("additive gradient: w", w.len(), width);
    expect_length("additive gradient: g", g.len(), items * queries * keys);
    let mut found = ScoreGradients {
        of_queries: [vec![0.0; q.len()], vec![0.0; q.len()]],
        of_keys: [vec![0.0; k.len()], vec![0.0; k.len()]],
    };
    for (pair, &g) in g.iter().enumerate().filter(|(_, g)| **g != 0.0) {
        let (query, key) = (pair / keys, pair / (queries * keys) * keys + pair % keys);
        for (column, &w) in w.iter().enumerate() {
            let places = [query * width + column, key * width + column];
            let x = f64::from(q[places[0]]) + f64::from(k[places[1]]);
            let g = f64::from(g);
            let of = [g * f64::from(w) / x.cosh().powi(2), g * x.tanh()];
            for (side, place) in [&mut found.of_queries, &mut found.of_keys].into_iter().zip(places) {
                side.iter_mut().zip(of).for_each(|(sums, of)| sums[place] += of);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    #[test]
    fn by_hand() {
        // One query, two keys: scores 2·tanh(0) = 0 and 2·tanh(1).
        let dims = Dims { items: 1, queries: 1, keys: 2, width: 1, value_dim: 2 };
        let got = additive(&[0.5], &[-0.5, 0.5], &[1.0, 0.0, 0.0, 1.0], &[2.0], None, dims);
        let e = (2.0 * 1.0_f64.tanh()).exp();
        assert_near(&got.weights, &[1.0 / (1.0 + e), e / (1.0 + e)], 1e-15);
        assert_near(&got.output, &got.weights, 0.0);
    }

    #[test]
    fn two_columns_of_the_width_are_summed() {
        let dims = Dims { items: 1, queries: 1, keys: 2, width: 2, value_dim: 1 };
        let got = additive(&[0.0, 0.0], &[1.0, 2.0, -1.0, 0.0], &[3.0, -1.0], &[0.5, -1.0], None, dims);
        let [a, b] = [0.5 * 1.0_f64.tanh() - 2.0_f64.tanh(), -0.5 * 1.0_f64.tanh()].map(f64::exp);
        assert_near(&got.output, &[(3.0 * a - b) / (a + b)], 1e-15);
    }

    #[test]
    fn lengths_and_strange_scores() {
        let nan = f32::NAN;
        let dims = Dims { items: 3, queries: 1, keys: 2, width: 1, value_dim: 1 };
        let k = [1.0, nan, 0.0, nan, nan, nan];
        let got =
            additive(&[0.0, 0.0, 0.0], &k, &[5.0, nan, 1.0, 1.0, nan, nan], &[1.0], Some(&[1, 2, 0]), dims);
        assert_near(&got.output, &[5.0, f64::NAN, 0.0], 0.0);
        assert_near(&got.weights, &[1.0, 0.0, f64::NAN, f64::NAN, 0.0, 0.0], 0.0);
        let dims = Dims { items: 1, ..dims };
        let got = additive(&[1.0], &[0.0, 0.0], &[0.0, 0.0], &[f32::NEG_INFINITY], None, dims);
        assert_near(&got.weights, &[f64::NAN; 2], 0.0);
    }

    #[test]
    fn score_gradients_are_central_differences() {
        let dims = Dims { items: 2, queries: 2, keys: 3, width: 2, value_dim: 0 };
        let mut random = Random(8);
        let (queries, keys) = (8, 12);
        let all = coarse_values(&mut random, queries + keys + 2);
        let mut g = random.values(12);
        g[4] = 0.0;
        let loss = |all: &[f32]| -> f64 {
            let (q, rest) = all.split_at(queries);
            let (k, w) = rest.split_at(keys);
            let pairs = g.iter().enumerate().flat_map(|(pair, g)| (0..2).map(move |a| (pair, g, a)));
            let term = |(pair, g, a): (usize, &f32, usize)| {
                let (query, key) = (pair / 3, pair / 6 * 3 + pair % 3);
                let x = f64::from(q[query * 2 + a]) + f64::from(k[key * 2 + a]);
                f64::from(*g) * f64::from(w[a]) * x.tanh()
            };
            pairs.map(term).sum()
        };
        let [q, k, w] = [&all[..queries], &all[queries..][..keys], &all[queries + keys..]];
        let found = score_gradients(q, k, w, &g, dims);
        let of_w = |parts: &[f64]| [0, 1].map(|a| parts.iter().skip(a).step_by(2).sum::<f64>());
        let [[of_queries, parts], [of_keys, same]] = [found.of_queries, found.of_keys];
        let got = [of_queries, of_keys, of_w(&parts).to_vec()].concat();
        assert_near(&got, &numeric_gradient(&all, loss), 1e-7);
        assert_near(&of_w(&parts), &of_w(&same), 1e-12);
    }

    #[test]
    fn a_gradient_of_0_takes_nothing() {
        let dims = Dims { items: 1, queries: 1, keys: 2, width: 1, value_dim: 0 };
        let found = score_gradients(&[0.5], &[f32::NAN, -0.5], &[3.0], &[0.0, 2.0], dims);
        assert_near(&found.of_queries[0], &[6.0], 1e-15);
        assert_near(&found.of_keys[0], &[0.0, 6.0], 1e-15);
        let found = score_gradients(&[0.5], &[f32::NAN, -0.5], &[3.0], &[1.0, 2.0], dims);
        assert_near(&found.of_queries[0], &[f64::NAN], 0.0);
        assert_near(&found.of_keys[0], &[f64::NAN, 6.0], 1e-15);
    }
}
