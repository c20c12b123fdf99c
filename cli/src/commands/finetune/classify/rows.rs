//! Texts with their labels, from a table or JSON.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fastrand::Rng;

use crate::input::{Form, Format, Row, open};
use crate::output::{Failure, Result, count, is_stdout};

/// Labels of a head that are named in an error.
const NAMED_LABELS: usize = 20;

/// Which columns of a file are read, and how.
pub struct Columns<'a> {
    pub text: &'a str,
    pub label: &'a str,
    pub format: Option<Format>,
    pub quotes: bool,
}

impl Columns<'_> {
    /// The texts, and the label of each. A row that lacks one of the two has what is wrong with it in the text's place.
    pub fn read(&self, path: &Path) -> Result<(Vec<Row>, Vec<String>)> {
        // Once for each column.
        if is_stdout(path) {
            let problem =
                "the data must be a file: it is read twice, and standard input can be read but once";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let column = |name: &str| -> Result<Vec<Row>> {
            let format = self.format.unwrap_or_else(|| Format::of(path));
            open(path, Form { format, delimiter: None, quotes: self.quotes }, Some(name))?.collect()
        };
        let rows = column(self.text)?.into_iter().zip(column(self.label)?);
        Ok(rows.map(|(text, label)| together(text, label)).unzip())
    }
}

fn together(Row { line, text }: Row, label: Row) -> (Row, String) {
    let both = text.and_then(|text| Ok((text, label.text?))).and_then(|(text, label)| {
        let is_empty = |field: &String| field.trim().is_empty();
        match (is_empty(&text), is_empty(&label)) {
            (true, _) => Err("its text is empty".to_owned()),
            (_, true) => Err("its label is empty".to_owned()),
            _ => Ok((text, label.trim().to_owned())),
        }
    });
    match both {
        Ok((text, label)) => (Row { line, text: Ok(text) }, label),
        Err(problem) => (Row { line, text: Err(problem) }, String::new()),
    }
}

/// Texts with the places of their labels.
pub struct Labelled {
    pub labels: Vec<String>,
    pub training: Vec<(String, u32)>,
    pub held_out: Vec<(String, u32)>,
}

impl Labelled {
    /// The rows that are whole, in two parts that the seed draws. `known` are a head's labels, which the rows' must be among; where there
    /// is none the labels are the rows', in the order of the alphabet.
    pub fn new(
        (rows, labels): (&[Row], &[String]),
        name: &str,
        known: Option<&[String]>,
        held_out: Option<usize>,
        seed: u64,
    ) -> Result<Self> {
        let failed = |problem: String| Err(Failure::Failed(format!("{name}: {problem}")));
        let whole = || {
            let rows = rows.iter().zip(labels);
            rows.filter_map(|(row, label)| Some((row.line, row.text.as_ref().ok()?, label.as_str())))
        };
        // With the line that each is first in.
        let mut there: BTreeMap<&str, u64> = BTreeMap::new();
        for (line, _, label) in whole() {
            there.entry(label).or_insert(line);
        }
        if let (1, Some((label, _))) = (there.len(), there.first_key_value()) {
            let rows = count(whole().count(), "row");
            return failed(format!("all {rows} have the label `{label}`; it takes two labels at least"));
        }
        let labels: Vec<String> = match known {
            Some(known) => known.to_vec(),
            None => there.keys().map(|label| (*label).to_owned()).collect(),
        };
        let places: HashMap<&str, u32> = labels.iter().map(String::as_str).zip(0..).collect();
        let unknown = there.iter().filter(|(label, _)| !places.contains_key(*label));
        if let Some((label, line)) = unknown.min_by_key(|(_, line)| **line) {
            let known: Vec<&str> = labels.iter().take(NAMED_LABELS).map(String::as_str).collect();
            let more = if labels.len() > NAMED_LABELS { ", …" } else { "" };
            return failed(format!(
                "line {line}: the model's classifier has no label `{label}`, but {}{more}; --new-head begins with another one",
                known.join(", ")
            ));
        }
        let mut training: Vec<(String, u32)> =
            whole().map(|(_, text, label)| (text.clone(), places[label])).collect();
        Rng::with_seed(seed).shuffle(&mut training);
        let held_out = held_out.unwrap_or((training.len() / 10).min(5000)).min(training.len());
        let held_out = training.split_off(training.len() - held_out);
        if training.is_empty() {
            return failed(format!("there are no rows to train on beside {} held back", held_out.len()));
        }
        Ok(Self { labels, training, held_out })
    }
}
