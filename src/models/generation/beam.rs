//! Beam search over one text (as transformers' `generate` has it since version 4.50).
//!
//! Each step extends K running hypotheses by every token and takes the best 2K candidates. Those among the best K that
//! end with a stop token are finished, scored Σ log p / lengthᵅ, and the best K finished ones are kept; the best K
//! candidates that do not end run on. At the limit every candidate ends.

use super::{EarlyStopping, Hypothesis, Running, Step};
use crate::models::softmax::log_softmax;

/// The score of a hypothesis that is none yet: below any other, but a number.
const NOT_YET: f64 = -1e9;

pub(super) struct BeamSearch {
    beams: usize,
    length_penalty: f64,
    early_stopping: EarlyStopping,
    running: Vec<Running>,
    /// Best first.
    finished: Vec<Hypothesis>,
    /// Whether a running hypothesis may still become one of the finished.
    open: bool,
    at_limit: bool,
}

/// A running hypothesis, extended by a token.
struct Candidate {
    score: f64,
    log_probability: f64,
    parent: usize,
    token: u32,
}

impl BeamSearch {
    pub fn new(beams: usize, length_penalty: f64, early_stopping: EarlyStopping) -> Self {
        // All are the same at first, so only one counts.
        let running = (0..beams)
            .map(|beam| Running { sum: if beam == 0 { 0.0 } else { NOT_YET }, ..Running::default() });
        Self {
            beams,
            length_penalty,
            early_stopping,
            running: running.collect(),
            finished: Vec::new(),
            open: true,
            at_limit: false,
        }
    }

    pub fn is_done(&self) -> bool {
        !self.open || self.at_limit || (self.early_stopping == EarlyStopping::Yes && self.is_full())
    }

    fn is_full(&self) -> bool {
        self.finished.len() == self.beams
    }

    pub fn advance(&mut self, step: &Step<'_>) -> Vec<(u32, usize)> {
        let padding = step.options.rules.padding;
        if self.is_done() {
            // The rest of the batch goes on.
            return (0..self.beams).map(|beam| (padding, beam)).collect();
        }
        let candidates = self.candidates(step);
        let stop = &step.options.rules.stop;
        let ends = |candidate: &Candidate| step.is_last() || stop.contains(&candidate.token);
        let extended = |running: &[Running], candidate: &Candidate| {
            let attention = step.attention.get(candidate.parent);
            running[candidate.parent].extended(candidate.token, candidate.log_probability, attention)
        };
        for candidate in candidates.iter().take(self.beams).filter(|candidate| ends(candidate)) {
            let score = candidate.score / (step.length as f64).powf(self.length_penalty);
            if score >= NOT_YET {
                let stopped = stop.contains(&candidate.token);
                self.finished.push(extended(&self.running, candidate).finished(score, stopped));
            }
        }
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(self.beams);
        self.at_limit = step.is_last();
        let mut next: Vec<&Candidate> = candidates.iter().filter(|candidate| !ends(candidate)).collect();
        next.truncate(self.beams);
        let chosen: Vec<(u32, usize)> =
            next.iter().map(|candidate| (candidate.token, candidate.parent)).collect();
        let running: Vec<Running> = next.iter().map(|candidate| extended(&self.running, candidate)).collect();
        if running.len() < self.beams {
            // The limit, or a vocabulary of which too little is allowed to go on.
            self.at_limit = true;
            return (0..self.beams).map(|beam| (padding, beam)).collect();
        }
        self.running = running;
        let longest = match self.early_stopping {
            EarlyStopping::Never if self.length_penalty > 0.0 => step.options.max_tokens,
            _ => step.length,
        };
        let best = self.running[0].sum / (longest as f64).powf(self.length_penalty);
        let worst = self.finished.last().filter(|_| self.is_full());
        self.open &= worst.is_none_or(|worst| best > worst.score);
        chosen
    }

    /// The best extensions, best first: enough that as many as there are beams run on whichever of them end.
    fn candidates(&self, step: &Step<'_>) -> Vec<Candidate> {
        let rules = &step.options.rules;
        let count = self.beams * (1 + rules.stop.len()).max(2);
        let mut candidates = Vec::new();
        for (parent, running) in self.running.iter().enumerate() {
            let mut scores = log_softmax(step.row(parent));
            rules.apply(&mut scores, step.start, &running.ids, step.is_last());
            if rules.renormalize {
                let log_sum = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
                // Of nothing there is nothing to share out.
                if log_sum.is_finite() {
                    scores.iter_mut().for_each(|score| *score -= log_sum);
                }
            }
            let of_row = scores.into_iter().enumerate().map(|(token, log_probability)| Candidate {
                score: running.sum + log_probability,
                log_probability,
                parent,
                token: token as u32,
            });
            candidates.extend(best(of_row.collect(), count));
        }
        best(candidates, count)
    }

    pub fn finish(self, n_best: usize) -> Vec<Hypothesis> {
        let Self { mut finished, running, length_penalty, .. } = self;
        // Only where too little was allowed: what runs is better than nothing.
        for running in running.into_iter().take(n_best.saturating_sub(finished.len())) {
            let score = running.sum / (running.ids.len().max(1) as f64).powf(length_penalty);
            finished.push(running.finished(score, false));
        }
        finished.truncate(n_best);
        finished
    }
}

/// The best of them, best first; equals in the order of rows and tokens.
fn best(mut candidates: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    let order = |a: &Candidate, b: &Candidate| {
        b.score.total_cmp(&a.score).then(a.parent.cmp(&b.parent)).then(a.token.cmp(&b.token))
    };
    if candidates.len() > count {
        candidates.select_nth_unstable_by(count, order);
        candidates.truncate(count);
    }
    candidates.sort_by(order);
    candidates
}
