//! `attentive train translate`: the translators that are part of the program, from nothing.

mod batches;
mod models;
mod report;

use std::path::{Path, PathBuf};

use attentive::DType;
use attentive::models::{EmbeddedModel, Translator};
use clap::Args;

use crate::arguments::{DeviceArgument, OpenArguments};
use crate::output::{Answers, Failure, Result, count, note, thousands};
use crate::training::{Run, RunArguments, from_nothing};
use batches::{Batch, Batches};
use models::{Defaults, ModelName};
use report::report;

/// The learning rate's rise, of all steps at most a tenth.
const WARMUP: u64 = 400;

/// Train one of the program's own translators from nothing
///
/// The data is made as it is asked for: written dates and numbers in English, French and Chinese, and what they are in figures; or
/// English sentences and their French (models/README.md). What was trained is written to a folder that `attentive translate -m FOLDER`
/// takes, and held against pairs that training never sees.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive train translate -o my-dates
  attentive train translate -o my-dates --resume
  attentive train translate -o my-dates --steps 500 --device cpu --log steps.csv --curve loss.svg
  attentive train translate -m english-french -o my-french
  attentive train translate -m english-french-without-attention -o one-vector
  attentive translate -m my-dates \"le 3 mai 1979\"")]
pub struct Arguments {
    /// The model to train
    #[arg(short, long, env = "ATTENTIVE_TRAIN_MODEL", hide_env_values = true, value_enum)]
    #[arg(default_value = "dates-transformer")]
    model: ModelName,

    #[command(flatten)]
    run: RunArguments,

    /// Steps of the whole run [default: the model's own number]
    #[arg(long, env = "ATTENTIVE_STEPS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Pairs of a step [default: the model's own number]
    #[arg(long, env = "ATTENTIVE_BATCH_SIZE", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,

    /// The largest learning rate [default: the model's own]
    #[arg(long, env = "ATTENTIVE_LEARNING_RATE", hide_env_values = true, value_name = "η")]
    learning_rate: Option<f32>,

    /// Same seed, same data and same first weights
    #[arg(
        long,
        env = "ATTENTIVE_SEED",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 20_150_519
    )]
    seed: u64,

    /// Held-out pairs that the model is held against in the end [default: all]
    #[arg(long, env = "ATTENTIVE_EVALUATE", hide_env_values = true, value_name = "N")]
    evaluate: Option<usize>,

    /// Write what came out as JSON into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let embedded = arguments.model.model();
    let Defaults { steps, batch_size, learning_rate } = arguments.model.defaults();
    let steps = arguments.steps.unwrap_or(steps);
    let batch_size = arguments.batch_size.unwrap_or(batch_size);
    let answers = Answers::of(arguments.json.as_deref())?;
    let held_out: Vec<(String, String)> = pairs(embedded.held_out());
    let device = arguments.device.open(&arguments.open)?;
    let translator = Translator::untrained(&device, embedded.folder()?, arguments.seed)?;
    let learning_rate = arguments.learning_rate.unwrap_or(learning_rate);
    let trainer = from_nothing(&device, translator.parameters(), learning_rate, WARMUP, steps)?;
    let settings = [
        ("model", embedded.name().to_owned()),
        ("steps", steps.to_string()),
        ("batch size", batch_size.to_string()),
        ("learning rate", learning_rate.to_string()),
        ("seed", arguments.seed.to_string()),
    ];
    let mut run = Run::begin(&arguments.run, trainer, &settings)?;
    let parameters = run.trainer.parameters().iter();
    let elements: u64 = parameters.map(|parameter| parameter.tensor.shape().elements()).sum();
    note(format_args!(
        "{}: {} parameters, {} of {} pairs, on {}",
        embedded.name(),
        thousands(elements),
        count(steps as usize, "step"),
        batch_size,
        device.name()
    ));
    let pairs = arguments.model.pairs(arguments.seed, &held_out);
    let mut batches = Batches::new(&translator, pairs, batch_size as usize, arguments.seed);
    // A run that goes on has had these.
    for _ in 0..run.trainer.steps() {
        batches.next()?;
    }
    while run.trainer.steps() < steps {
        let Batch { sources, targets } = batches.next()?;
        let [sources, targets]: [Vec<&[u32]>; 2] =
            [sources.iter().map(Vec::as_slice).collect(), targets.iter().map(Vec::as_slice).collect()];
        let tokens = sources.iter().chain(&targets).map(|row| row.len()).sum();
        let step = run.trainer.step(|recording| translator.record_loss(recording, &sources, &targets))?;
        if run.took(&step, steps, tokens)?.is_break() {
            return Err(Failure::Said);
        }
    }
    let output = &arguments.run.output;
    save(output, embedded, &translator)?;
    run.end()?;
    let most = arguments.evaluate.unwrap_or(held_out.len()).min(held_out.len());
    let (text, mut found) = report(output, &device, &held_out[..most], arguments.model.has_lengths())?;
    found["model"] = embedded.name().into();
    found["parameters"] = elements.into();
    found["steps"] = steps.into();
    found["device"] = device.name().into();
    answers.write(&[found], &text)
}

fn pairs(lines: &str) -> Vec<(String, String)> {
    lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(text, answer)| (text.into(), answer.into()))
        .collect()
}

/// Writes a folder that `attentive translate` reads, and transformers that of a Transformer.
fn save(folder: &Path, embedded: EmbeddedModel, translator: &Translator) -> Result<()> {
    for (name, contents) in embedded.texts() {
        let path = folder.join(name);
        std::fs::write(&path, contents).map_err(|error| Failure::file(&path, error))?;
    }
    Ok(translator.save_weights(folder.join("model.safetensors"), DType::F16)?)
}
