//! Those of attention and of the linear layer.

use super::{EXP, Equivalent, NAN, missing, race, same};

const IDENTITY: &str =
    "where the types allow it, there is one query, and the function gives what it is given";

const PAST: &str = "rows and columns past the end are not stored";

const ELEMENTS: &str = "what is loaded behind a row's elements is 0";

const CAREFUL: &str = "where `careful` is set the sums are the same, and take longer";

const OWN_SUBGROUP: &str =
    "those who share a row are side by side, and one subgroup of llvmpipe's, whose lanes go on together";

const LAST_OF_PANEL: &str =
    "behind a panel the checks make it the last of it, which a later lane writes afterwards on llvmpipe";

const UNSEEN: &str = "keys that no row sees have no weight";

const LATER_ROWS: &str = "rows of later lanes, which write them themselves afterwards on llvmpipe";

const LAST_OF_ROWS: &str =
    "behind the rows the checks make it the last of them, which begins with the same number";

const LAST_AGAIN: &str = "a row past the end is the last one again, and is stored where that is";

const POOL: &str = "a table that leads out of the pool";

const UNREAD: &str = "where an option is not there, nobody reads its numbers";

const BOTH_HALVES: &str = "both lanes of a row know its ending, and write the same";

const KEYS_PAST: &str = "keys past the end have no weight";

const NO_QUERIES: &str = "a tile without queries stores nothing";

const BEFORE_BAND: &str = "tiles before the band take longer, and have no weight";

pub const EQUIVALENTS: &[Equivalent] = &[
    // attention
    same(
        "attention/merge",
        &["always", "kind == NUMBERS"],
        "a sink that is no number makes the row NaN, and −∞ moves nothing",
    ),
    same("attention/merge", &["first argument", "`max(sink - largest, -150.0)`"], EXP),
    same("attention/merge", &["first argument", "`max(part_sums[place] - largest, -150.0)`"], EXP),
    same("attention/flash_gradient_rows", &["never", "tile.queries == 0u"], NO_QUERIES),
    same("attention/flash_gradient_rows", &["first argument", "`min(own_row"], PAST),
    same("attention/flash_gradient_rows", &["tile.queries - 1u", "let query ="], PAST),
    same("attention/flash_gradient_rows", &["`KEYS * KEYS` → `KEYS`"], BEFORE_BAND),
    same("attention/flash_gradient_rows", &["one further", "first_key < tile.end"], KEYS_PAST),
    race("attention/flash_gradient_rows", &["left out", "workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_gradient_rows", &["`0u && own_row < tile.queries` → `0u`"], LAST_AGAIN),
    same("attention/flash_gradient_rows", &["one further", "own_row < tile.queries"], LAST_AGAIN),
    same("attention/flash_query_gradient", &["never", "tile.queries == 0u"], NO_QUERIES),
    same("attention/flash_query_gradient", &["`KEYS * KEYS` → `KEYS`"], BEFORE_BAND),
    same("attention/flash_query_gradient", &["one further", "first_key < tile.end"], KEYS_PAST),
    race("attention/flash_query_gradient", &["one further", "element < KEYS * PANEL;"], LAST_OF_PANEL),
    same("attention/flash_query_gradient", &["first argument", "`min(first_key +"], KEYS_PAST),
    same("attention/flash_query_gradient", &["tile.span.keys - 1u", "let key ="], KEYS_PAST),
    same("attention/merge", &["first argument", "`min(first + vec4"], "columns past the end are not stored"),
    same("attention/merge", &["`0.0` → `1.0`", "let factor"], "without a number all sums are 0"),
    same("attention/merge", &["&& first == 0u` →"], "every block of a row writes the same sum"),
    same("attention/merge", &["never", "seen == NOTHING"], "log(0) is −∞ on llvmpipe"),
    same(
        "attention/merge",
        &["left out", "sum = from_bits(NEGATIVE_INFINITY_BITS);"],
        "log(0) is −∞ on llvmpipe",
    ),
    same(
        "attention/scores",
        &["second argument", "q_rows ="],
        "rows past an item's own are read, and nobody takes their scores",
    ),
    same("attention/additive_gradient", &["strange = strange || is_nan(x)"], NAN),
    same("attention/additive_gradient", &["first argument", "`select(sum *"], NAN),
    same("attention/additive_gradient", &["first argument", "`select(part, nan"], NAN),
    same("attention/additive", &["largest = max(largest, magnitude_bits(x));"], NAN),
    same("attention/additive", &["select(sum, not_a_number(), largest >"], NAN),
    same(
        "attention/additive",
        &["numbers_or_lowest: `return select(Numbers(LOWEST)", "second argument"],
        "−∞ is no larger; others make the row NaN",
    ),
    same("attention/additive", &["first argument", "`max(numbers_or_lowest(scores, kinds) - largest"], EXP),
    same(
        "attention/additive",
        &["`numbers_or_lowest(scores, kinds)` → `scores`"],
        "of what is no number the weight is 0",
    ),
    same("attention/additive", &["first argument", "rescale", "`select(exp("], "llvmpipe's exp(0) is 1"),
    same("attention/additive", &["first argument", "`max(before - after, Numbers(-150.0))`"], EXP),
    race(
        "attention/additive",
        &["second argument", "let rows ="],
        "rows of later workgroups, which write them themselves on llvmpipe",
    ),
    same(
        "attention/additive",
        &["lane < 4u"],
        "more lanes store the same NOTHING, none of them behind the four, by the checks",
    ),
    same("attention/additive", &["one further", "first_key < keys;"], "a tile without keys adds nothing"),
    same(
        "attention/additive",
        &["one further", "place = lane / SHARES;"],
        "what is written there is not read; behind the array the checks make it the last, which is written later",
    ),
    same("attention/additive", &["first argument", "`number_of("], IDENTITY),
    same("attention/additive", &["first argument", "`word_of("], IDENTITY),
    same("attention/additive", &["first argument", "`words_of("], IDENTITY),
    same(
        "attention/additive",
        &["`numbers_or_lowest(score, kinds)` → `score`"],
        "−∞ is no larger; others make the row NaN",
    ),
    same(
        "attention/additive",
        &["one further", "main: `for (var place = 0u; place < here;"],
        "a lane without a key has the lowest number",
    ),
    same(
        "attention/additive",
        &["left out", "main 5: `workgroupBarrier"],
        "without keys, and so without a barrier before it, all lanes have seen NOTHING",
    ),
    same(
        "attention/additive",
        &["one further", "main 3: `for (var row = 0u; row < rows;"],
        "the word behind the rows is not read",
    ),
    same(
        "attention/additive",
        &["key < keys"],
        "what lies there is the cases' NaN, of which the weight is 0",
    ),
    same("attention/weighted_values", &["load_left: `if (row < rows &&"], PAST),
    same("attention/weighted_values", &["`0.0` → `1.0`", "load_left"], "the value beside it is 0"),
    same(
        "attention/weighted_values",
        &["load_right: `if (depth < v_rows"],
        "its weight is 0, which takes nothing, or it is not stored",
    ),
    same(
        "attention/weighted_values",
        &["`0.0` → `1.0`", "load_right"],
        "its weight is 0, which takes nothing, or it is not stored",
    ),
    missing(
        "attention/weighted_values",
        &["second argument", "rows = min(parameters.queries,"],
        "a part that ends before the last query, and one behind an item's queries",
    ),
    same(
        "attention/scale_mask_softmax",
        &["no left operand", "row.begin + lane;"],
        "`allowed` knows where the keys begin and end",
    ),
    same(
        "attention/scale_mask_softmax",
        &["one further", "key < row.end"],
        "`allowed` knows where the keys begin and end",
    ),
    same(
        "attention/scale_mask_softmax",
        &["`number_or_lowest(logit, kind)` → `logit`", "largest ="],
        "−∞ is no larger; others make the row NaN",
    ),
    same(
        "attention/scale_mask_softmax",
        &["`number_or_lowest(logit, kind)` → `logit`", "weight ="],
        "of what is no number the weight is 0",
    ),
    same(
        "attention/scale_mask_softmax",
        &["always", "kind == NUMBERS"],
        "a sink that is no number makes the row NaN, and −∞ moves nothing",
    ),
    same("attention/scale_mask_softmax", &["first argument", "`max(logit - largest, -150.0)`"], EXP),
    same(
        "attention/scale_mask_softmax",
        &["first argument", "`max(number_or_lowest(logit, kind) - largest"],
        EXP,
    ),
    same(
        "attention/scale_mask_softmax",
        &["`0.0` → `1.0`", "let factor"],
        "without a number all weights are 0",
    ),
    same(
        "attention/scale_mask_softmax",
        &["`select(0u, NAN_BITS, not_a_number)` → `NAN_BITS`"],
        "it is taken in NaN rows alone",
    ),
    same(
        "attention/scale_mask_softmax",
        &["`0u` → `1u`", "select(0u, NAN_BITS"],
        "it is taken in NaN rows alone",
    ),
    same(
        "attention/scale_mask_softmax",
        &["no right operand", "&& lane == 0u`"],
        "every lane has the whole sum, and writes the same",
    ),
    same("attention/scale_mask_softmax", &["never", "row_seen == NOTHING"], "log(0) is −∞ on llvmpipe"),
    same(
        "attention/scale_mask_softmax",
        &["left out", "whole = from_bits(NEGATIVE_INFINITY_BITS);"],
        "log(0) is −∞ on llvmpipe",
    ),
    same(
        "attention/score_gradient",
        &["left out", "reduce_add: `workgroupBarrier"],
        "there is no reduction before it",
    ),
    same("attention/transposed_values", &["load_left: `if (row < rows", "no left operand"], PAST),
    same("attention/transposed_values", &["load_left: `if (row < rows", "one further"], PAST),
    same(
        "attention/transposed_values",
        &["`0.0` → `1.0`", "load_left"],
        "the value beside it is 0, or the row is past the end and not stored",
    ),
    same(
        "attention/transposed_values",
        &["load_right: `if (depth < depth_end", "no left operand"],
        "its weight is 0, which takes nothing",
    ),
    same(
        "attention/transposed_values",
        &["load_right: `if (depth < depth_end", "one further"],
        "its weight is 0, which takes nothing, or the column is not stored",
    ),
    same("attention/transposed_values", &["`queries && column < parameters.head_dim` → `queries`"], PAST),
    same(
        "attention/transposed_values",
        &["second argument", "`min(parameters.queries, of_item"],
        "what it is compared with is a rest of the part's queries, and so below their number",
    ),
    missing(
        "attention/scale_mask_softmax",
        &["first argument", "`select(kind, NOTHING, kind == INFINITIES)`"],
        "a sink of −∞ beside no keys",
    ),
    same(
        "attention/flash_decode",
        &["one less far", "first_row >= all_rows"],
        "no row of such a tile is stored",
    ),
    same("attention/flash_decode", &["`queries - 1u` → `queries`", "var end ="], UNSEEN),
    same("attention/flash_decode", &["`-` → `+`", "var end = band_of_query(span, queries - 1u)"], UNSEEN),
    same("attention/flash_decode", &["second argument", "`max(band_of_query(span, 0u).begin"], UNSEEN),
    same("attention/flash_decode", &["second argument", "`min(end, split_begin"], UNSEEN),
    same(
        "attention/flash_decode",
        &["`parameters.splits` → `parameters.split_keys`", "if (parameters.splits > 1u)"],
        "without splits `split_keys` is 0, or no less than all keys",
    ),
    race(
        "attention/flash_decode",
        &["one further", "element < ROWS * depth4;"],
        "what lies behind the queries is not read, or is the last of them by the checks, which is written later",
    ),
    same(
        "attention/flash_decode",
        &["second argument", "`min(ROWS, all_rows"],
        "no row beyond 8 is asked for",
    ),
    same("attention/flash_decode", &["always", "if (lane % 8u == 0u && my_row < rows)"], LAST_AGAIN),
    same("attention/flash_decode", &["no right operand: `0u && my_row < rows`"], LAST_AGAIN),
    same("attention/flash_decode", &["one further", "my_row < rows)"], LAST_AGAIN),
    same("attention/flash_decode", &["`lane % 8u == 0u &&` → ``"], "all lanes of a row have its sum"),
    same(
        "attention/flash_decode",
        &["the other comparison", "if (lane % 8u == 0u &&"],
        "all lanes of a row have its sum",
    ),
    same("attention/flash_decode", &["`4u *` → ``", "4u * column < parameters.value_dim;"], PAST),
    race("attention/flash_decode", &["one further", "d4 < depth4;"], ELEMENTS),
    same("attention/flash_decode", &["always", "main: `if (lane < ROWS)"], LAST_OF_ROWS),
    same("attention/flash_decode", &["one further", "main: `if (lane < ROWS)"], LAST_OF_ROWS),
    race(
        "attention/flash_decode",
        &["left out", "main 4: `workgroupBarrier"],
        "the first subgroup writes what the others read, and comes first on llvmpipe",
    ),
    same("attention/flash_decode", &["always", "if (my_column < parameters.value_dim)"], PAST),
    same("attention/flash_decode", &["one further", "if (my_column < parameters.value_dim)"], PAST),
    same(
        "attention/flash_decode",
        &["always", "any_nonfinite(elements)"],
        "the careful products are the same, and take longer",
    ),
    same("attention/flash_decode", &["first argument", "`min(element / depth4,"], PAST),
    same("attention/flash_decode", &["first argument", "`min(my_row,"], PAST),
    same("attention/flash_decode", &["`rows - 1u` → `rows`"], PAST),
    same("attention/flash_decode", &["`-` → `+`", "rows - 1u)"], PAST),
    same("attention/flash_decode", &["`-` → `+`", "span.keys - 1u)"], KEYS_PAST),
    same("attention/flash_decode", &["`span.keys - 1u` → `span.keys`"], KEYS_PAST),
    same("attention/flash_decode", &["left out", "main 7: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["first argument", "`min(first_query + own_row, last_query)`"], PAST),
    same("attention/flash_tiled", &["first argument", "`min(row, last_query - first_query)`"], PAST),
    same("attention/flash_tiled", &["no right operand", "min(row, last_query - first_query)"], PAST),
    same("attention/flash_tiled", &["`-` → `+`", "min(row, last_query - first_query)"], PAST),
    race("attention/flash_tiled", &["`4u` → `5u`", "row < min(my_row + 4u,"], LATER_ROWS),
    race("attention/flash_tiled", &["second argument", "`min(my_row + 4u,"], LATER_ROWS),
    same("attention/flash_tiled", &["`3u` → `4u`", "let depth4"], ELEMENTS),
    same("attention/flash_tiled", &["`/ 4u` → ``", "let depth4"], ELEMENTS),
    same("attention/flash_tiled", &["one further", "d4 < depth4;"], ELEMENTS),
    same("attention/flash_tiled", &["main: `if (invocation == 0u)"], CAREFUL),
    same("attention/flash_tiled", &["left out: `atomicStore(&careful, 0u);`"], CAREFUL),
    same("attention/flash_tiled", &["always", "any_nonfinite(values)"], CAREFUL),
    same(
        "attention/flash_tiled",
        &["`1u` → `2u`", "atomicStore(&careful, 1u)"],
        "only 0 is told from others",
    ),
    same("attention/flash_tiled", &["never", "atomicLoad(&careful) == 0u"], CAREFUL),
    same("attention/flash_tiled", &["left out", "main: `workgroupBarrier"], "those of the panels follow"),
    same("attention/flash_tiled", &["left out", "main 4: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["left out", "main 5: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["left out", "main 8: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["left out", "main 9: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["left out", "main 10: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["left out", "main 11: `workgroupBarrier"], OWN_SUBGROUP),
    same("attention/flash_tiled", &["`own_half == 0u &&` → ``"], BOTH_HALVES),
    same("attention/flash_tiled", &["the other comparison", "own_half == 0u"], BOTH_HALVES),
    same("attention/flash_tiled", &["another number", "if (own_half == 0u"], BOTH_HALVES),
    race("attention/flash_tiled", &["one further", "element < ROWS * PANEL;"], LAST_OF_PANEL),
    race("attention/flash_tiled", &["one further", "element < KEYS * PANEL;"], LAST_OF_PANEL),
    same("attention/flash_tiled", &["first argument", "`min(first_key +"], KEYS_PAST),
    same("attention/flash_tiled", &["`tile.span.keys - 1u` → `tile.span.keys`"], KEYS_PAST),
    same("attention/flash_tiled", &["`-` → `+`", "tile.span.keys - 1u"], KEYS_PAST),
    same(
        "shared/attention/flash_logits",
        &["second argument", "`select(LOWEST, bitcast<f32>(word)"],
        "what has no weight is −∞ or NaN, which move no maximum on llvmpipe",
    ),
    same(
        "shared/attention/flash_logits",
        &["first argument", "1.0, before == after)`"],
        "llvmpipe's exp(0) is 1",
    ),
    same(
        "shared/attention/flash_logits",
        &["`bitcast<vec4<u32>>(values) &` → ``", "any_nonfinite"],
        "the careful products are the same, and take longer",
    ),
    same(
        "shared/attention/flash_logits",
        &["always", "kind == NUMBERS"],
        "a sink that is no number makes the row NaN, and −∞ moves nothing",
    ),
    same("shared/attention/flash_logits", &["first argument", "`max(", "-150.0)` →"], EXP),
    same(
        "shared/attention/flash_logits",
        &["`0.0` → `1.0`", "end.factor ="],
        "without a number all sums are 0",
    ),
    same(
        "shared/attention/flash_logits",
        &["shared/attention/flash_logits ended: "],
        "flash_cooperative alone calls it: the others have a variable of that name",
    ),
    same("shared/attention/flash_logits", &["`WEIGHTLESS | NOTHING` → `WEIGHTLESS`"], "NOTHING is 0"),
    missing(
        "shared/attention/flash_logits",
        &["first argument", "`select(kind, NOTHING, kind == INFINITIES)`"],
        "a sink of −∞ beside no keys",
    ),
    missing(
        "shared/attention/flash",
        &["`parameters.splits` → `parameters.split_keys`", "store_sum"],
        "one split whose `split_keys` are all keys, as the op has it",
    ),
    same("shared/attention/parameters", &["left out", "row.begin = 0u;"], "it is 0 before"),
    same(
        "shared/attention/parameters",
        &["second argument", "parameters.left), 0)))`"],
        "from the end of the keys on there are none either way",
    ),
    same(
        "shared/attention/parameters",
        &["`0u` → `1u`", "vec2<u32>(0u, key_start(batch) + key)"],
        "packed keys have a stride of 0 for the batch",
    ),
    same(
        "shared/attention/parameters",
        &["`is_packed() &&` → ``"],
        "what is not packed has a stride for the batch",
    ),
    missing("shared/attention/parameters", &["first argument", "`min(items[entry]"], POOL),
    missing("shared/attention/parameters", &["`parameters.page_count - 1u` → `parameters.page_count`"], POOL),
    missing("shared/attention/parameters", &["`-` → `+`", "parameters.page_count - 1u"], POOL),
    missing("shared/attention/parameters", &["`parameters.page_count` → `parameters.mask_kind`"], POOL),
    same(
        "shared/attention/masking",
        &["`parameters.scales_at +` → ``"],
        "the scales are the first of the heads' numbers",
    ),
    same("shared/attention/masking", &["own.slope = 0.0;"], UNREAD),
    same("shared/attention/masking", &["always", "head_of: `if (parameters.slopes_at != NONE)"], UNREAD),
    same("shared/attention/masking", &["own.relative = 0u;"], UNREAD),
    same("shared/attention/masking", &["always", "head_of: `if (parameters.relative_at != NONE)"], UNREAD),
    same("shared/attention/masking", &["→ `parameters.relative_reach`", "head_of: `if ("], UNREAD),
    same(
        "shared/attention/masking",
        &["never", "parameters.mask_kind == 0u"],
        "where there is no mask its buffer has no −∞",
    ),
    same("shared/attention/masking", &["`0.0 || (bitcast<u32>(score)", "no right operand"], NAN),
    same("shared/attention/masking", &["off by one: `INFINITY_BITS`", "softcapped"], NAN),
    same(
        "shared/attention/masking",
        &["always", "parameters.mask_kind == 2u"],
        "a boolean mask's words are 0 and 1, as f32 next to nothing",
    ),
    same(
        "shared/attention/masking",
        &["always", "biased: `if (parameters.slopes_at != NONE)"],
        "the slope is 0",
    ),
    // linear
    same(
        "linear/gemm_tiled",
        &["always", "if (GENERAL)"],
        "elsewhere there is one product, its offsets are 0, α and β 1",
    ),
    same("linear/gemm_tiled", &["`row < parameters.rows &&` → ``"], PAST),
    same("linear/gemm_tiled", &["one further", "load_left: `if (row <"], PAST),
    same("linear/gemm_tiled", &["`parameters.rows` → `parameters.columns`", "load_left"], PAST),
    same("linear/gemm_tiled", &["`0.0` → `1.0`", "load_left"], "the value beside it is 0, or not stored"),
    same("linear/gemm_tiled", &["no right operand", "load_right: `if (k < parameters.depth &&"], PAST),
    same("linear/gemm_tiled", &["one further", "load_right: `if (k < parameters.depth &&"], PAST),
    same("linear/gemm_tiled", &["`0.0` → `1.0`", "load_right"], "the value beside it is 0, or not stored"),
    same("linear/gemm_tiled", &["never", "first_row >= parameters.rows"], PAST),
    same("linear/gemm_tiled", &["one less far", "first_row >= parameters.rows"], PAST),
    same("linear/gemm_tiled", &["`parameters.rows` → `parameters.columns`", "if (first_row >="], PAST),
    same(
        "linear/gemm_tiled",
        &["`parameters.depth` → `parameters.x_row`", "multiply_tile("],
        "behind the depth both sides are 0",
    ),
    same("linear/gemm_subgroup8", &["first argument", "`min("], PAST),
    same("linear/gemm_subgroup8", &["no right operand", "- 1u` → `", "min("], PAST),
    same("linear/gemm_subgroup8", &["`-` → `+`", "min("], PAST),
    same("linear/gemm_subgroup8", &["never", "first_row >= parameters.rows"], PAST),
    same("linear/gemm_subgroup8", &["one less far", "first_row >= parameters.rows"], PAST),
    same("linear/gemm_subgroup8", &["`parameters.rows` → `parameters.columns`", "if (first_row >="], PAST),
    same(
        "linear/gemm_subgroup8",
        &["always", "if (GENERAL)"],
        "elsewhere there is one product, its offsets are 0, α and β 1",
    ),
    same("linear/gemm_subgroup8", &["always", "TILE_ROWS >"], "what the other sums come to is not stored"),
    same("linear/gemm_subgroup8", &["off by one", "part < TILE_ROWS;"], "both are divisible by 8"),
    race(
        "linear/gemm_subgroup8",
        &["one further", "part < TILE_ROWS;"],
        "rows of a later workgroup, which writes them itself on llvmpipe",
    ),
    same(
        "shared/linear/multiply_tile",
        &["one further", "first_k < depth;"],
        "behind the depth both sides are 0",
    ),
    same(
        "shared/linear/lane_sums_workgroup",
        &["off by one", "lanes >= COLUMN_LANES;"],
        "once no lanes are left a turn adds nothing, and the shader checks end the loop",
    ),
    same("linear/gemm_blocked", &["first argument", "`min(first_"], PAST),
    same("linear/gemm_blocked", &["`parameters.rows - 1u` → `parameters.rows`", "let left_place"], PAST),
    same("linear/gemm_blocked", &["`-` → `+`", "let left_place"], PAST),
    same(
        "linear/gemm_blocked",
        &["`parameters.columns - 1u` → `parameters.columns`", "right_place +="],
        PAST,
    ),
    same("linear/gemm_blocked", &["`columns4 - 1u` → `columns4`", "right_place +="], PAST),
    same("linear/gemm_blocked", &["`-` → `+`", "right_place +="], PAST),
    same("linear/gemm_blocked", &["one further", "panel4 < end4;"], "behind the end both sides are 0"),
    same("linear/gemm_blocked", &["always", "EACH == 8u"], "what the other sums come to is not stored"),
    same("linear/gemv", &["places_of: `return min("], PAST),
    same("linear/gemv", &["main: `let last = parameters.rows - 1u;`"], PAST),
    same("linear/gemv", &["first argument", "`min(vec4<u32>("], PAST),
    same("linear/gemv", &["`7u` → `8u`"], "there are 8 rows at most"),
    same("linear/gemv", &["always", "`ROWS >= 8u`"], PAST),
    same("linear/gemv", &["main: `for (var element ="], PAST),
];
