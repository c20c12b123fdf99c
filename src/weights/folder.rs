//! A whole model folder, as sentence-transformers or transformers writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::config::EncoderConfig;
use super::encoder_parts::EncoderParts;
use super::files::{check_folder, shown};
use super::json::Object;
use super::sentence::{self, Modules, Prompts, TextSettings};
use super::tokenizer::Tokenizer;
use crate::error::Result;
use crate::ops::Pooling;

/// An embedding model's folder, read and checked: everything but the weights themselves.
///
/// Both layouts are read: that of sentence-transformers (`modules.json`, where the Transformer may live
/// in a subfolder) and a plain Hugging Face folder, which is taken as sentence-transformers takes it.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// let folder = attentive::weights::EmbedderFolder::open("all-MiniLM-L6-v2")?;
/// assert_eq!((folder.config.hidden_size, folder.max_tokens), (384, 256));
/// let encoding = folder.tokenizer.encode("A sentence.", folder.max_tokens)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct EmbedderFolder {
    /// The folder that was opened.
    pub root: PathBuf,
    /// The encoder's sizes.
    pub config: EncoderConfig,
    /// The weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer. All its ids are below the config's vocabulary size.
    pub tokenizer: Tokenizer,
    /// How the tokens' vectors become one.
    pub pooling: Pooling,
    /// Whether a prompt's tokens are pooled with the text's.
    pub include_prompt: bool,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
    /// The most tokens of a text, special ones included; what is longer is cut.
    pub max_tokens: usize,
    /// The file that gave this limit, and its key.
    pub max_tokens_source: String,
    /// Texts to put before the input, by their names, such as `query`.
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that is used where the caller names none; it is in `prompts`.
    pub default_prompt: Option<String>,
    /// Notices for the user about this folder.
    pub notices: Vec<String>,
}

impl EmbedderFolder {
    /// Reads and checks a folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read,
    /// [`Error::File`](crate::Error::File) for one that is damaged or contradicts another,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what this crate cannot compute.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let root = folder.as_ref();
        check_folder(root, "config.json")?;
        let mut notices = Vec::new();
        // A cross-encoder's says so; else its modules would only be told to lack a pooling.
        let prompts = Prompts::read(root)?;
        let modules = Modules::read(root)?;
        let home = modules.as_ref().map_or(root, |modules| modules.transformer.as_path());
        let config = EncoderConfig::open(home.join("config.json"))?;
        let ((pooling, include_prompt), normalize) = match &modules {
            Some(modules) => (sentence::pooling(&modules.pooling, config.hidden_size)?, modules.normalize),
            None => {
                notices.push(format!(
                    "{} has no modules.json: taken as a plain Hugging Face model, with mean pooling and without normalization",
                    root.display()
                ));
                notices.extend(classifier_notice(root)?);
                ((Pooling::Mean, true), false)
            }
        };
        let settings = TextSettings::read(home)?;
        let EncoderParts { tokenizer, limit, checkpoint, .. } =
            EncoderParts::open([root, home], &config, settings, &mut notices)?;
        let (max_tokens, max_tokens_source) = limit;
        Ok(Self {
            root: root.to_owned(),
            config,
            checkpoint,
            tokenizer,
            pooling,
            include_prompt,
            normalize,
            max_tokens,
            max_tokens_source,
            prompts: prompts.texts,
            default_prompt: prompts.default,
            notices,
        })
    }

    /// The text of the default prompt, if there is one.
    pub fn default_prompt_text(&self) -> Option<&str> {
        self.prompts.get(self.default_prompt.as_ref()?).map(String::as_str)
    }
}

/// A warning for a folder that was saved as a classifier or reranker, whose tokens' vectors serve its head.
fn classifier_notice(root: &Path) -> Result<Option<String>> {
    let config = Object::read(&root.join("config.json"), "the model's architecture")?;
    let Some(Value::Array(classes)) = config.get("architectures") else { return Ok(None) };
    let class = classes.first().and_then(Value::as_str);
    Ok(class.filter(|class| class.ends_with("ForSequenceClassification")).map(|class| {
        format!(
            "{} was saved as {}, a classifier or reranker: its vectors were not trained to be compared with each other",
            root.display(),
            shown(class)
        )
    }))
}
