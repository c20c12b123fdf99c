//! The embedder against transformers and sentence-transformers: tiny models of each family, and all-MiniLM-L6-v2.

use crate::altered;
use crate::common;
use std::path::{Path, PathBuf};

use attentive::weights::Checkpoint;
use attentive::{DType, Device, Embedder, EmbedderOptions};

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures").join(name)
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn texts_of(value: &serde_json::Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn tiny_models_agree_with_pytorch() {
    for device in common::devices() {
        for name in [
            "tiny-bert",
            "tiny-bert-f16",
            "tiny-bert-bf16",
            "tiny-bert-plain",
            "tiny-roberta",
            "tiny-distilbert",
            "tiny-electra",
        ] {
            check_tiny(&device, name);
        }
    }
}

fn check_tiny(device: &Device, name: &str) {
    let folder = fixture("models").join(name);
    let about = json(&folder.join("texts.json"));
    let texts = texts_of(&about["texts"]);
    let embedder = Embedder::from_dir(device, &folder).unwrap();
    let got = embedder.encode(&texts).run().unwrap();
    let expected = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
    let shape = got.shape();
    let expected = expected.tensor_f32("sentence_embedding", &shape).unwrap();
    let tolerance = &about["tolerance"]["sentence_embedding"];
    let (rtol, atol) = (tolerance["rtol"].as_f64().unwrap(), tolerance["atol"].as_f64().unwrap());
    let comparison = attentive::verify::compare::compare_allclose(got.values(), &expected, rtol, atol);
    println!("{name} on {}: {comparison}", device.name());
    assert!(comparison.passed, "{name} on {}: {comparison}", device.name());
    let truncated: Vec<bool> =
        (0..texts.len()).map(|text| got.truncations.iter().any(|cut| cut.index == text)).collect();
    let expected: Vec<bool> =
        about["truncated"].as_array().unwrap().iter().map(|value| value.as_bool().unwrap()).collect();
    assert_eq!(truncated, expected, "{name}");
}

#[test]
fn minilm_agrees_with_sentence_transformers() {
    let Some(folder) = std::env::var_os("ATTENTIVE_TEST_MODEL") else {
        eprintln!(
            "ATTENTIVE_TEST_MODEL is not set: all-MiniLM-L6-v2 is not tested (cargo xtask test fetches it)"
        );
        return;
    };
    let about = json(&fixture("minilm.json"));
    let entries = about["texts"].as_array().unwrap();
    let texts: Vec<&str> = entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    let expected = Checkpoint::open(fixture("minilm.safetensors")).unwrap();
    let expected = expected.tensor_f32("sentence_embedding", &[texts.len(), 384]).unwrap();
    for device in common::devices() {
        let embedder = Embedder::from_dir(&device, &folder).unwrap();
        let got = embedder.encode(&texts).run().unwrap();
        let comparison = attentive::verify::compare::compare_allclose(got.values(), &expected, 0.0, 2e-5);
        println!("all-MiniLM-L6-v2 on {}: {comparison}", device.name());
        assert!(comparison.passed, "{}: {comparison}", device.name());
        for (index, entry) in entries.iter().enumerate() {
            let cut = got.truncations.iter().find(|cut| cut.index == index);
            assert_eq!(cut.is_some(), entry["truncated"].as_bool().unwrap(), "text {index}");
        }
        let mut options = EmbedderOptions::default();
        options.dtype = DType::F16;
        let half = Embedder::from_dir_with(&device, &folder, &options).unwrap();
        let half = half.encode(&texts).run().unwrap();
        for (index, (half, whole)) in half.rows().zip(expected.chunks_exact(384)).enumerate() {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(half, whole) / (dot(half, half) * dot(whole, whole)).sqrt();
            assert!(cosine >= 0.9999, "{}: text {index} in f16: cosine {cosine}", device.name());
        }
    }
}

#[test]
fn a_prompt_is_left_out_of_the_pooling_where_the_folder_says_so() {
    let about = json(&fixture("prompts.json"));
    let texts = texts_of(&about["texts"]);
    let folder = altered::copy(&fixture("models/tiny-bert"));
    let settings = serde_json::json!({ "prompts": { "query": about["prompt"] } });
    std::fs::write(folder.path().join("config_sentence_transformers.json"), settings.to_string()).unwrap();
    for device in common::devices() {
        for mode in ["cls", "max", "mean"] {
            let pooling = serde_json::json!({ "pooling_mode": mode, "include_prompt": false });
            std::fs::write(folder.path().join("1_Pooling/config.json"), pooling.to_string()).unwrap();
            let embedder = Embedder::from_dir(&device, folder.path()).unwrap();
            let expected = about["embeddings"][mode].as_array().unwrap().iter();
            let expected: Vec<f64> = expected
                .flat_map(|row| row.as_array().unwrap())
                .map(|value| value.as_f64().unwrap())
                .collect();
            let got = embedder.encode(&texts).prompt_name("query").run().unwrap();
            for (got, expected) in got.values().iter().zip(&expected) {
                assert!(
                    (f64::from(*got) - expected).abs() < 2e-6,
                    "{mode} on {}: {got} {expected}",
                    device.name()
                );
            }
            assert_eq!(got.values().len(), expected.len());
            let by_text = embedder.encode(&texts).prompt(about["prompt"].as_str().unwrap()).run().unwrap();
            assert_eq!(by_text.values(), got.values());
            // Without a prompt nothing is left out.
            let pooling = serde_json::json!({ "pooling_mode": mode });
            std::fs::write(folder.path().join("1_Pooling/config.json"), pooling.to_string()).unwrap();
            let whole = Embedder::from_dir(&device, folder.path()).unwrap();
            let [plain, whole_plain] =
                [&embedder, &whole].map(|embedder| embedder.encode(&texts).run().unwrap());
            assert_eq!(plain.values(), whole_plain.values());
            assert_eq!((embedder.prompts().len(), embedder.default_prompt_name()), (1, None));
        }
        let embedder = Embedder::from_dir(&device, folder.path()).unwrap();
        let error = embedder.encode(&texts).prompt_name("absent").run().unwrap_err().to_string();
        assert!(error.contains("must be one of the model's (query), but is `absent`"), "{error}");
    }
}
