//! The activation that turns a classifier's logits into scores.

use attentive::weights::ScoreActivation;
use clap::ValueEnum;

#[derive(Clone, Copy, ValueEnum)]
pub enum ActivationName {
    /// Nothing
    Identity,
    /// 1 / (1 + exp(−x)), each for itself
    Sigmoid,
    /// exp(x) over the sum of all labels'
    Softmax,
}

impl ActivationName {
    pub fn activation(self) -> ScoreActivation {
        match self {
            Self::Identity => ScoreActivation::Identity,
            Self::Sigmoid => ScoreActivation::Sigmoid,
            Self::Softmax => ScoreActivation::Softmax,
        }
    }
}
