// dx_j = y_j · (u_j − Σ u·y) over each row, y being a softmax and u the gradient of what comes of it. Rows lie as softmax.wgsl
// has them.

#import indexing
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> upstream: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

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
    let stride = parameters.stride;
    let base = row / stride * stride * parameters.columns + row % stride;
    var sum = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let place = base + column * stride;
        sum = sum + upstream[place] * y[place];
    }
    sum = reduce_add(sum, lane);
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let place = base + column * stride;
        dx[place] = y[place] * (upstream[place] - sum);
    }
}
