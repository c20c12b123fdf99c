//! A model's loss and accuracy on the two tasks that BERT is pre-trained on.

use super::batches::{ModelStatistics, Progress, told_and_run};
use super::bert_model::{BertModel, Wanted};
use super::heads::{BertHead, HeadKind};
use super::pretraining::{Corpus, MaskVocabulary, MaskedTokens, Masking, SentencePair};
use super::softmax::log_sum_exp;
use crate::error::{Error, Result};
use crate::weights::Encoding;

const OP: &str = "evaluate";

impl BertModel {
    /// Measures the masked-language-model head and the next-sentence head, as far as the model has them, on a text.
    ///
    /// With a next-sentence head the inputs are [`Corpus::pairs`], `[CLS] A [SEP] B [SEP]`; words are hidden in them, and
    /// both heads answer in one run, as in the pre-training. Without one they are the single sentences.
    pub fn evaluate<'a>(&'a self, corpus: &'a Corpus) -> Evaluate<'a> {
        Evaluate {
            model: self,
            corpus,
            seed: 0,
            masking: Masking::default(),
            progress: Progress::of("evaluate"),
        }
    }
}

/// A [`BertModel::evaluate`] to be run.
pub struct Evaluate<'a> {
    model: &'a BertModel,
    corpus: &'a Corpus,
    seed: u64,
    masking: Masking,
    progress: Progress<'a>,
}

impl<'a> Evaluate<'a> {
    /// What words are hidden by and pairs are drawn by; 0 where nothing is said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Hides words in other shares than the paper's.
    #[must_use]
    pub fn masking(mut self, masking: Masking) -> Self {
        self.masking = masking;
        self
    }

    /// Runs it. Inputs that are too long are cut; how many is told.
    ///
    /// # Errors
    /// [`Error::MissingHead`] for a model with neither head; [`Error::Argument`] for a corpus without sentences (or, with
    /// a next-sentence head, without two that follow each other), for shares that are none and a tokenizer without a mask
    /// token; [`Error::Tokenize`], [`Error::Interrupted`], and those of [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<Evaluation> {
        let (model, corpus) = (self.model, self.corpus);
        let loaded = |kind: HeadKind| model.heads().iter().find(|head| head.kind() == kind);
        let (words, next) = (loaded(HeadKind::MaskedLanguage), loaded(HeadKind::NextSentence));
        if words.is_none() && next.is_none() {
            model.head(HeadKind::MaskedLanguage)?;
        }
        self.masking.check()?;
        let Inputs { mut encodings, is_next } = inputs(model, corpus, next.is_some(), self.seed).await?;
        let truncated = encodings.iter().filter(|encoding| encoding.is_truncated()).count();
        let hidden = match words {
            Some(_) => hide(model, &mut encodings, &self.masking, self.seed)?,
            None => Vec::new(),
        };

        let places: Vec<Vec<u32>> = hidden.iter().map(|hidden| hidden.places.clone()).collect();
        let first = vec![vec![0]; encodings.len()];
        let of_words = words.map(|head| Wanted { head, rows: &places });
        let of_pairs = next.map(|head| Wanted { head, rows: &first });
        let kinds: Vec<HeadKind> =
            of_words.iter().chain(&of_pairs).map(|wanted| wanted.head.kind()).collect();
        let wanted: Vec<Wanted<'_>> = of_words.into_iter().chain(of_pairs).collect();
        // Batches come by length; sums in the order of the text make the result the same whatever the batches are.
        let mut losses: Vec<Vec<Vec<(f64, bool)>>> = wanted
            .iter()
            .map(|wanted| wanted.rows.iter().map(|rows| vec![(f64::NAN, false); rows.len()]).collect())
            .collect();
        let statistics = model
            .answer(&encodings, &wanted, &mut self.progress, &mut |place, logits| {
                let label = match kinds[place.head] {
                    HeadKind::NextSentence => usize::from(!is_next[place.encoding]),
                    _ => hidden[place.encoding].labels[place.row] as usize,
                };
                losses[place.head][place.encoding][place.row] = judged(logits, label);
            })
            .await?;
        let score = |head: Option<&BertHead>| {
            let place = kinds.iter().position(|kind| Some(*kind) == head.map(BertHead::kind))?;
            Some(TaskScore::new(losses[place].iter().flatten().copied()))
        };
        Ok(Evaluation {
            documents: corpus.documents().len(),
            sentences: corpus.sentences(),
            seed: self.seed,
            truncated,
            true_pairs: next.map(|_| is_next.iter().filter(|is_next| **is_next).count()),
            masked_language: score(words),
            next_sentence: score(next),
            statistics,
        })
    }

    told_and_run!(Evaluation);
}

/// What the model is given, before words are hidden.
struct Inputs {
    encodings: Vec<Encoding>,
    /// For each pair; empty where the inputs are single sentences.
    is_next: Vec<bool>,
}

async fn inputs(model: &BertModel, corpus: &Corpus, pairs: bool, seed: u64) -> Result<Inputs> {
    if corpus.sentences() == 0 {
        return Err(Error::argument(OP, "the corpus", "a text with sentences", "without one"));
    }
    if !pairs {
        let sentences: Vec<&str> = corpus.documents().iter().flatten().map(String::as_str).collect();
        let encodings = model.encode_texts(&sentences).await?;
        return Ok(Inputs { encodings, is_next: Vec::new() });
    }
    let (texts, is_next) = pair_texts(corpus, seed);
    if texts.is_empty() {
        let expected = "a text with two sentences in one document";
        let found = format!("without two: {} documents of one", corpus.documents().len());
        return Err(Error::argument(OP, "the corpus", expected, found));
    }
    let encodings = model.encode_pairs(&texts).await?;
    Ok(Inputs { encodings, is_next })
}

/// The corpus's pairs, and for each whether the second sentence follows the first.
pub(super) fn pair_texts(corpus: &Corpus, seed: u64) -> (Vec<(&str, &str)>, Vec<bool>) {
    let pair =
        |pair: SentencePair| ((corpus.sentence(pair.first), corpus.sentence(pair.second)), pair.is_next);
    corpus.pairs(seed).into_iter().map(pair).unzip()
}

/// Hides words of all encodings.
pub(super) fn hide(
    model: &BertModel,
    encodings: &mut [Encoding],
    masking: &Masking,
    seed: u64,
) -> Result<Vec<MaskedTokens>> {
    let (_, mask) = model.need_mask_token(OP)?;
    let vocabulary = MaskVocabulary::new(&model.tokenizer.ids(), &model.tokenizer.special_ids(), mask);
    let mut all = Vec::with_capacity(encodings.len());
    for (item, encoding) in encodings.iter_mut().enumerate() {
        let mut hidden = masking.apply(&encoding.ids, &vocabulary, seed, item)?;
        encoding.ids = std::mem::take(&mut hidden.ids);
        all.push(hidden);
    }
    Ok(all)
}

/// −log of the label's probability, and whether its score is the largest (of equals the first).
fn judged(logits: &[f32], label: usize) -> (f64, bool) {
    let own = logits.get(label).copied().unwrap_or(f32::NAN);
    let beaten = logits.iter().enumerate().any(|(place, &other)| {
        // A NaN is never right.
        other.is_nan() || other > own || (other == own && place < label)
    });
    (log_sum_exp(logits) - f64::from(own), !beaten)
}

/// What a model makes of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Documents in the corpus.
    pub documents: usize,
    /// Sentences in it.
    pub sentences: usize,
    /// What words were hidden and pairs drawn by.
    pub seed: u64,
    /// Inputs that were cut to the model's limit.
    pub truncated: usize,
    /// Of the pairs, those whose second sentence is the one that follows; `None` without a next-sentence head.
    pub true_pairs: Option<usize>,
    /// Over all hidden words; `None` without such a head.
    pub masked_language: Option<TaskScore>,
    /// Over all pairs; `None` without such a head.
    pub next_sentence: Option<TaskScore>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

/// How well a head does its task.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskScore {
    /// Predictions.
    pub count: usize,
    /// Those that were right.
    pub right: usize,
    /// The mean cross entropy, −log p(label), in nats; NaN without predictions.
    pub loss: f64,
}

impl TaskScore {
    fn new(judged: impl Iterator<Item = (f64, bool)>) -> Self {
        let (mut count, mut right, mut sum) = (0, 0, 0.0);
        for (loss, is_right) in judged {
            count += 1;
            right += usize::from(is_right);
            sum += loss;
        }
        Self { count, right, loss: sum / count as f64 }
    }

    /// The share of predictions that were right; NaN without any.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.count as f64
    }

    /// exp(loss): among how many equally probable answers the model wavers.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_cross_entropies() {
        let (loss, right) = judged(&[0.0, 0.0, 0.0, 0.0], 0);
        assert!((loss - 4_f64.ln()).abs() < 1e-12 && right);
        assert!(!judged(&[0.0, 0.0], 1).1 && judged(&[0.0, 1.0], 1).1);
        let (loss, right) = judged(&[f32::NAN, 1.0], 1);
        assert!(loss.is_nan() && !right);
        let score = TaskScore::new([(0.0, true), (2.0, false)].into_iter());
        assert_eq!((score.count, score.loss, score.accuracy()), (2, 1.0, 0.5));
        assert_eq!(score.perplexity(), 1_f64.exp());
    }
}
