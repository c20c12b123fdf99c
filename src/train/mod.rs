//! Training: what is changed by gradients, and how.

mod optimizer;

pub use optimizer::{AdamW, Algorithm, Control, Optimizer, Parameter, Sgd};
