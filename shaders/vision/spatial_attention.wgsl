// map[b, i, j] = sigmoid(bias + Σ_{u,v} weight[0, u, v] · mean[b, i + u − p, j + v − p] + weight[1, u, v] · maximum[…]):
// a convolution of two maps to one, with zeros around them.

#import activation
#import indexing

struct Parameters {
    // Elements of the map: batch · height · width.
    elements: u32,
    height: u32,
    width: u32,
    // The side of the window, odd.
    window: u32,
    bias: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> maximum: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> map: array<f32>;

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
    let width = parameters.width;
    let height = parameters.height;
    let window = parameters.window;
    let column = index % width;
    let row = index / width % height;
    let first = index / (width * height) * (width * height);
    let padding = window / 2u;
    // The part of the window that lies on the map.
    let top = max(row, padding) - padding;
    let left = max(column, padding) - padding;
    let bottom = min(row + padding + 1u, height);
    let right = min(column + padding + 1u, width);
    var sum = parameters.bias;
    for (var i = top; i < bottom; i = i + 1u) {
        for (var j = left; j < right; j = j + 1u) {
            let at = first + i * width + j;
            let w = (i + padding - row) * window + (j + padding - column);
            sum = sum + weight[w] * mean[at] + weight[window * window + w] * maximum[at];
        }
    }
    map[index] = activate(sum);
}
