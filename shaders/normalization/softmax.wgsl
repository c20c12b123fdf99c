// y_j = exp(x_j − max) / Σ exp(x_j − max) over each row. Elements of a row lie `stride` apart; with a stride of 1 rows
// follow each other, else `stride` rows lie side by side.
struct Parameters {
    rows: u32,
    columns: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Finite, since WGSL need not keep infinities and NaNs: those are told by their bits.
const LOWEST: f32 = -3.40282346e38;
const INFINITY_BITS: u32 = 0x7f800000u;
const NEGATIVE_INFINITY_BITS: u32 = 0xff800000u;
const NAN_BITS: u32 = 0x7fc00000u;

// A NaN, or +∞: either makes every element of its row NaN.
fn poisons(value: f32) -> bool {
    let bits = bitcast<u32>(value);
    return bits == INFINITY_BITS || (bits & 0x7fffffffu) > INFINITY_BITS;
}

// 0 for −∞, and from −110 on, where f32 has nothing left.
fn exponential(value: f32, largest: f32) -> f32 {
    return select(exp(max(value - largest, -110.0)), 0.0, bitcast<u32>(value) == NEGATIVE_INFINITY_BITS);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let row = row_of(workgroup_index(id, count), invocation);
    if (row >= parameters.rows) {
        return;
    }
    let lane = lane_of(invocation);
    let stride = parameters.stride;
    let base = row / stride * stride * parameters.columns + row % stride;
    var largest = LOWEST;
    var poisoned = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let value = x[base + column * stride];
        largest = max(largest, value);
        poisoned = max(poisoned, select(0.0, 1.0, poisons(value)));
    }
    largest = reduce_max(largest, lane);
    poisoned = reduce_max(poisoned, lane);
    var sum = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let weight = exponential(x[base + column * stride], largest);
        sum = sum + weight;
        y[base + column * stride] = weight;
    }
    sum = reduce_add(sum, lane);
    // Among finite elements the largest alone gives 1, so a sum of 0 comes from elements that are all −∞.
    let not_a_number = poisoned > 0.0 || sum == 0.0;
    let nan = bitcast<f32>(select(0u, NAN_BITS, not_a_number));
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let place = base + column * stride;
        y[place] = select(y[place] / sum, nan, not_a_number);
    }
}
