//! Mutants of `shaders/attention/flash_decode.wgsl`.

use crate::flash::SPLITS;
use crate::mutant::{Mutants, mutant};
use crate::{masking, placing, shared};

pub const FLASH_DECODE: Mutants = Mutants {
    kernel: "attention/flash_decode",
    constants: &[],
    faults: &[
        placing::HEADS,
        &[mutant("the columns end with the lanes of 64", "lane % VALUE_LANES", "lane % 16u")
            .on("value_lanes=64")
            .once()],
    ],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = begin / LANES * LANES;",
                "first_key = (begin + LANES - 1u) / LANES * LANES;",
            ),
            mutant("the keys' last tile is left out", "first_key < end;", "first_key + LANES <= end;"),
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
            mutant("the running maximum is forgotten", "var after = before;", "var after = LOWEST;"),
            mutant(
                "the weights have the first row's maximum",
                "weight_of(weight_tile[at], largest[my_row])",
                "weight_of(weight_tile[at], largest[0])",
            ),
            mutant(
                "the last columns are left out",
                "4u * column < parameters.value_dim;",
                "4u * column + 4u < parameters.value_dim;",
            ),
        ],
        SPLITS,
        placing::QUERIES,
        placing::QUERY_COUNTS,
        placing::KEYS,
        placing::PACKED_KEYS,
        placing::PAGED,
        placing::VALUES,
        placing::OUTPUT,
        masking::MASKING,
        masking::RELATIVE,
        masking::OF_ONE,
        masking::LOGIT,
        shared::KINDS,
        placing::FLASH,
    ],
};
