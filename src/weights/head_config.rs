//! `config.json`: what it says about heads.

use std::path::Path;

use serde_json::Value;

use super::files::{CONFIG_BYTES, bad, read, shown, unsupported};
use super::json::{Object, brief};
use crate::error::Result;

/// More labels than this are no classification.
const MAX_LABELS: usize = 100_000;

/// The kind of a sequence classifier\'s scores.
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

/// The activation of a sequence classifier\'s scores. Each keeps the order of the scores of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScoreActivation {
    /// Nothing: the scores as they are.
    Identity,
    /// 1 / (1 + exp(−x)), each for itself.
    Sigmoid,
    /// log of [`ScoreActivation::Sigmoid`].
    LogSigmoid,
    /// exp(xᵢ) / Σ exp(xⱼ) over the labels.
    Softmax,
    /// log of [`ScoreActivation::Softmax`].
    LogSoftmax,
    /// tanh(x), each for itself.
    Tanh,
    /// max(x, 0), each for itself.
    Relu,
}

impl ScoreActivation {
    /// All of them, with the names that PyTorch's modules have.
    pub const ALL: [(&'static str, Self); 7] = [
        ("Identity", Self::Identity),
        ("Sigmoid", Self::Sigmoid),
        ("LogSigmoid", Self::LogSigmoid),
        ("Softmax", Self::Softmax),
        ("LogSoftmax", Self::LogSoftmax),
        ("Tanh", Self::Tanh),
        ("ReLU", Self::Relu),
    ];

    /// What sentence-transformers' `CrossEncoder` takes where nothing is named: the logistic function for one label, else
    /// nothing.
    pub(super) fn of_cross_encoder(labels: usize) -> Self {
        if labels == 1 { Self::Sigmoid } else { Self::Identity }
    }
}

/// The activation that a file of sentence-transformers names by the path of its class, such as
/// `torch.nn.modules.linear.Identity`. It makes an instance of PyTorch's alone; where another is named, it says so and takes
/// its default, and so does this: `Err` is what is to be told.
pub(super) fn named_activation(
    object: &Object,
    key: &str,
    name: &str,
) -> Result<std::result::Result<ScoreActivation, String>> {
    let path = object.path();
    if !name.starts_with("torch.") {
        let problem = format!(
            "{}: `{key}` names `{}`, which is not PyTorch's, and is not used",
            path.display(),
            shown(name)
        );
        return Ok(Err(problem));
    }
    let class = name.rsplit('.').next().unwrap_or_default();
    match ScoreActivation::ALL.into_iter().find(|(known, _)| *known == class) {
        Some((_, activation)) => Ok(Ok(activation)),
        None => Err(unsupported(path, "activation_fn", name, &ScoreActivation::ALL.map(|(known, _)| known))),
    }
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
    /// What the scores of a sequence classifier go through: what `sentence_transformers.activation_fn` names (by
    /// versions before 4 `sbert_ce_default_activation_function`), else what `problem` says. An [`EncoderFolder`](super::EncoderFolder) also heeds
    /// `config_sentence_transformers.json`.
    pub activation: ScoreActivation,
    /// Why the activation that is named is not used, if so.
    pub activation_notice: Option<String>,
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
            // The softmax of one score is 1 whatever it is, and transformers does not take it then either.
            Some("single_label_classification") if labels.len() > 1 => Problem::SingleLabel,
            Some("single_label_classification") => Problem::MultiLabel,
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
        let of_problem = match problem {
            Problem::SingleLabel => ScoreActivation::Softmax,
            Problem::MultiLabel => ScoreActivation::Sigmoid,
            Problem::Regression => ScoreActivation::Identity,
        };
        let (activation, activation_notice) = match activation(&object)? {
            None => (of_problem, None),
            Some(Ok(named)) => (named, None),
            Some(Err(notice)) => (ScoreActivation::of_cross_encoder(labels.len()), Some(notice)),
        };
        let tied = object.flag("tie_word_embeddings")?.unwrap_or(true);
        Ok(Self { architecture, labels, problem, activation, activation_notice, tied })
    }
}

/// The activation that sentence-transformers wrote into a `config.json`.
fn activation(object: &Object) -> Result<Option<std::result::Result<ScoreActivation, String>>> {
    const OLDER: &str = "sbert_ce_default_activation_function";
    let newer = object.object("sentence_transformers")?;
    if let Some(map) = newer.filter(|map| map.contains_key("activation_fn")) {
        let settings = Object::new(object.path(), map.clone());
        return settings
            .text("activation_fn")?
            .map(|name| named_activation(object, "sentence_transformers.activation_fn", name))
            .transpose();
    }
    object.text(OLDER)?.map(|name| named_activation(object, OLDER, name)).transpose()
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

#[cfg(test)]
mod tests {
    use super::{HeadConfig, Problem, ScoreActivation};
    use crate::error::Error;

    fn of(json: &str) -> HeadConfig {
        HeadConfig::from_json(json.as_bytes(), "config.json").unwrap()
    }

    #[test]
    fn the_activation_is_the_one_that_is_named() {
        use ScoreActivation::{Identity, Relu, Sigmoid, Softmax, Tanh};
        let one = r#""id2label": {"0": "L"}"#;
        let newer =
            |name: &str| format!(r#"{{ {one}, "sentence_transformers": {{ "activation_fn": "{name}" }} }}"#);
        let older = |name: &str| format!(r#"{{ {one}, "sbert_ce_default_activation_function": "{name}" }}"#);
        for (json, expected) in [
            (newer("torch.nn.modules.linear.Identity"), Identity),
            (newer("torch.nn.modules.activation.Sigmoid"), Sigmoid),
            (newer("torch.nn.Tanh"), Tanh),
            (older("torch.nn.modules.linear.Identity"), Identity),
            (older("torch.nn.modules.activation.ReLU"), Relu),
            // The newer key wins, and sentence-transformers looks at no other where it is null.
            (
                format!(
                    r#"{{ {one}, "sentence_transformers": {{ "activation_fn": null }}, "sbert_ce_default_activation_function": "torch.nn.Tanh" }}"#
                ),
                Sigmoid,
            ),
            (
                format!(
                    r#"{{ {one}, "sentence_transformers": {{ "version": "5.0.0" }}, "sbert_ce_default_activation_function": "torch.nn.Tanh" }}"#
                ),
                Tanh,
            ),
            (format!("{{ {one} }}"), Sigmoid),
            (r#"{ "num_labels": 3 }"#.to_owned(), Softmax),
            (format!(r#"{{ {one}, "problem_type": "regression" }}"#), Identity),
            (r#"{ "num_labels": 3, "problem_type": "multi_label_classification" }"#.to_owned(), Sigmoid),
            (
                r#"{ "num_labels": 3, "sentence_transformers": { "activation_fn": "torch.nn.Identity" } }"#
                    .to_owned(),
                Identity,
            ),
        ] {
            let found = of(&json);
            assert_eq!((found.activation, found.activation_notice), (expected, None), "{json}");
        }
    }

    #[test]
    fn activations_of_others_are_told_and_unknown_ones_refused() {
        let found =
            of(r#"{ "num_labels": 1, "sentence_transformers": { "activation_fn": "my.module.Squash" } }"#);
        assert_eq!(found.activation, ScoreActivation::Sigmoid);
        let notice = found.activation_notice.unwrap();
        assert!(
            notice.contains("`sentence_transformers.activation_fn` names `my.module.Squash`"),
            "{notice}"
        );
        let json = br#"{ "sbert_ce_default_activation_function": "torch.nn.modules.activation.Hardtanh" }"#;
        let error = HeadConfig::from_json(json, "config.json").unwrap_err();
        assert!(matches!(&error, Error::Unsupported { what: "activation_fn", .. }), "{error}");
        assert!(error.to_string().contains("Hardtanh") && error.to_string().contains("Sigmoid"), "{error}");
    }

    #[test]
    fn one_label_is_never_a_softmax() {
        let found = of(r#"{ "num_labels": 1, "problem_type": "single_label_classification" }"#);
        assert_eq!((found.problem, found.activation), (Problem::MultiLabel, ScoreActivation::Sigmoid));
    }
}
