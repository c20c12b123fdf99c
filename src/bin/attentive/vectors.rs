//! Embeddings as files: .npy and .jsonl.

use std::io::Write;
use std::path::{Path, PathBuf};

use attentive::models::Embeddings;
use npyz::WriterBuilder;
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

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Npy(path) | Self::Jsonl(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

/// A target that is open: what can be wrong with its path was found.
pub struct Writer {
    target: Target,
    file: Option<WholeFile>,
}

impl Writer {
    pub fn create(target: Target) -> Result<Self> {
        let file = target.path().map(WholeFile::create).transpose()?;
        Ok(Self { target, file })
    }

    /// Writes all rows: those without text have no embedding.
    pub fn write(self, rows: &[Row], embeddings: &Embeddings) -> Result<()> {
        match self.file {
            None => jsonl(&mut std::io::stdout().lock(), rows, embeddings).map_err(stdout_failure),
            Some(mut file) => {
                let written = match self.target {
                    Target::Npy(_) => npy(&mut file, rows, embeddings),
                    _ => jsonl(&mut file, rows, embeddings),
                };
                written.map_err(|error| Failure::file(file.path(), error))?;
                file.finish()
            }
        }
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

fn npy(out: &mut impl Write, rows: &[Row], embeddings: &Embeddings) -> std::io::Result<()> {
    let [_, dimensions] = embeddings.shape();
    let little = npyz::DType::new_scalar("<f4".parse().map_err(std::io::Error::other)?);
    let options = npyz::WriteOptions::new().dtype(little).shape(&[rows.len() as u64, dimensions as u64]);
    let mut writer = options.writer(out).begin_nd()?;
    let nothing = vec![f32::NAN; dimensions];
    for (_, place) in places(rows) {
        writer.extend(place.map_or(nothing.as_slice(), |place| embeddings.row(place)).iter().copied())?;
    }
    writer.finish()
}

fn jsonl(out: &mut impl Write, rows: &[Row], embeddings: &Embeddings) -> std::io::Result<()> {
    for (index, (row, place)) in places(rows).enumerate() {
        let mut object = match &row.text {
            Ok(text) => json!({ "index": index, "text": text }),
            Err(problem) => {
                json!({ "index": index, "text": null, "error": format!("line {}: {problem}", row.line) })
            }
        };
        object["embedding"] = json!(place.map(|place| embeddings.row(place)));
        let cut = embeddings.truncations.iter().find(|cut| Some(cut.index) == place);
        if let Some(cut) = cut {
            object["truncated"] = json!({ "tokens": cut.tokens, "kept": cut.kept });
        }
        writeln!(out, "{object}")?;
    }
    out.flush()
}
