//! Mutants of `shaders/attention/`.

use crate::mutant::{Mutants, mutant};
use crate::shared;

pub const SCORES: Mutants = Mutants {
    kernel: "attention/scores",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant(
                "q is read past its elements",
                "row < parameters.query_length && depth < parameters.head_dim",
                "row < parameters.query_length",
            ),
            mutant(
                "k is read past its elements",
                "column < parameters.key_length && depth < parameters.head_dim",
                "column < parameters.key_length",
            ),
            mutant(
                "q is read for k",
                "return k[k_base + column * parameters.k_row + depth];",
                "return q[q_base + column * parameters.q_row + depth];",
            ),
            mutant("each query head has its own keys", "query_head / parameters.heads_per_key", "query_head"),
            mutant(
                "heads that share keys are counted the other way",
                "query_head / parameters.heads_per_key",
                "query_head % (parameters.heads / parameters.heads_per_key)",
            ),
            mutant("the batch items share their keys", "batch * parameters.k_batch", "0u"),
            mutant("the part's first query is left out", "parameters.first_query * parameters.q_row", "0u"),
            mutant("the part's first head is left out", "parameters.first_batch_head + head", "head"),
            mutant("q begins at its buffer's begin", "parameters.q_offset + batch", "batch"),
            mutant(
                "the last key is left out",
                "if (column < parameters.key_length) {",
                "if (column + 1u < parameters.key_length) {",
            ),
            mutant(
                "a query too many is written",
                "if (row < parameters.query_length) {",
                "if (row <= parameters.query_length) {",
            ),
            mutant(
                "the keys' last tile is left out",
                "(parameters.key_length + TILE_COLUMNS - 1u) / TILE_COLUMNS",
                "max(parameters.key_length / TILE_COLUMNS, 1u)",
            ),
            mutant(
                "rows and columns of tiles are exchanged",
                "(tile / tile_columns) % tile_rows * TILE_ROWS",
                "(tile / tile_rows) % tile_rows * TILE_ROWS",
            ),
        ],
        shared::MULTIPLY_TILE,
        shared::KEEP_ZEROS,
        shared::INDEXING,
    ],
};

pub const SCALE_MASK_SOFTMAX: Mutants = Mutants {
    kernel: "attention/scale_mask_softmax",
    constants: &[],
    faults: &[
        &[
            mutant("the scale is dropped", " * parameters.scale", ""),
            mutant(
                "a float mask is scaled too",
                "scaled + bitcast<f32>(mask[bounds.mask + column * parameters.mask_column])",
                "scaled + parameters.scale * bitcast<f32>(mask[bounds.mask + column * parameters.mask_column])",
            ),
            mutant(
                "a float mask only rules out",
                "return scaled + bitcast<f32>(mask[bounds.mask + column * parameters.mask_column]);",
                "return scaled;",
            ),
            mutant(
                "a boolean mask is turned over",
                "word != 0u, parameters.mask_kind == 1u",
                "word == 0u, parameters.mask_kind == 1u",
            ),
            mutant(
                "a float mask rules nothing out",
                "select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u)",
                "select(true, word != 0u, parameters.mask_kind == 1u)",
            ),
            mutant(
                "a float mask of 0 rules out",
                "select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u)",
                "word != 0u",
            ),
            mutant(
                "the causal bound is strict",
                "query + parameters.causal_query + 1u",
                "query + parameters.causal_query",
            ),
            mutant(
                "the causal bound lets one more",
                "query + parameters.causal_query + 1u",
                "query + parameters.causal_query + 2u",
            ),
            mutant(
                "bottom-right is taken for top-left",
                "reach - min(reach, parameters.causal_key)",
                "query + 1u",
            ),
            mutant("not causal", "parameters.causal != 0u", "false"),
            mutant("the key lengths are left out", "parameters.key_padding == 1u", "false"),
            mutant("every item has the first one's key length", "keys[batch]", "keys[0]"),
            mutant(
                "the key padding mask is turned over",
                "keys[bounds.keys + column] == 0u",
                "keys[bounds.keys + column] != 0u",
            ),
            mutant(
                "every item has the first one's key padding mask",
                "bounds.keys = batch * parameters.key_length;",
                "bounds.keys = 0u;",
            ),
            mutant(
                "the maximum is forgotten",
                "score(bounds, base, column) - largest)",
                "score(bounds, base, column))",
            ),
            mutant("the maximum is at least 0", "var largest = LOWEST;", "var largest = 0.0;"),
            mutant(
                "the maximum is that of the masked keys too",
                "        if (allowed(bounds, column)) {\n            let value",
                "        {\n            let value",
            ),
            mutant(
                "masked keys keep their weights",
                "        if (allowed(bounds, column)) {\n            weight",
                "        {\n            weight",
            ),
            mutant(
                "the weights are not divided",
                "weights[base + column] * factor",
                "weights[base + column]",
            ),
            mutant(
                "a row without keys is divided by its sum",
                "select(0.0, 1.0 / sum, state == SEEN)",
                "1.0 / sum",
            ),
            mutant("a NaN does not reach the row", "state == POISONED || ", ""),
            mutant("the part's first query is left out", "parameters.first_query + row", "row"),
            mutant("the part's first head is left out", "parameters.first_batch_head + head", "head"),
            mutant("the batch items share their mask", "batch * parameters.mask_batch + ", ""),
            mutant(
                "the heads share their mask",
                "batch_head % parameters.heads * parameters.mask_head",
                "0u",
            ),
            mutant("the queries share their mask", "query * parameters.mask_row", "0u"),
            mutant(
                "the keys' tail gets no weight",
                "parameters.key_length; column = column + LANES) {\n        var weight",
                "parameters.key_length - 1u; column = column + LANES) {\n        var weight",
            ),
            mutant(
                "the last key that is allowed is not in the maximum",
                "column < bounds.end; ",
                "column + 1u < bounds.end; ",
            ),
            mutant(
                "the bound on the rows is one too large",
                "row >= parameters.rows",
                "row > parameters.rows",
            ),
        ],
        shared::INDEXING,
        shared::ROWS_INVOCATION,
        shared::ROWS_ADD,
        shared::ROWS_ADD_AGAIN,
        shared::ROWS_MAX,
    ],
};

pub const WEIGHTED_VALUES: Mutants = Mutants {
    kernel: "attention/weighted_values",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant(
                "weights are read past their keys",
                "row < parameters.query_length && depth < parameters.key_length",
                "row < parameters.query_length",
            ),
            mutant(
                "the last key is left out",
                "depth < parameters.key_length && column < parameters.value_dim",
                "depth + 1u < parameters.key_length && column < parameters.value_dim",
            ),
            mutant(
                "each query head has its own values",
                "query_head / parameters.heads_per_key",
                "query_head",
            ),
            mutant(
                "heads that share values are counted the other way",
                "query_head / parameters.heads_per_key",
                "query_head % (parameters.heads / parameters.heads_per_key)",
            ),
            mutant("the batch items share their values", "batch * parameters.v_batch", "0u"),
            mutant(
                "the weights are those of the whole batch",
                "weights_base = head *",
                "weights_base = batch_head *",
            ),
            mutant(
                "the heads share their weights",
                "weights_base = head * parameters.query_length * parameters.key_length;",
                "weights_base = 0u;",
            ),
            mutant("v begins at its buffer's begin", "parameters.v_offset + batch", "batch"),
            mutant(
                "v's rows are as long as they have elements",
                "depth * parameters.v_row",
                "depth * parameters.value_dim",
            ),
            mutant("the output begins at its buffer's begin", "parameters.output_offset + batch", "batch"),
            mutant(
                "the output's part begins at the first query",
                "parameters.first_query * parameters.output_row",
                "0u",
            ),
            mutant("the part's first head is left out", "parameters.first_batch_head + head", "head"),
            mutant(
                "a query too many is written",
                "if (row < parameters.query_length) {",
                "if (row <= parameters.query_length) {",
            ),
            mutant(
                "an element too many is written",
                "if (column < parameters.value_dim) {",
                "if (column <= parameters.value_dim) {",
            ),
        ],
        shared::MULTIPLY_TILE,
        shared::SKIP_ZEROS,
        shared::INDEXING,
    ],
};
