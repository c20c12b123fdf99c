//! `attentive train translate`: the translators that are part of the program, from nothing.

mod batches;
mod models;
mod report;

use std::path::{Path, PathBuf};

use attentive::DType;
use attentive::models::{EmbeddedModel, Translator};
use attentive::train::Better;
use clap::Args;

use crate::arguments::{DeviceArgument, OpenArguments};
use crate::output::{Answers, Failure, Result, count, note, thousands};
use crate::training::{Flags, Run, RunArguments, Scoring, Settings, StepArguments, from_nothing};
use batches::{Batch, Batches};
use models::ModelName;
use report::{exact_share, report};

/// The learning rate's rise, of all steps at most a tenth.
const WARMUP: u64 = 400;

const FLAGS: Flags = Flags {
    examples: "pairs",
    seeded: "same data and same first weights",
    seed: 20_150_519,
    defaults: None,
    smallest_batch: 1,
    advice: "",
};

/// Train one of the program's own translators from nothing
///
/// The data is made as it is asked for: written dates and numbers in English, French and Chinese, and what they are in figures; or
/// English sentences and their French (models/README.md). What was trained is written to a folder that `attentive translate -m FOLDER`
/// takes, and held against pairs that training never sees.
#[derive(Args)]
#[command(mut_args(|argument| FLAGS.describe(argument)))]
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

    #[command(flatten)]
    training: StepArguments,

    /// Held-out pairs that the model is held against in the end, and where --evaluate-every asks for scores [default: all]
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
    let settings = arguments.training.settings(&FLAGS, arguments.model.defaults());
    let Settings { steps, batch_size, seed, .. } = settings;
    let answers = Answers::of(arguments.json.as_deref())?;
    let held_out: Vec<(String, String)> = pairs(embedded.held_out());
    let device = arguments.device.open(&arguments.open)?;
    let translator = Translator::untrained(&device, embedded.folder()?, seed)?;
    let trainer = from_nothing(&device, translator.parameters(), WARMUP, &settings)?;
    let own = [("model", embedded.name().to_owned())];
    let most = arguments.evaluate.unwrap_or(held_out.len()).min(held_out.len());
    let scoring = Scoring {
        name: "share of exact answers",
        better: Better::Higher,
        score: Box::new(|| exact_share(&translator, &held_out[..most])),
    };
    let mut run = Run::begin(&arguments.run, trainer, &settings, &own, scoring)?;
    let elements = run.parameters();
    note(format_args!(
        "{}: {} parameters, {} of {} pairs, on {}",
        embedded.name(),
        thousands(elements),
        count(steps as usize, "step"),
        batch_size,
        device.name()
    ));
    let pairs = arguments.model.pairs(seed, &held_out);
    let mut batches = Batches::new(&translator, pairs, batch_size, seed);
    // A run that goes on has had these.
    for _ in 0..run.taken() {
        batches.next()?;
    }
    while run.goes_on() {
        let Batch { sources, targets } = batches.next()?;
        let [sources, targets]: [Vec<&[u32]>; 2] =
            [sources.iter().map(Vec::as_slice).collect(), targets.iter().map(Vec::as_slice).collect()];
        let tokens = sources.iter().chain(&targets).map(|row| row.len()).sum();
        run.step([sources.len(), tokens], |recording, part| {
            translator.record_loss_part(recording, &sources, &targets, part)
        })?;
    }
    let output = &arguments.run.output;
    let taken = run.taken();
    run.end(|_| save(output, embedded, &translator))?;
    let (text, mut found) = report(output, &device, &held_out[..most], arguments.model.has_lengths())?;
    found["model"] = embedded.name().into();
    found["parameters"] = elements.into();
    found["steps"] = taken.into();
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
