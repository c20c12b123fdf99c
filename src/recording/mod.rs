//! A recording: dispatches in order, over values whose lifetimes are known. It runs on a GPU, as one command buffer,
//! or on the CPU, by the kernels' twins.

mod cpu;
mod dispatch;
mod gpu;
mod images;
mod plan;
#[cfg(not(target_arch = "wasm32"))]
mod prepared;
mod recording_plan;
mod tape;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use dispatch::Dispatch;
pub use dispatch::RawDispatch;
pub(crate) use gpu::{Prepared, Submitted};
#[cfg(not(target_arch = "wasm32"))]
pub use prepared::{PreparedRecording, RunTime};
pub use recording_plan::RecordingPlan;
pub use tape::Gradients;
pub(crate) use tape::Rule;
use tape::Tape;
pub use trace::{Step, trace};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernel::{Access, Cost, module};
use crate::kernels::elementwise::strided_copy::{self, StridedCopy};
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

/// The memory behind a value.
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

/// A mark on a slot that may be older than it, so that an error can take the mark back.
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
    /// What gradients need, where they are asked for.
    tape: Option<Box<Tape>>,
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
#[non_exhaustive]
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
            tape: None,
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
        let value = self.push(slot, tensor.shape().clone(), tensor.dtype());
        if let Some(tape) = &mut self.tape {
            tape.took(tensor, value.index);
        }
        Ok(value)
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
        let nodes = self.tape.as_ref().map_or(0, |tape| tape.nodes());
        let result = record(self);
        if result.is_err() {
            if let Some(tape) = &mut self.tape {
                tape.truncate(nodes);
            }
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
    /// An error of `record`, as [`Error::In`] the name; names within each other are joined by dots.
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
