//! Reductions along axes.

pub mod sum;
