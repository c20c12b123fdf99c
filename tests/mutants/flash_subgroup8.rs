//! Mutants of `shaders/attention/flash_subgroup8.wgsl`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const FLASH_SUBGROUP8: Mutants = Mutants {
    kernel: "attention/flash_subgroup8",
    constants: &[],
    faults: &[],
    once: &[
        &[
            mutant(
                "a lane's last query is the one before",
                "4u * lane + vec4<u32>(0u, 1u, 2u, 3u)",
                "4u * lane + vec4<u32>(0u, 1u, 2u, 2u)",
            ),
            mutant("the lanes have the same queries", "first_query + 4u * lane +", "first_query +"),
            mutant(
                "the second query is masked as the first",
                "row_of_query(tile.span, batch, head, my_queries.y)",
                "row_of_query(tile.span, batch, head, my_queries.x)",
            ),
            mutant("the fourth query begins where the third does", "c.begin, d.begin", "c.begin, c.begin"),
            mutant("the third query ends where the second does", "b.end, c.end", "b.end, b.end"),
            mutant(
                "the second query stands where the first does",
                "a.position, b.position",
                "a.position, a.position",
            )
            .on("terms"),
            mutant(
                "the fourth query's mask is the third's",
                "c.mask_start, d.mask_start",
                "c.mask_start, c.mask_start",
            )
            .on("terms"),
            mutant("a query's elements are its neighbour's", "q_block(places.z,", "q_block(places.y,"),
            mutant(
                "four elements are the first ones",
                "load_queries(query_places, block)",
                "load_queries(query_places, 0u)",
            ),
            mutant(
                "the second element is the first",
                "vec4<f32>(p.k0.y, p.k1.y, p.k2.y, p.k3.y)",
                "vec4<f32>(p.k0.x, p.k1.x, p.k2.x, p.k3.x)",
            ),
            mutant("a block of elements is kept for its neighbour", "query5 = query6;", "query5 = query7;"),
            mutant(
                "a block of elements is kept for its neighbour",
                "query13 = query14;",
                "query13 = query15;",
            )
            .on("dim_blocks=2"),
            mutant(
                "a block of elements is kept for its neighbour",
                "query29 = query30;",
                "query29 = query31;",
            )
            .on("dim_blocks=4"),
            mutant(
                "the second elements of a key are the first",
                "load_keys(key_places, lane + 8u)",
                "load_keys(key_places, lane)",
            )
            .on("dim_blocks=2"),
            mutant(
                "the last elements of a key are those before",
                "load_keys(key_places, lane + 24u)",
                "load_keys(key_places, lane + 16u)",
            )
            .on("dim_blocks=4"),
            mutant(
                "elements meet other queries' elements",
                "subgroupBroadcast(keys0.b, 3u), query3)",
                "subgroupBroadcast(keys0.b, 3u), query2)",
            ),
            mutant(
                "the second key has elements of the first",
                "subgroupBroadcast(keys0.b, 6u)",
                "subgroupBroadcast(keys0.a, 6u)",
            ),
            mutant(
                "later elements meet other queries' elements",
                "subgroupBroadcast(keys1.b, 2u), query10)",
                "subgroupBroadcast(keys1.b, 2u), query9)",
            )
            .on("dim_blocks=2"),
            mutant(
                "the product begins again with each four elements",
                "return sum + left.x",
                "return left.x",
            ),
            mutant("the fourth element is left out", " + left.w * right.k3", ""),
            mutant(
                "the second key has no product",
                "        sum.b = multiply(products.b, b, queries);\n",
                "",
            ),
            mutant(
                "the second key is masked as the first",
                "logits_of(rows, key + 1u, products.b)",
                "logits_of(rows, key, products.b)",
            ),
            mutant(
                "the first key of the band is left out",
                "(vec4<u32>(key) >= rows.begin)",
                "(vec4<u32>(key) > rows.begin)",
            ),
            mutant(
                "a key past the band counts",
                "(vec4<u32>(key) < rows.end)",
                "(vec4<u32>(key) <= rows.end)",
            ),
            mutant("the scale is left out", "dots * rows.head.scale", "dots"),
            mutant("the last keys are left out", "key < tile.end; key", "key + KEYS < tile.end; key"),
            mutant(
                "a NaN is not seen",
                "            seen = max(seen, max(logits_a.kinds, logits_b.kinds));\n",
                "",
            ),
            mutant(
                "the running maximum is forgotten",
                "largest = max(largest, max(",
                "largest = max(vec4<f32>(LOWEST), max(",
            ),
            mutant(
                "the second key does not move the maximum",
                "max(logits_a.numbers, logits_b.numbers));",
                "logits_a.numbers);",
            ),
            mutant(
                "nothing is rescaled where the maximum rises",
                "let factor = rescale_by(before, largest);",
                "let factor = vec4<f32>(1.0);",
            ),
            // The other way round would be no fault: its NaN at the first key sends the tile through the passes for values that are
            // not finite, and those know the maximum.
            mutant(
                "rescaled by half of the rise, by rows",
                "exp(max(before - after, vec4",
                "exp(max(0.5 * (before - after), vec4",
            ),
            mutant("weights without the maximum", "logits.numbers - most", "logits.numbers"),
            mutant(
                "masked keys have weights",
                "select(vec4<f32>(), powers, logits.kinds == vec4<u32>(NUMBERS))",
                "powers",
            )
            .on("terms"),
            mutant(
                "a weight is told by its logit",
                "select(vec4<f32>(), powers, logits.kinds == vec4<u32>(NUMBERS))",
                "select(vec4<f32>(), powers, logits.numbers > vec4<f32>(LOWEST))",
            )
            .on("terms"),
            mutant("the running sum is not rescaled", "sum * factor + (", "sum + ("),
            mutant("the second key's weight is not in the sum", "(weights.a + weights.b)", "weights.a"),
            mutant("the values so far are not rescaled", "column * factor + a", "column + a"),
            mutant("the second key's values have the first's weight", "b * weights.b", "b * weights.a"),
            mutant("a column has another's value", "factor, a.z, b.z,", "factor, a.y, b.z,"),
            mutant("a block of columns goes on from its neighbour", "add_values(sums7,", "add_values(sums6,"),
            mutant(
                "a block of columns goes on from its neighbour",
                "add_values(sums12,",
                "add_values(sums11,",
            )
            .on("dim_blocks=2"),
            mutant(
                "a block of columns goes on from its neighbour",
                "add_values(sums26,",
                "add_values(sums25,",
            )
            .on("dim_blocks=4"),
            mutant(
                "the second columns are the first",
                "load_values(value_places, lane + 8u,",
                "load_values(value_places, lane,",
            )
            .on("dim_blocks=2"),
            mutant("the second key's values are the first's", "v_block(places.y,", "v_block(places.x,"),
            mutant(
                "q's rows are as long as they have elements",
                "my_queries * parameters.q_row",
                "my_queries * parameters.head_dim",
            )
            .on("terms"),
            mutant(
                "the output's rows are as long as they have elements",
                "my_queries * parameters.output_row",
                "my_queries * parameters.value_dim",
            )
            .on("terms"),
            mutant(
                "k's rows are as long as they have elements, without blocks",
                "first_places.x + keys * parameters.k_row",
                "first_places.x + keys * parameters.head_dim",
            ),
            mutant(
                "v's rows are as long as they have elements, without blocks",
                "first_places.y + keys * parameters.v_row",
                "first_places.y + keys * parameters.value_dim",
            ),
            mutant(
                "the second key lies in the first's block",
                "key_steps(batch, keys.y)",
                "key_steps(batch, keys.x)",
            )
            .on("paged"),
            mutant("v lies where k does", "v_at(step_a, tile.key_head)", "k_at(step_a, tile.key_head)")
                .on("paged"),
            mutant("the heads share their cap", "softcapped(scaled.z)", "scaled.z").on("terms"),
            mutant(
                "the bias of distance is added",
                "found.scores - pairs.head.slope *",
                "found.scores + pairs.head.slope *",
            )
            .on("terms"),
            mutant(
                "keys behind have another bias",
                "vec4<f32>(abs(pairs.distances))",
                "vec4<f32>(pairs.distances)",
            )
            .on("terms"),
            mutant(
                "the heads share their biases",
                "mask_at, rows.head)",
                "mask_at, Head(rows.head.scale, rows.head.slope, parameters.relative_at))",
            )
            .on("terms"),
            mutant(
                "distances have no end",
                "clamp(pairs.distances, -reach, reach) + reach",
                "pairs.distances + reach",
            )
            .on("terms"),
            mutant("a boolean mask is not seen", "found.open & (words != vec4<u32>())", "found.open")
                .on("terms"),
            mutant(
                "−∞ in a mask is no mask",
                "found.open & (words != vec4<u32>(NEGATIVE_INFINITY_BITS))",
                "found.open",
            )
            .on("terms"),
            mutant("a float mask is not added", "found.scores + bitcast<vec4<f32>>(words)", "found.scores")
                .on("terms"),
            mutant(
                "the mask's columns are neighbours",
                "rows.mask_start + inside * parameters.mask_column",
                "rows.mask_start + inside",
            )
            .on("terms"),
            mutant("every item has the first one's padding", "rows.padding_start + inside", "inside")
                .on("terms"),
            mutant(
                "padding is not seen",
                "if (parameters.key_padding == 2u) {\n        let at = pairs",
                "if (false) {\n        let at = pairs",
            )
            .on("terms"),
            mutant(
                "strange values are not told",
                "if (!subgroupAny(any(most >= vec4<u32>(INFINITY_BITS)))) {",
                "if (true) {",
            ),
            mutant("the last phase counts", "select(count, finite, phase == PHASE_FINITE_SUMS)", "count"),
            mutant("the last phase is left out", "phase < PHASES;", "phase < PHASE_FINITE_SUMS;"),
            mutant("no value is strange", "let strange = (bits &", "let strange = (0u * bits &"),
            mutant(
                "what is +∞ counts as −∞",
                "NEGATIVE_INFINITY_BITS, phase == PHASE_PLUS_INFINITY)",
                "NEGATIVE_INFINITY_BITS, phase == PHASE_MINUS_INFINITY)",
            ),
            mutant("+∞ was not met", "            above = met;\n", ""),
            mutant("−∞ was not met", "            below = met;\n", ""),
            mutant(
                "a column met what its neighbour did",
                "vec4<u32>(4u), block.k2",
                "vec4<u32>(2u), block.k2",
            ),
            mutant(
                "a block of columns met what its neighbour did",
                "bits_of(sums3, 12u)",
                "bits_of(sums3, 8u)",
            ),
            mutant(
                "what was met is not stored",
                "select(values * by.factors, infinite, up | down)",
                "values * by.factors",
            ),
            mutant("infinities of both signs are one", "by.poisoned | (up & down)", "by.poisoned"),
            mutant("a NaN does not reach its row", "by.poisoned | (up & down)", "(up & down)"),
            mutant("a query's sum is the first's", "largest[row], sum[row]", "largest[row], sum[0]"),
            mutant(
                "the queries share a factor",
                "vec4<f32>(end.factor), here)",
                "vec4<f32>(end.factor), vec4<bool>(true))",
            ),
            mutant(
                "the queries are NaN where one is",
                "by.poisoned | (here & vec4<bool>(end.poisoned))",
                "by.poisoned | vec4<bool>(end.poisoned)",
            ),
            mutant(
                "the queries' sums are written to one place",
                "my_queries[row], tile.split",
                "my_queries[0], tile.split",
            ),
            mutant("a block of columns is stored for its neighbour", "sums5 = sums6;", "sums5 = sums7;"),
            mutant("a block of columns is stored for its neighbour", "sums13 = sums14;", "sums13 = sums15;")
                .on("dim_blocks=2"),
            mutant(
                "the fourth query is stored for the third",
                "store_block(places.w,",
                "store_block(places.z,",
            ),
            mutant(
                "the last columns are not stored",
                "column < parameters.value_dim; column",
                "column + 4u < parameters.value_dim; column",
            ),
        ],
        shared::TILES,
        shared::FLASH,
    ],
};
