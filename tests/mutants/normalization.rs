//! Mutants of `shaders/normalization/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const LAYER_NORM: Mutants = Mutants {
    kernel: "normalization/layer_norm",
    constants: &[],
    faults: &[
        &[
            mutant("ε is dropped", " + parameters.epsilon)", ")"),
            mutant(
                "ε is added outside the root",
                "1.0 / sqrt(reduce_add(squares, lane) / size + parameters.epsilon)",
                "1.0 / (sqrt(reduce_add(squares, lane) / size) + parameters.epsilon)",
            ),
            mutant(
                "the unbiased variance",
                "reduce_add(squares, lane) / size",
                "reduce_add(squares, lane) / (size - 1.0)",
            ),
            mutant(
                "the sum of the squares for the variance",
                "reduce_add(squares, lane) / size",
                "reduce_add(squares, lane)",
            ),
            mutant("the root is dropped", "1.0 / sqrt(reduce_add", "1.0 / (reduce_add"),
            mutant(
                "E[a²] − mean²",
                "let deviation = summand(base + column) - mean;",
                "let deviation = summand(base + column);\n        squares = squares - mean * mean;",
            ),
            mutant("the residual is left out", "x[index] + residual[index]", "x[index]"),
            mutant("the residual is subtracted", "x[index] + residual[index]", "x[index] - residual[index]"),
            mutant("a residual where there is none", "parameters.has_residual != 0u", "true"),
            mutant(
                "the mean is left in the result",
                "(summand(base + column) - mean) * scale",
                "summand(base + column) * scale",
            ),
            mutant("the mean is relative to the first element", "let mean = origin + ", "let mean = "),
            mutant("each lane has an origin of its own", "summand(base);", "summand(base + lane);")
                .on("!invocation"),
            mutant("the mean without an origin", "let origin = summand(base);", "let origin = 0.0;")
                .on("invocation"),
            mutant("γ is left out", " * gamma[column]", ""),
            mutant("β is left out", " + beta[column]", ""),
            mutant("β is read for γ", "gamma[column]", "beta[column]"),
            mutant("γ is read as if there were one for each row", "gamma[column]", "gamma[base + column]"),
            mutant(
                "the mean's tail is left out",
                "column < parameters.columns; column = column + LANES) {\n        sum",
                "column + 1u < parameters.columns; column = column + LANES) {\n        sum",
            ),
            mutant(
                "the variance's tail is left out",
                "column < parameters.columns; column = column + LANES) {\n        let",
                "column + 1u < parameters.columns; column = column + LANES) {\n        let",
            ),
            mutant(
                "the tail is not written",
                "column < parameters.columns; column = column + LANES) {\n        y",
                "column + 1u < parameters.columns; column = column + LANES) {\n        y",
            ),
            mutant(
                "one column too many is written",
                "column < parameters.columns; column = column + LANES) {\n        y",
                "column <= parameters.columns; column = column + LANES) {\n        y",
            ),
            mutant("the bound on the rows is dropped", "row >= parameters.rows", "false"),
            mutant(
                "the bound on the rows is one too large",
                "row >= parameters.rows",
                "row > parameters.rows",
            ),
        ],
        shared::INDEXING,
        shared::ROWS_INVOCATION,
        shared::ROWS_ADD,
        shared::ROWS_ADD_AGAIN,
    ],
};
