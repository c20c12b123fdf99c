//! Attention through the matrix of scores, a part of it at a time.

use super::OP;
use super::checked::Checked;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::attention::Parameters;
use crate::kernels::attention::scale_mask_softmax::ScaleMaskSoftmax;
use crate::kernels::attention::scores::{self, Scores};
use crate::kernels::attention::weighted_values::{self, WeightedValues};
use crate::ops::cast;
use crate::ops::choice::choose_rows;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// Some of the batch-heads and of the queries: first and count.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub heads: (usize, usize),
    pub queries: (usize, usize),
}

/// Bytes that the scores of one part may take: what is gained by more is little, and memory is not.
const PART_BYTES: u64 = 64 << 20;

impl Part {
    /// Parts of `heads` and `queries` (first and count of each) whose scores are small enough.
    pub fn split(heads: (usize, usize), queries: (usize, usize), keys: usize, device: &Device) -> Vec<Self> {
        if heads.1 == 0 || queries.1 == 0 {
            return Vec::new();
        }
        let limit = (PART_BYTES.min(device.capabilities().tensor_bytes()) / 4).max(1) as usize;
        let per_head = queries.1.saturating_mul(keys).max(1);
        let (heads_step, queries_step) = match limit / per_head {
            0 => (1, (limit / keys.max(1)).max(1)),
            heads => (heads, queries.1),
        };
        let steps = |(first, count): (usize, usize), step: usize| {
            (0..count).step_by(step).map(move |at| (first + at, step.min(count - at)))
        };
        steps(heads, heads_step)
            .flat_map(|heads| steps(queries, queries_step).map(move |queries| Self { heads, queries }))
            .collect()
    }
}

impl Checked {
    /// Records the chain, and gives the weights if they are wanted: then of all heads at once.
    pub(super) fn record_chained(
        &self,
        recording: &mut Recording,
        sums: Option<&Value>,
        weights: bool,
    ) -> Result<Option<Value>> {
        let [batch, heads, queries, keys] = self.dims;
        let parts = match weights {
            true => {
                self.check_bytes(recording.device(), "weights", self.dims)?;
                vec![Part { heads: (0, batch * heads), queries: (0, queries) }]
            }
            false => Part::split((0, batch * heads), (0, queries), keys, recording.device()),
        };
        let k = self.as_f32(recording, &self.k)?;
        let v = self.as_f32(recording, &self.v)?;
        let mut last = None;
        for part in parts {
            let raw = self.record_scores(recording, &k, part)?;
            let to = recording.temporary([part.heads.1, part.queries.1, keys], DType::F32)?;
            self.record_softmax(recording, part, &raw, Parameters::new().stage, (&to, 0), sums)?;
            let p = self.part(part)?;
            let bindings = [&to, &v, &self.items, &self.output];
            recording.dispatch_trusted(&WeightedValues, weighted_values::tiled(), &p, &bindings)?;
            last = Some(to);
        }
        match last {
            Some(all) if weights => all.reshape(self.dims).map(Some),
            _ => Ok(None),
        }
    }

    /// The weights of all heads and queries.
    pub(super) fn all_weights(&self, recording: &mut Recording) -> Result<Value> {
        let [batch, heads, queries, _] = self.dims;
        self.check_bytes(recording.device(), "weights", self.dims)?;
        let all = recording.temporary(self.dims, DType::F32)?;
        let part = Part { heads: (0, batch * heads), queries: (0, queries) };
        let k = self.as_f32(recording, &self.k)?;
        self.record_stage(recording, &k, part, Parameters::new().stage, (&all, 0))?;
        Ok(all)
    }

    /// Records a stage of a part's scores, from keys in f32, into a value from an element on.
    pub(super) fn record_stage(
        &self,
        recording: &mut Recording,
        k: &Value,
        part: Part,
        stage: u32,
        to: (&Value, usize),
    ) -> Result<()> {
        let keys = self.dims[3];
        let head_size = part.queries.1 * keys;
        for piece in Part::split(part.heads, part.queries, keys, recording.device()) {
            let place =
                (piece.heads.0 - part.heads.0) * head_size + (piece.queries.0 - part.queries.0) * keys;
            let raw = self.record_scores(recording, k, piece)?;
            self.record_softmax(recording, piece, &raw, stage, (to.0, to.1 + place), None)?;
        }
        Ok(())
    }

    pub(super) fn as_f32(&self, recording: &mut Recording, value: &Value) -> Result<Value> {
        if value.dtype() == DType::F16 { cast(recording, value, DType::F32) } else { Ok(value.clone()) }
    }

    pub(super) fn part(&self, part: Part) -> Result<Parameters> {
        let of = |value: usize| crate::ops::size(OP, "a part", value);
        Ok(Parameters {
            first_batch_head: of(part.heads.0)?,
            batch_heads: of(part.heads.1)?,
            first_query: of(part.queries.0)?,
            queries: of(part.queries.1)?,
            ..self.p
        })
    }

    pub(super) fn record_scores(&self, recording: &mut Recording, k: &Value, part: Part) -> Result<Value> {
        let raw = recording.temporary([part.heads.1, part.queries.1, self.dims[3]], DType::F32)?;
        let bindings = [&self.q, k, &self.items, &raw];
        recording.dispatch_trusted(&Scores, scores::tiled(), &self.part(part)?, &bindings)?;
        Ok(raw)
    }

    pub(super) fn record_softmax(
        &self,
        recording: &mut Recording,
        part: Part,
        raw: &Value,
        stage: u32,
        (to, offset): (&Value, usize),
        sums: Option<&Value>,
    ) -> Result<()> {
        let nowhere = match sums {
            Some(sums) => sums.clone(),
            None => recording.temporary([1], DType::F32)?,
        };
        let p = Parameters {
            output_offset: crate::ops::size(OP, "the captured elements", offset)?,
            has_sums: u32::from(sums.is_some()),
            stage,
            ..self.part(part)?
        };
        let variant = choose_rows(recording.device(), "softmax", self.dims[3], false)?;
        let bindings = [raw, &self.mask, &self.items, &self.head_terms, to, &nowhere];
        recording.dispatch_trusted(&ScaleMaskSoftmax, variant, &p, &bindings)
    }

    /// [`Error::Limit`] unless that many scores fit one tensor.
    pub(super) fn check_bytes(&self, device: &Device, what: &str, dims: [usize; 4]) -> Result<()> {
        let bytes =
            |dims: [usize; 4]| dims.iter().fold(4_u64, |bytes, &size| bytes.saturating_mul(size as u64));
        let (needed, available) = (bytes(dims), device.capabilities().tensor_bytes());
        if needed <= available {
            return Ok(());
        }
        let all = bytes(self.dims);
        Err(Error::Limit {
            what: format!(
                "{what} {dims:?} of an attention (all of {:?} would take {all} bytes; capture fewer heads or queries)",
                self.dims
            ),
            limit: "maxStorageBufferBindingSize",
            needed,
            available,
        })
    }
}
