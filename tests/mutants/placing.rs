//! Faults in `shaders/shared/attention/`: its `parameters`, `flash` and the rest, for the
//! kernels that use those parts of them.

use crate::mutant::{Mutant, mutant};

/// Where queries lie.
pub const QUERIES: &[Mutant] = &[mutant(
    "q's rows are as long as they have elements",
    "first + query * parameters.q_row",
    "first + query * parameters.head_dim",
)];

pub const QUERY_COUNTS: &[Mutant] = &[mutant(
    "every item has as many queries as the longest",
    "count = query_start(batch + 1u) - query_start(batch);",
    "count = parameters.query_length;",
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
pub const PAGED: &[Mutant] = &[
    mutant("the block table is one off", "key / parameters.block_size;", "key / parameters.block_size + 1u;"),
    mutant(
        "blocks lie in the order of the keys",
        "min(items[entry], parameters.block_count - 1u)",
        "batch * parameters.blocks + key / parameters.block_size",
    ),
    mutant("the pool has half its blocks", "parameters.block_count - 1u", "parameters.block_count / 2u"),
];

/// Packed keys.
pub const PACKED_KEYS: &[Mutant] = &[mutant(
    "every item has as many keys as the longest",
    "count = key_start(batch + 1u) - key_start(batch);",
    "count = parameters.key_length;",
)];

/// Where the output lies.
pub const OUTPUT: &[Mutant] = &[mutant(
    "the output's rows are as long as they have elements",
    "first + query * parameters.output_row",
    "first + query * parameters.value_dim",
)];

/// `flash`, but for the masks and for what only some of its kernels call.
pub const FLASH: &[Mutant] = &[
    mutant("rescaled the other way", "before - after, -150.0", "after - before, -150.0"),
    mutant(
        "the sum of no keys is the lowest number",
        "from_bits(NEGATIVE_INFINITY_BITS), end.seen",
        "LOWEST, end.seen",
    ),
];

/// Four weights at a time: `flash_tiled` and `flash_subgroup`.
pub const FLASH_WEIGHTS: &[Mutant] = &[mutant(
    "strange values of a key are its neighbour's",
    "careful_product(weights.y, b)",
    "careful_product(weights.y, a)",
)];

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
];
