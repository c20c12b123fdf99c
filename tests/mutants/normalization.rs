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
            mutant("γ is left out", " * gamma[gamma_base + column]", ""),
            mutant("β is left out", " + beta[beta_base + column]", ""),
            mutant("β is read for γ", "gamma[gamma_base + column]", "beta[gamma_base + column]"),
            mutant("γ is read as if there were one for each row", "row * parameters.gamma_row", "base"),
            mutant("every row has the first one's γ", "row * parameters.gamma_row", "0u"),
            mutant("every row has the first one's β", "row * parameters.beta_row", "0u"),
            mutant("γ's rows are taken for β's", "row * parameters.beta_row", "gamma_base"),
            mutant("β where there is none", "parameters.has_beta != 0u", "true"),
            mutant("moments that nobody wants", "parameters.has_moments != 0u", "true"),
            mutant("no moments", "parameters.has_moments != 0u", "false"),
            mutant("the moments of the first row", "means[row] = mean", "means[0] = mean"),
            mutant(
                "the variance for the deviation",
                "inv_std_devs[row] = scale",
                "inv_std_devs[row] = scale * scale",
            ),
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
                "column < parameters.columns; column = column + LANES) {\n        var",
                "column + 1u < parameters.columns; column = column + LANES) {\n        var",
            ),
            mutant(
                "one column too many is written",
                "column < parameters.columns; column = column + LANES) {\n        var",
                "column <= parameters.columns; column = column + LANES) {\n        var",
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
    once: &[],
};

pub const RMS_NORM: Mutants = Mutants {
    kernel: "normalization/rms_norm",
    constants: &[],
    faults: &[
        &[
            mutant("ε is dropped", "mean + parameters.epsilon", "mean"),
            mutant(
                "ε is added outside the root",
                "sqrt(mean + parameters.epsilon)",
                "(sqrt(mean) + parameters.epsilon)",
            ),
            mutant("the mean of the values", "sum + value * value", "sum + value"),
            mutant("the last square alone", "sum = sum + value * value", "sum = value * value"),
            mutant(
                "the sum for the mean",
                "reduce_add(sum, lane) / f32(parameters.columns)",
                "reduce_add(sum, lane)",
            ),
            mutant("the unbiased mean", "/ f32(parameters.columns)", "/ (f32(parameters.columns) - 1.0)"),
            mutant("the root is dropped", "1.0 / sqrt(mean", "1.0 / (mean"),
            mutant("the scale is left out", " * scale * gamma", " * gamma"),
            mutant("γ is left out", " * gamma[gamma_base + column]", ""),
            mutant("every row has the first one's γ", "row * parameters.gamma_row", "0u"),
            mutant("each row has a γ of its own", "row * parameters.gamma_row", "base"),
            mutant("rows lie one apart", "row * parameters.columns", "row"),
            mutant(
                "the mean's tail is left out",
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
            mutant(
                "the bound on the rows is one too large",
                "row >= parameters.rows",
                "row > parameters.rows",
            ),
        ],
        shared::INDEXING,
        shared::ROWS_INVOCATION,
        shared::ROWS_ADD,
    ],
    once: &[],
};

pub const SOFTMAX: Mutants = Mutants {
    kernel: "normalization/softmax",
    constants: &[],
    faults: &[
        &[
            mutant(
                "the maximum is forgotten",
                "number_or_lowest(value, kind) - largest, -110.0",
                "number_or_lowest(value, kind), -110.0",
            ),
            mutant("the maximum is at least 0", "var largest = LOWEST;", "var largest = 0.0;"),
            mutant(
                "exp is not held above −110",
                "exp(max(number_or_lowest(value, kind) - largest, -110.0))",
                "exp(number_or_lowest(value, kind) + largest)",
            ),
            mutant("exp ends at −11", "-110.0", "-11.0"),
            mutant("the weights are not divided", "y[place] / sum", "y[place]"),
            mutant("a NaN does not reach the row", " || seen == POISON", ""),
            mutant("what the lanes have seen is each one's", "u32(reduce_max(f32(seen), lane))", "seen")
                .on("!invocation"),
            mutant(
                "rows follow each other",
                "row / stride * stride * parameters.columns + row % stride",
                "row * parameters.columns",
            ),
            mutant(
                "rows lie side by side",
                "row / stride * stride * parameters.columns + row % stride",
                "row % stride",
            ),
            mutant("the first row of those side by side", " + row % stride", ""),
            mutant(
                "elements follow each other in the maximum",
                "let value = x[base + column * stride]",
                "let value = x[base + column]",
            ),
            mutant(
                "elements follow each other in the sum",
                "exponential(x[base + column * stride]",
                "exponential(x[base + column]",
            ),
            mutant(
                "elements follow each other in y",
                "let place = base + column * stride",
                "let place = base + column",
            ),
            mutant(
                "the maximum's tail is left out",
                "column < parameters.columns; column = column + LANES) {\n        let value",
                "column + 1u < parameters.columns; column = column + LANES) {\n        let value",
            ),
            mutant(
                "the sum's tail is left out",
                "column < parameters.columns; column = column + LANES) {\n        let weight",
                "column + 1u < parameters.columns; column = column + LANES) {\n        let weight",
            ),
            mutant(
                "the tail is not divided",
                "column < parameters.columns; column = column + LANES) {\n        let place",
                "column + 1u < parameters.columns; column = column + LANES) {\n        let place",
            ),
            mutant("the last weight alone", "sum = sum + weight", "sum = weight"),
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
        shared::ROWS_MAX,
    ],
    once: &[],
};
