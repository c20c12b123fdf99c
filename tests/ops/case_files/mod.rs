//! Case files: every committed one agrees on every device, and one that is wrong, damaged or hostile is an error or a
//! disagreement, never a panic.

mod damaged;
mod hostile;

use crate::common;
use std::path::PathBuf;

use attentive::case_files::{CaseFile, ops};
use attentive::{DeviceOptions, Error};

fn committed(folder: &str) -> Vec<PathBuf> {
    let folder = common::repository().join("tests/cases").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Runs all of a folder on every device, and tells every disagreement.
fn check(folder: &str, count: usize) {
    let paths = committed(folder);
    assert_eq!(paths.len(), count, "{folder}");
    for device in common::devices() {
        let mut failures = Vec::new();
        for path in &paths {
            match CaseFile::open(path).and_then(|case| case.run(&device)) {
                Ok(report) if report.passed() => {}
                Ok(report) => failures.push(format!("{}: {report}", path.display())),
                Err(error) => failures.push(error.to_string()),
            }
        }
        assert!(failures.is_empty(), "{}:\n{}", device.name(), failures.join("\n"));
    }
}

#[test]
fn pytorch_agrees() {
    check("pytorch", 120);
}

#[test]
fn onnx_agrees() {
    check("onnx", 168);
}

#[test]
fn t5_agrees() {
    check("t5", 11);
}

/// T5's biases in each implementation of attention.
#[test]
fn t5_agrees_whatever_the_implementation() {
    for adapter in common::usable_adapters() {
        let plain = common::open(&adapter, &DeviceOptions::default());
        for implementation in common::attention_implementations(&plain) {
            let mut options = DeviceOptions::default();
            options.implementations = vec![format!("attention={implementation}")];
            let device = common::open(&adapter, &options);
            for path in committed("t5") {
                let report = CaseFile::open(&path).unwrap().run(&device).unwrap();
                assert!(report.passed(), "{} {implementation} {}: {report}", device.name(), path.display());
            }
        }
    }
}

/// By the fused kernels and by the chain. The fused ones have no gradient of a mask, and say so.
#[test]
fn gradients_agree_whatever_the_implementation() {
    for adapter in common::usable_adapters() {
        for (implementation, expected) in [("tiled", 5), ("chained", 0)] {
            let mut options = DeviceOptions::default();
            options.implementations = vec![format!("attention_gradient={implementation}")];
            let device = common::open(&adapter, &options);
            let mut refused = 0;
            for path in committed("gradients") {
                let what = format!("{} {implementation} {}", device.name(), path.display());
                match CaseFile::open(&path).unwrap().run(&device) {
                    Ok(report) => assert!(report.passed(), "{what}: {report}"),
                    Err(error) => {
                        let is_refused = matches!(error.root(), Error::Implementation { .. });
                        assert!(is_refused, "{what}: {error}");
                        refused += 1;
                    }
                }
            }
            assert_eq!(refused, expected, "{} {implementation}", device.name());
        }
    }
}

#[test]
fn vision_agrees() {
    check("vision", 20);
}

#[test]
fn gradients_agree() {
    check("gradients", 57);
}

#[test]
fn the_example_agrees() {
    check("example", 10);
}

#[test]
fn every_op_has_a_committed_case() {
    let folders = ["onnx", "pytorch", "t5", "vision", "gradients"];
    let cases = folders.into_iter().flat_map(committed).map(|path| CaseFile::open(path).unwrap().op_name());
    let seen: std::collections::BTreeSet<&str> = cases.collect();
    assert_eq!(seen, ops().collect());
}

#[test]
fn the_page_names_every_op() {
    let page = std::fs::read_to_string(common::repository().join("docs/cases.md")).unwrap();
    for op in ops() {
        assert!(page.contains(&format!("`{op}`")), "docs/cases.md says nothing of {op}");
    }
}
