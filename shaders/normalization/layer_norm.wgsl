// y = (a − mean(a)) / sqrt(var(a) + epsilon) · gamma + beta, a = x (+ residual), over each row.

#import indexing
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    epsilon: f32,
    has_residual: u32,
    has_beta: u32,
    // 1 where the rows' moments are wanted too.
    has_moments: u32,
    // From one row of gamma and beta to the next: 0 where all rows of x have the same.
    gamma_row: u32,
    beta_row: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> means: array<f32>;
@group(0) @binding(7) var<storage, read_write> inv_std_devs: array<f32>;

fn summand(index: u32) -> f32 {
    if (parameters.has_residual != 0u) {
        return x[index] + residual[index];
    }
    return x[index];
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
    let base = row * parameters.columns;
    let size = f32(parameters.columns);
    // Relative to the row's first element: a large common offset then costs no digits of the mean.
    let origin = summand(base);
    var sum = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        sum = sum + (summand(base + column) - origin);
    }
    let mean = origin + reduce_add(sum, lane) / size;
    // About the mean, not E[a²] − mean²: that cancels where the mean is large.
    var squares = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let deviation = summand(base + column) - mean;
        squares = squares + deviation * deviation;
    }
    let scale = 1.0 / sqrt(reduce_add(squares, lane) / size + parameters.epsilon);
    if (parameters.has_moments != 0u && lane == 0u) {
        means[row] = mean;
        inv_std_devs[row] = scale;
    }
    let gamma_base = row * parameters.gamma_row;
    let beta_base = row * parameters.beta_row;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        var value = (summand(base + column) - mean) * scale * gamma[gamma_base + column];
        if (parameters.has_beta != 0u) {
            value = value + beta[beta_base + column];
        }
        y[base + column] = value;
    }
}
