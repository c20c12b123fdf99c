// (y_a, y_b) = (cos · x_a − sin · x_b, sin · x_a + cos · x_b) for each pair of columns among the first rotary_dim of a
// head; those behind are copied.
struct Parameters {
    elements: u32,
    heads: u32,
    length: u32,
    head_dim: u32,
    rotary_dim: u32,
    // 1 where a pair is two neighbours, 0 where it is one column of each half.
    interleaved: u32,
    // 1 for [batch, length, heads, head_dim], 0 for [batch, heads, length, head_dim].
    rows_first: u32,
    // 1 where positions tells each token's row of the tables, 0 where each token has a row of its own.
    has_positions: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cos_table: array<f32>;
@group(0) @binding(3) var<storage, read> sin_table: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// The batch item and the place in its sequence, as one index.
fn token_of(row: u32) -> u32 {
    if (parameters.rows_first != 0u) {
        return row / parameters.heads;
    }
    let length = parameters.length;
    return row / (parameters.heads * length) * length + row % length;
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
    if (column >= parameters.rotary_dim) {
        y[index] = x[index];
        return;
    }
    let half = parameters.rotary_dim / 2u;
    let interleaved = parameters.interleaved != 0u;
    let pair = select(column % half, column / 2u, interleaved);
    let is_second = select(column >= half, column % 2u == 1u, interleaved);
    let apart = select(half, 1u, interleaved);
    let partner = select(index + apart, index - apart, is_second);
    var position = token_of(index / parameters.head_dim);
    if (parameters.has_positions != 0u) {
        position = positions[position];
    }
    let place = position * half + pair;
    let across = x[partner] * sin_table[place];
    y[index] = x[index] * cos_table[place] + select(-across, across, is_second);
}
