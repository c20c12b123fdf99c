//! Chains of multiply-adds: the ceiling of kernels that arithmetic bounds.
//!
//! y\[i\] = Σₖ aₙ(x\[i\] + k) over k from 0 to 7, where a₀(s) = s and aₙ₊₁ = aₙ · factor + term, 16 steps for each trip. f32.
//! Eight chains for each invocation, so that none waits for another; two operations for each step of each.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, geometry, parameters,
};
use crate::reference;
use crate::reference::rounding_floor;

parameters! {
    /// Sizes and numbers.
    pub struct Parameters {
        /// Elements of x and y.
        pub invocations: u32,
        /// Each of 16 steps.
        pub trips: u32,
        /// The factor of a chain in each step.
        pub factor: f32,
        /// The number that is added to it.
        pub term: f32,
    }
}

/// The kernel.
pub struct MultiplyAdd;

const WORKGROUP: u32 = 64;
/// Chains of an invocation.
const CHAINS: u32 = 8;
/// Steps of a trip.
const STEPS: u32 = 16;

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for MultiplyAdd {
    fn about(&self) -> About {
        const { About::ours("ceiling/multiply_add", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let variant = |fused: bool| Variant::new("invocation", WORKGROUP).with("FUSED", fused);
        vec![variant(false), variant(true)]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let invocations = Parameters::from_bytes(parameters).invocations;
        geometry::fold(invocations.div_ceil(WORKGROUP).into(), per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let elements = arguments.f32(0).iter().zip(arguments.f32_mut(1));
        for (&x, y) in elements.take(p.invocations as usize) {
            let mut chains: [f32; CHAINS as usize] = std::array::from_fn(|chain| x + chain as f32);
            for _ in 0..p.trips * STEPS {
                chains = chains.map(|a| a * p.factor + p.term);
            }
            *y = chains.iter().sum();
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (invocations, trips) = (u64::from(p.invocations), u64::from(p.trips));
        let flops = 2 * invocations * trips * u64::from(STEPS * CHAINS);
        Cost { flops, bytes: 8 * invocations, iterations: trips }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut cases = vec![
            (1, 0, 0.5, 2.0),
            (1, 1, 0.9, 0.2),
            (63, 1, -0.97, 1.5),
            (64, 2, 0.99, -0.1),
            (65, 3, 0.98, 0.03),
            (330, 5, 0.999, 0.001),
        ];
        if depth == Depth::Full {
            cases.extend([(1000, 64, 0.999, 0.001), (4_200_001, 1, -0.95, 0.4)]);
        }
        cases.into_iter().map(case).collect()
    }
}

fn case((invocations, trips, factor, term): (usize, u32, f32, f32)) -> Case {
    let x = Inputs::new((invocations * 31) as u64 + u64::from(trips)).values(invocations, 1.0);
    let steps = trips * STEPS;
    let expected = reference::ceiling::multiply_add(&x, steps, CHAINS, factor.into(), term.into());
    let parameters = Parameters { invocations: invocations as u32, trips, factor, term };
    // No chain goes further than from where it begins to its fixed point, and around that if the factor is negative.
    let fixed = f64::from(term) / (1.0 - f64::from(factor));
    let start = x.iter().fold(0.0, |largest: f64, &x| largest.max(f64::from(x).abs())) + f64::from(CHAINS);
    Case {
        label: format!("[{invocations}], {trips} trips, {factor}, {term}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(2 * steps as usize + 8, f64::from(CHAINS) * start.max(2.0 * fixed.abs())),
        arguments: vec![CaseArgument::F32(x), CaseArgument::output(expected.into_iter().map(Some).collect())],
    }
}
