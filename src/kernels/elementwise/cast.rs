//! Casts between f32 and f16.
//!
//! y = x, rounded to the nearest f16 (ties to the even one) or widened to f32 (IEEE 754-2019, section 5.4.2). x and y are
//! dense; f16 lie two in a word, the first in the low half, and a word's unused half is 0. From 65,520 on a magnitude is
//! infinite in f16; below 2⁻¹⁴ it is subnormal; a NaN stays one, with its sign and the head of its payload, and is
//! quiet. All of it is exact, by integers: nothing depends on how an adapter rounds or flushes.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::reference::cast as oracle;
use crate::tensor::{pack_f16, unpack_f16};

parameters! {
    /// The size.
    pub struct Parameters {
        /// Elements of x and y.
        pub elements: u32,
    }
}

/// The kernel.
pub struct Cast;

/// To f16, or to f32.
pub(crate) fn variant(to_f16: bool) -> Variant {
    super::invocation().with("TO_F16", to_f16)
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Cast {
    fn about(&self) -> About {
        const { About::ours("elementwise/cast", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant(true), variant(false)]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements.div_ceil(2), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let elements = Parameters::from_bytes(parameters).elements as usize;
        let x = arguments.words(0);
        match variant.flag("TO_F16") {
            true => {
                let words = pack_f16(&bytemuck::cast_slice(x)[..elements]);
                arguments.words_mut(1)[..words.len()].copy_from_slice(&words);
            }
            false => arguments.f32_mut(1)[..elements].copy_from_slice(&unpack_f16(x, elements)),
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: elements, bytes: 6 * elements, iterations: 0 }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![1, 2, 5, 127, 128, 129, 3001];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 128 elements.
            sizes.extend([65_536, 8_400_001]);
        }
        let to_f16 = variant.flag("TO_F16");
        let mut cases: Vec<Case> = sizes.into_iter().map(|size| random(to_f16, size)).collect();
        cases.push(if to_f16 { edges() } else { every_f16() });
        cases
    }
}

/// Values over all of f16's exponents and some beyond.
fn random(to_f16: bool, elements: usize) -> Case {
    let mut inputs = Inputs::new(elements as u64);
    if !to_f16 {
        let words = inputs.below(elements.div_ceil(2), u32::MAX);
        return from_f16(format!("{elements} elements"), elements, words);
    }
    let values = inputs.values(elements, 1.0);
    let exponents = inputs.below(elements, 48);
    let values = values.iter().zip(exponents);
    to_f16_case(
        format!("{elements} elements"),
        values.map(|(value, exponent)| value * 2_f32.powi(exponent as i32 - 30)).collect(),
    )
}

/// All that rounds in a way of its own: beside each f16 and each midpoint of two, and what f16 does not have.
fn edges() -> Case {
    let mut values = vec![
        f32::NAN,
        -f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffbf_ffff),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        -f32::from_bits(1),
        0.0,
        -0.0,
    ];
    for bits in (0..0x7c00_u16).filter(|bits| bits % 61 == 0 || bits % 1024 < 2 || *bits > 0x7bfd) {
        let (low, high) = (oracle::from_f16(bits), oracle::from_f16_or_next(bits + 1));
        for middle in [low as f32, ((low + high) / 2.0) as f32] {
            values.extend([middle, middle.next_up(), -middle.next_down()]);
        }
    }
    to_f16_case("edges".to_owned(), values)
}

fn to_f16_case(label: String, values: Vec<f32>) -> Case {
    let bits: Vec<u16> = values.iter().map(|&value| oracle::to_f16(value)).collect();
    let words: Vec<u32> =
        bits.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 16).collect();
    case(
        label,
        values.len(),
        CaseArgument::F32(values),
        CaseArgument::Exact(words.into_iter().map(Some).collect()),
    )
}

/// Each of the 65,536.
fn every_f16() -> Case {
    from_f16(
        "every f16".to_owned(),
        1 << 16,
        (0..1 << 15).map(|pair| (2 * pair) | ((2 * pair + 1) << 16)).collect(),
    )
}

fn from_f16(label: String, elements: usize, words: Vec<u32>) -> Case {
    let halves = words.iter().flat_map(|&word| [word as u16, (word >> 16) as u16]).take(elements);
    let expected: Vec<u32> = halves.map(oracle::to_f32_bits).collect();
    case(
        label,
        elements,
        CaseArgument::Words(words),
        CaseArgument::Exact(expected.into_iter().map(Some).collect()),
    )
}

fn case(label: String, elements: usize, x: CaseArgument, y: CaseArgument) -> Case {
    let parameters = Parameters { elements: elements as u32 };
    let parameters = bytemuck::bytes_of(&parameters).to_vec();
    Case { label, parameters, floor: 0.0, arguments: vec![x, y] }
}
