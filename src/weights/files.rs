//! Reading files with a bound on their size, and printing what stood in them.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// Larger JSON files than this are not configs.
pub(super) const CONFIG_BYTES: u64 = 16 << 20;

/// An [`Error::File`] in one line.
pub(crate) fn bad(path: &Path, problem: impl Into<String>) -> Error {
    Error::File { path: path.to_owned(), problem: problem.into() }
}

/// An [`Error::Unsupported`] in one line.
pub(crate) fn unsupported(path: &Path, what: &'static str, found: &str, supported: &[&str]) -> Error {
    Error::Unsupported {
        path: path.to_owned(),
        what,
        found: shown(found),
        supported: supported.iter().map(|&s| s.to_owned()).collect(),
    }
}

/// Text from a file as it may stand in a message: no control characters, not endless.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    // Control characters would let a file write to the user's terminal.
    let mut out: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// Opens a regular file; `purpose` says what it is for, should it be missing.
pub(super) fn open(path: &Path, purpose: &str) -> Result<(std::fs::File, u64)> {
    let io = |source: std::io::Error| {
        let source = if source.kind() == std::io::ErrorKind::NotFound {
            std::io::Error::new(source.kind(), format!("there is no such file; it holds {purpose}"))
        } else {
            source
        };
        Error::Io { path: path.to_owned(), source }
    };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(bad(path, format!("this is not a file; it should hold {purpose}")));
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    Ok((file, length))
}

/// A file of which parts are read while it stays as it was when it was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: Mutex<std::fs::File>,
    length: u64,
    /// When it was changed last, where the system tells.
    changed: Option<SystemTime>,
}

impl OpenFile {
    pub fn new(path: &Path, purpose: &str) -> Result<Self> {
        let (file, length) = open(path, purpose)?;
        let metadata = file.metadata().map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(Self { file: Mutex::new(file), length, changed: metadata.modified().ok() })
    }

    /// Its bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `out` with the bytes from `first` on.
    ///
    /// # Errors
    /// [`Error::File`] if it ends before that, or is not the file any more that was opened; [`Error::Io`].
    pub fn read(&self, path: &Path, first: u64, out: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(first)).and_then(|_| file.read_exact(out));
        let metadata = file.metadata();
        drop(file);
        let io = |source| Error::Io { path: path.to_owned(), source };
        let (now, was) = (metadata.map_err(io)?, self.length);
        if now.len() != was {
            let how = if now.len() < was { "it was truncated" } else { "it has grown" };
            let problem = format!("{how} while it was read: it had {was} bytes and has {}", now.len());
            return Err(bad(path, problem));
        }
        if now.modified().ok() != self.changed {
            let problem =
                "it was written to while it was read, so that old and new bytes may be mixed: try again";
            return Err(bad(path, problem));
        }
        read.map_err(io)
    }
}

/// The whole of a file that may not be larger than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64, purpose: &str) -> Result<Vec<u8>> {
    let (file, length) = open(path, purpose)?;
    let too_large = || bad(path, format!("the file has more than {limit} bytes, too many for {purpose}"));
    if length > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow meanwhile, hence the bound on the reader too.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Whether the bytes are what git leaves behind where Git LFS was not installed.
pub(super) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs")
}

/// What to say about such a file.
pub(super) const LFS_POINTER: &str =
    "this is only a Git LFS pointer, not the file itself: fetch it with `git lfs pull`";

/// Whether this is a folder; `needs` says what such a folder has in it.
pub(super) fn check_folder(root: &Path, needs: &str) -> Result<()> {
    let metadata = std::fs::metadata(root).map_err(|source| Error::Io { path: root.to_owned(), source })?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(bad(root, format!("this is not a folder; a model is a folder with {needs} in it")))
}

/// `folder/relative`, for a relative path that stays inside the folder.
pub(super) fn inside(folder: &Path, relative: &str, named_by: &Path) -> Result<PathBuf> {
    let stays =
        Path::new(relative).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    // Backslashes and drive letters are paths on Windows only; no model folder needs them anywhere.
    if !stays || relative.contains(['\\', ':', '\0']) {
        return Err(bad(named_by, format!("the path `{}` leads out of the folder", shown(relative))));
    }
    Ok(if relative.is_empty() { folder.to_owned() } else { folder.join(relative) })
}
