//! Scores and weights to be looked at.

use super::OP;
use super::chained::Part;
use super::checked::Checked;
use crate::error::{Error, Result};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// A stage of the scores, as ONNX's `qk_matmul_output_mode` numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// 0: scale · q·kᵀ, of masked keys too.
    Scores,
    /// 1: after the softcap.
    Softcapped,
    /// 2: with mask, ALiBi and biases by distance added, −∞ for keys that take no part.
    Biased,
    /// 3: the softmax of that.
    #[default]
    Weights,
}

/// Which scores an attention shall give beside its output: a stage of them, for some heads and queries, all by default.
/// They take B · heads · queries · Lk · 4 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capture<'a> {
    stage: Stage,
    heads: Option<&'a [usize]>,
    queries: Option<(usize, usize)>,
}

impl<'a> Capture<'a> {
    /// That stage of all heads and queries.
    pub fn new(stage: Stage) -> Self {
        Self { stage, ..Self::default() }
    }

    /// Of these heads alone, in that order.
    #[must_use]
    pub fn heads(mut self, heads: &'a [usize]) -> Self {
        self.heads = Some(heads);
        self
    }

    /// Of these queries alone.
    #[must_use]
    pub fn queries(mut self, queries: std::ops::Range<usize>) -> Self {
        self.queries = Some((queries.start, queries.end));
        self
    }
}

impl Checked {
    /// Records what is captured, `[B, heads, queries, Lk]`.
    pub(super) fn capture(&self, recording: &mut Recording, capture: &Capture<'_>) -> Result<Value> {
        let [batch, all_heads, all_queries, keys] = self.dims;
        let chosen = capture.heads.unwrap_or_default();
        if let Some(found) = chosen.iter().find(|&&head| head >= all_heads) {
            let expected = format!("below the {all_heads} there are");
            return Err(Error::argument(OP, "a captured head", expected, found.to_string()));
        }
        let (first, end) = capture.queries.unwrap_or((0, all_queries));
        if first > end || end > all_queries {
            let expected = format!("within 0..{all_queries}");
            return Err(Error::argument(OP, "the captured queries", expected, format!("{first}..{end}")));
        }
        let dims = [batch, capture.heads.map_or(all_heads, <[usize]>::len), end - first, keys];
        self.check_bytes(recording.device(), "captured scores", dims)?;
        let to = recording.temporary(dims, DType::F32)?;
        let stage = match capture.stage {
            Stage::Scores => 0,
            Stage::Softcapped => 1,
            Stage::Biased => 2,
            Stage::Weights => 3,
        };
        let head_size = (end - first) * keys;
        // Where no score is there may be any number of heads.
        let runs = match capture.heads {
            _ if dims.contains(&0) => Vec::new(),
            Some(heads) => runs(batch, all_heads, heads),
            None => vec![(0, (0, batch * all_heads))],
        };
        let k = self.as_f32(recording, &self.k)?;
        for (place, (head, count)) in runs {
            let part = Part { heads: (head, count), queries: (first, end - first) };
            self.record_stage(recording, &k, part, stage, (&to, place * head_size))?;
        }
        Ok(to)
    }
}

/// The captured heads of all batch items as runs of neighbours among all batch-heads: the place of the first among those
/// captured, and which they are.
fn runs(batch: usize, all_heads: usize, heads: &[usize]) -> Vec<(usize, (usize, usize))> {
    let mut runs: Vec<(usize, (usize, usize))> = Vec::new();
    let captured = (0..batch).flat_map(|item| heads.iter().map(move |head| item * all_heads + head));
    for (place, head) in captured.enumerate() {
        match runs.last_mut() {
            Some((_, (first, count))) if *first + *count == head => *count += 1,
            _ => runs.push((place, (head, 1))),
        }
    }
    runs
}
