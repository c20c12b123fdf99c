//! Mutants of `shaders/embedding/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const EMBEDDING_NORM: Mutants = Mutants {
    kernel: "embedding/embedding_norm",
    constants: &[],
    faults: &[
        &[
            mutant(
                "a part of the table is taken for the first",
                "tokens[row] - parameters.first_id",
                "tokens[row]",
            ),
            mutant(
                "a part of the table has one id more",
                "word < parameters.id_count",
                "word <= parameters.id_count",
            ),
            mutant(
                "a part of the table has one id less",
                "word < parameters.id_count",
                "word + 1u < parameters.id_count",
            ),
            mutant("the ids of other parts are not left alone", "word < parameters.id_count", "true"),
            mutant("the position is the row", "tokens[parameters.rows + row]", "row"),
            mutant(
                "the token types are read for the positions",
                "tokens[parameters.rows + row]",
                "tokens[2u * parameters.rows + row]",
            ),
            mutant(
                "the positions are read for the token types",
                "tokens[2u * parameters.rows + row]",
                "tokens[parameters.rows + row]",
            ),
            mutant(
                "the token types are left out",
                "return sum + token_type[token.token_type + column];",
                "return sum;",
            ),
            mutant("token types where there are none", "parameters.has_types != 0u", "true"),
            mutant("the position is left out", " + position[token.position + column]", ""),
            mutant("rows of the word table have one element", "word * columns", "word"),
            mutant("γ is left out", " * gamma[column]", ""),
            mutant("γ is read for β", " + beta[column]", " + gamma[column]"),
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
            mutant("the root is dropped", "1.0 / sqrt(reduce_add", "1.0 / (reduce_add"),
            mutant(
                "the mean is left in the result",
                "(embedding(token, column) - mean) * scale",
                "embedding(token, column) * scale",
            ),
            mutant(
                "the variance is about 0",
                "let deviation = embedding(token, column) - mean;",
                "let deviation = embedding(token, column);",
            ),
            mutant(
                "the mean's tail is left out",
                "column < work; column = column + LANES) {\n        sum",
                "column + 1u < work; column = column + LANES) {\n        sum",
            ),
            mutant(
                "the tail is not written",
                "column < work; column = column + LANES) {\n        y",
                "column + 1u < work; column = column + LANES) {\n        y",
            ),
            mutant(
                "the bound on the rows is one too large",
                "row < parameters.rows",
                "row <= parameters.rows",
            ),
        ],
        shared::WEIGHTS,
        shared::INDEXING,
        shared::ROWS_INVOCATION,
        shared::ROWS_ADD,
        shared::ROWS_ADD_AGAIN,
    ],
    once: &[],
};

pub const GATHER: Mutants = Mutants {
    kernel: "embedding/gather",
    constants: &[],
    faults: &[
        &[
            mutant(
                "a part of the table is taken for the first",
                "tokens[row] - parameters.first_id",
                "tokens[row]",
            ),
            mutant(
                "a part of the table has one id more",
                "word >= parameters.id_count",
                "word > parameters.id_count",
            ),
            mutant(
                "a part of the table has one id less",
                "word >= parameters.id_count",
                "word + 1u >= parameters.id_count",
            ),
            mutant("the ids of other parts are not left alone", "word >= parameters.id_count", "false"),
            mutant("the position is the row", "tokens[parameters.rows + row]", "row"),
            mutant("the ids are read for the positions", "tokens[parameters.rows + row]", "tokens[row]"),
            mutant("positions where there are none", "parameters.has_positions != 0u", "true"),
            mutant("the positions are left out", "parameters.has_positions != 0u", "false"),
            mutant("the scale is dropped", "parameters.scale * weight_at", "weight_at"),
            mutant(
                "the position is scaled too",
                "sum = sum + position",
                "sum = sum + parameters.scale * position",
            ),
            mutant("rows of the table have one element", "word * columns + column", "word + column"),
            mutant(
                "a row and its column are exchanged",
                "let row = index / columns;",
                "let row = index % columns;",
            ),
            mutant(
                "one element too many",
                "index >= parameters.rows * columns",
                "index > parameters.rows * columns",
            ),
            mutant(
                "the last element is left out",
                "index >= parameters.rows * columns",
                "index + 1u >= parameters.rows * columns",
            ),
            mutant("workgroups overlap", "* WORKGROUP + invocation", "* (WORKGROUP / 2u) + invocation"),
        ],
        shared::WEIGHTS,
    ],
    once: &[shared::INDEXING],
};
