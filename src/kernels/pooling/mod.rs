//! Pooling: from token vectors to a sentence vector, from a map to a number.

pub mod mean_max;
pub mod pool;
pub mod pool_gradient;
