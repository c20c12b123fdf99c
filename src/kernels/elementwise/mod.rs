//! Kernels that compute each element by itself.

pub mod activate;
pub mod activation_gradient;
pub mod binary;
pub mod cast;
pub mod dropout;
pub mod strided_add;
pub mod strided_copy;

use crate::kernel::{Variant, geometry};

/// Invocations in a workgroup.
const WORKGROUP: u32 = 64;

/// The one implementation: an invocation for each unit of work.
pub(crate) fn invocation() -> Variant {
    Variant::new("invocation", WORKGROUP)
}

/// Workgroups for that many units.
pub(crate) fn workgroups(units: u32, per_dimension: u32) -> [u32; 3] {
    geometry::fold(units.div_ceil(WORKGROUP).into(), per_dimension)
}
