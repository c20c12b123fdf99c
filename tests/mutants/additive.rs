//! Mutants of `shaders/attention/additive.wgsl` and `additive_gradient.wgsl`.

use crate::mutant::{Mutant, Mutants, mutant};

pub const ADDITIVE: Mutants =
    Mutants { kernel: "attention/additive", constants: &[], faults: &[SCORES, SOFTMAX, PLACES], once: &[] };

const SCORES: &[Mutant] = &[
    mutant(
        "the query is left out",
        "query_numbers(queries, column) + k[key_at + column]",
        "Numbers(k[key_at + column])",
    ),
    mutant(
        "the product for the sum",
        "query_numbers(queries, column) + k",
        "query_numbers(queries, column) * k",
    ),
    mutant(
        "tanh of the weighted sum",
        "score_weight[column] * tanh_numbers(x)",
        "tanh_numbers(score_weight[column] * x)",
    ),
    mutant("shares lie a tile apart", "parts[lane * SHARES + share]", "parts[lane + share * KEYS]"),
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
    mutant("the base is 2", "powers = exp(max", "powers = exp2(max"),
    mutant(
        "a tile's largest forgets those before",
        "var highest = largest;",
        "var highest = Numbers(LOWEST);",
    ),
    mutant("the factor is the other way round", "max(before - after,", "max(after - before,"),
    mutant(
        "a row without keys is NaN",
        "(all_seen == Words(INFINITIES)) |",
        "(all_seen <= Words(INFINITIES)) |",
    ),
    mutant(
        "what the lanes have seen is the last one's",
        "atomicMax(&seen_by[row], word_of(seen, row))",
        "atomicStore(&seen_by[row], word_of(seen, row))",
    ),
];

const PLACES: &[Mutant] = &[
    mutant("the last tile is left out", "first_key < keys; first", "first_key + KEYS < keys; first"),
    mutant("weights of the keys alone", "key < parameters.key_length; key", "key < keys; key"),
];

pub const ADDITIVE_GRADIENT: Mutants = Mutants {
    kernel: "attention/additive_gradient",
    constants: &[],
    faults: &[&[
        mutant("w is left out", "sum * score_weight[column]", "sum"),
        mutant("w is in its own gradient", "select(part,", "select(part * score_weight[column],"),
        mutant("the slope is a quarter", "gradient * 4.0 * e", "gradient * e"),
        mutant(
            "items have one row of scores",
            "item * parameters.rows * parameters.others",
            "item * parameters.others",
        ),
        mutant("all items have the first's others", "item * parameters.others * width", "0u"),
    ]],
    once: &[],
};
