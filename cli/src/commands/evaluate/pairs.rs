//! `attentive evaluate` on a model that writes a text for a text: how many of its outputs are exactly right.

use std::path::Path;
use std::time::Instant;

use attentive::models::{TranslationProgress, Translations, Translator};
use serde_json::json;

use super::LengthArguments;
use crate::arguments::{BertArguments, Place, caption};
use crate::draw::{Picture, Theme, accuracy_by_length};
use crate::input::{self, Format, check_rows, refuse_rows};
use crate::output::{
    Answers, BadRows, ByLength, Failure, NotFinite, Result, bar, by_length, count, note, shortened, thousands,
};

/// Wrong outputs that are shown.
const SHOWN: usize = 10;

/// The source and the right target of a line.
fn parted(line: &str) -> Result<(&str, &str), String> {
    line.split_once('\t')
        .ok_or_else(|| "needed is a source, a tab and the right target; there is no tab".to_owned())
}

/// The model's outputs for sources.
fn translated(translator: &Translator, sources: &[&str], arguments: &BertArguments) -> Result<Translations> {
    let bar = bar();
    let mut translate = translator.translate(sources);
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
    Ok(found?)
}

/// Which pairs of all a model answers exactly, by their lengths.
fn lengths(pairs: &[(&str, &str)], found: &Translations) -> ByLength {
    let answered = found.texts.iter().map(|outputs| outputs.first().map(|output| output.text.as_str()));
    ByLength::of(pairs.iter().zip(answered).map(|((source, right), found)| (*source, found == Some(*right))))
}

pub fn run(
    arguments: &BertArguments,
    lengths_wanted: &LengthArguments,
    place: &Place,
    file: &Path,
    target: Answers,
) -> Result<()> {
    let mut rows = input::read(file, Some(Format::Text), None)?;
    rows.retain(|row| row.text.as_deref() != Ok(""));
    if rows.is_empty() {
        return Err(Failure::file(file, "there are no pairs in it"));
    }
    refuse_rows(&mut rows, |line| parted(line).err());
    let pictures: Vec<Picture> = lengths_wanted.picture.iter().map(Picture::create).collect::<Result<_>>()?;
    let others: Vec<(&str, Place)> = lengths_wanted
        .against
        .iter()
        .map(|name| {
            let place = arguments.place_of(name)?;
            match place.is_translator() {
                true => Ok((name.as_str(), place)),
                false => Err(Failure::Usage(format!("--against is for translators, and {name} is none"))),
            }
        })
        .collect::<Result<_>>()?;
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
    let sources: Vec<&str> = pairs.iter().map(|(source, _)| *source).collect();
    let found = translated(&translator, &sources, arguments)?;
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
    let mut answer = json!({
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
    if lengths_wanted.are_asked_for() {
        let mut all = vec![(arguments.model.as_str(), lengths(&pairs, &found))];
        for (name, place) in &others {
            let translator = place.translator(&device, arguments.dtype())?;
            all.push((name, lengths(&pairs, &translated(&translator, &sources, arguments)?)));
        }
        let named: Vec<(&str, &ByLength)> = all.iter().map(|(name, of)| (caption(name), of)).collect();
        report += &format!("\n{}", by_length::table(&named));
        answer["by_length"] = all[0].1.json();
        let other = |(name, of): &(&str, ByLength)| {
            let right: usize = of.rows().iter().map(|row| row.right).sum();
            json!({
                "model": name, "right": right, "accuracy": right as f64 / pairs.len() as f64, "by_length": of.json(),
            })
        };
        answer["against"] = all[1..].iter().map(other).collect();
        let mark = lengths_wanted.trained.map(|words| (words, "longest in training"));
        for picture in pictures {
            picture.write_svg(&accuracy_by_length(&named, mark, Theme::Light))?;
        }
    }
    let not_finite = NotFinite::say(&rows, &found.not_finite(), "line");
    target.write(&[answer], &report)?;
    bad.end("answered").and(not_finite.end())
}
