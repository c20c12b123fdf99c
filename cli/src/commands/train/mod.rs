//! What `attentive train` learns from: pairs of texts that are made as they are asked for.

mod dates;
mod grammar;
mod random;
