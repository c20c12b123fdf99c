//! `attentive check`: what comes out, where, and with which exit status.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{Ended, attentive, fails, repository, run};
use serde_json::Value;
use tempfile::TempDir;

fn committed(name: &str) -> PathBuf {
    repository().join("tests/cases").join(name)
}

fn check(words: &[&str]) -> Command {
    let mut command = attentive();
    command.arg("check").args(words);
    command
}

/// A case file with its header's text and its data changed.
fn changed(change: impl FnOnce(String) -> String, data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let bytes = fs::read(committed("pytorch/sdpa_plain.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = change(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
    let mut rest = bytes[8 + length..].to_vec();
    data(&mut rest);
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &rest].concat()
}

/// Where the answer lies in the data.
fn answer(header: &str) -> std::ops::Range<usize> {
    let header: Value = serde_json::from_str(header).unwrap();
    let offsets = &header["expected.out"]["data_offsets"];
    offsets[0].as_u64().unwrap() as usize..offsets[1].as_u64().unwrap() as usize
}

/// Two good cases and all kinds of bad ones.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    fs::create_dir(folder.path().join("inner")).unwrap();
    let good = fs::read(committed("pytorch/sdpa_plain.safetensors")).unwrap();
    put("inner/good.safetensors", &good);
    put("good.safetensors", &good);
    put("not_a_case.txt", b"no one looks here");
    put("b_cut.safetensors", &good[..good.len() - 1]);
    put("c_text.safetensors", b"these are no tensors at all");
    put(
        "d_op.safetensors",
        &changed(|header| header.replace("scaled_dot_product", "scaled_dot_porduct"), |_| {}),
    );
    let of_answer = |value: f32| {
        let range = std::cell::RefCell::new(0..0);
        changed(
            |header| {
                *range.borrow_mut() = answer(&header);
                header
            },
            |data| data[range.borrow().clone()][..4].copy_from_slice(&value.to_le_bytes()),
        )
    };
    put("e_answer.safetensors", &of_answer(123.0));
    put("f_nan.safetensors", &of_answer(f32::NAN));
    folder
}

#[track_caller]
fn last_line(end: &Ended) -> &str {
    assert!(!end.stderr.contains("panicked"), "{}", end.stderr);
    end.stdout.lines().last().unwrap_or_default()
}

#[test]
fn every_committed_case_passes_on_every_device() {
    let end = run(check(&["--device", "all"]).arg(committed("")));
    assert_eq!(end.code, Some(0), "{}{}", end.stdout, end.stderr);
    let count = |folder: &str| fs::read_dir(committed(folder)).unwrap().count();
    let cases: usize =
        ["example", "gradients", "onnx", "pytorch", "t5", "vision"].into_iter().map(count).sum();
    let devices = end.stdout.lines().filter(|line| line.starts_with("  agrees")).count();
    assert_eq!(last_line(&end), format!("{} passed, 0 failed", cases * devices));
}

#[test]
fn each_fault_is_a_line_that_names_it() {
    let folder = folder();
    let end = run(check(&["--device", "cpu"]).arg(folder.path()));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let lines: Vec<&str> = end.stdout.lines().collect();
    let expected = [
        ("FAIL", "b_cut.safetensors", "it is truncated"),
        ("FAIL", "c_text.safetensors", "not a safetensors file"),
        ("FAIL", "d_op.safetensors", "op `scaled_dot_porduct_attention` is not supported"),
        ("FAIL", "e_answer.safetensors", "out: element 0 is"),
        ("FAIL", "f_nan.safetensors", "not NaN"),
        ("PASS", "good.safetensors", ""),
        ("PASS", "inner/good.safetensors", ""),
    ];
    assert_eq!(lines.len(), expected.len() + 2, "{}", end.stdout);
    for ((verdict, name, reason), line) in expected.into_iter().zip(&lines[1..]) {
        let slashed = line.replace('\\', "/");
        assert!(slashed.starts_with(verdict) && slashed.contains(name) && line.contains(reason), "{line}");
    }
    assert!(lines[4].contains("off by") && lines[4].contains("1 of 240 elements"), "{}", lines[4]);
    assert_eq!(last_line(&end), "2 passed, 5 failed");
}

#[test]
fn the_report_is_json() {
    let folder = folder();
    let end = run(check(&["--device", "cpu", "--json", "-"]).arg(folder.path()));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let report: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let cases = report["devices"][0]["cases"].as_array().unwrap();
    let passed: Vec<bool> = cases.iter().map(|case| case["passed"].as_bool().unwrap()).collect();
    assert_eq!(passed, [false, false, false, false, false, true, true]);
    assert!(cases[0]["reason"].as_str().unwrap().contains("truncated"), "{}", cases[0]);
    assert_eq!(cases[5]["op"], "scaled_dot_product_attention");
    assert!(cases[5]["source"].as_str().unwrap().starts_with("torch"), "{}", cases[5]);
    assert_eq!(cases[5]["outputs"][0]["name"], "out");
    assert!(cases[5]["outputs"][0]["largest_error"].as_f64().unwrap() < 1e-5);
    assert!(cases[3]["outputs"][0]["largest_error"].as_f64().unwrap() > 100.0);
    assert_eq!(cases[3]["outputs"][0]["failing"], 1);
    // JSON has no infinity.
    assert!(cases[4]["outputs"][0]["largest_error"].is_null());

    let path = folder.path().join("report.json");
    let good = committed("pytorch/sdpa_plain.safetensors");
    let end = run(check(&["--device", "cpu", "--json"]).arg(&path).arg(good));
    assert_eq!((end.code, last_line(&end)), (Some(0), "1 passed, 0 failed"));
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["passed"], true);
    assert_eq!(report["devices"][0]["cases"][0]["gradients"], serde_json::json!([]));

    let end = run(check(&["--device", "cpu", "--json"])
        .arg(&path)
        .arg(committed("gradients/sdpa_plain.safetensors")));
    assert_eq!((end.code, last_line(&end)), (Some(0), "1 passed, 0 failed"));
    let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let gradients = report["devices"][0]["cases"][0]["gradients"].as_array().unwrap();
    let names: Vec<&Value> = gradients.iter().map(|gradient| &gradient["name"]).collect();
    assert_eq!(names, ["query", "key", "value"]);
    for gradient in gradients {
        assert!(
            gradient["passed"] == true && gradient["largest_error"].as_f64().unwrap() < 1e-5,
            "{gradient}"
        );
    }
}

#[test]
fn a_forced_implementation_that_cannot_run_is_a_failure_with_its_reason() {
    let good = committed("pytorch/sdpa_plain.safetensors");
    let forced = |name: &str| run(check(&["--device", "cpu", "--implementation", name]).arg(&good));
    let end = forced("linear=tiled");
    assert_eq!((end.code, last_line(&end)), (Some(0), "1 passed, 0 failed"));
    let end = forced("attention=no-such");
    assert_eq!((end.code, last_line(&end)), (Some(1), "0 passed, 1 failed"));
    for words in
        ["the implementation `no-such` of attention cannot be used", "cannot take 1 of the failed cases"]
    {
        assert!(end.stdout.contains(words), "{}", end.stdout);
    }
    // The name alone is attention's.
    assert_eq!(forced("no-such").stdout, end.stdout);
}

#[test]
fn wrong_calls_are_status_2() {
    let empty = tempfile::tempdir().unwrap();
    fails(&mut check(&[]), 2, &["PATH"]);
    fails(check(&["--device", "cpu"]).arg(empty.path()), 2, &["there is no .safetensors file in"]);
    fails(&mut check(&["x", "--device", "cuda"]), 2, &["`cuda` is not a device"]);
    fails(&mut check(&["x", "--implementation", "attentoin=tiled"]), 2, &["no op `attentoin`"]);
}

#[test]
fn files_that_are_not_there_fail() {
    let end = run(&mut check(&["--device", "cpu", "no-such-file.safetensors"]));
    assert_eq!((end.code, last_line(&end)), (Some(1), "0 passed, 1 failed"));
    assert!(end.stdout.contains("no-such-file.safetensors: there is no such file"), "{}", end.stdout);
    fails(
        &mut check(&["x", "--json", "no-such-folder/report.json"]),
        1,
        &["there is no folder no-such-folder"],
    );
    fails(&mut check(&["x", "--device", "gpu:name=no-such-adapter"]), 1, &["no-such-adapter"]);
}
