//! Mutants of `shaders/embedding/`.

use crate::mutant::{Mutants, mutant};

pub const EMBEDDING_NORM: Mutants = Mutants {
    kernel: "embedding/embedding_norm",
    constants: &[],
    faults: &[&[
        mutant(
            "the token types are read for the positions",
            "tokens[parameters.rows + row]",
            "tokens[2u * parameters.rows + row]",
        ),
        mutant("γ is read for β", " + beta[column]", " + gamma[column]"),
        mutant(
            "the unbiased variance",
            "reduce_add(squares, lane) / size",
            "reduce_add(squares, lane) / (size - 1.0)",
        ),
    ]],
    once: &[],
};

pub const GATHER: Mutants = Mutants {
    kernel: "embedding/gather",
    constants: &[],
    faults: &[&[mutant(
        "the position is scaled too",
        "sum = sum + position",
        "sum = sum + parameters.scale * position",
    )]],
    once: &[],
};
