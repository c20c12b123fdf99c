//! `attentive caption`, `attentive train caption` and `attentive train pictures`: captions, where each word looked, what is learnt, and
//! files that are no pictures.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{attentive, ends, fails, repository, run};

fn caption(words: &[&str]) -> Command {
    let mut command = attentive();
    command.args(["caption", "--device", "cpu"]).args(words);
    command
}

fn fixture(name: &str) -> String {
    repository().join("tests/fixtures/pictures").join(name).display().to_string()
}

/// Draws pictures, and gives their files and captions.
fn drawn(folder: &Path, words: &[&str]) -> Vec<(PathBuf, String)> {
    ends(attentive().args(["train", "pictures"]).arg(folder).args(words), 0, &["captions.tsv"]);
    let table = std::fs::read_to_string(folder.join("captions.tsv")).unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap(), ["file", "caption", "places"]);
    lines.map(|cells| (folder.join(cells[0]), cells[1].to_owned())).collect()
}

const DUCK: &str = "a blue duck among three yellow ducks";

#[test]
fn the_model_of_the_program_tells_of_ducks() {
    // Blue and yellow stand together in no picture that it was trained on.
    let end = ends(&mut caption(&[&fixture("duck.png")]), 0, &["ducks (part of this program)", "1 picture"]);
    assert_eq!(end.stdout, format!("{DUCK}\n"));
    let folder = tempfile::tempdir().unwrap();
    let pictures = drawn(folder.path(), &["--number", "24", "--seed", "77"]);
    let end = ends(caption(&[]).args(pictures.iter().map(|(file, _)| file)), 0, &["24 pictures"]);
    let mut right = 0;
    for (line, (file, caption)) in end.stdout.lines().zip(&pictures) {
        let (name, found) = line.split_once('\t').unwrap();
        assert_eq!(Path::new(name), file);
        right += usize::from(found == caption);
    }
    // A folder of pictures with the model's name is no model.
    drawn(&folder.path().join("ducks"), &["--number", "1"]);
    ends(caption(&["ducks/0001.png"]).current_dir(folder.path()), 0, &["ducks (part of this program)"]);
    // What it mistakes is left and right.
    assert!(right >= 22, "{right} of 24: {}", end.stdout);
    // By beams, and in f16.
    for words in [&["--beams", "3"][..], &["--dtype", "f16"]] {
        let end = ends(&mut caption(&[words, &[&fixture("duck.png"), "--scores"]].concat()), 0, &[]);
        let (score, text) = end.stdout.trim_end().split_once('\t').unwrap();
        assert_eq!(text, DUCK);
        assert!((-1.0..=0.0).contains(&score.parse::<f64>().unwrap()), "{score}");
    }
}

#[test]
fn every_kind_of_jpeg_is_read() {
    for name in ["baseline.jpg", "progressive.jpg", "halved.jpg", "cmyk.jpg"] {
        let end = ends(&mut caption(&[&fixture(name)]), 0, &[]);
        assert_eq!(end.stdout, format!("{DUCK}\n"), "{name}");
    }
    assert_eq!(ends(&mut caption(&[&fixture("grey.jpg")]), 0, &[]).stdout.lines().count(), 1);
    let sees = "wide.jpg: 192 by 96 pixels, of which the model sees 64 by 64, with bars in its mean colour";
    ends(&mut caption(&[&fixture("wide.jpg")]), 0, &[sees]);
}

#[test]
fn where_each_word_looked_is_drawn_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (svg, png, html, npy) = (path("look.svg"), path("look.png"), path("look.html"), path("look.npy"));
    let duck = fixture("duck.png");
    let words = [&*duck, "-o", &svg, "-o", &html, "-o", &npy, "--json", "-", "--theme", "dark"];
    let end = ends(&mut caption(&words), 0, &[]);
    let told: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(told["caption"], DUCK);
    let listed = told["words"].as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(names.join(" "), format!("{DUCK} </s>"));
    for word in listed {
        let weights: Vec<f64> =
            word["weights"].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).collect();
        assert_eq!(weights.len(), 64);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-4);
        let [x, y] = [0, 1].map(|axis| word["peak"][axis].as_u64().unwrap() as usize);
        assert!(weights.iter().all(|&weight| weight <= weights[y * 8 + x]));
    }
    let drawing = std::fs::read_to_string(&svg).unwrap();
    // The picture, and one for each word.
    assert_eq!(drawing.matches("<image ").count(), 8);
    assert!(drawing.contains(DUCK) && drawing.contains(">yellow<") && drawing.contains("#15181c"));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.matches("<image ").count() == 8);
    assert!(std::fs::read(&npy).unwrap().len() == 128 + 8 * 64 * 4);
    if cfg!(feature = "pictures") {
        ends(&mut caption(&[&duck, "-o", &png]), 0, &[]);
        assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    }
    fails(&mut caption(&[&duck, &duck, "-o", &svg]), 2, &["where one picture is looked at, but there are 2"]);
    fails(&mut caption(&[&duck, "-o", &path("look.gif")]), 2, &[".svg"]);
}

#[test]
fn files_that_are_no_pictures_are_named_and_the_others_captioned() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let whole = std::fs::read(fixture("duck.png")).unwrap();
    let jpeg = std::fs::read(fixture("baseline.jpg")).unwrap();
    let mut huge = whole[..33].to_vec();
    huge[16..24].copy_from_slice(&[0, 1, 0x11, 0x70, 0, 1, 0x11, 0x70]);
    let sum = crc32fast::hash(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    let files = [
        (write("empty.png", b""), "it is empty, where a PNG or a JPEG is needed"),
        (write("text.png", b"a duck"), "it is text, where a PNG or a JPEG is needed"),
        (write("moving.jpg", b"GIF89a\x01\0"), "it is a GIF"),
        (write("cut.png", &whole[..whole.len() / 2]), "a PNG, but it cannot be read"),
        (write("cut.jpg", &jpeg[..jpeg.len() / 2]), "a JPEG, but it cannot be read"),
        (write("huge.png", &huge), "70,000 by 70,000 pixels; at most 32,768 on a side and 64,000,000 in all"),
        (folder.path().join("none.png").display().to_string(), "No such file"),
        (folder.path().display().to_string(), "directory"),
    ];
    for (file, problem) in &files {
        fails_but_a_line(
            &mut caption(&[file]),
            &[&format!("{file}: "), problem, "1 of 1 file not captioned"],
        );
    }
    let words: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
    let duck = fixture("duck.png");
    let mut command = caption(&[&words, &[duck.as_str(), "--json", "-"][..]].concat());
    let end = ends(&mut command, 1, &["8 of 9 files not captioned"]);
    let told: Vec<Value> = end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (told, (file, problem)) in told.iter().zip(&files) {
        assert_eq!(told["file"], file.as_str());
        assert!(told["error"].as_str().unwrap().contains(problem) && told["caption"].is_null());
    }
    assert_eq!(told[8]["caption"], DUCK);
    fails(&mut caption(&[]), 2, &["FILE"]);
    fails(&mut caption(&[&duck, "-m", "swans"]), 1, &["no model `swans`", "ducks alone"]);
    fails(&mut caption(&[&duck, "-m", &duck]), 1, &["this is a file"]);
    fails(&mut caption(&[&duck, "-m", "models/dates-gru"]), 1, &["attentive-captioner"]);
}

/// With status 1, these words, and an empty line for the one file.
#[track_caller]
fn fails_but_a_line(command: &mut Command, words: &[&str]) {
    assert_eq!(ends(command, 1, words).stdout, "\n");
}

fn train(folder: &Path, words: &[&str]) -> Command {
    let mut command = attentive();
    command.args(["train", "caption", "--device", "cpu", "--evaluate", "8", "-o"]).arg(folder).args(words);
    command
}

fn losses(path: &Path) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].parse().unwrap(), cells[1].parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn a_captioner_learns_and_what_it_writes_captions() {
    let folder = tempfile::tempdir().unwrap();
    let (model, log) = (folder.path().join("model"), folder.path().join("steps.csv"));
    let words =
        ["--steps", "40", "--batch-size", "8", "--learning-rate", "5e-3", "--doubly-stochastic", "0.01"];
    let end = ends(train(&model, &words).arg("--log").arg(&log), 0, &["parameters, 40 steps of 8 pictures"]);
    for words in
        ["of 8 held-out pictures captioned exactly", "of 8 pictures with two colours", "looked most into"]
    {
        assert!(end.stdout.contains(words), "no `{words}` in {}", end.stdout);
    }
    let losses = losses(&log);
    let mean = |rows: &[(u64, f64)]| rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
    // From about the logarithm of 23 words, and the attention's part, down to what captions have in common.
    assert!(mean(&losses[..3]) > 3.1 && mean(&losses[35..]) < 2.5, "{losses:?}");
    let model = model.display().to_string();
    let end = ends(&mut caption(&["-m", &model, &fixture("duck.png")]), 0, &[&model]);
    assert_eq!(end.stdout.lines().count(), 1);
    fails(&mut train(Path::new(&model), &["--steps", "1"]), 2, &["--resume", "--force"]);
    let wrong = ["--doubly-stochastic=-1", "--steps", "1"];
    fails(&mut train(&folder.path().join("a"), &wrong), 1, &["doubly_stochastic"]);
}

/// Ctrl-C saves the run, and what goes on from it comes to the same numbers.
#[test]
#[cfg(unix)]
fn a_run_that_is_ended_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--steps", "16", "--batch-size", "4"];
    let whole = folder.path().join("whole.csv");
    ends(train(&folder.path().join("whole"), &words).arg("--log").arg(&whole), 0, &[]);
    let (model, log) = (folder.path().join("model"), folder.path().join("steps.csv"));
    let mut child = train(&model, &words).arg("--log").arg(&log).spawn().unwrap();
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 4 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    child.wait().unwrap();
    if losses(&log).len() < 16 {
        ends(train(&model, &words).arg("--resume").arg("--log").arg(&log), 0, &["going on behind step"]);
    }
    assert_eq!(losses(&log), losses(&whole));
}

#[test]
fn pictures_are_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| drawn(&folder.path().join(name), &["--number", "6"]));
    for ((file, caption), (same, its)) in one.iter().zip(&other) {
        assert_eq!((std::fs::read(file).unwrap(), caption), (std::fs::read(same).unwrap(), its));
    }
    // The fixture is one of these.
    let words = ["--number", "106", "--withheld"];
    assert_eq!(drawn(&folder.path().join("withheld"), &words)[105].1, DUCK);
    fails(attentive().args(["train", "pictures"]), 2, &["FOLDER"]);
    let file = fixture("duck.png");
    fails(attentive().args(["train", "pictures", &file]), 1, &["duck.png"]);
}
