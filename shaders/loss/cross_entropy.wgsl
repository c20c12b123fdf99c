// losses[r] = factor_r · (log Σ exp(x_j) − (1 − smoothing) · x_y − smoothing / columns · Σ x_j) with y the row's label, and
// beside it [max, Σ exp(x_j − max) without y, the same with y] for the gradient.

#import indexing
#import kinds
#import reduce/rows

struct Parameters {
    rows: u32,
    columns: u32,
    smoothing: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<f32>;

const IGNORED: u32 = 0xffffffffu;

// 0 for −∞, and from −110 on, where f32 has nothing left.
fn exponential(value: f32, largest: f32) -> f32 {
    let kind = kind_of(value);
    return select(0.0, exp(max(number_or_lowest(value, kind) - largest, -110.0)), kind == NUMBERS);
}

// log(1 + others), by its series where 1 + others would round `others` away.
fn log_of_sum(others: f32, sum: f32) -> f32 {
    let series = others * (1.0 - others * (0.5 - others * (0.33333334 - others * 0.25)));
    return select(log(sum), series, others < 0.03125);
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
    let base = row * parameters.columns;
    let label = labels[row];
    let counts = label != IGNORED;
    // Of an ignored row nothing is read.
    let columns = select(0u, parameters.columns, counts);
    var largest = LOWEST;
    var seen = NOTHING;
    var infinite = 0.0;
    for (var column = lane; column < columns; column = column + LANES) {
        let value = x[base + column];
        let kind = kind_of(value);
        largest = max(largest, number_or_lowest(value, kind));
        seen = max(seen, kind);
        // −∞ at the label is an infinite loss, and with smoothing anywhere.
        let asked = column == label || parameters.smoothing > 0.0;
        infinite = max(infinite, select(0.0, 1.0, asked && kind == INFINITIES));
    }
    largest = reduce_max(largest, lane);
    seen = u32(reduce_max(f32(seen), lane));
    infinite = reduce_max(infinite, lane);
    var others = 0.0;
    var of_label = 0.0;
    var below = 0.0;
    for (var column = lane; column < columns; column = column + LANES) {
        let value = x[base + column];
        let weight = exponential(value, largest);
        var part = parameters.smoothing / f32(columns);
        if (column == label) {
            of_label = weight;
            part = part + 1.0 - parameters.smoothing;
        } else {
            others = others + weight;
        }
        if (part > 0.0) {
            below = below + part * (largest - value);
        }
    }
    others = reduce_add(others, lane);
    let sum = others + reduce_add(of_label, lane);
    below = reduce_add(below, lane);
    if (lane == 0u) {
        let loss = factors[row] * (below + log_of_sum(others, sum));
        let nan = makes_nan(seen);
        let strange = bitcast<f32>(select(INFINITY_BITS, NAN_BITS, nan));
        losses[row] = select(0.0, select(loss, strange, nan || infinite > 0.0), counts);
        statistics[3u * row] = select(0.0, select(largest, strange, nan), counts);
        statistics[3u * row + 1u] = select(0.0, select(others, strange, nan), counts);
        statistics[3u * row + 2u] = select(0.0, select(sum, strange, nan), counts);
    }
}
