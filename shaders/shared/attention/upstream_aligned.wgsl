// The output's gradient in rows of whole vec4s that begin at vec4s.
alias UpstreamBlock = vec4<f32>;

// Elements `first` to `first + 3` of the row at `place`, of which there are `count`; 0 beyond.
fn upstream_block(place: u32, first: u32, count: u32) -> vec4<f32> {
    if (first >= count) {
        return vec4<f32>();
    }
    return upstream[(place + first) / 4u];
}
