//! Where data goes: standard output, or a file that appears whole or not at all.

use std::fmt::Display;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use super::{Failure, Result, WholeFile, stdout_failure};

/// A place for data and the format that they have there, as an argument names both.
#[derive(Clone, Debug, PartialEq)]
pub struct Target<F> {
    /// Standard output has none.
    path: Option<PathBuf>,
    pub format: F,
}

impl<F> Target<F> {
    pub fn file(path: PathBuf, format: F) -> Self {
        Self { path: Some(path), format }
    }

    pub fn stdout(format: F) -> Self {
        Self { path: None, format }
    }

    /// Opens it, so that what is wrong with the path is found before the work.
    pub fn create(&self) -> Result<Writer> {
        self.path.as_deref().map_or(Ok(Writer::stdout()), Writer::file)
    }
}

/// The end of a file's name by which formats are told apart: `npy` of `vectors.NPY`.
pub fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether an argument names standard output.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file that is open, or standard output. Its errors name which of them failed.
pub struct Writer(Option<WholeFile>);

impl Writer {
    pub fn stdout() -> Self {
        Self(None)
    }

    pub fn file(path: &Path) -> Result<Self> {
        Ok(Self(Some(WholeFile::create(path)?)))
    }

    pub fn is_stdout(&self) -> bool {
        self.0.is_none()
    }

    /// Whether what was written can be written over.
    pub fn is_seekable(&self) -> bool {
        self.0.as_ref().is_some_and(WholeFile::is_seekable)
    }

    pub fn write(&mut self, data: impl AsRef<[u8]>) -> Result<()> {
        self.write_by(|out| out.write_all(data.as_ref()))
    }

    /// Writes what `write` writes.
    pub fn write_by(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        match &mut self.0 {
            Some(file) => write(file).map_err(|error| self.failure(error)),
            None => {
                let mut stdout = super::standard::stdout()?;
                write(&mut stdout).and_then(|()| stdout.flush()).map_err(stdout_failure)
            }
        }
    }

    /// Goes back to the beginning, where it [can](Self::is_seekable).
    pub fn rewind(&mut self) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.rewind().map_err(|error| self.failure(error))
    }

    /// The problem, with the file's name.
    pub fn failure(&self, problem: impl Display) -> Failure {
        match &self.0 {
            Some(file) => Failure::file(file.path(), problem),
            None => Failure::Failed(format!("standard output: {problem}")),
        }
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), WholeFile::finish)
    }
}
