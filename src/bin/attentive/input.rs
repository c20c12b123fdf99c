//! Texts from files: lines, a CSV's column, a JSONL's key. A row that cannot be read is kept as what is wrong with it,
//! so that the others keep their numbers.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::output::{Failure, Result};

/// One text, or why there is none.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// From 1, in the file; for arguments their place.
    pub line: u64,
    pub text: Result<String, String>,
}

/// Texts from the arguments or from a file.
#[derive(Args)]
pub struct TextArguments {
    /// The texts
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    texts: Vec<String>,

    /// A file with one text a line, or a table (see --column); - is standard input
    #[arg(long, short, env = "ATTENTIVE_INPUT", hide_env_values = true, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The column of a CSV or TSV, or the key in a JSONL, that holds the texts
    #[arg(long, env = "ATTENTIVE_COLUMN", hide_env_values = true, value_name = "NAME")]
    column: Option<String>,

    /// What --input holds [default: by the file's extension, else text]
    #[arg(long, env = "ATTENTIVE_FORMAT", hide_env_values = true, value_enum)]
    format: Option<Format>,
}

impl TextArguments {
    /// Whether a row is a line of a file.
    pub fn has_file(&self) -> bool {
        self.input.is_some()
    }

    /// What a row is called.
    pub fn noun(&self) -> &'static str {
        if self.has_file() { "line" } else { "text" }
    }

    pub fn rows(&self, what: &str) -> Result<Vec<Row>> {
        self.rows_as(what, self.format)
    }

    /// As [`TextArguments::rows`], of pairs: a table of which no column is named is read line by line.
    pub fn pairs(&self, what: &str) -> Result<Vec<Row>> {
        let is_table = |path: &PathBuf| matches!(Format::of(path), Format::Csv | Format::Tsv);
        let whole = self.column.is_none() && self.input.as_ref().is_some_and(is_table);
        self.rows_as(what, self.format.or(whole.then_some(Format::Text)))
    }

    fn rows_as(&self, what: &str, format: Option<Format>) -> Result<Vec<Row>> {
        if let Some(path) = &self.input {
            return read(path, format, self.column.as_deref());
        }
        if self.column.is_some() || self.format.is_some() {
            let problem = "--column and --format say how to read --input, which is missing";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if self.texts.is_empty() {
            return Err(Failure::Usage(format!(
                "there is nothing to {what}: give texts as arguments, or a file by --input (- is standard input)"
            )));
        }
        Ok((1..).zip(&self.texts).map(|(line, text)| Row { line, text: Ok(text.clone()) }).collect())
    }
}

/// How a file holds its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One text a line
    Text,
    /// Comma-separated values under a heading
    Csv,
    /// Tab-separated values under a heading
    Tsv,
    /// A JSON object a line (or a JSON string, without --column)
    Jsonl,
}

impl Format {
    /// By the file's name, where nothing else is said.
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "jsonl" | "ndjson" => Self::Jsonl,
            _ => Self::Text,
        }
    }
}

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path, format: Option<Format>, column: Option<&str>) -> Result<Vec<Row>> {
    let format = format.unwrap_or_else(|| Format::of(path));
    if column.is_some() && format == Format::Text {
        let problem = "--column needs a table: a file named .csv, .tsv or .jsonl, or --format";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let (bytes, name) = content(path)?;
    let bytes = bytes.as_slice();
    match format {
        Format::Text => Ok(lines(bytes).map(|(line, bytes)| Row { line, text: utf8(bytes) }).collect()),
        Format::Csv => table(bytes, b',', column, &name),
        Format::Tsv => table(bytes, b'\t', column, &name),
        Format::Jsonl => Ok(objects(bytes, column)),
    }
}

/// The bytes of a file, or of standard input for `-`, without a byte order mark; and what it is called.
pub fn content(path: &Path) -> Result<(Vec<u8>, String)> {
    let mut bytes = Vec::new();
    let name = if path == Path::new("-") {
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
        "standard input".to_owned()
    } else {
        bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
        path.display().to_string()
    };
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok((bytes, name))
}

/// The lines with their numbers. A newline at the end makes no line of its own; `\r\n` ends a line too.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let content = (!bytes.is_empty()).then(|| bytes.strip_suffix(b"\n").unwrap_or(bytes));
    let lines = content.into_iter().flat_map(|bytes| bytes.split(|&byte| byte == b'\n'));
    (1..).zip(lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!("not valid UTF-8 (byte {} of the text)", error.valid_up_to() + 1)),
    }
}

fn table(bytes: &[u8], delimiter: u8, column: Option<&str>, name: &str) -> Result<Vec<Row>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
    let heading = reader.byte_headers().map_err(|error| Failure::Failed(format!("{name}: {error}")))?.clone();
    let names: Vec<String> =
        heading.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect();
    let listed = || crate::table::shortened(&names.join(", "), 300);
    let Some(column) = column else {
        return Err(Failure::Usage(format!(
            "{name}: --column must say which column; there are {}",
            listed()
        )));
    };
    let Some(place) = names.iter().position(|name| name == column) else {
        return Err(Failure::Usage(format!("{name}: there is no column `{column}`; there are {}", listed())));
    };
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut record);
        if !more.map_err(|error| Failure::Failed(format!("{name}: {error}")))? {
            return Ok(rows);
        }
        let line = record.position().map_or(0, csv::Position::line);
        let text = match record.get(place) {
            Some(field) => utf8(field),
            None => Err(format!("no column `{column}`: {} of {} fields", record.len(), names.len())),
        };
        rows.push(Row { line, text });
    }
}

/// JSONL; lines of white space alone are no rows.
fn objects(bytes: &[u8], column: Option<&str>) -> Vec<Row> {
    let filled = lines(bytes).filter(|(_, line)| !line.trim_ascii().is_empty());
    filled.map(|(line, bytes)| Row { line, text: object(bytes, column) }).collect()
}

fn object(bytes: &[u8], column: Option<&str>) -> Result<String, String> {
    let text = utf8(bytes)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
    let keys = |object: &serde_json::Map<String, Value>| {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        crate::table::shortened(&keys.join(", "), 100)
    };
    match (value, column) {
        (Value::String(text), None) => Ok(text),
        (Value::Object(object), None) => {
            Err(format!("an object, not a string: --column must say which key; there are {}", keys(&object)))
        }
        (Value::Object(mut object), Some(column)) => match object.remove(column) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("`{column}` is not a string")),
            None => Err(format!("no key `{column}`; there are {}", keys(&object))),
        },
        (_, None) => Err("not a JSON string".to_owned()),
        (_, Some(_)) => Err("not a JSON object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Vec<String> {
        lines(bytes).map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn a_newline_at_the_end_makes_no_text() {
        assert_eq!(texts(b""), [""; 0]);
        assert_eq!(texts(b"\n"), [""]);
        assert_eq!(texts(b"a"), ["a"]);
        assert_eq!(texts(b"a\n"), ["a"]);
        assert_eq!(texts(b"a\r\n\r\nb"), ["a", "", "b"]);
        assert_eq!(texts(b"a\n\n"), ["a", ""]);
    }

    #[test]
    fn rows_of_a_table_keep_their_lines() {
        let rows = table(b"id,text\n1,\"a\nb\"\n2\n3,\xff\n4,d\n", b',', Some("text"), "t").unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.line, row.text.as_deref().ok())).collect();
        assert_eq!(found, [(2, Some("a\nb")), (4, None), (5, None), (6, Some("d"))]);
        let Err(Failure::Usage(missing)) = table(b"id,text\n", b',', Some("body"), "t") else { panic!() };
        assert!(missing.contains("`body`; there are id, text"), "{missing}");
    }

    #[test]
    fn rows_of_jsonl_are_judged_one_by_one() {
        let rows = objects(b"{\"t\":\"a\"}\n\n{\"t\":1}\nx\n{\"u\":\"b\"}\n", Some("t"));
        let found: Vec<_> = rows.iter().map(|row| (row.line, row.text.is_ok())).collect();
        assert_eq!(found, [(1, true), (3, false), (4, false), (5, false)]);
        assert!(rows[3].text.as_ref().unwrap_err().contains("there are u"));
        assert_eq!(objects(b"\"a\"", None)[0].text, Ok("a".to_owned()));
    }
}
