//! Training: what is changed by gradients, and how.

mod best_score;
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
mod checkpoint;
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
mod folder;
mod lora;
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
mod lora_adapter;
mod optimizer;
mod schedule;
mod trainer;

pub use best_score::{BestScore, Better, Score};
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
pub use checkpoint::{TrainingState, save_weights};
#[cfg(all(feature = "models", not(target_arch = "wasm32")))]
pub use folder::save_folder;
pub use lora::{Lora, LoraOptions};
pub use optimizer::{AdamW, Algorithm, Control, Optimizer, Sgd};
pub use schedule::Schedule;
pub use trainer::{Trainer, TrainingStep};
