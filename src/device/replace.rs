//! Files of this library's own that are replaced at once, so that who reads one meanwhile has the old one or the new.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The end of the name of a file that is being written.
const TEMPORARY: &str = "temporary";

/// Writing takes seconds at most: what was not touched for longer, a process left that was killed in the midst of it.
const STALE: Duration = Duration::from_secs(600);

/// Writes the parts, one after another, in place of the file, and removes what killed processes left beside it.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let own = beside(path, &format!("{}-{number}.{TEMPORARY}", std::process::id()));
    let written = std::fs::write(&own, parts.concat());
    let renamed = written.and_then(|()| std::fs::rename(&own, path));
    match &renamed {
        Ok(()) => remove_stale(path, SystemTime::now()),
        // The rest of the file is of no use; the first error is the one to tell.
        Err(_) => drop(std::fs::remove_file(&own)),
    }
    renamed
}

/// The path with that at its end, after a dot.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Removes the temporary files of `path` that are too old to be written still.
fn remove_stale(path: &Path, now: SystemTime) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let end = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let end = end
            .and_then(|end| end.strip_prefix(b".")?.strip_suffix(TEMPORARY.as_bytes())?.strip_suffix(b"."));
        let is_ours =
            end.is_some_and(|numbers| numbers.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'));
        let age = entry.metadata().and_then(|file| file.modified()).map(|then| now.duration_since(then));
        if is_ours && age.is_ok_and(|age| age.is_ok_and(|age| age > STALE)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_left_goes_with_the_next_write() {
        let folder = std::env::temp_dir().join(format!("attentive-replace-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file.json");
        let old = SystemTime::now() - STALE - Duration::from_secs(5);
        for (name, time) in [
            ("file.json.12-3.temporary", old),
            ("file.json.13-0.temporary", SystemTime::now()),
            ("file.json.mine.temporary", old),
            ("other.json.12-3.temporary", old),
            ("file.json.12-3", old),
        ] {
            std::fs::File::create(folder.join(name)).unwrap().set_modified(time).unwrap();
        }
        replace(&path, &[b"one, ", b"two"]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one, two");
        assert!(!folder.join("file.json.12-3.temporary").exists());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5);
        assert!(replace(&folder, &[b"a folder is not replaced"]).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
