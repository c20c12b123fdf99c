//! Bahdanau's model: a bidirectional GRU reads, additive attention aligns, a GRU writes (Bahdanau, Cho and Bengio 2015,
//! *Neural Machine Translation by Jointly Learning to Align and Translate*, appendix A; RNNsearch there).

use std::ops::Range;

use super::facts::{Facts, Sizes, Wanted};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{
    Gru, GruConfig, GruDirection, GruOptions, GruValues, LayerCapture, Parameter, Parameters,
};
use crate::models::generation::{Hypothesis, generate};
use crate::models::padded::{PaddedIds, Shifted, counted, expect_as_many, expect_part};
use crate::models::recurrent_decoder::{
    HostGruTensors, RecurrentDecoder, RecurrentDecoderConfig, RecurrentMemory, RecurrentStep,
    RecurrentStepDecoder,
};
use crate::models::source::Source;
use crate::ops::{CrossEntropy, Embedding, EmbeddingTable, concat};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
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
///
/// Without attention (`attention_dim` 0) the context c is \[h⃗_n; h⃖₁\] in every step, the last state of each direction: all that the
/// decoder has of a text is one vector, as in Cho et al. 2014.
#[derive(Clone, Debug)]
pub struct BahdanauSeq2Seq {
    config: BahdanauConfig,
    source: EmbeddingTable,
    encoder: Gru,
    decoder: RecurrentDecoder,
}

/// What the encoder makes of source texts, padded to the longest.
pub type BahdanauMemory = RecurrentMemory;

/// What one step of the decoder gives, for rows that are texts × hypotheses of each.
pub type BahdanauStep = RecurrentStep;

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
        let from = source.table(device, "source_embedding.weight", [words, embedding_dim])?;
        let forward = HostGruTensors::of(&mut source, "encoder", "_l0", embedding_dim, hidden)?;
        let backward = HostGruTensors::of(&mut source, "encoder", "_l0_reverse", embedding_dim, hidden)?;
        let encoder = GruConfig {
            input_dim: embedding_dim,
            hidden_dim: hidden,
            direction: GruDirection::Bidirectional,
            dtype,
        };
        let encoder = Gru::new(device, encoder, &[forward.host(), backward.host()])?;
        let decoder = RecurrentDecoderConfig {
            vocabulary_size: words,
            embedding_dim,
            annotation_dim: 2 * hidden,
            initial_dim: hidden,
            hidden_dim: hidden,
            attention_dim: config.attention_dim,
            readout_dim: config.readout_dim,
        };
        let decoder = RecurrentDecoder::from_source(device, decoder, &mut source, dtype)?;
        source.check_all_used(&[], "those of Bahdanau's model")?;
        Ok(Self { config: config.clone(), source: from, encoder, decoder })
    }

    /// The sizes.
    pub fn config(&self) -> &BahdanauConfig {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.source.bytes() + self.encoder.bytes() + self.decoder.bytes()
    }

    /// What can be trained, by the checkpoint's names: all of its tensors.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Parameters::new();
        all.table("source_embedding.weight", &self.source);
        self.encoder.add_parameters(&mut all, "encoder.", &["_l0", "_l0_reverse"]);
        self.decoder.add_parameters(&mut all);
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
            cross_attention: (config.attention_dim > 0).then_some([1, 1]),
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
            let GruValues { output, states, .. } = &encoded;
            // The backward state at the first position.
            let Some(first) = states.last() else {
                return Err(Error::argument(OP, "the encoder", "of two directions", "none"));
            };
            if self.config.attention_dim > 0 {
                return self.decoder.record_memory(recording, output, &lengths, first);
            }
            let context = concat(recording, &states.iter().collect::<Vec<_>>(), -1)?;
            let context = context.reshape([texts.len(), 1, 2 * self.config.hidden_dim])?;
            self.decoder.record_memory(recording, &context, &vec![1; texts.len()], first)
        })
    }

    /// Records one step of the decoder: the last token of each row, and the state `[rows, hidden_dim]` before. There are as
    /// many rows for each text of the memory, those of a text one after the other.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id past its table, rows that do not fit, or weights of a model without attention.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        memory: &BahdanauMemory,
        tokens: &[u32],
        state: &Value,
        with_weights: bool,
    ) -> Result<BahdanauStep> {
        self.decoder.record_step(recording, memory, tokens, state, with_weights)
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
            expect_as_many(OP, sources, targets)?;
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
        self.record_loss_part(recording, sources, targets, 0..sources.len())
    }

    /// Records what some pairs of a batch add to its loss ([`BahdanauSeq2Seq::record_loss`]): the cross-entropy of their targets'
    /// tokens, divided by the tokens of all targets of the batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As [`BahdanauSeq2Seq::record_logits`], and [`Error::Argument`] for a part that is empty or not within the batch.
    pub fn record_loss_part(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
        part: Range<usize>,
    ) -> Result<Value> {
        expect_as_many(OP, sources, targets)?;
        expect_part(OP, &part, sources.len())?;
        recording.atomically(|recording| {
            let shifted = Shifted::new(&targets[part.clone()], self.config.start_id);
            let memory = self.record_encoder(recording, &sources[part])?;
            let padding = self.config.padding_id;
            let all = self.decoder.record_targets(recording, &memory, &shifted.inputs(), padding, false)?;
            let logits = all.logits.reshape([shifted.labels.len(), self.config.vocabulary_size])?;
            let labels = shifted.labels_by_step();
            CrossEntropy::new(&labels).divisor(counted(targets)).record(recording, &logits)
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
    ) -> Result<RecurrentStepDecoder<'a>> {
        let mut recording = Recording::new(device);
        let memory = self.record_encoder(&mut recording, texts)?;
        let lengths = texts.iter().map(|text| text.len() as u32).collect();
        self.decoder.start(recording, &memory, lengths, beams, capture).await
    }
}

#[cfg(test)]
#[path = "bahdanau_tests.rs"]
mod tests;
