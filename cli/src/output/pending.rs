//! Files that are being written, and that nothing but their writer should see: without a name where the system has such files, else
//! with a hidden one, locked, which goes when the process ends by a signal and is otherwise removed by a later run.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

/// The beginning of the names, before six random letters and digits.
const PREFIX: &str = ".attentive-";
const RANDOM: usize = 6;

/// The hidden names that are there now. Who holds it keeps signals waiting.
static NAMES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Signals that would end the program wait until it is dropped.
pub fn no_signals() -> impl Drop {
    names()
}

fn names() -> MutexGuard<'static, Vec<PathBuf>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is being written.
pub struct Pending {
    file: File,
    /// The hidden name, if it has one.
    name: Option<Named>,
}

/// A hidden name, removed when this is dropped.
struct Named(TempPath);

impl Drop for Named {
    fn drop(&mut self) {
        names().retain(|name| *name != *self.0);
    }
}

impl Pending {
    /// In `folder`, with the permissions and the owner of what it will replace; else those of any new file.
    pub fn create(folder: &Path, replaces: Option<&Metadata>) -> io::Result<Self> {
        end_by_signals::install();
        // At first for this user alone: what it replaces may be so.
        let mode = if replaces.is_some() { 0o600 } else { 0o666 };
        let pending = match unnamed(folder, mode) {
            Some(file) => {
                lock::lock(&file)?;
                Self { file, name: None }
            }
            None => Self::named(folder, mode)?,
        };
        if let Some(replaces) = replaces {
            take_over(&pending.file, replaces)?;
        }
        Ok(pending)
    }

    fn named(folder: &Path, mode: u32) -> io::Result<Self> {
        loop {
            let mut names = names();
            let (file, path) = hidden(folder, |path| create_new(path, mode))?.into_parts();
            names.push(path.to_path_buf());
            drop(names);
            let named = Named(path);
            lock::lock(&file)?;
            // Another process may have taken it for a stale one before it was locked.
            if lock::is_at(&file, &named.0) {
                return Ok(Self { file, name: Some(named) });
            }
        }
    }

    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives it that name, in its folder, in place of what is there. What it replaces was whole until then.
    pub fn put(&mut self, place: &Path) -> io::Result<()> {
        let mut names = names();
        if self.name.is_none() {
            match link(&self.file, place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => return linked,
            }
        }
        match self.name.take() {
            Some(named) => {
                let renamed = fs::rename(&named.0, place);
                if renamed.is_ok() {
                    names.retain(|name| *name != *named.0);
                }
                drop(names);
                match renamed {
                    // The name is another file's now, or nobody's.
                    Ok(()) => drop(keep_name(named)),
                    Err(_) => self.name = Some(named),
                }
                renamed
            }
            None => {
                let (_, path) = hidden(folder_of(place), |path| link(&self.file, path))?.into_parts();
                // The path removes the name if the rename fails.
                fs::rename(&path, place)?;
                let _ = path.keep();
                Ok(())
            }
        }
    }

    /// Keeps it under a name that is free and begins with that of `place`: beside it, else as a copy in the folder for temporary
    /// files.
    pub fn keep(mut self, place: &Path) -> io::Result<PathBuf> {
        let mut start = place.file_name().unwrap_or_default().to_owned();
        start.push(".");
        let in_folder = |folder: &Path, make: &mut dyn FnMut(&Path) -> io::Result<()>| {
            let kept = tempfile::Builder::new().prefix(&start).rand_bytes(RANDOM).make_in(folder, make)?;
            Ok::<_, io::Error>(kept.into_temp_path().keep()?)
        };
        let beside = in_folder(folder_of(place), &mut |path| match &self.name {
            Some(named) => fs::hard_link(&named.0, path),
            None => link(&self.file, path),
        });
        beside.or_else(|_| {
            self.file.seek(SeekFrom::Start(0))?;
            in_folder(&std::env::temp_dir(), &mut |path| {
                let mut copy = create_new(path, 0o600)?;
                io::copy(&mut self.file, &mut copy)?;
                copy.sync_all()
            })
        })
    }
}

/// Lets the name be.
fn keep_name(mut named: Named) -> PathBuf {
    let path = named.0.to_path_buf();
    named.0.disable_cleanup(true);
    path
}

/// Something under a hidden name that is free.
fn hidden<T>(
    folder: &Path,
    make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<tempfile::NamedTempFile<T>> {
    tempfile::Builder::new().prefix(PREFIX).rand_bytes(RANDOM).make_in(folder, make)
}

fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// A file without a name, where the file system has such, and a way to give it one.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path, mode: u32) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::TMPFILE.bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).mode(mode).open(folder).ok()?;
    link_source(&file).exists().then_some(file)
}

#[cfg(target_os = "linux")]
fn link_source(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, link_source(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path, _: u32) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives the file the owner and the permissions of another, or less: who may not give it to the other's group leaves the group no
/// more than everybody has.
#[cfg(unix)]
fn take_over(file: &File, from: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let own = file.metadata()?;
    let mut mode = from.mode() & 0o777;
    if own.uid() != from.uid() || own.gid() != from.gid() {
        let given = fchown(file, Some(from.uid()), Some(from.gid()))
            .or_else(|_| fchown(file, None, Some(from.gid())));
        if given.is_err() && own.gid() != from.gid() {
            mode &= 0o707 | (mode & 0o007) << 3;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn take_over(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Removes what killed processes left in the folder: files of these names that nobody has locked, this user's alone.
pub fn remove_stale(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_ours = random.is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            lock::remove_if_nobodys(&entry.path());
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Pending {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Waits until no other process has the folder locked, and has it until what it gives is dropped.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    lock::folder(folder)
}

/// Locks tell whether the process that writes a file lives.
#[cfg(unix)]
mod lock {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::io::Errno;

    pub fn lock(file: &File) -> io::Result<()> {
        match flock(file, FlockOperation::LockExclusive) {
            // Where the file system has no locks, nobody removes what is not locked either.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn folder(folder: &Path) -> io::Result<File> {
        let folder = File::open(folder)?;
        lock(&folder)?;
        Ok(folder)
    }

    /// Whether the file is the one of that name.
    pub fn is_at(file: &File, path: &Path) -> bool {
        let same =
            |one: fs::Metadata, other: fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        file.metadata().and_then(|file| Ok(same(file, fs::symlink_metadata(path)?))).unwrap_or(false)
    }

    pub fn remove_if_nobodys(path: &Path) {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) else {
            return;
        };
        let own = file.metadata().is_ok_and(|file| file.uid() == rustix::process::geteuid().as_raw());
        if own && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&file, path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// On Windows what is open tells it.
#[cfg(not(unix))]
mod lock {
    use std::fs::{self, File};
    use std::io;
    use std::path::Path;

    pub fn lock(_: &File) -> io::Result<()> {
        Ok(())
    }

    /// By a file in it, since a folder cannot be locked.
    pub fn folder(folder: &Path) -> io::Result<File> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
        let path = folder.join(".lock");
        for _ in 0..200 {
            if let Ok(file) = options.open(&path) {
                return Ok(file);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        options.open(&path)
    }

    pub fn is_at(_: &File, _: &Path) -> bool {
        true
    }

    pub fn remove_if_nobodys(path: &Path) {
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;
            // To share it with nobody works where nobody else has it open.
            if fs::OpenOptions::new().read(true).share_mode(0).open(path).is_ok() {
                let _ = fs::remove_file(path);
            }
        }
        #[cfg(not(windows))]
        let _ = (path, fs::remove_file::<&Path>);
    }
}

/// Signals that end the program take its hidden names with them.
#[cfg(unix)]
mod end_by_signals {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Once};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::{flag, iterator::Signals, low_level};

    /// From the first file on. The first signal waits for a file that is being put in its place, and ends the program as if it
    /// were not caught; the second ends it at once. A signal that the program was started without (`nohup`, a shell's `&`) stays
    /// ignored.
    pub fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let ignored = ignored();
            let ending: Vec<i32> = [SIGHUP, SIGINT, SIGTERM]
                .into_iter()
                .filter(|signal| ignored >> (signal - 1) & 1 == 0)
                .collect();
            let second = Arc::new(AtomicBool::new(false));
            for &signal in &ending {
                // In this order: the first signal finds the flag not set yet.
                let _ = flag::register_conditional_default(signal, Arc::clone(&second));
                let _ = flag::register(signal, Arc::clone(&second));
            }
            // A file past the user's limit (`ulimit -f`) is then an error of the write that meets it.
            let _ = flag::register(SIGXFSZ, Arc::default());
            let Ok(mut signals) = Signals::new(&ending) else { return };
            let wait = move || {
                if let Some(signal) = signals.forever().next() {
                    let names = super::names();
                    for name in names.iter() {
                        let _ = std::fs::remove_file(name);
                    }
                    let _ = low_level::emulate_default_handler(signal);
                }
            };
            // Where the system gives no thread, signals must end the program by themselves.
            if std::thread::Builder::new().spawn(wait).is_err() {
                for signal in ending {
                    let _ = flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)));
                }
            }
        });
    }

    /// The signals that are ignored, as a mask; none where the system does not tell.
    pub(super) fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod end_by_signals {
    pub fn install() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// As it goes where the system has no files without a name.
    #[test]
    fn a_hidden_name_is_seen_by_nobody_later() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        fs::write(&place, "before").unwrap();
        let mut pending = Pending::named(folder.path(), 0o600).unwrap();
        pending.write_all(b"after").unwrap();
        // It is locked: another run lets it be.
        remove_stale(folder.path());
        assert_eq!(names_in(folder.path()).len(), 2);
        pending.put(&place).unwrap();
        drop(pending);
        assert_eq!(fs::read(&place).unwrap(), b"after");
        assert_eq!(names_in(folder.path()), ["out"]);
        drop(Pending::named(folder.path(), 0o600).unwrap());
        assert_eq!(names_in(folder.path()), ["out"]);
        let mut pending = Pending::named(folder.path(), 0o600).unwrap();
        pending.write_all(b"kept").unwrap();
        let kept = pending.keep(&place).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"kept");
        assert_eq!(names_in(folder.path()).len(), 2);
        assert!(names().is_empty());
    }

    /// The test's own program again, which a signal ends.
    #[test]
    #[cfg(unix)]
    fn a_signal_takes_the_hidden_name_with_it() {
        use std::io::Read;
        use std::os::unix::process::ExitStatusExt;
        use std::process::{Command, Stdio};
        const FOLDER: &str = "ATTENTIVE_TEST_PENDING";
        if let Some(folder) = std::env::var_os(FOLDER) {
            end_by_signals::install();
            let _pending = Pending::named(Path::new(&folder), 0o600).unwrap();
            println!("ready");
            std::thread::sleep(std::time::Duration::from_secs(60));
            return;
        }
        // One that the tests were started to ignore (`nohup`, a script's `&`) ends no child either.
        let ends = |(_, number): &(&str, i32)| end_by_signals::ignored() >> (number - 1) & 1 == 0;
        for (signal, number) in [("INT", 2), ("TERM", 15)].into_iter().filter(ends) {
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([
                "output::pending::tests::a_signal_takes_the_hidden_name_with_it",
                "--exact",
                "--nocapture",
            ]);
            let mut child = command.env(FOLDER, folder.path()).stdout(Stdio::piped()).spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            let (mut said, mut bytes) = (String::new(), [0; 64]);
            while !said.contains("ready") {
                let read = stdout.read(&mut bytes).unwrap();
                assert!(read > 0, "{said}");
                said += &String::from_utf8_lossy(&bytes[..read]);
            }
            assert_eq!(names_in(folder.path()).len(), 1);
            assert!(
                Command::new("kill")
                    .args(["-s", signal, &child.id().to_string()])
                    .status()
                    .unwrap()
                    .success()
            );
            assert_eq!(child.wait().unwrap().signal(), Some(number));
            assert_eq!(names_in(folder.path()), [""; 0]);
        }
    }
}
