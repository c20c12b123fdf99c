//! Normalization.

pub mod layer_norm;
pub mod rms_norm;
pub mod softmax;
