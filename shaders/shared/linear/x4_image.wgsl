// x in an image, read four elements at a time.

#import linear/texel

@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;

fn x4_at(index: u32) -> vec4<f32> {
    return textureLoad(x, texel(index));
}
