//! Sums of squares of a gradient's blocks, for the norm of all gradients of a step.
//!
//! y\[first + b\] = Σ x² over the b-th `BLOCK` elements of x. f32; each gradient has its place in y. In a fixed order, so that the same
//! inputs give the same bits. A block with a NaN, an infinity, or an element whose square is beyond f32 is NaN.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::{parallel, reduce};
use crate::reference::rounding_floor;

parameters! {
    /// The size, and the place.
    pub struct Parameters {
        /// Elements of x.
        pub elements: u32,
        /// The place of the first block in y.
        pub first: u32,
    }
}

/// The kernel.
pub struct Squares;

/// Elements of a block: 64 for each lane.
pub(crate) const BLOCK: u32 = 4096;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    reduce::workgroup().with("BLOCK", BLOCK)
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Squares {
    fn about(&self) -> About {
        const { About::ours("optimizer/squares", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let blocks = Parameters::from_bytes(parameters).elements.div_ceil(BLOCK);
        reduce::workgroups(variant, blocks, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, y) = (&arguments.f32(0)[..p.elements as usize], arguments.f32_mut(1));
        let blocks = x.len().div_ceil(BLOCK as usize);
        let y = &mut y[p.first as usize..p.first as usize + blocks];
        parallel::rows(y, 1, 2 * u64::from(BLOCK), |first, y| {
            for (x, y) in x.chunks(BLOCK as usize).skip(first).zip(y) {
                // As many partial sums as the kernel has.
                let mut lanes = [0.0; 64];
                let mut finite = true;
                for x in x.chunks(64) {
                    for (lane, x) in lanes.iter_mut().zip(x) {
                        finite &= (x * x).is_finite();
                        *lane += x * x;
                    }
                }
                *y = if finite { lanes.iter().sum() } else { f32::NAN };
            }
        });
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost {
            flops: 2 * elements,
            bytes: 4 * (elements + elements.div_ceil(BLOCK.into())),
            iterations: reduce::iterations(variant, BLOCK.into(), 1, 2),
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        // By lanes on both sides of every step of the tree.
        let ends = [(63, f32::INFINITY), (0, f32::NAN), (32, f32::NEG_INFINITY), (1, 2e19)];
        let mut cases = vec![case(1, 0, None), case(65, 1, None), case(4097, 2, None), case(20_500, 0, None)];
        cases.extend(ends.map(|strange| case(3 * BLOCK as usize, 1, Some(strange))));
        if depth == Depth::Full {
            cases.extend([63, 64, 4095, 4096, 1_000_003].map(|elements| case(elements, 3, None)));
        }
        cases
    }
}

fn case(elements: usize, first: usize, strange: Option<(usize, f32)>) -> Case {
    let mut x = Inputs::new((elements + first) as u64).values(elements, 1.0);
    if let Some((lane, strange)) = strange {
        // In a middle block; and a large number whose square is one.
        x[BLOCK as usize + lane] = strange;
        x[0] = 1e3;
    }
    let sum = |x: &[f32]| {
        let finite = x.iter().all(|x| (x * x).is_finite());
        let sum: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        Some(if finite { sum } else { f64::NAN })
    };
    // What lies beside the gradient's place is another's.
    let mut expected = vec![None; first];
    expected.extend(x.chunks(BLOCK as usize).map(sum));
    expected.push(None);
    let largest = expected.iter().flatten().filter(|sum| sum.is_finite()).fold(0.0, |a: f64, &b| a.max(b));
    let parameters = Parameters { elements: elements as u32, first: first as u32 };
    Case {
        label: format!(
            "[{elements}] at {first}{}",
            strange.map_or(String::new(), |x| format!(" with {x:?}"))
        ),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Sums of 64, and of these; all terms are positive.
        floor: rounding_floor(64, largest),
        arguments: vec![CaseArgument::F32([&x[..], &[f32::NAN]].concat()), CaseArgument::output(expected)],
    }
}
