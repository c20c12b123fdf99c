//! Tensors: shape, dtype, and the buffer that holds them, on a GPU or on the host.
//!
//! Every buffer is a sequence of 32-bit words, on the host too: f32, u32, or two f16 packed into one.

mod shape;
mod storage;
mod upload;

use std::sync::Arc;

pub use shape::Shape;
pub(crate) use storage::{GpuBuffer, HostBuffer, Storage};

use crate::device::{Device, Outcome};
use crate::error::{Error, Result};
use crate::host_memory;
#[cfg(not(target_arch = "wasm32"))]
use crate::waiting::{WAITS, block_on, unblock};
use upload::{PIECE, Upload};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float in storage, two in a word; kernels compute in f32.
    F16,
    /// 32-bit unsigned integer; also booleans, nonzero for true.
    U32,
}

impl DType {
    /// Words that hold `elements` of this dtype.
    pub fn words(self, elements: u64) -> u64 {
        match self {
            Self::F16 => elements.div_ceil(2),
            Self::F32 | Self::U32 => elements,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U32 => "u32",
        })
    }
}

/// A dense, row-major array on a device. Cloning shares the buffer.
#[derive(Clone)]
pub struct Tensor {
    device: Device,
    shape: Shape,
    dtype: DType,
    storage: Storage,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({} {} on {})", self.dtype, self.shape, self.device.name())
    }
}

impl Tensor {
    /// A tensor of f32 values in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] if `values` does not fill `shape`, [`Error::Limit`] if it is too large for one binding,
    /// [`Error::OutOfMemory`].
    pub fn from_f32(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        Self::from_words(device, shape.into(), DType::F32, bytemuck::cast_slice(values))
    }

    /// A tensor of u32 values in row-major order; booleans are nonzero for true.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_u32(device: &Device, shape: impl Into<Shape>, values: &[u32]) -> Result<Self> {
        Self::from_words(device, shape.into(), DType::U32, values)
    }

    /// A tensor that stores `values` as f16, rounded to nearest.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_f32_as_f16(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        let mut upload = Self::halves(device, shape.into(), values.len())?;
        upload.write_as_f16(values)?;
        upload.finish()
    }

    /// A tensor of f16 values in row-major order.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_f16(device: &Device, shape: impl Into<Shape>, values: &[half::f16]) -> Result<Self> {
        let mut upload = Self::halves(device, shape.into(), values.len())?;
        for piece in values.chunks(PIECE) {
            upload.write(&halves_packed(piece))?;
        }
        upload.finish()
    }

    /// An f16 tensor to be filled with that many elements.
    fn halves(device: &Device, shape: Shape, elements: usize) -> Result<Upload> {
        checked_words(device, &shape, DType::F16, "a tensor")?;
        // Two elements share a word, so the words alone would not tell.
        if shape.elements() != elements as u64 {
            let expected = format!("{} elements for f16 {shape}", shape.elements());
            return Err(Error::argument("tensor", "values", expected, format!("{elements} elements")));
        }
        Upload::new(device, shape, DType::F16)
    }

    /// A tensor, f32 or f16, whose values `fill` gives in pieces, from the first on: each time the number of the next one,
    /// and the place for it and those after it. So the host never has all of them.
    ///
    /// # Errors
    /// Those of `fill`; [`Error::Argument`] for another dtype, [`Error::Limit`], [`Error::OutOfMemory`].
    pub(crate) fn from_pieces(
        device: &Device,
        shape: impl Into<Shape>,
        dtype: DType,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let shape = shape.into();
        if dtype == DType::U32 {
            return Err(Error::argument("tensor", "the dtype", "f32 or f16", "u32"));
        }
        let elements = shape.checked_elements().unwrap_or(u64::MAX) as usize;
        let mut upload = Upload::new(device, shape, dtype)?;
        let mut values = host_memory::zeroed(elements.min(PIECE), || "a piece of a tensor".to_owned())?;
        for first in (0..elements).step_by(PIECE) {
            let values = &mut values[..PIECE.min(elements - first)];
            fill(first, values)?;
            match dtype {
                DType::F16 => upload.write_as_f16(values)?,
                _ => upload.write(bytemuck::cast_slice(values))?,
            }
        }
        upload.finish()
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::Limit`] if it is too large for one binding, [`Error::OutOfMemory`].
    pub fn zeros(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        let words = checked_words(device, &shape, dtype, "a tensor")? as usize;
        if device.is_cpu() {
            let zeros = host_memory::zeroed(words, || format!("a tensor {dtype} {shape}"))?;
            return Ok(Self::from_storage(device, shape, dtype, Storage::Host(HostBuffer::new(zeros))));
        }
        let mut upload = Upload::new(device, shape, dtype)?;
        let zeros = host_memory::zeroed(words.min(PIECE), || "a piece of a tensor".to_owned())?;
        for first in (0..words).step_by(PIECE) {
            upload.write(&zeros[..PIECE.min(words - first)])?;
        }
        upload.finish()
    }

    /// A tensor from the words of its buffer.
    pub(crate) fn from_words(device: &Device, shape: Shape, dtype: DType, words: &[u32]) -> Result<Self> {
        let needed = checked_words(device, &shape, dtype, "a tensor")?;
        if needed != words.len() as u64 {
            let expected = format!("{needed} words for {dtype} {shape}");
            return Err(Error::argument("tensor", "values", expected, format!("{} words", words.len())));
        }
        let mut upload = Upload::new(device, shape, dtype)?;
        upload.write(words)?;
        upload.finish()
    }

    /// A tensor over a host's own buffer, whose usage must include `STORAGE`. The buffer stays the host's: it is never used for
    /// anything else, and is let go of with the last tensor and plan over it. It must be of the wgpu device that `device` is, and of
    /// its instance; wgpu tells neither here. A buffer of another device is an [`Error::Rejected`] when it is bound; one of
    /// another `wgpu::Instance` is a number that means nothing in this one, at which wgpu panics, or takes another buffer for it.
    /// With `COPY_SRC` too, products on lavapipe can read it as an image, which is faster.
    ///
    /// # Errors
    /// [`Error::Argument`] if the buffer is too small, has another usage, or the device is the CPU;
    /// [`Error::Limit`] if the shape is too large for one binding.
    pub fn from_wgpu_buffer(
        device: &Device,
        buffer: &wgpu::Buffer,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<Self> {
        let shape = shape.into();
        let needed = checked_words(device, &shape, dtype, "a tensor")? * 4;
        let wrong =
            |expected: String, found: String| Err(Error::argument("tensor", "the buffer", expected, found));
        if device.is_cpu() {
            return wrong("for a GPU device".to_owned(), "for the CPU device".to_owned());
        }
        if buffer.size() < needed {
            return wrong(
                format!("at least {needed} bytes for {dtype} {shape}"),
                format!("{} bytes", buffer.size()),
            );
        }
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return wrong("a buffer with the usage STORAGE".to_owned(), format!("{:?}", buffer.usage()));
        }
        let storage = Storage::Gpu(Arc::new(GpuBuffer::of_host(device, buffer.clone())));
        Ok(Self::from_storage(device, shape, dtype, storage))
    }

    pub(crate) fn from_storage(device: &Device, shape: Shape, dtype: DType, storage: Storage) -> Self {
        Self { device: device.clone(), shape, dtype, storage }
    }

    /// The device that it lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its dtype.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of its elements.
    pub fn bytes(&self) -> u64 {
        self.words() * 4
    }

    pub(crate) fn words(&self) -> u64 {
        self.dtype.words(self.shape.elements())
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The wgpu buffer that holds it, absent on the CPU device. Its elements come first; the buffer may be larger, and what
    /// is behind them is 0 at the first call.
    ///
    /// One of ours has the usages `STORAGE`, `COPY_SRC` and `COPY_DST`. Once it was asked for here it belongs to this tensor,
    /// its clones and the caller's handles for good: it is not used again for another tensor, however long the handles live.
    /// (Without that, the buffers of tensors that are dropped are used again.) What is written into it through a handle shows
    /// in the tensor, in the order of the queue.
    pub fn wgpu_buffer(&self) -> Option<&wgpu::Buffer> {
        let Storage::Gpu(buffer) = &self.storage else { return None };
        if buffer.give_out() {
            self.clear_padding(buffer);
        }
        Some(&buffer.buffer)
    }

    /// Zeros behind the elements of one of ours: the memory may have been another tensor's.
    fn clear_padding(&self, buffer: &GpuBuffer) {
        let (used, size) = (self.bytes(), buffer.buffer.size());
        if let Some(gpu) = self.device.gpu().filter(|_| buffer.number().is_some() && used < size) {
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            encoder.clear_buffer(&buffer.buffer, used, None);
            gpu.queue.submit([encoder.finish()]);
        }
    }

    /// [`Tensor::wgpu_buffer`] for a look at it alone.
    pub(crate) fn gpu_buffer(&self) -> Option<&GpuBuffer> {
        match &self.storage {
            Storage::Gpu(buffer) => Some(buffer),
            Storage::Host(_) => None,
        }
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Ok(Self { shape: self.shape.reshaped(shape.into())?, ..self.clone() })
    }

    /// Its values as f32, read back from the device.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::OutOfMemory`]; [`Error::Argument`] for a u32 tensor.
    pub async fn to_f32_async(&self) -> Result<Vec<f32>> {
        let words = self.to_words().await?;
        match self.dtype {
            DType::F32 => Ok(bytemuck::cast_vec(words)),
            DType::F16 => {
                let elements = self.shape.elements() as usize;
                let mut values = host_memory::with_room(elements, || self.what_is_read())?;
                values.extend(halves(&words).take(elements).map(half::f16::to_f32));
                Ok(values)
            }
            DType::U32 => Err(Error::argument("to_f32", "the tensor", "f32 or f16", "u32")),
        }
    }

    /// The blocking form of [`Tensor::to_f32_async`].
    ///
    /// # Errors
    /// As [`Tensor::to_f32_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        block_on(self.to_f32_async())
    }

    /// Its values, read back from the device, if it is f16.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::OutOfMemory`]; [`Error::Argument`] for another dtype.
    pub async fn to_f16_async(&self) -> Result<Vec<half::f16>> {
        if self.dtype != DType::F16 {
            return Err(Error::argument("to_f16", "the tensor", "f16", self.dtype.to_string()));
        }
        let words = self.to_words().await?;
        let elements = self.shape.elements() as usize;
        let mut values = host_memory::with_room(elements, || self.what_is_read())?;
        values.extend(halves(&words).take(elements));
        Ok(values)
    }

    /// The blocking form of [`Tensor::to_f16_async`].
    ///
    /// # Errors
    /// As [`Tensor::to_f16_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_f16(&self) -> Result<Vec<half::f16>> {
        block_on(self.to_f16_async())
    }

    /// Its values, read back from the device, if it is u32.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::OutOfMemory`]; [`Error::Argument`] for another dtype.
    pub async fn to_u32_async(&self) -> Result<Vec<u32>> {
        if self.dtype != DType::U32 {
            return Err(Error::argument("to_u32", "the tensor", "u32", self.dtype.to_string()));
        }
        self.to_words().await
    }

    /// The blocking form of [`Tensor::to_u32_async`].
    ///
    /// # Errors
    /// As [`Tensor::to_u32_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_u32(&self) -> Result<Vec<u32>> {
        block_on(self.to_u32_async())
    }

    /// Puts other values into an f32 tensor, or into an f16 one, rounded to nearest; in row-major order, as many as it has.
    /// Nothing is allocated on the device, so what is recorded or planned over the tensor stays as it is: a decoding step reads
    /// its new input so.
    ///
    /// Everything that shares the tensor's memory sees them: its clones, its reshaped forms, and values of recordings that took
    /// it in. On a GPU the values take their turn among what the queue is given: recordings whose `run` was called before, by
    /// this thread, read the old ones, even if they are not done yet; those that are run later read the new ones. So does a
    /// host's encoder that is submitted later, whenever it was encoded. On the CPU device they are there when this returns.
    ///
    /// ```
    /// # fn main() -> attentive::Result<()> {
    /// use attentive::{Device, Recording, Tensor, ops};
    ///
    /// let x = Tensor::from_f32(&Device::cpu(), [3], &[1.0, 2.0, 3.0])?;
    /// let mut recording = Recording::new(x.device());
    /// let value = recording.tensor(&x)?;
    /// let y = ops::add(&mut recording, &value, &value)?;
    /// recording.output(&y)?;
    /// x.write_f32(&[10.0, 20.0, 30.0])?;
    /// assert_eq!(recording.run()?.tensor(&y)?.to_f32()?, [20.0, 40.0, 60.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a u32 tensor, another number of values, or a host's buffer without the usage `COPY_DST`;
    /// [`Error::OutOfMemory`], [`Error::Rejected`]. Then the tensor is as it was.
    pub fn write_f32(&self, values: &[f32]) -> Result<()> {
        const OP: &str = "write_f32";
        match self.dtype {
            DType::F32 => self.write_words(OP, values.len(), || bytemuck::cast_slice(values).into()),
            DType::F16 => self.write_words(OP, values.len(), || pack_f16(values).into()),
            DType::U32 => Err(Error::argument(OP, "the tensor", "f32 or f16", "u32")),
        }
    }

    /// Puts other values into an f16 tensor, as [`Tensor::write_f32`] does.
    ///
    /// # Errors
    /// As [`Tensor::write_f32`]; [`Error::Argument`] for another dtype than f16.
    pub fn write_f16(&self, values: &[half::f16]) -> Result<()> {
        const OP: &str = "write_f16";
        match self.dtype {
            DType::F16 => self.write_words(OP, values.len(), || halves_packed(values).into()),
            other => Err(Error::argument(OP, "the tensor", "f16", other.to_string())),
        }
    }

    /// Puts other values into a u32 tensor, as [`Tensor::write_f32`] does.
    ///
    /// # Errors
    /// As [`Tensor::write_f32`]; [`Error::Argument`] for another dtype than u32.
    pub fn write_u32(&self, values: &[u32]) -> Result<()> {
        const OP: &str = "write_u32";
        match self.dtype {
            DType::U32 => self.write_words(OP, values.len(), || values.into()),
            other => Err(Error::argument(OP, "the tensor", "u32", other.to_string())),
        }
    }

    fn write_words<'a>(
        &self,
        op: &str,
        elements: usize,
        words: impl FnOnce() -> std::borrow::Cow<'a, [u32]>,
    ) -> Result<()> {
        if self.shape.elements() != elements as u64 {
            let expected = format!("{} for {} {}", self.shape.elements(), self.dtype, self.shape);
            return Err(Error::argument(op, "the values", expected, elements.to_string()));
        }
        if elements == 0 {
            return Ok(());
        }
        match (&self.storage, self.device.gpu()) {
            (Storage::Host(buffer), _) => {
                let words = words();
                buffer.write()[..words.len()].copy_from_slice(&words);
            }
            (Storage::Gpu(buffer), Some(gpu)) => {
                let usage = buffer.buffer.usage();
                if !usage.contains(wgpu::BufferUsages::COPY_DST) {
                    let expected = "with the usage COPY_DST";
                    return Err(Error::argument(op, "the buffer", expected, format!("{usage:?}")));
                }
                let words = words();
                let bytes: &[u8] = bytemuck::cast_slice(&words);
                buffer.changes();
                settle(gpu.scoped(op, bytes.len() as u64, || {
                    gpu.queue.write_buffer(&buffer.buffer, 0, bytes);
                }))?;
            }
            (Storage::Gpu(_), None) => {}
        }
        Ok(())
    }

    fn what_is_read(&self) -> String {
        format!("reading back a tensor {} {}", self.dtype, self.shape)
    }

    pub(crate) async fn to_words(&self) -> Result<Vec<u32>> {
        #[cfg(not(target_arch = "wasm32"))]
        if !self.device.is_cpu() {
            let tensor = self.clone();
            return unblock(&WAITS, move |_| block_on(tensor.read())).await;
        }
        self.read().await
    }

    /// Its words, waited for on this thread.
    async fn read(&self) -> Result<Vec<u32>> {
        match (&self.storage, self.device.gpu()) {
            (Storage::Gpu(buffer), Some(gpu)) => match buffer.take_copy() {
                Some((copied, submission)) => gpu.read_copied(copied, self.bytes(), Some(submission)).await,
                None => gpu.read(&buffer.buffer, self.bytes()).await,
            },
            (Storage::Host(buffer), _) => {
                host_memory::joined(&[&buffer.read()[..self.words() as usize]], || self.what_is_read())
            }
            (Storage::Gpu(_), None) => Ok(Vec::new()),
        }
    }
}

/// The words of a tensor, if the device can hold it in one buffer and bind it at once.
pub(crate) fn checked_words(device: &Device, shape: &Shape, dtype: DType, what: &str) -> Result<u64> {
    let limit = device.capabilities().tensor_bytes();
    let bytes = shape.checked_elements().and_then(|elements| dtype.words(elements).checked_mul(4));
    match bytes {
        Some(bytes) if bytes <= limit => Ok(bytes / 4),
        bytes => Err(Error::Limit {
            what: format!("{what} {dtype} {shape}"),
            limit: "maxStorageBufferBindingSize",
            needed: bytes.unwrap_or(u64::MAX),
            available: limit,
        }),
    }
}

/// Waits for what an error scope saw: on native it is there at once.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn settle<T>((value, outcome): (T, Outcome)) -> Result<T> {
    block_on(outcome).map(|()| value)
}

/// In the browser nothing can wait here; a failed allocation shows at the next run.
#[cfg(target_arch = "wasm32")]
pub(crate) fn settle<T>((value, _outcome): (T, Outcome)) -> Result<T> {
    Ok(value)
}

/// The words of f16 values.
fn halves_packed(values: &[half::f16]) -> Vec<u32> {
    let words = values.chunks(2).map(|pair| {
        let [low, high] = [Some(&pair[0]), pair.get(1)].map(|value| value.map_or(0, |f16| f16.to_bits()));
        u32::from(low) | u32::from(high) << 16
    });
    words.collect()
}

/// Two f16 in each word, the first in the low half (as `unpack2x16float` reads them).
pub(crate) fn pack_f16(values: &[f32]) -> Vec<u32> {
    let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
    values.chunks(2).map(|pair| bits(pair[0]) | bits(*pair.get(1).unwrap_or(&0.0)) << 16).collect()
}

/// The first `elements` f16 of packed words, for a twin.
pub(crate) fn unpack_f16(words: &[u32], elements: usize) -> Vec<f32> {
    let mut values = host_memory::scratch(elements);
    values.iter_mut().zip(halves(words)).for_each(|(value, half)| *value = half.into());
    values
}

fn halves(words: &[u32]) -> impl Iterator<Item = half::f16> + '_ {
    words.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]).map(half::f16::from_bits)
}
