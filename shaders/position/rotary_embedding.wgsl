// (y_a, y_b) = (cos · x_a − sin · x_b, sin · x_a + cos · x_b) for each pair of columns among the first rotary_dim of a
// head; those behind are copied.

#import indexing

struct Parameters {
    elements: u32,
    heads: u32,
    length: u32,
    head_dim: u32,
    rotary_dim: u32,
    // 1 where a pair is two neighbours, 0 where it is one column of each half.
    interleaved: u32,
    // y: 1 for [batch, length, heads, head_dim], 0 for [batch, heads, length, head_dim].
    rows_first: u32,
    // 1 where positions tells each token's row of the tables, 0 where each token has a row of its own.
    has_positions: u32,
    // Rows of the tables.
    table_rows: u32,
    // Where x begins, and from one batch item, head and token to the next.
    x_first: u32,
    x_batch: u32,
    x_head: u32,
    x_token: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cos_table: array<f32>;
@group(0) @binding(3) var<storage, read> sin_table: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// Which row of y, which is dense, is of which head and token; tokens of all batch items are counted through.
struct Row {
    head: u32,
    token: u32,
}

fn row_at(row: u32) -> Row {
    let heads = parameters.heads;
    let length = parameters.length;
    if (parameters.rows_first != 0u) {
        return Row(row % heads, row / heads);
    }
    return Row(row / length % heads, row / (heads * length) * length + row % length);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements) {
        return;
    }
    let column = index % parameters.head_dim;
    let row = row_at(index / parameters.head_dim);
    let batch = row.token / parameters.length;
    let x_row = parameters.x_first + batch * parameters.x_batch + row.head * parameters.x_head
        + row.token % parameters.length * parameters.x_token;
    let value = x[x_row + column];
    if (column >= parameters.rotary_dim) {
        y[index] = value;
        return;
    }
    let half = parameters.rotary_dim / 2u;
    let interleaved = parameters.interleaved != 0u;
    let pair = select(column % half, column / 2u, interleaved);
    let is_second = select(column >= half, column % 2u == 1u, interleaved);
    let apart = select(half, 1u, interleaved);
    let partner = select(column + apart, column - apart, is_second);
    var position = row.token;
    if (parameters.has_positions != 0u) {
        position = min(positions[row.token], parameters.table_rows - 1u);
    }
    let place = position * half + pair;
    let across = x[x_row + partner] * sin_table[place];
    y[index] = value * cos_table[place] + select(-across, across, is_second);
}
