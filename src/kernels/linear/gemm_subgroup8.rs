//! The linear layer for subgroups of exactly 8: lavapipe, the software adapter.
//!
//! y = activation(x · W + bias) + residual, with the parameters, the bindings and the twin of
//! [`gemm`]. W is `[columns, depth]` or `[depth, columns]`, f32 or f16; x and y are f32. Rows of x and of
//! W must be whole vec4s: depth and `x_row` divisible by 4, and for `[depth, columns]` columns too. Rows and columns
//! of y are free. NaN passes through.
//!
//! Ladder (lavapipe, Mesa 22.3.6, LLVM 15, 2 cores that other work shared: GFLOP per 2 seconds of processor time, the
//! median of 9 runs, which moved by 8 % at most; through `ops::Linear`, bias, transposed W):
//!
//! | | 512³ | 1024³ | \[4096,384\]·\[384,1536\] | \[64,384\]·\[384,384\] | \[12,384\]·\[384,1536\] | \[1,384\]·\[384,1536\] |
//! |---|---|---|---|---|---|---|
//! | `gemm` tiled, f32 / f16 | 3.9 / 4.1 | 4.1 / 4.2 | 3.8 / 4.3 | 3.4 / 3.6 | 1.2 / 1.4 | 0.1 / 0.1 |
//! | `subgroup8`, f32 / f16 | 69 / 71 | 69 / 71 | 67 / 69 | 52 / 60 | 39 / 43 | 4.6 / 5.3 |
//!
//! - Tiles of 32 × 64 (predicted: a quarter fewer loads, so an eighth less time), GFLOP for each second of processor time in
//!   turns: 34.6, 33.6, 33.1 at the first three sizes, where 32 × 32 has 29.8, 26.8, 28.5; 64 × 32 has 31, 33.6, 31, and 64 × 64,
//!   whose sums fill a core's first cache, 25, 21, 23. The table above is from before images.
//! - The epilogue as a loop over eight rows at a time, chosen by selects, in place of an array of all rows with an index:
//!   0.3 s instead of 1.2 for the first call of 32 × 32, 0.5 of 32 × 64.
//! - x and W as images (predicted by the count of instructions, 80 for a vec4 of 8 lanes where a buffer's takes 280: a third
//!   less time): 1.27 to 1.40 times as fast with the copies that it takes, from 9 rows to 1024³, f16 1.22 to 1.32; W alone
//!   1.06 to 1.13 times slower than both. On Mesa 26 1.23. Copies are a hundredth of the time. Below 4 · 10⁶ products (rows ·
//!   columns · depth) they gain nothing. With sampled textures in place of storage textures 1.08: a third of a fetch is about
//!   mip levels there. W turned in the image, so that a lane's vec4s are side by side: no faster than rows a cache line
//!   longer, without which depths of a power of two lose a seventh.
//! - Tiles with images, GFLOP for each second of processor time at 1536 · 1536 · 384 in twelve processes: 32 × 32 25 to 39 (mostly
//!   35 to 38), 32 × 64 19 to 46, 24 × 64 15 to 46, 16 × 96 30 to 46, 40 × 32 25 to 40, 48 × 32 26 to 40; at a depth of 1536
//!   38, 34, 34, 28, 37, 37 in the middle. The loops of the larger ones take 20 to 30 KB of instructions: they are faster on a core of
//!   their own, slower on one that is shared, and at times twice as slow for as long as a process lives. So 32 × 32 again, which
//!   compiles in half the time. 8 or 16 k in each trip: slower at all sizes.
//! - Predicted by trials on a quiet machine: 75–90. A trip of 16 rows and 4 k takes 152 ns: 47 for W's loads, 38 for
//!   x's, 15 for the broadcasts, 52 for 4,096 FLOP and what the loop carries. Loads were what was left to save.
//! - Rows of the tile (f32, 1024³): 8: 37, 16: 54, 32: 66; the first dispatch, which compiles: 0.3, 0.45, 0.95 s. 8
//!   up to 8 rows: 1.35 times as fast there as 16.
//! - f16 as words (2 loads for 4 weights) against `vec4<f16>` (4 loads), 16 rows: 59 against 51. f16 itself is not read.
//! - Dropped: 8 k in each trip (51 for 53, and half as long again to compile); other orders of the sums (no change);
//!   walking 4, 8 or 16 tiles of rows under one panel of W (no change: loads cost instructions, not misses); loads as
//!   u64 (58 for 54 f32, 65 for 59 f16 at 16 rows, 2 % at most at 32), which would need `SHADER_INT64`.

use crate::device::Texel;
use crate::kernel::{About, Arguments, Case, Cost, Depth, Kernel, Variant};
use crate::kernels::linear::gemm::{self, BINDINGS, Form, Parameters};
use crate::kernels::shared::WeightStorage;

/// Rows of x and of W are read this many elements at a time.
const DEPTH_MULTIPLE: u32 = 4;
/// 4 for each lane.
const TILE_COLUMNS: u32 = 32;

/// The kernel.
pub struct GemmSubgroup8;

/// Tiles of that many rows (8, 16 or 32), x and W in buffers or read as images.
pub(crate) fn subgroup8(tile_rows: u32, through_images: bool, form: Form) -> Variant {
    // f16 as words even where it could be read as such: two loads for four weights instead of four.
    let half = form.storage != WeightStorage::F32;
    let variant = Variant::new("subgroup8", 8)
        .enable("subgroups")
        .with("SUBGROUP_SIZE", 8)
        .with("TILE_ROWS", tile_rows)
        .with("TILE_COLUMNS", TILE_COLUMNS)
        .with("DEPTH_MULTIPLE", DEPTH_MULTIPLE)
        .with("RIGHT_TRANSPOSED", form.transposed)
        .with("GENERAL", form.general)
        .with("ACTIVATION", form.activation.code())
        .with("HALF_WEIGHTS", half)
        .with("IMAGES", through_images);
    if !through_images {
        return variant;
    }
    let texel = if half { Texel::U32x2 } else { Texel::F32x4 };
    variant.through_image("x", Texel::F32x4).through_image("weight", texel)
}

/// The tile to take for a product of that many rows and columns: the largest that leaves some work to each core.
pub(crate) fn tile_rows(rows: u32, columns: u32) -> u32 {
    let large_tiles = u64::from(rows.div_ceil(32)) * u64::from(columns.div_ceil(TILE_COLUMNS));
    match rows {
        0..=8 => 8,
        9..=16 => 16,
        _ if large_tiles < 16 => 16,
        _ => 32,
    }
}

/// Whether a product has so much to compute that copying x and W into images pays. A few rows do not pay for a W that is
/// larger than caches, such as a vocabulary's.
pub(crate) fn pays_for_images(p: &Parameters) -> bool {
    let weights = [p.columns, p.depth, p.batches].map(u64::from).into_iter().fold(1, u64::saturating_mul);
    let products = weights.saturating_mul(u64::from(p.rows).next_multiple_of(8));
    products >= 1 << 22 && (weights <= 1 << 21 || p.rows >= 128)
}

/// Why a product of these sizes cannot be computed here, if so.
pub(crate) fn misfit(parameters: &Parameters, transposed: bool) -> Option<String> {
    let whole = |size: u32| size > 0 && size.is_multiple_of(DEPTH_MULTIPLE);
    let &Parameters { depth, x_row, columns, .. } = parameters;
    if !whole(depth) || !whole(x_row) {
        return Some(format!("it needs rows of x divisible by {DEPTH_MULTIPLE}, they have {depth}"));
    }
    if !transposed && !whole(columns) {
        return Some(format!("it needs rows of W divisible by {DEPTH_MULTIPLE}, they have {columns}"));
    }
    None
}

impl Kernel for GemmSubgroup8 {
    fn about(&self) -> About {
        const { About::ours("linear/gemm_subgroup8", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let forms = Form::all().filter(|form| form.storage != WeightStorage::F16);
        let tiles = || [8, 16, 32].into_iter().flat_map(|rows| [(rows, false), (rows, true)]);
        forms.flat_map(|form| tiles().map(move |(rows, images)| subgroup8(rows, images, form))).collect()
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
        let trips = u64::from(Parameters::from_bytes(parameters).depth.div_ceil(DEPTH_MULTIPLE));
        gemm::cost(variant, parameters, trips + u64::from(variant.u32("TILE_ROWS")))
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes: Vec<[usize; 3]> = vec![[1, 1, 4], [3, 70, 16], [32, 31, 48], [65, 129, 100]];
        if depth == Depth::Full {
            for rows in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 257] {
                for columns in [1, 3, 4, 29, 32, 36, 63, 384] {
                    sizes.extend([4, 8, 20, 64, 384].map(|depth| [rows, columns, depth]));
                }
            }
        }
        if !variant.flag("RIGHT_TRANSPOSED") {
            sizes.iter_mut().for_each(|size| size[1] = size[1].next_multiple_of(DEPTH_MULTIPLE as usize));
        }
        gemm::cases(variant, &sizes)
    }
}
