// 4 k of the 4 columns of a lane: a vec4 of columns for each k.
struct Quad {
    k0: vec4<f32>,
    k1: vec4<f32>,
    k2: vec4<f32>,
    k3: vec4<f32>,
}

// Columns become k, and k columns.
fn transposed(p: Quad) -> Quad {
    return Quad(
        vec4<f32>(p.k0.x, p.k1.x, p.k2.x, p.k3.x),
        vec4<f32>(p.k0.y, p.k1.y, p.k2.y, p.k3.y),
        vec4<f32>(p.k0.z, p.k1.z, p.k2.z, p.k3.z),
        vec4<f32>(p.k0.w, p.k1.w, p.k2.w, p.k3.w),
    );
}

// sum + left · right, for 4 k of a row.
fn multiply(sum: vec4<f32>, left: vec4<f32>, right: Quad) -> vec4<f32> {
    return sum + left.x * right.k0 + left.y * right.k1 + left.z * right.k2 + left.w * right.k3;
}
