//! A linear layer over concatenated inputs, without the concatenation: W is cut by columns.

use super::{HostLinear, Parameters, Part};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{Linear, LinearWeights, cut_columns};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// W·\[x₁; x₂; …\] + b = W₁·x₁ + b + W₂·x₂ + …, on a device.
#[derive(Clone, Debug)]
pub(crate) struct SplitLinear {
    layer: &'static str,
    parts: Vec<LinearWeights>,
}

impl SplitLinear {
    /// From W `[outputs, Σ inputs]`, cut into the columns of each input. Errors name the layer and its part.
    pub fn new(
        device: &Device,
        [layer, part]: [&'static str; 2],
        outputs: usize,
        inputs: &[usize],
        weights: &HostLinear<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let columns = inputs.iter().fold(0_usize, |sum, &size| sum.saturating_add(size));
        if inputs.is_empty() {
            return Err(Error::argument(layer, "the inputs", "one or more", "none"));
        }
        weights.expect(Part(layer, part), [outputs, columns])?;
        let mut first = 0;
        let parts = inputs.iter().enumerate().map(|(index, &size)| {
            let part = cut_columns(weights.weight, columns, first..first + size);
            first += size;
            let bias = weights.bias.filter(|_| index == 0);
            LinearWeights::new(device, [outputs, size], &part, bias, dtype)
        });
        Ok(Self { layer, parts: parts.collect::<Result<_>>()? })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(LinearWeights::bytes).sum()
    }

    /// Its parts are columns of `weight`; the first has the bias.
    pub fn add_parameters(&self, to: &mut Parameters, names: [&str; 2]) {
        let columns = self.inputs().sum();
        let mut first = 0;
        for part in &self.parts {
            to.columns(names, columns, first, part);
            first += part.inputs();
        }
    }

    /// Columns of each input.
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().map(LinearWeights::inputs)
    }

    /// Records it: inputs `[…, size]` give `[…, outputs]`.
    pub fn record(&self, recording: &mut Recording, inputs: &[&Value]) -> Result<Value> {
        recording.atomically(|recording| {
            if inputs.len() != self.parts.len() {
                let expected = format!("{} values", self.parts.len());
                return Err(Error::argument(self.layer, "the inputs", expected, inputs.len().to_string()));
            }
            self.record_from(recording, 0, inputs, None)
        })
    }

    /// Records the parts from `first` on, as many as there are inputs, onto a sum that there is: what the inputs of other parts make of it can
    /// be had once for several calls. The first part has the bias.
    pub fn record_from(
        &self,
        recording: &mut Recording,
        first: usize,
        inputs: &[&Value],
        sum: Option<&Value>,
    ) -> Result<Value> {
        recording.atomically(|recording| {
            let mut sum = sum.cloned();
            for (part, input) in self.parts.iter().skip(first).zip(inputs) {
                let linear = Linear::new(part);
                let linear = sum.as_ref().map_or(linear, |sum| linear.residual(sum));
                sum = Some(linear.record(recording, input)?);
            }
            sum.ok_or_else(|| Error::argument(self.layer, "the inputs", "one or more", "none"))
        })
    }
}
