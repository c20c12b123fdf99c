// Rows of keys or values into a cache, behind those that are there: cache[b, h, starts[b] + i, :] = rows[b, h, i, :],
// as f32, or (HALF) as f16, two in a word. An invocation takes 2 columns of a row.
//
// With key_padding, items holds where each item's keys end, then where its new rows begin; the rest are not written.

#import attention/parameters
#import half
#import indexing

@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> items: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    let pairs = (parameters.head_dim + 1u) / 2u;
    let row = index / pairs;
    if (row >= parameters.batches * parameters.heads * parameters.query_length) {
        return;
    }
    let query = row % parameters.query_length;
    let head = row / parameters.query_length % parameters.heads;
    let batch = row / parameters.query_length / parameters.heads;
    var key = query;
    if (parameters.key_padding == 1u) {
        key = key + items[parameters.batches + batch];
    }
    if (key >= key_count(batch)) {
        return;
    }
    let column = 2u * (index % pairs);
    let both = column + 1u < parameters.head_dim;
    let source = q_place(batch, head, query) + column;
    let place = k_place(batch, head, key) + column;
    if (HALF) {
        // Rows begin at words, and those of odd length end in half a word of nothing.
        var word = narrow(rows[source]);
        if (both) {
            word = word | (narrow(rows[source + 1u]) << 16u);
        }
        cache[place / 2u] = word;
    } else {
        cache[place] = rows[source];
        if (both) {
            cache[place + 1u] = rows[source + 1u];
        }
    }
}
