//! Low-rank adaptation, where it is asked for.

use std::path::Path;

use attentive::Device;
use attentive::layers::Parameter;
use attentive::train::{Algorithm, Lora, LoraOptions, Trainer};
use clap::Args;

/// The adapter's folder, in that of the model: beside the model itself transformers would take it for the whole.
const FOLDER: &str = "adapter";

#[derive(Args)]
pub struct LoraArguments {
    /// Train low-rank products in place of the model's weights, of that rank (LoRA, Hu et al. 2022): those of the queries and values, and the
    /// whole of a classifier. What is written is the merged model, and in its folder `adapter`, as PEFT has it, what was trained
    #[arg(long, env = "ATTENTIVE_LORA", hide_env_values = true, value_name = "RANK")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    lora: Option<u32>,

    /// The products count A / RANK times [default: the rank]
    #[arg(long, env = "ATTENTIVE_LORA_ALPHA", hide_env_values = true, value_name = "A", requires = "lora")]
    lora_alpha: Option<f32>,
}

impl LoraArguments {
    /// What a model is adapted by, of which `of_rank` gives the options of a rank.
    pub fn options(&self, of_rank: impl FnOnce(usize) -> LoraOptions, seed: u64) -> Option<LoraOptions> {
        let mut options = of_rank(self.lora? as usize);
        options.alpha = self.lora_alpha.unwrap_or(options.alpha);
        options.seed = seed;
        Some(options)
    }
}

/// What a run cannot go on with if it is another.
pub fn settings(options: Option<&LoraOptions>) -> [(&'static str, String); 2] {
    let number = |value: fn(&LoraOptions) -> String| options.map_or("none".to_owned(), value);
    [
        ("rank of low-rank products", number(|options| options.rank.to_string())),
        ("alpha of low-rank products", number(|options| options.alpha.to_string())),
    ]
}

/// A trainer of parameters, or of what they are adapted by.
pub(super) fn trainer(
    device: &Device,
    algorithm: impl Into<Algorithm>,
    parameters: Vec<Parameter>,
    options: Option<&LoraOptions>,
) -> attentive::Result<Trainer> {
    match options {
        Some(options) => Trainer::with_lora(device, algorithm, Lora::new(device, parameters, options)?),
        None => Trainer::new(device, algorithm, parameters),
    }
}

/// Writes what was adapted into the model's folder, if something was.
pub fn save(trainer: &Trainer, output: &Path, base_model: &str, task: &str) -> attentive::Result<()> {
    match trainer.lora() {
        Some(lora) => lora.save_adapter(output.join(FOLDER), base_model, task),
        None => Ok(()),
    }
}
