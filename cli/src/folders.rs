//! Folders in which programs keep what they can make again.

use std::path::PathBuf;

/// This program's folder in the user's cache folder.
pub fn own_cache() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("attentive"))
}

/// The Hugging Face hub's: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
pub fn hub_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let in_home = || Some(std::env::home_dir()?.join(".cache").join("huggingface"));
    set("HF_HUB_CACHE").or_else(|| Some(set("HF_HOME").or_else(in_home)?.join("hub")))
}
