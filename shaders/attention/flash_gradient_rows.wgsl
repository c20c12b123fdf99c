// What the gradient of fused attention takes of each query: the largest of its logits, the factor 1 / Σ exp(logit − largest) of its weights,
// and D = u · output, with u the output's gradient. A workgroup takes 32 queries of one head and goes over its keys in tiles of 32, as
// `flash_tiled` does without values.

#import attention/flash_logits
#import attention/flash_panels
#import attention/flash_tile
#import attention/masking
#import attention/parameters
#import indexing
#import kinds

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> items: array<u32>;
@group(0) @binding(5) var<storage, read> head_terms: array<f32>;
@group(0) @binding(6) var<storage, read> output: array<f32>;
@group(0) @binding(7) var<storage, read> upstream: array<f32>;
@group(0) @binding(8) var<storage, read_write> rows: array<f32>;

// Of each lane: its largest logit, the sum of its weights, what it has seen, its part of D.
var<workgroup> shares: array<vec4<f32>, LANES>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let tile = tile_of(workgroup_index(id, count), ROWS);
    if (tile.queries == 0u) {
        return;
    }
    // Two lanes share a row, each with every other 4 keys of it.
    let own_row = invocation / 2u;
    let own_half = invocation % 2u;
    let query = tile.first_query + min(own_row, tile.queries - 1u);
    let own = row_of_query(tile.span, tile.batch, tile.head, query);
    var largest = LOWEST;
    var sum = 0.0;
    var seen = NOTHING;
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
        let square = Square(
            tile.batch, tile.head, tile.key_head, tile.first_query, tile.queries, first_key, tile.span,
        );
        put_products(query_key_products(square, invocation), invocation);
        workgroupBarrier();
        var highest = largest;
        for (var key4 = own_half; key4 < KEYS / 4u; key4 = key4 + 2u) {
            let place = own_row * 8u + key4;
            let words = masked_logits(own, first_key + 4u * key4, bitcast<vec4<f32>>(score_tile[place]));
            seen = max(seen, kind_from_four(words));
            let logits = logits_from(words);
            highest = max(highest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
            score_tile[place] = words;
        }
        sum = sum * rescale(largest, highest);
        largest = highest;
        for (var key4 = own_half; key4 < KEYS / 4u; key4 = key4 + 2u) {
            let weights = weights_of(score_tile[own_row * 8u + key4], largest);
            sum = sum + weights.x + weights.y + weights.z + weights.w;
        }
        // Barriers of the next products stand before what writes the tile again.
    }
    let base = output_place(tile.batch, tile.head, query);
    var mean = 0.0;
    for (var column = own_half; column < parameters.value_dim; column = column + 2u) {
        mean = mean + upstream[base + column] * output[base + column];
    }
    shares[invocation] = vec4<f32>(largest, sum, f32(seen), mean);
    workgroupBarrier();
    if (own_half == 0u && own_row < tile.queries) {
        let other = shares[invocation + 1u];
        let highest = max(largest, other.x);
        let whole = sum * rescale(largest, highest) + other.y * rescale(other.x, highest);
        let end = ending(tile.head, highest, whole, max(seen, u32(other.z)));
        let row = (tile.batch * parameters.heads + tile.head) * parameters.query_length + query;
        rows[3u * row] = highest;
        rows[3u * row + 1u] = select(end.factor, from_bits(NAN_BITS), end.poisoned);
        rows[3u * row + 2u] = mean + other.w;
    }
}
