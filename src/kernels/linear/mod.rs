//! Matrix products.

pub mod gemm;
pub mod gemm_lanes;
