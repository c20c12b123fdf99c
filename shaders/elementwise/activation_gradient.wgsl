// dx = upstream · f'(x) for the activation f (the order of ops::Activation). Far from 0 a slope is its limit, also where the
// formula would be ∞ · 0: what is multiplied by something that vanishes is kept within reach.

#import activation
#import indexing
#import is_nan

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> upstream: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The logistic function, by an exponential that does not overflow.
fn logistic(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(1.0, e, v < 0.0) / (1.0 + e);
}

// Its derivative, where nothing cancels.
fn logistic_slope(v: f32) -> f32 {
    let e = exp(-abs(v));
    return e / ((1.0 + e) * (1.0 + e));
}

fn slope(value: f32) -> f32 {
    switch (ACTIVATION) {
        case 1u: { // GELU, erf form: Φ + x·φ
            let near = clamp(value, -20.0, 20.0);
            let below = 0.5 * (1.0 + erf(value * 0.70710678));
            return below + near * 0.3989423 * exp(-0.5 * near * near);
        }
        case 2u: { // GELU, tanh form: x·σ(2u), differentiated
            let near = clamp(value, -20.0, 20.0);
            let twice = 1.5957691 * (near + 0.044715 * near * near * near);
            return logistic(twice) + near * logistic_slope(twice) * 1.5957691 * (1.0 + 0.134145 * near * near);
        }
        case 3u: { // ReLU
            return select(0.0, 1.0, value > 0.0);
        }
        case 4u: { // SiLU
            let near = clamp(value, -100.0, 100.0);
            return logistic(near) + near * logistic_slope(near);
        }
        case 5u: { // tanh
            return 4.0 * logistic_slope(2.0 * value);
        }
        case 6u: { // sigmoid
            return logistic_slope(value);
        }
        default: {
            return 1.0;
        }
    }
}

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
    let value = x[index];
    // Comparisons and exp may make a number of a NaN.
    dx[index] = upstream[index] * select(slope(value), value, is_nan(value));
}
