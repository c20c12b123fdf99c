// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, by one subgroup for TILE_ROWS queries of a head.
//
// Keys come in tiles of 4 for each lane. Products: a lane has its 4 keys' columns of every row in registers; in each
// trip over 4 elements it loads them of its keys, and those of the queries go round by broadcasts from constant lanes.
// Weights: they go through workgroup memory, so that here a lane has whole rows, and maxima and sums need no exchange.
// Values: a lane has 4 columns of every row. One subgroup is the whole workgroup, so that the barriers are its own.
@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<KeyBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;

const KEYS: u32 = 4u * SUBGROUP_SIZE;
// Registers in which the lanes hold 4 elements of each of the rows.
const LEFTS: u32 = (TILE_ROWS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;

// Logits, then weights: [row][key / 4].
var<workgroup> weight_tile: array<vec4<f32>, TILE_ROWS * SUBGROUP_SIZE>;
// Where the values of each lane's 4 keys lie.
var<workgroup> value_places: array<vec4<u32>, SUBGROUP_SIZE>;
// Of each row.
var<workgroup> factor_tile: array<f32, TILE_ROWS>;
var<workgroup> ending_tile: array<vec2<f32>, TILE_ROWS>;

// 4 elements of 4 columns: a vec4 of columns for each element.
struct Panel {
    k0: vec4<f32>,
    k1: vec4<f32>,
    k2: vec4<f32>,
    k3: vec4<f32>,
}

fn multiply(sum: vec4<f32>, left: vec4<f32>, right: Panel) -> vec4<f32> {
    return sum + left.x * right.k0 + left.y * right.k1 + left.z * right.k2 + left.w * right.k3;
}

fn load_keys(places: vec4<u32>, first: u32) -> Panel {
    let a = k_block(places.x, first, parameters.head_dim);
    let b = k_block(places.y, first, parameters.head_dim);
    let c = k_block(places.z, first, parameters.head_dim);
    let d = k_block(places.w, first, parameters.head_dim);
    return Panel(
        vec4<f32>(a.x, b.x, c.x, d.x),
        vec4<f32>(a.y, b.y, c.y, d.y),
        vec4<f32>(a.z, b.z, c.z, d.z),
        vec4<f32>(a.w, b.w, c.w, d.w),
    );
}

// The values of 4 keys.
fn load_values(key4: u32, column: u32) -> Panel {
    let places = value_places[key4];
    return Panel(
        v_block(places.x, column, parameters.value_dim),
        v_block(places.y, column, parameters.value_dim),
        v_block(places.z, column, parameters.value_dim),
        v_block(places.w, column, parameters.value_dim),
    );
}

// What a lane knows of a row of its own.
struct State {
    largest: f32,
    sum: f32,
    // By which the last tile changed what was there.
    factor: f32,
    poisoned: bool,
}

// A row's products become its logits, then its weights.
fn weigh(before: State, row: Row, r: u32, first_key: u32) -> State {
    var after = before;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let logits = masked_logits(row, first_key + 4u * key4, weight_tile[place]);
        after.poisoned = after.poisoned || any_nan(logits);
        after.largest = max(after.largest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
        weight_tile[place] = logits;
    }
    after.factor = rescale(before.largest, after.largest);
    after.sum = before.sum * after.factor;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let weights = weights_of(weight_tile[place], after.largest);
        after.sum = after.sum + weights.x + weights.y + weights.z + weights.w;
        weight_tile[place] = weights;
    }
    factor_tile[r] = after.factor;
    return after;
}

fn finish(state: State, batch: u32, head: u32, query: u32, split: u32, r: u32) {
    let end = ending(head, state.largest, state.sum, state.poisoned);
    ending_tile[r] = vec2<f32>(end.factor, select(0.0, 1.0, end.poisoned));
    store_sum(batch, head, query, split, end);
}

fn store(base: u32, first_column: u32, values: vec4<f32>, end: vec2<f32>) {
    for (var lane = 0u; lane < 4u; lane = lane + 1u) {
        let column = first_column + lane;
        if (column < parameters.value_dim) {
            output[base + column] = ended(component(values, lane), end.x, end.y > 0.0);
        }
    }
}

@compute @workgroup_size(SUBGROUP_SIZE)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = workgroup_index(id, count);
    if (index >= parameters.tiles) {
        return;
    }
    let row_tiles = (parameters.query_length + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = parameters.first_tile + index;
    let first_query = tile % row_tiles * TILE_ROWS;
    let head = tile / row_tiles % parameters.heads;
    let batch = tile / row_tiles / parameters.heads % parameters.batches;
    let split = tile / row_tiles / parameters.heads / parameters.batches;
    let queries = query_count(batch);
    if (first_query >= queries) {
        return;
    }
    let key_head = head / parameters.heads_per_key;
    let keys = key_count(batch);
    let rows = min(TILE_ROWS, queries - first_query);
    // The bounds only rise from one query to the next.
    let split_begin = split * parameters.split_keys;
    let begin = max(row_of_query(batch, head, first_query).begin, split_begin);
    var end = row_of_query(batch, head, first_query + rows - 1u).end;
    if (parameters.splits > 1u) {
        end = min(end, split_begin + parameters.split_keys);
    }
    // The rows that this lane loads, and weighs; those beyond the end are the last one again.
    let my_rows = lane + SUBGROUP_SIZE * vec4<u32>(0u, 1u, 2u, 3u);
    let left_rows = min(my_rows, vec4<u32>(rows - 1u));
    let left_places = q_place(batch, head, first_query) + left_rows * parameters.q_row;
    let row_a = row_of_query(batch, head, first_query + left_rows.x);
    let row_b = row_of_query(batch, head, first_query + left_rows.y);
    let row_c = row_of_query(batch, head, first_query + left_rows.z);
    let row_d = row_of_query(batch, head, first_query + left_rows.w);
    var state_a = State(LOWEST, 0.0, 1.0, false);
    var state_b = state_a;
    var state_c = state_a;
    var state_d = state_a;
    let blocks = (parameters.value_dim + KEYS - 1u) / KEYS;
    // [block of columns][row]
    var accumulated: array<vec4<f32>, TILE_ROWS * VALUE_BLOCKS>;
    for (var first_key = begin / KEYS * KEYS; first_key < end; first_key = first_key + KEYS) {
        let my_keys = min(first_key + 4u * lane + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(keys - 1u));
        let step0 = key_steps(batch, my_keys.x);
        let step1 = key_steps(batch, my_keys.y);
        let step2 = key_steps(batch, my_keys.z);
        let step3 = key_steps(batch, my_keys.w);
        let places = vec4<u32>(
            k_at(step0, key_head), k_at(step1, key_head), k_at(step2, key_head), k_at(step3, key_head),
        );
        value_places[lane] = vec4<u32>(
            v_at(step0, key_head), v_at(step1, key_head), v_at(step2, key_head), v_at(step3, key_head),
        );
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
        for (var first = 0u; first < parameters.head_dim; first = first + 4u) {
            let right = load_keys(places, first);
            var left: array<vec4<f32>, 4>;
            left[0] = q_block(left_places.x, first, parameters.head_dim);
            if (LEFTS > 1u) {
                left[1] = q_block(left_places.y, first, parameters.head_dim);
            }
            if (LEFTS > 2u) {
                left[2] = q_block(left_places.z, first, parameters.head_dim);
                left[3] = q_block(left_places.w, first, parameters.head_dim);
            }
            row0 = multiply(row0, subgroupBroadcast(left[0u / SUBGROUP_SIZE], 0u % SUBGROUP_SIZE), right);
            row1 = multiply(row1, subgroupBroadcast(left[1u / SUBGROUP_SIZE], 1u % SUBGROUP_SIZE), right);
            row2 = multiply(row2, subgroupBroadcast(left[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE), right);
            row3 = multiply(row3, subgroupBroadcast(left[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE), right);
            row4 = multiply(row4, subgroupBroadcast(left[4u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE), right);
            row5 = multiply(row5, subgroupBroadcast(left[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE), right);
            row6 = multiply(row6, subgroupBroadcast(left[6u / SUBGROUP_SIZE], 6u % SUBGROUP_SIZE), right);
            row7 = multiply(row7, subgroupBroadcast(left[7u / SUBGROUP_SIZE], 7u % SUBGROUP_SIZE), right);
            if (TILE_ROWS > 8u) {
                row8 = multiply(row8, subgroupBroadcast(left[8u / SUBGROUP_SIZE], 8u % SUBGROUP_SIZE), right);
                row9 = multiply(row9, subgroupBroadcast(left[9u / SUBGROUP_SIZE], 9u % SUBGROUP_SIZE), right);
                row10 = multiply(row10, subgroupBroadcast(left[10u / SUBGROUP_SIZE], 10u % SUBGROUP_SIZE), right);
                row11 = multiply(row11, subgroupBroadcast(left[11u / SUBGROUP_SIZE], 11u % SUBGROUP_SIZE), right);
                row12 = multiply(row12, subgroupBroadcast(left[12u / SUBGROUP_SIZE], 12u % SUBGROUP_SIZE), right);
                row13 = multiply(row13, subgroupBroadcast(left[13u / SUBGROUP_SIZE], 13u % SUBGROUP_SIZE), right);
                row14 = multiply(row14, subgroupBroadcast(left[14u / SUBGROUP_SIZE], 14u % SUBGROUP_SIZE), right);
                row15 = multiply(row15, subgroupBroadcast(left[15u / SUBGROUP_SIZE], 15u % SUBGROUP_SIZE), right);
            }
        }
        weight_tile[0u * SUBGROUP_SIZE + lane] = row0;
        weight_tile[1u * SUBGROUP_SIZE + lane] = row1;
        weight_tile[2u * SUBGROUP_SIZE + lane] = row2;
        weight_tile[3u * SUBGROUP_SIZE + lane] = row3;
        weight_tile[4u * SUBGROUP_SIZE + lane] = row4;
        weight_tile[5u * SUBGROUP_SIZE + lane] = row5;
        weight_tile[6u * SUBGROUP_SIZE + lane] = row6;
        weight_tile[7u * SUBGROUP_SIZE + lane] = row7;
        if (TILE_ROWS > 8u) {
            weight_tile[8u * SUBGROUP_SIZE + lane] = row8;
            weight_tile[9u * SUBGROUP_SIZE + lane] = row9;
            weight_tile[10u * SUBGROUP_SIZE + lane] = row10;
            weight_tile[11u * SUBGROUP_SIZE + lane] = row11;
            weight_tile[12u * SUBGROUP_SIZE + lane] = row12;
            weight_tile[13u * SUBGROUP_SIZE + lane] = row13;
            weight_tile[14u * SUBGROUP_SIZE + lane] = row14;
            weight_tile[15u * SUBGROUP_SIZE + lane] = row15;
        }
        workgroupBarrier();
        if (my_rows.x < TILE_ROWS) {
            state_a = weigh(state_a, row_a, my_rows.x, first_key);
        }
        if (LEFTS > 1u) {
            state_b = weigh(state_b, row_b, my_rows.y, first_key);
        }
        if (LEFTS > 2u) {
            state_c = weigh(state_c, row_c, my_rows.z, first_key);
            state_d = weigh(state_d, row_d, my_rows.w, first_key);
        }
        workgroupBarrier();
        let factors = array<f32, 4>(state_a.factor, state_b.factor, state_c.factor, state_d.factor);
        for (var block = 0u; block < blocks; block = block + 1u) {
            let column = KEYS * block + 4u * lane;
            let at = TILE_ROWS * block;
            var strange = false;
            row0 = accumulated[at + 0u] * subgroupBroadcast(factors[0u / SUBGROUP_SIZE], 0u % SUBGROUP_SIZE);
            row1 = accumulated[at + 1u] * subgroupBroadcast(factors[1u / SUBGROUP_SIZE], 1u % SUBGROUP_SIZE);
            row2 = accumulated[at + 2u] * subgroupBroadcast(factors[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE);
            row3 = accumulated[at + 3u] * subgroupBroadcast(factors[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE);
            row4 = accumulated[at + 4u] * subgroupBroadcast(factors[4u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE);
            row5 = accumulated[at + 5u] * subgroupBroadcast(factors[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE);
            row6 = accumulated[at + 6u] * subgroupBroadcast(factors[6u / SUBGROUP_SIZE], 6u % SUBGROUP_SIZE);
            row7 = accumulated[at + 7u] * subgroupBroadcast(factors[7u / SUBGROUP_SIZE], 7u % SUBGROUP_SIZE);
            if (TILE_ROWS > 8u) {
                row8 = accumulated[at + 8u] * subgroupBroadcast(factors[8u / SUBGROUP_SIZE], 8u % SUBGROUP_SIZE);
                row9 = accumulated[at + 9u] * subgroupBroadcast(factors[9u / SUBGROUP_SIZE], 9u % SUBGROUP_SIZE);
                row10 = accumulated[at + 10u] * subgroupBroadcast(factors[10u / SUBGROUP_SIZE], 10u % SUBGROUP_SIZE);
                row11 = accumulated[at + 11u] * subgroupBroadcast(factors[11u / SUBGROUP_SIZE], 11u % SUBGROUP_SIZE);
                row12 = accumulated[at + 12u] * subgroupBroadcast(factors[12u / SUBGROUP_SIZE], 12u % SUBGROUP_SIZE);
                row13 = accumulated[at + 13u] * subgroupBroadcast(factors[13u / SUBGROUP_SIZE], 13u % SUBGROUP_SIZE);
                row14 = accumulated[at + 14u] * subgroupBroadcast(factors[14u / SUBGROUP_SIZE], 14u % SUBGROUP_SIZE);
                row15 = accumulated[at + 15u] * subgroupBroadcast(factors[15u / SUBGROUP_SIZE], 15u % SUBGROUP_SIZE);
            }
            for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                let right = load_values(key4, column);
                strange = strange || any_nonfinite(right.k0) || any_nonfinite(right.k1) || any_nonfinite(right.k2)
                    || any_nonfinite(right.k3);
                var left: array<vec4<f32>, 4>;
                left[0] = weight_tile[left_rows.x * SUBGROUP_SIZE + key4];
                if (LEFTS > 1u) {
                    left[1] = weight_tile[left_rows.y * SUBGROUP_SIZE + key4];
                }
                if (LEFTS > 2u) {
                    left[2] = weight_tile[left_rows.z * SUBGROUP_SIZE + key4];
                    left[3] = weight_tile[left_rows.w * SUBGROUP_SIZE + key4];
                }
                row0 = multiply(row0, subgroupBroadcast(left[0u / SUBGROUP_SIZE], 0u % SUBGROUP_SIZE), right);
                row1 = multiply(row1, subgroupBroadcast(left[1u / SUBGROUP_SIZE], 1u % SUBGROUP_SIZE), right);
                row2 = multiply(row2, subgroupBroadcast(left[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE), right);
                row3 = multiply(row3, subgroupBroadcast(left[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE), right);
                row4 = multiply(row4, subgroupBroadcast(left[4u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE), right);
                row5 = multiply(row5, subgroupBroadcast(left[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE), right);
                row6 = multiply(row6, subgroupBroadcast(left[6u / SUBGROUP_SIZE], 6u % SUBGROUP_SIZE), right);
                row7 = multiply(row7, subgroupBroadcast(left[7u / SUBGROUP_SIZE], 7u % SUBGROUP_SIZE), right);
                if (TILE_ROWS > 8u) {
                    row8 = multiply(row8, subgroupBroadcast(left[8u / SUBGROUP_SIZE], 8u % SUBGROUP_SIZE), right);
                    row9 = multiply(row9, subgroupBroadcast(left[9u / SUBGROUP_SIZE], 9u % SUBGROUP_SIZE), right);
                    row10 = multiply(row10, subgroupBroadcast(left[10u / SUBGROUP_SIZE], 10u % SUBGROUP_SIZE), right);
                    row11 = multiply(row11, subgroupBroadcast(left[11u / SUBGROUP_SIZE], 11u % SUBGROUP_SIZE), right);
                    row12 = multiply(row12, subgroupBroadcast(left[12u / SUBGROUP_SIZE], 12u % SUBGROUP_SIZE), right);
                    row13 = multiply(row13, subgroupBroadcast(left[13u / SUBGROUP_SIZE], 13u % SUBGROUP_SIZE), right);
                    row14 = multiply(row14, subgroupBroadcast(left[14u / SUBGROUP_SIZE], 14u % SUBGROUP_SIZE), right);
                    row15 = multiply(row15, subgroupBroadcast(left[15u / SUBGROUP_SIZE], 15u % SUBGROUP_SIZE), right);
                }
            }
            if (subgroupAny(strange)) {
                // Once more: a weight of 0 takes nothing of a value that is no number.
                for (var r = 0u; r < TILE_ROWS; r = r + 1u) {
                    accumulated[at + r] = accumulated[at + r] * factor_tile[r];
                }
                for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                    let right = load_values(key4, column);
                    for (var r = 0u; r < TILE_ROWS; r = r + 1u) {
                        let weights = weight_tile[r * SUBGROUP_SIZE + key4];
                        accumulated[at + r] += careful_sum(weights, right.k0, right.k1, right.k2, right.k3);
                    }
                }
            } else {
                accumulated[at + 0u] = row0;
                accumulated[at + 1u] = row1;
                accumulated[at + 2u] = row2;
                accumulated[at + 3u] = row3;
                accumulated[at + 4u] = row4;
                accumulated[at + 5u] = row5;
                accumulated[at + 6u] = row6;
                accumulated[at + 7u] = row7;
                if (TILE_ROWS > 8u) {
                    accumulated[at + 8u] = row8;
                    accumulated[at + 9u] = row9;
                    accumulated[at + 10u] = row10;
                    accumulated[at + 11u] = row11;
                    accumulated[at + 12u] = row12;
                    accumulated[at + 13u] = row13;
                    accumulated[at + 14u] = row14;
                    accumulated[at + 15u] = row15;
                }
            }
        }
        workgroupBarrier();
    }
    if (my_rows.x < rows) {
        finish(state_a, batch, head, first_query + my_rows.x, split, my_rows.x);
    }
    if (LEFTS > 1u && my_rows.y < rows) {
        finish(state_b, batch, head, first_query + my_rows.y, split, my_rows.y);
    }
    if (LEFTS > 2u && my_rows.z < rows) {
        finish(state_c, batch, head, first_query + my_rows.z, split, my_rows.z);
    }
    if (LEFTS > 2u && my_rows.w < rows) {
        finish(state_d, batch, head, first_query + my_rows.w, split, my_rows.w);
    }
    workgroupBarrier();
    let base = output_place(batch, head, first_query) + split * parameters.output_split;
    for (var r = 0u; r < rows; r = r + 1u) {
        for (var block = 0u; block < blocks; block = block + 1u) {
            let values = accumulated[TILE_ROWS * block + r];
            store(base + r * parameters.output_row, KEYS * block + 4u * lane, values, ending_tile[r]);
        }
    }
}
