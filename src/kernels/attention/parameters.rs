//! The parameters that all attention kernels share, and what they say.

use crate::kernel::parameters;
use crate::per_head::PerHead;

/// "Not there", for places in a buffer and for the band's bounds.
pub const NONE: u32 = u32::MAX;

parameters! {
    /// Sizes, places in elements, and what rules keys out. Each kernel takes what it needs.
    pub struct Parameters {
        /// Batch items.
        pub batches: u32,
        /// Query heads.
        pub heads: u32,
        /// Query heads that share a key-value head.
        pub heads_per_key: u32,
        /// Queries, of the longest item.
        pub query_length: u32,
        /// Keys, of the longest item.
        pub key_length: u32,
        /// Elements of a query and of a key.
        pub head_dim: u32,
        /// Elements of a value.
        pub value_dim: u32,
        /// The first pair of batch item and head of this part (chain).
        pub first_batch_head: u32,
        /// Their number.
        pub batch_heads: u32,
        /// The first query of this part (chain).
        pub first_query: u32,
        /// Their number.
        pub queries: u32,
        /// The first tile of this dispatch (fused).
        pub first_tile: u32,
        /// Their number.
        pub tiles: u32,
        /// Splits of the keys; above 1, `merge` follows.
        pub splits: u32,
        /// Keys of a split: whole tiles.
        pub split_keys: u32,
        /// Where q begins.
        pub q_offset: u32,
        /// From one batch item to the next.
        pub q_batch: u32,
        /// From one head to the next.
        pub q_head: u32,
        /// From one query to the next.
        pub q_row: u32,
        /// Where k begins.
        pub k_offset: u32,
        /// From one batch item, or page, to the next.
        pub k_batch: u32,
        /// From one head to the next.
        pub k_head: u32,
        /// From one key to the next.
        pub k_row: u32,
        /// Where v begins.
        pub v_offset: u32,
        /// From one batch item, or page, to the next.
        pub v_batch: u32,
        /// From one head to the next.
        pub v_head: u32,
        /// From one key to the next.
        pub v_row: u32,
        /// Where the output begins.
        pub output_offset: u32,
        /// From one batch item to the next; 0 for packed rows.
        pub output_batch: u32,
        /// From one head to the next.
        pub output_head: u32,
        /// From one query to the next.
        pub output_row: u32,
        /// From one split to the next.
        pub output_split: u32,
        /// Where the sums begin.
        pub sums_offset: u32,
        /// From one batch item to the next; 0 for packed rows.
        pub sums_batch: u32,
        /// From one head to the next.
        pub sums_head: u32,
        /// From one split to the next.
        pub sums_split: u32,
        /// 1 where the logarithm of each row's sum is written.
        pub has_sums: u32,
        /// The factor of products.
        pub scale: f32,
        /// c in c·tanh(s / c); 0 for none.
        pub softcap: f32,
        /// 1 where an item's last query stands at its last key, 0 where query i stands at i + `shift`.
        pub aligned_to_end: u32,
        /// See there; two's complement.
        pub shift: u32,
        /// Keys before its position that a query sees; [`NONE`] for all.
        pub left: u32,
        /// Keys after its position that a query sees; [`NONE`] for all, 0 for causal.
        pub right: u32,
        /// 0 for none, 1 where `items` begins with the number of keys of each batch item, 2 with `[B, Lk]`,
        /// nonzero for keys that take part.
        pub key_padding: u32,
        /// Where in `items` the running sums of packed queries and of keys stand, B + 1 of each; or [`NONE`].
        pub sequences_at: u32,
        /// Where in `items` the page table `[B, pages]` stands; or [`NONE`].
        pub pages_at: u32,
        /// Pages of each item in the table.
        pub pages: u32,
        /// Keys of a page.
        pub page_size: u32,
        /// Pages that there are.
        pub page_count: u32,
        /// 0 for no mask, 1 for boolean, 2 for float.
        pub mask_kind: u32,
        /// The mask's stride from one batch item to the next.
        pub mask_batch: u32,
        /// From one head to the next.
        pub mask_head: u32,
        /// From one query to the next.
        pub mask_row: u32,
        /// From one key to the next.
        pub mask_column: u32,
        /// Where in `head_terms` the heads' factors of the scale stand; or [`NONE`].
        pub scales_at: u32,
        /// Where the ALiBi slopes do; or [`NONE`].
        pub slopes_at: u32,
        /// Where the sinks do; or [`NONE`].
        pub sinks_at: u32,
        /// Where the biases by distance `[H, 2 · reach + 1]` do; or [`NONE`].
        pub relative_at: u32,
        /// The largest distance that they tell apart.
        pub relative_reach: u32,
        /// The output of `scale_mask_softmax`: 0 scaled scores, 1 softcapped, 2 biased and masked, 3 weights.
        pub stage: u32,
    }
}

impl Parameters {
    /// Parameters that leave everything out that may be left out.
    pub fn new() -> Self {
        Self {
            splits: 1,
            left: NONE,
            right: NONE,
            sequences_at: NONE,
            pages_at: NONE,
            relative_at: NONE,
            stage: 3,
            ..Self::default()
        }
        .with_per_head(PerHead::from_names(|_| NONE))
    }

    /// With the places of the heads' numbers in `head_terms`, [`NONE`] for those that are not there.
    pub(crate) fn with_per_head(self, at: PerHead<u32>) -> Self {
        Self { scales_at: at.head_scales, slopes_at: at.alibi_slopes, sinks_at: at.sinks, ..self }
    }

    /// The head's sink; one of −∞ is none.
    pub(super) fn sink(&self, head: u32, head_terms: &[f32]) -> Option<f32> {
        let sink = (self.sinks_at != NONE).then(|| head_terms[(self.sinks_at + head) as usize]);
        sink.filter(|&sink| sink != f32::NEG_INFINITY)
    }

    /// The number of queries of an item, and where its first one stands among packed ones.
    pub(super) fn queries_of(&self, batch: u32, items: &[u32]) -> (u32, u32) {
        match self.sequences_at {
            NONE => (self.query_length, 0),
            at => {
                let [start, end] = [0, 1].map(|next| items[(at + batch + next) as usize]);
                (end - start, start)
            }
        }
    }

    /// Those of them that are in this part (chain).
    pub(super) fn part_queries_of(&self, batch: u32, items: &[u32]) -> u32 {
        self.queries.min(self.queries_of(batch, items).0.saturating_sub(self.first_query))
    }

    /// The number of keys of an item, padding included.
    pub(super) fn stored_keys(&self, batch: u32, items: &[u32]) -> u32 {
        match self.sequences_at {
            NONE => self.key_length,
            _ => self.key_start(batch + 1, items) - self.key_start(batch, items),
        }
    }

    /// The number of keys of an item.
    pub(super) fn keys_of(&self, batch: u32, items: &[u32]) -> u32 {
        let count = self.stored_keys(batch, items);
        if self.key_padding == 1 { count.min(items[batch as usize]) } else { count }
    }

    fn key_start(&self, batch: u32, items: &[u32]) -> u32 {
        items[(self.sequences_at + self.batches + 1 + batch) as usize]
    }

    /// The keys that the band of a query and the length of its item allow.
    pub(super) fn band(&self, batch: u32, query: u32, items: &[u32]) -> Band {
        let keys = self.keys_of(batch, items);
        let shift = match self.aligned_to_end {
            0 => i64::from(self.shift as i32),
            _ => i64::from(keys) - i64::from(self.queries_of(batch, items).0),
        };
        let position = i64::from(query) + shift;
        let bounded = |bound: i64| bound.clamp(0, i64::from(keys)) as u32;
        Band {
            begin: if self.left == NONE { 0 } else { bounded(position - i64::from(self.left)) },
            end: if self.right == NONE { keys } else { bounded(position + i64::from(self.right) + 1) },
            position,
        }
    }

    /// Where a query's row begins.
    pub(super) fn q_place(&self, [batch, head, query]: [u32; 3], items: &[u32]) -> usize {
        let row = query + self.queries_of(batch, items).1;
        let batch = if self.sequences_at == NONE { batch } else { 0 };
        place(self.q_offset, [batch, self.q_batch], [head, self.q_head], [row, self.q_row])
    }

    /// Where a query's row of the output begins.
    pub(super) fn output_place(&self, [batch, head, query]: [u32; 3], items: &[u32]) -> usize {
        let packed = self.output_batch == 0;
        let row = query + if packed { self.queries_of(batch, items).1 } else { 0 };
        place(
            self.output_offset,
            [batch, self.output_batch],
            [head, self.output_head],
            [row, self.output_row],
        )
    }

    /// Where a query's sum stands.
    pub(super) fn sums_place(&self, [batch, head, query]: [u32; 3], items: &[u32]) -> usize {
        let packed = self.sums_batch == 0;
        let row = query + if packed { self.queries_of(batch, items).1 } else { 0 };
        place(self.sums_offset, [batch, self.sums_batch], [head, self.sums_head], [row, 1])
    }

    /// Rows of keys or values with their stride: as they lie, or from pages brought together in `gathered`.
    pub(super) fn gather<'a>(
        &self,
        values: &'a [f32],
        rows: u32,
        [columns, row]: [u32; 2],
        place: impl Fn(u32) -> usize,
        gathered: &'a mut Vec<f32>,
    ) -> (&'a [f32], u32) {
        if self.pages_at == NONE {
            return (&values[place(0)..], row);
        }
        gathered.clear();
        for index in 0..rows {
            gathered.extend_from_slice(&values[place(index)..][..columns as usize]);
        }
        (gathered, columns)
    }

    fn key_steps(&self, batch: u32, key: u32, items: &[u32]) -> [u32; 2] {
        if self.pages_at != NONE {
            let entry = self.pages_at + batch * self.pages + key / self.page_size;
            return [items[entry as usize].min(self.page_count - 1), key % self.page_size];
        }
        match self.sequences_at {
            NONE => [batch, key],
            _ => [0, self.key_start(batch, items) + key],
        }
    }

    /// Where a key's row begins.
    pub(super) fn k_place(&self, [batch, head, key]: [u32; 3], items: &[u32]) -> usize {
        let [batch, row] = self.key_steps(batch, key, items);
        place(self.k_offset, [batch, self.k_batch], [head, self.k_head], [row, self.k_row])
    }

    /// Where a value's row begins.
    pub(super) fn v_place(&self, [batch, head, key]: [u32; 3], items: &[u32]) -> usize {
        let [batch, row] = self.key_steps(batch, key, items);
        place(self.v_offset, [batch, self.v_batch], [head, self.v_head], [row, self.v_row])
    }
}

fn place(offset: u32, batch: [u32; 2], head: [u32; 2], row: [u32; 2]) -> usize {
    [batch, head, row]
        .iter()
        .fold(offset as usize, |sum, [index, stride]| sum + *index as usize * *stride as usize)
}

/// The keys that the band and the length allow a query, and where it stands among them.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub begin: u32,
    pub end: u32,
    position: i64,
}

/// Which keys a query may attend to, and their logits: the twins' form of `attention/masking.wgsl`.
///
/// The logit of key j for a query of head h at position p is softcap(scale · τ\[h\] · q·k) − slope\[h\]·|p − j| + bias\[h, j − p\] + mask (Gemma 2
/// for the softcap c·tanh(s / c); Liu et al. 2022, equation 2, for the heads' factors τ; Press et al. 2022 for the slopes; Raffel et al. 2020 for the biases by distance).
pub(super) struct Row<'a> {
    p: &'a Parameters,
    mask: &'a [u32],
    items: &'a [u32],
    /// The keys that the band and the length allow.
    pub begin: u32,
    pub end: u32,
    position: i64,
    /// The factor of products.
    pub scale: f32,
    slope: f32,
    /// The head's biases by distance, if there are any.
    relative: &'a [f32],
    mask_at: usize,
    keys_at: usize,
}

impl<'a> Row<'a> {
    pub fn new(
        p: &'a Parameters,
        [batch, head, query]: [u32; 3],
        mask: &'a [u32],
        items: &'a [u32],
        head_terms: &'a [f32],
    ) -> Self {
        let Band { begin, end, position } = p.band(batch, query, items);
        Self {
            p,
            mask,
            items,
            begin,
            end,
            position,
            scale: match p.scales_at {
                NONE => p.scale,
                at => p.scale * head_terms[(at + head) as usize],
            },
            slope: if p.slopes_at == NONE { 0.0 } else { head_terms[(p.slopes_at + head) as usize] },
            relative: match p.relative_at {
                NONE => &[],
                at => {
                    let distances = 2 * p.relative_reach as usize + 1;
                    &head_terms[at as usize + head as usize * distances..][..distances]
                }
            },
            mask_at: place(0, [batch, p.mask_batch], [head, p.mask_head], [query, p.mask_row]),
            keys_at: batch as usize * p.key_length as usize,
        }
    }

    fn word(&self, key: u32) -> u32 {
        self.mask[self.mask_at + key as usize * self.p.mask_column as usize]
    }

    pub fn allowed(&self, key: u32) -> bool {
        let in_band = (self.begin..self.end).contains(&key);
        let padded = || self.p.key_padding == 2 && self.items[self.keys_at + key as usize] == 0;
        let masked = || match self.p.mask_kind {
            0 => false,
            1 => self.word(key) == 0,
            _ => self.word(key) == f32::NEG_INFINITY.to_bits(),
        };
        in_band && !padded() && !masked()
    }

    /// The score after the softcap.
    pub fn softcapped(&self, score: f32) -> f32 {
        if self.p.softcap == 0.0 { score } else { self.p.softcap * (score / self.p.softcap).tanh() }
    }

    /// The logit of an allowed key from its softcapped score.
    pub fn biased(&self, key: u32, score: f32) -> f32 {
        let mut logit = score;
        if self.p.slopes_at != NONE {
            logit -= self.slope * (self.position - i64::from(key)).abs() as f32;
        }
        if !self.relative.is_empty() {
            let reach = i64::from(self.p.relative_reach);
            let distance = (i64::from(key) - self.position).clamp(-reach, reach);
            logit += self.relative[(distance + reach) as usize];
        }
        if self.p.mask_kind == 2 { logit + f32::from_bits(self.word(key)) } else { logit }
    }

    /// The scale, if nothing else stands between a product and its logit, and the keys from `begin` to `end` take part.
    pub fn scale_alone(&self) -> Option<f32> {
        let p = self.p;
        let terms = p.mask_kind != 0 || p.key_padding == 2 || p.softcap != 0.0;
        (!terms && p.slopes_at == NONE && p.relative_at == NONE).then_some(self.scale)
    }

    /// The logit of a key that takes part.
    pub fn logit(&self, key: u32, product: f32) -> Option<f32> {
        self.allowed(key).then(|| self.biased(key, self.softcapped(product * self.scale)))
    }
}
