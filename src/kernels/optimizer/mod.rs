//! Updates of what is trained.

pub mod adamw;
pub mod norm;
pub mod sgd;
pub mod squares;

/// Elements of the control that `optimizer/norm` writes and the updates read: the factor that clips gradients, their norm, and 1
/// where it is finite, else 0.
pub(crate) const CONTROL: usize = 3;
