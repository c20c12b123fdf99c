//! Sequence to sequence: Bahdanau's model, the encoder–decoder Transformer, and translating with them.

mod bahdanau;
mod batch_limits;
mod captured;
mod embedded;
mod facts;
mod maps;
mod model;
mod training;
mod transformer;
mod translator;

pub use bahdanau::{BahdanauMemory, BahdanauSeq2Seq, BahdanauStep};
pub use captured::Seq2SeqAttention;
pub use embedded::EmbeddedModel;
pub use transformer::TransformerSeq2Seq;
pub use translator::{
    Translate, TranslateStatistics, Translation, TranslationProgress, Translations, Translator,
};
