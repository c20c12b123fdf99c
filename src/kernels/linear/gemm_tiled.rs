//! A product of matrices by tiles in workgroup memory: the one that every device runs, for rows of any length.
//!
//! It computes what [`gemm`] says, with every epilogue and in the general form.
//!
//! Ladder:
//! - `tiled`, 64 × 64 or 32 × 32 tiles, 4 × 4 for each invocation, panels of 16 in workgroup memory. On lavapipe (Mesa
//!   22.3.6, 2 cores, 512³) 3.9 GFLOP for each second of wall time that both cores are its own; there
//!   [`gemm_subgroup8`](super::gemm_subgroup8) does 69.

use super::gemm::{self, BINDINGS, Form, Parameters};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};
use crate::kernels::shared::tile_iterations;

/// The kernel.
pub struct GemmTiled;

/// Tiles of `side` × `side`: 64 for large products, 32 for small ones.
pub(crate) fn tiled(side: u32, form: Form) -> Variant {
    let variant = Variant::new("tiled", side * side / 16)
        .with("TILE_ROWS", side)
        .with("TILE_COLUMNS", side)
        .with("RIGHT_TRANSPOSED", form.transposed)
        .with("SKIP_ZEROS", false)
        .with("GENERAL", form.general)
        .with("ACTIVATION", form.activation.code());
    form.storage.add_to(variant)
}

/// The side of the tile to take: the large one once it gives every core of a GPU some work.
pub(crate) fn tile_side(rows: u32, columns: u32) -> u32 {
    let large_tiles = u64::from(rows.div_ceil(64)) * u64::from(columns.div_ceil(64));
    if large_tiles >= 64 { 64 } else { 32 }
}

impl Kernel for GemmTiled {
    fn about(&self) -> About {
        const { About::ours("linear/gemm_tiled", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        Form::all().flat_map(|form| [32, 64].map(|side| tiled(side, form))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        gemm::quick(variant)
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        gemm::workgroups(variant, parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        gemm::twin(variant, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let depth = Parameters::from_bytes(parameters).depth;
        gemm::cost(variant, parameters, tile_iterations(variant, depth.into()))
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes = vec![[1, 1, 1], [3, 70, 17], [64, 64, 48], [65, 129, 100]];
        if depth == Depth::Full {
            for rows in [1, 2, 31, 32, 33, 64, 65, 127, 257] {
                for columns in [1, 3, 32, 63, 65, 384] {
                    sizes.extend([1, 15, 16, 17, 64, 384].map(|depth| [rows, columns, depth]));
                }
            }
        }
        gemm::cases(variant, &sizes)
    }
}
