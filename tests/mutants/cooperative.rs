//! Mutants of the kernels of cooperative matrices.

use crate::mutant::{Mutant, Mutants, mutant};
use crate::shared;

/// How panels are written.
const PANELS: &[Mutant] = &[
    mutant("two elements are exchanged", "panels[place + 1u] = values.y;", "panels[place + 1u] = values.z;")
        .on("panel_elements"),
    mutant("the fourth element is left out", "    panels[place + 3u] = values.w;\n", "").on("panel_elements"),
    mutant(
        "each four elements are one further",
        "panels[place / PANEL_WORD] = values",
        "panels[place / PANEL_WORD + 1u] = values",
    )
    .on("panel_blocks"),
];

/// The workgroup's place, by hand.
const INDEX: &[Mutant] = &[
    mutant("the second dimension of the workgroups is left out", "id.y * count.x + id.x", "id.x"),
    mutant("the second dimension of the workgroups counts once", "id.y * count.x + id.x", "id.y + id.x"),
];

pub const GEMM_COOPERATIVE: Mutants = Mutants {
    kernel: "linear/gemm_cooperative",
    constants: &[],
    faults: &[],
    once: &[
        PANELS,
        INDEX,
        &[
            mutant(
                "x is read past its columns",
                "row < parameters.rows && k < parameters.depth",
                "row < parameters.rows",
            ),
            mutant(
                "x's last four columns are left out",
                "&& k < parameters.depth) {\n        return vec4<f16>(x",
                "&& k + 4u < parameters.depth) {\n        return vec4<f16>(x",
            ),
            mutant(
                "W is read past its depth",
                "k < parameters.depth && column < parameters.columns",
                "column < parameters.columns",
            ),
            mutant(
                "x's rows are as long as they have columns",
                "row * parameters.x_row + k",
                "row * parameters.depth + k",
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
                "W's columns are staged as its rows",
                "put(RIGHT_AT + column * PITCH + k,",
                "put(RIGHT_AT + k * COLUMNS_PITCH + column,",
            )
            .on("right_transposed"),
            mutant(
                "W's columns lie as close as they are",
                "put(RIGHT_AT + column * PITCH + k,",
                "put(RIGHT_AT + column * TILE_DEPTH + k,",
            )
            .on("right_transposed"),
            mutant(
                "W's rows lie as close as they are",
                "put(RIGHT_AT + k * COLUMNS_PITCH + column,",
                "put(RIGHT_AT + k * TILE + column,",
            )
            .on("!right_transposed"),
            mutant("W is staged over x", "const RIGHT_AT: u32 = TILE * PITCH;", "const RIGHT_AT: u32 = 0u;"),
            mutant("the left panel is that of the first rows", "x_block(first_row + row,", "x_block(row,"),
            mutant(
                "the left panel is the first one each time",
                "x_block(first_row + row, first_k + k)",
                "x_block(first_row + row, k)",
            ),
            mutant(
                "no barrier between loading panels and multiplying them",
                "invocation);\n        workgroupBarrier();\n        for (var k",
                "invocation);\n        for (var k",
            ),
            mutant(
                "no barrier between multiplying panels and loading the next",
                "        workgroupBarrier();\n    }\n    let row",
                "    }\n    let row",
            ),
            mutant(
                "the second half of a panel is left out",
                "k < TILE_DEPTH; k = k + SIDE",
                "k + SIDE < TILE_DEPTH; k = k + SIDE",
            ),
            mutant(
                "the depth's tail is left out",
                "first_k < parameters.depth;",
                "first_k + TILE_DEPTH <= parameters.depth;",
            ),
            mutant(
                "all subgroups have the first rows",
                "let own_row = subgroup / 2u * SPAN;",
                "let own_row = 0u;",
            ),
            mutant(
                "all subgroups have the first columns",
                "let own_column = subgroup % 2u * SPAN;",
                "let own_column = 0u;",
            ),
            mutant("the second rows are the first", "let below = SIDE * PITCH;", "let below = 0u;"),
            mutant("the second columns are the first", "select(SIDE, SIDE * PITCH, RIGHT_TRANSPOSED)", "0u"),
            mutant(
                "a sum begins again",
                "sums11 = coopMultiplyAdd(x1, w, sums11);",
                "sums11 = coopMultiplyAdd(x1, w, Sums());",
            ),
            mutant(
                "a row's matrix is its neighbour's",
                "sums10 = coopMultiplyAdd(x1, w, sums10);",
                "sums10 = coopMultiplyAdd(x0, w, sums10);",
            ),
            mutant("the last matrix is left out", "sums33 = coopMultiplyAdd(x3, w, sums33);", "")
                .on("fragments=4"),
            mutant("two matrices are exchanged", "coopStoreT(sums23, &out", "coopStoreT(sums32, &out")
                .on("fragments=4"),
            mutant("sums lie the other way", "coopStoreT(sums01, &out", "coopStore(sums01, &out"),
            mutant(
                "the subgroups share their way out",
                "let out_at = subgroup * OUT_ELEMENTS;",
                "let out_at = 0u;",
            ),
            mutant(
                "a row too many is written",
                "row < parameters.rows && own",
                "row <= parameters.rows && own",
            ),
            mutant(
                "a column too many is written",
                "own < parameters.columns) {",
                "own <= parameters.columns) {",
            ),
            mutant(
                "a part of the columns is taken for the first",
                "let column = parameters.first_column + own;",
                "let column = own;",
            ),
            mutant(
                "y's rows are as long as they have columns",
                "row * parameters.y_row + column",
                "row * parameters.columns + column",
            ),
            mutant("the bias is left out", "value = value + bias[column];", ""),
            mutant("a bias where there is none", "parameters.has_bias != 0u", "true"),
            mutant("the residual is left out", "value = value + residual[place];", ""),
            mutant("a residual where there is none", "parameters.has_residual != 0u", "true"),
            mutant("the activation is left out", "activate(value)", "value").on("activation=2"),
            mutant(
                "x is not rounded, but cut",
                "vec4<f16>(x[(row * parameters.x_row + k) / 4u])",
                "vec4<f16>(bitcast<vec4<f32>>(bitcast<vec4<u32>>(x[(row * parameters.x_row + k) / 4u]) & vec4<u32>(0xffffe000u)))",
            ),
        ],
    ],
};

pub const FLASH_COOPERATIVE: Mutants = Mutants {
    kernel: "attention/flash_cooperative",
    constants: &[],
    faults: &[],
    once: &[
        PANELS,
        &[
            mutant(
                "the values' second matrix is the first",
                "coopLoadT<Right>(&panels[(rows + SIDE) / PANEL_WORD]",
                "coopLoadT<Right>(&panels[rows / PANEL_WORD]",
            ),
            mutant(
                "the second matrix's sums begin again",
                "PITCH / PANEL_WORD), values1,",
                "PITCH / PANEL_WORD), Sums(),",
            ),
            mutant("the fourth matrix is left out", "finish(tile, 3u * SIDE, subgroup, lane);", "")
                .on("fragments=4"),
            mutant(
                "the eighth matrix is the seventh",
                "coopStoreT(values7, &logits[own_logits], LOGITS_PITCH);\n        finish",
                "coopStoreT(values6, &logits[own_logits], LOGITS_PITCH);\n        finish",
            )
            .on("fragments=8"),
            mutant(
                "the fourth keys are left out",
                "LOGITS_PITCH);\n        }\n        if (invocation == 0u)",
                "LOGITS_PITCH + 1u);\n        }\n        if (invocation == 0u)",
            )
            .on("fragments=4"),
            mutant(
                "the last matrix is not rescaled",
                "values3 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);",
                "",
            )
            .on("fragments=4"),
            mutant(
                "a query stands for the first",
                "let query = min(row, tile.queries - 1u);",
                "let query = 0u;",
            ),
            mutant(
                "the keys are those of the first tile",
                "put(KEYS_AT + row * PITCH + first, vec4<f16>(k_block",
                "put(row * PITCH + first, vec4<f16>(k_block",
            ),
            mutant(
                "the keys' band begins a tile late",
                "first_key = tile.begin / KEYS * KEYS;",
                "first_key = (tile.begin + KEYS - 1u) / KEYS * KEYS;",
            ),
            mutant(
                "the keys' last tile is left out",
                "first_key < tile.end;",
                "first_key + KEYS <= tile.end;",
            ),
            mutant("a tile without queries is written", "row < tile.queries && column", "column"),
            mutant(
                "a column too many is written",
                "column < parameters.value_dim) {\n            let value",
                "column <= parameters.value_dim) {\n            let value",
            ),
            mutant(
                "no barrier between staging keys and multiplying them",
                "stage_keys(tile, first_key, invocation);\n        workgroupBarrier();",
                "stage_keys(tile, first_key, invocation);",
            ),
            mutant(
                "no barrier between multiplying values and staging keys",
                "        workgroupBarrier();\n    }\n    shares",
                "    }\n    shares",
            ),
            mutant(
                "the depth's last matrix is left out",
                "d < depth(); d = d + SIDE",
                "d + SIDE < depth(); d = d + SIDE",
            ),
            mutant(
                "the depth ends with whole matrices",
                "(parameters.head_dim + SIDE - 1u) / SIDE * SIDE",
                "parameters.head_dim / SIDE * SIDE",
            ),
            mutant(
                "all subgroups have the first queries",
                "&panels[(subgroup * SIDE * PITCH + d) / PANEL_WORD]",
                "&panels[d / PANEL_WORD]",
            ),
            mutant(
                "all subgroups have the first weights",
                "WEIGHTS_AT + subgroup * SIDE * WEIGHTS_PITCH + key",
                "WEIGHTS_AT + key",
            ),
            mutant(
                "the second half's weights are the first's",
                "SIDE * WEIGHTS_PITCH + key;",
                "SIDE * WEIGHTS_PITCH;",
            ),
            mutant(
                "a row is masked as its neighbour",
                "min(own_row, max(tile.queries, 1u) - 1u)",
                "min(own_row + 1u, max(tile.queries, 1u) - 1u)",
            ),
            mutant(
                "keys are masked as their tile's first",
                "masked_logits(own, first_key + 4u * key4,",
                "masked_logits(own, first_key,",
            ),
            mutant(
                "the maximum stays that of the first keys",
                "if (highest > before + SLACK)",
                "if (seen_before == NOTHING)",
            ),
            mutant("the maximum is that of the last keys", "if (highest > before + SLACK)", "if (true)"),
            mutant(
                "the values are never rescaled",
                "if (factor != 1.0 && seen_before >= NUMBERS) {",
                "if (false) {",
            ),
            mutant(
                "what was summed at f32's lowest number stays",
                "if (factor != 1.0 && seen_before >= NUMBERS) {",
                "if (factor != 1.0 && before != LOWEST) {",
            ),
            mutant(
                "weights are told by their logits",
                "own_bits != vec4<u32>()",
                "found > vec4<f32>(LOWEST)",
            ),
            mutant(
                "the lanes' bits are those of the first keys",
                "(weighted >> (4u * (key4 / SHARE)))",
                "(weighted)",
            ),
            mutant("the values' factor is left out", "logits[place] * factor_tile[row];", "logits[place];"),
            mutant("the running sum is not rescaled", "sum = sum * factor;", ""),
            mutant(
                "a sum of weights begins again",
                "sum = sum + weights.x + weights.y",
                "sum = weights.x + weights.y",
            ),
            mutant("the fourth key is left out of the maximum", "max(found.z, found.w)", "found.z"),
            mutant(
                "the lanes' keys end early",
                "highest = LOWEST;\n        for (var key4 = own_part; key4 < KEYS / 4u;",
                "highest = LOWEST;\n        for (var key4 = own_part; key4 + 1u < KEYS / 4u;",
            ),
            mutant(
                "a NaN is forgotten with the next keys",
                "seen = max(seen, kind_from_four(words));",
                "seen = kind_from_four(words);",
            ),
            mutant(
                "a NaN among values is multiplied",
                "select(values, vec4<f32>(), no_number(values))",
                "values",
            ),
            mutant("strange values are not told", "atomicOr(&rework, STRANGE);", ""),
            mutant(
                "strange values are those of the first keys",
                "min(first_key + key, tile.span.keys - 1u)",
                "min(key, tile.span.keys - 1u)",
            ),
            mutant(
                "a strange value under weight 0 shows",
                "select(weight * value, 0.0, weight == 0.0)",
                "weight * value",
            ),
            mutant(
                "strange values are those of a row's neighbour",
                "element_at(WEIGHTS_AT + row * WEIGHTS_PITCH + key)",
                "element_at(WEIGHTS_AT + (max(row, 1u) - 1u) * WEIGHTS_PITCH + key)",
            ),
            mutant(
                "no tile has anything to rework",
                "        if (atomicLoad(&rework) != 0u) {",
                "        if (false) {",
            ),
            mutant("a row ends with the last tile's factor", "factor_tile[own_row] = end_of_row.factor;", ""),
            mutant("a row's NaN is its neighbour's", "poison_tile[row] > 0.0", "poison_tile[row ^ 1u] > 0.0"),
            mutant(
                "the last query's sum is left out",
                "own_row < tile.queries) {\n        store_sum",
                "own_row + 1u < tile.queries) {\n        store_sum",
            ),
            mutant(
                "a row's sum is written to the first",
                "tile.first_query + own_row, tile.split",
                "tile.first_query, tile.split",
            ),
        ],
        INDEX,
        shared::TILES,
        shared::QUERIES,
        shared::KEYS,
        shared::PAGED,
        shared::VALUES,
        shared::OUTPUT,
    ],
};
