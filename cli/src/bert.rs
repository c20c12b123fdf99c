//! What the commands on BERT's heads have in common: the model, the texts, the report.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attentive::models::{HeadKind, ModelStatistics};
use attentive::weights::ScoreActivation;
use attentive::{BertModel, BertModelOptions, DType, Device, Error};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::embed::{DTypeName, say_bad_rows};
use crate::input::Row;
use crate::model::{ModelArguments, Place};
use crate::open::{OpenArguments, say_if_slow};
use crate::output::{Failure, Result, WholeFile, bytes, count, note, print, thousands};
use crate::table::shortened;
use crate::{model, open};

/// Where the hub has models that are called by one word.
const ORGANIZATION: &str = "google-bert";

#[derive(Args)]
pub struct BertArguments {
    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is google-bert/NAME), which is downloaded into its
    /// cache (HF_HOME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    #[arg(default_value = "google-bert/bert-base-uncased")]
    pub model: String,

    /// auto, gpu, gpu:N, gpu:name=TEXT, vulkan, metal, dx12, gl or cpu (see `attentive devices`)
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC")]
    #[arg(default_value = "auto", value_parser = open::device_spec)]
    device: String,

    /// Tokens in one batch, padding included: more is faster on a large GPU and takes more memory [default: 8192]
    #[arg(long, env = "ATTENTIVE_MAX_BATCH_TOKENS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_batch_tokens: Option<u64>,

    /// What the weights are stored as; f16 takes half the memory
    #[arg(long, env = "ATTENTIVE_DTYPE", hide_env_values = true, value_enum, default_value = "f32")]
    dtype: DTypeName,

    /// Write the answers as JSON, an object a line, into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

impl BertArguments {
    /// As [`BertArguments::load`] would find it, or the program's own.
    pub fn place(&self) -> Result<Place> {
        Place::find(&self.model, ORGANIZATION, self.hub.offline).map_err(with_hint)
    }

    /// Tokens in one batch, if a number is asked for.
    pub fn max_batch_tokens(&self) -> Option<usize> {
        self.max_batch_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX))
    }

    pub fn device(&self) -> Result<Device> {
        let device = self.open.open(&self.device)?;
        say_if_slow(&device);
        Ok(device)
    }

    pub fn dtype(&self) -> DType {
        self.dtype.dtype()
    }

    /// The model with its heads.
    pub fn load(&self, heads: Option<Vec<HeadKind>>) -> Result<Loaded> {
        self.load_of(ORGANIZATION, heads)
    }

    /// As [`BertArguments::load`], where the hub has one-word names in that organization.
    pub fn load_of(&self, organization: &str, heads: Option<Vec<HeadKind>>) -> Result<Loaded> {
        let folder = model::find(&self.model, organization, self.hub.offline).map_err(with_hint)?;
        let start = Instant::now();
        let device = self.device()?;
        let mut options = BertModelOptions::default();
        options.dtype = self.dtype.dtype();
        options.heads = heads;
        if let Some(tokens) = self.max_batch_tokens() {
            options.max_batch_tokens = tokens;
        }
        let model = BertModel::from_dir_with(&device, folder, &options)?;
        for notice in model.notices() {
            note(notice);
        }
        Ok(Loaded { model, load: start.elapsed(), start: Instant::now() })
    }

    /// Where the answers go; found wrong before the work.
    pub fn target(&self) -> Result<Target> {
        Target::of(self.json.as_deref())
    }

    /// Device, model, sizes and times.
    pub fn summary(&self, loaded: &Loaded, statistics: &ModelStatistics, noun: &str) -> String {
        let model = &loaded.model;
        let config = model.config();
        let padding = match statistics.padded_tokens.saturating_sub(statistics.tokens) {
            0 => String::new(),
            padding => format!(" and {} of padding", thousands(padding as u64)),
        };
        format!(
            "device  {}\nmodel   {}: {:?}, {} layers, {} wide, {} heads\ninput   {}, {} tokens{padding}, {}\n\
             memory  weights {}, temporaries {} at the peak\ntime    loading {:.2} s, running {:.2} s\n",
            model.device().name(),
            self.model,
            config.family,
            config.layers,
            config.hidden_size,
            config.heads,
            count(statistics.texts, noun),
            thousands(statistics.tokens as u64),
            match statistics.batches {
                1 => "1 batch".to_owned(),
                batches => format!("{} batches", thousands(batches as u64)),
            },
            bytes(model.weight_bytes()),
            bytes(statistics.peak_bytes),
            loaded.load.as_secs_f64(),
            loaded.start.elapsed().as_secs_f64(),
        )
    }
}

fn with_hint(failure: Failure) -> Failure {
    let hint = "-m FOLDER takes a folder that has config.json, model.safetensors and tokenizer.json";
    match failure {
        Failure::Failed(problem) => Failure::Failed(format!("{problem}. {hint}")),
        other => other,
    }
}

/// A model on its device, and when.
pub struct Loaded {
    pub model: BertModel,
    load: Duration,
    start: Instant,
}

/// Where the answers go.
pub enum Target {
    Report,
    Stdout,
    File(WholeFile),
}

impl Target {
    /// What `--json` names: a file, or `-` for standard output; found wrong before the work.
    pub fn of(json: Option<&Path>) -> Result<Self> {
        match json {
            None => Ok(Self::Report),
            Some(path) if path.as_os_str() == "-" => Ok(Self::Stdout),
            Some(path) => WholeFile::create(path).map(Self::File),
        }
    }

    /// An object a line; the report to stdout, unless the answers go there.
    pub fn write(self, answers: &[Value], report: &str) -> Result<()> {
        self.write_text(&answers.iter().map(|answer| format!("{answer}\n")).collect::<String>(), report)
    }

    /// As [`Target::write`], with what is JSON already.
    pub fn write_text(self, json: &str, report: &str) -> Result<()> {
        match self {
            Self::Report => print(report),
            Self::Stdout => print(json),
            Self::File(mut file) => {
                file.write_all(json.as_bytes()).map_err(|error| Failure::file(file.path(), error))?;
                file.finish()?;
                print(report)
            }
        }
    }
}

/// What is put before texts.
#[derive(Args)]
pub struct PromptArguments {
    /// Put before each text (of pairs the first; the query), in place of the model's default prompt; "" for none
    #[arg(long, env = "ATTENTIVE_PROMPT", hide_env_values = true, value_name = "TEXT")]
    pub prompt: Option<String>,

    /// Put the model's prompt of that name before each text, such as query, in place of its default prompt
    #[arg(long, env = "ATTENTIVE_PROMPT_NAME", hide_env_values = true, value_name = "NAME")]
    #[arg(conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
}

impl PromptArguments {
    /// Refuses a name that the model does not have; one of `always` is empty then, and that is said.
    pub fn check(&self, prompts: &BTreeMap<String, String>, always: &[&str]) -> Result<()> {
        let Some(name) = self.prompt_name.as_deref().filter(|name| !prompts.contains_key(*name)) else {
            return Ok(());
        };
        if always.contains(&name) {
            note(format_args!("the model has no prompt `{name}`: nothing is put before the texts"));
            return Ok(());
        }
        let names: Vec<&str> = prompts.keys().map(String::as_str).collect();
        let names = match names.as_slice() {
            [] => "it has none (--prompt takes a text)".to_owned(),
            names => format!("there are {}", shortened(&names.join(", "), 300)),
        };
        Err(Failure::Usage(format!("the model has no prompt `{}`; {names}", shortened(name, 60))))
    }
}

/// What a classifier's logits go through to become scores.
#[derive(Clone, Copy, ValueEnum)]
pub enum ActivationName {
    /// Nothing
    Identity,
    /// 1 / (1 + exp(−x)), each for itself
    Sigmoid,
    /// exp(x) over the sum of all labels'
    Softmax,
}

impl ActivationName {
    pub fn activation(self) -> ScoreActivation {
        match self {
            Self::Identity => ScoreActivation::Identity,
            Self::Sigmoid => ScoreActivation::Sigmoid,
            Self::Softmax => ScoreActivation::Softmax,
        }
    }
}

/// Leaves out the rows that the model cannot answer, with the reason in their place.
pub fn check_rows(rows: &mut [Row], check: impl Fn(&str) -> attentive::Result<()>) {
    for row in rows {
        if let Ok(text) = &row.text
            && let Err(error) = check(text)
        {
            row.text = Err(reason(&error));
        }
    }
}

/// An error about one text, without the op and the number that the list of one gave it.
fn reason(error: &Error) -> String {
    match error.root() {
        Error::Argument { argument, expected, found, .. } => {
            let argument = argument.trim_end_matches(" 0").trim_end_matches(" of pair");
            format!("the {} must be {expected}, but is {found}", argument.trim_start_matches("the "))
        }
        Error::Tokenize { problem, .. } => problem.clone(),
        error => error.to_string(),
    }
}

/// Names the rows without an answer, and fails if there are any.
pub struct Bad(usize, usize);

impl Bad {
    pub fn say(rows: &[Row]) -> Self {
        Self(say_bad_rows(rows), rows.len())
    }

    pub fn end(self) -> Result<()> {
        match self {
            Self(0, _) => Ok(()),
            Self(bad, rows) => {
                note(format_args!("{bad} of {} not answered", count(rows, "row")));
                Err(Failure::Said)
            }
        }
    }
}

/// One object for each row: that of `answers`, which come in order, or what is wrong with the row.
pub fn objects(rows: &[Row], answers: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut answers = answers;
    let one = |(index, row): (usize, &Row)| {
        let mut object = match &row.text {
            Ok(_) => answers.next().unwrap_or_default(),
            Err(problem) => serde_json::json!({ "error": format!("line {}: {problem}", row.line) }),
        };
        object["index"] = index.into();
        object
    };
    rows.iter().enumerate().map(one).collect()
}

/// A flag that its variable can set: `0`, `no` and the like are off.
pub fn falsey() -> FalseyValueParser {
    FalseyValueParser::new()
}
