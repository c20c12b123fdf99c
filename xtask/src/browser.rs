//! The browser that the pages of `attentive attention` are tested in.

use std::path::PathBuf;

use crate::call::Call;
use crate::packages::Packages;
use crate::{Options, Result};

/// About 100 MB to download.
const CHROMIUM: Packages = Packages {
    what: "Chromium (the pages are tested in it)",
    apt: "chromium",
    dnf: "chromium-headless",
    pacman: "chromium",
    zypper: "chromium",
    apk: "chromium",
};

/// As it and its kin are called.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chromium-headless",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The browser if one is here, without installing anything.
pub fn found() -> Option<PathBuf> {
    if let Some(own) = own() {
        return Some(own);
    }
    NAMES.into_iter().find(|name| Call::new(name).arg("--version").works()).map(PathBuf::from)
}

/// The one that the caller wants used.
fn own() -> Option<PathBuf> {
    std::env::var_os("ATTENTIVE_TEST_BROWSER").filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// Finds a browser, or installs one. None where the tests could not drive it.
pub fn run(options: &Options) -> Result<Option<PathBuf>> {
    if cfg!(not(unix)) {
        println!(
            "The pages are tested on Unix, where a browser can be driven through a pipe: nothing to do here."
        );
        return Ok(None);
    }
    if let Some(own) = own() {
        if !Call::new(&own).arg("--version").works() {
            return Err(format!("ATTENTIVE_TEST_BROWSER: {} --version does not work", own.display()));
        }
        println!("The browser is {} (ATTENTIVE_TEST_BROWSER).", own.display());
        return Ok(Some(own));
    }
    if found().is_none() {
        CHROMIUM.install(options)?;
    }
    let browser =
        found().ok_or_else(|| format!("{} is not here although it was installed", CHROMIUM.what))?;
    println!("The browser is {}: nothing to install.", browser.display());
    Ok(Some(browser))
}
