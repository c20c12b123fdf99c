//! Mutants of `shaders/pooling/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const POOL: Mutants = Mutants {
    kernel: "pooling/pool",
    constants: &[],
    faults: &[
        &[
            mutant("the sum for the mean", "value / f32(count)", "value"),
            mutant("the mean over the padding too", "value / f32(count)", "value / f32(parameters.length)"),
            mutant("padding is read", "min(lengths[row], parameters.length)", "parameters.length"),
            mutant(
                "a length past the end is believed",
                "min(lengths[row], parameters.length)",
                "lengths[row]",
            ),
            mutant("every item has the first one's length", "lengths[row]", "lengths[0]"),
            mutant("the first token counts twice", "token = 1u;", "token = 0u;"),
            mutant("the second token is left out", "token = 1u;", "token = 2u;"),
            mutant("the last token is left out", "token < count;", "token + 1u < count;"),
            mutant("one token too many", "token < count;", "token <= count;"),
            mutant("the mean for the first", "parameters.kind == 1u", "false"),
            mutant("the first for the mean", "parameters.kind == 1u", "parameters.kind <= 1u"),
            mutant("the smallest for the largest", "max(value, next)", "min(value, next)"),
            mutant(
                "the sum for the largest",
                "select(value + next, max(value, next), parameters.kind == 2u)",
                "value + next",
            ),
            mutant(
                "the largest is divided",
                "select(value / f32(count), value, parameters.kind == 2u)",
                "value / f32(count)",
            ),
            mutant("the largest is at least 0", "max(value, next)", "max(max(value, next), 0.0)"),
            mutant("nothing is read as something", "count == 0u", "false"),
            mutant(
                "items have one token",
                "row * parameters.length * parameters.columns",
                "row * parameters.columns",
            ),
            mutant("tokens have one column", "token * parameters.columns", "token"),
            mutant("normalized though not asked for", "parameters.normalize != 0u", "true"),
            mutant("not normalized", "parameters.normalize != 0u", "false"),
            mutant("the root is dropped", "sqrt(reduce_add(squares, lane))", "reduce_add(squares, lane)"),
            mutant("the last square alone", "squares = squares + value * value", "squares = value * value"),
            mutant(
                "the sum of the values for that of the squares",
                "squares + value * value",
                "squares + value",
            ),
            mutant("zeros are divided by their norm", "max(norm, 1e-12)", "norm"),
            mutant("short vectors stay short", "max(norm, 1e-12)", "max(norm, 1e-6)"),
            mutant(
                "the tail is not normalized",
                "column < parameters.columns; column = column + LANES) {\n            y",
                "column + 1u < parameters.columns; column = column + LANES) {\n            y",
            ),
            mutant(
                "the tail is left out",
                "column < parameters.columns; column = column + LANES) {\n        let",
                "column + 1u < parameters.columns; column = column + LANES) {\n        let",
            ),
            mutant(
                "the bound on the rows is one too large",
                "row >= parameters.rows",
                "row > parameters.rows",
            ),
        ],
        shared::INDEXING,
        shared::ROWS_ADD,
    ],
    once: &[],
};

pub const MEAN_MAX: Mutants = Mutants {
    kernel: "pooling/mean_max",
    constants: &[],
    faults: &[
        &[
            mutant("the sum for the mean", "sum / f32(parameters.columns)", "sum"),
            mutant("the unbiased mean", "/ f32(parameters.columns)", "/ (f32(parameters.columns) - 1.0)"),
            mutant(
                "the smallest for the largest",
                "largest = max(largest, value)",
                "largest = min(largest, value)",
            ),
            mutant("the largest is at least 0", "var largest = x[base];", "var largest = 0.0;"),
            mutant("the last element alone", "sum = sum + value;", "sum = value;"),
            mutant(
                "the last element is left out",
                "column < parameters.columns",
                "column + 1u < parameters.columns",
            ),
            mutant("one element too many", "column < parameters.columns", "column <= parameters.columns"),
            mutant("elements lie side by side", "base + column * inner", "base + column"),
            mutant(
                "all rows begin where the first does",
                "row / inner * (parameters.columns * inner) + row % inner",
                "row % inner",
            ),
            mutant("rows of one outer place are one", "* inner) + row % inner", "* inner)"),
            mutant("outer places lie one column apart", "(parameters.columns * inner)", "inner"),
            mutant("the maximum though not asked for", "parameters.has_maximum != 0u", "true"),
            mutant("no maximum", "parameters.has_maximum != 0u", "false"),
            mutant("a NaN is not the largest", "select(largest, sum, nan > 0.0)", "largest"),
            mutant("an infinity is a NaN", "> 0x7f800000u", ">= 0x7f800000u"),
            mutant("the last element tells of a NaN", "nan = max(nan, select", "nan = max(0.0, select"),
            mutant(
                "the bound on the rows is one too large",
                "row >= parameters.rows",
                "row > parameters.rows",
            ),
            mutant(
                "the mean for the maximum",
                "maximum[row] = select(largest, sum",
                "maximum[row] = select(mean[row], sum",
            ),
        ],
        shared::INDEXING,
        shared::ROWS_ADD_OF_THE_FIRST,
        shared::ROWS_MAX,
    ],
    once: &[],
};
