//! What a trained BERT makes of the text that was held out, beside what can be known without a model.

use std::path::Path;

use attentive::models::TaskScore;
use attentive::models::pretraining::{Corpus, Masking};
use attentive::{BertModel, Device};
use serde_json::{Value, json};

use super::text::Text;
use crate::output::{Align, Result, Table, advance, bar, count, thousands};

/// Pairs are drawn and words hidden by it, as `attentive evaluate` does where it is told no other seed.
const SEED: u64 = 0;

/// Loss and accuracy of the model in the folder on both tasks, for the eye and as JSON.
pub fn report(folder: &Path, device: &Device, text: &Text) -> Result<(String, Value)> {
    let model = BertModel::from_dir(device, folder)?;
    let bar = bar();
    let found =
        model.evaluate(&text.held_out).seed(SEED).progress(|done, total| advance(&bar, done, total)).run();
    bar.finish_and_clear();
    let found = found?;
    let mut table = Table::new(&[
        ("task", Align::Left),
        ("predictions", Align::Right),
        ("loss", Align::Right),
        ("accuracy", Align::Right),
        ("without a model", Align::Right),
        ("accuracy", Align::Right),
    ]);
    let mut object = json!({
        "weights": folder.join("model.safetensors").display().to_string(),
        "documents": found.documents,
        "sentences": found.sentences,
    });
    let tasks = [
        ("hidden words", "masked_language", found.masked_language, frequencies(&model, text)?),
        (
            "next sentence",
            "next_sentence",
            found.next_sentence,
            chance(&found.true_pairs, found.next_sentence),
        ),
    ];
    for (name, key, score, without) in tasks {
        let Some(score) = score else { continue };
        table.row([
            name.to_owned(),
            thousands(score.count as u64),
            format!("{:.3}", score.loss),
            percent(score.accuracy()),
            format!("{:.3}", without.loss),
            percent(without.accuracy),
        ]);
        object[key] = json!({
            "predictions": score.count,
            "loss": score.loss,
            "accuracy": score.accuracy(),
            "loss_without_model": without.loss,
            "accuracy_without_model": without.accuracy,
        });
    }
    let text = format!(
        "{table}\nheld out  {} of {}\nweights   {}\n",
        count(found.documents, "document"),
        count(found.sentences, "sentence"),
        folder.join("model.safetensors").display()
    );
    Ok((text, object))
}

/// The loss of both tasks on what is held out, added as training adds them.
pub fn held_out_loss(model: &BertModel, text: &Text) -> Result<f64> {
    let found = model.evaluate(&text.held_out).seed(SEED).run()?;
    Ok([found.masked_language, found.next_sentence].into_iter().flatten().map(|score| score.loss).sum())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// What is known of a task without a model.
struct Without {
    loss: f64,
    accuracy: f64,
}

/// Of hidden words: how frequent each token is in what was trained on, counted once more than it is there, so that none is impossible.
fn frequencies(model: &BertModel, text: &Text) -> Result<Without> {
    let mut counts = vec![1_u64; model.config().vocabulary_size];
    let sentences = |corpus: &Corpus| -> Vec<String> { corpus.documents().concat() };
    let (most, _) = model.max_tokens();
    let special = model.tokenizer().special_ids();
    for encoding in model.tokenizer().encode_batch(&sentences(&text.training), most)? {
        for id in encoding.ids.iter().filter(|id| special.binary_search(id).is_err()) {
            counts[*id as usize] += 1;
        }
    }
    let all: u64 = counts.iter().sum();
    let most = (0..).zip(&counts).max_by_key(|(_, count)| **count).map_or(0, |(id, _)| id);
    let inputs = model.pretraining_inputs(&text.held_out, &Masking::default(), SEED)?;
    let labels: Vec<u32> = inputs.iter().flat_map(|input| input.tokens.labels.iter().copied()).collect();
    let loss = |label: &u32| (all as f64 / counts[*label as usize] as f64).ln();
    let number = labels.len().max(1) as f64;
    Ok(Without {
        loss: labels.iter().map(loss).sum::<f64>() / number,
        accuracy: labels.iter().filter(|label| **label == most).count() as f64 / number,
    })
}

/// Of pairs: how many there are of each kind.
fn chance(true_pairs: &Option<usize>, score: Option<TaskScore>) -> Without {
    let all = score.map_or(0, |score| score.count).max(1) as f64;
    let next = true_pairs.unwrap_or(0) as f64 / all;
    Without { loss: std::f64::consts::LN_2, accuracy: next.max(1.0 - next) }
}
