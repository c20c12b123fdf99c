//! Fused scale, mask and softmax.
//!
//! weights\[b, h, i, j\] = exp(sⱼ − m) / Σ exp(sⱼ' − m) with sⱼ = scale · scores\[b, h, i, j\] + mask\[b, h, i, j\] and
//! m = maxⱼ sⱼ, over the keys that query i may attend to (Vaswani et al. 2017, equation 1, and section 3.2.3 for the
//! mask). f32.
//!
//! What rules a key out: the causal bound, the key length or key padding mask of its batch item, a boolean mask that is
//! 0, a float mask that is −∞. Such a key has weight 0 whatever its score is, NaN included. A row that may attend to
//! nothing is 0 all over, decided on the mask. A NaN or +∞ among the allowed scores makes the whole row NaN. Masks
//! broadcast by stride 0.
//!
//! Ladder: three passes over the row (maximum; exponentials and sum; division), one read of the scores from memory in
//! the first and one from cache in the second. The rows' reduction is chosen by adapter (see `kernels::rows`).

use crate::kernel::{
    Arguments, Binding, Case, CaseArgument, Cost, Depth, Field, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::attention::Sizes;
use crate::kernels::rows;
use crate::reference::attention::{self as oracle, Causal, Mask, Options};
use crate::reference::rounding_floor;

parameters! {
    /// Sizes, and what rules keys out.
    pub struct Parameters {
        /// Rows of this part: batch-heads times queries.
        pub rows: u32,
        /// Query heads.
        pub heads: u32,
        /// Queries of this part.
        pub query_length: u32,
        /// Keys.
        pub key_length: u32,
        /// The first pair of batch item and head.
        pub first_batch_head: u32,
        /// The first query.
        pub first_query: u32,
        /// What scores are multiplied by.
        pub scale: f32,
        /// 1 if key j is allowed for query i only if j + `causal_key` ≤ i + `causal_query`.
        pub causal: u32,
        /// See `causal`.
        pub causal_key: u32,
        /// See `causal`.
        pub causal_query: u32,
        /// 0 for none, 1 if `keys` holds the number of keys of each batch item, 2 if it holds `[B, Lk]`, nonzero for
        /// keys that take part.
        pub key_padding: u32,
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
    }
}

/// The kernel.
pub struct ScaleMaskSoftmax;

impl Parameters {
    /// The first key that neither the causal bound nor the length allows, and where the row's mask and its key padding
    /// mask begin.
    fn bounds(&self, row: u32, keys: &[u32]) -> (u32, usize, usize) {
        let query = self.first_query + row % self.query_length;
        let batch_head = self.first_batch_head + row / self.query_length;
        let (batch, head) = (batch_head / self.heads, batch_head % self.heads);
        let mut end = self.key_length;
        if self.key_padding == 1 {
            end = end.min(keys[batch as usize]);
        }
        if self.causal != 0 {
            end = end.min((query + self.causal_query + 1).saturating_sub(self.causal_key));
        }
        let mask = batch * self.mask_batch + head * self.mask_head + query * self.mask_row;
        (end, mask as usize, (batch * self.key_length) as usize)
    }
}

impl Kernel for ScaleMaskSoftmax {
    fn name(&self) -> &'static str {
        "attention/scale_mask_softmax"
    }

    fn formula(&self) -> &'static str {
        "weights = softmax(scale · scores + mask)"
    }

    fn source(&self) -> &'static str {
        include_str!("../../../shaders/attention/scale_mask_softmax.wgsl")
    }

    fn bindings(&self) -> &'static [Binding] {
        const {
            &[
                Binding::read("scores"),
                Binding::read("mask"),
                Binding::read("keys"),
                Binding::write("weights"),
            ]
        }
    }

    fn parameters(&self) -> &'static [Field] {
        Parameters::FIELDS
    }

    fn variants(&self) -> Vec<Variant> {
        rows::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        if p.key_length == 0 {
            return [0; 3];
        }
        rows::workgroups(variant, p.rows, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (scores, mask, keys) = (arguments.f32(0), arguments.words(1), arguments.words(2));
        let weights = arguments.f32_mut(3);
        let columns = p.key_length as usize;
        let rows = scores.chunks_exact(columns).zip(weights.chunks_exact_mut(columns));
        for (row, (scores, weights)) in (0..p.rows).zip(rows) {
            let (end, mask_base, keys_base) = p.bounds(row, keys);
            // The score of a key that takes part.
            let masked = |column: usize| -> Option<f32> {
                let score = scores[column] * p.scale;
                let word = || mask[mask_base + column * p.mask_column as usize];
                match p.mask_kind {
                    _ if column >= end as usize => None,
                    _ if p.key_padding == 2 && keys[keys_base + column] == 0 => None,
                    0 => Some(score),
                    1 => (word() != 0).then_some(score),
                    _ => (word() != f32::NEG_INFINITY.to_bits()).then(|| score + f32::from_bits(word())),
                }
            };
            let largest = (0..columns).filter_map(masked).fold(f32::NEG_INFINITY, f32::max);
            let (mut sum, mut seen) = (0.0, false);
            for (column, weight) in weights.iter_mut().enumerate() {
                *weight = match masked(column) {
                    Some(score) => {
                        seen = true;
                        (score - largest).exp()
                    }
                    None => 0.0,
                };
                sum += *weight;
            }
            let factor = if seen { 1.0 / sum } else { 0.0 };
            weights.iter_mut().for_each(|weight| *weight *= factor);
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.rows) * u64::from(p.key_length);
        let mask = if p.mask_kind == 0 { 0 } else { elements };
        Cost {
            flops: 6 * elements,
            bytes: 4 * (2 * elements + mask),
            iterations: rows::iterations(variant, p.key_length.into(), 3, 3),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let sizes: Vec<Sizes> = Sizes::all(depth)
            .into_iter()
            // The head size has no part in this kernel.
            .filter(|size| depth == Depth::Quick || [21, 40, 64].contains(&size.head_dim))
            .filter(|size| size.keys > 0)
            .collect();
        let masks = 0..MASKS.len() * CAUSAL.len() * 3;
        let pick = |index: usize| depth == Depth::Full || index.is_multiple_of(5);
        sizes
            .iter()
            .flat_map(|size| masks.clone().map(move |mask| (*size, mask)))
            .enumerate()
            .filter(|(index, _)| pick(*index))
            .map(|(index, (size, mask))| case(size, mask, index))
            .collect()
    }
}

/// Which axes a mask has: batch, head, query, key.
const MASKS: [(&str, u32, [usize; 4]); 8] = [
    ("", 0, [0, 0, 0, 0]),
    ("bool [Lq, Lk]", 1, [0, 0, 1, 1]),
    ("bool [B, 1, 1, Lk]", 1, [1, 0, 0, 1]),
    ("bool [B, H, Lq, Lk]", 1, [1, 1, 1, 1]),
    ("bool [B, 1, Lq, 1]", 1, [1, 0, 1, 0]),
    ("float [Lq, Lk]", 2, [0, 0, 1, 1]),
    ("float [H, Lq, Lk]", 2, [0, 1, 1, 1]),
    ("float [B, 1, 1, Lk]", 2, [1, 0, 0, 1]),
];
/// What is added to every score, or to one in each row.
const OFFSETS: [(f32, &str); 4] = [(0.0, ""), (800.0, " high"), (-1600.0, " low"), (2000.0, " peaks")];
const CAUSAL: [(&str, Causal); 3] =
    [("", Causal::None), ("top-left", Causal::TopLeft), ("bottom-right", Causal::BottomRight)];

fn case(size: Sizes, index: usize, seed: usize) -> Case {
    let mut inputs = Inputs::new(size.seed() ^ seed as u64);
    let (mask_name, mask_kind, mask_axes) = MASKS[index % MASKS.len()];
    let (causal_name, causal) = CAUSAL[index / MASKS.len() % CAUSAL.len()];
    let key_padding = (index / (MASKS.len() * CAUSAL.len())) as u32;
    let dims = size.dims();
    let spread = [1.0, 4.0, 16.0][seed % 3];
    let mut scores = inputs.values(size.batch * size.heads * size.queries * size.keys, spread);
    // Far from 0, exp of what is not taken relative to the row's largest score is 0 or infinite.
    let (offset, offset_name) = OFFSETS[seed / 3 % OFFSETS.len()];
    let peaks = inputs.below(scores.len() / size.keys, size.keys as u32);
    for (row, peak) in scores.chunks_exact_mut(size.keys).zip(peaks) {
        match offset_name {
            " peaks" => row[peak as usize] += offset,
            _ => row.iter_mut().for_each(|score| *score += offset),
        }
    }
    // Lengths of 0 and past the end are among them; a key padding mask has holes.
    let lengths = inputs.below(size.batch, size.keys as u32 + 3);
    let key_mask = inputs.mask(size.batch * size.keys);
    let axes = [size.batch, size.heads, size.queries, size.keys];
    let mut strides = [0; 4];
    let mut elements = 1;
    for axis in (0..4).rev().filter(|&axis| mask_axes[axis] == 1) {
        strides[axis] = elements;
        elements *= axes[axis];
    }
    let mut float_mask = inputs.values(elements, 2.0);
    for (value, keep) in float_mask.iter_mut().zip(inputs.mask(elements)) {
        if keep == 0 {
            *value = f32::NEG_INFINITY;
        }
    }
    let bool_mask = inputs.mask(elements);
    // The oracle knows no key padding mask: it gets one mask with both in it.
    let whole_strides = [size.heads * size.queries * size.keys, size.queries * size.keys, size.keys, 1];
    let both: Vec<f32> = super::sizes::indices(axes)
        .map(|at| {
            let place: usize = at.iter().zip(strides).map(|(index, stride)| index * stride).sum();
            match mask_kind {
                _ if key_mask[at[0] * size.keys + at[3]] == 0 => f32::NEG_INFINITY,
                1 if bool_mask[place] == 0 => f32::NEG_INFINITY,
                2 => float_mask[place],
                _ => 0.0,
            }
        })
        .collect();
    let mask = match mask_kind {
        _ if key_padding == 2 => Mask::Float { data: &both, strides: whole_strides },
        1 => Mask::Bool { data: &bool_mask, strides },
        2 => Mask::Float { data: &float_mask, strides },
        _ => Mask::None,
    };
    let scale = 0.125_f32;
    let options = Options {
        scale: scale.into(),
        causal,
        key_lengths: (key_padding == 1).then_some(lengths.as_slice()),
        mask,
    };
    // What is masked out must not show, whatever it is; in a few cases what is allowed is NaN, and must.
    let allowed = oracle::allowed(dims, options);
    let poison = [f32::NAN, f32::INFINITY, 1e38];
    for (place, (score, allowed)) in scores.iter_mut().zip(&allowed).enumerate() {
        if !allowed {
            *score = poison[place % 3];
        }
    }
    if let (3, Some(place)) = (seed % 7, allowed.iter().rposition(|&allowed| allowed)) {
        scores[place] = f32::NAN;
    }
    let exact: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
    let expected = oracle::scale_mask_softmax(&exact, dims, options);
    let part: Vec<f64> = size.part_of(&exact).collect();
    let parameters = Parameters {
        rows: (size.part_batch_heads() * size.part_queries()) as u32,
        heads: size.heads as u32,
        query_length: size.part_queries() as u32,
        key_length: size.keys as u32,
        first_batch_head: size.first_batch_head as u32,
        first_query: size.first_query as u32,
        scale,
        causal: u32::from(causal != Causal::None),
        causal_key: if causal == Causal::BottomRight { size.queries as u32 } else { 0 },
        causal_query: if causal == Causal::BottomRight { size.keys as u32 } else { 0 },
        key_padding,
        mask_kind,
        mask_batch: strides[0] as u32,
        mask_head: strides[1] as u32,
        mask_row: strides[2] as u32,
        mask_column: strides[3] as u32,
    };
    let options = [mask_name, causal_name, ["", "lengths", "key padding mask"][key_padding as usize]];
    let options: Vec<&str> = options.into_iter().filter(|option| !option.is_empty()).collect();
    let mask_words = match mask_kind {
        1 => bool_mask,
        2 => float_mask.iter().map(|value| value.to_bits()).collect(),
        _ => vec![0],
    };
    // exp is good to 3 + 2·|x| units in the last place in WGSL; a weight w moves by w·(1 − w), at most 1/4, of that.
    let reach = f64::from(spread * 6.0 + offset.abs()) * 0.125 + 12.0;
    let of_exp = (3.0 + 2.0 * reach) * f64::from(f32::EPSILON) * 0.25;
    Case {
        label: format!("{size} ×{spread}{offset_name} {}", options.join(", ")),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(size.keys, 1.0 / (size.keys as f64).sqrt()) + of_exp,
        arguments: vec![
            CaseArgument::F32(part.iter().map(|&score| score as f32).collect()),
            CaseArgument::Words(mask_words),
            CaseArgument::Words(if key_padding == 2 { key_mask } else { lengths }),
            CaseArgument::Output(size.part_of(&expected).map(Some).collect()),
        ],
    }
}
