// x in a buffer, four elements at a time.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

fn x4_at(index: u32) -> vec4<f32> {
    return x[index];
}
