//! Token sequences of different lengths, side by side.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::ops::CrossEntropy;

/// Sequences that are padded to the longest.
pub(super) struct PaddedIds {
    /// `[sequences, longest]`.
    pub(super) ids: Vec<u32>,
    /// Tokens of each.
    pub(super) lengths: Vec<u32>,
    pub(super) longest: usize,
}

impl PaddedIds {
    /// [`Error::Argument`] by `op` for a sequence, called `what`, of more tokens than `most`.
    pub(super) fn new(
        op: &'static str,
        what: &str,
        texts: &[&[u32]],
        padding: u32,
        most: usize,
    ) -> Result<Self> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        if longest > most {
            let (expected, found) = (format!("at most {most} tokens"), format!("{longest} tokens"));
            return Err(Error::argument(op, what, expected, found));
        }
        let filled = |text: &&[u32]| {
            let padding = std::iter::repeat_n(padding, longest - text.len());
            text.iter().copied().chain(padding).collect::<Vec<u32>>()
        };
        let lengths = texts.iter().map(|text| text.len() as u32).collect();
        Ok(Self { ids: texts.iter().flat_map(filled).collect(), lengths, longest })
    }

    /// As [`PaddedIds::new`], and [`Error::Argument`] for no sequences, and for one without tokens.
    pub(super) fn not_empty(
        op: &'static str,
        what: &str,
        texts: &[&[u32]],
        padding: u32,
        most: usize,
    ) -> Result<Self> {
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            let found = if texts.is_empty() { "no texts" } else { "none" };
            return Err(Error::argument(op, what, "at least 1 token", found));
        }
        Self::new(op, what, texts, padding, most)
    }

    /// The lengths, where there is padding at all; without it there is nothing to mask.
    pub(super) fn masked(&self) -> Option<&[u32]> {
        padded(&self.lengths)
    }
}

/// The lengths, where they differ.
pub(super) fn padded(lengths: &[u32]) -> Option<&[u32]> {
    let longest = lengths.iter().max();
    lengths.iter().any(|length| Some(length) < longest).then_some(lengths)
}

/// [`Error::Argument`] by `op` for other numbers of sources and targets.
pub(super) fn expect_as_many(op: &'static str, sources: &[&[u32]], targets: &[&[u32]]) -> Result<()> {
    if sources.len() == targets.len() {
        return Ok(());
    }
    let expected = format!("as many as the {} sources", sources.len());
    Err(Error::argument(op, "targets", expected, targets.len().to_string()))
}

/// [`Error::Argument`] by `op` for a part that is not within a batch of so many examples, or that has none of those that there are.
pub(super) fn expect_part(op: &'static str, part: &Range<usize>, examples: usize) -> Result<()> {
    if part.start <= part.end && part.end <= examples && (!part.is_empty() || examples == 0) {
        return Ok(());
    }
    let expected = format!("some examples within 0..{examples}, those of the batch");
    Err(Error::argument(op, "the part", expected, format!("{part:?}")))
}

/// The tokens of a batch's targets that count, which the loss of each part of it is divided by.
pub(super) fn counted(targets: &[&[u32]]) -> f32 {
    let counts = targets.iter().copied().flatten().filter(|&&token| token != CrossEntropy::IGNORED).count();
    // Where none counts the loss is 0, whatever it is divided by.
    counts.max(1) as f32
}

/// Targets as a decoder learns them: it reads each behind the start token and without its last token, and writes what comes next.
pub(super) struct Shifted {
    inputs: Vec<Vec<u32>>,
    /// `[targets, longest]`: the token after each that is read; what is padded counts for nothing.
    pub(super) labels: Vec<u32>,
}

impl Shifted {
    pub(super) fn new(targets: &[&[u32]], start: u32) -> Self {
        let longest = targets.iter().map(|target| target.len()).max().unwrap_or(0);
        let input = |target: &&[u32]| {
            let before = &target[..target.len().saturating_sub(1)];
            std::iter::once(start).chain(before.iter().copied()).collect()
        };
        let labels = |target: &&[u32]| {
            let padding = std::iter::repeat_n(CrossEntropy::IGNORED, longest - target.len());
            target.iter().copied().chain(padding).collect::<Vec<u32>>()
        };
        Self {
            inputs: targets.iter().map(input).collect(),
            labels: targets.iter().flat_map(labels).collect(),
        }
    }

    /// The labels of one step after the other, `[longest, targets]`.
    pub(super) fn labels_by_step(&self) -> Vec<u32> {
        let targets = self.inputs.len();
        let longest = self.labels.len().checked_div(targets).unwrap_or(0);
        let label = |row: usize| self.labels[row % targets * longest + row / targets];
        (0..self.labels.len()).map(label).collect()
    }

    pub(super) fn inputs(&self) -> Vec<&[u32]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }
}
