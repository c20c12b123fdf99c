// weights[r, j] = exp(s_j − max) / Σ exp(s_j − max), s_j the logit of scores[r, j], over the keys j that
// query r may attend to. A key that is masked out has weight 0, and so has every key of a row that may attend to none:
// decided on the mask, never on the value of a score. Or an earlier stage of it, to be looked at.

#import attention/masking
#import attention/parameters
#import indexing
#import kinds
#import reduce/rows

@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read> items: array<u32>;
@group(0) @binding(4) var<storage, read> head_terms: array<f32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;

// The scores before the softmax.
fn early_stage(row: Row, key: u32, product: f32) -> f32 {
    if (parameters.stage == 0u) {
        return product * row.head.scale;
    }
    if (parameters.stage == 1u) {
        return softcapped(product * row.head.scale);
    }
    if (allowed(row, key)) {
        return logit_of(row, key, product);
    }
    return from_bits(NEGATIVE_INFINITY_BITS);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = row_of(workgroup_index(id, count), invocation);
    if (index >= parameters.batch_heads * parameters.queries) {
        return;
    }
    let lane = lane_of(invocation);
    let base = index * parameters.key_length;
    let to = parameters.output_offset + base;
    let batch_head = parameters.first_batch_head + index / parameters.queries;
    let batch = batch_head / parameters.heads;
    let head = batch_head % parameters.heads;
    let query = parameters.first_query + index % parameters.queries;
    let is_there = query < query_count(batch);
    var row = row_of_query(span_of_item(batch), batch, head, query);
    if (!is_there) {
        row.end = 0u;
    }
    if (parameters.stage < 3u) {
        for (var key = lane; key < parameters.key_length; key = key + LANES) {
            weights[to + key] = early_stage(row, key, scores[base + key]);
        }
        return;
    }
    var largest = LOWEST;
    var seen = NOTHING;
    for (var key = row.begin + lane; key < row.end; key = key + LANES) {
        if (allowed(row, key)) {
            let logit = logit_of(row, key, scores[base + key]);
            let kind = kind_of(logit);
            largest = max(largest, number_or_lowest(logit, kind));
            seen = max(seen, kind);
        }
    }
    largest = reduce_max(largest, lane);
    seen = u32(reduce_max(f32(seen), lane));
    // With its sink.
    var row_seen = seen;
    var sink = 0.0;
    if (parameters.sinks_at != NONE) {
        let logit = head_terms[parameters.sinks_at + head];
        let kind = kind_of(logit);
        if (kind == NUMBERS) {
            largest = max(largest, logit);
            sink = exp(max(logit - largest, -150.0));
        }
        // One of −∞ is no sink.
        row_seen = max(seen, select(kind, NOTHING, kind == INFINITIES));
    }
    var sum = 0.0;
    for (var key = lane; key < parameters.key_length; key = key + LANES) {
        var weight = 0.0;
        if (allowed(row, key)) {
            let logit = logit_of(row, key, scores[base + key]);
            let kind = kind_of(logit);
            weight = select(0.0, exp(max(number_or_lowest(logit, kind) - largest, -150.0)), kind == NUMBERS);
        }
        sum = sum + weight;
        weights[to + key] = weight;
    }
    sum = reduce_add(sum, lane) + sink;
    let not_a_number = makes_nan(row_seen);
    let factor = select(0.0, 1.0 / sum, seen == NUMBERS);
    let nan = from_bits(select(0u, NAN_BITS, not_a_number));
    for (var key = lane; key < parameters.key_length; key = key + LANES) {
        // Masked keys too: a NaN in one allowed score makes the whole row NaN, as it does in PyTorch and ONNX.
        weights[to + key] = select(weights[to + key] * factor, nan, not_a_number);
    }
    if (parameters.has_sums != 0u && lane == 0u && is_there) {
        var whole = largest + log(sum);
        if (row_seen == NOTHING) {
            whole = from_bits(NEGATIVE_INFINITY_BITS);
        }
        sums[sums_place(batch, head, query)] = select(whole, nan, not_a_number);
    }
}
