//! The encoder–decoder Transformer (Vaswani et al. 2017, figure 1), with the weights of a MarianMT folder.

use std::ops::Range;
use std::sync::Arc;

use super::captured::{Seq2SeqAttention, part};
use super::facts::{Facts, Sizes, Wanted};
use crate::device::Device;
use crate::error::Result;
use crate::layers::{
    DecoderLayer, DecoderLayerCache, DecoderLayerConfig, DecoderLayerNames, DecoderLayerOptions,
    DecoderLayerWeights, Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerNames, EncoderLayerWeights,
    LayerCapture, MultiHeadAttentionOptions, NormPosition, Parameter, Parameters,
};
use crate::models::generation::{Hypothesis, StepDecoder, StepOutput, generate};
use crate::models::padded::{PaddedIds, Shifted, counted, expect_as_many, expect_part, padded};
use crate::models::source::Source;
use crate::ops::{
    Causal, CrossEntropy, Embedding, EmbeddingTable, Linear, LinearWeights, SinusoidalLayout,
    sinusoidal_positions,
};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};
use crate::weights::{Checkpoint, MarianConfig};

const OP: &str = "transformer";
/// PyTorch's default, which Marian's norms have.
const EPSILON: f32 = 1e-5;

/// An encoder–decoder Transformer on a device.
#[derive(Clone, Debug)]
pub struct TransformerSeq2Seq {
    config: MarianConfig,
    source: EmbeddingTable,
    target: EmbeddingTable,
    /// `[max_positions, model_dim]` of the encoder and of the decoder.
    positions: [Tensor; 2],
    encoder: Encoder,
    decoder: Vec<DecoderLayer>,
    output: LinearWeights,
}

impl TransformerSeq2Seq {
    /// Loads the weights of a MarianMT checkpoint and stores the matrices as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::MissingTensor`](crate::Error::MissingTensor), [`Error::TensorShape`](crate::Error::TensorShape);
    /// [`Error::Weight`](crate::Error::Weight) for one that is not finite, or does not fit f16;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a tensor that no part of the architecture accounts for;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn load(
        device: &Device,
        config: &MarianConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        Self::from_source(device, config, Source::new(checkpoint, dtype), dtype)
    }

    /// A model that has learnt nothing yet, its weights made from a seed, in f32: what training begins with.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn random(device: &Device, config: &MarianConfig, seed: u64) -> Result<Self> {
        Self::from_source(device, config, Source::random(seed), DType::F32)
    }

    fn from_source(
        device: &Device,
        config: &MarianConfig,
        mut source: Source<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let width = config.model_dim;
        let rows = [config.vocabulary_size, config.target_vocabulary_size];
        let tables = match config.shared_embeddings {
            true => {
                let shared = source.table(device, "model.shared.weight", [rows[0], width])?;
                // Older folders have it three times.
                source.ignore(&["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]);
                [shared.clone(), shared]
            }
            false => [
                source.table(device, "model.encoder.embed_tokens.weight", [rows[0], width])?,
                source.table(device, "model.decoder.embed_tokens.weight", [rows[1], width])?,
            ],
        };
        let [from, to] = tables;
        let bias = match source.contains("final_logits_bias") {
            true => source.score_bias("final_logits_bias", &[1, rows[1]])?,
            false => vec![0.0; rows[1]],
        };
        let output = match config.tied_output {
            true => {
                source.ignore(&["lm_head.weight"]);
                to.projection(device, Some(&bias))?
            }
            false => source.projection(device, "lm_head.weight", [rows[1], width], &bias)?,
        };
        let mut positions = |name: &str| -> Result<Tensor> {
            let name = format!("model.{name}.embed_positions.weight");
            let shape = [config.max_positions, width];
            let table = match source.contains(&name) {
                true => source.tensor(&name, &shape)?,
                false => sinusoidal_positions(config.max_positions, width, SinusoidalLayout::Halves),
            };
            Tensor::from_f32(device, shape, &table)
        };
        let positions = [positions("encoder")?, positions("decoder")?];
        let layers =
            (0..config.encoder_layers).map(|index| encoder_layer(device, config, &mut source, index, dtype));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let decoder =
            (0..config.decoder_layers).map(|index| decoder_layer(device, config, &mut source, index, dtype));
        let decoder = decoder.collect::<Result<Vec<_>>>()?;
        source.check_all_used(&[], "those of an encoder–decoder Transformer of Marian's")?;
        let encoder = Encoder::new(layers, None)?;
        Ok(Self { config: config.clone(), source: from, target: to, positions, encoder, decoder, output })
    }

    /// The sizes.
    pub fn config(&self) -> &MarianConfig {
        &self.config
    }

    /// Bytes of the weights on the device. A table that is used twice counts once.
    pub fn bytes(&self) -> u64 {
        let tables =
            if self.config.shared_embeddings { 0 } else { self.target.bytes() } + self.source.bytes();
        let tied = if self.config.tied_output { self.target.bytes() } else { 0 };
        let output = self.output.bytes() - tied;
        let layers = self.encoder.bytes() + self.decoder.iter().map(DecoderLayer::bytes).sum::<u64>();
        tables + output + layers + self.positions.iter().map(Tensor::bytes).sum::<u64>()
    }

    /// What can be trained, by the checkpoint's names. Positions are not among it, as they are sinusoids, nor is the bias of the
    /// logits, which Marian keeps at 0.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Parameters::new();
        match self.config.shared_embeddings {
            true => all.table("model.shared.weight", &self.source),
            false => {
                all.table("model.encoder.embed_tokens.weight", &self.source);
                all.table("model.decoder.embed_tokens.weight", &self.target);
            }
        }
        for (index, layer) in self.encoder.layers().iter().enumerate() {
            layer.add_parameters(&mut all, &encoder_names(index));
        }
        for (index, layer) in self.decoder.iter().enumerate() {
            layer.add_parameters(&mut all, &decoder_names(index));
        }
        if !self.config.tied_output {
            let (parts, _) = self.output.tensors();
            all.table("lm_head.weight", &EmbeddingTable::from_parts(self.config.model_dim, parts.to_vec()));
        }
        all.into_vec()
    }

    pub(super) fn facts(&self) -> Facts {
        let config = &self.config;
        let of_decoder = Some([config.decoder_layers, config.decoder_heads]);
        Facts {
            weight_bytes: self.bytes(),
            max_source_tokens: config.max_positions,
            max_target_tokens: Some(config.max_positions),
            target_vocabulary_size: config.target_vocabulary_size,
            padding_id: config.padding_id,
            start_id: config.start_id,
            encoder_attention: Some([config.encoder_layers, config.encoder_heads]),
            decoder_attention: of_decoder,
            cross_attention: of_decoder,
        }
    }

    /// For outputs of at most so many tokens.
    pub(super) fn sizes(&self, max_tokens: usize) -> Sizes {
        let config = &self.config;
        let width = 3 * config.model_dim;
        let of_layer = max_tokens.saturating_mul(config.model_dim);
        let row = [width, config.decoder_feed_forward_dim, config.target_vocabulary_size, of_layer];
        Sizes {
            token: width.max(config.encoder_feed_forward_dim),
            row: row.into_iter().fold(1, usize::max),
            kept: of_layer.saturating_mul(2 * config.decoder_layers),
        }
    }

    /// Generates for sources; where the encoder's attention is captured, each hypothesis has that of its source.
    pub(super) async fn generate(
        &self,
        device: &Device,
        wanted: Wanted<'_>,
        progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let Wanted { numbers, sources, start, options, capture } = wanted;
        let (beams, capacity) = (options.rows_per_text(), options.max_tokens);
        let mut decoder = self.decoder(device, sources, beams, capacity, capture).await?;
        let mut found = generate(&mut decoder, numbers, start, options, progress).await?;
        for (text, hypotheses) in found.iter_mut().enumerate() {
            if let Some(weights) = decoder.encoder_attention(text) {
                hypotheses.iter_mut().for_each(|found| found.attention = vec![weights.clone()]);
            }
        }
        Ok(found)
    }

    /// Records the encoder on source token ids, padded to the longest: `[texts, longest, model_dim]`, and the length of
    /// each. What stands at padded positions has no meaning.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for an empty text, one longer than the positions, or an id past its table.
    pub fn record_encoder(&self, recording: &mut Recording, texts: &[&[u32]]) -> Result<(Value, Vec<u32>)> {
        let (memory, lengths, _) = self.record_encoder_captured(recording, texts, &LayerCapture::none())?;
        Ok((memory, lengths))
    }

    /// Records the encoder as [`TransformerSeq2Seq::record_encoder`] does, and gives the weights of its self-attention as
    /// well: a value `[texts, heads, longest, longest]` for each layer that `capture` names, in that order.
    ///
    /// # Errors
    /// As there, and [`Error::Argument`](crate::Error::Argument) for layers or heads that there are not, and for a capture above its bound.
    pub fn record_encoder_captured(
        &self,
        recording: &mut Recording,
        texts: &[&[u32]],
        capture: &LayerCapture<'_>,
    ) -> Result<(Value, Vec<u32>, Vec<Value>)> {
        recording.atomically(|recording| {
            let (x, lengths) = self.embed(recording, "a source", texts, &self.source, &self.positions[0])?;
            let key_lengths = padded(&lengths);
            let options = MultiHeadAttentionOptions { key_lengths, ..Default::default() };
            let (memory, captured) = recording.scoped("encoder", |recording| {
                self.encoder.record_captured(recording, &x, &options, capture)
            })?;
            Ok((memory, lengths, captured))
        })
    }

    /// Records the whole model on pairs of source and target token ids, the target with its start token: the logits
    /// `[pairs, longest target, target_vocabulary_size]` of the token after each of the target's.
    ///
    /// # Errors
    /// As [`TransformerSeq2Seq::record_encoder`], and [`Error::Argument`](crate::Error::Argument) for other numbers of sources and targets.
    pub fn record_logits(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
    ) -> Result<Value> {
        recording.atomically(|recording| {
            expect_as_many(OP, sources, targets)?;
            let (memory, source_lengths) = self.record_encoder(recording, sources)?;
            let (mut x, _) = self.embed(recording, "a target", targets, &self.target, &self.positions[1])?;
            let options = DecoderLayerOptions {
                // No query that counts sees the padding behind it.
                self_attention: MultiHeadAttentionOptions { causal: Causal::TopLeft, ..Default::default() },
                cross_attention: MultiHeadAttentionOptions {
                    key_lengths: padded(&source_lengths),
                    ..Default::default()
                },
            };
            for (index, layer) in self.decoder.iter().enumerate() {
                let name = format!("decoder.layer.{index}");
                x = recording
                    .scoped(name, |recording| layer.record(recording, &x, &memory, &options))?
                    .output;
            }
            recording.scoped("output", |recording| Linear::new(&self.output).record(recording, &x))
        })
    }

    /// Records the loss of pairs, as training has it: the mean cross-entropy over the targets' tokens, each after those before it and
    /// the start token. Targets are with the token that ends them, and without the one that begins them.
    ///
    /// # Errors
    /// As [`TransformerSeq2Seq::record_logits`].
    pub fn record_loss(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
    ) -> Result<Value> {
        self.record_loss_part(recording, sources, targets, 0..sources.len())
    }

    /// Records what some pairs of a batch add to its loss ([`TransformerSeq2Seq::record_loss`]): the cross-entropy of their targets'
    /// tokens, divided by the tokens of all targets of the batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As [`TransformerSeq2Seq::record_logits`], and [`Error::Argument`](crate::Error::Argument) for a part that is empty or not within
    /// the batch.
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
            let logits = self.record_logits(recording, &sources[part], &shifted.inputs())?;
            CrossEntropy::new(&shifted.labels).divisor(counted(targets)).record(recording, &logits)
        })
    }

    /// Encodes source texts and gives a decoder for them: `beams` rows for each, of at most `capacity` tokens.
    pub(crate) async fn decoder<'a>(
        &'a self,
        device: &Device,
        texts: &[&[u32]],
        beams: usize,
        capacity: usize,
        capture: Option<(Seq2SeqAttention, LayerCapture<'a>)>,
    ) -> Result<TransformerDecoder<'a>> {
        let mut recording = Recording::new(device);
        let of_encoder = match capture {
            Some((Seq2SeqAttention::Encoder, capture)) => capture,
            _ => LayerCapture::none(),
        };
        let (memory, lengths, captured) = self.record_encoder_captured(&mut recording, texts, &of_encoder)?;
        captured.iter().try_for_each(|value| recording.output(value))?;
        let mut projected = Vec::new();
        for (index, layer) in self.decoder.iter().enumerate() {
            let name = format!("decoder.layer.{index}");
            let values = recording.scoped(name, |recording| layer.record_memory(recording, &memory))?;
            values.iter().try_for_each(|value| recording.output(value))?;
            projected.push(values);
        }
        let outputs = recording.run_async().await?;
        let rows = texts.len() * beams;
        let caches = self
            .decoder
            .iter()
            .zip(&projected)
            .map(|(layer, [k, v])| layer.cache(rows, capacity, [outputs.tensor(k)?, outputs.tensor(v)?]));
        let caches = caches.collect::<Result<Vec<_>>>()?;
        let mut weights = Vec::with_capacity(captured.len());
        for value in &captured {
            weights.push(outputs.tensor(value)?.to_f32_async().await?);
        }
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        let text = |text| {
            let length = lengths[text] as usize;
            part(&weights, [texts.len(), longest, longest], text, 0..length, length)
        };
        let encoder_attention = (0..texts.len()).map(text).collect();
        Ok(TransformerDecoder {
            model: self,
            device: device.clone(),
            caches,
            lengths,
            capture,
            encoder_attention,
        })
    }

    fn embed(
        &self,
        recording: &mut Recording,
        what: &str,
        texts: &[&[u32]],
        table: &EmbeddingTable,
        positions: &Tensor,
    ) -> Result<(Value, Vec<u32>)> {
        let (padding, limit) = (self.config.padding_id, self.config.max_positions);
        let PaddedIds { ids, lengths, longest } = PaddedIds::not_empty(OP, what, texts, padding, limit)?;
        let places: Vec<u32> = texts.iter().flat_map(|_| 0..longest as u32).collect();
        let x = recording.scoped("embeddings", |recording| {
            Embedding::new(table).scale(self.scale()).positions(positions, &places).record(recording, &ids)
        })?;
        Ok((x.reshape([texts.len(), longest, self.config.model_dim])?, lengths))
    }

    fn scale(&self) -> f32 {
        if self.config.scale_embedding { (self.config.model_dim as f32).sqrt() } else { 1.0 }
    }
}

/// The decoder over a batch, with what it keeps from step to step.
#[derive(Debug)]
pub(crate) struct TransformerDecoder<'a> {
    model: &'a TransformerSeq2Seq,
    device: Device,
    caches: Vec<DecoderLayerCache>,
    /// Source tokens of each text.
    lengths: Vec<u32>,
    capture: Option<(Seq2SeqAttention, LayerCapture<'a>)>,
    encoder_attention: Vec<Arc<[f32]>>,
}

impl StepDecoder for TransformerDecoder<'_> {
    fn vocabulary(&self) -> usize {
        self.model.config.target_vocabulary_size
    }

    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        // All rows have as many positions, whichever they go on from.
        let before: Vec<Vec<u32>> = self.caches.iter().map(|cache| cache.own().lengths().to_vec()).collect();
        let step = self.record_and_run(tokens, parents).await;
        if step.is_err() {
            // One layer's cache may have grown before the next refused.
            for (cache, lengths) in self.caches.iter_mut().zip(&before) {
                cache.truncate_all(lengths)?;
            }
        }
        step
    }
}

impl TransformerDecoder<'_> {
    async fn record_and_run(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput> {
        let model = self.model;
        if parents.iter().enumerate().any(|(row, &parent)| row != parent as usize) {
            self.caches.iter_mut().try_for_each(|cache| cache.reorder(parents))?;
        }
        let place = self.caches.first().and_then(|cache| cache.own().lengths().first()).copied().unwrap_or(0);
        let mut recording = Recording::new(&self.device);
        let places = vec![place; tokens.len()];
        let embedding =
            Embedding::new(&model.target).scale(model.scale()).positions(&model.positions[1], &places);
        let x = recording.scoped("embeddings", |recording| embedding.record(recording, tokens))?;
        let mut x = x.reshape([tokens.len(), 1, model.config.model_dim])?;
        let longest = self.lengths.iter().copied().max().unwrap_or(0) as usize;
        let seen = place as usize + 1;
        let (texts, rows) = (self.lengths.len(), tokens.len());
        // Of each row so far; the device has one step's at a time.
        let heads = vec![model.config.decoder_heads; model.decoder.len()];
        let layers = match &self.capture {
            Some((Seq2SeqAttention::Cross, capture)) => capture.check(&heads, [rows, seen, longest])?,
            Some((Seq2SeqAttention::Decoder, capture)) => capture.check(&heads, [rows, seen, seen])?,
            Some((Seq2SeqAttention::Encoder, _)) | None => Vec::new(),
        };
        let mut captured = vec![None; model.decoder.len()];
        for (index, (layer, cache)) in model.decoder.iter().zip(&mut self.caches).enumerate() {
            let of = |of: Seq2SeqAttention| {
                let (_, capture) = self.capture.filter(|(asked, _)| *asked == of)?;
                layers.contains(&index).then(|| capture.of_a_layer())
            };
            let options = DecoderLayerOptions {
                self_attention: MultiHeadAttentionOptions {
                    capture: of(Seq2SeqAttention::Decoder),
                    ..Default::default()
                },
                cross_attention: MultiHeadAttentionOptions {
                    key_lengths: padded(&self.lengths),
                    capture: of(Seq2SeqAttention::Cross),
                    ..Default::default()
                },
            };
            let name = format!("decoder.layer.{index}");
            let values =
                recording.scoped(name, |recording| layer.record_step(recording, &x, cache, &options))?;
            x = values.output;
            captured[index] = values.self_attention_captured.or(values.cross_attention_captured);
        }
        let captured: Vec<Value> = layers.iter().filter_map(|&layer| captured[layer].take()).collect();
        captured.iter().try_for_each(|value| recording.output(value))?;
        let logits =
            recording.scoped("output", |recording| Linear::new(&model.output).record(recording, &x))?;
        recording.output(&logits)?;
        let outputs = recording.run_async().await?;
        let logits = outputs.tensor(&logits)?.to_f32_async().await?;
        let mut weights = Vec::with_capacity(captured.len());
        for value in &captured {
            weights.push(outputs.tensor(value)?.to_f32_async().await?);
        }
        let row = |row: usize| match self.capture {
            Some((Seq2SeqAttention::Decoder, _)) => part(&weights, [rows, 1, seen], row, 0..1, seen),
            // The beams of a text are so many queries to its source.
            _ => {
                let beams = rows / texts.max(1);
                let (text, beam) = (row / beams, row % beams);
                part(&weights, [texts, beams, longest], text, beam..beam + 1, self.lengths[text] as usize)
            }
        };
        let attention = if weights.is_empty() { Vec::new() } else { (0..rows).map(row).collect() };
        Ok(StepOutput { logits, attention })
    }

    /// What each source token of a text attended to, `[layers, heads, length, length]`, if that was captured.
    pub(crate) fn encoder_attention(&self, text: usize) -> Option<&Arc<[f32]>> {
        self.encoder_attention.get(text).filter(|weights| !weights.is_empty())
    }
}

/// The names that an attention's projections have in fairseq.
fn projections(home: &str) -> [String; 4] {
    ["q_proj", "k_proj", "v_proj", "out_proj"].map(|part| format!("{home}.{part}"))
}

fn encoder_names(index: usize) -> EncoderLayerNames {
    let home = format!("model.encoder.layers.{index}");
    EncoderLayerNames {
        attention: projections(&format!("{home}.self_attn")),
        attention_norm: format!("{home}.self_attn_layer_norm"),
        feed_forward: ["fc1", "fc2"].map(|part| format!("{home}.{part}")),
        feed_forward_norm: format!("{home}.final_layer_norm"),
    }
}

fn decoder_names(index: usize) -> DecoderLayerNames {
    let home = format!("model.decoder.layers.{index}");
    DecoderLayerNames {
        self_attention: projections(&format!("{home}.self_attn")),
        self_attention_norm: format!("{home}.self_attn_layer_norm"),
        cross_attention: projections(&format!("{home}.encoder_attn")),
        cross_attention_norm: format!("{home}.encoder_attn_layer_norm"),
        feed_forward: ["fc1", "fc2"].map(|part| format!("{home}.{part}")),
        feed_forward_norm: format!("{home}.final_layer_norm"),
    }
}

fn encoder_layer(
    device: &Device,
    config: &MarianConfig,
    source: &mut Source<'_>,
    index: usize,
    dtype: DType,
) -> Result<EncoderLayer> {
    let names = encoder_names(index);
    let (width, inner) = (config.model_dim, config.encoder_feed_forward_dim);
    let attention = source.attention(&names.attention, width)?;
    let attention_norm = source.norm(&names.attention_norm, width)?;
    let up = source.linear(&names.feed_forward[0], [inner, width])?;
    let down = source.linear(&names.feed_forward[1], [width, inner])?;
    let feed_forward_norm = source.norm(&names.feed_forward_norm, width)?;
    let layer = EncoderLayerConfig {
        model_dim: width,
        heads: config.encoder_heads,
        feed_forward_dim: inner,
        activation: config.activation,
        norm_position: NormPosition::Post,
        epsilon: EPSILON,
        dtype,
    };
    let weights = EncoderLayerWeights {
        attention: attention.weights(),
        attention_norm: attention_norm.host(),
        feed_forward: [up.host(), down.host()],
        feed_forward_norm: feed_forward_norm.host(),
    };
    EncoderLayer::new(device, &layer, &weights)
}

fn decoder_layer(
    device: &Device,
    config: &MarianConfig,
    source: &mut Source<'_>,
    index: usize,
    dtype: DType,
) -> Result<DecoderLayer> {
    let names = decoder_names(index);
    let (width, inner) = (config.model_dim, config.decoder_feed_forward_dim);
    let own = source.attention(&names.self_attention, width)?;
    let own_norm = source.norm(&names.self_attention_norm, width)?;
    let cross = source.attention(&names.cross_attention, width)?;
    let cross_norm = source.norm(&names.cross_attention_norm, width)?;
    let up = source.linear(&names.feed_forward[0], [inner, width])?;
    let down = source.linear(&names.feed_forward[1], [width, inner])?;
    let feed_forward_norm = source.norm(&names.feed_forward_norm, width)?;
    let layer = DecoderLayerConfig {
        model_dim: width,
        heads: config.decoder_heads,
        feed_forward_dim: inner,
        activation: config.activation,
        norm_position: NormPosition::Post,
        epsilon: EPSILON,
        dtype,
    };
    let weights = DecoderLayerWeights {
        self_attention: own.weights(),
        self_attention_norm: own_norm.host(),
        cross_attention: cross.weights(),
        cross_attention_norm: cross_norm.host(),
        feed_forward: [up.host(), down.host()],
        feed_forward_norm: feed_forward_norm.host(),
    };
    DecoderLayer::new(device, &layer, &weights)
}

#[cfg(test)]
#[path = "transformer_tests.rs"]
mod tests;
