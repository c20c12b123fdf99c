// y[first + b] = Σ x² over block b of x, BLOCK elements each; NaN where a square is no finite number.

#import indexing
#import kinds
#import reduce/rows_workgroup

struct Parameters {
    elements: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = workgroup_index(id, count);
    if (block * BLOCK >= parameters.elements) {
        return;
    }
    let end = min(block * BLOCK + BLOCK, parameters.elements);
    var sum = 0.0;
    var seen = NOTHING;
    for (var place = block * BLOCK + lane; place < end; place = place + LANES) {
        let square = x[place] * x[place];
        sum = sum + square;
        seen = max(seen, kind_of(square));
    }
    sum = reduce_add(sum, lane);
    seen = u32(reduce_max(f32(seen), lane));
    if (lane == 0u) {
        let nan = bitcast<f32>(select(0u, NAN_BITS, makes_nan(seen)));
        y[parameters.first + block] = select(sum, nan, makes_nan(seen));
    }
}
