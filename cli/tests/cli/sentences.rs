//! English sentences to French, with attention and without: what the program's models answer, by length too, and what is learnt anew.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::{attentive, ends, fails, repository, run};

const MODELS: [&str; 2] = ["english-french", "english-french-without-attention"];

fn call(command: &str, words: &[&str]) -> Command {
    let mut call = attentive();
    call.arg(command).args(["--device", "cpu"]).args(words);
    call
}

#[test]
fn a_sentence_is_translated_and_its_words_are_aligned() {
    let duck = "The blue duck follows the horses.";
    let end = ends(&mut call("translate", &["-m", MODELS[0], duck, "she’s"]), 0, &["part of this program"]);
    assert_eq!(end.stdout.lines().next(), Some("le canard bleu suit les chevaux"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("look.svg");
    let path = path.to_str().unwrap();
    ends(
        &mut call("attention", &["-m", MODELS[0], "the bee that sees the king sings", "--words", "-o", path]),
        0,
        &[],
    );
    let picture = std::fs::read_to_string(path).unwrap();
    for word in ["l&#39;", "abeille", "qui", "voit", "bee", "sings"] {
        assert!(picture.contains(&format!(">{word}<")), "{word}");
    }
    for (command, out) in [("attention", "-o"), ("translate", "--alignment")] {
        let words = ["-m", MODELS[1], duck, out, path];
        fails(&mut call(command, &words), 2, &["the model must be one with attention", "one without"]);
    }
}

/// The first pairs of the file that training never sees: a few of each length.
fn held_out(each: usize) -> String {
    let file = repository().join("models/sentences/held_out.tsv");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().take(8 * each).map(|line| format!("{line}\n")).collect()
}

#[test]
fn exact_answers_are_told_and_drawn_by_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, svg, json) = (path("pairs.tsv"), path("accuracy.svg"), path("found.json"));
    std::fs::write(&file, held_out(6)).unwrap();
    let words = ["-m", MODELS[0], "--against", MODELS[1], "--picture", &svg, "--trained", "20", &file];
    let end = ends(&mut call("evaluate", &[&words[..], &["--json", &json]].concat()), 0, &[]);
    let table: Vec<&str> = end.stdout.lines().skip_while(|line| !line.contains("words  pairs")).collect();
    assert_eq!(table.len(), 9, "{}", end.stdout);
    assert!(table[0].contains(MODELS[0]) && table[0].contains(MODELS[1]), "{}", end.stdout);
    let answer: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let right = |answer: &Value| -> Vec<u64> {
        answer["by_length"].as_array().unwrap().iter().map(|row| row["right"].as_u64().unwrap()).collect()
    };
    assert_eq!(answer["by_length"][1]["words"], serde_json::json!([10, 10]));
    let (with, without) = (right(&answer), right(&answer["against"][0]));
    // Of six of each of 5, 10, 15, 20, 25, 30, 40 and 50 words; training has up to 20.
    assert_eq!(with[..4], [6, 6, 6, 6], "{with:?}");
    assert!(without[1] <= 1 && without[2..].iter().all(|&right| right == 0), "{without:?}");
    let picture = std::fs::read_to_string(&svg).unwrap();
    for says in ["english-french, 20 words: 6 of 6 exact", "longest in training", "words of the source"] {
        assert!(picture.contains(says), "{says}");
    }
    // What is told by length of the one model alone, and what cannot be told.
    let end = ends(&mut call("evaluate", &["-m", MODELS[1], "--by-length", &file]), 0, &[]);
    assert!(end.stdout.contains(&format!("words  pairs  {}", MODELS[1])), "{}", end.stdout);
    let bert = repository().join("tests/fixtures/models/tiny-bert");
    let bert = bert.to_str().unwrap();
    fails(&mut call("evaluate", &["-m", bert, "--by-length", &file]), 2, &["for translators"]);
    fails(&mut call("evaluate", &["-m", MODELS[0], "--against", bert, &file]), 2, &["--against", bert]);
    fails(&mut call("evaluate", &["-m", MODELS[0], "--picture", "a.gif", &file]), 2, &[".svg or .png"]);
    fails(&mut call("evaluate", &["-m", MODELS[0], "--trained", "20", &file]), 2, &["--picture"]);
    let nowhere = path("no/such/a.svg");
    fails(&mut call("evaluate", &["-m", MODELS[0], "--picture", &nowhere, &file]), 1, &["a.svg"]);
}

fn losses(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

/// A small form of the training of both: the loss falls from what is known of no word.
#[test]
fn both_learn_and_say_what_they_answer_by_length() {
    let folder = tempfile::tempdir().unwrap();
    for model in MODELS {
        let (output, log) = (folder.path().join(model), folder.path().join(format!("{model}.csv")));
        let words = ["--steps", "24", "--batch-size", "8", "--evaluate", "8", "--json", "-", "-m", model];
        let mut command = attentive();
        command.args(["train", "translate", "--device", "cpu"]).args(words).arg("-o").arg(&output);
        let end = run(command.arg("--log").arg(&log));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        let found: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!((found["pairs"].as_u64(), found["model"].as_str()), (Some(8), Some(model)));
        assert_eq!(found["by_length"].as_array().unwrap().len(), 8);
        // As many parameters as the sizes allow: a hundred of 600,000 apart.
        assert!(found["parameters"].as_u64().unwrap().abs_diff(597_900) < 100, "{found}");
        let losses = losses(&log);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        // ln 606 is 6.4, and the frequencies of the words are learnt first.
        assert!(mean(&losses[..3]) > 6.2 && mean(&losses[20..]) < 5.4, "{model}: {losses:?}");
    }
}
