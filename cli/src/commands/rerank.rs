//! `attentive rerank`: documents by how well they answer a query.

use attentive::BertModel;
use attentive::models::{HeadKind, Ranking};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::arguments::{ActivationName, BertArguments, PromptArguments, TextArguments};
use crate::input::Row;
use crate::output::{Align, BadRows, NotFinite, Result, Table, advance, bar, count, note, shortened};

/// Where the hub has rerankers that are called by one word.
const ORGANIZATION: &str = "cross-encoder";

/// Rank documents by how well they answer a query, by a cross-encoder: a model that reads both together
///
/// The order is that of the model's logits. A score is what the model's folder makes of a logit (the logistic function,
/// unless it says otherwise), and may be 1.0000 for several documents whose logits differ. A line of the input that cannot be
/// read is named, and the exit status is 1.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive rerank \"how many people live in Berlin?\" \"Berlin has 3.8 million inhabitants.\" \"Berlin is a city.\"
  attentive rerank -m BAAI/bge-reranker-base \"what is a panda?\" --input passages.txt --top 10
  attentive rerank -m ./my-reranker \"red shoes\" --input products.csv --column title --json - | jq .index")]
#[command(mut_arg("model", |model| model
    .default_value("cross-encoder/ms-marco-MiniLM-L6-v2")
    .help("A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is cross-encoder/NAME), which is downloaded into its \
        cache (HF_HOME)")))]
#[command(mut_arg("texts", |texts| texts.value_name("DOCUMENT").help("The documents")))]
pub struct Arguments {
    /// What is asked
    #[arg(value_name = "QUERY")]
    query: String,

    #[command(flatten)]
    documents: TextArguments,

    /// Give the best documents only, so many
    #[arg(long, short = 'k', visible_alias = "top-k", env = "ATTENTIVE_TOP", hide_env_values = true)]
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,

    /// What logits go through to become scores [default: what the model's folder says]
    #[arg(long, env = "ATTENTIVE_ACTIVATION", hide_env_values = true, value_enum, value_name = "NAME")]
    activation: Option<OneLabel>,

    #[command(flatten)]
    prompt: PromptArguments,

    #[command(flatten)]
    bert: BertArguments,
}

/// The activations that mean something for one label.
#[derive(Clone, Copy, ValueEnum)]
enum OneLabel {
    /// Nothing: the score is the logit
    Identity,
    /// 1 / (1 + exp(−x))
    Sigmoid,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.bert.answers()?;
    let rows = arguments.documents.rows("rank")?;
    let loaded = arguments.bert.load_of(ORGANIZATION, Some(vec![HeadKind::Sequence]))?;
    let model = &loaded.model;
    model.check_reranker()?;
    arguments.prompt.check(model.prompts(), &[])?;
    let bad = BadRows::say(&rows);
    // The places among the rows, and the texts, of those that could be read.
    let (places, texts): (Vec<usize>, Vec<&str>) =
        rows.iter().enumerate().filter_map(|(place, row)| Some((place, row.text.as_deref().ok()?))).unzip();
    let bar = bar();
    let mut call = model.rerank(&arguments.query, &texts).progress(|done, total| advance(&bar, done, total));
    if let Some(top) = arguments.top {
        call = call.top(top as usize);
    }
    if let Some(activation) = arguments.activation {
        call = call.activation(match activation {
            OneLabel::Identity => ActivationName::Identity.activation(),
            OneLabel::Sigmoid => ActivationName::Sigmoid.activation(),
        });
    }
    if let Some(prompt) = &arguments.prompt.prompt {
        call = call.prompt(prompt);
    }
    if let Some(name) = &arguments.prompt.prompt_name {
        call = call.prompt_name(name);
    }
    let ranking = call.run();
    bar.finish_and_clear();
    let ranking = ranking?;
    say_truncations(model, &ranking);

    let noun = arguments.documents.noun();
    let report = format!(
        "{}\n{}",
        table(&ranking, &rows, &places, &texts, noun),
        arguments.bert.summary(&loaded, &ranking.statistics, "document")
    );
    let not_finite = NotFinite::say(&rows, &ranking.not_finite(), noun);
    target.write(&objects(&ranking, &rows, &places, &texts), &report)?;
    bad.end("answered").and(not_finite.end())
}

fn table(ranking: &Ranking, rows: &[Row], places: &[usize], texts: &[&str], noun: &str) -> Table {
    let (right, left) = (Align::Right, Align::Left);
    let mut table =
        Table::new(&[("", right), ("score", right), ("logit", right), (noun, right), ("document", left)]);
    for (number, ranked) in (1..).zip(&ranking.ranked) {
        table.row([
            format!("{number}."),
            format!("{:.4}", ranked.score),
            format!("{:.4}", ranked.logit),
            rows[places[ranked.document]].line.to_string(),
            shortened(texts[ranked.document], 80),
        ]);
    }
    table
}

/// The documents, the best first; behind them the rows that could not be read.
fn objects(ranking: &Ranking, rows: &[Row], places: &[usize], texts: &[&str]) -> Vec<Value> {
    let ranked = (1..).zip(&ranking.ranked).map(|(number, ranked)| {
        let mut object = json!({
            "rank": number,
            "index": places[ranked.document],
            "score": ranked.score,
            "logit": ranked.logit,
            "text": texts[ranked.document],
        });
        if let Ok(cut) = ranking.truncations.binary_search_by_key(&ranked.document, |cut| cut.index) {
            let cut = ranking.truncations[cut];
            object["truncated"] = json!({ "tokens": cut.tokens, "kept": cut.kept });
        }
        object
    });
    let unread = rows.iter().enumerate().filter_map(|(index, row)| {
        let problem = row.text.as_ref().err()?;
        Some(json!({ "index": index, "error": format!("line {}: {problem}", row.line) }))
    });
    ranked.chain(unread).collect()
}

fn say_truncations(model: &BertModel, ranking: &Ranking) {
    if !ranking.truncations.is_empty() {
        let (limit, source) = model.max_tokens();
        let cut = count(ranking.truncations.len(), "document");
        note(format_args!("{cut} cut to {limit} tokens with the query (the model's limit, by {source})"));
    }
}
