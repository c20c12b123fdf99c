// output[b, h, i, :] = Σ_j weights[b, h, i, j] · v[b, h', j, :], tiled; h' is the key-value head of h.

#import attention/parameters
#import component
#import indexing
#import linear/multiply_tile

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> items: array<u32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

var<private> item: u32;
var<private> key_head: u32;
var<private> weights_base: u32;
// Rows of the weights and of v that are there.
var<private> rows: u32;
var<private> v_rows: u32;

fn load_left(row: u32, depth: u32) -> f32 {
    if (row < rows && depth < v_rows) {
        return weights[weights_base + row * parameters.key_length + depth];
    }
    return 0.0;
}

fn load_right(depth: u32, column: u32) -> f32 {
    if (depth < v_rows && column < parameters.value_dim) {
        return v[v_place(item, key_head, depth) + column];
    }
    return 0.0;
}

fn store(base: u32, row: u32, first_column: u32, values: vec4<f32>) {
    if (row < rows) {
        for (var lane = 0u; lane < 4u; lane = lane + 1u) {
            let column = first_column + lane;
            if (column < parameters.value_dim) {
                output[base + row * parameters.output_row + column] = component(values, lane);
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
    let tile_columns = (parameters.value_dim + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tile_rows = (parameters.queries + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = workgroup_index(id, count);
    let head = tile / (tile_columns * tile_rows);
    if (head >= parameters.batch_heads) {
        return;
    }
    let first_row = (tile / tile_columns) % tile_rows * TILE_ROWS;
    let first_column = tile % tile_columns * TILE_COLUMNS;
    let batch_head = parameters.first_batch_head + head;
    let query_head = batch_head % parameters.heads;
    item = batch_head / parameters.heads;
    key_head = query_head / parameters.heads_per_key;
    let queries = query_count(item);
    rows = min(parameters.queries, queries - min(queries, parameters.first_query));
    v_rows = stored_keys(item);
    weights_base = head * parameters.queries * parameters.key_length;
    let sums = multiply_tile(first_row, first_column, parameters.key_length, invocation);
    let base = output_place(item, query_head, parameters.first_query);
    let row = first_row + 4u * (invocation / COLUMN_GROUPS);
    let column = first_column + 4u * (invocation % COLUMN_GROUPS);
    store(base, row, column, sums.row0);
    store(base, row + 1u, column, sums.row1);
    store(base, row + 2u, column, sums.row2);
    store(base, row + 3u, column, sums.row3);
}
