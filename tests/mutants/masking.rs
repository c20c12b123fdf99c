//! Faults in `shaders/shared/attention/masking.wgsl`, and in how `flash.wgsl` uses it: for one key, and for four.

use crate::mutant::{Mutant, mutant};

/// What every kernel with masks uses: the bounds, the slopes, the softcap.
pub const MASKING: &[Mutant] = &[
    mutant("the causal bound is strict", "i32(parameters.right) + 1", "i32(parameters.right)"),
    mutant("the causal bound lets one more", "i32(parameters.right) + 1", "i32(parameters.right) + 2"),
    mutant("no bound on the right", "parameters.right != NONE", "false"),
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
    mutant("no window", "parameters.left != NONE", "false"),
    mutant("bottom-right is taken for top-left", "parameters.aligned_to_end != 0u", "false"),
    mutant(
        "all items end where the longest does",
        "i32(keys) - i32(query_count(batch))",
        "i32(parameters.key_length) - i32(query_count(batch))",
    ),
    mutant("the shift is left out", "i32(query) + span.shift", "i32(query)"),
    mutant(
        "a shift below 0 is none",
        "bitcast<i32>(parameters.shift)",
        "max(bitcast<i32>(parameters.shift), 0)",
    ),
    mutant(
        "the bound on the right passes the end",
        "min(keys, u32(max(row.position + i32(parameters.right) + 1, 0)))",
        "u32(max(row.position + i32(parameters.right) + 1, 0))",
    ),
    mutant(
        "a bound below 0 wraps",
        "u32(max(row.position + i32(parameters.right) + 1, 0))",
        "u32(row.position + i32(parameters.right) + 1)",
    ),
    mutant(
        "a window from below 0 wraps",
        "u32(max(row.position - i32(parameters.left), 0))",
        "u32(row.position - i32(parameters.left))",
    ),
    mutant(
        "the heads share their slope",
        "head_terms[parameters.slopes_at + head]",
        "head_terms[parameters.slopes_at]",
    ),
    mutant(
        "the softcap is not multiplied again",
        "return parameters.softcap * tanh_stable",
        "return tanh_stable",
    ),
    mutant("the softcap is not divided by", "tanh_stable(score / parameters.softcap)", "tanh_stable(score)"),
    mutant(
        "every item has the first one's key padding mask",
        "row.keys = batch * parameters.key_length;",
        "row.keys = 0u;",
    ),
    mutant("the batch items share their mask", "batch * parameters.mask_batch", "0u"),
    mutant("the heads share their mask", "head * parameters.mask_head", "0u"),
    mutant("the queries share their mask", "query * parameters.mask_row", "0u"),
];

/// Biases by distance: in every kernel with masks.
pub const RELATIVE_PLACES: &[Mutant] = &[
    mutant(
        "no place for the biases by distance",
        "own.relative = parameters.relative_at +",
        "own.relative =",
    ),
    mutant("the heads share their biases", "head * (2u * parameters.relative_reach + 1u)", "0u"),
    mutant(
        "a head's biases lack distance 0",
        "head * (2u * parameters.relative_reach + 1u)",
        "head * (2u * parameters.relative_reach)",
    ),
];

/// The distances of one key at a time.
pub const RELATIVE: &[Mutant] = &[
    mutant(
        "distances are turned over",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(row.position - i32(key), -reach, reach)",
    ),
    mutant(
        "distances from the first key",
        "clamp(i32(key) - row.position, -reach, reach)",
        "clamp(i32(key), -reach, reach)",
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
    mutant("ALiBi rises", "logit - row.head.slope", "logit + row.head.slope"),
    mutant("ALiBi has a sign on the other side", "abs(row.position - i32(key))", "(row.position - i32(key))"),
    mutant(
        "ALiBi from the query's index",
        "abs(row.position - i32(key))",
        "abs(i32(row.end) - 1 - i32(key))",
    ),
    mutant("no biases by distance", "logit + relative_bias(row, key)", "logit"),
    mutant("biases by distance are taken away", "logit + relative_bias", "logit - relative_bias"),
    mutant(
        "the scale is dropped",
        "biased(row, key, softcapped(product * row.head.scale))",
        "biased(row, key, softcapped(product))",
    ),
    mutant(
        "the scale comes after the softcap",
        "biased(row, key, softcapped(product * row.head.scale))",
        "biased(row, key, softcapped(product) * parameters.scale)",
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
    mutant("a float mask only rules out", "parameters.mask_kind == 2u", "false"),
    mutant(
        "a boolean mask is turned over",
        "word != 0u, parameters.mask_kind == 1u",
        "word == 0u, parameters.mask_kind == 1u",
    ),
    mutant("a float mask rules nothing out", "select(word != NEGATIVE_INFINITY_BITS,", "select(true,"),
    mutant(
        "a float mask of 0 rules out",
        "select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u)",
        "word != 0u",
    ),
    mutant("no mask", "parameters.mask_kind == 0u", "true"),
    mutant("no key padding mask", "parameters.key_padding == 2u &&", "false &&"),
    mutant(
        "the key padding mask is turned over",
        "items[row.keys + key] == 0u",
        "items[row.keys + key] != 0u",
    ),
    mutant("a mask for each key", "key * parameters.mask_column", "key").times(2),
    mutant("keys before the band are allowed", "key < row.begin || key >= row.end", "key >= row.end"),
    mutant("keys behind the band are allowed", "key < row.begin || key >= row.end", "key < row.begin"),
    mutant("no softcap", "parameters.softcap == 0.0 || ", "true || "),
];

/// The logit of one key: `flash_decode`.
pub const LOGIT: &[Mutant] = &[
    mutant(
        "masked keys take part",
        "if (allowed(row, key)) {\n        let logit",
        "if (true) {\n        let logit",
    ),
    mutant(
        "what a logit is goes no further",
        "select(WEIGHTLESS | kind, bitcast<u32>(logit), kind == NUMBERS)",
        "bitcast<u32>(logit)",
    ),
    mutant(
        "a weight is told by its logit",
        "return (word & INFINITY_BITS) != INFINITY_BITS;",
        "return bitcast<f32>(word) > LOWEST;",
    ),
];

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

/// Four pairs of a query and a key at a time: `flash_tiled` stands for the other kernels that call the same function.
pub const OF_FOUR: &[Mutant] = &[
    mutant(
        "a key is masked as its neighbour",
        "let keys = key + vec4<u32>(0u, 1u, 2u, 3u);",
        "let keys = key + vec4<u32>(0u, 1u, 2u, 2u);",
    ),
    mutant(
        "keys before the band are allowed",
        "(keys >= vec4<u32>(row.begin)) & (keys < vec4<u32>(row.end))",
        "keys < vec4<u32>(row.end)",
    ),
    mutant(
        "keys behind the band are allowed",
        "(keys >= vec4<u32>(row.begin)) & (keys < vec4<u32>(row.end))",
        "keys >= vec4<u32>(row.begin)",
    ),
    mutant("the band begins one late", "keys >= vec4<u32>(row.begin)", "keys > vec4<u32>(row.begin)"),
    mutant("the band ends one late", "keys < vec4<u32>(row.end)", "keys <= vec4<u32>(row.end)"),
    mutant("the last key is masked as the one before", "max(row.end, 1u) - 1u", "max(row.end, 2u) - 2u"),
    mutant(
        "no key padding mask",
        "if (parameters.key_padding == 2u) {\n        let at",
        "if (false) {\n        let at",
    ),
    mutant("the key padding mask is turned over", "items[at.w]) != vec4", "items[at.w]) == vec4"),
    mutant("a key's padding is its neighbour's", "items[at.z], items[at.w]", "items[at.z], items[at.z]"),
    mutant("the key padding begins at the buffer's begin", "row.keys + inside,", "inside,"),
    mutant("the key padding mask opens the band", "found.open & (vec4<u32>(items", "(vec4<u32>(items"),
    mutant("the scale is dropped", "open, products * row.head.scale)", "open, products)"),
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
    mutant("no softcap", "if (parameters.softcap != 0.0) {", "if (false) {"),
    mutant(
        "a key has its neighbour's softcap",
        "softcapped(scaled.z), softcapped(scaled.w)",
        "softcapped(scaled.z), softcapped(scaled.z)",
    ),
    mutant("no ALiBi", "if (parameters.slopes_at != NONE) {\n        found", "if (false) {\n        found"),
    mutant("ALiBi rises", "found.scores - pairs.head.slope", "found.scores + pairs.head.slope"),
    mutant(
        "ALiBi has a sign on the other side",
        "vec4<f32>(abs(pairs.distances))",
        "vec4<f32>(-pairs.distances)",
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
        "no biases by distance",
        "if (parameters.relative_at != NONE) {\n        let reach = vec4",
        "if (false) {\n        let reach = vec4",
    ),
    mutant(
        "biases by distance are taken away",
        "found.scores\n            + vec4<f32>(head_terms",
        "found.scores\n            - vec4<f32>(head_terms",
    ),
    mutant(
        "a key has its neighbour's bias by distance",
        "head_terms[at.z], head_terms[at.w]",
        "head_terms[at.z], head_terms[at.z]",
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
    mutant("no mask", "if (parameters.mask_kind != 0u) {", "if (false) {"),
    mutant("a mask for each key", "inside * parameters.mask_column", "inside"),
    mutant("the rows share their mask", "let mask_at = row.mask + inside *", "let mask_at = inside *"),
    mutant("a key has its neighbour's mask", "mask[at.z], mask[at.w]", "mask[at.z], mask[at.z]"),
    mutant(
        "a boolean mask is turned over",
        "found.open & (words != vec4<u32>());",
        "found.open & (words == vec4<u32>());",
    ),
    mutant("a boolean mask opens the band", "found.open & (words != vec4<u32>());", "words != vec4<u32>();"),
    mutant("a boolean mask is added", "if (parameters.mask_kind == 1u) {", "if (false) {"),
    mutant("a float mask of 0 rules out", "if (parameters.mask_kind == 1u) {", "if (true) {"),
    mutant(
        "a float mask rules nothing out",
        "found.open = found.open & (words != vec4<u32>(NEGATIVE_INFINITY_BITS));",
        "",
    ),
    mutant(
        "a float mask opens the band",
        "found.open & (words != vec4<u32>(NEGATIVE_INFINITY_BITS));",
        "words != vec4<u32>(NEGATIVE_INFINITY_BITS);",
    ),
    mutant("a float mask only rules out", "found.scores = found.scores + bitcast<vec4<f32>>(words);", ""),
    mutant(
        "a float mask is scaled too",
        "found.scores + bitcast<vec4<f32>>(words)",
        "found.scores + parameters.scale * bitcast<vec4<f32>>(words)",
    ),
];

/// Where a logit's word goes from lane to lane: `flash_tiled` stands for `flash_subgroup` and `flash_cooperative` too.
pub const WORDS_OF_FOUR: &[Mutant] = &[
    mutant("what the second key is, is not seen", "max(max(kinds.x, kinds.y), max(", "max(kinds.x, max("),
    mutant(
        "what a logit is goes no further",
        "select(vec4<u32>(WEIGHTLESS) | logits.kinds, bitcast<vec4<u32>>(logits.numbers), weighted)",
        "bitcast<vec4<u32>>(logits.numbers)",
    ),
    mutant(
        "a weight is told by its logit",
        "return (words & vec4<u32>(INFINITY_BITS)) != vec4<u32>(INFINITY_BITS);",
        "return bitcast<vec4<f32>>(words) > vec4<f32>(LOWEST);",
    ),
];
