// y = x · scale, or 0 where the element's random word is below the threshold. The words are Threefry2x32's, with 20 rounds, of the key
// (seed, step) and the counter (site, element).

#import indexing

struct Parameters {
    elements: u32,
    seed: u32,
    step: u32,
    site: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// One round: the left word gets the sum, the right one is turned and takes the left.
fn mix(words: vec2<u32>, turn: u32) -> vec2<u32> {
    let left = words.x + words.y;
    return vec2<u32>(left, ((words.y << turn) | (words.y >> (32u - turn))) ^ left);
}

fn even_rounds(words: vec2<u32>) -> vec2<u32> {
    return mix(mix(mix(mix(words, 13u), 15u), 26u), 6u);
}

fn odd_rounds(words: vec2<u32>) -> vec2<u32> {
    return mix(mix(mix(mix(words, 17u), 29u), 16u), 24u);
}

fn random_word(element: u32) -> u32 {
    let key = vec2<u32>(parameters.seed, parameters.step);
    let parity = 0x1bd11bdau ^ key.x ^ key.y;
    var words = even_rounds(vec2<u32>(parameters.site, element) + key);
    words = odd_rounds(words + vec2<u32>(key.y, parity + 1u));
    words = even_rounds(words + vec2<u32>(parity, key.x + 2u));
    words = odd_rounds(words + vec2<u32>(key.x, key.y + 3u));
    words = even_rounds(words + vec2<u32>(key.y, parity + 4u));
    return words.x + parity;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let index = workgroup_index(id, count) * WORKGROUP + invocation;
    if (index >= parameters.elements) {
        return;
    }
    y[index] = select(0.0, x[index] * parameters.scale, random_word(index) >= parameters.threshold);
}
