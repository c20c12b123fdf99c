//! What a family of encoders is, as data. Each has a file in `families/`.

use std::fmt;

use crate::ops::Activation;

/// A family of encoders: models that have the same names in their files, and the same rules.
///
/// [`Family::ALL`] has them all, and [`EncoderConfig::family`](super::EncoderConfig::family) is one of them.
///
/// ```
/// use attentive::weights::EncoderConfig;
///
/// # fn main() -> attentive::Result<()> {
/// let json = br#"{ "model_type": "camembert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
///     "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16 }"#;
/// let config = EncoderConfig::from_json(json, "config.json")?;
/// assert_eq!(config.family.name(), "Roberta");
/// assert!(config.family.model_types().any(|model_type| model_type == "xlm-roberta"));
/// # Ok(())
/// # }
/// ```
pub struct Family {
    /// As messages write it.
    pub(crate) name: &'static str,
    pub(crate) model_types: &'static [ModelType],
    pub(crate) keys: ConfigKeys,
    /// Where embeddings may be narrower than the hidden states.
    pub(crate) narrow_embeddings: Option<NarrowEmbeddings>,
    /// Whether there is a table of token types (segments); its rows are `type_vocab_size`.
    pub(crate) has_types: bool,
    pub(crate) positions: Positions,
    /// The padding token where config.json names none.
    pub(crate) padding_id: u32,
    /// The token for a hidden word, where tokenizer_config.json names none.
    pub(crate) mask_token: &'static str,
    /// What the encoder's tensors begin with in a checkpoint that was saved with a head.
    pub(crate) prefix: &'static str,
    /// Where the layers are, behind the prefix: `{layers}.{number}.{name}`.
    pub(crate) layers: &'static str,
    pub(crate) layer: LayerNames,
    pub(crate) heads: Heads,
    /// How the names of heads begin, which the encoder does not use.
    pub(crate) unused: &'static [&'static str],
}

/// What names a family in config.json.
pub(crate) struct ModelType {
    /// `model_type`.
    pub(crate) name: &'static str,
    /// How the names of its classes begin, for old configs that have `architectures` alone.
    pub(crate) classes: &'static [&'static str],
}

/// The keys of config.json that are not the same everywhere.
pub(crate) struct ConfigKeys {
    pub(crate) hidden_size: &'static str,
    pub(crate) layers: &'static str,
    pub(crate) heads: &'static str,
    pub(crate) intermediate_size: &'static str,
    pub(crate) activation: &'static str,
    /// The ε of layer norms; `None` where it is 1e-12 in the model's own code.
    pub(crate) layer_norm_epsilon: Option<&'static str>,
}

/// Embeddings of a width of their own, and the linear layer behind their norm that makes hidden states of them; where they are
/// as wide as those there is none.
pub(crate) struct NarrowEmbeddings {
    /// The key of their width in config.json.
    pub(crate) size: &'static str,
    /// The linear layer, behind the encoder's prefix.
    pub(crate) projection: &'static str,
}

/// How tokens get their rows of the position table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Positions {
    /// The first has row 0.
    FromZero,
    /// Those that are not padding count from `padding_id + 1` on, and padding has `padding_id`.
    BehindPadding,
}

/// The names of a layer's parts.
pub(crate) struct LayerNames {
    pub(crate) query: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    pub(crate) feed_forward_norm: &'static str,
}

/// The heads: linear layers one after the other, none where the family has no such head.
pub(crate) struct Heads {
    /// Of the first token.
    pub(crate) pooler: &'static [HeadLayer],
    pub(crate) masked_language: MaskedLanguage,
    pub(crate) next_sentence: &'static [HeadLayer],
    pub(crate) sequence: &'static [HeadLayer],
    pub(crate) token: &'static [HeadLayer],
}

/// A linear layer of a head.
pub(crate) struct HeadLayer {
    pub(crate) name: &'static str,
    /// Whether its name stands behind the encoder's prefix, as a pooler's does.
    pub(crate) of_encoder: bool,
    pub(crate) outputs: Outputs,
    pub(crate) then: Activation,
}

/// How many outputs a linear layer has.
#[derive(Clone, Copy)]
pub(crate) enum Outputs {
    /// As many as the hidden states have elements.
    Hidden,
    /// As many as an embedding has.
    Embedding,
    /// One for each label.
    Labels,
    /// So many.
    Fixed(usize),
}

/// The masked-language-model head: a transform to the width of an embedding, its activation, its norm, the decoder over the
/// vocabulary.
pub(crate) struct MaskedLanguage {
    pub(crate) transform: &'static str,
    /// Behind the transform; `None` for that of the encoder.
    pub(crate) activation: Option<Activation>,
    pub(crate) norm: &'static str,
    pub(crate) decoder: &'static str,
    /// A second name of the decoder's bias, if it has one.
    pub(crate) second_bias: Option<&'static str>,
}

impl HeadLayer {
    /// A layer that stands beside the encoder.
    pub(crate) const fn new(name: &'static str, outputs: Outputs, then: Activation) -> Self {
        Self { name, of_encoder: false, outputs, then }
    }

    /// A layer of the encoder's own.
    pub(crate) const fn of_encoder(name: &'static str, outputs: Outputs, then: Activation) -> Self {
        Self { name, of_encoder: true, outputs, then }
    }
}

impl Family {
    /// Its name, such as `Bert`; `Roberta` is XLM-RoBERTa's and CamemBERT's too.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What `model_type` may be in its config.json.
    pub fn model_types(&self) -> impl Iterator<Item = &'static str> {
        self.model_types.iter().map(|model_type| model_type.name)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Families have names of their own.
impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Family {}
