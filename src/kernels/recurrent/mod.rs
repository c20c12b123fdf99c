//! Recurrent units.

pub mod gru;
pub mod gru_gradient;
