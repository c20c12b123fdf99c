//! `attentive train bert`: what is learnt of a text, what is written, texts and sizes that are wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::{attentive, ends, fails, run};
use crate::train::losses;

/// Sizes of a model that learns in seconds.
const SMALL: [(&str, &str); 6] = [
    ("--vocabulary", "200"),
    ("--width", "32"),
    ("--layers", "1"),
    ("--heads", "2"),
    ("--batch-size", "16"),
    ("--learning-rate", "0.01"),
];

/// A small run on the CPU device into that folder, with these options, which win over [`SMALL`].
fn train(text: Option<&Path>, folder: &Path, options: &[(&str, &str)]) -> Command {
    let mut command = attentive();
    command.args(["train", "bert", "--device", "cpu"]).args(text).arg("-o").arg(folder);
    let small = SMALL.iter().filter(|(name, _)| options.iter().all(|(option, _)| option != name));
    for (name, value) in small.chain(options) {
        command.arg(name).arg(value);
    }
    command
}

/// Documents about one thing each, whose sentences say one thing after the other of it.
fn text() -> String {
    let mut text = String::new();
    for thing in ["cat", "sea", "house", "bird", "song", "tea"] {
        for colour in ["red", "blue", "green", "old"] {
            for does in ["is here", "was small", "sleeps at night", "goes away", "comes back", "likes us"] {
                let _ = writeln!(text, "the {colour} {thing} {does}, and the {thing} is {colour}.");
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn a_bert_learns_both_tasks_and_what_it_writes_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.txt"), text()).unwrap();
    let (model, log, json) = (path("model"), path("steps.csv"), path("found.json"));
    let mut command = train(Some(&path("text.txt")), &model, &[("--steps", "200"), ("--held-out", "4")]);
    command.arg("--log").arg(&log).arg("--json").arg(&json);
    let words = ["120 sentences in 20 documents, 4 more held out", "200 steps of 16 pairs"];
    let end = ends(&mut command, 0, &words);
    assert!(end.stdout.contains("held out  4 documents of 24 sentences"), "{}", end.stdout);
    let losses = losses(&log);
    let mean = |rows: &[(u64, f64)]| rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
    // From the logarithm of the vocabulary and that of 2 down.
    assert!(mean(&losses[..3]) > 4.5 && mean(&losses[190..]) < 2.5, "{losses:?}");
    let found: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let number = |task: &str, key: &str| found[task][key].as_f64().unwrap();
    assert_eq!((found["documents"].as_u64(), number("next_sentence", "predictions")), (Some(4), 20.0));
    let words = |key: &str| number("masked_language", key);
    assert!(words("loss") < words("loss_without_model") - 1.0, "{found}");
    assert!(words("accuracy") > words("accuracy_without_model"), "{found}");
    let call = |command: &str, words: &[&str]| {
        let mut call = attentive();
        run(call.arg(command).args(["--device", "cpu", "--json", "-", "-m"]).arg(&model).args(words))
    };
    let end = call("fill-mask", &["the red cat [MASK] small"]);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let answer: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(answer["masks"][0]["predictions"].as_array().unwrap().len(), 5);
    let end = call("next-sentence", &["the red cat is here", "the red cat was small"]);
    assert_eq!((end.code, end.stdout.lines().count()), (Some(0), 1), "{}", end.stderr);
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"] {
        assert!(model.join(name).is_file(), "{name}");
    }
    assert!(!model.join("training.safetensors").exists());
    fails(&mut train(Some(&path("text.txt")), &model, &[]), 2, &["--resume", "--force"]);
}

/// A run that is ended goes on to the same losses; with another text, or other sizes, not at all.
#[test]
#[cfg(unix)]
fn a_run_that_is_ended_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.txt"), text()).unwrap();
    let text = path("text.txt");
    // More than one epoch of 120 pairs.
    let steps = [("--steps", "20")];
    let whole = path("whole.csv");
    ends(train(Some(&text), &path("whole"), &steps).arg("--log").arg(&whole), 0, &[]);
    let (model, log) = (path("model"), path("steps.csv"));
    let mut child = train(Some(&text), &model, &steps)
        .arg("--log")
        .arg(&log)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 11 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    if losses(&log).len() < 20 {
        let wider = [("--steps", "20"), ("--width", "64")];
        fails(train(Some(&text), &model, &wider).arg("--resume"), 1, &["training.safetensors"]);
        let other = path("other.txt");
        std::fs::write(&other, std::fs::read_to_string(&text).unwrap().replacen("red", "blue", 1)).unwrap();
        let words = ["text's checksum", "a run goes on as it began"];
        fails(train(Some(&other), &model, &steps).arg("--resume"), 2, &words);
        let mut command = train(Some(&text), &model, &steps);
        ends(command.arg("--resume").arg("--log").arg(&log), 0, &["going on behind step"]);
    }
    assert_eq!(losses(&log), losses(&whole));
}

/// Without a file the text is what the program `bible` prints.
#[test]
#[cfg(unix)]
fn the_bible_is_what_the_program_prints() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bible");
    let prints = |script: &str| {
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let model = folder.path().join("model");
    let call = || {
        let mut command = train(None, &model, &[("--steps", "2")]);
        command.env("PATH", folder.path());
        command
    };
    fails(&mut call(), 1, &["no program `bible`", "bible-kjv", "name a file"]);
    prints("echo 'Ge1:1 In the beginning'; echo 'nothing of that kind'");
    fails(&mut call(), 1, &["line 2", "Ge1:1", "`nothing of that kind`"]);
    prints("echo no text >&2; exit 3");
    fails(&mut call(), 1, &["bible", "no text"]);
    prints(
        "[ \"$*\" = '-f genesis1:1-revelation22:21' ] || exit 4\n\
         for chapter in 1 2 3; do for verse in 1 2 3; do echo \"Ge$chapter:$verse And it was so: $verse\"; done; done",
    );
    ends(&mut call(), 0, &["the program `bible`: 6 sentences in 2 documents, 1 more held out"]);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = path("model");
    let wrong = |contents: &[u8], options: &[(&str, &str)], code: i32, said: &[&str]| {
        let text = path("text.txt");
        std::fs::write(&text, contents).unwrap();
        fails(&mut train(Some(&text), &model, options), code, said);
    };
    wrong(b"", &[], 1, &["text.txt", "0 documents", "empty line"]);
    wrong(b"one\n\ntwo\n\nthree\n", &[], 1, &["3 documents", "two sentences"]);
    // The only document is held out.
    wrong(b"one\ntwo\nthree\n", &[], 1, &["1 document", "trained on"]);
    wrong(b"one\ntwo\n\xff\n", &[], 1, &["line 3 is not valid UTF-8"]);
    wrong(b"one\ntwo\0\n", &[], 1, &["line 2", "NUL"]);
    let text = text();
    let text = text.as_bytes();
    wrong(text, &[("--heads", "3")], 2, &["--width must be a multiple of --heads, 3, but is 32"]);
    wrong(text, &[("--vocabulary", "5")], 2, &["--vocabulary"]);
    wrong(text, &[("--held-out", "0")], 2, &["--held-out"]);
    wrong(text, &[("--held-out", "24")], 1, &["trained on"]);
    wrong(text, &[("--learning-rate", "1e30"), ("--steps", "60")], 1, &["diverged", "smaller learning rate"]);
    fails(&mut train(Some(&path("none.txt")), &model, &[]), 1, &["none.txt"]);
}
