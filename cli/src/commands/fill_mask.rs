//! `attentive fill-mask`: what stands behind a mask.

use attentive::models::{FilledText, HeadKind};
use clap::Args;
use serde_json::{Value, json};

use crate::arguments::{BertArguments, TextArguments};
use crate::input::check_rows;
use crate::output::{Align, BadRows, NotFinite, Result, Table, advance, bar, objects, shortened};

/// Guess the hidden words of texts: the most probable ones, with their probabilities
///
/// A hidden word is written as the model's mask token: [MASK] for BERT and DistilBERT, <mask> for RoBERTa. A text may have
/// several; each is answered for itself. A text that has none, or more tokens than the model takes, is named by its line,
/// and the exit status is 1.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive fill-mask \"Paris is the [MASK] of France.\"
  attentive fill-mask -m FacebookAI/roberta-base --top 3 \"The <mask> sat on the <mask>.\"
  attentive fill-mask -m ./my-bert --input texts.txt --json - | jq '.masks[0].predictions[0].text'")]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,

    /// Words for each mask
    #[arg(
        long,
        short = 'k',
        env = "ATTENTIVE_TOP",
        hide_env_values = true,
        value_name = "N",
        default_value = "5"
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,

    #[command(flatten)]
    bert: BertArguments,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.bert.answers()?;
    let mut rows = arguments.texts.rows("fill")?;
    let loaded = arguments.bert.load(Some(vec![HeadKind::MaskedLanguage]))?;
    let model = &loaded.model;
    if model.mask_token().is_some() {
        check_rows(&mut rows, |text| model.count_masks(text).map(|_| ()));
    }
    let bad = BadRows::say(&rows);
    let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref().ok()).collect();
    let bar = bar();
    let filled = model
        .fill_mask(&texts)
        .top(arguments.top as usize)
        .progress(|done, total| advance(&bar, done, total));
    let filled = filled.run();
    bar.finish_and_clear();
    let filled = filled?;

    let answers = filled.texts.iter().zip(&texts).map(|(filled, text)| object(text, filled));
    let mut report = String::new();
    for (text, filled) in texts.iter().zip(&filled.texts) {
        report += &format!("{}\n", shortened(text, 200));
        for (number, mask) in (1..).zip(&filled.masks) {
            if filled.masks.len() > 1 {
                report += &format!("  mask {number}\n");
            }
            let mut table = Table::new(&[("", Align::Right), ("", Align::Left)]);
            for word in &mask.predictions {
                table.row([format!("{:.4}", word.probability), shortened(&word.text, 60)]);
            }
            report += table.to_string().trim_start_matches('\n');
        }
        report += &format!("  → {}\n\n", shortened(&filled.sequence, 200));
    }
    report += &arguments.bert.summary(&loaded, &filled.statistics, "text");
    let not_finite = NotFinite::say(&rows, &filled.not_finite(), arguments.texts.noun());
    target.write(&objects(&rows, answers), &report)?;
    bad.end("answered").and(not_finite.end())
}

fn object(text: &str, filled: &FilledText) -> Value {
    let masks: Vec<Value> = filled
        .masks
        .iter()
        .map(|mask| {
            let predictions = mask.predictions.iter().map(|word| {
                json!({
                    "text": word.text,
                    "token": word.token,
                    "id": word.id,
                    "probability": word.probability,
                    "logit": word.logit,
                })
            });
            json!({ "token": mask.token, "predictions": predictions.collect::<Vec<_>>() })
        })
        .collect();
    json!({ "text": text, "sequence": filled.sequence, "masks": masks })
}
