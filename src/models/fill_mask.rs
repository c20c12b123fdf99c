//! Hidden words: the masked-language-model head at the mask tokens of texts.

use super::batches::{ModelStatistics, Progress, told_and_run};
use super::bert_model::{BertModel, Wanted};
use super::embedder::not_finite;
use super::heads::HeadKind;
use super::softmax::log_sum_exp;
use crate::error::{Error, Result};
use crate::weights::{Encoding, Family};

const OP: &str = "fill_mask";

impl BertModel {
    /// Guesses the words behind the mask tokens of texts, one or several in each. Only their rows go through the
    /// projection to the vocabulary.
    pub fn fill_mask<'a, S: AsRef<str> + Sync>(&'a self, texts: &'a [S]) -> FillMask<'a, S> {
        FillMask { model: self, texts, top: 5, progress: Progress::of("fill_mask") }
    }

    /// The number of mask tokens in a text, which is at least 1.
    ///
    /// # Errors
    /// Those that [`FillMask::run_async`] has for this text, as text 0.
    pub fn count_masks(&self, text: &str) -> Result<usize> {
        let encoding = self.tokenizer.encode(text, self.max_tokens)?;
        self.masks(0, text, &encoding).map(|masks| masks.len())
    }

    /// The places of the mask tokens.
    fn masks(&self, index: usize, text: &str, encoding: &Encoding) -> Result<Vec<u32>> {
        let (token, id) = self.need_mask_token(OP)?;
        self.refuse_cut(OP, "text", index, encoding)?;
        let places: Vec<u32> =
            (0..).zip(&encoding.ids).filter(|(_, found)| **found == id).map(|(place, _)| place).collect();
        if !places.is_empty() {
            return Ok(places);
        }
        let other = Family::ALL.iter().map(|family| family.mask_token).find(|other| text.contains(other));
        let found = match other {
            _ if text.trim().is_empty() => "empty".to_owned(),
            Some(other) => format!("without one; its `{other}` is not this model's"),
            None => "without one".to_owned(),
        };
        Err(Error::argument(OP, format!("text {index}"), format!("one with the mask token `{token}`"), found))
    }

    /// The mask token, for an op that needs it.
    pub(super) fn need_mask_token(&self, op: &str) -> Result<(&str, u32)> {
        self.mask_token().ok_or_else(|| {
            let path = self.tokenizer.path().display();
            Error::argument(op, "the tokenizer", "one with a mask token", format!("{path}, which has none"))
        })
    }
}

/// A [`BertModel::fill_mask`] to be run.
pub struct FillMask<'a, S> {
    model: &'a BertModel,
    texts: &'a [S],
    top: usize,
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> FillMask<'a, S> {
    /// So many words for each mask, the most probable first; 5 where nothing is said.
    #[must_use]
    pub fn top(mut self, words: usize) -> Self {
        self.top = words;
        self
    }

    /// Runs it: an answer for each text, in their order.
    ///
    /// # Errors
    /// [`Error::MissingHead`]; [`Error::Argument`] for a text without a mask token, one longer than the model takes, or
    /// a tokenizer without a mask token; [`Error::Tokenize`], [`Error::Interrupted`], and those of
    /// [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(mut self) -> Result<FilledTexts> {
        let model = self.model;
        let head = model.head(HeadKind::MaskedLanguage)?;
        model.need_mask_token(OP)?;
        let encodings = model.encode_texts(self.texts).await?;
        let masks = encodings.iter().enumerate();
        let masks = masks
            .map(|(index, encoding)| model.masks(index, self.texts[index].as_ref(), encoding))
            .collect::<Result<Vec<_>>>()?;
        let mut found: Vec<Vec<Best>> =
            masks.iter().map(|masks| vec![Best::default(); masks.len()]).collect();
        let top = self.top;
        let wanted = [Wanted { head, rows: &masks }];
        let statistics = model
            .answer(&encodings, &wanted, &mut self.progress, &mut |place, logits| {
                found[place.encoding][place.row] =
                    Best { words: largest(logits, top), sum: log_sum_exp(logits) };
            })
            .await?;
        let mut texts = Vec::with_capacity(found.len());
        for ((encoding, masks), found) in encodings.iter().zip(&masks).zip(found) {
            texts.push(filled(model, encoding, masks, found)?);
        }
        Ok(FilledTexts { texts, statistics })
    }

    told_and_run!(FilledTexts);
}

/// The best words of a mask with their scores, and log Σ exp of all scores.
#[derive(Clone, Default)]
struct Best {
    words: Vec<(u32, f32)>,
    sum: f64,
}

fn filled(model: &BertModel, encoding: &Encoding, masks: &[u32], found: Vec<Best>) -> Result<FilledText> {
    let mut ids = encoding.ids.clone();
    let mut answers = Vec::with_capacity(masks.len());
    for (&token, Best { words, sum }) in masks.iter().zip(found) {
        if let Some(&(best, _)) = words.first().filter(|(id, _)| model.tokenizer.token(*id).is_some()) {
            ids[token as usize] = best;
        }
        let predictions = words
            .into_iter()
            .map(|(id, logit)| {
                let token = model.tokenizer.token(id).unwrap_or_default();
                // A table may have more rows than there are tokens.
                let known = if token.is_empty() { &[][..] } else { &[id] };
                let text = model.tokenizer.decode(known)?.trim().to_owned();
                // Special tokens decode to nothing.
                let text = if text.is_empty() { token.clone() } else { text };
                let probability = (f64::from(logit) - sum).exp() as f32;
                Ok(Prediction { id, token, text, logit, probability })
            })
            .collect::<Result<Vec<_>>>()?;
        answers.push(FilledMask { token: token as usize, predictions });
    }
    Ok(FilledText { sequence: model.tokenizer.decode(&ids)?, masks: answers })
}

/// The `top` largest elements with their places, the largest first, and of equals the first.
fn largest(logits: &[f32], top: usize) -> Vec<(u32, f32)> {
    let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let by_size = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if top < order.len() {
        if top > 0 {
            order.select_nth_unstable_by(top - 1, by_size);
        }
        order.truncate(top);
    }
    order.sort_unstable_by(by_size);
    order
}

/// Answers, in the order of the texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FilledTexts {
    /// One for each text.
    pub texts: Vec<FilledText>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl FilledTexts {
    /// The texts with a word whose probability is NaN: the scores behind it were not finite.
    pub fn not_finite(&self) -> Vec<usize> {
        not_finite(&self.texts, |text| {
            text.masks.iter().flat_map(|mask| &mask.predictions).all(|word| word.probability.is_finite())
        })
    }
}

/// What stands behind the masks of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FilledText {
    /// The text with the best word behind each mask, as the tokenizer writes tokens out. Each mask is answered for
    /// itself, so that the words of several need not fit each other.
    pub sequence: String,
    /// One for each mask token, in the order of the text.
    pub masks: Vec<FilledMask>,
}

/// What stands behind one mask.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FilledMask {
    /// The place of the mask among the text's tokens, special ones counted.
    pub token: usize,
    /// The most probable words, the best first.
    pub predictions: Vec<Prediction>,
}

/// A word for a mask.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Its id.
    pub id: u32,
    /// The token as the vocabulary writes it; empty where the tokenizer has none of that id.
    pub token: String,
    /// The token as text.
    pub text: String,
    /// The head's score.
    pub logit: f32,
    /// Softmax of the scores over the whole vocabulary.
    pub probability: f32,
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_come_first_and_equals_in_order() {
        let logits = [1.0, 3.0, 3.0, -1.0, 2.0];
        assert_eq!(largest(&logits, 3), [(1, 3.0), (2, 3.0), (4, 2.0)]);
        assert_eq!(largest(&logits, 9).len(), 5);
        assert!(largest(&logits, 0).is_empty() && largest(&[], 2).is_empty());
    }
}
