//! Losses, and their gradients.

pub mod cross_entropy;
pub mod cross_entropy_gradient;

/// The label of a row that counts for nothing.
pub(crate) const IGNORED: u32 = u32::MAX;

/// What `loss/cross_entropy` keeps of a row for its gradient: the maximum m, Σ exp(x − m) without the label, and with it.
pub(crate) const STATISTICS: usize = 3;
