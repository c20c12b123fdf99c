//! Scaled dot-product attention by nested loops and a two-pass softmax.
//!
//! Vaswani et al. 2017 (*Attention Is All You Need*), equation 1: softmax(scale·Q·Kᵀ + mask)·V, here in its
//! three steps [`scores`], [`scale_mask_softmax`] and [`weighted_values`], and whole as [`attention`].
//!
//! **Which keys take part.** A key is allowed for a query if the causal bound, the key length and the mask all
//! allow it ([`allowed`]). A key that is not allowed never contributes, whatever lies in its scores, K or V
//! (NaN and infinity too). A query without any allowed key has weights and an output of 0.
//!
//! **NaN and infinity.** In what a query may attend to they reach its output, as IEEE 754 takes them through
//! the plain formula: a NaN or +∞ among its allowed scores makes the whole row of weights NaN (∞ − ∞ for +∞), and
//! a row whose allowed scores are all −∞ is NaN too. An allowed weight of 0 lets a NaN or an infinity in V
//! through (0·∞ = NaN). Where an f32 exp underflows to 0 and the f64 one does not, f32 gives NaN and f64 ∞ from
//! the same infinity in V: a test that puts an infinity there should keep the scores close together.
//!
//! **Every finite score is a score.** A mask of f32's lowest number for all keys of a row gives the mean of V, as in PyTorch;
//! the sum of two is −∞, as in f32, and beyond 2²⁴ sums are rounded as f32 rounds them.

use super::{expect_length, in_f32};
use crate::per_head::PerHead;

/// The sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// B.
    pub batch: usize,
    /// H: the heads of Q.
    pub heads: usize,
    /// Hkv: the heads of K and V; H is a multiple of it. Head h reads K and V head h / (H / Hkv): all their own
    /// (MHA) for Hkv = H, grouped (GQA, Ainslie et al. 2023) below, one for all (MQA, Shazeer 2019) for 1.
    pub heads_kv: usize,
    /// Lq: the rows of Q.
    pub queries: usize,
    /// Lk: the rows of K and V.
    pub keys: usize,
    /// D: the columns of Q and K.
    pub head_dim: usize,
    /// Dv: the columns of V.
    pub value_dim: usize,
}

impl Dims {
    /// The head of K and V that head `head` of Q reads.
    pub(super) fn head_kv(&self, head: usize) -> usize {
        head / (self.heads / self.heads_kv)
    }

    fn check(&self) {
        assert!(
            self.heads == 0 || (self.heads_kv > 0 && self.heads.is_multiple_of(self.heads_kv)),
            "attention: heads must be a multiple of heads_kv, but they are {} and {}",
            self.heads,
            self.heads_kv
        );
    }

    pub(super) fn weights(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys
    }
}

/// Where the rows of a tensor lie: element (b, h, l, d) is at `offset` + b·`batch` + h·`head` + l·`row` + d.
/// All in elements; the last dimension is contiguous. A stride of 0 repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strided {
    /// The first element.
    pub offset: usize,
    /// From one batch entry to the next.
    pub batch: usize,
    /// From one head to the next.
    pub head: usize,
    /// From one row to the next.
    pub row: usize,
}

impl Strided {
    /// A contiguous `[B, heads, rows, columns]`.
    pub fn heads_first(heads: usize, rows: usize, columns: usize) -> Self {
        Self { offset: 0, batch: heads * rows * columns, head: rows * columns, row: columns }
    }

    /// A contiguous `[B, rows, heads, columns]`, as a linear layer writes it.
    pub fn rows_first(heads: usize, rows: usize, columns: usize) -> Self {
        Self { offset: 0, batch: rows * heads * columns, head: columns, row: heads * columns }
    }

    /// Part `part` of `parts` (0 for Q, 1 for K, 2 for V of 3) of a packed `[B, rows, parts, heads, columns]`.
    pub fn packed(part: usize, parts: usize, heads: usize, rows: usize, columns: usize) -> Self {
        let width = heads * columns;
        Self { offset: part * width, batch: rows * parts * width, head: columns, row: parts * width }
    }

    fn start(&self, batch: usize, head: usize, row: usize) -> usize {
        self.offset + batch * self.batch + head * self.head + row * self.row
    }
}

/// A tensor of four dimensions: its elements, and where its rows lie in them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The elements; more than the rows cover may be there.
    pub data: &'a [f32],
    /// Where the rows lie.
    pub at: Strided,
}

impl<'a> View<'a> {
    /// `data` at `at`.
    pub fn new(data: &'a [f32], at: Strided) -> Self {
        Self { data, at }
    }

    /// One row of `columns` elements.
    fn row(&self, batch: usize, head: usize, row: usize, columns: usize) -> &'a [f32] {
        &self.data[self.at.start(batch, head, row)..][..columns]
    }

    /// Panics unless all rows lie inside.
    fn check(&self, what: &str, batch: usize, heads: usize, rows: usize, columns: usize) {
        if batch * heads * rows * columns == 0 {
            return;
        }
        let needed = self.at.start(batch - 1, heads - 1, rows - 1) + columns;
        let found = self.data.len();
        assert!(
            needed <= found,
            "attention: {what} needs {needed} elements for its strides, but has {found}"
        );
    }
}

/// Which keys the order of the sequence allows: key j for query i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Causal {
    /// Every key.
    #[default]
    None,
    /// j ≤ i: the first query sees the first key (PyTorch's `is_causal`).
    TopLeft,
    /// j ≤ i + n − Lq, n the keys of the batch item (its key length, else Lk): the last query sees the last key
    /// (FlashAttention since 2.1). With Lq > n, the first Lq − n queries see none.
    BottomRight,
    /// j ≤ i + offset: query 0 stands at position `offset` of the keys (ONNX's, by the length of its cache).
    Offset(isize),
}

impl Causal {
    /// Where query 0 stands among the keys; 0 for [`Causal::None`].
    fn shift(self, queries: usize, keys: usize) -> isize {
        match self {
            Self::None | Self::TopLeft => 0,
            Self::BottomRight => keys as isize - queries as isize,
            Self::Offset(offset) => offset,
        }
    }
}

/// A mask over (batch, head, query, key). Element (b, h, i, j) is at b·s₀ + h·s₁ + i·s₂ + j·s₃ of its data; a
/// stride of 0 broadcasts along that dimension.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// Every key takes part.
    #[default]
    None,
    /// A key takes part where the element is not 0.
    Bool {
        /// The elements.
        data: &'a [u32],
        /// The strides s₀ to s₃.
        strides: [usize; 4],
    },
    /// The element is added to the scaled score; −∞ masks the key out.
    Float {
        /// The elements.
        data: &'a [f32],
        /// The strides s₀ to s₃.
        strides: [usize; 4],
    },
}

/// The options of [`scale_mask_softmax`].
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The factor of the scores; 1/√D in equation 1 (see [`Options::for_head_dim`]).
    pub scale: f64,
    /// c in c·tanh(s / c), applied to the scaled scores before anything is added (Gemma 2); 0 for none.
    pub softcap: f64,
    /// The causal bound.
    pub causal: Causal,
    /// Where queries stand among the keys, for the window and the slopes.
    pub position: Causal,
    /// A query at position p sees the keys p − left to p + right (Beltagy et al. 2020).
    pub window: [Option<usize>; 2],
    /// `[H]` each.
    pub per_head: PerHead<Option<&'a [f32]>>,
    /// `[H, 2r + 1]`: element \[h, r + d\] is added to the score of a key at distance d = j − p, from −r to r, which
    /// also stand for what is further away (Raffel et al. 2020, section 2.1).
    pub relative: Option<&'a [f32]>,
    /// `[B]`: key j takes part if j < `key_lengths[b]`. A length above Lk is as Lk.
    pub key_lengths: Option<&'a [u32]>,
    /// The mask.
    pub mask: Mask<'a>,
}

impl Options<'_> {
    /// A scale of 1/√D, and every key takes part.
    pub fn for_head_dim(head_dim: usize) -> Self {
        let scale = 1.0 / (head_dim as f64).sqrt();
        Self {
            scale,
            softcap: 0.0,
            causal: Causal::None,
            position: Causal::None,
            window: [None; 2],
            per_head: PerHead::default(),
            relative: None,
            key_lengths: None,
            mask: Mask::None,
        }
    }

    fn check(&self, dims: Dims) {
        dims.check();
        if let Some(lengths) = self.key_lengths {
            expect_length("attention: key_lengths", lengths.len(), dims.batch);
        }
        let (strides, found) = match self.mask {
            Mask::None => return,
            Mask::Bool { data, strides } => (strides, data.len()),
            Mask::Float { data, strides } => (strides, data.len()),
        };
        if dims.weights() == 0 {
            return;
        }
        let last = [dims.batch - 1, dims.heads - 1, dims.queries - 1, dims.keys - 1];
        let needed = mask_index(strides, last) + 1;
        assert!(needed <= found, "attention: mask needs {needed} elements for its strides, but has {found}");
    }

    fn allows(&self, dims: Dims, at: [usize; 4]) -> bool {
        let [b, _, i, j] = at;
        let at_most = |shift: isize, more: usize| {
            j as isize <= (i as isize).saturating_add(shift).saturating_add(more as isize)
        };
        let keys = self.keys_of(dims, b);
        let by_order = self.causal == Causal::None || at_most(self.causal.shift(dims.queries, keys), 0);
        let position = self.position_of(dims, b, i);
        let [left, right] = self.window;
        let by_window = left.is_none_or(|left| j as isize >= position.saturating_sub(left as isize))
            && right.is_none_or(|right| j as isize <= position.saturating_add(right as isize));
        let by_length = j < keys;
        let by_mask = match self.mask {
            Mask::None => true,
            Mask::Bool { data, strides } => data[mask_index(strides, at)] != 0,
            Mask::Float { data, strides } => data[mask_index(strides, at)] != f32::NEG_INFINITY,
        };
        by_order && by_window && by_length && by_mask
    }

    /// The keys of a batch item.
    fn keys_of(&self, dims: Dims, batch: usize) -> usize {
        self.key_lengths.map_or(dims.keys, |lengths| dims.keys.min(lengths[batch] as usize))
    }

    /// Where a query stands among the keys.
    fn position_of(&self, dims: Dims, batch: usize, query: usize) -> isize {
        (query as isize).saturating_add(self.position.shift(dims.queries, self.keys_of(dims, batch)))
    }

    /// The score that softmax takes.
    fn logit(&self, product: f64, dims: Dims, at: [usize; 4]) -> f64 {
        let [b, h, i, j] = at;
        let by_mask = match self.mask {
            Mask::Float { data, strides } => f64::from(data[mask_index(strides, at)]),
            _ => 0.0,
        };
        let by_distance = self.per_head.alibi_slopes.map_or(0.0, |slopes| {
            f64::from(slopes[h]) * (self.position_of(dims, b, i) - j as isize).unsigned_abs() as f64
        });
        let by_table = self.relative.map_or(0.0, |table| {
            let distances = table.len() / dims.heads;
            let reach = (distances / 2) as isize;
            let distance = j as isize - self.position_of(dims, b, i);
            // By the nearest distance that the table has.
            let nearest = (-reach..=reach).min_by_key(|known| known.abs_diff(distance)).unwrap_or(0);
            f64::from(table[h * distances + (nearest + reach) as usize])
        });
        [-by_distance, by_table, by_mask]
            .into_iter()
            .fold(self.score(product, h), |sum, bias| in_f32(sum + bias))
    }

    fn scaled(&self, product: f64, head: usize) -> f64 {
        self.per_head.head_scales.map_or(1.0, |scales| f64::from(scales[head])) * self.scale * product
    }

    /// The scaled and softcapped score.
    fn score(&self, product: f64, head: usize) -> f64 {
        let score = in_f32(self.scaled(product, head));
        if self.softcap == 0.0 { score } else { self.softcap * (score / self.softcap).tanh() }
    }
}

fn mask_index(strides: [usize; 4], at: [usize; 4]) -> usize {
    strides.iter().zip(at).map(|(stride, index)| stride * index).sum()
}

/// scores\[b, h, i, j\] = Σ_d q\[b, h, i, d\]·k\[b, h / (H/Hkv), j, d\], neither scaled nor masked; returns
/// `[B, H, Lq, Lk]`.
///
/// The Q·Kᵀ of Vaswani et al. 2017, equation 1. `q` is `[B, H, Lq, D]`, `k` `[B, Hkv, Lk, D]` at their strides.
///
/// # Panics
/// If a view's strides lead out of its data, or H is not a multiple of Hkv.
pub fn scores(q: View, k: View, dims: Dims) -> Vec<f64> {
    dims.check();
    q.check("q", dims.batch, dims.heads, dims.queries, dims.head_dim);
    k.check("k", dims.batch, dims.heads_kv, dims.keys, dims.head_dim);
    let mut scores = Vec::with_capacity(dims.weights());
    // Without columns there is no row to find.
    if dims.head_dim == 0 {
        scores.resize(dims.weights(), 0.0);
        return scores;
    }
    for b in 0..dims.batch {
        for h in 0..dims.heads {
            for i in 0..dims.queries {
                let query = q.row(b, h, i, dims.head_dim);
                for j in 0..dims.keys {
                    let key = k.row(b, dims.head_kv(h), j, dims.head_dim);
                    scores.push(query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum());
                }
            }
        }
    }
    scores
}

/// Whether key j takes part for query i, for each (b, h, i, j) `[B, H, Lq, Lk]`: what the causal bound, the key
/// length and the mask (a float mask of −∞ too) all allow.
///
/// # Panics
/// If the mask's strides lead out of its data, or `key_lengths` has not B elements.
pub fn allowed(dims: Dims, options: Options) -> Vec<bool> {
    options.check(dims);
    let mut allowed = Vec::with_capacity(dims.weights());
    for b in 0..dims.batch {
        for h in 0..dims.heads {
            for i in 0..dims.queries {
                allowed.extend((0..dims.keys).map(|j| options.allows(dims, [b, h, i, j])));
            }
        }
    }
    allowed
}

/// The maximum of a row's logits and of its sink, and the sum of their exponentials over that maximum.
fn maximum_and_sum(row: &[(usize, f64)], head: usize, options: Options) -> (f64, f64) {
    let sink = options.per_head.sinks.map(|sinks| f64::from(sinks[head]));
    let logits = || row.iter().map(|(_, s)| *s).chain(sink);
    // f64::max drops a NaN here, but then the sum is NaN.
    let maximum = logits().fold(f64::NEG_INFINITY, f64::max);
    (maximum, logits().map(|s| (s - maximum).exp()).sum())
}

/// log Σⱼ exp(sⱼ) over the allowed keys, and the sink where there is one; returns `[B, H, Lq]`. −∞ for a row that
/// allows none, NaN where [`scale_mask_softmax`] gives NaN.
///
/// # Panics
/// As [`scale_mask_softmax`].
pub fn log_sum_exp(scores: &[f64], dims: Dims, options: Options) -> Vec<f64> {
    expect_length("attention: scores", scores.len(), dims.weights());
    let allowed = allowed(dims, options);
    let mut sums = Vec::with_capacity(dims.batch * dims.heads * dims.queries);
    for [b, h, i] in (0..dims.batch * dims.heads * dims.queries).map(|at| {
        let (rest, i) = (at / dims.queries, at % dims.queries);
        [rest / dims.heads, rest % dims.heads, i]
    }) {
        let start = ((b * dims.heads + h) * dims.queries + i) * dims.keys;
        let row: Vec<(usize, f64)> = (0..dims.keys)
            .filter(|j| allowed[start + j])
            .map(|j| (j, options.logit(scores[start + j], dims, [b, h, i, j])))
            .collect();
        let (maximum, sum) = maximum_and_sum(&row, h, options);
        let nothing = row.is_empty() && options.per_head.sinks.is_none();
        sums.push(if nothing { f64::NEG_INFINITY } else { maximum + sum.ln() });
    }
    sums
}

/// A stage of the scores, as ONNX's `qk_matmul_output_mode` numbers them: 0 scaled, 1 softcapped, 2 biased (−∞ where
/// masked out), 3 weights; returns `[B, H, Lq, Lk]`.
///
/// # Panics
/// As [`scale_mask_softmax`].
pub fn stage(scores: &[f64], stage: u32, dims: Dims, options: Options) -> Vec<f64> {
    if stage == 3 {
        return scale_mask_softmax(scores, dims, options);
    }
    let allowed = allowed(dims, options);
    let at = |place: usize| {
        let (row, j) = (place / dims.keys, place % dims.keys);
        let (rest, i) = (row / dims.queries, row % dims.queries);
        [rest / dims.heads, rest % dims.heads, i, j]
    };
    let value = |(place, score): (usize, &f64)| match stage {
        0 => in_f32(options.scaled(*score, at(place)[1])),
        1 => options.score(*score, at(place)[1]),
        _ if allowed[place] => options.logit(*score, dims, at(place)),
        _ => f64::NEG_INFINITY,
    };
    scores.iter().enumerate().map(value).collect()
}

/// weights\[b, h, i, j\] = exp(sⱼ − m) / Σⱼ' exp(sⱼ' − m) over the allowed keys, with
/// sⱼ = softcap(scale·τ\[h\]·scores\[b, h, i, j\]) + mask\[b, h, i, j\] − slope·|p − j| and m = maxⱼ sⱼ, a sink in the sum
/// where there is one; returns `[B, H, Lq, Lk]`.
///
/// The softmax of Vaswani et al. 2017, equation 1, in two passes over the row. Keys that are not allowed have a
/// weight of 0, and so have all keys of a row that allows none. A NaN or +∞ among the allowed s makes the whole
/// row NaN, its other keys included; so do allowed s that are all −∞.
///
/// # Panics
/// If `scores` has not B·H·Lq·Lk elements, and as [`allowed`].
pub fn scale_mask_softmax(scores: &[f64], dims: Dims, options: Options) -> Vec<f64> {
    expect_length("attention: scores", scores.len(), dims.weights());
    let allowed = allowed(dims, options);
    let mut weights = vec![0.0; scores.len()];
    for b in 0..dims.batch {
        for h in 0..dims.heads {
            for i in 0..dims.queries {
                let start = ((b * dims.heads + h) * dims.queries + i) * dims.keys;
                let row: Vec<(usize, f64)> = (0..dims.keys)
                    .filter(|j| allowed[start + j])
                    .map(|j| (j, options.logit(scores[start + j], dims, [b, h, i, j])))
                    .collect();
                let (maximum, sum) = maximum_and_sum(&row, h, options);
                if sum.is_nan() {
                    weights[start..start + dims.keys].fill(f64::NAN);
                    continue;
                }
                for (j, s) in row {
                    weights[start + j] = (s - maximum).exp() / sum;
                }
            }
        }
    }
    weights
}

/// y\[b, h, i, d\] = Σⱼ weights\[b, h, i, j\]·v\[b, h / (H/Hkv), j, d\]; returns `[B, H, Lq, Dv]`
/// ([`rows_first`] permutes it).
///
/// The product with V of Vaswani et al. 2017, equation 1. `weights` is `[B, H, Lq, Lk]`, `v` `[B, Hkv, Lk, Dv]` at its
/// strides. With `allowed` `[B, H, Lq, Lk]` (of [`allowed()`]) the sum runs over the allowed keys only, so that a
/// NaN or an infinity in V of another key does not come through its weight of 0; without, over all.
///
/// # Panics
/// If a slice has another length, or the strides of `v` lead out of its data.
pub fn weighted_values(weights: &[f64], v: View, allowed: Option<&[bool]>, dims: Dims) -> Vec<f64> {
    dims.check();
    expect_length("attention: weights", weights.len(), dims.weights());
    if let Some(allowed) = allowed {
        expect_length("attention: allowed", allowed.len(), dims.weights());
    }
    v.check("v", dims.batch, dims.heads_kv, dims.keys, dims.value_dim);
    let mut y = vec![0.0; dims.batch * dims.heads * dims.queries * dims.value_dim];
    if dims.value_dim == 0 {
        return y;
    }
    for b in 0..dims.batch {
        for h in 0..dims.heads {
            for i in 0..dims.queries {
                let query = (b * dims.heads + h) * dims.queries + i;
                let out = &mut y[query * dims.value_dim..][..dims.value_dim];
                for j in 0..dims.keys {
                    let at = query * dims.keys + j;
                    if !allowed.is_none_or(|allowed| allowed[at]) {
                        continue;
                    }
                    let values = v.row(b, dims.head_kv(h), j, dims.value_dim);
                    for (out, &value) in out.iter_mut().zip(values) {
                        *out += weights[at] * f64::from(value);
                    }
                }
            }
        }
    }
    y
}

/// softmax(scale·Q·Kᵀ + mask)·V, Vaswani et al. 2017, equation 1; returns `[B, H, Lq, Dv]`.
///
/// [`scores`], [`scale_mask_softmax`] and [`weighted_values`] one after the other, with their rules and shapes.
///
/// # Panics
/// As they do.
pub fn attention(q: View, k: View, v: View, dims: Dims, options: Options) -> Vec<f64> {
    let weights = scale_mask_softmax(&scores(q, k, dims), dims, options);
    weighted_values(&weights, v, Some(&allowed(dims, options)), dims)
}

/// `[B, H, Lq, Dv]` as `[B, Lq, H, Dv]`, the order in which a linear layer reads the heads side by side.
///
/// # Panics
/// If `values` has not B·H·Lq·Dv elements.
pub fn rows_first(values: &[f64], dims: Dims) -> Vec<f64> {
    let Dims { batch, heads, queries, value_dim, .. } = dims;
    expect_length("attention: values", values.len(), batch * heads * queries * value_dim);
    let mut permuted = Vec::with_capacity(values.len());
    for b in 0..batch {
        for i in 0..queries {
            for h in 0..heads {
                permuted
                    .extend_from_slice(&values[((b * heads + h) * queries + i) * value_dim..][..value_dim]);
            }
        }
    }
    permuted
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
