// What the fused attention kernels share: logits, the running maximum, the end of a row. Logits stay natural: scaled by
// log₂ e for exp2 beforehand, one of 10⁴ would be off by 8e-4, where their difference is nearly exact.
// An allowed logit of −∞. A masked one is LOWEST, so a row's maximum tells what it has seen.
const ABYSS: f32 = -3.4e38;

// The logit of a key, LOWEST where it is masked.
fn masked_logit(row: Row, key: u32, product: f32) -> f32 {
    if (!allowed(row, key)) {
        return LOWEST;
    }
    let logit = logit_of(row, key, product);
    if (poisons(logit)) {
        return from_bits(NAN_BITS);
    }
    return max(logit, ABYSS);
}

// The same of four keys, in vectors: a quarter of the code.
fn masked_logits(row: Row, key: u32, products: vec4<f32>) -> vec4<f32> {
    let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
    var open = (keys >= vec4<u32>(row.begin)) & (keys < vec4<u32>(row.end));
    // What lies beyond the end is not read.
    let inside = min(keys, vec4<u32>(max(row.end, 1u) - 1u));
    if (parameters.key_padding == 2u) {
        let at = row.keys + inside;
        open = open & (vec4<u32>(items[at.x], items[at.y], items[at.z], items[at.w]) != vec4<u32>());
    }
    var logits = products * parameters.scale;
    if (parameters.softcap != 0.0) {
        logits = vec4<f32>(
            softcapped(logits.x), softcapped(logits.y), softcapped(logits.z), softcapped(logits.w),
        );
    }
    if (parameters.slopes_at != NONE) {
        logits = logits - row.slope * vec4<f32>(abs(vec4<i32>(row.position) - vec4<i32>(keys)));
    }
    if (parameters.relative_at != NONE) {
        logits = logits + vec4<f32>(
            relative_bias(row, keys.x), relative_bias(row, keys.y),
            relative_bias(row, keys.z), relative_bias(row, keys.w),
        );
    }
    if (parameters.mask_kind != 0u) {
        let at = row.mask + inside * parameters.mask_column;
        let words = vec4<u32>(mask[at.x], mask[at.y], mask[at.z], mask[at.w]);
        if (parameters.mask_kind == 1u) {
            open = open & (words != vec4<u32>());
        } else {
            open = open & (words != vec4<u32>(NEGATIVE_INFINITY_BITS));
            logits = logits + bitcast<vec4<f32>>(words);
        }
    }
    let bits = bitcast<vec4<u32>>(logits);
    let infinite = bits == vec4<u32>(INFINITY_BITS);
    let poison = infinite | ((bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(INFINITY_BITS));
    let known = select(max(logits, vec4<f32>(ABYSS)), vec4<f32>(from_bits(NAN_BITS)), poison);
    return select(vec4<f32>(LOWEST), known, open);
}

// The weight of a logit where the row's maximum is `largest`; that of a masked key is 0, NaN or not.
fn weight_of(logit: f32, largest: f32) -> f32 {
    return select(exp(max(logit - largest, -150.0)), 0.0, logit == LOWEST);
}

fn weights_of(logits: vec4<f32>, largest: f32) -> vec4<f32> {
    let weights = exp(max(logits - largest, vec4<f32>(-150.0)));
    return select(weights, vec4<f32>(), logits == vec4<f32>(LOWEST));
}

// What a row's sums and output so far are multiplied by. 1 where the maximum did not move: exp(0) need not be exact.
fn rescale(before: f32, after: f32) -> f32 {
    if (before == after) {
        return 1.0;
    }
    return select(exp(max(before - after, -150.0)), 0.0, before == LOWEST);
}

fn any_nan(values: vec4<f32>) -> bool {
    return any((bitcast<vec4<u32>>(values) & vec4<u32>(0x7fffffffu)) > vec4<u32>(INFINITY_BITS));
}

fn any_nonfinite(values: vec4<f32>) -> bool {
    return any((bitcast<vec4<u32>>(values) & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS));
}

// weight · values, where a weight of 0 takes nothing, not even a NaN.
fn careful_product(weight: f32, values: vec4<f32>) -> vec4<f32> {
    return select(weight * values, vec4<f32>(), weight == 0.0);
}

// What a row came to: the factor that its accumulated values take, and the logarithm of its sum.
struct Ending {
    factor: f32,
    sum: f32,
    poisoned: bool,
}

// `sum` is that of exp(logit − largest). A split's sum is finite: LOWEST where it saw nothing, ABYSS where it saw
// nothing but −∞; the merge needs to tell these.
fn ending(head: u32, largest: f32, sum: f32, poisoned: bool) -> Ending {
    var end: Ending;
    end.poisoned = poisoned;
    var whole = sum;
    var highest = largest;
    if (parameters.splits == 1u && parameters.sinks_at != NONE) {
        let sink = head_terms[parameters.sinks_at + head];
        highest = max(largest, sink);
        whole = sum * rescale(largest, highest) + exp(max(sink - highest, -150.0));
    }
    let empty = highest == LOWEST;
    let abyss = !empty && highest <= ABYSS;
    end.factor = select(rescale(largest, highest) / whole, 0.0, empty || largest == LOWEST);
    end.sum = highest + log(whole);
    if (parameters.splits > 1u) {
        if (empty || abyss) {
            end.factor = 0.0;
            end.sum = select(ABYSS, LOWEST, empty);
        }
        return end;
    }
    if (empty) {
        end.sum = from_bits(NEGATIVE_INFINITY_BITS);
    }
    end.poisoned = poisoned || abyss;
    return end;
}

fn ended(value: f32, factor: f32, poisoned: bool) -> f32 {
    return select(value * factor, from_bits(NAN_BITS), poisoned);
}

fn store_sum(batch: u32, head: u32, query: u32, split: u32, end: Ending) {
    if (parameters.has_sums != 0u) {
        let place = sums_place(batch, head, query) + split * parameters.sums_split;
        sums[place] = select(end.sum, from_bits(NAN_BITS), end.poisoned);
    }
}

// The weighted sum of 4 keys' values.
fn careful_sum(weights: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    return careful_product(weights.x, a) + careful_product(weights.y, b) + careful_product(weights.z, c)
        + careful_product(weights.w, d);
}
