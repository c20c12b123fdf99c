//! The text that BERT is trained on: a file of the user's, or the Bible as Debian's package `bible-kjv` prints it.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};

use attentive::models::pretraining::Corpus;
use fastrand::Rng;

use crate::input::content;
use crate::output::{Failure, Result, count};

/// The program of the package, which finds the text in the package `bible-kjv-text` and unpacks it, and what prints all of it, a verse
/// on each line behind its place.
const PROGRAM: &str = "bible";
const ALL_VERSES: [&str; 2] = ["-f", "genesis1:1-revelation22:21"];
/// What documents are held out by, whatever the run's seed is, so that runs can be compared.
const HELD_OUT_SEED: u64 = 0x1810_4805;

/// A text in two parts.
pub struct Text {
    /// What it is called.
    pub name: String,
    pub training: Corpus,
    pub held_out: Corpus,
    /// What tells it from other texts.
    pub checksum: u32,
}

impl Text {
    /// Of a file with a sentence on each line and empty lines between documents, or without one of the Bible: a verse is a sentence and
    /// a chapter a document. `held_out` documents, a twentieth of them where no number is said, are drawn to be held out.
    pub fn read(file: Option<&Path>, held_out: Option<NonZeroUsize>) -> Result<Self> {
        let (documents, name) = match file {
            Some(path) => {
                let (bytes, name) = content(path)?;
                let text = String::from_utf8(bytes).map_err(|error| {
                    let at = error.utf8_error().valid_up_to();
                    let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
                    Failure::Failed(format!("{name}: line {line} is not valid UTF-8"))
                })?;
                (Corpus::parse(&text).documents().to_vec(), name)
            }
            None => (chapters(&printed()?)?, format!("the program `{PROGRAM}`")),
        };
        let checksum = crc32fast::hash(format!("{documents:?}").as_bytes());
        let all = documents.len();
        let held_out = held_out.map_or((all / 20).max(1), NonZeroUsize::get);
        let mut random = Rng::with_seed(HELD_OUT_SEED);
        let mut places: Vec<usize> = (0..all).collect();
        random.shuffle(&mut places);
        let drawn: HashSet<usize> = places.into_iter().take(held_out).collect();
        let (mut training, mut held) = (Vec::new(), Vec::new());
        for (place, document) in documents.into_iter().enumerate() {
            if drawn.contains(&place) { &mut held } else { &mut training }.push(document);
        }
        let (training, held_out) = (Corpus::new(training), Corpus::new(held));
        for (what, corpus) in [("trained on", &training), ("held out", &held_out)] {
            if !corpus.documents().iter().any(|document| document.len() > 1) {
                return Err(Failure::Failed(format!(
                    "{name}: of its {} no document to be {what} has two sentences; a sentence is a line, and an empty line parts \
                     documents",
                    count(all, "document")
                )));
            }
        }
        Ok(Self { name, training, held_out, checksum })
    }
}

/// All verses, as the program prints them.
fn printed() -> Result<String> {
    let output = Command::new(PROGRAM).args(ALL_VERSES).stdin(Stdio::null()).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::Failed(format!(
            "there is no program `{PROGRAM}`: install Debian's package bible-kjv, or name a file, with a sentence on each line and an \
             empty line between documents"
        )),
        _ => Failure::Failed(format!("{PROGRAM}: {error}")),
    })?;
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Failed(format!("{PROGRAM}: {}: {}", output.status, problem.trim())));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::Failed(format!("{PROGRAM}: what it prints is not valid UTF-8")))
}

/// The chapters of lines such as `Ge1:1 In the beginning …`.
fn chapters(printed: &str) -> Result<Vec<Vec<String>>> {
    let mut chapters: Vec<Vec<String>> = Vec::new();
    let mut last = "";
    for (number, line) in (1..).zip(printed.lines()) {
        let parts = line.split_once(' ').and_then(|(place, verse)| Some((place.split_once(':')?, verse)));
        let Some(((chapter, _), verse)) = parts else {
            let expected = "a verse behind its place, such as `Ge1:1 In the beginning …`";
            return Err(Failure::Failed(format!(
                "{PROGRAM}: line {number} of what it prints must be {expected}, but is `{}`",
                line.chars().take(80).collect::<String>()
            )));
        };
        if chapter != last {
            chapters.push(Vec::new());
            last = chapter;
        }
        if let Some(verses) = chapters.last_mut() {
            verses.push(verse.trim().to_owned());
        }
    }
    Ok(chapters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_are_parted_by_the_places_of_their_verses() {
        let found = chapters("Ge1:1 In the beginning\nGe1:2 And: the\nGe2:1 Thus\n1Sam2:1 Now \n").unwrap();
        assert_eq!(found, [vec!["In the beginning", "And: the"], vec!["Thus"], vec!["Now"]]);
        for wrong in ["Ge1:1 a\nno verse", "Ge1 a", "\n"] {
            assert!(matches!(chapters(wrong), Err(Failure::Failed(problem)) if problem.contains("Ge1:1")));
        }
    }
}
