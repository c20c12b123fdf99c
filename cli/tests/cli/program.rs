//! The command line, as a user calls it: what comes out, where, and with which exit status.

use crate::altered;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Ended, attentive, ended, fails, repository, run};
use crate::npy;
use serde_json::Value;

fn model() -> PathBuf {
    repository().join("tests/fixtures/models/tiny-bert")
}

/// `attentive embed` with the tiny model, on the CPU.
fn embed(words: &[&str]) -> Command {
    let mut command = attentive();
    command.arg("embed").arg("-m").arg(model()).args(["--device", "cpu"]).args(words);
    command
}

fn run_with_input(command: &mut Command, input: &[u8]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stdin");
    std::fs::write(&path, input).unwrap();
    run(command.stdin(std::fs::File::open(path).unwrap()))
}

/// The fixture's texts and their embeddings by sentence-transformers.
fn expected() -> (Vec<String>, Vec<f32>) {
    let texts: Value = serde_json::from_slice(&std::fs::read(model().join("texts.json")).unwrap()).unwrap();
    let texts = texts["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    let bytes = std::fs::read(model().join("expected.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor("sentence_embedding").unwrap();
    let values = tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    (texts.collect(), values.collect())
}

#[track_caller]
fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 2e-6, "element {place} is {got}, not {expected}");
    }
}

fn jsonl(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vector(row: &Value) -> Vec<f32> {
    row["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

#[test]
fn lines_become_an_npy_as_sentence_transformers_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (texts, values) = expected();
    let (input, output) = (folder.path().join("texts.txt"), folder.path().join("out.npy"));
    std::fs::write(&input, texts.join("\n") + "\n").unwrap();
    for device in ["cpu", "auto"] {
        let mut command = attentive();
        command.arg("embed").arg("-m").arg(model()).args(["--device", device, "--input"]);
        let end = run(command.arg(&input).arg("-o").arg(&output));
        if device == "auto" && end.stderr.contains("no adapter for the device") {
            assert!(std::env::var_os("ATTENTIVE_REQUIRE_ADAPTER").is_none(), "{}", end.stderr);
            continue;
        }
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert_eq!(end.stdout, "");
        // Four texts are longer than the 16 tokens of this model.
        assert!(end.stderr.contains("4 texts cut to 16 tokens"), "{}", end.stderr);
        assert!(end.stderr.contains("line 3: ") && end.stderr.contains("9, 4 cut"), "{}", end.stderr);
        let (shape, got) = npy::read(&output);
        assert_eq!(shape, [texts.len(), 32]);
        near(&got, &values);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file stayed");
}

#[test]
fn arguments_become_jsonl() {
    let (texts, values) = expected();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let end = run(embed(&["-o", "-", "--"]).args(&words));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let rows = jsonl(&end.stdout);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!((row["index"].as_u64(), row["text"].as_str()), (Some(index as u64), Some(words[index])));
    }
    near(&rows.iter().flat_map(vector).collect::<Vec<_>>(), &values);
    assert_eq!(rows[2]["truncated"]["kept"], 16);
    assert!(rows[2]["truncated"]["tokens"].as_u64().unwrap() > 16);
    assert!(rows[0].get("truncated").is_none());
    assert!(end.stderr.contains("the device is the CPU"), "{}", end.stderr);
}

#[test]
fn bad_lines_are_named_and_the_others_keep_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.npy");
    let input = b"the cat\nbad \xff\xfe\n\nthe mat\n";
    let end = run_with_input(embed(&["--input", "-", "-o"]).arg(&output), input);
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("line 2: not valid UTF-8 (byte 5 of the text)"), "{}", end.stderr);
    assert!(end.stderr.contains("1 of 4 rows not embedded"), "{}", end.stderr);
    let (shape, values) = npy::read(&output);
    assert_eq!(shape, [4, 32]);
    let nan: Vec<bool> = values.chunks(32).map(|row| row.iter().all(|value| value.is_nan())).collect();
    assert_eq!(nan, [false, true, false, false]);
    assert!(values[..32].iter().chain(&values[64..]).all(|value| value.is_finite()));

    let end = run_with_input(&mut embed(&["--input", "-", "-o", "-"]), input);
    let rows = jsonl(&end.stdout);
    assert_eq!((end.code, rows.len()), (Some(1), 4));
    assert!(rows[1]["embedding"].is_null() && rows[1]["error"].as_str().unwrap().starts_with("line 2: "));
    assert_eq!(rows[2]["text"], "");
}

#[test]
fn columns_of_csv_tsv_and_jsonl() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, content: &str, words: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        run(embed(&["-o", "-", "--input"]).arg(path).args(words))
    };
    let texts = |end: &Ended| -> Vec<Option<String>> {
        jsonl(&end.stdout).iter().map(|row| row["text"].as_str().map(str::to_owned)).collect()
    };
    let column = ["--column", "title"];
    let end = of("a.csv", "id,title\n1,\"the cat, sat\"\n2\n3,hello\n", &column);
    assert_eq!(texts(&end), [Some("the cat, sat".into()), None, Some("hello".into())]);
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("line 3: no column `title`"), "{}", end.stderr);
    let end = of("a.tsv", "title\tid\nthe cat\t1\n", &column);
    assert_eq!((end.code, texts(&end)), (Some(0), vec![Some("the cat".into())]));
    let end =
        of("a.txt", "{\"title\": \"x\"}\n{\"title\": 3}\n{\n", &["--format", "jsonl", "--column", "title"]);
    assert_eq!((end.code, texts(&end)), (Some(1), vec![Some("x".into()), None, None]));
    assert!(end.stderr.contains("line 2: `title` is not a string"), "{}", end.stderr);
    assert!(end.stderr.contains("line 3: not JSON"), "{}", end.stderr);
    let end = of("b.csv", "id,title\n", &["--column", "body"]);
    assert_eq!(end.code, Some(2));
    assert!(end.stderr.contains("there is no column `body`; there are id, title"), "{}", end.stderr);
}

#[test]
fn an_empty_input_gives_an_empty_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.npy");
    let end = run_with_input(embed(&["--input", "-", "-o"]).arg(&output), b"");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(npy::read(&output), (vec![0, 32], vec![]));
}

#[test]
fn without_an_output_a_person_sees_similarities() {
    let end = run(&mut embed(&["the cat sat on the mat", "a cat \x1b[31m"]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    for part in
        ["Cosine similarities", "1.000", "the cat sat on the mat", "a cat \\u{1b}[31m", "CPU", "loading"]
    {
        assert!(end.stdout.contains(part), "no `{part}` in: {}", end.stdout);
    }
    let end = run(&mut embed(&["the cat"]));
    assert!(end.stdout.contains("32 dimensions, norm 1.0"), "{}", end.stdout);
    let many: Vec<String> = (0..20).map(|number| format!("the cat sat {number}")).collect();
    let end = run(embed(&["--max-batch-tokens", "16"]).args(&many));
    assert!(end.stdout.contains("The most similar pairs among 20 texts"), "{}", end.stdout);
    assert!(end.stdout.contains("the rest"), "{}", end.stdout);
}

#[test]
fn options_reach_the_model() {
    let of = |words: &[&str]| {
        let end = run(embed(&["-o", "-"]).args(words).arg("the cat"));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        vector(&jsonl(&end.stdout)[0])
    };
    let norm = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let plain = of(&[]);
    assert!((norm(&plain) - 1.0).abs() < 1e-5);
    assert!((norm(&of(&["--no-normalize"])) - 1.0).abs() > 1e-3);
    for words in [["--pooling", "cls"], ["--pooling", "max"], ["--dtype", "f16"], ["--prompt", "the "]] {
        assert_ne!(of(&words), plain, "{words:?}");
    }
    assert_eq!(of(&["--prompt", ""]), plain);
}

#[test]
fn wrong_calls_are_status_2() {
    fails(&mut embed(&[]), 2, &["there is nothing to embed", "--input"]);
    fails(&mut embed(&["x", "-o", "out.csv"]), 2, &[".npy or .jsonl"]);
    fails(&mut embed(&["x", "--max-batch-tokens", "0"]), 2, &["max-batch-tokens"]);
    fails(&mut embed(&["x", "--implementation", "linaer=tiled"]), 2, &["no op `linaer`", "linear"]);
    fails(&mut embed(&["x", "--column", "a"]), 2, &["--input"]);
    fails(attentive().args(["embed", "x"]), 2, &["--model"]);
    fails(
        attentive().args(["embed", "-m", "x", "--device", "cuda", "x"]),
        2,
        &["`cuda` is not a device", "gpu:N"],
    );
    fails(attentive().args(["verify", "--kernel", "none"]), 2, &["no kernel `none`", "linear/gemm_tiled"]);
}

#[test]
fn failures_are_status_1_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none/out.npy");
    let absent =
        attentive().args(["embed", "-m", "./no-such-model", "x", "-o"]).arg(&nowhere).output().unwrap();
    // Both are wrong; the output's path is looked at first.
    let end = ended(absent);
    assert_eq!(end.code, Some(1));
    assert!(end.stderr.contains("out.npy") && end.stderr.contains("there is no folder"), "{}", end.stderr);
    fails(
        attentive().args(["embed", "-m", "./no-such-model", "x"]),
        1,
        &["there is no folder ./no-such-model"],
    );
    let home = folder.path();
    let hub = ["embed", "-m", "no-such-model", "x"];
    fails(
        attentive().args(hub).env("HF_HOME", home).env_remove("HF_HUB_CACHE"),
        1,
        &["no-such-model", "sentence-transformers/no-such-model", "offline"],
    );
    fails(&mut embed(&["--input", "no-such-file.txt"]), 1, &["no-such-file.txt"]);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    fails(attentive().args(["embed", "--device", "cpu", "x", "-m"]).arg(&empty), 1, &["config.json"]);
    let other = ["--device", "gpu:name=no-such-adapter", "x"];
    fails(attentive().args(["embed", "-m"]).arg(model()).args(other), 1, &["no-such-adapter", "`cpu`"]);
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let mut child = embed(&["x", "y"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let end = ended(child.wait_with_output().unwrap());
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(!end.stderr.contains("error") && !end.stderr.contains("panicked"), "{}", end.stderr);
}

#[test]
fn the_cache_of_the_hub_is_read_offline() {
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("hub/models--sentence-transformers--tiny-bert");
    let snapshot = repository.join("snapshots/0123");
    std::fs::create_dir_all(snapshot.join("1_Pooling")).unwrap();
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), "0123").unwrap();
    let files = [
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "1_Pooling/config.json",
    ];
    let call = || {
        let mut command = attentive();
        command.args(["embed", "-m", "tiny-bert", "--device", "cpu", "the cat"]);
        command.env("HF_HOME", home.path()).env_remove("HF_HUB_CACHE");
        command
    };
    for file in files {
        std::fs::copy(model().join(file), snapshot.join(file)).unwrap();
    }
    // Half a model is none.
    fails(&mut call(), 1, &["not whole in the cache"]);
    std::fs::copy(model().join("model.safetensors"), snapshot.join("model.safetensors")).unwrap();
    let end = run(&mut call());
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("32 dimensions"), "{}", end.stdout);
}

#[test]
fn devices_lists_the_cpu_last_and_is_json() {
    let end = run(attentive().args(["devices", "--json", "-"]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let list: Value = serde_json::from_str(&end.stdout).unwrap();
    let devices = list["devices"].as_array().unwrap();
    assert_eq!(devices.last().unwrap()["spec"], "cpu");
    for (number, device) in devices[..devices.len() - 1].iter().enumerate() {
        assert_eq!(device["spec"], format!("gpu:{number}"));
        assert!(device["capabilities"]["storage_binding_bytes"].as_u64().unwrap() > 0);
    }
    assert!(devices.iter().filter(|device| device["auto"] == true).count() <= 1);
    let end = run(attentive().arg("devices"));
    assert!(end.stdout.trim_end().lines().any(|line| line.starts_with("cpu ")), "{}", end.stdout);
}

#[test]
fn doctor_ends_as_it_says() {
    let end = run(attentive().arg("doctor"));
    let works = end.stdout.contains("attention agrees with the CPU");
    assert_eq!(end.code, Some(i32::from(!works)), "{}", end.stdout);
    assert!(end.stdout.contains("WGPU_BACKEND"));
    let none =
        run(attentive().arg("doctor").env("VK_DRIVER_FILES", "/none.json").env("WGPU_BACKEND", "vulkan"));
    if cfg!(target_os = "linux") {
        assert_eq!(none.code, Some(1), "{}", none.stdout);
        assert!(none.stdout.contains("VK_DRIVER_FILES"), "{}", none.stdout);
    }
}

#[test]
fn verify_holds_the_tiny_model_against_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let adapters = run(attentive().args(["devices", "--json", "-"])).stdout.contains("\"auto\": true");
    let device = if adapters { "auto" } else { "cpu" };
    let mut command = attentive();
    command.args(["verify", "--kernel", "pooling/pool", "--device", device, "-m"]).arg(model());
    let end = run(command.arg("--json").arg(&file));
    assert_eq!(end.code, Some(0), "{}{}", end.stdout, end.stderr);
    assert!(end.stdout.contains("pooling/pool"), "{}", end.stdout);
    assert!(end.stdout.contains("agrees"), "{}", end.stdout);
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["passed"], true);
    let model = &report["devices"][0]["model"];
    assert_eq!((&model["passed"], &model["first_parting"]), (&Value::Bool(true), &Value::Null));
    if adapters {
        assert!(end.stdout.contains("encoder.layer.1.attention"), "{}", end.stdout);
        assert!(model["steps"].as_array().unwrap().len() > 10);
    }
}

#[test]
fn verify_of_all_devices_is_json_too() {
    let end =
        run(attentive().args(["verify", "--kernel", "pooling/mean_max", "--device", "all", "--json", "-"]));
    let report: Value = serde_json::from_str(&end.stdout).unwrap();
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices.last().unwrap()["name"], "CPU");
    assert_eq!(devices.last().unwrap()["passed"], true);
    let passed = devices.iter().all(|device| device["passed"] == true);
    assert_eq!((report["passed"].as_bool(), end.code), (Some(passed), Some(i32::from(!passed))));
    let variants = devices[0]["kernels"]["variants"].as_array().unwrap();
    assert!(variants.iter().all(|variant| variant["kernel"] == "pooling/mean_max"));
}

#[test]
fn weights_that_f16_does_not_hold_are_refused_with_the_tensor() {
    // The values a million times larger, their projection a million times smaller: the same model in f32.
    let scaled = altered::with_weights(&model(), |name, values| {
        let factor = match name {
            "encoder.layer.0.attention.self.value.weight" | "encoder.layer.0.attention.self.value.bias" => {
                1e6
            }
            "encoder.layer.0.attention.output.dense.weight" => 1e-6,
            _ => return,
        };
        values.iter_mut().for_each(|value| *value *= factor);
    });
    let (texts, values) = expected();
    let of = |dtype: &str| {
        let mut command = attentive();
        command
            .arg("embed")
            .arg("-m")
            .arg(scaled.path())
            .args(["--device", "cpu", "--dtype", dtype, "-o", "-"]);
        run(command.arg("--").args(&texts))
    };
    let end = of("f32");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let got: Vec<f32> = jsonl(&end.stdout).iter().flat_map(vector).collect();
    for (got, expected) in got.iter().zip(&values) {
        assert!((got - expected).abs() <= 1e-5, "{got} {expected}");
    }
    let end = of("f16");
    assert_eq!((end.code, end.stdout.as_str()), (Some(1), ""));
    for part in [
        "model.safetensors",
        "the tensor `encoder.layer.0.attention.self.value.weight` must be below 65520 in magnitude",
        "f16 (f32 takes it)",
        "its largest magnitude is ",
    ] {
        assert!(end.stderr.contains(part), "no `{part}` in: {}", end.stderr);
    }
    // What f16 would round to 0, all of it.
    let small = altered::with_weights(&model(), |name, values| {
        if name == "encoder.layer.1.output.dense.weight" {
            values.iter_mut().for_each(|value| *value *= 1e-9);
        }
    });
    let mut command = attentive();
    command.arg("embed").arg("-m").arg(small.path()).args(["--device", "cpu", "--dtype", "f16", "the cat"]);
    fails(&mut command, 1, &["encoder.layer.1.output.dense.weight", "which rounds it to 0"]);
    let whole = run(&mut embed(&["--dtype", "f16", "the cat"]));
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
}

#[test]
fn weights_that_are_not_finite_are_refused_with_the_tensor() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        for tensor in ["embeddings.word_embeddings.weight", "encoder.layer.1.output.LayerNorm.bias"] {
            let broken = altered::with_weights(&model(), |name, values| {
                if name == tensor {
                    values[7] = value;
                }
            });
            for dtype in ["f32", "f16"] {
                let mut command = attentive();
                command
                    .arg("embed")
                    .arg("-m")
                    .arg(broken.path())
                    .args(["--device", "cpu", "--dtype", dtype, "x"]);
                let said = format!("`{tensor}` must be of finite numbers, but its element 7 is {shown}");
                fails(&mut command, 1, &[&said]);
            }
        }
    }
}

#[test]
fn embeddings_that_are_not_finite_are_told_with_their_lines() {
    // `cat` is token 76.
    let broken = altered::with_a_word_too_large(&model(), 32, 76);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.npy");
    let embed = |words: &[&str]| {
        let mut command = attentive();
        command.arg("embed").arg("-m").arg(broken.path()).args(["--device", "cpu"]).args(words);
        command
    };
    let input = b"the mat\nthe cat\nbad \xff\nhello\na cat\n";
    let end = run_with_input(embed(&["--input", "-", "-o"]).arg(&output), input);
    assert_eq!(end.code, Some(1));
    let told = "2 of 4 results are not finite (NaN or infinity; null in JSON): lines 2 and 5";
    assert!(end.stderr.contains(told), "{}", end.stderr);
    assert!(end.stderr.contains("1 of 5 rows not embedded"), "{}", end.stderr);
    let (shape, values) = npy::read(&output);
    let finite: Vec<bool> = values.chunks(32).map(|row| row.iter().all(|value| value.is_finite())).collect();
    assert_eq!((shape, finite), (vec![5, 32], vec![true, false, false, true, false]));
    let end = run(&mut embed(&["hello", "the cat", "-o", "-"]));
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr.contains("1 of 2 results is not finite") && end.stderr.contains("text 2"),
        "{}",
        end.stderr
    );
    assert!(jsonl(&end.stdout)[1]["embedding"].as_array().unwrap().iter().all(Value::is_null));
    let end = run(&mut embed(&["hello", "the mat", "-o", "-"]));
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}

#[test]
fn json_is_a_file_or_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let lines = run(&mut embed(&["the cat", "hello", "-o", "-"])).stdout;
    let to_stdout = run(&mut embed(&["the cat", "hello", "--json", "-"]));
    assert_eq!((to_stdout.code, &to_stdout.stdout), (Some(0), &lines));
    assert!(to_stdout.stderr.contains("loading"), "{}", to_stdout.stderr);
    // Beside the report, and beside another file.
    let end = run(&mut embed(&["the cat", "hello", "--json", &path("a.json")]));
    assert!(end.stdout.contains("Cosine similarities"), "{}", end.stdout);
    let end = run(&mut embed(&["the cat", "hello", "--json", &path("b.json"), "-o", &path("b.npy")]));
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{}", end.stderr);
    assert_eq!(npy::read(Path::new(&path("b.npy"))).0, [2, 32]);
    for name in ["a.json", "b.json"] {
        assert_eq!(std::fs::read_to_string(path(name)).unwrap(), lines);
    }
    fails(&mut embed(&["x", "-o", "-", "--json", "-"]), 2, &["-o and --json name the same place"]);
    let file = path("devices.json");
    let end = run(attentive().args(["devices", "--json", &file]));
    assert!(end.stdout.contains("the kernels' twins"), "{}", end.stdout);
    assert!(serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap()["devices"].is_array());
    // Wherever there is a --json, it takes a file.
    for command in [
        "bench",
        "check",
        "classify",
        "devices",
        "embed",
        "evaluate",
        "fill-mask",
        "next-sentence",
        "rerank",
        "translate",
        "verify",
    ] {
        let help = run(attentive().args([command, "--help"])).stdout;
        assert!(!help.contains("--json") || help.contains("--json <FILE>"), "{command}: {help}");
    }
}

#[test]
fn texts_that_begin_with_a_hyphen_go_behind_two() {
    for (text, tip) in [
        ("-hello", "-- -hello"),
        ("-Version", "-- -Version"),
        ("-help me", "-- -help me"),
        ("-5 degrees", "-- -5"),
        ("-x", "-- -x"),
    ] {
        for words in [&[text][..], &["the cat", text]] {
            fails(&mut embed(words), 2, &["unexpected argument", tip]);
        }
        let end = run(&mut embed(&["-o", "-", "--", text]));
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert_eq!(jsonl(&end.stdout)[0]["text"], text);
    }
    for flag in ["-h", "--help"] {
        let end = run(attentive().args(["embed", flag]));
        assert!(end.code == Some(0) && end.stdout.contains("Usage: attentive embed"), "{}", end.stdout);
    }
}

#[test]
fn prompts_are_taken_by_their_names() {
    let copied = altered::copy(&model());
    let settings = serde_json::json!({ "prompts": { "query": "the cat ", "title": "hello " }, "default_prompt_name": "title" });
    std::fs::write(copied.path().join("config_sentence_transformers.json"), settings.to_string()).unwrap();
    let of = |folder: &Path, words: &[&str]| {
        let mut command = attentive();
        command.arg("embed").arg("-m").arg(folder).args(["--device", "cpu", "--json", "-"]).args(words);
        let end = run(&mut command);
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        (vector(&jsonl(&end.stdout)[0]), end.stderr)
    };
    let plain = |text: &str| of(&model(), &[text]).0;
    assert_eq!(of(copied.path(), &["sat"]).0, plain("hello sat"));
    assert_eq!(of(copied.path(), &["sat", "--prompt-name", "query"]).0, plain("the cat sat"));
    assert_eq!(of(copied.path(), &["sat", "--prompt", ""]).0, plain("sat"));
    // sentence-transformers has two in every model, empty where nothing is said.
    let (found, said) = of(copied.path(), &["sat", "--prompt-name", "document"]);
    assert_eq!(found, plain("sat"));
    assert!(said.contains("the model has no prompt `document`: nothing is put before the texts"), "{said}");
    let mut unknown = attentive();
    unknown.arg("embed").arg("-m").arg(copied.path()).args([
        "--device",
        "cpu",
        "sat",
        "--prompt-name",
        "absent",
    ]);
    fails(&mut unknown, 2, &["no prompt `absent`; there are query, title"]);
}

#[cfg(not(feature = "pictures"))]
#[test]
fn pictures_that_were_left_out_are_named() {
    let words = ["needs the feature `pictures`, which this program was built without"];
    let model = model();
    fails(attentive().args(["attention", "a text", "-o", "a.png", "-m"]).arg(&model), 2, &words);
    fails(attentive().args(["translate", "le 3 mai 1979", "--alignment", "a.png"]), 2, &words);
    fails(attentive().args(["bench", "--quick", "--device", "cpu", "--svg", "a.svg"]), 2, &words);
}
