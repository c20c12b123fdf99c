//! The linear layer by cooperative matrices (tensor cores): f16 in, f32 sums.
//!
//! y = activation(f16(x) · W + bias) + residual, with the parameters and the bindings of [`gemm`]. W is f16,
//! `[columns, depth]` or `[depth, columns]`; x is f32 and is **rounded to f16** as it is staged, to the nearest (a value beyond
//! 65,504 becomes an infinity); sums, bias, residual and y are f32. The twin rounds x in the same way and so does the oracle: the
//! bound is that of every f32 product. Rows of x and of W must be whole vec4s, as for [`gemm_subgroup8`](super::gemm_subgroup8). A
//! NaN makes its row or its column NaN.
//!
//! Because it rounds x it is never chosen unless the device was opened with
//! [`DeviceOptions::cooperative`](crate::DeviceOptions::cooperative), or it is forced.
//!
//! Ladder (no figure of a card: **not measured on one**; lavapipe of Mesa 26, where matrices have sides of 8 and are emulated,
//! shows that it is right):
//!
//! - 2 × 2 subgroups of 4 × 4 matrices each, panels of 2 matrices of the depth: with sides of 16 that is 128 × 128 × 32, 64 × 64
//!   for a subgroup, at which a CUDA ladder went from 178 to 243 TFLOP/s; 8 loads of matrices for 16 products. Panels take
//!   20 KiB, the sums' way out 5: two or more workgroups fit a core, and hide each other's loads.
//! - Both factors are staged in workgroup memory: x has to be rounded, and rows of W that a subgroup loaded itself would come
//!   in pieces of 32 bytes, twice. Panels are words of `vec4<f16>`: one by one, the writes of a panel would take
//!   most of the time that its products do (reckoned for an H100: 256 of 368 cycles).
//! - 2 × 2 matrices for each subgroup (64 × 64 tiles with sides of 16) where there would be less than 64 large tiles.
//! - Sums leave matrix by matrix through workgroup memory, since a matrix gives its elements to no lane.

use crate::kernel::{About, Argument, Arguments, Case, Cost, Depth, Kernel, Variant, geometry};
use crate::kernels::linear::gemm::{self, BINDINGS, Form, Parameters};
use crate::kernels::matrices::{Geometry, rounded_to_f16};
use crate::kernels::shared::WeightStorage;

/// Rows of x and of W are read this many elements at a time.
const MULTIPLE: u32 = 4;

/// The kernel.
pub struct GemmCooperative;

/// Tiles of 2 × 2 subgroups with `fragments` × `fragments` (2 or 4) matrices each.
pub(crate) fn cooperative(geometry: Geometry, fragments: u32, form: Form) -> Variant {
    let side = geometry.side;
    let tile = 2 * fragments * side;
    let variant = Variant::new("cooperative", 4 * geometry.subgroup_size)
        .with("SUBGROUP_SIZE", geometry.subgroup_size)
        .with("FRAGMENTS", fragments)
        .with("DEPTH_MULTIPLE", MULTIPLE)
        .with("RIGHT_TRANSPOSED", form.transposed)
        .with("HALF_WEIGHTS", true)
        .with("ACTIVATION", form.activation.code())
        // Two panels in f16, four matrices in f32.
        .taking(2 * 2 * tile * (2 * side + 8) + 4 * 4 * side * (side + 4));
    geometry.add_to(variant)
}

/// The rows and columns of a variant's tile.
fn tile(variant: &Variant) -> u32 {
    2 * variant.u32("FRAGMENTS") * variant.u32("SIDE")
}

/// Matrices of a subgroup's row: 4 once the large tile gives every core of a GPU some work.
pub(crate) fn fragments(geometry: Geometry, rows: u32, columns: u32) -> u32 {
    let large = 8 * geometry.side;
    let tiles = u64::from(rows.div_ceil(large)) * u64::from(columns.div_ceil(large));
    if tiles >= 64 { 4 } else { 2 }
}

/// Why a product of this form and these sizes cannot be computed here, if so.
pub(crate) fn misfit(parameters: &Parameters, form: Form) -> Option<String> {
    if form.general || form.storage == WeightStorage::F32 {
        return Some("it takes weights in f16".to_owned());
    }
    super::gemm_subgroup8::misfit(parameters, form.transposed)
}

impl Kernel for GemmCooperative {
    fn about(&self) -> About {
        const { About::ours("linear/gemm_cooperative", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for geometry in Geometry::ALL {
            for form in Form::all().filter(|form| form.storage == WeightStorage::F16) {
                variants.extend([2, 4].map(|fragments| cooperative(geometry, fragments, form)));
            }
        }
        for transposed in [true, false] {
            let form = Form { transposed, storage: WeightStorage::F16, ..Form::general(transposed) };
            variants.push(cooperative(Geometry::ELEMENTS, 2, form));
        }
        variants
    }

    fn quick(&self, variant: &Variant) -> bool {
        gemm::quick(variant)
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        let p = Parameters::from_bytes(parameters);
        let tile = tile(variant);
        let tiles = u64::from(p.rows.div_ceil(tile)) * u64::from(p.columns.div_ceil(tile));
        geometry::fold(tiles, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
        let x: Vec<u32> = arguments.f32(0).iter().map(|&x| rounded_to_f16(x).to_bits()).collect();
        let y = arguments.words_mut(5);
        let read = [1, 2, 3, 4].map(|index| Argument::Read(arguments.words(index)));
        let all = [Argument::Read(&x)].into_iter().chain(read).chain([Argument::Write(y)]);
        gemm::twin(variant, parameters, Arguments::new(all.collect()));
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let depth = u64::from(Parameters::from_bytes(parameters).depth);
        let [side, size, fragments] =
            ["SIDE", "SUBGROUP_SIZE", "FRAGMENTS"].map(|name| u64::from(variant.u32(name).max(1)));
        // The lanes of a workgroup stage a panel of each factor, 4 elements at a time.
        let staged = (2 * fragments * side * 2 * side / 4).div_ceil(4 * size);
        let out = fragments * fragments * (side * side).div_ceil(size);
        let iterations = depth.div_ceil(2 * side) * (1 + 2 * staged + 2) + out;
        gemm::cost(variant, parameters, iterations)
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes: Vec<[usize; 3]> = vec![[1, 1, 4], [3, 70, 16], [33, 31, 48], [70, 131, 100]];
        if depth == Depth::Full {
            let tile = tile(variant) as usize;
            for rows in [1, 7, 16, tile - 1, tile, tile + 1, 2 * tile + 3] {
                for columns in [1, 4, 17, tile - 1, tile, tile + 1, 2 * tile + 4] {
                    sizes.extend([4, 16, 36, 64, 384].map(|depth| [rows, columns, depth]));
                }
            }
        }
        if !variant.flag("RIGHT_TRANSPOSED") {
            sizes.iter_mut().for_each(|size| size[1] = size[1].next_multiple_of(MULTIPLE as usize));
        }
        gemm::cases(variant, &sizes)
    }
}
