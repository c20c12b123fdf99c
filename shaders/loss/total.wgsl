// y = Σ x, by one workgroup: the same order, and so the same bits, each time.

#import reduce/rows_workgroup

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var place = lane; place < parameters.elements; place = place + LANES) {
        sum = sum + x[place];
    }
    sum = reduce_add(sum, lane);
    if (lane == 0u) {
        y[0] = sum;
    }
}
