//! What commands that train have in common: runs of steps, told of, saved, and gone on with.

mod curve;
mod run;

pub use run::{Run, RunArguments};
