//! A recording in a host's own command encoder.

use std::sync::{Mutex, PoisonError};

use super::plan::Plan;
use super::{Prepared, Recording, RunStatistics, Submitted, Value};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
#[cfg(not(target_arch = "wasm32"))]
use crate::waiting::block_on;

const OP: &str = "recording plan";

/// The sets of a host's buffers whose bind groups are kept: enough for what is used in turns.
const BOUND_SETS: usize = 8;

/// A recording with its pipelines, temporaries, parameters and bind groups made, to be recorded into any encoder of the
/// device, any number of times. Recording it makes nothing, and submits nothing.
///
/// It reads and writes the tensors that the recording was given, and its outputs, which
/// [`RecordingPlan::tensor`] gives: the same at each time, so that a later run writes over them. Between two runs their
/// contents change as a host likes, by [`Tensor::wgpu_buffer`] or because they are tensors over its own buffers
/// ([`Tensor::from_wgpu_buffer`]). Numbers that were on the host when it was recorded, such as key lengths, stay as they
/// were.
///
/// The parameters lie in a buffer of the plan's own that nothing writes again, and all runs of a plan share its temporaries
/// and outputs. So it may be recorded twice into one encoder, and while an earlier run is in flight: one queue executes
/// dispatches one after the other, as far as they share a buffer. The plan may be dropped before an encoder is submitted:
/// its buffers, and those of its tensors, are not used again for others.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// use attentive::ops::softmax;
/// use attentive::{Device, Recording, RecordingPlan, Tensor};
///
/// let device = Device::open("gpu")?;
/// let x = Tensor::from_f32(&device, [4, 3], &[1.0; 12])?;
/// let mut recording = Recording::new(&device);
/// let value = recording.tensor(&x)?;
/// let y = softmax(&mut recording, &value, -1)?;
/// recording.output(&y)?;
/// let plan = RecordingPlan::new(recording)?;
///
/// let (wgpu_device, queue) = device.wgpu().unwrap();
/// for step in 0..10 {
///     queue.write_buffer(x.wgpu_buffer().unwrap(), 0, &f32::to_ne_bytes(step as f32));
///     let mut encoder = wgpu_device.create_command_encoder(&Default::default());
///     plan.record(&mut encoder)?;
///     queue.submit([encoder.finish()]);
/// }
/// println!("{:?}", plan.tensor(&y)?.to_f32()?);
/// # Ok(())
/// # }
/// ```
pub struct RecordingPlan {
    recording: Recording,
    prepared: Prepared,
    statistics: RunStatistics,
    /// The newest last.
    bound: Mutex<Vec<BoundSet>>,
}

struct BoundSet {
    buffers: Vec<(wgpu::Buffer, u64)>,
    bind_groups: Vec<Option<wgpu::BindGroup>>,
}

impl std::fmt::Debug for RecordingPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingPlan").field("recording", &self.recording).finish_non_exhaustive()
    }
}

impl RecordingPlan {
    /// Makes the pipelines that are new, allocates, and binds.
    ///
    /// # Errors
    /// [`Error::Argument`] on the CPU device and for an output that nothing writes; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`], [`Error::Rejected`].
    pub async fn new_async(recording: Recording) -> Result<Self> {
        Self::with_open(recording, 0).await
    }

    /// The blocking form of [`RecordingPlan::new_async`].
    ///
    /// # Errors
    /// As [`RecordingPlan::new_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(recording: Recording) -> Result<Self> {
        block_on(Self::new_async(recording))
    }

    /// A plan for buffers of which the first `open` are others at each time: of the recording's first slots.
    pub(crate) async fn with_open(recording: Recording, open: usize) -> Result<Self> {
        if recording.device.is_cpu() {
            return Err(Error::argument(OP, "the device", "a GPU", recording.device.name()));
        }
        recording.check_outputs()?;
        let plan = Plan::of(&recording);
        let prepared = Prepared::new(&recording, &plan, Submitted::ByHost, 0..open).await?;
        // The host's encoder may be submitted after the plan and all tensors are gone.
        let tensors = recording.slots.iter().filter_map(|slot| slot.tensor.as_ref());
        tensors.for_each(|tensor| _ = tensor.wgpu_buffer());
        let statistics = recording.statistics(&plan, &[]);
        Ok(Self { recording, prepared, statistics, bound: Mutex::default() })
    }

    /// Records it into an encoder of the device that has no open pass: one compute pass, or one from each copy into an image
    /// to the next. An encoder of another device, or one with an open pass, wgpu refuses when the encoder is finished, in the
    /// error scope or by the error handler of whoever finishes it; one of another `wgpu::Instance` it cannot tell.
    ///
    /// # Errors
    /// None today.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.prepared.encode(encoder, &[]);
        Ok(())
    }

    /// Records it over these buffers, each with the byte at which it begins, in the order of the open slots. `check` is asked
    /// where they are new.
    pub(crate) fn record_over(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: Vec<(wgpu::Buffer, u64)>,
        check: impl FnOnce(&[(wgpu::Buffer, u64)]) -> Result<()>,
    ) -> Result<()> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = bound.iter().rposition(|set| set.buffers == buffers) {
            if place + 1 < bound.len() {
                let set = bound.remove(place);
                bound.push(set);
            }
        } else {
            check(&buffers)?;
            let bind_groups = self.prepared.bind_open(&self.recording, &buffers)?;
            if bound.len() == BOUND_SETS {
                bound.remove(0);
            }
            bound.push(BoundSet { buffers, bind_groups });
        }
        let bind_groups = bound.last().map_or(&[][..], |set| &set.bind_groups);
        self.prepared.encode(encoder, bind_groups);
        Ok(())
    }

    /// The tensor of an output of the recording, as the last run that was submitted leaves it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another recording, or one that was not marked as an output.
    pub fn tensor(&self, value: &Value) -> Result<Tensor> {
        let marked = self.recording.has(value)
            && self.recording.slots.get(value.index).is_some_and(|slot| slot.output);
        match self.prepared.storages.get(value.index).cloned().flatten() {
            Some(storage) if marked => {
                Ok(Tensor::from_storage(&self.recording.device, value.shape.clone(), value.dtype, storage))
            }
            _ => {
                Err(Error::argument("recording", "the value", "marked as an output of this recording", "not"))
            }
        }
    }

    /// The device that it is for.
    pub fn device(&self) -> &Device {
        &self.recording.device
    }

    /// The figures of a run without its submissions, which are the host's.
    pub fn statistics(&self) -> RunStatistics {
        self.statistics
    }

    /// Bytes of its temporaries and outputs.
    pub fn bytes(&self) -> u64 {
        self.statistics.peak_bytes
    }
}
