// y = x / sqrt(mean(x²) + epsilon) · gamma, over each row.

#import indexing
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    epsilon: f32,
    // From one row of gamma to the next: 0 where all rows of x have the same.
    gamma_row: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
    let base = row * parameters.columns;
    var sum = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let value = x[base + column];
        sum = sum + value * value;
    }
    let mean = reduce_add(sum, lane) / f32(parameters.columns);
    let scale = 1.0 / sqrt(mean + parameters.epsilon);
    let gamma_base = row * parameters.gamma_row;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        y[base + column] = x[base + column] * scale * gamma[gamma_base + column];
    }
}
