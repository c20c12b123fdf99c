//! What commands that train have in common: runs of steps, told of, saved, and gone on with.

mod curve;
mod log;
mod run;

use attentive::Device;
use attentive::layers::Parameter;
use attentive::train::{AdamW, Schedule, Trainer};

pub use run::{Run, RunArguments};

/// What gradients are scaled down to.
pub const LARGEST_NORM: f32 = 1.0;

/// The trainer of a model that begins from nothing: Adam with the betas of Vaswani et al. 2017, without decay; the learning rate rises
/// for `warmup` steps, a tenth of all at most.
pub fn from_nothing(
    device: &Device,
    parameters: Vec<Parameter>,
    learning_rate: f32,
    warmup: u64,
    steps: u64,
) -> attentive::Result<Trainer> {
    let algorithm = AdamW { learning_rate, betas: [0.9, 0.98], weight_decay: 0.0, ..AdamW::default() };
    Trainer::new(device, algorithm, parameters)?
        .schedule(Schedule::Linear { warmup: warmup.min(steps / 10), steps })?
        .clip(LARGEST_NORM)
}
