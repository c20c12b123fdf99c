use attentive::Error;
use attentive::weights::{Tokenizer, TruncationSide};
use serde_json::{Value, json};

use super::with;

/// WordPiece with twelve tokens, and with a truncation and a padding that must not be used.
pub(crate) fn tokenizer() -> Value {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b", "the", "cat"];
    let vocab: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": words[id], "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false})
    };
    let piece = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
    let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    let defined = |id: usize| json!({"id": words[id], "ids": [id], "tokens": [words[id]]});
    json!({
        "version": "1.0",
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": false},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {"[CLS]": defined(2), "[SEP]": defined(3)}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
}

fn tokenizer_of(value: Value) -> attentive::Result<Tokenizer> {
    Tokenizer::from_json(value.to_string().as_bytes(), "tokenizer.json")
}

#[test]
fn the_files_own_truncation_and_padding_are_off() {
    let tokenizer = tokenizer_of(tokenizer()).unwrap();
    let whole = tokenizer.encode("the cat ab A", 100).unwrap();
    assert_eq!(whole.ids, [2, 10, 11, 5, 9, 1, 3]);
    assert_eq!(whole.tokens, ["[CLS]", "the", "cat", "a", "##b", "[UNK]", "[SEP]"]);
    assert_eq!((whole.total_tokens, whole.is_truncated()), (7, false));
    assert_eq!(tokenizer.encode("", 3).unwrap().ids, [2, 3]);
}

#[test]
fn truncation_keeps_the_special_tokens() {
    let mut tokenizer = tokenizer_of(tokenizer()).unwrap();
    let cut = tokenizer.encode("a b c the cat", 5).unwrap();
    assert_eq!((cut.ids.as_slice(), cut.total_tokens), (&[2, 5, 6, 7, 3][..], 7));
    assert!(cut.is_truncated());
    let pair = tokenizer.encode_pair("a b c the cat", "a", 7).unwrap();
    assert_eq!((pair.ids.as_slice(), pair.total_tokens), (&[2, 5, 6, 7, 3, 5, 3][..], 9));
    assert_eq!(pair.type_ids, [0, 0, 0, 0, 0, 1, 1]);
    // An odd room: the second of two that are equally long gets the token more.
    let pair = tokenizer.encode_pair("a b c the cat", "c b a the cat", 8).unwrap();
    assert_eq!(pair.ids, [2, 5, 6, 3, 7, 6, 5, 3]);
    tokenizer.set_truncation_side(TruncationSide::Left);
    assert_eq!(tokenizer.encode("a b c the cat", 4).unwrap().ids, [2, 10, 11, 3]);
    for room in 0..=2 {
        assert!(matches!(tokenizer.encode("a", room), Err(Error::Argument { .. })));
    }
    assert!(matches!(tokenizer.encode_pair("a", "b", 3), Err(Error::Argument { .. })));
}

#[test]
fn text_that_spells_special_tokens_becomes_them_as_in_hugging_face() {
    let tokenizer = tokenizer_of(tokenizer()).unwrap();
    assert_eq!(tokenizer.encode("a[SEP][MASK] b", 100).unwrap().ids, [2, 5, 3, 4, 6, 3]);
}

#[test]
fn a_million_characters_are_tokenized() {
    let tokenizer = tokenizer_of(tokenizer()).unwrap();
    for text in ["a".repeat(1_000_000), "the cat ".repeat(125_000), "[SEP] ".repeat(170_000)] {
        let encoding = tokenizer.encode(&text, 16).unwrap();
        assert!(encoding.ids.len() <= 16 && encoding.total_tokens >= 3);
    }
}

#[test]
fn a_batch_keeps_its_order() {
    let tokenizer = tokenizer_of(tokenizer()).unwrap();
    let texts: Vec<String> = (0..500).map(|i| "a ".repeat(i % 37)).collect();
    let batch = tokenizer.encode_batch(&texts, 20).unwrap();
    for (text, encoding) in texts.iter().zip(&batch) {
        assert_eq!(*encoding, tokenizer.encode(text, 20).unwrap());
    }
    assert!(tokenizer.encode_batch(&[] as &[&str], 20).unwrap().is_empty());
}

#[test]
fn the_text_that_fails_is_named() {
    // Without an unknown token, each word outside the vocabulary is an error.
    let model = json!({"type": "WordLevel", "vocab": {"a": 5}, "unk_token": "[absent]"});
    let tokenizer = tokenizer_of(with(tokenizer(), "model", model)).unwrap();
    let error = tokenizer.encode_batch(&["a", "a a", "b", "b b"], 9).unwrap_err();
    assert!(matches!(error, Error::Tokenize { index: 2, .. }), "{error:?}");
}

#[test]
fn lowercasing_can_be_added() {
    let mut tokenizer = tokenizer_of(tokenizer()).unwrap();
    tokenizer.lowercase();
    assert_eq!(tokenizer.encode("THE Cat", 9).unwrap().ids, [2, 10, 11, 3]);
}

#[test]
fn hostile_tokenizers_are_refused() {
    let file = |value: Value| match tokenizer_of(value) {
        Err(error @ Error::File { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    // These two make the tokenizers library panic.
    let mut second_text = tokenizer();
    second_text["post_processor"]["single"][1]["Sequence"]["id"] = json!("B");
    assert!(file(second_text).contains("post_processor"));
    let mut undefined = tokenizer();
    undefined["post_processor"]["special_tokens"] = json!({});
    file(undefined);
    let mut empty = tokenizer();
    empty["model"]["vocab"] = json!({});
    empty["added_tokens"] = json!([]);
    assert!(file(empty).contains("vocabulary"));
    file(with(tokenizer(), "model", json!({"type": "WordPeace"})));
    file(json!({}));

    let text = tokenizer().to_string();
    for length in (0..text.len()).step_by(7) {
        assert!(Tokenizer::from_json(&text.as_bytes()[..length], "t").is_err());
    }
    let deep = format!(r#"{{"version":"1.0","model":{}"#, r#"{"a":"#.repeat(100_000));
    assert!(Tokenizer::from_json(deep.as_bytes(), "t").is_err());
}

#[test]
fn ids_past_the_embedding_table_are_refused() {
    let plain = tokenizer_of(tokenizer()).unwrap();
    assert_eq!(plain.largest_id(), 11);
    plain.check_vocabulary(12).unwrap();
    let error = plain.check_vocabulary(11).unwrap_err().to_string();
    assert!(error.contains("(11)") && error.contains("go up to 11"), "{error}");

    let mut special = tokenizer();
    special["post_processor"]["special_tokens"]["[SEP]"]["ids"] = json!([4_000_000_000_u32]);
    assert_eq!(tokenizer_of(special).unwrap().largest_id(), 4_000_000_000);
}

#[test]
fn ids_become_text_without_the_special_tokens() {
    let tokenizer = tokenizer_of(tokenizer()).unwrap();
    // Without a decoder, with a space between each two tokens.
    assert_eq!(tokenizer.decode(&[2, 10, 11, 5, 9, 1, 3, 0]).unwrap(), "the cat a ##b");
    assert_eq!(tokenizer.decode(&[]).unwrap(), "");
    let decoder = json!({"type": "WordPiece", "prefix": "##", "cleanup": false});
    let decoding = tokenizer_of(with(super::tokenizer::tokenizer(), "decoder", decoder)).unwrap();
    assert_eq!(decoding.decode(&[2, 10, 11, 5, 9, 3]).unwrap(), "the cat ab");
    for unknown in [12, u32::MAX] {
        let error = decoding.decode(&[2, unknown]).unwrap_err();
        assert!(matches!(&error, Error::Argument { found, .. } if *found == unknown.to_string()), "{error}");
    }
}
