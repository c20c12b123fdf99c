//! Bahdanau's model: a bidirectional GRU reads, additive attention aligns, a GRU writes (Bahdanau, Cho and Bengio 2015,
//! *Neural Machine Translation by Jointly Learning to Align and Translate*, appendix A; RNNsearch there).

use std::sync::Arc;

use super::facts::{Facts, Sizes, Wanted};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{
    Gru, GruCell, GruConfig, GruDirection, GruOptions, HostGru, HostLinear, LayerCapture, Parameter,
    Parameters, SplitLinear,
};
use crate::models::generation::{Hypothesis, StepDecoder, StepOutput, generate};
use crate::models::padded::{PaddedIds, Shifted};
use crate::models::source::Source;
use crate::ops::{
    Activation, AdditiveAttention, AdditiveAttentionWeights, CrossEntropy, Embedding, EmbeddingTable,
    HostAdditiveAttention, Linear, LinearWeights, Pooling, concat, gather_rows, pool,
};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};
use crate::weights::{BahdanauConfig, Checkpoint};

const OP: &str = "bahdanau";

/// Bahdanau's model on a device.
///
/// The encoder is a GRU in both directions; its states side by side are the annotations hⱼ. The decoder begins with s₀ =
/// tanh(W·h⃖₁ + b), and in step i, with the token y before it,
///
/// αᵢⱼ = softmaxⱼ(wᵀ·tanh(W_a·sᵢ₋₁ + U_a·hⱼ + b)), cᵢ = Σⱼ αᵢⱼ·hⱼ, sᵢ = GRU(\[y; cᵢ\], sᵢ₋₁),
/// logits = W_o·maxout(W_t·\[sᵢ; y; cᵢ\] + b) + b_o
///
/// with the GRU's equations as PyTorch has them (see [`Gru`]).
#[derive(Clone, Debug)]
pub struct BahdanauSeq2Seq {
    config: BahdanauConfig,
    source: EmbeddingTable,
    target: EmbeddingTable,
    encoder: Gru,
    initial: LinearWeights,
    attention: AdditiveAttentionWeights,
    decoder: GruCell,
    readout: SplitLinear,
    output: LinearWeights,
}

/// What the encoder makes of source texts, padded to the longest.
#[derive(Clone, Debug)]
pub struct BahdanauMemory {
    /// hⱼ, `[texts, longest, 2·hidden_dim]`; 0 at padding.
    pub annotations: Value,
    /// U_a·hⱼ + b, `[texts, longest, attention_dim]`: made once for all steps.
    pub keys: Value,
    /// s₀, `[texts, hidden_dim]`.
    pub state: Value,
    /// Tokens of each text, u32 `[texts]`.
    pub lengths: Value,
}

/// What one step of the decoder gives, for rows that are texts × hypotheses of each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BahdanauStep {
    /// `[rows, vocabulary_size]`.
    pub logits: Value,
    /// sᵢ, `[rows, hidden_dim]`.
    pub state: Value,
    /// αᵢ, `[rows, longest]`, if asked for.
    pub weights: Option<Value>,
}

impl BahdanauSeq2Seq {
    /// Loads the weights of a checkpoint and stores the matrices as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`]; [`Error::Weight`] for one that is not finite, or does not fit f16;
    /// [`Error::Unsupported`] for a tensor that no part of the architecture accounts for; [`Error::OutOfMemory`].
    pub fn load(
        device: &Device,
        config: &BahdanauConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        Self::from_source(device, config, Source::new(checkpoint, dtype), dtype)
    }

    /// A model that has learnt nothing yet, its weights made from a seed, in f32: what training begins with.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn random(device: &Device, config: &BahdanauConfig, seed: u64) -> Result<Self> {
        Self::from_source(device, config, Source::random(seed), DType::F32)
    }

    fn from_source(
        device: &Device,
        config: &BahdanauConfig,
        mut source: Source<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let &BahdanauConfig { vocabulary_size: words, embedding_dim, hidden_dim: hidden, .. } = config;
        let (width, annotation) = (config.attention_dim, 2 * hidden);
        let mut table = |name: &str| source.table(device, name, [words, embedding_dim]);
        let (from, to) = (table("source_embedding.weight")?, table("target_embedding.weight")?);
        let forward = gru(&mut source, "encoder", "_l0", embedding_dim, hidden)?;
        let backward = gru(&mut source, "encoder", "_l0_reverse", embedding_dim, hidden)?;
        let encoder = GruConfig {
            input_dim: embedding_dim,
            hidden_dim: hidden,
            direction: GruDirection::Bidirectional,
            dtype,
        };
        let encoder = Gru::new(device, encoder, &[host_gru(&forward), host_gru(&backward)])?;
        let initial = source.linear("initial", [hidden, hidden])?;
        let key = source.linear("attention.key", [width, annotation])?;
        let score = source.tensor("attention.value.weight", &[1, width])?;
        let attention = HostAdditiveAttention {
            query_weight: &source.matrix("attention.query.weight", &[width, hidden])?,
            key_weight: key.host().weight,
            bias: key.host().bias,
            score_weight: &score,
        };
        let attention = AdditiveAttentionWeights::new(device, [hidden, annotation], &attention, dtype)?;
        let inputs = [embedding_dim, annotation];
        let decoder = gru(&mut source, "decoder", "", inputs.iter().sum(), hidden)?;
        let decoder = GruCell::new(device, &inputs, hidden, &host_gru(&decoder), dtype)?;
        let inputs = [hidden, embedding_dim, annotation];
        let halves = 2 * config.readout_dim;
        let readout = source.linear("readout", [halves, inputs.iter().sum()])?;
        let bias = source.tensor("output.bias", &[words])?;
        let output = source.projection(device, "output.weight", [words, config.readout_dim], &bias)?;
        source.check_all_used(&[], "those of Bahdanau's model")?;
        let HostLinear { weight, bias } = initial.host();
        let initial = LinearWeights::new(device, [hidden, hidden], weight, bias, dtype)?;
        Ok(Self {
            config: config.clone(),
            source: from,
            target: to,
            encoder,
            initial,
            attention,
            decoder,
            readout: SplitLinear::new(
                device,
                ["bahdanau", "readout"],
                halves,
                &inputs,
                &readout.host(),
                dtype,
            )?,
            output,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &BahdanauConfig {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let linear = self.initial.bytes() + self.readout.bytes() + self.output.bytes();
        let recurrent = self.encoder.bytes() + self.decoder.bytes();
        self.source.bytes() + self.target.bytes() + linear + recurrent + self.attention.bytes()
    }

    /// What can be trained, by the checkpoint's names: all of its tensors.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Parameters::new();
        all.table("source_embedding.weight", &self.source);
        all.table("target_embedding.weight", &self.target);
        self.encoder.add_parameters(&mut all, "encoder.", &["_l0", "_l0_reverse"]);
        all.linear("initial", &self.initial);
        let (query, key, score) = self.attention.parts();
        all.linear("attention.query", query);
        all.linear("attention.key", key);
        all.tensor("attention.value.weight", score, true);
        self.decoder.add_parameters(&mut all, "decoder.");
        self.readout.add_parameters(&mut all, ["readout.weight", "readout.bias"]);
        all.linear("output", &self.output);
        all.into_vec()
    }

    pub(super) fn facts(&self) -> Facts {
        let config = &self.config;
        Facts {
            weight_bytes: self.bytes(),
            max_source_tokens: config.max_source_length,
            max_target_tokens: None,
            target_vocabulary_size: config.vocabulary_size,
            padding_id: config.padding_id,
            start_id: config.start_id,
            encoder_attention: None,
            decoder_attention: None,
            cross_attention: Some([1, 1]),
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        let config = &self.config;
        // Of both directions.
        let gates = 6 * config.hidden_dim;
        let row = [gates, 2 * config.readout_dim, config.max_source_length, config.vocabulary_size];
        Sizes {
            token: gates.max(config.attention_dim),
            row: row.into_iter().fold(1, usize::max),
            kept: config.hidden_dim,
        }
    }

    /// Generates for sources; what is captured is the attention to them, the only one.
    pub(super) async fn generate(
        &self,
        device: &Device,
        wanted: Wanted<'_>,
        progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let Wanted { numbers, sources, start, options, capture } = wanted;
        let capture = capture.map(|(_, capture)| capture);
        let mut decoder = self.decoder(device, sources, options.rows_per_text(), capture).await?;
        generate(&mut decoder, numbers, start, options, progress).await
    }

    /// Records the encoder on source token ids, all steps in this recording.
    ///
    /// # Errors
    /// [`Error::Argument`] for no texts, an empty text, one longer than the model allows, or an id past its table.
    pub fn record_encoder(&self, recording: &mut Recording, texts: &[&[u32]]) -> Result<BahdanauMemory> {
        recording.atomically(|recording| {
            let (padding, limit) = (self.config.padding_id, self.config.max_source_length);
            let PaddedIds { ids, lengths, longest } =
                PaddedIds::not_empty(OP, "a source", texts, padding, limit)?;
            let x = recording
                .scoped("embeddings", |recording| Embedding::new(&self.source).record(recording, &ids))?
                .reshape([texts.len(), longest, self.config.embedding_dim])?;
            let options = GruOptions { lengths: Some(&lengths), ..Default::default() };
            let encoded =
                recording.scoped("encoder", |recording| self.encoder.record(recording, &x, &options))?;
            let keys = recording.scoped("attention.key", |recording| {
                self.attention.project_keys(recording, &encoded.output)
            })?;
            // The backward state at the first position.
            let Some(last) = encoded.states.last() else {
                return Err(Error::argument(OP, "the encoder", "of two directions", "none"));
            };
            let state = recording.scoped("initial", |recording| {
                Linear::new(&self.initial).activation(Activation::Tanh).record(recording, last)
            })?;
            let lengths = Tensor::from_u32(recording.device(), [texts.len()], &lengths)?;
            let lengths = recording.tensor(&lengths)?;
            Ok(BahdanauMemory { annotations: encoded.output, keys, state, lengths })
        })
    }

    /// Records one step of the decoder: the last token of each row, and the state `[rows, hidden_dim]` before. There are as
    /// many rows for each text of the memory, those of a text one after the other.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id past its table, or rows that do not fit.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        memory: &BahdanauMemory,
        tokens: &[u32],
        state: &Value,
        with_weights: bool,
    ) -> Result<BahdanauStep> {
        recording.atomically(|recording| {
            let (rows, hidden) = (tokens.len(), self.config.hidden_dim);
            if state.shape().dims() != [rows, hidden] {
                let expected = format!("[{rows}, {hidden}] for {rows} tokens");
                return Err(Error::argument(OP, "the state", expected, state.shape().to_string()));
            }
            let mut attention = AdditiveAttention::new(&self.attention).key_lengths_value(&memory.lengths);
            if with_weights {
                attention = attention.with_weights();
            }
            let query = state.reshape([rows, 1, hidden])?;
            let attended = recording.scoped("attention", |recording| {
                attention.record_projected(recording, &query, &memory.keys, &memory.annotations)
            })?;
            let context = attended.output.reshape([rows, 2 * hidden])?;
            let longest = memory.keys.shape()[1];
            let weights = attended.weights.map(|weights| weights.reshape([rows, longest])).transpose()?;
            let embedded = recording
                .scoped("embeddings", |recording| Embedding::new(&self.target).record(recording, tokens))?;
            let state = recording.scoped("decoder", |recording| {
                self.decoder.record(recording, &[&embedded, &context], state)
            })?;
            let logits = recording.scoped("output", |recording| {
                let halves = self.readout.record(recording, &[&state, &embedded, &context])?;
                // Maxout (Goodfellow et al. 2013) over the two halves.
                let halves = halves.reshape([rows, 2, self.config.readout_dim])?;
                let largest = pool(recording, &halves, &vec![2; rows], Pooling::Max, false)?;
                Linear::new(&self.output).record(recording, &largest)
            })?;
            Ok(BahdanauStep { logits, state, weights })
        })
    }

    /// Records the whole model on pairs of source and target token ids, the target with its start token: a step for each
    /// token of the longest target, with the logits of the token after it and, if asked for, what it attends to. What
    /// stands behind the end of a shorter target has no meaning.
    ///
    /// # Errors
    /// As [`BahdanauSeq2Seq::record_encoder`], and [`Error::Argument`] for other numbers of sources and targets.
    pub fn record_logits(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
        with_weights: bool,
    ) -> Result<Vec<BahdanauStep>> {
        recording.atomically(|recording| {
            if sources.len() != targets.len() {
                let expected = format!("as many as the {} sources", sources.len());
                return Err(Error::argument(OP, "targets", expected, targets.len().to_string()));
            }
            let memory = self.record_encoder(recording, sources)?;
            let longest = targets.iter().map(|target| target.len()).max().unwrap_or(0);
            let mut steps: Vec<BahdanauStep> = Vec::with_capacity(longest);
            for place in 0..longest {
                let token = |target: &&[u32]| target.get(place).copied().unwrap_or(self.config.padding_id);
                let tokens: Vec<u32> = targets.iter().map(token).collect();
                let state = steps.last().map_or(&memory.state, |step| &step.state).clone();
                let step = recording.scoped(format!("step.{place}"), |recording| {
                    self.record_step(recording, &memory, &tokens, &state, with_weights)
                })?;
                steps.push(step);
            }
            Ok(steps)
        })
    }

    /// Records the loss of pairs, as training has it: the mean cross-entropy over the targets' tokens, each after those before it and
    /// the start token. Targets are with the token that ends them, and without the one that begins them.
    ///
    /// # Errors
    /// As [`BahdanauSeq2Seq::record_logits`].
    pub fn record_loss(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
    ) -> Result<Value> {
        recording.atomically(|recording| {
            let shifted = Shifted::new(targets, self.config.start_id);
            let steps = self.record_logits(recording, sources, &shifted.inputs(), false)?;
            let logits: Vec<&Value> = steps.iter().map(|step| &step.logits).collect();
            let logits = concat(recording, &logits, 0)?;
            // Steps follow each other there, and in the labels the targets do.
            let longest = steps.len();
            let label = |row: usize| shifted.labels[row % targets.len() * longest + row / targets.len()];
            let labels: Vec<u32> = (0..shifted.labels.len()).map(label).collect();
            CrossEntropy::new(&labels).record(recording, &logits)
        })
    }

    /// Encodes source texts and gives a decoder for them, of `beams` rows for each; with `capture` it tells what each row
    /// attends to.
    pub(crate) async fn decoder<'a>(
        &'a self,
        device: &Device,
        texts: &[&[u32]],
        beams: usize,
        capture: Option<LayerCapture<'a>>,
    ) -> Result<BahdanauDecoder<'a>> {
        let mut recording = Recording::new(device);
        let memory = self.record_encoder(&mut recording, texts)?;
        let rows: Vec<u32> =
            (0..texts.len() as u32).flat_map(|text| std::iter::repeat_n(text, beams)).collect();
        let state = gather_rows(&mut recording, &memory.state, &rows)?;
        let kept = [&memory.annotations, &memory.keys, &state];
        kept.into_iter().try_for_each(|value| recording.output(value))?;
        let lengths: Vec<u32> = texts.iter().map(|text| text.len() as u32).collect();
        let outputs = recording.run_async().await?;
        Ok(BahdanauDecoder {
            model: self,
            device: device.clone(),
            annotations: outputs.tensor(&memory.annotations)?,
            keys: outputs.tensor(&memory.keys)?,
            state: outputs.tensor(&state)?,
            device_lengths: Tensor::from_u32(device, [texts.len()], &lengths)?,
            lengths,
            steps: 0,
            capture,
        })
    }
}

/// The decoder over a batch, with what it keeps from step to step.
#[derive(Debug)]
pub(crate) struct BahdanauDecoder<'a> {
    model: &'a BahdanauSeq2Seq,
    device: Device,
    annotations: Tensor,
    keys: Tensor,
    /// `[rows, hidden_dim]`.
    state: Tensor,
    /// Source tokens of each text.
    device_lengths: Tensor,
    lengths: Vec<u32>,
    steps: usize,
    capture: Option<LayerCapture<'a>>,
}

impl StepDecoder for BahdanauDecoder<'_> {
    fn vocabulary(&self) -> usize {
        self.model.config.vocabulary_size
    }

    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        let mut recording = Recording::new(&self.device);
        let mut state = recording.tensor(&self.state)?;
        if parents.iter().enumerate().any(|(row, &parent)| row != parent as usize) {
            state = gather_rows(&mut recording, &state, parents)?;
        }
        let memory = BahdanauMemory {
            annotations: recording.tensor(&self.annotations)?,
            keys: recording.tensor(&self.keys)?,
            state: state.clone(),
            lengths: recording.tensor(&self.device_lengths)?,
        };
        self.steps += 1;
        if let Some(capture) = &self.capture {
            // Of each row so far; the device has one step's at a time.
            capture.check(&[1], [tokens.len(), self.steps, self.keys.shape()[1]])?;
        }
        let captured = self.capture.is_some();
        let step = self.model.record_step(&mut recording, &memory, tokens, &state, captured)?;
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

impl BahdanauDecoder<'_> {
    /// What each row attended to, its text's source tokens, from `[rows, longest source]`.
    fn per_row(&self, weights: &[f32], rows: usize) -> Vec<Arc<[f32]>> {
        let beams = rows / self.lengths.len().max(1);
        let longest = self.keys.shape()[1];
        let row = |row: usize| Arc::from(&weights[row * longest..][..self.lengths[row / beams] as usize]);
        (0..rows).map(row).collect()
    }
}

/// W_ih, W_hh, b_ih and b_hh of one direction.
fn gru(
    source: &mut Source<'_>,
    name: &str,
    suffix: &str,
    inputs: usize,
    hidden: usize,
) -> Result<[Vec<f32>; 4]> {
    let gates = 3 * hidden;
    let full = |part: &str| format!("{name}.{part}{suffix}");
    Ok([
        source.matrix(&full("weight_ih"), &[gates, inputs])?,
        source.matrix(&full("weight_hh"), &[gates, hidden])?,
        source.tensor(&full("bias_ih"), &[gates])?,
        source.tensor(&full("bias_hh"), &[gates])?,
    ])
}

fn host_gru([input, hidden, input_bias, hidden_bias]: &[Vec<f32>; 4]) -> HostGru<'_> {
    HostGru {
        input: HostLinear { weight: input, bias: Some(input_bias) },
        hidden: HostLinear { weight: hidden, bias: Some(hidden_bias) },
    }
}

#[cfg(test)]
#[path = "bahdanau_tests.rs"]
mod tests;
