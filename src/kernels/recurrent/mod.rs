//! Recurrent units.

pub mod gru;
