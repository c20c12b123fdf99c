// y = x as f16 (TO_F16: from f32) or as f32 (from f16), two f16 in a word.

#import half
#import indexing

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    // Two elements for each invocation: no two write the same word.
    let pair = workgroup_index(id, count) * WORKGROUP + invocation;
    let first = 2u * pair;
    if (first >= parameters.elements) {
        return;
    }
    let both = first + 1u < parameters.elements;
    if (TO_F16) {
        var word = narrow(x[first]);
        if (both) {
            word = word | (narrow(x[first + 1u]) << 16u);
        }
        y[pair] = word;
    } else {
        let word = x[pair];
        y[first] = widen(word & 0xffffu);
        if (both) {
            y[first + 1u] = widen(word >> 16u);
        }
    }
}
