// y[i] is the sum of eight chains a ← a · factor + term, begun at x[i], x[i] + 1, …: what arithmetic allows. No chain waits
// for another, and nothing is read on the way.

#import indexing

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

struct Chains {
    left: vec4<f32>,
    right: vec4<f32>,
}

// Four steps of each, in turns.
fn steps(chains: Chains) -> Chains {
    var left = step(chains.left);
    var right = step(chains.right);
    left = step(left);
    right = step(right);
    left = step(left);
    right = step(right);
    return Chains(step(left), step(right));
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
    let start = x[index];
    var chains = Chains(start + vec4<f32>(0.0, 1.0, 2.0, 3.0), start + vec4<f32>(4.0, 5.0, 6.0, 7.0));
    for (var trip = 0u; trip < parameters.trips; trip = trip + 1u) {
        chains = steps(steps(steps(steps(chains))));
    }
    let both = chains.left + chains.right;
    y[index] = both.x + both.y + both.z + both.w;
}
