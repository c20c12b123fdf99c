//! Mutants of the chain of `shaders/attention/`, of the merge, and of the cache's append.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const SCORES: Mutants = Mutants {
    kernel: "attention/scores",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant(
                "q is read for k",
                "return k[k_place(item, key_head, column) + depth];",
                "return q[q_base + column * parameters.q_row + depth];",
            ),
            mutant(
                "heads that share keys are counted the other way",
                "query_head / parameters.heads_per_key",
                "query_head % (parameters.heads / parameters.heads_per_key)",
            ),
            mutant(
                "a tile's rows of q are as long as they have elements",
                "row * parameters.q_row + depth",
                "row * parameters.head_dim + depth",
            ),
            mutant(
                "the keys' last tile is left out",
                "(parameters.key_length + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.key_length / TILE_COLUMNS, 1u)",
            ),
            mutant(
                "rows and columns of tiles are exchanged",
                "(tile / tile_columns) % tile_rows * TILE_ROWS",
                "(tile / tile_rows) % tile_rows * TILE_ROWS",
            ),
        ],
        shared::QUERIES,
        shared::KEYS,
        shared::PAGED,
    ],
    once: &[],
};

pub const SCALE_MASK_SOFTMAX: Mutants = Mutants {
    kernel: "attention/scale_mask_softmax",
    constants: &[],
    faults: &[&[
        mutant(
            "the first key that is allowed is not in the maximum",
            "row.begin + lane;",
            "row.begin + lane + 1u;",
        ),
        mutant("each lane adds the sink", "reduce_add(sum, lane) + sink", "reduce_add(sum + sink, lane)")
            .on("!invocation"),
        mutant(
            "the sum of no keys is the lowest number",
            "whole = from_bits(NEGATIVE_INFINITY_BITS);",
            "whole = LOWEST;",
        ),
        mutant("a sink alone has no sum", "row_seen == NOTHING", "seen == NOTHING"),
    ]],
    once: &[shared::BOUNDS, shared::OF_ONE, shared::KINDS],
};

pub const WEIGHTED_VALUES: Mutants = Mutants {
    kernel: "attention/weighted_values",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant(
                "heads that share values are counted the other way",
                "query_head / parameters.heads_per_key",
                "query_head % (parameters.heads / parameters.heads_per_key)",
            ),
            mutant(
                "the weights are those of the whole batch",
                "weights_base = head *",
                "weights_base = batch_head *",
            ),
            mutant(
                "the weights' rows are those of all queries",
                "head * parameters.queries * parameters.key_length",
                "head * parameters.query_length * parameters.key_length",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + row * parameters.output_row",
                "base + row * parameters.value_dim",
            ),
        ],
        shared::VALUES,
        shared::PAGED,
        shared::OUTPUT,
    ],
    once: &[],
};

pub const MERGE: Mutants = Mutants {
    kernel: "attention/merge",
    constants: &[],
    faults: &[
        &[
            mutant(
                "the weights are those of the next split",
                "let place = 2u * split * rows + row;",
                "let place = 2u * min(split + 1u, parameters.splits - 1u) * rows + row;",
            ),
            mutant(
                "splits lie side by side",
                "2u * split * rows + row",
                "2u * row * parameters.splits + split",
            )
            .times(2),
            mutant(
                "what each split has seen is the first one's",
                "u32(part_sums[at + rows])",
                "u32(part_sums[row + rows])",
            ),
            mutant(
                "a split of nothing but −∞ has a part",
                "u32(part_sums[place + rows]) == NUMBERS",
                "u32(part_sums[place + rows]) != NOTHING",
            ),
            mutant(
                "a split of f32's lowest number has no part",
                "u32(part_sums[place + rows]) == NUMBERS",
                "part_sums[place] > -3.4e38",
            ),
            mutant("the sink is in each split", "whole = whole + weight;", "whole = 2.0 * whole + weight;"),
            mutant(
                "the sum of no keys is the lowest number",
                "sum = from_bits(NEGATIVE_INFINITY_BITS);",
                "sum = LOWEST;",
            ),
        ],
        shared::OUTPUT,
    ],
    once: &[],
};

pub const APPEND: Mutants = Mutants {
    kernel: "attention/append",
    constants: &[],
    faults: &[
        &[
            mutant(
                "new rows begin one late",
                "items[parameters.batches + batch];",
                "items[parameters.batches + batch] + 1u;",
            ),
            mutant(
                "an odd row's last column is left out",
                "(parameters.head_dim + 1u) / 2u",
                "max(parameters.head_dim / 2u, 1u)",
            ),
            mutant(
                "rows are the heads",
                "row % parameters.query_length;",
                "row / parameters.heads % parameters.query_length;",
            ),
        ],
        shared::QUERIES,
        shared::KEYS,
        shared::PAGED,
    ],
    once: &[],
};
