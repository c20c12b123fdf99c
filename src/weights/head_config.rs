//! `config.json`: what it says about heads.

use std::path::Path;

use serde_json::Value;

use super::files::{CONFIG_BYTES, bad, read, shown, unsupported};
use super::json::{Object, brief};
use crate::error::Result;

/// More labels than this are no classification.
const MAX_LABELS: usize = 100_000;

/// What the scores of a sequence classifier are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// One label of several: probabilities by softmax.
    SingleLabel,
    /// Each label for itself: probabilities by the logistic function.
    MultiLabel,
    /// No labels but numbers, as they are.
    Regression,
}

/// What a `config.json` says beside the encoder's sizes: labels, and whether the output projection is the word table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadConfig {
    /// The class of transformers that the folder was saved from, such as `BertForMaskedLM`.
    pub architecture: Option<String>,
    /// The labels of a classifier, by their numbers: `id2label`, or transformers' own `LABEL_0`, ….
    pub labels: Vec<String>,
    /// `problem_type`, or what follows from the number of labels.
    pub problem: Problem,
    /// `tie_word_embeddings`: the decoder of a masked-language-model head is the word table.
    pub tied: bool,
}

impl HeadConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`HeadConfig::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, CONFIG_BYTES, "the model's architecture and sizes")?, path)
    }

    /// Reads the content of a `config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no JSON, and labels that are not numbered from 0 without gaps;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a `problem_type` that is not known.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let object = Object::parse(path.as_ref(), json)?;
        let architecture = match object.get("architectures") {
            Some(Value::Array(classes)) => classes.first().and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        let labels = labels(&object)?;
        let problem = match object.text("problem_type")? {
            Some("single_label_classification") => Problem::SingleLabel,
            Some("multi_label_classification") => Problem::MultiLabel,
            Some("regression") => Problem::Regression,
            Some(other) => {
                let known = ["single_label_classification", "multi_label_classification", "regression"];
                return Err(unsupported(object.path(), "problem_type", other, &known));
            }
            // A single label is there or is not.
            None if labels.len() == 1 => Problem::MultiLabel,
            None => Problem::SingleLabel,
        };
        let tied = object.flag("tie_word_embeddings")?.unwrap_or(true);
        Ok(Self { architecture, labels, problem, tied })
    }
}

/// `id2label`: an object from "0", "1", … to names.
fn labels(object: &Object) -> Result<Vec<String>> {
    const KEY: &str = "id2label";
    let path = object.path();
    let number = object.count("num_labels", 1..=MAX_LABELS)?;
    let Some(map) = object.object(KEY)? else {
        // transformers has two where nothing is said.
        return Ok((0..number.unwrap_or(2)).map(|id| format!("LABEL_{id}")).collect());
    };
    if map.is_empty() || map.len() > MAX_LABELS {
        return Err(bad(
            path,
            format!("`{KEY}` must have from 1 to {MAX_LABELS} labels, but has {}", map.len()),
        ));
    }
    if let Some(number) = number.filter(|&number| number != map.len()) {
        return Err(bad(path, format!("`num_labels` is {number}, but `{KEY}` has {} labels", map.len())));
    }
    let mut labels = vec![None; map.len()];
    for (id, label) in map {
        let place =
            id.parse::<usize>().ok().and_then(|id| labels.get_mut(id)).filter(|place| place.is_none());
        let Some(place) = place else {
            let expected = format!("numbers from 0 to {}, each once", map.len() - 1);
            return Err(bad(
                path,
                format!("the keys of `{KEY}` must be {expected}, but one is `{}`", shown(id)),
            ));
        };
        match label {
            Value::String(label) => *place = Some(label.clone()),
            other => {
                return Err(bad(
                    path,
                    format!("`{KEY}`: label {} must be a string, but is {}", shown(id), brief(other)),
                ));
            }
        }
    }
    Ok(labels.into_iter().flatten().collect())
}
