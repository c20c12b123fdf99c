//! Mutants of `shaders/attention/additive.wgsl`.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::shared;

pub const ADDITIVE: Mutants = Mutants {
    kernel: "attention/additive",
    constants: &[],
    faults: &[SCORES, SOFTMAX, VALUES, PLACES, QUERY_ROWS, shared::INDEXING, shared::TANH],
    once: &[],
};

const SCORES: &[Mutant] = &[
    mutant(
        "the query is left out",
        "query_numbers(queries, column) + k[key_at + column]",
        "Numbers(k[key_at + column])",
    ),
    mutant(
        "the key is left out",
        "query_numbers(queries, column) + k[key_at + column]",
        "query_numbers(queries, column)",
    ),
    mutant(
        "the product for the sum",
        "query_numbers(queries, column) + k",
        "query_numbers(queries, column) * k",
    ),
    mutant("tanh is left out", "tanh_numbers(x);", "x;"),
    mutant(
        "tanh of the weighted sum",
        "score_weight[column] * tanh_numbers(x)",
        "tanh_numbers(score_weight[column] * x)",
    ),
    mutant("the score's weight is left out", "score_weight[column] * tanh", "tanh"),
    mutant("every column has the first one's weight", "score_weight[column]", "score_weight[0]"),
    mutant("the last product alone", "sum = sum + score_weight", "sum = score_weight"),
    mutant("the last column is left out", "column < parameters.width;", "column + 1u < parameters.width;"),
    mutant("one column too many", "column < parameters.width;", "column <= parameters.width;"),
    mutant("columns in steps of one", "column = column + SHARES", "column = column + 1u"),
    mutant(
        "all shares begin at the first column",
        "part_of_score(queries, key_at, lane % SHARES)",
        "part_of_score(queries, key_at, 0u)",
    ),
    mutant("one share is left out", "share = 0u;", "share = 1u;"),
    mutant("the last share is left out", "share < SHARES;", "share + 1u < SHARES;"),
    mutant("shares lie a tile apart", "parts[lane * SHARES + share]", "parts[lane + share * KEYS]"),
    mutant(
        "no barrier before the parts are summed",
        "lane % SHARES);\n        }\n        workgroupBarrier();",
        "lane % SHARES);\n        }",
    ),
    mutant(
        "an infinity in tanh is a NaN",
        "largest > Words(INFINITY_BITS)",
        "largest >= Words(INFINITY_BITS)",
    ),
    mutant("a NaN's sign counts", "bitcast<Words>(values) & Words(0x7fffffffu)", "bitcast<Words>(values)"),
];

const SOFTMAX: &[Mutant] = &[
    mutant(
        "a NaN among the scores is a number",
        "(bits & Words(INFINITY_BITS)) == Words(INFINITY_BITS)",
        "bits == Words(NEGATIVE_INFINITY_BITS)",
    ),
    mutant("−∞ is a NaN", "Words(INFINITIES), bits", "Words(POISON), bits").once(),
    mutant(
        "f32's largest number is a NaN",
        "select(Words(NUMBERS), strange,",
        "select(select(Words(NUMBERS), Words(POISON), scores >= Numbers(3.4e38)), strange,",
    ),
    mutant(
        "f32's lowest number is masked",
        "select(Words(NUMBERS), strange,",
        "select(select(Words(NUMBERS), Words(NOTHING), scores == Numbers(LOWEST)), strange,",
    ),
    mutant(
        "−3.4e38 is −∞",
        "select(Words(NUMBERS), strange,",
        "select(select(Words(NUMBERS), Words(INFINITIES), scores <= Numbers(-3.4e38)), strange,",
    ),
    mutant(
        "a weight is told by its score",
        "select(Numbers(), powers, kinds == Words(NUMBERS))",
        "select(Numbers(), powers, numbers_or_lowest(scores, kinds) > Numbers(LOWEST))",
    ),
    mutant(
        "the largest is not taken off",
        "numbers_or_lowest(scores, kinds) - largest, Numbers(-150.0)",
        "numbers_or_lowest(scores, kinds), Numbers(-150.0)",
    ),
    mutant("exp ends at −10", "- largest, Numbers(-150.0)", "- largest, Numbers(-10.0)"),
    mutant("the base is 2", "powers = exp(max", "powers = exp2(max"),
    mutant(
        "a tile's largest forgets those before",
        "var highest = largest;",
        "var highest = Numbers(LOWEST);",
    ),
    mutant("the largest is at least 0", "var largest = Numbers(LOWEST);", "var largest = Numbers(0.0);"),
    mutant(
        "the last key is left out of the largest",
        "place < here; place = place + 1u) {\n            highest",
        "place + 1u < here; place = place + 1u) {\n            highest",
    ),
    mutant("the smallest for the largest", "max(highest, tile[place])", "min(highest, tile[place])"),
    mutant(
        "no barrier before the largest",
        "        tile[lane] = numbers_or_lowest(score, kinds);\n        workgroupBarrier();",
        "        tile[lane] = numbers_or_lowest(score, kinds);",
    ),
    mutant(
        "no barrier before weights take the scores' place",
        "        largest = highest;\n        workgroupBarrier();",
        "        largest = highest;",
    ),
    mutant(
        "no barrier before the weights are read",
        "weights_of(score, kinds, largest);\n        workgroupBarrier();",
        "weights_of(score, kinds, largest);",
    ),
    mutant("the sum is not rescaled", "sum = sum * factor;", ""),
    mutant("the last weight alone", "sum = sum + tile[place];", "sum = tile[place];"),
    mutant(
        "the last key is left out of the sum",
        "place < here; place = place + 1u) {\n            sum",
        "place + 1u < here; place = place + 1u) {\n            sum",
    ),
    mutant("the factor is the other way round", "max(before - after,", "max(after - before,"),
    mutant("the weights are not divided", "Numbers(1.0) / sum", "Numbers(1.0)"),
    mutant(
        "nothing is read as something",
        "select(Numbers(), Numbers(1.0) / sum,",
        "select(Numbers(1.0), Numbers(1.0) / sum,",
    ),
    mutant("−∞ alone gives numbers", "(all_seen == Words(INFINITIES)) | ", ""),
    mutant(
        "a row without keys is NaN",
        "(all_seen == Words(INFINITIES)) |",
        "(all_seen <= Words(INFINITIES)) |",
    ),
    mutant("a NaN does not reach the row", " | (all_seen == Words(POISON))", ""),
    mutant(
        "what the lanes have seen is the last one's",
        "atomicMax(&seen_by[row], word_of(seen, row))",
        "atomicStore(&seen_by[row], word_of(seen, row))",
    ),
    mutant("a tile's scores forget those before", "seen = max(seen, kinds);", "seen = kinds;"),
    mutant(
        "no barrier before what a row has seen is read",
        "    workgroupBarrier();\n    let all_seen",
        "    let all_seen",
    ),
];

const VALUES: &[Mutant] = &[
    mutant(
        "the values are not rescaled",
        "taken(factor, output_numbers(outputs, column))",
        "output_numbers(outputs, column)",
    ),
    mutant(
        "what was there before shows",
        "select(factor * values, Numbers(), factor == Numbers())",
        "factor * values",
    ),
    mutant("a tile forgets those before", "Numbers(), first_key == 0u)", "Numbers(), true)"),
    mutant("the first tile adds to what was there", "Numbers(), first_key == 0u)", "Numbers(), false)"),
    mutant("the first key's value for all", "v[values_at + place * parameters.value_dim]", "v[values_at]"),
    mutant("values have one column", "v[values_at + place * parameters.value_dim]", "v[values_at + place]"),
    mutant(
        "the last key's value is left out",
        "place < here; place = place + 1u) {\n                value",
        "place + 1u < here; place = place + 1u) {\n                value",
    ),
    mutant(
        "the values of the first tile",
        "(first_item_key + first_key) * parameters.value_dim",
        "first_item_key * parameters.value_dim",
    ),
    mutant(
        "the values of the first item",
        "(first_item_key + first_key) * parameters.value_dim",
        "first_key * parameters.value_dim",
    ),
    mutant(
        "the last column is not summed",
        "column < parameters.value_dim; column = column + WORKGROUP) {\n            //",
        "column + 1u < parameters.value_dim; column = column + WORKGROUP) {\n            //",
    ),
    mutant(
        "the last column is not divided",
        "column < parameters.value_dim; column = column + WORKGROUP) {\n        let",
        "column + 1u < parameters.value_dim; column = column + WORKGROUP) {\n        let",
    ),
    mutant(
        "one column of the values too many",
        "column < parameters.value_dim; column = column + WORKGROUP) {\n        let",
        "column <= parameters.value_dim; column = column + WORKGROUP) {\n        let",
    ),
];

const PLACES: &[Mutant] = &[
    mutant("every item has the first one's length", "lengths[item]", "lengths[0]"),
    mutant("a length past the end is believed", "min(keys, lengths[item])", "lengths[item]"),
    mutant("lengths where there are none", "parameters.has_lengths != 0u", "true"),
    mutant("no lengths", "parameters.has_lengths != 0u", "false"),
    mutant(
        "every item has the first one's keys",
        "(first_item_key + first_key + place)",
        "(first_key + place)",
    ),
    mutant(
        "every tile has the first one's keys",
        "(first_item_key + first_key + place)",
        "(first_item_key + place)",
    ),
    mutant("items lie one key apart", "item * parameters.key_length", "item"),
    mutant("the last tile is left out", "first_key < keys; first", "first_key + KEYS < keys; first"),
    mutant("a whole tile where there is less", "min(KEYS, keys - first_key)", "KEYS"),
    mutant(
        "weights that nobody wants",
        "if (parameters.has_weights != 0u) {\n                // Read",
        "if (true) {\n                // Read",
    ),
    mutant(
        "no weights are kept",
        "if (parameters.has_weights != 0u) {\n                // Read",
        "if (false) {\n                // Read",
    ),
    mutant(
        "the scores for the weights",
        "if (parameters.has_weights != 0u) {\n        for",
        "if (false) {\n        for",
    ),
    mutant(
        "every tile's scores go to the first one's place",
        "parameters.key_length + first_key + lane",
        "parameters.key_length + lane",
    ),
    mutant("the weights are not normalized", "largest) * scale;", "largest);"),
    mutant("weights of the keys alone", "key < parameters.key_length; key", "key < keys; key"),
    mutant(
        "the weights of a NaN's row are numbers",
        "number_of(select(weight, not_a_number(), strange), row)",
        "number_of(weight, row)",
    ),
    mutant("the bound on the workgroups is dropped", "index >= parameters.items * tiles", "false"),
    mutant(
        "the bound on the workgroups is one too large",
        "index >= parameters.items * tiles",
        "index > parameters.items * tiles",
    ),
    mutant("the queries of an item begin at its number", "item * parameters.rows + index", "item + index"),
    mutant("tiles begin one row apart", "index % tiles * QUERY_ROWS", "index % tiles").on("query_rows_4"),
];

/// `query_rows_1` and `query_rows_4`.
const QUERY_ROWS: &[Mutant] = &[
    mutant("the last row is that before", "vec4<u32>(rows - 1u)", "vec4<u32>(rows - 2u)").on("query_rows_4"),
    mutant("two rows are exchanged", "vec4<u32>(0u, 1u, 2u, 3u)", "vec4<u32>(1u, 0u, 2u, 3u)")
        .on("query_rows_4"),
    mutant("the first row's tanh for the last", "tanh_stable(values.w)", "tanh_stable(values.x)")
        .on("query_rows_4"),
    mutant("the third query is the second", "q[places.z + column]", "q[places.y + column]")
        .on("query_rows_4"),
    mutant("the third row's sums are the second's", "output[at.z]", "output[at.y]").on("query_rows_4"),
    mutant("rows that are not there are written", "min(QUERY_ROWS, end_row - first_row)", "QUERY_ROWS")
        .on("query_rows_4"),
    mutant("every query is the first", "return first * columns;", "return 0u;").on("query_rows_1"),
    mutant("the third number is the first", "index >= 2u", "index > 2u").on("component"),
];
