// Weights stored as f32, read four at a time.
alias Weight4 = vec4<f32>;

fn weight4_at(index: u32) -> vec4<f32> {
    return weight[index];
}
