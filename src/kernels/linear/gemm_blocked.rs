//! The linear layer by register tiles: GPUs.
//!
//! y = activation(alpha · x · W + beta · bias) + beta · residual, with the parameters, the bindings and the twin of [`gemm`],
//! always in the general form: many products at once, alpha and beta. W is `[columns, depth]` or `[depth, columns]`, f32 or
//! f16; x and y are f32, sums too. Rows of x and of W must be whole vec4s: depth, `x_row` and the offsets divisible by 4,
//! and for `[depth, columns]` columns too. Rows and columns of y are free. NaN passes through.
//!
//! `split` leaves x · W in parts, as many as there are batches, each over its share of the depth, `[splits, rows, columns]`;
//! [`sum_splits`](super::sum_splits) adds them and ends with the epilogue. It is for few tiles with a great depth.
//!
//! Ladder. **No graphics card has been measured yet**; what follows for them is reasoned, and only its results are
//! checked (lavapipe, SwiftShader, OpenGL, newer Mesa).
//! - `large` 128 × 128, 256 invocations of 8 × 8, panels of 8: of workgroup memory 16 vec4s are read for 256 vec4
//!   multiply-adds (`tiled`: 8 scalars and vec4s for 4), and 12 KiB are taken. 16 KiB allow neither panels of 16 nor two
//!   panels at once, so the next panel is loaded into registers, a vec4 of each side, while this one is multiplied.
//! - `medium` 64 × 64, 256 invocations of 4 × 4, panels of 16; `small` 32 × 32, 64 invocations of 4 × 4, panels of 8.
//! - Neither side is transposed in workgroup memory: a vec4 over k of four rows or columns is turned in registers, where
//!   that costs nothing, so all of its loads and stores are vec4s. Rows of a panel are an odd number of vec4s apart, and the
//!   columns of an invocation as many as there are invocations side by side: neighbours read other banks, and write
//!   neighbouring elements of y.
//! - The activation is a parameter, not a constant: one pipeline for all, and the epilogue is a loop over an array.
//! - lavapipe (Mesa 22.3.6, milliseconds of the processor's time, 256³, f32): `tiled` 27, `small` 10, `medium` 9.2, `large` 6.7, and
//!   [`gemm_subgroup8`](super::gemm_subgroup8), which uses its 8 lanes better, 1.6. Without subgroups: the table in `ops/product.rs`.

use crate::kernel::{About, Arguments, Case, CaseArgument, Cost, Depth, Inputs, Kernel, Variant};
use crate::kernels::activation::Activation;
use crate::kernels::linear::gemm::{self, BINDINGS, Parameters};
use crate::kernels::multiply::multiply;
use crate::kernels::shared::weights_f32;
use crate::reference::{self, rounding_floor};

/// Rows of x and of W are read this many elements at a time.
pub(crate) const DEPTH_MULTIPLE: u32 = 4;

/// The kernel.
pub struct GemmBlocked;

/// The implementations by tiles, with their tiles' sides and what an invocation has of them at either.
pub(crate) const TILES: [(&str, u32, u32); 3] = [("large", 128, 8), ("medium", 64, 4), ("small", 32, 4)];

/// The variant of one of [`TILES`].
pub(crate) fn blocked(name: &'static str, transposed: bool, half: bool) -> Variant {
    let (_, side, each) = TILES.into_iter().find(|tile| tile.0 == name).unwrap_or(TILES[2]);
    with_tiles(name, side, each, transposed, half)
}

/// The parts of a product over shares of its depth, in tiles of 64.
pub(crate) fn split(transposed: bool, half: bool) -> Variant {
    with_tiles("split", 64, 4, transposed, half)
}

fn with_tiles(name: &'static str, side: u32, each: u32, transposed: bool, half: bool) -> Variant {
    let variant = Variant::new(name, side * side / (each * each))
        .with("TILE_ROWS", side)
        .with("TILE_COLUMNS", side)
        .with("EACH", each)
        .with("SPLIT", name == "split");
    vec4_weights(variant, transposed, half)
}

/// The constants of a kernel that reads weights by vec4s and has its activation in its parameters.
pub(crate) fn vec4_weights(variant: Variant, transposed: bool, half: bool) -> Variant {
    // f16 is read as words even where it could be read as such: a load of 8 bytes either way.
    variant
        .with("DEPTH_MULTIPLE", DEPTH_MULTIPLE)
        .with("RIGHT_TRANSPOSED", transposed)
        .with("HALF_WEIGHTS", half)
}

/// Both layouts of W, stored as f32 and as f16.
pub(crate) const LAYOUTS: [(bool, bool); 4] = [(true, false), (false, false), (true, true), (false, true)];

/// Invocations of a workgroup, vec4s of a panel's depth.
fn sizes(variant: &Variant) -> (u32, u32) {
    let (side, each) = (variant.u32("TILE_ROWS").max(1), variant.u32("EACH").max(1));
    let invocations = (side / each) * (side / each);
    (invocations, (invocations / side).max(1))
}

/// How the depth of a `split` is shared: from one part's beginning to the next, in elements.
fn share(variant: &Variant, depth: u32, splits: u32) -> u32 {
    let panel = 4 * sizes(variant).1;
    depth.div_ceil(panel).div_ceil(splits.max(1)) * panel
}

impl Kernel for GemmBlocked {
    fn about(&self) -> About {
        const { About::ours("linear/gemm_blocked", BINDINGS, Parameters::FIELDS) }
    }

    fn variants(&self) -> Vec<Variant> {
        let of_layout = |(transposed, half)| {
            let tiles = TILES.map(|(name, ..)| blocked(name, transposed, half));
            tiles.into_iter().chain([split(transposed, half)])
        };
        LAYOUTS.into_iter().flat_map(of_layout).collect()
    }

    fn workgroups(&self, variant: &Variant, parameters: &[u8], per_dimension: u32) -> [u32; 3] {
        gemm::workgroups(variant, parameters, per_dimension)
    }

    fn twin(&self, variant: &Variant, parameters: &[u8], arguments: Arguments<'_>) {
        match variant.flag("SPLIT") {
            false => gemm::twin(variant, parameters, arguments),
            true => split_twin(variant, parameters, arguments),
        }
    }

    fn cost(&self, variant: &Variant, parameters: &[u8]) -> Cost {
        let p = Parameters::from_bytes(parameters);
        let splits = if variant.flag("SPLIT") { u64::from(p.batches.max(1)) } else { 1 };
        let (_, depth4) = sizes(variant);
        let panels = u64::from(p.depth.div_ceil(4 * depth4)).div_ceil(splits);
        let each = u64::from(variant.u32("EACH"));
        let iterations = panels * (1 + u64::from(depth4)) + each * each;
        let cost = gemm::cost(variant, parameters, iterations);
        // The parts of a product are one product, with as many results.
        let (m, n) = (u64::from(p.rows), u64::from(p.columns));
        let bytes = if splits > 1 { cost.bytes / splits + 4 * m * n * (splits - 1) } else { cost.bytes };
        Cost { flops: cost.flops / splits, bytes, iterations }
    }

    fn cases(&self, variant: &Variant, depth: Depth) -> Vec<Case> {
        let mut sizes: Vec<[usize; 3]> = match variant.u32("TILE_ROWS") {
            128 => vec![[1, 1, 4], [3, 134, 36], [131, 65, 20], [130, 131, 68]],
            64 => vec![[1, 1, 4], [3, 70, 36], [65, 33, 48], [70, 131, 100]],
            _ => vec![[1, 1, 4], [3, 38, 36], [33, 31, 48], [38, 67, 100]],
        };
        // Whole tiles of rows, and a column more than whole tiles.
        let tile = variant.u32("TILE_ROWS") as usize;
        sizes.push([tile, tile + 1, 8]);
        if depth == Depth::Full {
            for rows in [1, 2, 31, 32, 33, 64, 65, 127, 257] {
                for columns in [1, 3, 4, 32, 36, 63, 64, 65, 384] {
                    sizes.extend([4, 8, 12, 16, 20, 64, 384].map(|depth| [rows, columns, depth]));
                }
            }
        }
        if !variant.flag("RIGHT_TRANSPOSED") {
            sizes.iter_mut().for_each(|size| size[1] = size[1].next_multiple_of(DEPTH_MULTIPLE as usize));
        }
        if !variant.flag("SPLIT") {
            return general_cases(variant, &sizes);
        }
        // Parts without a share of the depth, parts of a panel each, parts of several that do not come out even, and one part.
        let splits = [3, 2, 3, 5, 1].into_iter().cycle();
        sizes.into_iter().zip(splits).map(|(size, splits)| split_case(variant, size, splits)).collect()
    }
}

/// Cases of a kernel that is always general and has its activation in its parameters: each activation in turn.
pub(crate) fn general_cases(variant: &Variant, sizes: &[[usize; 3]]) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |general: bool, activation: Activation, sizes: &[[usize; 3]]| {
        let variant = variant.clone().with("GENERAL", general).with("ACTIVATION", activation.code());
        cases.extend(gemm::cases(&variant, sizes));
    };
    add(true, Activation::None, sizes);
    for activation in Activation::ALL {
        // Every activation gets wide values too; one with NaN, and with a bias and a residual, gets more sizes.
        let few = if activation == Activation::None { sizes } else { &sizes[..1] };
        add(false, activation, few);
    }
    cases
}

/// Parts over shares of the depth, no epilogue.
fn split_twin(variant: &Variant, parameters: &[u8], mut arguments: Arguments<'_>) {
    let p = Parameters::from_bytes(parameters);
    let weight = weights_f32(variant, arguments.words(1));
    let (x, y) = (arguments.f32(0), arguments.f32_mut(5));
    let transposed = variant.flag("RIGHT_TRANSPOSED");
    let strides = if transposed { [1, p.depth] } else { [p.columns, 1] };
    let share = share(variant, p.depth, p.batches);
    for split in 0..p.batches {
        let first = (split * share).min(p.depth);
        let depth = share.min(p.depth - first);
        let right = if transposed { first } else { first * p.columns };
        let y = &mut y[(split * p.rows * p.y_row + p.first_column) as usize..];
        let sides = ((&x[first as usize..], [p.x_row, 1]), (&weight[right as usize..], strides));
        multiply([p.rows, depth, p.columns], sides.0, sides.1, (y, p.y_row));
    }
}

fn split_case(variant: &Variant, [rows, columns, depth]: [usize; 3], splits: usize) -> Case {
    let mut inputs = Inputs::new((rows * 1_000_003 + columns * 1009 + depth * 7 + splits) as u64);
    let transposed = variant.flag("RIGHT_TRANSPOSED");
    let x_row = depth + 8;
    let x = inputs.values(rows * depth, 1.0);
    let padded = x.chunks_exact(depth).flat_map(|row| row.iter().copied().chain([f32::NAN; 8]));
    let weight = inputs.values(columns * depth, (1.0 / depth as f32).sqrt());
    let half = variant.flag("HALF_WEIGHTS");
    let packed = crate::tensor::pack_f16(&weight);
    let weight = if half { crate::tensor::unpack_f16(&packed, weight.len()) } else { weight };
    let share = share(variant, depth as u32, splits as u32) as usize;
    let mut output = Vec::new();
    for split in 0..splits {
        let part = (split * share).min(depth)..((split + 1) * share).min(depth);
        for row in x.chunks_exact(depth) {
            for column in 0..columns {
                let weight_at =
                    |k: usize| weight[if transposed { column * depth + k } else { k * columns + column }];
                let products = part.clone().map(|k| f64::from(row[k]) * f64::from(weight_at(k)));
                output.push(Some(products.sum::<f64>()));
            }
        }
    }
    let expected: Vec<f64> = output.iter().copied().flatten().collect();
    let parameters = Parameters {
        rows: rows as u32,
        columns: columns as u32,
        depth: depth as u32,
        x_row: x_row as u32,
        y_row: columns as u32,
        batches: splits as u32,
        alpha: 1.0,
        beta: 1.0,
        ..Parameters::default()
    };
    Case {
        label: format!("M={rows} N={columns} K={depth} splits={splits}"),
        parameters: bytemuck::bytes_of(&parameters).to_vec(),
        floor: rounding_floor(depth, reference::largest(&expected).max(1.0)),
        arguments: vec![
            CaseArgument::F32(padded.collect()),
            if half { CaseArgument::Words(packed) } else { CaseArgument::F32(weight) },
            CaseArgument::F32(vec![f32::NAN]),
            CaseArgument::F32(vec![f32::NAN]),
            CaseArgument::Words(vec![u32::MAX; 2]),
            CaseArgument::output(output),
        ],
    }
}
