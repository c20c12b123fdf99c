//! `attentive translate`, and `attentive evaluate` on pairs, as a user calls them: with the models that the program holds.

use crate::altered;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{Ended, attentive, ends, fails, repository, run};
use serde_json::Value;

/// A command on the CPU.
fn call(command: &str, words: &[&str]) -> Command {
    let mut call = attentive();
    call.arg(command).args(["--device", "cpu"]).args(words);
    call
}

fn marian(name: &str) -> PathBuf {
    repository().join("tests/fixtures/models").join(name)
}

fn translated(words: &[&str]) -> Ended {
    ends(&mut call("translate", words), 0, &[])
}

#[track_caller]
fn refused(words: &[&str], code: i32, message: &[&str]) {
    fails(&mut call("translate", words), code, message);
}

#[test]
fn the_models_of_the_program_need_no_download() {
    let texts = ["le 3 mai 1979", "Thursday, May 3rd 1979", "一九七九年五月三日"];
    for model in ["dates-transformer", "dates-gru"] {
        let end = translated(&[&["-m", model, "--offline"], &texts[..]].concat());
        assert_eq!(end.stdout, "1979-05-03\n1979-05-03\n1979-05-03\n");
        for word in [model, "part of this program", "3 texts", "least probability"] {
            assert!(end.stderr.contains(word), "no `{word}` in {}", end.stderr);
        }
    }
    let end = translated(&texts[..1]);
    assert_eq!(end.stdout, "1979-05-03\n");
    assert!(end.stderr.contains("dates-transformer (part of this program)"), "{}", end.stderr);
    assert!(end.stderr.contains("probability 0.9"), "{}", end.stderr);
}

#[test]
fn beams_samples_and_n_best() {
    let of = |words: &[&str]| translated(&[words, &["trois cent deux"]].concat()).stdout;
    let beams =
        of(&["--beams", "4", "--n-best", "3", "--length-penalty", "0.5", "--early-stopping", "never"]);
    let lines: Vec<(f64, &str)> = beams
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(score, text)| (score.parse().unwrap(), text))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0].1, "302");
    assert!(lines.is_sorted_by(|a, b| a.0 >= b.0) && lines[0].1 != lines[1].1);
    assert_eq!(of(&["--n-best", "3"]).lines().count(), 3);
    let sample = |seed: &str| of(&["--sample", "--temperature", "3", "--n-best", "6", "--seed", seed]);
    assert_eq!(sample("1"), sample("1"));
    assert_ne!(sample("1"), sample("2"));
    assert_eq!(of(&["--scores"]).split_once('\t').unwrap().1, "302\n");
}

#[test]
fn files_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("in.txt"), "le 3 mai 1979\nä\n").unwrap();
    std::fs::write(path("bad.txt"), b"le 3 mai 1979\n\xff\xfe\n1er janvier 2004\n").unwrap();
    let (input, output) = (path("bad.txt"), path("out.jsonl"));
    let words = ["--input", input.to_str().unwrap(), "-o", output.to_str().unwrap()];
    fails(&mut call("translate", &words), 1, &["line 2", "UTF-8"]);
    let lines: Vec<Value> = std::fs::read_to_string(&output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["translations"][0]["text"], "1979-05-03");
    assert!(lines[0]["translations"][0]["probability"].as_f64().unwrap() > 0.9);
    assert!(lines[1]["translations"].is_null());
    assert_eq!(lines[2]["translations"][0]["text"], "2004-01-01");
    // Lines stay those of the input.
    let plain = path("out.txt");
    let words = ["--input", input.to_str().unwrap(), "-o", plain.to_str().unwrap()];
    fails(&mut call("translate", &words), 1, &[]);
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), "1979-05-03\n\n2004-01-01\n");
    let end = run(call("translate", &["--input", "-", "--json", "-"])
        .stdin(std::fs::File::open(path("in.txt")).unwrap()));
    let first: Value = serde_json::from_str(end.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["translations"][0]["stopped"], true);
}

#[test]
fn the_alignment_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let files = ["a.html", "a.svg", "a.png", "a.npy"].map(path);
    let words: Vec<&str> = files.iter().flat_map(|file| ["--alignment", file]).collect();
    let end = translated(&[&["-m", "dates-gru", "le 3 mai 1979"], &words[..]].concat());
    assert_eq!(end.stdout, "1979-05-03\n");
    let [html, svg, png, npy] = files.map(|file| std::fs::read(file).unwrap());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text(&html).contains("le 3 mai 1979") && text(&svg).starts_with("<svg"));
    assert!(png.starts_with(b"\x89PNG"));
    let header = String::from_utf8_lossy(&npy[..120]).into_owned();
    // Eleven tokens of the target, fourteen of the source, their ends counted.
    assert!(header.contains("(1, 1, 11, 14"), "{header}");
    let end =
        translated(&["le 3 mai 1979", "--alignment", &path("b.npy"), "--layers", "1", "--heads", "0,3"]);
    assert_eq!(end.stdout, "1979-05-03\n");
    let npy = std::fs::read(path("b.npy")).unwrap();
    assert!(String::from_utf8_lossy(&npy[..120]).contains("(1, 2, 11, 14"));
    let out = path("c.svg");
    refused(&["a", "b", "--alignment", &out], 2, &["one text", "2"]);
    refused(&["a", "--alignment", &out, "--layers", "2"], 2, &["a layer", "0 to 1", "2"]);
    refused(&["a", "--alignment", &out, "--heads", "4"], 2, &["a head", "0 to 3", "4"]);
    refused(&["a", "--alignment", "d.gif"], 2, &[".svg"]);
    // Found wrong before a model is looked for.
    let view = |view| ["-m", "/nowhere", "a", "--alignment", &out, "--view", view].map(str::to_owned);
    for (name, message) in [("from", "--from"), ("pair", "two texts")] {
        refused(&view(name).each_ref().map(String::as_str), 2, &[message]);
    }
    // A folder's name stands under the picture, not the way there.
    let model = marian("tiny-marian");
    let end = ends(
        &mut call("translate", &["-m", model.to_str().unwrap(), "we sat", "--alignment", &out]),
        0,
        &["tiny-marian on CPU"],
    );
    assert!(!end.stderr.contains("part of this program"));
    let svg = std::fs::read_to_string(&out).unwrap();
    assert!(svg.contains("tiny-marian") && !svg.contains("fixtures"), "{svg}");
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    refused(&[], 2, &["nothing to translate"]);
    refused(&["x", "--beams", "0"], 2, &["--beams"]);
    refused(&["x", "--beams", "2", "--n-best", "3"], 1, &["n_best", "2 beams", "3"]);
    refused(&["x", "--beams", "101"], 1, &["beams", "1 to 100", "101"]);
    refused(&["x", "--beams", "2", "--sample"], 2, &["--sample"]);
    refused(&["x", "--temperature", "2"], 2, &["--sample"]);
    refused(&["x", "--sample", "--top-p", "0"], 1, &["top_p", "above 0"]);
    // A target longer than the model's positions.
    refused(&["x", "--max-tokens", "129"], 1, &["max_tokens", "at most 128", "129"]);
    refused(&["x", "--length-penalty", "2"], 2, &["--length-penalty is of a beam search", "--beams"]);
    refused(&["x", "--beams", "1", "--early-stopping", "no"], 2, &["--early-stopping is of a beam search"]);
    refused(&["-m", "/nowhere/at/all", "x"], 1, &["there is no folder /nowhere/at/all"]);
    refused(&["-m", "opus-mt-en-fr", "--offline", "x"], 1, &["Helsinki-NLP/opus-mt-en-fr", "offline"]);
    let minilm = repository().join("tests/fixtures/models/tiny-bert");
    refused(&["-m", minilm.to_str().unwrap(), "x"], 1, &["architecture", "bert", "marian"]);
    // Cut at the limit, and said so.
    let end = translated(&["le 3 mai 1979", "--max-tokens", "4"]);
    assert_eq!(end.stdout, "1979\n");
    assert!(end.stderr.contains("1 translation cut at the limit"), "{}", end.stderr);
}

#[test]
fn pairs_are_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("pairs.tsv");
    std::fs::write(&path, "le 3 mai 1979\t1979-05-03\n三千二百零五\t3205\nle 4 mai 1979\t1979-05-03\n")
        .unwrap();
    for model in ["dates-transformer", "dates-gru"] {
        let end = run(&mut call("evaluate", &["-m", model, path.to_str().unwrap()]));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        for word in ["exact   2 of 3 pairs: 66.67 %", "le 4 mai 1979 → 1979-05-04", "not 1979-05-03"] {
            assert!(end.stdout.contains(word), "no `{word}` in {}", end.stdout);
        }
        let end = run(&mut call("evaluate", &["-m", model, "--json", "-", path.to_str().unwrap()]));
        let answer: Value = serde_json::from_str(&end.stdout).unwrap();
        assert_eq!((&answer["right"], &answer["pairs"]), (&2.into(), &3.into()));
        assert_eq!(answer["wrong"][0]["output"], "1979-05-04");
    }
    // Few tokens in a batch: more steps, the same answers.
    let steps = |words: &[&str]| {
        let end = ends(
            &mut call("evaluate", &[words, &["-m", "dates-gru", path.to_str().unwrap()]].concat()),
            0,
            &[],
        );
        let (_, steps) = end.stdout.split_once(" tokens, in ").unwrap();
        steps.split_once(" steps").unwrap().0.parse::<usize>().unwrap()
    };
    assert!(steps(&["--max-batch-tokens", "1"]) > steps(&[]));
    let seeded = ["-m", "dates-gru", "--seed", "1", path.to_str().unwrap()];
    ends(&mut call("evaluate", &seeded), 0, &["--seed does nothing here"]);

    let long = "un ".repeat(100);
    let lines = format!("le 3 mai 1979\t1979-05-03\nno tab\n\n{long}\t1\nun \x1b[31m\tdeux \x1b[0m\n");
    std::fs::write(&path, lines).unwrap();
    let end = ends(
        &mut call("evaluate", &["-m", "dates-transformer", path.to_str().unwrap()]),
        1,
        &["line 2: ", "no tab", "line 4: the text must be at most 128 tokens", "2 of 4 rows not answered"],
    );
    assert!(end.stdout.contains("exact   1 of 2 pairs"), "{}", end.stdout);
    assert!(!end.stdout.contains('\x1b') && end.stdout.contains("not deux \\u{1b}[0m"), "{}", end.stdout);
    std::fs::write(&path, "no tab\n").unwrap();
    fails(
        &mut call("evaluate", &["-m", "dates-gru", path.to_str().unwrap()]),
        1,
        &["line 1: ", "1 of 1 row"],
    );
    std::fs::write(&path, "\n").unwrap();
    fails(&mut call("evaluate", &["-m", "dates-gru", path.to_str().unwrap()]), 1, &["no pairs"]);
}

#[test]
fn a_line_that_cannot_be_translated_is_named_and_the_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.txt");
    let long = "un ".repeat(100);
    std::fs::write(&path, format!("le 3 mai 1979\n{long}\n1er janvier 2004\n")).unwrap();
    let input = path.to_str().unwrap();
    let words = ["line 2: the text must be at most 128 tokens (split it", "1 of 3 rows not translated"];
    let end = ends(&mut call("translate", &["--input", input]), 1, &words);
    assert_eq!(end.stdout, "1979-05-03\n\n2004-01-01\n");
    let end = ends(&mut call("translate", &["--input", input, "--json", "-"]), 1, &words);
    let lines: Vec<Value> = end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines[1]["error"].as_str().unwrap().contains("at most 128 tokens") && lines[0]["error"].is_null()
    );
    ends(&mut call("translate", &[&long]), 1, &["the text must be at most 128 tokens"]);
    // So is one in an unknown language.
    std::fs::write(&path, ">>fra<< we sat\n>>deu<< we sat\nwe sat\n").unwrap();
    let model = marian("tiny-marian-spm");
    let end = ends(
        &mut call("translate", &["-m", model.to_str().unwrap(), "--input", input]),
        1,
        &["line 2: the language code `>>deu<<` is unknown", "`>>fra<<`"],
    );
    let lines: Vec<bool> = end.stdout.lines().map(str::is_empty).collect();
    assert_eq!((lines.len(), lines[1]), (3, true), "{}", end.stdout);
}

#[test]
fn scores_that_are_not_finite_are_told_and_the_rest_written() {
    let broken = altered::with_weights(&marian("tiny-marian-separate"), |name, values| {
        if name == "model.encoder.layers.0.fc2.weight" {
            values.fill(3e38);
        }
    });
    let model = ["-m", broken.path().to_str().unwrap()];
    for words in [&["--beams", "1"][..], &["--beams", "3", "--n-best", "2"], &["--sample"]] {
        let words = [&model, words, &["--json", "-", "the cat"]].concat();
        let end = ends(&mut call("translate", &words), 1, &["1 of 1 result is not finite", "text 1"]);
        let answer: Value = serde_json::from_str(end.stdout.trim()).unwrap();
        assert!(answer["translations"][0]["score"].is_null(), "{answer}");
    }
}
