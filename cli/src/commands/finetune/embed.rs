//! `attentive finetune embed`: an embedder, by pairs of texts that belong together.

use std::path::PathBuf;

use attentive::train::{Better, save_folder};
use attentive::{DType, Embedder};
use clap::Args;
use fastrand::Rng;

use crate::arguments::{DeviceArgument, ModelArguments, OpenArguments, SENTENCE_TRANSFORMERS};
use crate::input::{self, Format, expect_pairs, parted};
use crate::output::{BadRows, Failure, Result, count, note, print};
use crate::training::{
    Defaults, EpochArguments, Flags, LoraArguments, Run, RunArguments, Scoring, Settings, fine_tuning,
    lora_settings, save_adapter, trained,
};

const DEFAULTS: Defaults = Defaults { length: 1, batch_size: 32, learning_rate: 2e-5 };
const FLAGS: Flags = Flags {
    examples: "pairs",
    seeded: "same pairs held back and same order of the others",
    seed: 1,
    defaults: Some(DEFAULTS),
    // Of one pair alone the second text is always the nearest.
    smallest_batch: 2,
    advice: "",
};

/// Train an embedder on with pairs of texts that belong together: a question and its answer, a query and what was bought
///
/// The loss is multiple negatives ranking, as in sentence-transformers: each first text is to be nearer to its own second text
/// than to those of the other pairs in its batch, so larger batches teach more; --micro-batch has them in less memory, at the cost of
/// computing the vectors twice (GradCache, Gao et al. 2021). Some pairs are held back, and the share of them
/// that finds its own partner among theirs is told before and after; by it the model is scored behind each epoch, and the best one
/// is written. What is written is a folder that `attentive embed -m` and
/// sentence-transformers read. A line that is no pair is named and left out, and the exit status is 1.
#[derive(Args)]
#[command(mut_args(|argument| FLAGS.describe(argument)))]
#[command(after_help = "\
Examples:
  attentive finetune embed -m all-MiniLM-L6-v2 pairs.tsv -o my-embedder
  attentive finetune embed -m ./my-model pairs.tsv -o tuned --epochs 3 --batch-size 64 --device cpu
  attentive finetune embed -m ./my-model pairs.tsv -o tuned --batch-size 512 --micro-batch 32
  attentive finetune embed -m ./my-model pairs.tsv -o tuned --lora 8 --learning-rate 2e-4
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

    #[command(flatten)]
    training: EpochArguments,

    #[command(flatten)]
    lora: LoraArguments,

    /// What cosines are multiplied by
    #[arg(long, env = "ATTENTIVE_SCALE", hide_env_values = true, value_name = "S", default_value_t = 20.0)]
    scale: f32,

    /// Pairs that are held back [default: a tenth of them, 1,000 at most]
    #[arg(long, env = "ATTENTIVE_HELD_OUT", hide_env_values = true, value_name = "N")]
    held_out: Option<usize>,

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
    let mut random = Rng::with_seed(arguments.training.seed(&FLAGS));
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
    let sizes = [pairs.len(), held_out.len()];
    let (settings, epochs) = arguments.training.settings(&FLAGS, DEFAULTS, sizes)?;
    let Settings { steps, batch_size, seed, .. } = settings;
    let lora = arguments.lora.options(|rank| embedder.lora(rank), seed);
    let trainer = fine_tuning(&device, embedder.parameters(), lora.as_ref(), &settings)?;
    let own = [("model", arguments.model.clone()), ("scale", arguments.scale.to_string())];
    let own = [&own[..], &lora_settings(lora.as_ref())].concat();
    // Before a run that goes on has changed the weights.
    let (before, _) = own_partners(&embedder, &held_out)?;
    let scoring = Scoring {
        name: "share of own partners",
        better: Better::Higher,
        score: Box::new(|| {
            let (found, is_finite) = own_partners(&embedder, &held_out)?;
            Ok(if is_finite { found as f64 / held_out.len() as f64 } else { f64::NAN })
        }),
    };
    let mut run = Run::begin(&arguments.run, trainer, &settings, &own, scoring)?;
    note(format_args!(
        "{}, {} in {} of up to {}, {} held back, on {}",
        trained(&run, &embedder.parameters()),
        count(pairs.len(), "pair"),
        count(steps as usize, "step"),
        batch_size,
        held_out.len(),
        device.name()
    ));
    // A run that goes on has had these.
    let had = run.taken();
    let mut numbers = 0..steps;
    for _ in 0..epochs {
        random.shuffle(&mut pairs);
        for (batch, number) in pairs.chunks(batch_size).zip(&mut numbers) {
            if number < had || !run.goes_on() {
                continue;
            }
            let [first, second]: [Vec<&str>; 2] = [
                batch.iter().map(|(first, _)| first.as_str()).collect(),
                batch.iter().map(|(_, second)| second.as_str()).collect(),
            ];
            let tokens = tokens_of(&embedder, &first)? + tokens_of(&embedder, &second)?;
            let pairs = [first.as_slice(), &second];
            run.step_by([batch.len(), tokens], |trainer, micro_batch| match micro_batch {
                // Of the loss of all pairs parts of them have no sums.
                Some(most) => embedder.ranking_step(trainer, pairs, arguments.scale, most),
                None => {
                    trainer.step(|recording| embedder.record_ranking_loss(recording, pairs, arguments.scale))
                }
            })?;
        }
    }
    run.end(|trainer| {
        let output = &arguments.run.output;
        save_folder(&embedder.parameters(), &folder, output, DType::F32)?;
        Ok(save_adapter(trainer, output, &arguments.model, "FEATURE_EXTRACTION")?)
    })?;
    let (after, _) = own_partners(&embedder, &held_out)?;
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

/// How many first texts are nearer to their own second text than to those of all other pairs, and whether all vectors are numbers.
fn own_partners(embedder: &Embedder, pairs: &[Pair]) -> Result<(usize, bool)> {
    if pairs.is_empty() {
        return Ok((0, true));
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
    let is_finite = [&first, &second].iter().all(|vectors| vectors.not_finite().is_empty());
    Ok((own.count(), is_finite))
}
