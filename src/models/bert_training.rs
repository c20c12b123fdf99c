//! A BERT-family model that is trained: its two pre-training tasks, and classification.

use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::TokenBatch;
use super::bert_model::BertModel;
use super::evaluate::{hide, pair_texts};
use super::heads::HeadKind;
use super::padded::expect_part;
use super::pretraining::{Corpus, MaskedTokens, Masking};
use crate::error::{Error, Result};
use crate::layers::{Parameter, Parameters};
use crate::ops::{CrossEntropy, add, gather_rows};
use crate::recording::{Recording, Value};
#[cfg(not(target_arch = "wasm32"))]
use crate::tensor::DType;
use crate::train::LoraOptions;
#[cfg(not(target_arch = "wasm32"))]
use crate::train::save_weights;
#[cfg(not(target_arch = "wasm32"))]
use crate::weights::EncoderConfig;
use crate::weights::Encoding;
#[cfg(not(target_arch = "wasm32"))]
use serde_json::{Map, Value as Json};

const OP: &str = "pretraining_loss";

/// An input of both pre-training tasks: `[CLS] A [SEP] B [SEP]` with hidden words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PretrainingInput {
    /// The ids, and which of them are to be predicted.
    pub tokens: MaskedTokens,
    /// The token types: 0, and 1 for B.
    pub types: Vec<u32>,
    /// Whether B is the sentence that follows A.
    pub is_next: bool,
}

impl BertModel {
    /// What can be trained, by the names of a checkpoint: the encoder, and the heads that were loaded. A decoder that is tied to the
    /// word table is there as that table.
    pub fn parameters(&self) -> Vec<Parameter> {
        let family = self.config().family;
        let mut all = Parameters::new();
        self.encoder().add_parameters(&mut all, family.prefix);
        self.heads().iter().for_each(|head| head.add_parameters(&mut all, family));
        all.into_vec()
    }

    /// Low-rank adaptation of the encoder's queries and values, with that rank ([`Lora`](crate::train::Lora)); the heads that were loaded are
    /// trained whole.
    pub fn lora(&self, rank: usize) -> LoraOptions {
        let parameters = self.parameters();
        let mut whole: Vec<String> = Vec::new();
        for module in self.heads().iter().flat_map(|head| head.modules(self.config().family)) {
            let begins = format!("{module}.");
            let mut names =
                parameters.iter().flat_map(|parameter| &parameter.slices).map(|slice| &slice.name);
            // A decoder that is tied to the word table is none of its own.
            if !whole.contains(&module) && names.any(|name| name.starts_with(&begins)) {
                whole.push(module);
            }
        }
        LoraOptions { whole, ..self.encoder().lora(rank) }
    }

    /// The pairs of a text ([`Corpus::pairs`]) as inputs of both tasks, cut to the model's limit, with words hidden: the same for the
    /// same seed, and those that [`BertModel::evaluate`] is given. Another seed for each epoch hides other words and draws other pairs, as
    /// RoBERTa was trained (Liu et al. 2019, section 4.1).
    ///
    /// # Errors
    /// [`Error::Argument`] for shares that are none and a tokenizer without a mask token; [`Error::Tokenize`].
    pub fn pretraining_inputs(
        &self,
        corpus: &Corpus,
        masking: &Masking,
        seed: u64,
    ) -> Result<Vec<PretrainingInput>> {
        let (texts, is_next) = pair_texts(corpus, seed);
        let mut encodings = self.tokenizer.encode_pairs(&texts, self.max_tokens)?;
        let hidden = hide(self, &mut encodings, masking, seed)?;
        let inputs = encodings.into_iter().zip(hidden).zip(is_next).map(|((encoding, hidden), is_next)| {
            let tokens = MaskedTokens { ids: encoding.ids, ..hidden };
            PretrainingInput { tokens, types: encoding.type_ids, is_next }
        });
        Ok(inputs.collect())
    }

    /// Records the loss of both tasks on a batch, f32 `[1]`: the mean cross-entropy of the hidden words and that of the pairs, added
    /// (Devlin et al. 2019, appendix A.2). Only the hidden words go through the projection to the vocabulary.
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Argument`] for no inputs, an input without tokens or longer than the model takes, other numbers
    /// of places and labels, a place past its input, an id or a token type past its table.
    pub fn record_pretraining_loss(
        &self,
        recording: &mut Recording,
        inputs: &[PretrainingInput],
    ) -> Result<Value> {
        self.record_pretraining_loss_part(recording, inputs, 0..inputs.len())
    }

    /// Records what some inputs of a batch add to its loss ([`BertModel::record_pretraining_loss`]), which is divided by the hidden words and
    /// the pairs of all of the batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As there, and [`Error::Argument`] for a part that is empty or not within the batch.
    pub fn record_pretraining_loss_part(
        &self,
        recording: &mut Recording,
        inputs: &[PretrainingInput],
        part: Range<usize>,
    ) -> Result<Value> {
        let words = self.head(HeadKind::MaskedLanguage)?;
        let next = self.head(HeadKind::NextSentence)?;
        if inputs.is_empty() {
            return Err(Error::argument(OP, "the inputs", "one at least", "none"));
        }
        for (index, PretrainingInput { tokens, .. }) in inputs.iter().enumerate() {
            if tokens.labels.len() != tokens.places.len() {
                let expected = format!("as many as the {} places", tokens.places.len());
                let argument = format!("the labels of input {index}");
                return Err(Error::argument(OP, argument, expected, tokens.labels.len().to_string()));
            }
            if let Some(&place) = tokens.places.iter().find(|&&place| place as usize >= tokens.ids.len()) {
                let expected = format!("below {}, the input's tokens", tokens.ids.len());
                return Err(Error::argument(
                    OP,
                    format!("a place of input {index}"),
                    expected,
                    place.to_string(),
                ));
            }
        }
        expect_part(OP, &part, inputs.len())?;
        let pairs = inputs.len() as f32;
        let hidden_words = inputs.iter().map(|input| input.tokens.labels.len()).sum::<usize>() as f32;
        let inputs = &inputs[part];
        recording.atomically(|recording| {
            let ids: Vec<&[u32]> = inputs.iter().map(|input| input.tokens.ids.as_slice()).collect();
            let types: Vec<&[u32]> = inputs.iter().map(|input| input.types.as_slice()).collect();
            let (hidden, longest) = self.record_rows(recording, TokenBatch::new(&ids).types(&types))?;
            let firsts: Vec<u32> = (0..inputs.len()).map(|index| (index * longest) as u32).collect();
            let labels: Vec<u32> = inputs.iter().map(|input| u32::from(!input.is_next)).collect();
            let of_pairs = recording.scoped(next.kind().name(), |recording| {
                let rows = gather_rows(recording, &hidden, &firsts)?;
                let logits = next.record(recording, &rows)?;
                CrossEntropy::new(&labels).divisor(pairs).record(recording, &logits)
            })?;
            let place = |(first, input): (&u32, &PretrainingInput)| {
                input.tokens.places.iter().map(|place| first + place).collect::<Vec<_>>()
            };
            let places: Vec<u32> = firsts.iter().zip(inputs).flat_map(place).collect();
            let labels: Vec<u32> =
                inputs.iter().flat_map(|input| input.tokens.labels.iter().copied()).collect();
            if places.is_empty() {
                return Ok(of_pairs);
            }
            let of_words = recording.scoped(words.kind().name(), |recording| {
                let rows = gather_rows(recording, &hidden, &places)?;
                let logits = words.record(recording, &rows)?;
                CrossEntropy::new(&labels).divisor(hidden_words).record(recording, &logits)
            })?;
            add(recording, &of_words, &of_pairs)
        })
    }

    /// Records the loss of texts, or pairs of them, and their labels, f32 `[1]`: the mean cross-entropy of the sequence classification
    /// head's logits, over all labels (Devlin et al. 2019, section 4.1).
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Argument`] for no texts, other numbers of texts and labels, a label that the head does not have, a
    /// text without tokens or longer than the model takes, an id or a token type past its table.
    pub fn record_classification_loss(
        &self,
        recording: &mut Recording,
        texts: &[&Encoding],
        labels: &[u32],
    ) -> Result<Value> {
        self.record_classification_loss_part(recording, texts, labels, 0..texts.len())
    }

    /// Records what some texts of a batch add to its loss ([`BertModel::record_classification_loss`]), which is divided by all texts of the
    /// batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As there, and [`Error::Argument`] for a part that is empty or not within the batch.
    pub fn record_classification_loss_part(
        &self,
        recording: &mut Recording,
        texts: &[&Encoding],
        labels: &[u32],
        part: Range<usize>,
    ) -> Result<Value> {
        const OP: &str = "classification_loss";
        let head = self.head(HeadKind::Sequence)?;
        if texts.is_empty() {
            return Err(Error::argument(OP, "the texts", "one at least", "none"));
        }
        if labels.len() != texts.len() {
            let expected = format!("as many as the {} texts", texts.len());
            return Err(Error::argument(OP, "the targets", expected, labels.len().to_string()));
        }
        expect_part(OP, &part, texts.len())?;
        let all = texts.len() as f32;
        let (texts, labels) = (&texts[part.clone()], &labels[part]);
        recording.atomically(|recording| {
            let ids: Vec<&[u32]> = texts.iter().map(|text| text.ids.as_slice()).collect();
            let types: Vec<&[u32]> = texts.iter().map(|text| text.type_ids.as_slice()).collect();
            let (hidden, longest) = self.record_rows(recording, TokenBatch::new(&ids).types(&types))?;
            let firsts: Vec<u32> = (0..texts.len()).map(|index| (index * longest) as u32).collect();
            recording.scoped(head.kind().name(), |recording| {
                let rows = gather_rows(recording, &hidden, &firsts)?;
                let logits = head.record(recording, &rows)?;
                CrossEntropy::new(labels).divisor(all).record(recording, &logits)
            })
        })
    }

    /// The encoder's output as rows `[batch · longest, hidden_size]`, and the length of the longest.
    fn record_rows(&self, recording: &mut Recording, batch: TokenBatch<'_>) -> Result<(Value, usize)> {
        let (hidden, _) = self.encoder().record(recording, batch)?;
        let (longest, columns) = (hidden.shape()[1], hidden.shape().last());
        Ok((hidden.reshape([batch.ids.len() * longest, columns])?, longest))
    }

    /// Writes the weights as a folder's `model.safetensors`, stored as f32 or f16: the encoder and the heads that were loaded.
    ///
    /// # Errors
    /// As [`save_weights`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_weights(&self, path: impl AsRef<Path>, dtype: DType) -> Result<()> {
        save_weights(path, &self.parameters(), &[], dtype)
    }

    /// Writes a model with a new classifier ([`BertModel::with_new_head`]) as a folder of transformers' form: `config.json` with its labels
    /// and its class, the tokenizer's files of `from`, the folder that it was made of, and the weights, stored as f32 or f16.
    ///
    /// # Errors
    /// [`Error::Argument`] for the same folder twice, and for a model without a classifier; [`Error::Io`], [`Error::File`]; those of
    /// [`save_weights`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_classifier(&self, from: impl AsRef<Path>, to: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let mut kinds = self.heads().iter().map(|head| head.kind());
        let Some(kind) = kinds.find(|kind| matches!(kind, HeadKind::Sequence | HeadKind::Token)) else {
            return Err(Error::argument(
                "save_classifier",
                "the model",
                "one with a classifier",
                "one without",
            ));
        };
        let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(to).map_err(|error| io(to, error))?;
        if from.canonicalize().ok() == to.canonicalize().ok() {
            let found = to.display().to_string();
            return Err(Error::argument(
                "save_classifier",
                "the folder",
                "another than the model's own",
                found,
            ));
        }
        let config = class_config(&from.join("config.json"), kind, &self.head_config().labels)?;
        let path = to.join("config.json");
        std::fs::write(&path, config).map_err(|error| io(&path, error))?;
        for name in TOKENIZER_FILES {
            let path = from.join(name);
            if path.is_file() {
                std::fs::copy(&path, to.join(name)).map_err(|error| io(&path, error))?;
            }
        }
        self.save_weights(to.join("model.safetensors"), dtype)
    }
}

/// The files that a tokenizer of transformers may have.
#[cfg(not(target_arch = "wasm32"))]
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
];

/// What a `config.json` says of other heads, and of how tensors were stored.
#[cfg(not(target_arch = "wasm32"))]
const OF_OTHERS: [&str; 6] = [
    "num_labels",
    "sentence_transformers",
    "sbert_ce_default_activation_function",
    "torch_dtype",
    "dtype",
    "_name_or_path",
];

/// A model's `config.json` with those labels, and the class of a classifier.
#[cfg(not(target_arch = "wasm32"))]
fn class_config(path: &Path, kind: HeadKind, labels: &[String]) -> Result<String> {
    let json = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let config = EncoderConfig::from_json(&json, path)?;
    let mut object: Map<String, Json> = serde_json::from_slice(&json)
        .map_err(|error| Error::File { path: path.to_owned(), problem: format!("not JSON: {error}") })?;
    OF_OTHERS.iter().for_each(|key| drop(object.remove(*key)));
    let class = config.family.class(object.get("model_type").and_then(Json::as_str).unwrap_or_default());
    let (task, problem) = match kind {
        HeadKind::Token => ("TokenClassification", None),
        _ => ("SequenceClassification", Some("single_label_classification")),
    };
    let by_id = (0..).zip(labels).map(|(id, label): (u32, _)| (id.to_string(), label.clone().into()));
    let by_label = (0..).zip(labels).map(|(id, label): (u32, _)| (label.clone(), id.into()));
    object.insert("architectures".to_owned(), Json::from(vec![format!("{class}For{task}")]));
    object.insert("id2label".to_owned(), Json::Object(by_id.collect()));
    object.insert("label2id".to_owned(), Json::Object(by_label.collect()));
    match problem {
        Some(problem) => drop(object.insert("problem_type".to_owned(), problem.into())),
        None => drop(object.remove("problem_type")),
    }
    Ok(format!("{:#}\n", Json::Object(object)))
}
