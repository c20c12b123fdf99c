//! SentencePiece models and Marian's tokenizer against SentencePiece and transformers: tiny models of every kind.

use std::path::{Path, PathBuf};

use attentive::Error;
use attentive::weights::{SentencePiece, Seq2SeqTokenizer};

use super::{ids, json, texts};

/// The committed folder, and a larger one where there is one (`make_sentencepiece.py --large`).
fn folders() -> Vec<PathBuf> {
    let own = crate::common::repository().join("tests/fixtures/sentencepiece");
    [own].into_iter().chain(std::env::var_os("ATTENTIVE_TEST_SENTENCEPIECE").map(PathBuf::from)).collect()
}

#[test]
fn pieces_are_those_of_sentencepiece() {
    for folder in folders() {
        let expected = json(&folder.join("expected.json"));
        let separator = expected["separator"].as_str().unwrap();
        let inputs = texts(&expected["texts"]);
        assert!(inputs.len() >= 130);
        let models = expected["pieces"].as_object().unwrap();
        assert_eq!(models.len(), 7);
        for (name, pieces) in models {
            let model = SentencePiece::open(folder.join(name).with_extension("spm")).unwrap();
            for (text, pieces) in inputs.iter().zip(texts(pieces)) {
                assert_eq!(model.encode(text).join(separator), pieces, "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn other_models_than_unigram_ones_are_named() {
    for folder in folders() {
        let error = SentencePiece::open(folder.join("bpe.spm")).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { found, .. } if found == "bpe"), "{error}");
        assert!(error.to_string().ends_with("`bpe` is not supported (supported: unigram)"), "{error}");
    }
}

#[test]
fn ids_and_texts_are_those_of_marian_tokenizer() {
    for folder in folders() {
        for name in ["marian", "marian-separate"] {
            let tokenizer = Seq2SeqTokenizer::open(folder.join(name)).unwrap();
            assert_eq!(tokenizer.notices(), [""; 0]);
            assert_eq!(tokenizer.max_tokens(), Some(24));
            let codes: &[&str] = if name == "marian" { &[">>fra<<", ">>nld<<"] } else { &[] };
            assert_eq!(tokenizer.language_codes(), codes);
            let expected = json(&folder.join(name).join("expected.json"));
            for entry in expected["texts"].as_array().unwrap() {
                let text = entry["text"].as_str().unwrap();
                let drawn = ids(&entry["drawn"]);
                assert_eq!(tokenizer.decode(&drawn).unwrap(), entry["decoded_drawn"], "{name}: {drawn:?}");
                if entry["unknown_code"] == true {
                    let error = tokenizer.encode(text, 512).unwrap_err();
                    assert!(matches!(error, Error::Tokenize { index: 0, .. }), "{name}: {text:?}: {error}");
                    continue;
                }
                let encoding = tokenizer.encode(text, 512).unwrap();
                assert_eq!(encoding.ids, ids(&entry["ids"]), "{name}: {text:?}");
                assert_eq!((encoding.total_tokens, encoding.is_truncated()), (encoding.ids.len(), false));
                assert_eq!(encoding.tokens.len(), encoding.ids.len());
                assert_eq!(encoding.type_ids, vec![0; encoding.ids.len()]);
                let short = tokenizer.encode(text, 5).unwrap();
                assert_eq!(short.ids, ids(&entry["ids_of_5"]), "{name}: {text:?}");
                assert_eq!(short.total_tokens, encoding.ids.len());
                assert_eq!(short.is_truncated(), encoding.ids.len() > 5);
                let target = tokenizer.encode_target(text, 512).unwrap();
                assert_eq!(target.ids, ids(&entry["target_ids"]), "{name}: {text:?}");
                assert_eq!(tokenizer.tokens(&target.ids), target.tokens);
                let decoded = tokenizer.decode(&target.ids).unwrap();
                assert_eq!(decoded, entry["decoded_target"], "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn an_unknown_language_code_is_told_with_the_known_ones() {
    let folder = &folders()[0];
    let tokenizer = Seq2SeqTokenizer::open(folder.join("marian")).unwrap();
    let error = tokenizer.encode(">>deu<< two", 24).unwrap_err().to_string();
    assert!(error.contains("the language code `>>deu<<` is unknown; "), "{error}");
    assert!(error.ends_with("vocab.json has 2: `>>fra<<`, `>>nld<<`"), "{error}");
    let error = tokenizer.encode_batch(&["two", ">>deu<< two"], 24).unwrap_err();
    assert!(matches!(error, Error::Tokenize { index: 1, .. }), "{error}");
    let batch = tokenizer.encode_batch(&["two", ">>fra<< two"], 24).unwrap();
    assert_eq!(batch[1], tokenizer.encode(">>fra<< two", 24).unwrap());
    assert_eq!(batch[1].tokens[0], ">>fra<<");
}

#[test]
fn without_language_codes_one_in_a_text_is_an_unknown_token() {
    let tokenizer = Seq2SeqTokenizer::open(folders()[0].join("marian-separate")).unwrap();
    let unknown = tokenizer.source_id("<unk>").unwrap();
    let with = tokenizer.encode(">>fra<< two", 24).unwrap().ids;
    let without = tokenizer.encode("two", 24).unwrap().ids;
    assert_eq!(with, [&[unknown], &without[..]].concat());
    let batch = tokenizer.encode_batch(&["two", ">>fra<< two"], 24).unwrap();
    assert_eq!([&batch[0].ids, &batch[1].ids], [&without, &with]);
}

#[test]
fn ids_without_a_token_and_tables_that_are_too_small_are_told() {
    let folder = &folders()[0];
    let tokenizer = Seq2SeqTokenizer::open(folder.join("marian")).unwrap();
    let largest = tokenizer.target_ids();
    assert_eq!(tokenizer.source_ids(), largest);
    let error = tokenizer.decode(&[0, largest + 1]).unwrap_err().to_string();
    assert!(error.contains("ids must be ids of ") && error.contains("vocab.json"), "{error}");
    assert!(error.ends_with(&format!("but is {}", largest + 1)), "{error}");
    assert_eq!(tokenizer.tokens(&[0, largest + 1]), ["</s>".to_owned(), format!("<{}>", largest + 1)]);

    let config = Path::new("x/config.json");
    let rows = largest as usize + 1;
    let check = |source, target| {
        tokenizer.check_vocabulary(config, ("vocab_size", source), ("decoder_vocab_size", target))
    };
    assert!(check(rows, rows).is_ok());
    let error = check(rows - 1, rows).unwrap_err().to_string();
    assert!(error.contains("marian/vocab.json: its ids go up to "), "{error}");
    assert!(
        error.ends_with(&format!("must be below {}, `vocab_size` in x/config.json", rows - 1)),
        "{error}"
    );
    let error = check(rows, rows - 1).unwrap_err().to_string();
    assert!(error.contains("`decoder_vocab_size`"), "{error}");
    for room in [0, 1] {
        assert!(matches!(tokenizer.encode("two", room), Err(Error::Argument { .. })));
    }
}

#[test]
fn ids_and_texts_of_whole_folders_are_those_of_transformers() {
    let models = crate::common::repository().join("tests/fixtures/models");
    let mut texts = 0;
    for folder in std::fs::read_dir(models).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.file_name().unwrap().to_str().unwrap().starts_with("tiny-marian") {
            continue;
        }
        let tokenizer = Seq2SeqTokenizer::open(&folder).unwrap();
        let about = json(&folder.join("texts.json"));
        for entry in about["texts"].as_array().unwrap() {
            let text = entry["text"].as_str().unwrap();
            match tokenizer.encode(text, 512) {
                Ok(encoding) => {
                    assert_eq!(encoding.ids, ids(&entry["ids"]), "{}: {text:?}", folder.display())
                }
                // transformers takes a code that is not in the vocabulary as an unknown token.
                Err(error) => {
                    let code = &text[..text.find("<<").unwrap() + 2];
                    assert!(text.starts_with(">>") && error.to_string().contains(code), "{error}");
                    assert_eq!(tokenizer.source_id(code), None, "{error}");
                    assert!(!tokenizer.language_codes().is_empty(), "{error}");
                }
            }
            texts += 1;
        }
        for entry in about["decoded"].as_array().unwrap() {
            let written = ids(&entry["ids"]);
            assert_eq!(tokenizer.decode(&written).unwrap(), entry["text"], "{}", folder.display());
        }
    }
    assert!(texts >= 10);
}
