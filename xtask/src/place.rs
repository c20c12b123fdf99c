//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The repository's root.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let xtask =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        PathBuf::from(xtask).parent().map(Path::to_owned).unwrap_or_default()
    });
    &ROOT
}

/// Cargo's target folder: the one that we were built into, wherever the configuration put it.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().ok();
    let debug = exe.as_deref().and_then(Path::parent).filter(|folder| folder.ends_with("debug"));
    debug.and_then(Path::parent).map_or_else(|| root().join("target"), Path::to_owned)
}

/// The binary `attentive` of a profile.
pub fn attentive(profile: &str) -> PathBuf {
    target().join(profile).join(format!("attentive{}", std::env::consts::EXE_SUFFIX))
}

/// The folder that holds the models.
pub fn models() -> PathBuf {
    match std::env::var_os("ATTENTIVE_MODELS").filter(|folder| !folder.is_empty()) {
        Some(folder) => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
        None => target().join("models"),
    }
}

/// `path` as seen from the root, where it is below that.
pub fn from_root(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap_or(path)
}

#[cfg(test)]
pub mod scratch {
    //! Folders for tests.

    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A folder of its own, removed with the value.
    pub struct Scratch(PathBuf);

    impl Scratch {
        pub fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("attentive-xtask-{}-{count}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub fn path(&self) -> &Path {
            &self.0
        }

        pub fn write(&self, name: &str, text: &str) {
            let file = self.0.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
