// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys. A workgroup takes 32 queries of one head and
// goes over the keys of its split in tiles of 32: products, masked logits, running maximum and sum, weights, values.

#import attention/flash
#import attention/flash_tile
#import attention/keys
#import attention/masking
#import attention/parameters
#import attention/queries
#import attention/values
#import indexing
#import kinds

const ROWS: u32 = 32u;
const KEYS: u32 = 32u;
// vec4s of a row in one panel.
const PANEL: u32 = 8u;
const LANES: u32 = 64u;

var<workgroup> query_panel: array<vec4<f32>, ROWS * PANEL>;
// Of keys, then of values.
var<workgroup> key_panel: array<vec4<f32>, KEYS * PANEL>;
// Products, logits, then weights of 4 keys, as bits, [row][key / 4].
var<workgroup> weight_tile: array<vec4<u32>, ROWS * KEYS / 4u>;
// One for each row and each of the 2 lanes that share it.
var<workgroup> shares: array<f32, ROWS * 2u>;
// Of each row: by which the last tile changed what was there; at the end, what the sums take, and whether they are NaN.
var<workgroup> factor_tile: array<f32, ROWS>;
var<workgroup> poison_tile: array<f32, ROWS>;
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
    let first_query = tile.first_query;
    let last_query = first_query + tile.queries - 1u;
    let my_row = 4u * (invocation / 8u);
    let group = invocation % 8u;
    let q_base = q_place(tile.batch, tile.head, first_query);
    // For the weights two lanes share a row, each with every other 4 keys of it.
    let own_row = invocation / 2u;
    let own_half = invocation % 2u;
    let own = row_of_query(tile.span, tile.batch, tile.head, min(first_query + own_row, last_query));
    let depth4 = (parameters.head_dim + 3u) / 4u;
    if (invocation == 0u) {
        atomicStore(&careful, 0u);
    }
    workgroupBarrier();
    // Of the lane's own row; the sum and what was seen of its own keys only.
    var largest = LOWEST;
    var sum = 0.0;
    var seen = NOTHING;
    var accumulated: array<vec4<f32>, 4u * VALUE_BLOCKS>;
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
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
                let place = k_place(tile.batch, tile.key_head, min(first_key + row, tile.span.keys - 1u));
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
        weight_tile[my_row * 8u + group] = bitcast<vec4<u32>>(products0);
        weight_tile[(my_row + 1u) * 8u + group] = bitcast<vec4<u32>>(products1);
        weight_tile[(my_row + 2u) * 8u + group] = bitcast<vec4<u32>>(products2);
        weight_tile[(my_row + 3u) * 8u + group] = bitcast<vec4<u32>>(products3);
        workgroupBarrier();
        var highest = LOWEST;
        for (var key4 = own_half; key4 < KEYS / 4u; key4 = key4 + 2u) {
            let place = own_row * 8u + key4;
            let words = masked_logits(own, first_key + 4u * key4, bitcast<vec4<f32>>(weight_tile[place]));
            seen = max(seen, kind_from_four(words));
            let logits = logits_from(words);
            highest = max(highest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
            weight_tile[place] = words;
        }
        shares[invocation] = highest;
        workgroupBarrier();
        let before = largest;
        largest = max(before, max(shares[2u * own_row], shares[2u * own_row + 1u]));
        let factor = rescale(before, largest);
        factor_tile[own_row] = factor;
        sum = sum * factor;
        for (var key4 = own_half; key4 < KEYS / 4u; key4 = key4 + 2u) {
            let place = own_row * 8u + key4;
            let weights = weights_of(weight_tile[place], largest);
            sum = sum + weights.x + weights.y + weights.z + weights.w;
            weight_tile[place] = bitcast<vec4<u32>>(weights);
        }
        for (var block = 0u; block < VALUE_BLOCKS; block = block + 1u) {
            for (var element = invocation; element < KEYS * PANEL; element = element + LANES) {
                let place = v_place(tile.batch, tile.key_head, min(first_key + element / PANEL, tile.span.keys - 1u));
                let values = v_block(place, 4u * (PANEL * block + element % PANEL), parameters.value_dim);
                key_panel[element] = values;
                if (any_nonfinite(values)) {
                    atomicStore(&careful, 1u);
                }
            }
            workgroupBarrier();
            let at = 4u * block;
            if (atomicLoad(&careful) == 0u) {
                var sums0 = accumulated[at] * factor_tile[my_row];
                var sums1 = accumulated[at + 1u] * factor_tile[my_row + 1u];
                var sums2 = accumulated[at + 2u] * factor_tile[my_row + 2u];
                var sums3 = accumulated[at + 3u] * factor_tile[my_row + 3u];
                for (var key4 = 0u; key4 < KEYS / 4u; key4 = key4 + 1u) {
                    let place = 4u * key4 * PANEL + group;
                    let weights0 = bitcast<vec4<f32>>(weight_tile[my_row * 8u + key4]);
                    let weights1 = bitcast<vec4<f32>>(weight_tile[(my_row + 1u) * 8u + key4]);
                    let weights2 = bitcast<vec4<f32>>(weight_tile[(my_row + 2u) * 8u + key4]);
                    let weights3 = bitcast<vec4<f32>>(weight_tile[(my_row + 3u) * 8u + key4]);
                    let a = key_panel[place];
                    let b = key_panel[place + PANEL];
                    let c = key_panel[place + 2u * PANEL];
                    let d = key_panel[place + 3u * PANEL];
                    sums0 += weights0.x * a + weights0.y * b + weights0.z * c + weights0.w * d;
                    sums1 += weights1.x * a + weights1.y * b + weights1.z * c + weights1.w * d;
                    sums2 += weights2.x * a + weights2.y * b + weights2.z * c + weights2.w * d;
                    sums3 += weights3.x * a + weights3.y * b + weights3.z * c + weights3.w * d;
                }
                accumulated[at] = sums0;
                accumulated[at + 1u] = sums1;
                accumulated[at + 2u] = sums2;
                accumulated[at + 3u] = sums3;
            } else {
                for (var r = 0u; r < 4u; r = r + 1u) {
                    var sums = accumulated[at + r] * factor_tile[my_row + r];
                    for (var key4 = 0u; key4 < KEYS / 4u; key4 = key4 + 1u) {
                        let place = 4u * key4 * PANEL + group;
                        let weights = bitcast<vec4<f32>>(weight_tile[(my_row + r) * 8u + key4]);
                        sums += careful_sum(
                            weights,
                            key_panel[place],
                            key_panel[place + PANEL],
                            key_panel[place + 2u * PANEL],
                            key_panel[place + 3u * PANEL],
                        );
                    }
                    accumulated[at + r] = sums;
                }
            }
            workgroupBarrier();
        }
    }
    shares[invocation] = sum;
    workgroupBarrier();
    let whole = shares[2u * own_row] + shares[2u * own_row + 1u];
    workgroupBarrier();
    shares[invocation] = f32(seen);
    workgroupBarrier();
    let row_seen = u32(max(shares[2u * own_row], shares[2u * own_row + 1u]));
    let end_of_row = ending(tile.head, largest, whole, row_seen);
    factor_tile[own_row] = end_of_row.factor;
    poison_tile[own_row] = select(0.0, 1.0, end_of_row.poisoned);
    if (own_half == 0u && first_query + own_row <= last_query) {
        store_sum(tile.batch, tile.head, first_query + own_row, tile.split, end_of_row);
    }
    workgroupBarrier();
    let base = output_place(tile.batch, tile.head, first_query) + tile.split * parameters.output_split;
    for (var block = 0u; block < VALUE_BLOCKS; block = block + 1u) {
        let column = 4u * (PANEL * block + group);
        for (var row = my_row; row < min(my_row + 4u, last_query + 1u - first_query); row = row + 1u) {
            let values = accumulated[4u * block + row - my_row];
            let ended = ended_block(values, factor_tile[row], poison_tile[row] > 0.0);
            store_block(base + row * parameters.output_row, column, parameters.value_dim, ended);
        }
    }
}
