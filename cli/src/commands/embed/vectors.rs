//! Embeddings as files: .npy and .jsonl.

use std::io::Write;
use std::path::PathBuf;

use attentive::models::Embeddings;
use serde_json::json;

use crate::input::Row;
use crate::output::{self, Result, Writer, extension, is_stdout, npy};

/// How the embeddings are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    /// `[n, d]`, f32, little-endian; NaN for a row without text.
    Npy,
    /// An object for each row.
    Jsonl,
}

/// Where the embeddings go.
pub type Target = output::Target<Format>;

/// What --output names: the format by the name's end, or `-` for JSONL on stdout.
pub fn target(text: &str) -> Result<Target, String> {
    let path = PathBuf::from(text);
    match extension(&path).as_str() {
        _ if is_stdout(&path) => Ok(Target::stdout(Format::Jsonl)),
        "npy" => Ok(Target::file(path, Format::Npy)),
        "jsonl" => Ok(Target::file(path, Format::Jsonl)),
        // A device or a pipe, such as /dev/stdout: its name says nothing of what goes into it.
        _ if std::fs::metadata(&path).is_ok_and(|there| !there.is_file() && !there.is_dir())
            || path.starts_with("/dev") =>
        {
            Ok(Target::file(path, Format::Jsonl))
        }
        _ => Err("the name must end in .npy or .jsonl, or be - (JSONL on stdout)".to_owned()),
    }
}

/// What --json names: a file of any name, or `-`.
pub fn json_target(path: PathBuf) -> Target {
    if is_stdout(&path) { Target::stdout(Format::Jsonl) } else { Target::file(path, Format::Jsonl) }
}

/// A target that is open, written to part by part.
pub struct Vectors {
    format: Format,
    out: Writer,
    /// Rows that were written.
    rows: usize,
    dimensions: usize,
    /// Of .npy, the values for what cannot be written over: the number of rows stands before them, and is known at the end.
    held: Vec<f32>,
}

impl Vectors {
    pub fn create(target: &Target) -> Result<Self> {
        Ok(Self { format: target.format, out: target.create()?, rows: 0, dimensions: 0, held: Vec::new() })
    }

    pub fn is_stdout(&self) -> bool {
        self.out.is_stdout()
    }

    /// Writes the next rows: those without text have no embedding.
    pub fn append(&mut self, rows: &[Row], embeddings: &Embeddings) -> Result<()> {
        let first = self.rows;
        [_, self.dimensions] = embeddings.shape();
        self.rows += rows.len();
        match self.format {
            Format::Npy if !self.out.is_seekable() => {
                npy_values(rows, embeddings).for_each(|row| self.held.extend(row));
                Ok(())
            }
            Format::Npy => self.out.write_by(|out| npy_part(out, first, rows, embeddings)),
            Format::Jsonl => self.out.write_by(|out| jsonl(out, first, rows, embeddings)),
        }
    }

    /// Puts the file in its place.
    pub fn finish(mut self) -> Result<()> {
        if self.format == Format::Npy {
            if self.out.is_seekable() {
                self.out.rewind()?;
            }
            self.out.write(npy::head(&[self.rows, self.dimensions]))?;
            self.out.write(npy::values(&self.held))?;
        }
        self.out.finish()
    }
}

/// The place of each row among those with text.
fn places(rows: &[Row]) -> impl Iterator<Item = (&Row, Option<usize>)> {
    let mut next = 0;
    rows.iter().map(move |row| {
        let place = row.text.is_ok().then_some(next);
        next += usize::from(row.text.is_ok());
        (row, place)
    })
}

/// The values of each row; NaN for one without text.
fn npy_values<'a>(rows: &'a [Row], embeddings: &'a Embeddings) -> impl Iterator<Item = Vec<f32>> + 'a {
    let [_, dimensions] = embeddings.shape();
    places(rows).map(move |(_, place)| match place {
        Some(place) => embeddings.row(place).to_vec(),
        None => vec![f32::NAN; dimensions],
    })
}

fn npy_part(out: &mut dyn Write, first: usize, rows: &[Row], embeddings: &Embeddings) -> std::io::Result<()> {
    if first == 0 {
        out.write_all(&npy::head(&[0, 0]))?;
    }
    for row in npy_values(rows, embeddings) {
        out.write_all(&npy::values(&row))?;
    }
    Ok(())
}

/// Objects whose indices begin at `first`.
fn jsonl(out: &mut dyn Write, first: usize, rows: &[Row], embeddings: &Embeddings) -> std::io::Result<()> {
    for (index, (row, place)) in (first..).zip(places(rows)) {
        let mut object = match &row.text {
            Ok(text) => json!({ "index": index, "text": text }),
            Err(problem) => {
                json!({ "index": index, "text": null, "error": format!("line {}: {problem}", row.line) })
            }
        };
        object["embedding"] = json!(place.map(|place| embeddings.row(place)));
        // They are in the order of the texts.
        let cut = place
            .and_then(|place| embeddings.truncations.binary_search_by_key(&place, |cut| cut.index).ok())
            .map(|cut| embeddings.truncations[cut]);
        if let Some(cut) = cut {
            object["truncated"] = json!({ "tokens": cut.tokens, "kept": cut.kept });
        }
        writeln!(out, "{object}")?;
    }
    out.flush()
}
