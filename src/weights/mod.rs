//! Files of others: safetensors, `config.json`, `tokenizer.json`, SentencePiece models. Nothing in them is trusted.
//!
//! Every size is bounded and every offset checked before it is used, so a damaged or hostile file gives
//! an [`Error`](crate::Error) that names the file and the problem, and neither a panic nor an allocation
//! that the file merely claims to need.
//!
//! [`EmbedderFolder::open`] reads a whole sentence-transformers (or plain Hugging Face) folder, [`EncoderFolder::open`] one
//! of transformers with its heads; [`Checkpoint`], [`EncoderConfig`], [`HeadConfig`], [`Tokenizer`] and [`SentencePiece`]
//! read one file each. [`Seq2SeqTokenizer`] reads what a folder of a model has that writes a text for a text.

mod bahdanau;
mod captioner;
mod checkpoint;
mod config;
mod encoder_folder;
mod encoder_parts;
mod encoding;
mod families;
pub(crate) mod family;
pub(crate) mod files;
mod folder;
mod generation_config;
mod head_config;
mod header;
pub(crate) mod json;
mod marian;
mod marian_tokenizer;
mod sentence;
mod sentencepiece;
mod seq2seq_folder;
mod seq2seq_tokenizer;
#[cfg(not(target_arch = "wasm32"))]
mod threads;
mod tokenizer;
mod tokenizer_class;
mod tokenizer_pieces;
mod tokenizer_settings;
mod word_piece;

pub use bahdanau::BahdanauConfig;
pub use captioner::{CaptionerConfig, CaptionerFolder};
pub use checkpoint::Checkpoint;
pub use config::EncoderConfig;
pub use encoder_folder::EncoderFolder;
pub use encoding::{Encoding, Origin, TruncationSide};
pub use family::Family;
pub use folder::EmbedderFolder;
pub use generation_config::GenerationConfig;
pub use head_config::{HeadConfig, Problem, ScoreActivation};
pub use marian::MarianConfig;
pub(crate) use sentence::EVERY_EMBEDDERS;
pub use sentencepiece::{Piece, PieceKind, SentencePiece};
pub use seq2seq_folder::{Seq2SeqConfig, Seq2SeqFiles, Seq2SeqFolder};
pub use seq2seq_tokenizer::Seq2SeqTokenizer;
pub use tokenizer::Tokenizer;
pub use word_piece::WordPieceVocabulary;
