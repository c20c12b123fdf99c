//! Mutants of `shaders/attention/flash_decode.wgsl`.

use crate::flash::SPLITS;
use crate::mutant::{Mutants, mutant};
use crate::{masking, placing, shared};

pub const FLASH_DECODE: Mutants = Mutants {
    kernel: "attention/flash_decode",
    constants: &[],
    faults: &[
        placing::HEADS,
        &[
            mutant("the shares are one", "let my_share = lane / VALUE_LANES;", "let my_share = 0u;").once(),
            mutant("a share of the values is left out", "share < SHARES;", "share + 1u < SHARES;")
                .on("value_lanes=32")
                .once(),
            mutant("the columns end with the lanes of 64", "lane % VALUE_LANES", "lane % 16u")
                .on("value_lanes=64")
                .once(),
            mutant(
                "the columns of a row are those of 8 lanes",
                "column = column + 8u) {\n            var total",
                "column = column + 64u) {\n            var total",
            )
            .on("value_lanes=32")
            .once(),
        ],
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
                "a row's head is the first",
                "let head = first_head + row / queries;",
                "let head = first_head;",
            ),
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
                "the key-value head is a query head",
                "let first_head = key_head * parameters.heads_per_key;",
                "let first_head = key_head;",
            ),
            mutant(
                "the item is the split",
                "/ key_heads % parameters.batches;",
                "/ key_heads / parameters.batches;",
            ),
            mutant(
                "the tiles are those of one head",
                "parameters.query_length * parameters.heads_per_key + ROWS - 1u",
                "parameters.query_length + ROWS - 1u",
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
            mutant(
                "the second row is the first",
                "dot(query_tile[depth4 + d4], elements)",
                "dot(query_tile[d4], elements)",
            ),
            mutant(
                "the eighth row is the seventh",
                "dot(query_tile[7u * depth4 + d4], elements)",
                "dot(query_tile[6u * depth4 + d4], elements)",
            ),
            mutant("the head's last elements are left out", "d4 < depth4;", "d4 + 1u < depth4;"),
            mutant("the upper rows are the lower", "component(high, r % 4u)", "component(low, r % 4u)"),
            mutant(
                "a key is masked as the tile's first",
                "row % queries), key, product);",
                "row % queries), first_key, product);",
            ),
            mutant(
                "a row is masked as the first query",
                "row_of_query(span, batch, head, row % queries), key",
                "row_of_query(span, batch, head, 0u), key",
            ),
            mutant(
                "no barrier between loading queries and multiplying",
                "        largest[lane] = LOWEST;\n    }\n    workgroupBarrier();",
                "        largest[lane] = LOWEST;\n    }",
            ),
            mutant(
                "no barrier between logits and their maximum",
                "        workgroupBarrier();\n        var highest",
                "        var highest",
            ),
            mutant(
                "no barrier between the lanes' maxima and the row's",
                "        shares[lane] = highest;\n        workgroupBarrier();",
                "        shares[lane] = highest;",
            ),
            mutant(
                "no barrier between weights and values",
                "            sum = sum + weight;\n        }\n        workgroupBarrier();",
                "            sum = sum + weight;\n        }",
            ),
            mutant(
                "no barrier between values and the next keys",
                "        workgroupBarrier();\n    }\n    // The shares",
                "    }\n    // The shares",
            ),
            mutant(
                "no barrier between the shares of a row and its whole",
                "        query_tile[r * LANES + lane] = all[r];\n    }\n    workgroupBarrier();",
                "        query_tile[r * LANES + lane] = all[r];\n    }",
            ),
            mutant(
                "a NaN is forgotten with the next key",
                "seen = max(seen, kind_from(word));",
                "seen = kind_from(word);",
            ),
            mutant(
                "a NaN stays in its lane",
                "row_seen = max(row_seen, weight_tile[my_row * 8u + place]);",
                "row_seen = seen;",
            ),
            mutant(
                "keys are left out of the maximum",
                "highest = max(highest, logit_from(word));",
                "highest = logit_from(word);",
            ),
            mutant(
                "a lane is left out of the maximum",
                "place < 8u; place = place + 1u) {\n                after",
                "place < 7u; place = place + 1u) {\n                after",
            ),
            mutant("the running maximum is forgotten", "var after = before;", "var after = LOWEST;"),
            mutant("the running maximum stays", "largest[lane] = after;", ""),
            mutant("the running sum is not rescaled", "sum = sum * factors[my_row];", ""),
            mutant(
                "the values are not rescaled",
                "factors[lane] = rescale(before, after);",
                "factors[lane] = 1.0;",
            ),
            mutant("a row's values are not rescaled", "values.row3 *= factors[3];", ""),
            mutant(
                "a row's factor is its neighbour's",
                "values.row6 *= factors[6];",
                "values.row6 *= factors[5];",
            ),
            mutant(
                "the weights have the first row's maximum",
                "weight_of(weight_tile[at], largest[my_row])",
                "weight_of(weight_tile[at], largest[0])",
            ),
            mutant("the last weight alone", "sum = sum + weight;", "sum = weight;"),
            mutant(
                "weights without the maximum",
                "max(logit_from(word) - largest, -150.0)",
                "max(logit_from(word), -150.0)",
            ),
            mutant("masked keys have weights", "-150.0)), has_weight(word))", "-150.0)), true)"),
            mutant(
                "exp ends at −15",
                "max(logit_from(word) - largest, -150.0)",
                "max(logit_from(word) - largest, -15.0)",
            ),
            mutant(
                "a row's weights are its neighbour's",
                "weight_tile[at + 5u]) * elements",
                "weight_tile[at + 4u]) * elements",
            ),
            mutant(
                "a row's weights of strange values are its neighbour's",
                "careful_product(bitcast<f32>(weight_tile[at + 2u]), elements)",
                "careful_product(bitcast<f32>(weight_tile[at + 1u]), elements)",
            ),
            mutant("strange values are not told", "if (any_nonfinite(elements)) {", "if (false) {"),
            mutant(
                "the values are those of the keys' first tile",
                "min(first_key + place, span.keys - 1u)",
                "min(place, span.keys - 1u)",
            ),
            mutant(
                "a share of the sum is left out",
                "place < 8u; place = place + 1u) {\n        whole",
                "place < 7u; place = place + 1u) {\n        whole",
            ),
            mutant("the last row is left out", "    if (my_row < rows) {", "    if (my_row + 1u < rows) {"),
            mutant("a tile without queries is written", "first_row >= all_rows", "false"),
            mutant(
                "a column too many is written",
                "if (column + index < count)",
                "if (column + index <= count)",
            )
            .on("!aligned"),
            mutant(
                "the last columns are left out",
                "4u * column < parameters.value_dim;",
                "4u * column + 4u < parameters.value_dim;",
            ),
        ],
        &[
            mutant("a part begins at the first tile", "parameters.first_tile + index", "index"),
            mutant("one tile too many", "index >= parameters.tiles", "index > parameters.tiles"),
            mutant(
                "the last tile is left out",
                "index >= parameters.tiles",
                "index + 1u >= parameters.tiles",
            ),
        ],
        SPLITS,
        placing::QUERIES,
        placing::PACKED_QUERIES,
        placing::QUERY_COUNTS,
        placing::KEYS,
        placing::PACKED_KEYS,
        placing::PAGED,
        placing::KEY_LENGTHS,
        placing::VALUES,
        placing::OUTPUT,
        placing::SUMS,
        placing::SPLIT_PLACES,
        masking::MASKING,
        masking::RELATIVE_PLACES,
        masking::RELATIVE,
        masking::OF_ONE,
        masking::LOGIT,
        shared::KINDS,
        placing::FLASH,
        placing::FLASH_VALUES,
        placing::FLASH_SPLITS,
        shared::TANH,
        shared::COMPONENT,
        shared::INDEXING,
    ],
};
