// y[y_first + Σ index_k(i) · stride_k] += x[i]: the elements of x, one after the other, added to those that they were read from.
// Axis 0 is the last, the one that moves fastest. No two elements have one place.

#import indexing
#import walk

struct Parameters {
    elements: u32,
    y_first: u32,
    #for i in 0..8
    size_{i}: u32,
    #end
    #for i in 0..8
    stride_{i}: u32,
    #end
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
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements) {
        return;
    }
    var walk = walk_axis(Walk(index, parameters.y_first), parameters.size_0, parameters.stride_0);
    #for i in 1..8
    walk = walk_axis(walk, parameters.size_{i}, parameters.stride_{i});
    #end
    y[walk.place] = y[walk.place] + x[index];
}
