//! The models that are part of this crate, trained by `models/train.py` and by `attentive train translate`.

use crate::error::Result;
use crate::weights::{Seq2SeqFiles, Seq2SeqFolder};

/// A model that is part of this crate: written dates and numbers in English, French and Chinese, to ISO 8601 and digits; English
/// sentences of a small grammar to French. `models/README.md` says how they were trained and how good they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmbeddedModel {
    /// Dates: an encoder–decoder Transformer (Vaswani et al. 2017).
    DatesTransformer,
    /// Dates: a bidirectional GRU, additive attention and a GRU (Bahdanau et al. 2015).
    DatesGru,
    /// English to French, by the same model.
    EnglishFrench,
    /// English to French without attention: of a sentence the decoder has one vector (Cho et al. 2014).
    EnglishFrenchWithoutAttention,
}

macro_rules! file {
    ($folder:literal, $file:literal) => {
        include_bytes!(concat!("../../../models/", $folder, "/", $file))
    };
}

impl EmbeddedModel {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::DatesTransformer, Self::DatesGru, Self::EnglishFrench, Self::EnglishFrenchWithoutAttention];

    /// Its name: that of its folder in `models/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DatesTransformer => "dates-transformer",
            Self::DatesGru => "dates-gru",
            Self::EnglishFrench => "english-french",
            Self::EnglishFrenchWithoutAttention => "english-french-without-attention",
        }
    }

    /// The files of its folder but for the weights: their names and contents.
    pub fn texts(self) -> Vec<(&'static str, &'static [u8])> {
        match self {
            Self::DatesTransformer => vec![
                ("config.json", file!("dates-transformer", "config.json")),
                ("generation_config.json", file!("dates-transformer", "generation_config.json")),
                ("tokenizer.json", file!("dates-transformer", "tokenizer.json")),
                ("tokenizer_config.json", file!("dates-transformer", "tokenizer_config.json")),
            ],
            Self::DatesGru => vec![
                ("config.json", file!("dates-gru", "config.json")),
                ("tokenizer.json", file!("dates-gru", "tokenizer.json")),
            ],
            Self::EnglishFrench => vec![
                ("config.json", file!("english-french", "config.json")),
                ("tokenizer.json", file!("english-french", "tokenizer.json")),
            ],
            Self::EnglishFrenchWithoutAttention => vec![
                ("config.json", file!("english-french-without-attention", "config.json")),
                ("tokenizer.json", file!("english-french-without-attention", "tokenizer.json")),
            ],
        }
    }

    /// Pairs that its training never saw, a text, a tab and its answer in each line.
    pub const fn held_out(self) -> &'static str {
        match self {
            Self::DatesTransformer | Self::DatesGru => include_str!("../../../models/dates/held_out.tsv"),
            Self::EnglishFrench | Self::EnglishFrenchWithoutAttention => {
                include_str!("../../../models/sentences/held_out.tsv")
            }
        }
    }

    /// The model of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Its files, read and checked.
    ///
    /// # Errors
    /// None, unless the crate was built with other files.
    pub fn folder(self) -> Result<Seq2SeqFolder> {
        let files = match self {
            Self::DatesTransformer => Seq2SeqFiles {
                config: file!("dates-transformer", "config.json"),
                generation: Some(file!("dates-transformer", "generation_config.json")),
                tokenizer: file!("dates-transformer", "tokenizer.json"),
                weights: file!("dates-transformer", "model.safetensors"),
            },
            Self::DatesGru => Seq2SeqFiles {
                config: file!("dates-gru", "config.json"),
                generation: None,
                tokenizer: file!("dates-gru", "tokenizer.json"),
                weights: file!("dates-gru", "model.safetensors"),
            },
            Self::EnglishFrench => Seq2SeqFiles {
                config: file!("english-french", "config.json"),
                generation: None,
                tokenizer: file!("english-french", "tokenizer.json"),
                weights: file!("english-french", "model.safetensors"),
            },
            Self::EnglishFrenchWithoutAttention => Seq2SeqFiles {
                config: file!("english-french-without-attention", "config.json"),
                generation: None,
                tokenizer: file!("english-french-without-attention", "tokenizer.json"),
                weights: file!("english-french-without-attention", "model.safetensors"),
            },
        };
        Seq2SeqFolder::from_files(self.name(), files)
    }
}
