//! Fused attention by cooperative matrices (tensor cores): f16 in, f32 sums.
//!
//! The same as [`flash_tiled`](super::flash_tiled), for keys and values in f16. q is f32 and is **rounded to f16** as it is staged
//! (beyond 65,504 to an infinity, which makes its row NaN); the weights of a tile are rounded to f16 before they meet the
//! values. Scores, the running maximum, the sum of the weights and the values' sums are f32, and so is the output. A value
//! whose weight is 0 in f16 takes no part, NaN or not.
//!
//! Against the oracle on rounded queries: scores and the sums' logarithms err as those of every f32 kernel. Each weight errs by
//! at most 2⁻¹¹ of it, so the output by 2⁻¹¹ of the largest value more; the twin rounds its weights in the same way.
//!
//! It is never chosen unless the device was opened with [`DeviceOptions::cooperative`](crate::DeviceOptions::cooperative), or it
//! is forced.
//!
//! Ladder (no figure of a card: **not measured on one**; lavapipe of Mesa 26, where matrices have sides of 8 and are emulated,
//! shows that it is right):
//!
//! - 4 subgroups of one matrix of rows each: 64 queries with sides of 16. Tiles of 64 keys up to 64 columns, 32 keys up to 128:
//!   within the 48 KiB of NVIDIA's cards (45 and 41). Queries are kept in workgroup memory, which costs one load of a matrix
//!   for 4 products; with them in registers, and two matrices of rows for a subgroup, loads would halve.
//! - The summed values stay in matrices over all keys (FlashAttention-2). No element of a matrix can be reached, and a diagonal
//!   matrix that multiplies them would have to be f16 and so would they; so a rescaling takes them through workgroup memory.
//!   It is done only where a row's maximum rose by more than 8 (FlashAttention-4 puts it off in that way): the weights are then
//!   up to e⁸ = 2,981, which f16 holds, and after the first tiles it is rare.
//! - A value that is no number is left out of the product, since 0 times it would be NaN in all rows of the tile, and is added
//!   by lanes on the same way through workgroup memory.

use super::Parameters;
use super::flash::{BINDINGS, Form, Tiling};
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};
use crate::kernels::matrices::Geometry;

/// The kernel.
pub struct FlashCooperative;

/// Matrices in a row of queries, keys or values: at most.
const MOST_FRAGMENTS: u32 = 8;

/// The largest head_dim and value_dim with such matrices.
pub(crate) fn largest_dim(geometry: Geometry) -> u32 {
    MOST_FRAGMENTS * geometry.side
}

/// The variant for rows of that size.
pub(crate) fn cooperative(geometry: Geometry, form: Form, dim: u32) -> Variant {
    let side = geometry.side;
    let fragments = dim.div_ceil(side).next_power_of_two().clamp(2, MOST_FRAGMENTS);
    let key_fragments = if fragments > 4 { 2 } else { 4 };
    let [rows, keys, pitch] = [4 * side, key_fragments * side, fragments * side + 8];
    let lanes = 4 * geometry.subgroup_size;
    // Panels in f16; logits, a share for each lane, two numbers for each row; a flag.
    let panels = 2 * (rows * pitch + keys * pitch + rows * (keys + 8));
    let variant = Variant::new("cooperative", lanes)
        .with("SUBGROUP_SIZE", geometry.subgroup_size)
        .with("FRAGMENTS", fragments)
        .with("KEY_FRAGMENTS", key_fragments)
        .taking(panels + 4 * (rows * (keys + 4) + lanes + 2 * rows) + 16);
    geometry.add_to(form.add_to(variant))
}

/// How a variant divides its work.
pub fn tiling(variant: &Variant) -> Tiling {
    let side = variant.u32("SIDE");
    Tiling { rows: 4 * side, keys: variant.u32("KEY_FRAGMENTS") * side, grouped: false, rounded: true }
}

impl Kernel for FlashCooperative {
    fn about(&self) -> About {
        const { About::ours("attention/flash_cooperative", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for geometry in Geometry::ALL {
            for aligned in [true, false] {
                let form = Form { half: true, aligned };
                variants.extend(
                    [2, 4, 8].map(|fragments| cooperative(geometry, form, fragments * geometry.side)),
                );
            }
        }
        let elements = Geometry::ELEMENTS;
        variants.push(cooperative(elements, Form { half: true, aligned: true }, 4 * elements.side));
        variants
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        tiling(variant).workgroups(parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        tiling(variant).twin(true, parameters, arguments);
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let [side, size, fragments, key_fragments] = ["SIDE", "SUBGROUP_SIZE", "FRAGMENTS", "KEY_FRAGMENTS"]
            .map(|name| u64::from(variant.u32(name).max(1)));
        let [keys, dim, share] = [key_fragments * side, fragments * side, (size / side).max(1)];
        let staged = |rows: u64| (rows * dim / 4).div_ceil(4 * size);
        let of_matrix = (side * side).div_ceil(size);
        // Keys and values staged, the products' depth, two ways over a row, the shares; at the most, a value that is no number.
        let each = 2 * staged(keys) + fragments + 2 * keys / 4 / share + share + key_fragments + 1;
        let strange = fragments * of_matrix * (1 + keys);
        let end = staged(4 * side) + 2 * share + fragments * of_matrix;
        tiling(variant).cost(&p, true, [each + strange, end])
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let largest = variant.u32("FRAGMENTS") * variant.u32("SIDE");
        let all_options = variant.u32("FRAGMENTS") == 2;
        tiling(variant).cases(Form::from_variant(variant), [largest; 2], all_options, depth)
    }
}
