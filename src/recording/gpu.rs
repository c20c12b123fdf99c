//! The GPU executor: encodes a recording into one command encoder, in one compute pass, or in one from each copy into an
//! image to the next.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::images::{Copy, Images};
use super::plan::Plan;
use super::{Outputs, Recording, Slot};
use crate::device::{Device, Gpu, Module, Outcome, Pipeline, Purpose, Resource, SlotType};
use crate::error::{Error, Result};
use crate::kernel::{Access, Kernel, Variant, module};
use crate::tensor::{GpuBuffer, Storage};

/// Floating-point operations that one submission may take. A driver's watchdog (2 s on Windows and some Linux
/// drivers) ends what runs longer; a software adapter has none, and a GPU that reaches 60 GFLOP/s, such as a laptop's own,
/// takes a second.
const FLOPS_PER_SUBMIT: u64 = 60_000_000_000;

/// A recording with its pipelines, buffers and bind groups: ready to be encoded.
pub(crate) struct Prepared {
    device: Device,
    steps: Vec<PreparedStep>,
    /// The storage behind each slot.
    pub storages: Vec<Option<Storage>>,
    /// The parameters of all steps.
    parameters: GpuBuffer,
    _images: Images,
}

/// Who submits what is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submitted {
    ByUs,
    /// At any time, so that nothing may be used again that it needs.
    ByHost,
}

struct PreparedStep {
    /// Before the dispatch.
    copies: Vec<Copy>,
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    offset: u32,
    workgroups: [u32; 3],
    flops: u64,
}

/// Runs it, unless it is told to end before it is submitted.
pub(super) async fn run(recording: Recording, cancelled: &AtomicBool) -> Result<Outputs> {
    let plan = Plan::of(&recording);
    let prepared = Prepared::new(&recording, &plan).await?;
    let submits = prepared.submit(cancelled).await?;
    let statistics = recording.statistics(&plan, &submits);
    let slots = recording.slots.iter().zip(prepared.storages);
    let tensors = slots.map(|(slot, storage)| storage.filter(|_| slot.output)).collect();
    Ok(Outputs { recording: recording.id, device: recording.device.clone(), tensors, statistics })
}

/// The pipelines of a recording's dispatches, made where they are new.
pub(crate) async fn pipelines(recording: &Recording) -> Result<Vec<Arc<Pipeline>>> {
    let gpu = gpu_of(&recording.device)?;
    gpu.check_lost().await?;
    let dispatches = recording.dispatches.iter();
    let keys: Vec<String> = dispatches.map(|dispatch| key(dispatch.kernel, &dispatch.variant)).collect();
    let mut new: Vec<Module<'_>> = Vec::new();
    for (dispatch, key) in recording.dispatches.iter().zip(&keys) {
        if gpu.pipeline(key).is_some() || new.iter().any(|module| module.key == *key) {
            continue;
        }
        let slots =
            dispatch.kernel.bindings().iter().map(|binding| match dispatch.variant.image_of(binding.name) {
                Some((_, texel)) => SlotType::Image(texel),
                None => SlotType::Storage { read_only: binding.access == Access::Read },
            });
        new.push(Module {
            key: key.clone(),
            label: dispatch.kernel.name(),
            source: module(dispatch.kernel, &dispatch.variant),
            slots: slots.collect(),
        });
    }
    if !new.is_empty() {
        gpu.make_pipelines(&new).await?;
    }
    let missing = || Error::argument("recording", "a pipeline", "made", "not");
    keys.iter().map(|key| gpu.pipeline(key).ok_or_else(missing)).collect()
}

/// Tells a module from every other without its text, which is long: texts that stay are told apart by where they are.
fn key(kernel: &dyn Kernel, variant: &Variant) -> String {
    use std::fmt::Write;
    let mut key = variant.prelude();
    let shared = variant.shared().iter().map(|shared| shared.source);
    for source in shared.chain([kernel.source()]) {
        let _ = write!(key, "{:p} {} ", source.as_ptr(), source.len());
    }
    key.push_str(kernel.name());
    key
}

fn gpu_of(device: &Device) -> Result<&Gpu> {
    device.gpu().ok_or_else(|| Error::argument("recording", "the device", "a GPU", device.name()))
}

impl Prepared {
    pub async fn new(recording: &Recording, plan: &Plan) -> Result<Self> {
        let device = &recording.device;
        let pipelines = pipelines(recording).await?;
        let gpu = gpu_of(device)?;
        let acquire = || {
            let buffers = plan.buffers.iter().map(|&words| gpu.acquire(Purpose::Storage, words * 4));
            (buffers.collect::<Vec<_>>(), Images::acquire(gpu, &plan.images))
        };
        let ((mut buffers, mut images), outcome) = gpu.scoped("the temporaries", plan.bytes(), acquire);
        if let Err(error) = outcome.await {
            let Error::OutOfMemory { .. } = error else { return Err(error) };
            // The failure has let go of the idle buffers.
            drop((buffers, images));
            let (again, outcome) = gpu.scoped("the temporaries", plan.bytes(), acquire);
            outcome.await?;
            (buffers, images) = again;
        }
        // Only now: what could not be allocated must not be kept for reuse.
        let buffers = buffers.into_iter().map(|pooled| Arc::new(GpuBuffer::new(device, pooled)));
        let buffers: Vec<_> = buffers.collect();
        let images = Images::of(device, images);
        let (mut prepared, outcome) =
            Self::assemble(recording, plan, &buffers, images, &pipelines, Submitted::ByUs)?;
        if let Err(error) = outcome.await {
            // Neither it nor a bind group over it comes again, whichever of them failed.
            prepared.parameters.discard();
            return Err(error);
        }
        Ok(prepared)
    }

    /// Puts together what is there already: the plan's buffers and images and the dispatches' pipelines.
    pub fn assemble(
        recording: &Recording,
        plan: &Plan,
        buffers: &[Arc<GpuBuffer>],
        images: Images,
        pipelines: &[Arc<Pipeline>],
        submitted: Submitted,
    ) -> Result<(Self, Outcome)> {
        let device = &recording.device;
        let gpu = gpu_of(device)?;
        let slots = recording.slots.iter().zip(&plan.buffer_of);
        let storage_of = |slot: &Slot, planned: &Option<usize>| match &slot.tensor {
            Some(tensor) => Some(tensor.storage().clone()),
            None => planned.map(|buffer| Storage::Gpu(buffers[buffer].clone())),
        };
        let storages: Vec<Option<Storage>> = slots.map(|(slot, planned)| storage_of(slot, planned)).collect();
        let alignment = device.capabilities().uniform_alignment as usize;
        Ok(gpu.scoped("bind groups", 0, || {
            let (parameters, offsets) = upload_parameters(gpu, recording, alignment, submitted);
            let steps = recording.dispatches.iter().zip(pipelines).zip(offsets);
            let steps = steps.map(|((dispatch, pipeline), offset)| PreparedStep {
                copies: images.copies(dispatch, &recording.slots, &storages),
                bind_group: bind(gpu, pipeline, &parameters, dispatch, recording, (&storages, &images)),
                pipeline: pipeline.clone(),
                offset,
                workgroups: dispatch.workgroups,
                flops: dispatch.cost.flops,
            });
            let steps = steps.collect();
            Self { device: device.clone(), steps, storages, parameters, _images: images }
        }))
    }

    /// Encodes all of it into the caller's encoder.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        encode(&self.steps, encoder);
    }

    /// Encodes and submits it, as far as it is not told to end, and gives the floating-point operations of each submission.
    pub async fn submit(&self, cancelled: &AtomicBool) -> Result<Vec<u64>> {
        let Some(gpu) = self.device.gpu() else { return Ok(Vec::new()) };
        let mut submits = Vec::new();
        for part in self.submissions() {
            let steps = &self.steps[part];
            let ((), outcome) = gpu.scoped("a submission", 0, || {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                encode(steps, &mut encoder);
                gpu.submit(encoder, cancelled);
            });
            outcome.await?;
            submits.push(steps.iter().map(|step| step.flops).sum());
        }
        Ok(submits)
    }

    /// The steps of each submission.
    fn submissions(&self) -> Vec<Range<usize>> {
        let mut submissions = Vec::new();
        let mut first = 0;
        while first < self.steps.len() {
            let mut flops = 0_u64;
            let fits = self.steps[first..].iter().take_while(|step| {
                flops = flops.saturating_add(step.flops);
                flops <= FLOPS_PER_SUBMIT
            });
            let end = first + fits.count().max(1);
            submissions.push(first..end);
            first = end;
        }
        submissions
    }

    /// The floating-point operations of each submission.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn submission_flops(&self) -> Vec<u64> {
        let of_steps = |steps: &[PreparedStep]| steps.iter().map(|step| step.flops).sum();
        self.submissions().into_iter().map(|part| of_steps(&self.steps[part])).collect()
    }

    /// The passes, each to be submitted by itself, that so many calls one after the other take: the steps of a pass, and
    /// how often they follow one another in it.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn passes(&self, calls: usize) -> Vec<(Range<usize>, usize)> {
        let submissions = self.submissions();
        if submissions.len() != 1 {
            return (0..calls).flat_map(|_| submissions.iter().map(|part| (part.clone(), 1))).collect();
        }
        let flops: u64 = self.steps.iter().map(|step| step.flops).sum();
        let most = usize::try_from(FLOPS_PER_SUBMIT / flops.max(1)).unwrap_or(usize::MAX).max(1);
        let firsts = (0..calls).step_by(most);
        firsts.map(|first| (0..self.steps.len(), most.min(calls - first))).collect()
    }

    /// Encodes a pass of [`Prepared::passes`], with a timestamp at its beginning and at its end where they are given.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn encode_pass(
        &self,
        (steps, times): &(Range<usize>, usize),
        encoder: &mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let steps = &self.steps[steps.clone()];
        let mut stamped = |timestamp_writes, times: usize| {
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            (0..times).for_each(|_| dispatch(steps, &mut pass));
        };
        if steps.iter().all(|step| step.copies.is_empty()) {
            return stamped(timestamp_writes, *times);
        }
        // Copies are in no pass: what tells the time are an empty pass before them all and one behind.
        let [first, last] = match timestamp_writes {
            Some(writes) => [
                Some(wgpu::ComputePassTimestampWrites { end_of_pass_write_index: None, ..writes.clone() }),
                Some(wgpu::ComputePassTimestampWrites { beginning_of_pass_write_index: None, ..writes }),
            ],
            None => [None, None],
        };
        stamped(first, 0);
        (0..*times).for_each(|_| encode(steps, encoder));
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: last };
        encoder.begin_compute_pass(&descriptor);
    }
}

fn encode(steps: &[PreparedStep], encoder: &mut wgpu::CommandEncoder) {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        first.copies.iter().for_each(|copy| copy.encode(encoder));
        let until_copy = rest[1..].iter().take_while(|step| step.copies.is_empty()).count();
        let (steps, further) = rest.split_at(1 + until_copy);
        dispatch(steps, &mut encoder.begin_compute_pass(&Default::default()));
        rest = further;
    }
}

fn dispatch(steps: &[PreparedStep], pass: &mut wgpu::ComputePass<'_>) {
    for step in steps {
        pass.set_pipeline(&step.pipeline.pipeline);
        pass.set_bind_group(0, &step.bind_group, &[step.offset]);
        let [x, y, z] = step.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// All parameters in one buffer, each at the alignment of a dynamic offset.
fn upload_parameters(
    gpu: &Gpu,
    recording: &Recording,
    alignment: usize,
    submitted: Submitted,
) -> (GpuBuffer, Vec<u32>) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::with_capacity(recording.dispatches.len());
    for dispatch in &recording.dispatches {
        bytes.resize(bytes.len().next_multiple_of(alignment), 0);
        offsets.push(bytes.len() as u32);
        bytes.extend_from_slice(&dispatch.parameters);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let pooled = gpu.acquire(Purpose::Parameters, bytes.len() as u64);
    gpu.queue.write_buffer(&pooled.buffer, 0, &bytes);
    let buffer = match submitted {
        Submitted::ByUs => GpuBuffer::new(&recording.device, pooled),
        Submitted::ByHost => GpuBuffer::not_reusable(&recording.device, pooled.buffer),
    };
    (buffer, offsets)
}

fn bind(
    gpu: &Gpu,
    pipeline: &Pipeline,
    parameters: &GpuBuffer,
    dispatch: &super::Dispatch,
    recording: &Recording,
    (storages, images): (&[Option<Storage>], &Images),
) -> wgpu::BindGroup {
    let bytes = dispatch.parameters.len() as u64;
    let mut resources = vec![Resource::Buffer(&parameters.buffer, parameters.number(), bytes)];
    // Every slot in use has a buffer; a missing one is caught by the error scope as a missing binding.
    for (binding, &slot) in dispatch.kernel.bindings().iter().zip(&dispatch.bindings) {
        if let Some((place, texel)) = dispatch.variant.image_of(binding.name) {
            resources.extend(images.get(place, texel).map(Resource::Image));
        } else if let Some(Storage::Gpu(storage)) = &storages[slot] {
            let bytes = (recording.slots[slot].words * 4).max(4);
            resources.push(Resource::Buffer(&storage.buffer, storage.number(), bytes));
        }
    }
    gpu.bind(dispatch.kernel.name(), pipeline, &resources)
}
