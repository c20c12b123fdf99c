//! Pooling: from token vectors to a sentence vector.

pub mod pool;
