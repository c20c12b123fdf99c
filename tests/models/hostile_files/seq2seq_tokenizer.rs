use attentive::Error;
use attentive::weights::Seq2SeqTokenizer;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{tokenizer, with, write};

/// The files of a folder under tests/fixtures/sentencepiece, to be changed.
fn marian(name: &str) -> TempDir {
    let from = crate::common::repository().join("tests/fixtures/sentencepiece").join(name);
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        write(folder.path(), name, &std::fs::read(&path).unwrap());
    }
    folder
}

fn value(folder: &TempDir, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.path().join(file)).unwrap()).unwrap()
}

fn put(folder: &TempDir, file: &str, value: &Value) {
    write(folder.path(), file, value.to_string().as_bytes());
}

fn refused(folder: &TempDir) -> String {
    Seq2SeqTokenizer::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn a_folder_without_a_tokenizer_is_told_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let problem = refused(&folder);
    for file in ["tokenizer.json", "source.spm", "target.spm", "vocab.json"] {
        assert!(problem.contains(file), "{problem}");
    }
    assert!(matches!(Seq2SeqTokenizer::open(folder.path().join("none")), Err(Error::Io { .. })));
    write(folder.path(), "file", b"");
    assert!(Seq2SeqTokenizer::open(folder.path().join("file")).is_err());
}

#[test]
fn each_missing_file_is_named() {
    for file in ["source.spm", "target.spm", "vocab.json", "target_vocab.json"] {
        let folder = marian("marian-separate");
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let problem = refused(&folder);
        assert!(problem.contains(file) && problem.contains("there is no such file"), "{problem}");
    }
}

#[test]
fn tokenizer_json_is_read_first() {
    let folder = marian("marian");
    put(&folder, "tokenizer.json", &tokenizer::tokenizer());
    let tokenizer = Seq2SeqTokenizer::open(folder.path()).unwrap();
    assert!(tokenizer.source_path().ends_with("tokenizer.json"));
    assert_eq!(tokenizer.source_path(), tokenizer.target_path());
    assert_eq!((tokenizer.source_ids(), tokenizer.target_ids()), (11, 11));
    assert_eq!(tokenizer.encode("the cat", 24).unwrap().ids, [2, 10, 11, 3]);
    assert_eq!(tokenizer.encode_batch(&["the cat", "a"], 24).unwrap()[1].ids, [2, 5, 3]);
    assert_eq!(tokenizer.decode(&[2, 10, 11, 3]).unwrap(), "the cat");
    assert_eq!(tokenizer.tokens(&[2, 10, 12]), ["[CLS]", "the", "<12>"]);
    assert!(tokenizer.decode(&[12]).is_err());
    assert_eq!(tokenizer.source_id("cat"), Some(11));
    // Without codes in the vocabulary, `>>` is text.
    assert!(tokenizer.encode(">>a<< a", 24).is_ok());

    let with_codes = with(tokenizer::tokenizer(), "model", {
        let model = tokenizer::tokenizer()["model"].clone();
        let vocab = with(model["vocab"].clone(), ">>a<<", json!(12));
        with(model, "vocab", vocab)
    });
    put(&folder, "tokenizer.json", &with_codes);
    let tokenizer = Seq2SeqTokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.language_codes(), [">>a<<"]);
    assert!(tokenizer.encode(">>a<< a", 24).is_ok());
    let problem = tokenizer.encode(">>b<< a", 24).unwrap_err().to_string();
    assert!(problem.contains("tokenizer.json has 1: `>>a<<`"), "{problem}");
    assert!(tokenizer.encode_batch(&[">>b<< a"], 24).is_err());
}

#[test]
fn vocabularies_that_contradict_themselves_or_another_file_are_refused() {
    let folder = marian("marian");
    let sound = value(&folder, "vocab.json");
    for (id, problem) in [
        (json!(-1), "the id of `é` must be a whole number to 10000000, but is -1"),
        (json!(1.5), "but is 1.5"),
        (json!("1"), "but is `1`"),
        (Value::Null, "but is null"),
        (json!(10_000_001), "but is 10000001"),
        (json!(0), "have the same id, 0"),
    ] {
        put(&folder, "vocab.json", &with(sound.clone(), "é", id));
        let found = refused(&folder);
        assert!(found.contains(problem) && found.contains("vocab.json"), "{found}");
    }
    put(&folder, "vocab.json", &json!({}));
    assert!(refused(&folder).contains("the vocabulary is empty"));
    put(&folder, "vocab.json", &json!([1]));
    assert!(refused(&folder).contains("needed a JSON object"));
    put(&folder, "vocab.json", &json!({"</s>": 0, "<unk>": 1}));
    let problem = refused(&folder);
    assert!(problem.contains("source.spm: of its ") && problem.contains("not of one model"), "{problem}");
    for token in ["</s>", "<unk>"] {
        let mut without = sound.clone();
        without.as_object_mut().unwrap().remove(token);
        put(&folder, "vocab.json", &without);
        assert!(refused(&folder).contains(&format!("the token `{token}` is not in the vocabulary")));
    }

    let folder = marian("marian-separate");
    let mut moved = value(&folder, "target_vocab.json");
    moved["</s>"] = json!(9_999_999);
    put(&folder, "target_vocab.json", &moved);
    let problem = refused(&folder);
    assert!(problem.contains("target_vocab.json: `</s>` has the id 9999999, but 0 in "), "{problem}");
}

#[test]
fn a_vocabulary_with_few_of_the_pieces_is_noticed() {
    let folder = marian("marian");
    let sound = value(&folder, "vocab.json");
    let few: serde_json::Map<String, Value> = sound
        .as_object()
        .unwrap()
        .iter()
        .filter(|(token, _)| token.len() == 1)
        .map(|(t, id)| (t.clone(), id.clone()))
        .collect();
    let mut few = Value::Object(few);
    few["</s>"] = json!(0);
    few["<unk>"] = json!(1);
    put(&folder, "vocab.json", &few);
    let tokenizer = Seq2SeqTokenizer::open(folder.path()).unwrap();
    let notices = tokenizer.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].contains("source.spm: of its ") && notices[0].contains("become unknown tokens"));
}

#[test]
fn settings_are_followed_or_refused() {
    let folder = marian("marian");
    let sound = value(&folder, "tokenizer_config.json");
    let whole =
        Seq2SeqTokenizer::open(folder.path()).unwrap().encode("two foxes slept under", 512).unwrap().ids;
    put(&folder, "tokenizer_config.json", &with(sound.clone(), "truncation_side", json!("left")));
    let cut = Seq2SeqTokenizer::open(folder.path()).unwrap().encode("two foxes slept under", 5).unwrap();
    assert_eq!(cut.ids, whole[whole.len() - 5..]);
    assert_eq!(cut.total_tokens, whole.len());

    put(&folder, "tokenizer_config.json", &with(sound.clone(), "eos_token", json!({"content": "<pad>"})));
    let padded = Seq2SeqTokenizer::open(folder.path()).unwrap();
    let end = padded.source_id("<pad>").unwrap();
    assert_eq!(padded.encode("two", 24).unwrap().ids.last(), Some(&end));
    assert_eq!(padded.target_id("<pad>"), Some(end));

    for (key, wrong) in [
        ("truncation_side", json!("both")),
        ("model_max_length", json!(0)),
        ("separate_vocabs", json!("yes")),
        ("clean_up_tokenization_spaces", json!(1)),
        ("unk_token", json!(3)),
        ("pad_token", json!({"id": 1})),
    ] {
        put(&folder, "tokenizer_config.json", &with(sound.clone(), key, wrong));
        let problem = refused(&folder);
        assert!(problem.contains("tokenizer_config.json") && problem.contains(key), "{problem}");
    }
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(Seq2SeqTokenizer::open(folder.path()).unwrap().max_tokens(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_folders_never_panic(
        file in prop::sample::select(vec![
            "source.spm", "target.spm", "vocab.json", "target_vocab.json", "tokenizer_config.json",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        text in ".{0,30}",
    ) {
        let folder = marian("marian-separate");
        let mut bytes = std::fs::read(folder.path().join(file)).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        write(folder.path(), file, &bytes);
        if let Ok(tokenizer) = Seq2SeqTokenizer::open(folder.path()) {
            for text in [text.as_str(), "the ferry crosses Ｆｕｌｌ ① ﬁne cafe\u{301} ★"] {
                for max_tokens in [2, 512] {
                    let _ = tokenizer.encode(text, max_tokens);
                    let _ = tokenizer.encode_target(text, max_tokens);
                }
            }
            let all: Vec<u32> = (0..=tokenizer.target_ids().min(1000)).collect();
            let _ = tokenizer.decode(&all);
            tokenizer.tokens(&all);
        }
    }
}
