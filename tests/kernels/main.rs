//! Kernels: their modules, and their results against their oracles.

#[cfg(unix)]
#[allow(dead_code, reason = "the tests of the drawn pages use the rest of it")]
#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod cooperative;
mod products;
mod repeatability;
mod sampled_attention;
mod shaders;
