// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, both products by cooperative matrices: q rounded to
// f16, k and v as they are, weights rounded to f16, sums in f32. A workgroup is 4 subgroups and takes SIDE queries for each; it
// goes over the keys of its split in tiles of KEY_FRAGMENTS matrices: products, masked logits, running maximum and sum,
// weights, values.
//
// The summed values stay in matrices, FRAGMENTS for each subgroup, and have names: an array might be indexed in memory. A
// matrix gives its elements to no lane, so to be rescaled they go through workgroup memory. That is put off while a row's
// maximum has risen by at most SLACK: its weights are then up to exp(SLACK), well within f16.

#import attention/flash
#import attention/flash_tile
#import attention/keys
#import attention/masking
#import attention/parameters
#import attention/queries
#import attention/values
#import component
#import kinds
#import matrices/matrices

const ROWS: u32 = 4u * SIDE;
const KEYS: u32 = KEY_FRAGMENTS * SIDE;
const DIM: u32 = FRAGMENTS * SIDE;
const LANES: u32 = 4u * SUBGROUP_SIZE;
// Lanes that share a row, each with every so many 4 keys of it.
const SHARE: u32 = SUBGROUP_SIZE / SIDE;
// A lane has a bit for each of its keys.
const_assert KEYS <= 32u * SHARE;
const SLACK: f32 = 8.0;
// From one row to the next: 16 bytes more than it has, against bank conflicts.
const PITCH: u32 = DIM + 8u;
const WEIGHTS_PITCH: u32 = KEYS + 8u;
const LOGITS_PITCH: u32 = KEYS + 4u;
// Queries, keys (then values), weights.
const KEYS_AT: u32 = ROWS * PITCH;
const WEIGHTS_AT: u32 = KEYS_AT + KEYS * PITCH;
const PANEL_ELEMENTS: u32 = WEIGHTS_AT + ROWS * WEIGHTS_PITCH;

// Products, then logits of a tile; or a matrix of summed values of each subgroup.
var<workgroup> logits: array<f32, ROWS * LOGITS_PITCH>;
// One for each row and each of the lanes that share it.
var<workgroup> shares: array<f32, LANES>;
// Of each row: by what the values summed so far are multiplied; at the end, what they take, and whether they are NaN.
var<workgroup> factor_tile: array<f32, ROWS>;
var<workgroup> poison_tile: array<f32, ROWS>;
// Whether a row's maximum rose by more than the slack, and whether a value is no number: the sums go through workgroup
// memory.
const RISEN: u32 = 1u;
const STRANGE: u32 = 2u;
var<workgroup> rework: atomic<u32>;

// The columns of head_dim that matrices take.
fn depth() -> u32 {
    return (parameters.head_dim + SIDE - 1u) / SIDE * SIDE;
}

fn stage_queries(tile: Tile, invocation: u32) {
    let base = q_place(tile.batch, tile.head, tile.first_query);
    let blocks = depth() / 4u;
    for (var element = invocation; element < ROWS * blocks; element = element + LANES) {
        let row = element / blocks;
        let first = 4u * (element % blocks);
        let query = min(row, tile.queries - 1u);
        put(row * PITCH + first, vec4<f16>(q_block(base + query * parameters.q_row, first, parameters.head_dim)));
    }
}

fn stage_keys(tile: Tile, first_key: u32, invocation: u32) {
    let blocks = depth() / 4u;
    for (var element = invocation; element < KEYS * blocks; element = element + LANES) {
        let row = element / blocks;
        let first = 4u * (element % blocks);
        let place = k_place(tile.batch, tile.key_head, min(first_key + row, tile.span.keys - 1u));
        put(KEYS_AT + row * PITCH + first, vec4<f16>(k_block(place, first, parameters.head_dim)));
    }
}

fn no_number(values: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(values) & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
}

// Values that are no number are left out: 0 times them would be one in every row.
fn stage_values(tile: Tile, first_key: u32, invocation: u32) {
    for (var element = invocation; element < KEYS * DIM / 4u; element = element + LANES) {
        let row = element / (DIM / 4u);
        let first = 4u * (element % (DIM / 4u));
        let place = v_place(tile.batch, tile.key_head, min(first_key + row, tile.span.keys - 1u));
        let values = v_block(place, first, parameters.value_dim);
        if (any_nonfinite(values)) {
            atomicOr(&rework, STRANGE);
        }
        put(KEYS_AT + row * PITCH + first, vec4<f16>(select(values, vec4<f32>(), no_number(values))));
    }
}

// What the values that are no number add to a row's sums of a column.
fn strange_sum(tile: Tile, first_key: u32, row: u32, column: u32) -> f32 {
    var sum = 0.0;
    for (var key = 0u; key < KEYS; key = key + 1u) {
        let place = v_place(tile.batch, tile.key_head, min(first_key + key, tile.span.keys - 1u));
        let block = v_block(place, column / 4u * 4u, parameters.value_dim);
        let value = component(select(vec4<f32>(), block, no_number(block)), column % 4u);
        let weight = f32(element_at(WEIGHTS_AT + row * WEIGHTS_PITCH + key));
        sum = sum + select(weight * value, 0.0, weight == 0.0);
    }
    return sum;
}

// The matrix of summed values in the subgroup's part of the logits, whose first column is that, made ready for more.
fn rescale_sums(tile: Tile, first_key: u32, first_column: u32, subgroup: u32, lane: u32) {
    workgroupBarrier();
    for (var element = lane; element < SIDE * SIDE; element = element + SUBGROUP_SIZE) {
        let row = subgroup * SIDE + element / SIDE;
        let column = element % SIDE;
        let place = row * LOGITS_PITCH + column;
        var value = logits[place] * factor_tile[row];
        if ((atomicLoad(&rework) & STRANGE) != 0u && first_column + column < parameters.value_dim) {
            value = value + strange_sum(tile, first_key, row, first_column + column);
        }
        logits[place] = value;
    }
    workgroupBarrier();
}

// The same at the end: into the output.
fn finish(tile: Tile, first_column: u32, subgroup: u32, lane: u32) {
    let base = output_place(tile.batch, tile.head, tile.first_query) + tile.split * parameters.output_split;
    workgroupBarrier();
    for (var element = lane; element < SIDE * SIDE; element = element + SUBGROUP_SIZE) {
        let row = subgroup * SIDE + element / SIDE;
        let column = first_column + element % SIDE;
        if (row < tile.queries && column < parameters.value_dim) {
            let value = logits[row * LOGITS_PITCH + element % SIDE];
            output[base + row * parameters.output_row + column] = ended(value, factor_tile[row], poison_tile[row] > 0.0);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Not by workgroup_index(), and no other early return: naga takes what a function gives for different in each invocation,
    // and matrices must be met by all of them. A tile without queries goes over no keys.
    let index = id.y * count.x + id.x;
    if (index >= parameters.tiles) {
        return;
    }
    let tile = tile_of(index, ROWS);
    let own_row = subgroup * SIDE + lane / SHARE;
    let own_part = lane % SHARE;
    let own_query = tile.first_query + min(own_row, max(tile.queries, 1u) - 1u);
    let own = row_of_query(tile.span, tile.batch, tile.head, own_query);
    let own_share = subgroup * SUBGROUP_SIZE + lane;
    let first_share = own_share - own_part;
    let own_logits = subgroup * SIDE * LOGITS_PITCH;
    if (tile.queries > 0u) {
        stage_queries(tile, invocation);
    }
    // Of the lane's own row; the sum and what was seen of its own keys only.
    var largest = LOWEST;
    var sum = 0.0;
    var seen = NOTHING;
    var values0 = Sums();
    var values1 = Sums();
    var values2 = Sums();
    var values3 = Sums();
    var values4 = Sums();
    var values5 = Sums();
    var values6 = Sums();
    var values7 = Sums();
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
        stage_keys(tile, first_key, invocation);
        workgroupBarrier();
        var products0 = Sums();
        var products1 = Sums();
        var products2 = Sums();
        var products3 = Sums();
        for (var d = 0u; d < depth(); d = d + SIDE) {
            let queries = coopLoadT<Left>(&panels[(subgroup * SIDE * PITCH + d) / PANEL_WORD], PITCH / PANEL_WORD);
            let at = KEYS_AT + d;
            let next = SIDE * PITCH;
            products0 = coopMultiplyAdd(
                queries, coopLoad<Right>(&panels[at / PANEL_WORD], PITCH / PANEL_WORD), products0,
            );
            products1 = coopMultiplyAdd(
                queries, coopLoad<Right>(&panels[(at + next) / PANEL_WORD], PITCH / PANEL_WORD), products1,
            );
            if (KEY_FRAGMENTS > 2u) {
                products2 = coopMultiplyAdd(
                    queries, coopLoad<Right>(&panels[(at + 2u * next) / PANEL_WORD], PITCH / PANEL_WORD), products2,
                );
                products3 = coopMultiplyAdd(
                    queries, coopLoad<Right>(&panels[(at + 3u * next) / PANEL_WORD], PITCH / PANEL_WORD), products3,
                );
            }
        }
        coopStoreT(products0, &logits[own_logits], LOGITS_PITCH);
        coopStoreT(products1, &logits[own_logits + SIDE], LOGITS_PITCH);
        if (KEY_FRAGMENTS > 2u) {
            coopStoreT(products2, &logits[own_logits + 2u * SIDE], LOGITS_PITCH);
            coopStoreT(products3, &logits[own_logits + 3u * SIDE], LOGITS_PITCH);
        }
        if (invocation == 0u) {
            atomicStore(&rework, 0u);
        }
        workgroupBarrier();
        stage_values(tile, first_key, invocation);
        let seen_before = seen;
        // Bits of the lane's keys that have weights.
        var weighted = 0u;
        var highest = LOWEST;
        for (var key4 = own_part; key4 < KEYS / 4u; key4 = key4 + SHARE) {
            let at = own_row * LOGITS_PITCH + 4u * key4;
            let products = vec4<f32>(logits[at], logits[at + 1u], logits[at + 2u], logits[at + 3u]);
            let words = masked_logits(own, first_key + 4u * key4, products);
            seen = max(seen, kind_from_four(words));
            let bits = select(vec4<u32>(), vec4<u32>(1u, 2u, 4u, 8u), have_weights(words));
            weighted = weighted | ((bits.x | bits.y | bits.z | bits.w) << (4u * (key4 / SHARE)));
            let found = logits_from(words);
            highest = max(highest, max(max(found.x, found.y), max(found.z, found.w)));
            logits[at] = found.x;
            logits[at + 1u] = found.y;
            logits[at + 2u] = found.z;
            logits[at + 3u] = found.w;
        }
        shares[own_share] = highest;
        workgroupBarrier();
        for (var part = 0u; part < SHARE; part = part + 1u) {
            highest = max(highest, shares[first_share + part]);
        }
        let before = largest;
        if (highest > before + SLACK) {
            largest = highest;
        }
        let factor = rescale(before, largest);
        factor_tile[own_row] = factor;
        // Lanes that have seen no number have summed nothing that is to be rescaled.
        if (factor != 1.0 && seen_before >= NUMBERS) {
            atomicOr(&rework, RISEN);
        }
        sum = sum * factor;
        for (var key4 = own_part; key4 < KEYS / 4u; key4 = key4 + SHARE) {
            let at = own_row * LOGITS_PITCH + 4u * key4;
            let found = vec4<f32>(logits[at], logits[at + 1u], logits[at + 2u], logits[at + 3u]);
            let own_bits = vec4<u32>(weighted >> (4u * (key4 / SHARE))) & vec4<u32>(1u, 2u, 4u, 8u);
            let weights = weights_among(found, largest, own_bits != vec4<u32>());
            sum = sum + weights.x + weights.y + weights.z + weights.w;
            put(WEIGHTS_AT + own_row * WEIGHTS_PITCH + 4u * key4, vec4<f16>(weights));
        }
        workgroupBarrier();
        if (atomicLoad(&rework) != 0u) {
            coopStoreT(values0, &logits[own_logits], LOGITS_PITCH);
            rescale_sums(tile, first_key, 0u, subgroup, lane);
            values0 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
            coopStoreT(values1, &logits[own_logits], LOGITS_PITCH);
            rescale_sums(tile, first_key, SIDE, subgroup, lane);
            values1 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
            if (FRAGMENTS > 2u) {
                coopStoreT(values2, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 2u * SIDE, subgroup, lane);
                values2 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
                coopStoreT(values3, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 3u * SIDE, subgroup, lane);
                values3 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
            }
            if (FRAGMENTS > 4u) {
                coopStoreT(values4, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 4u * SIDE, subgroup, lane);
                values4 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
                coopStoreT(values5, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 5u * SIDE, subgroup, lane);
                values5 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
                coopStoreT(values6, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 6u * SIDE, subgroup, lane);
                values6 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
                coopStoreT(values7, &logits[own_logits], LOGITS_PITCH);
                rescale_sums(tile, first_key, 7u * SIDE, subgroup, lane);
                values7 = coopLoadT<Sums>(&logits[own_logits], LOGITS_PITCH);
            }
        }
        for (var key = 0u; key < KEYS; key = key + SIDE) {
            let at = WEIGHTS_AT + subgroup * SIDE * WEIGHTS_PITCH + key;
            let weights = coopLoadT<Left>(&panels[at / PANEL_WORD], WEIGHTS_PITCH / PANEL_WORD);
            let rows = KEYS_AT + key * PITCH;
            values0 = coopMultiplyAdd(
                weights, coopLoadT<Right>(&panels[rows / PANEL_WORD], PITCH / PANEL_WORD), values0,
            );
            values1 = coopMultiplyAdd(
                weights, coopLoadT<Right>(&panels[(rows + SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values1,
            );
            if (FRAGMENTS > 2u) {
                values2 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 2u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values2,
                );
                values3 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 3u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values3,
                );
            }
            if (FRAGMENTS > 4u) {
                values4 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 4u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values4,
                );
                values5 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 5u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values5,
                );
                values6 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 6u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values6,
                );
                values7 = coopMultiplyAdd(
                    weights, coopLoadT<Right>(&panels[(rows + 7u * SIDE) / PANEL_WORD], PITCH / PANEL_WORD), values7,
                );
            }
        }
        workgroupBarrier();
    }
    shares[own_share] = sum;
    workgroupBarrier();
    var whole = 0.0;
    for (var part = 0u; part < SHARE; part = part + 1u) {
        whole = whole + shares[first_share + part];
    }
    workgroupBarrier();
    shares[own_share] = f32(seen);
    workgroupBarrier();
    var row_seen = 0.0;
    for (var part = 0u; part < SHARE; part = part + 1u) {
        row_seen = max(row_seen, shares[first_share + part]);
    }
    let end_of_row = ending(tile.head, largest, whole, u32(row_seen));
    factor_tile[own_row] = end_of_row.factor;
    poison_tile[own_row] = select(0.0, 1.0, end_of_row.poisoned);
    if (own_part == 0u && own_row < tile.queries) {
        store_sum(tile.batch, tile.head, tile.first_query + own_row, tile.split, end_of_row);
    }
    coopStoreT(values0, &logits[own_logits], LOGITS_PITCH);
    finish(tile, 0u, subgroup, lane);
    coopStoreT(values1, &logits[own_logits], LOGITS_PITCH);
    finish(tile, SIDE, subgroup, lane);
    if (FRAGMENTS > 2u) {
        coopStoreT(values2, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 2u * SIDE, subgroup, lane);
        coopStoreT(values3, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 3u * SIDE, subgroup, lane);
    }
    if (FRAGMENTS > 4u) {
        coopStoreT(values4, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 4u * SIDE, subgroup, lane);
        coopStoreT(values5, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 5u * SIDE, subgroup, lane);
        coopStoreT(values6, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 6u * SIDE, subgroup, lane);
        coopStoreT(values7, &logits[own_logits], LOGITS_PITCH);
        finish(tile, 7u * SIDE, subgroup, lane);
    }
}
