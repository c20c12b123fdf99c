//! A recording: dispatches in order, over values whose lifetimes are known. It runs on a GPU, as one command buffer,
//! or on the CPU, by the kernels' twins.

mod cpu;
mod gpu;
mod images;
mod plan;
#[cfg(not(target_arch = "wasm32"))]
mod repeated;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use gpu::{Prepared, Submitted, pipelines};
pub(crate) use images::Images;
pub(crate) use plan::Plan;
#[cfg(not(target_arch = "wasm32"))]
pub use repeated::{Repeated, Took};
pub use trace::{Step, trace};

use crate::device::{Device, Texel};
use crate::error::{Error, Result};
use crate::kernel::{Access, Cost, Kernel, Variant};
use crate::tensor::{DType, Shape, Storage, Tensor, checked_words};
#[cfg(not(target_arch = "wasm32"))]
use crate::waiting::{WAITS, WORK, block_on, unblock};

/// A tensor that a recording will make, or one that it was given.
#[derive(Clone, Debug)]
pub struct Value {
    recording: u64,
    index: usize,
    shape: Shape,
    dtype: DType,
}

impl Value {
    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its dtype.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Ok(Self { shape: self.shape.reshaped(shape.into())?, ..self.clone() })
    }

    /// True if both are the same elements.
    pub fn is(&self, other: &Value) -> bool {
        (self.recording, self.index) == (other.recording, other.index)
    }
}

/// One dispatch of a kernel.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub kernel: &'static dyn Kernel,
    pub variant: Variant,
    pub parameters: Vec<u8>,
    pub workgroups: [u32; 3],
    /// The slot behind each storage binding.
    pub bindings: Vec<usize>,
    /// Where in the model it stands.
    pub scope: String,
    pub cost: Cost,
}

impl Dispatch {
    pub fn writes(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots(Access::Write)
    }

    /// The slots that it reads as images: the place among the variant's images, what a texel holds, and the slot.
    fn images(&self) -> impl Iterator<Item = (usize, Texel, usize)> + '_ {
        self.kernel.bindings().iter().zip(&self.bindings).filter_map(|(binding, &slot)| {
            let (place, texel) = self.variant.image_of(binding.name)?;
            Some((place, texel, slot))
        })
    }

    fn slots(&self, access: Access) -> impl Iterator<Item = usize> + '_ {
        let bindings = self.kernel.bindings().iter().zip(&self.bindings);
        bindings.filter(move |(binding, _)| binding.access == access).map(|(_, slot)| *slot)
    }
}

/// What lies behind a value.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The caller's tensor; without one the executor finds the memory.
    pub tensor: Option<Tensor>,
    pub words: u64,
    /// Outlives the run.
    pub output: bool,
}

/// Dispatches in order, to be run at once.
#[derive(Debug)]
pub struct Recording {
    device: Device,
    id: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) dispatches: Vec<Dispatch>,
    scope: Vec<String>,
    absent: Option<Value>,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunStatistics {
    /// Dispatches run.
    pub dispatches: usize,
    /// Submissions made (0 on the CPU device).
    pub submits: usize,
    /// Floating-point operations of the largest submission (0 on the CPU device).
    pub largest_submit: u64,
    /// Bytes of temporaries, outputs and images at the peak, as they were allocated.
    pub peak_bytes: u64,
    /// Bytes that the same values would take without reuse.
    pub unshared_bytes: u64,
    /// What the dispatches cost, by their sizes.
    pub cost: Cost,
}

/// The outputs of a run.
#[derive(Debug)]
pub struct Outputs {
    recording: u64,
    device: Device,
    tensors: Vec<Option<Storage>>,
    /// What the run took.
    pub statistics: RunStatistics,
}

impl Outputs {
    /// The tensor of a value that was marked by [`Recording::output`].
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another recording, or one that was not marked.
    pub fn tensor(&self, value: &Value) -> Result<Tensor> {
        let storage = self.tensors.get(value.index).and_then(Option::as_ref);
        match storage {
            Some(storage) if value.recording == self.recording => {
                Ok(Tensor::from_storage(&self.device, value.shape.clone(), value.dtype, storage.clone()))
            }
            _ => {
                Err(Error::argument("recording", "the value", "marked as an output of this recording", "not"))
            }
        }
    }
}

impl Recording {
    /// An empty recording for that device.
    pub fn new(device: &Device) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            device: device.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            slots: Vec::new(),
            dispatches: Vec::new(),
            scope: Vec::new(),
            absent: None,
        }
    }

    /// The device that it is for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Takes a tensor in.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] if it lives elsewhere.
    pub fn tensor(&mut self, tensor: &Tensor) -> Result<Value> {
        let argument = || format!("a tensor {} {}", tensor.dtype(), tensor.shape());
        Error::expect_device("recording", argument, [&self.device, tensor.device()])?;
        let slot = Slot { tensor: Some(tensor.clone()), words: tensor.words(), output: false };
        Ok(self.push(slot, tensor.shape().clone(), tensor.dtype()))
    }

    /// A value that a dispatch of this recording will write.
    ///
    /// # Errors
    /// [`Error::Limit`] if it does not fit one buffer and one binding of the device.
    pub fn temporary(&mut self, shape: impl Into<Shape>, dtype: DType) -> Result<Value> {
        let shape = shape.into();
        let words = checked_words(&self.device, &shape, dtype, "a temporary")?;
        Ok(self.push(Slot { tensor: None, words, output: false }, shape, dtype))
    }

    /// A stand-in for a binding that a variant does not use.
    pub(crate) fn absent(&mut self) -> Result<Value> {
        if self.absent.is_none() {
            let nothing = Tensor::from_u32(&self.device, [4], &[0; 4])?;
            self.absent = Some(self.tensor(&nothing)?);
        }
        self.absent.clone().ok_or_else(|| Error::argument("recording", "absent", "there", "absent"))
    }

    fn push(&mut self, slot: Slot, shape: Shape, dtype: DType) -> Value {
        self.slots.push(slot);
        Value { recording: self.id, index: self.slots.len() - 1, shape, dtype }
    }

    /// Marks a value as an output: its memory is its own, and [`Outputs::tensor`] gives it after the run.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another recording.
    pub fn output(&mut self, value: &Value) -> Result<()> {
        self.own(value)?;
        self.slots[value.index].output = true;
        Ok(())
    }

    /// Records under a name, such as `encoder.layer.3`, that `verify` and errors show.
    ///
    /// # Errors
    /// What `record` has for an error, as [`Error::In`] the name; names within each other are joined by dots.
    pub fn scoped<T>(
        &mut self,
        name: impl Into<String>,
        record: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let name = name.into();
        self.scope.push(name.clone());
        let result = record(self);
        self.scope.pop();
        result.map_err(|error| error.within(&name))
    }

    /// Appends a dispatch of `kernel`; `bindings` in its order.
    pub(crate) fn dispatch(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: &impl bytemuck::Pod,
        bindings: &[&Value],
    ) -> Result<()> {
        self.dispatch_bytes(kernel, variant, bytemuck::bytes_of(parameters).to_vec(), bindings)
    }

    pub(crate) fn dispatch_bytes(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: Vec<u8>,
        bindings: &[&Value],
    ) -> Result<()> {
        for value in bindings {
            self.own(value)?;
        }
        // Neither WebGPU nor the twins allow it.
        let each = || kernel.bindings().iter().zip(bindings).enumerate();
        for (place, (written, value)) in each().filter(|(_, (binding, _))| binding.access == Access::Write) {
            let other = each().find(|(other, (_, same))| *other != place && self.share(value, same));
            if let Some((_, (other, _))) = other {
                let found = format!("that of `{}`", other.name);
                let argument = format!("`{}`", written.name);
                return Err(Error::argument(kernel.name(), argument, "a buffer of its own", found));
            }
        }
        let capabilities = self.device.capabilities();
        if let Err(reason) = variant.runs_on(capabilities) {
            let (op, name) = (kernel.name().to_owned(), variant.name().to_owned());
            return Err(Error::Implementation { op, name, reason });
        }
        let (needed, available) = (kernel.bindings().len() as u32, capabilities.storage_buffers);
        if needed > available {
            return Err(Error::Limit {
                what: kernel.name().to_owned(),
                limit: "maxStorageBuffersPerShaderStage",
                needed: needed.into(),
                available: available.into(),
            });
        }
        self.fits_images(kernel, &variant, bindings)?;
        let limit = capabilities.workgroups_per_dimension;
        let workgroups = kernel.workgroups(&variant, &parameters, limit);
        if let Some(&needed) = workgroups.iter().find(|&&count| count > limit) {
            return Err(Error::Limit {
                what: kernel.name().to_owned(),
                limit: "maxComputeWorkgroupsPerDimension",
                needed: needed.into(),
                available: limit.into(),
            });
        }
        if workgroups.contains(&0) {
            return Ok(());
        }
        let cost = kernel.cost(&variant, &parameters);
        if let Some(available) = capabilities.loop_iterations.filter(|&limit| cost.iterations > limit) {
            return Err(Error::Limit {
                what: format!("{} ({})", kernel.name(), variant.name()),
                limit: "loop iterations of one invocation",
                needed: cost.iterations,
                available,
            });
        }
        let bindings = bindings.iter().map(|value| value.index).collect();
        let scope = self.scope.join(".");
        self.dispatches.push(Dispatch { kernel, variant, parameters, workgroups, bindings, scope, cost });
        Ok(())
    }

    /// Whether the values that a variant reads as images can be read so.
    ///
    /// # Errors
    /// [`Error::Limit`] for one that is too large for an image of the device, [`Error::Argument`] for a host's buffer that
    /// must not be copied.
    pub(crate) fn fits_images(
        &self,
        kernel: &dyn Kernel,
        variant: &Variant,
        bindings: &[&Value],
    ) -> Result<()> {
        for (binding, value) in kernel.bindings().iter().zip(bindings) {
            if let Some((_, texel)) = variant.image_of(binding.name) {
                self.fits_image(value, texel)?;
            }
        }
        Ok(())
    }

    fn fits_image(&self, value: &Value, texel: Texel) -> Result<()> {
        let slot = &self.slots[value.index];
        let (needed, available) = (texel.rows(slot.words), self.device.capabilities().image_rows);
        if needed > available.into() {
            let what = format!("{} {} as an image", value.dtype, value.shape);
            let limit = "maxTextureDimension2D";
            return Err(Error::Limit { what, limit, needed, available: available.into() });
        }
        let buffer = slot.tensor.as_ref().and_then(Tensor::wgpu_buffer);
        match buffer.map(wgpu::Buffer::usage) {
            Some(usage) if !usage.contains(wgpu::BufferUsages::COPY_SRC) => {
                let expected = "with the usage COPY_SRC, to be read as an image";
                Err(Error::argument("recording", "the buffer", expected, format!("{usage:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether both lie in the same memory: the same value, or tensors that share a buffer.
    pub(crate) fn share(&self, a: &Value, b: &Value) -> bool {
        let storage = |value: &Value| self.slots.get(value.index)?.tensor.as_ref().map(Tensor::storage);
        a.is(b) || matches!((storage(a), storage(b)), (Some(a), Some(b)) if a.is(b))
    }

    /// Whether it is a value of this recording.
    pub(crate) fn has(&self, value: &Value) -> bool {
        value.recording == self.id
    }

    fn own(&self, value: &Value) -> Result<()> {
        if self.has(value) {
            return Ok(());
        }
        let found = format!("{} {} of another", value.dtype, value.shape);
        Err(Error::argument("recording", "a value", "of this recording", found))
    }

    /// Runs it: on a GPU in one submission (in more only where one would hold the device for too long), on the CPU
    /// device by the twins.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Rejected`].
    pub async fn run_async(self) -> Result<Outputs> {
        // A software adapter computes in the very call that submits: so all of it is somebody else's.
        #[cfg(not(target_arch = "wasm32"))]
        {
            let pool = if self.device.is_cpu() { &WORK } else { &WAITS };
            unblock(pool, move |cancelled| block_on(self.run_unless(cancelled))).await
        }
        #[cfg(target_arch = "wasm32")]
        self.run_unless(&AtomicBool::new(false)).await
    }

    /// Runs it on this thread, as far as it may.
    async fn run_unless(self, cancelled: &AtomicBool) -> Result<Outputs> {
        match self.device.gpu() {
            Some(_) => gpu::run(self, cancelled).await,
            None => cpu::run(self, cancelled),
        }
    }

    /// The blocking form of [`Recording::run_async`].
    ///
    /// # Errors
    /// As [`Recording::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(self) -> Result<Outputs> {
        crate::waiting::block_on(self.run_async())
    }

    /// Bytes of temporaries, outputs and images at the peak, and what the first two would take without reuse.
    pub fn planned_bytes(&self) -> (u64, u64) {
        let plan = plan::Plan::of(self);
        (plan.bytes(), plan.unshared_bytes)
    }

    /// What its dispatches cost, by their sizes.
    pub fn cost(&self) -> Cost {
        self.dispatches.iter().fold(Cost::default(), |sum, dispatch| Cost {
            flops: sum.flops + dispatch.cost.flops,
            bytes: sum.bytes + dispatch.cost.bytes,
            iterations: sum.iterations.max(dispatch.cost.iterations),
        })
    }

    fn statistics(&self, plan: &plan::Plan, submits: &[u64]) -> RunStatistics {
        RunStatistics {
            dispatches: self.dispatches.len(),
            submits: submits.len(),
            largest_submit: submits.iter().copied().max().unwrap_or(0),
            peak_bytes: plan.bytes(),
            unshared_bytes: plan.unshared_bytes,
            cost: self.cost(),
        }
    }
}
