//! What commands that train have in common: runs of steps, told of, saved, and gone on with.

mod curve;
mod flags;
mod log;
mod parts;
mod run;

use attentive::Device;
use attentive::layers::Parameter;
use attentive::train::{AdamW, Schedule, Trainer};

pub use flags::{Defaults, EpochArguments, Flags, Settings, StepArguments};
pub use run::{Run, RunArguments, Scoring};

/// What gradients are scaled down to.
const LARGEST_NORM: f32 = 1.0;

/// Of all steps of fine-tuning, the share over which the learning rate rises.
const WARMUP: f64 = 0.1;

/// The trainer of a model that begins from nothing: Adam with the betas of Vaswani et al. 2017, without decay; the learning rate rises
/// for `warmup` steps, a tenth of all at most.
pub fn from_nothing(
    device: &Device,
    parameters: Vec<Parameter>,
    warmup: u64,
    settings: &Settings,
) -> attentive::Result<Trainer> {
    let &Settings { steps, learning_rate, .. } = settings;
    let algorithm = AdamW { learning_rate, betas: [0.9, 0.98], weight_decay: 0.0, ..AdamW::default() };
    Trainer::new(device, algorithm, parameters)?
        .schedule(Schedule::Linear { warmup: warmup.min(steps / 10), steps })?
        .clip(LARGEST_NORM)
}

/// The trainer of a model that is trained on.
pub fn fine_tuning(
    device: &Device,
    parameters: Vec<Parameter>,
    settings: &Settings,
) -> attentive::Result<Trainer> {
    let &Settings { steps, learning_rate, .. } = settings;
    let algorithm = AdamW { learning_rate, ..AdamW::default() };
    Trainer::new(device, algorithm, parameters)?
        .schedule(Schedule::Linear { warmup: (WARMUP * steps as f64) as u64, steps })?
        .clip(LARGEST_NORM)
}
