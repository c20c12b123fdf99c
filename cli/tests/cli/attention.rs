//! `attentive attention`, as a user calls it.

use crate::altered;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{attentive, fails, repository, run};
use crate::npy;

fn model() -> PathBuf {
    repository().join("tests/fixtures/models/tiny-bert")
}

/// With the tiny model (2 layers, 4 heads), on the CPU.
fn attention(words: &[&str]) -> Command {
    let mut command = attentive();
    command.arg("attention").arg("-m").arg(model()).args(["--device", "cpu"]).args(words);
    command
}

#[test]
fn every_format_is_written_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut command =
        attention(&["the cat sat on the mat", "--from", "cat", "--layers", "1", "--heads", "0,2-3"]);
    for name in ["a.npy", "a.svg", "a.png", "a.HTML"] {
        command.arg("-o").arg(path(name));
    }
    let end = run(&mut command);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(end.stdout, "");
    assert!(end.stderr.contains("1 layer, 3 heads, 8 × 8 tokens"), "{}", end.stderr);
    let (shape, weights) = npy::read(&path("a.npy"));
    assert_eq!(shape, [1, 3, 8, 8]);
    assert!(weights.chunks(8).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    let svg = std::fs::read_to_string(path("a.svg")).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains("Layer 1, head 3") && svg.contains("“cat” (token 2)"),
        "{svg}"
    );
    assert!(std::fs::read(path("a.png")).unwrap().starts_with(b"\x89PNG"));
    let html = std::fs::read_to_string(path("a.HTML")).unwrap();
    assert!(html.contains("<title>the cat sat on the mat</title>"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "a temporary file stayed");
}

#[test]
fn a_terminal_shows_the_strongest() {
    let all = run(&mut attention(&["the cat sat"]));
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    for part in ["mean of 8 heads", "to (strongest)", "[CLS]", "cat", "captured in one run", "CPU"] {
        assert!(all.stdout.contains(part), "no `{part}` in: {}", all.stdout);
    }
    let from = run(&mut attention(&["the cat sat", "--from", "CAT", "--without-special"]));
    assert!(from.stdout.contains("from “cat” (token 1)") && from.stdout.contains('█'), "{}", from.stdout);
    assert!(from.stdout.contains("layer 1, head 3") && !from.stdout.contains("[SEP] 0"), "{}", from.stdout);
    let pair = run(&mut attention(&["the cat", "the mat", "--average", "all"]));
    assert!(
        pair.stdout.contains("Between the two texts") && pair.stdout.contains("from B"),
        "{}",
        pair.stdout
    );
    let harmless = run(&mut attention(&["the \x1b[31m cat"]));
    assert!(!harmless.stdout.contains('\x1b'), "{}", harmless.stdout);
}

#[test]
fn pieces_become_words() {
    let pieces = run(&mut attention(&["xylophones sat", "--words"]));
    assert!(pieces.stdout.contains("xylophones"), "{}", pieces.stdout);
    let folder = tempfile::tempdir().unwrap();
    // Layers in whatever order they are asked for.
    let map = folder.path().join("map.svg");
    let end =
        run(attention(&["the cat", "--layers", "1,0", "--heads", "2,3", "--view", "map", "-o"]).arg(&map));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(std::fs::read_to_string(&map).unwrap().contains("layers 1, 0, heads 2 to 3"));
    let shape = |words: &[&str]| {
        let path = folder.path().join("a.npy");
        let end = run(attention(&["the cats sat", "-o"]).arg(&path).args(words));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        npy::read(&path).0
    };
    let whole = shape(&[]);
    assert_eq!(shape(&["--words"])[2..], [5, 5]);
    assert_eq!(shape(&["--words", "--without-special"]), [2, 4, 3, 3]);
    assert_eq!(shape(&["--average", "heads"]), [2, 1, whole[2], whole[3]]);
    assert_eq!(shape(&["--average", "all"]), [1, 1, whole[2], whole[3]]);
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |words: &[&str], parts: &[&str]| fails(&mut attention(words), 2, parts);
    wrong(&["the cat", "--layers", "2"], &["a layer", "one of the 2 there are (0 to 1)", "but is 2"]);
    wrong(&["the cat", "--heads", "0-9"], &["a head of layer 0", "one of the 4 there are (0 to 3)"]);
    wrong(&["the cat", "--layers", "x"], &["all, or numbers such as"]);
    wrong(&["the cat", "--from", "dog"], &["no token `dog`", "#0 [CLS], #1 the, #2 cat"]);
    wrong(&["the cat the", "--from", "the"], &["2 times", "#1 the, #3 the"]);
    wrong(&["the cat", "--from", "#9"], &["no token #9", "#0 to #3"]);
    wrong(&["the cat", "--view", "from"], &["--from"]);
    wrong(&["the cat", "--view", "pair"], &["two texts"]);
    wrong(&["the cat", "-o", "a.gif"], &[".html, .svg, .png or .npy"]);
    wrong(&["the cat", "--scale", "0"], &["above 0"]);
    wrong(&[], &["TEXT"]);
    let large = ["the cat", "--max-capture-bytes", "511"];
    // Two layers of four heads, 4 · 4 weights each.
    fails(&mut attention(&large), 1, &["at most 511 bytes", "512 bytes", "--layers and --heads"]);
    assert_eq!(run(&mut attention(&["the cat", "--max-capture-bytes", "512"])).code, Some(0));
    fails(&mut attention(&["the cat", "-o", "/none/a.svg"]), 1, &["/none"]);
}

#[test]
fn a_text_that_is_cut_is_told() {
    let end = run(&mut attention(&[&"the cat sat ".repeat(20)]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stderr.contains("cut to 16 tokens") && end.stderr.contains("it has 62"), "{}", end.stderr);
}

#[test]
fn texts_of_every_script_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for text in
        ["שלום עולם", "مرحبا بالعالم", "那只动物", "🦜 👩‍👩‍👧", "", " ", &"x".repeat(300), "a\u{0}b\u{202e}c"]
    {
        // A process gets no argument with a NUL.
        let text = text.replace('\0', "\u{1}");
        let mut command = attention(&["--words"]);
        for name in ["a.svg", "a.png", "a.html", "a.npy"] {
            command.arg("-o").arg(folder.path().join(name));
        }
        let end = run(command.arg("--").arg(&text));
        assert_eq!(end.code, Some(0), "{text}: {}", end.stderr);
        let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
        assert!(svg.ends_with("</svg>\n") && !svg.contains('\u{202e}'), "{text}");
    }
}

/// A copy of a folder with a file changed.
fn changed(folder: &Path, name: &str, content: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    std::fs::write(copy.path().join(name), content).unwrap();
    copy
}

#[test]
fn all_attentions_of_a_translator_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let look = |model: &str, words: &[&str]| {
        let mut command = attentive();
        command.arg("attention").args(["-m", model, "--device", "cpu"]).args(words);
        command
    };
    let marian = repository().join("tests/fixtures/models/tiny-marian");
    for (model, of, shape) in [
        ("dates-transformer", None, "(2, 4, 11, 14"),
        ("dates-transformer", Some("cross"), "(2, 4, 11, 14"),
        ("dates-transformer", Some("encoder"), "(2, 4, 14, 14"),
        ("dates-transformer", Some("decoder"), "(2, 4, 11, 11"),
        ("dates-gru", None, "(1, 1, 11, 14"),
        (marian.to_str().unwrap(), Some("encoder"), "(2, 4, "),
    ] {
        let (npy, svg) = (path("a.npy"), path("a.svg"));
        let mut words = vec!["le 3 mai 1979", "-o", &npy, "-o", &svg];
        words.extend(of.iter().flat_map(|of| ["--of", of]));
        let end = run(&mut look(model, &words));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert!(end.stderr.contains("captured in one run"), "{}", end.stderr);
        let header = String::from_utf8_lossy(&std::fs::read(&npy).unwrap()[..120]).into_owned();
        assert!(header.contains(shape), "{model} {of:?}: {header}");
        assert!(std::fs::read_to_string(&svg).unwrap().contains("le 3 mai 1979 →"));
    }
    let end = run(&mut look("dates-gru", &["le 3 mai 1979", "--from", "#9"]));
    assert!(end.stdout.contains("le 3 mai 1979 → 1979-05-03"), "{}", end.stdout);
    for (model, words, says) in [
        ("dates-gru", &["a", "--of", "encoder"][..], &["the attention to the source", "encoder's"][..]),
        ("dates-gru", &["a", "b"], &["one text"]),
        ("dates-transformer", &["a", "--layers", "2"], &["a layer", "0 to 1", "2"]),
        (model().to_str().unwrap(), &["a", "--of", "cross"], &["--of cross", "encoder"]),
    ] {
        fails(&mut look(model, words), 2, says);
    }
    // Nothing to leave out is not told as left out; a cut output is told.
    let svg = path("b.svg");
    let long = &["le 3 mai 1979", "--without-special", "-o", &svg];
    assert_eq!(run(&mut look("dates-gru", long)).code, Some(0));
    assert!(!std::fs::read_to_string(&svg).unwrap().contains(";  left out"));
    let cut = changed(&marian, "generation_config.json", r#"{"max_new_tokens": 2, "eos_token_id": 0}"#);
    let end = run(&mut look(cut.path().to_str().unwrap(), &["the cat sat"]));
    assert!(end.stderr.contains("the output is cut at 2 tokens"), "{}", end.stderr);
    let mut small = look("dates-transformer", &["le 3 mai 1979", "--max-capture-bytes", "1KiB"]);
    fails(&mut small, 1, &["at most 1024 bytes", "--max-capture-bytes"]);
}

#[test]
fn weights_that_are_not_finite_are_told() {
    let broken = altered::with_a_word_too_large(&model(), 32, 76);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.npy");
    let of = |text: &str| {
        let mut command = attentive();
        command.arg("attention").arg("-m").arg(broken.path()).args(["--device", "cpu", text, "-o"]);
        run(command.arg(&output))
    };
    let end = of("the cat");
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("the attention weights are not finite"), "{}", end.stderr);
    assert!(output.exists());
    let end = of("the mat");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}
