// gradient[b, h', j, :] += Σ_h Σ_i dS[h, i, j] · q[b, h, i, :] over the heads h of key-value head h', dS the gradient of the products q · k: that of
// fused attention's keys. With OF_VALUES, that of its values: the weights stand in the place of dS, and the output's gradient in that of q. A
// workgroup takes 32 keys of one key-value head and goes over the queries that see them in tiles of 32. The gradient lies as the keys do,
// or as the values.

#import attention/flash_gradient
#import attention/parameters
#import component
#import indexing

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<ValueBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read> upstream: array<UpstreamBlock>;
@group(0) @binding(8) var<storage, read_write> gradient: array<f32>;

// Elements `first` to `first + 3` of what is summed up of a query.
fn summand(batch: u32, head: u32, query: u32, first: u32) -> vec4<f32> {
    var block: vec4<f32>;
    if (OF_VALUES) {
        block = upstream_block(output_place(batch, head, query), first, parameters.value_dim);
    } else {
        block = q_block(q_place(batch, head, query), first, parameters.head_dim);
    }
    return block;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let workgroup = workgroup_index(id, count);
    let number = parameters.first_tile + workgroup;
    let key_tiles = (parameters.key_length + KEYS - 1u) / KEYS;
    let key_heads = parameters.heads / parameters.heads_per_key;
    let first_key = number % key_tiles * KEYS;
    let key_head = number / key_tiles % key_heads;
    let batch = number / key_tiles / key_heads % parameters.batches;
    let span = span_of_item(batch);
    if (workgroup >= parameters.tiles || first_key >= span.keys) {
        return;
    }
    // The part of the queries that this dispatch takes.
    let begin = min(parameters.first_query, query_count(batch));
    let end = min(begin + parameters.queries, query_count(batch));
    let columns = select(parameters.head_dim, parameters.value_dim, OF_VALUES);
    let my_keys = invocation / 8u;
    let group = invocation % 8u;
    var accumulated: array<vec4<f32>, 4u * COLUMN_BLOCKS>;
    for (var member = 0u; member < parameters.heads_per_key; member = member + 1u) {
        let head = key_head * parameters.heads_per_key + member;
        for (var first_query = begin; first_query < end; first_query = first_query + ROWS) {
            let queries = min(end - first_query, ROWS);
            // The bounds only rise from one query to the next.
            let band_begin = band_of_query(span, first_query).begin;
            let band_end = band_of_query(span, first_query + queries - 1u).end;
            if (band_begin < first_key + KEYS && band_end > first_key) {
                fill_tile(Square(batch, head, key_head, first_query, queries, first_key, span), invocation);
                for (var block = 0u; block < COLUMN_BLOCKS; block = block + 1u) {
                    for (var element = invocation; element < ROWS * PANEL; element = element + LANES) {
                        let query = first_query + min(element / PANEL, queries - 1u);
                        left_panel[element] = summand(batch, head, query, 4u * (PANEL * block + element % PANEL));
                    }
                    workgroupBarrier();
                    let at = 4u * block;
                    var sums0 = accumulated[at];
                    var sums1 = accumulated[at + 1u];
                    var sums2 = accumulated[at + 2u];
                    var sums3 = accumulated[at + 3u];
                    for (var row = 0u; row < ROWS; row = row + 1u) {
                        let weights = bitcast<vec4<f32>>(score_tile[row * 8u + my_keys]);
                        let values = left_panel[row * PANEL + group];
                        sums0 += careful_product(weights.x, values);
                        sums1 += careful_product(weights.y, values);
                        sums2 += careful_product(weights.z, values);
                        sums3 += careful_product(weights.w, values);
                    }
                    accumulated[at] = sums0;
                    accumulated[at + 1u] = sums1;
                    accumulated[at + 2u] = sums2;
                    accumulated[at + 3u] = sums3;
                    workgroupBarrier();
                }
            }
        }
    }
    for (var block = 0u; block < COLUMN_BLOCKS; block = block + 1u) {
        let first = 4u * (PANEL * block + group);
        for (var r = 0u; r < 4u; r = r + 1u) {
            let key = first_key + 4u * my_keys + r;
            if (key < span.keys) {
                let sums = accumulated[4u * block + r];
                var base = k_place(batch, key_head, key);
                if (OF_VALUES) {
                    base = v_place(batch, key_head, key);
                }
                for (var lane = 0u; lane < 4u; lane = lane + 1u) {
                    if (first + lane < columns) {
                        gradient[base + first + lane] = gradient[base + first + lane] + component(sums, lane);
                    }
                }
            }
        }
    }
}
