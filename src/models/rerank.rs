//! Documents by how well they answer a query, as a cross-encoder scores them: one sequence classifier over each pair
//! (Nogueira and Cho 2019, section 3).

use super::batches::{ModelStatistics, Progress, told_and_run};
use super::bert_model::{BertModel, Wanted};
use super::classify::{activated, first_tokens};
use super::embedder::{Truncation, not_finite, truncations};
use super::heads::HeadKind;
use super::prompts::Prompt;
use crate::error::{Error, Result};
use crate::weights::ScoreActivation;

const OP: &str = "rerank";

impl BertModel {
    /// Ranks documents by how well they answer a query. The model must be a cross-encoder: a sequence classifier of one
    /// label.
    ///
    /// ```no_run
    /// # fn main() -> attentive::Result<()> {
    /// use attentive::{BertModel, Device};
    ///
    /// let model = BertModel::from_dir(&Device::open("auto")?, "ms-marco-MiniLM-L6-v2")?;
    /// let documents = ["Berlin has 3.8 million inhabitants.", "Berlin lies on the Spree."];
    /// let ranking = model.rerank("How many people live in Berlin?", &documents).top(1).run()?;
    /// for ranked in &ranking.ranked {
    ///     println!("{} (logit {}): {}", ranked.score, ranked.logit, documents[ranked.document]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn rerank<'a, S: AsRef<str> + Sync>(&'a self, query: &'a str, documents: &'a [S]) -> Rerank<'a, S> {
        let (prompt, progress) = (Prompt::Default, Progress::of(OP));
        Rerank { model: self, query, documents, top: usize::MAX, activation: None, prompt, progress }
    }

    /// Whether the model can rerank.
    ///
    /// # Errors
    /// [`Error::MissingHead`] without a sequence classifier, [`Error::Argument`] for one of several labels.
    pub fn check_reranker(&self) -> Result<()> {
        let head = self.head(HeadKind::Sequence)?;
        if head.outputs() == 1 {
            return Ok(());
        }
        let labels = &self.head_config().labels;
        let mut names = labels.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        if labels.len() > 5 {
            names += ", …";
        }
        let found =
            format!("of {} ({names}): it tells which label a pair has, not how well it fits", labels.len());
        Err(Error::argument(OP, "the classification head", "of 1 label", found))
    }
}

/// A [`BertModel::rerank`] to be run.
pub struct Rerank<'a, S> {
    model: &'a BertModel,
    query: &'a str,
    documents: &'a [S],
    top: usize,
    activation: Option<ScoreActivation>,
    prompt: Prompt,
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> Rerank<'a, S> {
    /// Gives so many documents at most, the best; all where nothing is said. Every document is scored all the same.
    #[must_use]
    pub fn top(mut self, documents: usize) -> Self {
        self.top = documents;
        self
    }

    /// Puts the logits through this, in place of what the folder names. It does not change the order.
    #[must_use]
    pub fn activation(mut self, activation: ScoreActivation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Puts this before the query, in place of the folder's default prompt; empty for none.
    #[must_use]
    pub fn prompt(mut self, prompt: &str) -> Self {
        self.prompt = Prompt::Text(prompt.to_owned());
        self
    }

    /// As [`Rerank::prompt`], with the folder's prompt of that name: one of [`BertModel::prompts`].
    #[must_use]
    pub fn prompt_name(mut self, name: &str) -> Self {
        self.prompt = Prompt::Named(name.to_owned());
        self
    }

    /// Runs it: the documents by falling logits, equal ones in their order, and those without a number (NaN) last. A query
    /// and a document that are too long together are cut, the longer of the two first.
    ///
    /// # Errors
    /// Those of [`BertModel::check_reranker`]; [`Error::Argument`] for a prompt's name that the folder does not have;
    /// [`Error::Tokenize`], [`Error::Interrupted`], and those of [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<Ranking> {
        let model = self.model;
        model.check_reranker()?;
        let head = model.head(HeadKind::Sequence)?;
        let query = format!("{}{}", model.prompts.text(OP, &self.prompt)?, self.query);
        let pairs: Vec<(&str, &str)> =
            self.documents.iter().map(|document| (query.as_str(), document.as_ref())).collect();
        let encodings = model.encode_pairs(&pairs).await?;
        let rows = first_tokens(OP, "document", &encodings)?;
        let mut logits = vec![f32::NAN; encodings.len()];
        let statistics = model
            .answer(&encodings, &[Wanted { head, rows: &rows }], &mut self.progress, &mut |place, answer| {
                logits[place.encoding] = answer.first().copied().unwrap_or(f32::NAN);
            })
            .await?;
        let activation = self.activation.unwrap_or(model.head_config().activation);
        let mut ranked = ranked(&logits, activation);
        let not_finite = not_finite(&logits, |logit| logit.is_finite());
        ranked.truncate(self.top);
        Ok(Ranking { ranked, not_finite, truncations: truncations(&encodings), statistics })
    }

    told_and_run!(Ranking);
}

/// The documents by falling logits. Scores would not do: where many logits are large, the logistic function of each is 1.
fn ranked(logits: &[f32], activation: ScoreActivation) -> Vec<Ranked> {
    let one = |(document, &logit): (usize, &f32)| Ranked {
        document,
        logit,
        score: activated(activation, &[logit]).first().copied().unwrap_or(f32::NAN),
    };
    let mut ranked: Vec<Ranked> = logits.iter().enumerate().map(one).collect();
    // 0 and −0 are equal, which `total_cmp` does not know.
    let key = |ranked: &Ranked| ranked.logit + 0.0;
    ranked.sort_by(|a, b| a.logit.is_nan().cmp(&b.logit.is_nan()).then(key(b).total_cmp(&key(a))));
    ranked
}

/// Documents, the best first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ranking {
    /// The documents, the best first.
    pub ranked: Vec<Ranked>,
    /// Of all documents, those whose logit is NaN or infinite.
    not_finite: Vec<usize>,
    /// The documents that were cut, together with the query or that alone.
    pub truncations: Vec<Truncation>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl Ranking {
    /// The documents whose logit is NaN or infinite, whether they are among the best or not.
    pub fn not_finite(&self) -> Vec<usize> {
        self.not_finite.clone()
    }
}

/// A document with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ranked {
    /// Its place in the caller's list.
    pub document: usize,
    /// What the head gives; the ranking is by this.
    pub logit: f32,
    /// What the activation makes of it. Several may be 1, or 0, whose logits differ.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_logits_where_scores_are_all_1() {
        let logits = [40.0, f32::NAN, 90.0, 40.0, f32::NEG_INFINITY, 50.0, -0.0, 0.0];
        for (_, activation) in ScoreActivation::ALL {
            let order: Vec<usize> =
                ranked(&logits, activation).iter().map(|ranked| ranked.document).collect();
            assert_eq!(order, [2, 5, 0, 3, 6, 7, 4, 1], "{activation:?}");
        }
        let found = ranked(&logits, ScoreActivation::Sigmoid);
        assert!(found[..4].iter().all(|ranked| ranked.score == 1.0) && found[7].score.is_nan());
        assert_eq!((found[0].logit, found[4].score), (90.0, 0.5));
    }
}
