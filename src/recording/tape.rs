//! The tape of a recording that is differentiated: which values depend on what is trained, and for each op the rule that gives
//! the gradients of its inputs from that of its output.
//!
//! Rules are of ops, not of kernels: one op may record several dispatches, and a fused activation has lost what its gradient
//! needs. Nothing is cut silently. A dispatch that reads a tracked value outside of an op with a rule is [`Error::NoGradient`].

use std::collections::{HashMap, HashSet};

use super::{Recording, Value};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::ops;
use crate::tensor::{DType, Tensor};

/// Records the gradients of an op's inputs, given that of its output.
pub(crate) type Rule = Box<dyn FnOnce(&mut Recording, &mut Gradients, &Value) -> Result<()> + Send + Sync>;

/// The same of an op with several outputs: the gradient of each, where what follows depends on it; of one at least.
pub(crate) type RuleOfSeveral =
    Box<dyn FnOnce(&mut Recording, &mut Gradients, &[Option<Value>]) -> Result<()> + Send + Sync>;

/// An op whose inputs depend on what is trained.
struct Node {
    scope: String,
    /// `None` for what the op gives back as it was given: its gradient is that of the input already.
    outputs: Vec<Option<Value>>,
    rule: RuleOfSeveral,
}

/// What a recording that is differentiated keeps.
#[derive(Default)]
pub(super) struct Tape {
    /// The tensors that are differentiated by.
    parameters: Vec<Tensor>,
    /// The parameter behind a slot.
    parameter_of: HashMap<usize, usize>,
    /// Slots that depend on a parameter, or are one.
    tracked: HashSet<usize>,
    /// Those of them that have no rule: what an op gives beside its output.
    refused: HashSet<usize>,
    nodes: Vec<Node>,
    /// Ops with a rule, and rules, that are being recorded: their dispatches are their own affair.
    within: usize,
    /// The inputs of the op with a rule that is being recorded.
    inputs: Option<HashSet<Place>>,
    /// The gradients have been recorded.
    done: bool,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { parameters, nodes, .. } = self;
        write!(f, "Tape({} parameters, {} ops)", parameters.len(), nodes.len())
    }
}

/// What a gradient belongs to: slots of one parameter are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Parameter(usize),
    Slot(usize),
}

impl Tape {
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn truncate(&mut self, nodes: usize) {
        self.nodes.truncate(nodes);
    }

    fn place(&self, value: &Value) -> Place {
        self.parameter_of.get(&value.index).map_or(Place::Slot(value.index), |&index| Place::Parameter(index))
    }

    /// Marks the slot of a tensor that is a parameter.
    pub fn took(&mut self, tensor: &Tensor, slot: usize) {
        let same = |parameter: &Tensor| parameter.storage().is(tensor.storage());
        if let Some(index) = self.parameters.iter().position(same) {
            self.parameter_of.insert(slot, index);
            self.tracked.insert(slot);
        }
    }
}

impl Recording {
    /// An empty recording whose ops keep what gradients need, by those tensors, f32: [`Recording::backward`] records them.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter that is not f32, or that is there twice; [`Error::WrongDevice`].
    pub fn training<'a>(device: &Device, parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<Self> {
        let mut tape = Tape::default();
        for (place, tensor) in parameters.into_iter().enumerate() {
            let name = || format!("parameters[{place}]");
            device.expect_same("recording", name, tensor.device())?;
            if tensor.dtype() != DType::F32 {
                return Err(Error::argument("recording", name(), "f32", tensor.dtype().to_string()));
            }
            if tape.parameters.iter().any(|other| other.storage().is(tensor.storage())) {
                return Err(Error::argument(
                    "recording",
                    name(),
                    "a tensor of its own",
                    "one that is there already",
                ));
            }
            tape.parameters.push(tensor.clone());
        }
        let mut recording = Self::new(device);
        recording.tape = Some(Box::new(tape));
        Ok(recording)
    }

    /// Whether it keeps what gradients need.
    pub fn is_training(&self) -> bool {
        self.tape.is_some()
    }

    /// Differentiates by that value too, f32, from here on: an input whose gradient is asked for.
    ///
    /// # Errors
    /// [`Error::Argument`] for another dtype, a value of another recording, or a recording that is not
    /// [`Recording::training`].
    pub fn track(&mut self, value: &Value) -> Result<()> {
        self.own(value)?;
        if value.dtype != DType::F32 {
            return Err(Error::argument("recording", "a tracked value", "f32", value.dtype.to_string()));
        }
        match &mut self.tape {
            Some(tape) => tape.tracked.insert(value.index),
            None => {
                let expected = "made by Recording::training";
                return Err(Error::argument(
                    "recording",
                    "one with gradients",
                    expected,
                    "made by Recording::new",
                ));
            }
        };
        Ok(())
    }

    /// Whether its gradient is asked for, or that of something that it was computed from.
    pub(crate) fn is_tracked(&self, value: &Value) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.tracked.contains(&value.index))
    }

    /// Whether an op is being recorded for itself: one whose inputs may be tracked, outside of an op with a rule.
    pub(crate) fn is_taping(&self) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.within == 0)
    }

    /// Records an op with a rule: `record` gives its output, and `rule` is told of it where one of the inputs is tracked. What is
    /// recorded within has no rule of its own.
    pub(crate) fn differentiable(
        &mut self,
        inputs: &[&Value],
        record: impl FnOnce(&mut Self) -> Result<Value>,
        rule: impl FnOnce(&Value) -> Rule,
    ) -> Result<Value> {
        let with_nothing = |recording: &mut Self| Ok((record(recording)?, ()));
        Ok(self.differentiable_with(inputs, with_nothing, |output, ()| rule(output))?.0)
    }

    /// [`Recording::differentiable`] of an op that gives more than its output, of which the rule is told too. Other values among
    /// that have no gradient: [`Recording::refuse_gradient`] says so.
    pub(crate) fn differentiable_with<T>(
        &mut self,
        inputs: &[&Value],
        record: impl FnOnce(&mut Self) -> Result<(Value, T)>,
        rule: impl FnOnce(&Value, &T) -> Rule,
    ) -> Result<(Value, T)> {
        let record = |recording: &mut Self| record(recording).map(|(output, more)| (vec![output], more));
        let of_one = |outputs: &[Value], more: &T| -> RuleOfSeveral {
            let rule = outputs.first().map(|output| rule(output, more));
            Box::new(move |recording, gradients, upstream| match (rule, upstream) {
                (Some(rule), [Some(upstream)]) => rule(recording, gradients, upstream),
                _ => Ok(()),
            })
        };
        let (mut outputs, more) = self.differentiable_several(inputs, record, of_one)?;
        Ok((outputs.remove(0), more))
    }

    /// [`Recording::differentiable_with`] of an op with several outputs, any of which may be used afterwards: one rule gives the
    /// gradients of the inputs from those of all outputs, once.
    pub(crate) fn differentiable_several<T>(
        &mut self,
        inputs: &[&Value],
        record: impl FnOnce(&mut Self) -> Result<(Vec<Value>, T)>,
        rule: impl FnOnce(&[Value], &T) -> RuleOfSeveral,
    ) -> Result<(Vec<Value>, T)> {
        if !self.is_taping() || !inputs.iter().any(|input| self.is_tracked(input)) {
            return record(self);
        }
        let refused = |tape: &Tape| inputs.iter().any(|input| tape.refused.contains(&input.index));
        if self.tape.as_deref().is_some_and(refused) {
            return Err(self.no_gradient("a value beside an op's output"));
        }
        if let Some(tape) = &mut self.tape {
            tape.inputs = Some(inputs.iter().map(|input| tape.place(input)).collect());
        }
        let recorded = self.untaped(record);
        if let Some(tape) = &mut self.tape {
            tape.inputs = None;
        }
        let (outputs, more) = recorded?;
        let scope = self.scope.join(".");
        // An op that gives back what it was given has computed nothing.
        let is_computed = |output: &Value| !inputs.iter().any(|input| input.is(output));
        let computed: Vec<Option<Value>> =
            outputs.iter().map(|output| is_computed(output).then(|| output.clone())).collect();
        if let (Some(tape), true) = (&mut self.tape, computed.iter().any(Option::is_some)) {
            tape.tracked.extend(computed.iter().flatten().map(|output| output.index));
            tape.nodes.push(Node { scope, rule: rule(&outputs, &more), outputs: computed });
        }
        Ok((outputs, more))
    }

    /// Says that a value depends on what is trained and has no rule: whatever reads it is [`Error::NoGradient`].
    pub(crate) fn refuse_gradient(&mut self, value: &Value) {
        if let Some(tape) = &mut self.tape {
            tape.tracked.insert(value.index);
            tape.refused.insert(value.index);
        }
    }

    /// [`Error::NoGradient`] of something here.
    pub(crate) fn no_gradient(&self, what: &str) -> Error {
        Error::NoGradient {
            what: match self.scope.is_empty() {
                true => what.to_owned(),
                false => format!("{what} in {}", self.scope.join(".")),
            },
        }
    }

    /// Records what has no rules of its own.
    pub(crate) fn untaped<T>(&mut self, record: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let within = |recording: &mut Self, up: bool| {
            if let Some(tape) = &mut recording.tape {
                tape.within = if up { tape.within + 1 } else { tape.within - 1 };
            }
        };
        within(self, true);
        let result = self.atomically(record);
        within(self, false);
        result
    }

    /// [`Error::NoGradient`] for a dispatch that reads a tracked value outside of an op with a rule, or one that is none of that op's
    /// inputs.
    pub(super) fn expect_rule(&self, kernel: &dyn Kernel, bindings: &[&Value]) -> Result<()> {
        let Some(tape) = &self.tape else { return Ok(()) };
        let is_known = |value: &Value| match (&tape.inputs, tape.within) {
            (_, 0) => false,
            (Some(inputs), _) => inputs.contains(&tape.place(value)),
            // A rule is being recorded: what it reads is its own affair.
            (None, _) => true,
        };
        match bindings.iter().any(|value| tape.tracked.contains(&value.index) && !is_known(value)) {
            true => Err(self.no_gradient(kernel.name())),
            false => Ok(()),
        }
    }

    /// Records the gradients of `loss`, a value of one element, by all that is tracked. They join the same memory plan: what the
    /// forward ops computed lives as long as their gradients need it.
    ///
    /// # Errors
    /// [`Error::Argument`] for more elements, for a value that depends on nothing tracked, or a second call; [`Error::Limit`].
    pub fn backward(&mut self, loss: &Value) -> Result<Gradients> {
        if loss.shape.elements() != 1 {
            let found = loss.shape.to_string();
            return Err(Error::argument("backward", "the loss", "of one element (see backward_from)", found));
        }
        let one = self.constant(loss.shape.clone(), DType::F32, vec![1.0_f32.to_bits()])?;
        self.backward_from(loss, &one)
    }

    /// Records the gradients of Σ upstream · output by all that is tracked: `upstream` is the gradient of whatever comes of `output`,
    /// f32 of its shape.
    ///
    /// # Errors
    /// As [`Recording::backward`].
    pub fn backward_from(&mut self, output: &Value, upstream: &Value) -> Result<Gradients> {
        const OP: &str = "backward";
        self.own(output)?;
        self.own(upstream)?;
        if upstream.shape != output.shape || upstream.dtype != DType::F32 {
            let (expected, found) =
                (format!("f32 {}", output.shape), format!("{} {}", upstream.dtype, upstream.shape));
            return Err(Error::argument(OP, "the upstream gradient", expected, found));
        }
        let wrong = |expected: &str, found: &str| Err(Error::argument(OP, "the recording", expected, found));
        let Some(tape) = &mut self.tape else {
            return wrong("made by Recording::training", "made by Recording::new");
        };
        if tape.done {
            return wrong("one whose gradients are not recorded yet", "one that has them");
        }
        if !tape.tracked.contains(&output.index) || tape.refused.contains(&output.index) {
            return Err(Error::argument(OP, "the loss", "computed from what is trained", "not"));
        }
        let nodes = std::mem::take(&mut tape.nodes);
        tape.done = true;
        let scope = self.scope.clone();
        let mut gradients = Gradients { recording: self.id, of: HashMap::new() };
        let result = self.untaped(|recording| {
            gradients.add(recording, output, upstream.clone())?;
            for node in nodes.into_iter().rev() {
                let of = |output: &Value| -> Result<Option<Value>> {
                    let upstream = gradients.of(recording, output);
                    upstream.map(|upstream| upstream.reshape(output.shape.clone())).transpose()
                };
                let upstream = node.outputs.iter().map(|output| output.as_ref().map_or(Ok(None), of));
                let upstream = upstream.collect::<Result<Vec<_>>>()?;
                if upstream.iter().all(Option::is_none) {
                    continue;
                }
                recording.scope.clone_from(&scope);
                recording.scope.push(OP.to_owned());
                recording.scope.extend((!node.scope.is_empty()).then_some(node.scope));
                (node.rule)(recording, &mut gradients, &upstream)?;
            }
            Ok(())
        });
        self.scope = scope;
        result.map(|()| gradients)
    }
}

/// The gradients that [`Recording::backward`] has recorded.
#[derive(Debug)]
pub struct Gradients {
    recording: u64,
    of: HashMap<Place, Gradient>,
}

#[derive(Clone, Debug)]
struct Gradient {
    value: Value,
    /// Nothing else reads it, so that a part of it may be added to in place.
    own: bool,
}

impl Gradients {
    /// The gradient of a tracked value, of its shape; `None` where the loss does not depend on it. Of an intermediate value it is the
    /// whole gradient once the recording is done.
    pub fn of(&self, recording: &Recording, value: &Value) -> Option<Value> {
        let tape = recording.tape.as_ref().filter(|_| recording.id == self.recording)?;
        self.of.get(&tape.place(value)).and_then(|gradient| gradient.value.reshape(value.shape.clone()).ok())
    }

    /// The gradient of a parameter, of its shape; `None` where the loss does not depend on it.
    pub fn of_parameter(&self, recording: &Recording, parameter: &Tensor) -> Option<Value> {
        let tape = recording.tape.as_ref().filter(|_| recording.id == self.recording)?;
        let index = tape.parameters.iter().position(|other| other.storage().is(parameter.storage()))?;
        let gradient = self.of.get(&Place::Parameter(index))?;
        gradient.value.reshape(parameter.shape().clone()).ok()
    }

    /// Adds to the gradient of an input of an op, which may be untracked: then nothing is recorded.
    pub(crate) fn add(&mut self, recording: &mut Recording, input: &Value, gradient: Value) -> Result<()> {
        let earlier = self.take(recording, input);
        let sum = match earlier {
            Some(earlier) => {
                let gradient = gradient.reshape(earlier.shape.clone())?;
                ops::add(recording, &earlier, &gradient)?
            }
            None => gradient,
        };
        self.set(recording, input, sum);
        Ok(())
    }

    /// What there is of an input's gradient, for a kernel that adds it to its own result, which then is
    /// [`set`](Gradients::set).
    pub(crate) fn take(&mut self, recording: &Recording, input: &Value) -> Option<Value> {
        let place = recording.tape.as_ref()?.place(input);
        let gradient = self.of.remove(&place)?.value;
        gradient.reshape(input.shape.clone()).ok()
    }

    /// The gradient of an input that is tracked, in place of what there was.
    pub(crate) fn set(&mut self, recording: &Recording, input: &Value, value: Value) {
        let Some(tape) = &recording.tape else { return };
        if tape.tracked.contains(&input.index) {
            self.of.insert(tape.place(input), Gradient { value, own: false });
        }
    }

    /// A value of `input`'s elements, of which a rule may add to any part in place: what there is of its gradient, or zeros.
    pub(crate) fn in_parts(&mut self, recording: &mut Recording, input: &Value) -> Result<Value> {
        let Some(place) = recording.tape.as_ref().map(|tape| tape.place(input)) else {
            return recording.zeros(input.shape.clone(), DType::F32);
        };
        let value = match self.of.get(&place) {
            Some(Gradient { value, own: true }) => return value.reshape(input.shape.clone()),
            Some(Gradient { value, own: false }) => {
                let (value, zeros) = (value.clone(), recording.zeros(value.shape.clone(), DType::F32)?);
                ops::add(recording, &value, &zeros)?
            }
            None => recording.zeros(input.shape.clone(), DType::F32)?,
        };
        self.of.insert(place, Gradient { value: value.clone(), own: true });
        value.reshape(input.shape.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Inputs;
    use crate::ops::{Activation, Attention, CrossEntropy, Heads, Linear, LinearWeights};
    use crate::recording::cpu;
    use crate::recording::plan::Plan;

    /// A layer of attention and a linear layer, with values that are used twice, parts of values, and a loss.
    fn gradients_by(plan: impl Fn(&Recording) -> Plan) -> Vec<Vec<u32>> {
        let device = Device::cpu();
        let mut inputs = Inputs::new(5);
        let mut layer = |outputs: usize, columns: usize| {
            let (weight, bias) = (inputs.values(outputs * columns, 0.3), inputs.values(outputs, 0.3));
            LinearWeights::new(&device, [outputs, columns], &weight, Some(&bias), DType::F32).unwrap()
        };
        let layers = [layer(24, 8), layer(8, 8), layer(5, 8)];
        let x = Tensor::from_f32(&device, [2, 6, 8], &inputs.values(96, 1.0)).unwrap();
        let weights: Vec<&Tensor> =
            layers.iter().flat_map(|layer| layer.tensors().0.iter().chain(layer.tensors().1)).collect();
        let parameters: Vec<&Tensor> = weights.into_iter().chain([&x]).collect();
        let mut recording = Recording::training(&device, parameters.iter().copied()).unwrap();
        let x = recording.tensor(&x).unwrap();
        let qkv = Linear::new(&layers[0]).record(&mut recording, &x).unwrap();
        let part = |part: usize| Heads::in_rows(&qkv, 8 * part, 2, 4).unwrap();
        let attended = Attention::new().record(&mut recording, &part(0), &part(1), &part(2)).unwrap().output;
        let hidden = Linear::new(&layers[1]).activation(Activation::Gelu).residual(&x);
        let hidden = hidden.record(&mut recording, &attended).unwrap();
        let sum = ops::add(&mut recording, &hidden, &attended).unwrap();
        let logits = Linear::new(&layers[2]).record(&mut recording, &sum).unwrap();
        let loss =
            CrossEntropy::new(&[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]).record(&mut recording, &logits).unwrap();
        let gradients = recording.backward(&loss).unwrap();
        let found: Vec<Value> =
            parameters.iter().map(|tensor| gradients.of_parameter(&recording, tensor).unwrap()).collect();
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let buffers = cpu::host_buffers(&recording, &plan(&recording)).unwrap();
        cpu::run_twins(&recording, &buffers).unwrap();
        found.iter().map(|gradient| buffers[gradient.index].as_ref().unwrap().read().clone()).collect()
    }

    /// A plan that gave a saved activation's memory away too early would change gradients without a word.
    #[test]
    fn gradients_are_the_same_bits_in_shared_and_in_unshared_memory() {
        let shared = gradients_by(Plan::of);
        assert!(shared.iter().all(|gradient| gradient.iter().any(|&word| word != 0)));
        assert_eq!(shared, gradients_by(Plan::unshared));
    }

    #[test]
    fn an_error_leaves_no_op_on_the_tape() {
        let device = Device::cpu();
        let x = Tensor::from_f32(&device, [2], &[1.0, 2.0]).unwrap();
        let mut recording = Recording::training(&device, [&x]).unwrap();
        let x = recording.tensor(&x).unwrap();
        let y = ops::multiply(&mut recording, &x, &x).unwrap();
        let outcome: Result<()> = recording.atomically(|recording| {
            ops::multiply(recording, &y, &y)?;
            Err(Error::argument("test", "it", "to fail", "failing"))
        });
        outcome.unwrap_err();
        assert_eq!(recording.tape.as_ref().unwrap().nodes(), 1);
        let loss = ops::sum(&mut recording, &y, 0..1).unwrap();
        recording.backward(&loss).unwrap();
        let error = recording.backward(&loss).unwrap_err();
        assert!(error.to_string().contains("not recorded yet"), "{error}");
    }

    #[test]
    fn what_cannot_be_differentiated_is_refused() {
        let device = Device::cpu();
        let x = Tensor::from_f32(&device, [2], &[1.0, 2.0]).unwrap();
        let words = Tensor::from_u32(&device, [2], &[1, 2]).unwrap();
        assert!(Recording::training(&device, [&words]).is_err());
        assert!(Recording::training(&device, [&x, &x]).is_err());
        let mut plain = Recording::new(&device);
        let value = plain.tensor(&x).unwrap();
        assert!(plain.track(&value).is_err() && plain.backward_from(&value, &value).is_err());
        let mut recording = Recording::training(&device, []).unwrap();
        let value = recording.tensor(&x).unwrap();
        // Nothing is trained, and it has two elements.
        assert!(recording.backward_from(&value, &value).is_err());
        recording.track(&value).unwrap();
        assert!(recording.backward(&value).is_err());
    }
}
