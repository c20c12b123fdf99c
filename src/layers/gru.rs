//! Gated recurrent units (Cho et al. 2014) with PyTorch's equations.

use super::{HostLinear, Parameters, Part, SplitLinear};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{
    GruStep, GruStepGradients, Linear, LinearValues, LinearWeights, concat, gather_rows, slice, writable,
};
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "gru";

/// The weights of a GRU's one direction on the host, as PyTorch's `nn.GRU` and `nn.GRUCell` have them: the rows of r, z and n
/// one after the other.
#[derive(Clone, Copy, Debug)]
pub struct HostGru<'a> {
    /// W_ih `[3H, I]` and b_ih `[3H]`.
    pub input: HostLinear<'a>,
    /// W_hh `[3H, H]` and b_hh `[3H]`.
    pub hidden: HostLinear<'a>,
}

/// Which way a GRU reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GruDirection {
    /// From the first step to the last.
    #[default]
    Forward,
    /// From each sequence's own last step to the first.
    Backward,
    /// Both, the outputs side by side, forward first.
    Bidirectional,
}

impl GruDirection {
    /// Whether each direction is the reverse.
    fn reverses(self) -> &'static [bool] {
        match self {
            Self::Forward => &[false],
            Self::Backward => &[true],
            Self::Bidirectional => &[false, true],
        }
    }
}

/// The sizes of a GRU.
#[derive(Clone, Copy, Debug)]
pub struct GruConfig {
    /// I: the columns of the input.
    pub input_dim: usize,
    /// H: the elements of a state.
    pub hidden_dim: usize,
    /// Which way it reads.
    pub direction: GruDirection,
    /// The dtype of the weights: f32 or f16.
    pub dtype: DType,
}

/// The optional arguments of a call of a GRU.
#[derive(Clone, Copy, Debug, Default)]
pub struct GruOptions<'a> {
    /// Steps of each sequence; what follows is padding. At most L. Without: all are L long.
    pub lengths: Option<&'a [u32]>,
    /// The states `[B, H]` that the directions begin with; without, zeros.
    pub initial: Option<&'a [&'a Value]>,
}

/// The result of a call of a GRU.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GruValues {
    /// `[B, L, directions · H]`; 0 at padding.
    pub output: Value,
    /// The last state of each direction, `[B, H]`: forward that of each sequence's own last step, backward that of its
    /// first.
    pub states: Vec<Value>,
}

/// One layer of gated recurrent units on a device:
///
/// r = σ(W_ir·x + b_ir + W_hr·h + b_hr), z = σ(W_iz·x + b_iz + W_hz·h + b_hz),
/// n = tanh(W_in·x + b_in + r ⊙ (W_hn·h + b_hn)), h' = (1 − z) ⊙ n + z ⊙ h
///
/// as PyTorch's `nn.GRU`. Cho et al. 2014 apply r to h before the product; Bahdanau et al. 2015 do too, and call 1 − z what
/// is z here: weights trained by those equations do not fit.
///
/// A batch of sequences of different lengths gives what each would give alone (PyTorch's `pack_padded_sequence`).
#[derive(Clone, Debug)]
pub struct Gru {
    config: GruConfig,
    /// Of all directions: `[directions · 3H, I]`.
    input: LinearWeights,
    hidden: Vec<LinearWeights>,
}

impl Gru {
    /// Uploads the weights, those of each direction.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit, [`Error::OutOfMemory`].
    pub fn new(device: &Device, config: GruConfig, weights: &[HostGru<'_>]) -> Result<Self> {
        let GruConfig { input_dim, hidden_dim, direction, dtype } = config;
        let directions = direction.reverses().len();
        if weights.len() != directions {
            let found = weights.len().to_string();
            return Err(Error::argument(OP, "weights", format!("of {directions} directions"), found));
        }
        // First: they bound H, by which b_ih is then made.
        let hidden = weights.iter().enumerate().map(|(direction, weights)| {
            let name = format!("weights[{direction}].hidden");
            hidden_weights(device, &name, hidden_dim, &weights.hidden, dtype)
        });
        let hidden = hidden.collect::<Result<_>>()?;
        let gates = hidden_dim.saturating_mul(3);
        let (mut all, mut bias) = (Vec::new(), Vec::new());
        for (direction, HostGru { input, .. }) in weights.iter().enumerate() {
            input.expect(Part(OP, &format!("weights[{direction}].input")), [gates, input_dim])?;
            all.extend_from_slice(input.weight);
            match input.bias {
                Some(own) => bias.extend_from_slice(own),
                None => bias.extend(std::iter::repeat_n(0.0, gates)),
            }
        }
        let rows = gates.saturating_mul(directions);
        let input = LinearWeights::new(device, [rows, input_dim], &all, Some(&bias), dtype)?;
        Ok(Self { config, input, hidden })
    }

    /// The sizes.
    pub fn config(&self) -> &GruConfig {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.input.bytes() + self.hidden.iter().map(LinearWeights::bytes).sum::<u64>()
    }

    /// Adds what can be trained, by PyTorch's names behind a prefix, with the endings of each direction, such as `_l0` and `_l0_reverse`.
    pub fn add_parameters(&self, to: &mut Parameters, prefix: &str, endings: &[&str]) {
        let gates = 3 * self.config.hidden_dim;
        let names = |what: &str| -> Vec<(String, usize)> {
            endings.iter().map(|ending| (format!("{prefix}{what}{ending}"), gates)).collect()
        };
        to.packed_as(&names("weight_ih"), &names("bias_ih"), &self.input);
        for ((weight, bias), hidden) in names("weight_hh").iter().zip(&names("bias_hh")).zip(&self.hidden) {
            to.packed_as(std::slice::from_ref(weight), std::slice::from_ref(bias), hidden);
        }
    }

    /// Records it on x `[B, L, I]`, all steps in this recording, which grows with L: two dispatches for each step and
    /// direction, none for an empty batch.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or lengths that do not fit, [`Error::Limit`].
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &GruOptions<'_>,
    ) -> Result<GruValues> {
        recording.atomically(|recording| {
            let GruConfig { input_dim, hidden_dim, direction, .. } = self.config;
            let (&[batch, length, columns], DType::F32) = (x.shape().dims(), x.dtype()) else {
                let found = format!("{} {}", x.dtype(), x.shape());
                return Err(Error::argument(OP, "x", format!("f32 [batch, length, {input_dim}]"), found));
            };
            if columns != input_dim {
                let expected = format!("[batch, length, {input_dim}]");
                return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
            }
            let reverses = direction.reverses();
            if let Some(lengths) = options.lengths {
                let wrong = |expected| Err(Error::argument(OP, "lengths", expected, format!("{lengths:?}")));
                if lengths.len() != batch {
                    return wrong(format!("one for each of {batch} sequences"));
                }
                if lengths.iter().any(|&steps| steps as usize > length) {
                    return wrong(format!("at most {length}, the length of x {}", x.shape()));
                }
            }
            if let Some(initial) = options.initial {
                if initial.len() != reverses.len() {
                    let expected = format!("one for each of {} directions", reverses.len());
                    return Err(Error::argument(
                        OP,
                        "the initial states",
                        expected,
                        initial.len().to_string(),
                    ));
                }
                for state in initial {
                    if state.shape().dims() != [batch, hidden_dim] || state.dtype() != DType::F32 {
                        let (expected, found) = (
                            format!("f32 [{batch}, {hidden_dim}]"),
                            format!("{} {}", state.dtype(), state.shape()),
                        );
                        return Err(Error::argument(OP, "an initial state", expected, found));
                    }
                }
            }
            let device = recording.device().clone();
            let lengths = match options.lengths {
                Some(lengths) => Some(recording.tensor(&Tensor::from_u32(&device, [batch], lengths)?)?),
                None => None,
            };
            let x_gates =
                recording.scoped("input", |recording| Linear::new(&self.input).record(recording, x))?;
            let before = match options.initial {
                Some(initial) => initial.iter().map(|&state| state.clone()).collect(),
                None => {
                    let zeros = Tensor::zeros(&device, [batch, hidden_dim], DType::F32)?;
                    vec![recording.tensor(&zeros)?; reverses.len()]
                }
            };
            let hidden = self.hidden.iter().map(|weights| LinearValues::of(recording, weights));
            let hidden = hidden.collect::<Result<Vec<_>>>()?;
            let weights = hidden.iter().flat_map(LinearValues::all);
            let inputs: Vec<&Value> = [&x_gates].into_iter().chain(&before).chain(weights).collect();
            let is_tracked = recording.is_taping() && inputs.iter().any(|input| recording.is_tracked(input));
            let steps = |recording: &mut Recording| {
                let output = recording.temporary([batch, length, hidden_dim * reverses.len()], DType::F32)?;
                let mut states = before.clone();
                let mut kept = vec![Vec::new(); reverses.len()];
                // Without a state there is nothing to compute, however long x is.
                let steps = if batch == 0 || hidden_dim == 0 { 0 } else { length };
                for step in 0..steps {
                    for (direction, (state, &reverse)) in states.iter_mut().zip(reverses).enumerate() {
                        let h_gates = Linear::new(&self.hidden[direction]).record(recording, state)?;
                        let one = GruStep {
                            x_gates: &x_gates,
                            direction,
                            h_gates: &h_gates,
                            lengths: lengths.as_ref(),
                            step,
                            reverse,
                            output: Some(&output),
                        };
                        let after = one.record(recording, state)?;
                        let before = std::mem::replace(state, after);
                        if is_tracked {
                            kept[direction].push(Kept { before, h_gates });
                        }
                    }
                }
                let outputs = [output].into_iter().chain(states).collect();
                Ok((outputs, kept))
            };
            let (mut outputs, _) =
                recording.differentiable_several(&inputs, steps, |outputs: &[Value], kept| {
                    let taken = Taken {
                        x_gates: x_gates.clone(),
                        output: outputs[0].clone(),
                        initial: before.clone(),
                        hidden: hidden.clone(),
                        reverses,
                        lengths: lengths.clone(),
                        steps_of: options.lengths.map_or_else(|| vec![length as u32; batch], <[u32]>::to_vec),
                        kept: kept.clone(),
                    };
                    Box::new(move |recording, gradients, upstream| {
                        taken.record_gradients(recording, gradients, upstream)
                    })
                })?;
            let states = outputs.split_off(1);
            Ok(GruValues { output: outputs.remove(0), states })
        })
    }
}

/// What a step took that its gradients need.
#[derive(Clone)]
struct Kept {
    before: Value,
    h_gates: Value,
}

/// What the gradients of all steps need.
struct Taken {
    x_gates: Value,
    output: Value,
    /// The states that the directions began with.
    initial: Vec<Value>,
    hidden: Vec<LinearValues>,
    reverses: &'static [bool],
    lengths: Option<Value>,
    /// Steps of each sequence.
    steps_of: Vec<u32>,
    /// Of each step of each direction.
    kept: Vec<Vec<Kept>>,
}

impl Taken {
    /// Backpropagation through time (Werbos 1990), the gradients of the output and of the last states together. What W_hh has of all
    /// steps is one product, of all gates' gradients and all states.
    fn record_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        upstream: &[Option<Value>],
    ) -> Result<()> {
        let Self { x_gates, lengths, reverses, .. } = self;
        let (batch, units) = (self.initial[0].shape()[0], self.initial[0].shape().last());
        let (of_output, of_states) =
            upstream.split_first().map_or((None, upstream), |(output, states)| (output.as_ref(), states));
        let of_x_gates = recording.temporary(x_gates.shape().clone(), DType::F32)?;
        for (direction, (kept, &reverse)) in self.kept.iter().zip(*reverses).enumerate() {
            let (steps, hidden, initial) = (kept.len(), &self.hidden[direction], &self.initial[direction]);
            let of_h_gates = recording.temporary([steps, batch, 3 * units], DType::F32)?;
            let mut of_state = match of_states.get(direction) {
                Some(Some(upstream)) => writable(recording, upstream)?,
                _ => recording.zeros([batch, units], DType::F32)?,
            };
            for (step, Kept { before, h_gates }) in kept.iter().enumerate().rev() {
                let one = GruStep {
                    x_gates,
                    direction,
                    h_gates,
                    lengths: lengths.as_ref(),
                    step,
                    reverse,
                    output: None,
                };
                let places = GruStepGradients {
                    of_output,
                    of_state: &of_state,
                    of_x_gates: &of_x_gates,
                    of_h_gates: &of_h_gates,
                    h_place: step,
                };
                one.record_gradients(recording, before, places)?;
                if step == 0 && !recording.is_tracked(initial) {
                    break;
                }
                let of_own = slice(recording, &of_h_gates, 0, step..step + 1)?;
                let of_own = of_own.reshape([batch, 3 * units])?;
                if let Some(sum) = hidden.record_input_gradient(recording, &of_own, Some(of_state.clone()))? {
                    of_state = sum;
                }
            }
            if hidden.all().any(|weight| recording.is_tracked(weight)) {
                let states = self.record_states(recording, direction)?;
                hidden.record_gradients(recording, gradients, &states, &of_h_gates)?;
            }
            gradients.add(recording, initial, of_state)?;
        }
        gradients.add(recording, x_gates, of_x_gates)
    }

    /// Records the states before all steps of a direction, `[steps, B, H]`: those after a step stand in the output. A sequence that is over
    /// has zeros from there on, which nothing asks for.
    fn record_states(&self, recording: &mut Recording, direction: usize) -> Result<Value> {
        let (steps, initial) = (self.kept[direction].len(), &self.initial[direction]);
        let (batch, units) = (initial.shape()[0], initial.shape().last());
        if steps == 0 {
            return recording.temporary([0, batch, units], DType::F32);
        }
        let directions = self.reverses.len();
        let place = |step: usize, of_row: usize| match self.reverses[direction] {
            _ if step >= of_row => step,
            true => of_row - step,
            false => step - 1,
        };
        let rows = (1..steps).flat_map(|step| {
            let row = move |(row, &of_row): (usize, &u32)| {
                ((row * steps + place(step, of_row as usize)) * directions + direction) as u32
            };
            self.steps_of.iter().enumerate().map(row)
        });
        let rows: Vec<u32> = rows.collect();
        let output = self.output.reshape([batch * steps * directions, units])?;
        let later = gather_rows(recording, &output, &rows)?.reshape([steps - 1, batch, units])?;
        concat(recording, &[&initial.reshape([1, batch, units])?, &later], 0)
    }
}

/// One step at a time, for decoders: PyTorch's `nn.GRUCell`, with the equations of [`Gru`].
#[derive(Clone, Debug)]
pub struct GruCell {
    input: SplitLinear,
    hidden: LinearWeights,
    hidden_dim: usize,
}

impl GruCell {
    /// Uploads the weights for a state of `hidden_dim` and an input that is the concatenation of these sizes.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        input_dims: &[usize],
        hidden_dim: usize,
        weights: &HostGru<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let gates = hidden_dim.saturating_mul(3);
        Ok(Self {
            input: SplitLinear::new(device, [OP, "input"], gates, input_dims, &weights.input, dtype)?,
            hidden: hidden_weights(device, "hidden", hidden_dim, &weights.hidden, dtype)?,
            hidden_dim,
        })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.input.bytes() + self.hidden.bytes()
    }

    /// Adds what can be trained, by PyTorch's names behind a prefix.
    pub fn add_parameters(&self, to: &mut Parameters, prefix: &str) {
        let name = |what: &str| format!("{prefix}{what}");
        self.input.add_parameters(to, [&name("weight_ih"), &name("bias_ih")]);
        let gates = 3 * self.hidden_dim;
        let [weight, bias] = ["weight_hh", "bias_hh"].map(|what| [(name(what), gates)]);
        to.packed_as(&weight, &bias, &self.hidden);
    }

    /// Records one step from the state `[B, H]` on inputs `[B, …]`, which are taken as one, side by side: the next state
    /// `[B, H]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit, [`Error::Limit`].
    pub fn record(&self, recording: &mut Recording, inputs: &[&Value], state: &Value) -> Result<Value> {
        recording.atomically(|recording| {
            let &[rows, columns] = state.shape().dims() else { return Err(self.wrong_state(state)) };
            if columns != self.hidden_dim || state.dtype() != DType::F32 {
                return Err(self.wrong_state(state));
            }
            for (size, input) in self.input.inputs().zip(inputs) {
                if input.shape().dims() != [rows, size] {
                    let expected = format!("[{rows}, {size}] for a state {}", state.shape());
                    return Err(Error::argument(OP, "an input", expected, input.shape().to_string()));
                }
            }
            let x_gates = self.input.record(recording, inputs)?;
            self.record_with_gates(recording, &x_gates, state)
        })
    }

    /// Records what the inputs from `first` on add to the gates `[…, 3H]`: of inputs that are there for all steps before the first, once
    /// for all of them. The first input's part has b_ih.
    pub(crate) fn record_gates(
        &self,
        recording: &mut Recording,
        first: usize,
        inputs: &[&Value],
        sum: Option<&Value>,
    ) -> Result<Value> {
        self.input.record_from(recording, first, inputs, sum)
    }

    /// Records one step from the state `[B, H]`, the gates' sums over all inputs `[B, 3H]` being there: the next state `[B, H]`.
    pub(crate) fn record_with_gates(
        &self,
        recording: &mut Recording,
        x_gates: &Value,
        state: &Value,
    ) -> Result<Value> {
        recording.atomically(|recording| {
            let x_gates = x_gates.reshape([state.shape()[0], 1, 3 * self.hidden_dim])?;
            let h_gates = Linear::new(&self.hidden).record(recording, state)?;
            let step = GruStep {
                x_gates: &x_gates,
                direction: 0,
                h_gates: &h_gates,
                lengths: None,
                step: 0,
                reverse: false,
                output: None,
            };
            step.record(recording, state)
        })
    }
}

impl GruCell {
    fn wrong_state(&self, state: &Value) -> Error {
        let (expected, found) =
            (format!("f32 [batch, {}]", self.hidden_dim), format!("{} {}", state.dtype(), state.shape()));
        Error::argument(OP, "the state", expected, found)
    }
}

/// W_hh `[3H, H]` and b_hh.
fn hidden_weights(
    device: &Device,
    name: &str,
    hidden_dim: usize,
    hidden: &HostLinear<'_>,
    dtype: DType,
) -> Result<LinearWeights> {
    let gates = hidden_dim.saturating_mul(3);
    hidden.upload(device, Part(OP, name), [gates, hidden_dim], dtype)
}
