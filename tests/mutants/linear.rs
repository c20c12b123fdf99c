//! Mutants of `shaders/linear/` that no operator makes: strides in the place of others, what is exchanged, the epilogue in another
//! order.

use crate::mutant::{Mutant, Mutants, mutant};

pub const GEMM: Mutants = Mutants {
    kernel: "linear/gemm_tiled",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[&[
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
        mutant("W lies the other way", "column * parameters.depth + k", "k * parameters.columns + column")
            .on("right_transposed"),
        mutant("W lies the other way", "k * parameters.columns + column", "column * parameters.depth + k")
            .on("!right_transposed"),
        mutant("each row has a bias of its own", "bias[column]", "bias[row]"),
        mutant("the lanes' columns are one", "component(values, lane)", "values.x"),
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
        mutant(
            "rows and columns of the registers are exchanged",
            "let my_row = 4u * (invocation / COLUMN_GROUPS);",
            "let my_row = 4u * (invocation % COLUMN_GROUPS);",
        ),
        mutant(
            "the right panel is filled in two orders",
            "select(element / TILE_COLUMNS, element % TILE_DEPTH, RIGHT_TRANSPOSED)",
            "select(element % TILE_DEPTH, element / TILE_COLUMNS, RIGHT_TRANSPOSED)",
        ),
        mutant("the depth's tail is left out", "first_k < depth;", "first_k + TILE_DEPTH <= depth;"),
    ]],
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
        mutant(
            "two rows of a panel are exchanged",
            "weight4_at(at.y), weight4_at(at.z)",
            "weight4_at(at.z), weight4_at(at.y)",
        )
        .on("!right_transposed"),
        mutant("α of the bias too", "sums * by.factor + by.addend", "(sums + by.addend) * by.factor")
            .on("general"),
        mutant(
            "the activation after the residual",
            "            y[start + column] = value;",
            "            y[start + column] = activate(value);",
        )
        .on("activation=3"),
        mutant(
            "the words of four weights are exchanged",
            "unpack2x16float(words.x), unpack2x16float(words.y)",
            "unpack2x16float(words.y), unpack2x16float(words.x)",
        )
        .on("weight4_f16_packed"),
        mutant(
            "the words of a texel are exchanged",
            "unpack2x16float(words.x), unpack2x16float(words.y)",
            "unpack2x16float(words.y), unpack2x16float(words.x)",
        )
        .on("weight4_f16_image"),
    ]],
    once: &[],
};

/// What `gemm_blocked` and `gemv` have alike.
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
    mutant("α of the bias too", "value = activate(value);", "value = activate(value * parameters.alpha);")
        .on("!split"),
    mutant(
        "the words of four weights are exchanged",
        "unpack2x16float(words.x), unpack2x16float(words.y)",
        "unpack2x16float(words.y), unpack2x16float(words.x)",
    )
    .on("weight4_f16_packed"),
];

pub const GEMM_BLOCKED: Mutants = Mutants {
    kernel: "linear/gemm_blocked",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "x's rows are as long as they have columns",
                "parameters.x_row / 4u",
                "parameters.depth / 4u",
            ),
            mutant("the depth's last panel is left out", "panel4 < end4;", "panel4 + DEPTH4 <= end4;"),
            mutant("a column's groups lie side by side", "at + next * 2u", "at + STRIDE * 2u")
                .on("right_transposed"),
            mutant("two rows of sums are exchanged", "a1, b1, a2, b2,", "a2, b1, a1, b2,"),
            mutant("the rows of a panel overlap", "STRIDE: u32 = DEPTH4 + 1u", "STRIDE: u32 = DEPTH4 - 1u"),
            mutant(
                "the last part is left out where panels do not come out even",
                "(panels + parameters.batches - 1u) / parameters.batches",
                "panels / parameters.batches",
            )
            .on("split"),
        ],
        GENERAL,
    ],
    once: &[],
};

pub const GEMV: Mutants = Mutants {
    kernel: "linear/gemv",
    constants: &["ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "x's rows are as long as they have columns",
                "parameters.x_row / 4u",
                "parameters.depth / 4u",
            )
            .on("!rows=1"),
            mutant("the depth's tail is left out", "k4 < depth4;", "k4 + DEPTH_LANES <= depth4;"),
        ],
        GENERAL,
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
