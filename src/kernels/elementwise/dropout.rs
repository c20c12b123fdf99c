//! Dropout.
//!
//! y = x / (1 − p), or 0 with probability p (Srivastava et al. 2014, scaled while training). Which elements go is never stored: each
//! has a random word, the first that Threefry2x32 with 20 rounds makes of the key (seed, step) and the counter (site, element)
//! (Salmon et al. 2011, section 3.3), and goes where it is below p · 2³². So the gradient is the same kernel on that of y, and the bits
//! are the same on every device. f32, any shape; what goes is 0 whatever x is.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::reference::random;

parameters! {
    /// The size, the random words' key and counter, and what they decide.
    pub struct Parameters {
        /// Elements.
        pub elements: u32,
        /// The key's first word.
        pub seed: u32,
        /// Its second.
        pub step: u32,
        /// The counter's first word.
        pub site: u32,
        /// p · 2³²: an element goes whose word is below it.
        pub threshold: u32,
        /// 1 / (1 − p).
        pub scale: f32,
    }
}

/// The kernel.
pub struct Dropout;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    super::invocation()
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Dropout {
    fn about(&self) -> About {
        const { About::ours("elementwise/dropout", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        for ((element, x), y) in (0..p.elements).zip(x).zip(y) {
            let word = threefry([p.seed, p.step], [p.site, element])[0];
            *y = if word >= p.threshold { x * p.scale } else { 0.0 };
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut cases = vec![(1, 0.5), (65, 0.1), (129, 0.9), (1000, 0.5), (300, 0.0)];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([(63, 0.3), (64, 0.3), (4_200_003, 0.25)]);
        }
        cases.into_iter().map(case).collect()
    }
}

/// The two words of Threefry2x32 with 20 rounds.
fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let parity = 0x1bd1_1bda ^ key[0] ^ key[1];
    let schedule = [key[0], key[1], parity];
    let [mut left, mut right] = [counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1])];
    for injection in 1..=5_usize {
        let turns = if injection % 2 == 1 { [13, 15, 26, 6] } else { [17, 29, 16, 24] };
        for turn in turns {
            left = left.wrapping_add(right);
            right = right.rotate_left(turn) ^ left;
        }
        left = left.wrapping_add(schedule[injection % 3]);
        right = right.wrapping_add(schedule[(injection + 1) % 3]).wrapping_add(injection as u32);
    }
    [left, right]
}

/// p · 2³², and 1 / (1 − p).
pub(crate) fn threshold_and_scale(probability: f32) -> (u32, f32) {
    let probability = f64::from(probability);
    ((probability * 4_294_967_296.0).round() as u32, (1.0 / (1.0 - probability)) as f32)
}

fn case((elements, probability): (usize, f32)) -> Case {
    let mut inputs = Inputs::new(elements as u64);
    let mut x = inputs.values(elements, 1.0);
    let words = inputs.below(3, u32::MAX);
    let (seed, step, site) = (words[0], words[1], words[2]);
    let (mut threshold, scale) = threshold_and_scale(probability);
    let random = random::threefry2x32([seed, step], site, elements);
    if elements > 64 {
        // The word itself stays, and goes where the threshold is one above.
        threshold = random[7] + u32::from(elements == 65);
        let dropped = random.iter().position(|&word| word < threshold);
        // What goes is 0, whatever it was.
        if let Some(dropped) = dropped {
            x[dropped] = f32::NAN;
        }
    }
    let expected = random.iter().zip(&x).map(|(&word, &x)| {
        // Exact in f64, so that this is the one f32.
        let scaled = (f64::from(x) * f64::from(scale)) as f32;
        Some(if word < threshold { 0 } else { scaled.to_bits() })
    });
    let expected = expected.collect();
    let parameters = Parameters { elements: elements as u32, seed, step, site, threshold, scale };
    Case {
        label: format!("[{elements}] p {probability}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: 0.0,
        arguments: vec![CaseArgument::F32(x), CaseArgument::Exact(expected)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of the Random123 distribution: `threefry2x32 20`.
    #[test]
    fn threefry_gives_the_known_answers() {
        for (counter, key, answer) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            assert_eq!(threefry(key, counter), answer);
            assert_eq!(random::threefry2x32_words(key, counter), answer);
        }
    }

    #[test]
    fn a_probability_is_a_threshold() {
        assert_eq!(threshold_and_scale(0.5), (1 << 31, 2.0));
        assert_eq!(threshold_and_scale(0.0), (0, 1.0));
        assert_eq!(threshold_and_scale(0.75), (3 << 30, 4.0));
        // The share that goes, of 100,000.
        let gone =
            (0..100_000).filter(|&element| threefry([1, 2], [3, element])[0] < threshold_and_scale(0.1).0);
        let gone = gone.count();
        assert!((9_700..10_300).contains(&gone), "{gone}");
    }
}
