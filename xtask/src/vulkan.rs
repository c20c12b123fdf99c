//! What Vulkan on Linux has: its loader, and the drivers that the loader would find.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::call::Call;

/// Where to look. Paths below `root`, so that a test can look at a tree of its own.
pub struct Probe {
    pub root: PathBuf,
    /// `VK_DRIVER_FILES` or the older `VK_ICD_FILENAMES`: its name and what it says. The loader then
    /// looks nowhere else.
    pub forced: Option<(&'static str, OsString)>,
    /// Folders that hold `vulkan/icd.d`.
    pub config: Vec<PathBuf>,
    /// Folders with libraries.
    pub libraries: Vec<PathBuf>,
}

/// A driver whose manifest and library are both here.
#[derive(Debug, PartialEq)]
pub struct Driver {
    /// The manifest's stem, without what comes after `_icd`: `lvp`, `radeon`, `nvidia`.
    pub name: String,
    /// Whether it computes on the CPU.
    pub software: bool,
}

#[derive(Debug, PartialEq)]
pub enum State {
    Usable,
    /// What is not there, as a sentence.
    Missing(String),
}

impl Probe {
    pub fn of_this_machine() -> Self {
        let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let folders = |name, default: &str| -> Vec<PathBuf> {
            std::env::split_paths(&set(name).unwrap_or_else(|| default.into())).collect()
        };
        let home = set("HOME").map(PathBuf::from);
        let in_home = |name, default| set(name).map(PathBuf::from).or(home.as_ref().map(|h| h.join(default)));

        let mut config = Vec::new();
        config.extend(in_home("XDG_CONFIG_HOME", ".config"));
        config.extend(folders("XDG_CONFIG_DIRS", "/etc/xdg"));
        config.push("/etc".into());
        config.extend(in_home("XDG_DATA_HOME", ".local/share"));
        config.extend(folders("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
        config.extend(["/usr/share".into(), "/run/opengl-driver/share".into()]);

        let mut libraries = folders("LD_LIBRARY_PATH", "");
        for folder in ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/run/opengl-driver/lib"]
        {
            libraries.push(folder.into());
        }
        for folder in ["/lib", "/usr/lib"] {
            libraries.push(format!("{folder}/{}-linux-gnu", std::env::consts::ARCH).into());
        }
        // What else the dynamic linker knows: the folders in `libvulkan.so.1 (…) => /path/libvulkan.so.1`.
        for ldconfig in ["ldconfig", "/sbin/ldconfig"] {
            let known = Call::new(ldconfig).arg("-p").output().unwrap_or_default();
            libraries.extend(
                known
                    .lines()
                    .filter_map(|line| Path::new(line.split_once(" => ")?.1).parent().map(Path::to_owned)),
            );
        }
        libraries.retain(|folder| !folder.as_os_str().is_empty());
        libraries.sort();
        libraries.dedup();

        let forced = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
            .into_iter()
            .find_map(|name| set(name).map(|value| (name, value)));
        Self { root: "/".into(), forced, config, libraries }
    }

    /// `path`, which may be absolute, below our root.
    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub fn library(&self, name: &str) -> Option<PathBuf> {
        self.libraries.iter().map(|folder| self.below(folder).join(name)).find(|file| file.exists())
    }

    fn manifests(&self) -> Vec<PathBuf> {
        let in_folder = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            files.sort();
            files
        };
        let mut found = Vec::new();
        match &self.forced {
            Some((_, list)) => {
                for path in std::env::split_paths(list).map(|path| self.below(&path)) {
                    found.extend(if path.is_dir() { in_folder(&path) } else { vec![path] });
                }
            }
            None => {
                for folder in &self.config {
                    found.extend(in_folder(&self.below(folder).join("vulkan/icd.d")));
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|file| seen.insert(file.clone()));
        found
    }

    /// The drivers that the loader would find.
    pub fn drivers(&self) -> Vec<Driver> {
        self.manifests().iter().filter_map(|manifest| self.driver(manifest)).collect()
    }

    fn driver(&self, manifest: &Path) -> Option<Driver> {
        let text = std::fs::read_to_string(manifest).ok()?;
        let library = library_path(&text)?;
        let here = match Path::new(library) {
            path if path.is_absolute() => self.below(path).exists(),
            path if library.contains('/') => manifest.parent()?.join(path).exists(),
            _ => self.library(library).is_some(),
        };
        let stem = manifest.file_stem()?.to_string_lossy().to_lowercase();
        let software = ["lvp", "lavapipe", "swiftshader"].iter().any(|name| stem.contains(name));
        let name = stem.split("_icd").next().unwrap_or(&stem).to_owned();
        here.then_some(Driver { name, software })
    }

    /// Whether a GPU shows itself, by the device files that the drivers open.
    fn hardware(&self) -> bool {
        let single = ["dev/nvidiactl", "dev/nvidia0", "dev/dxg", "dev/mali0", "dev/kgsl-3d0"];
        let mut nodes = std::fs::read_dir(self.root.join("dev/dri")).into_iter().flatten().flatten();
        single.iter().any(|node| self.root.join(node).exists())
            || nodes.any(|node| node.file_name().to_string_lossy().starts_with("renderD"))
    }

    pub fn state(&self) -> State {
        let drivers = self.drivers();
        if self.library("libvulkan.so.1").is_none() {
            State::Missing("There is no Vulkan loader here (libvulkan.so.1).".into())
        } else if let (Some((name, value)), true) = (&self.forced, drivers.is_empty()) {
            State::Missing(format!(
                "There is no Vulkan driver here: {name} is set to {value:?}, where none is found."
            ))
        } else if drivers.is_empty() {
            State::Missing("There is no Vulkan driver here (no manifest in vulkan/icd.d).".into())
        } else if self.forced.is_none() && !drivers.iter().any(|driver| driver.software) && !self.hardware() {
            let names: Vec<_> = drivers.into_iter().map(|driver| driver.name).collect();
            State::Missing(format!(
                "There are Vulkan drivers here ({}), but neither a GPU for them nor one that computes on the CPU.",
                names.join(", ")
            ))
        } else {
            State::Usable
        }
    }
}

/// The value of `library_path` in a driver's manifest.
fn library_path(manifest: &str) -> Option<&str> {
    let after = manifest.split_once("\"library_path\"")?.1.trim_start().strip_prefix(':')?;
    let (value, _) = after.trim_start().strip_prefix('"')?.split_once('"')?;
    (!value.is_empty()).then_some(value)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::place::scratch::Scratch;

    const LIBRARIES: &str = "/usr/lib/somewhere";

    fn probe(tree: &Scratch) -> Probe {
        Probe {
            root: tree.path().into(),
            forced: None,
            config: vec!["/etc".into(), "/usr/share".into()],
            libraries: vec![LIBRARIES.into()],
        }
    }

    fn manifest(library: &str) -> String {
        format!(r#"{{ "ICD": {{ "api_version": "1.3.230", "library_path" : "{library}" }} }}"#)
    }

    fn missing(probe: &Probe) -> String {
        match probe.state() {
            State::Missing(why) => why,
            State::Usable => panic!("usable: {:?}", probe.drivers()),
        }
    }

    #[test]
    fn a_bare_machine_lacks_the_loader_first() {
        let tree = Scratch::new();
        assert!(missing(&probe(&tree)).contains("libvulkan.so.1"));
        tree.write("usr/lib/somewhere/libvulkan.so.1", "");
        assert!(missing(&probe(&tree)).contains("no Vulkan driver"));
    }

    #[test]
    fn a_software_driver_is_enough() {
        let tree = Scratch::new();
        tree.write("usr/lib/somewhere/libvulkan.so.1", "");
        tree.write("usr/lib/somewhere/libvulkan_lvp.so", "");
        tree.write(
            "usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
            &manifest("/usr/lib/somewhere/libvulkan_lvp.so"),
        );
        let probe = probe(&tree);
        assert_eq!(probe.drivers(), [Driver { name: "lvp".into(), software: true }]);
        assert_eq!(probe.state(), State::Usable);
    }

    #[test]
    fn a_manifest_without_its_library_is_no_driver() {
        let tree = Scratch::new();
        tree.write("usr/lib/somewhere/libvulkan.so.1", "");
        tree.write("etc/vulkan/icd.d/lvp_icd.json", &manifest("libvulkan_lvp.so"));
        tree.write("etc/vulkan/icd.d/broken.json", "{");
        tree.write("etc/vulkan/icd.d/README", "no manifest");
        assert!(missing(&probe(&tree)).contains("no Vulkan driver"));
        tree.write("usr/lib/somewhere/libvulkan_lvp.so", "");
        assert_eq!(probe(&tree).state(), State::Usable);
    }

    #[test]
    fn a_driver_for_hardware_needs_hardware() {
        let tree = Scratch::new();
        tree.write("usr/lib/somewhere/libvulkan.so.1", "");
        tree.write("etc/vulkan/icd.d/libvulkan_radeon.so", "");
        tree.write("etc/vulkan/icd.d/radeon_icd.x86_64.json", &manifest("./libvulkan_radeon.so"));
        assert!(missing(&probe(&tree)).contains("(radeon)"));
        tree.write("dev/dri/card0", "");
        assert!(missing(&probe(&tree)).contains("(radeon)"));
        tree.write("dev/dri/renderD128", "");
        assert_eq!(probe(&tree).state(), State::Usable);
    }

    #[test]
    fn the_environment_decides_alone() {
        let tree = Scratch::new();
        tree.write("usr/lib/somewhere/libvulkan.so.1", "");
        tree.write("usr/lib/somewhere/libvulkan_lvp.so", "");
        tree.write("usr/share/vulkan/icd.d/lvp_icd.json", &manifest("libvulkan_lvp.so"));
        let mut probe = probe(&tree);
        probe.forced = Some(("VK_DRIVER_FILES", "/opt/own_icd.json".into()));
        assert!(missing(&probe).contains("VK_DRIVER_FILES"));
        tree.write("opt/own_icd.json", &manifest("own.so"));
        tree.write("usr/lib/somewhere/own.so", "");
        assert_eq!(probe.drivers(), [Driver { name: "own".into(), software: false }]);
        assert_eq!(probe.state(), State::Usable);
        probe.forced = Some(("VK_ICD_FILENAMES", "/opt".into()));
        assert_eq!(probe.state(), State::Usable);
    }
}
