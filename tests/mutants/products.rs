//! Mutants of the linear layer's kernels for GPUs: register tiles, few rows, the sum of splits.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::shared;

/// Products at once, and the epilogue with its activation in the parameters: the same text in both kernels.
const GENERAL: &[Mutant] = &[
    mutant("one product too many", "batch >= parameters.batches", "batch > parameters.batches"),
    mutant("the last product is left out", "batch >= parameters.batches", "batch + 1u >= parameters.batches"),
    mutant("a part of the columns is taken for the first", " + parameters.first_column;", ";").on("!split"),
    mutant(
        "a part of the bias is taken for the first",
        "bias[parameters.first_column + column]",
        "bias[column]",
    )
    .on("!split"),
    mutant(
        "y's products are as long as their columns",
        "batch * parameters.rows * parameters.y_row",
        "batch * parameters.rows * parameters.columns",
    )
    .on("!split"),
    mutant("all products are written to one y", "batch * parameters.rows * parameters.y_row", "0u"),
    mutant(
        "y's rows are as long as they have columns",
        "row * parameters.y_row + column",
        "row * parameters.columns + column",
    )
    .on("!split !rows=1"),
    mutant("α is left out", "sum * parameters.alpha", "sum").on("!split"),
    mutant("β of the residual alone", "parameters.beta * bias", "bias").on("!split"),
    mutant("β of the bias alone", "parameters.beta * residual", "residual").on("!split"),
    mutant("a bias where there is none", "parameters.has_bias != 0u", "true"),
    mutant("a residual where there is none", "parameters.has_residual != 0u", "true"),
    mutant("the activation is left out", "value = activate(value);", "").on("!split"),
    mutant(
        "the activation after the residual",
        "    y[place] = value;",
        "    value = activate(value);\n    y[place] = value;",
    )
    .on("!split"),
    mutant("no activation is set", "ACTIVATION = parameters.activation;", "").on("!split"),
    mutant("a row too many is written", "row < parameters.rows &&", "row <= parameters.rows &&")
        .on("!rows=1"),
    mutant("the last row is not written", "row < parameters.rows &&", "row + 1u < parameters.rows &&"),
    mutant("a column too many is written", "column < parameters.columns)", "column <= parameters.columns)"),
    mutant(
        "the last column is not written",
        "column < parameters.columns)",
        "column + 1u < parameters.columns)",
    ),
    mutant("the fourth k is left out", " + left.w * right.k3", ""),
    mutant("the third k takes the second's weights", "left.z * right.k2", "left.z * right.k1"),
    mutant("the sum begins again with each k", "return sum + left.x", "return left.x"),
    mutant(
        "a column's second weight is its first",
        "vec4<f32>(p.k0.y, p.k1.y, p.k2.y, p.k3.y)",
        "vec4<f32>(p.k0.x, p.k1.y, p.k2.y, p.k3.y)",
    )
    .on("right_transposed"),
];

/// `weight4_f32` and `weight4_f16_packed`.
const WEIGHTS4: &[Mutant] = &[
    mutant(
        "the words of four weights are exchanged",
        "unpack2x16float(words.x), unpack2x16float(words.y)",
        "unpack2x16float(words.y), unpack2x16float(words.x)",
    )
    .on("weight4_f16_packed"),
    mutant("each four weights are the next four", "return weight[index];", "return weight[index + 1u];")
        .on("weight4_f32"),
];

pub const GEMM_BLOCKED: Mutants = Mutants {
    kernel: "linear/gemm_blocked",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "no barrier between loading panels and multiplying them",
                "= next_right;\n        workgroupBarrier();",
                "= next_right;",
            ),
            mutant(
                "no barrier between multiplying panels and loading the next",
                "        workgroupBarrier();\n    }\n",
                "    }\n",
            ),
            mutant("the depth's last panel is left out", "panel4 < end4;", "panel4 + DEPTH4 <= end4;"),
            mutant("the last k of each panel are left out", "k4 < DEPTH4;", "k4 + 1u < DEPTH4;"),
            mutant("the left panel is the first one each time", "left_place + next4", "left_place + first4"),
            mutant(
                "the right panel is the first one each time",
                "right_place + next4 * right_step",
                "right_place + first4 * right_step",
            ),
            mutant("W's panels lie side by side", "select(parameters.columns, 1u, RIGHT_TRANSPOSED)", "1u")
                .on("!right_transposed"),
            mutant(
                "W's panels lie below each other",
                "select(parameters.columns, 1u, RIGHT_TRANSPOSED)",
                "parameters.columns",
            )
            .on("right_transposed"),
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
            mutant("the tile's rows are the first", "min(first_row + left_row,", "min(left_row,"),
            mutant("the tile's columns are the first", "min(first_column + left_row,", "min(left_row,")
                .on("right_transposed"),
            mutant("the tile's columns are the first", "min(first_column / 4u + ", "min(")
                .on("!right_transposed"),
            mutant("W's k of a panel are one", "right_place += k * columns4", "right_place += 0u * columns4")
                .on("!right_transposed"),
            mutant("W's tail is a vec4 too long", "right_k4 = k / 4u;", "right_k4 = 0u;")
                .on("!right_transposed"),
            mutant(
                "the columns' last tile is left out",
                "(parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.columns / TILE_COLUMNS, 1u)",
            ),
            mutant("tiles overlap", "tile % tile_columns * TILE_COLUMNS", "tile % tile_columns * 2u"),
            mutant("all products have the first one's x", "offsets[2u * batch],", "offsets[0u],")
                .on("!split"),
            mutant("all products have the first one's W", "offsets[2u * batch + 1u])", "offsets[1u])")
                .on("!split"),
            mutant("offsets are in vec4s", "offsets[2u * batch + 1u]) / 4u", "offsets[2u * batch + 1u])")
                .on("!split"),
            mutant("each product's tiles begin behind the last", "index % tiles", "index"),
            mutant(
                "two columns' groups are one",
                "group + GROUPS * number;",
                "group + GROUPS * (number / 2u);",
            )
            .on("right_transposed"),
            mutant("a column's groups lie side by side", "at + next * 2u", "at + STRIDE * 2u")
                .on("right_transposed"),
            mutant("the columns of fours are one", "+ number % 4u;", ";").on("!right_transposed"),
            mutant(
                "a row of the right panel is its neighbour",
                "right_panel[at + 3u * row]",
                "right_panel[at + 2u * row]",
            )
            .on("!right_transposed"),
            mutant(
                "the second four columns are the first",
                "panel_of(group, k4, 1u)",
                "panel_of(group, k4, 0u)",
            )
            .on("each=8"),
            mutant(
                "the eighth row is the seventh",
                "left_panel[at + 7u * STRIDE]",
                "left_panel[at + 6u * STRIDE]",
            )
            .on("each=8"),
            mutant("the third row is the second", "left_panel[at + 2u * STRIDE]", "left_panel[at + STRIDE]"),
            mutant(
                "the sixth row's far columns are near",
                "b5 = multiply(b5, left5, far)",
                "b5 = multiply(b5, left5, near)",
            )
            .on("each=8"),
            mutant("two rows of sums are exchanged", "a1, b1, a2, b2,", "a2, b1, a1, b2,"),
            mutant("all fours of sums are the first", "+ number / 4u], number % 4u)", "], number % 4u)")
                .on("each=8"),
            mutant("the rows of a panel overlap", "STRIDE: u32 = DEPTH4 + 1u", "STRIDE: u32 = DEPTH4 - 1u"),
            mutant("a part begins at the depth's beginning", "first4 = batch * share;", "first4 = 0u;")
                .on("split"),
            mutant("a part goes on to the depth's end", "end4 = min(end4, first4 + share);", "").on("split"),
            mutant("a part goes past the depth's end", "min(end4, first4 + share)", "first4 + share")
                .on("split"),
            mutant(
                "the last part is left out where panels do not come out even",
                "(panels + parameters.batches - 1u) / parameters.batches",
                "panels / parameters.batches",
            )
            .on("split"),
        ],
        GENERAL,
        WEIGHTS4,
        shared::COMPONENT,
        shared::INDEXING,
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
