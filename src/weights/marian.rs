//! `config.json` of an encoder–decoder Transformer as MarianMT folders have it (Junczys-Dowmunt et al. 2018; the
//! Transformer of Vaswani et al. 2017 with post-norm layers and sinusoidal positions).

use std::path::Path;

use super::config::{
    MAX_HEADS, MAX_LAYERS, MAX_POSITIONS, MAX_VOCABULARY, MAX_WIDTH, activation, expect_model_type,
};
use super::files::{CONFIG_BYTES, bad, read, unsupported};
use super::json::Object;
use crate::error::Result;
use crate::ops::Activation;

/// The `model_type` that these folders have.
pub(super) const MODEL_TYPE: &str = "marian";

/// The sizes of an encoder–decoder Transformer. Every value has been checked against bounds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MarianConfig {
    /// Source tokens.
    pub vocabulary_size: usize,
    /// Target tokens.
    pub target_vocabulary_size: usize,
    /// Whether both have one table.
    pub shared_embeddings: bool,
    /// Whether the output projection is the target's table.
    pub tied_output: bool,
    /// Width of the hidden states.
    pub model_dim: usize,
    /// Encoder layers.
    pub encoder_layers: usize,
    /// Decoder layers.
    pub decoder_layers: usize,
    /// Heads of the encoder's attention.
    pub encoder_heads: usize,
    /// Heads of the decoder's attentions.
    pub decoder_heads: usize,
    /// Width inside the encoder's feed-forward networks.
    pub encoder_feed_forward_dim: usize,
    /// Width inside the decoder's.
    pub decoder_feed_forward_dim: usize,
    /// Their activation.
    pub activation: Activation,
    /// The most tokens of a source, and of a target with its start token.
    pub max_positions: usize,
    /// Whether embeddings are multiplied by √model_dim.
    pub scale_embedding: bool,
    /// The token that fills up short sequences.
    pub padding_id: u32,
    /// The token that a target begins with.
    pub start_id: u32,
}

impl MarianConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`MarianConfig::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, CONFIG_BYTES, "the model's architecture and sizes")?, path)
    }

    /// Reads the content of a `config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no JSON or out of bounds,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what this crate cannot compute.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let object = Object::parse(path, json)?;
        expect_model_type(&object, MODEL_TYPE)?;
        if object.flag("normalize_embedding")? == Some(true) {
            return Err(unsupported(path, "setting", "normalize_embedding: true", &["false"]));
        }
        if object.flag("normalize_before")? == Some(true) {
            return Err(unsupported(path, "setting", "normalize_before: true", &["norms after each block"]));
        }
        if object.flag("static_position_embeddings")? == Some(false) {
            return Err(unsupported(path, "setting", "static_position_embeddings: false", &["sinusoids"]));
        }
        let needed = |key: &str, most: usize| object.needed_count(key, 1..=most);
        let vocabulary_size = needed("vocab_size", MAX_VOCABULARY)?;
        let shared_embeddings = object.flag("share_encoder_decoder_embeddings")?.unwrap_or(true);
        let target = object.count("decoder_vocab_size", 1..=MAX_VOCABULARY)?.unwrap_or(vocabulary_size);
        if shared_embeddings && target != vocabulary_size {
            let problem = format!(
                "`decoder_vocab_size` must be `vocab_size` ({vocabulary_size}) where the embeddings are shared, but is {target}"
            );
            return Err(bad(path, problem));
        }
        let config = Self {
            vocabulary_size,
            target_vocabulary_size: target,
            shared_embeddings,
            tied_output: object.flag("tie_word_embeddings")?.unwrap_or(true),
            model_dim: needed("d_model", MAX_WIDTH)?,
            encoder_layers: needed("encoder_layers", MAX_LAYERS)?,
            decoder_layers: needed("decoder_layers", MAX_LAYERS)?,
            encoder_heads: needed("encoder_attention_heads", MAX_HEADS)?,
            decoder_heads: needed("decoder_attention_heads", MAX_HEADS)?,
            encoder_feed_forward_dim: needed("encoder_ffn_dim", MAX_WIDTH)?,
            decoder_feed_forward_dim: needed("decoder_ffn_dim", MAX_WIDTH)?,
            activation: activation(&object, "activation_function")?,
            max_positions: object.count("max_position_embeddings", 1..=MAX_POSITIONS)?.unwrap_or(1024),
            scale_embedding: object.flag("scale_embedding")?.unwrap_or(false),
            padding_id: id(&object, "pad_token_id", target)?,
            start_id: id(&object, "decoder_start_token_id", target)?,
        };
        for (key, heads) in [
            ("encoder_attention_heads", config.encoder_heads),
            ("decoder_attention_heads", config.decoder_heads),
        ] {
            if !config.model_dim.is_multiple_of(heads) {
                let problem = format!("`{key}` must divide `d_model` ({}), but is {heads}", config.model_dim);
                return Err(bad(path, problem));
            }
        }
        if config.padding_id as usize >= vocabulary_size {
            let (padding, problem) = (config.padding_id, "`pad_token_id` must be below `vocab_size`");
            return Err(bad(path, format!("{problem} ({vocabulary_size}), but is {padding}")));
        }
        Ok(config)
    }
}

/// A token's id that must be there and below the target's vocabulary.
fn id(object: &Object, key: &str, vocabulary: usize) -> Result<u32> {
    Ok(object.needed_count(key, 0..=vocabulary - 1)? as u32)
}
