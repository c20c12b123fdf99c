//! BERT (Devlin et al. 2019): word, position and type embeddings; a pooler, and the heads of both of its tasks.

use crate::ops::Activation;
use crate::weights::family::{
    ConfigKeys, Family, HeadLayer, Heads, LayerNames, MaskedLanguage, ModelType, Outputs, Positions,
};

pub(super) static BERT: Family = Family {
    name: "Bert",
    model_types: &[ModelType { name: "bert", classes: &["Bert"] }],
    keys: KEYS,
    has_types: true,
    positions: Positions::FromZero,
    padding_id: 0,
    mask_token: "[MASK]",
    prefix: "bert.",
    layers: "encoder.layer",
    layer: LAYER,
    heads: Heads {
        pooler: &[POOLER],
        masked_language: MaskedLanguage {
            transform: "cls.predictions.transform.dense",
            activation: None,
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder",
            second_bias: Some("cls.predictions.bias"),
        },
        next_sentence: &[POOLER, HeadLayer::new("cls.seq_relationship", Outputs::Fixed(2), Activation::None)],
        sequence: &[POOLER, CLASSIFIER],
        token: &[CLASSIFIER],
    },
    unused: &["pooler.", "cls.", "classifier.", "qa_outputs."],
};

pub(super) const KEYS: ConfigKeys = ConfigKeys {
    hidden_size: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    intermediate_size: "intermediate_size",
    activation: "hidden_act",
    layer_norm_epsilon: Some("layer_norm_eps"),
};

pub(super) const LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    feed_forward_norm: "output.LayerNorm",
};

pub(super) const POOLER: HeadLayer = HeadLayer::of_encoder("pooler.dense", Outputs::Hidden, Activation::Tanh);

pub(super) const CLASSIFIER: HeadLayer = HeadLayer::new("classifier", Outputs::Labels, Activation::None);
