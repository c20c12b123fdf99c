//! Mutants of `shaders/linear/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const GEMM: Mutants = Mutants {
    kernel: "linear/gemm_tiled",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "x is read past its columns",
                "row < parameters.rows && k < parameters.depth",
                "row < parameters.rows",
            ),
            mutant(
                "x's last column is left out",
                "&& k < parameters.depth)",
                "&& k + 1u < parameters.depth)",
            ),
            mutant(
                "W is read past its depth",
                "k < parameters.depth && column < parameters.columns",
                "column < parameters.columns",
            ),
            mutant(
                "W's last column is left out",
                "&& column < parameters.columns)",
                "&& column + 1u < parameters.columns)",
            ),
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
            mutant(
                "a row too many is written",
                "if (row < parameters.rows) {",
                "if (row <= parameters.rows) {",
            ),
            mutant(
                "a column too many is written",
                "if (first_column + lane < parameters.columns)",
                "if (first_column + lane <= parameters.columns)",
            ),
            mutant(
                "the last row is not written",
                "if (row < parameters.rows) {",
                "if (row + 1u < parameters.rows) {",
            ),
            mutant(
                "a part of the columns is taken for the first",
                "parameters.first_column + first_column + lane",
                "first_column + lane",
            ),
            mutant("the bias is left out", "value = value + scaled(bias[column]);", ""),
            mutant("a bias where there is none", "parameters.has_bias != 0u", "true"),
            mutant("each row has a bias of its own", "bias[column]", "bias[row]"),
            mutant("the residual is left out", "value = value + scaled(residual[place]);", ""),
            mutant("a residual where there is none", "parameters.has_residual != 0u", "true"),
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
            mutant("the activation is left out", "value = activate(value);", "").on("activation=4"),
            mutant("α is left out", "value = value * parameters.alpha;", "").on("general"),
            mutant("β is left out", "return addend * parameters.beta;", "return addend;").on("general"),
            mutant("β of the residual alone", "scaled(bias[column])", "bias[column]").on("general"),
            mutant("β of the bias alone", "scaled(residual[place])", "residual[place]").on("general"),
            mutant(
                "α of the bias too",
                "                value = activate(value);",
                "                value = activate(value * parameters.alpha);",
            )
            .on("general"),
            mutant("all products have the first one's x", "return starts.x;", "return 0u;").on("general"),
            mutant("all products have the first one's W", "return starts.y;", "return 0u;").on("general"),
            mutant("all products are written to one y", "return starts.z;", "return 0u;").on("general"),
            mutant("x and W are each other's", "offsets[2u * batch],", "offsets[2u * batch + 1u],")
                .on("general"),
            mutant("the offsets of the next product", "offsets[2u * batch + 1u]", "offsets[2u * batch + 3u]")
                .on("general"),
            mutant("each product's tiles begin behind the last", "tile = tile % tiles;", "").on("general"),
            mutant("one product too many", "batch >= parameters.batches", "batch > parameters.batches")
                .on("general"),
            mutant(
                "the last product is left out",
                "batch >= parameters.batches",
                "batch + 1u >= parameters.batches",
            )
            .on("general"),
            mutant(
                "y's products are as long as their columns",
                "batch * parameters.rows * parameters.y_row",
                "batch * parameters.rows * parameters.columns",
            )
            .on("general"),
            mutant("the lanes' columns are one", "component(values, lane)", "values.x"),
            mutant("the fourth row is the third", "sums.row3);", "sums.row2);"),
            mutant("the second row is written to the first", "store(row + 1u,", "store(row,"),
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
        shared::COMPONENT,
        shared::KEEP_ZEROS,
        shared::WEIGHTS,
        shared::ACTIVATION,
        shared::INDEXING,
    ],
    once: &[],
};

pub const GEMM_SUBGROUP8: Mutants = Mutants {
    kernel: "linear/gemm_subgroup8",
    constants: &["TILE_ROWS", "RIGHT_TRANSPOSED"],
    faults: &[
        &[
            mutant(
                "a column's second weight is its first",
                "vec4<f32>(p.k0.y, p.k1.y, p.k2.y, p.k3.y)",
                "vec4<f32>(p.k0.x, p.k1.y, p.k2.y, p.k3.y)",
            )
            .on("right_transposed"),
            mutant("a panel is not turned", "return transposed(panel);", "return panel;")
                .on("right_transposed"),
            mutant(
                "two rows of a panel are exchanged",
                "weight4_at(at.y), weight4_at(at.z)",
                "weight4_at(at.z), weight4_at(at.y)",
            )
            .on("!right_transposed"),
            mutant(
                "two columns of a panel are one",
                "first_column + vec4<u32>(0u, 1u, 2u, 3u);\n        return",
                "first_column + vec4<u32>(0u, 1u, 2u, 2u);\n        return",
            )
            .on("right_transposed"),
            mutant("the columns of W begin at each other", "* (parameters.depth / 4u)", "")
                .on("right_transposed"),
            mutant("rows of W are one", "row * vec4<u32>(0u, 1u, 2u, 3u)", "row * vec4<u32>(0u, 0u, 2u, 3u)")
                .on("!right_transposed"),
            mutant("panels lie side by side", "select(parameters.columns, 1u, RIGHT_TRANSPOSED)", "1u")
                .on("!right_transposed"),
            mutant(
                "panels lie below each other",
                "select(parameters.columns, 1u, RIGHT_TRANSPOSED)",
                "parameters.columns",
            )
            .on("right_transposed"),
            mutant("the fourth k is left out", " + left.w * right.k3", ""),
            mutant("the third k takes the second's weights", "left.z * right.k2", "left.z * right.k1"),
            mutant("the sum begins again with each k", "return sum + left.x", "return left.x"),
            mutant("the depth's tail is left out", "k4 < depth4;", "k4 + 1u < depth4;"),
            mutant(
                "x's rows are as long as they have columns",
                "parameters.x_row / 4u",
                "parameters.depth / 4u",
            ),
            mutant(
                "the eighth row is the seventh",
                "subgroupBroadcast(left, 7u)",
                "subgroupBroadcast(left, 6u)",
            ),
            mutant("the lanes keep their own rows", "subgroupBroadcast(left, 2u)", "left"),
            mutant("the second eight rows are the first", "left_places.y", "left_places.x")
                .on("tile_rows=16"),
            mutant(
                "the fourth eight rows are the third",
                "vec4<u32>(0u, 8u, 16u, 24u)",
                "vec4<u32>(0u, 8u, 16u, 16u)",
            )
            .on("tile_rows=32"),
            mutant("the third eight rows are the fourth", "left_places.z", "left_places.w")
                .on("tile_rows=32"),
            mutant("the second eight rows are left out", "TILE_ROWS > 8u", "TILE_ROWS > 16u")
                .on("tile_rows=16"),
            mutant("the last sixteen rows are left out", "TILE_ROWS > 16u", "TILE_ROWS > 32u")
                .on("tile_rows=32"),
            mutant("the second row goes on from the first", "multiply(sums.r1,", "multiply(sums.r0,"),
            mutant("a row is stored for its neighbour", "eight.r4)", "eight.r5)"),
            mutant("eight rows are stored for the ones before", "eight = sums8;", "eight = sums0;")
                .on("tile_rows=16"),
            mutant("the third eight rows are stored for the fourth", "eight = sums24;", "eight = sums16;")
                .on("tile_rows=32"),
            mutant("the last row is left out", "row < parameters.rows)", "row + 1u < parameters.rows)"),
            mutant("a row past the end is written", "row < parameters.rows)", "row <= parameters.rows)"),
            mutant(
                "a column too many is written",
                "by.first_column + column < parameters.columns",
                "by.first_column + column <= parameters.columns",
            )
            .on("right_transposed"),
            mutant(
                "a part of the columns is taken for the first",
                "starts.z + parameters.first_column + first_column",
                "starts.z + first_column",
            ),
            mutant(
                "a part of the bias is taken for the first",
                "parameters.first_column + min(columns",
                "min(columns",
            ),
            mutant(
                "y's rows are as long as they have columns",
                "row * parameters.y_row",
                "row * parameters.columns",
            ),
            mutant("the bias is left out", "sums * by.factor + by.addend", "sums * by.factor"),
            mutant("α is left out", "sums * by.factor", "sums").on("general"),
            mutant("α of the bias too", "sums * by.factor + by.addend", "(sums + by.addend) * by.factor")
                .on("general"),
            mutant("β of the residual alone", "addend = addend * parameters.beta;", "").on("general"),
            mutant("β of the bias alone", "scaled(residual[start + column])", "residual[start + column]")
                .on("general"),
            mutant("all products have the first one's x", "starts.x + left_rows", "left_rows").on("general"),
            mutant(
                "all products have the first one's W",
                "starts.y + places_of(first_column);",
                "places_of(first_column);",
            )
            .on("general"),
            mutant("all products are written to one y", "starts.z + parameters", "parameters").on("general"),
            mutant("x and W are each other's", "offsets[2u * batch] / 4u", "offsets[2u * batch + 1u] / 4u")
                .on("general"),
            mutant("W's offset is in elements", "offsets[2u * batch + 1u] / 4u", "offsets[2u * batch + 1u]")
                .on("general"),
            mutant("each product's tiles begin behind the last", "tile = tile % tiles;", "").on("general"),
            mutant("one product too many", "batch >= parameters.batches", "batch > parameters.batches")
                .on("general"),
            mutant("a bias where there is none", "parameters.has_bias == 0u", "false"),
            mutant("the residual is left out", "value = value + scaled(residual[start + column]);", ""),
            mutant("a residual where there is none", "parameters.has_residual != 0u", "true"),
            mutant(
                "the activation after the residual",
                "            y[start + column] = value;",
                "            y[start + column] = activate(value);",
            )
            .on("activation=3"),
            mutant("the activation is left out", "activate(values[column])", "values[column]")
                .on("activation=2"),
            mutant(
                "the columns' last tile is left out",
                "(parameters.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.columns / TILE_COLUMNS, 1u)",
            ),
            mutant("the lanes' columns overlap", "+ 4u * lane", "+ 3u * lane").on("right_transposed"),
            mutant(
                "the words of four weights are exchanged",
                "unpack2x16float(words.x), unpack2x16float(words.y)",
                "unpack2x16float(words.y), unpack2x16float(words.x)",
            )
            .on("weight4_f16_packed"),
            mutant(
                "each four weights are the next four",
                "return weight[index];",
                "return weight[index + 1u];",
            )
            .on("weight4_f32"),
            mutant("each four elements are the next four", "return x[index];", "return x[index + 1u];")
                .on("x4_buffer"),
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
            mutant(
                "the words of a texel are exchanged",
                "unpack2x16float(words.x), unpack2x16float(words.y)",
                "unpack2x16float(words.y), unpack2x16float(words.x)",
            )
            .on("weight4_f16_image"),
        ],
        shared::ACTIVATION,
        shared::INDEXING,
    ],
    once: &[],
};
