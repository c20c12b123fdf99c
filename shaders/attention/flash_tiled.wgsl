// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys. A workgroup takes 32 queries of one head and
// goes over the keys of its split in tiles of 32: products, masked logits, running maximum and sum, weights, values.
const ROWS: u32 = 32u;
const KEYS: u32 = 32u;
// vec4s of a row in one panel.
const PANEL: u32 = 8u;
const LANES: u32 = 64u;

@group(0) @binding(1) var<storage, read> q: array<QueryBlock>;
@group(0) @binding(2) var<storage, read> k: array<KeyBlock>;
@group(0) @binding(3) var<storage, read> v: array<KeyBlock>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> items: array<u32>;
@group(0) @binding(6) var<storage, read> head_terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> output: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;

var<workgroup> query_panel: array<vec4<f32>, ROWS * PANEL>;
// Of keys, then of values.
var<workgroup> key_panel: array<vec4<f32>, KEYS * PANEL>;
// Weights of 4 keys, [row][key / 4].
var<workgroup> weight_tile: array<vec4<f32>, ROWS * KEYS / 4u>;
// One for each row and each of the 8 lanes that share it.
var<workgroup> shares: array<f32, ROWS * 8u>;
// Set when a value that is no number was read: the products with weights of 0 must then be left out.
var<workgroup> careful: atomic<u32>;

fn dots(left: vec4<f32>, place: u32) -> vec4<f32> {
    return vec4<f32>(
        dot(left, key_panel[place]),
        dot(left, key_panel[place + PANEL]),
        dot(left, key_panel[place + 2u * PANEL]),
        dot(left, key_panel[place + 3u * PANEL]),
    );
}

fn row_or_nothing(batch: u32, head: u32, query: u32) -> Row {
    var row = row_of_query(batch, head, query);
    if (query >= query_count(batch)) {
        row.end = 0u;
    }
    return row;
}

fn logits_of(row: Row, key: u32, products: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        masked_logit(row, key, products.x),
        masked_logit(row, key + 1u, products.y),
        masked_logit(row, key + 2u, products.z),
        masked_logit(row, key + 3u, products.w),
    );
}

fn largest_of(logits: vec4<f32>) -> f32 {
    return max(max(logits.x, logits.y), max(logits.z, logits.w));
}

fn any_nan(values: vec4<f32>) -> bool {
    return is_nan(values.x) || is_nan(values.y) || is_nan(values.z) || is_nan(values.w);
}

fn largest_share(row: u32) -> f32 {
    var largest = shares[row * 8u];
    for (var lane = 1u; lane < 8u; lane = lane + 1u) {
        largest = max(largest, shares[row * 8u + lane]);
    }
    return largest;
}

fn sum_of_shares(row: u32) -> f32 {
    var sum = shares[row * 8u];
    for (var lane = 1u; lane < 8u; lane = lane + 1u) {
        sum = sum + shares[row * 8u + lane];
    }
    return sum;
}

fn store(base: u32, first_column: u32, values: vec4<f32>, end: Ending) {
    for (var lane = 0u; lane < 4u; lane = lane + 1u) {
        let column = first_column + lane;
        if (column < parameters.value_dim) {
            output[base + column] = ended(component(values, lane), end);
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count);
    if (index >= parameters.tiles) {
        return;
    }
    let row_tiles = (parameters.query_length + ROWS - 1u) / ROWS;
    let tile = parameters.first_tile + index;
    let first_query = tile % row_tiles * ROWS;
    let head = tile / row_tiles % parameters.heads;
    let batch = tile / row_tiles / parameters.heads % parameters.batches;
    let split = tile / row_tiles / parameters.heads / parameters.batches;
    let queries = query_count(batch);
    if (first_query >= queries) {
        return;
    }
    let key_head = head / parameters.heads_per_key;
    let keys = key_count(batch);
    let last_query = min(first_query + ROWS, queries) - 1u;
    // The bounds only rise from one query to the next.
    let split_begin = split * parameters.split_keys;
    let begin = max(row_of_query(batch, head, first_query).begin, split_begin);
    var end = row_of_query(batch, head, last_query).end;
    if (parameters.splits > 1u) {
        end = min(end, split_begin + parameters.split_keys);
    }
    let my_row = 4u * (invocation / 8u);
    let group = invocation % 8u;
    let q_base = q_place(batch, head, first_query);
    let row0 = row_or_nothing(batch, head, first_query + my_row);
    let row1 = row_or_nothing(batch, head, first_query + my_row + 1u);
    let row2 = row_or_nothing(batch, head, first_query + my_row + 2u);
    let row3 = row_or_nothing(batch, head, first_query + my_row + 3u);
    let depth4 = (parameters.head_dim + 3u) / 4u;
    if (invocation == 0u) {
        atomicStore(&careful, 0u);
    }
    workgroupBarrier();
    var largest = vec4<f32>(LOWEST);
    // Of this lane's keys only.
    var sum = vec4<f32>();
    var poisoned = vec4<f32>();
    var accumulated: array<vec4<f32>, 4u * VALUE_BLOCKS>;
    for (var first_key = begin / KEYS * KEYS; first_key < end; first_key = first_key + KEYS) {
        var products0 = vec4<f32>();
        var products1 = vec4<f32>();
        var products2 = vec4<f32>();
        var products3 = vec4<f32>();
        for (var d4 = 0u; d4 < depth4; d4 = d4 + PANEL) {
            for (var element = invocation; element < ROWS * PANEL; element = element + LANES) {
                let row = element / PANEL;
                let first = 4u * (d4 + element % PANEL);
                let query = min(row, last_query - first_query);
                query_panel[element] = q_block(q_base + query * parameters.q_row, first, parameters.head_dim);
                let place = k_place(batch, key_head, min(first_key + row, keys - 1u));
                key_panel[element] = k_block(place, first, parameters.head_dim);
            }
            workgroupBarrier();
            for (var c = 0u; c < PANEL; c = c + 1u) {
                let place = 4u * group * PANEL + c;
                products0 += dots(query_panel[my_row * PANEL + c], place);
                products1 += dots(query_panel[(my_row + 1u) * PANEL + c], place);
                products2 += dots(query_panel[(my_row + 2u) * PANEL + c], place);
                products3 += dots(query_panel[(my_row + 3u) * PANEL + c], place);
            }
            workgroupBarrier();
        }
        let key = first_key + 4u * group;
        let logits0 = logits_of(row0, key, products0);
        let logits1 = logits_of(row1, key, products1);
        let logits2 = logits_of(row2, key, products2);
        let logits3 = logits_of(row3, key, products3);
        poisoned = select(
            poisoned,
            vec4<f32>(1.0),
            vec4<bool>(any_nan(logits0), any_nan(logits1), any_nan(logits2), any_nan(logits3)),
        );
        shares[my_row * 8u + group] = largest_of(logits0);
        shares[(my_row + 1u) * 8u + group] = largest_of(logits1);
        shares[(my_row + 2u) * 8u + group] = largest_of(logits2);
        shares[(my_row + 3u) * 8u + group] = largest_of(logits3);
        workgroupBarrier();
        let before = largest;
        largest = max(before, vec4<f32>(
            largest_share(my_row),
            largest_share(my_row + 1u),
            largest_share(my_row + 2u),
            largest_share(my_row + 3u),
        ));
        let weights0 = weights_of(logits0, largest.x);
        let weights1 = weights_of(logits1, largest.y);
        let weights2 = weights_of(logits2, largest.z);
        let weights3 = weights_of(logits3, largest.w);
        weight_tile[my_row * 8u + group] = weights0;
        weight_tile[(my_row + 1u) * 8u + group] = weights1;
        weight_tile[(my_row + 2u) * 8u + group] = weights2;
        weight_tile[(my_row + 3u) * 8u + group] = weights3;
        let factors = vec4<f32>(
            rescale(before.x, largest.x),
            rescale(before.y, largest.y),
            rescale(before.z, largest.z),
            rescale(before.w, largest.w),
        );
        let ones = vec4<f32>(1.0);
        sum = sum * factors
            + vec4<f32>(dot(weights0, ones), dot(weights1, ones), dot(weights2, ones), dot(weights3, ones));
        for (var block = 0u; block < VALUE_BLOCKS; block = block + 1u) {
            for (var element = invocation; element < KEYS * PANEL; element = element + LANES) {
                let place = v_place(batch, key_head, min(first_key + element / PANEL, keys - 1u));
                let values = v_block(place, 4u * (PANEL * block + element % PANEL), parameters.value_dim);
                key_panel[element] = values;
                if (any_nonfinite(values)) {
                    atomicStore(&careful, 1u);
                }
            }
            workgroupBarrier();
            var sums0 = accumulated[4u * block] * factors.x;
            var sums1 = accumulated[4u * block + 1u] * factors.y;
            var sums2 = accumulated[4u * block + 2u] * factors.z;
            var sums3 = accumulated[4u * block + 3u] * factors.w;
            let all_finite = atomicLoad(&careful) == 0u;
            for (var key4 = 0u; key4 < KEYS / 4u; key4 = key4 + 1u) {
                let place = 4u * key4 * PANEL + group;
                let weights0 = weight_tile[my_row * 8u + key4];
                let weights1 = weight_tile[(my_row + 1u) * 8u + key4];
                let weights2 = weight_tile[(my_row + 2u) * 8u + key4];
                let weights3 = weight_tile[(my_row + 3u) * 8u + key4];
                let values0 = key_panel[place];
                let values1 = key_panel[place + PANEL];
                let values2 = key_panel[place + 2u * PANEL];
                let values3 = key_panel[place + 3u * PANEL];
                if (all_finite) {
                    sums0 += weights0.x * values0 + weights0.y * values1 + weights0.z * values2 + weights0.w * values3;
                    sums1 += weights1.x * values0 + weights1.y * values1 + weights1.z * values2 + weights1.w * values3;
                    sums2 += weights2.x * values0 + weights2.y * values1 + weights2.z * values2 + weights2.w * values3;
                    sums3 += weights3.x * values0 + weights3.y * values1 + weights3.z * values2 + weights3.w * values3;
                } else {
                    sums0 += careful_sum(weights0, values0, values1, values2, values3);
                    sums1 += careful_sum(weights1, values0, values1, values2, values3);
                    sums2 += careful_sum(weights2, values0, values1, values2, values3);
                    sums3 += careful_sum(weights3, values0, values1, values2, values3);
                }
            }
            accumulated[4u * block] = sums0;
            accumulated[4u * block + 1u] = sums1;
            accumulated[4u * block + 2u] = sums2;
            accumulated[4u * block + 3u] = sums3;
            workgroupBarrier();
        }
    }
    shares[my_row * 8u + group] = sum.x;
    shares[(my_row + 1u) * 8u + group] = sum.y;
    shares[(my_row + 2u) * 8u + group] = sum.z;
    shares[(my_row + 3u) * 8u + group] = sum.w;
    workgroupBarrier();
    let sum0 = sum_of_shares(my_row);
    let sum1 = sum_of_shares(my_row + 1u);
    let sum2 = sum_of_shares(my_row + 2u);
    let sum3 = sum_of_shares(my_row + 3u);
    workgroupBarrier();
    shares[my_row * 8u + group] = poisoned.x;
    shares[(my_row + 1u) * 8u + group] = poisoned.y;
    shares[(my_row + 2u) * 8u + group] = poisoned.z;
    shares[(my_row + 3u) * 8u + group] = poisoned.w;
    workgroupBarrier();
    let ending0 = ending(head, largest.x, sum0, largest_share(my_row) > 0.0);
    let ending1 = ending(head, largest.y, sum1, largest_share(my_row + 1u) > 0.0);
    let ending2 = ending(head, largest.z, sum2, largest_share(my_row + 2u) > 0.0);
    let ending3 = ending(head, largest.w, sum3, largest_share(my_row + 3u) > 0.0);
    let base = output_place(batch, head, first_query) + split * parameters.output_split;
    for (var block = 0u; block < VALUE_BLOCKS; block = block + 1u) {
        let column = 4u * (PANEL * block + group);
        for (var row = 0u; row < 4u; row = row + 1u) {
            if (first_query + my_row + row <= last_query) {
                var end = ending0;
                if (row == 1u) {
                    end = ending1;
                }
                if (row == 2u) {
                    end = ending2;
                }
                if (row == 3u) {
                    end = ending3;
                }
                store(base + (my_row + row) * parameters.output_row, column, accumulated[4u * block + row], end);
                if (block == 0u && group == 0u) {
                    store_sum(batch, head, first_query + my_row + row, split, end);
                }
            }
        }
    }
}
