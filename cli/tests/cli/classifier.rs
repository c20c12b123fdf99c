//! `attentive finetune classify`: what is learnt, what is written, data and models that are wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::altered;
use crate::command::{attentive, ends, fails, repository, run};
use crate::train::{losses, scores};

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// A run on the CPU device.
fn finetune(model: &Path, data: &Path, output: &Path, words: &[&str]) -> Command {
    let mut command = attentive();
    command.args(["finetune", "classify", "--device", "cpu", "-m"]).arg(model).arg(data);
    command.arg("-o").arg(output).args(words);
    command
}

/// Texts whose label is told by the order of their words, which a model can learn and counted words cannot.
fn rows() -> Vec<(String, &'static str)> {
    // Words that the model's vocabulary has.
    let (things, others) = (["cat", "hello", "we", "it", "this"], ["mat", "world", "sat", "of", "and"]);
    let pairs = things.iter().flat_map(|thing| others.iter().map(move |other| (thing, other)));
    let both = |(thing, other)| {
        [(format!("the {thing} on the {other}"), "thing"), (format!("the {other} on the {thing}"), "place")]
    };
    pairs.flat_map(both).collect()
}

fn csv(rows: &[(String, &str)]) -> String {
    let lines = rows.iter().map(|(text, label)| format!("{label},\"{text}\"\n"));
    std::iter::once("label,text\n".to_owned()).chain(lines).collect()
}

const QUICK: [&str; 6] = ["--epochs", "40", "--batch-size", "20", "--learning-rate", "0.005"];

#[test]
fn a_classifier_learns_and_is_a_folder_that_classifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, tuned, log) = (path("rows.csv"), path("tuned"), path("steps.csv"));
    std::fs::write(&data, csv(&rows())).unwrap();
    let model = fixture("models/tiny-bert");
    let mut command = finetune(&model, &data, &tuned, &QUICK);
    let end = run(command.args(["--held-out", "10", "--json", "-", "--log"]).arg(&log));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let losses = losses(&log);
    assert_eq!(losses.len(), 80);
    // Of two labels, ln 2 is what is known of none.
    assert!(losses[0].1 > 0.5 && losses[79].1 < 0.2, "{losses:?}");
    let found: Value = serde_json::from_str(&end.stdout).unwrap();
    let accuracy = |what: &str| found[what]["accuracy"].as_f64().unwrap();
    assert!(found["before"].is_null() && accuracy("most_frequent") <= 0.6, "{found}");
    assert!(accuracy("after") > accuracy("words") && accuracy("after") >= 0.8, "{found}");
    // What was written labels texts as it was trained to.
    let mut command = attentive();
    command.args([
        "classify",
        "--device",
        "cpu",
        "--json",
        "-",
        "the cat on the world",
        "the world on the cat",
    ]);
    let end = run(command.arg("-m").arg(&tuned));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let labels: Vec<Value> = end
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["label"].clone())
        .collect();
    assert_eq!(labels, ["thing", "place"]);
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(tuned.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!((&config["id2label"]["1"], &config["label2id"]["thing"]), (&"thing".into(), &1.into()));
    // With its own labels it goes on, in any folder but its own; a label that it lacks is named.
    let again = path("again");
    let words = ["--epochs", "1", "--held-out", "10"];
    let end = ends(&mut finetune(&tuned, &data, &again, &words), 0, &[]);
    assert!(end.stdout.contains("the model before"), "{}", end.stdout);
    fails(&mut finetune(&tuned, &data, &tuned, &["--force"]), 2, &["another than the model's own"]);
    std::fs::write(&data, format!("{}other,what else\n", csv(&rows()))).unwrap();
    let said = ["line 52", "no label `other`, but place, thing", "--new-head"];
    fails(&mut finetune(&tuned, &data, &path("third"), &words), 1, &said);
    let words = ["--epochs", "1", "--new-head"];
    ends(&mut finetune(&tuned, &data, &path("third"), &words), 0, &["with 3 labels"]);
}

/// A run that is ended goes on to the same losses and scores, and to the same best model.
#[test]
#[cfg(unix)]
fn a_run_that_is_ended_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, model) = (path("rows.csv"), fixture("models/tiny-bert"));
    std::fs::write(&data, csv(&rows())).unwrap();
    let words = ["--epochs", "12", "--batch-size", "8"];
    let (whole, log) = (path("whole.csv"), path("steps.csv"));
    ends(finetune(&model, &data, &path("whole"), &words).arg("--log").arg(&whole), 0, &[]);
    let mut command = finetune(&model, &data, &path("tuned"), &words);
    command.arg("--log").arg(&log).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 9 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    if losses(&log).len() < losses(&whole).len() {
        let mut command = finetune(&model, &data, &path("tuned"), &words);
        ends(command.arg("--resume").arg("--log").arg(&log), 0, &["going on behind step"]);
    }
    assert_eq!(losses(&log), losses(&whole));
    assert_eq!(scores(&log), scores(&whole));
    assert!(scores(&whole).len() >= 6, "{:?}", scores(&whole));
    let weights = |name: &str| std::fs::read(path(name).join("model.safetensors")).unwrap();
    assert!(weights("tuned") == weights("whole"));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = fixture("models/tiny-bert");
    let quick = ["--epochs", "1"];
    let call = |name: &str, contents: &str, words: &[&str]| {
        std::fs::write(path(name), contents).unwrap();
        finetune(&model, &path(name), &path("out"), &[&quick, words].concat())
    };
    // A bad row is named, and the others are used.
    let rows = "{\"text\": \"the cat\", \"label\": \"a\"}\n{\"text\": 7, \"label\": \"a\"}\n{\"text\": \"x\"}\nno json\n\
                {\"text\": \" \", \"label\": \"b\"}\n{\"text\": \"a dog\", \"label\": \"\"}\n{\"text\": \"a dog\", \"label\": \"b\"}\n";
    let said = [
        "line 2: `text` is not a string",
        "line 3: no key `label`; there are text",
        "line 4: not JSON",
        "line 5: its text is empty",
        "line 6: its label is empty",
        "5 of 7 rows not used",
    ];
    let end = ends(&mut call("rows.jsonl", rows, &["--held-out", "0"]), 1, &said);
    assert!(end.stdout.contains("model.safetensors"), "{}", end.stdout);
    std::fs::remove_dir_all(path("out")).unwrap();
    fails(&mut call("rows.csv", "", &[]), 1, &["no rows to train on"]);
    fails(&mut call("rows.csv", "text,label\n", &[]), 1, &["no rows to train on"]);
    let one = "text,label\nthe cat,a\nthe dog,a\n";
    fails(&mut call("rows.csv", one, &[]), 1, &["all 2 rows have the label `a`", "two labels"]);
    let two = "text,label\nthe cat,a\nthe dog,b\n";
    fails(&mut call("rows.csv", two, &["--held-out", "2"]), 1, &["no rows to train on beside 2 held back"]);
    fails(&mut call("rows.csv", two, &["--label-column", "kind"]), 2, &["no column `kind`", "text, label"]);
    fails(&mut call("rows.txt", two, &[]), 2, &["a table or JSON"]);
    fails(&mut finetune(&model, Path::new("-"), &path("out"), &[]), 2, &["read twice"]);
    fails(&mut finetune(&model, &path("none.csv"), &path("out"), &[]), 1, &["none.csv"]);
    let words = ["--learning-rate", "1e30", "--held-out", "0", "--epochs", "60", "--batch-size", "1"];
    std::fs::write(path("rows.csv"), two).unwrap();
    let mut command = finetune(&model, &path("rows.csv"), &path("out"), &words);
    fails(&mut command, 1, &["diverged", "smaller learning rate"]);
    let regression = fixture("heads/distilbert-sequence");
    let mut command = finetune(&regression, &path("rows.csv"), &path("other"), &quick);
    fails(&mut command, 1, &["one of regression", "--new-head"]);
    // A weight that is no number.
    let damaged = altered::with_weights(&model, |name, values| {
        if name.ends_with("embeddings.word_embeddings.weight") {
            values[3] = f32::NAN;
        }
    });
    let mut command = finetune(damaged.path(), &path("rows.csv"), &path("other"), &quick);
    fails(&mut command, 1, &["embeddings.word_embeddings.weight", "NaN"]);
}
