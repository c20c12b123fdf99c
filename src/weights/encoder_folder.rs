//! A model folder of transformers: an encoder, and heads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::config::EncoderConfig;
use super::encoder_parts::EncoderParts;
use super::files::check_folder;
use super::head_config::HeadConfig;
use super::json::Object;
use super::sentence::{CrossEncoder, Prompts, TextSettings};
use super::tokenizer::Tokenizer;
use crate::error::Result;

/// A folder with `config.json`, `model.safetensors` and `tokenizer.json`, read and checked: everything but the weights
/// themselves. Of what sentence-transformers puts beside them a cross-encoder's settings are read.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// let folder = attentive::weights::EncoderFolder::open("bert-base-uncased")?;
/// assert_eq!(folder.mask_token, Some(("[MASK]".to_owned(), 103)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct EncoderFolder {
    /// The folder that was opened.
    pub root: PathBuf,
    /// The encoder's sizes.
    pub config: EncoderConfig,
    /// Labels, and whether embeddings are tied.
    pub head_config: HeadConfig,
    /// The weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer. All its ids are below the config's vocabulary size.
    pub tokenizer: Tokenizer,
    /// The token that stands for a hidden word, and its id; `None` where the tokenizer has none.
    pub mask_token: Option<(String, u32)>,
    /// The most tokens of a text or a pair of texts, special ones included.
    pub max_tokens: usize,
    /// The file that gave this limit, and its key.
    pub max_tokens_source: String,
    /// Texts to put before the first text, by their names: a cross-encoder's.
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that is used where the caller names none; it is in `prompts`.
    pub default_prompt: Option<String>,
    /// Notices for the user about this folder.
    pub notices: Vec<String>,
}

impl EncoderFolder {
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
        let config = EncoderConfig::open(root.join("config.json"))?;
        let mut head_config = HeadConfig::open(root.join("config.json"))?;
        let (mut prompts, mut texts) = (Prompts::default(), TextSettings::default());
        if let Some(cross_encoder) = CrossEncoder::read(root)? {
            (prompts, texts) = (cross_encoder.prompts, cross_encoder.texts);
            match cross_encoder.activation {
                None => {}
                Some(Ok(activation)) => {
                    (head_config.activation, head_config.activation_notice) = (activation, None)
                }
                Some(Err(notice)) => head_config.activation_notice = Some(notice),
            }
        }
        notices.extend(head_config.activation_notice.clone());
        let parts = EncoderParts::open([root, root], &config, texts, &mut notices)?;
        let mask_token = mask_token(&config, &parts.tokenizer_config, &parts.tokenizer)?;
        let EncoderParts { tokenizer, limit: (max_tokens, max_tokens_source), checkpoint, .. } = parts;
        Ok(Self {
            root: root.to_owned(),
            config,
            head_config,
            checkpoint,
            tokenizer,
            mask_token,
            max_tokens,
            max_tokens_source,
            prompts: prompts.texts,
            default_prompt: prompts.default,
            notices,
        })
    }
}

/// The token that tokenizer_config.json names, else the family's own.
fn mask_token(
    config: &EncoderConfig,
    settings: &Object,
    tokenizer: &Tokenizer,
) -> Result<Option<(String, u32)>> {
    let token = settings.token("mask_token")?.unwrap_or(config.family.mask_token);
    let id = tokenizer.token_id(token).filter(|&id| (id as usize) < config.vocabulary_size);
    Ok(id.map(|id| (token.to_owned(), id)))
}
