//! The GPU executor: encodes a recording into one command encoder, in one compute pass, or in one from each copy into an
//! image to the next.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::images::{Copy, Images};
use super::plan::Plan;
use super::{Dispatch, Outputs, Recording, Slot};
use crate::device::{Device, Gpu, Module, Pipeline, Purpose, Resource, SlotType, class};
use crate::error::{Error, Result};
use crate::kernel::{Access, module};
use crate::tensor::{GpuBuffer, Storage, settle};

/// Floating-point operations that one submission may take. A driver's watchdog (2 s on Windows and some Linux
/// drivers) ends what runs longer; a software adapter has none, and a GPU that reaches 60 GFLOP/s, such as a laptop's own,
/// takes a second.
const FLOPS_PER_SUBMIT: u64 = 60_000_000_000;

/// Words of an output that is copied for reading back in the run's own submission, at most, and how many such outputs.
const COPIED_WORDS: u64 = 16_384;
const MOST_COPIED: usize = 4;

/// WebGPU's least alignment of a storage binding.
const STORAGE_ALIGNMENT: usize = 256;

/// A recording with its pipelines, buffers and bind groups: ready to be encoded.
pub(crate) struct Prepared {
    device: Device,
    steps: Vec<PreparedStep>,
    /// The storage behind each slot.
    pub storages: Vec<Option<Storage>>,
    /// The parameters of all steps, and the constants, with the place of each slot's.
    parameters: GpuBuffer,
    places: Vec<u64>,
    images: Images,
}

/// Who submits what is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submitted {
    ByUs,
    /// At any time, so that nothing is used again that it needs.
    ByHost,
}

struct PreparedStep {
    /// Before the dispatch.
    copies: Vec<Copy>,
    pipeline: Arc<Pipeline>,
    /// Without where a slot is open.
    bind_group: Option<wgpu::BindGroup>,
    offset: u32,
    workgroups: [u32; 3],
    flops: u64,
}

/// Runs it, unless it is told to end before it is submitted.
pub(super) async fn run(recording: Recording, cancelled: &AtomicBool) -> Result<Outputs> {
    let plan = Plan::of(&recording);
    let prepared = Prepared::new(&recording, &plan, Submitted::ByUs, 0..0).await?;
    let outputs = || recording.slots.iter().zip(&prepared.storages).filter(|(slot, _)| slot.output);
    // A small output is copied at once, so that its reader waits for no second submission.
    let small = outputs().filter_map(|(slot, storage)| match storage {
        Some(Storage::Gpu(buffer)) if slot.is_planned() && (1..=COPIED_WORDS).contains(&slot.words) => {
            Some((&**buffer, 4 * slot.words))
        }
        _ => None,
    });
    let small: Vec<_> = small.take(MOST_COPIED).collect();
    let submits = prepared.submit(cancelled, &small).await?;
    let statistics = recording.statistics(&plan, &submits);
    let slots = recording.slots.iter().zip(prepared.storages);
    let tensors = slots.map(|(slot, storage)| storage.filter(|_| slot.output)).collect();
    Ok(Outputs { recording: recording.id, device: recording.device.clone(), tensors, statistics })
}

/// The pipelines of a recording's dispatches, made where they are new.
async fn pipelines(recording: &Recording) -> Result<Vec<Arc<Pipeline>>> {
    let gpu = gpu_of(&recording.device)?;
    gpu.check_lost().await?;
    let dispatches = recording.dispatches.iter();
    let keys: Vec<Vec<u8>> = dispatches.map(key).collect();
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
            source: module(dispatch.kernel, &dispatch.variant)?,
            slots: slots.collect(),
            checked: dispatch.checked,
        });
    }
    if !new.is_empty() {
        gpu.make_pipelines(&new).await?;
    }
    let missing = || Error::argument("recording", "a pipeline", "made", "not");
    keys.iter().map(|key| gpu.pipeline(key).ok_or_else(missing)).collect()
}

/// Tells a pipeline from every other without its text, which is long: texts that stay are told apart by where they are. It is
/// made for each dispatch, so nothing is formatted.
fn key(dispatch: &Dispatch) -> Vec<u8> {
    let Dispatch { kernel, variant, checked, .. } = dispatch;
    let mut key = Vec::with_capacity(256);
    variant.write_key(&mut key);
    let source = kernel.source();
    key.extend_from_slice(&(source.as_ptr() as usize).to_ne_bytes());
    key.extend_from_slice(&source.len().to_ne_bytes());
    key.push((*checked).into());
    // Kernels of one text may bind otherwise.
    key.extend(kernel.bindings().iter().map(|binding| match variant.image_of(binding.name) {
        Some(_) => 2,
        None => u8::from(binding.access == Access::Read),
    }));
    key
}

fn gpu_of(device: &Device) -> Result<&Gpu> {
    device.gpu().ok_or_else(|| Error::argument("recording", "the device", "a GPU", device.name()))
}

impl Prepared {
    /// Makes what is new and binds it. `open` slots are bound by the caller at each encoding: [`Prepared::bind_open`].
    pub async fn new(
        recording: &Recording,
        plan: &Plan,
        submitted: Submitted,
        open: Range<usize>,
    ) -> Result<Self> {
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
        let images = Images::of(device, images, submitted == Submitted::ByUs);
        let slots = recording.slots.iter().zip(&plan.buffer_of);
        let storage_of = |slot: &Slot, planned: &Option<usize>| match &slot.tensor {
            Some(tensor) => Some(tensor.storage().clone()),
            None => planned.map(|buffer| Storage::Gpu(buffers[buffer].clone())),
        };
        let storages: Vec<Option<Storage>> = slots.map(|(slot, planned)| storage_of(slot, planned)).collect();
        if submitted == Submitted::ByHost {
            buffers.iter().for_each(|buffer| _ = buffer.give_out());
        }
        let (mut prepared, outcome) = gpu.scoped("bind groups", 0, || {
            let (parameters, offsets, places) = upload(gpu, recording);
            let steps = recording.dispatches.iter().zip(pipelines).zip(offsets);
            let steps = steps.map(|((dispatch, pipeline), offset)| {
                let is_open = dispatch.bindings.iter().any(|slot| open.contains(slot));
                let of = (&recording.slots[..], &storages[..]);
                let bind = || bind(gpu, &pipeline, dispatch, (&parameters, &places), of, &images, &[]);
                PreparedStep {
                    copies: images.copies(dispatch, &recording.slots, &storages),
                    bind_group: (!is_open).then(bind),
                    pipeline,
                    offset,
                    workgroups: dispatch.workgroups,
                    flops: dispatch.cost.flops,
                }
            });
            let steps = steps.collect();
            Self { device: device.clone(), steps, storages, parameters, places, images }
        });
        if let Err(error) = outcome.await {
            // Neither it nor a bind group over it comes again, whichever of them failed.
            prepared.parameters.discard();
            return Err(error);
        }
        if submitted == Submitted::ByHost {
            prepared.parameters.give_out();
        }
        Ok(prepared)
    }

    /// The bind groups of the steps that use open slots, which are the first, with a host's buffers in their places.
    pub fn bind_open(
        &self,
        recording: &Recording,
        buffers: &[(wgpu::Buffer, u64)],
    ) -> Result<Vec<Option<wgpu::BindGroup>>> {
        let gpu = gpu_of(&self.device)?;
        settle(gpu.scoped("bind groups", 0, || {
            let steps = self.steps.iter().zip(&recording.dispatches);
            let groups = steps.map(|(step, dispatch)| {
                let of = (&recording.slots[..], &self.storages[..]);
                let from_host = (&self.parameters, &self.places[..]);
                let bind = || bind(gpu, &step.pipeline, dispatch, from_host, of, &self.images, buffers);
                step.bind_group.is_none().then(bind)
            });
            groups.collect()
        }))
    }

    /// Encodes all of it into the caller's encoder, steps with open slots by their bind groups in `bound`.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, bound: &[Option<wgpu::BindGroup>]) {
        encode(&self.steps, bound, encoder);
    }

    /// Encodes and submits it, as far as it is not told to end, with a copy for reading back of so many bytes of each of `copied`
    /// at the end, and gives the floating-point operations of each submission.
    pub async fn submit(&self, cancelled: &AtomicBool, copied: &[(&GpuBuffer, u64)]) -> Result<Vec<u64>> {
        let Some(gpu) = self.device.gpu() else { return Ok(Vec::new()) };
        let mut submits = Vec::new();
        for part in self.submissions() {
            let last = part.end == self.steps.len();
            let steps = &self.steps[part];
            let ((staged, submission), outcome) = gpu.scoped("a submission", 0, || {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                encode(steps, &[], &mut encoder);
                let copied = copied.iter().filter(|_| last).map(|&(buffer, bytes)| {
                    let staging = gpu.acquire(Purpose::Readback, bytes);
                    encoder.copy_buffer_to_buffer(&buffer.buffer, 0, &staging.buffer, 0, bytes);
                    (buffer, staging)
                });
                let staged: Vec<_> = copied.collect();
                (staged, gpu.submit(encoder, cancelled))
            });
            outcome.await?;
            if let Some(submission) = submission {
                staged
                    .into_iter()
                    .for_each(|(buffer, staging)| buffer.keep_copy(staging, submission.clone()));
            }
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
            (0..times).for_each(|_| dispatch(steps, &[], &mut pass));
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
        (0..*times).for_each(|_| encode(steps, &[], encoder));
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: last };
        encoder.begin_compute_pass(&descriptor);
    }
}

/// `bound` are the bind groups of the steps that have none; there may be fewer than steps.
fn encode(steps: &[PreparedStep], bound: &[Option<wgpu::BindGroup>], encoder: &mut wgpu::CommandEncoder) {
    let mut first = 0;
    while let Some(step) = steps.get(first) {
        step.copies.iter().for_each(|copy| copy.encode(encoder));
        let until_copy = steps[first + 1..].iter().take_while(|step| step.copies.is_empty()).count();
        let end = first + 1 + until_copy;
        let bound = bound.get(first..).unwrap_or_default();
        dispatch(&steps[first..end], bound, &mut encoder.begin_compute_pass(&Default::default()));
        first = end;
    }
}

fn dispatch(steps: &[PreparedStep], bound: &[Option<wgpu::BindGroup>], pass: &mut wgpu::ComputePass<'_>) {
    let mut last: Option<&Arc<Pipeline>> = None;
    for (place, step) in steps.iter().enumerate() {
        let bind_group = step.bind_group.as_ref().or_else(|| bound.get(place)?.as_ref());
        if last.is_none_or(|last| !Arc::ptr_eq(last, &step.pipeline)) {
            pass.set_pipeline(&step.pipeline.pipeline);
            last = Some(&step.pipeline);
        }
        pass.set_bind_group(0, bind_group, &[step.offset]);
        let [x, y, z] = step.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// What goes from the host to the device: the parameters of each dispatch, at the alignment of a dynamic offset, and then the
/// constants. Gives the place of each dispatch's parameters, and of each slot's constant.
fn upload(gpu: &Gpu, recording: &Recording) -> (GpuBuffer, Vec<u32>, Vec<u64>) {
    let alignment = recording.device.capabilities().uniform_alignment as usize;
    let mut bytes = Vec::with_capacity((recording.dispatches.len() + 8) * alignment);
    let mut offsets = Vec::with_capacity(recording.dispatches.len());
    for dispatch in &recording.dispatches {
        let offset = bytes.len().next_multiple_of(alignment);
        offsets.push(offset as u32);
        bytes.resize(offset, 0);
        bytes.extend_from_slice(&dispatch.parameters);
        // A kernel without parameters has the binding too.
        bytes.resize(bytes.len().max(offset + 4).next_multiple_of(4), 0);
    }
    let mut places = vec![0; recording.slots.len()];
    let constants = places.iter_mut().zip(&recording.slots);
    let constants = constants.filter_map(|(place, slot)| Some((place, slot.constant.as_ref()?)));
    for (place, words) in constants {
        let offset = bytes.len().next_multiple_of(STORAGE_ALIGNMENT);
        *place = offset as u64;
        bytes.resize(offset, 0);
        bytes.extend_from_slice(bytemuck::cast_slice(words));
        // So much that a constant which grows from step to step moves those behind it seldom: bind groups are kept by place.
        bytes.resize(offset + class(4 * words.len() as u64) as usize, 0);
    }
    let pooled = gpu.acquire(Purpose::Parameters, bytes.len() as u64);
    gpu.queue.write_buffer(&pooled.buffer, 0, &bytes);
    (GpuBuffer::new(&recording.device, pooled), offsets, places)
}

/// The bind group of a dispatch. The first slots are those of `open`, buffers of a host's and where they begin.
fn bind(
    gpu: &Gpu,
    pipeline: &Pipeline,
    dispatch: &Dispatch,
    (parameters, places): (&GpuBuffer, &[u64]),
    (slots, storages): (&[Slot], &[Option<Storage>]),
    images: &Images,
    open: &[(wgpu::Buffer, u64)],
) -> wgpu::BindGroup {
    let bytes = dispatch.parameters.len().max(4) as u64;
    let whole = |buffer, number, bytes| Resource::Buffer { buffer, number, offset: 0, bytes };
    let constant = |offset, bytes| {
        let (buffer, number) = (&parameters.buffer, parameters.number());
        Resource::Buffer { buffer, number, offset, bytes }
    };
    let mut resources = Vec::with_capacity(1 + dispatch.bindings.len());
    resources.push(whole(&parameters.buffer, parameters.number(), bytes));
    // Every slot in use has a buffer; a missing one is caught by the error scope as a missing binding.
    for (binding, &slot) in dispatch.kernel.bindings().iter().zip(&dispatch.bindings) {
        let bytes = (slots[slot].words * 4).max(4);
        if let Some((place, texel)) = dispatch.variant.image_of(binding.name) {
            resources.extend(images.get(place, texel).map(Resource::Image));
        } else if let Some(&(ref buffer, offset)) = open.get(slot) {
            resources.push(Resource::Buffer { buffer, number: None, offset, bytes });
        } else if let Some(Storage::Gpu(storage)) = &storages[slot] {
            resources.push(whole(&storage.buffer, storage.number(), bytes));
        } else if slots[slot].constant.is_some() {
            resources.push(constant(places[slot], bytes));
        }
    }
    gpu.bind(dispatch.kernel.name(), pipeline, &resources)
}
