//! Linux's libraries, driver manifests and device files for Vulkan and OpenGL.
//!
//! `cargo xtask` compiles this file too, for its `setup`: it uses nothing of this program.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where to look, below `root`.
pub struct System {
    pub root: PathBuf,
    /// `VK_DRIVER_FILES` or the older `VK_ICD_FILENAMES`: the loader then looks nowhere else.
    pub forced: Option<(&'static str, OsString)>,
    /// Folders that hold `vulkan/icd.d`.
    pub config: Vec<PathBuf>,
    /// Folders with libraries.
    pub libraries: Vec<PathBuf>,
}

/// A driver's manifest.
pub struct Manifest {
    pub path: PathBuf,
    /// Why the loader could not use it.
    pub problem: Option<String>,
}

/// A shared library.
pub struct Library {
    pub path: PathBuf,
    /// Why it cannot be loaded.
    pub problem: Option<String>,
}

/// Why the linker could not load that file, as far as its first bytes tell.
fn library_problem(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut header = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(5).read_to_end(&mut header));
    let bits = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
    match header.as_slice() {
        _ if read.is_err() => read.err().map(|error| error.to_string()),
        [] => Some("it is empty".to_owned()),
        [0x7f, b'E', b'L', b'F', class] if *class == bits => None,
        [0x7f, b'E', b'L', b'F', ..] => {
            Some("it is for programs of another width (32 or 64 bits)".to_owned())
        }
        _ => Some("it is no library".to_owned()),
    }
}

/// A file of `/dev` that drivers open.
pub struct Node {
    pub path: PathBuf,
    pub problem: Option<String>,
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl System {
    pub fn here() -> Self {
        let folders = |name, default: &str| -> Vec<PathBuf> {
            std::env::split_paths(&set(name).unwrap_or_else(|| default.into())).collect()
        };
        let home = set("HOME").map(PathBuf::from);
        let in_home =
            |name, default| set(name).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(default)));
        let mut config = Vec::new();
        config.extend(in_home("XDG_CONFIG_HOME", ".config"));
        config.extend(folders("XDG_CONFIG_DIRS", "/etc/xdg"));
        config.push("/etc".into());
        config.extend(in_home("XDG_DATA_HOME", ".local/share"));
        config.extend(folders("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
        config.push("/run/opengl-driver/share".into());

        let mut libraries = folders("LD_LIBRARY_PATH", "");
        let usual = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/run/opengl-driver/lib"];
        libraries.extend(usual.map(PathBuf::from));
        let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
        libraries.extend(["/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&multiarch)));
        // The environment may name more folders for the dynamic linker to search.
        let lists = std::fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
        for list in lists.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()) {
            libraries
                .extend(list.lines().filter(|line| line.starts_with('/')).map(|line| line.trim().into()));
        }
        libraries.retain(|folder| !folder.as_os_str().is_empty());
        let forced = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter();
        let forced = forced.filter_map(|name| Some((name, set(name)?))).next();
        Self { root: "/".into(), forced, config, libraries }
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The library of that name: the first that could be loaded, else the first that is there, with what is wrong with it.
    pub fn library(&self, name: &str) -> Option<Library> {
        let paths =
            self.libraries.iter().map(|folder| self.below(folder).join(name)).filter(|path| path.exists());
        let mut found: Vec<Library> =
            paths.map(|path| Library { problem: library_problem(&path), path }).collect();
        let usable = found.iter().position(|library| library.problem.is_none()).unwrap_or(0);
        (usable < found.len()).then(|| found.swap_remove(usable))
    }

    /// The folders searched for manifests.
    pub fn manifest_folders(&self) -> Vec<PathBuf> {
        let mut seen = BTreeSet::new();
        let folders = self.config.iter().map(|folder| self.below(folder).join("vulkan/icd.d"));
        folders.filter(|folder| seen.insert(folder.clone())).collect()
    }

    pub fn manifests(&self) -> Vec<Manifest> {
        let in_folder = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            files.sort();
            files
        };
        let files: Vec<PathBuf> = match &self.forced {
            None => self.manifest_folders().into_iter().flat_map(in_folder).collect(),
            Some((_, list)) => std::env::split_paths(list)
                .map(|path| self.below(&path))
                .flat_map(|path| if path.is_dir() { in_folder(path) } else { vec![path] })
                .collect(),
        };
        let manifest = |path: PathBuf| Manifest { problem: self.manifest_problem(&path), path };
        files.into_iter().map(manifest).collect()
    }

    fn manifest_problem(&self, path: &Path) -> Option<String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Some(error.to_string()),
        };
        let value: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => return Some(format!("not JSON: {error}")),
        };
        let Some(library) = value["ICD"]["library_path"].as_str() else {
            return Some("it names no library".to_owned());
        };
        let found = match Path::new(library) {
            path if path.is_absolute() => Some(self.below(path)),
            relative if library.contains('/') => path.parent().map(|folder| folder.join(relative)),
            _ => {
                let found = self.library(library);
                return match found {
                    None => Some(format!("its library {library} is not there")),
                    Some(Library { path, problem }) => problem
                        .map(|problem| format!("its library {} cannot be loaded: {problem}", path.display())),
                };
            }
        };
        match found.filter(|path| path.exists()) {
            None => Some(format!("its library {library} is not there")),
            Some(path) => library_problem(&path)
                .map(|problem| format!("its library {} cannot be loaded: {problem}", path.display())),
        }
    }

    /// The device files of GPUs, with those that this user may not open.
    pub fn nodes(&self) -> Vec<Node> {
        let entries = std::fs::read_dir(self.root.join("dev/dri")).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
        });
        paths.sort();
        let single = ["dev/nvidia0", "dev/nvidiactl", "dev/dxg", "dev/mali0", "dev/kgsl-3d0"];
        paths.extend(single.map(|node| self.root.join(node)).into_iter().filter(|path| path.exists()));
        let open = |path: &Path| std::fs::OpenOptions::new().read(true).write(true).open(path);
        let node = |path: PathBuf| Node { problem: open(&path).err().map(|error| error.to_string()), path };
        paths.into_iter().map(node).collect()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_judged_by_their_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let system = System {
            root: root.into(),
            forced: None,
            config: vec!["/etc".into()],
            libraries: vec!["/lib".into()],
        };
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        let elf = |width: char| format!("\x7fELF{width}\x01\x01");
        let here = if cfg!(target_pointer_width = "64") { '\x02' } else { '\x01' };
        write("lib/libvulkan_lvp.so", &elf(here));
        write("lib/empty.so", "");
        write("lib/text.so", "INPUT(libother.so)");
        write("lib/other.so", &elf('\x03'));
        write("etc/vulkan/icd.d/a.json", r#"{"ICD":{"library_path":"libvulkan_lvp.so"}}"#);
        write("etc/vulkan/icd.d/b.json", r#"{"ICD":{"library_path":"/lib/none.so"}}"#);
        write("etc/vulkan/icd.d/c.json", "{");
        write("etc/vulkan/icd.d/d.json", r#"{"ICD":{"library_path":"empty.so"}}"#);
        write("etc/vulkan/icd.d/e.json", r#"{"ICD":{"library_path":"/lib/text.so"}}"#);
        write("etc/vulkan/icd.d/f.json", r#"{"ICD":{"library_path":"../../../lib/other.so"}}"#);
        let problems: Vec<Option<String>> =
            system.manifests().into_iter().map(|found| found.problem).collect();
        assert_eq!(problems[0], None);
        assert!(problems[1].as_ref().unwrap().contains("/lib/none.so"));
        assert!(problems[2].as_ref().unwrap().contains("not JSON"));
        assert!(problems[3].as_ref().unwrap().contains("lib/empty.so cannot be loaded: it is empty"));
        assert!(problems[4].as_ref().unwrap().contains("lib/text.so cannot be loaded: it is no library"));
        assert!(problems[5].as_ref().unwrap().contains("another width"));
        let forced = System { forced: Some(("VK_DRIVER_FILES", "/none.json".into())), ..system };
        assert_eq!(forced.manifests().len(), 1);
        assert!(forced.manifests()[0].problem.is_some());
    }
}
