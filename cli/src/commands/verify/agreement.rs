//! The model's part of `verify`: the same sentences on the device and on the CPU, dispatch by dispatch and end to end.

use std::path::Path;

use attentive::recording::Step;
use attentive::{Device, Embedder, EmbedderOptions, Error};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::output::{Align, GREEN, RED, Table, count, painted, thousands};

/// Short, with padding beside longer ones; empty; other scripts; what looks like special tokens.
const SENTENCES: [&str; 8] = [
    "A man is eating food.",
    "",
    "Rain.",
    "Transformers attend to every token of a sentence at once, so the order of the words must be told to them by \
     positions; recurrent networks read one word after the other instead.",
    "一个男人正在吃东西。",
    "🙂 a 🐈‍⬛ on the mat 😀",
    "Zürich, naïve café: 42 % of 1,000",
    "[CLS] this [SEP] looks like special tokens [MASK]",
];

/// PreparedRecording until it is longer than any model takes: a full sequence, in a batch of its own.
const LONG: &str =
    "The quick brown fox jumps over the lazy dog, while the cat watches from the warm windowsill. ";

/// How far one kernel may part from its twin on the same inputs, in parts of the output's largest magnitude (of 1, if
/// that is less). Two f32 sums of K products in different orders differ by about √K·2⁻²⁴ of their terms' size: 4e-6 for
/// K = 4096, the longest sum of BERT-large; a device's exp adds a few units in the last place. Measured on lavapipe and
/// llvmpipe (MiniLM): at most 8e-7 for products, 1.7e-6 for the softmax. Defects are larger by orders of magnitude.
const OWN_BOUND: f64 = 2e-5;
/// How far a normalized embedding may part from the CPU's in one component: what is promised against PyTorch, too.
const EMBEDDING_BOUND: f64 = 2e-5;

/// A model's outcome on one device.
pub struct ModelReport {
    texts: usize,
    tokens: usize,
    /// Absent on the CPU device, which runs the twins themselves.
    steps: Option<Vec<Step>>,
    /// How many of the steps are of the first batch, that of [`SENTENCES`]; the others are of the long text.
    first_batch: usize,
    difference: f64,
    bound: f64,
}

pub fn verify(
    device: &Device,
    folder: &Path,
    gradients: bool,
    bar: &ProgressBar,
) -> Result<ModelReport, Error> {
    let long = LONG.repeat(64);
    let options = EmbedderOptions::default();
    bar.set_message("loading the model");
    let embedder = Embedder::from_dir_with(device, folder, &options)?;
    let (mut steps, mut first_batch) = (None, 0);
    if !device.is_cpu() {
        bar.set_message("model, kernel by kernel");
        let mut traced = match gradients {
            true => pollster::block_on(embedder.trace_gradients(&SENTENCES))?,
            false => pollster::block_on(embedder.trace(&SENTENCES))?,
        };
        first_batch = traced.len();
        traced.extend(pollster::block_on(embedder.trace(&[&long]))?);
        steps = Some(traced);
    }
    bar.set_message("model, on the device");
    let (ours, tokens) = embed(&embedder, &long)?;
    bar.set_message("model, on the CPU");
    let (theirs, _) = embed(&Embedder::from_dir_with(&Device::cpu(), folder, &options)?, &long)?;
    // A NaN on one side alone must not pass.
    let part = |(a, b): (&f32, &f32)| match (a.is_finite(), b.is_finite()) {
        (true, true) => f64::from((a - b).abs()),
        _ if a.to_bits() == b.to_bits() => 0.0,
        _ => f64::INFINITY,
    };
    let difference = ours.iter().zip(&theirs).map(part).fold(0.0, f64::max);
    let largest = theirs.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max);
    let bound = EMBEDDING_BOUND * if embedder.normalizes() { 1.0 } else { largest.max(1.0) };
    Ok(ModelReport { texts: SENTENCES.len() + 1, tokens, steps, first_batch, difference, bound })
}

/// All embeddings, one after the other, and the number of tokens.
fn embed(embedder: &Embedder, long: &str) -> Result<(Vec<f32>, usize), Error> {
    // The long text apart, or the others would be padded to its length.
    let (short, long) = (embedder.encode(&SENTENCES).run()?, embedder.encode(&[long]).run()?);
    let tokens = short.statistics.tokens + long.statistics.tokens;
    Ok(([short.values(), long.values()].concat(), tokens))
}

fn own_bound(step: &Step) -> f64 {
    OWN_BOUND * step.magnitude.max(1.0)
}

fn agrees(step: &Step) -> bool {
    step.finite_alike && step.own_difference <= own_bound(step)
}

impl ModelReport {
    fn first_parting(&self) -> Option<&Step> {
        self.steps.as_ref()?.iter().find(|step| !agrees(step))
    }

    /// Which texts the step at that place computed.
    fn batch(&self, place: usize) -> &'static str {
        if place < self.first_batch { "the batch of short texts" } else { "the long text" }
    }

    /// The batches in which some step parts.
    fn parting_batches(&self) -> String {
        let steps = self.steps.iter().flatten().enumerate();
        let mut batches: Vec<&str> =
            steps.filter(|(_, step)| !agrees(step)).map(|(place, _)| self.batch(place)).collect();
        batches.dedup();
        batches.join(" and in ")
    }

    pub fn passed(&self) -> bool {
        self.first_parting().is_none() && self.difference <= self.bound
    }

    /// The steps by scope and kernel, over all batches: the worst of each by what it may be.
    fn rows(&self) -> Vec<&Step> {
        let mut rows: Vec<&Step> = Vec::new();
        let badness = |step: &Step| match step.finite_alike {
            true => step.own_difference / own_bound(step),
            false => f64::INFINITY,
        };
        for step in self.steps.iter().flatten() {
            let same = |row: &&mut &Step| (&row.scope, row.kernel) == (&step.scope, step.kernel);
            match rows.iter_mut().find(same) {
                Some(row) if badness(row) < badness(step) => *row = step,
                Some(_) => {}
                None => rows.push(step),
            }
        }
        rows
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.steps.is_some() {
            let mut table = Table::new(&[
                ("where", Align::Left),
                ("kernel", Align::Left),
                ("own difference", Align::Right),
                ("allowed", Align::Right),
                ("gathered", Align::Right),
                ("largest value", Align::Right),
                ("", Align::Left),
            ]);
            for step in self.rows() {
                let verdict = match step {
                    step if agrees(step) => String::new(),
                    step if step.finite_alike => painted(RED, "parts"),
                    _ => painted(RED, "NaN or infinity on one side"),
                };
                let numbers = [step.own_difference, own_bound(step), step.gathered_difference]
                    .map(|value| format!("{value:.1e}"));
                let cells = [step.scope.clone(), step.kernel.to_owned()].into_iter().chain(numbers);
                table.row(cells.chain([format!("{:.3}", step.magnitude), verdict]));
            }
            text += &table.to_string();
        } else {
            text += "The CPU device runs the twins themselves: there is nothing to hold them against.\n";
        }
        if let Some(step) = self.first_parting() {
            let batches = self.parting_batches();
            text += &format!(
                "{} {} at {}, in {batches}: on the device's own inputs it differs from its twin by {:.1e} ({:.1e} allowed){}\n    {}\n",
                painted(RED, "The first kernel that parts is"),
                step.kernel,
                step.scope,
                step.own_difference,
                own_bound(step),
                if step.finite_alike { "" } else { ", and one side has a NaN or an infinity" },
                step.variant,
            );
        }
        let sizes = format!("{} of {} tokens", count(self.texts, "text"), thousands(self.tokens as u64));
        let verdict = match (self.passed(), self.difference <= self.bound) {
            (true, _) => painted(GREEN, "agrees"),
            (false, true) => painted(RED, "agrees in the end only"),
            (false, false) => painted(RED, "disagrees"),
        };
        text + &format!(
            "{verdict}: embeddings of {sizes} differ from the CPU's by at most {:.1e} ({:.1e} allowed)\n",
            self.difference, self.bound
        )
    }

    pub fn json(&self) -> Value {
        let finite = |value: f64| value.is_finite().then_some(value);
        let step = |(place, step): (usize, &Step)| {
            json!({
                "batch": self.batch(place),
                "scope": step.scope,
                "kernel": step.kernel,
                "variant": step.variant,
                "own_difference": finite(step.own_difference),
                "allowed": own_bound(step),
                "gathered_difference": finite(step.gathered_difference),
                "magnitude": finite(step.magnitude),
                "finite_alike": step.finite_alike,
                "agrees": agrees(step),
            })
        };
        json!({
            "passed": self.passed(),
            "texts": self.texts,
            "tokens": self.tokens,
            "largest_difference": finite(self.difference),
            "allowed": self.bound,
            "first_parting": self.steps.iter().flatten().enumerate().find(|(_, step)| !agrees(step)).map(step),
            "steps": self.steps.as_ref().map(|steps| steps.iter().enumerate().map(step).collect::<Vec<_>>()),
        })
    }
}
