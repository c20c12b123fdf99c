// y[i] = a[Σ index_k(i) · a_stride_k] ∘ b[Σ index_k(i) · b_stride_k], ∘ being OPERATION: 0 for +, 1 for −, 2 for ·. A stride
// of 0 repeats an operand along an axis. Axis 0 is the last, the one that moves fastest.

#import indexing

struct Parameters {
    elements: u32,
    size_0: u32,
    size_1: u32,
    size_2: u32,
    a_stride_0: u32,
    a_stride_1: u32,
    a_stride_2: u32,
    a_stride_3: u32,
    b_stride_0: u32,
    b_stride_1: u32,
    b_stride_2: u32,
    b_stride_3: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn combined(left: f32, right: f32) -> f32 {
    if (OPERATION == 0u) {
        return left + right;
    }
    if (OPERATION == 1u) {
        return left - right;
    }
    return left * right;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let element = workgroup_index(id, count) * WORKGROUP + invocation;
    if (element >= parameters.elements) {
        return;
    }
    let index_0 = element % parameters.size_0;
    var rest = element / parameters.size_0;
    let index_1 = rest % parameters.size_1;
    rest = rest / parameters.size_1;
    let index_2 = rest % parameters.size_2;
    // The first axis has what is left.
    let index_3 = rest / parameters.size_2;
    let a_place = index_0 * parameters.a_stride_0 + index_1 * parameters.a_stride_1
        + index_2 * parameters.a_stride_2 + index_3 * parameters.a_stride_3;
    let b_place = index_0 * parameters.b_stride_0 + index_1 * parameters.b_stride_1
        + index_2 * parameters.b_stride_2 + index_3 * parameters.b_stride_3;
    y[element] = combined(a[a_place], b[b_place]);
}
