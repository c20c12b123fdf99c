// p ← keep · p, m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², p ← p − step · m / (√v / root + epsilon), with g the clipped
// gradient, an invocation for each element. Nothing changes where the step's gradients are not finite.

#import indexing

struct Parameters {
    elements: u32,
    keep: f32,
    beta_1: f32,
    rest_1: f32,
    beta_2: f32,
    rest_2: f32,
    step: f32,
    root: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
// The clip factor, the norm, 1 where it is finite.
@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> variance: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements || control[2] == 0.0) {
        return;
    }
    let clipped = control[0] * gradient[index];
    let first = parameters.beta_1 * mean[index] + parameters.rest_1 * clipped;
    let second = parameters.beta_2 * variance[index] + parameters.rest_2 * clipped * clipped;
    mean[index] = first;
    variance[index] = second;
    let size = sqrt(second) / parameters.root + parameters.epsilon;
    parameter[index] = parameters.keep * parameter[index] - parameters.step * first / size;
}
