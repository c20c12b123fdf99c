//! Normalization.

pub mod layer_norm;
pub mod norm_gradient;
pub mod rms_norm;
pub mod softmax;
pub mod softmax_gradient;
