//! Training: what is changed by gradients, and how.

#[cfg(feature = "models")]
mod checkpoint;
mod optimizer;
mod schedule;
mod trainer;

#[cfg(feature = "models")]
pub use checkpoint::{TrainingState, save_weights};
pub use optimizer::{AdamW, Algorithm, Control, Optimizer, Sgd};
pub use schedule::Schedule;
pub use trainer::{Trainer, TrainingStep};
