//! The linear layer for a few rows: a step of decoding.
//!
//! y = activation(alpha · x · W + beta · bias) + beta · residual for up to 8 rows of x, with the parameters, the
//! bindings and the twin of [`gemm`]. W is `[columns, depth]` or `[depth, columns]`, f32 or f16; rows of x and of W must be
//! whole vec4s. NaN passes through.
//!
//! Ladder. **No graphics card has been measured yet**; what follows is reasoned, and only its results are checked.
//! - W is read once, by vec4s, and bounds the time: the aim is the memory's bandwidth. A lane has 4 columns and every 64th
//!   (or subgroup's) 4 k: of transposed W a workgroup reads 1 KiB of each of its columns side by side, of W by rows 128
//!   bytes of each of 32. x comes from caches, 1, 4 or 8 rows of it for each block of W.
//! - By a workgroup: 64 lanes that add by workgroup memory, all rows at once, in 6 steps (3 by rows); or by one subgroup, transposed
//!   W alone, that adds by `subgroupAdd` and has no barrier, where the adapter's subgroups are of one size.
//! - lavapipe: see [`gemm_subgroup8`](super::gemm_subgroup8).

use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant, geometry};
use crate::kernels::linear::gemm::{self, BINDINGS, Parameters};
use crate::kernels::linear::gemm_blocked::{DEPTH_MULTIPLE, LAYOUTS, general_cases, vec4_weights};

/// The most rows.
pub(crate) const MOST_ROWS: u32 = 8;

/// Sizes of subgroups that there is a variant for.
pub(crate) const SUBGROUP_SIZES: [u32; 5] = [4, 8, 16, 32, 64];

/// The kernel.
pub struct Gemv;

/// Through workgroup memory, for at most so many rows.
pub(crate) fn workgroup(rows: u32, transposed: bool, half: bool) -> Variant {
    let lanes = if transposed { 1 } else { 8 };
    with_lanes(Variant::new("gemv", 64), rows, lanes, transposed, half)
}

/// By a subgroup of that size, for transposed W.
pub(crate) fn subgroup(size: u32, rows: u32, half: bool) -> Variant {
    let variant = Variant::new("gemv", size).enable("subgroups").with("SUBGROUP_SIZE", size);
    with_lanes(variant, rows, 1, true, half)
}

fn with_lanes(variant: Variant, rows: u32, lanes: u32, transposed: bool, half: bool) -> Variant {
    let variant = variant.with("ROWS", tile_rows(rows)).with("COLUMN_LANES", lanes);
    vec4_weights(variant, transposed, half)
}

/// Rows that the kernel is made for, of which so many are wanted.
fn tile_rows(rows: u32) -> u32 {
    match rows {
        0..=1 => 1,
        2..=4 => 4,
        _ => MOST_ROWS,
    }
}

impl Kernel for Gemv {
    fn about(&self) -> About {
        const { About::ours("linear/gemv", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for rows in [1, 4, 8] {
            variants.extend(LAYOUTS.map(|(transposed, half)| workgroup(rows, transposed, half)));
            for half in [false, true] {
                variants.extend(SUBGROUP_SIZES.map(|size| subgroup(size, rows, half)));
            }
        }
        variants
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let blocks = u64::from(p.columns.div_ceil(4 * variant.u32("COLUMN_LANES").max(1)));
        geometry::fold(if p.rows == 0 { 0 } else { blocks.saturating_mul(p.batches.into()) }, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        gemm::twin(variant, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let (workgroup, lanes) = (variant.u32("WORKGROUP").max(1), variant.u32("COLUMN_LANES").max(1));
        let trips = (p.depth / 4).div_ceil((workgroup / lanes).max(1));
        // The adding's steps, each of at most ROWS turns, and as many stores.
        let iterations = u64::from(trips) + 8 * u64::from(variant.u32("ROWS"));
        gemm::cost(variant, parameters, iterations)
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let rows = variant.u32("ROWS") as usize;
        // Lanes that have nothing to do, all of them twice, and some of them once.
        let lanes = variant.u32("WORKGROUP") / variant.u32("COLUMN_LANES").max(1);
        let trip = 4 * lanes as usize;
        let fewer = if rows == 1 { 1 } else { rows / 2 + 1 };
        let mut sizes = vec![[fewer, 5, 4], [rows, 70, 2 * trip], [fewer, 35, trip + 36]];
        if depth == Depth::Full {
            for columns in [1, 3, 4, 31, 32, 33, 384] {
                for k in [4, 8, 60, 64, 68, 252, 256, 260, 1024] {
                    sizes.extend([[1, columns, k], [fewer, columns, k], [rows, columns, k]]);
                }
            }
        }
        if !variant.flag("RIGHT_TRANSPOSED") {
            sizes.iter_mut().for_each(|size| size[1] = size[1].next_multiple_of(DEPTH_MULTIPLE as usize));
        }
        let mut cases = general_cases(variant, &sizes);
        // Those of all kernels have two.
        cases.retain(|case| Parameters::from_bytes(&case.parameters).rows as usize <= rows);
        cases
    }
}
