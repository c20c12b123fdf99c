//! DistilBERT (Sanh et al. 2019): as BERT, but without type embeddings and pooler, and with tensors of other names.

use super::bert::BERT;
use crate::ops::Activation;
use crate::weights::family::{
    ConfigKeys, Family, HeadLayer, Heads, LayerNames, MaskedLanguage, ModelType, Outputs,
};

pub(super) const DISTILBERT: Family = Family {
    name: "DistilBert",
    model_types: &[ModelType { name: "distilbert", classes: &["DistilBert"] }],
    keys: ConfigKeys {
        hidden_size: "dim",
        layers: "n_layers",
        heads: "n_heads",
        intermediate_size: "hidden_dim",
        activation: "activation",
        layer_norm_epsilon: None,
    },
    has_types: false,
    prefix: "distilbert.",
    layers: "transformer.layer",
    layer: LayerNames {
        query: "attention.q_lin",
        key: "attention.k_lin",
        value: "attention.v_lin",
        output: "attention.out_lin",
        attention_norm: "sa_layer_norm",
        up: "ffn.lin1",
        down: "ffn.lin2",
        feed_forward_norm: "output_layer_norm",
    },
    heads: Heads {
        pooler: &[],
        masked_language: MaskedLanguage {
            transform: "vocab_transform",
            activation: None,
            norm: "vocab_layer_norm",
            decoder: "vocab_projector",
            second_bias: None,
        },
        next_sentence: &[],
        sequence: &[
            HeadLayer::new("pre_classifier", Outputs::Hidden, Activation::Relu),
            HeadLayer::new("classifier", Outputs::Labels, Activation::None),
        ],
        ..BERT.heads
    },
    unused: &["vocab_", "pre_classifier.", "classifier.", "qa_outputs."],
    ..BERT
};
