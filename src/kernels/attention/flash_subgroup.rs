//! Fused attention by one subgroup a workgroup: keys and values go through registers and broadcasts.
//!
//! The same as [`flash_tiled`](super::flash_tiled); it needs subgroups of a fixed size.
//!
//! Ladder (lavapipe, Mesa 22.3.6, subgroups of 8, `[1, 12, 512, 64]`; GFLOP per 2 seconds of processor time, and the first
//! dispatch, which compiles). The products are those of `gemm_subgroup8`, which reaches 54 with 16 rows.
//!
//! | | GFLOP | first |
//! |---|---|---|
//! | each lane keeps its keys from product to weight: a maximum over the lanes for each row, arrays indexed by the row | 8.1 | 2.3 s |
//! | products go through workgroup memory, so that a lane weighs whole rows; masks in vectors; a second turn, in place of a branch, for values that are no number (predicted 33) | 14.1 | 2.2 s |
//! | sums of up to 4 blocks of columns in arrays that no index is computed for (predicted 18.5) | 17.9 | 1.6 s |
//!
//! Of the second step's 114 ms, products took 22, weights 26, values 24, the sums' way to memory and back 30: an array
//! with a computed index costs 76 ns for each vec4. What is left to save is the weights' way through workgroup memory, and
//! loads, by tiles of 32 rows. Mesa 26 reaches 25 with the same text.
//!
//! lavapipe takes [`flash_subgroup8`](super::flash_subgroup8). Where subgroups have another fixed size this is what a software
//! adapter takes: on SwiftShader (subgroups of 4) 51 ms of processor time for `[1, 12, 128, 64]` where `tiled` takes 110, 0.95
//! for 3.9 at `[2, 2, 33, 16]` with key lengths (`attentive bench attention --quick --dtype f32`, other work beside it).

use super::Parameters;
use super::flash::{BINDINGS, Form, LARGEST_DIM, Tiling};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};

/// The kernel.
pub struct FlashSubgroup;

/// Sizes of subgroups that it is written for.
pub const SUBGROUP_SIZES: [u32; 5] = [4, 8, 16, 32, 64];

/// The variant for that subgroup, form and values of that size.
pub fn subgroup(size: u32, form: Form, value_dim: u32) -> Variant {
    let blocks = value_dim.div_ceil(4 * size).next_power_of_two();
    let variant = Variant::new("subgroup", size)
        .enable("subgroups")
        .with("SUBGROUP_SIZE", size)
        // The weights of a tile lie in workgroup memory.
        .with("TILE_ROWS", if size > 32 { 8 } else { 16 })
        .with("VALUE_BLOCKS", blocks);
    form.add_to(variant)
}

/// How a variant divides its work.
pub fn tiling(variant: &Variant) -> Tiling {
    Tiling {
        rows: variant.u32("TILE_ROWS"),
        keys: 4 * variant.u32("SUBGROUP_SIZE"),
        grouped: false,
        rounded: false,
    }
}

impl Kernel for FlashSubgroup {
    fn about(&self) -> About {
        const { About::ours("attention/flash_subgroup", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for size in SUBGROUP_SIZES {
            for form in Form::all() {
                for value_dim in [16, 32, 64, 128, LARGEST_DIM] {
                    let variant = subgroup(size, form, value_dim);
                    // Large subgroups take small values in their smallest block.
                    if value_dim >= 4 * size && !variants.contains(&variant) {
                        variants.push(variant);
                    }
                }
            }
        }
        variants
    }

    fn quick(&self, variant: &Variant) -> bool {
        Form::from_variant(variant).quick(variant.u32("VALUE_BLOCKS"), 4)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        crate::kernel::geometry::fold(Parameters::from_bytes(parameters).tiles.into(), per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        tiling(variant).twin(Form::from_variant(variant).half, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [size, rows, blocks] =
            ["SUBGROUP_SIZE", "TILE_ROWS", "VALUE_BLOCKS"].map(|name| u64::from(variant.u32(name)));
        let each = u64::from(p.head_dim.div_ceil(4)) + rows + blocks * (size + 1) + 1;
        tiling(variant).cost(&p, Form::from_variant(variant).half, [each, rows * (2 + 5 * blocks)])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let value_dim = variant.u32("VALUE_BLOCKS") * 4 * variant.u32("SUBGROUP_SIZE");
        let smallest = variant.u32("VALUE_BLOCKS") == 1;
        tiling(variant).cases(
            Form::from_variant(variant),
            [LARGEST_DIM, value_dim.min(LARGEST_DIM)],
            smallest,
            depth,
        )
    }
}
