// Weights stored as f16, two in a word, on any adapter.
alias WeightWord = u32;

fn weight_at(index: u32) -> f32 {
    let pair = unpack2x16float(weight[index / 2u]);
    return select(pair.x, pair.y, index % 2u == 1u);
}
