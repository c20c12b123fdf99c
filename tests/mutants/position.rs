//! Mutants of `shaders/position/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const ROTARY_EMBEDDING: Mutants = Mutants {
    kernel: "position/rotary_embedding",
    constants: &[],
    faults: &[
        &[
            mutant(
                "the rotation goes the other way",
                "select(-across, across, is_second)",
                "select(across, -across, is_second)",
            ),
            mutant("both of a pair get the same sign", "select(-across, across, is_second)", "across"),
            mutant(
                "sin and cos are exchanged",
                "x[partner] * sin_table[place]",
                "x[partner] * cos_table[place]",
            ),
            mutant("cos is read for x too", "x[index] * cos_table[place]", "x[index] * sin_table[place]"),
            mutant("always interleaved", "parameters.interleaved != 0u", "true"),
            mutant("never interleaved", "parameters.interleaved != 0u", "false"),
            mutant("the partner is the element", "select(index + apart, index - apart, is_second)", "index"),
            mutant(
                "the partner lies on the other side",
                "select(index + apart, index - apart, is_second)",
                "select(index - apart, index + apart, is_second)",
            ),
            mutant("halves are those of the head", "parameters.rotary_dim / 2u", "parameters.head_dim / 2u"),
            mutant(
                "halves share no angles",
                "select(column % half, column / 2u",
                "select(column, column / 2u",
            ),
            mutant(
                "neighbours share no angles",
                "column % half, column / 2u, interleaved",
                "column % half, column % half, interleaved",
            ),
            mutant("the second half begins one later", "column >= half", "column > half"),
            mutant("what is behind is rotated too", "column >= parameters.rotary_dim", "false"),
            mutant(
                "the last column is not rotated",
                "column >= parameters.rotary_dim",
                "column + 1u >= parameters.rotary_dim",
            ),
            mutant("what is behind is left out", "        y[index] = x[index];\n", ""),
            mutant("rows first though heads are", "parameters.rows_first != 0u", "true"),
            mutant("heads first though rows are", "parameters.rows_first != 0u", "false"),
            mutant(
                "the batch items share their positions",
                "row / (parameters.heads * length) * length + row % length",
                "row % length",
            ),
            mutant("the heads have positions of their own", "return row / parameters.heads;", "return row;"),
            mutant("positions are left out", "parameters.has_positions != 0u", "false"),
            mutant("positions where there are none", "parameters.has_positions != 0u", "true"),
            mutant(
                "the tables' rows are as long as heads",
                "position * half + pair",
                "position * parameters.rotary_dim + pair",
            ),
            mutant("one element too many", "index >= parameters.elements", "index > parameters.elements"),
            mutant(
                "the last element is left out",
                "index >= parameters.elements",
                "index + 1u >= parameters.elements",
            ),
        ],
        shared::INDEXING,
    ],
    once: &[],
};
