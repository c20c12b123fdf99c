// y[b, h', j, :] += Σ_i Σ_{h of h'} weights[b, h, i, j] · x[b, h, i, :], tiled: the gradient of keys and of values. h' is the key-value
// head of h; x is where the queries lie, y where the keys do.

#import attention/parameters
#import component
#import indexing
#import linear/multiply_tile

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> items: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<private> item: u32;
// The first head of the key-value head's that is in the part, and the places of that many of them.
var<private> first_head: u32;
var<private> weights_base: u32;
var<private> rows: u32;
// Queries of the part that the item has.
var<private> queries: u32;
var<private> depth_end: u32;

// Rows are keys, and the depth goes over the queries of all heads, one head after the other.
fn load_left(row: u32, depth: u32) -> f32 {
    if (row < rows && depth < depth_end) {
        return weights[weights_base + depth * parameters.key_length + row];
    }
    return 0.0;
}

fn load_right(depth: u32, column: u32) -> f32 {
    let query = depth % parameters.queries;
    if (depth < depth_end && query < queries && column < parameters.head_dim) {
        let head = first_head + depth / parameters.queries;
        return x[q_place(item, head, parameters.first_query + query) + column];
    }
    return 0.0;
}

fn store(key_head: u32, row: u32, first_column: u32, values: vec4<f32>) {
    if (row < rows) {
        let base = k_place(item, key_head, row);
        for (var lane = 0u; lane < 4u; lane = lane + 1u) {
            let column = first_column + lane;
            if (column < parameters.head_dim) {
                y[base + column] = y[base + column] + component(values, lane);
            }
        }
    }
}

@compute @workgroup_size(TILE_LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let tile_columns = (parameters.head_dim + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tile_rows = (parameters.key_length + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = workgroup_index(id, count);
    let end = parameters.first_batch_head + parameters.batch_heads;
    // Key-value heads are counted through all items, as the batch-heads are.
    let group = parameters.first_batch_head / parameters.heads_per_key + tile / (tile_columns * tile_rows);
    let first = max(group * parameters.heads_per_key, parameters.first_batch_head);
    if (first >= end) {
        return;
    }
    // Its heads from there on that are in the part.
    let heads = min(parameters.heads_per_key - (first - group * parameters.heads_per_key), end - first);
    let first_row = (tile / tile_columns) % tile_rows * TILE_ROWS;
    let first_column = tile % tile_columns * TILE_COLUMNS;
    item = first / parameters.heads;
    first_head = first % parameters.heads;
    rows = stored_keys(item);
    let of_item = query_count(item);
    queries = min(parameters.queries, of_item - min(of_item, parameters.first_query));
    weights_base = (first - parameters.first_batch_head) * parameters.queries * parameters.key_length;
    // By itself, so that it is known to be the same for all invocations, as barriers need it.
    let depth = heads * parameters.queries;
    depth_end = depth;
    let sums = multiply_tile(first_row, first_column, depth, invocation);
    let key_head = first_head / parameters.heads_per_key;
    let row = first_row + 4u * (invocation / COLUMN_GROUPS);
    let column = first_column + 4u * (invocation % COLUMN_GROUPS);
    store(key_head, row, column, sums.row0);
    store(key_head, row + 1u, column, sums.row1);
    store(key_head, row + 2u, column, sums.row2);
    store(key_head, row + 3u, column, sums.row3);
}
