// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, by one subgroup for TILE_ROWS queries of a head.
//
// Keys come in tiles of 4 for each lane. Products: a lane has its 4 keys' columns of every row in registers; in each
// trip over 4 elements it loads them of its keys, and those of the queries go round by broadcasts from constant lanes.
// Weights: they go through workgroup memory, so that here a lane has whole rows, and maxima and sums need no exchange.
// Values: a lane has 4 columns of every row. One subgroup is the whole workgroup, so that the barriers are its own.

#import attention/flash
#import attention/flash_tile
#import attention/keys
#import attention/masking
#import attention/parameters
#import attention/queries
#import attention/values
#import component
#import indexing
#import kinds
#import panel

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<ValueBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;

const KEYS: u32 = 4u * SUBGROUP_SIZE;
// Registers in which the lanes hold 4 elements of each of the rows.
const LEFTS: u32 = (TILE_ROWS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;

const OTHER_BLOCKS: u32 = max(VALUE_BLOCKS, 5u) - 4u;

// Products, logits, then weights, as bits: [row][key / 4].
var<workgroup> weight_tile: array<vec4<u32>, TILE_ROWS * SUBGROUP_SIZE>;
// Where the values of each lane's 4 keys lie.
var<workgroup> value_places: array<vec4<u32>, SUBGROUP_SIZE>;
// Of each row.
var<workgroup> ending_tile: array<vec2<f32>, TILE_ROWS>;

fn load_keys(places: vec4<u32>, first: u32) -> Panel {
    return transposed(Panel(
        k_block(places.x, first, parameters.head_dim),
        k_block(places.y, first, parameters.head_dim),
        k_block(places.z, first, parameters.head_dim),
        k_block(places.w, first, parameters.head_dim),
    ));
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

fn pick(block: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    var picked = a;
    if (VALUE_BLOCKS > 1u) {
        picked = select(picked, b, block == 1u);
    }
    if (VALUE_BLOCKS > 2u) {
        picked = select(select(picked, c, block == 2u), d, block == 3u);
    }
    return picked;
}

// What a lane knows of a row of its own.
struct State {
    largest: f32,
    sum: f32,
    // By which the last tile changed what was there.
    factor: f32,
    seen: u32,
}

// A row's products become its logits, then its weights.
fn weigh(before: State, row: Row, r: u32, first_key: u32) -> State {
    var after = before;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let words = masked_logits(row, first_key + 4u * key4, bitcast<vec4<f32>>(weight_tile[place]));
        after.seen = max(after.seen, kind_from_four(words));
        let logits = logits_from(words);
        after.largest = max(after.largest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
        weight_tile[place] = words;
    }
    after.factor = rescale(before.largest, after.largest);
    after.sum = before.sum * after.factor;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let weights = weights_of(weight_tile[place], after.largest);
        after.sum = after.sum + weights.x + weights.y + weights.z + weights.w;
        weight_tile[place] = bitcast<vec4<u32>>(weights);
    }
    return after;
}

fn finish(state: State, tile: Tile, r: u32) {
    let end = ending(tile.head, state.largest, state.sum, state.seen);
    ending_tile[r] = vec2<f32>(end.factor, select(0.0, 1.0, end.poisoned));
    store_sum(tile.batch, tile.head, tile.first_query + r, tile.split, end);
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
    let tile = tile_of(parameters.first_tile + index, TILE_ROWS);
    if (tile.queries == 0u) {
        return;
    }
    let first_query = tile.first_query;
    let rows = tile.queries;
    // The rows that this lane loads, and weighs; those beyond the end are the last one again.
    let my_rows = lane + SUBGROUP_SIZE * vec4<u32>(0u, 1u, 2u, 3u);
    let left_rows = min(my_rows, vec4<u32>(rows - 1u));
    let left_places = q_place(tile.batch, tile.head, first_query) + left_rows * parameters.q_row;
    let row_a = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.x);
    let row_b = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.y);
    let row_c = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.z);
    let row_d = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.w);
    var state_a = State(LOWEST, 0.0, 1.0, NOTHING);
    var state_b = state_a;
    var state_c = state_a;
    var state_d = state_a;
    let blocks = (parameters.value_dim + KEYS - 1u) / KEYS;
    // Of each row, for the first blocks of columns: registers, as long as no index is computed. Other blocks are in
    // memory, [block][row].
    var block0: array<vec4<f32>, 16>;
    var block1: array<vec4<f32>, 16>;
    var block2: array<vec4<f32>, 16>;
    var block3: array<vec4<f32>, 16>;
    var others: array<vec4<f32>, OTHER_BLOCKS * TILE_ROWS>;
    var before: array<vec4<f32>, 16>;
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
        let my_keys = min(first_key + 4u * lane + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(tile.span.keys - 1u));
        let step0 = key_steps(tile.batch, my_keys.x);
        let step1 = key_steps(tile.batch, my_keys.y);
        let step2 = key_steps(tile.batch, my_keys.z);
        let step3 = key_steps(tile.batch, my_keys.w);
        let places = vec4<u32>(
            k_at(step0, tile.key_head), k_at(step1, tile.key_head), k_at(step2, tile.key_head), k_at(step3, tile.key_head),
        );
        value_places[lane] = vec4<u32>(
            v_at(step0, tile.key_head), v_at(step1, tile.key_head), v_at(step2, tile.key_head), v_at(step3, tile.key_head),
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
        weight_tile[0u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row0);
        weight_tile[1u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row1);
        weight_tile[2u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row2);
        weight_tile[3u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row3);
        weight_tile[4u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row4);
        weight_tile[5u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row5);
        weight_tile[6u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row6);
        weight_tile[7u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row7);
        if (TILE_ROWS > 8u) {
            weight_tile[8u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row8);
            weight_tile[9u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row9);
            weight_tile[10u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row10);
            weight_tile[11u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row11);
            weight_tile[12u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row12);
            weight_tile[13u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row13);
            weight_tile[14u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row14);
            weight_tile[15u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row15);
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
            var strange = false;
            // (block - 4) in the others.
            let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;
            row0 = pick(block, block0[0], block1[0], block2[0], block3[0]);
            row1 = pick(block, block0[1], block1[1], block2[1], block3[1]);
            row2 = pick(block, block0[2], block1[2], block2[2], block3[2]);
            row3 = pick(block, block0[3], block1[3], block2[3], block3[3]);
            row4 = pick(block, block0[4], block1[4], block2[4], block3[4]);
            row5 = pick(block, block0[5], block1[5], block2[5], block3[5]);
            row6 = pick(block, block0[6], block1[6], block2[6], block3[6]);
            row7 = pick(block, block0[7], block1[7], block2[7], block3[7]);
            if (TILE_ROWS > 8u) {
                row8 = pick(block, block0[8], block1[8], block2[8], block3[8]);
                row9 = pick(block, block0[9], block1[9], block2[9], block3[9]);
                row10 = pick(block, block0[10], block1[10], block2[10], block3[10]);
                row11 = pick(block, block0[11], block1[11], block2[11], block3[11]);
                row12 = pick(block, block0[12], block1[12], block2[12], block3[12]);
                row13 = pick(block, block0[13], block1[13], block2[13], block3[13]);
                row14 = pick(block, block0[14], block1[14], block2[14], block3[14]);
                row15 = pick(block, block0[15], block1[15], block2[15], block3[15]);
            }
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                row0 = others[at + 0u];
                row1 = others[at + 1u];
                row2 = others[at + 2u];
                row3 = others[at + 3u];
                row4 = others[at + 4u];
                row5 = others[at + 5u];
                row6 = others[at + 6u];
                row7 = others[at + 7u];
                if (TILE_ROWS > 8u) {
                    row8 = others[at + 8u];
                    row9 = others[at + 9u];
                    row10 = others[at + 10u];
                    row11 = others[at + 11u];
                    row12 = others[at + 12u];
                    row13 = others[at + 13u];
                    row14 = others[at + 14u];
                    row15 = others[at + 15u];
                }
            }
            row0 = row0 * subgroupBroadcast(factors[0u / SUBGROUP_SIZE], 0u % SUBGROUP_SIZE);
            row1 = row1 * subgroupBroadcast(factors[1u / SUBGROUP_SIZE], 1u % SUBGROUP_SIZE);
            row2 = row2 * subgroupBroadcast(factors[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE);
            row3 = row3 * subgroupBroadcast(factors[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE);
            row4 = row4 * subgroupBroadcast(factors[4u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE);
            row5 = row5 * subgroupBroadcast(factors[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE);
            row6 = row6 * subgroupBroadcast(factors[6u / SUBGROUP_SIZE], 6u % SUBGROUP_SIZE);
            row7 = row7 * subgroupBroadcast(factors[7u / SUBGROUP_SIZE], 7u % SUBGROUP_SIZE);
            if (TILE_ROWS > 8u) {
                row8 = row8 * subgroupBroadcast(factors[8u / SUBGROUP_SIZE], 8u % SUBGROUP_SIZE);
                row9 = row9 * subgroupBroadcast(factors[9u / SUBGROUP_SIZE], 9u % SUBGROUP_SIZE);
                row10 = row10 * subgroupBroadcast(factors[10u / SUBGROUP_SIZE], 10u % SUBGROUP_SIZE);
                row11 = row11 * subgroupBroadcast(factors[11u / SUBGROUP_SIZE], 11u % SUBGROUP_SIZE);
                row12 = row12 * subgroupBroadcast(factors[12u / SUBGROUP_SIZE], 12u % SUBGROUP_SIZE);
                row13 = row13 * subgroupBroadcast(factors[13u / SUBGROUP_SIZE], 13u % SUBGROUP_SIZE);
                row14 = row14 * subgroupBroadcast(factors[14u / SUBGROUP_SIZE], 14u % SUBGROUP_SIZE);
                row15 = row15 * subgroupBroadcast(factors[15u / SUBGROUP_SIZE], 15u % SUBGROUP_SIZE);
            }
            before[0] = row0;
            before[1] = row1;
            before[2] = row2;
            before[3] = row3;
            before[4] = row4;
            before[5] = row5;
            before[6] = row6;
            before[7] = row7;
            if (TILE_ROWS > 8u) {
                before[8] = row8;
                before[9] = row9;
                before[10] = row10;
                before[11] = row11;
                before[12] = row12;
                before[13] = row13;
                before[14] = row14;
                before[15] = row15;
            }
            for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                let right = load_values(key4, column);
                strange = strange || any_nonfinite(right.k0) || any_nonfinite(right.k1) || any_nonfinite(right.k2)
                    || any_nonfinite(right.k3);
                var left: array<vec4<f32>, 4>;
                left[0] = bitcast<vec4<f32>>(weight_tile[left_rows.x * SUBGROUP_SIZE + key4]);
                if (LEFTS > 1u) {
                    left[1] = bitcast<vec4<f32>>(weight_tile[left_rows.y * SUBGROUP_SIZE + key4]);
                }
                if (LEFTS > 2u) {
                    left[2] = bitcast<vec4<f32>>(weight_tile[left_rows.z * SUBGROUP_SIZE + key4]);
                    left[3] = bitcast<vec4<f32>>(weight_tile[left_rows.w * SUBGROUP_SIZE + key4]);
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
                for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                    let right = load_values(key4, column);
                    for (var r = 0u; r < TILE_ROWS; r = r + 1u) {
                        let weights = bitcast<vec4<f32>>(weight_tile[r * SUBGROUP_SIZE + key4]);
                        before[r] += careful_sum(weights, right.k0, right.k1, right.k2, right.k3);
                    }
                }
                row0 = before[0];
                row1 = before[1];
                row2 = before[2];
                row3 = before[3];
                row4 = before[4];
                row5 = before[5];
                row6 = before[6];
                row7 = before[7];
                if (TILE_ROWS > 8u) {
                    row8 = before[8];
                    row9 = before[9];
                    row10 = before[10];
                    row11 = before[11];
                    row12 = before[12];
                    row13 = before[13];
                    row14 = before[14];
                    row15 = before[15];
                }
            }
            if (block == 0u) {
                block0[0] = row0;
                block0[1] = row1;
                block0[2] = row2;
                block0[3] = row3;
                block0[4] = row4;
                block0[5] = row5;
                block0[6] = row6;
                block0[7] = row7;
                if (TILE_ROWS > 8u) {
                    block0[8] = row8;
                    block0[9] = row9;
                    block0[10] = row10;
                    block0[11] = row11;
                    block0[12] = row12;
                    block0[13] = row13;
                    block0[14] = row14;
                    block0[15] = row15;
                }
            }
            if (VALUE_BLOCKS > 1u && block == 1u) {
                block1[0] = row0;
                block1[1] = row1;
                block1[2] = row2;
                block1[3] = row3;
                block1[4] = row4;
                block1[5] = row5;
                block1[6] = row6;
                block1[7] = row7;
                if (TILE_ROWS > 8u) {
                    block1[8] = row8;
                    block1[9] = row9;
                    block1[10] = row10;
                    block1[11] = row11;
                    block1[12] = row12;
                    block1[13] = row13;
                    block1[14] = row14;
                    block1[15] = row15;
                }
            }
            if (VALUE_BLOCKS > 2u && block == 2u) {
                block2[0] = row0;
                block2[1] = row1;
                block2[2] = row2;
                block2[3] = row3;
                block2[4] = row4;
                block2[5] = row5;
                block2[6] = row6;
                block2[7] = row7;
                if (TILE_ROWS > 8u) {
                    block2[8] = row8;
                    block2[9] = row9;
                    block2[10] = row10;
                    block2[11] = row11;
                    block2[12] = row12;
                    block2[13] = row13;
                    block2[14] = row14;
                    block2[15] = row15;
                }
            }
            if (VALUE_BLOCKS > 3u && block == 3u) {
                block3[0] = row0;
                block3[1] = row1;
                block3[2] = row2;
                block3[3] = row3;
                block3[4] = row4;
                block3[5] = row5;
                block3[6] = row6;
                block3[7] = row7;
                if (TILE_ROWS > 8u) {
                    block3[8] = row8;
                    block3[9] = row9;
                    block3[10] = row10;
                    block3[11] = row11;
                    block3[12] = row12;
                    block3[13] = row13;
                    block3[14] = row14;
                    block3[15] = row15;
                }
            }
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                others[at + 0u] = row0;
                others[at + 1u] = row1;
                others[at + 2u] = row2;
                others[at + 3u] = row3;
                others[at + 4u] = row4;
                others[at + 5u] = row5;
                others[at + 6u] = row6;
                others[at + 7u] = row7;
                if (TILE_ROWS > 8u) {
                    others[at + 8u] = row8;
                    others[at + 9u] = row9;
                    others[at + 10u] = row10;
                    others[at + 11u] = row11;
                    others[at + 12u] = row12;
                    others[at + 13u] = row13;
                    others[at + 14u] = row14;
                    others[at + 15u] = row15;
                }
            }
        }
        workgroupBarrier();
    }
    if (my_rows.x < rows) {
        finish(state_a, tile, my_rows.x);
    }
    if (LEFTS > 1u && my_rows.y < rows) {
        finish(state_b, tile, my_rows.y);
    }
    if (LEFTS > 2u && my_rows.z < rows) {
        finish(state_c, tile, my_rows.z);
    }
    if (LEFTS > 2u && my_rows.w < rows) {
        finish(state_d, tile, my_rows.w);
    }
    workgroupBarrier();
    let base = output_place(tile.batch, tile.head, first_query) + tile.split * parameters.output_split;
    for (var block = 0u; block < blocks; block = block + 1u) {
        let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;
        before[0] = pick(block, block0[0], block1[0], block2[0], block3[0]);
        before[1] = pick(block, block0[1], block1[1], block2[1], block3[1]);
        before[2] = pick(block, block0[2], block1[2], block2[2], block3[2]);
        before[3] = pick(block, block0[3], block1[3], block2[3], block3[3]);
        before[4] = pick(block, block0[4], block1[4], block2[4], block3[4]);
        before[5] = pick(block, block0[5], block1[5], block2[5], block3[5]);
        before[6] = pick(block, block0[6], block1[6], block2[6], block3[6]);
        before[7] = pick(block, block0[7], block1[7], block2[7], block3[7]);
        if (TILE_ROWS > 8u) {
            before[8] = pick(block, block0[8], block1[8], block2[8], block3[8]);
            before[9] = pick(block, block0[9], block1[9], block2[9], block3[9]);
            before[10] = pick(block, block0[10], block1[10], block2[10], block3[10]);
            before[11] = pick(block, block0[11], block1[11], block2[11], block3[11]);
            before[12] = pick(block, block0[12], block1[12], block2[12], block3[12]);
            before[13] = pick(block, block0[13], block1[13], block2[13], block3[13]);
            before[14] = pick(block, block0[14], block1[14], block2[14], block3[14]);
            before[15] = pick(block, block0[15], block1[15], block2[15], block3[15]);
        }
        for (var r = 0u; r < rows; r = r + 1u) {
            var values = before[r];
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                values = others[at + r];
            }
            store(base + r * parameters.output_row, KEYS * block + 4u * lane, values, ending_tile[r]);
        }
    }
}
