//! Faults in those files of `shaders/shared/attention/` that `NOT_SETTLED` names, for `flash_tiled` and `flash_decode`. Operators make
//! most of them too; that these are caught is asked for, what else operators make there is told.

use crate::mutant::{Mutant, mutant};

/// How `flash_tile` divides the work.
pub const TILES: &[Mutant] = &[
    mutant(
        "each query head has its own keys",
        "let key_head = head / parameters.heads_per_key;",
        "let key_head = head;",
    ),
    mutant(
        "the head is that of the tile",
        "let head = number / row_tiles % parameters.heads;",
        "let head = number % parameters.heads;",
    ),
    mutant(
        "the item is the split",
        "/ parameters.heads % parameters.batches;",
        "/ parameters.heads / parameters.batches;",
    ),
    mutant(
        "a tile's queries pass its item's end",
        "let queries = min(left, rows);",
        "let queries = select(0u, rows, workgroup < parameters.tiles);",
    ),
    mutant("a part begins at the first tile", "parameters.first_tile + workgroup", "workgroup"),
    mutant("one tile too many", "workgroup < parameters.tiles", "workgroup <= parameters.tiles"),
    mutant("the last tile is left out", "workgroup < parameters.tiles", "workgroup + 1u < parameters.tiles"),
];

/// Splits, in `flash_tile`.
pub const SPLITS: &[Mutant] = &[
    mutant("every split begins at the first key", "split * parameters.split_keys", "0u"),
    mutant("every split goes on to the last key", "end = min(end, split_begin + parameters.split_keys);", ""),
    mutant(
        "a split where there is none",
        "if (parameters.splits > 1u) {\n        end = min",
        "if (true) {\n        end = min",
    ),
];

/// What four logits are.
pub const KINDS_OF_FOUR: &[Mutant] = &[
    mutant(
        "−∞ is a NaN",
        "vec4<u32>(INFINITIES), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
        "vec4<u32>(POISON), bits == vec4<u32>(NEGATIVE_INFINITY_BITS)",
    ),
    mutant("a NaN is −∞", "select(vec4<u32>(POISON), vec4", "select(vec4<u32>(INFINITIES), vec4"),
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
        "masked keys are seen",
        "vec4<u32>(NUMBERS), finite), open)",
        "vec4<u32>(NUMBERS), finite), vec4<bool>(true))",
    ),
];

/// What is added to four scores, and which keys take part.
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
    mutant("the key padding begins at the buffer's begin", "row.padding_start + inside,", "inside,"),
    mutant("the key padding mask opens the band", "found.open & (vec4<u32>(items", "(vec4<u32>(items"),
    mutant("the scale is dropped", "open, products * row.head.scale)", "open, products)"),
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
    mutant("the rows share their mask", "let mask_at = row.mask_start + inside *", "let mask_at = inside *"),
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
];

/// Where the words of four logits go from lane to lane.
pub const WORDS_OF_FOUR: &[Mutant] = &[
    mutant("what the second key is, is not seen", "max(max(kinds.x, kinds.y), max(", "max(kinds.x, max("),
    mutant(
        "what a logit is goes no further",
        "select(vec4<u32>(WEIGHTLESS) | logits.kinds, bitcast<vec4<u32>>(logits.numbers), weighted)",
        "bitcast<vec4<u32>>(logits.numbers)",
    ),
];

/// The logit of one key.
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
];

/// Maxima, sums, sinks and what is stored of them.
pub const FLASH: &[Mutant] = &[
    mutant(
        "nothing is rescaled",
        "return select(exp(max(before - after, -150.0)), 1.0, before == after);",
        "return 1.0;",
    ),
    mutant("the sinks are left out", "parameters.splits == 1u && parameters.sinks_at != NONE", "false"),
    mutant(
        "sinks where there are none",
        "parameters.splits == 1u && parameters.sinks_at != NONE",
        "parameters.splits == 1u",
    ),
    mutant(
        "the heads share their sink",
        "head_terms[parameters.sinks_at + head]",
        "head_terms[parameters.sinks_at]",
    ),
    mutant("the sum is not rescaled to the sink", "sum * rescale(largest, highest) +", "sum +"),
    mutant("the sink does not move the maximum", "highest = max(largest, sink);", ""),
    mutant("the sink alone", "sum * rescale(largest, highest) + exp", "exp"),
    mutant("the output is not rescaled to the sink", "rescale(largest, highest) / whole", "1.0 / whole"),
    mutant(
        "the output is not divided by the sum",
        "rescale(largest, highest) / whole",
        "rescale(largest, highest)",
    ),
    mutant(
        "a row without keys is divided by its sum",
        "select(0.0, rescale(largest, highest) / whole, seen == NUMBERS)",
        "rescale(largest, highest) / whole",
    ),
    mutant("a sink is not seen", "max(seen, select(kind, NOTHING, kind == INFINITIES))", "seen"),
    mutant("the log-sum-exp without its maximum", "highest + log(whole)", "log(whole)"),
    mutant("the maximum for the log-sum-exp", "highest + log(whole)", "highest"),
    mutant("the sum without its logarithm", "highest + log(whole)", "highest + whole"),
    mutant("a row of −∞ alone is no NaN", " || (end.seen == INFINITIES && parameters.splits == 1u)", ""),
    mutant("a NaN does not reach its sum", "select(nothing, from_bits(NAN_BITS), end.poisoned)", "nothing"),
    mutant("sums that nobody wants", "parameters.has_sums != 0u", "true"),
    mutant("no sums", "parameters.has_sums != 0u", "false"),
];

/// What splits have and do not have.
pub const FLASH_SPLITS: &[Mutant] = &[
    mutant(
        "the sinks are in every split",
        "parameters.splits == 1u && parameters.sinks_at",
        "parameters.sinks_at",
    ),
    mutant(
        "a split of −∞ alone is NaN",
        "end.seen == INFINITIES && parameters.splits == 1u",
        "end.seen == INFINITIES",
    ),
    mutant(
        "what a split has seen is not told",
        "sums[place + parameters.sums_split / 2u] = f32(end.seen);",
        "",
    ),
];

/// Values that are no numbers.
pub const FLASH_VALUES: &[Mutant] = &[
    mutant("a NaN under weight 0 shows", "vec4<f32>(), weight == 0.0)", "vec4<f32>(), false)"),
    mutant(
        "no value is strange",
        "return any((bitcast<vec4<u32>>(values) & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS));",
        "return false;",
    ),
    mutant(
        "a NaN does not reach its row",
        "select(values * factor, vec4<f32>(from_bits(NAN_BITS)), poisoned)",
        "values * factor",
    ),
];

/// Four weights at a time.
pub const FLASH_WEIGHTS: &[Mutant] = &[
    mutant(
        "weights without the maximum",
        "max(logits - largest, vec4<f32>(-150.0))",
        "max(logits, vec4<f32>(-150.0))",
    ),
    mutant(
        "masked keys have weights",
        "select(vec4<f32>(), exp(max(logits - largest, vec4<f32>(-150.0))), weighted)",
        "exp(max(logits - largest, vec4<f32>(-150.0)))",
    ),
    mutant(
        "strange values of a key are its neighbour's",
        "careful_product(weights.y, b)",
        "careful_product(weights.y, a)",
    ),
];

/// Keys and values as they are stored, in each of the four forms.
pub const HEADS: &[Mutant] = &[
    mutant("k is read for v", "return v[(place + first) / 4u]", "return k[(place + first) / 4u]")
        .on("keys_f32"),
    mutant("k is read for v", "let words = v[(place + first) / 4u]", "let words = k[(place + first) / 4u]")
        .on("keys_f16"),
    mutant(
        "k is read for v",
        "v_element(inside.x), v_element(inside.y)",
        "k_element(inside.x), k_element(inside.y)",
    )
    .on("keys_f16_unaligned"),
    mutant("k is read for v", "v[inside.x], v[inside.y]", "k[inside.x], k[inside.y]")
        .on("keys_f32_unaligned"),
    mutant("a row's blocks are one", "return k[(place + first) / 4u]", "return k[place / 4u]").on("keys_f32"),
    mutant("a row's blocks are one", "let words = k[(place + first) / 4u]", "let words = k[place / 4u]")
        .on("keys_f16"),
    mutant(
        "the two keys of a word are swapped",
        "unpack2x16float(k[index / 2u]);\n    return select(pair.x, pair.y, index % 2u == 1u)",
        "unpack2x16float(k[index / 2u]);\n    return select(pair.x, pair.y, index % 2u == 0u)",
    )
    .on("keys_f16_unaligned"),
    mutant(
        "an odd value is its neighbour",
        "unpack2x16float(v[index / 2u]);\n    return select(pair.x, pair.y, index % 2u == 1u)",
        "unpack2x16float(v[index / 2u]);\n    return pair.x",
    )
    .on("keys_f16_unaligned"),
    mutant("a word for each value", "v[index / 2u]", "v[index]").on("keys_f16_unaligned"),
    mutant("a row's end is repeated", "select(vec4<f32>(), values, at < vec4<u32>(count))", "values")
        .times(3)
        .on("keys_f32_unaligned"),
    mutant("a row's end is repeated", "select(vec4<f32>(), values, at < vec4<u32>(count))", "values")
        .times(3)
        .on("keys_f16_unaligned"),
    mutant("the second element is the first", "q[inside.x], q[inside.y]", "q[inside.x], q[inside.x]")
        .on("keys_f32_unaligned"),
    mutant("a row ends one early", "at < vec4<u32>(count)", "at + 1u < vec4<u32>(count)")
        .times(3)
        .on("keys_f32_unaligned"),
];

/// Where a kernel loads past the end of a row.
pub const HEADS_PAST_THE_END: &[Mutant] = &[
    mutant("what lies behind a row is read", "if (first >= count) {", "if (first > count) {")
        .times(3)
        .on("keys_f32"),
    mutant("what lies behind a row is read", "if (first >= count) {", "if (first > count) {")
        .times(3)
        .on("keys_f16"),
];
