//! Positions.

pub mod rotary_embedding;
