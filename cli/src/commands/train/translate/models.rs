//! The models that are trained: their sizes, the data that they learn from, and how they learn it.

use attentive::models::EmbeddedModel;
use clap::ValueEnum;
use fastrand::Rng;

use super::super::dates::Dates;
use super::super::grammar::Sentences;
use crate::training::Defaults;

/// In no model's vocabulary: 2 % of the texts have one, so that the unknown token is trained too.
const STRANGER: char = '\u{fffd}';

#[derive(Clone, Copy, ValueEnum)]
pub enum ModelName {
    /// Dates, by Vaswani's encoder–decoder Transformer
    DatesTransformer,
    /// Dates, by Bahdanau's recurrent model with its attention
    DatesGru,
    /// English sentences to French, by Bahdanau's model
    EnglishFrench,
    /// The same without attention: the decoder has of a sentence the encoder's last states alone
    EnglishFrenchWithoutAttention,
}

impl ModelName {
    pub fn model(self) -> EmbeddedModel {
        match self {
            Self::DatesTransformer => EmbeddedModel::DatesTransformer,
            Self::DatesGru => EmbeddedModel::DatesGru,
            Self::EnglishFrench => EmbeddedModel::EnglishFrench,
            Self::EnglishFrenchWithoutAttention => EmbeddedModel::EnglishFrenchWithoutAttention,
        }
    }

    pub fn defaults(self) -> Defaults {
        let (length, batch_size, learning_rate) = match self {
            Self::DatesTransformer => (6000, 96, 2e-3),
            Self::DatesGru => (2500, 96, 3e-3),
            // Both alike, so that the attention is all that differs.
            Self::EnglishFrench | Self::EnglishFrenchWithoutAttention => (1200, 64, 3e-3),
        };
        Defaults { length, batch_size, learning_rate }
    }

    /// Whether the right answers are told by the length of the source: a date has always about the same.
    pub fn has_lengths(self) -> bool {
        matches!(self, Self::EnglishFrench | Self::EnglishFrenchWithoutAttention)
    }

    /// Pairs that are drawn from a seed, without end; none of them is held out.
    pub fn pairs(self, seed: u64, held_out: &[(String, String)]) -> Pairs {
        match self {
            Self::DatesTransformer | Self::DatesGru => {
                Pairs::Dates(Box::new(Dates::training(seed, held_out)))
            }
            Self::EnglishFrench | Self::EnglishFrenchWithoutAttention => {
                Pairs::Sentences(Sentences::training(seed))
            }
        }
    }
}

/// Texts and their answers.
pub enum Pairs {
    Dates(Box<Dates>),
    Sentences(Sentences),
}

impl Iterator for Pairs {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Dates(dates) => dates.next(),
            Self::Sentences(sentences) => sentences.next(),
        }
    }
}

impl Pairs {
    /// Puts into the text, somewhere, what no vocabulary has: a character between characters, or a word between words.
    pub fn add_stranger(&self, text: &mut String, random: &mut Rng) {
        match self {
            Self::Dates(_) => {
                let places: Vec<usize> =
                    text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
                text.insert(places[random.usize(..places.len())], STRANGER);
            }
            Self::Sentences(_) => {
                let mut words: Vec<&str> = text.split(' ').collect();
                let mut stranger = [0; 4];
                words.insert(random.usize(..=words.len()), STRANGER.encode_utf8(&mut stranger));
                *text = words.join(" ");
            }
        }
    }
}
