//! What tokenizers of any kind give, and how they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::Error;

/// A text as a model takes it, with its special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// Rows of the word embedding table.
    pub ids: Vec<u32>,
    /// Rows of the type embedding table: 0, and for the second text of a pair what the tokenizer gives it, 1 for BERT;
    /// all 0 where the tokenizer's settings do not let token types reach the model ([`Tokenizer::passes_types`](super::Tokenizer::passes_types)).
    pub type_ids: Vec<u32>,
    /// The tokens as the vocabulary writes them.
    pub tokens: Vec<String>,
    /// The length before truncation, with special tokens. Above `ids.len()`, the text was cut.
    pub total_tokens: usize,
}

impl Encoding {
    /// Whether tokens were cut off.
    pub fn is_truncated(&self) -> bool {
        self.total_tokens > self.ids.len()
    }
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// 0, or 1 for the second text of a pair.
    pub text: usize,
    /// The word of that text that it is (a piece of), as the tokenizer splits words, counted from 0.
    pub word: usize,
    /// The bytes of the text. Bytes of a character that is split among tokens are the first one's.
    pub bytes: std::ops::Range<usize>,
}

/// The side at which a text that is too long loses tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TruncationSide {
    /// The text's beginning.
    Left,
    /// The text's end, as nearly all models have it.
    #[default]
    Right,
}

/// The error for an id that the vocabulary in this file does not have.
pub(super) fn no_token(id: u32, vocabulary: &Path) -> Error {
    Error::argument("decode", "ids", format!("ids of {}", vocabulary.display()), id.to_string())
}

/// A call into the tokenizers crate, which panics on some files (a template that names the second text
/// of a pair where there is one text; a special token that it does not define).
pub(super) fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(payload) => {
            let words = payload.downcast_ref::<&str>().map(|&s| s.to_owned());
            let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(format!("the tokenizers library panicked: {}", words.unwrap_or_default()))
        }
    }
}
