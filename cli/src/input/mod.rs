//! Texts from files: lines, a table's column, JSON strings or a key of JSON objects. A row that cannot be read is kept as what is
//! wrong with it, so that the others keep their numbers; where it is not known any more what a row is, the whole file is refused.

mod image;
mod json;
mod pairs;
mod row;
mod source;
mod table;

use std::io::{BufRead, Read};
use std::path::Path;

use crate::output::{Failure, Result, extension, note};
pub use image::Image;
pub use pairs::{expect_pairs, parted};
pub use row::{Row, check_rows, refuse_rows};
use source::Source;
use table::{Dialect, Table};

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
    /// A JSON array of objects (or of strings, without --column), or such values one after another
    Json,
}

impl Format {
    /// By the file's name, where nothing else is said.
    pub fn of(path: &Path) -> Self {
        match extension(path).as_str() {
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            _ => Self::Text,
        }
    }
}

/// A format and what it leaves open.
pub struct Form {
    pub format: Format,
    pub delimiter: Option<u8>,
    pub quotes: bool,
}

/// Rows as they are read. An error ends them.
pub type Rows = Box<dyn Iterator<Item = Result<Row>>>;

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path, format: Option<Format>, column: Option<&str>) -> Result<Vec<Row>> {
    let format = format.unwrap_or_else(|| Format::of(path));
    open(path, Form { format, delimiter: None, quotes: true }, column)?.collect()
}

/// Reads a file, or standard input for `-`, row by row.
pub fn open(path: &Path, form: Form, column: Option<&str>) -> Result<Rows> {
    let usage = |problem: &str| Err(Failure::Usage(problem.to_owned()));
    let is_table = matches!(form.format, Format::Csv | Format::Tsv);
    if column.is_some() && form.format == Format::Text {
        return usage(
            "--column needs a table or JSON: a file named .csv, .tsv, .jsonl or .json, or --format",
        );
    }
    if !is_table && (form.delimiter.is_some() || !form.quotes) {
        return usage(
            "--delimiter and --no-quotes are of tables: a file named .csv or .tsv, or --format csv",
        );
    }
    let source = source::open(path)?;
    match form.format {
        Format::Text => lines(source, Kind::Text),
        Format::Jsonl => lines(source, Kind::Jsonl { column: column.map(str::to_owned) }),
        Format::Json => Ok(Box::new(json::values(source, column)?.into_iter().map(Ok))),
        Format::Csv | Format::Tsv => {
            let usual = if form.format == Format::Csv { b',' } else { b'\t' };
            let dialect = Dialect { delimiter: form.delimiter.unwrap_or(usual), quotes: form.quotes };
            Ok(Box::new(Table::open(source, dialect, column)?.into_iter().flatten()))
        }
    }
}

/// All of a file as UTF-8 if it is text, or of standard input for `-`, without a byte order mark; and what it is called.
pub fn content(path: &Path) -> Result<(Vec<u8>, String)> {
    let Source { bytes: mut from, name } = source::open(path)?;
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        return Err(Failure::Failed(format!("{name}: line {line} {HAS_NUL}")));
    }
    Ok((bytes, name))
}

const HAS_NUL: &str = "holds a NUL character, which no text has: is this a binary file?";

/// What lines are.
enum Kind {
    Text,
    Jsonl { column: Option<String> },
}

/// The lines with their numbers. A newline at the end makes no line of its own; `\r\n` ends a line too.
fn lines(source: Source, kind: Kind) -> Result<Rows> {
    let Source { mut bytes, name } = source;
    let failed = move |error: std::io::Error| Failure::Failed(format!("{name}: {error}"));
    let (mut line, mut ended) = (0, false);
    let mut next = move || -> Result<Option<(u64, Vec<u8>)>> {
        let mut text = Vec::new();
        if bytes.read_until(b'\n', &mut text).map_err(&failed)? == 0 {
            return Ok(None);
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        line += 1;
        Ok(Some((line, text)))
    };
    let mut first = true;
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            let (line, bytes) = match next() {
                Ok(Some(found)) => found,
                Ok(None) => return None,
                Err(failure) => {
                    ended = true;
                    return Some(Err(failure));
                }
            };
            let begins = bytes.trim_ascii_start().first().copied();
            let text = match &kind {
                Kind::Text => {
                    if std::mem::take(&mut first) && looks_like_json(&bytes) {
                        note(
                            "the input begins as JSON does, and is read line by line: --format json or jsonl reads it as that",
                        );
                    }
                    if line == 1 && bytes.contains(&b'\r') {
                        note(
                            "line 1 holds carriage returns, which end no line here: `tr '\\r' '\\n'` makes lines of an old Mac's",
                        );
                    }
                    utf8(&bytes)
                }
                // Lines of white space alone are no rows.
                Kind::Jsonl { .. } if begins.is_none() => continue,
                Kind::Jsonl { column } => {
                    if std::mem::take(&mut first)
                        && let Err(failure) = expect_lines_of_json(&bytes, column.as_deref())
                    {
                        ended = true;
                        return Some(Err(failure));
                    }
                    json::of_line(&bytes, column.as_deref())
                }
            };
            return Some(Ok(Row { line, text }));
        }
    })))
}

/// Whether a first line is JSON's rather than a text's.
fn looks_like_json(line: &[u8]) -> bool {
    let mut rest = line.trim_ascii().iter().filter(|byte| !byte.is_ascii_whitespace());
    match (rest.next(), rest.next()) {
        (Some(b'['), next) => matches!(next, None | Some(b'"' | b'{')),
        (Some(b'{'), next) => matches!(next, None | Some(b'"')),
        _ => false,
    }
}

/// Refuses what would be wrong in each line.
fn expect_lines_of_json(first: &[u8], column: Option<&str>) -> Result<()> {
    if first.trim_ascii_start().starts_with(b"[") {
        let problem = "this is a JSON array, not an object a line: --format json reads it";
        return Err(Failure::Failed(problem.to_owned()));
    }
    match serde_json::from_slice(first) {
        Ok(value) => json::expect_column(&value, column).map_err(Failure::Usage),
        Err(_) => Ok(()),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(format!("it {HAS_NUL}")),
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "not valid UTF-8 (byte {} of the text); is the file in Latin-1 or another encoding?",
            error.valid_up_to() + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn source(bytes: &[u8]) -> Source {
        Source { bytes: Box::new(Cursor::new(bytes.to_vec())), name: "t".to_owned() }
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let rows = lines(source(bytes), Kind::Text).unwrap();
        rows.map(|row| row.unwrap().text.unwrap()).collect()
    }

    fn table(bytes: &[u8], delimiter: u8, column: Option<&str>) -> Result<Vec<Row>> {
        let dialect = Dialect { delimiter, quotes: true };
        Table::open(source(bytes), dialect, column)?.into_iter().flatten().collect()
    }

    fn objects(bytes: &[u8], column: Option<&str>) -> Result<Vec<Row>> {
        lines(source(bytes), Kind::Jsonl { column: column.map(str::to_owned) })?.collect()
    }

    fn array(bytes: &[u8], column: Option<&str>) -> Result<Vec<Row>> {
        json::values(source(bytes), column)
    }

    /// Lines and texts, of bad rows none.
    fn found(rows: &[Row]) -> Vec<(u64, Option<&str>)> {
        rows.iter().map(|row| (row.line, row.text.as_deref().ok())).collect()
    }

    #[track_caller]
    fn refused(rows: Result<Vec<Row>>, words: &[&str]) {
        let (Err(Failure::Failed(problem)) | Err(Failure::Usage(problem))) = rows else {
            panic!("it was read: {rows:?}");
        };
        for word in words {
            assert!(problem.contains(word), "no `{word}` in: {problem}");
        }
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
    fn a_nul_and_what_is_no_utf8_are_bad_rows() {
        let rows: Vec<Row> =
            lines(source(b"a\nb\0c\n\xe9t\xe9\n"), Kind::Text).unwrap().map(Result::unwrap).collect();
        assert_eq!(found(&rows), [(1, Some("a")), (2, None), (3, None)]);
        assert!(rows[1].text.as_ref().unwrap_err().contains("NUL"));
        assert!(rows[2].text.as_ref().unwrap_err().contains("Latin-1"));
    }

    #[test]
    fn rows_of_a_table_keep_their_lines() {
        let rows = table(b"id,text\n1,\"a\nb\"\n2\n3,\xff\n4,d\n5,e, f\n6,g,\n", b',', Some("text")).unwrap();
        let expected = [(2, Some("a\nb")), (4, None), (5, None), (6, Some("d")), (7, None), (8, Some("g"))];
        assert_eq!(found(&rows), expected);
        assert!(rows[4].text.as_ref().unwrap_err().contains("3 fields under a heading of 2"));
        refused(table(b"id,text\n", b',', Some("body")), &["`body`; there are id, text"]);
        refused(table(b"id;text\n", b',', Some("text")), &["--delimiter ';'"]);
        refused(table(b"text,text\n", b',', Some("text")), &["more than one column `text`"]);
        assert_eq!(found(&table(b"id;text\n1;a, b\n", b';', Some("text")).unwrap()), [(2, Some("a, b"))]);
        assert_eq!(table(b"", b',', Some("text")).unwrap(), []);
    }

    #[test]
    fn quotes_close_at_the_end_of_their_field() {
        for (bytes, line) in [
            (&b"text\n\"a\nb\nc\n"[..], "line 2: a quote opens"),
            (b"text\nx\n\"", "line 3: a quote opens"),
            (b"\"text\na\n", "line 1: a quote opens"),
            (b"text\n\"a\n\"b\n", "line 2: a quote opens here, and in line 3 it closes"),
        ] {
            refused(table(bytes, b',', Some("text")), &[line, "--no-quotes"]);
        }
        let rows = table(b"id,text\n1,\"a \"\"b\"\"\"\n2,c \"d\"\n3,\"e\"", b',', Some("text")).unwrap();
        assert_eq!(found(&rows), [(2, Some("a \"b\"")), (3, Some("c \"d\"")), (4, Some("e"))]);
        let dialect = Dialect { delimiter: b'\t', quotes: false };
        let rows = Table::open(source(b"text\n\"a\nb\n"), dialect, Some("text")).unwrap().unwrap();
        let rows: Vec<Row> = rows.map(Result::unwrap).collect();
        assert_eq!(found(&rows), [(2, Some("\"a")), (3, Some("b"))]);
    }

    #[test]
    fn rows_of_jsonl_are_judged_one_by_one() {
        let rows = objects(b"{\"t\":\"a\"}\n\n{\"t\":1}\nx\n{\"u\":\"b\"}\n", Some("t")).unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.line, row.text.is_ok())).collect();
        assert_eq!(found, [(1, true), (3, false), (4, false), (5, false)]);
        assert!(rows[3].text.as_ref().unwrap_err().contains("there are u"));
        assert_eq!(objects(b"\"a\"", None).unwrap()[0].text, Ok("a".to_owned()));
        refused(objects(b"\n[\n\"a\",\n\"b\"\n]\n", None), &["--format json"]);
        refused(objects(b"{\"t\":\"a\"}\n", None), &["--column", "there are t"]);
    }

    #[test]
    fn arrays_are_read_whole_or_refused() {
        let rows = array(b"[\n\"hello\",\n\"wo\\nrld\"]\n", None).unwrap();
        assert_eq!(found(&rows), [(2, Some("hello")), (3, Some("wo\nrld"))]);
        let rows = array(b"[{\"t\": \"a\"}, {\"t\":\n 1}, {\"u\": 2}, {\"t\": \"b\"}]", Some("t")).unwrap();
        assert_eq!(found(&rows), [(1, Some("a")), (1, None), (2, None), (2, Some("b"))]);
        // Also what is named .json and is lines of JSON, or objects over several lines.
        let rows = array(b"{\"t\":\"a\"}\n{\n\"t\":\n\"b\"}\n", Some("t")).unwrap();
        assert_eq!(found(&rows), [(1, Some("a")), (2, Some("b"))]);
        assert_eq!(array(b" [ ] ", None).unwrap(), []);
        assert_eq!(array(b"", None).unwrap(), []);
        for (bytes, words) in [
            (&b"[\"a\",\n\"b\""[..], &["line 2", "expected `,` or `]`"][..]),
            (b"[\"a\",\n", &["line 2, column 1", "does not end"]),
            (b"[\"a\" \"b\"]", &["line 1, column 6"]),
            (b"[\"a\",]", &["line 1, column 6", "expected value"]),
            (b"[\"a\"] 1", &["more after the end"]),
            (b"[\"a\",\n  hello]", &["line 2, column 3", "expected value"]),
            (b"[\"a", &["line 1", "EOF"]),
            (b"[{\"t\":\"a\"}]", &["--column", "there are t"]),
            (b"hello", &["line 1, column 1"]),
            (&[b'['; 100_000], &["recursion limit"]),
        ] {
            refused(array(bytes, None), words);
        }
    }

    #[test]
    fn a_text_that_begins_as_json_is_said() {
        for json in ["[", "[\"a\",", " [ {", "{\"a\": 1}", "{"] {
            assert!(looks_like_json(json.as_bytes()), "{json}");
        }
        for text in ["[CLS] a", "{x}", "hello", "", "[1]"] {
            assert!(!looks_like_json(text.as_bytes()), "{text}");
        }
    }
}
