//! The inputs, which `peers.py` makes as well.

/// Numbers in −scale..scale, by a hash of their place.
pub fn values(seed: u32, count: usize, scale: f32) -> Vec<f32> {
    let value = |place: u32| {
        let mut bits = place.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x45d9_f3b5);
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x45d9_f3b5);
        bits ^= bits >> 16;
        ((f64::from(bits) / 2_147_483_648.0 - 1.0) * f64::from(scale)) as f32
    };
    (0..count as u32).map(value).collect()
}

/// The weights of a layer: each matrix `[outputs, inputs]` and its bias, for Q, K and V at once, the attention's output,
/// and the two of the feed-forward network.
pub struct Layer {
    pub matrices: [(Vec<f32>, Vec<f32>); 4],
}

impl Layer {
    pub fn sizes(width: usize) -> [[usize; 2]; 4] {
        [[3 * width, width], [width, width], [4 * width, width], [width, 4 * width]]
    }

    pub fn new(width: usize) -> Self {
        let sizes = Self::sizes(width);
        let matrix = |place: usize| {
            let [outputs, inputs] = sizes[place];
            let seed = 10 + 2 * place as u32;
            (values(seed, outputs * inputs, 1.7 / (inputs as f32).sqrt()), values(seed + 1, outputs, 0.1))
        };
        Self { matrices: [matrix(0), matrix(1), matrix(2), matrix(3)] }
    }
}
