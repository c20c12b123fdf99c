//! The log of a run: each step's loss, norm, rate and time, as CSV, as JSON or as events that TensorBoard draws.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use attentive::train::TrainingStep;

use crate::output::{Failure, Result, extension};

/// The first line of a CSV.
const HEAD: &str = "step,loss,norm,learning_rate,skipped,seconds,tokens,score";

/// How a log is written, by its file's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Jsonl,
    /// TensorFlow's records, which TensorBoard finds by `tfevents` in a file's name.
    Events,
}

impl Form {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        match extension(path).as_str() {
            _ if name.contains("tfevents") => Some(Self::Events),
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// The path of a log, as an argument's parser.
pub fn path(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match Form::of(&path) {
        Some(_) => Ok(path),
        None => Err("a log is NAME.csv, NAME.jsonl, or events.out.tfevents.NAME for TensorBoard".to_owned()),
    }
}

/// A log that is open.
pub struct Log {
    path: PathBuf,
    form: Form,
    file: BufWriter<File>,
}

impl Log {
    /// A new log, over one that is there; or one to be gone on with behind a step. What a run wrote behind the step that it was last saved at
    /// comes again, and leaves the log before.
    pub fn open(path: &Path, behind: Option<u64>) -> Result<Self> {
        let failed = |error: std::io::Error| Failure::file(path, error);
        let form = Form::of(path).unwrap_or(Form::Csv);
        if let (Some(behind), false) = (behind, form == Form::Events) {
            keep(path, form, behind)?;
        }
        let goes_on = behind.is_some();
        let file = OpenOptions::new().create(true).write(true).append(goes_on).truncate(!goes_on).open(path);
        let mut file = BufWriter::new(file.map_err(failed)?);
        let is_empty = file.get_ref().metadata().map_err(failed)?.len() == 0;
        match form {
            Form::Csv if is_empty => writeln!(file, "{HEAD}").map_err(failed)?,
            Form::Events => {
                if is_empty {
                    write_event(&mut file, 0, &field(3, b"brain.Event:2")).map_err(failed)?;
                }
                // A session that begins at a step takes the place of what is there from that step on.
                let start = field(7, &[0x08, 1]);
                write_event(&mut file, behind.map_or(0, |behind| behind + 1), &start).map_err(failed)?;
            }
            Form::Csv | Form::Jsonl => {}
        }
        Ok(Self { path: path.to_owned(), form, file })
    }

    /// Writes a step, to the disk; `score` is that of the model behind it, where there is one.
    pub fn write(
        &mut self,
        step: &TrainingStep,
        seconds: f64,
        tokens: usize,
        score: Option<f64>,
    ) -> Result<()> {
        let TrainingStep { number, loss, norm, learning_rate, skipped, .. } = step;
        let file = &mut self.file;
        let written = match self.form {
            Form::Csv => {
                let score = score.map_or(String::new(), |score| score.to_string());
                writeln!(
                    file,
                    "{number},{loss},{norm},{learning_rate},{skipped},{seconds:.3},{tokens},{score}"
                )
            }
            Form::Jsonl => {
                // JSON has no NaN.
                let of = |value: &f32| if value.is_finite() { value.to_string() } else { "null".to_owned() };
                let score = score.filter(|score| score.is_finite());
                let score = score.map_or("null".to_owned(), |score| score.to_string());
                writeln!(
                    file,
                    "{{\"step\":{number},\"loss\":{},\"norm\":{},\"learning_rate\":{},\"skipped\":{skipped},\
                     \"seconds\":{seconds:.3},\"tokens\":{tokens},\"score\":{score}}}",
                    of(loss),
                    of(norm),
                    of(learning_rate)
                )
            }
            Form::Events => {
                let scalars = [("loss", *loss), ("norm", *norm), ("learning_rate", *learning_rate)];
                let score = score.map(|score| ("score", score as f32));
                let values = scalars.into_iter().chain(score).flat_map(|(name, value)| {
                    // A tag, and a simple value.
                    let of_value = [field(1, name.as_bytes()), vec![0x15], value.to_le_bytes().to_vec()];
                    field(1, &of_value.concat())
                });
                write_event(file, *number, &field(5, &values.collect::<Vec<u8>>()))
            }
        };
        written.and_then(|()| self.file.flush()).map_err(|error| Failure::file(&self.path, error))
    }
}

/// Keeps the lines of the steps up to that one.
fn keep(path: &Path, form: Form, behind: u64) -> Result<()> {
    let failed = |error: std::io::Error| Failure::file(path, error);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let step = |line: &str| -> Option<u64> {
        match form {
            Form::Csv => line.split(',').next()?.parse().ok(),
            _ => serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64(),
        }
    };
    // A line that the end of a run has cut has no step, or is the last one.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let kept: String = whole
        .enumerate()
        .filter(|(place, line)| match step(line) {
            Some(step) => step <= behind,
            None => form == Form::Csv && *place == 0,
        })
        .map(|(_, line)| line)
        .collect();
    if kept.len() == text.len() {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(kept.as_bytes()).map_err(failed)?;
    file.persist(path).map(|_| ()).map_err(|error| failed(error.error))
}

/// A field of a protocol buffer that has a length: a text, bytes or a message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// An `Event` of tensorflow/core/util/event.proto with its time, its step and one field more, as a record: its length, a checksum of that, the
/// event, a checksum of it.
fn write_event(file: &mut impl Write, step: u64, what: &[u8]) -> std::io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut event = vec![0x09];
    event.extend(now.to_le_bytes());
    event.push(0x10);
    varint(step, &mut event);
    event.extend(what);
    let length = (event.len() as u64).to_le_bytes();
    let checksum =
        |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    file.write_all(&length)?;
    file.write_all(&checksum(&length))?;
    file.write_all(&event)?;
    file.write_all(&checksum(&event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_gone_on_with_has_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("steps.csv");
        std::fs::write(&csv, format!("{HEAD}\n1,2.5,1,0.1,false,0.1,3\n2,2,1,0.1,false,0.1,3\n3,1.5,1,0."))
            .unwrap();
        drop(Log::open(&csv, Some(1)).unwrap());
        assert_eq!(std::fs::read_to_string(&csv).unwrap(), format!("{HEAD}\n1,2.5,1,0.1,false,0.1,3\n"));
        let jsonl = folder.path().join("steps.jsonl");
        std::fs::write(&jsonl, "{\"step\":1}\n{\"step\":2}\n{\"st").unwrap();
        drop(Log::open(&jsonl, Some(2)).unwrap());
        assert_eq!(std::fs::read_to_string(&jsonl).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        // Without one that is there it begins.
        let new = folder.path().join("new.csv");
        drop(Log::open(&new, Some(7)).unwrap());
        assert_eq!(std::fs::read_to_string(&new).unwrap(), format!("{HEAD}\n"));
    }

    /// The check value of CRC-32C (RFC 3720, B.4: 32 bytes of zeros), and a record by hand.
    #[test]
    fn events_are_records_with_checksums() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let mut bytes = Vec::new();
        write_event(&mut bytes, 300, &field(3, b"brain.Event:2")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), 8 + 4 + length + 4);
        let event = &bytes[12..12 + length];
        assert_eq!((event[0], &event[9..12]), (0x09, &[0x10, 0xac, 0x02][..]));
        assert_eq!(&event[12..], b"\x1a\x0dbrain.Event:2");
    }
}
