//! `attentive finetune embed`: an embedder, by pairs of texts that belong together.

use std::path::PathBuf;

use attentive::train::{AdamW, Schedule, Trainer, save_folder};
use attentive::{DType, Embedder};
use clap::Args;
use fastrand::Rng;

use crate::arguments::{DeviceArgument, ModelArguments, OpenArguments, SENTENCE_TRANSFORMERS};
use crate::input::{self, Format, expect_pairs, parted};
use crate::output::{BadRows, Failure, Result, count, note, print};
use crate::training::{LARGEST_NORM, Run, RunArguments};

/// Of all steps, the share over which the learning rate rises.
const WARMUP: f64 = 0.1;

/// Train an embedder on with pairs of texts that belong together: a question and its answer, a query and what was bought
///
/// The loss is multiple negatives ranking, as in sentence-transformers: each first text is to be nearer to its own second text
/// than to those of the other pairs in its batch, so larger batches teach more. Some pairs are held back, and the share of them
/// that finds its own partner among theirs is told before and after. What is written is a folder that `attentive embed -m` and
/// sentence-transformers read. A line that is no pair is named and left out, and the exit status is 1.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive finetune embed -m all-MiniLM-L6-v2 pairs.tsv -o my-embedder
  attentive finetune embed -m ./my-model pairs.tsv -o tuned --epochs 3 --batch-size 64 --device cpu
  attentive embed -m my-embedder \"a question\" \"its answer\"")]
pub struct Arguments {
    /// A file with a pair on each line, its texts parted by a tab; - is standard input
    #[arg(value_name = "FILE")]
    data: PathBuf,

    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is sentence-transformers/NAME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    run: RunArguments,

    /// How often each pair is seen
    #[arg(long, env = "ATTENTIVE_EPOCHS", hide_env_values = true, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    epochs: u64,

    /// Pairs of a step
    #[arg(
        long,
        env = "ATTENTIVE_BATCH_SIZE",
        hide_env_values = true,
        value_name = "N",
        default_value_t = 32
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=65_536))]
    batch_size: u32,

    /// The largest learning rate
    #[arg(
        long,
        env = "ATTENTIVE_LEARNING_RATE",
        hide_env_values = true,
        value_name = "η",
        default_value_t = 2e-5
    )]
    learning_rate: f32,

    /// What cosines are multiplied by
    #[arg(long, env = "ATTENTIVE_SCALE", hide_env_values = true, value_name = "S", default_value_t = 20.0)]
    scale: f32,

    /// Pairs that are held back [default: a tenth of them, 1,000 at most]
    #[arg(long, env = "ATTENTIVE_HELD_OUT", hide_env_values = true, value_name = "N")]
    held_out: Option<usize>,

    /// Same seed, same order of the pairs
    #[arg(long, env = "ATTENTIVE_SEED", hide_env_values = true, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

type Pair = (String, String);

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut rows = input::read(&arguments.data, Some(Format::Text), None)?;
    expect_pairs(&mut rows);
    let bad = BadRows::say(&rows);
    let lines = rows.iter().filter_map(|row| row.text.as_deref().ok());
    let mut pairs: Vec<Pair> = lines
        .filter_map(|line| parted(line).ok())
        .map(|(first, second)| (first.into(), second.into()))
        .collect();
    let mut random = Rng::with_seed(arguments.seed);
    random.shuffle(&mut pairs);
    let held_out = arguments.held_out.unwrap_or((pairs.len() / 10).min(1000)).min(pairs.len());
    let held_out = pairs.split_off(pairs.len() - held_out);
    if pairs.len() < 2 {
        return Err(Failure::Failed(format!(
            "{}: there are {} to train on beside {} held back; it takes 2 at least",
            arguments.data.display(),
            count(pairs.len(), "pair"),
            held_out.len()
        )));
    }
    let folder = arguments.hub.folder(&arguments.model, SENTENCE_TRANSFORMERS)?;
    arguments.run.refuse_folder(&folder)?;
    let device = arguments.device.open(&arguments.open)?;
    let embedder = Embedder::from_dir(&device, &folder)?;
    embedder.notices().iter().for_each(note);
    let batches = pairs.len().div_ceil(arguments.batch_size as usize) as u64;
    let steps = arguments.epochs * batches;
    let algorithm = AdamW { learning_rate: arguments.learning_rate, ..AdamW::default() };
    let trainer = Trainer::new(&device, algorithm, embedder.parameters())?
        .schedule(Schedule::Linear { warmup: (WARMUP * steps as f64) as u64, steps })?
        .clip(LARGEST_NORM)?;
    let settings = [
        ("model", arguments.model.clone()),
        ("steps", steps.to_string()),
        ("batch size", arguments.batch_size.to_string()),
        ("learning rate", arguments.learning_rate.to_string()),
        ("scale", arguments.scale.to_string()),
        ("seed", arguments.seed.to_string()),
    ];
    // Before a run that goes on has changed the weights.
    let before = own_partners(&embedder, &held_out)?;
    let mut run = Run::begin(&arguments.run, trainer, &settings)?;
    note(format_args!(
        "{} in {} of up to {}, {} held back, on {}",
        count(pairs.len(), "pair"),
        count(steps as usize, "step"),
        arguments.batch_size,
        held_out.len(),
        device.name()
    ));
    // A run that goes on has had these.
    let had = run.trainer.steps();
    for epoch in 0..arguments.epochs {
        random.shuffle(&mut pairs);
        for (number, batch) in (epoch * batches..).zip(pairs.chunks(arguments.batch_size as usize)) {
            if number < had {
                continue;
            }
            let [first, second]: [Vec<&str>; 2] = [
                batch.iter().map(|(first, _)| first.as_str()).collect(),
                batch.iter().map(|(_, second)| second.as_str()).collect(),
            ];
            let tokens = tokens_of(&embedder, &first)? + tokens_of(&embedder, &second)?;
            let step = run.trainer.step(|recording| {
                embedder.record_ranking_loss(recording, [&first, &second], arguments.scale)
            })?;
            if run.took(&step, steps, tokens)?.is_break() {
                return Err(Failure::Said);
            }
        }
    }
    save_folder(&embedder.parameters(), &folder, &arguments.run.output, DType::F32)?;
    run.end()?;
    let after = own_partners(&embedder, &held_out)?;
    let all = held_out.len();
    print(&format!(
        "{before} of {all} held-out pairs found their own partner before, {after} after\n{}\n",
        arguments.run.output.join("model.safetensors").display()
    ))?;
    bad.end("used")
}

/// Tokens of texts, as the model takes them.
fn tokens_of(embedder: &Embedder, texts: &[&str]) -> Result<usize> {
    let (most, _) = embedder.max_tokens();
    let encoded = embedder.tokenizer().encode_batch(texts, most)?;
    Ok(encoded.iter().map(|encoding| encoding.ids.len()).sum())
}

/// How many first texts are nearer to their own second text than to those of all other pairs.
fn own_partners(embedder: &Embedder, pairs: &[Pair]) -> Result<usize> {
    if pairs.is_empty() {
        return Ok(0);
    }
    let [first, second]: [Vec<&str>; 2] = [
        pairs.iter().map(|(first, _)| first.as_str()).collect(),
        pairs.iter().map(|(_, second)| second.as_str()).collect(),
    ];
    let (first, second) = (embedder.encode(&first).run()?, embedder.encode(&second).run()?);
    let columns = embedder.dimensions();
    let norm = |vector: &[f32]| vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    let others: Vec<(&[f32], f64)> =
        second.values().chunks_exact(columns).map(|vector| (vector, norm(vector))).collect();
    let own = first.values().chunks_exact(columns).enumerate().filter(|(place, vector)| {
        let cosine = |(other, length): &(&[f32], f64)| {
            vector.iter().zip(*other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / length
        };
        let own = cosine(&others[*place]);
        // Texts that are there twice are as near as each other.
        others.iter().all(|other| cosine(other) <= own)
    });
    Ok(own.count())
}
