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
