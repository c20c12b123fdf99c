// output = softmax(scale · q·kᵀ + mask) · v for few queries over many keys. A workgroup takes up to 8 rows of one
// key-value head, the queries of all the heads that share it, and goes over the keys of its split in tiles of 64. Each
// key is read once for all the rows: first a lane for each key, then a lane for each 4 columns of a share of the keys.

#import attention/flash
#import attention/keys
#import attention/masking
#import attention/parameters
#import attention/queries
#import attention/values
#import component
#import indexing
#import kinds

const ROWS: u32 = 8u;
const LANES: u32 = 64u;
// Shares of the keys, each summed by VALUE_LANES lanes.
const SHARES: u32 = LANES / VALUE_LANES;

// Queries [row][4 elements]; at the end the shares' values.
var<workgroup> query_tile: array<vec4<f32>, ROWS * LANES>;
// [key][row]: logits, then weights, as bits.
var<workgroup> weight_tile: array<u32, LANES * ROWS>;
// One for each row and each of the 8 lanes that reduce it.
var<workgroup> shares: array<f32, ROWS * 8u>;
// Of each row.
var<workgroup> largest: array<f32, ROWS>;
var<workgroup> factors: array<f32, ROWS>;

struct Sums {
    #for i in 0..8
    row{i}: vec4<f32>,
    #end
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(id, count);
    if (index >= parameters.tiles) {
        return;
    }
    let key_heads = parameters.heads / parameters.heads_per_key;
    let row_tiles = (parameters.query_length * parameters.heads_per_key + ROWS - 1u) / ROWS;
    let tile = parameters.first_tile + index;
    let first_row = tile % row_tiles * ROWS;
    let key_head = tile / row_tiles % key_heads;
    let batch = tile / row_tiles / key_heads % parameters.batches;
    let split = tile / row_tiles / key_heads / parameters.batches;
    let queries = query_count(batch);
    let all_rows = queries * parameters.heads_per_key;
    if (first_row >= all_rows) {
        return;
    }
    let first_head = key_head * parameters.heads_per_key;
    let rows = min(ROWS, all_rows - first_row);
    let span = span_of_item(batch);
    // Rows may be the last queries of one head and the first of the next: the keys that any of them sees.
    let split_begin = split * parameters.split_keys;
    let begin = max(band_of_query(span, 0u).begin, split_begin);
    var end = band_of_query(span, queries - 1u).end;
    if (parameters.splits > 1u) {
        end = min(end, split_begin + parameters.split_keys);
    }
    let depth4 = (parameters.head_dim + 3u) / 4u;
    for (var element = lane; element < ROWS * depth4; element = element + LANES) {
        let row = first_row + min(element / depth4, rows - 1u);
        let place = q_place(batch, first_head + row / queries, row % queries);
        query_tile[element] = q_block(place, 4u * (element % depth4), parameters.head_dim);
    }
    if (lane < ROWS) {
        largest[lane] = LOWEST;
    }
    workgroupBarrier();
    // In the first phase a lane is a key, in the reductions an eighth of a row, in the last 4 columns of a share.
    let my_row = lane / 8u;
    let my_column = 4u * (lane % VALUE_LANES);
    let my_share = lane / VALUE_LANES;
    let reduced = first_row + min(my_row, rows - 1u);
    var sum = 0.0;
    var seen = NOTHING;
    var values: Sums;
    for (var first_key = begin / LANES * LANES; first_key < end; first_key = first_key + LANES) {
        let key = first_key + lane;
        let k_at = k_place(batch, key_head, min(key, span.keys - 1u));
        var low = vec4<f32>();
        var high = vec4<f32>();
        for (var d4 = 0u; d4 < depth4; d4 = d4 + 1u) {
            let elements = k_block(k_at, 4u * d4, parameters.head_dim);
            low += vec4<f32>(
                dot(query_tile[d4], elements),
                dot(query_tile[depth4 + d4], elements),
                dot(query_tile[2u * depth4 + d4], elements),
                dot(query_tile[3u * depth4 + d4], elements),
            );
            high += vec4<f32>(
                dot(query_tile[4u * depth4 + d4], elements),
                dot(query_tile[5u * depth4 + d4], elements),
                dot(query_tile[6u * depth4 + d4], elements),
                dot(query_tile[7u * depth4 + d4], elements),
            );
        }
        for (var r = 0u; r < ROWS; r = r + 1u) {
            let row = first_row + min(r, rows - 1u);
            let product = select(component(low, r), component(high, r % 4u), r >= 4u);
            let head = first_head + row / queries;
            weight_tile[lane * ROWS + r] = masked_logit(row_of_query(span, batch, head, row % queries), key, product);
        }
        workgroupBarrier();
        var highest = LOWEST;
        for (var place = lane % 8u; place < LANES; place = place + 8u) {
            let word = weight_tile[place * ROWS + my_row];
            seen = max(seen, kind_from(word));
            highest = max(highest, logit_from(word));
        }
        shares[lane] = highest;
        workgroupBarrier();
        if (lane < ROWS) {
            let before = largest[lane];
            var after = before;
            for (var place = 0u; place < 8u; place = place + 1u) {
                after = max(after, shares[lane * 8u + place]);
            }
            largest[lane] = after;
            factors[lane] = rescale(before, after);
        }
        workgroupBarrier();
        sum = sum * factors[my_row];
        for (var place = lane % 8u; place < LANES; place = place + 8u) {
            let at = place * ROWS + my_row;
            let weight = weight_of(weight_tile[at], largest[my_row]);
            weight_tile[at] = bitcast<u32>(weight);
            sum = sum + weight;
        }
        workgroupBarrier();
        #for i in 0..8
        values.row{i} *= factors[{i}];
        #end
        if (my_column < parameters.value_dim) {
            for (var place = my_share; place < LANES; place = place + SHARES) {
                let other = min(first_key + place, span.keys - 1u);
                let elements = v_block(v_place(batch, key_head, other), my_column, parameters.value_dim);
                let at = place * ROWS;
                if (any_nonfinite(elements)) {
                    values.row0 += careful_product(bitcast<f32>(weight_tile[at]), elements);
                    #for i in 1..8
                    values.row{i} += careful_product(bitcast<f32>(weight_tile[at + {i}u]), elements);
                    #end
                } else {
                    values.row0 += bitcast<f32>(weight_tile[at]) * elements;
                    #for i in 1..8
                    values.row{i} += bitcast<f32>(weight_tile[at + {i}u]) * elements;
                    #end
                }
            }
        }
        workgroupBarrier();
    }
    // The shares of each row: of its sum, of what it has seen, of its values.
    shares[lane] = sum;
    weight_tile[lane] = seen;
    workgroupBarrier();
    var whole = 0.0;
    var row_seen = NOTHING;
    for (var place = 0u; place < 8u; place = place + 1u) {
        whole = whole + shares[my_row * 8u + place];
        row_seen = max(row_seen, weight_tile[my_row * 8u + place]);
    }
    let reduced_head = first_head + reduced / queries;
    let end_of_row = ending(reduced_head, largest[my_row], whole, row_seen);
    if (lane % 8u == 0u && my_row < rows) {
        store_sum(batch, reduced_head, reduced % queries, split, end_of_row);
    }
    let all = array<vec4<f32>, 8>(
        values.row0, values.row1, values.row2, values.row3, values.row4, values.row5, values.row6, values.row7,
    );
    for (var r = 0u; r < ROWS; r = r + 1u) {
        query_tile[r * LANES + lane] = all[r];
    }
    workgroupBarrier();
    // The 8 lanes that have a row's ending write its columns.
    if (my_row < rows) {
        let base = output_place(batch, reduced_head, reduced % queries) + split * parameters.output_split;
        for (var column = lane % 8u; 4u * column < parameters.value_dim; column = column + 8u) {
            var total = vec4<f32>();
            for (var share = 0u; share < SHARES; share = share + 1u) {
                total += query_tile[my_row * LANES + share * VALUE_LANES + column];
            }
            let ended = ended_block(total, end_of_row.factor, end_of_row.poisoned);
            store_block(base, 4u * column, parameters.value_dim, ended);
        }
    }
}
