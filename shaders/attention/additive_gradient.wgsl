// What one side of additive scores e = Σ_a w_a · tanh(q_a + k_a) has of their gradient g: for each own row and column
// Σ_j g_j · w_a · (1 − tanh²(own_a + other_ja)) over the rows j of the other side and, if asked for, its part of w's gradient,
// Σ_j g_j · tanh(own_a + other_ja). An invocation for each column of each own row.

#import indexing
#import is_nan
#import tanh

struct Parameters {
    items: u32,
    // Rows of an item on its own side, and on the other.
    rows: u32,
    others: u32,
    width: u32,
    // In the scores' gradient, from one own row to the next, and from one of the others.
    row_step: u32,
    other_step: u32,
    has_parts: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> own: array<f32>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read> score_weight: array<f32>;
@group(0) @binding(4) var<storage, read> of_scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> of_own: array<f32>;
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

const NAN_BITS: u32 = 0x7fc00000u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let width = parameters.width;
    if (index >= parameters.items * parameters.rows * width) {
        return;
    }
    let column = index % width;
    let row = index / width;
    let item = row / parameters.rows;
    let base = own[index];
    let first_score = item * parameters.rows * parameters.others + row % parameters.rows * parameters.row_step;
    let first_other = item * parameters.others * width + column;
    var sum = 0.0;
    var part = 0.0;
    var strange = false;
    for (var place = 0u; place < parameters.others; place = place + 1u) {
        let gradient = of_scores[first_score + place * parameters.other_step];
        // What is masked out may be anything there. By its bits: a comparison may take a NaN for 0.
        if ((bitcast<u32>(gradient) & 0x7fffffffu) != 0u) {
            let x = base + other[first_other + place * width];
            // 1 − tanh², which so does not cancel.
            let e = exp(-2.0 * abs(x));
            sum = sum + gradient * 4.0 * e / ((1.0 + e) * (1.0 + e));
            part = part + gradient * tanh_stable(x);
            // exp may make a number of a NaN.
            strange = strange || is_nan(x) || is_nan(gradient);
        }
    }
    let nan = bitcast<f32>(NAN_BITS | (parameters.items & 0u));
    of_own[index] = select(sum * score_weight[column], nan, strange);
    if (parameters.has_parts != 0u) {
        parts[index] = select(part, nan, strange);
    }
}
