//! BERT's heads from folders that are damaged or lie. The sound folders are the fixtures, changed.

use std::path::PathBuf;

use attentive::models::HeadKind;
use attentive::weights::{Checkpoint, EncoderFolder, HeadConfig, Problem};
use attentive::{BertModel, BertModelOptions, Device, Error};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::checkpoint::safetensors;
use super::{with, write};

fn fixture(name: &str) -> PathBuf {
    crate::common::repository().join("tests/fixtures/heads").join(name)
}

/// A tensor of the changed checkpoint: its shape, filled with a number.
type Put<'a> = (&'a str, &'a [usize], f32);

/// A fixture's folder without some tensors, and with others in their place.
fn folder(name: &str, without: &[&str], put: &[Put<'_>]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    let checkpoint = Checkpoint::open(fixture(name)).unwrap();
    let changed =
        |name: &str| without.iter().any(|part| name.contains(part)) || put.iter().any(|put| put.0 == name);
    let kept = checkpoint.names().filter(|name| !changed(name)).map(|name| {
        let shape = checkpoint.shape(name).unwrap().to_vec();
        (name.to_owned(), shape.clone(), checkpoint.tensor_f32(name, &shape).unwrap())
    });
    let put = put.iter().map(|(name, shape, value)| {
        ((*name).to_owned(), shape.to_vec(), vec![*value; shape.iter().product()])
    });
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in kept.chain(put) {
        let begin = data.len();
        values.iter().for_each(|value| data.extend(value.to_le_bytes()));
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] }));
    }
    write(folder.path(), "model.safetensors", &safetensors(&Value::Object(header).to_string(), &data));
    folder
}

fn change(folder: &TempDir, file: &str, key: &str, value: Value) {
    let path = folder.path().join(file);
    let object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(path, with(object, key, value).to_string()).unwrap();
}

fn load(folder: &TempDir, kind: HeadKind) -> attentive::Result<BertModel> {
    let mut options = BertModelOptions::default();
    options.heads = Some(vec![kind]);
    BertModel::from_dir_with(&Device::cpu(), folder.path(), &options)
}

#[track_caller]
fn says<T>(result: attentive::Result<T>, words: &[&str]) -> Error {
    let error = result.map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    error
}

#[test]
fn a_missing_head_is_named_with_its_tensor_and_with_what_there_is() {
    use HeadKind::*;
    let bare = folder("bert-pretraining", &["cls.", "pooler"], &[]);
    for (kind, tensor) in [
        (MaskedLanguage, "cls.predictions.transform.dense.weight"),
        (NextSentence, "cls.seq_relationship.weight"),
        (Sequence, "classifier.weight"),
        (Token, "classifier.weight"),
        (Pooler, "bert.pooler.dense.weight"),
    ] {
        let error = says(load(&bare, kind), &[kind.name(), tensor, "only the encoder"]);
        assert!(matches!(error, Error::MissingHead { .. }), "{error:?}");
    }
    // All that there are: none.
    let model = BertModel::from_dir(&Device::cpu(), bare.path()).unwrap();
    assert!(model.heads().is_empty());
    says(model.fill_mask(&["[MASK]"]).run(), &["masked-language-model head", "only the encoder"]);
    says(model.next_sentence(&[("a", "b")]).run(), &["next-sentence head"]);
    says(model.classify(&["a"]).run(), &["sequence classification head"]);
    says(model.classify_tokens(&["a"]).run(), &["token classification head"]);

    let mlm = folder("bert-mlm-untied", &[], &[]);
    says(load(&mlm, NextSentence), &["and the masked-language-model head"]);
    let roberta = folder("roberta-mlm", &[], &[]);
    says(load(&roberta, NextSentence), &["Roberta is trained without that task"]);
    let distil = folder("distilbert-mlm", &[], &[]);
    says(load(&distil, Pooler), &["pooler"]);
    // There, but not asked for.
    let model = load(&folder("bert-pretraining", &[], &[]), MaskedLanguage).unwrap();
    says(model.next_sentence(&[("a", "b")]).run(), &["the next-sentence head", "asked for"]);
}

#[test]
fn half_a_head_is_an_error_that_names_the_tensor() {
    use HeadKind::*;
    for (name, kind, tensor) in [
        ("bert-pretraining", MaskedLanguage, "cls.predictions.transform.dense.bias"),
        ("bert-pretraining", MaskedLanguage, "cls.predictions.transform.LayerNorm.beta"),
        ("bert-pretraining", MaskedLanguage, "cls.predictions.bias"),
        ("bert-pretraining", NextSentence, "cls.seq_relationship.bias"),
        ("bert-pretraining", NextSentence, "bert.pooler.dense.weight"),
        ("bert-mlm-untied", MaskedLanguage, "cls.predictions.decoder.weight"),
        ("bert-sequence", Sequence, "bert.pooler.dense.bias"),
        ("roberta-mlm", MaskedLanguage, "lm_head.layer_norm.weight"),
        ("roberta-mlm", MaskedLanguage, "lm_head.bias"),
        ("roberta-sequence", Sequence, "classifier.out_proj.weight"),
        ("distilbert-mlm", MaskedLanguage, "vocab_layer_norm.bias"),
        ("distilbert-mlm", MaskedLanguage, "vocab_projector.bias"),
        ("distilbert-sequence", Sequence, "classifier.bias"),
    ] {
        let error = says(load(&folder(name, &[tensor], &[]), kind), &[tensor]);
        assert!(matches!(error, Error::MissingTensor { .. }), "{name} {tensor}: {error:?}");
    }
}

#[test]
fn wrong_shapes_are_told() {
    use HeadKind::*;
    for (name, kind, tensor, shape) in [
        ("bert-pretraining", NextSentence, "cls.seq_relationship.weight", &[3, 16][..]),
        ("bert-pretraining", MaskedLanguage, "cls.predictions.bias", &[101]),
        ("bert-pretraining", MaskedLanguage, "cls.predictions.transform.dense.weight", &[16, 17]),
        ("bert-pretraining", NextSentence, "bert.pooler.dense.weight", &[16]),
        ("bert-mlm-untied", MaskedLanguage, "cls.predictions.decoder.weight", &[102, 16]),
        ("bert-token", Token, "classifier.weight", &[2, 16]),
        ("roberta-sequence", Sequence, "classifier.out_proj.bias", &[4]),
        ("distilbert-sequence", Sequence, "pre_classifier.weight", &[8, 16]),
    ] {
        let error = says(load(&folder(name, &[], &[(tensor, shape, 0.0)]), kind), &[tensor]);
        match error {
            Error::TensorShape { found, .. } => assert_eq!(found, shape),
            other => panic!("{name} {tensor}: {other:?}"),
        }
    }
    // What the config says of the vocabulary must fit the table.
    let larger = folder("bert-pretraining", &[], &[]);
    change(&larger, "config.json", "vocab_size", json!(200));
    says(load(&larger, MaskedLanguage), &["word_embeddings", "[200, 16]", "[102, 16]"]);
    let smaller = folder("bert-pretraining", &[], &[]);
    change(&smaller, "config.json", "vocab_size", json!(90));
    let error = says(load(&smaller, MaskedLanguage), &["tokenizer.json", "(90)", "101"]);
    assert!(matches!(error, Error::File { .. }));
}

#[test]
fn numbers_that_are_none_make_no_panic() {
    // In the weights they are refused.
    for (name, tensor, shape, value) in [
        ("bert-pretraining", "cls.predictions.bias", &[102], f32::NAN),
        ("bert-sequence", "classifier.bias", &[3], f32::INFINITY),
    ] {
        let changed = folder(name, &[], &[(tensor, shape, value)]);
        let found = BertModel::from_dir(&Device::cpu(), changed.path());
        assert!(matches!(&found, Err(Error::Weight { name, .. }) if name == tensor), "{:?}", found.err());
    }
    // Made of weights that are finite, they are the answers.
    let large = ("cls.predictions.transform.LayerNorm.gamma", &[16][..], f32::MAX);
    let folder_of_words = folder("bert-pretraining", &[], &[large]);
    let model = BertModel::from_dir(&Device::cpu(), folder_of_words.path()).unwrap();
    let filled = model.fill_mask(&["the [MASK]"]).run().unwrap();
    assert!(filled.texts[0].masks[0].predictions.iter().all(|word| word.probability.is_nan()));
    assert_eq!(filled.not_finite(), [0]);
    let corpus = attentive::models::pretraining::Corpus::parse("the cat\nsat on it");
    let found = model.evaluate(&corpus).run().unwrap();
    let words = found.masked_language.unwrap();
    assert!(words.loss.is_nan() && words.right == 0);
    assert!(found.next_sentence.unwrap().loss.is_finite());
    let large = ("classifier.weight", &[3, 16][..], f32::MAX);
    let folder_of_labels = folder("bert-sequence", &[], &[large]);
    let model = BertModel::from_dir(&Device::cpu(), folder_of_labels.path()).unwrap();
    let found = model.classify(&["the cat"]).run().unwrap();
    assert!(found.answers[0].scores.iter().all(|value| value.is_nan()));
    assert_eq!(found.not_finite(), [0]);
}

fn head_config(changes: &[(&str, Value)]) -> attentive::Result<HeadConfig> {
    let object = changes.iter().fold(json!({}), |object, (key, value)| with(object, key, value.clone()));
    HeadConfig::from_json(object.to_string().as_bytes(), "config.json")
}

#[test]
fn labels_are_numbered_without_gaps() {
    let plain = head_config(&[]).unwrap();
    assert_eq!(
        (plain.labels.as_slice(), plain.problem, plain.tied),
        (&["LABEL_0".to_owned(), "LABEL_1".to_owned()][..], Problem::SingleLabel, true)
    );
    let found = head_config(&[
        ("id2label", json!({"1": "b", "0": "a", "2": ""})),
        ("problem_type", json!("multi_label_classification")),
        ("tie_word_embeddings", json!(false)),
        ("architectures", json!(["BertForSequenceClassification"])),
    ])
    .unwrap();
    assert_eq!(found.labels, ["a", "b", ""]);
    assert_eq!((found.problem, found.tied), (Problem::MultiLabel, false));
    assert_eq!(found.architecture.as_deref(), Some("BertForSequenceClassification"));
    assert_eq!(head_config(&[("num_labels", json!(1))]).unwrap().problem, Problem::MultiLabel);
    for nonsense in [
        json!({}),
        json!([]),
        json!("a"),
        json!({"0": "a", "2": "b"}),
        json!({"1": "a"}),
        json!({"0": "a", "00": "b"}),
        json!({"-1": "a"}),
        json!({"zero": "a"}),
        json!({"0": 1}),
        json!({"0": null}),
        json!({"18446744073709551616": "a"}),
    ] {
        let error = says(head_config(&[("id2label", nonsense.clone())]), &["id2label"]);
        assert!(matches!(error, Error::File { .. }), "{nonsense}: {error:?}");
    }
    says(
        head_config(&[("id2label", json!({"0": "a"})), ("num_labels", json!(3))]),
        &["num_labels", "3", "1 label"],
    );
    says(head_config(&[("num_labels", json!(0))]), &["num_labels"]);
    says(head_config(&[("num_labels", json!(1_u64 << 40))]), &["num_labels"]);
    says(head_config(&[("problem_type", json!("poetry"))]), &["problem_type", "poetry"]);
    says(head_config(&[("tie_word_embeddings", json!("yes"))]), &["tie_word_embeddings"]);
}

#[test]
fn the_mask_token_is_the_folders() {
    let of = |value: Value| {
        let folder = folder("bert-pretraining", &[], &[]);
        change(&folder, "tokenizer_config.json", "mask_token", value);
        folder
    };
    let token = |value: Value| EncoderFolder::open(of(value).path()).map(|folder| folder.mask_token);
    assert_eq!(token(json!("[MASK]")).unwrap(), Some(("[MASK]".to_owned(), 4)));
    assert_eq!(token(json!({"content": "the"})).unwrap().unwrap().0, "the");
    assert_eq!(token(Value::Null).unwrap().unwrap().1, 4);
    assert_eq!(token(json!("[HIDDEN]")).unwrap(), None);
    for wrong in [json!(4), json!({}), json!({"content": 4}), json!(["[MASK]"])] {
        says(token(wrong), &["mask_token"]);
    }
    let model = BertModel::from_dir(&Device::cpu(), of(json!("[HIDDEN]")).path()).unwrap();
    says(model.fill_mask(&["the [MASK]"]).run(), &["with a mask token"]);
    let corpus = attentive::models::pretraining::Corpus::parse("the cat\nsat on it");
    says(model.evaluate(&corpus).run(), &["with a mask token"]);
}

#[test]
fn a_limit_without_room_for_a_pair_is_an_error() {
    let folder = folder("bert-pretraining", &[], &[]);
    change(&folder, "tokenizer_config.json", "model_max_length", json!(3));
    let model = BertModel::from_dir(&Device::cpu(), folder.path()).unwrap();
    says(model.next_sentence(&[("the", "cat")]).run(), &["max_tokens", "3"]);
    assert!(model.fill_mask(&["[MASK]"]).run().is_ok());
    change(&folder, "tokenizer_config.json", "model_max_length", json!(2));
    says(BertModel::from_dir(&Device::cpu(), folder.path()), &["no room"]);
    // A table of one token type has no row for the second text.
    let one = self::folder(
        "bert-pretraining",
        &[],
        &[("bert.embeddings.token_type_embeddings.weight", &[1, 16], 0.0)],
    );
    change(&one, "config.json", "type_vocab_size", json!(1));
    let model = BertModel::from_dir(&Device::cpu(), one.path()).unwrap();
    says(model.next_sentence(&[("the", "cat")]).run(), &["types", "below 1"]);
}

#[test]
fn each_missing_or_truncated_file_is_an_error() {
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        let folder = folder("bert-pretraining", &[], &[]);
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            std::fs::write(&path, &whole[..length]).unwrap();
            says(EncoderFolder::open(folder.path()), &[name]);
        }
        std::fs::remove_file(&path).unwrap();
        if name != "tokenizer_config.json" {
            says(EncoderFolder::open(folder.path()), &[name]);
        }
    }
    assert!(matches!(
        EncoderFolder::open(fixture("bert-token").join("config.json")),
        Err(Error::File { .. })
    ));
    assert!(matches!(EncoderFolder::open("absent"), Err(Error::Io { .. })));
}
