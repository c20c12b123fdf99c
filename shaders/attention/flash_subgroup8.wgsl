// output = softmax(scale · q·kᵀ + mask) · v in one pass over the keys, for subgroups of exactly 8 and rows of up to
// 32 · DIM_BLOCKS elements.
//
// A workgroup is one subgroup and computes 32 queries of a head. A lane has 4 of them: all their elements and all their sums,
// a vec4 over the queries for each element and each column. In each trip over a key or two the lanes load these keys' rows,
// 4 elements each, which go round by broadcasts from constant lanes. So maxima, weights and sums need no exchange between
// lanes, and no memory. Rows and keys beyond the end are the last ones again.
//
// A value that is no number shows in the sums, so that nothing is looked for in the trips. Where one does, three further
// phases over the keys find which sums are to have what (a weight of 0 takes nothing of it), and the sums without it.

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

const TILE_ROWS: u32 = 4u * SUBGROUP_SIZE;
// Keys of a trip.
const KEYS: u32 = select(1u, 2u, DIM_BLOCKS == 1u);

// The phases, each of which goes over all keys. A sum of PHASE_PLUS_INFINITY is 0 unless NaN or +∞ has a weight, one of
// PHASE_MINUS_INFINITY unless NaN or −∞ has.
const PHASE_SUMS: u32 = 0u;
const PHASE_PLUS_INFINITY: u32 = 1u;
const PHASE_MINUS_INFINITY: u32 = 2u;
const PHASE_FINITE_SUMS: u32 = 3u;
const PHASES: u32 = 4u;

// 4 elements of the lane's queries: a vec4 of queries for each element.
fn load_queries(places: vec4<u32>, block: u32) -> Quad {
    return transposed(Quad(
        q_block(places.x, 4u * block, parameters.head_dim), q_block(places.y, 4u * block, parameters.head_dim),
        q_block(places.z, 4u * block, parameters.head_dim), q_block(places.w, 4u * block, parameters.head_dim),
    ));
}

// Something of a trip's keys: of each a vec4 over the lane's queries, or over 4 elements of the key.
struct Pair {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn load_keys(places: vec2<u32>, block: u32) -> Pair {
    var keys = Pair(k_block(places.x, 4u * block, parameters.head_dim), vec4<f32>());
    if (KEYS > 1u) {
        keys.b = k_block(places.y, 4u * block, parameters.head_dim);
    }
    return keys;
}

// The keys' products with the lane's queries, and 4 elements more.
fn add_products(products: Pair, a: vec4<f32>, b: vec4<f32>, queries: Quad) -> Pair {
    var sum = Pair(multiply(products.a, a, queries), products.b);
    if (KEYS > 1u) {
        sum.b = multiply(products.b, b, queries);
    }
    return sum;
}

// A column's sums, times `factor`, and the keys' values.
fn add_value(column: vec4<f32>, factor: vec4<f32>, a: f32, b: f32, weights: Pair) -> vec4<f32> {
    let sum = column * factor + a * weights.a;
    if (KEYS > 1u) {
        return sum + b * weights.b;
    }
    return sum;
}

fn add_values(columns: Quad, factor: vec4<f32>, a: vec4<f32>, b: vec4<f32>, weights: Pair) -> Quad {
    return Quad(
        add_value(columns.k0, factor, a.x, b.x, weights),
        add_value(columns.k1, factor, a.y, b.y, weights),
        add_value(columns.k2, factor, a.z, b.z, weights),
        add_value(columns.k3, factor, a.w, b.w, weights),
    );
}

// What a value counts in a phase.
fn counted(value: vec4<f32>, phase: u32) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(value);
    let strange = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let other_sign = select(INFINITY_BITS, NEGATIVE_INFINITY_BITS, phase == PHASE_PLUS_INFINITY);
    let count = select(vec4<f32>(), vec4<f32>(1.0), strange & (bits != vec4<u32>(other_sign)));
    let finite = select(value, vec4<f32>(), strange);
    return select(select(count, finite, phase == PHASE_FINITE_SUMS), value, phase == PHASE_SUMS);
}

fn load_values(places: vec2<u32>, block: u32, phase: u32) -> Pair {
    var values = Pair(counted(v_block(places.x, 4u * block, parameters.value_dim), phase), vec4<f32>());
    if (KEYS > 1u) {
        values.b = counted(v_block(places.y, 4u * block, parameters.value_dim), phase);
    }
    return values;
}

fn magnitudes(values: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(values) & vec4<u32>(0x7fffffffu);
}

// The largest magnitude of each query's sums.
fn largest_of(block: Quad) -> vec4<u32> {
    return max(max(magnitudes(block.k0), magnitudes(block.k1)), max(magnitudes(block.k2), magnitudes(block.k3)));
}

// Bits of 4 columns from `bit` on, set where the sum is not 0.
fn bits_of(block: Quad, bit: u32) -> vec4<u32> {
    let none = vec4<f32>();
    return (select(vec4<u32>(), vec4<u32>(1u), block.k0 != none)
        | select(vec4<u32>(), vec4<u32>(2u), block.k1 != none)
        | select(vec4<u32>(), vec4<u32>(4u), block.k2 != none)
        | select(vec4<u32>(), vec4<u32>(8u), block.k3 != none)) << vec4<u32>(bit);
}

// What the sums of each query met: bits of columns 0 to 31, 32 to 63, and so on.
struct NonFinite {
    #for i in 0..4
    k{i}: vec4<u32>,
    #end
}

// Bits of the columns from `column` on, which is divisible by 4: as many as are in its 32.
fn met_from(met: NonFinite, column: u32) -> vec4<u32> {
    let low = select(met.k0, met.k1, (column & 32u) != 0u);
    let high = select(met.k2, met.k3, (column & 32u) != 0u);
    return select(low, high, column >= 64u) >> vec4<u32>(column % 32u);
}

// The lane's queries, as `Row` has one.
struct Rows {
    begin: vec4<u32>,
    end: vec4<u32>,
    position: vec4<i32>,
    mask_start: vec4<u32>,
    head: Head,
    padding_start: u32,
}

fn rows_of(a: Row, b: Row, c: Row, d: Row) -> Rows {
    return Rows(
        vec4<u32>(a.begin, b.begin, c.begin, d.begin), vec4<u32>(a.end, b.end, c.end, d.end),
        vec4<i32>(a.position, b.position, c.position, d.position),
        vec4<u32>(a.mask_start, b.mask_start, c.mask_start, d.mask_start),
        a.head, a.padding_start,
    );
}

// The logits of a key.
fn logits_of(rows: Rows, key: u32, dots: vec4<f32>) -> Logits {
    let open = (vec4<u32>(key) >= rows.begin) & (vec4<u32>(key) < rows.end);
    var found = Scores(open, dots * rows.head.scale);
    if (TERMS) {
        // What lies beyond a row's end is not read.
        let inside = min(vec4<u32>(key), max(rows.end, vec4<u32>(1u)) - 1u);
        let distances = vec4<i32>(i32(key)) - rows.position;
        let mask_at = rows.mask_start + inside * parameters.mask_column;
        let pairs = Pairs(distances, rows.padding_start + inside, mask_at, rows.head);
        found = scores_of(pairs, found.open, found.scores);
    }
    return logits_among(found.scores, found.open);
}

// Of each row, as `weights_of` and `rescale` give them.
fn weights_by(logits: Logits, most: vec4<f32>) -> vec4<f32> {
    let powers = exp(max(logits.numbers - most, vec4<f32>(-150.0)));
    return select(vec4<f32>(), powers, logits.kinds == vec4<u32>(NUMBERS));
}

fn rescale_by(before: vec4<f32>, after: vec4<f32>) -> vec4<f32> {
    let factor = exp(max(before - after, vec4<f32>(-150.0)));
    return select(factor, vec4<f32>(1.0), before == after);
}

// What the sums of a lane's rows are multiplied by, and which rows are NaN.
struct Factors {
    factors: vec4<f32>,
    poisoned: vec4<bool>,
}

// A column's sums as they are stored; bit 0 of `above` and `below` tells what they met.
fn ended_by(by: Factors, values: vec4<f32>, above: vec4<u32>, below: vec4<u32>) -> vec4<f32> {
    let up = (above & vec4<u32>(1u)) != vec4<u32>();
    let down = (below & vec4<u32>(1u)) != vec4<u32>();
    let infinite = select(
        vec4<f32>(from_bits(INFINITY_BITS)), vec4<f32>(from_bits(NEGATIVE_INFINITY_BITS)), down,
    );
    let met = select(values * by.factors, infinite, up | down);
    return select(met, vec4<f32>(from_bits(NAN_BITS)), by.poisoned | (up & down));
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
    let batch = tile.batch;
    let head = tile.head;
    let last_query = tile.first_query + tile.queries - 1u;
    let my_queries = min(tile.first_query + 4u * lane + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last_query));
    let rows = rows_of(
        row_of_query(tile.span, batch, head, my_queries.x), row_of_query(tile.span, batch, head, my_queries.y),
        row_of_query(tile.span, batch, head, my_queries.z), row_of_query(tile.span, batch, head, my_queries.w),
    );
    // Where keys do not lie in blocks: the first one's row in k and in v.
    let first_steps = key_steps(batch, 0u);
    let first_places = vec2<u32>(k_at(first_steps, tile.key_head), v_at(first_steps, tile.key_head));
    let query_places = q_place(batch, head, 0u) + my_queries * parameters.q_row;
    #for i in 0..32
    var query{i} = Quad();
    #end
    // A loop, since each load takes long to compile; at each step all go down a place, which takes less than to choose one.
    // `lane / 32u` is always 0; it hides the number of trips from Mesa's unroller.
    for (var block = 0u; block < 8u * DIM_BLOCKS + lane / 32u; block = block + 1u) {
        #for i in 0..31
        query{i} = query{i+1};
        #end
        let found = load_queries(query_places, block);
        if (DIM_BLOCKS == 1u) {
            query7 = found;
        }
        if (DIM_BLOCKS == 2u) {
            query15 = found;
        }
        if (DIM_BLOCKS == 4u) {
            query31 = found;
        }
    }
    var largest = vec4<f32>(LOWEST);
    var sum = vec4<f32>();
    var seen = vec4<u32>(NOTHING);
    var above = NonFinite();
    var below = NonFinite();
    #for i in 0..32
    var sums{i} = Quad();
    #end
    for (var phase = PHASE_SUMS; phase < PHASES; phase = phase + 1u) {
        sum = vec4<f32>();
        #for i in 0..32
        sums{i} = Quad();
        #end
        for (var key = tile.begin / KEYS * KEYS; key < tile.end; key = key + KEYS) {
            let keys = min(key + vec2<u32>(0u, 1u), vec2<u32>(tile.end - 1u));
            var key_places = first_places.x + keys * parameters.k_row;
            var value_places = first_places.y + keys * parameters.v_row;
            if (PAGED) {
                let step_a = key_steps(batch, keys.x);
                let step_b = key_steps(batch, keys.y);
                key_places = vec2<u32>(k_at(step_a, tile.key_head), k_at(step_b, tile.key_head));
                value_places = vec2<u32>(v_at(step_a, tile.key_head), v_at(step_b, tile.key_head));
            }
            let keys0 = load_keys(key_places, lane);
            var products = Pair();
            #for i in 0..8
            products = add_products(products, subgroupBroadcast(keys0.a, {i}u), subgroupBroadcast(keys0.b, {i}u), query{i});
            #end
            if (DIM_BLOCKS > 1u) {
                let keys1 = load_keys(key_places, lane + 8u);
                #for i in 0..8
                products = add_products(products, subgroupBroadcast(keys1.a, {i}u), subgroupBroadcast(keys1.b, {i}u), query{i+8});
                #end
            }
            if (DIM_BLOCKS > 2u) {
                let keys2 = load_keys(key_places, lane + 16u);
                #for i in 0..8
                products = add_products(products, subgroupBroadcast(keys2.a, {i}u), subgroupBroadcast(keys2.b, {i}u), query{i+16});
                #end
                let keys3 = load_keys(key_places, lane + 24u);
                #for i in 0..8
                products = add_products(products, subgroupBroadcast(keys3.a, {i}u), subgroupBroadcast(keys3.b, {i}u), query{i+24});
                #end
            }
            let logits_a = logits_of(rows, key, products.a);
            var logits_b = Logits(vec4<f32>(LOWEST), vec4<u32>(NOTHING));
            if (KEYS > 1u) {
                logits_b = logits_of(rows, key + 1u, products.b);
            }
            seen = max(seen, max(logits_a.kinds, logits_b.kinds));
            let before = largest;
            largest = max(largest, max(logits_a.numbers, logits_b.numbers));
            let factor = rescale_by(before, largest);
            let weights = Pair(weights_by(logits_a, largest), weights_by(logits_b, largest));
            sum = sum * factor + (weights.a + weights.b);
            let values0 = load_values(value_places, lane, phase);
            #for i in 0..8
            sums{i} = add_values(sums{i}, factor, subgroupBroadcast(values0.a, {i}u), subgroupBroadcast(values0.b, {i}u), weights);
            #end
            if (DIM_BLOCKS > 1u) {
                let values1 = load_values(value_places, lane + 8u, phase);
                #for i in 0..8
                sums{i+8} = add_values(sums{i+8}, factor, subgroupBroadcast(values1.a, {i}u), subgroupBroadcast(values1.b, {i}u), weights);
                #end
            }
            if (DIM_BLOCKS > 2u) {
                let values2 = load_values(value_places, lane + 16u, phase);
                #for i in 0..8
                sums{i+16} = add_values(sums{i+16}, factor, subgroupBroadcast(values2.a, {i}u), subgroupBroadcast(values2.b, {i}u), weights);
                #end
                let values3 = load_values(value_places, lane + 24u, phase);
                #for i in 0..8
                sums{i+24} = add_values(sums{i+24}, factor, subgroupBroadcast(values3.a, {i}u), subgroupBroadcast(values3.b, {i}u), weights);
                #end
            }
        }
        if (phase == PHASE_SUMS) {
            var most = vec4<u32>();
            #for i in 0..8
            most = max(most, largest_of(sums{i}));
            #end
            if (DIM_BLOCKS > 1u) {
                #for i in 8..16
                most = max(most, largest_of(sums{i}));
                #end
            }
            if (DIM_BLOCKS > 2u) {
                #for i in 16..32
                most = max(most, largest_of(sums{i}));
                #end
            }
            if (!subgroupAny(any(most >= vec4<u32>(INFINITY_BITS)))) {
                break;
            }
        }
        var met = NonFinite();
        met.k0 = bits_of(sums0, 0u)
            #for i in 1..7
            | bits_of(sums{i}, {i*4}u)
            #end
            | bits_of(sums7, 28u);
        if (DIM_BLOCKS > 1u) {
            met.k1 = bits_of(sums8, 0u)
                | bits_of(sums9, 4u)
                | bits_of(sums10, 8u)
                | bits_of(sums11, 12u)
                | bits_of(sums12, 16u)
                | bits_of(sums13, 20u)
                | bits_of(sums14, 24u)
                | bits_of(sums15, 28u);
        }
        if (DIM_BLOCKS > 2u) {
            met.k2 = bits_of(sums16, 0u)
                | bits_of(sums17, 4u)
                | bits_of(sums18, 8u)
                | bits_of(sums19, 12u)
                | bits_of(sums20, 16u)
                | bits_of(sums21, 20u)
                | bits_of(sums22, 24u)
                | bits_of(sums23, 28u);
            met.k3 = bits_of(sums24, 0u)
                | bits_of(sums25, 4u)
                | bits_of(sums26, 8u)
                | bits_of(sums27, 12u)
                | bits_of(sums28, 16u)
                | bits_of(sums29, 20u)
                | bits_of(sums30, 24u)
                | bits_of(sums31, 28u);
        }
        if (phase == PHASE_PLUS_INFINITY) {
            above = met;
        }
        if (phase == PHASE_MINUS_INFINITY) {
            below = met;
        }
    }
    var by = Factors();
    // A loop, since its text four times takes long to compile.
    for (var row = 0u; row < 4u; row = row + 1u) {
        let end = ending(head, largest[row], sum[row], seen[row]);
        store_sum(batch, head, my_queries[row], tile.split, end);
        let here = vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(row);
        by.factors = select(by.factors, vec4<f32>(end.factor), here);
        by.poisoned = by.poisoned | (here & vec4<bool>(end.poisoned));
    }
    let base = output_place(batch, head, 0u) + tile.split * parameters.output_split;
    let places = base + my_queries * parameters.output_row;
    for (var column = 0u; column < parameters.value_dim; column = column + 4u) {
        let block = sums0;
        let up = met_from(above, column);
        let down = met_from(below, column);
        let ended_rows = transposed(Quad(
            ended_by(by, block.k0, up, down),
            ended_by(by, block.k1, up >> vec4<u32>(1u), down >> vec4<u32>(1u)),
            ended_by(by, block.k2, up >> vec4<u32>(2u), down >> vec4<u32>(2u)),
            ended_by(by, block.k3, up >> vec4<u32>(3u), down >> vec4<u32>(3u)),
        ));
        store_block(places.x, column, parameters.value_dim, ended_rows.k0);
        store_block(places.y, column, parameters.value_dim, ended_rows.k1);
        store_block(places.z, column, parameters.value_dim, ended_rows.k2);
        store_block(places.w, column, parameters.value_dim, ended_rows.k3);
        // All go down a place.
        #for i in 0..31
        sums{i} = sums{i+1};
        #end
    }
}
