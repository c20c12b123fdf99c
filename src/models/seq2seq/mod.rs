//! Sequence to sequence: the encoder–decoder Transformer, and translating with it.

mod source;
mod transformer;

pub use transformer::{CrossAttention, TransformerSeq2Seq};
