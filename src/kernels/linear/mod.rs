//! Matrix products.

pub mod gemm;
pub mod gemm_cooperative;
pub mod gemm_lanes;
