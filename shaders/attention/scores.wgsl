// scores[b, h, i, j] = q[b, h, i, :] · k[b, h', j, :], tiled; h' is the key-value head of h.
struct Parameters {
    heads: u32,
    heads_per_key: u32,
    query_length: u32,
    key_length: u32,
    head_dim: u32,
    batch_heads: u32,
    first_batch_head: u32,
    first_query: u32,
    q_offset: u32,
    q_batch: u32,
    q_head: u32,
    q_row: u32,
    k_offset: u32,
    k_batch: u32,
    k_head: u32,
    k_row: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

var<private> q_base: u32;
var<private> k_base: u32;

fn load_left(row: u32, depth: u32) -> f32 {
    if (row < parameters.query_length && depth < parameters.head_dim) {
        return q[q_base + row * parameters.q_row + depth];
    }
    return 0.0;
}

fn load_right(depth: u32, column: u32) -> f32 {
    if (column < parameters.key_length && depth < parameters.head_dim) {
        return k[k_base + column * parameters.k_row + depth];
    }
    return 0.0;
}

fn store(head: u32, row: u32, first_column: u32, values: vec4<f32>) {
    if (row < parameters.query_length) {
        let base = (head * parameters.query_length + row) * parameters.key_length;
        for (var lane = 0u; lane < 4u; lane = lane + 1u) {
            let column = first_column + lane;
            if (column < parameters.key_length) {
                scores[base + column] = component(values, lane);
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
    let tile_columns = (parameters.key_length + TILE_COLUMNS - 1u) / TILE_COLUMNS;
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
    q_base = parameters.q_offset + batch * parameters.q_batch + query_head * parameters.q_head
        + parameters.first_query * parameters.q_row;
    k_base = parameters.k_offset + batch * parameters.k_batch + key_head * parameters.k_head;
    let sums = multiply_tile(first_row, first_column, parameters.head_dim, invocation);
    let row = first_row + 4u * (invocation / COLUMN_GROUPS);
    let column = first_column + 4u * (invocation % COLUMN_GROUPS);
    store(head, row, column, sums.row0);
    store(head, row + 1u, column, sums.row1);
    store(head, row + 2u, column, sums.row2);
    store(head, row + 3u, column, sums.row3);
}
