// y[b, :] = the mean, the first or the largest of x[b, 0..length_b, :], then divided by its L2 norm if NORMALIZE asks
// for it. A length of 0 gives zeros.

#import indexing
#import reduce/rows

struct Parameters {
    rows: u32,
    length: u32,
    columns: u32,
    // 0 mean, 1 first (CLS), 2 max.
    kind: u32,
    normalize: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn pooled(row: u32, count: u32, column: u32) -> f32 {
    let base = row * parameters.length * parameters.columns + column;
    if (count == 0u) {
        return 0.0;
    }
    var value = x[base];
    if (parameters.kind == 1u) {
        return value;
    }
    for (var token = 1u; token < count; token = token + 1u) {
        let next = x[base + token * parameters.columns];
        value = select(value + next, max(value, next), parameters.kind == 2u);
    }
    return select(value / f32(count), value, parameters.kind == 2u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let row = row_of(workgroup_index(id, count), invocation);
    if (row >= parameters.rows) {
        return;
    }
    let lane = lane_of(invocation);
    let tokens = min(lengths[row], parameters.length);
    var squares = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let value = pooled(row, tokens, column);
        squares = squares + value * value;
        y[row * parameters.columns + column] = value;
    }
    let norm = sqrt(reduce_add(squares, lane));
    if (parameters.normalize != 0u) {
        // As PyTorch's normalize: a vector of zeros stays one.
        let factor = 1.0 / max(norm, 1e-12);
        for (var column = lane; column < parameters.columns; column = column + LANES) {
            y[row * parameters.columns + column] = y[row * parameters.columns + column] * factor;
        }
    }
}
