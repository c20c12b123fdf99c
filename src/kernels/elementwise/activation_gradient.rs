//! The gradient of an activation.
//!
//! dx = u · f′(x), with u the gradient of what comes of f(x): GELU's Φ(x) + x·φ(x) (Hendrycks and Gimpel 2016, section 2, differentiated;
//! φ is the normal density) and its tanh form, ReLU's 0 up to 0 and 1 above, SiLU's σ(x) + x·σ′(x) (Elfwing et al. 2017, equation 4), tanh's
//! 1 − tanh(x)², the sigmoid's σ(x)·(1 − σ(x)). From x and not from f(x), which for GELU and SiLU does not tell x. f32, dense. A NaN in
//! x or u gives NaN; at ±∞ a slope is its limit.
//!
//! Ladder: tanh's and the sigmoid's slopes as e / (1 + e)² of an exponential, since 1 − tanh(x)² has no digits left in the tails.

use crate::kernel::{About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant};
use crate::kernels::activation::Activation;
use crate::kernels::parallel;
use crate::reference::{activation as oracle, rounding_floor};

pub use super::activate::Parameters;

/// The kernel.
pub struct ActivationGradient;

/// The variant for an activation.
pub(crate) use super::activate::variant;

const BINDINGS: &[Binding] = &[Binding::read("upstream"), Binding::read("x"), Binding::write("dx")];

impl Kernel for ActivationGradient {
    fn about(&self) -> About {
        const { About::ours("elementwise/activation_gradient", BINDINGS, Parameters::FIELDS) }
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
        let (upstream, x, dx) = (arguments.f32(0), arguments.f32(1), arguments.f32_mut(2));
        let elements = elements.min(x.len()).min(dx.len());
        parallel::rows(&mut dx[..elements], 1, 40, |first, dx| {
            for (dx, (u, &x)) in dx.iter_mut().zip(upstream[first..].iter().zip(&x[first..])) {
                *dx = if x.is_nan() { x } else { u * activation.slope(x) };
            }
        });
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: 40 * elements, bytes: 12 * elements, iterations: 0 }
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
        let ends = [0.0, 15.0, 50.0, 95.0, 1e4, f32::INFINITY, f32::NAN];
        inputs.push(("ends".to_owned(), ends.iter().flat_map(|&end| [end, -end]).collect()));
        inputs.push(("small".to_owned(), (-40..=40).map(|step| step as f32 * 1e-6).collect()));
        let signaling = [0x7f80_0001, 0xff80_0001].map(f32::from_bits);
        inputs.push(("signaling NaNs".to_owned(), signaling.to_vec()));
        // Their cubes, and their squares, are beyond f32.
        inputs.push(("cubes".to_owned(), vec![1e13, -1e13, 3e38, -3e38]));
        let mut cases: Vec<Case> =
            inputs.into_iter().map(|(label, x)| case(variant, label, x, false)).collect();
        cases.push(case(variant, "NaN upstream".to_owned(), vec![1.0, -1.0, 0.0, 60.0, -60.0, 3.0], true));
        cases
    }
}

fn case(variant: &Variant, label: String, x: Vec<f32>, with_nan: bool) -> Case {
    let activation = Activation::from_code(variant.u32("ACTIVATION"));
    let mut upstream = Inputs::new(x.len() as u64 + 77).values(x.len(), 1.0);
    if with_nan {
        upstream[..5].fill(f32::NAN);
    }
    let expected = oracle::gradient(&x, &upstream, activation.slope_oracle());
    let magnitude =
        upstream.iter().filter(|u| u.is_finite()).fold(1.0, |most: f64, &u| most.max(u.abs().into()));
    let parameters = Parameters { elements: x.len() as u32 };
    Case {
        label,
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        // exp is good to 3 + 2·|v| units in the last place in WGSL. Where v = −x²/2, x·φ(x) errs by 1.2e-7 at most, in the tanh form by
        // twice as much, and erf by 1.4e-7, of which there is half.
        floor: rounding_floor(2, magnitude) + 4e-7 * magnitude,
        arguments: vec![
            CaseArgument::F32(upstream),
            CaseArgument::F32(x),
            CaseArgument::output(expected.into_iter().map(Some).collect()),
        ],
    }
}
