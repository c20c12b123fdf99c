//! `attentive classify`: labels of texts, or of their tokens.

use attentive::models::{HeadKind, Scores};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::{Map, Value, json};

use crate::arguments::{ActivationName, BertArguments, PromptArguments, TextArguments};
use crate::input::{expect_pairs, parted};
use crate::output::{
    Align, BadRows, NotFinite, Result, Table, advance, bar, count, note, objects, shortened,
};

/// Labels of texts, or of each token, by a model's classification head
///
/// Which of the two it is, the model decides. Labels are those of its config.json (id2label).
/// A score is what the folder makes of the label's logit: softmax over several labels, the logistic function for one, or the
/// activation that sentence-transformers wrote into it. The logits are in the JSON.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive classify -m distilbert/distilbert-base-uncased-finetuned-sst-2-english \"What a day!\"
  attentive classify -m dslim/bert-base-NER \"Ada Lovelace lived in London.\"
  attentive classify -m ./my-entailment --pairs --input pairs.tsv --json -")]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,

    /// Each text is a pair, its two parts parted by a tab
    #[arg(long, env = "ATTENTIVE_PAIRS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pairs: bool,

    /// What a text's logits go through to become scores [default: what the model's folder says]
    #[arg(long, env = "ATTENTIVE_ACTIVATION", hide_env_values = true, value_enum, value_name = "NAME")]
    activation: Option<ActivationName>,

    #[command(flatten)]
    prompt: PromptArguments,

    #[command(flatten)]
    bert: BertArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.bert.answers()?;
    let rows = if arguments.pairs {
        let mut rows = arguments.texts.pairs("classify")?;
        expect_pairs(&mut rows);
        rows
    } else {
        arguments.texts.rows("classify")?
    };
    let loaded = arguments.bert.load(None)?;
    let model = &loaded.model;
    let of_tokens = model.heads().iter().any(|head| head.kind() == HeadKind::Token) && !arguments.pairs;
    if !of_tokens {
        // Said before the work.
        model.head(HeadKind::Sequence)?;
        arguments.prompt.check(model.prompts(), &[])?;
    } else if arguments.activation.is_some() {
        note("--activation does nothing here: a token has one label, by softmax");
    }
    let bad = BadRows::say(&rows);
    let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref().ok()).collect();
    let bar = bar();
    let tell = |done: usize, total: usize| advance(&bar, done, total);
    let mut answers: Vec<Value> = Vec::new();
    let mut report = String::new();
    let (statistics, cut, not_finite);
    if of_tokens {
        let found = model.classify_tokens(&texts).progress(tell).run();
        bar.finish_and_clear();
        let found = found?;
        for (text, tokens) in texts.iter().zip(&found.texts) {
            let mut table = Table::new(&[("token", Align::Left), ("label", Align::Left), ("", Align::Right)]);
            for token in tokens.iter().filter(|token| !token.special) {
                let (label, probability) = best(&found.labels, &token.scores);
                table.row([shortened(&token.token, 40), shortened(label, 40), format!("{probability:.4}")]);
            }
            report += &format!("{}\n{table}\n", shortened(text, 200));
            let tokens = tokens.iter().map(|token| {
                let (label, probability) = best(&found.labels, &token.scores);
                json!({
                    "token": token.token, "special": token.special, "label": label, "probability": probability,
                    "logits": by_label(&found.labels, &token.scores.logits),
                })
            });
            answers.push(json!({ "text": text, "tokens": tokens.collect::<Vec<_>>() }));
        }
        (statistics, cut, not_finite) = (found.statistics, found.truncations.len(), found.not_finite());
    } else {
        let pairs: Vec<(&str, &str)> = match arguments.pairs {
            true => texts.iter().filter_map(|text| parted(text).ok()).collect(),
            false => Vec::new(),
        };
        let mut call = if arguments.pairs { model.classify_pairs(&pairs) } else { model.classify(&texts) };
        if let Some(activation) = arguments.activation {
            call = call.activation(activation.activation());
        }
        if let Some(prompt) = &arguments.prompt.prompt {
            call = call.prompt(prompt);
        }
        if let Some(name) = &arguments.prompt.prompt_name {
            call = call.prompt_name(name);
        }
        let found = call.progress(tell).run();
        bar.finish_and_clear();
        let found = found?;
        let mut table = Table::new(&[("", Align::Right), ("label", Align::Left), ("text", Align::Left)]);
        for (text, scores) in texts.iter().zip(&found.answers) {
            let (label, probability) = best(&found.labels, scores);
            table.row([format!("{probability:.4}"), shortened(label, 40), shortened(text, 80)]);
            answers.push(json!({
                "text": text,
                "label": label,
                "score": probability,
                "scores": by_label(&found.labels, &scores.scores),
                "logits": by_label(&found.labels, &scores.logits),
            }));
        }
        report += &format!("{table}\n");
        (statistics, cut, not_finite) = (found.statistics, found.truncations.len(), found.not_finite());
    }
    if cut > 0 {
        let (limit, source) = model.max_tokens();
        note(format_args!("{} cut to {limit} tokens (the model's limit, by {source})", count(cut, "text")));
    }
    report += &arguments.bert.summary(&loaded, &statistics, "text");
    let not_finite = NotFinite::say(&rows, &not_finite, arguments.texts.noun());
    target.write(&objects(&rows, answers.into_iter()), &report)?;
    bad.end("answered").and(not_finite.end())
}

fn by_label(labels: &[String], values: &[f32]) -> Map<String, Value> {
    labels.iter().cloned().zip(values.iter().map(|&value| json!(value))).collect()
}

/// The best label and what it comes to.
fn best<'a>(labels: &'a [String], scores: &Scores) -> (&'a str, f32) {
    let found = scores.best().and_then(|best| Some((labels.get(best)?.as_str(), *scores.scores.get(best)?)));
    found.unwrap_or(("–", f32::NAN))
}
