//! Rows that go on by themselves: the likeliest token, or one that is drawn.

use super::{Hypothesis, Running, Step, Strategy};
use crate::models::softmax::log_softmax;

pub(super) struct Rows {
    rows: Vec<Row>,
}

struct Row {
    running: Running,
    draws: fastrand::Rng,
    stopped: bool,
    at_limit: bool,
}

impl Rows {
    /// That many rows; `seed` and the number of the text where they are drawn.
    pub fn new(rows: usize, seed: Option<(u64, usize)>) -> Self {
        let draws = |row: usize| {
            let (seed, text) = seed.unwrap_or_default();
            // Neighbouring seeds, texts and rows shall have nothing in common.
            let mut mixed = fastrand::Rng::with_seed(seed);
            let [of_text, of_row] = [mixed.u64(..), mixed.u64(..)];
            let seed = of_text.wrapping_mul(text as u64 * 2 + 1) ^ of_row.wrapping_mul(row as u64 * 2 + 1);
            fastrand::Rng::with_seed(seed)
        };
        let row =
            |row| Row { running: Running::default(), draws: draws(row), stopped: false, at_limit: false };
        Self { rows: (0..rows).map(row).collect() }
    }

    pub fn is_done(&self) -> bool {
        self.rows.iter().all(|row| row.stopped || row.at_limit)
    }

    pub fn advance(&mut self, step: &Step<'_>) -> Vec<(u32, usize)> {
        let rules = &step.options.rules;
        let each = self.rows.iter_mut().enumerate().map(|(index, row)| {
            if row.stopped || row.at_limit {
                return (rules.padding, index);
            }
            let log_probabilities = log_softmax(step.row(index));
            let mut logits = step.row(index).to_vec();
            rules.apply(&mut logits, step.start, &row.running.ids, step.is_last());
            let token = match step.options.strategy {
                Strategy::Sample { temperature, top_k, top_p, .. } => {
                    draw(&logits, temperature, top_k, f64::from(top_p), row.draws.f64())
                }
                _ => likeliest(&logits),
            };
            let log_probability = log_probabilities[token];
            let token = token as u32;
            row.running = row.running.extended(token, log_probability, step.attention.get(index));
            row.stopped = rules.stop.contains(&token);
            row.at_limit = step.is_last();
            (token, index)
        });
        each.collect()
    }

    pub fn finish(self) -> Vec<Hypothesis> {
        let finished = self.rows.into_iter().map(|row| {
            let score = row.running.sum;
            row.running.finished(score, row.stopped)
        });
        finished.collect()
    }
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best
}

/// The token at which the running sum of probabilities, the likeliest first, passes `at` (0 to 1).
fn draw(logits: &[f32], temperature: f32, top_k: usize, top_p: f64, at: f64) -> usize {
    let scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    let mut order: Vec<usize> = (0..scaled.len()).collect();
    order.sort_by(|&a, &b| scaled[b].total_cmp(&scaled[a]).then(a.cmp(&b)));
    if top_k > 0 {
        order.truncate(top_k);
    }
    let kept: Vec<f32> = order.iter().map(|&token| scaled[token]).collect();
    let probabilities: Vec<f64> = log_softmax(&kept).into_iter().map(f64::exp).collect();
    // The fewest of the likeliest that have top_p together.
    let mut sum = 0.0;
    let nucleus = probabilities.iter().take_while(|&&p| {
        let before = sum;
        sum += p;
        before < top_p
    });
    let nucleus = nucleus.count().max(1);
    let total: f64 = probabilities[..nucleus].iter().sum();
    let mut left = at * total;
    for (place, p) in probabilities[..nucleus].iter().enumerate() {
        if left < *p {
            return order[place];
        }
        left -= p;
    }
    // Rounding: the last that is possible at all.
    let last = probabilities[..nucleus].iter().rposition(|&p| p > 0.0).unwrap_or(0);
    order[last]
}
