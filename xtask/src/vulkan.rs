//! Whether Vulkan works on this Linux: by the loader, and by the drivers that the loader would find. `attentive doctor` looks with
//! the same code, and says more.

use std::path::Path;

use crate::system::{Library, System};

/// A driver that could be loaded.
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
    /// The missing part, as a sentence.
    Missing(String),
}

/// The drivers that the loader would find.
pub fn drivers(system: &System) -> Vec<Driver> {
    let usable = system.manifests().into_iter().filter(|manifest| manifest.problem.is_none());
    usable.filter_map(|manifest| driver(&manifest.path)).collect()
}

fn driver(manifest: &Path) -> Option<Driver> {
    let stem = manifest.file_stem()?.to_string_lossy().to_lowercase();
    let software = ["lvp", "lavapipe", "swiftshader"].iter().any(|name| stem.contains(name));
    let name = stem.split("_icd").next().unwrap_or(&stem).to_owned();
    Some(Driver { name, software })
}

/// Whether a library is there that could be loaded.
pub fn has_library(system: &System, name: &str) -> bool {
    matches!(system.library(name), Some(Library { problem: None, .. }))
}

pub fn state(system: &System) -> State {
    let drivers = drivers(system);
    if !has_library(system, "libvulkan.so.1") {
        State::Missing("There is no Vulkan loader here (libvulkan.so.1).".into())
    } else if let (Some((name, value)), true) = (&system.forced, drivers.is_empty()) {
        State::Missing(format!(
            "There is no Vulkan driver here: {name} is set to {value:?}, where none is found."
        ))
    } else if drivers.is_empty() {
        State::Missing("There is no Vulkan driver here (no manifest in vulkan/icd.d).".into())
    } else if system.forced.is_none()
        && !drivers.iter().any(|driver| driver.software)
        && system.nodes().is_empty()
    {
        let names: Vec<_> = drivers.into_iter().map(|driver| driver.name).collect();
        State::Missing(format!(
            "There are Vulkan drivers here ({}), but neither a GPU for them nor one that computes on the CPU.",
            names.join(", ")
        ))
    } else {
        State::Usable
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::place::scratch::Scratch;

    const LIBRARIES: &str = "/usr/lib/somewhere";

    fn system(tree: &Scratch) -> System {
        System {
            root: tree.path().into(),
            forced: None,
            config: vec!["/etc".into(), "/usr/share".into()],
            libraries: vec![LIBRARIES.into()],
        }
    }

    fn manifest(library: &str) -> String {
        format!(r#"{{ "ICD": {{ "api_version": "1.3.230", "library_path" : "{library}" }} }}"#)
    }

    fn missing(system: &System) -> String {
        match state(system) {
            State::Missing(why) => why,
            State::Usable => panic!("usable: {:?}", drivers(system)),
        }
    }

    /// Writes what the linker could load, as far as its first bytes tell.
    fn library(tree: &Scratch, path: &str) {
        let width = if cfg!(target_pointer_width = "64") { '\x02' } else { '\x01' };
        tree.write(path, &format!("\x7fELF{width}\x01\x01"));
    }

    #[test]
    fn a_bare_machine_lacks_the_loader_first() {
        let tree = Scratch::new();
        assert!(missing(&system(&tree)).contains("libvulkan.so.1"));
        library(&tree, "usr/lib/somewhere/libvulkan.so.1");
        assert!(missing(&system(&tree)).contains("no Vulkan driver"));
    }

    #[test]
    fn a_software_driver_is_enough() {
        let tree = Scratch::new();
        library(&tree, "usr/lib/somewhere/libvulkan.so.1");
        library(&tree, "usr/lib/somewhere/libvulkan_lvp.so");
        tree.write(
            "usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
            &manifest("/usr/lib/somewhere/libvulkan_lvp.so"),
        );
        let system = system(&tree);
        assert_eq!(drivers(&system), [Driver { name: "lvp".into(), software: true }]);
        assert_eq!(state(&system), State::Usable);
    }

    #[test]
    fn a_manifest_without_its_library_is_no_driver() {
        let tree = Scratch::new();
        library(&tree, "usr/lib/somewhere/libvulkan.so.1");
        tree.write("etc/vulkan/icd.d/lvp_icd.json", &manifest("libvulkan_lvp.so"));
        tree.write("etc/vulkan/icd.d/broken.json", "{");
        tree.write("etc/vulkan/icd.d/README", "no manifest");
        assert!(missing(&system(&tree)).contains("no Vulkan driver"));
        library(&tree, "usr/lib/somewhere/libvulkan_lvp.so");
        assert_eq!(state(&system(&tree)), State::Usable);
    }

    #[test]
    fn a_driver_for_hardware_needs_hardware() {
        let tree = Scratch::new();
        library(&tree, "usr/lib/somewhere/libvulkan.so.1");
        library(&tree, "etc/vulkan/icd.d/libvulkan_radeon.so");
        tree.write("etc/vulkan/icd.d/radeon_icd.x86_64.json", &manifest("./libvulkan_radeon.so"));
        assert!(missing(&system(&tree)).contains("(radeon)"));
        tree.write("dev/dri/card0", "");
        assert!(missing(&system(&tree)).contains("(radeon)"));
        tree.write("dev/dri/renderD128", "");
        assert_eq!(state(&system(&tree)), State::Usable);
    }

    #[test]
    fn the_environment_decides_alone() {
        let tree = Scratch::new();
        library(&tree, "usr/lib/somewhere/libvulkan.so.1");
        library(&tree, "usr/lib/somewhere/libvulkan_lvp.so");
        tree.write("usr/share/vulkan/icd.d/lvp_icd.json", &manifest("libvulkan_lvp.so"));
        let mut system = system(&tree);
        system.forced = Some(("VK_DRIVER_FILES", "/opt/own_icd.json".into()));
        assert!(missing(&system).contains("VK_DRIVER_FILES"));
        tree.write("opt/own_icd.json", &manifest("own.so"));
        library(&tree, "usr/lib/somewhere/own.so");
        assert_eq!(drivers(&system), [Driver { name: "own".into(), software: false }]);
        assert_eq!(state(&system), State::Usable);
        system.forced = Some(("VK_ICD_FILENAMES", "/opt".into()));
        assert_eq!(state(&system), State::Usable);
    }
}
