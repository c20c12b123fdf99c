// y_j = exp(x_j − max) / Σ exp(x_j − max) over each row. Elements of a row lie `stride` apart; with a stride of 1 rows
// follow each other, else `stride` rows lie side by side.

#import indexing
#import kinds
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// 0 for −∞, and from −110 on, where f32 has nothing left.
fn exponential(value: f32, largest: f32) -> f32 {
    let kind = kind_of(value);
    return select(0.0, exp(max(number_or_lowest(value, kind) - largest, -110.0)), kind == NUMBERS);
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
    var seen = NOTHING;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let value = x[base + column * stride];
        let kind = kind_of(value);
        largest = max(largest, number_or_lowest(value, kind));
        seen = max(seen, kind);
    }
    largest = reduce_max(largest, lane);
    seen = u32(reduce_max(f32(seen), lane));
    var sum = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let weight = exponential(x[base + column * stride], largest);
        sum = sum + weight;
        y[base + column * stride] = weight;
    }
    sum = reduce_add(sum, lane);
    let not_a_number = makes_nan(seen);
    let nan = bitcast<f32>(select(0u, NAN_BITS, not_a_number));
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let place = base + column * stride;
        y[place] = select(y[place] / sum, nan, not_a_number);
    }
}
