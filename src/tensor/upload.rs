//! A tensor on its way to a device, a piece at a time.

use std::sync::Arc;

use super::{DType, GpuBuffer, HostBuffer, Shape, Storage, Tensor, checked_words, settle};
use crate::device::{Device, Purpose};
use crate::error::{Error, Result};
use crate::host_memory;

/// Elements of a piece: even, so that f16 in pairs end with it.
pub(super) const PIECE: usize = 256 << 10;

/// Bytes that wgpu may keep for the GPU to fetch. It lets go of them only when something is submitted, and so would have a
/// second copy of a whole model.
const UNSENT_BYTES: u64 = 32 << 20;

/// A tensor that is being filled, from its first word on.
pub(super) struct Upload {
    tensor: Tensor,
    /// The words so far, on the CPU device.
    host: Vec<u32>,
    words: u64,
    unsent: u64,
    /// Pairs of f16.
    pairs: Vec<u32>,
}

impl Upload {
    pub fn new(device: &Device, shape: Shape, dtype: DType) -> Result<Self> {
        let words = checked_words(device, &shape, dtype, "a tensor")?;
        let what = || what(&shape, dtype);
        let (host, storage) = match device.gpu() {
            None => {
                (host_memory::with_room(words as usize, what)?, Storage::Host(HostBuffer::new(Vec::new())))
            }
            Some(gpu) => {
                let pooled =
                    settle(gpu.scoped(&what(), 4 * words, || gpu.acquire(Purpose::Storage, 4 * words)))?;
                (Vec::new(), Storage::Gpu(Arc::new(GpuBuffer::new(device, pooled))))
            }
        };
        let tensor = Tensor::from_storage(device, shape, dtype, storage);
        Ok(Self { tensor, host, words: 0, unsent: 0, pairs: Vec::new() })
    }

    /// The next words.
    pub fn write(&mut self, words: &[u32]) -> Result<()> {
        let Tensor { device, storage, .. } = &self.tensor;
        if let (Storage::Gpu(buffer), Some(gpu)) = (storage, device.gpu()) {
            for piece in words.chunks(PIECE) {
                settle(gpu.scoped(
                    &what(&self.tensor.shape, self.tensor.dtype),
                    self.tensor.bytes(),
                    || {
                        gpu.queue.write_buffer(&buffer.buffer, 4 * self.words, bytemuck::cast_slice(piece));
                    },
                ))?;
                self.words += piece.len() as u64;
                self.unsent += 4 * piece.len() as u64;
                if self.unsent > UNSENT_BYTES {
                    gpu.send()?;
                    self.unsent = 0;
                }
            }
        } else {
            // There is room: all of the tensor's words are not more than were asked for, and `finish` counts them.
            let room = self.host.capacity() - self.host.len();
            self.host.extend_from_slice(&words[..words.len().min(room)]);
            self.words += words.len() as u64;
        }
        Ok(())
    }

    /// The next values as f16, rounded to nearest. Only the last piece may be of an odd length. All that becomes f16 on the
    /// host goes through here.
    pub fn write_as_f16(&mut self, values: &[f32]) -> Result<()> {
        for piece in values.chunks(PIECE) {
            let mut pairs = std::mem::take(&mut self.pairs);
            pairs.clear();
            if pairs.try_reserve_exact(piece.len().div_ceil(2)).is_err() {
                return Err(host_memory::lacking::<f32>(piece.len(), "a piece of f16".to_owned()));
            }
            let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
            let pair = |pair: &[f32]| bits(pair[0]) | bits(*pair.get(1).unwrap_or(&0.0)) << 16;
            pairs.extend(piece.chunks(2).map(pair));
            self.write(&pairs)?;
            self.pairs = pairs;
        }
        Ok(())
    }

    /// The tensor, once all of it has been written.
    pub fn finish(self) -> Result<Tensor> {
        let Self { mut tensor, host, words, .. } = self;
        let (needed, dtype, shape) = (tensor.words(), tensor.dtype, &tensor.shape);
        if needed != words {
            let expected = format!("{needed} words for {dtype} {shape}");
            return Err(Error::argument("tensor", "values", expected, format!("{words} words")));
        }
        if matches!(tensor.storage, Storage::Host(_)) {
            tensor.storage = Storage::Host(HostBuffer::new(host));
        }
        Ok(tensor)
    }
}

fn what(shape: &Shape, dtype: DType) -> String {
    format!("a tensor {dtype} {shape}")
}
