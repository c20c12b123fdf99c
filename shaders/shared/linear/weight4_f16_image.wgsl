// Weights stored as f16, two in a word, in an image, read four at a time.

#import linear/texel

@group(0) @binding(2) var weight: texture_storage_2d<rg32uint, read>;

fn weight4_at(index: u32) -> vec4<f32> {
    let words = textureLoad(weight, texel(index));
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
