//! Hand-written WGSL kernels for attention and Transformer models.

pub mod error;
pub mod reference;
pub mod verify;
#[cfg(feature = "models")]
pub mod weights;

pub use error::{Error, Result};
