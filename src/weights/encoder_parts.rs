//! What the folder of an encoder has whatever it is for: a tokenizer, a limit of its tokens, weights.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::config::EncoderConfig;
use super::files::bad;
use super::json::Object;
use super::sentence::TextSettings;
use super::tokenizer::Tokenizer;
use super::tokenizer_settings::{Source, model_max_length};
use crate::error::Result;

pub(super) struct EncoderParts {
    /// All its ids are below the config's vocabulary size.
    pub(super) tokenizer: Tokenizer,
    /// tokenizer_config.json.
    pub(super) tokenizer_config: Object,
    /// The most tokens of an input, special ones included, and the file that says so with its key.
    pub(super) limit: (usize, String),
    pub(super) checkpoint: Checkpoint,
}

impl EncoderParts {
    /// Reads them from `home`, which is the folder `root` or one inside it, and errors about the whole name `root`. `texts` is
    /// what sentence-transformers says of texts.
    pub(super) fn open(
        [root, home]: [&Path; 2],
        config: &EncoderConfig,
        texts: TextSettings,
        notices: &mut Vec<String>,
    ) -> Result<Self> {
        let arguments = Some(&texts.tokenizer_arguments);
        let (mut tokenizer, tokenizer_config) = Tokenizer::of_folder(home, arguments, Source::Class)?;
        tokenizer.check_vocabulary(config.vocabulary_size)?;
        notices.extend_from_slice(tokenizer.notices());
        notices.extend(texts.notices);
        if texts.lowercase {
            tokenizer.lowercase();
        }
        let limit = limit(config, texts.max_tokens, &tokenizer_config, notices)?;
        let ((max_tokens, from), special) = (&limit, tokenizer.special_tokens());
        if *max_tokens <= special {
            let problem = format!(
                "the limit of {max_tokens} tokens ({from}) leaves no room beside {special} special tokens"
            );
            return Err(bad(root, problem));
        }
        Ok(Self { tokenizer, tokenizer_config, limit, checkpoint: Checkpoint::open(home)? })
    }
}

/// The sequence limit: sentence-transformers' own, else the tokenizer's, and never above the positions.
fn limit(
    config: &EncoderConfig,
    sentence: Option<(usize, String)>,
    tokenizer_config: &Object,
    notices: &mut Vec<String>,
) -> Result<(usize, String)> {
    let positions = config.usable_positions();
    let wanted = match sentence {
        Some((limit, file)) => Some((limit, format!("{file}: max_seq_length"))),
        None => model_max_length(tokenizer_config)?
            .map(|limit| (limit, "tokenizer_config.json: model_max_length".to_owned())),
    };
    let from_positions = "config.json: max_position_embeddings".to_owned();
    match wanted {
        Some((limit, source)) if limit <= positions => Ok((limit, source)),
        Some((limit, source)) => {
            notices.push(format!(
                "{source} asks for {limit} tokens, but the model has {positions} positions: the limit is {positions}"
            ));
            Ok((positions, from_positions))
        }
        None => Ok((positions, from_positions)),
    }
}
