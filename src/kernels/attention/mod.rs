//! Scaled dot-product attention: fused, in one pass over the keys (`flash_tiled`, `flash_subgroup`, `flash_subgroup8`,
//! `flash_decode`, with `merge` where the keys are split), and as a chain of three (`scores`, `scale_mask_softmax`,
//! `weighted_values`).
//!
//! Attention(Q, K, V) = softmax(Q·Kᵀ / √d + mask) · V (Vaswani et al. 2017, equation 1). The chain is the path that
//! hands out attention weights. All of them share their parameters, their masking and their places.
//!
//! Additive attention ([`additive`]) is a kernel of its own.

pub mod additive;
pub mod additive_gradient;
pub mod append;
mod chosen;
pub mod flash;
pub mod flash_cooperative;
pub mod flash_decode;
pub mod flash_gradient;
pub mod flash_gradient_rows;
pub mod flash_key_gradient;
pub mod flash_query_gradient;
pub mod flash_subgroup;
pub mod flash_subgroup8;
pub mod flash_tiled;
mod flash_twin;
pub mod merge;
mod parameters;
pub(crate) mod problem;
pub(crate) mod problem_data;
mod problem_places;
pub mod scale_mask_softmax;
pub mod score_gradient;
pub mod scores;
mod sizes;
pub mod transposed_values;
pub mod weighted_values;

use parameters::Row;
pub use parameters::{NONE, Parameters};
pub(crate) use sizes::Sizes;
