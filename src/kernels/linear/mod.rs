//! Matrix products.

pub mod gemm;
pub mod gemm_blocked;
pub mod gemm_cooperative;
pub mod gemm_subgroup8;
pub mod gemm_tiled;
pub mod gemv;
pub mod sum_splits;
