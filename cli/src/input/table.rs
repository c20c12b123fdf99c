//! Tables with a delimiter and a heading (RFC 4180): one column's fields. What the parser would forgive, and so change a text,
//! is refused.

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use super::{Row, Source, utf8};
use crate::output::{Failure, Result, shortened};

/// How a table's fields are parted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dialect {
    pub delimiter: u8,
    pub quotes: bool,
}

/// The fields of one column.
pub struct Table {
    reader: csv::Reader<Watched>,
    quotes: Rc<RefCell<Quotes>>,
    names: usize,
    place: usize,
    column: String,
    name: String,
    record: csv::ByteRecord,
    ended: bool,
}

impl Table {
    /// Reads the heading; `None` for an empty file.
    pub fn open(source: Source, dialect: Dialect, column: Option<&str>) -> Result<Option<Self>> {
        let Source { mut bytes, name } = source;
        if bytes.fill_buf().map_err(|error| Failure::Failed(format!("{name}: {error}")))?.is_empty() {
            return Ok(None);
        }
        let quotes = Rc::new(RefCell::new(Quotes::new(dialect)));
        let watched = Watched { from: bytes, quotes: Rc::clone(&quotes) };
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(dialect.delimiter).quoting(dialect.quotes).flexible(true);
        let mut reader = builder.from_reader(watched);
        let heading = reader.byte_headers().map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        let names: Vec<String> =
            heading.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect();
        if let Some(line) = quotes.borrow().open_at_end() {
            return Err(Failure::Failed(format!("{name}: {}", open_quote(line))));
        }
        let usage = |problem: String| Err(Failure::Usage(format!("{name}: {problem}")));
        let listed = || shortened(&names.join(", "), 300);
        let Some(column) = column else {
            return usage(format!("--column must say which column; there are {}", listed()));
        };
        let mut places = (0..names.len()).filter(|&place| names[place] == column);
        let Some(place) = places.next() else {
            let other = [b';', b'\t', b'|', b','].into_iter().find(|&other| {
                other != dialect.delimiter && names.iter().any(|name| name.contains(char::from(other)))
            });
            let hint = match other {
                Some(b'\t') => "; --delimiter tab may part them".to_owned(),
                Some(other) => format!("; --delimiter '{}' may part them", char::from(other)),
                None => String::new(),
            };
            return usage(format!("there is no column `{column}`; there are {}{hint}", listed()));
        };
        if places.next().is_some() {
            return usage(format!("there is more than one column `{column}` among {}", listed()));
        }
        Ok(Some(Self {
            reader,
            quotes,
            names: names.len(),
            place,
            column: column.to_owned(),
            name,
            record: csv::ByteRecord::new(),
            ended: false,
        }))
    }

    fn row(&mut self) -> Result<Option<Row>> {
        let more = self.reader.read_byte_record(&mut self.record);
        let more = more.map_err(|error| Failure::Failed(format!("{}: {}", self.name, reason(error))))?;
        if let (false, Some(line)) = (more, self.quotes.borrow().open()) {
            return Err(Failure::Failed(format!("{}: {}", self.name, open_quote(line))));
        }
        if !more {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let (fields, names) = (self.record.len(), self.names);
        let text = match self.record.get(self.place) {
            // A delimiter within a text would cut it.
            Some(_) if (names..fields).any(|place| !self.record[place].is_empty()) => Err(format!(
                "{fields} fields under a heading of {names}: a text with the delimiter in it must stand in quotes"
            )),
            Some(field) => utf8(field),
            None => Err(format!("no column `{}`: {fields} of {names} fields", self.column)),
        };
        Ok(Some(Row { line, text }))
    }
}

impl Iterator for Table {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        // The last record ends where the file does, though its quote is open.
        if let (Some(Ok(_)), Some(line)) = (&row, self.quotes.borrow().open_at_end()) {
            self.ended = true;
            return Some(Err(Failure::Failed(format!("{}: {}", self.name, open_quote(line)))));
        }
        row
    }
}

fn open_quote(line: u64) -> String {
    format!(
        "line {line}: a quote opens here and is never closed; write a quote that begins a field twice and in quotes (\"\"\"), or \
         say --no-quotes"
    )
}

/// An error's words without those of the parser, which has no more to say of reading.
fn reason(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

/// A reader between the file and the parser, which keeps count of the quotes that pass.
struct Watched {
    from: Box<dyn BufRead>,
    quotes: Rc<RefCell<Quotes>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let mut quotes = self.quotes.borrow_mut();
        quotes.ended |= read == 0 && !buffer.is_empty();
        quotes.see(&buffer[..read]).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
        Ok(read)
    }
}

/// Where quotes open and close.
struct Quotes {
    dialect: Dialect,
    state: State,
    line: u64,
    /// The line of the quote that opened last.
    opened: u64,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within quotes: it closes, or is the first of two that stand for one.
    Closing,
}

impl Quotes {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, state: State::FieldStart, line: 1, opened: 0, ended: false }
    }

    fn see(&mut self, bytes: &[u8]) -> Result<(), String> {
        if !self.dialect.quotes {
            return Ok(());
        }
        for &byte in bytes {
            let parts = byte == self.dialect.delimiter || byte == b'\n' || byte == b'\r';
            self.state = match (self.state, byte) {
                (State::FieldStart, b'"') => {
                    self.opened = self.line;
                    State::Quoted
                }
                (State::Quoted, b'"') => State::Closing,
                (State::Quoted, _) | (State::Closing, b'"') => State::Quoted,
                (_, _) if parts => State::FieldStart,
                (State::Closing, _) => {
                    let Self { line, opened, .. } = self;
                    return Err(format!(
                        "line {opened}: a quote opens here, and in line {line} it closes in the middle of a field; write a quote \
                         within quotes twice (\"\"), or say --no-quotes"
                    ));
                }
                (_, _) => State::Plain,
            };
            self.line += u64::from(byte == b'\n');
        }
        Ok(())
    }

    /// The line of a quote that is open now.
    fn open(&self) -> Option<u64> {
        (self.state == State::Quoted).then_some(self.opened)
    }

    fn open_at_end(&self) -> Option<u64> {
        self.open().filter(|_| self.ended)
    }
}
