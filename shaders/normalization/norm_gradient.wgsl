// With n = (a − mean(a)) · scale, a = x (+ residual), scale = 1 / sqrt(var(a) + epsilon), and g = upstream · gamma, over each row:
// dx = (g − mean(g) − n · mean(g · n)) · scale, and beside it upstream · n, the summands of gamma's gradient. Where not CENTERED both
// means are 0 and the variance is the mean square: RMS norm.

#import indexing
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    epsilon: f32,
    has_residual: u32,
    // From one row of gamma to the next: 0 where all rows of x have the same.
    gamma_row: u32,
    gives_dx: u32,
    gives_summands: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> upstream: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> summands: array<f32>;

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
    let gamma_base = row * parameters.gamma_row;
    let size = f32(parameters.columns);
    var mean = 0.0;
    if (CENTERED) {
        // Relative to the row's first element, as layer_norm.wgsl.
        let origin = summand(base);
        var sum = 0.0;
        for (var column = lane; column < parameters.columns; column = column + LANES) {
            sum = sum + (summand(base + column) - origin);
        }
        mean = origin + reduce_add(sum, lane) / size;
    }
    // About the mean, not E[a²] − mean²: that cancels where the mean is large.
    var squares = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let deviation = summand(base + column) - mean;
        squares = squares + deviation * deviation;
    }
    let scale = 1.0 / sqrt(reduce_add(squares, lane) / size + parameters.epsilon);
    var sum = 0.0;
    var along = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let normalized = (summand(base + column) - mean) * scale;
        let product = upstream[base + column] * normalized;
        let weight = gamma[gamma_base + column];
        sum = sum + upstream[base + column] * weight;
        along = along + product * weight;
        if (parameters.gives_summands != 0u) {
            summands[base + column] = product;
        }
    }
    if (parameters.gives_dx == 0u) {
        return;
    }
    along = reduce_add(along, lane) / size;
    var shift = 0.0;
    if (CENTERED) {
        shift = reduce_add(sum, lane) / size;
    }
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let normalized = (summand(base + column) - mean) * scale;
        let weighted = upstream[base + column] * gamma[gamma_base + column];
        dx[base + column] = (weighted - shift - normalized * along) * scale;
    }
}
