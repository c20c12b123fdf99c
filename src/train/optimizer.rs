//! Optimizers: their state on the device, and a step of them in a recording.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::elementwise::strided_add::{self, StridedAdd};
use crate::kernels::elementwise::strided_copy::{self, StridedCopy};
use crate::kernels::optimizer::norm::{self, Norm};
use crate::kernels::optimizer::squares::{self, BLOCK, Squares};
use crate::kernels::optimizer::{CONTROL, adamw, sgd};
use crate::layers::Parameter;
use crate::ops;
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "optimizer";

/// AdamW (Loshchilov and Hutter 2019, as `torch.optim.AdamW`): Adam's step by moments of the gradients, and a decay of the weights that
/// goes past them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// η, for whoever makes a schedule ([`Optimizer::learning_rate`]): each step is given its own.
    pub learning_rate: f32,
    /// β₁ and β₂: how much of the mean and of the mean square stays, each from 0 to below 1.
    pub betas: [f64; 2],
    /// ε, added to the root of the mean square.
    pub epsilon: f64,
    /// λ: the share of η by which weights shrink in a step.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// PyTorch's: η 10⁻³, β 0.9 and 0.999, ε 10⁻⁸, λ 0.01.
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// Stochastic gradient descent (as `torch.optim.SGD` without dampening).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sgd {
    /// η, as [`AdamW::learning_rate`].
    pub learning_rate: f32,
    /// μ, from 0 (none) to below 1.
    pub momentum: f32,
    /// λ: so much of each weight is added to its gradient.
    pub weight_decay: f32,
    /// Looks ahead by Nesterov's rule (Sutskever et al. 2013), where there is momentum.
    pub nesterov: bool,
}

/// How parameters are updated.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// [`AdamW`].
    AdamW(AdamW),
    /// [`Sgd`].
    Sgd(Sgd),
}

impl From<AdamW> for Algorithm {
    fn from(algorithm: AdamW) -> Self {
        Self::AdamW(algorithm)
    }
}

impl From<Sgd> for Algorithm {
    fn from(algorithm: Sgd) -> Self {
        Self::Sgd(algorithm)
    }
}

impl Algorithm {
    /// What of its state there is for each parameter.
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) => &["mean", "variance"],
            Self::Sgd(Sgd { momentum, .. }) if momentum != 0.0 => &["velocity"],
            Self::Sgd(_) => &[],
        }
    }

    fn check(self) -> Result<()> {
        let wrong = |argument: &str, expected: &str, found: f64| {
            Err(Error::argument(OP, argument, expected, found.to_string()))
        };
        let below_1 = |x: f64| (0.0..1.0).contains(&x);
        let size = |x: f64| x.is_finite() && x >= 0.0;
        match self {
            Self::AdamW(AdamW { betas, epsilon, weight_decay, .. }) => {
                if let Some(&beta) = betas.iter().find(|beta| !below_1(**beta)) {
                    return wrong("a beta", "from 0 to below 1", beta);
                }
                match (size(epsilon), size(weight_decay)) {
                    (false, _) => wrong("epsilon", "a finite number, at least 0", epsilon),
                    (_, false) => wrong("the weight decay", "a finite number, at least 0", weight_decay),
                    _ => Ok(()),
                }
            }
            Self::Sgd(Sgd { momentum, weight_decay, .. }) => {
                match (below_1(momentum.into()), size(weight_decay.into())) {
                    (false, _) => wrong("the momentum", "from 0 to below 1", momentum.into()),
                    (_, false) => {
                        wrong("the weight decay", "a finite number, at least 0", weight_decay.into())
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// What the control of a step says, once it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// What gradients were multiplied by: 1, or less where their norm was above the largest.
    pub clip_factor: f32,
    /// The norm of all gradients together, before that; NaN where it was not finite.
    pub norm: f32,
    /// Whether the step was taken. If not, nothing has changed: [`Optimizer::take_back`].
    pub finite: bool,
}

impl Control {
    /// Of the elements that a step's control has.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of them.
    pub fn new(elements: &[f32]) -> Result<Self> {
        match *elements {
            [clip_factor, norm, finite] => Ok(Self { clip_factor, norm, finite: finite != 0.0 }),
            _ => Err(Error::argument(OP, "the control", "of 3 elements", elements.len().to_string())),
        }
    }
}

/// An optimizer of some parameters, with its state on their device.
///
/// A step is recorded behind the gradients, into the same recording, so that forward, backward and update are one submission:
///
/// ```
/// use attentive::ops::{self, CrossEntropy};
/// use attentive::layers::Parameters;
/// use attentive::train::{AdamW, Control, Optimizer};
/// use attentive::{Device, Recording, Tensor};
///
/// # fn main() -> attentive::Result<()> {
/// let device = Device::cpu();
/// let logits = Tensor::from_f32(&device, [2, 3], &[0.0; 6])?;
/// let mut parameters = Parameters::new();
/// parameters.tensor("logits", &logits, false);
/// let mut optimizer = Optimizer::new(&device, AdamW::default(), parameters.into_vec())?.clip(1.0)?;
///
/// let mut recording = Recording::training(&device, optimizer.tensors())?;
/// let value = recording.tensor(&logits)?;
/// let loss = CrossEntropy::new(&[0, 2]).record(&mut recording, &value)?;
/// let gradients = recording.backward(&loss)?;
/// let control = optimizer.record(&mut recording, &gradients, 0.1)?;
/// recording.output(&control)?;
/// let control = Control::new(&recording.run()?.tensor(&control)?.to_f32()?)?;
/// assert!(control.finite && logits.to_f32()?[0] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Optimizer {
    device: Device,
    algorithm: Algorithm,
    parameters: Vec<Parameter>,
    /// Of each parameter, in the order of [`Algorithm::states`].
    states: Vec<Vec<Tensor>>,
    /// What each parameter's gradient has come to in the parts of a step so far.
    sums: Vec<Sum>,
    steps: u64,
    largest_norm: f32,
}

/// The sum of a parameter's gradients.
#[derive(Clone, Debug, Default)]
struct Sum {
    /// Made by the first part, and kept for the steps to come.
    tensor: Option<Tensor>,
    /// Whether a part of this step is in it.
    begun: bool,
}

impl Optimizer {
    /// An optimizer that has taken no step: its state is zeros.
    ///
    /// # Errors
    /// [`Error::Argument`] for numbers out of range, a parameter that is not f32, or one that is there twice, by its tensor or its
    /// name; [`Error::WrongDevice`], [`Error::OutOfMemory`].
    pub fn new(device: &Device, algorithm: impl Into<Algorithm>, parameters: Vec<Parameter>) -> Result<Self> {
        let algorithm = algorithm.into();
        algorithm.check()?;
        let mut states = Vec::with_capacity(parameters.len());
        for (place, parameter) in parameters.iter().enumerate() {
            let (name, tensor) = (parameter.name(), &parameter.tensor);
            device.expect_same(OP, || name.to_owned(), tensor.device())?;
            if tensor.dtype() != DType::F32 {
                return Err(Error::argument(OP, name, "f32", tensor.dtype().to_string()));
            }
            let same =
                |other: &&Parameter| other.name() == name || other.tensor.storage().is(tensor.storage());
            if let Some(other) = parameters[..place].iter().find(same) {
                let found = format!("that of `{}` again", other.name());
                return Err(Error::argument(OP, name, "a name and a tensor of its own", found));
            }
            let zeros = algorithm.states().iter();
            let zeros = zeros.map(|_| Tensor::zeros(device, tensor.shape().clone(), DType::F32));
            states.push(zeros.collect::<Result<Vec<_>>>()?);
        }
        let (device, sums) = (device.clone(), vec![Sum::default(); parameters.len()]);
        Ok(Self { device, algorithm, parameters, states, sums, steps: 0, largest_norm: f32::INFINITY })
    }

    /// Scales gradients down where the norm of all of them together is above that (Pascanu, Mikolov and Bengio 2013); infinity, as
    /// without, for never.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it is above 0.
    pub fn clip(mut self, largest_norm: f32) -> Result<Self> {
        if largest_norm > 0.0 {
            self.largest_norm = largest_norm;
            return Ok(self);
        }
        Err(Error::argument(OP, "the largest norm", "above 0", largest_norm.to_string()))
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The algorithm's own learning rate, for a schedule to begin with.
    pub fn learning_rate(&self) -> f32 {
        match self.algorithm {
            Algorithm::AdamW(AdamW { learning_rate, .. }) | Algorithm::Sgd(Sgd { learning_rate, .. }) => {
                learning_rate
            }
        }
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Their tensors, as [`Recording::training`] takes them.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters.iter().map(|parameter| &parameter.tensor)
    }

    /// The state: the name of the parameter, what it is (`mean`, `variance`, `velocity`), and its tensor, of the parameter's shape. To be
    /// kept with [`Optimizer::steps`] where training goes on later.
    pub fn state(&self) -> impl Iterator<Item = (&str, &'static str, &Tensor)> {
        let names = self.algorithm.states();
        self.parameters.iter().zip(&self.states).flat_map(move |(parameter, states)| {
            names.iter().zip(states).map(|(name, state)| (parameter.name(), *name, state))
        })
    }

    /// Steps that were recorded.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on from that many steps, with a state that was written into [`Optimizer::state`]'s tensors.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Takes the last step back from the count: one whose gradients were not finite ([`Control::finite`]), or whose recording was
    /// never run. Nothing of it is in the state, and what depends on the number of steps should not count it.
    pub fn take_back(&mut self) {
        self.steps = self.steps.saturating_sub(1);
    }

    /// Records that the gradients of a part of a step are kept until [`Optimizer::record`], which adds those of the last part: a batch in
    /// several recordings, none of which has all of it in memory. What the losses are divided by is the caller's, as
    /// [`CrossEntropy::divisor`](crate::ops::CrossEntropy::divisor) is. The recordings must run in their order.
    ///
    /// # Errors
    /// [`Error::WrongDevice`], [`Error::OutOfMemory`], [`Error::Limit`]. Then [`Optimizer::forget_parts`] forgets the others.
    pub fn record_part(&mut self, recording: &mut Recording, gradients: &Gradients) -> Result<()> {
        self.device.expect_same(OP, || "the recording".to_owned(), recording.device())?;
        let found = self.gradients(recording, gradients)?;
        let mut begun = Vec::new();
        recording.untaped(|recording| {
            for (index, gradient) in &found {
                let (sum, shape) = (&mut self.sums[*index], gradient.shape().clone());
                let tensor = match &sum.tensor {
                    Some(tensor) => tensor.clone(),
                    None => sum.tensor.insert(Tensor::zeros(&self.device, shape, DType::F32)?).clone(),
                };
                let to = recording.tensor(&tensor)?;
                let elements = gradient.shape().elements() as u32;
                let mut axes = [[1, 0]; strided_copy::AXES];
                axes[0] = [elements, 1];
                if sum.begun {
                    let parameters = strided_add::Parameters::new(elements, 0, axes);
                    let bindings = [gradient, &to];
                    recording.dispatch_trusted(
                        &StridedAdd,
                        strided_add::variant(),
                        &parameters,
                        &bindings,
                    )?;
                } else {
                    let parameters = strided_copy::Parameters::new(elements, axes);
                    let bindings = [gradient, &to];
                    recording.dispatch_trusted(
                        &StridedCopy,
                        strided_copy::variant(),
                        &parameters,
                        &bindings,
                    )?;
                }
                begun.push(*index);
            }
            Ok(())
        })?;
        begun.into_iter().for_each(|index| self.sums[index].begun = true);
        Ok(())
    }

    /// Forgets the parts that were recorded since the last step: one of them was never run.
    pub fn forget_parts(&mut self) {
        self.sums.iter_mut().for_each(|sum| sum.begun = false);
    }

    /// Records a step with that learning rate: the gradients' norm, the control, and the update of each parameter that has a gradient.
    /// One without is left alone, its decay too. Gives the control, f32 `[3]`, which [`Control::new`] explains: an output where
    /// the caller wants to read it. Where the norm is not finite nothing is changed, no parameter and no state.
    ///
    /// # Errors
    /// [`Error::Argument`] for a learning rate that is negative or not finite; [`Error::WrongDevice`], [`Error::Limit`]. Then nothing is
    /// recorded, and no step counted.
    pub fn record(
        &mut self,
        recording: &mut Recording,
        gradients: &Gradients,
        learning_rate: f32,
    ) -> Result<Value> {
        self.device.expect_same(OP, || "the recording".to_owned(), recording.device())?;
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            let expected = "a finite number, at least 0";
            return Err(Error::argument(OP, "the learning rate", expected, learning_rate.to_string()));
        }
        // Updates have no gradients of their own.
        let control = recording.untaped(|recording| {
            let found = self.summed(recording, self.gradients(recording, gradients)?)?;
            let control = self.control(recording, &found)?;
            let nothing = recording.zeros([1], DType::F32)?;
            for (index, gradient) in &found {
                self.update(recording, *index, [gradient, &control, &nothing], learning_rate)?;
            }
            Ok(control)
        })?;
        self.steps += 1;
        self.forget_parts();
        Ok(control)
    }

    /// With those of the step's parts before.
    fn summed(&self, recording: &mut Recording, last: Vec<(usize, Value)>) -> Result<Vec<(usize, Value)>> {
        let mut last = last.into_iter().peekable();
        let mut found = Vec::new();
        for (index, sum) in self.sums.iter().enumerate() {
            let gradient = last.next_if(|(own, _)| *own == index).map(|(_, gradient)| gradient);
            let before = match &sum.tensor {
                Some(tensor) if sum.begun => Some(recording.tensor(tensor)?),
                _ => None,
            };
            let whole = match (before, gradient) {
                (Some(before), Some(gradient)) => Some(ops::add(recording, &before, &gradient)?),
                (before, gradient) => before.or(gradient),
            };
            found.extend(whole.map(|whole| (index, whole)));
        }
        Ok(found)
    }

    /// The parameters that have gradients and elements, by their places.
    fn gradients(&self, recording: &Recording, gradients: &Gradients) -> Result<Vec<(usize, Value)>> {
        let mut found = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let (name, tensor) = (parameter.name(), &parameter.tensor);
            let elements = tensor.shape().elements();
            if let Some(gradient) = gradients.of_parameter(recording, tensor).filter(|_| elements > 0) {
                elements_of(name, elements)?;
                found.push((index, gradient));
            }
        }
        Ok(found)
    }

    /// The norm of all gradients, by the sums of squares of their blocks.
    fn control(&self, recording: &mut Recording, gradients: &[(usize, Value)]) -> Result<Value> {
        let elements = |gradient: &Value| gradient.shape().elements() as u32;
        let blocks = gradients.iter().map(|(_, gradient)| elements(gradient).div_ceil(BLOCK));
        let blocks: u32 = blocks.sum();
        let sums = recording.temporary([blocks as usize], DType::F32)?;
        let mut first = 0;
        for (_, gradient) in gradients {
            let elements = elements(gradient);
            let parameters = squares::Parameters { elements, first };
            recording.dispatch_trusted(&Squares, squares::variant(), &parameters, &[gradient, &sums])?;
            first += elements.div_ceil(BLOCK);
        }
        let control = recording.temporary([CONTROL], DType::F32)?;
        let clips = self.largest_norm.is_finite();
        let parameters = norm::Parameters {
            elements: blocks,
            clips: clips.into(),
            largest_norm: if clips { self.largest_norm } else { 0.0 },
        };
        recording.dispatch_trusted(&Norm, norm::variant(), &parameters, &[&sums, &control])?;
        Ok(control)
    }

    fn update(
        &self,
        recording: &mut Recording,
        index: usize,
        [gradient, control, nothing]: [&Value; 3],
        learning_rate: f32,
    ) -> Result<()> {
        let Parameter { tensor, decays: decay, .. } = &self.parameters[index];
        let elements = tensor.shape().elements() as u32;
        let parameter = recording.tensor(tensor)?;
        let states = self.states[index].iter().map(|state| recording.tensor(state));
        let states = states.collect::<Result<Vec<_>>>()?;
        match self.algorithm {
            Algorithm::AdamW(AdamW { betas, epsilon, weight_decay, .. }) => {
                let rates = [learning_rate.into(), if *decay { weight_decay } else { 0.0 }];
                let step = (self.steps + 1) as f64;
                let parameters = adamw::Parameters::new(elements, betas, epsilon, rates, step);
                let bindings = [gradient, control, &parameter, &states[0], &states[1]];
                recording.dispatch_trusted(&adamw::AdamW, adamw::variant(), &parameters, &bindings)
            }
            Algorithm::Sgd(Sgd { momentum, weight_decay, nesterov, .. }) => {
                let parameters = sgd::Parameters {
                    elements,
                    rate: learning_rate,
                    decay: if *decay { weight_decay } else { 0.0 },
                    momentum,
                    nesterov: nesterov.into(),
                };
                let velocity = states.first().unwrap_or(nothing);
                let bindings = [gradient, control, &parameter, velocity];
                recording.dispatch_trusted(&sgd::Sgd, sgd::variant(), &parameters, &bindings)
            }
        }
    }
}

/// [`Error::Argument`] for more elements than the kernels count.
pub(super) fn elements_of(name: &str, elements: u64) -> Result<()> {
    // They go a workgroup past the end.
    let largest = u64::from(u32::MAX) - (1 << 16);
    if elements <= largest {
        return Ok(());
    }
    Err(Error::argument(OP, name, format!("of at most {largest} elements"), elements.to_string()))
}
