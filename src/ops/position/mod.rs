//! Where tokens stand: what is added to embeddings, how queries and keys are turned, what is added to scores.

mod alibi;
mod relative_bias;
mod rotary_embedding;
mod sinusoidal;

pub use alibi::alibi_slopes;
pub use relative_bias::{RelativePositionBias, RelativePositionBuckets};
pub use rotary_embedding::{RotaryEmbedding, rotary_tables};
pub use sinusoidal::{SinusoidalLayout, sinusoidal_positions};
