//! What a trained model answers to held-out pairs.

use std::path::Path;

use attentive::models::{Translation, TranslationProgress, Translator};
use attentive::{DType, Device};
use serde_json::{Value, json};

use crate::output::{ByLength, Result, advance, bar, thousands};

/// Wrong answers that are shown.
const SHOWN: usize = 20;

/// What the model makes of each source.
fn answers(translator: &Translator, pairs: &[(String, String)]) -> Result<Vec<String>> {
    let texts: Vec<&str> = pairs.iter().map(|(text, _)| text.as_str()).collect();
    let bar = bar();
    let translations = translator
        .translate(&texts)
        .progress(|progress: TranslationProgress| advance(&bar, progress.texts, texts.len()))
        .run();
    bar.finish_and_clear();
    let first = |found: Vec<Translation>| found.into_iter().next().map_or(String::new(), |found| found.text);
    Ok(translations?.texts.into_iter().map(first).collect())
}

/// The share of pairs that the model answers exactly.
pub fn exact_share(translator: &Translator, pairs: &[(String, String)]) -> Result<f64> {
    let answers = answers(translator, pairs)?;
    let exact = pairs.iter().zip(&answers).filter(|((_, answer), found)| answer == *found).count();
    Ok(exact as f64 / pairs.len().max(1) as f64)
}

/// How many of the held-out pairs the model in the folder answers exactly, of each length if asked for, and some that it does not: for
/// the eye, and as JSON.
pub fn report(
    folder: &Path,
    device: &Device,
    held_out: &[(String, String)],
    with_lengths: bool,
) -> Result<(String, Value)> {
    let translator = Translator::from_dir(device, folder, DType::F32)?;
    let answers = answers(&translator, held_out)?;
    let answers = answers.iter().map(String::as_str);
    let answered: Vec<(&str, &str, &str)> = held_out
        .iter()
        .zip(answers)
        .map(|((text, answer), found)| (text.as_str(), answer.as_str(), found))
        .collect();
    let wrong: Vec<&(&str, &str, &str)> =
        answered.iter().filter(|(_, answer, found)| answer != found).collect();
    let exact = answered.len() - wrong.len();
    let accuracy = exact as f64 / answered.len().max(1) as f64;
    let path = folder.join("model.safetensors");
    let mut text = format!(
        "{} of {} held-out pairs exact ({:.2} %), by the weights in f16\n{}\n",
        thousands(exact as u64),
        thousands(answered.len() as u64),
        100.0 * accuracy,
        path.display()
    );
    let mut object = json!({
        "weights": path.display().to_string(),
        "pairs": answered.len(),
        "right": exact,
        "accuracy": accuracy,
        "wrong": wrong.iter().map(|(source, right, output)| json!({
            "source": source, "output": output, "right": right,
        })).collect::<Vec<_>>(),
    });
    if with_lengths {
        let by_length = ByLength::of(answered.iter().map(|(text, answer, found)| (*text, answer == found)));
        text += &by_length.table().to_string();
        object["by_length"] = by_length.json();
    }
    for (source, answer, found) in wrong.iter().take(SHOWN) {
        text += &format!("  {source} → {answer}, answered {found}\n");
    }
    if wrong.len() > SHOWN {
        text += &format!("  and {} more\n", wrong.len() - SHOWN);
    }
    Ok((text, object))
}
