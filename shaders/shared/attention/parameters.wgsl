// What the attention kernels share: their parameters, and where each batch item's queries and keys lie.
// A place is the index of a row's first element. NONE stands for "not there".
const NONE: u32 = 0xffffffffu;

struct Parameters {
    batches: u32,
    heads: u32,
    heads_per_key: u32,
    // The longest of any batch item.
    query_length: u32,
    key_length: u32,
    head_dim: u32,
    value_dim: u32,
    // The part that this dispatch computes: batch-heads and queries, or tiles and splits of the keys.
    first_batch_head: u32,
    batch_heads: u32,
    first_query: u32,
    queries: u32,
    first_tile: u32,
    tiles: u32,
    splits: u32,
    split_keys: u32,
    // In elements. For paged keys the batch stride is that of a page.
    q_offset: u32,
    q_batch: u32,
    q_head: u32,
    q_row: u32,
    k_offset: u32,
    k_batch: u32,
    k_head: u32,
    k_row: u32,
    v_offset: u32,
    v_batch: u32,
    v_head: u32,
    v_row: u32,
    output_offset: u32,
    output_batch: u32,
    output_head: u32,
    output_row: u32,
    output_split: u32,
    sums_offset: u32,
    sums_batch: u32,
    sums_head: u32,
    sums_split: u32,
    // 1 where the logarithm of each row's sum is written.
    has_sums: u32,
    scale: f32,
    // 0 for none.
    softcap: f32,
    // Query i stands at key position i + shift (two's complement), or, if aligned to the end, its item's last query at
    // its last key. It sees the keys from position - left to position + right.
    aligned_to_end: u32,
    shift: u32,
    left: u32,
    right: u32,
    // 0 for none, 1 where items[b] is the number of keys, 2 where items[b, j] tells of each key (nonzero takes part).
    key_padding: u32,
    // Where in items the running sums of packed queries' and keys' lengths stand, B + 1 of each.
    sequences_at: u32,
    // Where in items the page table [B, pages] stands, the keys of a page, and the pages that there are.
    pages_at: u32,
    pages: u32,
    page_size: u32,
    page_count: u32,
    // 0 for no mask, 1 for boolean (nonzero takes part), 2 for float (added; −inf masks out).
    mask_kind: u32,
    mask_batch: u32,
    mask_head: u32,
    mask_row: u32,
    mask_column: u32,
    // Where in head_terms the heads' factors of the scale, the ALiBi slopes and the sinks stand, one for each head.
    scales_at: u32,
    slopes_at: u32,
    sinks_at: u32,
    // Where in head_terms the biases by distance [H, 2 · reach + 1] stand.
    relative_at: u32,
    relative_reach: u32,
    // What scale_mask_softmax gives: 0 scaled scores, 1 softcapped, 2 biased and masked, 3 weights.
    stage: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

// Constants of these bits would be folded to what WGSL does not allow.
fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits | (parameters.batches & 0u));
}

fn is_packed() -> bool {
    return parameters.sequences_at != NONE;
}

// Functions here have one return: with more, Direct3D's FXC takes what they give for perhaps uninitialized, and refuses
// a barrier behind a branch on it.

// The first packed query of an item, and its number of queries.
fn query_start(batch: u32) -> u32 {
    return items[parameters.sequences_at + batch];
}

fn query_count(batch: u32) -> u32 {
    var count = parameters.query_length;
    if (is_packed()) {
        count = query_start(batch + 1u) - query_start(batch);
    }
    return count;
}

fn key_start(batch: u32) -> u32 {
    return items[parameters.sequences_at + parameters.batches + 1u + batch];
}

// The keys that an item has, padding included.
fn stored_keys(batch: u32) -> u32 {
    var count = parameters.key_length;
    if (is_packed()) {
        count = key_start(batch + 1u) - key_start(batch);
    }
    return count;
}

fn key_count(batch: u32) -> u32 {
    var count = stored_keys(batch);
    if (parameters.key_padding == 1u) {
        count = min(count, items[batch]);
    }
    return count;
}

fn q_place(batch: u32, head: u32, query: u32) -> u32 {
    var first = parameters.q_offset + head * parameters.q_head;
    if (is_packed()) {
        first = first + query_start(batch) * parameters.q_row;
    } else {
        first = first + batch * parameters.q_batch;
    }
    return first + query * parameters.q_row;
}

fn output_place(batch: u32, head: u32, query: u32) -> u32 {
    var first = parameters.output_offset + head * parameters.output_head + batch * parameters.output_batch;
    if (is_packed() && parameters.output_batch == 0u) {
        first = first + query_start(batch) * parameters.output_row;
    }
    return first + query * parameters.output_row;
}

fn sums_place(batch: u32, head: u32, query: u32) -> u32 {
    var first = parameters.sums_offset + head * parameters.sums_head + batch * parameters.sums_batch;
    if (is_packed() && parameters.sums_batch == 0u) {
        first = first + query_start(batch);
    }
    return first + query;
}

// Which strides of the batch and of the row a key has: its page and its place there, or its item and its index.
fn key_steps(batch: u32, key: u32) -> vec2<u32> {
    var steps = vec2<u32>(batch, key);
    if (parameters.pages_at != NONE) {
        let entry = parameters.pages_at + batch * parameters.pages + key / parameters.page_size;
        // A table that the host could not check must not lead out of the pool.
        steps = vec2<u32>(min(items[entry], parameters.page_count - 1u), key % parameters.page_size);
    } else if (is_packed()) {
        steps = vec2<u32>(0u, key_start(batch) + key);
    }
    return steps;
}

fn k_at(steps: vec2<u32>, head: u32) -> u32 {
    return parameters.k_offset + steps.x * parameters.k_batch + head * parameters.k_head + steps.y * parameters.k_row;
}

fn v_at(steps: vec2<u32>, head: u32) -> u32 {
    return parameters.v_offset + steps.x * parameters.v_batch + head * parameters.v_head + steps.y * parameters.v_row;
}

fn k_place(batch: u32, head: u32, key: u32) -> u32 {
    return k_at(key_steps(batch, key), head);
}

fn v_place(batch: u32, head: u32, key: u32) -> u32 {
    return v_at(key_steps(batch, key), head);
}

// The keys of an item that its length allows, and where its first query stands among them.
struct Span {
    keys: u32,
    shift: i32,
}

fn span_of_item(batch: u32) -> Span {
    let keys = key_count(batch);
    var shift = bitcast<i32>(parameters.shift);
    if (parameters.aligned_to_end != 0u) {
        shift = i32(keys) - i32(query_count(batch));
    }
    return Span(keys, shift);
}

// The keys that the band of a query and the length of its item allow.
struct Band {
    begin: u32,
    end: u32,
    // Where the query stands among the keys.
    position: i32,
}

fn band_of_query(span: Span, query: u32) -> Band {
    var row: Band;
    let keys = span.keys;
    row.position = i32(query) + span.shift;
    row.end = keys;
    if (parameters.right != NONE) {
        row.end = min(keys, u32(max(row.position + i32(parameters.right) + 1, 0)));
    }
    row.begin = 0u;
    if (parameters.left != NONE) {
        row.begin = min(keys, u32(max(row.position - i32(parameters.left), 0)));
    }
    return row;
}
