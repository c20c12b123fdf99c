//! The BERT-family encoder (Devlin et al. 2019; RoBERTa, Liu et al. 2019; DistilBERT, Sanh et al. 2019). The forward pass:
//!
//! 1. Each token's word, position and type embeddings are added and normalized, and where they are narrower put through a
//!    linear layer: `[texts, longest, hidden_size]`.
//! 2. Every layer lets each token attend to all tokens of its text, in `heads` heads.
//! 3. It adds what that gives to its input, and normalizes the sum.
//! 4. It puts each token by itself through a linear layer to `intermediate_size`, the activation, and a linear layer back.
//! 5. It adds and normalizes again: the next layer's input, and in the end the hidden states.
//! 6. Heads take rows of those, first tokens or masked ones ([`BertHead`](super::BertHead)), and the embedder their pooling.
//!
//! 1 is [`embedding_norm`], and 2 to 5 are an [`EncoderLayer`] with [`NormPosition::Post`]. The [`Family`] says what these parts
//! are called in a checkpoint.

use super::padded::PaddedIds;
use super::source::Source;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{
    Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerNames, EncoderLayerWeights, HostLayerNorm,
    LayerCapture, MultiHeadAttentionOptions, NormPosition, Parameter, Parameters,
};
use crate::ops::{
    EmbeddingTable, EmbeddingTables, LayerNormWeights, Linear, LinearWeights, Tokens, embedding_norm,
};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
use crate::train::LoraOptions;
use crate::weights::family::Positions;
use crate::weights::{Checkpoint, EncoderConfig, Family};

/// Token sequences of different lengths, to be run together.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenBatch<'a> {
    /// The ids of each sequence.
    pub ids: &'a [&'a [u32]],
    /// The token types of each; empty for all 0.
    pub types: &'a [&'a [u32]],
}

impl<'a> TokenBatch<'a> {
    /// Sequences of those ids, all of token type 0.
    pub fn new(ids: &'a [&'a [u32]]) -> Self {
        Self { ids, types: &[] }
    }

    /// With these token types: as many sequences as there are of ids, each of its length.
    #[must_use]
    pub fn types(mut self, types: &'a [&'a [u32]]) -> Self {
        self.types = types;
        self
    }
}

/// An encoder of the BERT family on a device.
#[derive(Clone, Debug)]
pub struct BertEncoder {
    config: EncoderConfig,
    embeddings: EmbeddingTables,
    /// From the embeddings' width to the hidden states', where they differ.
    projection: Option<LinearWeights>,
    encoder: Encoder,
}

/// Buffers that older versions of transformers saved.
const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];

impl BertEncoder {
    /// Loads the encoder's weights from a checkpoint and stores the matrices as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`]; [`Error::Weight`] for one that is not finite, or does not fit f16;
    /// [`Error::Unsupported`] for a tensor that no part of the architecture accounts for; [`Error::OutOfMemory`].
    pub fn load(
        device: &Device,
        config: &EncoderConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        Self::from_source(device, config, source(checkpoint, dtype), dtype)
    }

    /// An encoder that has learnt nothing yet, its weights made from a seed, in f32: what training begins with.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn untrained(device: &Device, config: &EncoderConfig, seed: u64) -> Result<Self> {
        Self::from_source(device, config, Source::random(seed), DType::F32)
    }

    fn from_source(
        device: &Device,
        config: &EncoderConfig,
        mut source: Source<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let embeddings = embeddings(device, config, &mut source)?;
        let projection = projection(device, config, &mut source)?;
        let layers = (0..config.layers).map(|index| layer(device, config, &mut source, index, dtype));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let supported = format!("those of a {:?} encoder with {} layers", config.family, config.layers);
        let heads = Family::ALL.iter().flat_map(|family| family.unused);
        source.check_all_used(&BUFFERS.iter().chain(heads).copied().collect::<Vec<_>>(), &supported)?;
        Ok(Self { config: config.clone(), embeddings, projection, encoder: Encoder::new(layers, None)? })
    }

    /// The sizes.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What can be trained, by the names of a checkpoint of the encoder alone.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Parameters::new();
        self.add_parameters(&mut all, "");
        all.into_vec()
    }

    /// The same behind a prefix.
    pub(super) fn add_parameters(&self, to: &mut Parameters, prefix: &str) {
        let tables = ["word", "position", "token_type"]
            .map(|table| format!("{prefix}embeddings.{table}_embeddings.weight"));
        let [words, positions, types] = tables.each_ref().map(String::as_str);
        let norm = format!("{prefix}embeddings.LayerNorm");
        to.embeddings([words, positions, types, &norm], &self.embeddings);
        if let (Some(projection), Some(names)) = (&self.projection, &self.config.family.narrow_embeddings) {
            to.linear(&format!("{prefix}{}", names.projection), projection);
        }
        for (index, layer) in self.encoder.layers().iter().enumerate() {
            layer.add_parameters(to, &layer_names(&self.config, prefix, index));
        }
    }

    /// Low-rank adaptation of the queries and values of all layers, with that rank ([`Lora`](crate::train::Lora)), which Hu et al. (2022,
    /// section 7.1) found to come to more than other choices of as many parameters.
    pub fn lora(&self, rank: usize) -> LoraOptions {
        let names = &self.config.family.layer;
        let end = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
        LoraOptions { targets: vec![end(names.query), end(names.value)], ..LoraOptions::new(rank) }
    }

    /// The word table, which decoders may be tied to.
    pub(super) fn words(&self) -> &EmbeddingTable {
        self.embeddings.words()
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let projection = self.projection.as_ref().map_or(0, LinearWeights::bytes);
        self.embeddings.bytes() + projection + self.encoder.bytes()
    }

    /// Records the encoder on a batch, padded to its longest sequence: `[batch, longest, hidden_size]`, and the length
    /// of each sequence. What stands at padded positions has no meaning.
    ///
    /// # Errors
    /// [`Error::Argument`] for a sequence longer than the position table, an id past its table, or types that do not
    /// fit the ids.
    pub fn record(&self, recording: &mut Recording, batch: TokenBatch<'_>) -> Result<(Value, Vec<u32>)> {
        let (output, lengths, _) = self.record_captured(recording, batch, &LayerCapture::none())?;
        Ok((output, lengths))
    }

    /// Records the encoder as [`BertEncoder::record`] does; for each layer that `capture` names, in that order, there
    /// is a value `[batch, heads, longest, longest]` too: its attention weights, beside the same fused run.
    ///
    /// ```no_run
    /// # fn main() -> attentive::Result<()> {
    /// use attentive::layers::LayerCapture;
    /// use attentive::models::{BertEncoder, TokenBatch};
    /// use attentive::weights::EmbedderFolder;
    /// use attentive::{DType, Device, Recording};
    ///
    /// let device = Device::open("auto")?;
    /// let folder = EmbedderFolder::open("all-MiniLM-L6-v2")?;
    /// let encoder = BertEncoder::load(&device, &folder.config, &folder.checkpoint, DType::F32)?;
    /// let text = folder.tokenizer.encode("the cat sat", 256)?;
    /// let mut recording = Recording::new(&device);
    /// let ids = [text.ids.as_slice()];
    /// let batch = TokenBatch::new(&ids);
    /// let capture = LayerCapture::of(&[4, 5]).heads(&[0, 7]);
    /// let (_, _, weights) = encoder.record_captured(&mut recording, batch, &capture)?;
    /// recording.output(&weights[0])?;
    /// let of_layer_4 = recording.run()?.tensor(&weights[0])?; // [1, 2, tokens, tokens]
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`BertEncoder::record`], and [`Error::Argument`] for layers or heads that there are not and for a capture
    /// above its bound.
    pub fn record_captured(
        &self,
        recording: &mut Recording,
        batch: TokenBatch<'_>,
        capture: &LayerCapture<'_>,
    ) -> Result<(Value, Vec<u32>, Vec<Value>)> {
        recording.atomically(|recording| {
            let (padding, usable) = (self.config.padding_id, self.config.usable_positions());
            let padded = PaddedIds::new("bert", "a sequence", batch.ids, padding, usable)?;
            let longest = padded.longest;
            if !batch.types.is_empty() && batch.types.len() != batch.ids.len() {
                let (expected, found) =
                    (format!("{} sequences", batch.ids.len()), batch.types.len().to_string());
                return Err(Error::argument("bert", "types", expected, found));
            }
            self.check_types(batch.types)?;
            let mut positions = Vec::with_capacity(padded.ids.len());
            let mut types = Vec::with_capacity(padded.ids.len());
            for (index, sequence) in batch.ids.iter().enumerate() {
                let padding = longest - sequence.len();
                positions.extend(self.positions(sequence));
                positions.extend(std::iter::repeat_n(0, padding));
                match batch.types.get(index) {
                    Some(kinds) => types.extend_from_slice(kinds),
                    None => types.extend(std::iter::repeat_n(0, sequence.len())),
                }
                types.extend(std::iter::repeat_n(0, padding));
            }
            let tokens = Tokens { ids: &padded.ids, positions: &positions, types: &types };
            let embedded = recording
                .scoped("embeddings", |recording| {
                    let embedded = embedding_norm(recording, tokens, &self.embeddings)?;
                    match &self.projection {
                        Some(projection) => Linear::new(projection).record(recording, &embedded),
                        None => Ok(embedded),
                    }
                })?
                .reshape([batch.ids.len(), longest, self.config.hidden_size])?;
            let options = MultiHeadAttentionOptions { key_lengths: padded.masked(), ..Default::default() };
            let (output, captured) = recording.scoped("encoder", |recording| {
                self.encoder.record_captured(recording, &embedded, &options, capture)
            })?;
            Ok((output, padded.lengths, captured))
        })
    }

    /// Whether the model has a row for each token type. A model without types, such as DistilBERT, has no use for any.
    fn check_types(&self, types: &[&[u32]]) -> Result<()> {
        let rows = self.config.type_vocabulary_size;
        let too_large = |&kind: &u32| rows > 0 && kind as usize >= rows;
        let found = types.iter().enumerate().find_map(|(text, kinds)| {
            let token = kinds.iter().position(&too_large)?;
            Some(format!("{} for token {token} of text {text}", kinds[token]))
        });
        let Some(found) = found else { return Ok(()) };
        let expected = format!(
            "below {rows}, the number of types that the model has (`type_vocab_size`); a pair's second text has another type than the first where the tokenizer's `model_input_names` has `token_type_ids`"
        );
        Err(Error::argument("bert", "the token type", expected, found))
    }

    /// The position of each token. RoBERTa counts the tokens that are not padding from `position_offset` on, and gives
    /// padding (a `<pad>` written in the text too) the position `padding_id`.
    fn positions(&self, ids: &[u32]) -> Vec<u32> {
        let offset = self.config.position_offset as u32;
        if self.config.family.positions == Positions::FromZero {
            return (offset..).take(ids.len()).collect();
        }
        let mut next = offset;
        let position = |&id: &u32| {
            if id == self.config.padding_id {
                return self.config.padding_id;
            }
            next += 1;
            next - 1
        };
        ids.iter().map(position).collect()
    }
}

/// The encoder's tensors. A bare encoder has no prefix, one saved with a head has its model's.
pub(super) fn source(checkpoint: &Checkpoint, dtype: DType) -> Source<'_> {
    let prefixes = std::iter::once("").chain(Family::ALL.iter().map(|family| family.prefix));
    let has = |prefix: &&str| checkpoint.contains(&format!("{prefix}embeddings.word_embeddings.weight"));
    Source::under({ prefixes }.find(has).unwrap_or(""), checkpoint, dtype)
}

fn embeddings(device: &Device, config: &EncoderConfig, source: &mut Source<'_>) -> Result<EmbeddingTables> {
    let columns = config.embedding_size;
    let position =
        source.tensor("embeddings.position_embeddings.weight", &[config.max_positions, columns])?;
    let types = config.type_vocabulary_size;
    let token_type = match types {
        0 => None,
        _ => Some(source.tensor("embeddings.token_type_embeddings.weight", &[types, columns])?),
    };
    let norm = source.norm("embeddings.LayerNorm", columns)?;
    let HostLayerNorm { gamma, beta } = norm.host();
    let norm = LayerNormWeights::new(device, gamma, beta, config.layer_norm_epsilon)?;
    let tables = EmbeddingTables::new(device, &position, token_type.as_deref(), norm)?;
    let shape = [config.vocabulary_size, columns];
    Ok(tables.with_words(source.table(device, "embeddings.word_embeddings.weight", shape)?))
}

fn projection(
    device: &Device,
    config: &EncoderConfig,
    source: &mut Source<'_>,
) -> Result<Option<LinearWeights>> {
    let shape = [config.hidden_size, config.embedding_size];
    match &config.family.narrow_embeddings {
        Some(embeddings) if shape[0] != shape[1] => {
            source.linear_weights(device, embeddings.projection, shape).map(Some)
        }
        _ => Ok(None),
    }
}

fn layer_names(config: &EncoderConfig, prefix: &str, index: usize) -> EncoderLayerNames {
    let Family { layers, layer: names, .. } = config.family;
    let name = |part: &str| format!("{prefix}{layers}.{index}.{part}");
    EncoderLayerNames {
        attention: [names.query, names.key, names.value, names.output].map(name),
        attention_norm: name(names.attention_norm),
        feed_forward: [names.up, names.down].map(name),
        feed_forward_norm: name(names.feed_forward_norm),
    }
}

fn layer(
    device: &Device,
    config: &EncoderConfig,
    source: &mut Source<'_>,
    index: usize,
    dtype: DType,
) -> Result<EncoderLayer> {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let names = layer_names(config, "", index);
    let attention = source.attention(&names.attention, hidden)?;
    let up = source.linear(&names.feed_forward[0], [intermediate, hidden])?;
    let down = source.linear(&names.feed_forward[1], [hidden, intermediate])?;
    let attention_norm = source.norm(&names.attention_norm, hidden)?;
    let feed_forward_norm = source.norm(&names.feed_forward_norm, hidden)?;
    let layer = EncoderLayerConfig {
        model_dim: hidden,
        heads: config.heads,
        feed_forward_dim: intermediate,
        activation: config.activation,
        norm_position: NormPosition::Post,
        epsilon: config.layer_norm_epsilon,
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
