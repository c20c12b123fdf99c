//! Texts from the arguments or from a file.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::input::{Form, Format, Row, Rows, open};
use crate::output::{Failure, Result};

#[derive(Args)]
pub struct TextArguments {
    /// The texts
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    texts: Vec<String>,

    /// A file with one text a line, or a table (see --column); - is standard input
    #[arg(long, short, env = "ATTENTIVE_INPUT", hide_env_values = true, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The column of a CSV or TSV, or the key in JSON objects, that holds the texts
    #[arg(long, env = "ATTENTIVE_COLUMN", hide_env_values = true, value_name = "NAME")]
    column: Option<String>,

    /// What --input holds [default: by the file's extension, else text]
    #[arg(long, env = "ATTENTIVE_FORMAT", hide_env_values = true, value_enum)]
    format: Option<Format>,

    /// What parts a table's columns: one character, or tab [default: a comma, of TSV a tab]
    #[arg(long, env = "ATTENTIVE_DELIMITER", hide_env_values = true, value_name = "CHARACTER")]
    #[arg(value_parser = delimiter)]
    delimiter: Option<u8>,

    /// Quotes in a table are characters like others
    #[arg(long, env = "ATTENTIVE_NO_QUOTES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    no_quotes: bool,
}

impl TextArguments {
    /// Whether a row is a line of a file.
    pub fn has_file(&self) -> bool {
        self.input.is_some()
    }

    /// How messages name a row.
    pub fn noun(&self) -> &'static str {
        if self.has_file() { "line" } else { "text" }
    }

    /// All rows, or why there are none to `what`.
    pub fn rows(&self, what: &str) -> Result<Vec<Row>> {
        self.stream(what)?.collect()
    }

    /// The rows as they are read.
    pub fn stream(&self, what: &str) -> Result<Rows> {
        self.stream_as(what, self.format)
    }

    /// As [`TextArguments::rows`], of pairs: a table of which no column is named is read line by line.
    pub fn pairs(&self, what: &str) -> Result<Vec<Row>> {
        let is_table = |path: &PathBuf| matches!(Format::of(path), Format::Csv | Format::Tsv);
        let whole =
            self.column.is_none() && self.delimiter.is_none() && self.input.as_ref().is_some_and(is_table);
        self.stream_as(what, self.format.or(whole.then_some(Format::Text)))?.collect()
    }

    fn stream_as(&self, what: &str, format: Option<Format>) -> Result<Rows> {
        if let Some(path) = &self.input {
            let of_file = format.unwrap_or_else(|| Format::of(path));
            // Only a table has columns to be parted.
            let is_table = format.is_none() && of_file == Format::Text && self.delimiter.is_some();
            let form = Form {
                format: if is_table { Format::Csv } else { of_file },
                delimiter: self.delimiter,
                quotes: !self.no_quotes,
            };
            return open(path, form, self.column.as_deref());
        }
        if self.column.is_some() || self.format.is_some() || self.delimiter.is_some() || self.no_quotes {
            let problem =
                "--column, --format, --delimiter and --no-quotes say how to read --input, which is missing";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if self.texts.is_empty() {
            return Err(Failure::Usage(format!(
                "there is nothing to {what}: give texts as arguments, or a file by --input (- is standard input)"
            )));
        }
        let row = |(line, text): (u64, &String)| Ok(Row { line, text: Ok(text.clone()) });
        let rows: Vec<Result<Row>> = (1..).zip(&self.texts).map(row).collect();
        Ok(Box::new(rows.into_iter()))
    }
}

/// One character, or the word for the one that is hard to type.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n\0".contains(byte) => Ok(*byte),
        _ => Err("it must be one ASCII character and no quote, such as ';', or the word tab".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_one_character() {
        assert_eq!(delimiter(";"), Ok(b';'));
        assert_eq!([delimiter("tab"), delimiter("\t"), delimiter("\\t")], [Ok(b'\t'), Ok(b'\t'), Ok(b'\t')]);
        for wrong in ["", "ab", "\"", "\n", "é"] {
            assert!(delimiter(wrong).is_err(), "{wrong:?}");
        }
    }
}
