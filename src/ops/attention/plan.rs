//! Attention in a host's own command encoder, over the host's own buffers.

use std::sync::Arc;

use super::{Attention, AttentionBuffers, AttentionShape, Heads, Layout, Mask, Placement};
use crate::device::{Device, Pipeline, Purpose};
use crate::error::{Error, Result};
use crate::recording::{Images, Plan, Prepared, Recording, Submitted, Value, pipelines};
use crate::tensor::{DType, GpuBuffer, Tensor, settle};

const OP: &str = "attention plan";

/// Attention with its pipelines and temporaries made, to be recorded into any encoder of the device. Nothing is
/// submitted by it.
#[derive(Debug)]
pub struct AttentionPlan {
    device: Device,
    shape: AttentionShape,
    pipelines: Vec<Arc<Pipeline>>,
    temporaries: Vec<Arc<GpuBuffer>>,
    bytes: u64,
}

impl AttentionPlan {
    /// Checks the shape, makes the pipelines and allocates the temporaries.
    ///
    /// # Errors
    /// Those of [`Attention::record`]; [`Error::OutOfMemory`]; [`Error::Argument`] on the CPU device.
    pub async fn new_async(device: &Device, shape: &AttentionShape) -> Result<Self> {
        let Some(gpu) = device.gpu() else {
            return Err(Error::argument(OP, "the device", "a GPU", device.name()));
        };
        let recording = record(device, shape, |dims, dtype, _| {
            // Stands in for the host's buffer: only its place in the recording counts here.
            let stand_in = Arc::new(GpuBuffer::new(device, gpu.acquire(Purpose::Storage, 4)));
            let storage = crate::tensor::Storage::Gpu(stand_in);
            Ok(Some(Tensor::from_storage(device, dims.into(), dtype, storage)))
        })?;
        let plan = Plan::of(&recording);
        let pipelines = pipelines(&recording).await?;
        let (temporaries, outcome) = gpu.scoped("the temporaries", plan.bytes(), || {
            // Not given back for reuse: the host may submit its encoder after the plan is gone.
            let make = |&words: &u64| gpu.acquire(Purpose::Storage, words * 4).buffer;
            let buffers = plan.buffers.iter().map(make);
            buffers.map(|buffer| Arc::new(GpuBuffer::not_reusable(device, buffer))).collect()
        });
        outcome.await?;
        Ok(Self { device: device.clone(), shape: *shape, pipelines, temporaries, bytes: plan.bytes() })
    }

    /// The blocking form of [`AttentionPlan::new_async`].
    ///
    /// # Errors
    /// As [`AttentionPlan::new_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(device: &Device, shape: &AttentionShape) -> Result<Self> {
        crate::waiting::block_on(Self::new_async(device, shape))
    }

    /// Bytes of its temporaries.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records it into `encoder`. May be recorded any number of times; the recordings share the temporaries, so they
    /// must be executed one after the other, as one queue does.
    ///
    /// # Errors
    /// [`Error::Argument`] for a buffer that is missing, not asked for, too small, of another usage, or written and that
    /// of another tensor too.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, buffers: AttentionBuffers<'_>) -> Result<()> {
        let shape = &self.shape;
        for (name, given, wanted) in [
            ("key_lengths", buffers.key_lengths, shape.has_key_lengths),
            ("key_padding_mask", buffers.key_padding_mask, shape.has_key_padding_mask),
            ("mask", buffers.mask, shape.mask.is_some()),
            ("alibi_slopes", buffers.alibi_slopes, shape.has_alibi_slopes),
            ("sinks", buffers.sinks, shape.has_sinks),
            ("relative_bias", buffers.relative_bias, shape.relative_bias.is_some()),
            ("packed", buffers.packed, shape.packed.is_some()),
            ("block_table", buffers.block_table, shape.paged.is_some()),
            ("log_sum_exp", buffers.log_sum_exp, shape.has_log_sum_exp),
        ] {
            if given.is_some() && !wanted {
                let expected = "absent, as the plan was made without it";
                return Err(Error::argument(OP, name, expected, "there"));
            }
        }
        let recording = record(&self.device, shape, |dims, dtype, name| {
            let buffer = match name {
                "q" => Some(buffers.q),
                "k" => Some(buffers.k),
                "v" => Some(buffers.v),
                "output" => Some(buffers.output),
                "key_lengths" => buffers.key_lengths,
                "key_padding_mask" => buffers.key_padding_mask,
                "alibi_slopes" => buffers.alibi_slopes,
                "sinks" => buffers.sinks,
                "relative_bias" => buffers.relative_bias,
                "packed" => buffers.packed,
                "block_table" => buffers.block_table,
                "log_sum_exp" => buffers.log_sum_exp,
                _ => buffers.mask,
            };
            let tensor = |buffer| Tensor::from_wgpu_buffer(&self.device, buffer, dims, dtype);
            buffer.map(|buffer| tensor(buffer).map_err(|error| named(error, name))).transpose()
        })?;
        let plan = Plan::of(&recording);
        // No kernel of attention reads one.
        let images = Images::none(&self.device);
        let (temporaries, pipelines) = (&self.temporaries, &self.pipelines);
        let prepared =
            Prepared::assemble(&recording, &plan, temporaries, images, pipelines, Submitted::ByHost)?;
        settle(prepared)?.encode(encoder);
        Ok(())
    }
}

/// The error with the name of the buffer that it is about.
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Argument { argument, expected, found, .. } => {
            Error::argument(OP, format!("{argument} of {name}"), expected, found)
        }
        other => other,
    }
}

/// Records attention over the tensors that `tensor` gives for their shapes, dtypes and names.
fn record(
    device: &Device,
    shape: &AttentionShape,
    tensor: impl Fn(Vec<usize>, DType, &str) -> Result<Option<Tensor>>,
) -> Result<Recording> {
    if shape.has_key_lengths && shape.has_key_padding_mask {
        let expected = "absent, as there are key_lengths";
        return Err(Error::argument(OP, "key_padding_mask", expected, "there"));
    }
    let mut recording = Recording::new(device);
    let mut take = |dims: &[usize], dtype: DType, name: &str| match tensor(dims.to_vec(), dtype, name)? {
        Some(tensor) => recording.tensor(&tensor),
        None => Err(Error::argument(OP, name, "there, as the plan was made with it", "absent")),
    };
    let [(q_batch, queries), (k_batch, keys)] = shape.stored();
    let [q_dims, k_dims] = [[q_batch, shape.heads, queries], [k_batch, shape.key_heads, keys]];
    let with_columns = |[batch, heads, rows]: [usize; 3], columns: usize| [batch, heads, rows, columns];
    let q_lies = Lies::new(shape, with_columns(q_dims, shape.head_dim), shape.q_placement);
    let k_lies = Lies::new(shape, with_columns(k_dims, shape.head_dim), shape.k_placement);
    let v_lies = Lies::new(shape, with_columns(k_dims, shape.value_dim), shape.v_placement);
    let output_lies = Lies::new(shape, with_columns(q_dims, shape.value_dim), shape.output_placement);
    let q = take(&q_lies.stored, shape.query_dtype, "q")?;
    let k = take(&k_lies.stored, shape.key_dtype, "k")?;
    let v = take(&v_lies.stored, shape.key_dtype, "v")?;
    let output = take(&output_lies.stored, DType::F32, "output")?;
    let mut optional = |there: bool, dims: &[usize], dtype: DType, name: &str| {
        there.then(|| take(dims, dtype, name)).transpose()
    };
    let lengths = optional(shape.has_key_lengths, &[shape.batch], DType::U32, "key_lengths")?;
    let padding =
        optional(shape.has_key_padding_mask, &[shape.batch, shape.keys], DType::U32, "key_padding_mask")?;
    let mask = optional(shape.mask.is_some(), &shape.mask.unwrap_or_default(), shape.mask_dtype, "mask")?;
    let slopes = optional(shape.has_alibi_slopes, &[shape.heads], DType::F32, "alibi_slopes")?;
    let sinks = optional(shape.has_sinks, &[shape.heads], DType::F32, "sinks")?;
    let distances = shape.relative_bias.map_or(1, |reach| reach.saturating_mul(2).saturating_add(1));
    let relative = shape.relative_bias.is_some();
    let relative = optional(relative, &[shape.heads, distances], DType::F32, "relative_bias")?;
    let packed = optional(shape.packed.is_some(), &[2, shape.batch.saturating_add(1)], DType::U32, "packed")?;
    let blocks = shape.paged.map_or(0, |paged| shape.keys.div_ceil(paged.block_size.max(1)));
    let table = optional(shape.paged.is_some(), &[shape.batch, blocks], DType::U32, "block_table")?;
    let sums = optional(shape.has_log_sum_exp, &[q_batch, shape.heads, queries], DType::F32, "log_sum_exp")?;

    let mut attention =
        Attention::new().causal(shape.causal).softcap(shape.softcap).window(shape.window[0], shape.window[1]);
    if let Some(alignment) = shape.alignment {
        attention = attention.alignment(alignment);
    }
    if let Some(scale) = shape.scale {
        attention = attention.scale(scale);
    }
    if let Some(lengths) = &lengths {
        attention = attention.key_lengths_value(lengths);
    }
    if let Some(padding) = &padding {
        attention = attention.key_padding_mask(padding);
    }
    if let Some(mask) = &mask {
        attention = attention.mask(match shape.mask_dtype {
            DType::U32 => Mask::Bool(mask),
            DType::F32 | DType::F16 => Mask::Float(mask),
        });
    }
    if let Some(slopes) = &slopes {
        attention = attention.alibi_slopes_value(slopes);
    }
    if let Some(sinks) = &sinks {
        attention = attention.sinks_value(sinks);
    }
    if let Some(relative) = &relative {
        attention = attention.relative_bias_value(relative);
    }
    if let Some(packed) = &packed {
        attention = attention.packed_value(packed, [shape.queries, shape.keys]);
    }
    if let Some(table) = &table {
        attention = attention.block_table_value(table);
    }
    let (q, k, v) = (q_lies.heads(&q)?, k_lies.heads(&k)?, v_lies.heads(&v)?);
    attention.record_with(&mut recording, [&q, &k, &v], &output_lies.heads(&output)?, sums)?;
    Ok(recording)
}

/// How a tensor of heads lies in its buffer.
struct Lies {
    /// The shape of what is bound.
    stored: Vec<usize>,
    layout: Layout,
    /// `[batch, heads, rows, columns]` somewhere in it.
    placed: Option<([usize; 4], Placement)>,
}

impl Lies {
    fn new(shape: &AttentionShape, dims: [usize; 4], placement: Option<Placement>) -> Self {
        let [batch, heads, rows, columns] = dims;
        let stored = match placement {
            None => shape.dims(batch, heads, rows, columns).to_vec(),
            Some(placement) => vec![placement.reach(dims)],
        };
        Self { stored, layout: shape.layout, placed: placement.map(|placement| (dims, placement)) }
    }

    fn heads<'a>(&self, value: &'a Value) -> Result<Heads<'a>> {
        match self.placed {
            None => Heads::in_layout(value, self.layout),
            Some((dims, Placement { offset, strides })) => Heads::strided(value, dims, offset, strides),
        }
    }
}
