//! `attentive finetune classify`: a classifier of texts, by texts and their labels.

mod baseline;
mod rows;
mod scores;

use std::path::{Path, PathBuf};

use attentive::models::HeadKind;
use attentive::train::{Better, save_folder};
use attentive::weights::{Encoding, HeadConfig, Problem};
use attentive::{BertModel, BertModelOptions, DType, Device};
use clap::Args;
use clap::builder::FalseyValueParser;
use fastrand::Rng;
use serde_json::json;

use crate::arguments::{DeviceArgument, GOOGLE_BERT, ModelArguments, OpenArguments};
use crate::input::Format;
use crate::output::{Align, Answers, BadRows, Failure, Result, Table, advance, bar, count, note};
use crate::training::{
    Defaults, EpochArguments, Flags, LoraArguments, Run, RunArguments, Scoring, Settings, fine_tuning,
    lora_settings, save_adapter, trained,
};
use rows::{Columns, Labelled};
use scores::{Score, score};

const DEFAULTS: Defaults = Defaults { length: 3, batch_size: 32, learning_rate: 5e-5 };
const FLAGS: Flags = Flags {
    examples: "texts",
    seeded: "same texts held back, same order, same first weights of a new classifier",
    seed: 1,
    defaults: Some(DEFAULTS),
    smallest_batch: 1,
    advice: "; a small model takes a larger one, such as 5e-4",
};
/// Batches whose texts are sorted by their lengths together, so that little of a batch is padding.
const WINDOW: usize = 32;

/// Train a classifier with texts and their labels
///
/// The whole model is trained, in f32, or with --lora its head and low-rank products. A folder without a classifier, such as a pre-trained BERT, gets a new one for the labels of the
/// data; a classifier is trained on with its own labels, or replaced by --new-head. Some rows are held back: behind each epoch the model
/// is scored by how many of them get their label, the best one is written, and its score is told beside what the most frequent label and
/// what logistic regression over words (TF-IDF) come to. What is written is a folder that `attentive classify -m` and transformers read. A
/// row without a text or a label is named and left out, and the exit status is 1.
#[derive(Args)]
#[command(mut_args(|argument| FLAGS.describe(argument)))]
#[command(after_help = "\
Examples:
  attentive finetune classify -m my-bert reviews.csv -o my-classifier
  attentive finetune classify -m my-bert sections.tsv --no-quotes --text-column description --label-column section -o sections
  attentive classify -m my-classifier \"a text\"")]
pub struct Arguments {
    /// A table with a heading, or JSON objects: .csv, .tsv, .jsonl or .json
    #[arg(value_name = "FILE")]
    data: PathBuf,

    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is google-bert/NAME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    /// The column, or the key of the objects, with the texts
    #[arg(long, env = "ATTENTIVE_TEXT_COLUMN", hide_env_values = true, value_name = "NAME")]
    #[arg(default_value = "text")]
    text_column: String,

    /// That with the labels
    #[arg(long, env = "ATTENTIVE_LABEL_COLUMN", hide_env_values = true, value_name = "NAME")]
    #[arg(default_value = "label")]
    label_column: String,

    /// What the file holds [default: by its extension]
    #[arg(long, env = "ATTENTIVE_FORMAT", hide_env_values = true, value_enum)]
    format: Option<Format>,

    /// Quotes in a table are characters like others
    #[arg(long, env = "ATTENTIVE_NO_QUOTES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    no_quotes: bool,

    /// Begin with a new classifier where the model has one
    #[arg(long, env = "ATTENTIVE_NEW_HEAD", hide_env_values = true, value_parser = FalseyValueParser::new())]
    new_head: bool,

    #[command(flatten)]
    run: RunArguments,

    #[command(flatten)]
    training: EpochArguments,

    #[command(flatten)]
    lora: LoraArguments,

    /// Texts that are held back [default: a tenth of them, 5,000 at most]
    #[arg(long, env = "ATTENTIVE_HELD_OUT", hide_env_values = true, value_name = "N")]
    held_out: Option<usize>,

    /// Write what came out as JSON into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let answers = Answers::of(arguments.json.as_deref())?;
    let columns = Columns {
        text: &arguments.text_column,
        label: &arguments.label_column,
        format: arguments.format,
        quotes: !arguments.no_quotes,
    };
    let (rows, labels) = columns.read(&arguments.data)?;
    let bad = BadRows::say(&rows);
    let folder = arguments.hub.folder(&arguments.model, GOOGLE_BERT)?;
    arguments.run.refuse_folder(&folder)?;
    let known = match arguments.new_head {
        true => None,
        false => known_labels(&folder)?,
    };
    let name = arguments.data.display().to_string();
    let is_new = known.is_none();
    let seed = arguments.training.seed(&FLAGS);
    let data = Labelled::new((&rows, &labels), &name, known.as_deref(), arguments.held_out, seed)?;
    let Labelled { labels, mut training, held_out } = data;
    let device = arguments.device.open(&arguments.open)?;
    let model = load(&device, &folder, is_new.then_some(labels.as_slice()), seed)?;
    model.notices().iter().for_each(note);

    let sizes = [training.len(), held_out.len()];
    let (settings, epochs) = arguments.training.settings(&FLAGS, DEFAULTS, sizes)?;
    let Settings { steps, batch_size, .. } = settings;
    let lora = arguments.lora.options(|rank| model.lora(rank), seed);
    let trainer = fine_tuning(&device, model.parameters(), lora.as_ref(), &settings)?;
    let own = [("model", arguments.model.clone()), ("labels", labels.len().to_string())];
    let own = [&own[..], &lora_settings(lora.as_ref())].concat();
    // Before a run that goes on has changed the weights; what a new classifier says is chance.
    let before = if is_new { None } else { Some(classified(&model, &held_out)?.0) };
    let right: Vec<u32> = held_out.iter().map(|(_, label)| *label).collect();
    let scored = |found: &[u32]| score(found, &right, labels.len());
    let scoring = Scoring {
        name: "accuracy",
        better: Better::Higher,
        score: Box::new(|| {
            let (found, is_finite) = classified(&model, &held_out)?;
            Ok(if is_finite { scored(&found).accuracy } else { f64::NAN })
        }),
    };
    let mut run = Run::begin(&arguments.run, trainer, &settings, &own, scoring)?;
    note(format_args!(
        "{}, {} with {} in {} of up to {}, {} held back, on {}",
        trained(&run, &model.parameters()),
        count(training.len(), "text"),
        count(labels.len(), "label"),
        count(steps as usize, "step"),
        batch_size,
        held_out.len(),
        device.name()
    ));
    let encoded = encodings(&model, &training)?;
    let mut random = Rng::with_seed(seed ^ 0x0ba7_c4e5);
    // A run that goes on has had these.
    let had = run.taken();
    let mut numbers = 0..steps;
    for _ in 0..epochs {
        for (batch, number) in shuffled(&encoded, batch_size, &mut random).into_iter().zip(&mut numbers) {
            if number < had || !run.goes_on() {
                continue;
            }
            let texts: Vec<&Encoding> = batch.iter().map(|&place| &encoded[place]).collect();
            let own: Vec<u32> = batch.iter().map(|&place| training[place].1).collect();
            let tokens = texts.iter().map(|text| text.ids.len()).sum();
            run.step([texts.len(), tokens], |recording, part| {
                model.record_classification_loss_part(recording, &texts, &own, part)
            })?;
        }
    }
    let output = &arguments.run.output;
    let taken = run.taken();
    run.end(|trainer| {
        match is_new {
            true => model.save_classifier(&folder, output, DType::F32)?,
            false => save_folder(&model.parameters(), &folder, output, DType::F32)?,
        }
        Ok(save_adapter(trainer, output, &arguments.model, "SEQ_CLS")?)
    })?;

    let texts: Vec<&str> = held_out.iter().map(|(text, _)| text.as_str()).collect();
    training.sort_unstable();
    let of_words: Vec<(&str, u32)> = training.iter().map(|(text, label)| (text.as_str(), *label)).collect();
    let words = baseline::by_words(&of_words, &texts, labels.len(), seed);
    let found = [
        ("the most frequent label", "most_frequent", Some(vec![most_frequent(&training); right.len()])),
        ("words (TF-IDF, logistic regression)", "words", Some(words)),
        ("the model before", "before", before),
        ("the model", "after", Some(classified(&model, &held_out)?.0)),
    ];
    let mut table = Table::new(&[
        ("held-out texts", Align::Left),
        ("accuracy", Align::Right),
        ("macro F1", Align::Right),
    ]);
    let mut object = json!({
        "weights": output.join("model.safetensors").display().to_string(),
        "labels": labels.len(),
        "trained_on": training.len(),
        "held_out": right.len(),
        "steps": taken,
    });
    for (name, key, found) in found {
        let Some(Score { accuracy, macro_f1 }) = found.as_deref().map(scored) else { continue };
        table.row([
            name.to_owned(),
            format!("{:.1} %", 100.0 * accuracy),
            format!("{:.1} %", 100.0 * macro_f1),
        ]);
        object[key] = json!({ "accuracy": accuracy, "macro_f1": macro_f1 });
    }
    let report = format!(
        "{table}\n{} held out, {}\n{}\n",
        count(right.len(), "text"),
        count(labels.len(), "label"),
        output.join("model.safetensors").display()
    );
    answers.write(&[object], &report)?;
    bad.end("used")
}

/// The labels of the folder's classifier of texts, if it has one.
fn known_labels(folder: &Path) -> Result<Option<Vec<String>>> {
    if !BertModel::heads_of(folder)?.contains(&HeadKind::Sequence) {
        return Ok(None);
    }
    let HeadConfig { labels, problem, .. } = HeadConfig::open(folder.join("config.json"))?;
    match problem {
        Problem::SingleLabel => Ok(Some(labels)),
        other => Err(Failure::Failed(format!(
            "{}: its classifier must be one of a single label of several to be trained on, but is one of {}; --new-head begins with \
             another one",
            folder.display(),
            if other == Problem::Regression { "regression" } else { "labels that are each there or not" }
        ))),
    }
}

/// The model with its own classifier, or with a new one for those labels.
fn load(device: &Device, folder: &Path, new: Option<&[String]>, seed: u64) -> Result<BertModel> {
    if let Some(labels) = new {
        return Ok(BertModel::with_new_head(device, folder, HeadKind::Sequence, labels, seed)?);
    }
    let mut options = BertModelOptions::default();
    options.heads = Some(vec![HeadKind::Sequence]);
    Ok(BertModel::from_dir_with(device, folder, &options)?)
}

fn encodings(model: &BertModel, texts: &[(String, u32)]) -> Result<Vec<Encoding>> {
    let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    Ok(model.tokenizer().encode_batch(&texts, model.max_tokens().0)?)
}

/// The batches of an epoch, as places of texts of about the same length.
fn shuffled(texts: &[Encoding], size: usize, random: &mut Rng) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = (0..texts.len()).collect();
    random.shuffle(&mut places);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for window in places.chunks_mut(WINDOW * size) {
        window.sort_by_key(|&place| texts[place].ids.len());
        batches.extend(window.chunks(size).map(<[_]>::to_vec));
    }
    random.shuffle(&mut batches);
    batches
}

/// The label that the model gives to each text, and whether all of its scores are numbers.
fn classified(model: &BertModel, texts: &[(String, u32)]) -> Result<(Vec<u32>, bool)> {
    let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let bar = bar();
    let found = model.classify(&texts).prompt("").progress(|done, all| advance(&bar, done, all)).run();
    bar.finish_and_clear();
    let found = found?;
    // Of scores that are no numbers none is the best; the first label stands for it.
    let labels = found.answers.iter().map(|scores| scores.best().unwrap_or(0) as u32);
    Ok((labels.collect(), found.not_finite().is_empty()))
}

/// Of labels that are as frequent the first.
fn most_frequent(training: &[(String, u32)]) -> u32 {
    let mut counts = std::collections::BTreeMap::new();
    training.iter().for_each(|(_, label)| *counts.entry(*label).or_insert(0_usize) += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(0, |(label, _)| label)
}
