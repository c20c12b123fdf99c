//! Mutants of `shaders/position/`.

use crate::mutant::{Mutants, mutant};

pub const ROTARY_EMBEDDING: Mutants = Mutants {
    kernel: "position/rotary_embedding",
    constants: &[],
    faults: &[&[
        mutant(
            "the rotation goes the other way",
            "select(-across, across, is_second)",
            "select(across, -across, is_second)",
        ),
        mutant(
            "sin and cos are exchanged",
            "x[x_row + partner] * sin_table[place]",
            "x[x_row + partner] * cos_table[place]",
        ),
        mutant(
            "the partner lies on the other side",
            "select(column + apart, column - apart, is_second)",
            "select(column - apart, column + apart, is_second)",
        ),
        mutant("halves are those of the head", "parameters.rotary_dim / 2u", "parameters.head_dim / 2u"),
        mutant(
            "neighbours share no angles",
            "column % half, column / 2u, interleaved",
            "column % half, column % half, interleaved",
        ),
        mutant(
            "tokens of x lie as heads",
            "parameters.length * parameters.x_token",
            "parameters.length * parameters.x_head",
        ),
        mutant(
            "positions past the tables lead out of them",
            "min(positions[row.token], parameters.table_rows - 1u)",
            "positions[row.token] % parameters.table_rows",
        ),
        mutant(
            "the tables' rows are as long as heads",
            "position * half + pair",
            "position * parameters.rotary_dim + pair",
        ),
    ]],
    once: &[],
};
