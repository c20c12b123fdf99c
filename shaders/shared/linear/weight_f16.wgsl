// Weights stored as f16, on adapters that have it.
alias WeightWord = f16;

fn weight_at(index: u32) -> f32 {
    return f32(weight[index]);
}
