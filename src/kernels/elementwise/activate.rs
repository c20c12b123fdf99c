//! An activation by itself: a linear layer has it in its epilogue (`linear/gemm_tiled`).
//!
//! y = activation(x): GELU (Hendrycks and Gimpel 2016) in its erf and its tanh form, ReLU, SiLU, tanh, sigmoid. f32, dense. NaN stays
//! NaN; at −∞ the products of GELU and SiLU are −∞ · 0, and so NaN.

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::activation::Activation;
use crate::kernels::parallel;
use crate::reference;
use crate::reference::rounding_floor;

parameters! {
    /// The size.
    pub struct Parameters {
        /// Elements of x and y.
        pub elements: u32,
    }
}

/// The kernel.
pub struct Activate;

/// The variant for an activation.
pub(crate) fn variant(activation: Activation) -> Variant {
    super::invocation().with("ACTIVATION", activation.code())
}

const BINDINGS: &[Binding] = &[Binding::read("x"), Binding::write("y")];

impl Kernel for Activate {
    fn about(&self) -> About {
        const { About::ours("elementwise/activate", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        Activation::ALL.map(variant).to_vec()
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        super::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let elements = Parameters::from_bytes(parameters).elements as usize;
        let activation = Activation::from_code(variant.u32("ACTIVATION"));
        let (x, y) = (arguments.f32(0), arguments.f32_mut(1));
        let elements = elements.min(x.len()).min(y.len());
        parallel::rows(&mut y[..elements], 1, 30, |first, y| {
            y.copy_from_slice(&x[first..first + y.len()]);
            activation.apply_all(y);
        });
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: 30 * elements, bytes: 8 * elements, iterations: 0 }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![1, 63, 64, 65, 3001];
        if depth == Depth::Full {
            // Past 65,535 workgroups.
            sizes.extend([65_536, 4_200_001]);
        }
        let random = |size: usize| Inputs::new(size as u64).values(size, 2.0);
        let mut inputs: Vec<(String, Vec<f32>)> =
            sizes.into_iter().map(|size| (format!("{size} elements"), random(size))).collect();
        inputs.push(("from −9 to 9".to_owned(), (0..=9000).map(|step| step as f32 * 0.002 - 9.0).collect()));
        let ends = [0.0, 50.0, 1e4, f32::INFINITY, f32::NAN];
        inputs.push(("ends".to_owned(), ends.iter().flat_map(|&end| [end, -end]).collect()));
        // 1 − exp(−x) has no digits left there; signaling NaNs are NaNs too.
        inputs.push(("small".to_owned(), (-40..=40).map(|step| step as f32 * 1e-6).collect()));
        let signaling = [0x7f80_0001, 0xff80_0001].map(f32::from_bits);
        inputs.push(("signaling NaNs".to_owned(), signaling.to_vec()));
        // Their cubes are beyond f32.
        inputs.push(("cubes".to_owned(), vec![1e13, -1e13, 3e38, -3e38]));
        inputs.into_iter().map(|(label, x)| case(variant, label, x)).collect()
    }
}

fn case(variant: &Variant, label: String, x: Vec<f32>) -> Case {
    let activation = Activation::from_code(variant.u32("ACTIVATION"));
    let expected = reference::activation::apply(&x, activation.oracle());
    let magnitude = reference::largest(&expected).max(1.0);
    let parameters = Parameters { elements: x.len() as u32 };
    Case {
        label,
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // The activations are good to 2e-7 of the largest value.
        floor: rounding_floor(1, magnitude) + 2e-7 * magnitude,
        arguments: vec![CaseArgument::F32(x), CaseArgument::output(expected.into_iter().map(Some).collect())],
    }
}
