//! RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2020) and CamemBERT (Martin et al. 2020): as BERT, but positions
//! start at `padding_id + 1`, and the heads are others.

use super::bert::BERT;
use crate::ops::Activation;
use crate::weights::family::{Family, HeadLayer, Heads, MaskedLanguage, ModelType, Outputs, Positions};

pub(super) const ROBERTA: Family = Family {
    name: "Roberta",
    model_types: &[
        ModelType { name: "roberta", classes: &["Roberta"] },
        // Not XLMRobertaXL, which has its norms elsewhere.
        ModelType { name: "xlm-roberta", classes: &["XLMRobertaFor", "XLMRobertaModel"] },
        ModelType { name: "camembert", classes: &["Camembert"] },
    ],
    positions: Positions::BehindPadding,
    padding_id: 1,
    mask_token: "<mask>",
    prefix: "roberta.",
    heads: Heads {
        masked_language: MaskedLanguage {
            transform: "lm_head.dense",
            // Whatever the encoder has.
            activation: Some(Activation::Gelu),
            norm: "lm_head.layer_norm",
            decoder: "lm_head.decoder",
            second_bias: Some("lm_head.bias"),
        },
        next_sentence: &[],
        sequence: &[
            HeadLayer::new("classifier.dense", Outputs::Hidden, Activation::Tanh),
            HeadLayer::new("classifier.out_proj", Outputs::Labels, Activation::None),
        ],
        ..BERT.heads
    },
    unused: &["pooler.", "roberta.pooler.", "lm_head.", "classifier.", "qa_outputs."],
    ..BERT
};
