//! `attentive tune`: what it keeps, what later calls make of that, and what is kept but does not hold.
#![cfg_attr(not(unix), allow(dead_code))]

use crate::common;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, attentive, fails, run};

/// The program with its cache in that folder.
fn with_cache(folder: &Path, words: &[&str]) -> Command {
    let mut command = attentive();
    command.env("XDG_CACHE_HOME", folder).env("HOME", folder).args(words);
    command
}

/// The files in the cache.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent().is_some_and(|parent| parent.ends_with("attentive/tuning")) {
                files.push(path);
            }
        }
    }
    files
}

/// Benches one small product and gives the implementation that is chosen.
fn chosen(folder: &Path, more: &[&str]) -> String {
    let mut command = with_cache(folder, &["bench", "gemm", "--quick", "--rounds", "1", "--dtype", "f32"]);
    let end = run(command.args(["--format", "json", "--device", &adapter().unwrap()]).args(more));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let json: serde_json::Value = serde_json::from_str(&end.stdout).unwrap();
    let rows = json["devices"][0]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["chosen"] == true).unwrap();
    row["implementation"].as_str().unwrap().to_owned()
}

fn adapter() -> Option<String> {
    common::usable_adapters().first().map(|adapter| format!("gpu:{}", adapter.index))
}

/// On Unix, where the cache folder follows the environment.
#[test]
#[cfg(unix)]
fn what_was_measured_is_kept_and_used_and_what_does_not_hold_is_not() {
    let Some(adapter) = adapter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let end = run(&mut with_cache(folder, &["tune", "--quick", "--device", &adapter]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let files = kept(folder);
    let [path] = &files[..] else { panic!("{files:?}") };
    let last = end.stdout.lines().last().unwrap();
    assert_eq!(Path::new(last), path, "{}", end.stdout);
    for word in ["linear", "attention", "fastest"] {
        assert!(end.stdout.contains(word), "{}", end.stdout);
    }
    let text = std::fs::read_to_string(path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["key"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["choices"].as_array().unwrap().len() >= 2, "{text}");

    // Two at once on a machine that is busier, or quicker, keep what was measured better before.
    let mut before = json.clone();
    let choices = before["choices"].as_array_mut().unwrap();
    let mut unmeasured = choices[0].clone();
    unmeasured["size"]["dims"][0] = 77.into();
    choices[0]["seconds"] = 1e-9.into();
    choices.push(unmeasured);
    let better = [choices[0].clone(), choices.last().unwrap().clone()];
    std::fs::write(path, before.to_string()).unwrap();
    let spawn = || {
        let mut command = with_cache(folder, &["tune", "--quick", "--device", &adapter]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    for child in [spawn(), spawn()] {
        let end = command::ended(child.wait_with_output().unwrap());
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert!(end.stderr.contains("kept as measured before"), "{}", end.stderr);
    }
    let after: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let choices = after["choices"].as_array().unwrap();
    assert!(better.iter().all(|choice| choices.contains(choice)), "{after:#}");
    assert!(choices.len() > json["choices"].as_array().unwrap().len(), "{after:#}");
    assert_eq!(kept(folder).len(), 1, "{:?}", kept(folder));

    // What the file says is what is taken: every choice is turned to the one that no table has first.
    let mut other = json.clone();
    for choice in other["choices"].as_array_mut().unwrap() {
        if choice["op"] == "linear" {
            choice["implementation"] = "split".into();
        }
    }
    std::fs::write(path, other.to_string()).unwrap();
    assert_eq!(chosen(folder, &[]), "split");
    // Another driver's, a damaged and a hostile one: a notice, and the tables' choice.
    let table = chosen(folder, &["--no-tuning"]);
    assert_ne!(table, "split");
    let mut of_before = other.clone();
    of_before["key"]["driver_info"] = "Mesa 1.2.3".into();
    let huge = format!("{{\"key\": \"{}\"}}", "x".repeat(2 << 20));
    let nested = "[".repeat(100_000);
    for (text, words) in [
        (of_before.to_string(), &["driver's version was `Mesa 1.2.3`", "`attentive tune`"][..]),
        (other.to_string().replace(':', ""), &["it is no tuning", "`attentive tune`"]),
        (other.to_string().replace("split", "../../etc"), &["no implementation's name"]),
        (String::new(), &["it is no tuning"]),
        (huge, &["larger than 1048576 bytes"]),
        (nested, &["it is no tuning"]),
    ] {
        std::fs::write(path, text).unwrap();
        let stderr = opened(folder, &[]);
        for word in words {
            assert!(stderr.contains(word), "{word} is not in: {stderr}");
        }
    }
    assert!(!opened(folder, &["--no-tuning"]).contains("tuning"), "a notice of what is not asked for");
    assert_eq!(chosen(folder, &[]), table, "what is no tuning was used");
    std::fs::remove_file(path).unwrap();
    std::fs::create_dir(path).unwrap();
    let stderr = opened(folder, &[]);
    assert!(stderr.contains("it is no file"), "{stderr}");
}

/// Opens the device for something short, and gives what is said.
fn opened(folder: &Path, more: &[&str]) -> String {
    let mut command =
        with_cache(folder, &["verify", "--kernel", "sum_splits", "--device", &adapter().unwrap()]);
    let end = run(command.args(more));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    end.stderr
}

#[test]
fn the_cpu_device_has_nothing_to_tune() {
    let folder = tempfile::tempdir().unwrap();
    fails(
        &mut with_cache(folder.path(), &["tune", "--device", "cpu"]),
        1,
        &["CPU device", "nothing to tune"],
    );
    fails(&mut with_cache(folder.path(), &["tune", "--device", "nonsense"]), 2, &["nonsense", "gpu:N"]);
    assert!(kept(folder.path()).is_empty());
}
