// output[b, h, i, :] = Σ_j w_j · v[b, h', j, :] with w = softmax(logits of scores[b, h, i, :]), for subgroups of exactly 8; h' is
// the key-value head of h.
//
// A workgroup is one subgroup and computes TILE_ROWS rows, 32 · VALUE_BLOCKS columns of v at a time: each lane has 4 columns of
// each block of every row in registers. First it goes over its own rows, one of every 8, for the largest logit; then, 4
// keys in a trip, it makes these rows' weights, which go round by broadcasts from constant lanes. Rows and columns beyond
// the end are the last ones again.
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<ValueBlock>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> items: array<u32>;
@group(0) @binding(5) var<storage, read> head_terms: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<OutputBlock>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;
// With TERMS, the logits of the rows' scores: they are made once, and read again for the weights.
@group(0) @binding(8) var<storage, read_write> logits: array<vec4<f32>>;

const COLUMNS: u32 = 32u * VALUE_BLOCKS;
// Rows of a lane.
const SLOTS: u32 = TILE_ROWS / 8u;

fn load_values(places: vec4<u32>, column: u32) -> Panel {
    return Panel(
        v_block(places.x, column, parameters.value_dim),
        v_block(places.y, column, parameters.value_dim),
        v_block(places.z, column, parameters.value_dim),
        v_block(places.w, column, parameters.value_dim),
    );
}

// Where the values of keys lie of which the first's is at `base`.
fn value_places(base: u32, batch: u32, key_head: u32, keys: vec4<u32>) -> vec4<u32> {
    if (PAGED) {
        return vec4<u32>(
            v_place(batch, key_head, keys.x), v_place(batch, key_head, keys.y),
            v_place(batch, key_head, keys.z), v_place(batch, key_head, keys.w),
        );
    }
    return base + keys * parameters.v_row;
}

// A row of a lane's own.
struct Own {
    // Where its scores begin, in vec4s.
    at: u32,
    begin: u32,
    end: u32,
    largest: f32,
    poisoned: bool,
}

// Which of four keys the band of a row allows.
fn in_band(begin: u32, end: u32, key: u32) -> vec4<bool> {
    let four = key + vec4<u32>(0u, 1u, 2u, 3u);
    return (four >= vec4<u32>(begin)) & (four < vec4<u32>(end));
}

fn magnitudes(values: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(values) & vec4<u32>(0x7fffffffu);
}

// The logits of 4 keys without terms; those that the band rules out are LOWEST.
fn plain_logits(row: Row, key: u32, at: u32) -> vec4<f32> {
    return select(vec4<f32>(LOWEST), scores[at] * parameters.scale, in_band(row.begin, row.end, key));
}

// What a row's logits come to, over the keys of its tile.
fn survey(row: Row, at: u32, first_key: u32, end: u32) -> Own {
    var largest = vec4<f32>(LOWEST);
    // Of the logits' bits without their signs.
    var magnitude = vec4<u32>();
    let last = (end - 1u) / 4u;
    if (TERMS) {
        for (var key4 = first_key / 4u; key4 <= last; key4 = key4 + 1u) {
            let found = masked_logits(row, 4u * key4, scores[at + key4]);
            logits[at + key4] = found;
            largest = max(largest, found);
            magnitude = max(magnitude, magnitudes(found));
        }
    } else {
        // 16 keys in a trip; the last 4 stand for those past the end.
        for (var key4 = first_key / 4u; key4 <= last; key4 = key4 + 4u) {
            let key4s = min(key4 + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
            let a = plain_logits(row, 4u * key4s.x, at + key4s.x);
            let b = plain_logits(row, 4u * key4s.y, at + key4s.y);
            let c = plain_logits(row, 4u * key4s.z, at + key4s.z);
            let d = plain_logits(row, 4u * key4s.w, at + key4s.w);
            largest = max(largest, max(max(a, b), max(c, d)));
            let sizes = max(max(magnitudes(a), magnitudes(b)), max(magnitudes(c), magnitudes(d)));
            magnitude = max(magnitude, sizes);
        }
    }
    var own = Own(at, row.begin, row.end, 0.0, false);
    own.largest = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let most = max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
    own.poisoned = most > INFINITY_BITS || bitcast<u32>(own.largest) == INFINITY_BITS;
    // A logit of −∞ was seen, perhaps nothing else.
    if (most == INFINITY_BITS) {
        own.largest = max(own.largest, ABYSS);
    }
    return own;
}

// The weights of 4 keys of a row.
fn weights_at(own: Own, key: u32) -> vec4<f32> {
    if (TERMS) {
        return weights_of(logits[own.at + key / 4u], own.largest);
    }
    let weights = exp(max(scores[own.at + key / 4u] * parameters.scale - own.largest, vec4<f32>(-150.0)));
    return select(vec4<f32>(), weights, in_band(own.begin, own.end, key));
}

fn total(sum: vec4<f32>) -> f32 {
    return sum.x + sum.y + sum.z + sum.w;
}

fn nonfinite(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> bool {
    return any_nonfinite(a) || any_nonfinite(b) || any_nonfinite(c) || any_nonfinite(d);
}

// Of a row's ending: its factor, and more than 0 for a poisoned one.
fn ending_of(end: Ending) -> vec2<f32> {
    return vec2<f32>(end.factor, select(0.0, 1.0, end.poisoned));
}

fn ended_of(values: vec4<f32>, end: vec2<f32>) -> vec4<f32> {
    let poisoned = end.y > 0.0;
    return vec4<f32>(
        ended(values.x, end.x, poisoned), ended(values.y, end.x, poisoned),
        ended(values.z, end.x, poisoned), ended(values.w, end.x, poisoned),
    );
}

// Stores 4 columns of a row, or of the last one: `to` is where the output begins, and from one row to the next.
fn store_row(to: vec2<u32>, row: u32, last: u32, column: u32, values: vec4<f32>) {
    store_block(to.x + min(row, last) * to.y, column, parameters.value_dim, values);
}

@compute @workgroup_size(SUBGROUP_SIZE)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile_rows = (parameters.queries + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = workgroup_index(id, count);
    let part_head = tile / tile_rows;
    if (part_head >= parameters.batch_heads) {
        return;
    }
    let batch_head = parameters.first_batch_head + part_head;
    let head = batch_head % parameters.heads;
    let batch = batch_head / parameters.heads;
    // Within the part.
    let first_row = tile % tile_rows * TILE_ROWS;
    let first_query = parameters.first_query + first_row;
    let queries = min(query_count(batch), parameters.first_query + parameters.queries);
    if (first_query >= queries) {
        return;
    }
    let rows = min(TILE_ROWS, queries - first_query);
    let last = rows - 1u;
    let key_head = head / parameters.heads_per_key;
    // The bounds only rise from one query to the next.
    let first_key = band_of_query(batch, first_query).begin / 4u * 4u;
    let end = band_of_query(batch, first_query + last).end;
    let scores_base = (part_head * parameters.queries + first_row) * (parameters.scores_row / 4u);
    var own_a: Own;
    var own_b: Own;
    var own_c: Own;
    var own_d: Own;
    for (var slot = 0u; slot < SLOTS; slot = slot + 1u) {
        let my_row = min(lane + 8u * slot, last);
        let row = row_of_query(batch, head, first_query + my_row);
        let at = scores_base + my_row * (parameters.scores_row / 4u);
        var own = Own(at, row.begin, row.end, LOWEST, false);
        if (first_key < end) {
            own = survey(row, at, first_key, end);
        }
        if (slot == 0u) {
            own_a = own;
        } else if (slot == 1u) {
            own_b = own;
        } else if (slot == 2u) {
            own_c = own;
        } else {
            own_d = own;
        }
    }
    let value_base = v_place(batch, key_head, 0u);
    let output_base = output_place(batch, head, first_query);
    var row0 = vec4<f32>();
    var row1 = vec4<f32>();
    var row2 = vec4<f32>();
    var row3 = vec4<f32>();
    var row4 = vec4<f32>();
    var row5 = vec4<f32>();
    var row6 = vec4<f32>();
    var row7 = vec4<f32>();
    var row8 = vec4<f32>();
    var row9 = vec4<f32>();
    var row10 = vec4<f32>();
    var row11 = vec4<f32>();
    var row12 = vec4<f32>();
    var row13 = vec4<f32>();
    var row14 = vec4<f32>();
    var row15 = vec4<f32>();
    var row16 = vec4<f32>();
    var row17 = vec4<f32>();
    var row18 = vec4<f32>();
    var row19 = vec4<f32>();
    var row20 = vec4<f32>();
    var row21 = vec4<f32>();
    var row22 = vec4<f32>();
    var row23 = vec4<f32>();
    var row24 = vec4<f32>();
    var row25 = vec4<f32>();
    var row26 = vec4<f32>();
    var row27 = vec4<f32>();
    var row28 = vec4<f32>();
    var row29 = vec4<f32>();
    var row30 = vec4<f32>();
    var row31 = vec4<f32>();
    for (var first_column = 0u; first_column < parameters.value_dim; first_column = first_column + COLUMNS) {
        let column = my_column(first_column + 4u * lane, parameters.value_dim);
        let second_column = my_column(first_column + 32u + 4u * lane, parameters.value_dim);
        row0 = vec4<f32>();
        row1 = vec4<f32>();
        row2 = vec4<f32>();
        row3 = vec4<f32>();
        row4 = vec4<f32>();
        row5 = vec4<f32>();
        row6 = vec4<f32>();
        row7 = vec4<f32>();
        row8 = vec4<f32>();
        row9 = vec4<f32>();
        row10 = vec4<f32>();
        row11 = vec4<f32>();
        row12 = vec4<f32>();
        row13 = vec4<f32>();
        row14 = vec4<f32>();
        row15 = vec4<f32>();
        row16 = vec4<f32>();
        row17 = vec4<f32>();
        row18 = vec4<f32>();
        row19 = vec4<f32>();
        row20 = vec4<f32>();
        row21 = vec4<f32>();
        row22 = vec4<f32>();
        row23 = vec4<f32>();
        row24 = vec4<f32>();
        row25 = vec4<f32>();
        row26 = vec4<f32>();
        row27 = vec4<f32>();
        row28 = vec4<f32>();
        row29 = vec4<f32>();
        row30 = vec4<f32>();
        row31 = vec4<f32>();
        var sum_a = vec4<f32>();
        var sum_b = vec4<f32>();
        var sum_c = vec4<f32>();
        var sum_d = vec4<f32>();
        for (var key = first_key; key < end; key = key + 4u) {
            let keys = min(key + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u));
            let places = value_places(value_base, batch, key_head, keys);
            let right = load_values(places, column);
            let a = weights_at(own_a, key);
            sum_a = sum_a + a;
            row0 = multiply(row0, subgroupBroadcast(a, 0u), right);
            row1 = multiply(row1, subgroupBroadcast(a, 1u), right);
            row2 = multiply(row2, subgroupBroadcast(a, 2u), right);
            row3 = multiply(row3, subgroupBroadcast(a, 3u), right);
            row4 = multiply(row4, subgroupBroadcast(a, 4u), right);
            row5 = multiply(row5, subgroupBroadcast(a, 5u), right);
            row6 = multiply(row6, subgroupBroadcast(a, 6u), right);
            row7 = multiply(row7, subgroupBroadcast(a, 7u), right);
            let b = weights_at(own_b, key);
            sum_b = sum_b + b;
            row8 = multiply(row8, subgroupBroadcast(b, 0u), right);
            row9 = multiply(row9, subgroupBroadcast(b, 1u), right);
            row10 = multiply(row10, subgroupBroadcast(b, 2u), right);
            row11 = multiply(row11, subgroupBroadcast(b, 3u), right);
            row12 = multiply(row12, subgroupBroadcast(b, 4u), right);
            row13 = multiply(row13, subgroupBroadcast(b, 5u), right);
            row14 = multiply(row14, subgroupBroadcast(b, 6u), right);
            row15 = multiply(row15, subgroupBroadcast(b, 7u), right);
            // With 32 rows, rows 16 to 31; else the second block of columns of rows 0 to 15.
            var c = a;
            var d = b;
            var other = right;
            if (TILE_ROWS == 32u) {
                c = weights_at(own_c, key);
                d = weights_at(own_d, key);
                sum_c = sum_c + c;
                sum_d = sum_d + d;
            } else {
                other = load_values(places, second_column);
            }
            row16 = multiply(row16, subgroupBroadcast(c, 0u), other);
            row17 = multiply(row17, subgroupBroadcast(c, 1u), other);
            row18 = multiply(row18, subgroupBroadcast(c, 2u), other);
            row19 = multiply(row19, subgroupBroadcast(c, 3u), other);
            row20 = multiply(row20, subgroupBroadcast(c, 4u), other);
            row21 = multiply(row21, subgroupBroadcast(c, 5u), other);
            row22 = multiply(row22, subgroupBroadcast(c, 6u), other);
            row23 = multiply(row23, subgroupBroadcast(c, 7u), other);
            row24 = multiply(row24, subgroupBroadcast(d, 0u), other);
            row25 = multiply(row25, subgroupBroadcast(d, 1u), other);
            row26 = multiply(row26, subgroupBroadcast(d, 2u), other);
            row27 = multiply(row27, subgroupBroadcast(d, 3u), other);
            row28 = multiply(row28, subgroupBroadcast(d, 4u), other);
            row29 = multiply(row29, subgroupBroadcast(d, 5u), other);
            row30 = multiply(row30, subgroupBroadcast(d, 6u), other);
            row31 = multiply(row31, subgroupBroadcast(d, 7u), other);
        }
        let end_a = ending(head, own_a.largest, total(sum_a), own_a.poisoned);
        let end_b = ending(head, own_b.largest, total(sum_b), own_b.poisoned);
        let factor_a = ending_of(end_a);
        let factor_b = ending_of(end_b);
        var factor_c = factor_a;
        var factor_d = factor_b;
        if (first_column == 0u) {
            store_sum(batch, head, first_query + min(lane, last), 0u, end_a);
            store_sum(batch, head, first_query + min(lane + 8u, last), 0u, end_b);
        }
        if (TILE_ROWS == 32u) {
            let end_c = ending(head, own_c.largest, total(sum_c), own_c.poisoned);
            let end_d = ending(head, own_d.largest, total(sum_d), own_d.poisoned);
            factor_c = ending_of(end_c);
            factor_d = ending_of(end_d);
            if (first_column == 0u) {
                store_sum(batch, head, first_query + min(lane + 16u, last), 0u, end_c);
                store_sum(batch, head, first_query + min(lane + 24u, last), 0u, end_d);
            }
        }
        let strange = nonfinite(row0, row1, row2, row3) || nonfinite(row4, row5, row6, row7)
            || nonfinite(row8, row9, row10, row11) || nonfinite(row12, row13, row14, row15)
            || nonfinite(row16, row17, row18, row19) || nonfinite(row20, row21, row22, row23)
            || nonfinite(row24, row25, row26, row27) || nonfinite(row28, row29, row30, row31);
        row0 = ended_of(row0, subgroupBroadcast(factor_a, 0u));
        row1 = ended_of(row1, subgroupBroadcast(factor_a, 1u));
        row2 = ended_of(row2, subgroupBroadcast(factor_a, 2u));
        row3 = ended_of(row3, subgroupBroadcast(factor_a, 3u));
        row4 = ended_of(row4, subgroupBroadcast(factor_a, 4u));
        row5 = ended_of(row5, subgroupBroadcast(factor_a, 5u));
        row6 = ended_of(row6, subgroupBroadcast(factor_a, 6u));
        row7 = ended_of(row7, subgroupBroadcast(factor_a, 7u));
        row8 = ended_of(row8, subgroupBroadcast(factor_b, 0u));
        row9 = ended_of(row9, subgroupBroadcast(factor_b, 1u));
        row10 = ended_of(row10, subgroupBroadcast(factor_b, 2u));
        row11 = ended_of(row11, subgroupBroadcast(factor_b, 3u));
        row12 = ended_of(row12, subgroupBroadcast(factor_b, 4u));
        row13 = ended_of(row13, subgroupBroadcast(factor_b, 5u));
        row14 = ended_of(row14, subgroupBroadcast(factor_b, 6u));
        row15 = ended_of(row15, subgroupBroadcast(factor_b, 7u));
        row16 = ended_of(row16, subgroupBroadcast(factor_c, 0u));
        row17 = ended_of(row17, subgroupBroadcast(factor_c, 1u));
        row18 = ended_of(row18, subgroupBroadcast(factor_c, 2u));
        row19 = ended_of(row19, subgroupBroadcast(factor_c, 3u));
        row20 = ended_of(row20, subgroupBroadcast(factor_c, 4u));
        row21 = ended_of(row21, subgroupBroadcast(factor_c, 5u));
        row22 = ended_of(row22, subgroupBroadcast(factor_c, 6u));
        row23 = ended_of(row23, subgroupBroadcast(factor_c, 7u));
        row24 = ended_of(row24, subgroupBroadcast(factor_d, 0u));
        row25 = ended_of(row25, subgroupBroadcast(factor_d, 1u));
        row26 = ended_of(row26, subgroupBroadcast(factor_d, 2u));
        row27 = ended_of(row27, subgroupBroadcast(factor_d, 3u));
        row28 = ended_of(row28, subgroupBroadcast(factor_d, 4u));
        row29 = ended_of(row29, subgroupBroadcast(factor_d, 5u));
        row30 = ended_of(row30, subgroupBroadcast(factor_d, 6u));
        row31 = ended_of(row31, subgroupBroadcast(factor_d, 7u));
        let to = vec2<u32>(output_base, parameters.output_row);
        if (ALIGNED) {
            store_row(to, 0u, last, column, row0);
            store_row(to, 1u, last, column, row1);
            store_row(to, 2u, last, column, row2);
            store_row(to, 3u, last, column, row3);
            store_row(to, 4u, last, column, row4);
            store_row(to, 5u, last, column, row5);
            store_row(to, 6u, last, column, row6);
            store_row(to, 7u, last, column, row7);
            store_row(to, 8u, last, column, row8);
            store_row(to, 9u, last, column, row9);
            store_row(to, 10u, last, column, row10);
            store_row(to, 11u, last, column, row11);
            store_row(to, 12u, last, column, row12);
            store_row(to, 13u, last, column, row13);
            store_row(to, 14u, last, column, row14);
            store_row(to, 15u, last, column, row15);
            if (TILE_ROWS == 32u) {
                store_row(to, 16u, last, column, row16);
                store_row(to, 17u, last, column, row17);
                store_row(to, 18u, last, column, row18);
                store_row(to, 19u, last, column, row19);
                store_row(to, 20u, last, column, row20);
                store_row(to, 21u, last, column, row21);
                store_row(to, 22u, last, column, row22);
                store_row(to, 23u, last, column, row23);
                store_row(to, 24u, last, column, row24);
                store_row(to, 25u, last, column, row25);
                store_row(to, 26u, last, column, row26);
                store_row(to, 27u, last, column, row27);
                store_row(to, 28u, last, column, row28);
                store_row(to, 29u, last, column, row29);
                store_row(to, 30u, last, column, row30);
                store_row(to, 31u, last, column, row31);
            } else {
                store_row(to, 0u, last, second_column, row16);
                store_row(to, 1u, last, second_column, row17);
                store_row(to, 2u, last, second_column, row18);
                store_row(to, 3u, last, second_column, row19);
                store_row(to, 4u, last, second_column, row20);
                store_row(to, 5u, last, second_column, row21);
                store_row(to, 6u, last, second_column, row22);
                store_row(to, 7u, last, second_column, row23);
                store_row(to, 8u, last, second_column, row24);
                store_row(to, 9u, last, second_column, row25);
                store_row(to, 10u, last, second_column, row26);
                store_row(to, 11u, last, second_column, row27);
                store_row(to, 12u, last, second_column, row28);
                store_row(to, 13u, last, second_column, row29);
                store_row(to, 14u, last, second_column, row30);
                store_row(to, 15u, last, second_column, row31);
            }
        } else {
            // An array here: it compiles in a fraction of the time.
            var values = array<vec4<f32>, 32>(
                row0, row1, row2, row3, row4, row5, row6, row7,
                row8, row9, row10, row11, row12, row13, row14, row15,
                row16, row17, row18, row19, row20, row21, row22, row23,
                row24, row25, row26, row27, row28, row29, row30, row31,
            );
            for (var r = 0u; r < 32u; r = r + 1u) {
                let block_column = select(second_column, column, r < TILE_ROWS);
                store_row(to, r % TILE_ROWS, last, block_column, values[r]);
            }
        }
        if (subgroupAny(strange)) {
            // Once more, each lane its own rows: a weight of 0 takes nothing of a value that is no number.
            let columns_end = min(first_column + COLUMNS, parameters.value_dim);
            for (var slot = 0u; slot < SLOTS; slot = slot + 1u) {
                var own = own_a;
                var factor = factor_a;
                if (slot == 1u) {
                    own = own_b;
                    factor = factor_b;
                }
                if (TILE_ROWS == 32u && slot == 2u) {
                    own = own_c;
                    factor = factor_c;
                }
                if (TILE_ROWS == 32u && slot == 3u) {
                    own = own_d;
                    factor = factor_d;
                }
                for (var at = first_column; at < columns_end; at = at + 4u) {
                    var sum = vec4<f32>();
                    for (var key = first_key; key < end; key = key + 4u) {
                        let keys = min(key + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u));
                        let values = load_values(value_places(value_base, batch, key_head, keys), at);
                        sum += careful_sum(weights_at(own, key), values.k0, values.k1, values.k2, values.k3);
                    }
                    store_row(to, lane + 8u * slot, last, at, ended_of(sum, factor));
                }
            }
        }
    }
}
