//! Mutants of `shaders/linear/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const GEMM: Mutants = Mutants {
    kernel: "linear/gemm_tiled",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "x's rows are as long as they have columns",
                "row * parameters.x_row",
                "row * parameters.depth",
            ),
            mutant(
                "y's rows are as long as they have columns",
                "y_start() + row * parameters.y_row + column",
                "y_start() + row * parameters.columns + column",
            ),
            mutant(
                "the residual's rows are as long as they have columns",
                "residual[place]",
                "residual[y_start() + row * parameters.columns + column]",
            ),
            mutant(
                "W lies the other way",
                "column * parameters.depth + k",
                "k * parameters.columns + column",
            )
            .on("right_transposed"),
            mutant(
                "W lies the other way",
                "k * parameters.columns + column",
                "column * parameters.depth + k",
            )
            .on("!right_transposed"),
            mutant("each row has a bias of its own", "bias[column]", "bias[row]"),
            mutant(
                "the activation before the bias",
                "value = activate(value);",
                "value = activate(component(values, lane)) + (value - component(values, lane));",
            )
            .on("activation=1"),
            mutant(
                "the activation after the residual",
                "                y[place]",
                "                value = activate(value);\n                y[place]",
            )
            .on("activation=3"),
            mutant(
                "α of the bias too",
                "                value = activate(value);",
                "                value = activate(value * parameters.alpha);",
            )
            .on("general"),
            mutant(
                "y's products are as long as their columns",
                "batch * parameters.rows * parameters.y_row",
                "batch * parameters.rows * parameters.columns",
            )
            .on("general"),
            mutant("the lanes' columns are one", "component(values, lane)", "values.x"),
            mutant(
                "the columns' last tile is left out",
                "(parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.columns / TILE_COLUMNS, 1u)",
            ),
            mutant(
                "tiles overlap",
                "tile % tile_columns * TILE_COLUMNS",
                "tile % tile_columns * (TILE_COLUMNS / 2u)",
            ),
        ],
        shared::MULTIPLY_TILE,
    ],
    once: &[],
};

pub const GEMM_SUBGROUP8: Mutants = Mutants {
    kernel: "linear/gemm_subgroup8",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[&[
        mutant("x's rows are as long as they have columns", "parameters.x_row / 4u", "parameters.depth / 4u"),
        mutant(
            "y's rows are as long as they have columns",
            "row * parameters.y_row",
            "row * parameters.columns",
        ),
        mutant("α of the bias too", "sums * by.factor + by.addend", "(sums + by.addend) * by.factor")
            .on("general"),
        mutant(
            "the activation after the residual",
            "            y[start + column] = value;",
            "            y[start + column] = activate(value);",
        )
        .on("activation=3"),
        mutant(
            "the columns' last tile is left out",
            "(parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS",
            "max(parameters.columns / TILE_COLUMNS, 1u)",
        ),
        mutant(
            "x's texels are in the columns behind",
            "textureLoad(x, texel(index",
            "textureLoad(x, texel(index + 1u",
        )
        .on("x4_image"),
        mutant(
            "x has one row of texels",
            "textureLoad(x, texel(index)",
            "textureLoad(x, texel(index % IMAGE_COLUMNS)",
        )
        .on("x4_image"),
        mutant(
            "W's texels are in the columns behind",
            "textureLoad(weight, texel(index",
            "textureLoad(weight, texel(index + 1u",
        )
        .on("x4_image"),
        mutant(
            "W has one row of texels",
            "textureLoad(weight, texel(index)",
            "textureLoad(weight, texel(index % IMAGE_COLUMNS)",
        )
        .on("x4_image"),
    ]],
    once: &[],
};
