//! Kernels that reduce rows: by a workgroup, a subgroup or an invocation each.

use crate::kernel::{Variant, geometry};

/// Sizes that subgroups have on the adapters there are.
pub(crate) const SUBGROUP_SIZES: [u32; 6] = [4, 8, 16, 32, 64, 128];

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
