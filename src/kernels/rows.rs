//! Kernels that reduce rows: by a workgroup, a subgroup or an invocation each.

use crate::device::Capabilities;
use crate::kernel::{Variant, geometry};

/// Sizes that subgroups have on the adapters there are.
const SUBGROUP_SIZES: [u32; 6] = [4, 8, 16, 32, 64, 128];

/// A workgroup for each row. 64 lanes: rows here are 10 to 4,096 long, and no barrier is free.
pub(crate) fn workgroup() -> Variant {
    Variant::new("workgroup", 64)
}

/// A subgroup of that size for each row.
pub(crate) fn subgroup(size: u32) -> Variant {
    Variant::new("subgroup", size).enable("subgroups").with("SUBGROUP_SIZE", size)
}

/// An invocation for each row.
pub(crate) fn invocation() -> Variant {
    Variant::new("invocation", 64)
}

/// All of them.
pub(crate) fn variants() -> Vec<Variant> {
    let mut variants = vec![workgroup(), invocation()];
    variants.extend(SUBGROUP_SIZES.map(subgroup));
    variants
}

/// Rows longer than this are not left to one invocation: its sum loses digits (a softmax of 66,000 equal scores was off
/// by 6e-4), and some drivers stop its loops.
const LONGEST_FOR_INVOCATION: u64 = 2048;

/// The one to take for rows of that length.
///
/// Measured on lavapipe (2 cores), softmax over rows of 128: subgroup 13.9 GB/s, invocation 9.9, workgroup 1.2. On
/// GPUs one invocation a row reads without coalescing, so it is left for rows of a few elements.
pub(crate) fn choose(capabilities: &Capabilities, software: bool, columns: u64) -> Variant {
    match capabilities.subgroups {
        Some((min, max)) if min == max && SUBGROUP_SIZES.contains(&min) => subgroup(min),
        _ if software && columns <= LONGEST_FOR_INVOCATION || columns <= 8 => invocation(),
        _ => workgroup(),
    }
}

/// Invocations that share a row.
pub(crate) fn lanes(variant: &Variant) -> u64 {
    if variant.name() == "invocation" { 1 } else { u64::from(variant.u32("WORKGROUP").max(1)) }
}

/// Loop iterations of an invocation that goes `passes` times over its share of a row and reduces `reductions` times.
pub(crate) fn iterations(variant: &Variant, columns: u64, passes: u64, reductions: u64) -> u64 {
    let tree =
        if variant.name() == "workgroup" { u64::from(variant.u32("WORKGROUP").max(1).ilog2()) } else { 0 };
    passes * columns.div_ceil(lanes(variant)) + reductions * tree
}

/// Workgroups for that many rows.
pub(crate) fn workgroups(variant: &Variant, rows: u32, per_dimension: u32) -> [u32; 3] {
    let rows = u64::from(rows);
    let count = match variant.name() {
        "invocation" => rows.div_ceil(u64::from(variant.u32("WORKGROUP"))),
        _ => rows,
    };
    geometry::fold(count, per_dimension)
}
