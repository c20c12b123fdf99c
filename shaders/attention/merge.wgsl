// The whole of what splits of the keys came to: output = Σ_s exp(sum_s − sum) · output_s, sum = log Σ_s exp(sum_s).
// An invocation takes 4 columns of a row. The sums of each split are followed by what its rows have seen.

#import attention/parameters
#import component
#import indexing
#import kinds

@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> part_sums: array<f32>;
@group(0) @binding(3) var<storage, read> items: array<u32>;
@group(0) @binding(4) var<storage, read> head_terms: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let blocks = (parameters.value_dim + 3u) / 4u;
    let row = index / blocks;
    let rows = parameters.batches * parameters.heads * parameters.query_length;
    if (row >= rows) {
        return;
    }
    let query = row % parameters.query_length;
    let head = row / parameters.query_length % parameters.heads;
    let batch = row / parameters.query_length / parameters.heads;
    if (query >= query_count(batch)) {
        return;
    }
    var largest = LOWEST;
    var seen = NOTHING;
    for (var split = 0u; split < parameters.splits; split = split + 1u) {
        let at = 2u * split * rows + row;
        let kind = u32(part_sums[at + rows]);
        largest = max(largest, number_or_lowest(part_sums[at], kind));
        seen = max(seen, kind);
    }
    var whole = 0.0;
    if (parameters.sinks_at != NONE) {
        let sink = head_terms[parameters.sinks_at + head];
        let kind = kind_of(sink);
        if (kind == NUMBERS) {
            largest = max(largest, sink);
            whole = exp(max(sink - largest, -150.0));
        }
        // One of −∞ is no sink.
        seen = max(seen, select(kind, NOTHING, kind == INFINITIES));
    }
    let first = 4u * (index % blocks);
    let last = parameters.value_dim - 1u;
    let columns = min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
    var values = vec4<f32>();
    for (var split = 0u; split < parameters.splits; split = split + 1u) {
        let place = 2u * split * rows + row;
        // What saw no number has no part, and its values are 0.
        if (u32(part_sums[place + rows]) == NUMBERS) {
            let weight = exp(max(part_sums[place] - largest, -150.0));
            whole = whole + weight;
            let at = (split * rows + row) * parameters.value_dim + columns;
            let part = vec4<f32>(parts[at.x], parts[at.y], parts[at.z], parts[at.w]);
            values += select(weight * part, vec4<f32>(), weight == 0.0);
        }
    }
    let factor = select(0.0, 1.0 / whole, seen == NUMBERS);
    let poisoned = makes_nan(seen);
    let nan = from_bits(NAN_BITS);
    let base = output_place(batch, head, query);
    for (var lane = 0u; lane < 4u; lane = lane + 1u) {
        if (first + lane <= last) {
            output[base + first + lane] = select(component(values, lane) * factor, nan, poisoned);
        }
    }
    if (parameters.has_sums != 0u && first == 0u) {
        var sum = largest + log(whole);
        if (seen == NOTHING) {
            sum = from_bits(NEGATIVE_INFINITY_BITS);
        }
        sums[sums_place(batch, head, query)] = select(sum, nan, poisoned);
    }
}
