//! The norm of all gradients of a step, and the factor that clips it.
//!
//! n = √Σ x over the sums of squares that `optimizer/squares` has written; control = \[min(1, L/(n + 10⁻⁶)), n, 1\] for a largest
//! norm L (Pascanu, Mikolov and Bengio 2013, algorithm 1, as `torch.nn.utils.clip_grad_norm_`), or \[1, n, 1\] where nothing clips.
//! Where Σ x is not finite in f32 it is \[0, NaN, 0\]: then the updates change nothing. f32. By one workgroup, in a fixed order.

use super::CONTROL;
use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::reduce;
use crate::reference::rounding_floor;

parameters! {
    /// The size, and what clips.
    pub struct Parameters {
        /// Elements of x.
        pub elements: u32,
        /// 1 if the norm is clipped.
        pub clips: u32,
        /// L.
        pub largest_norm: f32,
    }
}

/// The kernel.
pub struct Norm;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    reduce::workgroup()
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("control")];

impl Kernel for Norm {
    fn about(&self) -> About {
        const { About::ours("optimizer/norm", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, _: &[u8], _: u32) -> [u32; 3] {
        [1, 1, 1]
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (x, control) = (&arguments.f32(0)[..p.elements as usize], arguments.f32_mut(1));
        let sum: f32 = x.chunks(64).map(|x| x.iter().sum::<f32>()).sum();
        let norm = sum.sqrt();
        let factor = if p.clips != 0 { (p.largest_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let found = if sum.is_finite() { [factor, norm, 1.0] } else { [0.0, f32::NAN, 0.0] };
        control[..CONTROL].copy_from_slice(&found);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        let iterations = reduce::iterations(variant, elements, 1, 2);
        Cost { flops: elements, bytes: 4 * (elements + 3), iterations }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut cases = vec![
            case(1, Some(0.5), &[]),
            case(63, Some(1e3), &[]),
            case(65, Some(2.0), &[]),
            case(200, None, &[]),
            case(0, Some(1.0), &[]),
            // So small that what is added to the norm counts.
            case(1, Some(1e-6), &[(0, 4e-12)]),
        ];
        // By lanes on both sides of every step of the tree, the first and the last of what a lane adds.
        for (place, strange) in [(128, f32::NAN), (63, f32::INFINITY), (32, f32::NAN), (1, f32::INFINITY)] {
            cases.push(case(129, Some(1.0), &[(place, strange)]));
        }
        // Finite, but too large together.
        cases.push(case(70, Some(1.0), &[(1, 3e38), (65, 3e38)]));
        cases.push(case(70, Some(1.0), &[(1, 3e38)]));
        if depth == Depth::Full {
            cases.extend([2, 64, 128, 1000, 20_000].map(|elements| case(elements, Some(3.0), &[])));
        }
        cases
    }
}

fn case(elements: usize, largest_norm: Option<f32>, set: &[(usize, f32)]) -> Case {
    let mut x: Vec<f32> = Inputs::new(elements as u64).values(elements, 1.0).iter().map(|x| x * x).collect();
    set.iter().for_each(|&(place, value)| x[place] = value);
    let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
    let norm = sum.sqrt();
    let factor = largest_norm.map_or(1.0, |largest| (f64::from(largest) / (norm + 1e-6)).min(1.0));
    let expected = if sum <= f32::MAX.into() { [factor, norm, 1.0] } else { [0.0, f64::NAN, 0.0] };
    let parameters = Parameters {
        elements: elements as u32,
        clips: largest_norm.is_some().into(),
        largest_norm: largest_norm.unwrap_or(0.0),
    };
    Case {
        label: format!("[{elements}] to {largest_norm:?} with {set:?}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // Half of the sum's relative error, and three roundings more.
        floor: rounding_floor(elements / 64 + 16, if sum <= f32::MAX.into() { norm.max(1.0) } else { 1.0 }),
        arguments: vec![
            CaseArgument::F32([&x[..], &[f32::NAN]].concat()),
            CaseArgument::output(expected.map(Some).to_vec()),
        ],
    }
}
