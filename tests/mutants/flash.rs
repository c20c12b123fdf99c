//! Mutants of the `flash_tiled` and `flash_decode` that no operator makes.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::{fused, shared};

/// Where a kernel's tiles of keys begin and end.
const BAND: &[Mutant] = &[
    mutant(
        "the keys' band begins a tile late",
        "first_key = tile.begin / KEYS * KEYS;",
        "first_key = (tile.begin + KEYS - 1u) / KEYS * KEYS;",
    ),
    mutant("the keys' last tile is left out", "first_key < tile.end;", "first_key + KEYS <= tile.end;"),
];

pub const FLASH_TILED: Mutants = Mutants {
    kernel: "attention/flash_tiled",
    constants: &[],
    faults: &[shared::HALVES, fused::HEADS, fused::HEADS_PAST_THE_END],
    once: &[
        &[
            mutant(
                "the rows are shared out by halves of the lanes",
                "let own_row = invocation / 2u;",
                "let own_row = invocation % 32u;",
            ),
            mutant(
                "a row is masked as its neighbour",
                "min(first_query + own_row, last_query)",
                "min(first_query + own_row + 1u, last_query)",
            ),
            mutant(
                "the weights have the maximum before them",
                "weights_of(weight_tile[place], largest)",
                "weights_of(weight_tile[place], before)",
            ),
            mutant(
                "a row's ending is its neighbour's",
                "ended_block(values, factor_tile[row],",
                "ended_block(values, factor_tile[max(row, 1u) - 1u],",
            ),
            mutant(
                "a row's NaN is its neighbour's",
                "poison_tile[row] > 0.0",
                "poison_tile[max(row, 1u) - 1u] > 0.0",
            ),
            mutant(
                "a lane's NaNs are its row's",
                "select(0.0, 1.0, end_of_row.poisoned)",
                "select(0.0, 1.0, seen == POISON)",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + row * parameters.output_row",
                "base + row * parameters.value_dim",
            ),
        ],
        BAND,
        shared::TILES,
        shared::QUERIES,
        shared::KEYS,
        shared::PAGED,
        shared::VALUES,
        shared::OUTPUT,
        shared::BOUNDS,
        shared::OF_FOUR,
        shared::FLASH,
        fused::TILES,
        fused::SPLITS,
        fused::KINDS_OF_FOUR,
        fused::OF_FOUR,
        fused::WORDS_OF_FOUR,
        fused::FLASH,
        fused::FLASH_SPLITS,
        fused::FLASH_VALUES,
        fused::FLASH_WEIGHTS,
    ],
};

pub const FLASH_DECODE: Mutants = Mutants {
    kernel: "attention/flash_decode",
    constants: &[],
    faults: &[shared::HALVES, fused::HEADS],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = begin / LANES * LANES;",
                "first_key = (begin + LANES - 1u) / LANES * LANES;",
            ),
            mutant("the keys' last tile is left out", "first_key < end;", "first_key + LANES <= end;"),
            shared::SPLITS_OVERLAP,
            mutant(
                "a row's head and query are exchanged",
                "q_place(batch, first_head + row / queries, row % queries)",
                "q_place(batch, first_head + row % parameters.heads_per_key, row / parameters.heads_per_key)",
            ),
            mutant(
                "rows are those of the longest item",
                "queries * parameters.heads_per_key;\n    if",
                "parameters.query_length * parameters.heads_per_key;\n    if",
            ),
            mutant(
                "the keys end where the first query's do",
                "band_of_query(span, queries - 1u).end",
                "band_of_query(span, 0u).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "band_of_query(span, 0u).begin",
                "band_of_query(span, queries - 1u).begin",
            ),
            mutant("the upper rows are the lower", "component(high, r % 4u)", "component(low, r % 4u)"),
            mutant(
                "a key is masked as the tile's first",
                "row % queries), key, product);",
                "row % queries), first_key, product);",
            ),
            mutant(
                "a NaN stays in its lane",
                "row_seen = max(row_seen, weight_tile[my_row * 8u + place]);",
                "row_seen = seen;",
            ),
            mutant(
                "exp ends at −15",
                "max(logit_from(word) - largest, -150.0)",
                "max(logit_from(word) - largest, -15.0)",
            ),
            mutant(
                "a weight is told by its logit",
                "return (word & INFINITY_BITS) != INFINITY_BITS;",
                "return bitcast<f32>(word) > LOWEST;",
            ),
        ],
        shared::QUERIES,
        shared::KEYS,
        shared::PAGED,
        shared::VALUES,
        shared::OUTPUT,
        shared::BOUNDS,
        shared::OF_ONE,
        shared::KINDS,
        shared::FLASH,
        fused::LOGIT,
        fused::FLASH,
        fused::FLASH_SPLITS,
        fused::FLASH_VALUES,
    ],
};
