//! Mesa's cache of compiled shaders, where its disk is full.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder in which Mesa keeps compiled shaders, if the disk under it is full: Mesa maps its files there into memory and does
/// not expect that a write to them fails, so that the kernel ends the process by SIGBUS. `None` where Mesa keeps none.
pub fn full_shader_cache() -> Option<PathBuf> {
    let is_on = |name| {
        set(name)
            .is_some_and(|value| ["1", "true", "y", "yes"].iter().any(|yes| value.eq_ignore_ascii_case(yes)))
    };
    if is_on("MESA_SHADER_CACHE_DISABLE") || is_on("MESA_GLSL_CACHE_DISABLE") {
        return None;
    }
    let folder =
        set("MESA_SHADER_CACHE_DIR").or_else(|| set("MESA_GLSL_CACHE_DIR")).or_else(|| set("XDG_CACHE_HOME"));
    let folder = folder
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?
        .join("mesa_shader_cache");
    is_full(folder.ancestors().find(|folder| folder.is_dir())?).then_some(folder)
}

/// More than Mesa's index takes, which is the first that it writes.
const ROOM: usize = 2 << 20;

/// Whether there is no room in a folder: found by writing, since quotas are not told by the disk's free space.
fn is_full(folder: &Path) -> bool {
    use std::io::{ErrorKind, Write};
    let written = tempfile::tempfile_in(folder).and_then(|mut file| {
        file.write_all(&vec![1; ROOM])?;
        file.sync_data()
    });
    written.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
