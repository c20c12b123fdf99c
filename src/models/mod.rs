//! Models: the BERT-family encoder, and sentence embeddings on it.

mod bert;
mod embedder;
mod generation;
mod seq2seq;

pub use bert::{BertEncoder, TokenBatch};
pub use embedder::{EmbedStatistics, Embedder, EmbedderOptions, Embeddings, Encode, Truncation};
pub use generation::{EarlyStopping, GenerationOptions, Hypothesis, Strategy, TokenRules};
pub use seq2seq::{CrossAttention, TransformerSeq2Seq};
