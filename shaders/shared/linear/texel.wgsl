// Where the texel of that number lies in an image.
fn texel(index: u32) -> vec2<u32> {
    return vec2<u32>(index % IMAGE_COLUMNS, index / IMAGE_COLUMNS);
}
