//! A recurrent decoder that attends to annotations: what Bahdanau's model writes with, whatever made the annotations.

use std::sync::Arc;

use super::generation::{StepDecoder, StepOutput};
use super::source::Source;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{GruCell, HostGru, HostLinear, LayerCapture, Parameters, SplitLinear};
use crate::ops::{
    Activation, AdditiveAttention, AdditiveAttentionWeights, Embedding, EmbeddingTable,
    HostAdditiveAttention, Linear, LinearWeights, Pooling, add, concat, gather_rows, pool, slice,
};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "recurrent_decoder";

/// The sizes of a recurrent decoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentDecoderConfig {
    /// V: tokens.
    pub vocabulary_size: usize,
    /// E: the width of a token's embedding.
    pub embedding_dim: usize,
    /// D: the width of an annotation, and of a context.
    pub annotation_dim: usize,
    /// The width of what the first state is made of.
    pub initial_dim: usize,
    /// H: the width of a state.
    pub hidden_dim: usize,
    /// A: the width inside the attention's score; 0 for a decoder without attention.
    pub attention_dim: usize,
    /// M: the width behind maxout.
    pub readout_dim: usize,
}

/// A decoder on a device (Bahdanau, Cho and Bengio 2015, appendix A). It begins with s₀ = tanh(W·x + b), and in step i, with the token
/// y before it,
///
/// αᵢⱼ = softmaxⱼ(wᵀ·tanh(W_a·sᵢ₋₁ + U_a·hⱼ + b)), cᵢ = Σⱼ αᵢⱼ·hⱼ, sᵢ = GRU(\[y; cᵢ\], sᵢ₋₁),
/// logits = W_o·maxout(W_t·\[sᵢ; y; cᵢ\] + b) + b_o
///
/// over annotations hⱼ. Without attention (Cho et al. 2014) c is the one annotation that a text has, the same in every step.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentDecoder {
    config: RecurrentDecoderConfig,
    embeddings: EmbeddingTable,
    initial: LinearWeights,
    attention: Option<AdditiveAttentionWeights>,
    cell: GruCell,
    readout: SplitLinear,
    output: LinearWeights,
}

/// What a recurrent decoder writes from: annotations of texts, padded to the longest.
#[derive(Clone, Debug)]
pub struct RecurrentMemory {
    /// hⱼ, `[texts, longest, annotation_dim]`; padding is never looked at. Of a model without attention the context c alone, `[texts, 1,
    /// annotation_dim]`.
    pub annotations: Value,
    /// U_a·hⱼ + b, `[texts, longest, attention_dim]`: made once for all steps. None without attention.
    pub keys: Option<Value>,
    /// s₀, `[texts, hidden_dim]`.
    pub state: Value,
    /// Annotations of each text, u32 `[texts]`.
    pub lengths: Value,
}

/// What one step of a recurrent decoder gives, for rows that are texts × hypotheses of each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecurrentStep {
    /// `[rows, vocabulary_size]`.
    pub logits: Value,
    /// sᵢ, `[rows, hidden_dim]`.
    pub state: Value,
    /// αᵢ, `[rows, longest]`, if asked for. They have a gradient, as the logits have.
    pub weights: Option<Value>,
}

/// What whole targets give, all steps of them.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentTargets {
    /// `[steps, targets, vocabulary_size]`, of the token after each that was read.
    pub logits: Value,
    /// αᵢ of each step, `[targets, longest]`, if asked for. They have a gradient, as the logits have.
    pub weights: Vec<Value>,
}

impl RecurrentDecoder {
    /// Takes its tensors from a source: `target_embedding`, `initial`, `attention.query`, `.key` and `.value`, `decoder`, `readout`,
    /// `output`.
    pub fn from_source(
        device: &Device,
        config: RecurrentDecoderConfig,
        source: &mut Source<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let RecurrentDecoderConfig { vocabulary_size: words, embedding_dim, annotation_dim, .. } = config;
        let (hidden, width) = (config.hidden_dim, config.attention_dim);
        let embeddings = source.table(device, "target_embedding.weight", [words, embedding_dim])?;
        let initial = source.linear("initial", [hidden, config.initial_dim])?;
        let attention = (width > 0).then(|| {
            let key = source.linear("attention.key", [width, annotation_dim])?;
            let score = source.tensor("attention.value.weight", &[1, width])?;
            let host = HostAdditiveAttention {
                query_weight: &source.matrix("attention.query.weight", &[width, hidden])?,
                key_weight: key.host().weight,
                bias: key.host().bias,
                score_weight: &score,
            };
            AdditiveAttentionWeights::new(device, [hidden, annotation_dim], &host, dtype)
        });
        let attention = attention.transpose()?;
        let inputs = [embedding_dim, annotation_dim];
        let cell = HostGruTensors::of(source, "decoder", "", inputs.iter().sum(), hidden)?;
        let cell = GruCell::new(device, &inputs, hidden, &cell.host(), dtype)?;
        let inputs = [hidden, embedding_dim, annotation_dim];
        let halves = 2 * config.readout_dim;
        let readout = source.linear("readout", [halves, inputs.iter().sum()])?;
        let names = [OP, "readout"];
        let readout = SplitLinear::new(device, names, halves, &inputs, &readout.host(), dtype)?;
        let bias = source.tensor("output.bias", &[words])?;
        let output = source.projection(device, "output.weight", [words, config.readout_dim], &bias)?;
        let HostLinear { weight, bias } = initial.host();
        let initial = LinearWeights::new(device, [hidden, config.initial_dim], weight, bias, dtype)?;
        Ok(Self { config, embeddings, initial, attention, cell, readout, output })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let linear = self.initial.bytes() + self.readout.bytes() + self.output.bytes();
        let attention = self.attention.as_ref().map_or(0, AdditiveAttentionWeights::bytes);
        self.embeddings.bytes() + linear + self.cell.bytes() + attention
    }

    /// Adds what can be trained, by the checkpoint's names: all of its tensors.
    pub fn add_parameters(&self, to: &mut Parameters) {
        to.table("target_embedding.weight", &self.embeddings);
        to.linear("initial", &self.initial);
        if let Some(attention) = &self.attention {
            to.additive_attention("attention", attention);
        }
        self.cell.add_parameters(to, "decoder.");
        self.readout.add_parameters(to, ["readout.weight", "readout.bias"]);
        to.linear("output", &self.output);
    }

    /// Records what all steps have in common, of annotations `[texts, longest, annotation_dim]` of which each text has its length, and of
    /// what the first state is made of, `[texts, initial_dim]`. A decoder without attention has one annotation of each text.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or lengths that do not fit.
    pub fn record_memory(
        &self,
        recording: &mut Recording,
        annotations: &Value,
        lengths: &[u32],
        initial: &Value,
    ) -> Result<RecurrentMemory> {
        recording.atomically(|recording| {
            let texts = lengths.len();
            let width = self.config.annotation_dim;
            let fits = match annotations.shape().dims() {
                &[items, longest, columns] => {
                    let longest_fits = self.attention.is_some() || longest == 1;
                    (items, columns) == (texts, width) && longest_fits
                }
                _ => false,
            };
            if !fits {
                let longest = if self.attention.is_some() { "longest" } else { "1" };
                let expected = format!("[{texts}, {longest}, {width}] for {texts} lengths");
                return Err(Error::argument(OP, "annotations", expected, annotations.shape().to_string()));
            }
            let longest = annotations.shape()[1];
            if lengths.iter().any(|&length| length as usize > longest) {
                let expected = format!("at most {longest}, the annotations of a text");
                return Err(Error::argument(OP, "lengths", expected, format!("{lengths:?}")));
            }
            let keys = self.attention.as_ref().map(|attention| {
                recording.scoped("attention.key", |recording| attention.project_keys(recording, annotations))
            });
            let keys = keys.transpose()?;
            let state = recording.scoped("initial", |recording| {
                Linear::new(&self.initial).activation(Activation::Tanh).record(recording, initial)
            })?;
            let lengths = Tensor::from_u32(recording.device(), [texts], lengths)?;
            let lengths = recording.tensor(&lengths)?;
            Ok(RecurrentMemory { annotations: annotations.clone(), keys, state, lengths })
        })
    }

    /// Records one step: the last token of each row, and the state `[rows, hidden_dim]` before. There are as many rows for each text of
    /// the memory, those of a text one after the other.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id past its table, rows that do not fit, or weights of a decoder without attention.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        memory: &RecurrentMemory,
        tokens: &[u32],
        state: &Value,
        with_weights: bool,
    ) -> Result<RecurrentStep> {
        recording.atomically(|recording| {
            let (rows, hidden) = (tokens.len(), self.config.hidden_dim);
            if state.shape().dims() != [rows, hidden] {
                let expected = format!("[{rows}, {hidden}] for {rows} tokens");
                return Err(Error::argument(OP, "the state", expected, state.shape().to_string()));
            }
            let (context, weights) = self.record_context(recording, memory, state, with_weights)?;
            let embedded = recording.scoped("embeddings", |recording| {
                Embedding::new(&self.embeddings).record(recording, tokens)
            })?;
            let state = recording
                .scoped("decoder", |recording| self.cell.record(recording, &[&embedded, &context], state))?;
            let logits = recording.scoped("output", |recording| {
                let halves = self.readout.record(recording, &[&state, &embedded, &context])?;
                self.record_output(recording, &halves)
            })?;
            Ok(RecurrentStep { logits, state, weights })
        })
    }

    /// Records the context `[rows, annotation_dim]` of a step from its state before, and the weights `[rows, longest]` if asked for.
    fn record_context(
        &self,
        recording: &mut Recording,
        memory: &RecurrentMemory,
        state: &Value,
        with_weights: bool,
    ) -> Result<(Value, Option<Value>)> {
        let (rows, width) = (state.shape()[0], self.config.annotation_dim);
        let (Some(attention), Some(keys)) = (&self.attention, &memory.keys) else {
            if with_weights {
                return Err(Error::argument(OP, "weights", "a model with attention", "one without"));
            }
            return Ok((self.record_fixed_context(recording, memory, rows)?, None));
        };
        let mut attention = AdditiveAttention::new(attention).key_lengths_value(&memory.lengths);
        if with_weights {
            attention = attention.with_weights();
        }
        let query = state.reshape([rows, 1, self.config.hidden_dim])?;
        let attended = recording.scoped("attention", |recording| {
            attention.record_projected(recording, &query, keys, &memory.annotations)
        })?;
        let context = attended.output.reshape([rows, width])?;
        let longest = keys.shape()[1];
        let weights = attended.weights.map(|weights| weights.reshape([rows, longest])).transpose()?;
        Ok((context, weights))
    }

    /// The context of a decoder without attention, `[rows, annotation_dim]`: that of each row's text.
    fn record_fixed_context(
        &self,
        recording: &mut Recording,
        memory: &RecurrentMemory,
        rows: usize,
    ) -> Result<Value> {
        let texts = memory.annotations.shape()[0];
        let context = memory.annotations.reshape([texts, self.config.annotation_dim])?;
        if rows == texts {
            return Ok(context);
        }
        if texts == 0 || !rows.is_multiple_of(texts) {
            let expected = format!("a multiple of {texts} rows, for {texts} texts");
            return Err(Error::argument(OP, "the state", expected, rows.to_string()));
        }
        let of_row: Vec<u32> = (0..rows).map(|row| (row / (rows / texts)) as u32).collect();
        gather_rows(recording, &context, &of_row)
    }

    /// Records the logits `[rows, vocabulary_size]` of the readout's halves `[rows, 2 · readout_dim]`.
    fn record_output(&self, recording: &mut Recording, halves: &Value) -> Result<Value> {
        let rows = halves.shape()[0];
        // Maxout (Goodfellow et al. 2013) over the two halves.
        let halves = halves.reshape([rows, 2, self.config.readout_dim])?;
        let largest = pool(recording, &halves, &vec![2; rows], Pooling::Max, false)?;
        Linear::new(&self.output).record(recording, &largest)
    }

    /// Records whole targets, one for each text of the memory, each with its start token, as training has them. What does not depend on
    /// a state before is one product for all steps: what the tokens add to the gates, readout and output. What stands behind the end of a
    /// shorter target has no meaning.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of targets, targets without tokens, an id past its table, or weights of a decoder without
    /// attention.
    pub fn record_targets(
        &self,
        recording: &mut Recording,
        memory: &RecurrentMemory,
        targets: &[&[u32]],
        padding: u32,
        with_weights: bool,
    ) -> Result<RecurrentTargets> {
        recording.atomically(|recording| {
            let texts = memory.annotations.shape()[0];
            let rows = targets.len();
            let steps = targets.iter().map(|target| target.len()).max().unwrap_or(0);
            if rows != texts {
                let expected = format!("as many as the {texts} texts");
                return Err(Error::argument(OP, "targets", expected, rows.to_string()));
            }
            if steps == 0 {
                return Err(Error::argument(OP, "targets", "at least 1 token", "none"));
            }
            let tokens = (0..steps).flat_map(|step| {
                targets.iter().map(move |target| target.get(step).copied().unwrap_or(padding))
            });
            let tokens: Vec<u32> = tokens.collect();
            let embedded = recording.scoped("embeddings", |recording| {
                Embedding::new(&self.embeddings).record(recording, &tokens)
            })?;
            // What is the same in every step.
            let fixed = match self.attention {
                Some(_) => None,
                None => Some(self.record_context(recording, memory, &memory.state, with_weights)?.0),
            };
            let gates = 3 * self.config.hidden_dim;
            let of_tokens = recording.scoped("decoder", |recording| {
                let of_tokens = self.cell.record_gates(recording, 0, &[&embedded], None)?;
                let of_tokens = of_tokens.reshape([steps, rows, gates])?;
                let Some(context) = &fixed else { return Ok(of_tokens) };
                let of_context = self.cell.record_gates(recording, 1, &[context], None)?;
                add(recording, &of_tokens, &of_context)
            })?;
            let (mut states, mut contexts, mut all_weights) = (Vec::new(), Vec::new(), Vec::new());
            let mut state = memory.state.clone();
            for step in 0..steps {
                recording.scoped(format!("step.{step}"), |recording| {
                    let own = slice(recording, &of_tokens, 0, step..step + 1)?;
                    let mut own = own.reshape([rows, gates])?;
                    if fixed.is_none() {
                        let (context, weights) =
                            self.record_context(recording, memory, &state, with_weights)?;
                        own = self.cell.record_gates(recording, 1, &[&context], Some(&own))?;
                        contexts.push(context);
                        all_weights.extend(weights);
                    }
                    state = self.cell.record_with_gates(recording, &own, &state)?;
                    states.push(state.clone());
                    Ok(())
                })?;
            }
            let logits = recording.scoped("output", |recording| {
                let joined = |recording: &mut Recording, all: &[Value]| {
                    concat(recording, &all.iter().collect::<Vec<_>>(), 0)
                };
                let states = joined(recording, &states)?;
                let halves = match &fixed {
                    None => {
                        let contexts = joined(recording, &contexts)?;
                        self.readout.record(recording, &[&states, &embedded, &contexts])?
                    }
                    Some(context) => {
                        let columns = 2 * self.config.readout_dim;
                        let halves = self.readout.record_from(recording, 0, &[&states, &embedded], None)?;
                        let of_context = self.readout.record_from(recording, 2, &[context], None)?;
                        let halves = halves.reshape([steps, rows, columns])?;
                        add(recording, &halves, &of_context)?.reshape([steps * rows, columns])?
                    }
                };
                self.record_output(recording, &halves)?.reshape([steps, rows, self.config.vocabulary_size])
            })?;
            Ok(RecurrentTargets { logits, weights: all_weights })
        })
    }

    /// Runs what made a memory, and gives a decoder over it, of `beams` rows for each text; with `capture` it tells what each row attends
    /// to. `lengths` are the annotations of each text.
    pub async fn start<'a>(
        &'a self,
        mut recording: Recording,
        memory: &RecurrentMemory,
        lengths: Vec<u32>,
        beams: usize,
        capture: Option<LayerCapture<'a>>,
    ) -> Result<RecurrentStepDecoder<'a>> {
        let texts = lengths.len();
        let rows: Vec<u32> = (0..texts as u32).flat_map(|text| std::iter::repeat_n(text, beams)).collect();
        let state = gather_rows(&mut recording, &memory.state, &rows)?;
        let kept = [&memory.annotations, &state].into_iter().chain(&memory.keys);
        kept.into_iter().try_for_each(|value| recording.output(value))?;
        let device = recording.device().clone();
        let outputs = recording.run_async().await?;
        Ok(RecurrentStepDecoder {
            decoder: self,
            annotations: outputs.tensor(&memory.annotations)?,
            keys: memory.keys.as_ref().map(|keys| outputs.tensor(keys)).transpose()?,
            state: outputs.tensor(&state)?,
            device_lengths: Tensor::from_u32(&device, [texts], &lengths)?,
            device,
            lengths,
            steps: 0,
            capture,
        })
    }
}

/// The decoder over a batch, with what it keeps from step to step.
#[derive(Debug)]
pub(crate) struct RecurrentStepDecoder<'a> {
    decoder: &'a RecurrentDecoder,
    device: Device,
    annotations: Tensor,
    keys: Option<Tensor>,
    /// `[rows, hidden_dim]`.
    state: Tensor,
    /// Annotations of each text.
    device_lengths: Tensor,
    lengths: Vec<u32>,
    steps: usize,
    capture: Option<LayerCapture<'a>>,
}

impl StepDecoder for RecurrentStepDecoder<'_> {
    fn vocabulary(&self) -> usize {
        self.decoder.config.vocabulary_size
    }

    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        let mut recording = Recording::new(&self.device);
        let mut state = recording.tensor(&self.state)?;
        if parents.iter().enumerate().any(|(row, &parent)| row != parent as usize) {
            state = gather_rows(&mut recording, &state, parents)?;
        }
        let memory = RecurrentMemory {
            annotations: recording.tensor(&self.annotations)?,
            keys: self.keys.as_ref().map(|keys| recording.tensor(keys)).transpose()?,
            state: state.clone(),
            lengths: recording.tensor(&self.device_lengths)?,
        };
        self.steps += 1;
        if let Some(capture) = &self.capture {
            // Of each row so far; the device has one step's at a time.
            capture.check(&[1], [tokens.len(), self.steps, self.annotations.shape()[1]])?;
        }
        let captured = self.capture.is_some();
        let step = self.decoder.record_step(&mut recording, &memory, tokens, &state, captured)?;
        for value in [&step.logits, &step.state].into_iter().chain(&step.weights) {
            recording.output(value)?;
        }
        let outputs = recording.run_async().await?;
        self.state = outputs.tensor(&step.state)?;
        let attention = match &step.weights {
            None => Vec::new(),
            Some(weights) => self.per_row(&outputs.tensor(weights)?.to_f32_async().await?, tokens.len()),
        };
        Ok(StepOutput { logits: outputs.tensor(&step.logits)?.to_f32_async().await?, attention })
    }
}

impl RecurrentStepDecoder<'_> {
    /// What each row attended to, its text's annotations, from `[rows, longest]`.
    fn per_row(&self, weights: &[f32], rows: usize) -> Vec<Arc<[f32]>> {
        let beams = rows / self.lengths.len().max(1);
        let longest = self.annotations.shape()[1];
        let row = |row: usize| Arc::from(&weights[row * longest..][..self.lengths[row / beams] as usize]);
        (0..rows).map(row).collect()
    }
}

/// W_ih, W_hh, b_ih and b_hh of a GRU's one direction.
pub(crate) struct HostGruTensors([Vec<f32>; 4]);

impl HostGruTensors {
    /// Takes them by PyTorch's names behind that of the layer, with an ending such as `_l0`.
    pub fn of(
        source: &mut Source<'_>,
        name: &str,
        ending: &str,
        inputs: usize,
        hidden: usize,
    ) -> Result<Self> {
        let gates = 3 * hidden;
        let full = |part: &str| format!("{name}.{part}{ending}");
        Ok(Self([
            source.matrix(&full("weight_ih"), &[gates, inputs])?,
            source.matrix(&full("weight_hh"), &[gates, hidden])?,
            source.tensor(&full("bias_ih"), &[gates])?,
            source.tensor(&full("bias_hh"), &[gates])?,
        ]))
    }

    pub fn host(&self) -> HostGru<'_> {
        let [input, hidden, input_bias, hidden_bias] = &self.0;
        HostGru {
            input: HostLinear { weight: input, bias: Some(input_bias) },
            hidden: HostLinear { weight: hidden, bias: Some(hidden_bias) },
        }
    }
}
