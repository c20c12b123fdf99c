//! Models: the BERT-family encoder, sentence embeddings on it, and where it attends.

mod attention_maps;
mod bert;
mod embedder;
mod generation;
mod seq2seq;

pub use attention_maps::{AttentionMaps, MapToken};
pub use bert::{BertEncoder, TokenBatch};
pub use embedder::{Attended, EmbedStatistics, Embedder, EmbedderOptions, Embeddings, Encode, Truncation};
pub use generation::{EarlyStopping, GenerationOptions, Hypothesis, Strategy, TokenRules};
pub use seq2seq::{CrossAttention, TransformerSeq2Seq};
