//! Attention in a host's own command encoder, over the host's own buffers.

use std::sync::Arc;

use super::{
    Attention, AttentionBuffers, AttentionShape, BufferPart, HeadTerms, Heads, Layout, Mask, PerHead,
    Placement,
};
use crate::device::{Device, Purpose};
use crate::error::{Error, Result};
use crate::recording::{Recording, RecordingPlan, Value};
use crate::tensor::{DType, GpuBuffer, Shape, Storage, Tensor, checked_words};

const OP: &str = "attention plan";

/// Attention with its pipelines and temporaries made, to be recorded into any encoder of the device. Nothing is
/// submitted by it: a [`RecordingPlan`] over buffers that may be others at each time.
///
/// What it needs for a set of buffers is made when they are first recorded, and kept for the last 8 sets, as are the buffers
/// themselves: recording over one of those makes nothing.
#[derive(Debug)]
pub struct AttentionPlan {
    shape: AttentionShape,
    plan: RecordingPlan,
    /// The contents of each buffer, in the order of their slots.
    wanted: Vec<Wanted>,
}

/// The contents that a buffer must have.
#[derive(Debug)]
struct Wanted {
    name: &'static str,
    shape: Shape,
    dtype: DType,
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
        let mut wanted = Vec::new();
        let recording = record(device, shape, |dims, dtype, name| {
            let shape = Shape::from(dims);
            wanted.push(Wanted { name, shape: shape.clone(), dtype });
            checked_words(device, &shape, dtype, name)?;
            // Stands in for the host's buffer: only its place in the recording counts here.
            let stand_in = Arc::new(GpuBuffer::new(device, gpu.acquire(Purpose::Storage, 4)));
            Ok(Tensor::from_storage(device, shape, dtype, Storage::Gpu(stand_in)))
        })?;
        let plan = RecordingPlan::with_open(recording, wanted.len()).await?;
        Ok(Self { shape: *shape, plan, wanted })
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
        self.plan.bytes()
    }

    /// Records it into an encoder of the device that has no open pass, any number of times, as
    /// [`RecordingPlan::record`] does.
    ///
    /// # Errors
    /// [`Error::Argument`] for a buffer that is missing, not asked for, too small, of another usage, or written and that
    /// of another tensor too (parts of one buffer are one buffer there, as WebGPU has it), and for a part that begins where the
    /// device's alignment forbids it.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, buffers: AttentionBuffers<'_>) -> Result<()> {
        let shape = &self.shape;
        let optional = [
            ("key_lengths", shape.has_key_lengths),
            ("key_padding_mask", shape.has_key_padding_mask),
            ("mask", shape.mask.is_some()),
        ];
        let optional = optional.into_iter().chain(shape.per_head.entries()).chain([
            ("relative_bias", shape.relative_bias.is_some()),
            ("packed", shape.packed.is_some()),
            ("page_table", shape.paged.is_some()),
            ("log_sum_exp", shape.has_log_sum_exp),
        ]);
        for (name, wanted) in optional {
            let expected = match (wanted, buffers.get(name).is_some()) {
                (false, true) => "absent, as the plan was made without it",
                (true, false) => "there, as the plan was made with it",
                _ => continue,
            };
            let found = if wanted { "absent" } else { "there" };
            return Err(Error::argument(OP, name, expected, found));
        }
        let parts = self.wanted.iter().filter_map(|wanted| Some((wanted, buffers.get(wanted.name)?)));
        let parts: Vec<(&Wanted, BufferPart<'_>)> = parts.collect();
        parts.iter().try_for_each(|(wanted, part)| self.check(wanted, part))?;
        let given = parts.iter().map(|(_, part)| (part.buffer.clone(), part.offset));
        self.plan.record_over(encoder, given.collect(), |given| {
            // In the op's words: WebGPU forbids a buffer to be written and bound a second time in one dispatch.
            let words = |name| match name {
                "output" => "the output",
                "mask" => "the mask",
                name => name,
            };
            let each = || self.wanted.iter().map(|wanted| wanted.name).zip(given);
            for (place, (written, (own, _))) in each().enumerate() {
                if !["output", "log_sum_exp"].contains(&written) {
                    continue;
                }
                let mut others = each().enumerate().filter(|&(other, (name, _))| {
                    other != place && !(written == "output" && name == "log_sum_exp")
                });
                if let Some((_, (other, _))) = others.find(|(_, (_, (buffer, _)))| buffer == own) {
                    let found = format!("that of {}", words(other));
                    return Err(Error::argument(OP, words(written), "a value of its own", found));
                }
            }
            Ok(())
        })
    }

    /// Whether a part of a buffer can hold what it must.
    fn check(&self, Wanted { name, shape, dtype }: &Wanted, part: &BufferPart<'_>) -> Result<()> {
        let wrong = |what: &str, expected: String, found: String| {
            Err(Error::argument(OP, format!("{what} of {name}"), expected, found))
        };
        let gpu = self.plan.device().gpu();
        let alignment = gpu.map_or(1, |gpu| gpu.device.limits().min_storage_buffer_offset_alignment.max(4));
        if !part.offset.is_multiple_of(alignment.into()) {
            let expected = format!("a multiple of {alignment}, as the device asks of storage buffers");
            return wrong("the offset", expected, format!("{} bytes", part.offset));
        }
        let needed = dtype.words(shape.elements()) * 4;
        if part.bytes() < needed {
            let expected = format!("at least {needed} bytes for {dtype} {shape}");
            let found = match part.offset {
                0 => format!("{} bytes", part.bytes()),
                offset => format!("{} bytes from byte {offset} on", part.bytes()),
            };
            return wrong("the buffer", expected, found);
        }
        let usage = part.buffer.usage();
        if !usage.contains(wgpu::BufferUsages::STORAGE) {
            return wrong("the buffer", "a buffer with the usage STORAGE".to_owned(), format!("{usage:?}"));
        }
        Ok(())
    }
}

/// Records attention over the tensors that `tensor` gives for their shapes, dtypes and names.
fn record(
    device: &Device,
    shape: &AttentionShape,
    mut tensor: impl FnMut(Vec<usize>, DType, &'static str) -> Result<Tensor>,
) -> Result<Recording> {
    if shape.has_key_lengths && shape.has_key_padding_mask {
        let expected = "absent, as there are key_lengths";
        return Err(Error::argument(OP, "key_padding_mask", expected, "there"));
    }
    let mut recording = Recording::new(device);
    let mut take = |dims: &[usize], dtype: DType, name: &'static str| {
        recording.tensor(&tensor(dims.to_vec(), dtype, name)?)
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
    let mut optional = |there: bool, dims: &[usize], dtype: DType, name: &'static str| {
        there.then(|| take(dims, dtype, name)).transpose()
    };
    let lengths = optional(shape.has_key_lengths, &[shape.batch], DType::U32, "key_lengths")?;
    let padding =
        optional(shape.has_key_padding_mask, &[shape.batch, shape.keys], DType::U32, "key_padding_mask")?;
    let mask = optional(shape.mask.is_some(), &shape.mask.unwrap_or_default(), shape.mask_dtype, "mask")?;
    let per_head: PerHead<Option<Value>> =
        shape.per_head.try_map(|name, there| optional(there, &[shape.heads], DType::F32, name))?;
    let distances = shape.relative_bias.map_or(1, |reach| reach.saturating_mul(2).saturating_add(1));
    let relative = shape.relative_bias.is_some();
    let relative = optional(relative, &[shape.heads, distances], DType::F32, "relative_bias")?;
    let packed = optional(shape.packed.is_some(), &[2, shape.batch.saturating_add(1)], DType::U32, "packed")?;
    let pages = shape.paged.map_or(0, |paged| shape.keys.div_ceil(paged.page_size.max(1)));
    let table = optional(shape.paged.is_some(), &[shape.batch, pages], DType::U32, "page_table")?;
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
    attention = attention.per_head(per_head.as_ref().map(|_, terms| terms.as_ref().map(HeadTerms::Value)));
    if let Some(relative) = &relative {
        attention = attention.relative_bias_value(relative);
    }
    if let Some(packed) = &packed {
        attention = attention.packed_value(packed, [shape.queries, shape.keys]);
    }
    if let Some(table) = &table {
        attention = attention.page_table_value(table);
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
