//! The gradient of attention by fused kernels, in memory that grows with the queries and the keys and not with their product, and the choice
//! between them and the matrix of scores.

use super::chained::Part;
use super::checked::Checked;
use super::fused::dispatch_tiles;
use super::gradient::Place;
use crate::device::{AdapterClass, Device};
use crate::error::Result;
use crate::kernel::{Kernel, Variant};
use crate::kernels::attention::flash::{Form, LARGEST_DIM};
use crate::kernels::attention::flash_gradient::{ROW_NUMBERS, TILING};
use crate::kernels::attention::flash_gradient_rows::{self, FlashGradientRows};
use crate::kernels::attention::flash_key_gradient::{self, FlashKeyGradient};
use crate::kernels::attention::flash_query_gradient::{self, FlashQueryGradient};
use crate::kernels::attention::{NONE, Parameters};
use crate::ops::choice::choose_by;
use crate::ops::concat;
use crate::recording::{Gradients, Recording, Value};
use crate::tensor::DType;

/// The op's name among [`IMPLEMENTATIONS`](crate::device::IMPLEMENTATIONS).
const GRADIENT: &str = "attention_gradient";

/// What computes a gradient.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The matrix of scores, a part of it at a time.
    Chained,
    /// The fused kernels.
    Tiled,
}

impl Checked {
    /// The forced implementation, else by a table. Where a bound leaves pairs out, the fused kernels do not visit them, and the chain
    /// does: on lavapipe (Mesa 22.3, 2 heads of 32 elements) they take 0.65 of its time with a causal bound from 256 tokens on, and
    /// 1.25 of it without. Through OpenGL they are slower either way, and so are their twins. On GPUs nobody has measured yet:
    /// there they are taken with a bound, and where the scores do not fit one part of the chain.
    pub(super) fn choose_gradient(
        &self,
        device: &Device,
        places: &[Place; 3],
        of_mask: bool,
    ) -> Result<Choice> {
        let [batch, heads, queries, keys] = self.dims;
        let is_bounded = self.p.left != NONE || self.p.right != NONE;
        let parts = || Part::split((0, batch * heads), (0, queries), keys, device).len();
        let table: &[&str] = match AdapterClass::of(device) {
            AdapterClass::Gpu if is_bounded || parts() > 1 => &["tiled", "chained"],
            AdapterClass::Subgroups8 if is_bounded && queries >= 256 => &["tiled", "chained"],
            _ => &["chained"],
        };
        choose_by(device, GRADIENT, None, None, table, |name| match name {
            "tiled" => self.fits_tiled(device, places, of_mask).map(|()| Choice::Tiled),
            _ => Ok(Choice::Chained),
        })
    }

    fn fits_tiled(
        &self,
        device: &Device,
        places: &[Place; 3],
        of_mask: bool,
    ) -> std::result::Result<(), String> {
        let p = &self.p;
        if of_mask {
            return Err("a mask's gradient has the size of the scores".to_owned());
        }
        if p.head_dim.max(p.value_dim) > LARGEST_DIM {
            let found = format!("{} and {}", p.head_dim, p.value_dim);
            return Err(format!("it takes head_dim and value_dim up to {LARGEST_DIM}, not {found}"));
        }
        if places.iter().any(Place::overlaps_itself) {
            return Err("rows that lie on each other would be added to at once".to_owned());
        }
        let iterations = self.rows_iterations();
        match device.capabilities().loop_iterations {
            Some(limit) if iterations > limit => Err(format!(
                "the driver ends loops after {limit} iterations, and {} keys take {iterations}",
                p.key_length
            )),
            _ => Ok(()),
        }
    }

    fn rows_iterations(&self) -> u64 {
        let p = Parameters { tiles: 1, ..self.p };
        FlashGradientRows
            .cost(&flash_gradient_rows::tiled(self.gradient_form()), bytemuck::bytes_of(&p))
            .iterations
    }

    fn gradient_form(&self) -> Form {
        Form::with_output(&self.p, false)
    }

    /// Records the gradients of those of queries, keys and values that are tracked.
    pub(super) fn record_tiled_gradients(
        &self,
        recording: &mut Recording,
        gradients: &mut Gradients,
        places: &[Place; 3],
        upstream: &Value,
    ) -> Result<()> {
        let [k, v] = [self.as_f32(recording, &self.k)?, self.as_f32(recording, &self.v)?];
        let (terms, sums_offset) = self.record_rows(recording, &k, upstream)?;
        let form = self.gradient_form();
        let p = Parameters { sums_offset, queries: self.p.query_length, ..self.p };
        let limit = recording.device().capabilities().loop_iterations.unwrap_or(u64::MAX);
        let [of_q, of_k, of_v] = [0, 1, 2].map(|input: usize| recording.is_tracked(&places[input].value));
        let inputs = [&self.q, &k, &v, &self.mask, &self.items, &terms, upstream];
        if of_q {
            let variant = flash_query_gradient::tiled(form, p.head_dim);
            let gradient = gradients.in_parts(recording, &places[0].value)?;
            let to = [&inputs[..], &[&gradient]].concat();
            for (split, p) in key_parts(&variant, p, limit).into_iter().enumerate() {
                let tiles = TILING.count(&p) / u64::from(p.splits);
                dispatch_tiles(
                    recording,
                    &FlashQueryGradient,
                    &variant,
                    (p, (split as u64 * tiles, tiles)),
                    &to,
                )?;
            }
        }
        for (place, of_values, is_wanted) in [(&places[1], false, of_k), (&places[2], true, of_v)] {
            if !is_wanted {
                continue;
            }
            let columns = if of_values { p.value_dim } else { p.head_dim };
            let variant = flash_key_gradient::tiled(form, columns, of_values);
            let gradient = gradients.in_parts(recording, &place.value)?;
            let to = [&inputs[..], &[&gradient]].concat();
            for p in query_parts(&variant, p, limit) {
                let tiles = flash_key_gradient::tiles(&p);
                dispatch_tiles(recording, &FlashKeyGradient, &variant, (p, (0, tiles)), &to)?;
            }
        }
        Ok(())
    }

    /// The heads' terms with the rows' numbers behind them, and where those begin.
    fn record_rows(&self, recording: &mut Recording, k: &Value, upstream: &Value) -> Result<(Value, u32)> {
        let p = self.p;
        let count = [p.batches, p.heads, p.query_length, ROW_NUMBERS].map(|size| size as usize);
        let count = count.iter().product::<usize>();
        // The rows that an item of several lengths has not are not written.
        let rows = match p.sequences_at {
            NONE => recording.temporary([count], DType::F32)?,
            _ => recording.zeros([count], DType::F32)?,
        };
        let variant = flash_gradient_rows::tiled(self.gradient_form());
        let bindings = [&self.q, k, &self.mask, &self.items, &self.head_terms, &self.output, upstream, &rows];
        let tiles = TILING.count(&p);
        dispatch_tiles(recording, &FlashGradientRows, &variant, (p, (0, tiles)), &bindings)?;
        // Without any there is a stand-in.
        if self.head_terms.dtype() != DType::F32 {
            return Ok((rows, 0));
        }
        let at = self.head_terms.shape().elements();
        let heads = self.head_terms.reshape([at as usize])?;
        let terms = concat(recording, &[&heads, &rows], 0)?;
        Ok((terms, u32::try_from(at).unwrap_or(u32::MAX)))
    }
}

/// Parameters for each part of the keys, few enough that no loop of the query gradient is ended.
fn key_parts(variant: &Variant, p: Parameters, limit: u64) -> Vec<Parameters> {
    let tiles = p.key_length.div_ceil(TILING.keys).max(1);
    let with =
        |splits: u32| Parameters { splits, split_keys: tiles.div_ceil(splits) * TILING.keys, tiles: 1, ..p };
    let iterations = |p: &Parameters| FlashQueryGradient.cost(variant, bytemuck::bytes_of(p)).iterations;
    let splits = (1..=tiles).find(|splits| iterations(&with(*splits)) <= limit).unwrap_or(tiles);
    let p = with(splits);
    let splits = p.key_length.div_ceil(p.split_keys).max(1);
    vec![Parameters { splits, ..p }; splits as usize]
}

/// Parameters for each part of the queries, likewise for the gradients of keys and of values.
fn query_parts(variant: &Variant, p: Parameters, limit: u64) -> Vec<Parameters> {
    let tiles = p.query_length.div_ceil(TILING.rows).max(1);
    let with = |parts: u32| Parameters { queries: tiles.div_ceil(parts) * TILING.rows, tiles: 1, ..p };
    let iterations = |p: &Parameters| FlashKeyGradient.cost(variant, bytemuck::bytes_of(p)).iterations;
    let parts = (1..=tiles).find(|parts| iterations(&with(*parts)) <= limit).unwrap_or(tiles);
    let queries = with(parts).queries;
    (0..p.query_length)
        .step_by(queries as usize)
        .map(|first_query| Parameters { first_query, queries, ..p })
        .collect()
}
