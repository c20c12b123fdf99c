// What the fused kernels share, those of the gradient too: logits, the running maximum, the end of a row. Logits stay
// natural: scaled by log₂ e for exp2 beforehand, one of 10⁴ would be off by 8e-4, where their difference is nearly exact.

#import attention/masking
#import attention/parameters
#import kinds

// A logit goes from lane to lane as its bits, and one without a weight as WEIGHTLESS with its kind.
const WEIGHTLESS: u32 = 0xff800000u;

// The logit of a key.
fn masked_logit(row: Row, key: u32, product: f32) -> u32 {
    var word = WEIGHTLESS | NOTHING;
    if (allowed(row, key)) {
        let logit = logit_of(row, key, product);
        let kind = kind_of(logit);
        word = select(WEIGHTLESS | kind, bitcast<u32>(logit), kind == NUMBERS);
    }
    return word;
}

// What is added up and compared of four logits: as numbers, and what each is.
struct Logits {
    numbers: vec4<f32>,
    kinds: vec4<u32>,
}

fn logits_among(logits: vec4<f32>, open: vec4<bool>) -> Logits {
    let bits = bitcast<vec4<u32>>(logits);
    let strange = select(vec4<u32>(POISON), vec4<u32>(INFINITIES), bits == vec4<u32>(NEGATIVE_INFINITY_BITS));
    let finite = (bits & vec4<u32>(INFINITY_BITS)) != vec4<u32>(INFINITY_BITS);
    let kinds = select(vec4<u32>(NOTHING), select(strange, vec4<u32>(NUMBERS), finite), open);
    return Logits(select(vec4<f32>(LOWEST), logits, open & finite), kinds);
}

// Four pairs of a query and a key, in vectors: a quarter of the code. All queries are of one head.
struct Pairs {
    // From the queries' positions to the keys.
    distances: vec4<i32>,
    // Where their entries stand in the key padding mask and in the mask.
    padding_at: vec4<u32>,
    mask_at: vec4<u32>,
    head: Head,
}

// Which keys take part, of those that band and length leave open, and their scores with all that is added.
struct Scores {
    open: vec4<bool>,
    scores: vec4<f32>,
}

fn scores_of(pairs: Pairs, open: vec4<bool>, scaled: vec4<f32>) -> Scores {
    var found = Scores(open, scaled);
    if (parameters.key_padding == 2u) {
        let at = pairs.padding_at;
        found.open = found.open & (vec4<u32>(items[at.x], items[at.y], items[at.z], items[at.w]) != vec4<u32>());
    }
    if (parameters.softcap != 0.0) {
        found.scores = vec4<f32>(
            softcapped(scaled.x), softcapped(scaled.y), softcapped(scaled.z), softcapped(scaled.w),
        );
    }
    if (parameters.slopes_at != NONE) {
        found.scores = found.scores - pairs.head.slope * vec4<f32>(abs(pairs.distances));
    }
    if (parameters.relative_at != NONE) {
        let reach = vec4<i32>(i32(parameters.relative_reach));
        let at = pairs.head.relative + vec4<u32>(clamp(pairs.distances, -reach, reach) + reach);
        found.scores = found.scores
            + vec4<f32>(head_terms[at.x], head_terms[at.y], head_terms[at.z], head_terms[at.w]);
    }
    if (parameters.mask_kind != 0u) {
        let at = pairs.mask_at;
        let words = vec4<u32>(mask[at.x], mask[at.y], mask[at.z], mask[at.w]);
        if (parameters.mask_kind == 1u) {
            found.open = found.open & (words != vec4<u32>());
        } else {
            found.open = found.open & (words != vec4<u32>(NEGATIVE_INFINITY_BITS));
            found.scores = found.scores + bitcast<vec4<f32>>(words);
        }
    }
    return found;
}

// The logits of a row's four keys from `key` on.
fn masked_logits(row: Row, key: u32, products: vec4<f32>) -> vec4<u32> {
    let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
    let open = (keys >= vec4<u32>(row.begin)) & (keys < vec4<u32>(row.end));
    // What lies beyond the end is not read.
    let inside = min(keys, vec4<u32>(max(row.end, 1u) - 1u));
    let distances = vec4<i32>(keys) - vec4<i32>(row.position);
    let mask_at = row.mask_start + inside * parameters.mask_column;
    let pairs = Pairs(distances, row.padding_start + inside, mask_at, row.head);
    let found = scores_of(pairs, open, products * row.head.scale);
    let logits = logits_among(found.scores, found.open);
    let weighted = logits.kinds == vec4<u32>(NUMBERS);
    return select(vec4<u32>(WEIGHTLESS) | logits.kinds, bitcast<vec4<u32>>(logits.numbers), weighted);
}

// Logits from their words.
fn logit_from(word: u32) -> f32 {
    return select(LOWEST, bitcast<f32>(word), has_weight(word));
}

fn logits_from(words: vec4<u32>) -> vec4<f32> {
    return select(vec4<f32>(LOWEST), bitcast<vec4<f32>>(words), have_weights(words));
}

fn has_weight(word: u32) -> bool {
    return (word & INFINITY_BITS) != INFINITY_BITS;
}

fn have_weights(words: vec4<u32>) -> vec4<bool> {
    return (words & vec4<u32>(INFINITY_BITS)) != vec4<u32>(INFINITY_BITS);
}

// What a logit is, and the largest that four are.
fn kind_from(word: u32) -> u32 {
    return select(word & 3u, NUMBERS, has_weight(word));
}

fn kind_from_four(words: vec4<u32>) -> u32 {
    let kinds = select(words & vec4<u32>(3u), vec4<u32>(NUMBERS), have_weights(words));
    return max(max(kinds.x, kinds.y), max(kinds.z, kinds.w));
}

// The weight of a logit where the row's maximum is `largest`.
fn weight_of(word: u32, largest: f32) -> f32 {
    return select(0.0, exp(max(logit_from(word) - largest, -150.0)), has_weight(word));
}

fn weights_among(logits: vec4<f32>, largest: f32, weighted: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(), exp(max(logits - largest, vec4<f32>(-150.0))), weighted);
}

fn weights_of(words: vec4<u32>, largest: f32) -> vec4<f32> {
    return weights_among(logits_from(words), largest, have_weights(words));
}

// What a row's sums and output so far are multiplied by: they are 0 where it has seen no number. 1 where the maximum did not
// move: exp(0) need not be exact.
fn rescale(before: f32, after: f32) -> f32 {
    return select(exp(max(before - after, -150.0)), 1.0, before == after);
}

fn any_nonfinite(values: vec4<f32>) -> bool {
    return any((bitcast<vec4<u32>>(values) & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS));
}

// weight · values, where a weight of 0 takes nothing, not even a NaN.
fn careful_product(weight: f32, values: vec4<f32>) -> vec4<f32> {
    return select(weight * values, vec4<f32>(), weight == 0.0);
}

// What a row came to: the factor that its accumulated values take, the logarithm of its sum, what it has seen.
struct Ending {
    factor: f32,
    sum: f32,
    seen: u32,
    poisoned: bool,
}

// `sum` is that of exp(logit − largest).
fn ending(head: u32, largest: f32, sum: f32, seen: u32) -> Ending {
    var end: Ending;
    end.seen = seen;
    var whole = sum;
    var highest = largest;
    if (parameters.splits == 1u && parameters.sinks_at != NONE) {
        let sink = head_terms[parameters.sinks_at + head];
        let kind = kind_of(sink);
        if (kind == NUMBERS) {
            highest = max(largest, sink);
            whole = sum * rescale(largest, highest) + exp(max(sink - highest, -150.0));
        }
        // One of −∞ is no sink.
        end.seen = max(seen, select(kind, NOTHING, kind == INFINITIES));
    }
    end.factor = select(0.0, rescale(largest, highest) / whole, seen == NUMBERS);
    end.sum = select(0.0, highest + log(whole), end.seen == NUMBERS);
    // Another split may have better than −∞.
    end.poisoned = end.seen == POISON || (end.seen == INFINITIES && parameters.splits == 1u);
    return end;
}

fn ended(value: f32, factor: f32, poisoned: bool) -> f32 {
    return select(value * factor, from_bits(NAN_BITS), poisoned);
}

fn ended_block(values: vec4<f32>, factor: f32, poisoned: bool) -> vec4<f32> {
    return select(values * factor, vec4<f32>(from_bits(NAN_BITS)), poisoned);
}

// The weighted sum of 4 keys' values.
fn careful_sum(weights: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    return careful_product(weights.x, a) + careful_product(weights.y, b) + careful_product(weights.z, c)
        + careful_product(weights.w, d);
}
