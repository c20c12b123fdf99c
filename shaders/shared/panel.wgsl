// 4 k of the 4 columns of a lane: a vec4 of columns for each k.
struct Panel {
    k0: vec4<f32>,
    k1: vec4<f32>,
    k2: vec4<f32>,
    k3: vec4<f32>,
}

// sum + left · right, for 4 k of a row.
fn multiply(sum: vec4<f32>, left: vec4<f32>, right: Panel) -> vec4<f32> {
    return sum + left.x * right.k0 + left.y * right.k1 + left.z * right.k2 + left.w * right.k3;
}
