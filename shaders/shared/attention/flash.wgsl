// What the fused kernels of the forward pass share: their bindings, logits, and how a row's sum is stored.

#import attention/flash_bindings
#import attention/flash_logits
#import attention/parameters
#import kinds

// A split's sums are followed by what its rows have seen, which the merge needs to know.
fn store_sum(batch: u32, head: u32, query: u32, split: u32, end: Ending) {
    if (parameters.has_sums != 0u) {
        let place = sums_place(batch, head, query) + split * parameters.sums_split;
        if (parameters.splits > 1u) {
            sums[place] = end.sum;
            sums[place + parameters.sums_split / 2u] = f32(end.seen);
        } else {
            let nothing = select(end.sum, from_bits(NEGATIVE_INFINITY_BITS), end.seen == NOTHING);
            sums[place] = select(nothing, from_bits(NAN_BITS), end.poisoned);
        }
    }
}
