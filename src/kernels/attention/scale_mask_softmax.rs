//! Fused scale, mask and softmax.
//!
//! weights\[b, h, i, j\] = exp(sⱼ − m) / Σ exp(sⱼ' − m) with sⱼ the logit of scores\[b, h, i, j\] (`Row` in
//! `attention/parameters.rs` has its formula) and m = maxⱼ sⱼ, over the keys that query i may attend to (Vaswani et al. 2017,
//! equation 1, and section 3.2.3 for the mask; attention sinks are a further logit in the sum, with no value). f32. The sums' logarithms on
//! demand, and in place of the weights one of the stages before them: scaled, softcapped, biased.
//!
//! What rules a key out: the band of the causal bound and the window, the key length or key padding mask of its batch
//! item, a boolean mask that is 0, a float mask that is −∞. Such a key has weight 0 whatever its score is, NaN included.
//! A row that may attend to nothing is 0 all over, decided on the mask. A NaN or +∞ among the allowed scores makes the
//! whole row NaN. Masks broadcast by stride 0.
//!
//! Ladder: three passes over the row (maximum; exponentials and sum; division), one read of the scores from memory in
//! the first and one from cache in the second. The rows' reduction is chosen by adapter (see `kernels::reduce`).

use std::sync::{Mutex, PoisonError};

use crate::kernel::{About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant};
use crate::kernels::attention::problem_data::Data;
use crate::kernels::attention::{NONE, Parameters, Row, Sizes, chosen};
use crate::kernels::{parallel, reduce};
use crate::per_head::PerHead;
use crate::reference::attention::{self as oracle, Causal, Mask, Options};
use crate::reference::{largest, rounding_floor};

/// The kernel.
pub struct ScaleMaskSoftmax;

const BINDINGS: &[Binding] = &[
    Binding::read("scores"),
    Binding::read("mask"),
    Binding::read("items"),
    Binding::read("head_terms"),
    Binding::write("weights"),
    Binding::write("sums"),
];

impl Kernel for ScaleMaskSoftmax {
    fn about(&self) -> About {
        const { About::ours("attention/scale_mask_softmax", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        reduce::variants()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        // Without keys there is still the logarithm of each row's sum.
        if p.key_length == 0 && p.has_sums == 0 {
            return [0; 3];
        }
        reduce::workgroups(variant, p.batch_heads * p.queries, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (scores, mask, items, head_terms) =
            (arguments.f32(0), arguments.words(1), arguments.words(2), arguments.f32(3));
        let (weights, sums) = (arguments.f32_mut(4), arguments.f32_mut(5));
        let columns = p.key_length as usize;
        let offset = (p.output_offset as usize).min(weights.len());
        let rows = p.batch_heads as usize * p.queries as usize;
        // A row's weights, and the logarithm of its sum with its place.
        let softmax = |index: usize, weights: &mut [f32]| {
            let scores = &scores[index * columns..][..columns];
            let (head, query) = (index as u32 / p.queries, index as u32 % p.queries);
            let batch_head = p.first_batch_head + head;
            let at = [batch_head / p.heads, batch_head % p.heads, p.first_query + query];
            let is_there = at[2] < p.queries_of(at[0], items).0;
            let row = Row::new(&p, at, mask, items, head_terms);
            // The logit of a key that takes part.
            let logit = |key: usize| if is_there { row.logit(key as u32, scores[key]) } else { None };
            if p.stage < 3 {
                for (key, weight) in weights.iter_mut().enumerate() {
                    *weight = match p.stage {
                        0 => scores[key] * row.scale,
                        1 => row.softcapped(scores[key] * row.scale),
                        _ => logit(key).unwrap_or(f32::NEG_INFINITY),
                    };
                }
                return None;
            }
            let sink = p.sink(at[1], head_terms);
            let largest = (0..columns).filter_map(logit).chain(sink).fold(f32::NEG_INFINITY, f32::max);
            let (mut sum, mut seen) = (sink.map_or(0.0, |sink| (sink - largest).exp()), false);
            for (key, weight) in weights.iter_mut().enumerate() {
                *weight = match logit(key) {
                    Some(logit) => {
                        seen = true;
                        (logit - largest).exp()
                    }
                    None => 0.0,
                };
                sum += *weight;
            }
            let factor = if seen { 1.0 / sum } else { 0.0 };
            weights.iter_mut().for_each(|weight| *weight *= factor);
            if p.has_sums == 0 || !is_there {
                return None;
            }
            let nothing = !seen && sink.is_none();
            Some((p.sums_place(at, items), if nothing { f32::NEG_INFINITY } else { largest + sum.ln() }))
        };
        if columns == 0 {
            let of_rows = (0..rows).filter_map(|row| softmax(row, &mut []));
            return of_rows.for_each(|(place, sum)| sums[place] = sum);
        }
        let found = Mutex::new(Vec::new());
        parallel::rows(&mut weights[offset..][..rows * columns], columns, 20, |first, weights| {
            let rows = (first..).zip(weights.chunks_exact_mut(columns));
            let mut of_rows: Vec<_> = rows.filter_map(|(row, weights)| softmax(row, weights)).collect();
            found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut of_rows);
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.into_iter().for_each(|(place, sum)| sums[place] = sum);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let elements = u64::from(p.batch_heads) * u64::from(p.queries) * u64::from(p.key_length);
        let mask = if p.mask_kind == 0 { 0 } else { elements };
        Cost {
            flops: 6 * elements,
            bytes: 4 * (2 * elements + mask),
            iterations: reduce::iterations(variant, p.key_length.into(), 3, 3),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let sizes: Vec<Sizes> = Sizes::all(depth)
            .into_iter()
            // The head size has no part in this kernel.
            .filter(|size| depth == Depth::Quick || [21, 40, 64].contains(&size.head_dim))
            .collect();
        let masks = 0..MASKS.len() * CAUSAL.len() * 3;
        let pick = |index: usize| depth == Depth::Full || index.is_multiple_of(5);
        sizes
            .iter()
            .flat_map(|size| masks.clone().map(move |mask| (*size, mask)))
            .enumerate()
            .filter(|(index, _)| pick(*index))
            .map(|(index, (size, mask))| case(size, mask, index))
            .chain(chosen::chain().map(|(data, label, p)| placed(&data, label, p)))
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
/// The term that is added to every score, or to one in each row.
const OFFSETS: [(f32, &str); 4] = [(0.0, ""), (800.0, " high"), (-1600.0, " low"), (2000.0, " peaks")];
const CAUSAL: [(&str, Causal); 4] = [
    ("", Causal::None),
    ("top-left", Causal::TopLeft),
    ("bottom-right", Causal::BottomRight),
    ("from 2", Causal::Offset(2)),
];

fn case(size: Sizes, index: usize, seed: usize) -> Case {
    let mut inputs = Inputs::new(size.seed() ^ seed as u64);
    let (mask_name, mask_kind, mask_axes) = MASKS[index % MASKS.len()];
    let (causal_name, causal) = CAUSAL[index / MASKS.len() % CAUSAL.len()];
    let key_padding = (index / (MASKS.len() * CAUSAL.len())) as u32;
    let dims = size.dims();
    let spread = [1.0, 4.0, 16.0][seed % 3];
    let mut scores = inputs.values(size.batch * size.heads * size.queries * size.keys, spread);
    // Far from 0, exp of what is not taken relative to the row's largest score is 0 or infinite.
    let stage = if seed % 8 == 7 { (seed / 8 % 3) as u32 } else { 3 };
    // Softcapped scores are all the softcap there.
    let (offset, offset_name) = OFFSETS[if stage == 1 { 0 } else { seed / 3 % OFFSETS.len() }];
    let columns = size.keys.max(1);
    let peaks = inputs.below(scores.len() / columns, columns as u32);
    for (row, peak) in scores.chunks_exact_mut(columns).zip(peaks) {
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
    // Softcap, window, slopes and sinks come and go by the seed.
    let softcap = [0.0, 0.5][usize::from(seed % 4 == 1 || stage == 1)];
    let window =
        [(seed % 5 == 2).then_some(3), (seed % 5 >= 3 && causal == Causal::None).then_some(seed as u32 % 4)];
    let position = match causal {
        Causal::None => [Causal::TopLeft, Causal::BottomRight, Causal::Offset(-1)][seed % 3],
        causal => causal,
    };
    let slopes: Vec<f32> = (0..size.heads).map(|head| (-(head as f32) - 1.0).exp2()).collect();
    // Near the scores, wherever those are: beside a sink at 0, weights of scores far below it are 0 in f32 alone.
    let mut sinks = inputs.values(size.heads, spread * scale);
    if offset_name != " peaks" {
        sinks.iter_mut().for_each(|sink| *sink += offset * scale);
    }
    let (has_slopes, has_sinks) = (seed % 6 == 3, seed % 4 == 2);
    let distances = (seed % 7 == 4).then_some(2 * (seed % 5) + 1);
    let relative = inputs.values(size.heads * distances.unwrap_or(0), 2.0);
    let options = Options {
        scale: scale.into(),
        softcap: softcap.into(),
        causal,
        position,
        window: window.map(|bound| bound.map(|bound| bound as usize)),
        per_head: PerHead::from_names(|name| match name {
            "alibi_slopes" => has_slopes.then_some(&slopes[..]),
            "sinks" => has_sinks.then_some(&sinks[..]),
            _ => None,
        }),
        relative: distances.map(|_| &relative[..]),
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
    let expected = oracle::stage(&exact, stage, dims, options);
    let log_sums = oracle::log_sum_exp(&exact, dims, options);
    let part: Vec<f64> = size.part_of(&exact).collect();
    let gap = seed % 3;
    let [heads, queries] = [size.heads as u32, size.queries as u32];
    let parameters = Parameters {
        output_offset: gap as u32,
        sums_batch: heads * queries,
        sums_head: queries,
        has_sums: u32::from(stage == 3),
        scale,
        softcap,
        aligned_to_end: u32::from(position == Causal::BottomRight),
        shift: if let Causal::Offset(offset) = position { offset as u32 } else { 0 },
        left: window[0].unwrap_or(NONE),
        right: if causal == Causal::None { window[1].unwrap_or(NONE) } else { 0 },
        key_padding,
        mask_kind,
        mask_batch: strides[0] as u32,
        mask_head: strides[1] as u32,
        mask_row: strides[2] as u32,
        mask_column: strides[3] as u32,
        slopes_at: if has_slopes { 0 } else { NONE },
        sinks_at: if has_sinks { heads } else { NONE },
        relative_at: if distances.is_some() { 2 * heads } else { NONE },
        relative_reach: distances.unwrap_or(1) as u32 / 2,
        stage,
        ..size.parameters()
    };
    let sums =
        super::sizes::indices([size.batch * size.heads, 1, 1, size.queries]).map(|[head, _, _, query]| {
            let written = stage == 3 && head >= size.first_batch_head && query >= size.first_query;
            written.then(|| log_sums[head * size.queries + query])
        });
    let padding_name = ["", "lengths", "key padding mask"][key_padding as usize];
    let mut names = vec![mask_name, causal_name, padding_name];
    let by_distance = distances.is_some();
    for (there, name) in [
        (softcap > 0.0, "softcap"),
        (has_slopes, "slopes"),
        (has_sinks, "sinks"),
        (by_distance, "biases by distance"),
    ] {
        names.push(if there { name } else { "" });
    }
    names.retain(|name| !name.is_empty());
    let mask_words = match mask_kind {
        1 => bool_mask.clone(),
        2 => float_mask.iter().map(|value| value.to_bits()).collect(),
        _ => vec![0],
    };
    let eps = f64::from(f32::EPSILON);
    // exp is good to 3 + 2·|x| units in the last place in WGSL; a weight w moves by w·(1 − w), at most 1/4, of that.
    let reach = f64::from(spread * 6.0 + offset.abs()) * 0.125 + 12.0;
    let of_exp = (3.0 + 2.0 * reach) * eps * 0.25;
    // Slopes, biases and masks are added with one rounding each; a softcap divides, takes a tanh, and multiplies.
    let of_logits = 4.0 * eps * largest(&oracle::stage(&exact, 2, dims, options));
    let floor = match stage {
        3 => rounding_floor(size.keys, 1.0 / (size.keys.max(1) as f64).sqrt()) + of_exp + of_logits,
        _ => of_logits.max(4.0 * eps * largest(&expected)),
    };
    let gaps = std::iter::repeat_n(None, gap);
    Case {
        label: format!("{size} ×{spread}{offset_name} stage {stage} window {window:?} {}", names.join(", ")),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor,
        arguments: vec![
            CaseArgument::F32(part.iter().map(|&score| score as f32).collect()),
            CaseArgument::Words(mask_words),
            CaseArgument::Words(if key_padding == 2 { key_mask } else { lengths }),
            CaseArgument::F32([slopes, sinks, relative].concat()),
            CaseArgument::output(gaps.chain(size.part_of(&expected).map(Some)).collect()),
            // The logarithm takes the sum's relative error.
            CaseArgument::output_within(sums.collect(), of_logits + 4.0 * of_exp + 8.0 * eps),
        ],
    }
}

/// Packed rows, and what else the fused kernels meet. Scores that an item has not are NaN.
fn placed(data: &Data, label: String, p: Parameters) -> Case {
    let scores = chosen::dense(data, &p, f32::NAN, |item, place| item.products[place] as f32);
    let mut weights = chosen::dense(data, &p, 0.0, |item, place| item.stages[3][place]);
    // A NaN is in all of a row.
    for row in weights.chunks_exact_mut(p.key_length.max(1) as usize) {
        if row.iter().any(|weight| weight.is_nan()) {
            row.fill(f64::NAN);
        }
    }
    let p = Parameters { output_offset: 0, sums_offset: 2, ..p };
    let mut sums = vec![None; data.sums.len() + p.sums_offset as usize];
    for at in chosen::rows_of(&p).filter(|&[batch, _, query]| query < p.queries_of(batch, &data.items).0) {
        let place = p.sums_place(at, &data.items);
        sums[place] = data.sums[place - p.sums_offset as usize].filter(|_| p.has_sums != 0);
    }
    Case {
        label,
        parameters: bytemuck::bytes_of(&p).to_vec(),
        floor: data.weights_floor,
        arguments: vec![
            CaseArgument::F32(scores),
            CaseArgument::Words(data.mask.clone()),
            CaseArgument::Words(data.items.clone()),
            CaseArgument::F32(data.head_terms()),
            CaseArgument::output(weights.into_iter().map(Some).collect()),
            CaseArgument::output_within(sums, data.sums_floor),
        ],
    }
}
