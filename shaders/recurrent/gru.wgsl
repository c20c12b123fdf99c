// One step of a GRU for all rows, from the gates' sums over the input and over the state:
// r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r · h_n), state = (1 − z) · n + z · h. An invocation for each unit.

#import indexing
#import is_nan
#import tanh

struct Parameters {
    rows: u32,
    // Steps of each row, padding included.
    length: u32,
    units: u32,
    step: u32,
    // 1 to begin at each row's own end.
    reverse: u32,
    // In x_gates: columns of a step, and where this direction's begin.
    x_row: u32,
    x_first: u32,
    // In the output, likewise.
    output_row: u32,
    output_first: u32,
    has_lengths: u32,
    has_output: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x_gates: array<f32>;
@group(0) @binding(2) var<storage, read> h_gates: array<f32>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<u32>;
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;

const NAN_BITS: u32 = 0x7fc00000u;

// The logistic function.
fn sigmoid(x: f32) -> f32 {
    return 0.5 + 0.5 * tanh_stable(0.5 * x);
}

// Of a unit, where its row's gates begin in both.
fn next_state(x_at: u32, h_at: u32, before: f32) -> f32 {
    let units = parameters.units;
    let reset_sum = x_gates[x_at] + h_gates[h_at];
    let update_sum = x_gates[x_at + units] + h_gates[h_at + units];
    let reset = sigmoid(reset_sum);
    let update = sigmoid(update_sum);
    let new_sum = x_gates[x_at + 2u * units] + reset * h_gates[h_at + 2u * units];
    let after = (1.0 - update) * tanh_stable(new_sum) + update * before;
    // exp may make a number of a NaN.
    let strange = is_nan(reset_sum) || is_nan(update_sum) || is_nan(new_sum) || is_nan(before);
    return select(after, bitcast<f32>(NAN_BITS | (parameters.rows & 0u)), strange);
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
    // Past a row's end its state stays.
    var after = h[index];
    if (is_there) {
        if (parameters.reverse != 0u) {
            place = steps - 1u - parameters.step;
        }
        let x_at = (row * parameters.length + place) * parameters.x_row + parameters.x_first + unit;
        after = next_state(x_at, row * 3u * units + unit, after);
    }
    state[index] = after;
    if (parameters.has_output != 0u) {
        let at = (row * parameters.length + place) * parameters.output_row + parameters.output_first + unit;
        output[at] = select(0.0, after, is_there);
    }
}
