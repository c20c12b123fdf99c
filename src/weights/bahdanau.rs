//! `config.json` of Bahdanau's model: a recurrent encoder and decoder with additive attention, or without.

use std::path::Path;

use super::config::{MAX_POSITIONS, MAX_VOCABULARY, MAX_WIDTH, expect_model_type};
use super::files::{CONFIG_BYTES, read};
use super::json::Object;
use crate::error::Result;

/// The `model_type` that these folders have.
pub(super) const MODEL_TYPE: &str = "attentive-bahdanau";

/// The sizes of Bahdanau's model. Every value has been checked against bounds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BahdanauConfig {
    /// V: source tokens, and target tokens.
    pub vocabulary_size: usize,
    /// E: the width of both embeddings.
    pub embedding_dim: usize,
    /// H: the width of the states; annotations have twice as many elements.
    pub hidden_dim: usize,
    /// A: the width inside the attention's score. 0 is a model without attention, whose decoder has of a text the last state of each
    /// direction alone.
    pub attention_dim: usize,
    /// M: the width behind maxout.
    pub readout_dim: usize,
    /// The token that fills up short sequences.
    pub padding_id: u32,
    /// The token that ends a target.
    pub stop_id: u32,
    /// The token for what the vocabulary lacks, if there is one.
    pub unknown_id: Option<u32>,
    /// The token that a target begins with.
    pub start_id: u32,
    /// The most tokens of a source.
    pub max_source_length: usize,
    /// The most tokens of a target that the model was made for.
    pub max_length: usize,
}

impl BahdanauConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`BahdanauConfig::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, CONFIG_BYTES, "the model's architecture and sizes")?, path)
    }

    /// Reads the content of a `config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no JSON or out of bounds,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for another architecture.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let object = Object::parse(path, json)?;
        expect_model_type(&object, MODEL_TYPE)?;
        let needed = |key: &str, most: usize| object.needed_count(key, 1..=most);
        let vocabulary_size = needed("vocab_size", MAX_VOCABULARY)?;
        let ids = 0..=vocabulary_size - 1;
        let id = |key: &str| Ok(object.needed_count(key, ids.clone())? as u32);
        Ok(Self {
            vocabulary_size,
            embedding_dim: needed("embedding_size", MAX_WIDTH)?,
            hidden_dim: needed("hidden_size", MAX_WIDTH)?,
            attention_dim: object.needed_count("attention_size", 0..=MAX_WIDTH)?,
            readout_dim: needed("readout_size", MAX_WIDTH)?,
            padding_id: id("pad_token_id")?,
            stop_id: id("eos_token_id")?,
            unknown_id: object.count("unk_token_id", ids.clone())?.map(|id| id as u32),
            start_id: id("decoder_start_token_id")?,
            max_source_length: needed("max_source_length", MAX_POSITIONS)?,
            max_length: needed("max_length", MAX_POSITIONS)?,
        })
    }
}
