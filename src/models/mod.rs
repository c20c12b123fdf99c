//! Models: the BERT-family encoder, sentence embeddings on it, and where it attends.

mod attention_maps;
mod bert;
mod embedder;

pub use attention_maps::{AttentionMaps, MapToken};
pub use bert::{BertEncoder, TokenBatch};
pub use embedder::{Attended, EmbedStatistics, Embedder, EmbedderOptions, Embeddings, Encode, Truncation};
