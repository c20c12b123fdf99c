//! ELECTRA (Clark et al. 2020), generators and discriminators: as BERT, but embeddings may be narrower than the hidden states,
//! there is no pooler, and the heads are others. The head that tells replaced tokens from a text's own is not read.

use super::bert::BERT;
use crate::ops::Activation;
use crate::weights::family::{
    Family, HeadLayer, Heads, MaskedLanguage, ModelType, NarrowEmbeddings, Outputs,
};

pub(super) const ELECTRA: Family = Family {
    name: "Electra",
    model_types: &[ModelType { name: "electra", classes: &["Electra"] }],
    narrow_embeddings: Some(NarrowEmbeddings { size: "embedding_size", projection: "embeddings_project" }),
    prefix: "electra.",
    heads: Heads {
        pooler: &[],
        masked_language: MaskedLanguage {
            transform: "generator_predictions.dense",
            // Whatever the encoder has; the classifier's too.
            activation: Some(Activation::Gelu),
            norm: "generator_predictions.LayerNorm",
            decoder: "generator_lm_head",
            second_bias: None,
        },
        next_sentence: &[],
        sequence: &[
            HeadLayer::new("classifier.dense", Outputs::Hidden, Activation::Gelu),
            HeadLayer::new("classifier.out_proj", Outputs::Labels, Activation::None),
        ],
        ..BERT.heads
    },
    unused: &[
        "generator_predictions.",
        "generator_lm_head.",
        "discriminator_predictions.",
        "classifier.",
        "sequence_summary.",
        "qa_outputs.",
    ],
    ..BERT
};
