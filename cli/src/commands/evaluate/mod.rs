//! `attentive evaluate`: a model's loss and accuracy on BERT's two pre-training tasks.

mod pairs;

use std::path::{Path, PathBuf};

use attentive::models::HeadKind;
use attentive::models::TaskScore;
use attentive::models::pretraining::Corpus;
use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};

use crate::arguments::BertArguments;
use crate::draw;
use crate::input::content;
use crate::output::{Align, Failure, NotFinite, Result, Table, advance, bar, count, note, thousands};

/// A model's loss and accuracy: BERT's on a text, by the two tasks that it is pre-trained on; a translator's on pairs
///
/// Hidden words: of each input 15 % of the tokens are to be guessed; 80 % of these are masked, 10 % replaced, 10 % left.
/// Next sentence: half of the pairs are sentences that follow each other, half have a random second one. A model without a
/// next-sentence head gets single sentences. The same file and seed give the same tasks everywhere.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive evaluate -m google-bert/bert-base-uncased book.txt
  attentive evaluate -m dates-transformer models/dates/held_out.tsv
  attentive evaluate -m english-french --against english-french-without-attention models/sentences/held_out.tsv \\
    --picture accuracy-by-length.svg
  attentive evaluate -m ./my-roberta --seed 7 --json - articles.txt | jq .masked_language.perplexity")]
pub struct Arguments {
    /// A text with one sentence a line and blank lines between documents, or for a translator a source, a tab and the
    /// right target in each line; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What words are hidden by and pairs drawn by [default: 0]
    #[arg(long, env = "ATTENTIVE_SEED", hide_env_values = true, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    bert: BertArguments,

    #[command(flatten)]
    lengths: LengthArguments,
}

/// What is told of a translator beside its exact answers.
#[derive(Args)]
struct LengthArguments {
    /// Tell a translator's exact answers by the words of the source
    #[arg(long, env = "ATTENTIVE_BY_LENGTH", hide_env_values = true, value_parser = FalseyValueParser::new())]
    by_length: bool,

    /// Another translator that answers the same pairs, told by length beside the first; may be repeated
    #[arg(long, env = "ATTENTIVE_AGAINST", hide_env_values = true, value_name = "MODEL")]
    against: Vec<String>,

    /// Draw exact answers by length, a line for each model: NAME.svg or NAME.png; may be repeated
    #[arg(long, env = "ATTENTIVE_PICTURE", hide_env_values = true, value_name = "FILE")]
    #[arg(value_parser = draw::chart_target)]
    picture: Vec<draw::Target>,

    /// A line in the picture at so many words: the longest source in training
    #[arg(
        long,
        env = "ATTENTIVE_TRAINED",
        hide_env_values = true,
        value_name = "WORDS",
        requires = "picture"
    )]
    trained: Option<usize>,
}

impl LengthArguments {
    /// Whether lengths are asked for in any way.
    fn are_asked_for(&self) -> bool {
        self.by_length || !self.against.is_empty() || !self.picture.is_empty()
    }
}

/// The text of a file or of standard input, and what that is called.
fn text(path: &Path) -> Result<(String, String)> {
    let (bytes, name) = content(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Failure::Failed(format!("{name}: line {line} is not valid UTF-8"))
    })?;
    Ok((text, name))
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.bert.answers()?;
    let place = arguments.bert.place()?;
    if place.is_translator() {
        if arguments.seed.is_some() {
            note("--seed does nothing here: a translator's pairs are all of the file's");
        }
        return pairs::run(&arguments.bert, &arguments.lengths, &place, &arguments.file, target);
    }
    if arguments.lengths.are_asked_for() {
        return Err(Failure::Usage(format!(
            "--by-length, --against and --picture are for translators, and {} is none",
            arguments.bert.model
        )));
    }
    let (text, name) = text(&arguments.file)?;
    let corpus = Corpus::parse(&text);
    if corpus.sentences() == 0 {
        return Err(Failure::Failed(format!("{name}: there are no sentences in it")));
    }
    let loaded = arguments.bert.load(None)?;
    let model = &loaded.model;
    let bar = bar();
    let found = model
        .evaluate(&corpus)
        .seed(arguments.seed.unwrap_or(0))
        .progress(|done, total| advance(&bar, done, total));
    let found = found.run();
    bar.finish_and_clear();
    let found = found?;
    if found.truncated > 0 {
        let (limit, source) = model.max_tokens();
        let cut = count(found.truncated, "input");
        note(format_args!("{cut} cut to {limit} tokens (the model's limit, by {source})"));
    }
    if found.next_sentence.is_none() {
        let name = HeadKind::NextSentence.name();
        note(format_args!("the model has no {name}: the inputs are single sentences"));
    }

    let mut table = Table::new(&[
        ("task", Align::Left),
        ("predictions", Align::Right),
        ("loss", Align::Right),
        ("perplexity", Align::Right),
        ("accuracy", Align::Right),
    ]);
    let tasks = [("hidden words", found.masked_language), ("next sentence", found.next_sentence)];
    for (name, score) in tasks {
        let Some(score) = score else { continue };
        table.row([
            name.to_owned(),
            thousands(score.count as u64),
            format!("{:.4}", score.loss),
            format!("{:.2}", score.perplexity()),
            format!("{:.2} %", 100.0 * score.accuracy()),
        ]);
    }
    let pairs = match found.true_pairs {
        Some(pairs) => format!(", {} of {} follow", pairs, count(found.statistics.texts, "pair")),
        None => String::new(),
    };
    let report = format!(
        "{table}\ntext    {}, {}{pairs}, seed {}\n{}",
        count(found.documents, "document"),
        count(found.sentences, "sentence"),
        found.seed,
        arguments.bert.summary(&loaded, &found.statistics, "input"),
    );
    let answer = json!({
        "file": arguments.file.display().to_string(),
        "model": arguments.bert.model,
        "device": model.device().name(),
        "seed": found.seed,
        "documents": found.documents,
        "sentences": found.sentences,
        "inputs": found.statistics.texts,
        "tokens": found.statistics.tokens,
        "truncated": found.truncated,
        "true_pairs": found.true_pairs,
        "masked_language": found.masked_language.map(score),
        "next_sentence": found.next_sentence.map(score),
    });
    let scores = [found.masked_language, found.next_sentence].into_iter().flatten();
    let not_finite = NotFinite::say_of(
        "the loss is",
        scores.into_iter().all(|score| score.count == 0 || score.loss.is_finite()),
    );
    target.write(&[answer], &report)?;
    not_finite.end()
}

fn score(score: TaskScore) -> Value {
    json!({
        "predictions": score.count,
        "right": score.right,
        "loss": score.loss,
        "perplexity": score.perplexity(),
        "accuracy": score.accuracy(),
    })
}
