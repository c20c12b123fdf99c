//! The command line among files, processes and environments: what it reads, where it writes, and what it leaves.
#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Ended, attentive, ended, ends, fails, repository, run};
use crate::npy;
use serde_json::Value;

/// `attentive embed` with the tiny model, on the CPU.
fn embed(words: &[&str]) -> Command {
    let model = repository().join("tests/fixtures/models/tiny-bert");
    let mut command = attentive();
    command.arg("embed").arg("-m").arg(model).args(["--device", "cpu"]).args(words);
    command
}

/// The texts of a file, as `embed` reads them; `None` for a row that has none.
#[track_caller]
fn texts(end: &Ended) -> Vec<Option<String>> {
    let rows = end.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["text"].as_str().map(str::to_owned)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn files_are_read_whole_or_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, content: &[u8], words: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        run(embed(&["-o", "-", "--input"]).arg(path).args(words))
    };
    #[track_caller]
    fn is(end: &Ended, expected: &[&str]) {
        assert_eq!((end.code, texts(end)), (Some(0), some(expected)), "{}", end.stderr);
    }
    #[track_caller]
    fn refused(end: &Ended, code: i32, words: &[&str]) {
        assert_eq!((end.code, end.stdout.as_str()), (Some(code), ""), "{}", end.stderr);
        for word in words {
            assert!(end.stderr.contains(word), "no `{word}` in: {}", end.stderr);
        }
    }
    // JSON arrays, and what is called .json and is lines.
    is(&of("a.json", b"[\n  \"hello\",\n  \"world\"\n]\n", &[]), &["hello", "world"]);
    let objects = br#"[{"title": "the cat", "id": 1}, {"title": "the mat"}]"#;
    is(&of("b.json", objects, &["--column", "title"]), &["the cat", "the mat"]);
    is(&of("c.txt", b"[\"hello\"]", &["--format", "json"]), &["hello"]);
    is(&of("d.json", b"\"a\"\n\"b\"\n", &[]), &["a", "b"]);
    refused(&of("e.json", objects, &[]), 2, &["--column", "title"]);
    refused(&of("f.json", b"[\"a\",\n\"b\"", &[]), 1, &["f.json: line 2", "not JSON"]);
    refused(&of("g.jsonl", b"[\n\"a\",\n\"b\"\n]\n", &[]), 1, &["--format json"]);
    let lines = of("h.txt", b"[\n\"a\"\n", &[]);
    is(&lines, &["[", "\"a\""]);
    assert!(lines.stderr.contains("--format json"), "{}", lines.stderr);
    // UTF-16 in all four forms; of one that has only Chinese, line breaks tell it.
    let text = "hello\nwörld\n日本 😀";
    let chinese = "三月三日\n五月五日\n七月七日\n";
    for (big, mark) in [(false, true), (true, true), (false, false), (true, false)] {
        let end = of("a.txt", &utf16(text, big, mark), &[]);
        is(&end, &["hello", "wörld", "日本 😀"]);
        assert!(end.stderr.contains("UTF-16"), "{}", end.stderr);
        is(&of("b.txt", &utf16(chinese, big, mark), &[]), &["三月三日", "五月五日", "七月七日"]);
        is(&of("b.csv", &utf16("id,t\n1,a\n", big, mark), &["--column", "t"]), &["a"]);
        is(&of("b.json", &utf16("[\"a\"]", big, mark), &[]), &["a"]);
    }
    is(&of("a.txt", b"\xef\xbb\xbfhello\n", &[]), &["hello"]);
    for (content, word) in [
        (&b"\xff\xfe\0\0a\0\0\0"[..], "UTF-32"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        (b"PK\x03\x04\x14\0\0\0", ".xlsx"),
        (b"PAR1\x15\x04", "Parquet"),
    ] {
        refused(&of("a.txt", content, &[]), 1, &[word]);
        refused(&of("a.csv", content, &["--column", "text"]), 1, &[word]);
    }
    let end = of("a.txt", b"hello\nna\xefve\na\0b\nok\n", &[]);
    assert_eq!(texts(&end), [Some("hello".into()), None, None, Some("ok".into())]);
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("line 2: not valid UTF-8") && end.stderr.contains("Latin-1"),
        "{}",
        end.stderr
    );
    assert!(end.stderr.contains("line 3: it holds a NUL"), "{}", end.stderr);
    // Tables: an open quote names its line; other delimiters.
    let column = ["--column", "text"];
    let open = of("a.csv", b"id,text\n1,ok\n2,\"open\n3,c\n4,d\n", &column);
    assert_eq!(open.code, Some(1));
    assert!(open.stderr.contains("line 3: a quote opens here and is never closed"), "{}", open.stderr);
    is(&of("a.csv", b"id,text\n1,\"open\n", &[&column[..], &["--no-quotes"]].concat()), &["\"open"]);
    is(&of("a.csv", b"id;text\n1;a, b\n", &[&column[..], &["--delimiter", ";"]].concat()), &["a, b"]);
    is(&of("a.txt", b"id\ttext\n1\ta b\n", &[&column[..], &["--delimiter", "tab"]].concat()), &["a b"]);
    refused(&of("a.csv", b"id;text\n1;a\n", &column), 2, &["--delimiter ';'"]);
    refused(&of("a.txt", b"a\n", &["--format", "text", "--delimiter", ";"]), 2, &["--delimiter"]);
    let cut = of("a.csv", b"id,text\n1,Hello, world\n", &column);
    assert_eq!((cut.code, texts(&cut)), (Some(1), vec![None]));
    assert!(cut.stderr.contains("line 2: 3 fields under a heading of 2"), "{}", cut.stderr);
}

#[test]
fn every_command_reads_alike() {
    let folder = tempfile::tempdir().unwrap();
    let dates = folder.path().join("dates.txt");
    fs::write(&dates, utf16("le 3 mai 1979\n", false, true)).unwrap();
    let end = run(attentive().args(["translate", "--device", "cpu", "--input"]).arg(&dates));
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), "1979-05-03\n"), "{}", end.stderr);
    let json = folder.path().join("dates.json");
    fs::write(&json, "[{\"t\": \"le 3 mai 1979\"}]").unwrap();
    let end = run(attentive().args(["translate", "--device", "cpu", "--column", "t", "--input"]).arg(&json));
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), "1979-05-03\n"), "{}", end.stderr);
    let pairs = folder.path().join("pairs.tsv");
    fs::write(&pairs, utf16("le 3 mai 1979\t1979-05-03\n", true, false)).unwrap();
    let evaluate = ["evaluate", "-m", "dates-transformer", "--device", "cpu"];
    let end = run(attentive().args(evaluate).arg(&pairs));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("exact   1 of 1 pair"), "{}", end.stdout);
    fs::write(&pairs, b"\x1f\x8b\x08\0\0\0").unwrap();
    fails(attentive().args(evaluate).arg(&pairs), 1, &["gzip"]);
}

/// Waits until the process has a file of that folder open, be it without a name.
#[cfg(target_os = "linux")]
fn wait_for_output(id: u32, folder: &Path) {
    let begun = Instant::now();
    loop {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        let mut links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        if links.any(|link| link.starts_with(folder)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no output was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_ends_the_program_leaves_nothing_behind() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let output = folder.join("out.npy");
    // One that these tests were told to ignore (`nohup`) is ignored by the program too, as it should be.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    let signals = [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9), ("ABRT", 6)];
    for (signal, number) in signals.into_iter().filter(|(_, number)| ignored >> (number - 1) & 1 == 0) {
        for before in [None, Some("what was there")] {
            match before {
                Some(text) => fs::write(&output, text).unwrap(),
                None => drop(fs::remove_file(&output)),
            }
            // It waits for its input, with its output begun.
            let mut command = embed(&["--input", "-", "-o"]);
            command.arg(&output).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let input = child.stdin.take();
            wait_for_output(child.id(), &folder);
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
            let ended = child.wait_with_output().unwrap();
            drop(input);
            assert_eq!(ended.status.signal(), Some(number), "{signal}");
            match before {
                Some(text) => assert_eq!(fs::read_to_string(&output).unwrap(), text),
                None => assert_eq!(names(&folder), [""; 0], "{signal}"),
            }
            assert!(names(&folder).iter().all(|name| name == "out.npy"), "{:?}", names(&folder));
        }
    }
    // What another process has locked stays; what nobody has goes.
    fs::write(folder.join(".attentive-Ab12cd"), "left").unwrap();
    let end = run(embed(&["the cat", "-o"]).arg(&output));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(names(&folder), ["out.npy"]);
}

/// A program that was told to ignore a signal still does.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_signal_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let plain = embed(&["--input", "-", "-o"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    command.arg(folder.join("out.npy")).env("HF_HUB_OFFLINE", "1").env("ATTENTIVE_PIPELINE_CACHE", "");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_output(child.id(), &folder);
    assert!(Command::new("kill").args(["-s", "HUP", &child.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(100));
    drop(child.stdin.take());
    let end = ended(child.wait_with_output().unwrap());
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(names(&folder), ["out.npy"]);
}

#[test]
#[cfg(unix)]
fn devices_pipes_and_descriptors_are_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    let end = run(&mut embed(&["the cat", "-o", "/dev/stdout"]));
    assert_eq!((end.code, texts(&end)), (Some(0), some(&["the cat"])), "{}", end.stderr);
    let end = run(&mut embed(&["the cat", "-o", "/dev/null"]));
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{}", end.stderr);
    let end =
        run(attentive().args(["devices", "--json", "-"]).stdout(fs::File::create(in_folder("d")).unwrap()));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    // What the shell has opened is added to, and not replaced.
    let translate = ["translate", "--device", "cpu", "le 3 mai 1979", "-o"];
    let shell = |redirected: &str, output: &str| {
        let mut command = Command::new("sh");
        let script = format!("\"$0\" \"$@\" {output} {redirected}");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_attentive")]).args(translate);
        run(command.current_dir(folder.path()).stdin(Stdio::null()))
    };
    fs::write(in_folder("log"), "before\n").unwrap();
    for (redirected, output) in [(">> log", "/dev/stdout"), ("3>> log", "/dev/fd/3")] {
        let end = shell(redirected, output);
        assert_eq!(end.code, Some(0), "{}", end.stderr);
    }
    assert_eq!(fs::read_to_string(in_folder("log")).unwrap(), "before\n1979-05-03\n1979-05-03\n");
    let pipe = in_folder("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    let end = run(embed(&["the cat", "-o"]).arg(&pipe));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(ended(reader.wait_with_output().unwrap()).stdout.contains("\"text\":\"the cat\""));
    fails(&mut embed(&["the cat", "-o", "/dev/fd/77"]), 1, &["/dev/fd/77"]);
    assert_eq!(names(folder.path()), ["d", "log", "pipe.jsonl"]);
}

/// Runs a shell's script where it may mount; `None` where this user may not.
#[cfg(target_os = "linux")]
fn with_mounts(script: &str, folder: &Path) -> Option<Ended> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", script, env!("CARGO_BIN_EXE_attentive")]);
        command.current_dir(folder).env("HF_HUB_OFFLINE", "1").env("ATTENTIVE_PIPELINE_CACHE", "");
        run(command.stdin(Stdio::null()))
    };
    let may = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may.is_ok_and(|ended| ended.status.success()) {
        eprintln!("this user may not mount: not tried");
        return None;
    }
    Some(unshare(script))
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_cannot_be_replaced_is_overwritten_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mounted"), "what was there before, and is longer").unwrap();
    fs::write(folder.path().join("out"), "").unwrap();
    let script = "mount --bind mounted out; \"$0\" translate --device cpu -o out 'le 3 mai 1979'";
    let Some(end) = with_mounts(script, folder.path()) else { return };
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stderr.contains("out cannot be replaced"), "{}", end.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("mounted")).unwrap(), "1979-05-03\n");
    assert_eq!(names(folder.path()), ["mounted", "out"]);
}

/// Mesa would end the program by SIGBUS.
#[test]
#[cfg(target_os = "linux")]
fn doctor_says_that_the_disk_under_mesas_cache_is_full() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cache")).unwrap();
    let script = "mount -t tmpfs -o size=64k none cache; dd if=/dev/zero of=cache/full bs=4k 2>/dev/null || true; \
                  XDG_CACHE_HOME=$PWD/cache \"$0\" doctor";
    let Some(end) = with_mounts(script, folder.path()) else { return };
    assert_eq!(end.code, Some(1), "{}{}", end.stdout, end.stderr);
    for word in ["is full", "SIGBUS", "MESA_SHADER_CACHE_DISABLE=true", "Adapters"] {
        assert!(end.stdout.contains(word), "no `{word}` in: {}", end.stdout);
    }
}

/// Not even Rust's runtime, which opens /dev/null there, makes a success of it.
#[test]
#[cfg(unix)]
fn a_standard_output_that_is_closed_at_the_start_is_a_failure() {
    for output in [&[][..], &["-o", "-"], &["-o", "/dev/stdout", "--format", "jsonl"]] {
        let command = embed(&[&["the cat", "a dog"], output].concat());
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" >&-", "sh"]).arg(command.get_program()).args(command.get_args());
        let end = run(&mut shell);
        assert_eq!(end.code, Some(1), "{output:?}: {}", end.stderr);
        assert!(end.stderr.contains("standard output is closed"), "{output:?}: {}", end.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_a_failure() {
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let calls: [&[&str]; 7] = [
        &["--help"],
        &["--version"],
        &["embed", "--help"],
        &["devices"],
        &["devices", "--json", "-"],
        &["translate", "--device", "cpu", "le 3 mai 1979"],
        &["verify", "--device", "cpu", "--kernel", "sum_splits"],
    ];
    for words in calls {
        let end = run(attentive().args(words).stdout(full()));
        assert_eq!(end.code, Some(1), "{words:?} {}", end.stderr);
        assert!(end.stderr.contains("standard output: "), "{words:?} {}", end.stderr);
    }
    let end = run(embed(&["the cat", "-o", "-"]).stdout(full()));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
}

#[test]
fn a_judgement_that_nobody_reads_is_none() {
    let mut command = attentive();
    command.args(["verify", "--device", "cpu", "--kernel", "sum_splits"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let end = ended(child.wait_with_output().unwrap());
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert!(end.stderr.contains("standard output was closed"), "{}", end.stderr);
}

#[test]
fn a_backend_that_is_none_is_refused_everywhere() {
    let calls: [&[&str]; 6] = [
        &["devices"],
        &["doctor"],
        &["verify", "--device", "all", "--kernel", "sum_splits"],
        &["check", "--device", "all", "tests/cases"],
        &["translate", "le 3 mai 1979"],
        &["tune", "--quick"],
    ];
    for words in calls {
        for rubbish in ["cuda", "vulkan,cuda"] {
            let end = ends(
                attentive().args(words).env("WGPU_BACKEND", rubbish),
                2,
                &["WGPU_BACKEND", rubbish, "vulkan, metal, dx12, gl"],
            );
            assert!(!end.stdout.contains("agrees"), "{}", end.stdout);
        }
    }
    // Empty, as compose files make it, is as not set.
    let devices = |command: &mut Command| run(command.args(["devices", "--json", "-"])).stdout;
    assert_eq!(devices(attentive().env("WGPU_BACKEND", "")), devices(attentive().env_remove("WGPU_BACKEND")));
}

/// As compose files make them.
#[test]
fn variables_that_are_set_to_nothing_are_as_not_set() {
    let mut command = attentive();
    command.args(["translate", "le 3 mai 1979"]).env("ATTENTIVE_DEVICE", "cpu");
    for name in [
        "TRANSLATE_MODEL",
        "INPUT",
        "COLUMN",
        "FORMAT",
        "DELIMITER",
        "OUTPUT",
        "ALIGNMENT",
        "BEAMS",
        "SEED",
        "DTYPE",
        "TOP_K",
    ] {
        command.env(format!("ATTENTIVE_{name}"), "");
    }
    let end = run(&mut command);
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), "1979-05-03\n"), "{}", end.stderr);
    // Nothing is an answer to what comes before each text.
    let end = run(embed(&["the cat", "-o", "-"]).env("ATTENTIVE_PROMPT", "").env("ATTENTIVE_DEVICE", ""));
    assert_eq!((end.code, texts(&end)), (Some(0), some(&["the cat"])), "{}", end.stderr);
}

/// Rows go through in parts, and keep their numbers.
#[test]
fn a_long_input_is_embedded_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let [input, npy, jsonl] = ["in.txt", "out.npy", "out.jsonl"].map(|name| folder.path().join(name));
    // Most rows are bad, which costs no time.
    let count = 40_000;
    let good = [0, 1, 16_384, 20_000, count - 1];
    let lines = (0..count).map(|line| match good.iter().position(|&good| good == line) {
        None => b"\xff\n".to_vec(),
        Some(place) => format!("the cat{}\n", " sat".repeat(place)).into_bytes(),
    });
    fs::write(&input, lines.flatten().collect::<Vec<u8>>()).unwrap();
    let expected = run(
        embed(&["-o", "-"]).args((0..good.len()).map(|place| format!("the cat{}", " sat".repeat(place))))
    );
    let expected =
        expected.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["embedding"].clone());
    let expected: Vec<Value> = expected.collect();
    let near = |row: &[f32], other: &Value| {
        let other = other.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32);
        row.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5)
    };

    let end = run(embed(&["-o"]).arg(&npy).arg("--input").arg(&input));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert!(end.stderr.contains("line 3: not valid UTF-8"), "{}", end.stderr);
    assert!(end.stderr.contains("and 39,985 such lines more"), "{}", end.stderr);
    assert!(end.stderr.contains("39995 of 40,000 rows not embedded"), "{}", end.stderr);
    let (shape, values) = npy::read(&npy);
    assert_eq!(shape, [count, 32]);
    for (line, row) in values.chunks(32).enumerate() {
        match good.iter().position(|&good| good == line) {
            Some(place) => assert!(near(row, &expected[place]), "row {line}"),
            None => assert!(row.iter().all(|value| value.is_nan()), "row {line}"),
        }
    }
    let end = run(embed(&["-o"]).arg(&jsonl).arg("--input").arg(&input));
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let text = fs::read_to_string(&jsonl).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() == count && rows.iter().enumerate().all(|(place, row)| row["index"] == place));
    assert_eq!(rows[count - 1]["text"], "the cat sat sat sat sat");
    // What cannot be written over has the same bytes.
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe.npy");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = folder.path().join("read");
        let mut reader =
            Command::new("cat").arg(&pipe).stdout(fs::File::create(&read).unwrap()).spawn().unwrap();
        let end = run(embed(&["-o"]).arg(&pipe).arg("--input").arg(&input));
        assert_eq!(end.code, Some(1), "{}", end.stderr);
        assert!(reader.wait().unwrap().success() && fs::read(&read).unwrap() == fs::read(&npy).unwrap());
    }
}

/// A limit of processes holds for who is not root, and counts all that the user has: so a user who has none.
#[test]
#[cfg(target_os = "linux")]
fn a_system_that_gives_no_threads_is_worked_on_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let plain = embed(&["the cat", "the mat", "a b c", "-o", "-"]);
    for threads in ["1", "2", "3", "100"] {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=54321", "--regid=54321", "--clear-groups", "prlimit"])
            .arg(format!("--nproc={threads}"));
        command.arg(plain.get_program()).args(plain.get_args()).env("HOME", folder.path());
        let Ok(output) = command.env("HF_HUB_OFFLINE", "1").stdin(Stdio::null()).output() else { return };
        let end = ended(output);
        if end.stderr.contains("setpriv") || end.stderr.contains("Permission denied") {
            eprintln!("this user may not become another: not tried");
            return;
        }
        assert_eq!(
            (end.code, texts(&end)),
            (Some(0), some(&["the cat", "the mat", "a b c"])),
            "{}",
            end.stderr
        );
    }
}

/// What the loader's layers print of a desktop that is not there looks like an error of ours.
#[test]
#[cfg(target_os = "linux")]
fn no_desktop_is_no_error() {
    let mut command = attentive();
    command.args(["devices", "--json", "-"]).env_remove("XDG_RUNTIME_DIR").env_remove("WAYLAND_DISPLAY");
    let end = run(command.env_remove("DISPLAY").env_remove("DRI_PRIME").env_remove("MESA_VK_DEVICE_SELECT"));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(!end.stderr.contains("XDG_RUNTIME_DIR"), "{}", end.stderr);
    // Nothing else changed by that: the words are the same.
    let end = run(attentive()
        .args(["translate", "--device", "cpu", "--", "-3 mai 1979"])
        .env_remove("XDG_RUNTIME_DIR"));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}

#[test]
fn samples_have_a_bound() {
    let words = ["translate", "--device", "cpu", "--sample", "--n-best", "100000", "le 3 mai 1979"];
    fails(attentive().args(words), 1, &["n_best", "at most 1024", "100000"]);
}
