//! Fused attention, tiled through workgroup memory: on any adapter.
//!
//! output = softmax(softcap(scale · q·kᵀ) + mask) · v and, on demand, the logarithm of each row's sum, for a part of
//! the tiles. q f32, k and v f32 or f16, sums in f32; head_dim and value_dim up to 256. Masking and NaN rules are those
//! of [`scale_mask_softmax`](super::scale_mask_softmax); a value whose weight is 0 in f32 takes no part, NaN or not.
//!
//! Ladder: 32 queries × 32 keys for 64 invocations, 4 × 4 products each, panels of 32 elements of queries and of keys
//! (then values) of 4 KiB each in workgroup memory, and the weights of the tile: 14 KiB with what reduces them, within
//! the 16 KiB of every adapter. Two lanes weigh a row, in a loop over its keys: with the weights of 4 rows in each lane, where
//! the products are, the text was inlined 16 times; lavapipe compiled 2.2 s in place of 1.1 and ran as fast (4.4 and 4.5
//! GFLOP per 2 seconds of processor time), and SwiftShader took 4 GB to compile the variants.

use super::Parameters;
use super::flash::{BINDINGS, Form, LARGEST_DIM, Tiling};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};

/// The kernel.
pub struct FlashTiled;

/// How it divides its work.
pub const TILING: Tiling = Tiling { rows: 32, keys: 32, grouped: false, rounded: false };

/// Value columns of a block.
const BLOCK: u32 = 32;

/// The variant for that form and values of that size.
pub fn tiled(form: Form, value_dim: u32) -> Variant {
    let blocks = value_dim.div_ceil(BLOCK).next_power_of_two();
    let variant = Variant::new("tiled", TILING.rows * TILING.keys / 16)
        .with("TILE_ROWS", TILING.rows)
        .with("TILE_COLUMNS", TILING.keys)
        .with("VALUE_BLOCKS", blocks);
    form.add_to(variant)
}

impl Kernel for FlashTiled {
    fn about(&self) -> About {
        const { About::ours("attention/flash_tiled", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        Form::all().flat_map(|form| [32, 64, 128, LARGEST_DIM].map(|dim| tiled(form, dim))).collect()
    }

    fn quick(&self, variant: &Variant) -> bool {
        Form::from_variant(variant).quick(variant.u32("VALUE_BLOCKS"), 2)
    }

    fn workgroups(&self, _: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        TILING.workgroups(parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        TILING.twin(Form::from_variant(variant).half, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let blocks = u64::from(variant.u32("VALUE_BLOCKS"));
        // Loads of 4 and products of 8 in each panel; the shares' reduction; the same for each block of values.
        let panels = u64::from(p.head_dim.div_ceil(32));
        let each = panels * 13 + 4 * 7 + blocks * 13 + 1;
        TILING.cost(&p, Form::from_variant(variant).half, [each, 8 * 7 + blocks * 21])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let smallest = variant.u32("VALUE_BLOCKS") == 1;
        TILING.cases(
            Form::from_variant(variant),
            [LARGEST_DIM, variant.u32("VALUE_BLOCKS") * BLOCK],
            smallest,
            depth,
        )
    }
}
