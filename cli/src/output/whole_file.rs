//! Files that appear whole or not at all, whatever ends the program.
//!
//! Where the system has them (Linux, on most file systems), what is written goes into a file without a name, which is gone with
//! the process, and gets its name at the end. A file that is replaced needs a rename, and so for a moment a name beside it,
//! `.attentive-XXXXXX`; where there are no unnamed files, it has that name from the beginning. Such a file is locked by the
//! process that writes it, so that a later run can tell one that a killed process left, and removes it. Signals that end the
//! program wait for that moment, and take the named files with them.
//!
//! A file that cannot be replaced (mounted by itself, another user's in a sticky folder) is overwritten in its place at the end.
//! If that fails too, what was written is kept under a name that is said. Devices, pipes and open descriptors are written to as it
//! comes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::pending::{self, Pending};
use super::{Failure, Result, note};

/// Links that are followed before there must be a loop.
const MOST_LINKS: usize = 40;

/// A file that is written beside its place and put there whole.
pub struct WholeFile {
    /// As it was given.
    path: PathBuf,
    out: Out,
}

enum Out {
    Whole {
        /// Where the links lead to.
        place: PathBuf,
        file: BufWriter<Pending>,
        /// Whether it lies in the folder of its place, and so can be put there by its name.
        beside: bool,
    },
    Direct(BufWriter<Box<dyn Write>>),
}

/// Where writing to a path leads.
#[derive(Debug, PartialEq)]
enum Place {
    /// A path that is no link; there may be nothing yet.
    Path(PathBuf),
    /// What this process has open, by `/dev/stdout`, `/dev/fd/3` and the like. Its file is not to be replaced.
    Descriptor(u32),
}

impl WholeFile {
    /// Fails at once where the file could not be written later.
    pub fn create(path: &Path) -> Result<Self> {
        let out = open(path).map_err(|problem| Failure::file(path, problem))?;
        Ok(Self { path: path.to_owned(), out })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what was written can be written over, from its beginning.
    pub fn is_seekable(&self) -> bool {
        matches!(self.out, Out::Whole { .. })
    }

    /// Puts it in its place.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let failed = |error: io::Error| Failure::file(&path, error);
        match self.out {
            Out::Direct(mut out) => out.flush().map_err(failed),
            Out::Whole { place, file, beside } => {
                let mut file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                let mut refused = None;
                if beside {
                    match file.put(&place) {
                        Ok(()) => return Ok(()),
                        Err(error) => refused = Some(error),
                    }
                }
                match overwrite(&mut file, &place) {
                    Ok(()) => {
                        if let Some(reason) = refused {
                            note(format_args!(
                                "{} cannot be replaced ({reason}): it was overwritten in its place",
                                path.display()
                            ));
                        }
                        Ok(())
                    }
                    Err(error) => {
                        let reason = refused.unwrap_or(error);
                        let kept = file.keep(&place).map(|kept| format!("kept as {}", kept.display()));
                        let kept = kept.unwrap_or_else(|error| format!("lost: {error}"));
                        Err(Failure::file(&path, format!("{reason}; what was to be written is {kept}")))
                    }
                }
            }
        }
    }
}

/// Opens what `path` means; an error is a sentence's end.
fn open(path: &Path) -> Result<Out, String> {
    let place = match resolve(path)? {
        Place::Descriptor(number) => return Ok(Out::Direct(BufWriter::new(descriptor(number)?))),
        Place::Path(place) => place,
    };
    let text = |error: io::Error| error.to_string();
    let there = match fs::metadata(&place) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(text(error)),
    };
    match &there {
        Some(there) if there.is_dir() => return Err("this is a folder, not a file".to_owned()),
        Some(there) if is_block_device(there) => return Err("this is a block device, not a file".to_owned()),
        Some(there) if !there.is_file() => {
            let file = OpenOptions::new().write(true).open(&place).map_err(text)?;
            return Ok(Out::Direct(BufWriter::new(Box::new(file))));
        }
        // A file that may not be written may not be replaced either.
        Some(_) => drop(OpenOptions::new().append(true).open(&place).map_err(text)?),
        None => {}
    }
    let ends_in_separator = path.to_string_lossy().ends_with(std::path::is_separator);
    if place.file_name().is_none() || ends_in_separator {
        return Err("this names no file".to_owned());
    }
    let folder = pending::folder_of(&place);
    if !folder.is_dir() {
        return Err(format!("there is no folder {}", folder.display()));
    }
    pending::remove_stale(folder);
    let whole = |file, beside| Out::Whole { place: place.clone(), file: BufWriter::new(file), beside };
    match Pending::create(folder, there.as_ref()) {
        Ok(file) => Ok(whole(file, true)),
        // The folder takes no new file, but this one can be overwritten.
        Err(_) if there.is_some() => Pending::create(&std::env::temp_dir(), there.as_ref())
            .map(|file| whole(file, false))
            .map_err(text),
        Err(error) => Err(format!("cannot be written: {error}")),
    }
}

/// Follows links at the path's end, also to what is not there yet.
fn resolve(path: &Path) -> Result<Place, String> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Some(number) = descriptor_number(&path) {
            return Ok(Place::Descriptor(number));
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(Place::Path(path)),
        }
    }
    Err(format!("these are more than {MOST_LINKS} links to each other"))
}

/// The descriptor of this process that a path stands for.
fn descriptor_number(path: &Path) -> Option<u32> {
    if !cfg!(unix) {
        return None;
    }
    match path.to_str()? {
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let own = format!("/proc/{}/fd", std::process::id());
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own];
    let folder = path.parent()?.to_str()?;
    folders.contains(&folder).then(|| path.file_name()?.to_str()?.parse().ok())?
}

fn descriptor(number: u32) -> Result<Box<dyn Write>, String> {
    match number {
        1 => super::standard::expect_open().map(|()| Box::new(io::stdout()) as Box<dyn Write>),
        2 => Ok(Box::new(io::stderr())),
        // A file behind it is opened anew, at its end.
        number => {
            let file = OpenOptions::new().append(true).open(format!("/dev/fd/{number}"));
            file.map(|file| Box::new(file) as Box<dyn Write>).map_err(|error| error.to_string())
        }
    }
}

fn is_block_device(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type());
    #[cfg(not(unix))]
    return {
        let _ = metadata;
        false
    };
}

/// Copies it over the file that is there.
fn overwrite(file: &mut Pending, place: &Path) -> io::Result<()> {
    let _signals_wait = pending::no_signals();
    let mut to = OpenOptions::new().write(true).open(place)?;
    let mut from: &File = file.as_file();
    from.seek(SeekFrom::Start(0))?;
    to.set_len(0)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Whole { file, .. } => file.write(bytes),
            Out::Direct(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Whole { file, .. } => file.flush(),
            Out::Direct(out) => out.flush(),
        }
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.out {
            Out::Whole { file, .. } => file.seek(to),
            Out::Direct(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) -> Result<()> {
        let mut file = WholeFile::create(path)?;
        file.write_all(text.as_bytes()).map_err(|error| Failure::file(path, error))?;
        file.finish()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.npy");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        drop(WholeFile::create(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        write(&path, "de").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"de");
        assert_eq!(names(folder.path()), ["out.npy"]);
        for wrong in [folder.path(), &path.join("below"), Path::new(""), &folder.path().join("none/")] {
            assert!(matches!(WholeFile::create(wrong), Err(Failure::Failed(_))), "{}", wrong.display());
        }
    }

    #[test]
    #[cfg(unix)]
    fn permissions_stay_and_a_link_is_followed_to_what_is_not_there_yet() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        for mode in [0o600, 0o640, 0o666] {
            let path = in_folder("out");
            fs::write(&path, "before").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            write(&path, "after").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"after");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        symlink("second", in_folder("first")).unwrap();
        symlink(in_folder("target"), in_folder("second")).unwrap();
        write(&in_folder("first"), "through").unwrap();
        assert_eq!(fs::read(in_folder("target")).unwrap(), b"through");
        assert!(in_folder("first").is_symlink() && in_folder("second").is_symlink());
        symlink("loop", in_folder("loop")).unwrap();
        assert!(WholeFile::create(&in_folder("loop")).is_err());
        assert_eq!(names(folder.path()), ["first", "loop", "out", "second", "target"]);
    }

    #[test]
    #[cfg(unix)]
    fn only_what_nobody_writes_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        for name in [".attentive-abc123", ".attentive-abc1234", ".attentive-abc12.", "attentive-abc123"] {
            fs::write(in_folder(name), "left").unwrap();
        }
        fs::create_dir(in_folder(".attentive-folder")).unwrap();
        fs::write(in_folder(".attentive-locked"), "in work").unwrap();
        let locked = File::open(in_folder(".attentive-locked")).unwrap();
        rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
        write(&in_folder("out"), "text").unwrap();
        let mut kept = [
            ".attentive-abc1234",
            ".attentive-abc12.",
            "attentive-abc123",
            ".attentive-folder",
            ".attentive-locked",
            "out",
        ];
        kept.sort();
        assert_eq!(names(folder.path()), kept);
        drop(locked);
        write(&in_folder("out"), "text").unwrap();
        assert!(!in_folder(".attentive-locked").exists());
    }

    /// The path from which there is no way back: it was to be replaced, and cannot even be overwritten.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_cannot_be_put_is_kept_under_a_name_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.npy");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"hours of work").unwrap();
        // A folder in its place, which nothing replaces and nothing overwrites.
        fs::create_dir(&path).unwrap();
        let Err(Failure::Failed(problem)) = file.finish() else { panic!("it was put over a folder") };
        let kept = problem.split_once("kept as ").unwrap_or_else(|| panic!("{problem}")).1;
        assert_eq!(fs::read(kept).unwrap(), b"hours of work");
        assert!(kept.contains("out.npy."), "{kept}");
    }

    #[test]
    #[cfg(unix)]
    fn descriptors_are_known_by_their_names() {
        let number = |path: &str| descriptor_number(Path::new(path));
        assert_eq!(number("/dev/stdout"), Some(1));
        assert_eq!(number("/dev/fd/63"), Some(63));
        assert_eq!(number("/proc/self/fd/2"), Some(2));
        assert_eq!(number("/dev/fd"), None);
        assert_eq!(number("/dev/null"), None);
        assert_eq!(number("/tmp/fd/3"), None);
    }
}
