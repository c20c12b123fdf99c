// The gradients of one step of a GRU for all rows, from the sums that the step took and the gradient u of the state that it gave:
// of the gates' sums over the input and over the state, and, in place of u, of the state before as far as it does not go through its
// gates. An invocation for each unit.

#import indexing
#import is_nan
#import tanh

struct Parameters {
    rows: u32,
    // Steps of each row, padding included.
    length: u32,
    units: u32,
    step: u32,
    // 1 where it began at each row's own end.
    reverse: u32,
    // In x_gates: columns of a step, and where this direction's begin.
    x_row: u32,
    x_first: u32,
    // In the output, likewise.
    output_row: u32,
    output_first: u32,
    has_lengths: u32,
    has_output: u32,
    // In of_h_gates: where this step's begin.
    h_first: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x_gates: array<f32>;
@group(0) @binding(2) var<storage, read> h_gates: array<f32>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<u32>;
@group(0) @binding(5) var<storage, read> of_output: array<f32>;
@group(0) @binding(6) var<storage, read_write> of_state: array<f32>;
@group(0) @binding(7) var<storage, read_write> of_x_gates: array<f32>;
@group(0) @binding(8) var<storage, read_write> of_h_gates: array<f32>;

const NAN_BITS: u32 = 0x7fc00000u;

// The logistic function.
fn sigmoid(x: f32) -> f32 {
    return 0.5 + 0.5 * tanh_stable(0.5 * x);
}

// Its derivative, which so has all its digits in the tails.
fn sigmoid_slope(x: f32) -> f32 {
    let e = exp(-abs(x));
    return e / ((1.0 + e) * (1.0 + e));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let units = parameters.units;
    if (index >= parameters.rows * units) {
        return;
    }
    let row = index / units;
    let unit = index % units;
    var steps = parameters.length;
    if (parameters.has_lengths != 0u) {
        steps = min(steps, lengths[row]);
    }
    let is_there = parameters.step < steps;
    var place = parameters.step;
    // Past a row's end its state stayed, and so does the state's gradient; its gates had no part in it.
    var of_reset = 0.0;
    var of_update = 0.0;
    var of_new = 0.0;
    var of_new_state = 0.0;
    let h_at = row * 3u * units + unit;
    if (is_there) {
        if (parameters.reverse != 0u) {
            place = steps - 1u - parameters.step;
        }
        let at = row * parameters.length + place;
        var upstream = of_state[index];
        if (parameters.has_output != 0u) {
            upstream = upstream + of_output[at * parameters.output_row + parameters.output_first + unit];
        }
        let x_at = at * parameters.x_row + parameters.x_first + unit;
        let before = h[index];
        let new_state = h_gates[h_at + 2u * units];
        let reset_sum = x_gates[x_at] + h_gates[h_at];
        let update_sum = x_gates[x_at + units] + h_gates[h_at + units];
        let reset = sigmoid(reset_sum);
        let update = sigmoid(update_sum);
        let new_sum = x_gates[x_at + 2u * units] + reset * new_state;
        of_new = upstream * (1.0 - update) * 4.0 * sigmoid_slope(2.0 * new_sum);
        of_new_state = of_new * reset;
        of_reset = of_new * new_state * sigmoid_slope(reset_sum);
        of_update = upstream * (before - tanh_stable(new_sum)) * sigmoid_slope(update_sum);
        var of_before = upstream * update;
        // exp may make a number of a NaN.
        if (is_nan(reset_sum) || is_nan(update_sum) || is_nan(new_sum) || is_nan(before) || is_nan(upstream)) {
            let nan = bitcast<f32>(NAN_BITS | (parameters.rows & 0u));
            of_new = nan;
            of_new_state = nan;
            of_reset = nan;
            of_update = nan;
            of_before = nan;
        }
        of_state[index] = of_before;
    }
    let x_at = (row * parameters.length + place) * parameters.x_row + parameters.x_first + unit;
    of_x_gates[x_at] = of_reset;
    of_x_gates[x_at + units] = of_update;
    of_x_gates[x_at + 2u * units] = of_new;
    of_h_gates[parameters.h_first + h_at] = of_reset;
    of_h_gates[parameters.h_first + h_at + units] = of_update;
    of_h_gates[parameters.h_first + h_at + 2u * units] = of_new_state;
}
