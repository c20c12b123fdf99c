//! Attention in two dispatches for subgroups of 8: the scores of a part, then their softmax and the values' sums.

use super::chained::Part;
use super::checked::Checked;
use crate::device::Device;
use crate::error::Result;
use crate::kernel::{Kernel, Variant};
use crate::kernels::attention::Parameters;
use crate::kernels::attention::flash::Form;
use crate::kernels::attention::scores_lanes::{self, ScoresLanes};
use crate::kernels::attention::softmax_values_lanes::{self, SoftmaxValuesLanes, Terms};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// The two kernels, specialized.
pub(super) struct Lanes {
    scores: Variant,
    values: Variant,
    /// Elements from one query's scores to the next.
    scores_row: u32,
}

/// Whole vec4s for so many keys, and one more where rows a power of two apart would share a cache's few sets.
fn scores_row(keys: u32) -> u32 {
    let row = keys.next_multiple_of(4).max(4);
    if row.is_multiple_of(128) { row + 4 } else { row }
}

impl Checked {
    /// The kernels to use.
    ///
    /// # Errors
    /// Why they cannot, as a sentence.
    pub(super) fn lanes(&self, device: &Device) -> std::result::Result<Lanes, String> {
        if device.is_cpu() {
            return Err("the CPU device has no subgroups".to_owned());
        }
        let p = &self.p;
        let few = p.query_length <= 16;
        let blocks = if p.value_dim <= 32 && !few { 1 } else { 2 };
        let lanes = Lanes {
            scores: scores_lanes::lanes(if few { 16 } else { 32 }, Form::of_keys(p, self.half)),
            values: softmax_values_lanes::lanes(blocks, Form::of_values(p, self.half), Terms::of(p)),
            scores_row: scores_row(p.key_length),
        };
        for variant in [&lanes.scores, &lanes.values] {
            variant.runs_on(device.capabilities())?;
        }
        let parameters = bytemuck::bytes_of(p);
        let iterations = ScoresLanes
            .cost(&lanes.scores, parameters)
            .iterations
            .max(SoftmaxValuesLanes.cost(&lanes.values, parameters).iterations);
        match device.capabilities().loop_iterations {
            Some(limit) if iterations > limit => {
                Err(format!("it needs {iterations} loop iterations, the device allows {limit}"))
            }
            _ => Ok(lanes),
        }
    }

    pub(super) fn record_lanes(
        &self,
        recording: &mut Recording,
        lanes: &Lanes,
        sums: Option<&Value>,
    ) -> Result<()> {
        let p = Parameters { has_sums: u32::from(sums.is_some()), scores_row: lanes.scores_row, ..self.p };
        if [p.value_dim, p.batches, p.heads, p.query_length].contains(&0) {
            return Ok(());
        }
        let nowhere = recording.temporary([1], DType::F32)?;
        let sums = sums.unwrap_or(&nowhere);
        let [batch, heads, queries, _] = self.dims;
        let row = lanes.scores_row as usize;
        for part in Part::split((0, batch * heads), (0, queries), row, recording.device()) {
            let p = Parameters { has_sums: p.has_sums, scores_row: p.scores_row, ..self.part(part)? };
            let dims = [part.heads.1, part.queries.1, row];
            let scores = recording.temporary(dims, DType::F32)?;
            let bindings = [&self.q, &self.k, &self.items, &scores];
            recording.dispatch(&ScoresLanes, lanes.scores.clone(), &p, &bindings)?;
            let logits = match lanes.values.flag("TERMS") {
                true => recording.temporary(dims, DType::F32)?,
                false => recording.temporary([4], DType::F32)?,
            };
            let bindings =
                [&scores, &self.v, &self.mask, &self.items, &self.head_terms, &self.output, sums, &logits];
            recording.dispatch(&SoftmaxValuesLanes, lanes.values.clone(), &p, &bindings)?;
        }
        Ok(())
    }
}
