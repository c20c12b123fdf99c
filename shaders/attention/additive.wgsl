// output_i = Σ_j softmax_j(Σ_a w_a · tanh(q_ia + k_ja)) · v_j. A workgroup takes one or four queries of an item and goes
// over its keys in tiles of 64: SHARES lanes for each key while scores are made, a lane for each key while they become
// weights, a lane for each column while values are summed. The running sums of the values stay in `output`.

#import attention/query_rows_1 if QUERY_ROWS == 1
#import attention/query_rows_4 if QUERY_ROWS == 4
#import indexing
#import kinds

struct Parameters {
    items: u32,
    // Queries of each item.
    rows: u32,
    // Keys of each item, padding included.
    key_length: u32,
    // Columns of q and k.
    width: u32,
    value_dim: u32,
    has_lengths: u32,
    has_weights: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> score_weight: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;
@group(0) @binding(7) var<storage, read_write> weights: array<f32>;

// Keys of a tile.
const KEYS: u32 = WORKGROUP;
const SHARES: u32 = 8u;

// [key][share]: parts of the scores.
var<workgroup> parts: array<Numbers, KEYS * SHARES>;
// [key]: scores, then weights.
var<workgroup> tile: array<Numbers, KEYS>;
// What each row has seen.
var<workgroup> seen_by: array<atomic<u32>, 4>;

// A constant of these bits would be folded to what WGSL does not allow.
fn not_a_number() -> Numbers {
    return Numbers(bitcast<f32>(NAN_BITS | (parameters.items & 0u)));
}

fn magnitude_bits(values: Numbers) -> Words {
    return bitcast<Words>(values) & Words(0x7fffffffu);
}

// The part of a key's scores that is summed from the column `first` on in steps of SHARES. A NaN is told by its bits: exp
// may make a number of it.
fn part_of_score(queries: Words, key_at: u32, first: u32) -> Numbers {
    var sum = Numbers();
    var largest = Words();
    for (var column = first; column < parameters.width; column = column + SHARES) {
        let x = query_numbers(queries, column) + k[key_at + column];
        largest = max(largest, magnitude_bits(x));
        sum = sum + score_weight[column] * tanh_numbers(x);
    }
    return select(sum, not_a_number(), largest > Words(INFINITY_BITS));
}

// Of each row's score what `kind_of` tells of one.
fn kinds_of(scores: Numbers) -> Words {
    let bits = bitcast<Words>(scores);
    let strange = select(Words(POISON), Words(INFINITIES), bits == Words(NEGATIVE_INFINITY_BITS));
    return select(Words(NUMBERS), strange, (bits & Words(INFINITY_BITS)) == Words(INFINITY_BITS));
}

fn numbers_or_lowest(scores: Numbers, kinds: Words) -> Numbers {
    return select(Numbers(LOWEST), scores, kinds == Words(NUMBERS));
}

// Where the largest so far is `largest`.
fn weights_of(scores: Numbers, kinds: Words, largest: Numbers) -> Numbers {
    let powers = exp(max(numbers_or_lowest(scores, kinds) - largest, Numbers(-150.0)));
    return select(Numbers(), powers, kinds == Words(NUMBERS));
}

// What sums so far are multiplied by: they are 0 where no number was seen. 1 where the largest did not move: exp(0) need not be
// exact.
fn rescale(before: Numbers, after: Numbers) -> Numbers {
    return select(exp(max(before - after, Numbers(-150.0))), Numbers(1.0), before == after);
}

// factor · values, where a factor of 0 takes nothing, not even a NaN.
fn taken(factor: Numbers, values: Numbers) -> Numbers {
    return select(factor * values, Numbers(), factor == Numbers());
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(id, count);
    let tiles = (parameters.rows + QUERY_ROWS - 1u) / QUERY_ROWS;
    if (index >= parameters.items * tiles) {
        return;
    }
    let item = index / tiles;
    let first_row = item * parameters.rows + index % tiles * QUERY_ROWS;
    let end_row = (item + 1u) * parameters.rows;
    let queries = row_places(first_row, end_row, parameters.width);
    let outputs = row_places(first_row, end_row, parameters.value_dim);
    let rows = min(QUERY_ROWS, end_row - first_row);
    var keys = parameters.key_length;
    if (parameters.has_lengths != 0u) {
        keys = min(keys, lengths[item]);
    }
    let first_item_key = item * parameters.key_length;
    if (lane < 4u) {
        atomicStore(&seen_by[lane], NOTHING);
    }
    // Of the lane's own keys.
    var seen = Words(NOTHING);
    var largest = Numbers(LOWEST);
    var sum = Numbers();
    for (var first_key = 0u; first_key < keys; first_key = first_key + KEYS) {
        let here = min(KEYS, keys - first_key);
        for (var place = lane / SHARES; place < here; place = place + KEYS / SHARES) {
            let key_at = (first_item_key + first_key + place) * parameters.width;
            parts[place * SHARES + lane % SHARES] = part_of_score(queries, key_at, lane % SHARES);
        }
        workgroupBarrier();
        var score = Numbers();
        var kinds = Words(NOTHING);
        if (lane < here) {
            for (var share = 0u; share < SHARES; share = share + 1u) {
                score = score + parts[lane * SHARES + share];
            }
            kinds = kinds_of(score);
            seen = max(seen, kinds);
            if (parameters.has_weights != 0u) {
                // Read again at the end, by this lane.
                for (var row = 0u; row < rows; row = row + 1u) {
                    weights[(first_row + row) * parameters.key_length + first_key + lane] = number_of(score, row);
                }
            }
        }
        tile[lane] = numbers_or_lowest(score, kinds);
        workgroupBarrier();
        var highest = largest;
        for (var place = 0u; place < here; place = place + 1u) {
            highest = max(highest, tile[place]);
        }
        let factor = rescale(largest, highest);
        largest = highest;
        workgroupBarrier();
        tile[lane] = weights_of(score, kinds, largest);
        workgroupBarrier();
        sum = sum * factor;
        for (var place = 0u; place < here; place = place + 1u) {
            sum = sum + tile[place];
        }
        for (var column = lane; column < parameters.value_dim; column = column + WORKGROUP) {
            // Before the first tile nothing is there that counts. A branch would do, but Microsoft's FXC then takes the loop's
            // barriers for divergent ones (X3663), and refuses the module.
            var value = select(taken(factor, output_numbers(outputs, column)), Numbers(), first_key == 0u);
            let values_at = (first_item_key + first_key) * parameters.value_dim + column;
            for (var place = 0u; place < here; place = place + 1u) {
                value = value + taken(tile[place], Numbers(v[values_at + place * parameters.value_dim]));
            }
            for (var row = 0u; row < rows; row = row + 1u) {
                output[(first_row + row) * parameters.value_dim + column] = number_of(value, row);
            }
        }
    }
    workgroupBarrier();
    for (var row = 0u; row < rows; row = row + 1u) {
        atomicMax(&seen_by[row], word_of(seen, row));
    }
    workgroupBarrier();
    let all_seen = words_of(
        atomicLoad(&seen_by[0]), atomicLoad(&seen_by[1]), atomicLoad(&seen_by[2]), atomicLoad(&seen_by[3]),
    );
    let strange = (all_seen == Words(INFINITIES)) | (all_seen == Words(POISON));
    let scale = select(Numbers(), Numbers(1.0) / sum, all_seen == Words(NUMBERS));
    for (var column = lane; column < parameters.value_dim; column = column + WORKGROUP) {
        let value = select(taken(scale, output_numbers(outputs, column)), not_a_number(), strange);
        for (var row = 0u; row < rows; row = row + 1u) {
            output[(first_row + row) * parameters.value_dim + column] = number_of(value, row);
        }
    }
    if (parameters.has_weights != 0u) {
        for (var row = 0u; row < rows; row = row + 1u) {
            let base = (first_row + row) * parameters.key_length;
            for (var key = lane; key < parameters.key_length; key = key + WORKGROUP) {
                var weight = Numbers();
                if (key < keys) {
                    let score = Numbers(weights[base + key]);
                    weight = weights_of(score, kinds_of(score), largest) * scale;
                }
                // Masked keys too: a NaN in one score makes the whole row NaN.
                weights[base + key] = number_of(select(weight, not_a_number(), strange), row);
            }
        }
    }
}
