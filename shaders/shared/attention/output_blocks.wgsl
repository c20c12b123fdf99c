// An output of f32 in rows of whole vec4s that begin at vec4s.
alias OutputBlock = vec4<f32>;

// Stores elements `column` to `column + 3` of the row at `place`.
fn store_block(place: u32, column: u32, count: u32, values: vec4<f32>) {
    output[(place + column) / 4u] = values;
}
