//! The answers that `--json` asks for.

use std::path::Path;

use serde_json::{Value, json};

use super::target::is_stdout;
use super::{Result, Writer, print};
use crate::input::Row;

/// Where answers go as JSON: into a file, or to standard output in the report's place. Without `--json` nowhere.
pub struct Answers(Option<Writer>);

impl Answers {
    /// What `--json` names: a file, or `-` for standard output; found wrong before the work.
    pub fn of(json: Option<&Path>) -> Result<Self> {
        Ok(Self(match json {
            None => None,
            Some(path) if is_stdout(path) => Some(Writer::stdout()),
            Some(path) => Some(Writer::file(path)?),
        }))
    }

    /// Whether the answers take the report's place.
    pub fn replace_report(&self) -> bool {
        self.0.as_ref().is_some_and(Writer::is_stdout)
    }

    /// An object a line; the report to stdout, unless the answers go there.
    pub fn write(self, answers: &[Value], report: &str) -> Result<()> {
        self.write_text(|| answers.iter().map(|answer| format!("{answer}\n")).collect(), report)
    }

    /// As [`Answers::write`], with what is JSON already.
    pub fn write_text(self, json: impl FnOnce() -> String, report: &str) -> Result<()> {
        let replaced = self.replace_report();
        if let Some(mut writer) = self.0 {
            writer.write(json())?;
            writer.finish()?;
        }
        if replaced { Ok(()) } else { print(report) }
    }
}

/// One object for each row: that of `answers`, which come in order, or what is wrong with the row.
pub fn objects(rows: &[Row], answers: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut answers = answers;
    let one = |(index, row): (usize, &Row)| {
        let mut object = match &row.text {
            Ok(_) => answers.next().unwrap_or_default(),
            Err(problem) => json!({ "error": format!("line {}: {problem}", row.line) }),
        };
        object["index"] = index.into();
        object
    };
    rows.iter().enumerate().map(one).collect()
}
