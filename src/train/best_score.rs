//! The best score of a run, and when one that gets no better is to end.

#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
use super::TrainingState;
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
use crate::error::Error;
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
use crate::error::Result;

/// Which of two scores is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher one: accuracy, F1.
    Higher,
    /// The lower one: a loss, an error rate.
    Lower,
}

/// The score of a model on what is held out, behind a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The score.
    pub value: f64,
    /// The step, from 1 on.
    pub step: u64,
}

/// The best score of a run so far, for early stopping with patience: a run ends when so many evaluations in a row were no better than the
/// best one before, and its model is that of the best (Goodfellow, Bengio and Courville 2016, *Deep Learning*, algorithm 7.1).
///
/// ```
/// use attentive::train::{BestScore, Better};
///
/// let mut best = BestScore::new(Better::Higher).patience(2);
/// assert!(best.take(10, 0.7) && best.take(20, 0.9));
/// assert!(!best.take(30, 0.8) && !best.is_over());
/// // As good as the best is not better; nor is what is no number.
/// assert!(!best.take(40, 0.9) && best.is_over());
/// assert_eq!(best.best().map(|score| score.step), Some(20));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BestScore {
    better: Better,
    patience: Option<u64>,
    best: Option<Score>,
    since: u64,
}

impl BestScore {
    /// No score yet, and patience without end.
    pub fn new(better: Better) -> Self {
        Self { better, patience: None, best: None, since: 0 }
    }

    /// The run is over after so many evaluations in a row without a better score, at least 1.
    #[must_use]
    pub fn patience(mut self, evaluations: u64) -> Self {
        self.patience = Some(evaluations.max(1));
        self
    }

    /// Takes in the score behind a step; whether it is the best so far, so that the model is to be kept. A NaN never is.
    pub fn take(&mut self, step: u64, value: f64) -> bool {
        let is_better = match (self.best, self.better) {
            (None, _) => !value.is_nan(),
            (Some(best), Better::Higher) => value > best.value,
            (Some(best), Better::Lower) => value < best.value,
        };
        if is_better {
            self.best = Some(Score { value, step });
        }
        self.since = if is_better { 0 } else { self.since + 1 };
        is_better
    }

    /// The best score, if there is one.
    pub fn best(&self) -> Option<Score> {
        self.best
    }

    /// Evaluations since the best one.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Whether the patience is at its end.
    pub fn is_over(&self) -> bool {
        self.patience.is_some_and(|patience| self.since >= patience)
    }

    /// Puts what it knows into the state that a run is saved with.
    #[cfg(all(feature = "models", not(target_arch = "wasm32")))]
    pub fn save(&self, to: &mut TrainingState) {
        let mut put = |key: &str, value: String| to.insert(key.to_owned(), value);
        put(SINCE, self.since.to_string());
        if let Some(Score { value, step }) = self.best {
            put(BEST, value.to_string());
            put(STEP, step.to_string());
        }
    }

    /// Goes on with what [`BestScore::save`] put there; takes it out of the state. A state without it is one of no evaluation.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is no number. Then nothing has changed.
    #[cfg(all(feature = "models", not(target_arch = "wasm32")))]
    pub fn resume(&mut self, from: &mut TrainingState) -> Result<()> {
        fn number<T: std::str::FromStr>(from: &mut TrainingState, key: &str) -> Result<Option<T>> {
            let Some(found) = from.remove(key) else { return Ok(None) };
            let parsed = found.parse().map(Some);
            parsed.map_err(|_| {
                Error::argument("best_score", format!("`{key}`"), "a number", format!("`{found}`"))
            })
        }
        let since = number(from, SINCE)?;
        let best = (number(from, BEST)?, number(from, STEP)?);
        self.since = since.unwrap_or(0);
        self.best = match best {
            (Some(value), Some(step)) => Some(Score { value, step }),
            _ => None,
        };
        Ok(())
    }
}

#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
const BEST: &str = "attentive.best_score";
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
const STEP: &str = "attentive.best_step";
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
const SINCE: &str = "attentive.evaluations_since_best";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_loss_is_better_and_a_nan_never_is() {
        let mut best = BestScore::new(Better::Lower).patience(3);
        assert!(!best.take(1, f64::NAN) && best.best().is_none() && best.since() == 1);
        assert!(best.take(2, 0.5) && !best.take(3, f64::NAN) && !best.take(4, 0.6) && !best.is_over());
        assert!(best.take(5, 0.4) && best.since() == 0);
        assert!(!best.take(6, 0.4) && !best.take(7, 0.4) && !best.take(8, f64::INFINITY) && best.is_over());
        assert_eq!(best.best(), Some(Score { value: 0.4, step: 5 }));
        // Without patience a run is never over.
        let mut best = BestScore::new(Better::Higher);
        assert!((0..100).all(|step| best.take(step, 0.0) == (step == 0)) && !best.is_over());
    }

    #[cfg(all(feature = "models", not(target_arch = "wasm32")))]
    #[test]
    fn what_is_saved_is_gone_on_with_to_the_bit() {
        let mut best = BestScore::new(Better::Higher).patience(2);
        best.take(3, 0.1 + 0.2);
        best.take(4, 0.1);
        let mut state = TrainingState::from([("other".to_owned(), "7".to_owned())]);
        best.save(&mut state);
        let mut again = BestScore::new(Better::Higher).patience(2);
        again.resume(&mut state).unwrap();
        assert_eq!((&again, state.len()), (&best, 1));
        assert!(!again.take(5, 0.3) && again.is_over());
        let mut none = BestScore::new(Better::Higher);
        none.resume(&mut state).unwrap();
        assert_eq!(none, BestScore::new(Better::Higher));
        state.insert(BEST.to_owned(), "much".to_owned());
        let error = again.resume(&mut state).unwrap_err().to_string();
        assert!(error.contains("attentive.best_score") && error.contains("`much`"), "{error}");
    }
}
