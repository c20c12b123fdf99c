//! `generation_config.json`: how a model's outputs are generated.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::MAX_VOCABULARY;
use super::files::{bad, unsupported};
use super::json::{Object, bare};
use crate::error::Result;

/// What `generation_config.json` (or an old `config.json`) says of generating: transformers' keys, `None` for those that
/// are not there.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct GenerationConfig {
    /// The most tokens of an output with its start token: `max_length`.
    pub max_length: Option<usize>,
    /// The most tokens without it: `max_new_tokens`.
    pub max_new_tokens: Option<usize>,
    /// The fewest with the start token before a stop token may come: `min_length`.
    pub min_length: Option<usize>,
    /// The fewest without it: `min_new_tokens`.
    pub min_new_tokens: Option<usize>,
    /// `num_beams`.
    pub beams: Option<usize>,
    /// `length_penalty`.
    pub length_penalty: Option<f32>,
    /// `early_stopping`: true, false, or `None` for "never"; the outer one for a key that is not there.
    pub early_stopping: Option<Option<bool>>,
    /// `do_sample`.
    pub sample: Option<bool>,
    /// `temperature`.
    pub temperature: Option<f32>,
    /// `top_k`.
    pub top_k: Option<usize>,
    /// `top_p`.
    pub top_p: Option<f32>,
    /// `eos_token_id`: one or several.
    pub stop: Vec<u32>,
    /// `pad_token_id`.
    pub padding: Option<u32>,
    /// `decoder_start_token_id`.
    pub start: Option<u32>,
    /// `bad_words_ids`.
    pub forbidden: Vec<Vec<u32>>,
    /// `forced_eos_token_id`.
    pub forced_last: Option<u32>,
    /// `repetition_penalty`.
    pub repetition_penalty: Option<f32>,
    /// `no_repeat_ngram_size`.
    pub no_repeat_ngram: Option<usize>,
    /// `renormalize_logits`.
    pub renormalize: Option<bool>,
}

impl GenerationConfig {
    /// Reads a folder's `generation_config.json`, or where there is none what its `config.json` says.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`GenerationConfig::from_json`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::open_of(folder.as_ref())?.0)
    }

    /// As [`GenerationConfig::open`], and the file that it was.
    pub(super) fn open_of(folder: &Path) -> Result<(Self, PathBuf)> {
        let path = folder.join("generation_config.json");
        let object = match Object::read_if_there(&path, "how outputs are generated")? {
            Some(object) => object,
            None => Object::read(&folder.join("config.json"), "the model's architecture")?,
        };
        Ok((Self::of(&object)?, object.path().to_owned()))
    }

    /// Whether every id is one of the target's vocabulary; `path` is the file that has them.
    pub(super) fn check_ids(&self, vocabulary: usize, path: &Path) -> Result<()> {
        let of = |key, ids: &[u32]| (key, ids.iter().copied().max());
        let largest = [
            of("eos_token_id", &self.stop),
            of("bad_words_ids", &self.forbidden.concat()),
            ("pad_token_id", self.padding),
            ("decoder_start_token_id", self.start),
            ("forced_eos_token_id", self.forced_last),
        ];
        for (key, id) in largest {
            if let Some(id) = id.filter(|&id| id as usize >= vocabulary) {
                let needed = format!("below {vocabulary}, the size of the target's vocabulary");
                return Err(bad(path, format!("`{key}` must be {needed}, but is {id}")));
            }
        }
        Ok(())
    }

    /// Reads the content of a `generation_config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no JSON or no number of that kind,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for settings that change the output and are not computed here.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        Self::of(&Object::parse(path.as_ref(), json)?)
    }

    fn of(object: &Object) -> Result<Self> {
        const MANY: usize = MAX_VOCABULARY;
        refuse_others(object)?;
        let single = |key: &str| -> Result<Option<u32>> { Ok(ids(object, key)?.first().copied()) };
        let forbidden = match object.get("bad_words_ids") {
            None => Vec::new(),
            Some(Value::Array(lists)) => {
                lists.iter().map(|list| id_list(object, "bad_words_ids", list)).collect::<Result<_>>()?
            }
            Some(other) => return Err(object.wrong("bad_words_ids", "a list of lists of ids", other)),
        };
        let early_stopping = match object.get("early_stopping") {
            None => None,
            Some(Value::Bool(flag)) => Some(Some(*flag)),
            Some(Value::String(text)) if text == "never" => Some(None),
            Some(other) => return Err(object.wrong("early_stopping", "true, false or \"never\"", other)),
        };
        let number =
            |key: &str| -> Result<Option<f32>> { Ok(object.number(key)?.map(|number| number as f32)) };
        Ok(Self {
            max_length: object.count("max_length", 1..=MANY)?,
            max_new_tokens: object.count("max_new_tokens", 1..=MANY)?,
            min_length: object.count("min_length", 0..=MANY)?,
            min_new_tokens: object.count("min_new_tokens", 0..=MANY)?,
            beams: object.count("num_beams", 1..=1 << 16)?,
            length_penalty: number("length_penalty")?,
            early_stopping,
            sample: object.flag("do_sample")?,
            temperature: number("temperature")?,
            top_k: object.count("top_k", 0..=MANY)?,
            top_p: number("top_p")?,
            stop: ids(object, "eos_token_id")?,
            padding: single("pad_token_id")?,
            start: single("decoder_start_token_id")?,
            forbidden,
            forced_last: single("forced_eos_token_id")?,
            repetition_penalty: number("repetition_penalty")?,
            no_repeat_ngram: object.count("no_repeat_ngram_size", 0..=MANY)?,
            renormalize: object.flag("renormalize_logits")?,
        })
    }
}

/// Settings that change the output and are not computed here.
fn refuse_others(object: &Object) -> Result<()> {
    /// With the value that changes nothing.
    const NUMBERS: [(&str, f64); 10] = [
        ("diversity_penalty", 0.0),
        ("encoder_no_repeat_ngram_size", 0.0),
        ("encoder_repetition_penalty", 1.0),
        ("epsilon_cutoff", 0.0),
        ("eta_cutoff", 0.0),
        ("guidance_scale", 1.0),
        ("min_p", 0.0),
        ("num_beam_groups", 1.0),
        ("penalty_alpha", 0.0),
        ("typical_p", 1.0),
    ];
    const ANY: [&str; 11] = [
        "begin_suppress_tokens",
        "constraints",
        "dola_layers",
        "exponential_decay_length_penalty",
        "force_words_ids",
        "forced_bos_token_id",
        "sequence_bias",
        "stop_strings",
        "suppress_tokens",
        "top_h",
        "watermarking_config",
    ];
    let refused = |found: String| {
        Err(unsupported(object.path(), "setting", &found, &["greedy, beam search or sampling without it"]))
    };
    for (key, neutral) in NUMBERS {
        if let Some(found) = object.number(key)?.filter(|&found| found != neutral) {
            return refused(format!("{key}: {found}"));
        }
    }
    for key in ANY {
        if let Some(found) = object.get(key) {
            return refused(format!("{key}: {}", bare(found)));
        }
    }
    Ok(())
}

/// One id or a list of them.
fn ids(object: &Object, key: &str) -> Result<Vec<u32>> {
    match object.get(key) {
        None => Ok(Vec::new()),
        Some(list @ Value::Array(_)) => id_list(object, key, list),
        Some(_) => Ok(object.count(key, 0..=MAX_VOCABULARY)?.map(|id| id as u32).into_iter().collect()),
    }
}

fn id_list(object: &Object, key: &str, list: &Value) -> Result<Vec<u32>> {
    let wrong = || object.wrong(key, "ids", list);
    let Value::Array(values) = list else { return Err(wrong()) };
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
    values.iter().map(id).collect()
}
