//! Mutants of `shaders/attention/scores_lanes.wgsl` and `softmax_values_lanes.wgsl`.

use crate::mutant::{Mutants, list_on, mutant};
use crate::{masking, placing, shared};

pub const SCORES_LANES: Mutants = Mutants {
    kernel: "attention/scores_lanes",
    constants: &[],
    faults: &[],
    once: &[
        &[
            mutant(
                "each query head has its own keys",
                "let key_head = head / parameters.heads_per_key;",
                "let key_head = head;",
            ),
            mutant("a part begins at the first head", "parameters.first_batch_head + part_head", "part_head"),
            mutant(
                "a part begins at the first query",
                "let first_query = parameters.first_query + first_row;",
                "let first_query = first_row;",
            ),
            mutant(
                "a part has all queries of its item",
                "min(query_count(batch), parameters.first_query + parameters.queries)",
                "parameters.first_query + parameters.queries",
            ),
            mutant(
                "one head too many",
                "part_head >= parameters.batch_heads",
                "part_head > parameters.batch_heads",
            ),
            mutant(
                "an element of four keys is the one before",
                "vec4<f32>(a.y, b.y, c.y, d.y)",
                "vec4<f32>(a.x, b.x, c.x, d.x)",
            ),
            mutant("the fourth element is left out", " + left.w * right.k3", ""),
            mutant("the sum begins again with each four elements", "return sum + left.x", "return left.x"),
            mutant(
                "a key stands for its neighbour",
                "4u * block + vec4<u32>(0u, 1u, 2u, 3u)",
                "4u * block + vec4<u32>(0u, 1u, 2u, 2u)",
            ),
            mutant("the lanes have the same keys", "tile_key / 4u + lane", "tile_key / 4u"),
            mutant(
                "a key lies where its neighbour does",
                "k_place(batch, key_head, my_keys.w)",
                "k_place(batch, key_head, my_keys.z)",
            ),
            mutant(
                "the head's last elements are left out",
                "first < parameters.head_dim;",
                "first + 4u < parameters.head_dim;",
            ),
            mutant(
                "four elements are the first ones",
                "let right = load_keys(places, first);",
                "let right = load_keys(places, 0u);",
            ),
            mutant(
                "the fourth row is the third",
                "subgroupBroadcast(left0, 3u)",
                "subgroupBroadcast(left0, 2u)",
            ),
            mutant(
                "the tenth row is the second",
                "subgroupBroadcast(left8, 1u)",
                "subgroupBroadcast(left0, 1u)",
            ),
            mutant(
                "the second rows' queries are the first's",
                "q_block(left_places.y,",
                "q_block(left_places.x,",
            ),
            mutant(
                "the third rows' queries are the second's",
                "q_block(left_places.z,",
                "q_block(left_places.y,",
            )
            .on("tile_rows=32"),
            mutant(
                "the last rows' queries are the third's",
                "q_block(left_places.w,",
                "q_block(left_places.z,",
            )
            .on("tile_rows=32"),
            mutant(
                "a row is stored for its neighbour",
                "scores[to + min(6u, last) * row_blocks] = row6;",
                "scores[to + min(6u, last) * row_blocks] = row5;",
            ),
            mutant(
                "rows past the end are written",
                "min(4u, last) * row_blocks] = row4",
                "4u * row_blocks] = row4",
            ),
            mutant(
                "a row of the second half lies at its neighbour's",
                "scores[to + min(21u, last)",
                "scores[to + min(20u, last)",
            )
            .on("tile_rows=32"),
            mutant(
                "the keys end where the first query's do",
                "first_query + rows - 1u).end",
                "first_query).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "band_of_query(batch, first_query).begin",
                "band_of_query(batch, first_query + rows - 1u).begin",
            ),
            mutant("tiles before the band are written", "tile_key + TILE_COLUMNS <= begin", "false"),
            mutant("a key past the end is read", "vec4<u32>(end - 1u)", "vec4<u32>(end)"),
            mutant("four keys too many are written", "(end - 1u) / 4u", "end / 4u"),
            mutant(
                "the scores' rows are as long as there are keys",
                "parameters.scores_row / 4u",
                "parameters.key_length / 4u",
            ),
            mutant(
                "the heads' scores are written to one place",
                "(part_head * parameters.queries + first_row)",
                "first_row",
            ),
            mutant(
                "the tiles' scores are written to one place",
                "(part_head * parameters.queries + first_row)",
                "part_head * parameters.queries",
            ),
            mutant(
                "queries begin at the item's first",
                "q_place(batch, head, first_query)",
                "q_place(batch, head, 0u)",
            ),
            mutant("a tile without queries is written", "first_query >= queries", "false"),
            mutant("the causal bound is strict", "i32(parameters.right) + 1", "i32(parameters.right)"),
            mutant(
                "the causal bound lets one more",
                "i32(parameters.right) + 1",
                "i32(parameters.right) + 2",
            ),
            mutant("no bound on the right", "parameters.right != NONE", "false"),
            mutant("no window", "parameters.left != NONE", "false"),
            mutant("bottom-right is taken for top-left", "parameters.aligned_to_end != 0u", "false"),
            mutant("the shift is left out", "i32(query) + shift", "i32(query)"),
            mutant("a row's blocks are one", "return k[(place + first) / 4u]", "return k[place / 4u]")
                .on("keys_f32"),
            mutant(
                "the halves of four elements are exchanged",
                "unpack2x16float(words.x), unpack2x16float(words.y)",
                "unpack2x16float(words.y), unpack2x16float(words.x)",
            )
            .on("keys_f16"),
            mutant("the two keys of a word are swapped", "index % 2u == 1u", "index % 2u == 0u")
                .on("keys_f16_unaligned"),
            mutant("the second element is the first", "q[inside.x], q[inside.y]", "q[inside.x], q[inside.x]")
                .on("queries_unaligned"),
            mutant("a row's end is repeated", "select(vec4<f32>(), values, at < vec4<u32>(count))", "values")
                .times(2)
                .on("queries_unaligned"),
        ],
        placing::QUERIES,
        placing::PACKED_QUERIES,
        placing::KEYS,
        placing::PACKED_KEYS,
        placing::PAGED,
        placing::KEY_LENGTHS,
        shared::INDEXING,
    ],
};

pub const SOFTMAX_VALUES_LANES: Mutants = Mutants {
    kernel: "attention/softmax_values_lanes",
    constants: &[],
    faults: &[],
    // What only some variants use is planted in one that does.
    once: &[
        &[
            mutant(
                "each query head has its own values",
                "let key_head = head / parameters.heads_per_key;",
                "let key_head = head;",
            ),
            mutant("a part begins at the first head", "parameters.first_batch_head + part_head", "part_head"),
            mutant(
                "a part begins at the first query",
                "let first_query = parameters.first_query + first_row;",
                "let first_query = first_row;",
            ),
            mutant(
                "one head too many",
                "part_head >= parameters.batch_heads",
                "part_head > parameters.batch_heads",
            ),
            mutant(
                "a part has all queries of its item",
                "min(query_count(batch), parameters.first_query + parameters.queries)",
                "parameters.first_query + parameters.queries",
            )
            .on("terms"),
            mutant(
                "the heads have the same scores",
                "(part_head * parameters.queries + first_row)",
                "first_row",
            ),
            mutant(
                "the scores' rows are as long as there are keys",
                "let at = scores_base + my_row * (parameters.scores_row / 4u);",
                "let at = scores_base + my_row * (parameters.key_length / 4u);",
            ),
            mutant("four keys' values are three's", "v_block(places.w, column", "v_block(places.z, column"),
            mutant(
                "a key's values are its neighbour's",
                "min(key + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u))",
                "min(key + vec4<u32>(0u, 1u, 2u, 2u), vec4<u32>(end - 1u))",
            )
            .times(2),
            mutant(
                "v's rows are as long as they have elements",
                "keys * parameters.v_row",
                "keys * parameters.value_dim",
            )
            .on("!paged"),
            mutant("the sum begins again with each four keys", "return sum + left.x", "return left.x"),
            mutant("the fourth key is left out", " + left.w * right.k3", ""),
            mutant(
                "the fourth row has the third's weights",
                "subgroupBroadcast(a, 3u)",
                "subgroupBroadcast(a, 2u)",
            ),
            mutant(
                "the tenth row has the second's weights",
                "subgroupBroadcast(b, 1u)",
                "subgroupBroadcast(a, 1u)",
            ),
            mutant(
                "the third rows have the first's weights",
                "c = weights_at(own_c, key);",
                "c = weights_at(own_a, key);",
            )
            .on("tile_rows=32"),
            mutant("the last rows are not in their sums", "sum_d = sum_d + d;", "").on("tile_rows=32"),
            mutant(
                "the second block of values is the first",
                "other = load_values(places, second_column);",
                "other = load_values(places, column);",
            )
            .on("value_blocks=2"),
            mutant(
                "the second block is written to the first",
                "store_row(to, 3u, last, second_column, row19);",
                "store_row(to, 3u, last, column, row19);",
            )
            .on("value_blocks=2 aligned"),
            mutant(
                "the second block is written to the first",
                "select(second_column, column, r < TILE_ROWS)",
                "column",
            )
            .on("value_blocks=2 !aligned"),
            mutant("the sum begins again", "sum_b = sum_b + b;", "sum_b = b;"),
            mutant(
                "the first key alone is in the sum",
                "return sum.x + sum.y + sum.z + sum.w;",
                "return sum.x;",
            ),
            mutant(
                "keys are left out of the maximum",
                "largest = max(largest, max(max(a, b), max(c, d)));",
                "largest = max(a, b);",
            )
            .on("!terms"),
            mutant("keys are left out of the maximum", "largest = max(largest, found);", "largest = found;")
                .on("terms"),
            mutant("a NaN is not seen", "magnitude = max(magnitude, sizes);", "").on("!terms"),
            mutant("a NaN is not seen", "magnitude = max(magnitude, magnitudes(found));", "").on("terms"),
            mutant("a row of −∞ alone saw nothing", "if (most == INFINITY_BITS) {", "if (false) {")
                .on("!terms"),
            mutant(
                "keys outside of the band have weights",
                "select(vec4<f32>(), weights, in_band(own.begin, own.end, key))",
                "weights",
            )
            .on("!terms"),
            mutant(
                "keys before the band have weights",
                "(four >= vec4<u32>(begin)) & (four < vec4<u32>(end))",
                "four < vec4<u32>(end)",
            )
            .on("!terms"),
            mutant(
                "keys behind the band have weights",
                "(four >= vec4<u32>(begin)) & (four < vec4<u32>(end))",
                "four >= vec4<u32>(begin)",
            )
            .on("!terms"),
            mutant(
                "keys outside of the band are in the maximum",
                "select(vec4<f32>(LOWEST), scores[at] * parameters.scale, in_band(row.begin, row.end, key))",
                "scores[at] * parameters.scale",
            )
            .on("!terms"),
            mutant(
                "the scale is left out of the weights",
                "scores[own.at + key / 4u] * parameters.scale",
                "scores[own.at + key / 4u]",
            )
            .on("!terms"),
            mutant(
                "each four keys have the first one's weights",
                "scores[own.at + key / 4u]",
                "scores[own.at]",
            )
            .on("!terms"),
            mutant("the logits are not kept", "logits[at + key4] = found;", "").on("terms"),
            mutant(
                "each four keys have the first one's logits",
                "weights_of(logits[own.at + key / 4u]",
                "weights_of(logits[own.at]",
            )
            .on("terms"),
            mutant(
                "fours of keys overlap where they are masked",
                "masked_logits(row, 4u * key4,",
                "masked_logits(row, key4,",
            )
            .on("terms"),
            mutant(
                "the lanes' second rows are the first",
                "let my_row = min(lane + 8u * slot, last);",
                "let my_row = min(lane, last);",
            ),
            mutant(
                "the rows are masked as the first",
                "row_of_query(batch, head, first_query + my_row)",
                "row_of_query(batch, head, first_query)",
            ),
            mutant(
                "the keys end where the first query's do",
                "band_of_query(batch, first_query + last).end",
                "band_of_query(batch, first_query).end",
            ),
            mutant(
                "the keys begin where the last query's do",
                "band_of_query(batch, first_query).begin",
                "band_of_query(batch, first_query + last).begin",
            ),
            mutant(
                "the last four keys are left out",
                "key < end; key = key + 4u) {\n            let keys",
                "key + 4u < end; key = key + 4u) {\n            let keys",
            ),
            mutant(
                "the second rows end as the first",
                "ending(head, own_b.largest",
                "ending(head, own_a.largest",
            ),
            mutant(
                "the second rows' NaN is the first's",
                "total(sum_b), own_b.poisoned",
                "total(sum_b), own_a.poisoned",
            ),
            mutant(
                "the last rows end as the third",
                "factor_d = ending_of(end_d);",
                "factor_d = ending_of(end_c);",
            )
            .on("tile_rows=32"),
            mutant(
                "the second rows' sums are written to the first",
                "first_query + min(lane + 8u, last), 0u, end_b",
                "first_query + min(lane, last), 0u, end_b",
            ),
            mutant(
                "a row ends as its neighbour",
                "ended_of(row5, subgroupBroadcast(factor_a, 5u))",
                "ended_of(row5, subgroupBroadcast(factor_a, 4u))",
            ),
            mutant(
                "a row of the second half ends as its neighbour",
                "ended_of(row30, subgroupBroadcast(factor_d, 6u))",
                "ended_of(row30, subgroupBroadcast(factor_d, 5u))",
            ),
            mutant(
                "a row is written for its neighbour",
                "store_row(to, 6u, last, column, row6);",
                "store_row(to, 6u, last, column, row5);",
            )
            .on("aligned"),
            mutant("rows past the end are written", "to.x + min(row, last) * to.y", "to.x + row * to.y"),
            mutant("a NaN does not reach the values", "end.y > 0.0", "false"),
            mutant("strange values are not told", "if (subgroupAny(strange)) {", "if (false) {"),
            mutant(
                "the second turn begins again with each four keys",
                "sum += careful_sum",
                "sum = careful_sum",
            ),
            mutant(
                "the second turn leaves the last four keys out",
                "key < end; key = key + 4u) {\n                        let keys",
                "key + 4u < end; key = key + 4u) {\n                        let keys",
            ),
            mutant("the second turn's second rows are the first", "own = own_b;", "own = own_a;"),
            mutant(
                "the second turn's second rows are written to the first",
                "lane + 8u * slot, last, at,",
                "lane, last, at,",
            ),
            mutant(
                "the second turn leaves the last columns out",
                "at < columns_end;",
                "at + 4u < columns_end;",
            ),
            mutant(
                "the second turn has the first columns' values",
                "key_head, keys), at);",
                "key_head, keys), 0u);",
            ),
            mutant(
                "columns past the first blocks are left out",
                "first_column < parameters.value_dim;",
                "first_column < COLUMNS;",
            ),
            mutant("blocks of columns go on from the ones before", "        row7 = vec4<f32>();\n", ""),
            mutant("columns past the end are written", "column + index < count", "column + index <= count")
                .on("output_elements"),
            mutant("columns past the end are written", "return min(column, count - 4u);", "return column;")
                .on("output_blocks"),
            mutant("a tile without queries is written", "first_query >= queries", "false").on("terms"),
            mutant("a row's blocks are one", "return v[(place + first) / 4u]", "return v[place / 4u]")
                .on("values_f32"),
            mutant(
                "the halves of four elements are exchanged",
                "unpack2x16float(words.x), unpack2x16float(words.y)",
                "unpack2x16float(words.y), unpack2x16float(words.x)",
            )
            .on("values_f16"),
            mutant(
                "an odd value is its neighbour",
                "v[index / 2u]);\n    return select(pair.x, pair.y, index % 2u == 1u)",
                "v[index / 2u]);\n    return pair.x",
            )
            .on("values_f16_unaligned"),
        ],
        &list_on::<{ masking::MASKING.len() }>(masking::MASKING, "terms"),
        &list_on::<{ masking::RELATIVE.len() }>(masking::RELATIVE, "terms"),
        &list_on::<{ masking::OF_FOUR.len() }>(masking::OF_FOUR, "terms"),
        &list_on::<{ placing::QUERY_COUNTS.len() }>(placing::QUERY_COUNTS, "terms"),
        &list_on::<{ placing::PACKED_KEYS.len() }>(placing::PACKED_KEYS, "terms"),
        &list_on::<{ placing::PAGED.len() }>(placing::PAGED, "paged"),
        &list_on::<{ placing::KEY_LENGTHS.len() }>(placing::KEY_LENGTHS, "terms"),
        &list_on::<{ placing::FLASH.len() }>(placing::FLASH, "terms"),
        &list_on::<{ placing::FLASH_WEIGHTS.len() }>(placing::FLASH_WEIGHTS, "terms"),
        &list_on::<{ placing::VALUES.len() }>(placing::VALUES, "paged"),
        placing::OUTPUT,
        placing::SUMS,
        shared::INDEXING,
    ],
};
