//! `attentive evaluate` on a model that writes a text for a text: how many of its outputs are exactly right.

use std::path::{Path, PathBuf};
use std::time::Instant;

use attentive::models::{EmbeddedModel, TranslationProgress, Translator};
use attentive::weights::Seq2SeqConfig;
use serde_json::json;

use crate::bert::{BertArguments, Target};
use crate::output::{Failure, Result, bar, count, note, thousands};

/// Wrong outputs that are shown.
const SHOWN: usize = 10;

/// Where such a model is.
pub enum Place {
    Embedded(EmbeddedModel),
    Folder(PathBuf),
}

/// The model, if it is one that writes a text for a text.
pub fn translator(arguments: &BertArguments) -> Result<Option<Place>> {
    let name = &arguments.model;
    if let Some(embedded) = EmbeddedModel::named(name).filter(|_| !Path::new(name).is_dir()) {
        return Ok(Some(Place::Embedded(embedded)));
    }
    let folder = arguments.folder()?;
    let path = folder.join("config.json");
    let is_one = std::fs::read(&path).is_ok_and(|json| Seq2SeqConfig::from_json(&json, &path).is_ok());
    Ok(is_one.then_some(Place::Folder(folder)))
}

pub fn run(arguments: &BertArguments, place: Place, text: &str, file: &Path, target: Target) -> Result<()> {
    let mut pairs = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.is_empty()) {
        let Some((source, right)) = text.split_once('\t') else {
            let problem =
                format!("line {line}: needed is a source, a tab and the right target; there is no tab");
            return Err(Failure::file(file, problem));
        };
        pairs.push((source, right));
    }
    if pairs.is_empty() {
        return Err(Failure::file(file, "there are no pairs in it"));
    }
    let start = Instant::now();
    let device = arguments.device()?;
    let translator = match place {
        Place::Embedded(embedded) => Translator::embedded(&device, embedded, arguments.dtype())?,
        Place::Folder(folder) => Translator::from_dir(&device, folder, arguments.dtype())?,
    };
    translator.notices().iter().for_each(note);
    let load = start.elapsed();
    let start = Instant::now();
    let bar = bar();
    let sources: Vec<&str> = pairs.iter().map(|(source, _)| *source).collect();
    let found = translator.translate(&sources).progress(|progress: TranslationProgress| {
        bar.set_length(progress.of_texts as u64);
        bar.set_position(progress.texts as u64);
        bar.set_message("pairs");
    });
    let found = found.run();
    bar.finish_and_clear();
    let found = found?;
    let took = start.elapsed();

    let outputs: Vec<_> = found.texts.iter().filter_map(|outputs| outputs.first()).collect();
    let wrong: Vec<usize> = (0..pairs.len()).filter(|&pair| outputs[pair].text != pairs[pair].1).collect();
    let right = pairs.len() - wrong.len();
    let accuracy = right as f64 / pairs.len() as f64;
    let mut report = format!(
        "exact   {} of {}: {:.2} %\n",
        thousands(right as u64),
        count(pairs.len(), "pair"),
        100.0 * accuracy
    );
    for &pair in wrong.iter().take(SHOWN) {
        let ((source, right), output) = (pairs[pair], outputs[pair]);
        let probability = output.probability();
        report += &format!("wrong   {source} → {} ({probability:.3}), not {right}\n", output.text);
    }
    if wrong.len() > SHOWN {
        report += &format!("        and {} more\n", wrong.len() - SHOWN);
    }
    let statistics = &found.statistics;
    report += &format!(
        "model   {}\ndevice  {}\noutput  {}, in {}\ntime    loading {:.2} s, running {:.2} s\n",
        arguments.model,
        device.name(),
        count(statistics.tokens, "token"),
        count(statistics.steps, "step"),
        load.as_secs_f64(),
        took.as_secs_f64(),
    );
    let answer = json!({
        "file": file.display().to_string(),
        "model": arguments.model,
        "device": device.name(),
        "pairs": pairs.len(),
        "right": right,
        "accuracy": accuracy,
        "wrong": wrong.iter().map(|&pair| json!({
            "source": pairs[pair].0, "output": outputs[pair].text, "right": pairs[pair].1,
            "probability": outputs[pair].probability(),
        })).collect::<Vec<_>>(),
    });
    target.write(&[answer], &report)
}
