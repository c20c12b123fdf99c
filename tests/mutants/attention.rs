//! Mutants of the chain of `shaders/attention/`, of the merge, and of the cache's append.

use crate::mutant::{Mutants, all_on, mutant};
use crate::{masking, placing, shared};

pub const SCORES: Mutants = Mutants {
    kernel: "attention/scores",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant(
                "q is read past its elements",
                "row < q_rows && depth < parameters.head_dim",
                "row < q_rows",
            ),
            mutant(
                "q is read past its rows",
                "row < q_rows && depth < parameters.head_dim",
                "depth < parameters.head_dim",
            ),
            mutant(
                "k is read past its elements",
                "column < k_rows && depth < parameters.head_dim",
                "column < k_rows",
            ),
            mutant(
                "k is read past its rows",
                "column < k_rows && depth < parameters.head_dim",
                "depth < parameters.head_dim",
            ),
            mutant(
                "q is read for k",
                "return k[k_place(item, key_head, column) + depth];",
                "return q[q_base + column * parameters.q_row + depth];",
            ),
            mutant("each query head has its own keys", "query_head / parameters.heads_per_key", "query_head"),
            mutant(
                "heads that share keys are counted the other way",
                "query_head / parameters.heads_per_key",
                "query_head % (parameters.heads / parameters.heads_per_key)",
            ),
            mutant(
                "a tile's rows of q are as long as they have elements",
                "row * parameters.q_row + depth",
                "row * parameters.head_dim + depth",
            ),
            mutant(
                "the part's first query is left out",
                "q_place(item, query_head, parameters.first_query)",
                "q_place(item, query_head, 0u)",
            ),
            mutant("the part's first head is left out", "parameters.first_batch_head + head", "head"),
            mutant(
                "a part has all of an item's queries",
                "queries - min(queries, parameters.first_query)",
                "queries",
            ),
            mutant(
                "the last key is left out",
                "if (column < parameters.key_length) {",
                "if (column + 1u < parameters.key_length) {",
            ),
            mutant(
                "a query too many is written",
                "if (row < parameters.queries) {",
                "if (row <= parameters.queries) {",
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
        placing::QUERIES,
        placing::PACKED_QUERIES,
        placing::QUERY_COUNTS,
        placing::KEYS,
        placing::PACKED_KEYS,
        placing::PAGED,
        shared::MULTIPLY_TILE,
        shared::COMPONENT,
        shared::KEEP_ZEROS,
        shared::INDEXING,
    ],
    once: &[],
};

pub const SCALE_MASK_SOFTMAX: Mutants = Mutants {
    kernel: "attention/scale_mask_softmax",
    constants: &[],
    faults: &[
        &[
            mutant(
                "the maximum is forgotten",
                "number_or_lowest(logit, kind) - largest, -150.0",
                "number_or_lowest(logit, kind), -150.0",
            ),
            mutant("the maximum is at least 0", "var largest = LOWEST;", "var largest = 0.0;"),
            mutant(
                "the maximum is that of the masked keys too",
                "        if (allowed(row, key)) {\n            let logit = logit_of(row, key, scores[base + key]);\n            let kind = kind_of(logit);\n            largest",
                "        {\n            let logit = logit_of(row, key, scores[base + key]);\n            let kind = kind_of(logit);\n            largest",
            ),
            mutant(
                "masked keys keep their weights",
                "        if (allowed(row, key)) {\n            let logit = logit_of(row, key, scores[base + key]);\n            let kind = kind_of(logit);\n            weight",
                "        {\n            let logit = logit_of(row, key, scores[base + key]);\n            let kind = kind_of(logit);\n            weight",
            ),
            mutant("the weights are not divided", "weights[to + key] * factor", "weights[to + key]"),
            mutant(
                "a row without keys is divided by its sum",
                "select(0.0, 1.0 / sum, seen == NUMBERS)",
                "1.0 / sum",
            ),
            mutant("a NaN does not reach the row", " || seen == POISON", ""),
            mutant("a row of −∞ alone is no NaN", "seen == INFINITIES || ", ""),
            mutant("what the lanes have seen is each one's", "u32(reduce_max(f32(seen), lane))", "seen")
                .on("!invocation"),
            mutant("the part's first query is left out", "parameters.first_query + index", "index"),
            mutant("the part's first head is left out", "parameters.first_batch_head + index", "index"),
            mutant(
                "the keys' tail gets no weight",
                "key < parameters.key_length; key = key + LANES) {\n        var weight",
                "key + 1u < parameters.key_length; key = key + LANES) {\n        var weight",
            ),
            mutant(
                "the last key that is allowed is not in the maximum",
                "key < row.end; ",
                "key + 1u < row.end; ",
            ),
            mutant(
                "the first key that is allowed is not in the maximum",
                "row.begin + lane;",
                "row.begin + lane + 1u;",
            ),
            mutant(
                "the bound on the rows is one too large",
                "index >= parameters.batch_heads * parameters.queries",
                "index > parameters.batch_heads * parameters.queries",
            ),
            mutant("the weights begin at their buffer's begin", "parameters.output_offset + base", "base"),
            mutant("queries that are not there have weights", "if (!is_there) {", "if (false) {"),
            mutant("queries that are not there have sums", "&& lane == 0u && is_there", "&& lane == 0u"),
            mutant("the sink is left out", "reduce_add(sum, lane) + sink", "reduce_add(sum, lane)"),
            mutant("each lane adds the sink", "reduce_add(sum, lane) + sink", "reduce_add(sum + sink, lane)")
                .on("!invocation"),
            mutant(
                "the heads share their sink",
                "head_terms[parameters.sinks_at + head]",
                "head_terms[parameters.sinks_at]",
            ),
            mutant(
                "the sink does not move the maximum",
                "largest = max(largest, logit);\n            sink",
                "            sink",
            ),
            mutant("sinks where there are none", "parameters.sinks_at != NONE", "true"),
            mutant("the log-sum-exp without its maximum", "largest + log(sum)", "log(sum)"),
            mutant("the maximum for the log-sum-exp", "largest + log(sum)", "largest"),
            mutant("sums that nobody wants", "parameters.has_sums != 0u && ", ""),
            mutant("a NaN does not reach the sum", "select(whole, nan, not_a_number)", "whole"),
            mutant(
                "the sum of no keys is the lowest number",
                "whole = from_bits(NEGATIVE_INFINITY_BITS);",
                "whole = LOWEST;",
            ),
            mutant("a sink alone has no sum", "row_seen == NOTHING", "seen == NOTHING"),
            mutant("the first stage is not scaled", "return product * parameters.scale;", "return product;"),
            mutant(
                "the second stage has no softcap",
                "return softcapped(product * parameters.scale);",
                "return product * parameters.scale;",
            ),
            mutant("the second stage is taken for the third", "parameters.stage == 1u", "false"),
            mutant(
                "the third stage is not masked",
                "if (allowed(row, key)) {\n        return",
                "if (true) {\n        return",
            ),
            mutant("the third stage is taken for the last", "parameters.stage < 3u", "parameters.stage < 2u"),
        ],
        shared::INDEXING,
        shared::ROWS_INVOCATION,
        shared::ROWS_ADD,
        shared::ROWS_ADD_AGAIN,
        shared::ROWS_MAX,
    ],
    once: &[
        masking::MASKING,
        masking::RELATIVE,
        masking::OF_ONE,
        shared::KINDS,
        placing::QUERY_COUNTS,
        placing::KEY_LENGTHS,
        placing::SUMS,
        shared::TANH,
    ],
};

pub const WEIGHTED_VALUES: Mutants = Mutants {
    kernel: "attention/weighted_values",
    constants: &["TILE_ROWS"],
    faults: &[
        &[
            mutant("weights are read past their keys", "row < rows && depth < v_rows", "row < rows"),
            mutant(
                "the last key is left out",
                "depth < v_rows && column < parameters.value_dim",
                "depth + 1u < v_rows && column < parameters.value_dim",
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
            mutant(
                "the weights are those of the whole batch",
                "weights_base = head *",
                "weights_base = batch_head *",
            ),
            mutant(
                "the heads share their weights",
                "weights_base = head * parameters.queries * parameters.key_length;",
                "weights_base = 0u;",
            ),
            mutant(
                "the weights' rows are those of all queries",
                "head * parameters.queries * parameters.key_length",
                "head * parameters.query_length * parameters.key_length",
            ),
            mutant(
                "a part has all of an item's queries",
                "queries - min(queries, parameters.first_query)",
                "queries",
            ),
            mutant(
                "the output's part begins at the first query",
                "output_place(item, query_head, parameters.first_query)",
                "output_place(item, query_head, 0u)",
            ),
            mutant(
                "a tile's rows of the output are as long as they have elements",
                "base + row * parameters.output_row",
                "base + row * parameters.value_dim",
            ),
            mutant("the part's first head is left out", "parameters.first_batch_head + head", "head"),
            mutant("a query too many is written", "if (row < rows) {", "if (row <= rows) {"),
            mutant(
                "an element too many is written",
                "if (column < parameters.value_dim) {",
                "if (column <= parameters.value_dim) {",
            ),
        ],
        placing::QUERY_COUNTS,
        placing::VALUES,
        placing::PACKED_KEYS,
        placing::PAGED,
        placing::OUTPUT,
        shared::MULTIPLY_TILE,
        shared::COMPONENT,
        shared::SKIP_ZEROS,
        shared::INDEXING,
    ],
    once: &[],
};

pub const MERGE: Mutants = Mutants {
    kernel: "attention/merge",
    constants: &[],
    faults: &[
        &[
            mutant(
                "weights without the maximum",
                "exp(max(part_sums[place] - largest, -150.0))",
                "exp(max(part_sums[place], -150.0))",
            ),
            mutant(
                "the splits have equal weights",
                "let weight = exp(max(part_sums[place] - largest, -150.0));",
                "let weight = 1.0;",
            ),
            mutant(
                "the weights are those of the next split",
                "let place = 2u * split * rows + row;",
                "let place = 2u * min(split + 1u, parameters.splits - 1u) * rows + row;",
            ),
            mutant("a weight is not in the sum", "whole = whole + weight;", ""),
            mutant(
                "the output is not divided",
                "component(values, lane) * factor",
                "component(values, lane)",
            ),
            mutant(
                "the last split is left out",
                "split < parameters.splits; split = split + 1u) {\n        let place",
                "split + 1u < parameters.splits; split = split + 1u) {\n        let place",
            ),
            mutant(
                "the last split is not in the maximum",
                "split < parameters.splits; split = split + 1u) {\n        let at",
                "split + 1u < parameters.splits; split = split + 1u) {\n        let at",
            ),
            mutant(
                "splits lie side by side",
                "2u * split * rows + row",
                "2u * row * parameters.splits + split",
            )
            .times(2),
            mutant(
                "what each split has seen is the first one's",
                "u32(part_sums[at + rows])",
                "u32(part_sums[row + rows])",
            ),
            mutant(
                "a split of nothing but −∞ has a part",
                "u32(part_sums[place + rows]) == NUMBERS",
                "u32(part_sums[place + rows]) != NOTHING",
            ),
            mutant(
                "a split of f32's lowest number has no part",
                "u32(part_sums[place + rows]) == NUMBERS",
                "part_sums[place] > -3.4e38",
            ),
            mutant(
                "all splits have the first one's values",
                "(split * rows + row) * parameters.value_dim",
                "row * parameters.value_dim",
            ),
            mutant("the last part alone", "values += select", "values = select"),
            mutant("the sink is left out", "whole = exp(max(sink - largest, -150.0));", ""),
            mutant("the heads share their sink", "parameters.sinks_at + head", "parameters.sinks_at"),
            mutant("the sink does not move the maximum", "largest = max(largest, sink);", ""),
            mutant("the sink is in each split", "whole = whole + weight;", "whole = 2.0 * whole + weight;"),
            mutant("a NaN in a split is lost", " || seen == POISON", ""),
            mutant("splits of −∞ alone are no NaN", "seen == INFINITIES || ", ""),
            mutant(
                "a row without keys is divided by its sum",
                "select(0.0, 1.0 / whole, seen == NUMBERS)",
                "1.0 / whole",
            ),
            mutant(
                "the sum of no keys is the lowest number",
                "sum = from_bits(NEGATIVE_INFINITY_BITS);",
                "sum = LOWEST;",
            ),
            mutant("the log-sum-exp without its maximum", "largest + log(whole)", "log(whole)"),
            mutant("the maximum for the log-sum-exp", "largest + log(whole)", "largest"),
            mutant("a NaN does not reach the sum", "select(sum, nan, poisoned)", "sum"),
            mutant("sums that nobody wants", "parameters.has_sums != 0u && ", ""),
            mutant("a column too many is written", "first + lane <= last", "first + lane <= last + 1u"),
            mutant("the last column is left out", "first + lane <= last", "first + lane < last"),
            mutant(
                "each four columns are the first",
                "let first = 4u * (index % blocks);",
                "let first = 0u;",
            ),
            mutant(
                "queries that are not there are written",
                "if (query >= query_count(batch)) {",
                "if (false) {",
            ),
            mutant(
                "the heads are the queries",
                "row / parameters.query_length % parameters.heads",
                "row % parameters.heads",
            ),
            mutant("one row too many", "if (row >= rows) {", "if (row > rows) {"),
        ],
        placing::QUERY_COUNTS,
        placing::OUTPUT,
        placing::SUMS,
        shared::COMPONENT,
        shared::INDEXING,
    ],
    once: &[],
};

pub const APPEND: Mutants = Mutants {
    kernel: "attention/append",
    constants: &[],
    faults: &[
        &[
            mutant("new rows begin at the first", "key = key + items[parameters.batches + batch];", ""),
            mutant(
                "new rows begin one late",
                "items[parameters.batches + batch];",
                "items[parameters.batches + batch] + 1u;",
            ),
            mutant(
                "the items share their begin",
                "items[parameters.batches + batch]",
                "items[parameters.batches]",
            ),
            mutant("new rows begin where they end", "items[parameters.batches + batch]", "items[batch]"),
            mutant(
                "a begin where there is none",
                "if (parameters.key_padding == 1u) {\n        key",
                "if (true) {\n        key",
            ),
            mutant("what passes an item's end is written", "if (key >= key_count(batch)) {", "if (false) {"),
            mutant("one row passes an item's end", "key >= key_count(batch)", "key > key_count(batch)"),
            mutant(
                "an odd row's last column is left out",
                "(parameters.head_dim + 1u) / 2u",
                "max(parameters.head_dim / 2u, 1u)",
            ),
            mutant("an odd row's last column has a partner", "column + 1u < parameters.head_dim", "true"),
            mutant(
                "the second column is left out",
                "column + 1u < parameters.head_dim",
                "column + 2u < parameters.head_dim",
            ),
            mutant("columns lie one apart", "2u * (index % pairs)", "index % pairs"),
            mutant(
                "both columns are the first",
                "cache[place + 1u] = rows[source + 1u]",
                "cache[place + 1u] = rows[source]",
            )
            .on("words"),
            mutant("both halves are the first", "narrow(rows[source + 1u])", "narrow(rows[source])")
                .on("half !words"),
            mutant(
                "the halves lie on each other",
                "narrow(rows[source + 1u]) << 16u",
                "narrow(rows[source + 1u])",
            )
            .on("half !words"),
            mutant("a word for each f16", "cache[place / 2u]", "cache[place]").on("half !words"),
            mutant(
                "the heads are the rows",
                "row / parameters.query_length % parameters.heads",
                "row % parameters.heads",
            ),
            mutant(
                "rows are the heads",
                "row % parameters.query_length;",
                "row / parameters.heads % parameters.query_length;",
            ),
            mutant(
                "one row too many",
                "row >= parameters.batches * parameters.heads",
                "row > parameters.batches * parameters.heads",
            ),
            mutant("workgroups overlap", "* WORKGROUP + invocation", "* (WORKGROUP / 2u) + invocation"),
        ],
        placing::QUERIES,
        placing::KEYS,
        placing::PAGED,
        placing::KEY_LENGTHS,
        &all_on(shared::NARROW, "!words"),
        shared::INDEXING,
    ],
    once: &[],
};
