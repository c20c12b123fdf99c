//! Normalization.

pub mod layer_norm;
