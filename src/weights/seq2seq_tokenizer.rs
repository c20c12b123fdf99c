//! The tokenizers of models that write a text for a text.

use std::path::Path;

use super::encoding::Encoding;
use super::files::{bad, check_folder};
use super::json::Object;
use super::marian_tokenizer::{Marian, check_code, split_code};
use super::tokenizer::Tokenizer;
use super::tokenizer_settings::{Source, model_max_length, truncation_side};
use crate::error::Result;

/// From text to the encoder's ids and from the decoder's ids to text.
///
/// [`Seq2SeqTokenizer::open`] reads a folder's `tokenizer.json`, or Marian's own files where there is none:
/// `source.spm`, `target.spm`, `vocab.json`, and `target_vocab.json` where `tokenizer_config.json` says
/// `separate_vocabs`. The latter give the ids that transformers' `MarianTokenizer` gives. It is `Send + Sync`.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// let tokenizer = attentive::weights::Seq2SeqTokenizer::open("opus-mt-en-fr")?;
/// let encoding = tokenizer.encode("The cat sat.", 512)?;
/// assert_eq!(encoding.tokens, ["▁The", "▁cat", "▁sat", ".", "</s>"]);
/// assert_eq!(tokenizer.decode(&encoding.ids)?, "The cat sat.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Seq2SeqTokenizer {
    inner: Inner,
    max_tokens: Option<usize>,
    clean_up: bool,
    notices: Vec<String>,
}

#[derive(Debug)]
enum Inner {
    Json { tokenizer: Box<Tokenizer>, codes: Vec<String> },
    Marian(Box<Marian>),
}

impl Inner {
    fn json(tokenizer: Tokenizer) -> Self {
        let is_code = |token: &String| token.len() > 4 && token.starts_with(">>") && token.ends_with("<<");
        let codes = tokenizer.tokens_in_order().filter(is_code).collect();
        Self::Json { tokenizer: Box::new(tokenizer), codes }
    }
}

impl Seq2SeqTokenizer {
    /// Reads the tokenizer of a model's folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read,
    /// [`Error::File`](crate::Error::File) for one that is damaged or contradicts another,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a SentencePiece model that is not a unigram one.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        check_folder(folder, "its tokenizer")?;
        let config =
            Object::read_if_there(&folder.join("tokenizer_config.json"), "the tokenizer's settings")?;
        let config = config.as_ref();
        let mut notices = Vec::new();
        let inner = if folder.join("tokenizer.json").exists() {
            // transformers' own class would read the SentencePiece models: the file stands for it.
            let (tokenizer, _) = Tokenizer::of_folder(folder, None, Source::File)?;
            notices.extend_from_slice(tokenizer.notices());
            Inner::json(tokenizer)
        } else if ["source.spm", "target.spm", "vocab.json"].iter().any(|file| folder.join(file).exists()) {
            let mut marian = Marian::open(folder, config, &mut notices)?;
            if let Some(side) = config.map(truncation_side).transpose()?.flatten() {
                marian.set_truncation_side(side);
            }
            Inner::Marian(Box::new(marian))
        } else {
            return Err(bad(
                folder,
                "the folder has no tokenizer: needed is tokenizer.json, or source.spm with target.spm and vocab.json",
            ));
        };
        let max_tokens = config.map(model_max_length).transpose()?.flatten();
        let clean_up =
            config.map(|config| config.flag("clean_up_tokenization_spaces")).transpose()?.flatten();
        // It would take spaces out of byte pairs' text that are its own; transformers 5 leaves those, too.
        let takes_own = matches!(&inner, Inner::Json { tokenizer, .. } if tokenizer.is_byte_pair());
        Ok(Self { inner, max_tokens, clean_up: clean_up.unwrap_or(false) && !takes_own, notices })
    }

    /// A tokenizer that is read already, with no settings beside it.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self { inner: Inner::json(tokenizer), max_tokens: None, clean_up: false, notices: Vec::new() }
    }

    /// The file that numbers the tokens of what is read: `tokenizer.json` or `vocab.json`.
    pub fn source_path(&self) -> &Path {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.path(),
            Inner::Marian(marian) => &marian.vocabulary.path,
        }
    }

    /// The file that numbers the tokens of what is written; the same one, but for `target_vocab.json`.
    pub fn target_path(&self) -> &Path {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.path(),
            Inner::Marian(marian) => &marian.target_vocabulary().path,
        }
    }

    /// The most tokens that `tokenizer_config.json` allows (`model_max_length`), if it says so.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens
    }

    /// Notices for the user about these files.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The largest id of a token of what is read.
    pub fn source_ids(&self) -> u32 {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.largest_id(),
            Inner::Marian(marian) => marian.vocabulary.largest,
        }
    }

    /// The largest id of a token of what is written.
    pub fn target_ids(&self) -> u32 {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.largest_id(),
            Inner::Marian(marian) => marian.target_vocabulary().largest,
        }
    }

    /// Whether every token has a row in the embedding tables: `source` is the key in the file `config` that says how
    /// many rows the encoder's has, and this number; `target` the same for the decoder's.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) with both files and both numbers if some token has none.
    pub fn check_vocabulary(
        &self,
        config: &Path,
        source: (&str, usize),
        target: (&str, usize),
    ) -> Result<()> {
        let both = [
            (self.source_path(), self.source_ids(), source),
            (self.target_path(), self.target_ids(), target),
        ];
        for (path, largest, (key, rows)) in both {
            if largest as usize >= rows {
                return Err(bad(
                    path,
                    format!(
                        "its ids go up to {largest}, but must be below {rows}, `{key}` in {}",
                        config.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The language codes that a text may begin with, such as `>>fra<<`, in order.
    pub fn language_codes(&self) -> Vec<&str> {
        match &self.inner {
            Inner::Json { codes, .. } => codes.iter().map(String::as_str).collect(),
            Inner::Marian(marian) => marian.vocabulary.codes().collect(),
        }
    }

    /// Tokenizes a text to be read by the encoder, its end's token `</s>` included, and cuts it to `max_tokens` in all.
    ///
    /// Where the text itself spells a special token (`</s>`), it becomes one, as in transformers. A model for
    /// several languages takes a code at the very beginning: `>>fra<< The cat sat.`
    ///
    /// # Errors
    /// [`Error::Tokenize`](crate::Error::Tokenize), also for a language code that a vocabulary with such codes does
    /// not have (transformers would take it as an unknown token, as is done here where the vocabulary has none);
    /// [`Error::Argument`](crate::Error::Argument) if `max_tokens` leaves no room beside the special tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Encoding> {
        match &self.inner {
            Inner::Json { tokenizer, codes } => {
                check(0, text, tokenizer, codes)?;
                tokenizer.encode(text, max_tokens)
            }
            Inner::Marian(marian) => marian.encode(0, text, max_tokens),
        }
    }

    /// Tokenizes many texts, in the caller's order.
    ///
    /// # Errors
    /// Those of [`Seq2SeqTokenizer::encode`], with the place of the first text that failed.
    pub fn encode_batch<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        max_tokens: usize,
    ) -> Result<Vec<Encoding>> {
        let numbered = texts.iter().map(AsRef::as_ref).enumerate();
        match &self.inner {
            Inner::Json { tokenizer, codes } => {
                for (index, text) in numbered {
                    check(index, text, tokenizer, codes)?;
                }
                tokenizer.encode_batch(texts, max_tokens)
            }
            Inner::Marian(marian) => {
                numbered.map(|(index, text)| marian.encode(index, text, max_tokens)).collect()
            }
        }
    }

    /// Tokenizes a text as the decoder would write it, for example to score a given translation.
    ///
    /// # Errors
    /// Those of [`Seq2SeqTokenizer::encode`].
    pub fn encode_target(&self, text: &str, max_tokens: usize) -> Result<Encoding> {
        match &self.inner {
            Inner::Json { .. } => self.encode(text, max_tokens),
            Inner::Marian(marian) => marian.encode_target(text, max_tokens),
        }
    }

    /// The text of ids that a decoder wrote, without the special tokens.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for an id that the vocabulary does not have,
    /// [`Error::Tokenize`](crate::Error::Tokenize) if the file's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.decode(ids)?,
            Inner::Marian(marian) => marian.decode(ids)?,
        };
        Ok(if self.clean_up { clean_up(&text) } else { text })
    }

    /// The tokens of ids that a decoder wrote, as the vocabulary writes them; `<123>` for an id that it does not have.
    pub fn tokens(&self, ids: &[u32]) -> Vec<String> {
        let token = |&id: &u32| {
            let token = match &self.inner {
                Inner::Json { tokenizer, .. } => tokenizer.token(id),
                Inner::Marian(marian) => marian.target_vocabulary().token(id).map(str::to_owned),
            };
            token.unwrap_or_else(|| format!("<{id}>"))
        };
        ids.iter().map(token).collect()
    }

    /// The id of a token of what is read, such as `</s>`.
    pub fn source_id(&self, token: &str) -> Option<u32> {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.token_id(token),
            Inner::Marian(marian) => marian.vocabulary.id(token),
        }
    }

    /// The id of a token of what is written.
    pub fn target_id(&self, token: &str) -> Option<u32> {
        match &self.inner {
            Inner::Json { tokenizer, .. } => tokenizer.token_id(token),
            Inner::Marian(marian) => marian.target_vocabulary().id(token),
        }
    }
}

/// Refuses a text that begins with a language code other than these, if there are any.
fn check(index: usize, text: &str, tokenizer: &Tokenizer, codes: &[String]) -> Result<()> {
    let Some(code) = split_code(text).0 else { return Ok(()) };
    let known = codes.iter().map(String::as_str);
    check_code(index, code, tokenizer.path(), known, tokenizer.token_id(code))
}

/// What transformers does where a folder says `clean_up_tokenization_spaces`: English spaces, in this order.
fn clean_up(text: &str) -> String {
    const CHANGES: [(&str, &str); 10] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    CHANGES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
