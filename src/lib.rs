//! Hand-written WGSL kernels for attention and Transformer models.
#![warn(missing_docs)]

pub mod device;
pub mod error;
pub mod kernel;
pub mod kernels;
pub mod layers;
#[cfg(feature = "models")]
pub mod models;
pub mod ops;
pub mod recording;
pub mod reference;
pub mod tensor;
pub mod verify;
#[cfg(feature = "models")]
pub mod weights;

pub use device::{Device, DeviceOptions};
pub use error::{Error, Result};
#[cfg(feature = "models")]
pub use models::{Embedder, EmbedderOptions};
pub use ops::{Activation, AttentionBuffers, AttentionPlan, AttentionShape, Causal, Pooling, attention};
pub use recording::Recording;
pub use tensor::{DType, Shape, Tensor};
pub use wgpu;
