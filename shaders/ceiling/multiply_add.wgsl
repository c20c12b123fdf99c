// y[i] is the sum of eight chains a ← a · factor + term, begun at x[i], x[i] + 1, …: what arithmetic allows. No chain waits
// for another, and nothing is read on the way.
struct Parameters {
    invocations: u32,
    trips: u32,
    factor: f32,
    term: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn step(a: vec4<f32>) -> vec4<f32> {
    if (FUSED) {
        return fma(a, vec4<f32>(parameters.factor), vec4<f32>(parameters.term));
    }
    return a * parameters.factor + parameters.term;
}

// 16 of them.
fn steps(a: vec4<f32>) -> vec4<f32> {
    let quarter = step(step(step(step(a))));
    let half = step(step(step(step(quarter))));
    return step(step(step(step(step(step(step(step(half))))))));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.invocations) {
        return;
    }
    var left = x[index] + vec4<f32>(0.0, 1.0, 2.0, 3.0);
    var right = x[index] + vec4<f32>(4.0, 5.0, 6.0, 7.0);
    for (var trip = 0u; trip < parameters.trips; trip = trip + 1u) {
        left = steps(left);
        right = steps(right);
    }
    let both = left + right;
    y[index] = both.x + both.y + both.z + both.w;
}
