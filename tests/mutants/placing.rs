//! Faults in `shaders/shared/attention/`: its `parameters`, `flash` and the rest, for the
//! kernels that use those parts of them.

use crate::mutant::{Mutant, mutant};

/// Where queries lie.
pub const QUERIES: &[Mutant] = &[
    mutant("q begins at its buffer's begin", "parameters.q_offset + head", "head"),
    mutant("the heads share their queries", "head * parameters.q_head", "0u"),
    mutant("the batch items share their queries", "batch * parameters.q_batch", "0u"),
    mutant(
        "q's rows are as long as they have elements",
        "first + query * parameters.q_row",
        "first + query * parameters.head_dim",
    ),
];

/// Packed ones.
pub const PACKED_QUERIES: &[Mutant] = &[
    mutant(
        "every item's queries are the first one's",
        "first + query_start(batch) * parameters.q_row",
        "first",
    ),
    mutant(
        "an item begins at the next one's query",
        "items[parameters.sequences_at + batch]",
        "items[parameters.sequences_at + batch + 1u]",
    ),
];
pub const QUERY_COUNTS: &[Mutant] = &[mutant(
    "every item has as many queries as the longest",
    "count = query_start(batch + 1u) - query_start(batch);",
    "count = parameters.query_length;",
)];

/// Where keys lie.
pub const KEYS: &[Mutant] = &[
    mutant("k begins at its buffer's begin", "parameters.k_offset + steps", "steps"),
    mutant("the heads share their keys", "head * parameters.k_head", "0u"),
    mutant("the batch items share their keys", "steps.x * parameters.k_batch", "0u"),
    mutant(
        "k's rows are as long as they have elements",
        "steps.y * parameters.k_row",
        "steps.y * parameters.head_dim",
    ),
];

/// Where values lie.
pub const VALUES: &[Mutant] = &[
    mutant("v begins at its buffer's begin", "parameters.v_offset + steps", "steps"),
    mutant("the heads share their values", "head * parameters.v_head", "0u"),
    mutant("the batch items share their values", "steps.x * parameters.v_batch", "0u"),
    mutant(
        "v's rows are as long as they have elements",
        "steps.y * parameters.v_row",
        "steps.y * parameters.value_dim",
    ),
];

/// Blocks of keys and values.
pub const PAGED: &[Mutant] = &[
    mutant("the block table is one off", "key / parameters.block_size;", "key / parameters.block_size + 1u;"),
    mutant("the items share their blocks", "batch * parameters.blocks + key", "key"),
    mutant(
        "blocks lie in the order of the keys",
        "min(items[entry], parameters.block_count - 1u)",
        "batch * parameters.blocks + key / parameters.block_size",
    ),
    mutant("a key's place in its block is the key", "key % parameters.block_size", "key"),
    mutant("the table begins at the buffer's begin", "parameters.blocks_at + batch", "batch"),
    mutant("the pool has half its blocks", "parameters.block_count - 1u", "parameters.block_count / 2u"),
];

/// Packed keys.
pub const PACKED_KEYS: &[Mutant] = &[
    mutant(
        "every item's keys are the first one's",
        "vec2<u32>(0u, key_start(batch) + key)",
        "vec2<u32>(0u, key)",
    ),
    mutant(
        "the queries' sums are read for the keys'",
        "parameters.sequences_at + parameters.batches + 1u + batch",
        "parameters.sequences_at + batch",
    ),
    mutant("the keys' sums begin one early", "parameters.batches + 1u + batch", "parameters.batches + batch"),
    mutant(
        "every item has as many keys as the longest",
        "count = key_start(batch + 1u) - key_start(batch);",
        "count = parameters.key_length;",
    ),
];

/// Key lengths.
pub const KEY_LENGTHS: &[Mutant] = &[
    mutant(
        "the key lengths are left out",
        "parameters.key_padding == 1u) {\n        count = min",
        "false) {\n        count = min",
    ),
    mutant("every item has the first one's key length", "items[batch])", "items[0])"),
    mutant("a length past the end is believed", "min(count, items[batch])", "items[batch]"),
];

/// Where the output lies.
pub const OUTPUT: &[Mutant] = &[
    mutant("the output begins at its buffer's begin", "parameters.output_offset + head", "head"),
    mutant("the heads are written to one place", "head * parameters.output_head", "0u"),
    mutant("the batch items are written to one place", "batch * parameters.output_batch", "0u"),
    mutant(
        "the output's rows are as long as they have elements",
        "first + query * parameters.output_row",
        "first + query * parameters.value_dim",
    ),
    mutant(
        "every item's rows are written to the first one's",
        "first + query_start(batch) * parameters.output_row",
        "first",
    ),
];

/// Where the logarithms of the sums lie.
pub const SUMS: &[Mutant] = &[
    mutant("the sums begin at their buffer's begin", "parameters.sums_offset + head", "head"),
    mutant("the heads' sums are written to one place", "head * parameters.sums_head", "0u"),
    mutant("the batch items' sums are written to one place", "batch * parameters.sums_batch", "0u"),
    mutant(
        "every item's sums are written to the first one's",
        "first = first + query_start(batch);",
        "first = first;",
    ),
];

/// Splits of packed rows are not packed themselves.
pub const SPLIT_PLACES: &[Mutant] = &[
    mutant("splits of packed rows are packed", "is_packed() && parameters.output_batch == 0u", "is_packed()"),
    mutant(
        "sums of splits of packed rows are packed",
        "is_packed() && parameters.sums_batch == 0u",
        "is_packed()",
    ),
    mutant("splits are written to one place", "* parameters.output_split", "* 0u"),
    mutant("splits' sums are written to one place", " + split * parameters.sums_split", ""),
];

/// `flash`, but for the masks and for what only some of its kernels call.
pub const FLASH: &[Mutant] = &[
    mutant(
        "nothing is rescaled",
        "return select(exp(max(before - after, -150.0)), 1.0, before == after);",
        "return 1.0;",
    ),
    mutant("rescaled the other way", "before - after, -150.0", "after - before, -150.0"),
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
    mutant(
        "the sum of no keys is the lowest number",
        "from_bits(NEGATIVE_INFINITY_BITS), end.seen",
        "LOWEST, end.seen",
    ),
    mutant("a row of −∞ alone is no NaN", " || (end.seen == INFINITIES && parameters.splits == 1u)", ""),
    mutant("a NaN does not reach its sum", "select(nothing, from_bits(NAN_BITS), end.poisoned)", "nothing"),
    mutant("sums that nobody wants", "parameters.has_sums != 0u", "true"),
    mutant("no sums", "parameters.has_sums != 0u", "false"),
];

/// What `flash` has for values that are no numbers, and for rows.
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

/// What `flash` has for splits.
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

/// Four weights at a time: `flash_tiled` and `flash_subgroup`.
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
    mutant("exp ends at −15", "logits - largest, vec4<f32>(-150.0)", "logits - largest, vec4<f32>(-15.0)"),
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
        "the halves of four elements are exchanged",
        "unpack2x16float(words.x), unpack2x16float(words.y)",
        "unpack2x16float(words.y), unpack2x16float(words.x)",
    )
    .times(2)
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
