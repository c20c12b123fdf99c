//! Faults in `shaders/shared/` that no operator makes, for the kernels that use those files.

use crate::mutant::{Mutant, mutant};

/// Where queries lie.
pub const QUERIES: &[Mutant] = &[mutant(
    "q's rows are as long as they have elements",
    "first + query * parameters.q_row",
    "first + query * parameters.head_dim",
)];

/// Where keys lie.
pub const KEYS: &[Mutant] = &[mutant(
    "k's rows are as long as they have elements",
    "steps.y * parameters.k_row",
    "steps.y * parameters.head_dim",
)];

/// Where values lie.
pub const VALUES: &[Mutant] = &[mutant(
    "v's rows are as long as they have elements",
    "steps.y * parameters.v_row",
    "steps.y * parameters.value_dim",
)];

/// Blocks of keys and values.
pub const PAGED: &[Mutant] = &[mutant(
    "blocks lie in the order of the keys",
    "min(items[entry], parameters.page_count - 1u)",
    "batch * parameters.pages + key / parameters.page_size",
)];

/// Where the output lies.
pub const OUTPUT: &[Mutant] = &[mutant(
    "the output's rows are as long as they have elements",
    "first + query * parameters.output_row",
    "first + query * parameters.value_dim",
)];

/// How `flash_tile` divides the work.
pub const TILES: &[Mutant] = &[
    mutant(
        "heads that share keys are counted the other way",
        "let key_head = head / parameters.heads_per_key;",
        "let key_head = head % (parameters.heads / parameters.heads_per_key);",
    ),
    mutant(
        "the keys end where the first query's do",
        "band_of_query(span, last_query).end",
        "band_of_query(span, first_query).end",
    ),
    mutant(
        "the keys begin where the last query's do",
        "band_of_query(span, first_query).begin",
        "band_of_query(span, last_query).begin",
    ),
    SPLITS_OVERLAP,
];

pub const SPLITS_OVERLAP: Mutant = mutant(
    "splits overlap by a key",
    "min(end, split_begin + parameters.split_keys)",
    "min(end, split_begin + parameters.split_keys + 1u)",
);

/// The bounds of the keys.
pub const BOUNDS: &[Mutant] = &[
    mutant(
        "the window begins one late",
        "row.position - i32(parameters.left)",
        "row.position + 1 - i32(parameters.left)",
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

/// What is added to the scores of one key at a time, and in which order.
pub const OF_ONE: &[Mutant] = &[
    mutant(
        "ALiBi from the query's index",
        "abs(row.position - i32(key))",
        "abs(i32(row.end) - 1 - i32(key))",
    ),
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
    mutant(
        "a float mask of 0 rules out",
        "select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u)",
        "word != 0u",
    ),
];

/// `kinds`, where a row's scores are told one by one.
pub const KINDS: &[Mutant] = &[
    mutant(
        "a NaN is a number",
        "(bits & INFINITY_BITS) == INFINITY_BITS",
        "(bits & 0x7fffffffu) == INFINITY_BITS",
    ),
    mutant("+∞ is −∞", "bits == NEGATIVE_INFINITY_BITS)", "(bits & 0x7fffffffu) == INFINITY_BITS)"),
    mutant(
        "f32's lowest number is nothing",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, NOTHING, score == LOWEST), strange,",
    ),
    mutant(
        "−3.4e38 is −∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, INFINITIES, score <= -3.4e38), strange,",
    ),
    mutant(
        "3.4e38 is +∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, POISON, score >= 3.4e38), strange,",
    ),
];

/// The same of four logits: `flash_tiled` stands for the other kernels that call the same functions.
pub const OF_FOUR: &[Mutant] = &[
    mutant(
        "a NaN is a number",
        "let finite = (bits & vec4<u32>(INFINITY_BITS))",
        "let finite = (bits & vec4<u32>(0x7fffffffu))",
    ),
    mutant(
        "a masked key's NaN shows",
        "vec4<u32>(NUMBERS), finite), open)",
        "vec4<u32>(NUMBERS), finite), open | !finite)",
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
        "a float mask is scaled too",
        "found.scores + bitcast<vec4<f32>>(words)",
        "found.scores + parameters.scale * bitcast<vec4<f32>>(words)",
    ),
    mutant(
        "a weight is told by its logit",
        "return (words & vec4<u32>(INFINITY_BITS)) != vec4<u32>(INFINITY_BITS);",
        "return bitcast<vec4<f32>>(words) > vec4<f32>(LOWEST);",
    ),
    mutant("exp ends at −15", "logits - largest, vec4<f32>(-150.0)", "logits - largest, vec4<f32>(-15.0)"),
];

/// `flash`, but for the masks.
pub const FLASH: &[Mutant] = &[
    mutant("rescaled the other way", "before - after, -150.0", "after - before, -150.0"),
    mutant(
        "the sum of no keys is the lowest number",
        "from_bits(NEGATIVE_INFINITY_BITS), end.seen",
        "LOWEST, end.seen",
    ),
];

/// Keys and values as they are stored.
pub const HALVES: &[Mutant] = &[mutant(
    "the halves of four elements are exchanged",
    "unpack2x16float(words.x), unpack2x16float(words.y)",
    "unpack2x16float(words.y), unpack2x16float(words.x)",
)
.times(2)
.on("keys_f16")];
