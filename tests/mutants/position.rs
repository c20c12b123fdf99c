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
                "x[x_row + partner] * sin_table[place]",
                "x[x_row + partner] * cos_table[place]",
            ),
            mutant("cos is read for x too", "value * cos_table[place]", "value * sin_table[place]"),
            mutant("always interleaved", "parameters.interleaved != 0u", "true"),
            mutant("never interleaved", "parameters.interleaved != 0u", "false"),
            mutant(
                "the partner is the element",
                "select(column + apart, column - apart, is_second)",
                "column",
            ),
            mutant(
                "the partner lies on the other side",
                "select(column + apart, column - apart, is_second)",
                "select(column - apart, column + apart, is_second)",
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
            mutant("what is behind is left out", "        y[index] = value;\n", ""),
            mutant("rows first though heads are", "parameters.rows_first != 0u", "true"),
            mutant("heads first though rows are", "parameters.rows_first != 0u", "false"),
            mutant(
                "the batch items share their positions",
                "row / (heads * length) * length + row % length",
                "row % length",
            ),
            mutant(
                "the heads have positions of their own",
                "Row(row % heads, row / heads)",
                "Row(row % heads, row)",
            ),
            mutant("the first head is each one's", "Row(row % heads, row / heads)", "Row(0u, row / heads)"),
            mutant("heads first, the head is the row", "Row(row / length % heads,", "Row(row / length,"),
            mutant("x begins at the first element", "parameters.x_first + batch", "batch"),
            mutant("the batch items of x are one", "batch * parameters.x_batch + ", ""),
            mutant(
                "heads of x lie as tokens",
                "row.head * parameters.x_head",
                "row.head * parameters.x_token",
            ),
            mutant(
                "tokens of x lie as heads",
                "parameters.length * parameters.x_token",
                "parameters.length * parameters.x_head",
            ),
            mutant("tokens of x are counted through", "row.token % parameters.length * ", "row.token * "),
            mutant("the partner is x's first", "x[x_row + partner]", "x[partner]"),
            mutant(
                "positions past the tables lead out of them",
                "min(positions[row.token], parameters.table_rows - 1u)",
                "positions[row.token] % parameters.table_rows",
            ),
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
