//! Embeddings as files: .npy and .jsonl.

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use attentive::models::Embeddings;
use serde_json::json;

use crate::input::Row;
use crate::output::{Failure, Result, WholeFile, stdout_failure};

/// Where the embeddings go.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// `.npy`: `[n, d]`, f32, little-endian; NaN for a row without text.
    Npy(PathBuf),
    /// `.jsonl`: an object for each row.
    Jsonl(PathBuf),
    /// `-`: JSONL on stdout.
    Stdout,
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            _ if text == "-" => Ok(Self::Stdout),
            "npy" => Ok(Self::Npy(path)),
            "jsonl" => Ok(Self::Jsonl(path)),
            // A device or a pipe, such as /dev/stdout: its name says nothing of what goes into it.
            _ if std::fs::metadata(&path).is_ok_and(|there| !there.is_file() && !there.is_dir())
                || path.starts_with("/dev") =>
            {
                Ok(Self::Jsonl(path))
            }
            _ => Err("the name must end in .npy or .jsonl, or be - (JSONL on stdout)".to_owned()),
        }
    }

    /// Of `--json`: a file of any name, or `-`.
    pub fn json(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::Jsonl(path) }
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Npy(path) | Self::Jsonl(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

/// A target that is open: what can be wrong with its path was found. It is written to part by part.
pub struct Writer {
    target: Target,
    file: Option<WholeFile>,
    /// Rows that were written.
    rows: usize,
    dimensions: usize,
    /// Of .npy, the values for what cannot be written over: the number of rows stands before them, and is known at the end.
    held: Vec<f32>,
}

impl Writer {
    pub fn create(target: Target) -> Result<Self> {
        let file = target.path().map(WholeFile::create).transpose()?;
        Ok(Self { target, file, rows: 0, dimensions: 0, held: Vec::new() })
    }

    pub fn is_stdout(&self) -> bool {
        self.target == Target::Stdout
    }

    /// Writes the next rows: those without text have no embedding.
    pub fn append(&mut self, rows: &[Row], embeddings: &Embeddings) -> Result<()> {
        let first = self.rows;
        [_, self.dimensions] = embeddings.shape();
        self.rows += rows.len();
        let Some(file) = &mut self.file else {
            return jsonl(&mut std::io::stdout().lock(), first, rows, embeddings).map_err(stdout_failure);
        };
        let written = match self.target {
            Target::Npy(_) if !file.is_seekable() => {
                npy_values(rows, embeddings).for_each(|row| self.held.extend(row));
                Ok(())
            }
            Target::Npy(_) => npy_part(file, first, rows, embeddings),
            _ => jsonl(file, first, rows, embeddings),
        };
        written.map_err(|error| Failure::file(file.path(), error))
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<()> {
        let Some(mut file) = self.file else { return Ok(()) };
        if let Target::Npy(_) = self.target {
            let header = npy_header(self.rows, self.dimensions);
            let written = match file.is_seekable() {
                true => file.rewind().and_then(|()| file.write_all(&header)),
                false => file.write_all(&header).and_then(|()| file.write_all(&little_endian(&self.held))),
            };
            written.map_err(|error| Failure::file(file.path(), error))?;
        }
        file.finish()
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

/// NumPy's format 1.0 of `[rows, dimensions]`, f32, little-endian, before the values: of one length whatever the number of rows.
fn npy_header(rows: usize, dimensions: usize) -> [u8; NPY_HEADER] {
    let mut header = [b' '; NPY_HEADER];
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimensions}), }}");
    header[..10].copy_from_slice(b"\x93NUMPY\x01\0\x76\0");
    header[10..10 + shape.len()].copy_from_slice(shape.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}

const NPY_HEADER: usize = 128;

/// The values of each row; NaN for one without text.
fn npy_values<'a>(rows: &'a [Row], embeddings: &'a Embeddings) -> impl Iterator<Item = Vec<f32>> + 'a {
    let [_, dimensions] = embeddings.shape();
    places(rows).map(move |(_, place)| match place {
        Some(place) => embeddings.row(place).to_vec(),
        None => vec![f32::NAN; dimensions],
    })
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn npy_part(
    out: &mut impl Write,
    first: usize,
    rows: &[Row],
    embeddings: &Embeddings,
) -> std::io::Result<()> {
    if first == 0 {
        out.write_all(&npy_header(0, 0))?;
    }
    for row in npy_values(rows, embeddings) {
        out.write_all(&little_endian(&row))?;
    }
    Ok(())
}

/// Objects whose indices begin at `first`.
fn jsonl(out: &mut impl Write, first: usize, rows: &[Row], embeddings: &Embeddings) -> std::io::Result<()> {
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
