use attentive::Error;
use attentive::Pooling;
use attentive::weights::EmbedderFolder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::checkpoint::small;
use super::config::bert;
use super::tokenizer::tokenizer;
use super::{with, write};

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const SENTENCE: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

fn module(kind: &str, path: &str) -> Value {
    json!({"idx": 0, "name": "0", "path": path, "type": kind})
}

/// A sound folder with its Transformer in `home` (`""` or a subfolder), changed in some files.
fn model(home: &str, changes: &[(&str, Value)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let at_home = |name: &str| if home.is_empty() { name.to_owned() } else { format!("{home}/{name}") };
    let modules = json!([
        module("sentence_transformers.models.Transformer", home),
        module("sentence_transformers.models.Pooling", "1_Pooling"),
        module("sentence_transformers.models.Normalize", "2_Normalize"),
    ]);
    let pooling = json!({"word_embedding_dimension": 4, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true});
    let files = [
        (MODULES.to_owned(), modules),
        (POOLING.to_owned(), pooling),
        (PROMPTS.to_owned(), json!({"__version__": {}})),
        (at_home("config.json"), follows_file(bert())),
        (at_home("tokenizer.json"), tokenizer()),
        (at_home(TOKENIZER_CONFIG), json!({"model_max_length": 12})),
        (at_home(SENTENCE), json!({"max_seq_length": 8, "do_lower_case": false})),
    ];
    write(folder.path(), &at_home("model.safetensors"), &small());
    for (name, content) in &files {
        write(folder.path(), name, content.to_string().as_bytes());
    }
    for (name, content) in changes {
        write(folder.path(), name, content.to_string().as_bytes());
    }
    folder
}

/// The tokenizer keeps upper case, which a class of BERT's would not.
fn follows_file(config: Value) -> Value {
    with(config, "tokenizer_class", json!("PreTrainedTokenizerFast"))
}

fn open(changes: &[(&str, Value)]) -> attentive::Result<EmbedderFolder> {
    EmbedderFolder::open(model("", changes).path())
}

fn unsupported(file: &str, content: Value, name: &str) {
    match open(&[(file, content)]) {
        Err(Error::Unsupported { found, .. }) => assert!(found.contains(name), "{found}"),
        other => panic!("{name}: {other:?}"),
    }
}

fn wrong(file: &str, content: Value) {
    match open(&[(file, content.clone())]) {
        Err(Error::File { .. }) => {}
        other => panic!("{file} {content}: {other:?}"),
    }
}

#[test]
fn both_layouts_are_read() {
    for home in ["", "0_Transformer"] {
        let folder = model(home, &[]);
        let found = EmbedderFolder::open(folder.path()).unwrap();
        assert_eq!((found.pooling, found.normalize, found.max_tokens), (Pooling::Mean, true, 8));
        assert_eq!(found.max_tokens_source, "sentence_bert_config.json: max_seq_length");
        assert!(found.notices.is_empty() && found.prompts.is_empty() && found.default_prompt.is_none());
        assert!(found.checkpoint.contains("table"));
    }
}

#[test]
fn the_newer_layout_is_read() {
    let modules = json!([
        module("sentence_transformers.base.modules.transformer.Transformer", ""),
        module("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
    ]);
    let prompts = json!({"model_type": "SentenceTransformer",
        "prompts": {"query": "query: ", "document": null}, "default_prompt_name": "query"});
    let found = open(&[
        (MODULES, modules),
        (POOLING, json!({"embedding_dimension": 4, "pooling_mode": "cls", "include_prompt": true})),
        (
            SENTENCE,
            json!({"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}),
        ),
        (PROMPTS, prompts),
    ])
    .unwrap();
    assert_eq!((found.pooling, found.normalize, found.max_tokens), (Pooling::Cls, false, 12));
    assert_eq!(found.max_tokens_source, "tokenizer_config.json: model_max_length");
    assert_eq!(found.default_prompt_text(), Some("query: "));
    assert_eq!(found.prompts["document"], "");
}

#[test]
fn the_limit_is_found_in_its_order() {
    let limit = |changes: &[(&str, Value)]| {
        let found = open(changes).unwrap();
        (found.max_tokens, found.max_tokens_source, found.notices.len())
    };
    let positions = || "config.json: max_position_embeddings".to_owned();
    let without = |tokenizer_config: Value| [(SENTENCE, json!({})), (TOKENIZER_CONFIG, tokenizer_config)];
    assert_eq!(limit(&[(SENTENCE, json!({"max_seq_length": 512}))]), (16, positions(), 1));
    assert_eq!(limit(&without(json!({"model_max_length": 1e30}))), (16, positions(), 0));
    let huge = serde_json::from_str(r#"{"model_max_length": 1000000000000000019884624838656}"#).unwrap();
    assert_eq!(limit(&without(huge)), (16, positions(), 0));
    assert_eq!(limit(&without(json!({}))), (16, positions(), 0));
    let roberta = with(with(bert(), "model_type", json!("roberta")), "pad_token_id", json!(1));
    let roberta = follows_file(roberta);
    let found = limit(&[("config.json", roberta), (SENTENCE, json!({"max_seq_length": 16}))]);
    assert_eq!(found, (14, positions(), 1));
    for bad in [json!(0), json!(-1), json!("8"), json!(2.5)] {
        wrong(SENTENCE, json!({ "max_seq_length": bad }));
        assert!(matches!(open(&without(json!({ "model_max_length": bad }))), Err(Error::File { .. })));
    }
    // No room beside [CLS] and [SEP].
    wrong(SENTENCE, json!({"max_seq_length": 2}));
}

#[test]
fn a_plain_folder_says_what_is_assumed() {
    let folder = model("", &[]);
    std::fs::remove_file(folder.path().join(MODULES)).unwrap();
    let found = EmbedderFolder::open(folder.path()).unwrap();
    assert_eq!((found.pooling, found.normalize), (Pooling::Mean, false));
    assert!(found.notices[0].contains("mean pooling"));
}

#[test]
fn lower_case_and_the_side_are_honoured() {
    let found = open(&[
        (SENTENCE, json!({"do_lower_case": true})),
        (TOKENIZER_CONFIG, json!({"truncation_side": "left"})),
    ])
    .unwrap();
    assert_eq!(found.tokenizer.encode("A THE CAT", 4).unwrap().ids, [2, 10, 11, 3]);
}

#[test]
fn each_missing_file_is_named() {
    for home in ["", "0_Transformer"] {
        for name in ["config.json", "tokenizer.json", "model.safetensors", POOLING] {
            let folder = model(home, &[]);
            let path = folder.path().join(if name == POOLING { "" } else { home }).join(name);
            std::fs::remove_file(&path).unwrap();
            let error = EmbedderFolder::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            // A folder in the file's place is an error, too.
            std::fs::create_dir(&path).unwrap();
            assert!(EmbedderFolder::open(folder.path()).is_err());
        }
        for name in [TOKENIZER_CONFIG, SENTENCE, PROMPTS] {
            let folder = model(home, &[]);
            let path = folder.path().join(if name == PROMPTS { "" } else { home }).join(name);
            std::fs::remove_file(path).unwrap();
            EmbedderFolder::open(folder.path()).unwrap();
        }
    }
    let folder = model("", &[]);
    let file = |name: &str| folder.path().join(name);
    std::fs::rename(file("model.safetensors"), file("pytorch_model.bin")).unwrap();
    let error = EmbedderFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("only safetensors"), "{error}");
    assert!(matches!(EmbedderFolder::open(file("config.json")), Err(Error::File { .. })));
    assert!(matches!(EmbedderFolder::open(file("absent")), Err(Error::Io { .. })));
}

#[test]
fn each_truncated_file_is_an_error() {
    let names = [
        MODULES,
        POOLING,
        SENTENCE,
        PROMPTS,
        TOKENIZER_CONFIG,
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    ];
    for name in names {
        let folder = model("", &[]);
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = EmbedderFolder::open(folder.path()).unwrap_err();
            assert!(matches!(error, Error::File { .. }) && error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn unsupported_modules_are_named() {
    let modules = |kinds: &[&str]| -> Value {
        kinds.iter().map(|kind| module(&format!("a.b.{kind}"), "1_Pooling")).collect()
    };
    unsupported(MODULES, modules(&["Transformer", "Pooling", "Dense"]), "Dense");
    unsupported(MODULES, modules(&["WordEmbeddings", "Pooling"]), "WordEmbeddings");
    wrong(MODULES, modules(&[]));
    wrong(MODULES, modules(&["Transformer"]));
    wrong(MODULES, modules(&["Pooling", "Transformer"]));
    wrong(MODULES, modules(&["Transformer", "Normalize", "Pooling"]));
    wrong(MODULES, modules(&["Transformer", "Pooling", "Pooling"]));
    wrong(MODULES, json!({}));
    wrong(MODULES, json!([7]));
    wrong(MODULES, json!([{"type": 1, "path": ""}]));
    wrong(MODULES, json!([{"type": "Transformer"}]));
    for path in ["../../etc", "/etc", "a/../..", "C:\\x", "\\\\server\\x", "a\u{0}b"] {
        wrong(MODULES, json!([module("Transformer", path)]));
    }
    let name = "token_embeddings";
    unsupported("2_Normalize/config.json", json!({"module_input_name": name}), name);
}

#[test]
fn unsupported_poolings_are_named() {
    unsupported(POOLING, json!({"pooling_mode": "lasttoken"}), "lasttoken");
    unsupported(POOLING, json!({"pooling_mode": ["cls", "mean"]}), "cls and mean");
    unsupported(POOLING, json!({"pooling_mode_weightedmean_tokens": true}), "weightedmean");
    let both = json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true});
    unsupported(POOLING, both, "cls and max");
    wrong(POOLING, json!({"pooling_mode": 3}));
    wrong(POOLING, json!({"pooling_mode_cls_token": 1}));
    wrong(POOLING, json!({"word_embedding_dimension": 5}));
    for (mode, pooling) in [(json!(["max"]), Pooling::Max), (Value::Null, Pooling::Mean)] {
        assert_eq!(open(&[(POOLING, json!({ "pooling_mode": mode }))]).unwrap().pooling, pooling);
    }
}

#[test]
fn other_settings_are_checked() {
    unsupported(SENTENCE, json!({"transformer_task": "fill-mask"}), "fill-mask");
    unsupported(SENTENCE, json!({"query_length": 32}), "query_length");
    unsupported(PROMPTS, json!({"model_type": "CrossEncoder"}), "CrossEncoder");
    wrong(PROMPTS, json!({"prompts": {"query": 3}}));
    wrong(PROMPTS, json!({"default_prompt_name": "absent"}));
    wrong(TOKENIZER_CONFIG, json!({"truncation_side": "middle"}));
    wrong("config.json", with(bert(), "vocab_size", json!(11)));
}

#[test]
fn an_added_token_is_used_and_needs_a_row() {
    let added = json!({"4": {"content": "[MASK]", "special": true}, "12": {"content": "[NEW]"}});
    let settings = [(TOKENIZER_CONFIG, json!({ "added_tokens_decoder": added }))];
    match open(&settings) {
        Err(Error::File { problem, .. }) => {
            assert!(problem.contains("vocabulary size (12), but go up to 12"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    // One that no file numbers is not refused before it is met.
    let found = open(&[(TOKENIZER_CONFIG, json!({ "additional_special_tokens": ["[NEW]"] }))]).unwrap();
    assert_eq!(found.tokenizer.largest_id(), 11);
    assert_eq!(found.tokenizer.encode("a [NEW]", 8).unwrap().ids, [2, 5, 12, 3]);
}

#[test]
fn what_sentence_transformers_gives_to_the_tokenizer_wins() {
    let found = open(&[
        (SENTENCE, json!({"max_seq_length": 8, "tokenizer_args": {"truncation_side": "left", "model_max_length": 4}})),
        (TOKENIZER_CONFIG, json!({"truncation_side": "right"})),
    ])
    .unwrap();
    assert_eq!(found.max_tokens, 4);
    assert_eq!(found.tokenizer.encode("a b the cat", 4).unwrap().ids, [2, 10, 11, 3]);
    let model =
        json!({"max_seq_length": 8, "model_args": {"attn_implementation": "sdpa", "dtype": "float16"}});
    let found = open(&[(SENTENCE, model)]).unwrap();
    assert_eq!(found.notices.len(), 1);
    assert!(found.notices[0].contains("`model_args` is not followed: dtype"), "{:?}", found.notices);
    unsupported(SENTENCE, json!({"tokenizer_name_or_path": "another"}), "another");
}

#[test]
fn a_classifier_s_folder_is_no_embedder_without_a_word() {
    let reranker = crate::common::repository().join("tests/fixtures/reranker");
    let found = EmbedderFolder::open(&reranker).unwrap();
    let said = found.notices.join("\n");
    assert!(said.contains("was saved as BertForSequenceClassification, a classifier or reranker"), "{said}");
    // What says that it is one is named, not what it lacks for an embedder.
    let error = open(&[(PROMPTS, json!({"model_type": "CrossEncoder"}))]).unwrap_err().to_string();
    assert!(error.contains("model_type `CrossEncoder`"), "{error}");
}
