// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, by one subgroup for TILE_ROWS queries of a head.
//
// Keys come in tiles of 4 for each lane. Products: a lane has its 4 keys' columns of every row in registers; in each
// trip over 4 elements it loads them of its keys, and those of the queries go round by broadcasts from constant lanes.
// Values: the weights go through workgroup memory, since what was spread over the keys is now wanted by row; a lane has
// 4 columns of every row. One subgroup is the whole workgroup, so that the barriers are its own.
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

// [row][key / 4]
var<workgroup> weight_tile: array<vec4<f32>, TILE_ROWS * SUBGROUP_SIZE>;

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

fn multiply_carefully(sum: vec4<f32>, left: vec4<f32>, right: Panel) -> vec4<f32> {
    return sum + careful_sum(left, right.k0, right.k1, right.k2, right.k3);
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

fn store(base: u32, first_column: u32, values: vec4<f32>, end: Ending) {
    for (var lane = 0u; lane < 4u; lane = lane + 1u) {
        let column = first_column + lane;
        if (column < parameters.value_dim) {
            output[base + column] = ended(component(values, lane), end);
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
    // Where the rows that this lane loads begin; those beyond the end load the last one again.
    let q_base = q_place(batch, head, first_query);
    let left_rows = min(lane + SUBGROUP_SIZE * vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u));
    let left_places = q_base + left_rows * parameters.q_row;
    let blocks = (parameters.value_dim + KEYS - 1u) / KEYS;
    // The same in all lanes.
    var largest: array<f32, TILE_ROWS>;
    var poisoned: array<bool, TILE_ROWS>;
    // Of this lane's keys only.
    var sum: array<f32, TILE_ROWS>;
    // [block of columns][row]
    var accumulated: array<vec4<f32>, TILE_ROWS * VALUE_BLOCKS>;
    for (var row = 0u; row < TILE_ROWS; row = row + 1u) {
        largest[row] = LOWEST;
    }
    for (var first_key = begin / KEYS * KEYS; first_key < end; first_key = first_key + KEYS) {
        let my_key = first_key + 4u * lane;
        let places = vec4<u32>(
            k_place(batch, key_head, min(my_key, keys - 1u)),
            k_place(batch, key_head, min(my_key + 1u, keys - 1u)),
            k_place(batch, key_head, min(my_key + 2u, keys - 1u)),
            k_place(batch, key_head, min(my_key + 3u, keys - 1u)),
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
        var products = array<vec4<f32>, 16>(
            row0, row1, row2, row3, row4, row5, row6, row7,
            row8, row9, row10, row11, row12, row13, row14, row15,
        );
        var factors: array<f32, 16>;
        for (var r = 0u; r < rows; r = r + 1u) {
            let row = row_of_query(batch, head, first_query + r);
            let product = products[r];
            let logits = vec4<f32>(
                masked_logit(row, my_key, product.x),
                masked_logit(row, my_key + 1u, product.y),
                masked_logit(row, my_key + 2u, product.z),
                masked_logit(row, my_key + 3u, product.w),
            );
            let before = largest[r];
            let highest = max(max(logits.x, logits.y), max(logits.z, logits.w));
            let after = max(before, subgroupMax(highest));
            let weights = weights_of(logits, after);
            weight_tile[r * SUBGROUP_SIZE + lane] = weights;
            let factor = rescale(before, after);
            sum[r] = sum[r] * factor + weights.x + weights.y + weights.z + weights.w;
            largest[r] = after;
            factors[r] = factor;
            if (is_nan(logits.x) || is_nan(logits.y) || is_nan(logits.z) || is_nan(logits.w)) {
                poisoned[r] = true;
            }
        }
        workgroupBarrier();
        for (var block = 0u; block < blocks; block = block + 1u) {
            let column = KEYS * block + 4u * lane;
            let at = TILE_ROWS * block;
            row0 = accumulated[at + 0u] * factors[0];
            row1 = accumulated[at + 1u] * factors[1];
            row2 = accumulated[at + 2u] * factors[2];
            row3 = accumulated[at + 3u] * factors[3];
            row4 = accumulated[at + 4u] * factors[4];
            row5 = accumulated[at + 5u] * factors[5];
            row6 = accumulated[at + 6u] * factors[6];
            row7 = accumulated[at + 7u] * factors[7];
            if (TILE_ROWS > 8u) {
                row8 = accumulated[at + 8u] * factors[8];
                row9 = accumulated[at + 9u] * factors[9];
                row10 = accumulated[at + 10u] * factors[10];
                row11 = accumulated[at + 11u] * factors[11];
                row12 = accumulated[at + 12u] * factors[12];
                row13 = accumulated[at + 13u] * factors[13];
                row14 = accumulated[at + 14u] * factors[14];
                row15 = accumulated[at + 15u] * factors[15];
            }
            for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                let key = first_key + 4u * key4;
                let a = v_block(v_place(batch, key_head, min(key, keys - 1u)), column, parameters.value_dim);
                let b = v_block(v_place(batch, key_head, min(key + 1u, keys - 1u)), column, parameters.value_dim);
                let c = v_block(v_place(batch, key_head, min(key + 2u, keys - 1u)), column, parameters.value_dim);
                let d = v_block(v_place(batch, key_head, min(key + 3u, keys - 1u)), column, parameters.value_dim);
                let right = Panel(a, b, c, d);
                var left: array<vec4<f32>, 4>;
                left[0] = weight_tile[left_rows.x * SUBGROUP_SIZE + key4];
                if (LEFTS > 1u) {
                    left[1] = weight_tile[left_rows.y * SUBGROUP_SIZE + key4];
                }
                if (LEFTS > 2u) {
                    left[2] = weight_tile[left_rows.z * SUBGROUP_SIZE + key4];
                    left[3] = weight_tile[left_rows.w * SUBGROUP_SIZE + key4];
                }
                let strange = any_nonfinite(a) || any_nonfinite(b) || any_nonfinite(c) || any_nonfinite(d);
                if (subgroupAny(strange)) {
                    row0 = multiply_carefully(row0, subgroupBroadcast(left[0u / SUBGROUP_SIZE], 0u % SUBGROUP_SIZE), right);
                    row1 = multiply_carefully(row1, subgroupBroadcast(left[1u / SUBGROUP_SIZE], 1u % SUBGROUP_SIZE), right);
                    row2 = multiply_carefully(row2, subgroupBroadcast(left[2u / SUBGROUP_SIZE], 2u % SUBGROUP_SIZE), right);
                    row3 = multiply_carefully(row3, subgroupBroadcast(left[3u / SUBGROUP_SIZE], 3u % SUBGROUP_SIZE), right);
                    row4 = multiply_carefully(row4, subgroupBroadcast(left[4u / SUBGROUP_SIZE], 4u % SUBGROUP_SIZE), right);
                    row5 = multiply_carefully(row5, subgroupBroadcast(left[5u / SUBGROUP_SIZE], 5u % SUBGROUP_SIZE), right);
                    row6 = multiply_carefully(row6, subgroupBroadcast(left[6u / SUBGROUP_SIZE], 6u % SUBGROUP_SIZE), right);
                    row7 = multiply_carefully(row7, subgroupBroadcast(left[7u / SUBGROUP_SIZE], 7u % SUBGROUP_SIZE), right);
                    if (TILE_ROWS > 8u) {
                        row8 = multiply_carefully(row8, subgroupBroadcast(left[8u / SUBGROUP_SIZE], 8u % SUBGROUP_SIZE), right);
                        row9 = multiply_carefully(row9, subgroupBroadcast(left[9u / SUBGROUP_SIZE], 9u % SUBGROUP_SIZE), right);
                        row10 = multiply_carefully(row10, subgroupBroadcast(left[10u / SUBGROUP_SIZE], 10u % SUBGROUP_SIZE), right);
                        row11 = multiply_carefully(row11, subgroupBroadcast(left[11u / SUBGROUP_SIZE], 11u % SUBGROUP_SIZE), right);
                        row12 = multiply_carefully(row12, subgroupBroadcast(left[12u / SUBGROUP_SIZE], 12u % SUBGROUP_SIZE), right);
                        row13 = multiply_carefully(row13, subgroupBroadcast(left[13u / SUBGROUP_SIZE], 13u % SUBGROUP_SIZE), right);
                        row14 = multiply_carefully(row14, subgroupBroadcast(left[14u / SUBGROUP_SIZE], 14u % SUBGROUP_SIZE), right);
                        row15 = multiply_carefully(row15, subgroupBroadcast(left[15u / SUBGROUP_SIZE], 15u % SUBGROUP_SIZE), right);
                    }
                } else {
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
            }
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
        workgroupBarrier();
    }
    let base = output_place(batch, head, first_query) + split * parameters.output_split;
    for (var r = 0u; r < rows; r = r + 1u) {
        let poison = subgroupAny(poisoned[r]);
        let end = ending(head, largest[r], subgroupAdd(sum[r]), poison);
        for (var block = 0u; block < blocks; block = block + 1u) {
            let values = accumulated[TILE_ROWS * block + r];
            store(base + r * parameters.output_row, KEYS * block + 4u * lane, values, end);
        }
        if (lane == 0u) {
            store_sum(batch, head, first_query + r, split, end);
        }
    }
}
