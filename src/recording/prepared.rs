//! A recording that is prepared once and run many times, and timed.

use std::time::{Duration, Instant};

use super::plan::Plan;
use super::{Prepared, Recording, RunStatistics, Submitted, Value, cpu};
use crate::device::Gpu;
use crate::error::{Error, Result};
use crate::tensor::{HostBuffer, Storage, Tensor};

/// The most passes of one run that are timed by the GPU: two timestamps each, and 4,096 in a query set (WebGPU).
const TIMED_PASSES: usize = 2048;

/// A recording with its pipelines, buffers and bind groups, to be run again and again. Each run computes the same from
/// the same inputs.
pub struct PreparedRecording {
    recording: Recording,
    statistics: RunStatistics,
    executor: Executor,
}

enum Executor {
    Gpu(Box<Prepared>),
    Cpu(Vec<Option<HostBuffer>>),
}

/// The time of some calls, one after the other.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RunTime {
    /// From before the first submission until the last one is done.
    pub wall: Duration,
    /// Inside the passes, by the GPU's own timestamps. `None` on the CPU device, where the device has no timestamps, and
    /// where they make no sense.
    pub gpu: Option<Duration>,
}

impl std::fmt::Debug for PreparedRecording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedRecording").field("recording", &self.recording).finish_non_exhaustive()
    }
}

impl PreparedRecording {
    /// Makes the pipelines that are new, allocates, and binds.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Rejected`].
    pub async fn new(recording: Recording) -> Result<Self> {
        recording.check_outputs()?;
        let plan = Plan::of(&recording);
        let executor = match recording.device.gpu() {
            Some(_) => {
                Executor::Gpu(Box::new(Prepared::new(&recording, &plan, Submitted::ByUs, 0..0).await?))
            }
            None => Executor::Cpu(cpu::host_buffers(&recording, &plan)?),
        };
        let submits = match &executor {
            Executor::Gpu(prepared) => prepared.submission_flops(),
            Executor::Cpu(_) => Vec::new(),
        };
        let statistics = recording.statistics(&plan, &submits);
        Ok(Self { recording, statistics, executor })
    }

    /// The figures of one call.
    pub fn statistics(&self) -> RunStatistics {
        self.statistics
    }

    /// Each dispatch as it was recorded: the kernel's name and the variant.
    pub fn dispatches(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let dispatches = self.recording.dispatches.iter();
        dispatches.map(|dispatch| (dispatch.kernel.name(), dispatch.variant.to_string()))
    }

    /// Runs it so many times, as many of them in one pass as a driver's watchdog allows, and waits for the end.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Rejected`].
    pub async fn run(&self, calls: usize) -> Result<RunTime> {
        match &self.executor {
            Executor::Gpu(prepared) => self.run_on_gpu(prepared, calls).await,
            Executor::Cpu(buffers) => {
                let start = Instant::now();
                for _ in 0..calls {
                    cpu::run_twins(&self.recording, buffers)?;
                }
                Ok(RunTime { wall: start.elapsed(), gpu: None })
            }
        }
    }

    async fn run_on_gpu(&self, prepared: &Prepared, calls: usize) -> Result<RunTime> {
        let Some(gpu) = self.recording.device.gpu() else {
            return Ok(RunTime { wall: Duration::ZERO, gpu: None });
        };
        gpu.check_lost().await?;
        let passes = prepared.passes(calls);
        let timed = self.recording.device.capabilities().timestamps && passes.len() <= TIMED_PASSES;
        let timestamps = match timed && !passes.is_empty() {
            true => Some(Timestamps::new(gpu, passes.len()).await?),
            false => None,
        };
        let start = Instant::now();
        for (place, pass) in passes.iter().enumerate() {
            let ((), outcome) = gpu.scoped("a submission", 0, || {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                let writes = timestamps.as_ref().map(|timestamps| timestamps.of_pass(place));
                prepared.encode_pass(pass, &mut encoder, writes);
                gpu.queue.submit([encoder.finish()]);
            });
            outcome.await?;
        }
        gpu.wait("timed calls", None)?;
        let wall = start.elapsed();
        gpu.check_lost().await?;
        let gpu_time = match &timestamps {
            Some(timestamps) => timestamps.read(gpu).await?,
            None => None,
        };
        Ok(RunTime { wall, gpu: gpu_time })
    }

    /// The tensor of a value that was marked by [`Recording::output`], as the last run left it: a further run writes over
    /// it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another recording, or one that was not marked.
    pub fn tensor(&self, value: &Value) -> Result<Tensor> {
        let marked = self.recording.has(value)
            && self.recording.slots.get(value.index).is_some_and(|slot| slot.output);
        let storage = match &self.executor {
            Executor::Gpu(prepared) => prepared.storages.get(value.index).cloned().flatten(),
            Executor::Cpu(buffers) => buffers.get(value.index).cloned().flatten().map(Storage::Host),
        };
        match storage {
            Some(storage) if marked => {
                Ok(Tensor::from_storage(&self.recording.device, value.shape.clone(), value.dtype, storage))
            }
            _ => {
                Err(Error::argument("recording", "the value", "marked as an output of this recording", "not"))
            }
        }
    }
}

/// Two timestamps for each pass.
struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    passes: usize,
}

impl Timestamps {
    async fn new(gpu: &Gpu, passes: usize) -> Result<Self> {
        let count = 2 * passes as u32;
        let (timestamps, outcome) = gpu.scoped("timestamps", 8 * u64::from(count), || Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 8 * u64::from(count),
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            passes,
        });
        outcome.await?;
        Ok(timestamps)
    }

    fn of_pass(&self, place: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * place as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// The time inside all passes.
    async fn read(&self, gpu: &Gpu) -> Result<Option<Duration>> {
        let count = 2 * self.passes as u32;
        let ((), outcome) = gpu.scoped("timestamps", 0, || {
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            encoder.resolve_query_set(&self.queries, 0..count, &self.resolved, 0);
            gpu.queue.submit([encoder.finish()]);
        });
        outcome.await?;
        let words = gpu.read(&self.resolved, 8 * u64::from(count)).await?;
        let ticks: Vec<u64> =
            words.chunks_exact(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect();
        Ok(elapsed(&ticks, gpu.queue.get_timestamp_period()))
    }
}

/// The sum of all times between pairs of ticks of that many nanoseconds; `None` where a clock went backwards or did not
/// move at all.
fn elapsed(ticks: &[u64], period: f32) -> Option<Duration> {
    let mut sum = 0_u64;
    for pair in ticks.chunks_exact(2) {
        sum = sum.checked_add(pair[1].checked_sub(pair[0])?)?;
    }
    let nanoseconds = sum as f64 * f64::from(period);
    (nanoseconds > 0.0 && nanoseconds < 1e18).then(|| Duration::from_nanos(nanoseconds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_added_up_and_nonsense_is_nothing() {
        assert_eq!(elapsed(&[10, 20, 30, 35], 2.0), Some(Duration::from_nanos(30)));
        assert_eq!(elapsed(&[10, 10, 30, 30], 1.0), None);
        assert_eq!(elapsed(&[20, 10, 0, 100], 1.0), None);
        assert_eq!(elapsed(&[0, u64::MAX], f32::INFINITY), None);
        assert_eq!(elapsed(&[], 1.0), None);
    }
}
