// g ← clipped gradient + decay · p; with momentum b ← momentum · b + g, and g ← g + momentum · b by Nesterov's rule, else g ← b;
// p ← p − rate · g. An invocation for each element. Nothing changes where the step's gradients are not finite.

#import indexing

struct Parameters {
    elements: u32,
    rate: f32,
    decay: f32,
    momentum: f32,
    nesterov: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
// The clip factor, the norm, 1 where it is finite.
@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;
// Not touched without momentum.
@group(0) @binding(4) var<storage, read_write> velocity: array<f32>;

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
    let before = parameter[index];
    var slope = control[0] * gradient[index] + parameters.decay * before;
    if (parameters.momentum != 0.0) {
        let moved = parameters.momentum * velocity[index] + slope;
        velocity[index] = moved;
        slope = select(moved, slope + parameters.momentum * moved, parameters.nesterov != 0u);
    }
    parameter[index] = before - parameters.rate * slope;
}
