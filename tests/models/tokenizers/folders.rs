//! Folders with settings beside `tokenizer.json`: the ids are those of transformers (`make_tokenizers.py`).

use std::path::PathBuf;

use attentive::Error;
use attentive::weights::{Tokenizer, TruncationSide};
use serde_json::{Value, json};

use super::{ids, json, texts};

fn fixtures() -> PathBuf {
    crate::common::repository().join("tests/fixtures/tokenizers")
}

/// A folder with one of the fixtures' tokenizers and these files.
fn folder(base: &str, files: &[(&str, &Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixtures().join(format!("{base}.json")), folder.path().join("tokenizer.json")).unwrap();
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

fn lists(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(ids).collect()
}

#[test]
fn the_ids_are_those_of_transformers() {
    let about = json(&fixtures().join("cases.json"));
    let texts = texts(&about["texts"]);
    let pairs: Vec<[&str; 2]> = about["pairs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| super::texts(pair).try_into().unwrap())
        .collect();
    let cases = about["cases"].as_array().unwrap();
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for case in cases {
        let mut config = json!({"model_type": case["model_type"]});
        let mut files = Vec::new();
        for (name, value) in case["others"].as_object().unwrap() {
            match name.as_str() {
                "config.json" => config.as_object_mut().unwrap().extend(value.as_object().unwrap().clone()),
                other => files.push((other, value)),
            }
        }
        files.push(("config.json", &config));
        if !case["config"].is_null() {
            files.push(("tokenizer_config.json", &case["config"]));
        }
        let folder = folder(case["base"].as_str().unwrap(), &files);
        let tokenizer = Tokenizer::open_folder(folder.path()).unwrap();
        let answer = &about["answers"][case["answer"].as_u64().unwrap() as usize];
        let encode = |text: &&str, limit: usize| tokenizer.encode(text, limit).unwrap().ids;
        let found: Vec<_> = texts.iter().map(|text| encode(text, 1000)).collect();
        let short: Vec<_> = texts[..3].iter().map(|text| encode(text, 6)).collect();
        let of_pairs: Vec<_> =
            pairs.iter().map(|[a, b]| tokenizer.encode_pair(a, b, 1000).unwrap()).collect();
        let types: Vec<_> = of_pairs.iter().map(|pair| pair.type_ids.clone()).collect();
        let expected_types = match answer["types"].is_null() {
            true => of_pairs.iter().map(|pair| vec![0; pair.ids.len()]).collect(),
            false => lists(&answer["types"]),
        };
        let of_pairs: Vec<_> = of_pairs.into_iter().map(|pair| pair.ids).collect();
        let same = [
            ("ids", found == lists(&answer["ids"])),
            ("short", short == lists(&answer["short"])),
            ("pairs", of_pairs == lists(&answer["pairs"])),
            ("types", types == expected_types && tokenizer.passes_types() != answer["types"].is_null()),
        ];
        let differ: Vec<_> = same.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
        if !differ.is_empty() {
            wrong.push(format!(
                "{} {} {} {}: {differ:?}",
                case["base"], case["model_type"], case["config"], case["others"]
            ));
            if differ.contains(&"ids") {
                let expected = lists(&answer["ids"]);
                let at = (0..found.len()).find(|&at| found[at] != expected[at]).unwrap();
                wrong.push(format!("    {:?}: {:?}, not {:?}", texts[at], found[at], expected[at]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_not_as_the_files_say_is_told() {
    let notices = |base: &str, settings: Value| {
        let folder = folder(base, &[("tokenizer_config.json", &settings)]);
        Tokenizer::open_folder(folder.path()).unwrap().notices().join("\n")
    };
    let bert = |key: &str, value: Value| {
        let mut settings = json!({"tokenizer_class": "BertTokenizer"});
        settings[key] = value;
        settings
    };
    assert_eq!(notices("uncased", bert("do_lower_case", json!(true))), "");
    let normalizer = notices("cased", bert("do_lower_case", json!(true)));
    assert!(
        normalizer.contains("`BertTokenizer` makes its own normalizer, as in transformers 5"),
        "{normalizer}"
    );
    let around = notices("uncased", bert("cls_token", json!("[MASK]")));
    assert!(around.contains("its own special tokens around texts"), "{around}");
    assert!(notices("uncased", bert("padding_side", json!("left"))).contains("`padding_side` is `left`"));
    let names = bert("model_input_names", json!(["input_ids"]));
    assert!(notices("uncased", names).contains("`model_input_names` has no `attention_mask`"));
    let moved = json!({"400": {"content": "<entity>"}});
    let moved = notices("uncased", bert("added_tokens_decoder", moved));
    assert!(moved.contains("`<entity>` has the id") && moved.contains("and not 400"), "{moved}");
    let code = bert("auto_map", json!({"AutoTokenizer": ["own.Slow", null]}));
    assert!(notices("uncased", code).contains("`auto_map`) is not run; `BertTokenizer` is followed"));
    assert!(
        notices("bytes", bert("do_lower_case", json!(true)))
            .contains("one of WordPiece models, but tokenizer.json has a BPE model")
    );
    assert!(
        notices("uncased", json!({"tokenizer_class": "AlbertTokenizer"}))
            .contains("`AlbertTokenizer` has rules of its own")
    );
    let side = folder("uncased", &[("tokenizer_config.json", &bert("truncation_side", json!("left")))]);
    assert_eq!(Tokenizer::open_folder(side.path()).unwrap().truncation_side(), TruncationSide::Left);
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let refused = |settings: Value| {
        let folder = folder("uncased", &[("tokenizer_config.json", &settings)]);
        Tokenizer::open_folder(folder.path()).unwrap_err()
    };
    let python = refused(json!({"tokenizer_class": "BertJapaneseTokenizer"}));
    assert!(matches!(python, Error::Unsupported { .. }), "{python}");
    assert!(python.to_string().contains("BertJapaneseTokenizer"), "{python}");
    for (key, value) in [
        ("do_lower_case", json!("yes")),
        ("strip_accents", json!(1)),
        ("model_input_names", json!("input_ids")),
        ("model_input_names", json!([1])),
        ("added_tokens_decoder", json!([])),
        ("added_tokens_decoder", json!({"x": {"content": "y"}})),
        ("added_tokens_decoder", json!({"5": "y"})),
        ("added_tokens_decoder", json!({"5": {"content": "y", "lstrip": 1}})),
        ("additional_special_tokens", json!("<e>")),
        ("extra_special_tokens", json!([3])),
        ("cls_token", json!(3)),
        ("truncation_side", json!("up")),
        ("tokenizer_class", json!([])),
    ] {
        let mut settings = json!({"tokenizer_class": "BertTokenizer"});
        settings[key] = value.clone();
        let problem = refused(settings).to_string();
        assert!(
            problem.contains("tokenizer_config.json") && problem.contains(key),
            "{key} {value}: {problem}"
        );
    }
}
