//! Mutants of `shaders/attention/flash_tiled.wgsl`, and of what it shares with `flash_subgroup.wgsl`.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::{masking, placing, shared};

/// `flash_tile`.
pub const TILES: &[Mutant] = &[
    mutant(
        "each query head has its own keys",
        "let key_head = head / parameters.heads_per_key;",
        "let key_head = head;",
    ),
    mutant(
        "heads that share keys are counted the other way",
        "let key_head = head / parameters.heads_per_key;",
        "let key_head = head % (parameters.heads / parameters.heads_per_key);",
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
        "the keys end where the first query's do",
        "band_of_query(span, last_query).end",
        "band_of_query(span, first_query).end",
    ),
    mutant(
        "the keys begin where the last query's do",
        "band_of_query(span, first_query).begin",
        "band_of_query(span, last_query).begin",
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

/// Splits, as `flash_decode` has them too.
pub const SPLITS: &[Mutant] = &[
    mutant("every split begins at the first key", "split * parameters.split_keys", "0u"),
    mutant("every split goes on to the last key", "end = min(end, split_begin + parameters.split_keys);", ""),
    mutant(
        "splits overlap by a key",
        "min(end, split_begin + parameters.split_keys)",
        "min(end, split_begin + parameters.split_keys + 1u)",
    ),
    mutant(
        "a split where there is none",
        "if (parameters.splits > 1u) {\n        end = min",
        "if (true) {\n        end = min",
    ),
];

pub const FLASH_TILED: Mutants = Mutants {
    kernel: "attention/flash_tiled",
    constants: &[],
    faults: &[
        placing::HEADS,
        placing::HEADS_PAST_THE_END,
        &[
            mutant(
                "the values' second block is the first",
                "4u * (PANEL * block + element % PANEL), parameters.value_dim",
                "4u * (element % PANEL), parameters.value_dim",
            )
            .on("value_blocks=2")
            .once(),
            mutant("the second block is written to the first", "4u * (PANEL * block + group)", "4u * group")
                .on("value_blocks=4")
                .once(),
            mutant("the blocks share their sums", "let at = 4u * block;", "let at = 0u;")
                .on("value_blocks=8")
                .once(),
            mutant(
                "the blocks are written from the first one's sums",
                "accumulated[4u * block + row - my_row]",
                "accumulated[row - my_row]",
            )
            .on("value_blocks=2")
            .once(),
            mutant(
                "the last block is left out",
                "block < VALUE_BLOCKS; block = block + 1u) {\n        let column",
                "block + 1u < VALUE_BLOCKS; block = block + 1u) {\n        let column",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "the last block's values are left out",
                "block < VALUE_BLOCKS; block = block + 1u) {\n            for",
                "block + 1u < VALUE_BLOCKS; block = block + 1u) {\n            for",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "no barrier between a block of values and the next",
                "            workgroupBarrier();\n        }\n    }\n    shares[invocation] = sum;",
                "        }\n    }\n    shares[invocation] = sum;",
            )
            .on("value_blocks=2")
            .once(),
        ],
    ],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = tile.begin / KEYS * KEYS;",
                "first_key = (tile.begin + KEYS - 1u) / KEYS * KEYS;",
            ),
            mutant(
                "the keys' last tile is left out",
                "first_key < tile.end;",
                "first_key + KEYS <= tile.end;",
            ),
            mutant(
                "no barrier between loading panels and multiplying them",
                "            workgroupBarrier();\n            for (var c = 0u;",
                "            for (var c = 0u;",
            ),
            mutant(
                "no barrier between multiplying panels and loading the next",
                "c], place);\n            }\n            workgroupBarrier();",
                "c], place);\n            }",
            ),
            mutant(
                "no barrier between loading values and adding them",
                "            workgroupBarrier();\n            let at = 4u * block;",
                "            let at = 4u * block;",
            ),
            mutant(
                "each panel is the first",
                "let first = 4u * (d4 + element % PANEL);",
                "let first = 4u * (element % PANEL);",
            ),
            mutant("the last four of a panel are left out", "c < PANEL;", "c + 1u < PANEL;"),
            mutant(
                "the keys are those of the first tile",
                "min(first_key + row, tile.span.keys - 1u)",
                "min(row, tile.span.keys - 1u)",
            ),
            mutant(
                "the values are those of the keys' first tile",
                "min(first_key + element / PANEL, tile.span.keys - 1u)",
                "min(element / PANEL, tile.span.keys - 1u)",
            ),
            mutant("the queries are one", "q_base + query * parameters.q_row", "q_base"),
            mutant(
                "a key stands for its neighbour",
                "dot(left, key_panel[place + 3u * PANEL])",
                "dot(left, key_panel[place + 2u * PANEL])",
            ),
            mutant(
                "a query stands for its neighbour",
                "query_panel[(my_row + 3u) * PANEL + c]",
                "query_panel[(my_row + 2u) * PANEL + c]",
            ),
            mutant(
                "the lanes' keys overlap",
                "let place = 4u * group * PANEL + c;",
                "let place = group * PANEL + c;",
            ),
            mutant(
                "a row's products are its neighbour's",
                "weight_tile[(my_row + 3u) * 8u + group] = bitcast<vec4<u32>>(products3);",
                "weight_tile[(my_row + 3u) * 8u + group] = bitcast<vec4<u32>>(products2);",
            ),
            mutant(
                "the rows are shared out by halves of the lanes",
                "let own_row = invocation / 2u;",
                "let own_row = invocation % 32u;",
            ),
            mutant(
                "both lanes of a row take the same keys",
                "let own_half = invocation % 2u;",
                "let own_half = 0u;",
            ),
            mutant(
                "a row is masked as its neighbour",
                "min(first_query + own_row, last_query)",
                "min(first_query + own_row + 1u, last_query)",
            ),
            mutant("a row is masked as the first", "min(first_query + own_row, last_query)", "first_query"),
            mutant(
                "keys are masked as their tile's first",
                "masked_logits(own, first_key + 4u * key4,",
                "masked_logits(own, first_key,",
            ),
            mutant(
                "fours of keys overlap where they are masked",
                "masked_logits(own, first_key + 4u * key4,",
                "masked_logits(own, first_key + key4,",
            ),
            mutant(
                "half of the logits are left out",
                "var highest = LOWEST;\n        for (var key4 = own_half; key4 < KEYS / 4u;",
                "var highest = LOWEST;\n        for (var key4 = own_half; key4 < KEYS / 8u;",
            ),
            mutant(
                "the last four keys have no logits",
                "var highest = LOWEST;\n        for (var key4 = own_half; key4 < KEYS",
                "var highest = LOWEST;\n        for (var key4 = own_half; key4 + 1u < KEYS",
            ),
            mutant(
                "the last four keys have no weights",
                "sum = sum * factor;\n        for (var key4 = own_half; key4 < KEYS",
                "sum = sum * factor;\n        for (var key4 = own_half; key4 + 1u < KEYS",
            ),
            mutant(
                "a NaN is forgotten with the next keys",
                "seen = max(seen, kind_from_four(words));",
                "seen = kind_from_four(words);",
            ),
            mutant(
                "keys are left out of the maximum",
                "highest = max(highest, max(max(logits.x",
                "highest = max(LOWEST, max(max(logits.x",
            ),
            mutant("the fourth key is left out of the maximum", "max(logits.z, logits.w)", "logits.z"),
            mutant("the logits are not kept", "            weight_tile[place] = words;\n", ""),
            mutant(
                "the weights are not kept",
                "            weight_tile[place] = bitcast<vec4<u32>>(weights);\n",
                "",
            ),
            mutant(
                "the running maximum is forgotten",
                "largest = max(before, max(shares",
                "largest = max(LOWEST, max(shares",
            ),
            mutant(
                "a lane is left out of the maximum",
                "max(before, max(shares[2u * own_row], shares[2u * own_row + 1u]))",
                "max(before, shares[2u * own_row])",
            ),
            mutant(
                "the maximum is the lane's own",
                "max(before, max(shares[2u * own_row], shares[2u * own_row + 1u]))",
                "max(before, shares[invocation])",
            ),
            mutant("the running sum is not rescaled", "sum = sum * factor;", ""),
            mutant(
                "the values are not rescaled",
                "factor_tile[own_row] = factor;",
                "factor_tile[own_row] = 1.0;",
            ),
            mutant(
                "a row's values are not rescaled",
                "accumulated[at + 1u] * factor_tile[my_row + 1u]",
                "accumulated[at + 1u]",
            ),
            mutant(
                "a row's factor is its neighbour's",
                "accumulated[at + 2u] * factor_tile[my_row + 2u]",
                "accumulated[at + 2u] * factor_tile[my_row + 1u]",
            ),
            mutant(
                "values added carefully are not rescaled",
                "accumulated[at + r] * factor_tile[my_row + r]",
                "accumulated[at + r]",
            ),
            mutant(
                "values added carefully have the first row's factor",
                "factor_tile[my_row + r]",
                "factor_tile[my_row]",
            ),
            mutant(
                "the weights have the maximum before them",
                "weights_of(weight_tile[place], largest)",
                "weights_of(weight_tile[place], before)",
            ),
            mutant("the running sum begins again", "sum = sum + weights.x", "sum = weights.x"),
            mutant("a weight is not in the sum", "weights.z + weights.w;", "weights.z;"),
            mutant(
                "a row's weights are its neighbour's",
                "weight_tile[(my_row + 2u) * 8u + key4]",
                "weight_tile[(my_row + 1u) * 8u + key4]",
            ),
            mutant(
                "the last four keys' values are left out",
                "factor_tile[my_row + 3u];\n                for (var key4 = 0u; key4 < KEYS",
                "factor_tile[my_row + 3u];\n                for (var key4 = 0u; key4 + 1u < KEYS",
            ),
            mutant(
                "the last four keys' values are not added carefully",
                "key4 < KEYS / 4u; key4 = key4 + 1u) {\n                        let place",
                "key4 + 1u < KEYS / 4u; key4 = key4 + 1u) {\n                        let place",
            ),
            mutant("a value stands for its neighbour", "weights0.w * d", "weights0.w * c"),
            mutant(
                "a key's values are its neighbour's",
                "let d = key_panel[place + 3u * PANEL];",
                "let d = key_panel[place + 2u * PANEL];",
            ),
            mutant("strange values are not told", "atomicStore(&careful, 1u);", "atomicStore(&careful, 0u);"),
            mutant(
                "strange values have the first row's weights",
                "weight_tile[(my_row + r) * 8u + key4]",
                "weight_tile[my_row * 8u + key4]",
            ),
            mutant(
                "a key's values, added carefully, are its neighbour's",
                "key_panel[place + 3u * PANEL],\n                        );",
                "key_panel[place + 2u * PANEL],\n                        );",
            ),
            mutant(
                "the last row's values are not added carefully",
                "for (var r = 0u; r < 4u;",
                "for (var r = 0u; r < 3u;",
            ),
            mutant(
                "the first lane's sum is the row's",
                "let whole = shares[2u * own_row] + shares[2u * own_row + 1u];",
                "let whole = shares[2u * own_row];",
            ),
            mutant(
                "the second lane's NaN does not reach its row",
                "u32(max(shares[2u * own_row], shares[2u * own_row + 1u]))",
                "u32(shares[2u * own_row])",
            ),
            mutant(
                "the first lane's NaN does not reach its row",
                "u32(max(shares[2u * own_row], shares[2u * own_row + 1u]))",
                "u32(shares[2u * own_row + 1u])",
            ),
            mutant("a row ends with the last tile's factor", "factor_tile[own_row] = end_of_row.factor;", ""),
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
                "the last query's sum is left out",
                "first_query + own_row <= last_query",
                "first_query + own_row < last_query",
            ),
            mutant("sums past the end are written", " && first_query + own_row <= last_query", ""),
            mutant(
                "the last query is left out",
                "last_query + 1u - first_query)",
                "last_query - first_query)",
            ),
            mutant(
                "queries past the end are written",
                "min(my_row + 4u, last_query + 1u - first_query)",
                "my_row + 4u",
            ),
            mutant(
                "the rows of four are the first's",
                "accumulated[4u * block + row - my_row]",
                "accumulated[4u * block]",
            ),
            mutant(
                "a column too many is written",
                "if (column + index < count)",
                "if (column + index <= count)",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + row * parameters.output_row",
                "base + row * parameters.value_dim",
            ),
            mutant(
                "a row's sum is written to the first",
                "store_sum(tile.batch, tile.head, first_query + own_row",
                "store_sum(tile.batch, tile.head, first_query",
            ),
        ],
        TILES,
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
        masking::OF_FOUR,
        masking::KINDS_OF_FOUR,
        masking::WORDS_OF_FOUR,
        placing::FLASH,
        placing::FLASH_VALUES,
        placing::FLASH_SPLITS,
        placing::FLASH_WEIGHTS,
        shared::TANH,
        shared::COMPONENT,
        shared::INDEXING,
    ],
};
