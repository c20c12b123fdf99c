//! Embeddings.

pub mod embedding_norm;
