// weights[r, j] = exp(s_j − max) / Σ exp(s_j − max), s_j = scale · scores[r, j] (+ a float mask), over the keys j that
// query r may attend to. A key that is masked out has weight 0, and so has every key of a row that may attend to
// none: decided on the mask, never on the value of a score.
struct Parameters {
    rows: u32,
    heads: u32,
    query_length: u32,
    key_length: u32,
    first_batch_head: u32,
    first_query: u32,
    scale: f32,
    // 1 where key j is allowed for query i iff j + causal_key <= i + causal_query.
    causal: u32,
    causal_key: u32,
    causal_query: u32,
    // 0 for none, 1 where keys[b] is the number of keys, 2 where keys[b, j] tells of each key (nonzero takes part).
    key_padding: u32,
    // 0 for none, 1 for boolean (nonzero takes part), 2 for float (added; −inf masks out).
    mask_kind: u32,
    mask_batch: u32,
    mask_head: u32,
    mask_row: u32,
    mask_column: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

// Finite, since WGSL need not keep infinities and NaNs: SwiftShader's exp makes 0 of a NaN. What a row has seen is told
// by its state, and a NaN by its bits.
const LOWEST: f32 = -3.4028235e38;
const SEEN: f32 = 1.0;
const POISONED: f32 = 2.0;
const NAN_BITS: u32 = 0x7fc00000u;
const INFINITY_BITS: u32 = 0x7f800000u;
const NEGATIVE_INFINITY_BITS: u32 = 0xff800000u;

// A NaN, or +∞: either makes every weight of its row NaN.
fn poisons(value: f32) -> bool {
    let bits = bitcast<u32>(value);
    return bits == INFINITY_BITS || (bits & 0x7fffffffu) > INFINITY_BITS;
}

struct Row {
    // Keys from here on are ruled out by the causal bound or the key length.
    end: u32,
    // Where the row of the mask and that of the key padding mask begin.
    mask: u32,
    keys: u32,
}

fn row_bounds(row: u32) -> Row {
    let head = row / parameters.query_length;
    let query = parameters.first_query + row % parameters.query_length;
    let batch_head = parameters.first_batch_head + head;
    let batch = batch_head / parameters.heads;
    var bounds: Row;
    bounds.end = parameters.key_length;
    if (parameters.key_padding == 1u) {
        bounds.end = min(bounds.end, keys[batch]);
    }
    bounds.keys = batch * parameters.key_length;
    if (parameters.causal != 0u) {
        let reach = query + parameters.causal_query + 1u;
        bounds.end = min(bounds.end, reach - min(reach, parameters.causal_key));
    }
    bounds.mask = batch * parameters.mask_batch + batch_head % parameters.heads * parameters.mask_head
        + query * parameters.mask_row;
    return bounds;
}

fn allowed(bounds: Row, column: u32) -> bool {
    if (column >= bounds.end) {
        return false;
    }
    if (parameters.key_padding == 2u && keys[bounds.keys + column] == 0u) {
        return false;
    }
    if (parameters.mask_kind == 0u) {
        return true;
    }
    let word = mask[bounds.mask + column * parameters.mask_column];
    return select(word != NEGATIVE_INFINITY_BITS, word != 0u, parameters.mask_kind == 1u);
}

fn score(bounds: Row, base: u32, column: u32) -> f32 {
    let scaled = scores[base + column] * parameters.scale;
    if (parameters.mask_kind == 2u) {
        return scaled + bitcast<f32>(mask[bounds.mask + column * parameters.mask_column]);
    }
    return scaled;
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
    let base = row * parameters.key_length;
    let bounds = row_bounds(row);
    var largest = LOWEST;
    var state = 0.0;
    for (var column = lane; column < bounds.end; column = column + LANES) {
        if (allowed(bounds, column)) {
            let value = score(bounds, base, column);
            largest = max(largest, value);
            state = max(state, select(SEEN, POISONED, poisons(value)));
        }
    }
    largest = reduce_max(largest, lane);
    state = reduce_max(state, lane);
    var sum = 0.0;
    for (var column = lane; column < parameters.key_length; column = column + LANES) {
        var weight = 0.0;
        if (allowed(bounds, column)) {
            weight = exp(score(bounds, base, column) - largest);
        }
        sum = sum + weight;
        weights[base + column] = weight;
    }
    sum = reduce_add(sum, lane);
    // Among finite scores the largest alone gives 1, so a sum of 0 comes from scores that are all −∞.
    let not_a_number = state == POISONED || (state == SEEN && sum == 0.0);
    let factor = select(0.0, 1.0 / sum, state == SEEN);
    let nan = bitcast<f32>(select(0u, NAN_BITS, not_a_number));
    for (var column = lane; column < parameters.key_length; column = column + LANES) {
        // Masked keys too: a NaN in one allowed score makes the whole row NaN, as it does in PyTorch and ONNX.
        weights[base + column] = select(weights[base + column] * factor, nan, not_a_number);
    }
}
