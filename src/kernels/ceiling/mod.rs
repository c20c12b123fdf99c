//! Kernels that compute nothing of use: they measure what a device allows, and `bench` holds the others against them.

pub mod copy;
pub mod multiply_add;
