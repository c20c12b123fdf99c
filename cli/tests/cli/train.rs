//! `attentive train` and `attentive finetune`: what is learnt, what is written, runs that end early and go on, calls that are wrong.

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
pub fn losses(path: &Path) -> Vec<(u64, f64)> {
    cells(path).iter().map(|cells| (cells[0].parse().unwrap(), cells[1].parse().unwrap())).collect()
}

/// The steps that have a score, and the scores, of a log as CSV.
pub fn scores(path: &Path) -> Vec<(u64, f64)> {
    let scored = |cells: &Vec<String>| Some((cells[0].parse().unwrap(), cells[7].parse().ok()?));
    cells(path).iter().filter_map(scored).collect()
}

fn cells(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("step,loss,norm,learning_rate,skipped,seconds,tokens,score"));
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        assert_eq!(cells.len(), 8, "{line}");
        cells
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
    let events = folder.path().join("events.out.tfevents.1");
    let mut command = train(&model, &["--steps", "40", "--batch-size", "12", "--curve"]);
    command.arg(&curve);
    for log in [&csv, &jsonl, &events] {
        command.arg("--log").arg(log);
    }
    let end = run(&mut command);
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
    // The version, the session's begin, and the steps: each a length, 4 bytes, as much as the length says, 4 bytes.
    let mut records = std::fs::read(&events).unwrap();
    let mut count = 0;
    while let Some(length) = records.first_chunk::<8>() {
        records.drain(..16 + u64::from_le_bytes(*length) as usize);
        count += 1;
    }
    assert_eq!((count, records.len()), (42, 0));
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
    fails(&mut train(&path.join("a"), &["--log", "steps.txt"]), 2, &["NAME.csv, NAME.jsonl"]);
    fails(&mut train(&path.join("a"), &["--learning-rate=-1", "--steps", "3"]), 1, &["learning rate"]);
    fails(
        &mut train(&path.join("a"), &["--learning-rate", "1e30", "--steps", "60", "--batch-size", "2"]),
        1,
        &["diverged", "not finite", "smaller learning rate"],
    );
    // A folder that is a file.
    fails(&mut train(&repository().join("README.md"), &["--steps", "1"]), 1, &["README.md"]);
}

fn finetune(data: &Path, output: &Path, words: &[&str]) -> Command {
    let model = repository().join("tests/fixtures/models/tiny-bert");
    let mut command = attentive();
    command
        .args(["finetune", "embed", "--device", "cpu", "-m"])
        .arg(model)
        .arg(data)
        .arg("-o")
        .arg(output)
        .args(words);
    command
}

/// Pairs that a model with random weights does not know of.
fn pairs() -> String {
    let things =
        ["a cat", "the sea", "some bread", "my house", "old books", "two birds", "a song", "green tea"];
    let answers = ["7", "red", "no", "far away", "in winter", "yes, it is", "water", "a friend"];
    things.iter().zip(answers).map(|(thing, answer)| format!("{thing}\t{answer}\n")).collect()
}

#[test]
fn an_embedder_learns_pairs_and_is_a_folder_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, tuned, log) =
        (folder.path().join("pairs.tsv"), folder.path().join("tuned"), folder.path().join("steps.csv"));
    std::fs::write(&data, pairs()).unwrap();
    let words =
        ["--epochs", "40", "--batch-size", "8", "--learning-rate", "0.003", "--held-out", "0", "--log"];
    let end = run(finetune(&data, &tuned, &words).arg(&log));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("0 of 0 held-out pairs"), "{}", end.stdout);
    let losses = losses(&log);
    assert_eq!(losses.len(), 40);
    // Of 8 pairs, ln 8 is what is known of none.
    assert!(losses[0].1 > 1.5 && losses[39].1 < 0.5, "{losses:?}");
    let end = run(attentive().args(["embed", "--device", "cpu", "a cat", "7", "red", "-m"]).arg(&tuned));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let row: Vec<f64> = end
        .stdout
        .lines()
        .find(|line| line.contains("a cat"))
        .unwrap()
        .split_whitespace()
        .skip(1)
        .take(3)
        .map(|cell| cell.parse().unwrap())
        .collect();
    assert!(row[1] > row[2] + 0.1, "{}", end.stdout);
    for name in ["modules.json", "tokenizer.json", "config.json", "1_Pooling/config.json"] {
        assert!(tuned.join(name).is_file(), "{name}");
    }
}

/// The best model is written, not the last: the run that learns others' pairs by heart forgets what it could.
#[test]
fn a_run_without_better_scores_ends_and_its_best_model_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let data = path("pairs.tsv");
    std::fs::write(&data, pairs().repeat(2)).unwrap();
    let words = ["--epochs", "40", "--batch-size", "8", "--learning-rate", "0.003", "--held-out", "6"];
    let more = ["--evaluate-every", "3", "--patience", "2"];
    let (log, events) = (path("steps.csv"), path("events.out.tfevents.1"));
    let mut command = finetune(&data, &path("tuned"), &[&words[..], &more].concat());
    let end = ends(
        command.arg("--log").arg(&log).arg("--log").arg(&events),
        0,
        &["2 scores without a better", "share of own partners"],
    );
    let scores = scores(&log);
    let (steps, found): (Vec<u64>, Vec<f64>) = scores.iter().copied().unzip();
    // Behind every third step there is a score, and two more follow the best one.
    assert_eq!(steps, (1..=steps.len() as u64).map(|number| 3 * number).collect::<Vec<_>>(), "{scores:?}");
    let best = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = found.iter().position(|score| *score == best).unwrap();
    assert_eq!(found.len(), first + 3, "{scores:?}");
    assert_eq!(losses(&log).len() as u64, steps[steps.len() - 1]);
    assert!(
        steps[steps.len() - 1] < 80
            && end.stderr.contains(&format!("the model is that of step {}", steps[first])),
        "{}",
        end.stderr
    );
    assert!(end.stdout.contains(&format!("{} after", (best * 6.0).round())), "{}", end.stdout);
    assert!(
        !path("tuned").join("best.safetensors").exists()
            && !path("tuned").join("training.safetensors").exists()
    );
    assert!(std::fs::read(&events).unwrap().windows(5).any(|bytes| bytes == b"score"));
    // What there is nothing to score by.
    let mut command = finetune(&data, &path("other"), &["--held-out", "0", "--patience", "2"]);
    fails(&mut command, 2, &["--patience", "--held-out"]);
    fails(&mut train(&path("other"), &["--patience", "2"]), 2, &["--evaluate-every"]);
}

/// Low-rank products learn what the whole model does, from fewer parameters, and the folder is a whole model.
#[test]
fn an_embedder_is_adapted_by_low_rank_products() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, tuned, log) = (path("pairs.tsv"), path("tuned"), path("steps.csv"));
    std::fs::write(&data, pairs()).unwrap();
    let words = ["--epochs", "60", "--batch-size", "8", "--learning-rate", "0.02", "--held-out", "0"];
    let mut command = finetune(&data, &tuned, &words);
    let end = ends(
        command.args(["--lora", "4", "--lora-alpha", "8", "--log"]).arg(&log),
        0,
        &["trained parameters for a model of"],
    );
    assert!(end.stdout.contains("0 of 0 held-out pairs"), "{}", end.stdout);
    let losses = losses(&log);
    assert!(losses[0].1 > 1.5 && losses[59].1 < 0.7, "{losses:?}");
    let end = run(attentive().args(["embed", "--device", "cpu", "a cat", "7", "red", "-m"]).arg(&tuned));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    for name in [
        "modules.json",
        "model.safetensors",
        "adapter/adapter_model.safetensors",
        "adapter/adapter_config.json",
    ] {
        assert!(tuned.join(name).is_file(), "{name}");
    }
    fails(&mut finetune(&data, &path("other"), &["--lora-alpha", "8"]), 2, &["--lora"]);
    fails(&mut finetune(&data, &path("other"), &["--lora", "0"]), 2, &["--lora"]);
}

/// Translators are scored where that is asked for.
#[test]
fn a_translator_is_scored_while_it_learns() {
    let folder = tempfile::tempdir().unwrap();
    let (model, log) = (folder.path().join("model"), folder.path().join("steps.jsonl"));
    let words = ["--steps", "5", "--batch-size", "4", "--evaluate-every", "2"];
    // A variable that is set to nothing is none, of a command below another too.
    let mut command = train(&model, &words);
    ends(
        command.arg("--log").arg(&log).env("ATTENTIVE_SEED", ""),
        0,
        &["share of exact answers 0.0000 (best 0.0000 at step 2)"],
    );
    let scored = std::fs::read_to_string(&log).unwrap();
    let scored = scored
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["score"].is_number());
    assert_eq!(scored.collect::<Vec<_>>(), [false, true, false, true, true]);
}

/// Parts of a batch are the whole batch: in the same run, the same losses.
#[test]
fn batches_in_parts_have_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let data = path("pairs.tsv");
    std::fs::write(&data, pairs()).unwrap();
    let logged = |name: &str, mut command: Command, words: &[&str]| {
        let log = path(&format!("{name}.csv"));
        ends(command.args(words).arg("--log").arg(&log), 0, &[]);
        losses(&log)
    };
    let tuned = ["--epochs", "4", "--batch-size", "8", "--learning-rate", "0.003", "--held-out", "0"];
    let dates = ["--steps", "4", "--batch-size", "6", "--learning-rate", "0.003"];
    let runs = [
        logged("whole", finetune(&data, &path("whole"), &tuned), &[]),
        logged("parts", finetune(&data, &path("parts"), &tuned), &["--micro-batch", "3"]),
        logged("dates", train(&path("dates"), &dates), &[]),
        logged("dates-parts", train(&path("dates-parts"), &dates), &["--micro-batch", "4"]),
    ];
    for pair in runs.chunks(2) {
        assert_eq!(pair[0].len(), 4);
        for (whole, parts) in pair[0].iter().zip(&pair[1]) {
            assert!((whole.1 - parts.1).abs() < 1e-4 * whole.1, "{runs:?}");
        }
    }
    fails(&mut finetune(&data, &path("other"), &["--micro-batch", "0"]), 2, &["--micro-batch"]);
}

#[test]
fn pairs_that_are_none_are_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (data, tuned) = (folder.path().join("pairs.tsv"), folder.path().join("tuned"));
    std::fs::write(&data, format!("{}no pair\n", pairs())).unwrap();
    let end =
        ends(&mut finetune(&data, &tuned, &["--held-out", "4"]), 1, &["line 9", "1 of 9 rows not used"]);
    assert!(end.stdout.contains("of 4 held-out pairs"), "{}", end.stdout);
    for text in ["", "one\ttwo\n"] {
        std::fs::write(&data, text).unwrap();
        ends(&mut finetune(&data, &folder.path().join("other"), &[]), 1, &["pairs.tsv"]);
    }
    // Into the folder that it comes from.
    std::fs::write(&data, pairs()).unwrap();
    let before = std::fs::read(tuned.join("model.safetensors")).unwrap();
    let mut command = attentive();
    command
        .args(["finetune", "embed", "--device", "cpu", "--force", "-m"])
        .arg(&tuned)
        .arg(&data)
        .arg("-o")
        .arg(&tuned);
    ends(&mut command, 2, &["another than the model's own"]);
    assert_eq!(std::fs::read(tuned.join("model.safetensors")).unwrap(), before);
}
