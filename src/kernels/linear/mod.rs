//! Matrix products.

pub mod gemm;
pub mod gemm_blocked;
pub mod gemm_cooperative;
pub mod gemm_lanes;
pub mod gemm_rows;
pub mod sum_splits;
