//! `attentive evaluate` on a model that writes a text for a text: how many of its outputs are exactly right.

use std::path::Path;
use std::time::Instant;

use attentive::models::TranslationProgress;
use serde_json::json;

use crate::arguments::{BertArguments, Place};
use crate::input::{self, Format, check_rows, refuse_rows};
use crate::output::{Answers, BadRows, Failure, NotFinite, Result, bar, count, note, shortened, thousands};

/// Wrong outputs that are shown.
const SHOWN: usize = 10;

/// The source and the right target of a line.
fn parted(line: &str) -> Result<(&str, &str), String> {
    line.split_once('\t')
        .ok_or_else(|| "needed is a source, a tab and the right target; there is no tab".to_owned())
}

pub fn run(arguments: &BertArguments, place: &Place, file: &Path, target: Answers) -> Result<()> {
    let mut rows = input::read(file, Some(Format::Text), None)?;
    rows.retain(|row| row.text.as_deref() != Ok(""));
    if rows.is_empty() {
        return Err(Failure::file(file, "there are no pairs in it"));
    }
    refuse_rows(&mut rows, |line| parted(line).err());
    let start = Instant::now();
    let device = arguments.device()?;
    let translator = place.translator(&device, arguments.dtype())?;
    translator.notices().iter().for_each(note);
    check_rows(&mut rows, |line| match parted(line) {
        Ok((source, _)) => translator.check_source(source),
        Err(_) => Ok(()),
    });
    let bad = BadRows::say(&rows);
    let lines = rows.iter().filter_map(|row| row.text.as_deref().ok());
    let pairs: Vec<(&str, &str)> = lines.filter_map(|line| parted(line).ok()).collect();
    if pairs.is_empty() {
        return bad.end("answered");
    }
    let load = start.elapsed();
    let start = Instant::now();
    let bar = bar();
    let sources: Vec<&str> = pairs.iter().map(|(source, _)| *source).collect();
    let mut translate = translator.translate(&sources);
    if let Some(tokens) = arguments.max_batch_tokens() {
        translate = translate.max_batch_tokens(tokens);
    }
    let found = translate.progress(|progress: TranslationProgress| {
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
        let [source, right, text] = [source, right, &output.text].map(|text| shortened(text, 100));
        let probability = output.probability();
        report += &format!("wrong   {source} → {text} ({probability:.3}), not {right}\n");
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
    let not_finite = NotFinite::say(&rows, &found.not_finite(), "line");
    target.write(&[answer], &report)?;
    bad.end("answered").and(not_finite.end())
}
