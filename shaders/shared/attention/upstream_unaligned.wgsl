// The output's gradient in rows of any length and place.
alias UpstreamBlock = f32;

// Elements `first` to `first + 3` of the row at `place`, of which there are `count`; 0 beyond.
fn upstream_block(place: u32, first: u32, count: u32) -> vec4<f32> {
    let at = first + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = place + min(at, vec4<u32>(count - 1u));
    let values = vec4<f32>(upstream[inside.x], upstream[inside.y], upstream[inside.z], upstream[inside.w]);
    return select(vec4<f32>(), values, at < vec4<u32>(count));
}
