//! Multi-scale deformable attention (Zhu et al. 2021).

use super::{HostLinear, Part};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{DeformableInputs, Linear, LinearWeights, deformable_attention, softmax};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "deformable_attention";

/// The sizes of a deformable attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeformableAttentionConfig {
    /// Columns of queries, of the input and of the output.
    pub model_dim: usize,
    /// Heads, of which `model_dim` is a multiple.
    pub heads: usize,
    /// Levels.
    pub levels: usize,
    /// Points that a head samples in each level.
    pub points: usize,
}

/// The weights of a deformable attention on the host, each `[outputs, inputs]`.
#[derive(Clone, Copy, Debug)]
pub struct DeformableAttentionWeights<'a> {
    /// `[model_dim, model_dim]`.
    pub value: HostLinear<'a>,
    /// `[heads · levels · points · 2, model_dim]`.
    pub sampling_offsets: HostLinear<'a>,
    /// `[heads · levels · points, model_dim]`.
    pub attention_weights: HostLinear<'a>,
    /// `[model_dim, model_dim]`.
    pub output: HostLinear<'a>,
}

/// Multi-scale deformable attention on a device: each query looks at a few places that it chooses itself, on maps of
/// several sizes (Zhu et al. 2021, equation 3).
#[derive(Clone, Debug)]
pub struct DeformableAttention {
    config: DeformableAttentionConfig,
    value: LinearWeights,
    sampling_offsets: LinearWeights,
    attention_weights: LinearWeights,
    output: LinearWeights,
}

/// The arguments of a call of deformable attention; S is Σ height · width over the levels.
#[derive(Clone, Copy, Debug)]
pub struct DeformableAttentionInputs<'a> {
    /// `[batch, queries, model_dim]`, with their positions added.
    pub queries: &'a Value,
    /// Where they look from: points or boxes, see [`DeformableInputs::references`].
    pub references: &'a Value,
    /// `[batch, S, model_dim]`: the levels one after the other, each row by row.
    pub input: &'a Value,
    /// Height and width of each level.
    pub shapes: &'a [[usize; 2]],
    /// Elements of the input that take part, u32 `[batch, S]`, nonzero for true (the inverse of the authors'
    /// `input_padding_mask`).
    pub padding: Option<&'a Value>,
}

/// The result of deformable attention.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeformableAttentionValues {
    /// `[batch, queries, model_dim]`.
    pub output: Value,
    /// `[batch, queries, heads, levels, points, 2]`: see [`DeformableInputs::offsets`].
    pub offsets: Value,
    /// `[batch, queries, heads, levels, points]`; those of a head sum to 1.
    pub weights: Value,
}

impl DeformableAttention {
    /// Uploads the weights, stored as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit or for another dtype than f32 and f16, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        config: DeformableAttentionConfig,
        weights: &DeformableAttentionWeights<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let DeformableAttentionConfig { model_dim, heads, levels, points } = config;
        if [model_dim, heads, levels, points].contains(&0) || !model_dim.is_multiple_of(heads) {
            let expected = "sizes of at least 1, model_dim a multiple of heads";
            return Err(Error::argument(OP, "the config", expected, format!("{config:?}")));
        }
        let sampled = heads.checked_mul(levels).and_then(|count| count.checked_mul(points));
        let Some((sampled, offsets)) = sampled.and_then(|count| Some((count, count.checked_mul(2)?))) else {
            return Err(Error::argument(OP, "the config", "fewer points", format!("{config:?}")));
        };
        let upload = |linear: HostLinear<'_>, name: &str, outputs: usize| {
            linear.upload(device, Part(OP, name), [outputs, model_dim], dtype)
        };
        Ok(Self {
            config,
            value: upload(weights.value, "value", model_dim)?,
            sampling_offsets: upload(weights.sampling_offsets, "sampling_offsets", offsets)?,
            attention_weights: upload(weights.attention_weights, "attention_weights", sampled)?,
            output: upload(weights.output, "output", model_dim)?,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &DeformableAttentionConfig {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let all = [&self.value, &self.sampling_offsets, &self.attention_weights, &self.output];
        all.into_iter().map(LinearWeights::bytes).sum()
    }

    /// Records it.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit.
    pub fn record(
        &self,
        recording: &mut Recording,
        inputs: &DeformableAttentionInputs<'_>,
    ) -> Result<DeformableAttentionValues> {
        recording.atomically(|recording| {
            let DeformableAttentionConfig { model_dim, heads, levels, points } = self.config;
            let &DeformableAttentionInputs { queries, references, input, shapes, padding } = inputs;
            let row = |name: &str, value: &Value| match *value.shape().dims() {
                [batch, rows, columns] if columns == model_dim => Ok([batch, rows]),
                _ => {
                    let expected = format!("[batch, rows, {model_dim}]");
                    Err(Error::argument(OP, name, expected, value.shape().to_string()))
                }
            };
            let [batch, count] = row("queries", queries)?;
            let [input_batch, positions] = row("the input", input)?;
            if input_batch != batch {
                let expected = format!("[{batch}, S, {model_dim}] for queries {}", queries.shape());
                return Err(Error::argument(OP, "the input", expected, input.shape().to_string()));
            }
            if shapes.len() != levels {
                let expected = format!("one for each of {levels} levels");
                return Err(Error::argument(OP, "shapes", expected, shapes.len().to_string()));
            }
            let project = |recording: &mut Recording, name: &str, weights: &LinearWeights, x: &Value| {
                recording.scoped(name, |recording| Linear::new(weights).record(recording, x))
            };
            let values = project(recording, "value", &self.value, input)?;
            let values = values.reshape([batch, positions, heads, model_dim / heads])?;
            let offsets = project(recording, "sampling_offsets", &self.sampling_offsets, queries)?;
            let offsets = offsets.reshape([batch, count, heads, levels, points, 2])?;
            let weights = project(recording, "attention_weights", &self.attention_weights, queries)?;
            let weights = softmax(recording, &weights.reshape([batch, count, heads, levels * points])?, -1)?;
            let weights = weights.reshape([batch, count, heads, levels, points])?;
            let inputs = DeformableInputs {
                values: &values,
                shapes,
                references,
                offsets: &offsets,
                weights: &weights,
                padding,
            };
            let sampled = deformable_attention(recording, &inputs)?;
            let output = project(recording, "output", &self.output, &sampled)?;
            Ok(DeformableAttentionValues { output, offsets, weights })
        })
    }
}
