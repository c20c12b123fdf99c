// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, by one subgroup for TILE_ROWS queries of a head.
//
// Keys come in tiles of 4 for each lane. Products: a lane has its 4 keys' columns of every row in registers; in each
// trip over 4 elements it loads them of its keys, and those of the queries go round by broadcasts from constant lanes.
// Weights: they go through workgroup memory, so that here a lane has whole rows, and maxima and sums need no exchange.
// Values: a lane has 4 columns of every row. One subgroup is the whole workgroup, so that the barriers are its own.

#import attention/flash
#import attention/flash_tile
#import attention/keys
#import attention/masking
#import attention/parameters
#import attention/queries
#import attention/values
#import indexing
#import kinds
#import quad

const KEYS: u32 = 4u * SUBGROUP_SIZE;
// Registers in which the lanes hold 4 elements of each of the rows.
const LEFTS: u32 = (TILE_ROWS + SUBGROUP_SIZE - 1u) / SUBGROUP_SIZE;

const OTHER_BLOCKS: u32 = max(VALUE_BLOCKS, 5u) - 4u;

// Products, logits, then weights, as bits: [row][key / 4].
var<workgroup> weight_tile: array<vec4<u32>, TILE_ROWS * SUBGROUP_SIZE>;
// Where the values of each lane's 4 keys lie.
var<workgroup> value_places: array<vec4<u32>, SUBGROUP_SIZE>;
// Of each row.
var<workgroup> ending_tile: array<vec2<f32>, TILE_ROWS>;

fn load_keys(places: vec4<u32>, first: u32) -> Quad {
    return transposed(Quad(
        k_block(places.x, first, parameters.head_dim),
        k_block(places.y, first, parameters.head_dim),
        k_block(places.z, first, parameters.head_dim),
        k_block(places.w, first, parameters.head_dim),
    ));
}

// The values of 4 keys.
fn load_values(key4: u32, column: u32) -> Quad {
    let places = value_places[key4];
    return Quad(
        v_block(places.x, column, parameters.value_dim),
        v_block(places.y, column, parameters.value_dim),
        v_block(places.z, column, parameters.value_dim),
        v_block(places.w, column, parameters.value_dim),
    );
}

fn pick(block: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    var picked = a;
    if (VALUE_BLOCKS > 1u) {
        picked = select(picked, b, block == 1u);
    }
    if (VALUE_BLOCKS > 2u) {
        picked = select(select(picked, c, block == 2u), d, block == 3u);
    }
    return picked;
}

// What a lane knows of a row of its own.
struct State {
    largest: f32,
    sum: f32,
    // By which the last tile changed what was there.
    factor: f32,
    seen: u32,
}

// A row's products become its logits, then its weights.
fn weigh(before: State, row: Row, r: u32, first_key: u32) -> State {
    var after = before;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let words = masked_logits(row, first_key + 4u * key4, bitcast<vec4<f32>>(weight_tile[place]));
        after.seen = max(after.seen, kind_from_four(words));
        let logits = logits_from(words);
        after.largest = max(after.largest, max(max(logits.x, logits.y), max(logits.z, logits.w)));
        weight_tile[place] = words;
    }
    after.factor = rescale(before.largest, after.largest);
    after.sum = before.sum * after.factor;
    for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
        let place = r * SUBGROUP_SIZE + key4;
        let weights = weights_of(weight_tile[place], after.largest);
        after.sum = after.sum + weights.x + weights.y + weights.z + weights.w;
        weight_tile[place] = bitcast<vec4<u32>>(weights);
    }
    return after;
}

fn finish(state: State, tile: Tile, r: u32) {
    let end = ending(tile.head, state.largest, state.sum, state.seen);
    ending_tile[r] = vec2<f32>(end.factor, select(0.0, 1.0, end.poisoned));
    store_sum(tile.batch, tile.head, tile.first_query + r, tile.split, end);
}

@compute @workgroup_size(SUBGROUP_SIZE)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_of(workgroup_index(id, count), TILE_ROWS);
    if (tile.queries == 0u) {
        return;
    }
    let first_query = tile.first_query;
    let rows = tile.queries;
    // The rows that this lane loads, and weighs; those beyond the end are the last one again.
    let my_rows = lane + SUBGROUP_SIZE * vec4<u32>(0u, 1u, 2u, 3u);
    let left_rows = min(my_rows, vec4<u32>(rows - 1u));
    let left_places = q_place(tile.batch, tile.head, first_query) + left_rows * parameters.q_row;
    let row_a = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.x);
    let row_b = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.y);
    let row_c = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.z);
    let row_d = row_of_query(tile.span, tile.batch, tile.head, first_query + left_rows.w);
    var state_a = State(LOWEST, 0.0, 1.0, NOTHING);
    var state_b = state_a;
    var state_c = state_a;
    var state_d = state_a;
    let blocks = (parameters.value_dim + KEYS - 1u) / KEYS;
    // Of each row, for the first blocks of columns: registers, as long as no index is computed. Other blocks are in
    // memory, [block][row].
    #for i in 0..4
    var block{i}: array<vec4<f32>, 16>;
    #end
    var others: array<vec4<f32>, OTHER_BLOCKS * TILE_ROWS>;
    var before: array<vec4<f32>, 16>;
    for (var first_key = tile.begin / KEYS * KEYS; first_key < tile.end; first_key = first_key + KEYS) {
        let my_keys = min(first_key + 4u * lane + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(tile.span.keys - 1u));
        let step0 = key_steps(tile.batch, my_keys.x);
        let step1 = key_steps(tile.batch, my_keys.y);
        let step2 = key_steps(tile.batch, my_keys.z);
        let step3 = key_steps(tile.batch, my_keys.w);
        let places = vec4<u32>(
            k_at(step0, tile.key_head), k_at(step1, tile.key_head), k_at(step2, tile.key_head), k_at(step3, tile.key_head),
        );
        value_places[lane] = vec4<u32>(
            v_at(step0, tile.key_head), v_at(step1, tile.key_head), v_at(step2, tile.key_head), v_at(step3, tile.key_head),
        );
        #for i in 0..16
        var row{i} = vec4<f32>();
        #end
        for (var first = 0u; first < parameters.head_dim; first = first + 4u) {
            let right = load_keys(places, first);
            var left: array<vec4<f32>, 4>;
            left[0] = q_block(left_places.x, first, parameters.head_dim);
            if (LEFTS > 1u) {
                left[1] = q_block(left_places.y, first, parameters.head_dim);
            }
            if (LEFTS > 2u) {
                left[2] = q_block(left_places.z, first, parameters.head_dim);
                left[3] = q_block(left_places.w, first, parameters.head_dim);
            }
            #for i in 0..8
            row{i} = multiply(row{i}, subgroupBroadcast(left[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE), right);
            #end
            if (TILE_ROWS > 8u) {
                #for i in 8..16
                row{i} = multiply(row{i}, subgroupBroadcast(left[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE), right);
                #end
            }
        }
        #for i in 0..8
        weight_tile[{i}u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row{i});
        #end
        if (TILE_ROWS > 8u) {
            #for i in 8..16
            weight_tile[{i}u * SUBGROUP_SIZE + lane] = bitcast<vec4<u32>>(row{i});
            #end
        }
        workgroupBarrier();
        if (my_rows.x < TILE_ROWS) {
            state_a = weigh(state_a, row_a, my_rows.x, first_key);
        }
        if (LEFTS > 1u) {
            state_b = weigh(state_b, row_b, my_rows.y, first_key);
        }
        if (LEFTS > 2u) {
            state_c = weigh(state_c, row_c, my_rows.z, first_key);
            state_d = weigh(state_d, row_d, my_rows.w, first_key);
        }
        workgroupBarrier();
        let factors = array<f32, 4>(state_a.factor, state_b.factor, state_c.factor, state_d.factor);
        for (var block = 0u; block < blocks; block = block + 1u) {
            let column = KEYS * block + 4u * lane;
            var strange = false;
            // (block - 4) in the others.
            let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;
            #for i in 0..8
            row{i} = pick(block, block0[{i}], block1[{i}], block2[{i}], block3[{i}]);
            #end
            if (TILE_ROWS > 8u) {
                #for i in 8..16
                row{i} = pick(block, block0[{i}], block1[{i}], block2[{i}], block3[{i}]);
                #end
            }
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                #for i in 0..8
                row{i} = others[at + {i}u];
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    row{i} = others[at + {i}u];
                    #end
                }
            }
            #for i in 0..8
            row{i} = row{i} * subgroupBroadcast(factors[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE);
            #end
            if (TILE_ROWS > 8u) {
                #for i in 8..16
                row{i} = row{i} * subgroupBroadcast(factors[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE);
                #end
            }
            #for i in 0..8
            before[{i}] = row{i};
            #end
            if (TILE_ROWS > 8u) {
                #for i in 8..16
                before[{i}] = row{i};
                #end
            }
            for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                let right = load_values(key4, column);
                strange = strange || any_nonfinite(right.k0) || any_nonfinite(right.k1) || any_nonfinite(right.k2)
                    || any_nonfinite(right.k3);
                var left: array<vec4<f32>, 4>;
                left[0] = bitcast<vec4<f32>>(weight_tile[left_rows.x * SUBGROUP_SIZE + key4]);
                if (LEFTS > 1u) {
                    left[1] = bitcast<vec4<f32>>(weight_tile[left_rows.y * SUBGROUP_SIZE + key4]);
                }
                if (LEFTS > 2u) {
                    left[2] = bitcast<vec4<f32>>(weight_tile[left_rows.z * SUBGROUP_SIZE + key4]);
                    left[3] = bitcast<vec4<f32>>(weight_tile[left_rows.w * SUBGROUP_SIZE + key4]);
                }
                #for i in 0..8
                row{i} = multiply(row{i}, subgroupBroadcast(left[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE), right);
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    row{i} = multiply(row{i}, subgroupBroadcast(left[{i}u / SUBGROUP_SIZE], {i}u % SUBGROUP_SIZE), right);
                    #end
                }
            }
            if (subgroupAny(strange)) {
                // Once more: a weight of 0 takes nothing of a value that is no number.
                for (var key4 = 0u; key4 < SUBGROUP_SIZE; key4 = key4 + 1u) {
                    let right = load_values(key4, column);
                    for (var r = 0u; r < TILE_ROWS; r = r + 1u) {
                        let weights = bitcast<vec4<f32>>(weight_tile[r * SUBGROUP_SIZE + key4]);
                        before[r] += careful_sum(weights, right.k0, right.k1, right.k2, right.k3);
                    }
                }
                #for i in 0..8
                row{i} = before[{i}];
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    row{i} = before[{i}];
                    #end
                }
            }
            if (block == 0u) {
                #for i in 0..8
                block0[{i}] = row{i};
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    block0[{i}] = row{i};
                    #end
                }
            }
            if (VALUE_BLOCKS > 1u && block == 1u) {
                #for i in 0..8
                block1[{i}] = row{i};
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    block1[{i}] = row{i};
                    #end
                }
            }
            if (VALUE_BLOCKS > 2u && block == 2u) {
                #for i in 0..8
                block2[{i}] = row{i};
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    block2[{i}] = row{i};
                    #end
                }
            }
            if (VALUE_BLOCKS > 3u && block == 3u) {
                #for i in 0..8
                block3[{i}] = row{i};
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    block3[{i}] = row{i};
                    #end
                }
            }
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                #for i in 0..8
                others[at + {i}u] = row{i};
                #end
                if (TILE_ROWS > 8u) {
                    #for i in 8..16
                    others[at + {i}u] = row{i};
                    #end
                }
            }
        }
        workgroupBarrier();
    }
    if (my_rows.x < rows) {
        finish(state_a, tile, my_rows.x);
    }
    if (LEFTS > 1u && my_rows.y < rows) {
        finish(state_b, tile, my_rows.y);
    }
    if (LEFTS > 2u && my_rows.z < rows) {
        finish(state_c, tile, my_rows.z);
    }
    if (LEFTS > 2u && my_rows.w < rows) {
        finish(state_d, tile, my_rows.w);
    }
    workgroupBarrier();
    let base = output_place(tile.batch, tile.head, first_query) + tile.split * parameters.output_split;
    for (var block = 0u; block < blocks; block = block + 1u) {
        let at = max(block, 4u) * TILE_ROWS - 4u * TILE_ROWS;
        #for i in 0..8
        before[{i}] = pick(block, block0[{i}], block1[{i}], block2[{i}], block3[{i}]);
        #end
        if (TILE_ROWS > 8u) {
            #for i in 8..16
            before[{i}] = pick(block, block0[{i}], block1[{i}], block2[{i}], block3[{i}]);
            #end
        }
        for (var r = 0u; r < rows; r = r + 1u) {
            var values = before[r];
            if (VALUE_BLOCKS > 4u && block >= 4u) {
                values = others[at + r];
            }
            let ended = ended_block(values, ending_tile[r].x, ending_tile[r].y > 0.0);
            store_block(base + r * parameters.output_row, KEYS * block + 4u * lane, parameters.value_dim, ended);
        }
    }
}
