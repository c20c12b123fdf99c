//! `attentive embed`: texts in, vectors out.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attentive::models::Embeddings;
use attentive::{DType, Embedder, EmbedderOptions, Pooling};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::finite::NotFinite;
use crate::input::{Row, TextArguments};
use crate::model::ModelArguments;
use crate::open::{OpenArguments, say_if_slow};
use crate::output::{Failure, Result, count, note, print, say};
use crate::vectors::{Target, Writer};
use crate::{model, open, summary};

/// Embed texts: sentences in, vectors out
///
/// Without --output it prints how similar the texts are, the device and the time. A row of the input that cannot be
/// read (invalid UTF-8, a missing column) is named by its line and becomes a row of NaN in .npy, null in .jsonl: row
/// numbers stay those of the input, and the exit status is 1.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive embed -m all-MiniLM-L6-v2 \"A man is eating.\" \"Somebody eats.\" \"It rains.\"
  attentive embed -m ./my-model --input sentences.txt -o sentences.npy
  attentive embed -m BAAI/bge-small-en-v1.5 --input table.csv --column title -o titles.jsonl
  cat sentences.txt | attentive embed -m all-MiniLM-L6-v2 --input - -o - | jq .embedding")]
pub struct Arguments {
    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is sentence-transformers/NAME), which is
    /// downloaded into its cache (HF_HOME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    texts: TextArguments,

    /// Where the vectors go: NAME.npy ([texts, dimensions], f32), NAME.jsonl, or - for JSONL on stdout
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = Target::parse)]
    output: Option<Target>,

    /// auto, gpu, gpu:N, gpu:name=TEXT, vulkan, metal, dx12, gl or cpu (see `attentive devices`)
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC")]
    #[arg(default_value = "auto", value_parser = open::device_spec)]
    device: String,

    /// How the tokens' vectors become one, in place of what the model says
    #[arg(long, env = "ATTENTIVE_POOLING", hide_env_values = true, value_enum)]
    pooling: Option<PoolingName>,

    /// Leave the vectors as long as they are
    #[arg(long, env = "ATTENTIVE_NO_NORMALIZE", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    no_normalize: bool,

    /// Tokens in one batch, padding included: more is faster on a large GPU and takes more memory [default: 8192]
    #[arg(long, env = "ATTENTIVE_MAX_BATCH_TOKENS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_batch_tokens: Option<u64>,

    /// What the weights are stored as; f16 takes half the memory
    #[arg(long, env = "ATTENTIVE_DTYPE", hide_env_values = true, value_enum, default_value = "f32")]
    dtype: DTypeName,

    /// Put before each text, in place of the model's default prompt; "" for none
    #[arg(long, env = "ATTENTIVE_PROMPT", hide_env_values = true, value_name = "TEXT")]
    prompt: Option<String>,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum PoolingName {
    Mean,
    Cls,
    Max,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum DTypeName {
    F32,
    F16,
}

impl DTypeName {
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// How long the parts of an embedding took.
pub struct Times {
    pub load: Duration,
    /// The first batch, with tokenizing and pipeline creation.
    pub first: Duration,
    pub rest: Duration,
}

/// Rows named on stderr before it says how many more there are.
const NAMED_ROWS: usize = 10;
/// Bytes of text from which on a bar is worth its place.
const LONG: usize = 10_000;

pub fn run(arguments: &Arguments) -> Result<()> {
    let writer = arguments.output.clone().map(Writer::create).transpose()?;
    let rows = arguments.texts.rows("embed")?;
    let bad = say_bad_rows(&rows);

    let start = Instant::now();
    let folder = model::find(&arguments.model, model::SENTENCE_TRANSFORMERS, arguments.hub.offline)?;
    let start_loading = if start.elapsed() > Duration::from_secs(1) { Instant::now() } else { start };
    let device = arguments.open.open(&arguments.device)?;
    say_if_slow(&device);
    let embedder = Embedder::from_dir_with(&device, &folder, &arguments.options())?;
    let load = start_loading.elapsed();
    for notice in embedder.notices() {
        note(notice);
    }

    let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref().ok()).collect();
    let (embeddings, times) = embed(&embedder, &texts, arguments.prompt.as_deref(), load)?;
    say_truncations(&embedder, &rows, &embeddings, arguments.texts.noun());

    let not_finite = NotFinite::say(&rows, &embeddings.not_finite(), arguments.texts.noun());

    let summary = summary::lines(&embedder, &arguments.model, &embeddings, &times);
    match writer {
        Some(writer) => {
            writer.write(&rows, &embeddings)?;
            say(summary.trim_end());
        }
        None => print(&format!("{}\n{summary}", summary::view(&texts, &embeddings)))?,
    }
    match bad {
        0 => not_finite.end(),
        bad => {
            note(format_args!("{} of {} not embedded", bad, count(rows.len(), "row")));
            Err(Failure::Said)
        }
    }
}

impl Arguments {
    fn options(&self) -> EmbedderOptions {
        let mut options = EmbedderOptions::default();
        options.dtype = self.dtype.dtype();
        options.pooling = self.pooling.map(|pooling| match pooling {
            PoolingName::Mean => Pooling::Mean,
            PoolingName::Cls => Pooling::Cls,
            PoolingName::Max => Pooling::Max,
        });
        if self.no_normalize {
            options.normalize = Some(false);
        }
        if let Some(tokens) = self.max_batch_tokens {
            options.max_batch_tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        }
        options
    }
}

pub fn say_bad_rows(rows: &[Row]) -> usize {
    let bad: Vec<(u64, &String)> =
        rows.iter().filter_map(|row| Some((row.line, row.text.as_ref().err()?))).collect();
    for (line, problem) in bad.iter().take(NAMED_ROWS) {
        say(format_args!("line {line}: {problem}"));
    }
    if bad.len() > NAMED_ROWS {
        say(format_args!("and {} more", count(bad.len() - NAMED_ROWS, "such line")));
    }
    bad.len()
}

fn say_truncations(embedder: &Embedder, rows: &[Row], embeddings: &Embeddings, noun: &str) {
    let cut = &embeddings.truncations;
    if cut.is_empty() {
        return;
    }
    let (limit, source) = embedder.max_tokens();
    note(format_args!(
        "{} cut to {limit} tokens (the model's limit, by {source}):",
        count(cut.len(), "text")
    ));
    let places: Vec<u64> = rows.iter().filter(|row| row.text.is_ok()).map(|row| row.line).collect();
    for cut in cut.iter().take(NAMED_ROWS) {
        let place = places.get(cut.index).copied().unwrap_or_default();
        say(format_args!("  {noun} {place}: {} tokens", crate::output::thousands(cut.tokens as u64)));
    }
    if cut.len() > NAMED_ROWS {
        say(format_args!("  and {} more", cut.len() - NAMED_ROWS));
    }
}

fn embed(
    embedder: &Embedder,
    texts: &[&str],
    prompt: Option<&str>,
    load: Duration,
) -> Result<(Embeddings, Times)> {
    let start = Instant::now();
    let first = Mutex::new(None);
    let bar = bar(texts);
    let mut encode = embedder.encode(texts).progress(|done, total| {
        let mut first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| start.elapsed());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    if let Some(prompt) = prompt {
        encode = encode.prompt(prompt);
    }
    let embeddings = encode.run();
    bar.finish_and_clear();
    let whole = start.elapsed();
    let first = first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or(whole);
    Ok((embeddings?, Times { load, first, rest: whole.saturating_sub(first) }))
}

/// A bar by tokens, where the work is long and a terminal shows it.
fn bar(texts: &[&str]) -> ProgressBar {
    let long = texts.iter().map(|text| text.len()).sum::<usize>() > LONG;
    if !long || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(
        "embedding {wide_bar} {human_pos}/{human_len} tokens, {elapsed} ({eta} left)",
    );
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
