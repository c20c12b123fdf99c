//! Faults in `shaders/shared/attention/masking.wgsl`, and in how `flash.wgsl` uses it: for one key, and for four.

use crate::mutant::{Mutant, mutant};

/// What every kernel with masks uses: the bounds, the slopes, the softcap.
pub const MASKING: &[Mutant] = &[
    mutant(
        "the window begins one late",
        "row.position - i32(parameters.left)",
        "row.position + 1 - i32(parameters.left)",
    ),
    mutant(
        "the window begins one early",
        "row.position - i32(parameters.left)",
        "row.position - 1 - i32(parameters.left)",
    ),
    mutant(
        "all items end where the longest does",
        "i32(keys) - i32(query_count(batch))",
        "i32(parameters.key_length) - i32(query_count(batch))",
    ),
    mutant(
        "a shift below 0 is none",
        "bitcast<i32>(parameters.shift)",
        "max(bitcast<i32>(parameters.shift), 0)",
    ),
];

/// Biases by distance, one key at a time.
pub const RELATIVE: &[Mutant] = &[
    mutant(
        "distances are turned over",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(row.position - i32(key), -reach, reach)",
    ),
    mutant(
        "the keys before the query share a bias",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(i32(key) - row.position, 0, reach)",
    ),
    mutant(
        "the farthest keys ahead have the bias before",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(i32(key) - row.position, -reach, reach - 1)",
    ),
    mutant(
        "the farthest keys behind have the bias before",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(i32(key) - row.position, 1 - reach, reach)",
    ),
];

/// One key at a time: `scale_mask_softmax` and `flash_decode`.
pub const OF_ONE: &[Mutant] = &[
    mutant(
        "ALiBi from the query's index",
        "abs(row.position - i32(key))",
        "abs(i32(row.end) - 1 - i32(key))",
    ),
    mutant(
        "the softcap comes after the mask",
        "biased(row, key, softcapped(product * row.head.scale))",
        "softcapped(biased(row, key, product * row.head.scale))",
    ),
    mutant(
        "a float mask is scaled too",
        "logit + bitcast<f32>(mask",
        "logit + parameters.scale * bitcast<f32>(mask",
    ),
    mutant("a mask for each key", "key * parameters.mask_column", "key").times(2),
];

/// The logit of one key: `flash_decode`.
pub const LOGIT: &[Mutant] = &[mutant(
    "a weight is told by its logit",
    "return (word & INFINITY_BITS) != INFINITY_BITS;",
    "return bitcast<f32>(word) > LOWEST;",
)];

/// What four logits are: `flash_tiled` stands for the other kernels that call the same function.
pub const KINDS_OF_FOUR: &[Mutant] = &[
    mutant(
        "−∞ is a NaN",
        "vec4<u32>(INFINITIES), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
        "vec4<u32>(POISON), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
    ),
    mutant("a NaN is −∞", "select(vec4<u32>(POISON), vec4", "select(vec4<u32>(INFINITIES), vec4"),
    mutant(
        "a NaN is a number",
        "let finite = (bits & vec4<u32>(INFINITY_BITS))",
        "let finite = (bits & vec4<u32>(0x7fffffffu))",
    ),
    mutant(
        "a score of −∞ is taken for a masked key",
        "vec4<u32>(INFINITIES), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
        "vec4<u32>(NOTHING), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
    ),
    mutant(
        "masked keys take part",
        "open: vec4<bool>) -> Logits {",
        "masked: vec4<bool>) -> Logits {\n    let open = vec4<bool>(true);",
    ),
    mutant(
        "a masked key's NaN shows",
        "vec4<u32>(NUMBERS), finite), open)",
        "vec4<u32>(NUMBERS), finite), open | !finite)",
    ),
    mutant(
        "masked keys are seen",
        "vec4<u32>(NUMBERS), finite), open)",
        "vec4<u32>(NUMBERS), finite), vec4<bool>(true))",
    ),
    mutant(
        "f32's lowest number is taken for a masked key",
        "vec4<u32>(NUMBERS), finite), open)",
        "vec4<u32>(NUMBERS), finite), open & (logits > vec4<f32>(LOWEST)))",
    ),
    mutant(
        "−3.4e38 is taken for −∞",
        "select(strange, vec4<u32>(NUMBERS), finite)",
        "select(strange, select(vec4<u32>(INFINITIES), vec4<u32>(NUMBERS), logits > vec4<f32>(-3.4e38)), finite)",
    ),
    mutant(
        "3.4e38 is taken for +∞",
        "select(strange, vec4<u32>(NUMBERS), finite)",
        "select(strange, select(vec4<u32>(POISON), vec4<u32>(NUMBERS), logits < vec4<f32>(3.4e38)), finite)",
    ),
];

/// Four pairs of a query and a key at a time: `flash_tiled` stands for the other kernels that call the same functions.
pub const OF_FOUR: &[Mutant] = &[
    mutant(
        "the scale comes last",
        "scores_of(pairs, open, products * row.head.scale);\n    let logits = logits_among(found.scores,",
        "scores_of(pairs, open, products);\n    let logits = logits_among(found.scores * row.head.scale,",
    ),
    mutant(
        "the softcap comes after ALiBi",
        "vec4<f32>(\n            softcapped(scaled.x), softcapped(scaled.y), softcapped(scaled.z), softcapped(scaled.w),",
        "pairs.head.slope * vec4<f32>(abs(pairs.distances)) + vec4<f32>(\n            softcapped(scaled.x - pairs.head.slope * \
         f32(abs(pairs.distances.x))), softcapped(scaled.y - pairs.head.slope * f32(abs(pairs.distances.y))), \
         softcapped(scaled.z - pairs.head.slope * f32(abs(pairs.distances.z))), \
         softcapped(scaled.w - pairs.head.slope * f32(abs(pairs.distances.w))),",
    ),
    mutant(
        "distances are from the query's index",
        "vec4<i32>(keys) - vec4<i32>(row.position)",
        "vec4<i32>(keys) - vec4<i32>(i32(row.end) - 1)",
    ),
    mutant(
        "the distance of four keys is the first's",
        "vec4<i32>(keys) - vec4<i32>(row.position)",
        "vec4<i32>(i32(key) - row.position)",
    ),
    mutant(
        "distances are turned over",
        "clamp(pairs.distances, -reach, reach)",
        "clamp(-pairs.distances, -reach, reach)",
    ),
    mutant(
        "the keys before the query share a bias",
        "clamp(pairs.distances, -reach, reach)",
        "clamp(pairs.distances, vec4<i32>(), reach)",
    ),
    mutant(
        "the farthest keys ahead have the bias before",
        "clamp(pairs.distances, -reach, reach)",
        "clamp(pairs.distances, -reach, reach - 1)",
    ),
    mutant(
        "the farthest keys behind have the bias before",
        "clamp(pairs.distances, -reach, reach)",
        "clamp(pairs.distances, 1 - reach, reach)",
    ),
    mutant(
        "a float mask is scaled too",
        "found.scores + bitcast<vec4<f32>>(words)",
        "found.scores + parameters.scale * bitcast<vec4<f32>>(words)",
    ),
];

/// Where a logit's word goes from lane to lane: `flash_tiled` stands for `flash_subgroup` and `flash_cooperative` too.
pub const WORDS_OF_FOUR: &[Mutant] = &[mutant(
    "a weight is told by its logit",
    "return (words & vec4<u32>(INFINITY_BITS)) != vec4<u32>(INFINITY_BITS);",
    "return bitcast<vec4<f32>>(words) > vec4<f32>(LOWEST);",
)];
