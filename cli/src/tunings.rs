//! Measurements of `attentive tune`, and which devices were verified: one file for each adapter, in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};

use attentive::device::Tuning;
use attentive::{Device, Error};

use crate::folders::own_cache;
use crate::output::{Failure, Result, lock_folder, note};

/// The folder for tunings.
fn folder() -> Result<PathBuf> {
    let cache = own_cache().ok_or_else(|| {
        Failure::Failed(
            "there is no cache folder for this user: set HOME (or XDG_CACHE_HOME on Linux)".to_owned(),
        )
    })?;
    Ok(cache.join("tuning"))
}

/// The folder, there.
pub fn make_folder() -> Result<PathBuf> {
    let folder = folder()?;
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, error))?;
    Ok(folder)
}

/// Puts it into its file, beside what is known better there. Another process may be tuning too: what it wrote meanwhile is read again.
/// Gives the file, and the number of choices that were known better.
pub fn keep(folder: &Path, tuning: &mut Tuning) -> Result<(PathBuf, usize)> {
    let path = folder.join(tuning.key.file_name());
    let _locked = lock_folder(folder).map_err(|error| Failure::file(folder, error))?;
    let known_better = Tuning::load(&path).map_or(0, |before| tuning.keep_better(&before).len());
    tuning.save(&path)?;
    Ok((path, known_better))
}

/// Keeps whether cooperative matrices gave right results on this device, beside what was measured.
pub fn keep_cooperative(device: &Device, passed: bool) -> Result<()> {
    let Some(mut tuning) = Tuning::new(device) else { return Ok(()) };
    tuning.cooperative = Some(passed);
    keep(&make_folder()?, &mut tuning)?;
    Ok(())
}

/// What was measured on this device, if that is kept and still holds. Otherwise tables choose, and why is said where there is a
/// file.
pub fn kept(device: &Device) -> Option<Tuning> {
    let here = device.tuning_key()?;
    let path = folder().ok()?.join(here.file_name());
    let again = "`attentive tune` measures anew";
    match Tuning::load(&path) {
        Ok(tuning) => match tuning.key.difference(here) {
            None => Some(tuning),
            Some(difference) => {
                note(format_args!("{} is not used: {difference}; {again}", path.display()));
                None
            }
        },
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            note(format_args!("{error}: it is not used; {again}"));
            None
        }
    }
}
