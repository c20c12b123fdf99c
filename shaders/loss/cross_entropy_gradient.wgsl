// dx[r, j] = upstream · factor_r · (p_j − smoothing / columns − (1 − smoothing)·[j = y]), p = softmax(x_r), an invocation for each
// element. p_y − 1 is minus the others' share, which is exact where p_y is all but 1.

#import indexing
#import is_nan
#import kinds

struct Parameters {
    elements: u32,
    columns: u32,
    smoothing: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> factors: array<f32>;
// Of each row: max, Σ exp(x − max) without the label, the same with it.
@group(0) @binding(4) var<storage, read> statistics: array<f32>;
@group(0) @binding(5) var<storage, read> upstream: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

const IGNORED: u32 = 0xffffffffu;

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
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements) {
        return;
    }
    let row = index / parameters.columns;
    let column = index % parameters.columns;
    let label = labels[row];
    if (label == IGNORED) {
        dx[index] = 0.0;
        return;
    }
    let sum = statistics[3u * row + 2u];
    if (is_nan(sum)) {
        dx[index] = sum;
        return;
    }
    let smoothed = parameters.smoothing / f32(parameters.columns);
    var slope = exponential(x[index], statistics[3u * row]) / sum - smoothed;
    if (column == label) {
        slope = parameters.smoothing - smoothed - statistics[3u * row + 1u] / sum;
    }
    dx[index] = upstream[0] * factors[row] * slope;
}
