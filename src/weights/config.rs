//! `config.json`: the shape of an encoder of the BERT family.

use std::path::Path;

use serde_json::Value;

use super::family::{ConfigKeys, Family, Positions};
use super::files::{CONFIG_BYTES, bad, read, unsupported};
use super::json::{Object, bare};
use crate::error::{Error, Result};
use crate::ops::Activation;

// Far above any published encoder, and small enough that no product of them overflows 64 bits.
pub(super) const MAX_VOCABULARY: usize = 10_000_000;
pub(super) const MAX_WIDTH: usize = 1 << 20;
pub(super) const MAX_LAYERS: usize = 1000;
pub(super) const MAX_HEADS: usize = 1024;
pub(super) const MAX_POSITIONS: usize = 1 << 20;
const MAX_TYPES: usize = 1024;

const DEFAULT_EPSILON: f64 = 1e-12;

/// The names that Hugging Face configs have for activations.
const ACTIVATIONS: [(&str, Activation); 10] = [
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

/// The settings of `config.json` about an encoder. Every value has been checked against bounds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// Which of the encoders it is.
    pub family: &'static Family,
    /// Rows of the word embedding table.
    pub vocabulary_size: usize,
    /// Width of the embeddings: `hidden_size` but for families that project narrower ones to it.
    pub embedding_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of Transformer layers.
    pub layers: usize,
    /// Attention heads in each layer; they divide `hidden_size`.
    pub heads: usize,
    /// Width between the two linear layers of a feed-forward block.
    pub intermediate_size: usize,
    /// The activation between them.
    pub activation: Activation,
    /// Rows of the position embedding table. See [`EncoderConfig::usable_positions`].
    pub max_positions: usize,
    /// Rows of the type embedding table (segments); 0 for a family that has none, such as DistilBERT.
    pub type_vocabulary_size: usize,
    /// The ε of every layer normalization.
    pub layer_norm_epsilon: f32,
    /// The token that fills up short sequences.
    pub padding_id: u32,
    /// The row of the first token's position: 0, but `padding_id + 1` for RoBERTa, which counts
    /// positions over the tokens that are not padding.
    pub position_offset: usize,
}

impl EncoderConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or cannot be read, and those of [`EncoderConfig::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, CONFIG_BYTES, "the model's architecture and sizes")?, path)
    }

    /// Reads the content of a `config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`] for what is no JSON or out of bounds, [`Error::Unsupported`] for what this crate cannot compute.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let object = Object::parse(path.as_ref(), json)?;
        let family = family(&object)?;
        refuse(&object)?;
        let config = sizes(&object, family)?;
        config.check(&object)?;
        Ok(config)
    }

    /// The most tokens that a sequence can have: the position table less the rows before the first.
    pub fn usable_positions(&self) -> usize {
        self.max_positions.saturating_sub(self.position_offset)
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.heads.max(1)
    }

    /// What one key alone cannot show.
    fn check(&self, object: &Object) -> Result<()> {
        let path = object.path();
        if !self.hidden_size.is_multiple_of(self.heads) {
            let ConfigKeys { heads, hidden_size: width, .. } = self.family.keys;
            return Err(bad(
                path,
                format!("`{heads}` must divide `{width}` ({}), but is {}", self.hidden_size, self.heads),
            ));
        }
        if self.padding_id as usize >= self.vocabulary_size {
            return Err(bad(
                path,
                format!(
                    "`pad_token_id` must be below `vocab_size` ({}), but is {}",
                    self.vocabulary_size, self.padding_id
                ),
            ));
        }
        if self.usable_positions() == 0 {
            return Err(bad(
                path,
                format!(
                    "`max_position_embeddings` must be above {} (`pad_token_id` + 1, where RoBERTa's positions start), but is {}",
                    self.position_offset, self.max_positions
                ),
            ));
        }
        Ok(())
    }
}

fn family(object: &Object) -> Result<&'static Family> {
    // Old configs have no `model_type`, but name the class.
    let class = match object.get("architectures") {
        Some(Value::Array(classes)) => classes.first().and_then(Value::as_str),
        _ => None,
    };
    let (found, name) = match (object.text("model_type")?, class) {
        (Some(name), _) => (Family::of_model_type(name), name),
        (None, Some(class)) => (Family::of_class(class).or_else(|| Family::of_model_type(class)), class),
        (None, None) => {
            let known = Family::known_model_types().join(", ");
            let problem = format!("the key `model_type` is missing; needed is one of {known}");
            return Err(bad(object.path(), problem));
        }
    };
    found.ok_or_else(|| unsupported(object.path(), "architecture", name, &Family::known_model_types()))
}

/// Keys that change the computation into one that this crate does not have.
fn refuse(object: &Object) -> Result<()> {
    let path = object.path();
    if let Some(kind) = object.text("position_embedding_type")?
        && kind != "absolute"
    {
        return Err(unsupported(path, "position_embedding_type", kind, &["absolute"]));
    }
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        if object.flag(key)? == Some(true) {
            return Err(unsupported(path, "setting", &format!("{key}: true"), &["an encoder alone"]));
        }
    }
    for key in ["pruned_heads", "quantization_config"] {
        if object.object(key)?.is_some_and(|map| !map.is_empty()) {
            return Err(unsupported(path, "setting", key, &["plain weights"]));
        }
    }
    // Code of the model's own may compute anything, whatever `model_type` says.
    if let Some(class) = object.object("auto_map")?.and_then(|map| map.get("AutoModel")) {
        return Err(unsupported(path, "custom code", &bare(class), &Family::known_model_types()));
    }
    Ok(())
}

fn sizes(object: &Object, family: &'static Family) -> Result<EncoderConfig> {
    let keys = &family.keys;
    let padding_id = padding_id(object, family.padding_id)?;
    let hidden_size = object.needed_count(keys.hidden_size, 1..=MAX_WIDTH)?;
    Ok(EncoderConfig {
        family,
        vocabulary_size: object.needed_count("vocab_size", 1..=MAX_VOCABULARY)?,
        embedding_size: match &family.narrow_embeddings {
            Some(embeddings) => object.needed_count(embeddings.size, 1..=MAX_WIDTH)?,
            None => hidden_size,
        },
        hidden_size,
        layers: object.needed_count(keys.layers, 1..=MAX_LAYERS)?,
        heads: object.needed_count(keys.heads, 1..=MAX_HEADS)?,
        intermediate_size: object.needed_count(keys.intermediate_size, 1..=MAX_WIDTH)?,
        activation: activation(object, keys.activation)?,
        max_positions: object.needed_count("max_position_embeddings", 1..=MAX_POSITIONS)?,
        type_vocabulary_size: match family.has_types {
            true => object.count("type_vocab_size", 1..=MAX_TYPES)?.unwrap_or(2),
            false => 0,
        },
        layer_norm_epsilon: match keys.layer_norm_epsilon {
            Some(key) => epsilon(object, key)?,
            None => DEFAULT_EPSILON as f32,
        },
        padding_id,
        position_offset: match family.positions {
            Positions::FromZero => 0,
            Positions::BehindPadding => padding_id as usize + 1,
        },
    })
}

/// [`Error::Unsupported`] unless `model_type` is that one.
pub(super) fn expect_model_type(object: &Object, needed: &str) -> Result<()> {
    match object.text("model_type")? {
        Some(found) if found == needed => Ok(()),
        Some(other) => Err(unsupported(object.path(), "architecture", other, &[needed])),
        None => Err(bad(object.path(), format!("the key `model_type` is missing; needed is {needed}"))),
    }
}

pub(super) fn activation(object: &Object, key: &str) -> Result<Activation> {
    let name = object.text(key)?.unwrap_or("gelu");
    let known = ACTIVATIONS.iter().find(|(known, _)| *known == name);
    known.map(|&(_, activation)| activation).ok_or_else(|| {
        let names: Vec<_> = ACTIVATIONS.iter().map(|&(name, _)| name).collect();
        unsupported(object.path(), "activation", name, &names)
    })
}

fn padding_id(object: &Object, default: u32) -> Result<u32> {
    let found = object.count("pad_token_id", 0..=MAX_VOCABULARY)?;
    Ok(found.and_then(|id| u32::try_from(id).ok()).unwrap_or(default))
}

fn epsilon(object: &Object, key: &str) -> Result<f32> {
    let epsilon = object.number(key)?.unwrap_or(DEFAULT_EPSILON);
    if (1e-30..=1.0).contains(&epsilon) {
        return Ok(epsilon as f32);
    }
    let found = object.get(key).unwrap_or(&Value::Null);
    Err::<f32, Error>(object.wrong(key, "a number from 1e-30 to 1", found))
}
