//! Mutants of the linear layer's kernels for GPUs: register tiles, few rows, the sum of splits.

use crate::mutant::{Mutant, Mutants, mutant};

/// Products at once, and the epilogue with its activation in the parameters: the same text in both kernels.
const GENERAL: &[Mutant] = &[
    mutant(
        "y's products are as long as their columns",
        "batch * parameters.rows * parameters.y_row",
        "batch * parameters.rows * parameters.columns",
    )
    .on("!split"),
    mutant(
        "y's rows are as long as they have columns",
        "row * parameters.y_row + column",
        "row * parameters.columns + column",
    )
    .on("!split !rows=1"),
    mutant(
        "the activation after the residual",
        "    y[place] = value;",
        "    value = activate(value);\n    y[place] = value;",
    )
    .on("!split"),
];

/// `weight4_f32` and `weight4_f16_packed`.
const WEIGHTS4: &[Mutant] = &[];

pub const GEMM_BLOCKED: Mutants = Mutants {
    kernel: "linear/gemm_blocked",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant("the depth's last panel is left out", "panel4 < end4;", "panel4 + DEPTH4 <= end4;"),
            mutant("the left panel is the first one each time", "left_place + next4", "left_place + first4"),
            mutant(
                "the right panel is the first one each time",
                "right_place + next4 * right_step",
                "right_place + first4 * right_step",
            ),
            mutant(
                "x is read past its depth",
                "        values = x[place];\n    }",
                "    }\n    values = x[place];",
            ),
            mutant(
                "W is read past its depth",
                "        values = weight4_at(place);\n    }",
                "    }\n    values = weight4_at(place);",
            ),
            mutant(
                "x's rows are as long as they have columns",
                "parameters.x_row / 4u",
                "parameters.depth / 4u",
            ),
            mutant(
                "the columns' last tile is left out",
                "(parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.columns / TILE_COLUMNS, 1u)",
            ),
            mutant("tiles overlap", "tile % tile_columns * TILE_COLUMNS", "tile % tile_columns * 2u"),
            mutant(
                "two columns' groups are one",
                "group + GROUPS * number;",
                "group + GROUPS * (number / 2u);",
            )
            .on("right_transposed"),
            mutant("a column's groups lie side by side", "at + next * 2u", "at + STRIDE * 2u")
                .on("right_transposed"),
            mutant(
                "the sixth row's far columns are near",
                "b5 = multiply(b5, left5, far)",
                "b5 = multiply(b5, left5, near)",
            )
            .on("each=8"),
            mutant("the rows of a panel overlap", "STRIDE: u32 = DEPTH4 + 1u", "STRIDE: u32 = DEPTH4 - 1u"),
        ],
        GENERAL,
        WEIGHTS4,
    ],
    once: &[],
};

pub const GEMV: Mutants = Mutants {
    kernel: "linear/gemv",
    constants: &["ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant("the depth's tail is left out", "k4 < depth4;", "k4 + DEPTH_LANES <= depth4;"),
            mutant(
                "x's rows are as long as they have columns",
                "parameters.x_row / 4u",
                "parameters.depth / 4u",
            )
            .on("!rows=1"),
            mutant("the fifth row is the first", "x[far.x + k4]", "x[near.x + k4]").on("rows=8"),
            mutant(
                "the last block of columns is left out",
                "(parameters.columns + 4u * COLUMN_LANES - 1u) / (4u * COLUMN_LANES)",
                "max(parameters.columns / (4u * COLUMN_LANES), 1u)",
            ),
            mutant("a step too many", "lanes >= COLUMN_LANES;", "2u * lanes >= COLUMN_LANES;")
                .on("lane_sums_workgroup !right_transposed"),
        ],
        GENERAL,
        WEIGHTS4,
    ],
    once: &[],
};

pub const SUM_SPLITS: Mutants = Mutants {
    kernel: "linear/sum_splits",
    constants: &[],
    faults: &[&[
        mutant("parts overlap", "split * elements + element", "split * parameters.columns + element"),
        mutant(
            "y's rows are as long as they have columns",
            "/ parameters.columns * parameters.y_row",
            "/ parameters.columns * parameters.columns",
        ),
        mutant(
            "columns are counted by y's rows",
            "element % parameters.columns",
            "element % parameters.y_row",
        ),
        mutant("α of the bias too", "activate(value)", "activate(value * parameters.alpha)"),
        mutant(
            "the activation after the residual",
            "    y[place] = value;",
            "    value = activate(value);\n    y[place] = value;",
        ),
    ]],
    once: &[],
};
