// Weights stored as f16, two in a word, on any adapter, read four at a time.
alias Weight4 = vec2<u32>;

fn weight4_at(index: u32) -> vec4<f32> {
    let words = weight[index];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
