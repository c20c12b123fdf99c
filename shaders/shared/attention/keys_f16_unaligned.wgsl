// Keys stored as f16, two in a word, in rows of any length and place.
alias KeyBlock = u32;

// Elements `first` to `first + 3` of the row at `place`, of which there are `count`; 0 beyond.
fn k_block(place: u32, first: u32, count: u32) -> vec4<f32> {
    let at = first + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = place + min(at, vec4<u32>(count - 1u));
    let values = vec4<f32>(k_element(inside.x), k_element(inside.y), k_element(inside.z), k_element(inside.w));
    return select(vec4<f32>(), values, at < vec4<u32>(count));
}

fn k_element(index: u32) -> f32 {
    let pair = unpack2x16float(k[index / 2u]);
    return select(pair.x, pair.y, index % 2u == 1u);
}
