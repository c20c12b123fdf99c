//! JSON: an array, values one after another, or one value a line.

use std::io::Read;

use serde_json::{Map, Value};

use super::{Row, Source, utf8};
use crate::output::{Failure, Result, shortened};

/// The texts of one JSON array, or of values one after another.
///
/// Each has the line that it begins in. What is no JSON ends all: where the next value begins is not known then.
pub fn values(source: Source, column: Option<&str>) -> Result<Vec<Row>> {
    let Source { mut bytes, name } = source;
    let mut text = Vec::new();
    bytes.read_to_end(&mut text).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
    let mut walk = Walk { text: &text, at: 0, line: 1, line_begins: 0 };
    let wrong = |(line, column, problem): (u64, usize, String)| {
        Failure::Failed(format!("{name}: line {line}, column {column}: not JSON: {problem}"))
    };
    walk.space();
    let in_array = walk.next_is(b'[');
    let mut rows = Vec::new();
    loop {
        walk.space();
        match walk.peek() {
            None if in_array => return Err(wrong(walk.place("the array that begins the file does not end"))),
            None => return Ok(rows),
            Some(b']') if in_array && rows.is_empty() => {
                walk.at += 1;
                break;
            }
            _ => {}
        }
        let (line, value) = (walk.line, walk.value().map_err(wrong)?);
        if rows.is_empty() {
            expect_column(&value, column).map_err(|problem| Failure::Usage(format!("{name}: {problem}")))?;
        }
        rows.push(Row { line, text: text_of(value, column) });
        walk.space();
        if in_array && !walk.next_is(b',') {
            if walk.next_is(b']') {
                break;
            }
            return Err(wrong(walk.place("expected `,` or `]`")));
        }
    }
    walk.space();
    match walk.peek() {
        None => Ok(rows),
        Some(_) => Err(wrong(walk.place("there is more after the end of the array"))),
    }
}

/// A place in a JSON text.
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
    line_begins: usize,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.go(self.at + usize::from(is));
        is
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        let space = rest.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        self.go(self.at + space);
    }

    fn go(&mut self, to: usize) {
        for place in self.at..to {
            if self.text[place] == b'\n' {
                self.line += 1;
                self.line_begins = place + 1;
            }
        }
        self.at = to;
    }

    fn place(&self, problem: &str) -> (u64, usize, String) {
        (self.line, self.at - self.line_begins + 1, problem.to_owned())
    }

    fn value(&mut self) -> Result<Value, (u64, usize, String)> {
        let mut values = serde_json::Deserializer::from_slice(&self.text[self.at..]).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                let to = self.at + values.byte_offset();
                self.go(to);
                Ok(value)
            }
            Some(Err(error)) => {
                let line = self.line + error.line() as u64 - 1;
                let before = if error.line() == 1 { self.at - self.line_begins } else { 0 };
                let problem = error.to_string();
                let problem =
                    problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
                Err((line, before + error.column(), problem.to_owned()))
            }
            None => Err(self.place("a value is missing")),
        }
    }
}

/// The text of one line of JSONL.
pub fn of_line(bytes: &[u8], column: Option<&str>) -> Result<String, String> {
    let value: Value = serde_json::from_str(&utf8(bytes)?).map_err(|error| format!("not JSON: {error}"))?;
    text_of(value, column)
}

/// Refuses objects where no key is named: so would each of them be.
pub fn expect_column(value: &Value, column: Option<&str>) -> Result<(), String> {
    match (value, column) {
        (Value::Object(object), None) => Err(format!(
            "these are objects, not strings: --column must say which key; there are {}",
            keys(object)
        )),
        _ => Ok(()),
    }
}

fn text_of(value: Value, column: Option<&str>) -> Result<String, String> {
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

fn keys(object: &Map<String, Value>) -> String {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    shortened(&keys.join(", "), 100)
}
