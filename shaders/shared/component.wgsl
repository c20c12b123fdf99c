// values[index]. Direct3D's FXC makes that a dot product with a row of the identity, so that a NaN or an infinity in
// one component is a NaN in all of them.
fn component(values: vec4<f32>, index: u32) -> f32 {
    let pair = select(values.xy, values.zw, index >= 2u);
    return select(pair.x, pair.y, index % 2u == 1u);
}
