//! Attention in a host's own command encoder, over the host's own buffers.

use std::sync::Arc;

use super::{Attention, Causal, Heads, Layout, Mask};
use crate::device::{Device, Pipeline};
use crate::error::{Error, Result};
use crate::recording::{Plan, Prepared, Recording, pipelines};
use crate::tensor::{DType, GpuBuffer, Tensor, settle};

/// What an [`AttentionPlan`] is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Batch items.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, of which `heads` is a multiple.
    pub key_heads: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a query and a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    /// How the heads of q, k, v and the output lie.
    pub layout: Layout,
    /// Which keys the order allows.
    pub causal: Causal,
    /// In place of 1/√head_dim.
    pub scale: Option<f32>,
    /// Whether [`AttentionBuffers::key_lengths`] will be there.
    pub has_key_lengths: bool,
    /// The float mask that [`AttentionBuffers::mask`] will hold, broadcast to `[batch, heads, queries, keys]`.
    pub mask: Option<[usize; 4]>,
}

impl AttentionShape {
    /// Self-attention of `[batch, heads, length, head_dim]`, without a mask.
    pub fn new([batch, heads, length, head_dim]: [usize; 4]) -> Self {
        Self {
            batch,
            heads,
            key_heads: heads,
            queries: length,
            keys: length,
            head_dim,
            value_dim: head_dim,
            layout: Layout::HeadsFirst,
            causal: Causal::None,
            scale: None,
            has_key_lengths: false,
            mask: None,
        }
    }

    fn dims(&self, heads: usize, length: usize, columns: usize) -> [usize; 4] {
        match self.layout {
            Layout::HeadsFirst => [self.batch, heads, length, columns],
            Layout::RowsFirst => [self.batch, length, heads, columns],
        }
    }
}

/// A host's buffers, dense, in the plan's layout; usage `STORAGE`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBuffers<'a> {
    /// f32 queries.
    pub q: &'a wgpu::Buffer,
    /// f32 keys.
    pub k: &'a wgpu::Buffer,
    /// f32 values.
    pub v: &'a wgpu::Buffer,
    /// f32 output, written.
    pub output: &'a wgpu::Buffer,
    /// u32 `[batch]`: keys of each item.
    pub key_lengths: Option<&'a wgpu::Buffer>,
    /// f32, added to the scaled scores.
    pub mask: Option<&'a wgpu::Buffer>,
}

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
            return Err(Error::argument("attention plan", "the device", "a GPU", device.name()));
        };
        // Stands in for the host's buffers: only its place in the recording counts here.
        let stand_in = Arc::new(GpuBuffer::new(device, gpu.acquire(4)));
        let recording = record(device, shape, |dims, dtype, _| {
            let storage = crate::tensor::Storage::Gpu(stand_in.clone());
            Ok(Some(Tensor::from_storage(device, dims.into(), dtype, storage)))
        })?;
        let plan = Plan::of(&recording);
        let pipelines = pipelines(&recording).await?;
        let (temporaries, outcome) = gpu.scoped("the temporaries", plan.bytes(), || {
            // Not given back for reuse: the host may submit its encoder after the plan is gone.
            let make = |&words: &u64| Arc::new(GpuBuffer::not_reusable(device, gpu.acquire(words * 4)));
            plan.buffers.iter().map(make).collect()
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
        pollster::block_on(Self::new_async(device, shape))
    }

    /// Bytes of its temporaries.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records it into `encoder`. May be recorded any number of times; the recordings share the temporaries, so they
    /// must be executed one after the other, as one queue does.
    ///
    /// # Errors
    /// [`Error::Argument`] for a buffer that is missing, too small, or of another usage.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, buffers: AttentionBuffers<'_>) -> Result<()> {
        let recording = record(&self.device, &self.shape, |dims, dtype, name| {
            let buffer = match name {
                "q" => Some(buffers.q),
                "k" => Some(buffers.k),
                "v" => Some(buffers.v),
                "output" => Some(buffers.output),
                "key_lengths" => buffers.key_lengths,
                _ => buffers.mask,
            };
            buffer.map(|buffer| Tensor::from_wgpu_buffer(&self.device, buffer, dims, dtype)).transpose()
        })?;
        let plan = Plan::of(&recording);
        let prepared = Prepared::assemble(&recording, &plan, &self.temporaries, &self.pipelines)?;
        settle(prepared)?.encode(encoder);
        Ok(())
    }
}

/// Records attention over the tensors that `tensor` gives for their shapes, dtypes and names.
fn record(
    device: &Device,
    shape: &AttentionShape,
    tensor: impl Fn(Vec<usize>, DType, &str) -> Result<Option<Tensor>>,
) -> Result<Recording> {
    let mut recording = Recording::new(device);
    let mut take = |dims: &[usize], dtype: DType, name: &str| match tensor(dims.to_vec(), dtype, name)? {
        Some(tensor) => recording.tensor(&tensor),
        None => Err(Error::argument("attention plan", name, "there, as the plan was made with it", "absent")),
    };
    let q = take(&shape.dims(shape.heads, shape.queries, shape.head_dim), DType::F32, "q")?;
    let k = take(&shape.dims(shape.key_heads, shape.keys, shape.head_dim), DType::F32, "k")?;
    let v = take(&shape.dims(shape.key_heads, shape.keys, shape.value_dim), DType::F32, "v")?;
    let output = take(&shape.dims(shape.heads, shape.queries, shape.value_dim), DType::F32, "output")?;
    let lengths = match shape.has_key_lengths {
        true => Some(take(&[shape.batch], DType::U32, "key_lengths")?),
        false => None,
    };
    let mask = shape.mask.map(|dims| take(&dims, DType::F32, "mask")).transpose()?;
    let mut attention = Attention::new().causal(shape.causal).output_layout(shape.layout);
    if let Some(scale) = shape.scale {
        attention = attention.scale(scale);
    }
    if let Some(lengths) = &lengths {
        attention = attention.key_lengths_value(lengths);
    }
    if let Some(mask) = &mask {
        attention = attention.mask(Mask::Float(mask));
    }
    let q = Heads::in_layout(&q, shape.layout)?;
    let k = Heads::in_layout(&k, shape.layout)?;
    let v = Heads::in_layout(&v, shape.layout)?;
    attention.record_into(&mut recording, &q, &k, &v, &output)?;
    Ok(recording)
}
