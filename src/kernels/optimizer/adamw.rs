//! A step of AdamW.
//!
//! With g = c · gradient: p ← (1 − ηλ)·p, m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², p ← p − η·m̂/(√v̂ + ε), m̂ = m/(1 − β₁ᵗ),
//! v̂ = v/(1 − β₂ᵗ) (Loshchilov and Hutter 2019, algorithm 2, as `torch.optim.AdamW`; Kingma and Ba 2015). f32; all are dense
//! vectors. c is control\[0\], of `optimizer/norm`; where control\[2\] is 0 nothing changes. What depends on the step's number t
//! comes from the host, which computes it in f64: keep = 1 − ηλ, step = η/(1 − β₁ᵗ), root = √(1 − β₂ᵗ).

use crate::kernel::{
    About, Arguments, Binding, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant, parameters,
};
use crate::kernels::elementwise;
use crate::reference::optimizer as oracle;
use crate::reference::{largest, rounding_floor};

parameters! {
    /// The size, and the numbers of the step.
    pub struct Parameters {
        /// Elements.
        pub elements: u32,
        /// 1 − ηλ.
        pub keep: f32,
        /// β₁.
        pub beta_1: f32,
        /// 1 − β₁.
        pub rest_1: f32,
        /// β₂.
        pub beta_2: f32,
        /// 1 − β₂.
        pub rest_2: f32,
        /// η / (1 − β₁ᵗ).
        pub step: f32,
        /// √(1 − β₂ᵗ).
        pub root: f32,
        /// ε, added to the root.
        pub epsilon: f32,
    }
}

impl Parameters {
    /// Of step t, from 1 on, with learning rate η and weight decay λ.
    pub(crate) fn new(
        elements: u32,
        [beta_1, beta_2]: [f64; 2],
        epsilon: f64,
        [rate, decay]: [f64; 2],
        t: f64,
    ) -> Self {
        Self {
            elements,
            keep: (1.0 - rate * decay) as f32,
            beta_1: beta_1 as f32,
            rest_1: (1.0 - beta_1) as f32,
            beta_2: beta_2 as f32,
            rest_2: (1.0 - beta_2) as f32,
            step: (rate / (1.0 - beta_1.powf(t))) as f32,
            root: (1.0 - beta_2.powf(t)).sqrt() as f32,
            epsilon: epsilon as f32,
        }
    }
}

/// The kernel.
pub struct AdamW;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("gradient"),
    Binding::read("control"),
    Binding::update("parameter"),
    Binding::update("mean"),
    Binding::update("variance"),
];

impl Kernel for AdamW {
    fn about(&self) -> About {
        const { About::ours("optimizer/adamw", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        vec![variant()]
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        elementwise::workgroups(Parameters::from_bytes(parameters).elements, per_dimension)
    }

    fn twin(&self, _: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let p = Parameters::from_bytes(parameters);
        let (gradient, control) = (arguments.f32(0), arguments.f32(1));
        let [parameter, mean, variance] = [2, 3, 4].map(|place| arguments.f32_mut(place));
        if control[2] == 0.0 {
            return;
        }
        let places = parameter.iter_mut().zip(mean).zip(variance).zip(gradient);
        for (((parameter, mean), variance), gradient) in places.take(p.elements as usize) {
            let g = control[0] * gradient;
            *mean = p.beta_1 * *mean + p.rest_1 * g;
            *variance = p.beta_2 * *variance + p.rest_2 * g * g;
            *parameter = p.keep * *parameter - p.step * *mean / (variance.sqrt() / p.root + p.epsilon);
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let elements = u64::from(Parameters::from_bytes(parameters).elements);
        Cost { flops: 15 * elements, bytes: 28 * elements, iterations: 0 }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut cases = vec![(1, 1, true), (65, 1, true), (129, 7, true), (1000, 1000, true), (70, 3, false)];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            cases.extend([(63, 2, true), (64, 2, true), (4_200_003, 5, true)]);
        }
        cases.into_iter().map(case).collect()
    }
}

fn case((elements, step, finite): (usize, u32, bool)) -> Case {
    let mut inputs = Inputs::new(elements as u64);
    // One element more, which is not among those that are updated.
    let all = elements + 1;
    let [gradient, parameter] = [1.0; 2].map(|scale| inputs.values(all, scale));
    let (mean, variance): (Vec<f32>, Vec<f32>) = match step {
        1 => (vec![0.0; all], vec![0.0; all]),
        _ => (inputs.values(all, 0.5), inputs.values(all, 0.5).iter().map(|v| v * v).collect()),
    };
    let control = if finite { vec![0.375, 2.0, 1.0] } else { vec![0.0, f32::NAN, 0.0] };
    let (betas, epsilon, rates) = ([0.8, 0.95], 0.05, [0.25, 0.3]);
    let settings = oracle::AdamW { betas, epsilon, rate: rates[0], decay: rates[1] };
    let state = [&parameter, &mean, &variance].map(|values| values.iter().map(|&x| x.into()).collect());
    let g: Vec<f64> = gradient.iter().map(|&g| f64::from(g) * f64::from(control[0])).collect();
    let expected = oracle::adamw(settings, step, &g, state);
    // Each is a handful of roundings of numbers of its size. What of m̂/√v̂ is rounded is relative to it.
    let floors = expected.each_ref().map(|values| rounding_floor(16, largest(values)));
    let parameters = Parameters::new(elements as u32, betas, epsilon, rates, step.into());
    let update = |before, values: &Vec<f64>| {
        let stays = vec![None; values.len()];
        let values = values[..elements].iter().copied().map(Some).chain([None]).collect();
        CaseArgument::update(before, if finite { values } else { stays })
    };
    Case {
        label: format!("[{elements}] step {step}{}", if finite { "" } else { " not finite" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: floors.into_iter().fold(0.0, f64::max),
        arguments: vec![
            CaseArgument::F32(gradient),
            CaseArgument::F32(control),
            update(parameter, &expected[0]),
            update(mean, &expected[1]),
            update(variance, &expected[2]),
        ],
    }
}
