//! Embeddings.

pub mod embedding_norm;
pub mod gather;
