// y[i] = x[i] · factors[Σ index_k(i) · stride_k]: the factors are broadcast by strides of 0. Axis 0 is the last.
struct Parameters {
    elements: u32,
    size_0: u32,
    size_1: u32,
    size_2: u32,
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
    var rest = index;
    var place = rest % parameters.size_0 * parameters.stride_0;
    rest = rest / parameters.size_0;
    place = place + rest % parameters.size_1 * parameters.stride_1;
    rest = rest / parameters.size_1;
    place = place + rest % parameters.size_2 * parameters.stride_2;
    place = place + rest / parameters.size_2 * parameters.stride_3;
    y[index] = x[index] * factors[place];
}
