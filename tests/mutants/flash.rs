//! Mutants of the fused kernels of `shaders/attention/`.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::{placing, shared};

/// How `flash_tiled` and `flash_lanes` divide the work: the same words.
const TILES: &[Mutant] = &[
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
        "let head = tile / row_tiles % parameters.heads;",
        "let head = tile % parameters.heads;",
    ),
    mutant(
        "the item is the split",
        "/ parameters.heads % parameters.batches;",
        "/ parameters.heads / parameters.batches;",
    ),
];

/// Splits, parts and tiles of keys: all three.
const SPLITS: &[Mutant] = &[
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
    mutant("a part begins at the first tile", "parameters.first_tile + index", "index"),
    mutant("one tile too many", "index >= parameters.tiles", "index > parameters.tiles"),
    mutant("the last tile is left out", "index >= parameters.tiles", "index + 1u >= parameters.tiles"),
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
            mutant(
                "the blocks share their sums",
                "accumulated[4u * block] = sums0;",
                "accumulated[0] = sums0;",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "the last block is left out",
                "block < VALUE_BLOCKS; block = block + 1u) {\n        let column",
                "block + 1u < VALUE_BLOCKS; block = block + 1u) {\n        let column",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "no barrier between a block of values and the next",
                "            accumulated[4u * block + 3u] = sums3;\n            workgroupBarrier();",
                "            accumulated[4u * block + 3u] = sums3;",
            )
            .on("value_blocks=2")
            .once(),
        ],
    ],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = begin / KEYS * KEYS;",
                "first_key = (begin + KEYS - 1u) / KEYS * KEYS;",
            ),
            mutant(
                "the keys end where the first query's do",
                "head, last_query).end",
                "head, first_query).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "head, first_query).begin",
                "head, last_query).begin",
            ),
            mutant("the keys' last tile is left out", "first_key < end;", "first_key + KEYS <= end;"),
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
                "            workgroupBarrier();\n            var sums0",
                "            var sums0",
            ),
            mutant(
                "no barrier between adding values and loading keys",
                "            accumulated[4u * block + 3u] = sums3;\n            workgroupBarrier();",
                "            accumulated[4u * block + 3u] = sums3;",
            ),
            mutant(
                "each panel is the first",
                "let first = 4u * (d4 + element % PANEL);",
                "let first = 4u * (element % PANEL);",
            ),
            mutant("the last four of a panel are left out", "c < PANEL;", "c + 1u < PANEL;"),
            mutant(
                "the keys are those of the first tile",
                "k_place(batch, key_head, min(first_key + row, keys - 1u))",
                "k_place(batch, key_head, min(row, keys - 1u))",
            ),
            mutant(
                "the values are those of the keys' first tile",
                "min(first_key + element / PANEL, keys - 1u)",
                "min(element / PANEL, keys - 1u)",
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
                "a key is masked as its neighbour",
                "masked_logit(row, key + 3u, products.w)",
                "masked_logit(row, key + 2u, products.w)",
            ),
            mutant(
                "a row is masked as its neighbour",
                "first_query + my_row + 2u);",
                "first_query + my_row + 1u);",
            ),
            mutant(
                "the lanes' keys overlap",
                "let key = first_key + 4u * group;",
                "let key = first_key + group;",
            ),
            mutant(
                "a NaN is forgotten with the next tile",
                "poisoned = select(\n            poisoned,",
                "poisoned = select(\n            vec4<f32>(),",
            ),
            mutant(
                "a NaN of another row",
                "any_nan(logits0), any_nan(logits1)",
                "any_nan(logits1), any_nan(logits0)",
            ),
            mutant(
                "the running maximum is forgotten",
                "largest = max(before, vec4<f32>(",
                "largest = max(vec4<f32>(LOWEST), vec4<f32>(",
            ),
            mutant(
                "a lane is left out of the maximum",
                "lane < 8u; lane = lane + 1u) {\n        largest",
                "lane < 7u; lane = lane + 1u) {\n        largest",
            ),
            mutant("the running sum is not rescaled", "sum = sum * factors", "sum = sum"),
            mutant(
                "the values are not rescaled",
                "accumulated[4u * block + 1u] * factors.y",
                "accumulated[4u * block + 1u]",
            ),
            mutant(
                "a row's factor is its neighbour's",
                "rescale(before.z, largest.z)",
                "rescale(before.y, largest.y)",
            ),
            mutant(
                "a row's maximum is its neighbour's",
                "weights_of(logits2, largest.z)",
                "weights_of(logits2, largest.y)",
            ),
            mutant("the running sum begins again", "sum = sum * factors\n            + vec4", "sum = vec4"),
            mutant("a row has its neighbour's sum", "dot(weights3, ones));", "dot(weights2, ones));"),
            mutant(
                "a row's weights are its neighbour's",
                "weight_tile[(my_row + 2u) * 8u + key4]",
                "weight_tile[(my_row + 1u) * 8u + key4]",
            ),
            mutant("the last four keys' values are left out", "key4 < KEYS / 4u;", "key4 + 1u < KEYS / 4u;"),
            mutant("a value stands for its neighbour", "weights0.w * values3", "weights0.w * values2"),
            mutant(
                "a key's values are its neighbour's",
                "let values3 = key_panel[place + 3u * PANEL];",
                "let values3 = key_panel[place + 2u * PANEL];",
            ),
            mutant("strange values are not told", "atomicStore(&careful, 1u);", "atomicStore(&careful, 0u);"),
            mutant(
                "a lane is left out of the sum",
                "lane < 8u; lane = lane + 1u) {\n        sum",
                "lane < 7u; lane = lane + 1u) {\n        sum",
            ),
            mutant("the third row ends as the second", "end = ending2;", "end = ending1;"),
            mutant(
                "the last query is left out",
                "first_query + my_row + row <= last_query",
                "first_query + my_row + row < last_query",
            ),
            mutant("queries past the end are written", "first_query + my_row + row <= last_query", "true"),
            mutant(
                "a column too many is written",
                "column < parameters.value_dim",
                "column <= parameters.value_dim",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "(my_row + row) * parameters.output_row",
                "(my_row + row) * parameters.value_dim",
            ),
            mutant(
                "a row's sum is its neighbour's",
                "store_sum(batch, head, first_query + my_row + row, split, end)",
                "store_sum(batch, head, first_query + my_row + row, split, ending0)",
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
        placing::MASKING,
        placing::FLASH,
        placing::FLASH_WEIGHTS,
        shared::TANH,
        shared::COMPONENT,
        shared::INDEXING,
    ],
};

pub const FLASH_LANES: Mutants = Mutants {
    kernel: "attention/flash_lanes",
    constants: &[],
    faults: &[
        placing::HEADS,
        &[
            mutant(
                "the second block's columns are the first's",
                "let column = KEYS * block + 4u * lane;",
                "let column = 4u * lane;",
            )
            .on("value_blocks=2")
            .once(),
            mutant("the blocks share their sums", "let at = TILE_ROWS * block;", "let at = 0u;")
                .on("value_blocks=2")
                .once(),
            mutant(
                "the second block is written to the first",
                "KEYS * block + 4u * lane, values",
                "4u * lane, values",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "the last block is left out",
                "(parameters.value_dim + KEYS - 1u) / KEYS",
                "max(parameters.value_dim / KEYS, 1u)",
            )
            .on("value_blocks=8")
            .once(),
        ],
    ],
    once: &[
        &[
            mutant(
                "the keys' band begins a tile late",
                "first_key = begin / KEYS * KEYS;",
                "first_key = (begin + KEYS - 1u) / KEYS * KEYS;",
            ),
            mutant(
                "the keys end where the first query's do",
                "first_query + rows - 1u).end",
                "first_query).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "head, first_query).begin",
                "head, first_query + rows - 1u).begin",
            ),
            mutant("the keys' last tile is left out", "first_key < end;", "first_key + KEYS <= end;"),
            mutant(
                "an element of four keys is the one before",
                "vec4<f32>(a.y, b.y, c.y, d.y)",
                "vec4<f32>(a.x, b.x, c.x, d.x)",
            ),
            mutant("the fourth element is left out", " + left.w * right.k3", ""),
            mutant("the sum begins again with each four elements", "return sum + left.x", "return left.x"),
            mutant(
                "a key stands for its neighbour",
                "min(my_key + 3u, keys - 1u)",
                "min(my_key + 2u, keys - 1u)",
            ),
            mutant(
                "the lanes' keys overlap",
                "let my_key = first_key + 4u * lane;",
                "let my_key = first_key + lane;",
            ),
            mutant(
                "the head's last elements are left out",
                "first < parameters.head_dim;",
                "first + 4u < parameters.head_dim;",
            ),
            mutant(
                "the fourth row is the third",
                "subgroupBroadcast(left[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE)",
                "subgroupBroadcast(left[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE)",
            )
            .times(3),
            mutant(
                "the tenth row is the second",
                "multiply(row9, subgroupBroadcast(left[9u / SUBGROUP_SIZE]",
                "multiply(row9, subgroupBroadcast(left[0u / SUBGROUP_SIZE]",
            )
            .times(2),
            mutant(
                "the second rows' queries are the first's",
                "q_block(left_places.y,",
                "q_block(left_places.x,",
            ),
            mutant(
                "the second rows' weights are the first's",
                "weight_tile[left_rows.y *",
                "weight_tile[left_rows.x *",
            ),
            mutant(
                "a row of strange values is its neighbour's",
                "multiply_carefully(row5, subgroupBroadcast(left[5u /",
                "multiply_carefully(row4, subgroupBroadcast(left[5u /",
            ),
            mutant(
                "a key is masked as its neighbour",
                "masked_logit(row, my_key + 3u, product.w)",
                "masked_logit(row, my_key + 2u, product.w)",
            ),
            mutant(
                "a row is masked as the first",
                "row_of_query(batch, head, first_query + r);",
                "row_of_query(batch, head, first_query);",
            ),
            mutant(
                "the maximum is the lane's own",
                "max(before, subgroupMax(highest))",
                "max(before, highest)",
            ),
            mutant(
                "the running maximum is forgotten",
                "max(before, subgroupMax(highest))",
                "subgroupMax(highest)",
            ),
            mutant("the running maximum stays", "largest[r] = after;", ""),
            mutant("the running sum is not rescaled", "sum[r] * factor + weights.x", "sum[r] + weights.x"),
            mutant("the values are not rescaled", "factors[r] = factor;", "factors[r] = 1.0;"),
            mutant(
                "a row's values are not rescaled",
                "accumulated[at + 2u] * factors[2]",
                "accumulated[at + 2u]",
            ),
            mutant(
                "a row's factor is its neighbour's",
                "accumulated[at + 11u] * factors[11]",
                "accumulated[at + 11u] * factors[10]",
            ),
            mutant(
                "the running sum begins again",
                "sum[r] = sum[r] * factor + weights.x",
                "sum[r] = weights.x",
            ),
            mutant("a weight is not in the sum", " + weights.w;", ";"),
            mutant("a NaN is forgotten", "poisoned[r] = true;", ""),
            mutant("a NaN stays in its lane", "subgroupAny(poisoned[r])", "poisoned[r]"),
            mutant(
                "a row is kept for its neighbour",
                "accumulated[at + 12u] = row12;",
                "accumulated[at + 12u] = row11;",
            ),
            mutant(
                "the last four keys' values are left out",
                "key4 < SUBGROUP_SIZE;",
                "key4 + 1u < SUBGROUP_SIZE;",
            ),
            mutant(
                "a key's values are its neighbour's",
                "min(key + 3u, keys - 1u)",
                "min(key + 2u, keys - 1u)",
            ),
            mutant(
                "the values are those of the keys' first tile",
                "let key = first_key + 4u * key4;",
                "let key = 4u * key4;",
            ),
            mutant("strange values are not told", "if (subgroupAny(strange)) {", "if (false) {"),
            mutant("the sum is the lane's own", "subgroupAdd(sum[r])", "sum[r]"),
            mutant("queries past the end are written", "min(TILE_ROWS, queries - first_query)", "TILE_ROWS"),
            mutant(
                "the last query is left out",
                "r < rows; r = r + 1u) {\n        let poison",
                "r + 1u < rows; r = r + 1u) {\n        let poison",
            ),
            mutant("a tile without queries is written", "first_query >= queries", "false"),
            mutant(
                "a column too many is written",
                "column < parameters.value_dim",
                "column <= parameters.value_dim",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + r * parameters.output_row",
                "base + r * parameters.value_dim",
            ),
            mutant(
                "a row's sum is written to the first",
                "store_sum(batch, head, first_query + r,",
                "store_sum(batch, head, first_query,",
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
        placing::MASKING,
        placing::FLASH,
        placing::FLASH_WEIGHTS,
        shared::TANH,
        shared::COMPONENT,
        shared::INDEXING,
    ],
};

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
                "first_head, queries - 1u).end",
                "first_head, 0u).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "first_head, 0u).begin",
                "first_head, queries - 1u).begin",
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
                "row_of_query(batch, head, row % queries), key",
                "row_of_query(batch, head, 0u), key",
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
                "if (is_nan(logit)) {\n                poisoned = 1.0;\n            }",
                "poisoned = select(0.0, 1.0, is_nan(logit));",
            ),
            mutant(
                "a NaN stays in its lane",
                "poison = max(poison, weight_tile[my_row * 8u + place]);",
                "poison = poisoned;",
            ),
            mutant("keys are left out of the maximum", "highest = max(highest, logit);", "highest = logit;"),
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
                "exp(max(logit - largest, -150.0)), 0.0, logit == LOWEST",
                "exp(max(logit, -150.0)), 0.0, logit == LOWEST",
            ),
            mutant("masked keys have weights", "0.0, logit == LOWEST)", "0.0, false)"),
            mutant("exp ends at −15", "max(logit - largest, -150.0)", "max(logit - largest, -15.0)"),
            mutant(
                "a row's weights are its neighbour's",
                "weight_tile[at + 5u] * elements",
                "weight_tile[at + 4u] * elements",
            ),
            mutant(
                "a row's weights of strange values are its neighbour's",
                "careful_product(weight_tile[at + 2u], elements)",
                "careful_product(weight_tile[at + 1u], elements)",
            ),
            mutant("strange values are not told", "if (any_nonfinite(elements)) {", "if (false) {"),
            mutant(
                "the values are those of the keys' first tile",
                "min(first_key + place, keys - 1u)",
                "min(place, keys - 1u)",
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
                "column < parameters.value_dim) {\n            output",
                "column <= parameters.value_dim) {\n            output",
            )
            .on("!aligned"),
            mutant(
                "the last columns are left out",
                "4u * column < parameters.value_dim;",
                "4u * column + 4u < parameters.value_dim;",
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
        placing::MASKING,
        placing::FLASH,
        shared::TANH,
        shared::COMPONENT,
        shared::INDEXING,
    ],
};
