// y = Σ x, by one workgroup: the same order, and so the same bits, each time.

#import indexing
#import reduce/rows

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    if (row_of(workgroup_index(id, count), invocation) > 0u) {
        return;
    }
    let lane = lane_of(invocation);
    var sum = 0.0;
    for (var place = lane; place < parameters.elements; place = place + LANES) {
        sum = sum + x[place];
    }
    sum = reduce_add(sum, lane);
    if (lane == 0u) {
        y[0] = sum;
    }
}
