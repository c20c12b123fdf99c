//! The BERT-family encoder (Devlin et al. 2019; RoBERTa, Liu et al. 2019; DistilBERT, Sanh et al. 2019): embeddings and
//! a post-norm encoder stack.

use std::collections::HashSet;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::layers::{
    Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm, HostLinear, LayerCapture,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights, NormPosition,
};
use crate::ops::{EmbeddingTable, EmbeddingTables, LayerNormWeights, Tokens, embedding_norm};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
use crate::weights::{Checkpoint, EncoderConfig, Family};

/// Token sequences of different lengths, to be run together.
#[derive(Clone, Copy, Debug)]
pub struct TokenBatch<'a> {
    /// The ids of each sequence.
    pub ids: &'a [&'a [u32]],
    /// The token types of each; empty for all 0.
    pub types: &'a [&'a [u32]],
}

/// An encoder of the BERT family on a device.
#[derive(Clone, Debug)]
pub struct BertEncoder {
    config: EncoderConfig,
    embeddings: EmbeddingTables,
    encoder: Encoder,
}

/// Parts of checkpoints that the encoder does not use: heads, and buffers that older versions of transformers saved.
const UNUSED: [&str; 10] = [
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "pooler.",
    "cls.",
    "lm_head.",
    "vocab_",
    "classifier.",
    "pre_classifier.",
    "qa_outputs.",
    "roberta.pooler.",
];

impl BertEncoder {
    /// Loads the encoder's weights from a checkpoint and stores the matrices as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`]; [`Error::Unsupported`] for a tensor that no part of the
    /// architecture accounts for; [`Error::OutOfMemory`].
    pub fn load(
        device: &Device,
        config: &EncoderConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        let mut source = Source::new(config, checkpoint);
        let embeddings = source.embeddings(device, dtype)?;
        let layers = (0..config.layers).map(|index| source.layer(device, index, dtype));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        source.check_all_used()?;
        Ok(Self { config: config.clone(), embeddings, encoder: Encoder::new(layers, None) })
    }

    /// The sizes.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The word table, which decoders may be tied to.
    pub(super) fn words(&self) -> &EmbeddingTable {
        self.embeddings.words()
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let layers = self.encoder.layers();
        // γ and β of two norms, f32, which a layer's own count leaves out.
        let norms = (layers.len() * 2 * 2 * self.config.hidden_size) as u64 * 4;
        self.embeddings.bytes() + layers.iter().map(EncoderLayer::bytes).sum::<u64>() + norms
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
    /// let batch = TokenBatch { ids: &[&text.ids], types: &[] };
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
        let longest = batch.ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let usable = self.config.usable_positions();
        if longest > usable {
            let (expected, found) = (format!("at most {usable} tokens"), format!("{longest} tokens"));
            return Err(Error::argument("bert", "a sequence", expected, found));
        }
        if !batch.types.is_empty() && batch.types.len() != batch.ids.len() {
            let (expected, found) = (format!("{} sequences", batch.ids.len()), batch.types.len().to_string());
            return Err(Error::argument("bert", "types", expected, found));
        }
        let rows = batch.ids.len() * longest;
        let mut ids = Vec::with_capacity(rows);
        let mut positions = Vec::with_capacity(rows);
        let mut types = Vec::with_capacity(rows);
        for (index, sequence) in batch.ids.iter().enumerate() {
            let padding = longest - sequence.len();
            ids.extend_from_slice(sequence);
            ids.extend(std::iter::repeat_n(self.config.padding_id, padding));
            positions.extend(self.positions(sequence));
            positions.extend(std::iter::repeat_n(0, padding));
            match batch.types.get(index) {
                Some(kinds) => types.extend_from_slice(kinds),
                None => types.extend(std::iter::repeat_n(0, sequence.len())),
            }
            types.extend(std::iter::repeat_n(0, padding));
        }
        let lengths: Vec<u32> = batch.ids.iter().map(|ids| ids.len() as u32).collect();
        let tokens = Tokens { ids: &ids, positions: &positions, types: &types };
        let embedded = recording
            .scoped("embeddings", |recording| embedding_norm(recording, tokens, &self.embeddings))?
            .reshape([batch.ids.len(), longest, self.config.hidden_size])?;
        // Without padding there is nothing to mask.
        let padded = lengths.iter().any(|&length| (length as usize) < longest);
        let key_lengths = padded.then_some(lengths.as_slice());
        let options = MultiHeadAttentionOptions { key_lengths, ..Default::default() };
        let (output, captured) = recording.scoped("encoder", |recording| {
            self.encoder.record_captured(recording, &embedded, &options, capture)
        })?;
        Ok((output, lengths, captured))
    }

    /// The position of each token. RoBERTa counts the tokens that are not padding from `position_offset` on, and gives
    /// padding (a `<pad>` written in the text too) the position `padding_id`.
    fn positions(&self, ids: &[u32]) -> Vec<u32> {
        let offset = self.config.position_offset as u32;
        if self.config.family != Family::Roberta {
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

/// A checkpoint read under the names of a family.
pub(super) struct Source<'a> {
    config: &'a EncoderConfig,
    checkpoint: &'a Checkpoint,
    prefix: &'static str,
    used: HashSet<String>,
}

/// The names of a layer's parts: query, key, value, output, attention norm, up, down, feed-forward norm.
const BERT_LAYER: [&str; 8] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];
const DISTILBERT_LAYER: [&str; 8] = [
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
];

impl<'a> Source<'a> {
    pub(super) fn new(config: &'a EncoderConfig, checkpoint: &'a Checkpoint) -> Self {
        // A bare encoder has no prefix, one saved with a head has its model's.
        let prefixes = ["", "bert.", "roberta.", "distilbert."];
        let has = |prefix: &&str| checkpoint.contains(&format!("{prefix}embeddings.word_embeddings.weight"));
        let prefix = prefixes.into_iter().find(|prefix| has(prefix)).unwrap_or("");
        Self { config, checkpoint, prefix, used: HashSet::new() }
    }

    /// Names as they are: those of the heads, which stand beside the encoder.
    pub(super) fn beside(config: &'a EncoderConfig, checkpoint: &'a Checkpoint) -> Self {
        Self { config, checkpoint, prefix: "", used: HashSet::new() }
    }

    /// The whole name of a part of the encoder.
    pub(super) fn name(&mut self, name: &str) -> String {
        let name = format!("{}{name}", self.prefix);
        self.used.insert(name.clone());
        name
    }

    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.name(name);
        self.checkpoint.tensor_f32(&name, shape)
    }

    pub(super) fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.tensor(&format!("{name}.weight"), &shape)?;
        Ok((weight, self.tensor(&format!("{name}.bias"), &shape[..1])?))
    }

    /// γ and β, which checkpoints of TensorFlow's time call so, and later ones weight and bias.
    pub(super) fn norm(&mut self, name: &str) -> Result<(Vec<f32>, Vec<f32>)> {
        let old = self.checkpoint.contains(&format!("{}{name}.gamma", self.prefix));
        let [gamma, beta] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
        let size = [self.config.hidden_size];
        Ok((self.tensor(&format!("{name}.{gamma}"), &size)?, self.tensor(&format!("{name}.{beta}"), &size)?))
    }

    fn embeddings(&mut self, device: &Device, dtype: DType) -> Result<EmbeddingTables> {
        let config = self.config;
        let columns = config.hidden_size;
        let position =
            self.tensor("embeddings.position_embeddings.weight", &[config.max_positions, columns])?;
        let types = config.type_vocabulary_size;
        let token_type = match types {
            0 => None,
            _ => Some(self.tensor("embeddings.token_type_embeddings.weight", &[types, columns])?),
        };
        let (gamma, beta) = self.norm("embeddings.LayerNorm")?;
        let norm = LayerNormWeights::new(device, &gamma, &beta, config.layer_norm_epsilon)?;
        let mut tables = EmbeddingTables::new(device, &position, token_type.as_deref(), norm)?;
        let name = self.name("embeddings.word_embeddings.weight");
        let shape = [config.vocabulary_size, columns];
        let part_rows = EmbeddingTables::part_rows(device, columns, dtype);
        for first in (0..config.vocabulary_size).step_by(part_rows) {
            let rows = first..config.vocabulary_size.min(first.saturating_add(part_rows));
            tables.push_words(device, &self.checkpoint.rows_f32(&name, &shape, rows)?, dtype)?;
        }
        Ok(tables)
    }

    fn layer(&mut self, device: &Device, index: usize, dtype: DType) -> Result<EncoderLayer> {
        let config = self.config;
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let (home, names) = match config.family {
            Family::DistilBert => ("transformer.layer", DISTILBERT_LAYER),
            Family::Bert | Family::Roberta => ("encoder.layer", BERT_LAYER),
        };
        let [query, key, value, output, attention_norm, up, down, feed_forward_norm] =
            names.map(|name| format!("{home}.{index}.{name}"));
        let square = [hidden, hidden];
        let query = self.linear(&query, square)?;
        let key = self.linear(&key, square)?;
        let value = self.linear(&value, square)?;
        let output = self.linear(&output, square)?;
        let up = self.linear(&up, [intermediate, hidden])?;
        let down = self.linear(&down, [hidden, intermediate])?;
        let attention_norm = self.norm(&attention_norm)?;
        let feed_forward_norm = self.norm(&feed_forward_norm)?;
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
            attention: MultiHeadAttentionWeights {
                query: host_linear(&query),
                key: host_linear(&key),
                value: host_linear(&value),
                output: host_linear(&output),
            },
            attention_norm: host_norm(&attention_norm),
            feed_forward: [host_linear(&up), host_linear(&down)],
            feed_forward_norm: host_norm(&feed_forward_norm),
        };
        EncoderLayer::new(device, &layer, &weights)
    }

    /// A tensor that nothing accounts for may change what the model computes.
    fn check_all_used(&self) -> Result<()> {
        let accounted = |name: &str| {
            let bare = name.strip_prefix(self.prefix).unwrap_or(name);
            self.used.contains(name)
                || UNUSED.iter().any(|unused| bare.starts_with(unused) || name.starts_with(unused))
        };
        match self.checkpoint.names().find(|name| !accounted(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Unsupported {
                path: self.checkpoint.path().to_owned(),
                what: "tensor",
                found: name.to_owned(),
                supported: vec![format!(
                    "those of a {:?} encoder with {} layers",
                    self.config.family, self.config.layers
                )],
            }),
        }
    }
}

fn host_linear((weight, bias): &(Vec<f32>, Vec<f32>)) -> HostLinear<'_> {
    HostLinear { weight, bias: Some(bias) }
}

fn host_norm((gamma, beta): &(Vec<f32>, Vec<f32>)) -> HostLayerNorm<'_> {
    HostLayerNorm { gamma, beta }
}
