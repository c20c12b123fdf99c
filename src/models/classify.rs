//! Answers about whole texts and about their tokens: next sentence, sequence and token classification.

use super::batches::{ModelStatistics, Progress, told_and_run};
use super::bert_model::{BertModel, Wanted};
use super::embedder::{Truncation, not_finite, truncations};
use super::heads::HeadKind;
use super::prompts::Prompt;
use super::softmax::{log_sum_exp, softmax};
use crate::error::{Error, Result};
use crate::waiting::{items_at_once, yield_now};
use crate::weights::{Encoding, ScoreActivation};

impl BertModel {
    /// How probable it is that each second text follows the first, as the next-sentence head has learned it
    /// (Devlin et al. 2019, section 3.1).
    pub fn next_sentence<'a, S: AsRef<str> + Sync>(&'a self, pairs: &'a [(S, S)]) -> NextSentence<'a, S> {
        NextSentence { model: self, pairs, progress: Progress::of("next_sentence") }
    }

    /// Whether the next-sentence head can take that pair.
    ///
    /// # Errors
    /// Those that [`NextSentence::run_async`] has for this pair, as pair 0.
    pub fn check_pair(&self, first: &str, second: &str) -> Result<()> {
        let encoding = self.tokenizer.encode_pair(first, second, self.max_tokens)?;
        self.expect_pair(0, &(first, second), &encoding)
    }

    fn expect_pair<S: AsRef<str>>(&self, index: usize, (a, b): &(S, S), encoding: &Encoding) -> Result<()> {
        const OP: &str = "next_sentence";
        for (name, text) in [("the first sentence", a), ("the second sentence", b)] {
            // What the tokenizer leaves nothing of is empty, too.
            let tokens = self.tokenizer.encode(text.as_ref(), self.max_tokens)?.total_tokens;
            if tokens <= self.tokenizer.special_tokens() {
                return Err(Error::argument(OP, format!("{name} of pair {index}"), "a text", "empty"));
            }
        }
        self.refuse_cut(OP, "pair", index, encoding)
    }

    /// Labels of texts by the sequence classification head.
    pub fn classify<'a, S: AsRef<str> + Sync>(&'a self, texts: &'a [S]) -> Classify<'a, S> {
        Classify::new(self, Texts::Single(texts))
    }

    /// Labels of pairs of texts by the sequence classification head.
    pub fn classify_pairs<'a, S: AsRef<str> + Sync>(&'a self, pairs: &'a [(S, S)]) -> Classify<'a, S> {
        Classify::new(self, Texts::Pairs(pairs))
    }

    /// Labels of each token of texts by the token classification head.
    pub fn classify_tokens<'a, S: AsRef<str> + Sync>(&'a self, texts: &'a [S]) -> ClassifyTokens<'a, S> {
        ClassifyTokens { model: self, texts, progress: Progress::of("classify_tokens") }
    }
}

/// The first token of each, which must be there: a tokenizer without special tokens may leave none.
pub(super) fn first_tokens(op: &str, what: &str, encodings: &[Encoding]) -> Result<Vec<Vec<u32>>> {
    match encodings.iter().position(|encoding| encoding.ids.is_empty()) {
        None => Ok(vec![vec![0]; encodings.len()]),
        Some(index) => Err(Error::argument(op, format!("{what} {index}"), "at least 1 token", "none")),
    }
}

/// A [`BertModel::next_sentence`] to be run.
pub struct NextSentence<'a, S> {
    model: &'a BertModel,
    pairs: &'a [(S, S)],
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> NextSentence<'a, S> {
    /// Runs it: an answer for each pair, in their order.
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Argument`] for a text without tokens and for a pair longer than the model takes;
    /// [`Error::Tokenize`], [`Error::Interrupted`], and those of [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<NextSentences> {
        let model = self.model;
        let head = model.head(HeadKind::NextSentence)?;
        let encodings = model.encode_pairs(self.pairs).await?;
        for (index, (pair, encoding)) in self.pairs.iter().zip(&encodings).enumerate() {
            model.expect_pair(index, pair, encoding)?;
            if (index + 1).is_multiple_of(items_at_once()) {
                yield_now().await;
            }
        }
        let mut answers = vec![IsNext { logits: [0.0; 2], probability: 0.0 }; encodings.len()];
        let rows = first_tokens("next_sentence", "pair", &encodings)?;
        let statistics = model
            .answer(&encodings, &[Wanted { head, rows: &rows }], &mut self.progress, &mut |place, logits| {
                if let &[next, random] = logits {
                    let probability = softmax(logits)[0];
                    answers[place.encoding] = IsNext { logits: [next, random], probability };
                }
            })
            .await?;
        Ok(NextSentences { answers, statistics })
    }

    told_and_run!(NextSentences);
}

/// Answers, in the order of the pairs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NextSentences {
    /// One for each pair.
    pub answers: Vec<IsNext>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl NextSentences {
    /// The pairs with a NaN or an infinity.
    pub fn not_finite(&self) -> Vec<usize> {
        not_finite(&self.answers, |answer| {
            answer.probability.is_finite() && answer.logits.iter().all(|logit| logit.is_finite())
        })
    }
}

/// Whether one text follows another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct IsNext {
    /// The head's scores: for "it follows", and for "it is a random sentence".
    pub logits: [f32; 2],
    /// The probability that it follows: softmax of the two.
    pub probability: f32,
}

enum Texts<'a, S> {
    Single(&'a [S]),
    Pairs(&'a [(S, S)]),
}

/// A [`BertModel::classify`] or [`BertModel::classify_pairs`] to be run.
pub struct Classify<'a, S> {
    model: &'a BertModel,
    texts: Texts<'a, S>,
    activation: Option<ScoreActivation>,
    prompt: Prompt,
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> Classify<'a, S> {
    fn new(model: &'a BertModel, texts: Texts<'a, S>) -> Self {
        Self { model, texts, activation: None, prompt: Prompt::Default, progress: Progress::of("classify") }
    }

    /// Puts the scores through this, in place of what the folder names.
    #[must_use]
    pub fn activation(mut self, activation: ScoreActivation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Puts this before each text, of a pair before the first, in place of the folder's default prompt; empty for none.
    #[must_use]
    pub fn prompt(mut self, prompt: &str) -> Self {
        self.prompt = Prompt::Text(prompt.to_owned());
        self
    }

    /// As [`Classify::prompt`], with the folder's prompt of that name: one of [`BertModel::prompts`].
    #[must_use]
    pub fn prompt_name(mut self, name: &str) -> Self {
        self.prompt = Prompt::Named(name.to_owned());
        self
    }

    /// Runs it: an answer for each text, in their order. Texts that are too long are cut, as
    /// [`Embedder`](crate::Embedder) cuts them.
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Argument`] for a text without tokens, special ones counted, and for a prompt's name that
    /// the folder does not have; [`Error::Tokenize`], [`Error::Interrupted`], and those of
    /// [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<Classifications> {
        let model = self.model;
        let head = model.head(HeadKind::Sequence)?;
        let prompt = model.prompts.text("classify", &self.prompt)?;
        let prompted = |text: &S| format!("{prompt}{}", text.as_ref());
        let encodings = match self.texts {
            Texts::Single(texts) if prompt.is_empty() => model.encode_texts(texts).await?,
            Texts::Pairs(pairs) if prompt.is_empty() => model.encode_pairs(pairs).await?,
            Texts::Single(texts) => {
                let texts: Vec<String> = texts.iter().map(prompted).collect();
                model.encode_texts(&texts).await?
            }
            Texts::Pairs(pairs) => {
                let pairs = pairs.iter().map(|(a, b)| (prompted(a), b.as_ref().to_owned()));
                model.encode_pairs(&pairs.collect::<Vec<_>>()).await?
            }
        };
        let mut answers = vec![Scores::default(); encodings.len()];
        let what = if matches!(self.texts, Texts::Single(_)) { "text" } else { "pair" };
        let rows = first_tokens("classify", what, &encodings)?;
        let activation = self.activation.unwrap_or(model.head_config().activation);
        let statistics = model
            .answer(&encodings, &[Wanted { head, rows: &rows }], &mut self.progress, &mut |place, logits| {
                answers[place.encoding] = Scores::new(activation, logits);
            })
            .await?;
        let labels = model.head_config().labels.clone();
        Ok(Classifications { labels, answers, truncations: truncations(&encodings), statistics })
    }

    told_and_run!(Classifications);
}

/// Answers, in the order of the texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Classifications {
    /// The labels' names.
    pub labels: Vec<String>,
    /// One for each text.
    pub answers: Vec<Scores>,
    /// The texts that were cut.
    pub truncations: Vec<Truncation>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl Classifications {
    /// The texts with a NaN or an infinity.
    pub fn not_finite(&self) -> Vec<usize> {
        not_finite(&self.answers, |scores| scores.are_finite())
    }
}

/// The scores of the labels of one text or token.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// What the head gives, by labels.
    pub logits: Vec<f32>,
    /// What the activation makes of them: for a single label of several probabilities by softmax, for each label by itself by
    /// the logistic function, or what the folder names ([`HeadConfig::activation`](crate::weights::HeadConfig::activation)).
    pub scores: Vec<f32>,
}

impl Scores {
    fn new(activation: ScoreActivation, logits: &[f32]) -> Self {
        Self { scores: activated(activation, logits), logits: logits.to_vec() }
    }

    /// Whether none is NaN or infinite.
    pub fn are_finite(&self) -> bool {
        self.logits.iter().chain(&self.scores).all(|score| score.is_finite())
    }

    /// The label with the largest score; of equals the first. `None` where there is none, or a NaN.
    pub fn best(&self) -> Option<usize> {
        if self.logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        let places = 0..self.logits.len();
        places.rev().max_by(|&a, &b| self.logits[a].total_cmp(&self.logits[b]))
    }
}

/// What an activation makes of the logits of one text, in f64.
pub(super) fn activated(activation: ScoreActivation, logits: &[f32]) -> Vec<f32> {
    let each = |of: fn(f64) -> f64| logits.iter().map(|&logit| of(logit.into()) as f32).collect();
    match activation {
        ScoreActivation::Identity => logits.to_vec(),
        ScoreActivation::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp())),
        // log(1 / (1 + exp(−x))) without the exponential of a large number.
        ScoreActivation::LogSigmoid => each(|x| x.min(0.0) - (-x.abs()).exp().ln_1p()),
        ScoreActivation::Softmax => softmax(logits),
        ScoreActivation::LogSoftmax => {
            let sum = log_sum_exp(logits);
            logits.iter().map(|&logit| (f64::from(logit) - sum) as f32).collect()
        }
        ScoreActivation::Tanh => each(f64::tanh),
        // `max` would make 0 of a NaN.
        ScoreActivation::Relu => each(|x| if x < 0.0 { 0.0 } else { x }),
    }
}

/// A [`BertModel::classify_tokens`] to be run.
pub struct ClassifyTokens<'a, S> {
    model: &'a BertModel,
    texts: &'a [S],
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> ClassifyTokens<'a, S> {
    /// Runs it: an answer for each token of each text, special ones included. Texts that are too long are cut.
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Tokenize`], [`Error::Interrupted`], and those of
    /// [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<TokenClassifications> {
        let model = self.model;
        let head = model.head(HeadKind::Token)?;
        let encodings = model.encode_texts(self.texts).await?;
        let rows: Vec<Vec<u32>> =
            encodings.iter().map(|encoding| (0..encoding.ids.len() as u32).collect()).collect();
        let special = model.tokenizer.special_ids();
        let token = |(id, token): (&u32, &String)| LabelledToken {
            token: token.clone(),
            special: special.binary_search(id).is_ok(),
            scores: Scores::default(),
        };
        let mut texts: Vec<Vec<LabelledToken>> = encodings
            .iter()
            .map(|encoding| encoding.ids.iter().zip(&encoding.tokens).map(token).collect())
            .collect();
        let statistics = model
            .answer(&encodings, &[Wanted { head, rows: &rows }], &mut self.progress, &mut |place, logits| {
                texts[place.encoding][place.row].scores = Scores::new(ScoreActivation::Softmax, logits);
            })
            .await?;
        let labels = model.head_config().labels.clone();
        Ok(TokenClassifications { labels, texts, truncations: truncations(&encodings), statistics })
    }

    told_and_run!(TokenClassifications);
}

/// Answers, in the order of the texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenClassifications {
    /// The labels' names.
    pub labels: Vec<String>,
    /// For each text its tokens.
    pub texts: Vec<Vec<LabelledToken>>,
    /// The texts that were cut.
    pub truncations: Vec<Truncation>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl TokenClassifications {
    /// The texts with a token that has a NaN or an infinity.
    pub fn not_finite(&self) -> Vec<usize> {
        not_finite(&self.texts, |tokens| tokens.iter().all(|token| token.scores.are_finite()))
    }
}

/// A token and the scores of its labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LabelledToken {
    /// The token as the vocabulary writes it.
    pub token: String,
    /// Whether it is a special token, such as `[CLS]`.
    pub special: bool,
    /// The scores of its labels.
    pub scores: Scores,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_what_the_activation_makes_of_the_logits() {
        let of = |activation, logits: &[f32]| Scores::new(activation, logits);
        let single = of(ScoreActivation::Softmax, &[0.0, 0.0]);
        assert_eq!((single.scores.clone(), single.best()), (vec![0.5, 0.5], Some(0)));
        assert_eq!(of(ScoreActivation::Sigmoid, &[0.0, 100.0]).scores, [0.5, 1.0]);
        assert_eq!(of(ScoreActivation::Identity, &[-7.5]).scores, [-7.5]);
        assert_eq!(of(ScoreActivation::Tanh, &[0.5]).scores, [0.5_f64.tanh() as f32]);
        assert_eq!(of(ScoreActivation::Relu, &[-1.0, 2.0]).scores, [0.0, 2.0]);
        let half = 0.5_f64.ln() as f32;
        assert_eq!(of(ScoreActivation::LogSigmoid, &[0.0, -1e4, 1e4]).scores, [half, -1e4, 0.0]);
        assert_eq!(of(ScoreActivation::LogSoftmax, &[3.0, 3.0]).scores, [half, half]);
        for (_, activation) in ScoreActivation::ALL {
            let found = of(activation, &[f32::NAN, 1.0]);
            assert!(
                found.scores[0].is_nan() && !found.are_finite() && found.best().is_none(),
                "{activation:?}"
            );
        }
        assert_eq!(Scores::default().best(), None);
    }
}
