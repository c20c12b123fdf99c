//! Scaled dot-product attention as a chain of three kernels: `scores`, `scale_mask_softmax`, `weighted_values`.
//!
//! Attention(Q, K, V) = softmax(Q·Kᵀ / √d + mask) · V (Vaswani et al. 2017, equation 1). The chain is the oracle of
//! any fused form, the path that hands out attention weights, and the best one for short sequences.

pub mod scale_mask_softmax;
pub mod scores;
mod sizes;
pub mod weighted_values;

pub(crate) use sizes::Sizes;
