//! Devices, and what they keep: limits, losses, hosts, caches, tunings, benches.

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod created;
mod faults;
mod host;
mod limits;
mod pipeline_cache;
mod tuning;
