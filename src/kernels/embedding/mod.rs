//! Embeddings.

pub mod embedding_norm;
pub mod gather;
pub mod scatter_add;
