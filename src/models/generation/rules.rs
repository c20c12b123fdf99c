//! Which tokens may come next, whatever their logits are.

use super::OP;
use crate::error::{Error, Result};

/// What a model's `generation_config.json` says of its tokens. All of it is off by default but for the stop tokens, of
/// which there are none.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TokenRules {
    /// Tokens that end an output (`eos_token_id`).
    pub stop: Vec<u32>,
    /// What follows in a row that has ended (`pad_token_id`).
    pub padding: u32,
    /// Token sequences that may not come (`bad_words_ids`).
    pub forbidden: Vec<Vec<u32>>,
    /// No stop token before so many tokens (`min_new_tokens`).
    pub min_tokens: usize,
    /// The last token of an output that reaches the limit (`forced_eos_token_id`).
    pub forced_last: Option<u32>,
    /// What logits of tokens that have come are divided by where positive, multiplied by where not (Keskar et al. 2019);
    /// 0 or 1 for none (`repetition_penalty`).
    pub repetition_penalty: f32,
    /// No sequence of so many tokens twice; 0 for none (`no_repeat_ngram_size`).
    pub no_repeat_ngram: usize,
    /// Whether what the rules leave is made a distribution again before it is scored (`renormalize_logits`).
    pub renormalize: bool,
}

impl TokenRules {
    pub(super) fn check(&self, vocabulary: usize) -> Result<()> {
        let ids = self.stop.iter().chain(&self.forced_last).chain([&self.padding]);
        for (name, &id) in ids
            .map(|id| ("a stop, padding or last token", id))
            .chain(self.forbidden.iter().flatten().map(|id| ("a forbidden token", id)))
        {
            if id as usize >= vocabulary {
                let expected = format!("below the vocabulary size {vocabulary}");
                return Err(Error::argument(OP, name, expected, id.to_string()));
            }
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty < 0.0 {
            let found = self.repetition_penalty.to_string();
            return Err(Error::argument(OP, "repetition_penalty", "a finite number, not below 0", found));
        }
        Ok(())
    }

    /// Applies them to the scores of the token after `ids`, which do not have the start token.
    pub(super) fn apply<T: Score>(&self, scores: &mut [T], start: u32, ids: &[u32], is_last: bool) {
        let length = ids.len();
        // With the start token, as transformers has it.
        let at = |place: usize| if place == 0 { start } else { ids[place - 1] };
        if self.repetition_penalty != 0.0 && self.repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = (0..=length).map(at).collect();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                if let Some(score) = scores.get_mut(id as usize) {
                    *score = score.penalized(self.repetition_penalty);
                }
            }
        }
        let mut forbid = |id: u32| scores[id as usize] = T::NEVER;
        if let Some(before) = self.no_repeat_ngram.checked_sub(1)
            && length + 1 >= before
        {
            let last = length + 1 - before;
            for first in (0..last).filter(|&first| (0..before).all(|i| at(first + i) == at(last + i))) {
                // What came after the same tokens.
                forbid(at(first + before));
            }
        }
        for sequence in &self.forbidden {
            let Some((&token, before)) = sequence.split_last() else { continue };
            let is_stop = before.is_empty() && self.stop.contains(&token);
            let fits = before.len() <= length + 1;
            if !is_stop
                && fits
                && before.iter().rev().zip((0..=length).rev()).all(|(id, place)| at(place) == *id)
            {
                forbid(token);
            }
        }
        if length < self.min_tokens {
            self.stop.iter().for_each(|&id| forbid(id));
        }
        if let Some(last) = self.forced_last.filter(|_| is_last) {
            scores.fill(T::NEVER);
            scores[last as usize] = T::CERTAIN;
        }
    }
}

/// A logit or a log-probability.
pub(super) trait Score: Copy {
    const NEVER: Self;
    const CERTAIN: Self;
    fn penalized(self, penalty: f32) -> Self;
}

impl Score for f32 {
    const NEVER: Self = f32::NEG_INFINITY;
    const CERTAIN: Self = 0.0;
    fn penalized(self, penalty: f32) -> Self {
        if self < 0.0 { self * penalty } else { self / penalty }
    }
}

impl Score for f64 {
    const NEVER: Self = f64::NEG_INFINITY;
    const CERTAIN: Self = 0.0;
    fn penalized(self, penalty: f32) -> Self {
        let penalty = f64::from(penalty);
        if self < 0.0 { self * penalty } else { self / penalty }
    }
}
