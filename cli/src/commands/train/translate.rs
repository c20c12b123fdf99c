//! `attentive train translate`: the models of dates, from nothing.

use std::path::Path;

use attentive::models::{EmbeddedModel, TranslationProgress, Translator};
use attentive::train::{AdamW, Schedule, Trainer};
use attentive::weights::Seq2SeqTokenizer;
use attentive::{DType, Device};
use clap::{Args, ValueEnum};
use fastrand::Rng;

use super::dates::Dates;
use crate::arguments::{DeviceArgument, OpenArguments};
use crate::output::{Failure, Result, count, note, print, thousands};
use crate::training::{Run, RunArguments};

/// The learning rate's rise, of all steps at most a tenth.
const WARMUP: u64 = 400;
/// What gradients are scaled down to.
const LARGEST_NORM: f32 = 1.0;
/// Batches whose pairs are sorted by their lengths together, so that little of a batch is padding.
const WINDOW: usize = 64;
/// A character of no model's vocabulary: 2 % of the texts have one, so that the unknown token is trained too.
const STRANGER: char = '\u{fffd}';
/// Wrong answers that are shown.
const SHOWN: usize = 20;

/// Train one of the program's own translators from nothing
///
/// The data is made as it is asked for: written dates and numbers in English, French and Chinese, and what they are in figures
/// (models/README.md). What was trained is written to a folder that `attentive translate -m FOLDER` takes, and held against
/// 3,000 pairs that training never sees.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive train translate -o my-dates
  attentive train translate -o my-dates --resume
  attentive train translate -o my-dates --steps 500 --device cpu --log steps.csv --curve loss.svg
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

    /// Pairs of a step
    #[arg(
        long,
        env = "ATTENTIVE_BATCH_SIZE",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 96
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,

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

    /// Held-out pairs that the model is held against in the end [default: all 3,000]
    #[arg(long, env = "ATTENTIVE_EVALUATE", hide_env_values = true, value_name = "N")]
    evaluate: Option<usize>,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelName {
    /// Vaswani's encoder–decoder Transformer
    DatesTransformer,
    /// Bahdanau's recurrent model with its attention
    DatesGru,
}

impl ModelName {
    fn model(self) -> EmbeddedModel {
        match self {
            Self::DatesTransformer => EmbeddedModel::DatesTransformer,
            Self::DatesGru => EmbeddedModel::DatesGru,
        }
    }

    /// Steps and the largest learning rate.
    fn defaults(self) -> (u64, f32) {
        match self {
            Self::DatesTransformer => (6000, 2e-3),
            Self::DatesGru => (2500, 3e-3),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let embedded = arguments.model.model();
    let (steps, rate) = arguments.model.defaults();
    let steps = arguments.steps.unwrap_or(steps);
    let held_out: Vec<(String, String)> = pairs(embedded.held_out());
    let device = arguments.device.open(&arguments.open)?;
    let translator = Translator::untrained(&device, embedded.folder()?, arguments.seed)?;
    let algorithm = AdamW {
        learning_rate: arguments.learning_rate.unwrap_or(rate),
        betas: [0.9, 0.98],
        weight_decay: 0.0,
        ..AdamW::default()
    };
    let trainer = Trainer::new(&device, algorithm, translator.parameters())?
        .schedule(Schedule::Linear { warmup: WARMUP.min(steps / 10), steps })?
        .clip(LARGEST_NORM)?;
    let settings = [
        ("model", embedded.name().to_owned()),
        ("steps", steps.to_string()),
        ("batch size", arguments.batch_size.to_string()),
        ("learning rate", algorithm.learning_rate.to_string()),
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
        arguments.batch_size,
        device.name()
    ));
    let pairs = Dates::training(arguments.seed, &held_out);
    let mut batches = Batches::new(&translator, pairs, arguments);
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
    print(&report(output, &device, &held_out[..most])?)
}

fn pairs(lines: &str) -> Vec<(String, String)> {
    lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(text, answer)| (text.into(), answer.into()))
        .collect()
}

/// The sources and targets of a step.
struct Batch {
    sources: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
}

/// Batches of about the same source length each.
struct Batches<'a> {
    tokenizer: &'a Seq2SeqTokenizer,
    pairs: Dates,
    random: Rng,
    size: usize,
    max_tokens: usize,
    ready: Vec<Batch>,
}

impl<'a> Batches<'a> {
    fn new(translator: &'a Translator, pairs: Dates, arguments: &Arguments) -> Self {
        let (tokenizer, max_tokens) = (translator.tokenizer(), translator.max_source_tokens());
        let random = Rng::with_seed(arguments.seed ^ 0x0ba7_c4e5);
        Self { tokenizer, pairs, random, size: arguments.batch_size as usize, max_tokens, ready: Vec::new() }
    }

    fn next(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(batch);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let (mut texts, mut answers) = (Vec::new(), Vec::new());
        for (mut text, answer) in self.pairs.by_ref().take(self.size * WINDOW) {
            if self.random.f64() < 0.02 {
                let places: Vec<usize> =
                    text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
                text.insert(places[self.random.usize(..places.len())], STRANGER);
            }
            texts.push(text);
            answers.push(answer);
        }
        let ids = |texts: &[String]| -> Result<Vec<Vec<u32>>> {
            let encoded = self.tokenizer.encode_batch(texts, self.max_tokens)?;
            Ok(encoded.into_iter().map(|encoding| encoding.ids).collect())
        };
        let mut rows: Vec<_> = ids(&texts)?.into_iter().zip(ids(&answers)?).collect();
        rows.sort_by_key(|(source, _)| source.len());
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let (sources, targets) = rows.by_ref().take(self.size).unzip();
            self.ready.push(Batch { sources, targets });
        }
        self.random.shuffle(&mut self.ready);
        Ok(())
    }
}

/// Writes a folder that `attentive translate` reads, and transformers that of a Transformer.
fn save(folder: &Path, embedded: EmbeddedModel, translator: &Translator) -> Result<()> {
    for (name, contents) in embedded.texts() {
        let path = folder.join(name);
        std::fs::write(&path, contents).map_err(|error| Failure::file(&path, error))?;
    }
    Ok(translator.save_weights(folder.join("model.safetensors"), DType::F16)?)
}

/// How many of the held-out pairs the model in the folder answers exactly, and some that it does not.
fn report(folder: &Path, device: &Device, held_out: &[(String, String)]) -> Result<String> {
    let translator = Translator::from_dir(device, folder, DType::F32)?;
    let texts: Vec<&str> = held_out.iter().map(|(text, _)| text.as_str()).collect();
    let bar = crate::output::bar();
    let translations = translator
        .translate(&texts)
        .progress(|progress: TranslationProgress| {
            crate::output::advance(&bar, progress.texts, texts.len());
        })
        .run();
    bar.finish_and_clear();
    let translations = translations?.texts;
    let mut wrong = Vec::new();
    for ((text, answer), found) in held_out.iter().zip(&translations) {
        let found = found.first().map_or("", |found| &found.text);
        if found != answer {
            wrong.push(format!("  {text} → {answer}, answered {found}\n"));
        }
    }
    let exact = held_out.len() - wrong.len();
    let mut text = format!(
        "{} of {} held-out pairs exact ({:.2} %), by the weights in f16\n{}\n",
        thousands(exact as u64),
        thousands(held_out.len() as u64),
        100.0 * exact as f64 / held_out.len().max(1) as f64,
        folder.join("model.safetensors").display()
    );
    text.extend(wrong.iter().take(SHOWN).map(String::as_str));
    if wrong.len() > SHOWN {
        text += &format!("  and {} more\n", wrong.len() - SHOWN);
    }
    Ok(text)
}
