// output[b, h, i, :] = Σ_j weights[b, h, i, j] · v[b, h', j, :], tiled; h' is the key-value head of h.
struct Parameters {
    heads: u32,
    heads_per_key: u32,
    query_length: u32,
    key_length: u32,
    value_dim: u32,
    batch_heads: u32,
    first_batch_head: u32,
    first_query: u32,
    v_offset: u32,
    v_batch: u32,
    v_head: u32,
    v_row: u32,
    output_offset: u32,
    output_batch: u32,
    output_head: u32,
    output_row: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

var<private> weights_base: u32;
var<private> v_base: u32;

fn load_left(row: u32, depth: u32) -> f32 {
    if (row < parameters.query_length && depth < parameters.key_length) {
        return weights[weights_base + row * parameters.key_length + depth];
    }
    return 0.0;
}

fn load_right(depth: u32, column: u32) -> f32 {
    if (depth < parameters.key_length && column < parameters.value_dim) {
        return v[v_base + depth * parameters.v_row + column];
    }
    return 0.0;
}

fn store(base: u32, row: u32, first_column: u32, values: vec4<f32>) {
    if (row < parameters.query_length) {
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
    let tile_rows = (parameters.query_length + TILE_ROWS - 1u) / TILE_ROWS;
    let tile = workgroup_index(id, count);
    let head = tile / (tile_columns * tile_rows);
    if (head >= parameters.batch_heads) {
        return;
    }
    let first_row = (tile / tile_columns) % tile_rows * TILE_ROWS;
    let first_column = tile % tile_columns * TILE_COLUMNS;
    let batch_head = parameters.first_batch_head + head;
    let batch = batch_head / parameters.heads;
    let query_head = batch_head % parameters.heads;
    let key_head = query_head / parameters.heads_per_key;
    weights_base = head * parameters.query_length * parameters.key_length;
    v_base = parameters.v_offset + batch * parameters.v_batch + key_head * parameters.v_head;
    let sums = multiply_tile(first_row, first_column, parameters.key_length, invocation);
    let base = parameters.output_offset + batch * parameters.output_batch + query_head * parameters.output_head
        + parameters.first_query * parameters.output_row;
    let row = first_row + 4u * (invocation / COLUMN_GROUPS);
    let column = first_column + 4u * (invocation % COLUMN_GROUPS);
    store(base, row, column, sums.row0);
    store(base, row + 1u, column, sums.row1);
    store(base, row + 2u, column, sums.row2);
    store(base, row + 3u, column, sums.row3);
}
