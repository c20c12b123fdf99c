//! Generation: from a decoder's logits, step by step, to token sequences. Greedy, beam search and sampling, over a batch.

mod beam;
mod rules;
mod sample;

pub use rules::TokenRules;

use std::sync::Arc;

use crate::error::{Error, Result};

const OP: &str = "generate";

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Strategy {
    /// The likeliest token at each step.
    #[default]
    Greedy,
    /// Beam search, as transformers has it.
    Beam {
        /// Hypotheses that are followed at once.
        beams: usize,
        /// α in a finished hypothesis's score Σ log p / lengthᵅ: above 0 for longer ones, 0 for none.
        length_penalty: f32,
        /// When a text's search ends.
        early_stopping: EarlyStopping,
    },
    /// Drawn from the model's distribution.
    Sample {
        /// The divisor of logits; above 0.
        temperature: f32,
        /// Only the k likeliest tokens; 0 for all.
        top_k: usize,
        /// Only the likeliest tokens that together have this probability (Holtzman et al. 2020); 1 for all.
        top_p: f32,
        /// Same seed, same draws. Each text and sample has its own by its number, whatever it is run together with.
        seed: u64,
    },
}

/// When beam search ends for a text of which as many hypotheses are finished as there are beams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// At once.
    Yes,
    /// When the best running hypothesis, scored at its length now, is not better than the worst finished one.
    #[default]
    No,
    /// When it could not become better at the greatest length.
    Never,
}

/// What is to be generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerationOptions {
    /// How tokens are chosen.
    pub strategy: Strategy,
    /// The most tokens of an output, its stop token included, the start token not.
    pub max_tokens: usize,
    /// Outputs for each text: the best of a beam search (at most its beams), or so many samples, at most 1,024.
    pub n_best: usize,
    /// What the model allows.
    pub rules: TokenRules,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self { strategy: Strategy::Greedy, max_tokens: 128, n_best: 1, rules: TokenRules::default() }
    }
}

/// The most samples of one text: each is a row of every step.
const MOST_SAMPLES: usize = 1024;

impl GenerationOptions {
    /// Rows of a batch for each text.
    pub(crate) fn rows_per_text(&self) -> usize {
        match self.strategy {
            Strategy::Greedy => 1,
            Strategy::Beam { beams, .. } => beams,
            Strategy::Sample { .. } => self.n_best,
        }
    }

    /// [`Error::Argument`] for options that mean nothing.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<()> {
        let wrong =
            |name: &str, expected: String, found: String| Err(Error::argument(OP, name, expected, found));
        if self.max_tokens == 0 {
            return wrong("max_tokens", "at least 1".to_owned(), "0".to_owned());
        }
        if self.n_best == 0 {
            return wrong("n_best", "at least 1".to_owned(), "0".to_owned());
        }
        self.rules.check(vocabulary)?;
        match self.strategy {
            Strategy::Greedy if self.n_best > 1 => {
                let found = format!("{} of greedy decoding, which has one", self.n_best);
                wrong("n_best", "1, or beams or samples".to_owned(), found)
            }
            Strategy::Beam { beams, .. } if beams == 0 || beams > vocabulary => {
                wrong("beams", format!("1 to {vocabulary}, the vocabulary"), beams.to_string())
            }
            Strategy::Beam { beams, .. } if self.n_best > beams => {
                wrong("n_best", format!("at most the {beams} beams"), self.n_best.to_string())
            }
            Strategy::Beam { length_penalty, .. } if !length_penalty.is_finite() => {
                wrong("length_penalty", "a finite number".to_owned(), length_penalty.to_string())
            }
            Strategy::Sample { .. } if self.n_best > MOST_SAMPLES => {
                let expected = format!("at most {MOST_SAMPLES} samples; other seeds give more");
                wrong("n_best", expected, self.n_best.to_string())
            }
            Strategy::Sample { temperature, .. } if !(temperature.is_finite() && temperature > 0.0) => {
                wrong("temperature", "a finite number above 0".to_owned(), temperature.to_string())
            }
            Strategy::Sample { top_p, .. } if !(top_p > 0.0 && top_p <= 1.0) => {
                wrong("top_p", "above 0 and at most 1".to_owned(), top_p.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// A generated sequence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hypothesis {
    /// Its tokens, without the start token, with the stop token where one came.
    pub ids: Vec<u32>,
    /// The sum of its tokens' log-probabilities: the model's own, but in a beam search as the rules left them.
    pub log_probability: f64,
    /// What beam search ranks by: Σ log p / lengthᵅ. Elsewhere the log-probability.
    pub score: f64,
    /// Whether a stop token ended it, and not the limit.
    pub stopped: bool,
    /// What was captured: of each step of the decoder, or all of the encoder.
    pub attention: Vec<Arc<[f32]>>,
}

/// The result of a decoder for one step.
#[derive(Debug, Default)]
pub(crate) struct StepOutput {
    /// `[rows, vocabulary]`.
    pub logits: Vec<f32>,
    /// What each row attended to; empty if nothing is captured.
    pub attention: Vec<Arc<[f32]>>,
}

/// A model's decoder over a batch of rows: texts × hypotheses of each, those of a text one after the other.
pub(crate) trait StepDecoder {
    /// Tokens that there are.
    fn vocabulary(&self) -> usize;

    /// One step: `tokens[row]` is the row's last token, `parents[row]` the row of the step before that it goes on from
    /// (itself at the first step).
    async fn step(&mut self, tokens: &[u32], parents: &[u32]) -> Result<StepOutput>;
}

/// Generates for texts, which have these numbers at the caller's: the hypotheses of each, best first. A text whose logits are
/// NaN at some step has one, without tokens and with a score of NaN. `progress` is told the tokens of each row after each
/// step, and ends it by an error.
pub(crate) async fn generate(
    decoder: &mut impl StepDecoder,
    texts: &[usize],
    start: u32,
    options: &GenerationOptions,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<Hypothesis>>> {
    let vocabulary = decoder.vocabulary();
    options.check(vocabulary)?;
    let per_text = options.rows_per_text();
    let mut searches: Vec<Search> = texts.iter().map(|&text| Search::new(options, text)).collect();
    let mut tokens = vec![start; texts.len() * per_text];
    let mut parents: Vec<u32> = (0..tokens.len() as u32).collect();
    for length in 1..=options.max_tokens {
        if tokens.is_empty() {
            break;
        }
        let output = decoder.step(&tokens, &parents).await?;
        if output.logits.len() != tokens.len() * vocabulary {
            let expected = format!("[{}, {vocabulary}]", tokens.len());
            return Err(Error::argument(OP, "logits", expected, format!("{} elements", output.logits.len())));
        }
        let mut all_done = true;
        for (place, search) in searches.iter_mut().enumerate() {
            let rows = place * per_text..(place + 1) * per_text;
            let logits = &output.logits[rows.start * vocabulary..rows.end * vocabulary];
            if logits.iter().any(|logit| logit.is_nan()) {
                // Nothing can be chosen by these; the batch's other texts go on.
                if !search.is_done() {
                    *search = Search::NotANumber;
                }
                rows.for_each(|row| parents[row] = row as u32);
                continue;
            }
            let attention = output.attention.get(rows.clone()).unwrap_or_default();
            let chosen = search.advance(Step { logits, attention, vocabulary, start, length, options });
            for (row, (token, parent)) in rows.clone().zip(chosen) {
                (tokens[row], parents[row]) = (token, (rows.start + parent) as u32);
            }
            all_done &= search.is_done();
        }
        progress(length)?;
        if all_done {
            break;
        }
    }
    Ok(searches.into_iter().map(|search| search.finish(options.n_best)).collect())
}

/// One step of one text.
struct Step<'a> {
    /// `[rows of the text, vocabulary]`.
    logits: &'a [f32],
    attention: &'a [Arc<[f32]>],
    vocabulary: usize,
    start: u32,
    /// Tokens with the one of this step.
    length: usize,
    options: &'a GenerationOptions,
}

impl Step<'_> {
    fn row(&self, row: usize) -> &[f32] {
        &self.logits[row * self.vocabulary..][..self.vocabulary]
    }

    fn is_last(&self) -> bool {
        self.length == self.options.max_tokens
    }
}

/// A sequence that is being generated.
#[derive(Clone, Debug, Default)]
struct Running {
    ids: Vec<u32>,
    sum: f64,
    attention: Vec<Arc<[f32]>>,
}

impl Running {
    fn extended(&self, token: u32, log_probability: f64, attention: Option<&Arc<[f32]>>) -> Self {
        let mut next = self.clone();
        next.ids.push(token);
        next.sum += log_probability;
        next.attention.extend(attention.cloned());
        next
    }

    fn finished(self, score: f64, stopped: bool) -> Hypothesis {
        let Self { ids, sum, attention } = self;
        Hypothesis { ids, log_probability: sum, score, stopped, attention }
    }
}

/// The search for one text.
enum Search {
    Beam(beam::BeamSearch),
    /// Greedy or sampled: each row by itself.
    Rows(sample::Rows),
    /// Given up: the model's logits for it were NaN.
    NotANumber,
}

impl Search {
    fn new(options: &GenerationOptions, text: usize) -> Self {
        match options.strategy {
            Strategy::Beam { beams, length_penalty, early_stopping } => {
                Self::Beam(beam::BeamSearch::new(beams, length_penalty.into(), early_stopping))
            }
            Strategy::Greedy => Self::Rows(sample::Rows::new(1, None)),
            Strategy::Sample { seed, .. } => {
                Self::Rows(sample::Rows::new(options.n_best, Some((seed, text))))
            }
        }
    }

    /// The next token of each row, and which row of the text it goes on from.
    fn advance(&mut self, step: Step<'_>) -> Vec<(u32, usize)> {
        match self {
            Self::Beam(search) => search.advance(&step),
            Self::Rows(rows) => rows.advance(&step),
            Self::NotANumber => {
                let rows = step.logits.len() / step.vocabulary.max(1);
                (0..rows).map(|row| (step.start, row)).collect()
            }
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Beam(search) => search.is_done(),
            Self::Rows(rows) => rows.is_done(),
            Self::NotANumber => true,
        }
    }

    fn finish(self, n_best: usize) -> Vec<Hypothesis> {
        match self {
            Self::Beam(search) => search.finish(n_best),
            Self::Rows(rows) => rows.finish(),
            Self::NotANumber => vec![Hypothesis {
                ids: Vec::new(),
                log_probability: f64::NAN,
                score: f64::NAN,
                stopped: false,
                attention: Vec::new(),
            }],
        }
    }
}

#[cfg(test)]
mod tests;
