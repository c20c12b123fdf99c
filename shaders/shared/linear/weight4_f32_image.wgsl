// Weights stored as f32, in an image, read four at a time.

#import linear/texel

@group(0) @binding(2) var weight: texture_storage_2d<rgba32float, read>;

fn weight4_at(index: u32) -> vec4<f32> {
    return textureLoad(weight, texel(index));
}
