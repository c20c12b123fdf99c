//! `attentive embed`: texts in, vectors out.

mod summary;
mod vectors;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attentive::models::{Embeddings, ModelStatistics};
use attentive::{Embedder, EmbedderOptions, Pooling};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::{
    BatchArgument, DTypeArgument, DeviceArgument, ModelArguments, OpenArguments, PromptArguments,
    SENTENCE_TRANSFORMERS, TextArguments,
};
use crate::input::{Row, Rows};
use crate::output::{
    BadRows, Failure, NAMED_ROWS, NotFinite, Result, advance, count, note, print, say, thousands,
};
use vectors::{Target, Vectors};

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
  attentive embed -m intfloat/e5-small-v2 --prompt-name query \"how tall is the tower?\"
  cat sentences.txt | attentive embed -m all-MiniLM-L6-v2 --input - --json - | jq .embedding")]
pub struct Arguments {
    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is sentence-transformers/NAME), which is
    /// downloaded into its cache (HF_HOME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    texts: TextArguments,

    /// Where the vectors go: NAME.npy ([texts, dimensions], f32), NAME.jsonl, or - for JSONL on stdout, as --json has it
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = vectors::target)]
    output: Option<Target>,

    #[command(flatten)]
    device: DeviceArgument,

    /// How the tokens' vectors become one, in place of what the model says
    #[arg(long, env = "ATTENTIVE_POOLING", hide_env_values = true, value_enum)]
    pooling: Option<PoolingName>,

    /// Leave the vectors as long as they are
    #[arg(long, env = "ATTENTIVE_NO_NORMALIZE", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    no_normalize: bool,

    #[command(flatten)]
    batch: BatchArgument,

    #[command(flatten)]
    dtype: DTypeArgument,

    #[command(flatten)]
    prompt: PromptArguments,

    /// Write the vectors as JSON, an object a line, into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

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

/// How long the parts of an embedding took.
pub struct Times {
    pub load: Duration,
    /// The first batch, with tokenizing and pipeline creation.
    pub first: Duration,
    pub rest: Duration,
}

/// The totals over all parts.
#[derive(Default)]
pub struct Embedded {
    /// Sums, but of memory the largest.
    pub statistics: ModelStatistics,
    pub dimensions: usize,
    /// Texts that were cut.
    pub cut: usize,
    /// The first of them: lines and tokens.
    named_cut: Vec<(u64, usize)>,
    bad: BadRows,
    /// Lines of what is not finite.
    not_finite: Vec<u64>,
}

/// Bytes of text from which on a bar is worth its place.
const LONG: usize = 10_000;
/// Rows, and bytes of text, that are read, embedded and written at once: enough for batches of texts of one length.
const PART: [usize; 2] = [16_384, 16 << 20];

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut writers = arguments.writers()?;
    let reports = arguments.output.is_none() && !writers.iter().any(Vectors::is_stdout);
    let mut rows = arguments.texts.stream("embed")?;
    // In a report all are compared with each other.
    let part_of = if reports { [usize::MAX; 2] } else { PART };
    // An input that is wrong from its beginning is refused before the model is loaded.
    let mut part = next_part(&mut rows, part_of)?;
    let mut embedded = Embedded::default();
    embedded.bad.add(&part);

    let start = Instant::now();
    let folder = arguments.hub.folder(&arguments.model, SENTENCE_TRANSFORMERS)?;
    let start_loading = if start.elapsed() > Duration::from_secs(1) { Instant::now() } else { start };
    let device = arguments.device.open(&arguments.open)?;
    let embedder = Embedder::from_dir_with(&device, &folder, &arguments.options())?;
    let mut times = Times { load: start_loading.elapsed(), first: Duration::ZERO, rest: Duration::ZERO };
    for notice in embedder.notices() {
        note(notice);
    }
    arguments.prompt.check(embedder.prompts(), &["query", "document"])?;

    let noun = arguments.texts.noun();
    let mut view = None;
    loop {
        let texts: Vec<&str> = part.iter().filter_map(|row| row.text.as_deref().ok()).collect();
        let begun = embedded.statistics.batches > 0;
        let embeddings = embed(&embedder, &texts, &arguments.prompt, begun, &mut times)?;
        embedded.add(&part, &embeddings);
        for writer in &mut writers {
            writer.append(&part, &embeddings)?;
        }
        if reports {
            view = Some(summary::view(&texts, &embeddings));
        }
        part = next_part(&mut rows, part_of)?;
        if part.is_empty() {
            break;
        }
        embedded.bad.add(&part);
    }
    let not_finite = embedded.say_what_is_odd(&embedder, noun);
    let summary = summary::lines(&embedder, &arguments.model, &embedded, &times);
    writers.into_iter().try_for_each(Vectors::finish)?;
    match view {
        Some(view) => print(&format!("{view}\n{summary}"))?,
        None => say(summary.trim_end()),
    }
    embedded.bad.end("embedded").and(not_finite.end())
}

/// The next rows, up to so many of them and about so many bytes of text.
fn next_part(rows: &mut Rows, [most, most_bytes]: [usize; 2]) -> Result<Vec<Row>> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    while part.len() < most && bytes < most_bytes {
        let Some(row) = rows.next().transpose()? else { break };
        bytes += row.text.as_ref().map_or(0, String::len);
        part.push(row);
    }
    Ok(part)
}

impl Embedded {
    /// Counts what was embedded.
    fn add(&mut self, part: &[Row], embeddings: &Embeddings) {
        let lines: Vec<u64> = part.iter().filter(|row| row.text.is_ok()).map(|row| row.line).collect();
        let line = |place: usize| lines.get(place).copied().unwrap_or_default();
        let room = NAMED_ROWS - self.named_cut.len();
        let cut = embeddings.truncations.iter().take(room);
        self.named_cut.extend(cut.map(|cut| (line(cut.index), cut.tokens)));
        self.cut += embeddings.truncations.len();
        self.not_finite.extend(embeddings.not_finite().into_iter().map(line));
        self.dimensions = embeddings.shape()[1];
        self.statistics += embeddings.statistics;
    }

    /// How many more rows were bad, which texts were cut, and what is not finite.
    fn say_what_is_odd(&self, embedder: &Embedder, noun: &str) -> NotFinite {
        self.bad.say_rest();
        if self.cut > 0 {
            let (limit, source) = embedder.max_tokens();
            let cut = count(self.cut, "text");
            note(format_args!("{cut} cut to {limit} tokens (the model's limit, by {source}):"));
            for (line, tokens) in &self.named_cut {
                say(format_args!("  {noun} {line}: {} tokens", thousands(*tokens as u64)));
            }
        }
        if self.cut > NAMED_ROWS {
            say(format_args!("  and {} more", self.cut - NAMED_ROWS));
        }
        NotFinite::say_lines(&self.not_finite, self.statistics.texts, noun)
    }
}

impl Arguments {
    /// Where the vectors go, if anywhere.
    fn writers(&self) -> Result<Vec<Vectors>> {
        let json = self.json.clone().map(vectors::json_target);
        let targets: Vec<Target> = self.output.iter().cloned().chain(json).collect();
        if let [first, second] = targets.as_slice()
            && first == second
        {
            let problem = "-o and --json name the same place, and one of them would be lost";
            return Err(Failure::Usage(problem.to_owned()));
        }
        targets.iter().map(Vectors::create).collect()
    }

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
        if let Some(tokens) = self.batch.max_tokens() {
            options.max_batch_tokens = tokens;
        }
        options
    }
}

/// Embeds one part. Of the first the first batch's time is told apart.
fn embed(
    embedder: &Embedder,
    texts: &[&str],
    prompt: &PromptArguments,
    begun: bool,
    times: &mut Times,
) -> Result<Embeddings> {
    let start = Instant::now();
    let first = Mutex::new(None);
    let bar = bar(texts);
    let mut encode = embedder.encode(texts).progress(|done, total| {
        let mut first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(|| start.elapsed());
        advance(&bar, done, total);
    });
    if let Some(text) = &prompt.prompt {
        encode = encode.prompt(text);
    }
    if let Some(name) = &prompt.prompt_name {
        encode = encode.prompt_name(name);
    }
    let embeddings = encode.run();
    bar.finish_and_clear();
    let whole = start.elapsed();
    if begun {
        times.rest += whole;
    } else {
        let first = first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or(whole);
        times.first = first;
        times.rest = whole.saturating_sub(first);
    }
    Ok(embeddings?)
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
