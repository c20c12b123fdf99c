// Weights stored as f32.
alias WeightWord = f32;

fn weight_at(index: u32) -> f32 {
    return weight[index];
}
