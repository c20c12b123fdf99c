// y[o, b, i] = the sum of block b of x[o, 0..count, i]. A row is one triple of o, b and i; its elements lie `inner` apart.

#import indexing
#import reduce/rows

struct Parameters {
    // Triples of o, b and i.
    rows: u32,
    count: u32,
    inner: u32,
    // Blocks of each sum, and the elements of each; the last block may have fewer.
    blocks: u32,
    block: u32,
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
    let row = row_of(workgroup_index(id, count), invocation);
    if (row >= parameters.rows) {
        return;
    }
    let lane = lane_of(invocation);
    let inner = parameters.inner;
    let of_outer = row / inner;
    let first = of_outer % parameters.blocks * parameters.block;
    let end = min(first + parameters.block, parameters.count);
    let base = of_outer / parameters.blocks * parameters.count * inner + row % inner;
    var sum = 0.0;
    for (var element = first + lane; element < end; element = element + LANES) {
        sum = sum + x[base + element * inner];
    }
    sum = reduce_add(sum, lane);
    if (lane == 0u) {
        y[row] = sum;
    }
}
