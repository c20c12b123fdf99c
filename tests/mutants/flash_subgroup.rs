//! Mutants of `shaders/attention/flash_subgroup.wgsl`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

/// Without the faults of the masks themselves: `flash_tiled` has the same text of them, and the same cases, and a
/// pipeline here takes seconds to compile.
///
/// None for the barriers: the workgroup is one subgroup.
pub const FLASH_SUBGROUP: Mutants = Mutants {
    kernel: "attention/flash_subgroup",
    constants: &[],
    faults: &[
        shared::HALVES,
        &[
            mutant(
                "the second block's columns are the first's",
                "let column = KEYS * block + 4u * lane;",
                "let column = 4u * lane;",
            )
            .on("value_blocks=2")
            .once(),
            mutant("the second block goes on from the first", "select(picked, b, block == 1u)", "picked")
                .on("value_blocks=2")
                .once(),
            mutant(
                "the second block of a row is its neighbour's",
                "before[2] = pick(block, block0[2], block1[2]",
                "before[2] = pick(block, block0[2], block1[1]",
            )
            .on("value_blocks=2")
            .once(),
            mutant("the second block is kept for a neighbour", "block1[13] = row13;", "block1[13] = row12;")
                .on("value_blocks=2")
                .once(),
            mutant(
                "the second block is written to the first",
                "KEYS * block + 4u * lane, parameters.value_dim",
                "4u * lane, parameters.value_dim",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "every block is kept in the second's place",
                "VALUE_BLOCKS > 1u && block == 1u",
                "VALUE_BLOCKS > 1u && block > 0u",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "the third block is the fourth",
                "select(picked, c, block == 2u)",
                "select(picked, d, block == 2u)",
            )
            .on("value_blocks=4")
            .once(),
            mutant("the fourth block is the third", "d, block == 3u)", "c, block == 3u)")
                .on("value_blocks=4")
                .once(),
            mutant("the third block is kept for a neighbour", "block2[5] = row5;", "block2[5] = row4;")
                .on("value_blocks=4")
                .once(),
            mutant("the fourth block is kept for a neighbour", "block3[10] = row10;", "block3[10] = row9;")
                .on("value_blocks=4")
                .once(),
            mutant(
                "the fourth block of a row is its neighbour's",
                "            row4 = pick(block, block0[4], block1[4], block2[4], block3[4])",
                "            row4 = pick(block, block0[4], block1[4], block2[4], block3[3])",
            )
            .on("value_blocks=4")
            .once(),
            mutant(
                "the other blocks share their sums",
                "let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;",
                "let at = 0u;",
            )
            .times(2)
            .on("value_blocks=8")
            .once(),
            mutant(
                "the other blocks are written from the first of them",
                "let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;\n        before[0]",
                "let at = 0u;\n        before[0]",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "another block of a row is its neighbour's",
                "row6 = others[at + 6u];",
                "row6 = others[at + 5u];",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "another block is kept for a neighbour",
                "others[at + 11u] = row11;",
                "others[at + 11u] = row10;",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "another block's rows are the first one's",
                "values = others[at + r];",
                "values = others[at];",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "other blocks begin again with each tile",
                "if (VALUE_BLOCKS > 4u && block >= 4u) {\n                row0",
                "if (false) {\n                row0",
            )
            .on("value_blocks=8")
            .once(),
            mutant(
                "the last block is left out",
                "(parameters.value_dim + KEYS - 1u) / KEYS",
                "max(parameters.value_dim / KEYS, 1u)",
            )
            .on("value_blocks=8")
            .once(),
        ],
        // Where a lane has four rows.
        &[
            mutant(
                "the third rows' queries are the second's",
                "q_block(left_places.z,",
                "q_block(left_places.y,",
            )
            .on("subgroup_size=4")
            .once(),
            mutant(
                "the fourth rows' weights are the third's",
                "weight_tile[left_rows.w *",
                "weight_tile[left_rows.z *",
            )
            .on("subgroup_size=4")
            .once(),
            mutant(
                "the third rows are weighed as the second",
                "weigh(state_c, row_c, my_rows.z",
                "weigh(state_c, row_b, my_rows.z",
            )
            .on("subgroup_size=4")
            .once(),
            mutant("the fourth rows go on from the third", "weigh(state_d, row_d", "weigh(state_c, row_d")
                .on("subgroup_size=4")
                .once(),
            mutant(
                "the fourth rows' factors are the third's",
                "state_c.factor, state_d.factor",
                "state_c.factor, state_c.factor",
            )
            .on("subgroup_size=4")
            .once(),
            mutant("the fourth rows end as the third", "finish(state_d, tile", "finish(state_c, tile")
                .on("subgroup_size=4")
                .once(),
            mutant("the third rows past the end are written", "LEFTS > 2u && my_rows.z < rows", "LEFTS > 2u")
                .on("subgroup_size=4")
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
                "an element of four keys is the one before",
                "vec4<f32>(p.k0.y, p.k1.y, p.k2.y, p.k3.y)",
                "vec4<f32>(p.k0.x, p.k1.x, p.k2.x, p.k3.x)",
            ),
            mutant("the fourth element is left out", " + left.w * right.k3", ""),
            mutant("the sum begins again with each four elements", "return sum + left.x", "return left.x"),
            mutant(
                "a key stands for its neighbour",
                "first_key + 4u * lane + vec4<u32>(0u, 1u, 2u, 3u)",
                "first_key + 4u * lane + vec4<u32>(0u, 1u, 2u, 2u)",
            ),
            mutant(
                "the lanes' keys overlap",
                "min(first_key + 4u * lane + vec4",
                "min(first_key + lane + vec4",
            ),
            mutant(
                "a key lies where its neighbour does",
                "key_steps(tile.batch, my_keys.w)",
                "key_steps(tile.batch, my_keys.z)",
            ),
            mutant("a key is its neighbour", "k_at(step3, tile.key_head)", "k_at(step2, tile.key_head)"),
            mutant(
                "a key lies where its values do",
                "k_at(step1, tile.key_head)",
                "v_at(step1, tile.key_head)",
            ),
            mutant(
                "a key's values are its neighbour's",
                "v_at(step3, tile.key_head)",
                "v_at(step2, tile.key_head)",
            ),
            mutant("four keys' values are two's", "v_block(places.w, column", "v_block(places.z, column"),
            mutant(
                "the values are those of the first four keys",
                "let places = value_places[key4];",
                "let places = value_places[0];",
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
            .times(2),
            mutant(
                "the tenth row is the second",
                "multiply(row9, subgroupBroadcast(left[9u / SUBGROUP_SIZE]",
                "multiply(row9, subgroupBroadcast(left[0u / SUBGROUP_SIZE]",
            )
            .times(2),
            mutant(
                "the second rows are the first",
                "lane + SUBGROUP_SIZE * vec4<u32>(0u, 1u, 2u, 3u)",
                "lane + SUBGROUP_SIZE * vec4<u32>(0u, 0u, 2u, 3u)",
            ),
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
                "a row's products are its neighbour's",
                "weight_tile[6u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row6);",
                "weight_tile[6u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row5);",
            ),
            mutant(
                "a row's products lie at its neighbour's",
                "weight_tile[14u * SUBGROUP_SIZE + lane]",
                "weight_tile[13u * SUBGROUP_SIZE + lane]",
            ),
            mutant(
                "a row is masked as the first",
                "row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.x)",
                "row_of_query(tile.span, tile.batch, tile.head, first_query)",
            ),
            mutant(
                "the second rows are masked as the first",
                "row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.y)",
                "row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.x)",
            ),
            mutant(
                "the second rows are weighed as the first",
                "weigh(state_b, row_b, my_rows.y",
                "weigh(state_b, row_a, my_rows.y",
            ),
            mutant(
                "the second rows go on from the first",
                "weigh(state_b, row_b, my_rows.y",
                "weigh(state_a, row_b, my_rows.y",
            ),
            mutant(
                "the first rows are weighed twice",
                "weigh(state_b, row_b, my_rows.y",
                "weigh(state_b, row_b, my_rows.x",
            ),
            mutant(
                "fours of keys overlap where they are masked",
                "masked_logits(row, first_key + 4u * key4,",
                "masked_logits(row, first_key + key4,",
            ),
            mutant(
                "the last four keys have no logits",
                "var after = before;\n    for (var key4 = 0u; key4 < SUB",
                "var after = before;\n    for (var key4 = 0u; key4 + 1u < SUB",
            ),
            mutant(
                "the last four keys have no weights",
                "before.sum * after.factor;\n    for (var key4 = 0u; key4 < SUB",
                "before.sum * after.factor;\n    for (var key4 = 0u; key4 + 1u < SUB",
            ),
            mutant("a NaN is forgotten", "max(after.seen, kind_from_four(words))", "kind_from_four(words)"),
            mutant("a NaN is not seen", "max(after.seen, kind_from_four(words))", "after.seen"),
            mutant(
                "the running maximum is forgotten",
                "var after = before;",
                "var after = before;\n    after.largest = LOWEST;",
            ),
            mutant(
                "keys are left out of the maximum",
                "after.largest = max(after.largest,",
                "after.largest = max(before.largest,",
            ),
            mutant("the fourth key is left out of the maximum", "max(logits.z, logits.w)", "logits.z"),
            mutant("the logits are not kept", "        weight_tile[place] = words;\n", ""),
            mutant(
                "the weights are not kept",
                "        weight_tile[place] = bitcast<vec4<u32>>(weights);\n",
                "",
            ),
            mutant(
                "nothing is rescaled where the maximum rises",
                "after.factor = rescale(before.largest, after.largest);",
                "after.factor = 1.0;",
            ),
            mutant("the running sum is not rescaled", "before.sum * after.factor", "before.sum"),
            mutant(
                "the weights have the maximum before them",
                "weights_of(weight_tile[place], after.largest)",
                "weights_of(weight_tile[place], before.largest)",
            ),
            mutant(
                "the running sum begins again",
                "after.sum = after.sum + weights.x",
                "after.sum = weights.x",
            ),
            mutant("a weight is not in the sum", " + weights.w;", ";"),
            mutant(
                "the second rows' factors are the first's",
                "state_a.factor, state_b.factor",
                "state_a.factor, state_a.factor",
            ),
            mutant(
                "a row's values are not rescaled",
                "row2 = row2 * subgroupBroadcast(factors[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE);",
                "",
            ),
            mutant(
                "a row's factor is its neighbour's",
                "row5 * subgroupBroadcast(factors[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE)",
                "row5 * subgroupBroadcast(factors[5u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE)",
            ),
            mutant(
                "the thirteenth row's factor is the fifth's",
                "row12 * subgroupBroadcast(factors[12u / SUBGROUP_SIZE]",
                "row12 * subgroupBroadcast(factors[0u / SUBGROUP_SIZE]",
            ),
            mutant(
                "a row goes on from its neighbour",
                "row11 = pick(block, block0[11], block1[11]",
                "row11 = pick(block, block0[10], block1[11]",
            ),
            mutant("a row is kept for its neighbour", "block0[12] = row12;", "block0[12] = row11;"),
            mutant(
                "a row is written from its neighbour",
                "before[13] = pick(block, block0[13],",
                "before[13] = pick(block, block0[12],",
            ),
            mutant(
                "the last four keys' values are left out",
                "key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {\n                let right",
                "key4 + 1u < SUBGROUP_SIZE; key4 = key4 + 1u) {\n                let right",
            ),
            mutant("strange values are not told", "if (subgroupAny(strange)) {", "if (false) {"),
            mutant(
                "the first key's strange values are not told",
                "strange || any_nonfinite(right.k0)",
                "strange",
            ),
            mutant("the third key's strange values are not told", " || any_nonfinite(right.k2)", ""),
            mutant(
                "strange values are forgotten with the next keys",
                "strange || any_nonfinite(right.k0)",
                "any_nonfinite(right.k0)",
            ),
            mutant("the second key's strange values are not told", " || any_nonfinite(right.k1)", ""),
            mutant(
                "the fourth key's strange values are not told",
                "\n                    || any_nonfinite(right.k3)",
                "",
            ),
            mutant(
                "the second turn begins again with each four keys",
                "before[r] += careful_sum",
                "before[r] = careful_sum",
            ),
            mutant(
                "the second turn has the first row's weights",
                "weight_tile[r * SUBGROUP_SIZE + key4]);\n                        before",
                "weight_tile[key4]);\n                        before",
            ),
            mutant(
                "the second turn takes a key's values for its neighbour's",
                "careful_sum(weights, right.k0, right.k1, right.k2, right.k3)",
                "careful_sum(weights, right.k0, right.k1, right.k2, right.k2)",
            ),
            mutant("the second turn leaves the last row out", "r < TILE_ROWS;", "r + 1u < TILE_ROWS;"),
            mutant(
                "the second turn leaves the last four keys out",
                "key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {\n                    let right",
                "key4 + 1u < SUBGROUP_SIZE; key4 = key4 + 1u) {\n                    let right",
            ),
            mutant(
                "the second turn goes on from a row that is not rescaled",
                "before[3] = row3;",
                "before[3] = block0[3];",
            ),
            mutant("the second turn goes on from a neighbour", "before[9] = row9;", "before[9] = row8;"),
            mutant("the second turn's row is its neighbour's", "row7 = before[7];", "row7 = before[6];"),
            mutant(
                "the second turn's last row is its neighbour's",
                "row15 = before[15];",
                "row15 = before[14];",
            ),
            mutant("the second rows end as the first", "finish(state_b, tile", "finish(state_a, tile"),
            mutant(
                "the second rows' endings are the first's",
                "finish(state_b, tile, my_rows.y)",
                "finish(state_b, tile, my_rows.x)",
            ),
            mutant("sums past the end are written", "if (my_rows.x < rows) {", "if (true) {"),
            mutant(
                "the second sums past the end are written",
                "LEFTS > 1u && my_rows.y < rows",
                "LEFTS > 1u",
            ),
            mutant("the last row has no ending", "if (my_rows.x < rows) {", "if (my_rows.x + 1u < rows) {"),
            mutant("a NaN does not reach the values", "select(0.0, 1.0, end.poisoned)", "0.0"),
            mutant("a row's ending is written to the first", "ending_tile[r] =", "ending_tile[0] ="),
            mutant("the rows end as the first", "values, ending_tile[r].x", "values, ending_tile[0].x"),
            mutant(
                "the last query is left out",
                "r < rows; r = r + 1u) {\n            var values",
                "r + 1u < rows; r = r + 1u) {\n            var values",
            ),
            mutant(
                "a column too many is written",
                "if (column + index < count)",
                "if (column + index <= count)",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + r * parameters.output_row",
                "base + r * parameters.value_dim",
            ),
            mutant(
                "a row's sum is written to the first",
                "tile.first_query + r, tile.split",
                "tile.first_query, tile.split",
            ),
        ],
        shared::TILES,
        shared::QUERIES,
        shared::KEYS,
        shared::VALUES,
        shared::OUTPUT,
        shared::FLASH,
    ],
};
