use attentive::Activation;
use attentive::Error;
use attentive::weights::EncoderConfig;
use serde_json::{Value, json};

use super::with;

pub(crate) fn bert() -> Value {
    json!({
        "model_type": "bert", "vocab_size": 12, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "hidden_act": "gelu",
        "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    })
}

fn config(value: Value) -> attentive::Result<EncoderConfig> {
    EncoderConfig::from_json(value.to_string().as_bytes(), "config.json")
}

#[test]
fn configs_of_each_family_are_read() {
    let found = config(bert()).unwrap();
    assert_eq!((found.family.name(), found.head_size(), found.usable_positions()), ("Bert", 2, 16));

    let found =
        config(with(with(bert(), "model_type", json!("xlm-roberta")), "pad_token_id", json!(1))).unwrap();
    assert_eq!((found.family.name(), found.position_offset, found.usable_positions()), ("Roberta", 2, 14));

    let found = config(json!({
        "model_type": "distilbert", "vocab_size": 12, "dim": 4, "n_layers": 3, "n_heads": 1, "hidden_dim": 9,
        "activation": "relu", "max_position_embeddings": 16, "pad_token_id": null, "sinusoidal_pos_embds": false,
    }))
    .unwrap();
    assert_eq!((found.family.name(), found.layers, found.type_vocabulary_size), ("DistilBert", 3, 0));
    assert_eq!((found.activation, found.layer_norm_epsilon), (Activation::Relu, 1e-12));

    let old =
        with(with(bert(), "model_type", Value::Null), "architectures", json!(["XLMRobertaForMaskedLM"]));
    assert_eq!(config(old).unwrap().family.name(), "Roberta");
}

#[test]
fn absurd_configs_are_refused_by_key() {
    let absurd = [
        ("num_hidden_layers", json!(1_000_000_000)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1.5)),
        ("num_hidden_layers", Value::Null),
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-4)),
        ("hidden_size", json!("4")),
        ("hidden_size", json!(u64::MAX)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(3)),
        ("vocab_size", json!(1_u64 << 40)),
        ("intermediate_size", json!([8])),
        ("max_position_embeddings", json!(1_u64 << 50)),
        ("type_vocab_size", json!(0)),
        ("layer_norm_eps", json!(-1.0)),
        ("layer_norm_eps", json!(0.0)),
        ("layer_norm_eps", json!("1e-12")),
        ("pad_token_id", json!(12)),
        ("pad_token_id", json!(-1)),
        ("hidden_act", json!(3)),
        ("is_decoder", json!("no")),
    ];
    for (key, value) in absurd {
        match config(with(bert(), key, value.clone())) {
            Err(error @ Error::File { .. }) => {
                assert!(error.to_string().contains(&format!("`{key}`")), "{key} {value}: {error}");
            }
            other => panic!("{key} {value}: {other:?}"),
        }
    }
    let no_positions =
        with(with(bert(), "model_type", json!("roberta")), "max_position_embeddings", json!(1));
    assert!(config(no_positions).unwrap_err().to_string().contains("max_position_embeddings"));
    for text in ["", "[]", "7", "{", "\u{0}", "{\"model_type\": \"bert\"", "{}", &"[".repeat(1_000_000)] {
        assert!(
            matches!(EncoderConfig::from_json(text.as_bytes(), "c"), Err(Error::File { .. })),
            "{text:.20}"
        );
    }
}

#[test]
fn what_changes_the_computation_is_unsupported_by_name() {
    let other = [
        ("model_type", json!("mpnet"), "mpnet"),
        ("position_embedding_type", json!("relative_key"), "relative_key"),
        ("is_decoder", json!(true), "is_decoder"),
        ("add_cross_attention", json!(true), "add_cross_attention"),
        ("hidden_act", json!("quick_gelu"), "quick_gelu"),
        ("pruned_heads", json!({"0": [1]}), "pruned_heads"),
        ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ("auto_map", json!({"AutoModel": "modeling.Model"}), "modeling.Model"),
    ];
    for (key, value, name) in other {
        match config(with(bert(), key, value)) {
            Err(Error::Unsupported { found, supported, .. }) => {
                assert!(found.contains(name) && !supported.is_empty(), "{found}");
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn each_activation_has_its_names() {
    let names = [
        (Activation::Gelu, &["gelu", "gelu_python"][..]),
        (Activation::GeluTanh, &["gelu_new", "gelu_fast", "gelu_pytorch_tanh"]),
        (Activation::Relu, &["relu"]),
        (Activation::Silu, &["silu", "swish"]),
        (Activation::Tanh, &["tanh"]),
    ];
    for (activation, names) in names {
        for name in names {
            assert_eq!(config(with(bert(), "hidden_act", json!(name))).unwrap().activation, activation);
        }
    }
}
