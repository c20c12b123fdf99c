//! Mutants of `shaders/attention/flash_tiled.wgsl` and `flash_lanes.wgsl`.

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

/// Splits and parts, as `flash_decode` has them too.
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

/// Without the faults of the masks themselves: `flash_tiled` and `flash_decode` have the same text of them, and the same
/// cases, and a pipeline here takes seconds to compile.
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
        placing::FLASH,
        placing::FLASH_WEIGHTS,
        shared::INDEXING,
    ],
};
