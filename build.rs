//! Lists the texts of `shaders/`, so that a new file is there without being named anywhere: `src/shaders.rs` includes the list.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shaders");
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package's folder"));
    let mut files = Vec::new();
    collect(&root.join("shaders"), "", &mut files);
    files.sort();
    let mut list = String::from("&[\n");
    for (name, path) in files {
        writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string())
            .expect("a string takes all that is written");
    }
    list.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a folder for what is made"));
    std::fs::write(out.join("shader_files.rs"), list).expect("the folder for what is made can be written");
}

/// Every `.wgsl` file below a folder, by its path without the ending, with `/` on every system.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).expect("the shaders' folder can be read") {
        let path = entry.expect("the shaders' folder can be read").path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{stem}/"), files);
        } else if path.extension().is_some_and(|extension| extension == "wgsl") {
            files.push((format!("{prefix}{stem}"), path));
        }
    }
}
