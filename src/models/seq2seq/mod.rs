//! Sequence to sequence: Bahdanau's model, the encoder–decoder Transformer, and translating with them.

mod bahdanau;
mod embedded;
mod source;
mod transformer;
mod translator;

pub use bahdanau::{BahdanauMemory, BahdanauSeq2Seq, BahdanauStep};
pub use embedded::EmbeddedModel;
pub use transformer::{CrossAttention, TransformerSeq2Seq};
pub use translator::{
    Alignment, Translate, TranslateStatistics, Translation, TranslationProgress, Translations, Translator,
};
