//! Sequence to sequence: Bahdanau's model, the encoder–decoder Transformer, and translating with them.

mod bahdanau;
mod source;
mod transformer;

pub use bahdanau::{BahdanauMemory, BahdanauSeq2Seq, BahdanauStep};
pub use transformer::{CrossAttention, TransformerSeq2Seq};
