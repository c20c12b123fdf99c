//! A recording: dispatches in order, over values whose lifetimes are known. It runs on a GPU, as one command buffer,
//! or on the CPU, by the kernels' twins.

mod cpu;
mod gpu;
mod images;
mod plan;
#[cfg(not(target_arch = "wasm32"))]
mod prepared;
mod recording_plan;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use gpu::{Prepared, Submitted};
#[cfg(not(target_arch = "wasm32"))]
pub use prepared::{PreparedRecording, RunTime};
pub use recording_plan::RecordingPlan;
pub use trace::{Step, trace};

use crate::device::{Device, Texel};
use crate::error::{Error, Result};
use crate::kernel::{Access, Cost, Kernel, Variant, module, parameter_bytes};
use crate::kernels::elementwise::strided_copy::{self, StridedCopy};
use crate::kernels::is_ours;
use crate::tensor::{DType, Shape, Storage, Tensor, checked_words};
#[cfg(not(target_arch = "wasm32"))]
use crate::waiting::{WAITS, WORK, block_on, unblock};

/// Words of a constant that go with the parameters at most.
const LARGEST_CONSTANT: u64 = 4096;

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

    /// The place of its slot among [`Recording::raw_slots`].
    #[doc(hidden)]
    pub fn raw_slot(&self) -> usize {
        self.index
    }

    /// True if both are the same elements.
    pub fn is(&self, other: &Value) -> bool {
        (self.recording, self.index) == (other.recording, other.index)
    }
}

/// A dispatch as raw wgpu takes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawDispatch<'a> {
    /// The whole WGSL module.
    pub module: String,
    /// The uniform's bytes.
    pub parameters: &'a [u8],
    /// Workgroups.
    pub workgroups: [u32; 3],
    /// The slot of each storage binding, and whether it is read alone.
    pub bindings: Vec<(usize, bool)>,
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
    /// Runs with naga's bounds checks and loop bounding.
    pub checked: bool,
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
    /// Words from the host, which go to the device with the parameters.
    pub constant: Option<Vec<u32>>,
    pub words: u64,
    /// Outlives the run.
    pub output: bool,
    /// Has something in it: the caller's tensor, or what a dispatch before writes. Without that its memory holds whatever
    /// was there, so nothing may read it.
    pub written: bool,
}

impl Slot {
    /// Of so many words, with something in it.
    fn written(words: u64) -> Self {
        Self { tensor: None, constant: None, words, output: false, written: true }
    }

    /// Whether its memory is the executor's to find.
    fn is_planned(&self) -> bool {
        self.tensor.is_none() && self.constant.is_none()
    }
}

/// What was marked on a slot that may be older than the marking, to be taken back with it.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Written(usize),
    Output(usize),
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
    marks: Vec<Mark>,
}

/// The figures of a run.
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
    /// The cost of the dispatches, by their sizes.
    pub cost: Cost,
}

/// The outputs of a run.
#[derive(Debug)]
pub struct Outputs {
    recording: u64,
    device: Device,
    tensors: Vec<Option<Storage>>,
    /// The figures of the run.
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
            marks: Vec::new(),
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
        self.device.expect_same("recording", argument, tensor.device())?;
        let slot = Slot { tensor: Some(tensor.clone()), ..Slot::written(tensor.words()) };
        Ok(self.push(slot, tensor.shape().clone(), tensor.dtype()))
    }

    /// A value that a dispatch of this recording will write, all of it; until then nothing may read it. What is written in
    /// parts begins as [`Recording::zeros`].
    ///
    /// # Errors
    /// [`Error::Limit`] if it does not fit one buffer and one binding of the device.
    pub fn temporary(&mut self, shape: impl Into<Shape>, dtype: DType) -> Result<Value> {
        let shape = shape.into();
        let words = checked_words(&self.device, &shape, dtype, "a temporary")?;
        // Where there is no element, there is nothing to write.
        Ok(self.push(Slot { written: words == 0, ..Slot::written(words) }, shape, dtype))
    }

    /// A value of zeros, of which dispatches may write as little as they like.
    ///
    /// # Errors
    /// As [`Recording::temporary`].
    pub fn zeros(&mut self, shape: impl Into<Shape>, dtype: DType) -> Result<Value> {
        let zeros = self.temporary(shape, dtype)?;
        let words = self.slots[zeros.index].words;
        let elements = u32::try_from(words).map_err(|_| Error::Limit {
            what: format!("zeros {dtype} {}", zeros.shape),
            limit: "their number of words",
            needed: words,
            available: u32::MAX.into(),
        })?;
        let zero = self.absent()?;
        let parameters = strided_copy::Parameters::repeated(elements);
        self.dispatch_trusted(&StridedCopy, strided_copy::variant(), &parameters, &[&zero, &zeros])?;
        Ok(zeros)
    }

    /// A stand-in for a binding that a variant does not use.
    pub(crate) fn absent(&mut self) -> Result<Value> {
        if let Some(absent) = &self.absent {
            return Ok(absent.clone());
        }
        let absent = self.constant([4], DType::U32, vec![0; 4])?;
        self.absent = Some(absent.clone());
        Ok(absent)
    }

    /// A value of words from the host, for one recording: ids, lengths, tables. It goes to the device with the parameters of
    /// all dispatches, in one piece; what is large has a tensor of its own.
    ///
    /// # Errors
    /// As [`Tensor::from_u32`].
    pub(crate) fn constant(
        &mut self,
        shape: impl Into<Shape>,
        dtype: DType,
        words: Vec<u32>,
    ) -> Result<Value> {
        let shape = shape.into();
        let needed = checked_words(&self.device, &shape, dtype, "a constant")?;
        if needed > LARGEST_CONSTANT || needed != words.len() as u64 {
            let tensor = Tensor::from_words(&self.device, shape, dtype, &words)?;
            return self.tensor(&tensor);
        }
        Ok(self.push(Slot { constant: Some(words), ..Slot::written(needed) }, shape, dtype))
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
        if let Some(words) = self.slots[value.index].constant.take() {
            let shape = Shape::from([words.len()]);
            let tensor = Tensor::from_words(&self.device, shape, DType::U32, &words)?;
            self.slots[value.index].tensor = Some(tensor);
        }
        if !self.slots[value.index].output {
            self.slots[value.index].output = true;
            self.marks.push(Mark::Output(value.index));
        }
        Ok(())
    }

    /// Records all that `record` does, or nothing of it: where it ends in an error, its dispatches are taken back, and what
    /// it wrote or marked as an output is so no longer.
    ///
    /// # Errors
    /// Those of `record`.
    pub fn atomically<T>(&mut self, record: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (dispatches, marks) = (self.dispatches.len(), self.marks.len());
        let result = record(self);
        if result.is_err() {
            self.dispatches.truncate(dispatches);
            // Slots stay, since somebody may hold a value of them: without a dispatch they cost nothing.
            for mark in self.marks.drain(marks..) {
                match mark {
                    Mark::Written(slot) => self.slots[slot].written = false,
                    Mark::Output(slot) => self.slots[slot].output = false,
                }
            }
        }
        result
    }

    /// [`Recording::atomically`] under a name, such as `encoder.layer.3`, that `verify` and errors show.
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
        let result = self.atomically(record);
        self.scope.pop();
        result.map_err(|error| error.within(&name))
    }

    /// Whether something is in the value: a tensor's, or what a dispatch writes.
    pub(crate) fn is_written(&self, value: &Value) -> bool {
        self.slots.get(value.index).is_some_and(|slot| slot.written)
    }

    /// [`Error::Argument`] for an output that nothing writes.
    fn check_outputs(&self) -> Result<()> {
        match self.slots.iter().find(|slot| slot.output && !slot.written) {
            None => Ok(()),
            Some(slot) => {
                let found = format!("a temporary of {} words that nothing writes", slot.words);
                Err(Error::argument("recording", "an output", "written by a dispatch", found))
            }
        }
    }

    /// Records a dispatch of a kernel, a user's own or one of this crate's, with `bindings` in the kernel's order. Each is
    /// bound from its first element to its last, so that `arrayLength` tells the words that it has.
    ///
    /// `parameters` is what [`About::fields`](crate::kernel::About::fields) lists. An output is a tensor's value, one of [`Recording::zeros`], or a
    /// [`Recording::temporary`], where the kernel says that it writes all of it ([`Kernel::extents`]). The shader runs with
    /// naga's bounds checks unless the kernel has said that it needs none
    /// ([`Unchecked`](crate::kernel::Unchecked)): an index out of bounds touches no memory of others. A dispatch of no
    /// workgroups is left out.
    ///
    /// `examples/own_kernel.rs` is a whole kernel with its twin, its cases and its place in a recording.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bindings or of bytes of parameters than the kernel has, a value of another
    /// recording, one with fewer words than the dispatch takes, one that nothing has written and that is read or written in
    /// part, or one that is written and bound twice; [`Error::Limit`], [`Error::Implementation`] for what the device
    /// cannot run. Then nothing is recorded. A shader that is no valid WGSL is an [`Error::Rejected`] with naga's words at
    /// [`Recording::run`].
    pub fn dispatch(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: &Variant,
        parameters: &impl bytemuck::Pod,
        bindings: &[&Value],
    ) -> Result<()> {
        let bytes = bytemuck::bytes_of(parameters);
        let wrong =
            |argument: &str, expected, found| Err(Error::argument(kernel.name(), argument, expected, found));
        let needed = parameter_bytes(kernel);
        if bytes.len() != needed {
            let expected = format!("the {needed} bytes of the kernel's fields");
            return wrong("the parameters", expected, format!("{} bytes", bytes.len()));
        }
        if bindings.len() != kernel.bindings().len() {
            let names: Vec<&str> = kernel.bindings().iter().map(|binding| binding.name).collect();
            let expected = format!("a value for each of [{}]", names.join(", "));
            return wrong("the bindings", expected, format!("{} values", bindings.len()));
        }
        bindings.iter().try_for_each(|value| self.own(value))?;
        let extents = kernel.extents(variant, bytes);
        if let Some(extents) = extents.as_ref().filter(|extents| extents.len() != bindings.len()) {
            let expected = format!("an extent for each of {} bindings", bindings.len());
            return wrong("Kernel::extents", expected, extents.len().to_string());
        }
        for (place, (binding, value)) in kernel.bindings().iter().zip(bindings).enumerate() {
            let (name, has) = (format!("`{}`", binding.name), self.slots[value.index].words);
            let extent = extents.as_ref().map(|extents| extents[place]);
            if let Some(extent) = extent.filter(|&extent| extent > has) {
                let expected = format!("of {extent} words at least, as the parameters say");
                return wrong(&name, expected, format!("{} {} of {has}", value.dtype, value.shape));
            }
            if binding.access == Access::Write && extent != Some(has) && !self.is_written(value) {
                let expected = "a tensor's value or one of `Recording::zeros`, as the kernel does not say that it \
                                writes all of it (`Kernel::extents`)";
                let found = format!("a temporary {} {} that nothing has written", value.dtype, value.shape);
                return wrong(&name, expected.to_owned(), found);
            }
        }
        let checked = kernel.unchecked().is_none();
        self.append(kernel, variant.clone(), bytes.to_vec(), bindings, checked)
    }

    /// Appends a dispatch of a kernel of ours for an op that has checked its arguments; `bindings` in the kernel's order.
    /// What it writes the op writes wholly, in this dispatch or in those that follow.
    pub(crate) fn dispatch_trusted(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: &impl bytemuck::Pod,
        bindings: &[&Value],
    ) -> Result<()> {
        self.append(kernel, variant, bytemuck::bytes_of(parameters).to_vec(), bindings, false)
    }

    /// [`Recording::dispatch_trusted`] of one of a kernel's own cases. A kernel that is none of ours runs with checks, unless
    /// it says that it needs none.
    pub(crate) fn dispatch_case(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: &Variant,
        parameters: &[u8],
        bindings: &[&Value],
    ) -> Result<()> {
        let checked = !is_ours(kernel) && kernel.unchecked().is_none();
        self.append(kernel, variant.clone(), parameters.to_vec(), bindings, checked)
    }

    fn append(
        &mut self,
        kernel: &'static dyn Kernel,
        variant: Variant,
        parameters: Vec<u8>,
        bindings: &[&Value],
        checked: bool,
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
        if let Some((_, (binding, value))) =
            each().find(|(_, (binding, value))| binding.access == Access::Read && !self.is_written(value))
        {
            let expected = "written before it is read (`Recording::zeros` is a value of zeros)";
            let found = format!("a temporary {} {} that nothing has written", value.dtype, value.shape);
            return Err(Error::argument(kernel.name(), format!("`{}`", binding.name), expected, found));
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
        let bindings: Vec<usize> = bindings.iter().map(|value| value.index).collect();
        let scope = self.scope.join(".");
        let dispatch = Dispatch { kernel, variant, parameters, workgroups, bindings, scope, cost, checked };
        for slot in dispatch.writes() {
            if let Some(buffer) = self.slots[slot].tensor.as_ref().and_then(Tensor::gpu_buffer) {
                buffer.changes();
            }
            if !self.slots[slot].written {
                self.slots[slot].written = true;
                self.marks.push(Mark::Written(slot));
            }
        }
        self.dispatches.push(dispatch);
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
        if slot.constant.is_some() {
            return Err(Error::argument("recording", "an image", "of a tensor", "words from the host"));
        }
        let (needed, available) = (texel.rows(slot.words), self.device.capabilities().image_rows);
        if needed > available.into() {
            let what = format!("{} {} as an image", value.dtype, value.shape);
            let limit = "maxTextureDimension2D";
            return Err(Error::Limit { what, limit, needed, available: available.into() });
        }
        let buffer = slot.tensor.as_ref().and_then(Tensor::gpu_buffer);
        match buffer.map(|buffer| buffer.buffer.usage()) {
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

    /// Each dispatch as raw wgpu takes it, for a program that compares with that.
    #[doc(hidden)]
    pub fn raw_dispatches(&self) -> Result<Vec<RawDispatch<'_>>> {
        let dispatches = self.dispatches.iter().map(|dispatch| {
            let access = dispatch.kernel.bindings().iter().map(|binding| binding.access == Access::Read);
            Ok(RawDispatch {
                module: module(dispatch.kernel, &dispatch.variant)?,
                parameters: &dispatch.parameters,
                workgroups: dispatch.workgroups,
                bindings: dispatch.bindings.iter().copied().zip(access).collect(),
            })
        });
        dispatches.collect()
    }

    /// The words of each slot, with its tensor or with what comes from the host.
    #[doc(hidden)]
    pub fn raw_slots(&self) -> impl Iterator<Item = (u64, Option<&Tensor>, Option<&[u32]>)> + '_ {
        self.slots.iter().map(|slot| (slot.words, slot.tensor.as_ref(), slot.constant.as_deref()))
    }

    /// Runs it: on a GPU in one submission (in more only where one would hold the device for too long), on the CPU
    /// device by the twins.
    ///
    /// On a GPU it returns once the work is submitted, before it is done. What comes after it on the device's queue, further
    /// recordings too, sees its results; reading a tensor waits for them, and an error that the GPU meets while it computes
    /// (a lost device, a time limit) shows there.
    ///
    /// # Errors
    /// [`Error::Argument`] for an output that nothing writes, [`Error::OutOfMemory`], [`Error::DeviceLost`],
    /// [`Error::Timeout`], [`Error::Rejected`].
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
        self.check_outputs()?;
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

    /// The cost of its dispatches, by their sizes.
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
