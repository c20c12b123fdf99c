//! Mutants of `shaders/vision/`.

use crate::mutant::{Mutants, mutant};

pub const SPATIAL_ATTENTION: Mutants = Mutants {
    kernel: "vision/spatial_attention",
    constants: &[],
    faults: &[&[
        mutant("the mean for the maximum", "* maximum[at]", "* mean[at]"),
        mutant("the last neighbour alone", "sum = sum + weight[w]", "sum = parameters.bias + weight[w]"),
        mutant(
            "the window is turned over",
            "let w = (i + padding - row) * window + (j + padding - column);",
            "let w = window * window - 1u - (i + padding - row) * window - (j + padding - column);",
        ),
        mutant(
            "rows and columns of the window are exchanged",
            "let w = (i + padding - row) * window + (j + padding - column);",
            "let w = (j + padding - column) * window + (i + padding - row);",
        ),
        mutant(
            "a window of a row less above",
            "max(row, padding) - padding",
            "max(row + 1u, padding) - padding",
        ),
        mutant(
            "a window of a column less on the left",
            "max(column, padding) - padding",
            "max(column + 1u, padding) - padding",
        ),
        mutant("the last row is out of reach", "padding + 1u, height)", "padding + 1u, height - 1u)"),
        mutant("rows of the height", "first + i * width + j", "first + i * height + j"),
    ]],
    once: &[],
};

pub const DEFORMABLE_ATTENTION: Mutants = Mutants {
    kernel: "vision/deformable_attention",
    constants: &[],
    faults: &[&[
        mutant(
            "the corners are aligned",
            "references[reference] * across +",
            "references[reference] * (across - 1.0) +",
        ),
        mutant("the height for the width", "let across = f32(level.width)", "let across = f32(level.height)"),
        mutant("the width for the height", "let down = f32(level.height)", "let down = f32(level.width)"),
        mutant("rows of the height", "row * level.width + column", "row * level.height + column"),
        mutant("the row above is read", "row >= 0 &&", "row >= -1 &&"),
        mutant("the last column is outside", "column < level.width)", "column + 1 < level.width)"),
        mutant(
            "rows are exchanged",
            "upper * (1.0 - lower_part) + lower * lower_part",
            "lower * (1.0 - lower_part) + upper * lower_part",
        ),
        mutant("the border is the edge", "-2.0, f32(level.width) + 1.0)", "0.0, f32(level.width) - 1.0)"),
        mutant("rows' border is the edge", "-2.0, f32(level.height) + 1.0)", "0.0, f32(level.height) - 1.0)"),
    ]],
    once: &[],
};
