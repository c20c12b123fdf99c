//! Which implementation takes an attention, and the fused ones.

use super::OP;
use super::checked::Checked;
use crate::device::{AdapterClass, Device};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Variant};
use crate::kernels::attention::Parameters;
use crate::kernels::attention::flash::{Form, LARGEST_DIM, Tiling};
use crate::kernels::attention::flash_cooperative::{self, FlashCooperative};
use crate::kernels::attention::flash_decode::{self, FlashDecode};
use crate::kernels::attention::flash_subgroup::{self, FlashSubgroup, SUBGROUP_SIZES};
use crate::kernels::attention::flash_subgroup8::{self, FlashSubgroup8};
use crate::kernels::attention::flash_tiled::{self, FlashTiled};
use crate::kernels::attention::merge::{self, Merge};
use crate::kernels::matrices::Geometry;
use crate::ops::choice::{Size, choose_by};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// The most that one dispatch takes on: a submission ends between two of them.
const FLOPS_PER_DISPATCH: u64 = 20_000_000_000;

/// Queries up to which splitting the keys pays.
const MOST_DECODED: u32 = 8;

/// Heads of flash_subgroup8 that take as long as one tile of flash_decode, on lavapipe, and those of wide rows or of flash_subgroup.
const HEADS_PER_DECODED_TILE: [u64; 2] = [5, 3];

/// The implementation that takes an attention.
enum Choice {
    Chained,
    Fused(Fused),
}

/// A fused kernel, specialized.
struct Fused {
    kernel: &'static dyn Kernel,
    variant: Variant,
    tiling: Tiling,
}

impl Checked {
    /// Records it by the implementation that is forced or best, and gives all weights if they are wanted.
    pub fn record(
        &self,
        recording: &mut Recording,
        implementation: Option<&str>,
        sums: Option<&Value>,
        weights: bool,
    ) -> Result<Option<Value>> {
        if sums.is_some() && self.p.value_dim == 0 {
            let expected = "at least 1 column for the sums' logarithms";
            return Err(Error::argument(OP, "v", expected, "none"));
        }
        match self.choose(recording.device(), implementation, weights)? {
            Choice::Chained => self.record_chained(recording, sums, weights),
            Choice::Fused(fused) => {
                self.record_fused(recording, &fused, sums)?;
                weights.then(|| self.all_weights(recording)).transpose()
            }
        }
    }

    fn choose(&self, device: &Device, implementation: Option<&str>, weights: bool) -> Result<Choice> {
        let p = &self.p;
        let form = Form::of(p, self.half);
        let tiled = || Fused {
            kernel: &FlashTiled,
            variant: flash_tiled::tiled(form, p.value_dim.max(1)),
            tiling: flash_tiled::TILING,
        };
        let decode = || Fused {
            kernel: &FlashDecode,
            variant: flash_decode::decode(form, p.value_dim.max(1)),
            tiling: flash_decode::TILING,
        };
        let capabilities = device.capabilities();
        let subgroup = || match capabilities.subgroups {
            _ if device.is_cpu() => Err("the CPU device has no subgroups".to_owned()),
            Some((size, largest)) if size == largest && SUBGROUP_SIZES.contains(&size) => {
                let variant = flash_subgroup::subgroup(size, form, p.value_dim.max(1));
                variant.runs_on(capabilities)?;
                let tiling = flash_subgroup::tiling(&variant);
                Ok(Fused { kernel: &FlashSubgroup, variant, tiling })
            }
            Some((min, max)) if min == max => Err(format!("it is not written for subgroups of {min}")),
            Some((min, max)) => Err(format!("the device's subgroups vary from {min} to {max}")),
            None => Err("the device has no subgroup operations".to_owned()),
        };
        let subgroup8 = || -> std::result::Result<Fused, String> {
            let variant = flash_subgroup8::subgroup8_for(p, self.half);
            variant.runs_on(capabilities)?;
            Ok(Fused { kernel: &FlashSubgroup8, variant, tiling: flash_subgroup8::TILING })
        };
        let cooperative = || {
            let Some(geometry) = capabilities.cooperative.and_then(Geometry::of) else {
                return Err("the device has no cooperative matrices, or was not asked for them \
                            (DeviceOptions::cooperative)"
                    .to_owned());
            };
            if !self.half {
                return Err("it takes keys and values in f16".to_owned());
            }
            let (widest, most) = (p.head_dim.max(p.value_dim), flash_cooperative::largest_dim(geometry));
            if widest > most {
                return Err(format!("it takes head_dim and value_dim up to {most} here, not {widest}"));
            }
            let variant = flash_cooperative::cooperative(geometry, form, widest);
            variant.runs_on(capabilities)?;
            let tiling = flash_cooperative::tiling(&variant);
            Ok(Fused { kernel: &FlashCooperative, variant, tiling })
        };
        let too_wide = |largest: u32| p.head_dim.max(p.value_dim) > largest;
        let make = |name: &str| {
            let largest = if name == "subgroup8" { flash_subgroup8::LARGEST_DIM } else { LARGEST_DIM };
            match name {
                "chained" => Ok(Choice::Chained),
                "cooperative" => cooperative().map(Choice::Fused),
                _ if too_wide(largest) => {
                    let found = format!("{} and {}", p.head_dim, p.value_dim);
                    Err(format!("it takes head_dim and value_dim up to {largest}, not {found}"))
                }
                "tiled" => Ok(Choice::Fused(tiled())),
                "decode" => Ok(Choice::Fused(decode())),
                "subgroup" => subgroup().map(Choice::Fused),
                "subgroup8" => subgroup8().map(Choice::Fused),
                _ => Err("it is not written".to_owned()),
            }
        };
        let forced = implementation.or_else(|| device.forced(OP));
        // The chain makes all weights anyway.
        if forced.is_none() && (too_wide(LARGEST_DIM) || weights) {
            return Ok(Choice::Chained);
        }
        // A software adapter's subgroups are a CPU's vectors.
        let of_software = AdapterClass::of(device) != AdapterClass::Gpu && subgroup().is_ok();
        let [queries, heads] = [p.query_length, p.heads_per_key].map(u64::from);
        let tiles = (queries * heads).div_ceil(flash_decode::TILING.rows.into());
        let slow = too_wide(64) || subgroup8().is_err();
        let table: &[&str] = match p.query_length {
            _ if of_software && HEADS_PER_DECODED_TILE[usize::from(slow)] * tiles <= heads => &["decode"],
            _ if of_software => &["subgroup8", "subgroup"],
            0..=MOST_DECODED => &["decode"],
            _ => &["tiled"],
        };
        // Where it was asked for it comes before what was tuned: it rounds queries and weights to f16.
        let asked = device.options().cooperative && p.query_length > MOST_DECODED && cooperative().is_ok();
        let table = if asked { &["cooperative"] } else { table };
        // Heads that share their keys are not among what is tuned.
        let size = Size { half: self.half, dims: [p.query_length, p.head_dim, 1] };
        let size = (p.heads_per_key == 1 && !asked).then_some(&size);
        choose_by(device, OP, forced, size, table, make)
    }

    fn record_fused(&self, recording: &mut Recording, fused: &Fused, sums: Option<&Value>) -> Result<()> {
        let mut p = Parameters { has_sums: u32::from(sums.is_some()), ..self.p };
        if [p.value_dim, p.batches, p.heads, p.query_length].contains(&0) {
            return Ok(());
        }
        let nowhere = match sums {
            Some(sums) => sums.clone(),
            None => recording.temporary([1], DType::F32)?,
        };
        (p.splits, p.split_keys) = splits(recording.device(), fused, &p);
        if p.splits == 1 {
            return self.dispatch_tiles(recording, fused, p, [&self.output, &nowhere]);
        }
        let [splits, batches, heads, queries, value_dim] =
            [p.splits, p.batches, p.heads, p.query_length, p.value_dim].map(|size| size as usize);
        let parts = recording.temporary([splits, batches, heads, queries, value_dim], DType::F32)?;
        // The sums, and what was seen.
        let part_sums = recording.temporary([splits, 2, batches, heads, queries], DType::F32)?;
        let dense = Parameters {
            has_sums: 1,
            output_offset: 0,
            output_row: p.value_dim,
            output_head: p.query_length * p.value_dim,
            output_batch: p.heads * p.query_length * p.value_dim,
            output_split: p.batches * p.heads * p.query_length * p.value_dim,
            sums_offset: 0,
            sums_head: p.query_length,
            sums_batch: p.heads * p.query_length,
            sums_split: 2 * p.batches * p.heads * p.query_length,
            ..p
        };
        self.dispatch_tiles(recording, fused, dense, [&parts, &part_sums])?;
        let bindings = [&parts, &part_sums, &self.items, &self.head_terms, &self.output, &nowhere];
        recording.dispatch_trusted(&Merge, merge::invocation(), &p, &bindings)
    }

    fn dispatch_tiles(
        &self,
        recording: &mut Recording,
        fused: &Fused,
        p: Parameters,
        [output, sums]: [&Value; 2],
    ) -> Result<()> {
        let bindings = [&self.q, &self.k, &self.v, &self.mask, &self.items, &self.head_terms, output, sums];
        let tiles = (0, fused.tiling.count(&p));
        dispatch_tiles(recording, fused.kernel, &fused.variant, (p, tiles), &bindings)
    }
}

/// Tiles, the first and how many, in as many dispatches as keep each of them short.
pub(super) fn dispatch_tiles(
    recording: &mut Recording,
    kernel: &'static dyn Kernel,
    variant: &Variant,
    (mut p, (first, count)): (Parameters, (u64, u64)),
    bindings: &[&Value],
) -> Result<()> {
    let end = first.saturating_add(count);
    if end > u64::from(u32::MAX) {
        return Err(Error::Limit {
            what: "the tiles of an attention".to_owned(),
            limit: "their number",
            needed: end,
            available: u32::MAX.into(),
        });
    }
    p.tiles = count as u32;
    let flops = kernel.cost(variant, bytemuck::bytes_of(&p)).flops;
    let step = count.div_ceil(flops.div_ceil(FLOPS_PER_DISPATCH).max(1)).max(1);
    for from in (first..end).step_by(step as usize) {
        (p.first_tile, p.tiles) = (from as u32, step.min(end - from) as u32);
        recording.dispatch_trusted(kernel, variant.clone(), &p, bindings)?;
    }
    Ok(())
}

/// How many splits the keys take, and the keys of each. Few queries leave a GPU idle unless the keys are shared out;
/// and some drivers bound the iterations of a loop.
fn splits(device: &Device, fused: &Fused, p: &Parameters) -> (u32, u32) {
    let tiling = fused.tiling;
    let tiles = p.key_length.div_ceil(tiling.keys).max(1);
    let mut splits = 1;
    if tiling.grouped && !device.is_cpu() {
        // Workgroups that keep a device busy, and keys for which a workgroup pays.
        let (busy, least_tiles) = if device.is_software() { (8, 8) } else { (512, 4) };
        let workgroups = tiling.count(p).max(1);
        splits = (busy / workgroups).clamp(1, u64::from(tiles / least_tiles).max(1)) as u32;
    }
    let keys_of = |splits: u32| tiles.div_ceil(splits) * tiling.keys;
    if let Some(limit) = device.capabilities().loop_iterations {
        let iterations = |splits: u32| {
            let p = Parameters { splits, split_keys: keys_of(splits), tiles: 1, ..*p };
            fused.kernel.cost(&fused.variant, bytemuck::bytes_of(&p)).iterations
        };
        while iterations(splits) > limit && splits < tiles {
            splits += 1;
        }
    }
    let split_keys = keys_of(splits);
    (p.key_length.div_ceil(split_keys).max(1), split_keys)
}
