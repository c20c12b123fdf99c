//! `attentive train`: what is learnt, what is written, runs that end early and go on, calls that are wrong.

use std::path::Path;
use std::process::Command;

use crate::command::{attentive, ends, fails, repository, run};

/// A small run on the CPU device into that folder.
fn train(folder: &Path, words: &[&str]) -> Command {
    let mut command = attentive();
    command.args(["train", "translate", "--device", "cpu", "--evaluate", "20", "-o"]).arg(folder).args(words);
    command
}

/// The steps and losses of a log as CSV.
fn losses(path: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("step,loss,norm,learning_rate,skipped,seconds,tokens"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), 7, "{line}");
        (cells[0].parse().unwrap(), cells[1].parse().unwrap())
    };
    lines.map(row).collect()
}

#[test]
fn a_translator_learns_and_what_it_writes_translates() {
    let folder = tempfile::tempdir().unwrap();
    let (model, csv, jsonl, curve) = (
        folder.path().join("model"),
        folder.path().join("steps.csv"),
        folder.path().join("steps.jsonl"),
        folder.path().join("loss.svg"),
    );
    let mut command = train(&model, &["--steps", "40", "--batch-size", "12", "--curve"]);
    let end = run(command.arg(&curve).arg("--log").arg(&csv).arg("--log").arg(&jsonl));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("of 20 held-out pairs exact"), "{}", end.stdout);
    let losses = losses(&csv);
    assert_eq!(losses.iter().map(|row| row.0).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    let mean = |rows: &[(u64, f64)]| rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
    // From the logarithm of 100 tokens and more down to the tokens' frequencies.
    assert!(mean(&losses[..3]) > 4.0 && mean(&losses[35..]) < 3.0, "{losses:?}");
    for (line, (step, loss)) in std::fs::read_to_string(&jsonl).unwrap().lines().zip(&losses) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((line["step"].as_u64(), line["skipped"].as_bool()), (Some(*step), Some(false)));
        assert!((line["loss"].as_f64().unwrap() - loss).abs() < 1e-6);
    }
    assert!(std::fs::read_to_string(&curve).unwrap().starts_with("<svg"));
    assert!(!model.join("training.safetensors").exists());
    let end = run(attentive().args(["translate", "--device", "cpu", "le 3 mai 1979", "-m"]).arg(&model));
    assert_eq!((end.code, end.stdout.lines().count()), (Some(0), 1), "{}", end.stderr);
    // A second run does not write over the first unasked.
    fails(&mut train(&model, &["--steps", "1"]), 2, &["--resume", "--force"]);
}

/// Ctrl-C saves the run, and what goes on from it comes to the same numbers.
#[test]
#[cfg(unix)]
fn a_run_that_is_ended_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let steps = ["--steps", "24", "--batch-size", "6"];
    let whole = folder.path().join("whole.csv");
    let end = run(train(&folder.path().join("whole"), &steps).arg("--log").arg(&whole));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let (model, log) = (folder.path().join("model"), folder.path().join("steps.csv"));
    let mut command = train(&model, &steps);
    let mut child = command.arg("--log").arg(&log).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // Once it has taken some steps.
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 5 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    let first = losses(&log);
    if first.len() < 24 {
        assert_eq!(status.code(), Some(1));
        assert!(model.join("training.safetensors").exists() && !model.join("model.safetensors").exists());
        // A run goes on as it began.
        fails(
            &mut train(&model, &["--steps", "25", "--batch-size", "6", "--resume"]),
            2,
            &["steps is 24, not 25"],
        );
        ends(train(&model, &steps).arg("--resume").arg("--log").arg(&log), 0, &["going on behind step"]);
    }
    assert_eq!(losses(&log), losses(&whole));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fails(&mut train(&path.join("none"), &["--resume"]), 1, &["training.safetensors"]);
    std::fs::write(path.join("training.safetensors"), b"no run").unwrap();
    fails(&mut train(path, &["--resume"]), 1, &["training.safetensors"]);
    fails(&mut train(&path.join("a"), &["--steps", "0"]), 2, &["--steps"]);
    fails(&mut train(&path.join("a"), &["--log", "steps.txt"]), 2, &["NAME.csv or NAME.jsonl"]);
    fails(&mut train(&path.join("a"), &["--learning-rate=-1", "--steps", "3"]), 1, &["learning rate"]);
    fails(
        &mut train(&path.join("a"), &["--learning-rate", "1e30", "--steps", "60", "--batch-size", "2"]),
        1,
        &["diverged", "not finite", "smaller learning rate"],
    );
    // A folder that is a file.
    fails(&mut train(&repository().join("README.md"), &["--steps", "1"]), 1, &["README.md"]);
}
