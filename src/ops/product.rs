//! Which implementation takes a product of matrices, and its dispatches.

use super::choice::{Size, choose_by};
use crate::device::{AdapterClass, Device};
use crate::error::Result;
use crate::kernel::{Kernel, Variant};
use crate::kernels::linear::gemm::{Form, Parameters};
use crate::kernels::linear::gemm_blocked::{self, DEPTH_MULTIPLE, GemmBlocked};
use crate::kernels::linear::gemm_cooperative::{self, GemmCooperative};
use crate::kernels::linear::gemm_subgroup8::{self, GemmSubgroup8};
use crate::kernels::linear::gemm_tiled::{self, GemmTiled};
use crate::kernels::linear::gemv::{self, Gemv};
use crate::kernels::linear::sum_splits::{self, SumSplits};
use crate::kernels::matrices::Geometry;
use crate::kernels::shared::WeightStorage;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "linear";

/// Tiles that give every core of a GPU some work.
const BUSY: u64 = 64;
/// The depth from which sharing it out pays, where tiles are few.
const LEAST_TO_SPLIT: u32 = 2048;

/// The table: implementations for a product, best first. No GPU has been measured yet. Of the others, in milliseconds of the
/// processor's time (Mesa 22.3.6, SwiftShader; f32, transposed W):
///
/// | | `tiled` | `small` | `medium` | `large` | `gemv` |
/// |---|---|---|---|---|---|
/// | OpenGL, 64³ | 0.31 | 0.25 | 0.22 | 0.73 | |
/// | OpenGL, 128³ | 2.8 | 1.5 | 1.3 | 1.0 | |
/// | OpenGL, 256³ | 22 | 9.3 | 9.2 | 6.7 | |
/// | OpenGL, \[12, 384\]·\[384, 1536\] | 27 | 12 | 22 | 30 | |
/// | OpenGL, \[1, 384\]·\[384, 1536\] | 27 | 11 | 23 | 27 | 4.8 |
/// | SwiftShader, 128³ | 5.6 | 9.2 | 6.7 | | |
/// | SwiftShader, \[12, 384\]·\[384, 1536\] | 40 | 53 | 80 | | |
/// | SwiftShader, \[1, 384\]·\[384, 1536\] | 40 | 57 | 80 | | 1.4 |
fn table(class: AdapterClass, p: &Parameters) -> &'static [&'static str] {
    let tiles = |side: u32| {
        u64::from(p.rows.div_ceil(side)) * u64::from(p.columns.div_ceil(side)) * u64::from(p.batches)
    };
    // Tiles that are more than half full, and so many of them.
    let fits = |side: u32, least: u64| p.rows.min(p.columns) > side / 2 && tiles(side) >= least;
    match class {
        // Nothing to compute.
        _ if tiles(64) == 0 => &["tiled"],
        AdapterClass::Cpu => &["tiled"],
        AdapterClass::Subgroups8 => &["subgroup8", "tiled"],
        _ if p.rows <= gemv::MOST_ROWS => &["gemv", "tiled"],
        AdapterClass::Software => &["tiled"],
        AdapterClass::Llvmpipe if fits(128, 1) => &["large", "medium", "tiled"],
        AdapterClass::Llvmpipe if fits(64, 1) => &["medium", "small", "tiled"],
        AdapterClass::Llvmpipe => &["small", "tiled"],
        AdapterClass::Gpu if tiles(64) <= BUSY / 2 && p.depth >= LEAST_TO_SPLIT => {
            &["split", "small", "tiled"]
        }
        AdapterClass::Gpu if fits(128, 2 * BUSY) => &["large", "medium", "tiled"],
        AdapterClass::Gpu if fits(64, BUSY) => &["medium", "small", "tiled"],
        AdapterClass::Gpu => &["small", "tiled"],
    }
}

/// An implementation for a product.
enum Choice {
    /// One kernel.
    Whole(&'static dyn Kernel, Variant),
    /// So many parts, and their sum.
    Split(Variant, u32),
}

/// Records a product over x, W, bias, residual, offsets and y. `offsets` has two words at least, zeros for one product.
///
/// # Errors
/// [`Error::Implementation`](crate::Error::Implementation) if the forced one cannot take it,
/// [`Error::Limit`](crate::Error::Limit).
pub(super) fn record(
    recording: &mut Recording,
    form: Form,
    p: &Parameters,
    bindings: [&Value; 6],
) -> Result<()> {
    let device = recording.device().clone();
    let half = form.storage != WeightStorage::F32;
    let size = Size { half, dims: [p.rows.saturating_mul(p.batches), p.columns, p.depth] };
    let fits_images = |variant: &Variant| recording.fits_images(&GemmSubgroup8, variant, &bindings).is_ok();
    let make = |name: &str| make(&device, name, form, p, &fits_images);
    // Nobody's x is rounded to f16 unasked; where it was asked for it comes before what was tuned.
    let asked = device.options().cooperative && make("cooperative").is_ok();
    let table: &[&str] = if asked { &["cooperative"] } else { table(AdapterClass::of(&device), p) };
    match choose_by(&device, OP, None, (!asked).then_some(&size), table, make)? {
        Choice::Whole(kernel, variant) => recording.dispatch_trusted(kernel, variant, p, &bindings),
        Choice::Split(variant, splits) => {
            let [x, weight, bias, residual, offsets, y] = bindings;
            let dims = [splits, p.rows, p.columns].map(|size| size as usize);
            let parts = recording.temporary(dims, DType::F32)?;
            let of_part = Parameters {
                y_row: p.columns,
                first_column: 0,
                has_bias: 0,
                has_residual: 0,
                batches: splits,
                alpha: 1.0,
                beta: 1.0,
                activation: super::Activation::None.code(),
                ..*p
            };
            let bindings = [x, weight, bias, residual, offsets, &parts];
            recording.dispatch_trusted(&GemmBlocked, variant, &of_part, &bindings)?;
            let p = sum_splits::Parameters::new(p, splits);
            recording.dispatch_trusted(&SumSplits, sum_splits::invocation(), &p, &[&parts, bias, residual, y])
        }
    }
}

/// The implementation of that name, or why it cannot take the product here.
fn make(
    device: &Device,
    name: &str,
    form: Form,
    p: &Parameters,
    fits_images: &dyn Fn(&Variant) -> bool,
) -> std::result::Result<Choice, String> {
    let capabilities = device.capabilities();
    let (transposed, half) = (form.transposed, form.storage != WeightStorage::F32);
    let runs = |variant: Variant| variant.runs_on(capabilities).map(|()| variant);
    if name == "tiled" {
        // The large tile needs 256 invocations in a workgroup, the small one 64.
        let large = runs(gemm_tiled::tiled(gemm_tiled::tile_side(p.rows, p.columns), form));
        return Ok(Choice::Whole(&GemmTiled, large.or_else(|_| runs(gemm_tiled::tiled(32, form)))?));
    }
    if name == "cooperative" {
        if let Some(reason) = gemm_cooperative::misfit(p, form) {
            return Err(reason);
        }
        let geometry = capabilities.cooperative.and_then(Geometry::of).ok_or_else(|| {
            "the device has no cooperative matrices, or was not asked for them (DeviceOptions::cooperative)".to_owned()
        })?;
        let fragments = gemm_cooperative::fragments(geometry, p.rows, p.columns);
        let variant = gemm_cooperative::cooperative(geometry, fragments, form);
        return Ok(Choice::Whole(&GemmCooperative, runs(variant)?));
    }
    // All others read vec4s.
    if let Some(reason) = gemm_subgroup8::misfit(p, transposed) {
        return Err(reason);
    }
    match name {
        "subgroup8" => {
            let tile_rows = gemm_subgroup8::tile_rows(p.rows, p.columns);
            let images = gemm_subgroup8::pays_for_images(p)
                && fits_images(&gemm_subgroup8::subgroup8(tile_rows, true, form));
            Ok(Choice::Whole(&GemmSubgroup8, runs(gemm_subgroup8::subgroup8(tile_rows, images, form))?))
        }
        "gemv" => {
            if p.rows > gemv::MOST_ROWS {
                return Err(format!("it takes up to {} rows, not {}", gemv::MOST_ROWS, p.rows));
            }
            let subgroup = match capabilities.subgroups {
                Some((size, _)) if transposed && gemv::SUBGROUP_SIZES.contains(&size) => {
                    runs(gemv::subgroup(size, p.rows, half)).ok()
                }
                _ => None,
            };
            let variant = match subgroup {
                Some(variant) => variant,
                None => runs(gemv::workgroup(p.rows, transposed, half))?,
            };
            Ok(Choice::Whole(&Gemv, variant))
        }
        "split" => {
            let splits = splits(p)?;
            Ok(Choice::Split(runs(gemm_blocked::split(transposed, half))?, splits))
        }
        name => {
            let tile = gemm_blocked::TILES.into_iter().find(|tile| tile.0 == name);
            let (name, ..) = tile.ok_or_else(|| "it is not written".to_owned())?;
            Ok(Choice::Whole(&GemmBlocked, runs(gemm_blocked::blocked(name, transposed, half))?))
        }
    }
}

/// Parts of the depth that keep a GPU busy, each of 256 at least where there are more than two.
fn splits(p: &Parameters) -> std::result::Result<u32, String> {
    const LEAST_DEPTH: u32 = 16 * DEPTH_MULTIPLE;
    if p.batches != 1 {
        return Err(format!("it takes one product at a time, not {}", p.batches));
    }
    if p.depth < LEAST_DEPTH {
        return Err(format!("it needs a depth of {LEAST_DEPTH}, not {}", p.depth));
    }
    let tiles = u64::from(p.rows.div_ceil(64)) * u64::from(p.columns.div_ceil(64));
    let wanted = (2 * BUSY / tiles.max(1)).clamp(2, 16) as u32;
    Ok(wanted.min((p.depth / 256).max(2)))
}
