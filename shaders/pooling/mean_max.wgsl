// mean[o, i] and maximum[o, i] of x[o, 0..columns, i]. A row is one pair of o and i; its elements lie `inner` apart.

#import indexing
#import is_nan
#import reduce/rows

struct Parameters {
    // Pairs of o and i.
    rows: u32,
    columns: u32,
    inner: u32,
    has_maximum: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> maximum: array<f32>;

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
    let inner = parameters.inner;
    let base = row / inner * (parameters.columns * inner) + row % inner;
    var sum = 0.0;
    // Every lane begins with the first element, so that −∞ alone is the largest.
    var largest = x[base];
    var nan = 0.0;
    for (var column = lane; column < parameters.columns; column = column + LANES) {
        let value = x[base + column * inner];
        sum = sum + value;
        largest = max(largest, value);
        // What max makes of a NaN is open in WGSL.
        nan = max(nan, select(0.0, 1.0, is_nan(value)));
    }
    sum = reduce_add(sum, lane);
    largest = reduce_max(largest, lane);
    nan = reduce_max(nan, lane);
    if (lane == 0u) {
        mean[row] = sum / f32(parameters.columns);
        if (parameters.has_maximum != 0u) {
            // The sum is a NaN then.
            maximum[row] = select(largest, sum, nan > 0.0);
        }
    }
}
