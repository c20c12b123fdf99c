//! The commands on BERT's heads, as a user calls them: what comes out, where, and with which exit status.

use crate::altered;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Ended, attentive, fails, repository, run};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures/heads").join(name)
}

/// A command with a small model, on the CPU.
fn call(command: &str, model: &str, words: &[&str]) -> Command {
    let mut call = attentive();
    call.arg(command).arg("-m").arg(fixture(model)).args(["--device", "cpu"]).args(words);
    call
}

fn with_input(command: &mut Command, input: &[u8]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stdin");
    std::fs::write(&path, input).unwrap();
    run(command.stdin(std::fs::File::open(path).unwrap()))
}

fn jsonl(end: &Ended) -> Vec<Value> {
    end.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn says(end: &Ended, code: i32, words: &[&str]) {
    assert_eq!(end.code, Some(code), "{}", end.stderr);
    for word in words {
        assert!(
            end.stderr.contains(word) || end.stdout.contains(word),
            "no `{word}` in: {}{}",
            end.stdout,
            end.stderr
        );
    }
    assert!(!end.stderr.contains("panicked"), "{}", end.stderr);
}

/// The first answer of transformers to the fixture's text 0, at its mask.
fn best(model: &str, key: &str) -> u64 {
    let bytes = std::fs::read(fixture(model).join("expected.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let logits = tensors.tensor(&format!("{key}.0")).unwrap();
    let columns = logits.shape()[1];
    let values: Vec<f32> =
        logits.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    // [CLS] the [MASK] …
    let row = &values[2 * columns..3 * columns];
    (0..columns).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u64
}

#[test]
fn fill_mask_tells_the_words_and_their_probabilities() {
    let end = run(&mut call("fill-mask", "bert-pretraining", &["the [MASK] sat on the mat", "--json", "-"]));
    says(&end, 0, &[]);
    let answer = &jsonl(&end)[0];
    assert_eq!((&answer["text"], &answer["index"]), (&"the [MASK] sat on the mat".into(), &0.into()));
    let masks = answer["masks"].as_array().unwrap();
    assert_eq!((masks.len(), masks[0]["token"].as_u64()), (1, Some(2)));
    let predictions = masks[0]["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 5);
    assert_eq!(predictions[0]["id"].as_u64().unwrap(), best("bert-pretraining", "prediction_logits"));
    let probability = |place: usize| predictions[place]["probability"].as_f64().unwrap();
    assert!(probability(0) >= probability(1) && probability(4) > 0.0 && probability(0) < 1.0);

    let several =
        run(&mut call("fill-mask", "bert-pretraining", &["-k", "2", "[MASK] cat [MASK]", "the [MASK]"]));
    says(&several, 0, &["mask 1", "mask 2", "→", "CPU", "2 texts", "weights"]);
    let roberta = run(&mut call("fill-mask", "roberta-mlm", &["the<mask> sat", "--json", "-", "--top", "3"]));
    assert_eq!(jsonl(&roberta)[0]["masks"][0]["predictions"].as_array().unwrap().len(), 3);
    says(&run(&mut call("fill-mask", "distilbert-mlm", &["the [MASK]"])), 0, &["DistilBert"]);
}

#[test]
fn texts_without_an_answer_are_named_and_the_others_answered() {
    let long = "cat ".repeat(60);
    let input = format!("the [MASK]\nno mask\n\n[MASK] {long}\nthe <mask>\nbad \u{0}[MASK]\n");
    let end = with_input(
        &mut call("fill-mask", "bert-pretraining", &["--input", "-", "--json", "-"]),
        input.as_bytes(),
    );
    says(
        &end,
        1,
        &[
            "line 2: the text must be one with the mask token `[MASK]`, but is without one",
            "line 3: the text must be one with the mask token `[MASK]`, but is empty",
            "line 4: the text must be at most 40 tokens",
            "`<mask>` is not this model's",
            "line 6: it holds a NUL character",
            "5 of 6 rows not answered",
        ],
    );
    let rows = jsonl(&end);
    let errors: Vec<bool> = rows.iter().map(|row| row.get("error").is_some()).collect();
    assert_eq!(errors, [false, true, true, true, true, true]);
    assert!(rows.iter().enumerate().all(|(index, row)| row["index"] == index));
    fails(&mut call("fill-mask", "bert-pretraining", &[]), 2, &["nothing to fill", "--input"]);
    fails(&mut call("fill-mask", "bert-pretraining", &["x", "--top", "0"]), 2, &["--top"]);
    fails(
        &mut call("fill-mask", "bert-sequence", &["the [MASK]"]),
        1,
        &[
            "no masked-language-model head",
            "cls.predictions.transform.dense.weight",
            "only the encoder and the pooler, the sequence classification head",
        ],
    );
}

#[test]
fn without_a_model_the_default_is_looked_for_and_a_folder_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let mut without = attentive();
    without.args(["fill-mask", "the [MASK]"]).env("HF_HOME", home.path()).env_remove("HF_HUB_CACHE");
    fails(&mut without, 1, &["google-bert/bert-base-uncased", "offline", "-m FOLDER", "tokenizer.json"]);
    let mut short = attentive();
    short
        .args(["next-sentence", "-m", "some-bert", "a", "b"])
        .env("HF_HOME", home.path())
        .env_remove("HF_HUB_CACHE");
    fails(&mut short, 1, &["google-bert/some-bert"]);
    // The variable of every command names one, too.
    let mut by_variable = attentive();
    by_variable.args(["fill-mask", "the [MASK]", "--device", "cpu"]);
    let end = run(by_variable.env("ATTENTIVE_MODEL", fixture("bert-pretraining")).env("ATTENTIVE_TOP", "1"));
    says(&end, 0, &["bert-pretraining"]);
}

#[test]
fn next_sentence_takes_two_sentences() {
    let end = run(&mut call("next-sentence", "bert-pretraining", &["the cat", "it is", "--json", "-"]));
    says(&end, 0, &[]);
    let answer = &jsonl(&end)[0];
    let [next, random] = ["next", "random"].map(|key| answer["logits"][key].as_f64().unwrap());
    let probability = answer["probability"].as_f64().unwrap();
    assert!((probability - 1.0 / (1.0 + (random - next).exp())).abs() < 1e-6);
    says(
        &run(&mut call("next-sentence", "bert-pretraining", &["the cat", "it is"])),
        0,
        &["follows", "the cat", "1 pair"],
    );
    for words in [&["a"][..], &["a", "b", "c"], &[]] {
        let number = format!("there are {}", words.len());
        fails(&mut call("next-sentence", "bert-pretraining", words), 2, &["2 sentences", &number]);
    }
    says(
        &run(&mut call("next-sentence", "bert-pretraining", &["", "b"])),
        1,
        &["the first sentence", "empty"],
    );
    let end = with_input(
        &mut call("next-sentence", "bert-pretraining", &["--input", "-", "--json", "-"]),
        b"the cat\tit is\nthe\ta\tb\nhello\n\tx\n",
    );
    says(&end, 1, &["line 2: it must have 2 sentences", "has 3", "has 1", "line 4: ", "3 of 4 rows"]);
    assert_eq!(jsonl(&end)[0]["probability"], answer["probability"]);
    fails(
        &mut call("next-sentence", "roberta-mlm", &["a", "b"]),
        1,
        &["no next-sentence head", "without that task"],
    );
}

#[test]
fn classify_takes_what_head_there_is() {
    let end = run(&mut call("classify", "bert-sequence", &["the cat", "hello", "--json", "-"]));
    says(&end, 0, &[]);
    let rows = jsonl(&end);
    let scores = rows[0]["scores"].as_object().unwrap();
    assert_eq!(scores.len(), 3);
    assert_eq!(scores[rows[0]["label"].as_str().unwrap()], rows[0]["score"]);
    let pairs = run(&mut call("classify", "bert-sequence", &["--pairs", "the cat\thello", "--json", "-"]));
    assert_ne!(jsonl(&pairs)[0]["scores"], rows[0]["scores"]);
    says(&run(&mut call("classify", "bert-sequence", &["--pairs", "the cat"])), 1, &["2 sentences"]);
    // A table of pairs has no heading, unless a column of it is named.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.tsv");
    std::fs::write(&path, "the cat\thello\nthe mat\tthe cat\n").unwrap();
    let file = |words: &[&str]| {
        let words = [&["--pairs", "--json", "-", "--input", path.to_str().unwrap()], words].concat();
        run(&mut call("classify", "bert-sequence", &words))
    };
    let of_file = file(&[]);
    says(&of_file, 0, &[]);
    assert_eq!(jsonl(&of_file).len(), 2);
    assert_eq!(jsonl(&of_file)[0]["scores"], jsonl(&pairs)[0]["scores"]);
    says(&file(&["--column", "hello"]), 1, &["2 sentences"]);
    says(&file(&["--format", "tsv"]), 2, &["--column must say which"]);
    let tokens = run(&mut call("classify", "roberta-token", &["the cat", "--json", "-"]));
    let tokens = jsonl(&tokens);
    let list = tokens[0]["tokens"].as_array().unwrap();
    assert_eq!((&list[0]["token"], &list[0]["special"]), (&"<s>".into(), &true.into()));
    says(&run(&mut call("classify", "distilbert-token", &["the cat"])), 0, &["token", "label"]);
    says(
        &run(&mut call("classify", "bert-sequence", &[&"cat ".repeat(60)])),
        0,
        &["1 text cut to 40 tokens"],
    );
    fails(&mut call("classify", "bert-pretraining", &["x"]), 1, &["no sequence classification head"]);
}

#[test]
fn evaluate_tells_loss_accuracy_and_perplexity() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.txt");
    let about: Value = serde_json::from_slice(&std::fs::read(fixture("evaluation.json")).unwrap()).unwrap();
    std::fs::write(&file, about["text"].as_str().unwrap()).unwrap();
    let file = file.to_str().unwrap();
    let of = |words: &[&str]| {
        let end = run(call("evaluate", "bert-pretraining", &[file, "--json", "-"]).args(words));
        says(&end, 0, &[]);
        jsonl(&end).remove(0)
    };
    let answer = of(&["--seed", "7"]);
    let expected = &about["answers"]["bert-pretraining 7"];
    for task in ["masked_language", "next_sentence"] {
        assert_eq!(answer[task]["predictions"], expected[task]["count"]);
        assert_eq!(answer[task]["right"], expected[task]["right"]);
        let [loss, wanted] =
            [&answer[task]["loss"], &expected[task]["loss"]].map(|loss| loss.as_f64().unwrap());
        assert!((loss - wanted).abs() <= 2e-4, "{task}: {loss} {wanted}");
        assert!((answer[task]["perplexity"].as_f64().unwrap() - loss.exp()).abs() < 1e-6 * loss.exp());
    }
    assert_eq!(
        (&answer["seed"], &answer["documents"], &answer["sentences"]),
        (&7.into(), &3.into(), &9.into())
    );
    assert_eq!(of(&["--seed", "7"]), answer);
    assert_ne!(of(&[])["masked_language"], answer["masked_language"]);
    let report = run(&mut call("evaluate", "bert-pretraining", &[file]));
    says(
        &report,
        0,
        &["hidden words", "next sentence", "perplexity", "seed 0", "3 documents, 9 sentences", "6 pairs"],
    );
    let single = run(&mut call("evaluate", "distilbert-mlm", &[file]));
    says(&single, 0, &["no next-sentence head: the inputs are single sentences", "hidden words"]);

    for (content, words) in [
        (&b""[..], &["no sentences"][..]),
        (b"\n\n", &["no sentences"]),
        (b"one\n\ntwo\n", &["two sentences in one document"]),
        (b"good\nbad \xff\n", &["line 2 is not valid UTF-8"]),
    ] {
        let end = with_input(&mut call("evaluate", "bert-pretraining", &["-"]), content);
        says(&end, 1, words);
    }
    fails(&mut call("evaluate", "bert-pretraining", &["absent.txt"]), 1, &["absent.txt"]);
    fails(&mut call("evaluate", "bert-pretraining", &[]), 2, &["<FILE>"]);
    fails(&mut call("evaluate", "roberta-token", &[file]), 1, &["no masked-language-model head"]);
}

#[test]
fn answers_go_into_a_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let path = path.to_str().unwrap();
    let end = run(&mut call("fill-mask", "bert-pretraining", &["the [MASK]", "--json", path]));
    says(&end, 0, &["0."]);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(serde_json::from_str::<Value>(text.trim()).unwrap()["text"], "the [MASK]");
    let nowhere = folder.path().join("none/answers.jsonl");
    fails(
        &mut call("fill-mask", "bert-pretraining", &["x", "--json", nowhere.to_str().unwrap()]),
        1,
        &["no folder"],
    );
    for command in ["fill-mask", "next-sentence", "classify", "rerank", "evaluate"] {
        let help = run(attentive().args([command, "--help"]));
        says(&help, 0, &["Examples:", "--model", "--device", "--json", "ATTENTIVE_MODEL"]);
    }
}

#[test]
fn answers_that_are_not_finite_are_told_with_their_lines() {
    // `cat` is token 76 of each of them.
    let broken = |model: &str| altered::with_a_word_too_large(&fixture(model), 16, 76);
    let of = |command: &str, folder: &tempfile::TempDir, words: &[&str], input: &str| {
        let mut call = attentive();
        call.arg(command).arg("-m").arg(folder.path()).args(["--device", "cpu"]).args(words);
        with_input(&mut call, input.as_bytes())
    };
    let written = ["--input", "-", "--json", "-"];
    let told = |end: &Ended, told: &str| {
        says(end, 1, &[&format!("not finite (NaN or infinity; null in JSON): {told}")]);
    };
    let model = broken("bert-pretraining");
    let end = of("fill-mask", &model, &written, "the [MASK]\nno mask\ncat [MASK]\n");
    told(&end, "line 3");
    says(&end, 1, &["1 of 2 results is", "1 of 3 rows not answered"]);
    assert!(jsonl(&end)[2]["masks"][0]["predictions"][0]["probability"].is_null());
    let end = of("next-sentence", &model, &written, "the\tmat\nthe\tcat\n");
    told(&end, "line 2");
    assert!(jsonl(&end)[1]["probability"].is_null() && !jsonl(&end)[0]["probability"].is_null());
    let end = of("classify", &broken("bert-sequence"), &written, "the cat\nhello\ncat\n");
    told(&end, "lines 1 and 3");
    assert!(jsonl(&end)[0]["score"].is_null() && !jsonl(&end)[1]["score"].is_null());
    told(&of("classify", &broken("bert-token"), &written, "hello\nthe cat\n"), "line 2");
    let end = of(
        "rerank",
        // There `cat` is token 184.
        &altered::with_a_word_too_large(&reranker(), 32, 184),
        &["hello", "--input", "-", "--top", "1", "--json", "-"],
        "hello\nthe cat\ntwo\n",
    );
    // Told though it is not among the best.
    told(&end, "line 2");
    assert!(jsonl(&end).len() == 1 && jsonl(&end)[0]["logit"].is_number());
    let end = of("evaluate", &model, &["-", "--json", "-"], "the cat sat\nthe mat\nhello\nthe the\n");
    says(&end, 1, &["the loss is not finite"]);
    assert!(
        jsonl(&end)[0]["masked_language"]["loss"].is_null()
            || jsonl(&end)[0]["next_sentence"]["loss"].is_null()
    );
    let end = of("evaluate", &model, &["-"], "the mat\nthe mat\nhello\nthe the\n");
    says(&end, 0, &[]);
}

fn reranker() -> PathBuf {
    repository().join("tests/fixtures/reranker")
}

/// The fixture's pairs, and the logits that sentence-transformers has for them.
fn reranked() -> (Vec<(String, String)>, Vec<f64>) {
    let pairs = std::fs::read_to_string(reranker().join("pairs.tsv")).unwrap();
    let pairs = pairs.lines().map(|line| line.split_once('\t').unwrap());
    let logits = std::fs::read(reranker().join("logits.json")).unwrap();
    (pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(), serde_json::from_slice(&logits).unwrap())
}

/// A command with the reranker, or another folder, on the CPU.
fn ask(command: &str, folder: &Path, words: &[&str]) -> Command {
    let mut call = attentive();
    call.arg(command).arg("-m").arg(folder).args(["--device", "cpu"]).args(words);
    call
}

#[test]
fn a_classifier_s_scores_go_through_what_its_folder_names() {
    let (_, expected) = reranked();
    let pairs = reranker().join("pairs.tsv");
    let pairs = ["--pairs", "--json", "-", "--input", pairs.to_str().unwrap()];
    let of = |folder: &Path, words: &[&str]| {
        let end = run(&mut ask("classify", folder, &[&pairs, words].concat()));
        says(&end, 0, &[]);
        let value = |row: &Value, key: &str| row[key]["LABEL_0"].as_f64().unwrap();
        let rows = jsonl(&end);
        rows.iter().map(|row| (row["score"].as_f64().unwrap(), value(row, "logits"))).collect::<Vec<_>>()
    };
    // config.json names Identity.
    for ((score, logit), expected) in of(&reranker(), &[]).into_iter().zip(&expected) {
        assert!((score - expected).abs() < 1e-4 && score == logit, "{score} {logit} {expected}");
    }
    for ((score, logit), expected) in of(&reranker(), &["--activation", "sigmoid"]).into_iter().zip(&expected)
    {
        assert!(score == 1.0 && (logit - expected).abs() < 1e-4, "{score} {logit} {expected}");
    }
    // What sentence-transformers 6 writes beside it wins over config.json.
    let copied = altered::copy(&reranker());
    let settings = copied.path().join("config_sentence_transformers.json");
    let named = |name: &str| {
        let json = serde_json::json!({ "model_type": "CrossEncoder", "activation_fn": name });
        std::fs::write(&settings, json.to_string()).unwrap();
    };
    named("torch.nn.modules.activation.Tanh");
    assert!(of(copied.path(), &[]).iter().all(|(score, logit)| *score == 1.0 && *logit > 18.0));
    // Another's activation is told, and config.json's taken, as sentence-transformers does without trust_remote_code.
    named("my.module.Squash");
    assert!(of(copied.path(), &[]).iter().all(|(score, logit)| score == logit));
    says(
        &run(&mut ask("classify", copied.path(), &["x"])),
        0,
        &["names `my.module.Squash`, which is not PyTorch's"],
    );
    named("torch.nn.modules.activation.Hardtanh");
    fails(
        &mut ask("classify", copied.path(), &["x"]),
        1,
        &["activation_fn `torch.nn.modules.activation.Hardtanh`", "Sigmoid"],
    );
    // An embedder's settings are none of a classifier's.
    std::fs::write(&settings, r#"{ "model_type": "SentenceTransformer", "activation_fn": "torch.nn.Tanh" }"#)
        .unwrap();
    assert!(of(copied.path(), &[]).iter().all(|(score, logit)| score == logit));
}

#[test]
fn rerank_orders_documents_by_their_logits() {
    let documents =
        ["the cat sat", "Somebody eats bread", "Berlin", "The capital of France is Paris .", "three"];
    // What the same pairs have one by one.
    let pairs: Vec<String> = documents.iter().map(|document| format!("hello world\t{document}")).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    let end = run(&mut ask("classify", &reranker(), &[&["--pairs", "--json", "-"], &pairs[..]].concat()));
    let logits: Vec<f64> = jsonl(&end).iter().map(|row| row["logits"]["LABEL_0"].as_f64().unwrap()).collect();
    let (_, known) = reranked();
    assert!((logits[0] - known[0]).abs() < 1e-4, "{logits:?}");
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));

    let call = [&["--json", "-", "hello world"], &documents[..]].concat();
    for (activation, saturated) in [("identity", false), ("sigmoid", true)] {
        let end = run(&mut ask("rerank", &reranker(), &[&["--activation", activation], &call[..]].concat()));
        says(&end, 0, &[]);
        let rows = jsonl(&end);
        let found: Vec<usize> = rows.iter().map(|row| row["index"].as_u64().unwrap() as usize).collect();
        assert_eq!(found, order, "{activation}");
        for (number, row) in (1..).zip(&rows) {
            let index = row["index"].as_u64().unwrap() as usize;
            assert_eq!((&row["rank"], row["text"].as_str()), (&Value::from(number), Some(documents[index])));
            assert!((row["logit"].as_f64().unwrap() - logits[index]).abs() < 1e-5);
            assert_eq!(row["score"], if saturated { 1.0.into() } else { row["logit"].clone() });
        }
    }
    let best = documents[order[0]];
    let end =
        run(&mut ask("rerank", &reranker(), &[&["hello world", "--top-k", "1"], &documents[..]].concat()));
    says(&end, 0, &["1.", "logit", best, "5 documents"]);
    assert!(!end.stdout.contains(documents[order[1]]), "{}", end.stdout);

    // A file's lines, of which one cannot be read.
    let mut bytes = documents[0].as_bytes().to_vec();
    bytes.extend_from_slice(b"\nbad \xff\n");
    bytes.extend_from_slice(documents[1..].join("\n").as_bytes());
    let end =
        with_input(&mut ask("rerank", &reranker(), &["hello world", "--input", "-", "--json", "-"]), &bytes);
    says(&end, 1, &["line 2: not valid UTF-8", "1 of 6 rows not answered"]);
    let rows = jsonl(&end);
    assert_eq!((rows.len(), &rows[5]["index"]), (6, &1.into()));
    assert!(rows[5]["error"].as_str().unwrap().starts_with("line 2: "));
    assert!(rows[..5].is_sorted_by(|a, b| a["logit"].as_f64() >= b["logit"].as_f64()));
}

#[test]
fn rerank_says_what_it_cannot_do() {
    let long = "cat ".repeat(100);
    let end = run(&mut ask("rerank", &reranker(), &["hello", &long, "world", "--json", "-"]));
    says(&end, 0, &["1 document cut to 64 tokens with the query"]);
    let cut = jsonl(&end).into_iter().find(|row| row["index"] == 0).unwrap();
    assert_eq!(cut["truncated"]["kept"], 64);
    fails(&mut ask("rerank", &reranker(), &["hello"]), 2, &["nothing to rank", "--input"]);
    fails(&mut ask("rerank", &reranker(), &[]), 2, &["<QUERY>"]);
    fails(&mut ask("rerank", &reranker(), &["a", "b", "--top", "0"]), 2, &["--top"]);
    fails(
        &mut ask("rerank", &reranker(), &["a", "b", "--activation", "softmax"]),
        2,
        &["softmax", "identity"],
    );
    fails(
        &mut call("rerank", "bert-sequence", &["a", "b"]),
        1,
        &["rerank: the classification head must be of 1 label, but is of 3"],
    );
    fails(&mut call("rerank", "bert-pretraining", &["a", "b"]), 1, &["no sequence classification head"]);
    let home = tempfile::tempdir().unwrap();
    let mut without = attentive();
    without.args(["rerank", "q", "d"]).env("HF_HOME", home.path()).env_remove("HF_HUB_CACHE");
    fails(&mut without, 1, &["cross-encoder/ms-marco-MiniLM-L6-v2"]);
    // No documents at all, and some that are equal.
    let end = with_input(&mut ask("rerank", &reranker(), &["hello", "--input", "-", "--json", "-"]), b"");
    assert_eq!((end.code, end.stdout.as_str()), (Some(0), ""), "{}", end.stderr);
    let end = run(&mut ask("rerank", &reranker(), &["hello", "same", "same", "same", "--json", "-"]));
    let order: Vec<Value> = jsonl(&end).iter().map(|row| row["index"].clone()).collect();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn a_reranker_s_prompt_goes_before_the_query() {
    let copied = altered::copy(&reranker());
    let settings = serde_json::json!({
        "model_type": "CrossEncoder", "prompts": { "web": "the cat " }, "default_prompt_name": "web",
    });
    std::fs::write(copied.path().join("config_sentence_transformers.json"), settings.to_string()).unwrap();
    let logit = |folder: &Path, words: &[&str]| {
        let end = run(&mut ask("rerank", folder, &[words, &["--json", "-"]].concat()));
        says(&end, 0, &[]);
        jsonl(&end)[0]["logit"].clone()
    };
    let (plain, prompted) =
        (logit(&reranker(), &["sat", "the mat"]), logit(&reranker(), &["the cat sat", "the mat"]));
    assert_ne!(plain, prompted);
    let about = std::fs::read(reranker().with_file_name("prompts.json")).unwrap();
    let about: Value = serde_json::from_slice(&about).unwrap();
    for (document, expected) in
        about["documents"].as_array().unwrap().iter().zip(about["logits"].as_array().unwrap())
    {
        let found = logit(copied.path(), &[about["query"].as_str().unwrap(), document.as_str().unwrap()]);
        assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 1e-4, "{found} {expected}");
    }
    assert_eq!(logit(copied.path(), &["sat", "the mat"]), prompted);
    assert_eq!(logit(copied.path(), &["sat", "the mat", "--prompt", ""]), plain);
    assert_eq!(logit(copied.path(), &["sat", "the mat", "--prompt-name", "web"]), prompted);
    assert_eq!(logit(&reranker(), &["sat", "the mat", "--prompt", "the cat "]), prompted);
    let pair = ["--pairs", "sat\tthe mat", "--json", "-"];
    let classified = jsonl(&run(&mut ask("classify", copied.path(), &pair)));
    assert_eq!(classified[0]["logits"]["LABEL_0"], prompted);
    let unknown = ["sat", "the mat", "--prompt-name", "query"];
    fails(&mut ask("rerank", copied.path(), &unknown), 2, &["no prompt `query`; there are web"]);
    fails(&mut ask("rerank", &reranker(), &unknown), 2, &["no prompt `query`; it has none"]);
    fails(
        &mut ask("rerank", &reranker(), &["a", "b", "--prompt", "x", "--prompt-name", "y"]),
        2,
        &["cannot be used with"],
    );
}
