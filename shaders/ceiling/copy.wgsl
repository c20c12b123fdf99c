// y = x, in vectors of four words: what memory allows.

#import indexing

struct Parameters {
    vectors: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    // Neighbours read neighbouring vectors, whatever the number for each.
    let first = workgroup_index(id, count) * (VECTORS * WORKGROUP) + invocation;
    for (var step = 0u; step < VECTORS; step = step + 1u) {
        let index = first + step * WORKGROUP;
        if (index < parameters.vectors) {
            y[index] = x[index];
        }
    }
}
