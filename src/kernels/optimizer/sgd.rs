//! A step of stochastic gradient descent.
//!
//! With g = c · gradient + λ·p: without momentum p ← p − η·g; with it b ← μ·b + g, and p ← p − η·b, or by Nesterov's rule
//! p ← p − η·(g + μ·b) (Sutskever et al. 2013, as `torch.optim.SGD` without dampening; b begins as 0). f32; all are dense vectors.
//! c is control\[0\], of `optimizer/norm`; where control\[2\] is 0 nothing changes. Without momentum b is not touched.

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
        /// η.
        pub rate: f32,
        /// λ.
        pub decay: f32,
        /// μ; 0 for none.
        pub momentum: f32,
        /// 1 by Nesterov's rule.
        pub nesterov: u32,
    }
}

/// The kernel.
pub struct Sgd;

/// Its one variant.
pub(crate) fn variant() -> Variant {
    elementwise::invocation()
}

const BINDINGS: &[Binding] = &[
    Binding::read("gradient"),
    Binding::read("control"),
    Binding::update("parameter"),
    Binding::update("velocity"),
];

impl Kernel for Sgd {
    fn about(&self) -> About {
        const { About::ours("optimizer/sgd", BINDINGS, Parameters::FIELDS) }
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
        let (parameter, velocity) = (arguments.f32_mut(2), arguments.f32_mut(3));
        if control[2] == 0.0 {
            return;
        }
        let places = parameter.iter_mut().zip(gradient).take(p.elements as usize);
        for (index, (parameter, gradient)) in places.enumerate() {
            let mut g = control[0] * gradient + p.decay * *parameter;
            if p.momentum != 0.0 {
                let moved = p.momentum * velocity[index] + g;
                velocity[index] = moved;
                g = if p.nesterov != 0 { g + p.momentum * moved } else { moved };
            }
            *parameter -= p.rate * g;
        }
    }

    fn cost(&self, _: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (elements, has_momentum) = (u64::from(p.elements), u64::from(p.momentum != 0.0));
        Cost {
            flops: (5 + 4 * has_momentum) * elements,
            bytes: (12 + 8 * has_momentum) * elements,
            iterations: 0,
        }
    }

    fn cases(&self, _: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![1, 65, 300];
        if depth == Depth::Full {
            // Past 65,535 workgroups of 64 elements.
            sizes.extend([63, 64, 4_200_003]);
        }
        let each =
            |elements| [(0.0, false), (0.75, false), (0.75, true)].map(|rule| case(elements, rule, true));
        sizes.into_iter().flat_map(each).chain([case(70, (0.75, true), false)]).collect()
    }
}

fn case(elements: usize, (momentum, nesterov): (f32, bool), finite: bool) -> Case {
    let mut inputs = Inputs::new(elements as u64);
    // One element more, which is not among those that are updated.
    let [gradient, parameter, velocity] = [1.0; 3].map(|scale| inputs.values(elements + 1, scale));
    let control = if finite { vec![0.375, 2.0, 1.0] } else { vec![0.0, f32::NAN, 0.0] };
    let (rate, decay) = (0.25_f32, 0.3_f32);
    let settings =
        oracle::Sgd { momentum: momentum.into(), nesterov, rate: rate.into(), decay: decay.into() };
    let state = [&parameter, &velocity].map(|values| values.iter().map(|&x| x.into()).collect());
    let g: Vec<f64> = gradient.iter().map(|&g| f64::from(g) * f64::from(control[0])).collect();
    let expected = oracle::sgd(settings, &g, state);
    let floors = expected.each_ref().map(|values| rounding_floor(8, largest(values)));
    let parameters =
        Parameters { elements: elements as u32, rate, decay, momentum, nesterov: nesterov.into() };
    let update = |before: Vec<f32>, values: &Vec<f64>, moves: bool| {
        let stays = vec![None; before.len()];
        let values = values[..elements].iter().copied().map(Some).chain([None]).collect();
        CaseArgument::update(before, if moves { values } else { stays })
    };
    let rule = if nesterov { " Nesterov" } else { "" };
    Case {
        label: format!("[{elements}] μ {momentum}{rule}{}", if finite { "" } else { " not finite" }),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: floors.into_iter().fold(0.0, f64::max),
        arguments: vec![
            CaseArgument::F32(gradient),
            CaseArgument::F32(control),
            update(parameter, &expected[0], finite),
            update(velocity, &expected[1], finite && momentum != 0.0),
        ],
    }
}
