//! Files of others: safetensors, `config.json`, `tokenizer.json`. Nothing in them is trusted.
//!
//! Every size is bounded and every offset checked before it is used, so a damaged or hostile file gives
//! an [`Error`](crate::Error) that names the file and the problem, and neither a panic nor an allocation
//! that the file merely claims to need.
//!
//! [`EmbedderFolder::open`] reads a whole sentence-transformers (or plain Hugging Face) folder;
//! [`Checkpoint`], [`EncoderConfig`] and [`Tokenizer`] read one file each.

mod checkpoint;
mod config;
pub(crate) mod files;
mod folder;
mod header;
pub(crate) mod json;
mod sentence;
mod tokenizer;

pub use checkpoint::Checkpoint;
pub use config::{EncoderConfig, Family};
pub use folder::EmbedderFolder;
pub use tokenizer::{Encoding, Origin, Tokenizer, TruncationSide};
