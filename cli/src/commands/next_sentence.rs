//! `attentive next-sentence`: does one sentence follow another?

use std::path::PathBuf;

use attentive::models::HeadKind;
use clap::Args;
use serde_json::json;

use crate::arguments::BertArguments;
use crate::input::{self, Format, Row, check_rows, expect_pairs, parted};
use crate::output::{Align, BadRows, Failure, NotFinite, Result, Table, advance, bar, objects, shortened};

/// The probability that the second sentence follows the first, by BERT's next-sentence head
///
/// Of a file each line is a pair, its sentences parted by a tab. A line without two sentences, or with more tokens than
/// the model takes, is named, and the exit status is 1.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive next-sentence \"It rained all day.\" \"So we stayed at home.\"
  attentive next-sentence -m ./my-bert --input pairs.tsv --json - | jq .probability")]
pub struct Arguments {
    /// The first sentence and the second
    #[arg(value_name = "SENTENCE", conflicts_with = "input")]
    sentences: Vec<String>,

    /// A file with a pair on each line, parted by a tab; - is standard input
    #[arg(long, short, env = "ATTENTIVE_INPUT", hide_env_values = true, value_name = "FILE")]
    input: Option<PathBuf>,

    #[command(flatten)]
    bert: BertArguments,
}

fn rows(arguments: &Arguments) -> Result<Vec<Row>> {
    if let Some(path) = &arguments.input {
        let mut rows = input::read(path, Some(Format::Text), None)?;
        expect_pairs(&mut rows);
        return Ok(rows);
    }
    match arguments.sentences.as_slice() {
        [first, second] => {
            // A tab is white space to every tokenizer here.
            let text = format!("{}\t{}", first.replace('\t', " "), second.replace('\t', " "));
            Ok(vec![Row { line: 1, text: Ok(text) }])
        }
        other => Err(Failure::Usage(format!(
            "it takes 2 sentences, of which the second may follow the first, but there are {}; a file of pairs goes to --input",
            other.len()
        ))),
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.bert.answers()?;
    let mut rows = rows(arguments)?;
    let loaded = arguments.bert.load(Some(vec![HeadKind::NextSentence]))?;
    let model = &loaded.model;
    check_rows(&mut rows, |line| match parted(line) {
        Ok((first, second)) => model.check_pair(first, second),
        Err(_) => Ok(()),
    });
    let bad = BadRows::say(&rows);
    let lines = rows.iter().filter_map(|row| row.text.as_deref().ok());
    let pairs: Vec<(&str, &str)> = lines.filter_map(|line| parted(line).ok()).collect();
    let bar = bar();
    let found = model.next_sentence(&pairs).progress(|done, total| advance(&bar, done, total));
    let found = found.run();
    bar.finish_and_clear();
    let found = found?;

    let answers = pairs.iter().zip(&found.answers).map(|((first, second), answer)| {
        let [next, random] = answer.logits;
        json!({
            "first": first,
            "second": second,
            "probability": answer.probability,
            "logits": { "next": next, "random": random },
        })
    });
    let mut table = Table::new(&[("follows", Align::Right), ("first", Align::Left), ("second", Align::Left)]);
    for ((first, second), answer) in pairs.iter().zip(&found.answers) {
        table.row([format!("{:.4}", answer.probability), shortened(first, 48), shortened(second, 48)]);
    }
    let report = format!("{table}\n{}", arguments.bert.summary(&loaded, &found.statistics, "pair"));
    let noun = if arguments.input.is_some() { "line" } else { "pair" };
    let not_finite = NotFinite::say(&rows, &found.not_finite(), noun);
    target.write(&objects(&rows, answers), &report)?;
    bad.end("answered").and(not_finite.end())
}
