//! What commands that train have in common: runs of steps, told of, saved, and gone on with.

mod curve;
mod flags;
mod log;
mod lora;
mod parts;
mod run;

use attentive::Device;
use attentive::layers::Parameter;
use attentive::train::{AdamW, LoraOptions, Schedule, Trainer};

use crate::output::thousands;
pub use flags::{Defaults, EpochArguments, Flags, Settings, StepArguments};
pub use lora::{LoraArguments, save as save_adapter, settings as lora_settings};
pub use run::{Run, RunArguments, Scoring};

/// How much of a model a run trains, for the eye.
pub fn trained(run: &Run<'_>, parameters: &[Parameter]) -> String {
    let all: u64 = parameters.iter().map(|parameter| parameter.tensor.shape().elements()).sum();
    match run.parameters() {
        own if own == all => format!("{} parameters", thousands(all)),
        own => format!("{} trained parameters for a model of {}", thousands(own), thousands(all)),
    }
}

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

/// The trainer of a model that is trained on, whole or by low-rank products.
pub fn fine_tuning(
    device: &Device,
    parameters: Vec<Parameter>,
    lora: Option<&LoraOptions>,
    settings: &Settings,
) -> attentive::Result<Trainer> {
    let &Settings { steps, learning_rate, .. } = settings;
    let algorithm = AdamW { learning_rate, ..AdamW::default() };
    lora::trainer(device, algorithm, parameters, lora)?
        .schedule(Schedule::Linear { warmup: (WARMUP * steps as f64) as u64, steps })?
        .clip(LARGEST_NORM)
}
