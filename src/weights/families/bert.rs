//! BERT (Devlin et al. 2019): word, position and type embeddings; a pooler, and the heads of both of its tasks.

use crate::ops::Activation;
use crate::weights::family::{
    ConfigKeys, Family, HeadLayer, Heads, LayerNames, MaskedLanguage, ModelType, Outputs, Positions,
};

/// What others differ from: they are `..BERT` in all that they do not name.
pub(super) const BERT: Family = Family {
    name: "Bert",
    model_types: &[ModelType { name: "bert", classes: &["Bert"] }],
    keys: ConfigKeys {
        hidden_size: "hidden_size",
        layers: "num_hidden_layers",
        heads: "num_attention_heads",
        intermediate_size: "intermediate_size",
        activation: "hidden_act",
        layer_norm_epsilon: Some("layer_norm_eps"),
    },
    narrow_embeddings: None,
    has_types: true,
    positions: Positions::FromZero,
    padding_id: 0,
    mask_token: "[MASK]",
    prefix: "bert.",
    layers: "encoder.layer",
    layer: LayerNames {
        query: "attention.self.query",
        key: "attention.self.key",
        value: "attention.self.value",
        output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        up: "intermediate.dense",
        down: "output.dense",
        feed_forward_norm: "output.LayerNorm",
    },
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

const POOLER: HeadLayer = HeadLayer::of_encoder("pooler.dense", Outputs::Hidden, Activation::Tanh);

const CLASSIFIER: HeadLayer = HeadLayer::new("classifier", Outputs::Labels, Activation::None);
