//! Faults in `shaders/shared/`, for the kernels that use those files.

use crate::mutant::{Mutant, mutant};

/// `indexing`.
pub const INDEXING: &[Mutant] = &[
    mutant("the second dimension of the workgroups is left out", "id.x + id.y * count.x", "id.x"),
    mutant("the second dimension of the workgroups counts once", "id.y * count.x", "id.y"),
];

/// `kinds`, where a row's scores are told one by one.
pub const KINDS: &[Mutant] = &[
    mutant(
        "a NaN is a number",
        "(bits & INFINITY_BITS) == INFINITY_BITS",
        "(bits & 0x7fffffffu) == INFINITY_BITS",
    ),
    mutant("−∞ is a NaN", "select(POISON, INFINITIES, bits", "select(POISON, POISON, bits"),
    mutant("a NaN is −∞", "select(POISON, INFINITIES, bits", "select(INFINITIES, INFINITIES, bits"),
    mutant("−∞ is nothing", "select(POISON, INFINITIES, bits", "select(POISON, NOTHING, bits"),
    mutant("+∞ is −∞", "bits == NEGATIVE_INFINITY_BITS)", "(bits & 0x7fffffffu) == INFINITY_BITS)"),
    mutant(
        "f32's lowest number is nothing",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, NOTHING, score == LOWEST), strange,",
    ),
    mutant(
        "−3.4e38 is −∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, INFINITIES, score <= -3.4e38), strange,",
    ),
    mutant(
        "3.4e38 is +∞",
        "select(NUMBERS, strange,",
        "select(select(NUMBERS, POISON, score >= 3.4e38), strange,",
    ),
];

/// `multiply_tile`, for any two matrices.
pub const MULTIPLY_TILE: &[Mutant] = &[
    mutant(
        "no barrier between loading panels and multiplying them",
        "        workgroupBarrier();\n        for (var k = 0u;",
        "        for (var k = 0u;",
    ),
    mutant(
        "no barrier between multiplying panels and loading the next",
        "        workgroupBarrier();\n    }\n    return sums;",
        "    }\n    return sums;",
    ),
    mutant("the depth's tail is left out", "first_k < depth;", "first_k + TILE_DEPTH <= depth;"),
    mutant("the last k of each panel is left out", "k < TILE_DEPTH;", "k + 1u < TILE_DEPTH;"),
    mutant("the left panel is the first one each time", "first_row + row, first_k + k", "first_row + row, k"),
    mutant("the right panel is the first one each time", "load_right(first_k + k,", "load_right(k,"),
    mutant("the left panel is that of the first rows", "load_left(first_row + row,", "load_left(row,"),
    mutant("the right panel is that of the first columns", "first_column + column);", "column);"),
    mutant("a row of the left panel stands for its neighbour", "left_panel[a + 3u]", "left_panel[a + 2u]"),
    mutant(
        "a column of the right panel stands for its neighbour",
        "right_panel[b + 3u]",
        "right_panel[b + 2u]",
    ),
    mutant("only the last product of a row counts", "sums.row2 += product", "sums.row2 = product"),
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
];

/// `component`.
pub const COMPONENT: &[Mutant] = &[
    mutant("the third component is taken for the first", "index >= 2u", "index > 2u"),
    mutant(
        "the second component is taken for the first",
        "index >= 2u);\n    return select(pair.x, pair.y, index % 2u == 1u)",
        "index >= 2u);\n    return pair.x",
    ),
];

/// `activation`.
pub const ACTIVATION: &[Mutant] = &[
    mutant("no activation", "fn activate(x: f32) -> f32 {", "fn activate(x: f32) -> f32 { return x; ")
        .on("activation=1")
        .once(),
    mutant("erf of x, not of x/√2", "erf(x * 0.70710678)", "erf(x)").on("activation=1").once(),
    mutant("the other half of GELU", "(1.0 + erf(", "(1.0 - erf(").on("activation=1").once(),
    mutant(
        "erf beyond 1 has no sign",
        "select(1.0, -1.0, x < 0.0) * (1.0 - exp(-a * q))",
        "(1.0 - exp(-a * q))",
    )
    .on("activation=1")
    .once(),
    mutant("erf's series is taken up to 2", "a > 1.0", "a > 2.0").on("activation=1").once(),
    mutant("erf's polynomial is not ended at 4", "min(abs(x), 4.0)", "abs(x)").on("activation=1").once(),
    mutant("a term of erf's series has the other sign", "- 0.37612626", "+ 0.37612626")
        .on("activation=1")
        .once(),
    mutant("GELU's cube is dropped", " + 0.044715 * x * x * x", "").on("activation=2").once(),
    mutant("√(2/π) is taken for √2/π", "0.7978846", "0.4501582").on("activation=2").once(),
    mutant("the other half of GELU", "(1.0 + tanh_stable(", "(1.0 - tanh_stable(").on("activation=2").once(),
    mutant("ReLU keeps what it should cut", "select(x, 0.0, x < 0.0)", "select(0.0, x, x < 0.0)")
        .on("activation=3")
        .once(),
    mutant("ReLU does not cut", "select(x, 0.0, x < 0.0)", "x").on("activation=3").once(),
    mutant("the sigmoid of −x", "(1.0 + exp(-x))", "(1.0 + exp(x))").on("activation=4").once(),
    mutant("the sigmoid alone", "return x / (1.0 + exp(-x))", "return 1.0 / (1.0 + exp(-x))")
        .on("activation=4")
        .once(),
    mutant("sigmoid overflows", "let e = exp(-abs(x))", "let e = exp(-x)").on("activation=6").once(),
    mutant("the sigmoid of |x|", "select(1.0, e, x < 0.0) / (1.0 + e), x", "1.0 / (1.0 + e), x")
        .on("activation=6")
        .once(),
    mutant("the other half of the sigmoid", "select(1.0, e, x < 0.0)", "select(e, 1.0, x < 0.0)")
        .on("activation=6")
        .once(),
    mutant("sigmoid is not divided", "select(1.0, e, x < 0.0) / (1.0 + e), x", "select(1.0, e, x < 0.0), x")
        .on("activation=6")
        .once(),
    mutant("tanh of x/2", "exp(-2.0 * abs(x))", "exp(-abs(x))").on("activation=5").once(),
    mutant("tanh's sign is lost", "select(1.0, -1.0, x < 0.0) * (1.0 - e)", "(1.0 - e)")
        .on("activation=5")
        .once(),
    mutant("tanh overflows", "exp(-2.0 * abs(x))", "exp(-2.0 * x)").on("activation=5").once(),
    mutant("tanh's series is taken up to 2", "abs(x) > 0.25", "abs(x) > 2.0").on("activation=5").once(),
    mutant("a term of tanh's series has the other sign", "t * (-0.33333334", "t * (0.33333334")
        .on("activation=5")
        .once(),
];

/// `tanh`, for a kernel that has it in every variant.
pub const TANH: &[Mutant] = &[
    mutant("tanh of x/2", "exp(-2.0 * abs(x))", "exp(-abs(x))"),
    mutant("tanh's sign is lost", "select(1.0, -1.0, x < 0.0) * (1.0 - e)", "(1.0 - e)"),
    mutant("tanh overflows", "exp(-2.0 * abs(x))", "exp(-2.0 * x)"),
    mutant("tanh's series is taken up to 2", "abs(x) > 0.25", "abs(x) > 2.0"),
    mutant("a term of tanh's series has the other sign", "t * (-0.33333334", "t * (0.33333334"),
];
