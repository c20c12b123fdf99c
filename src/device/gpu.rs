//! The wgpu side of a device: error scopes, device loss, waiting, pipelines, and buffers kept for reuse.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::image::{Image, Texel};
use super::memory::{Bound, Idle, Memory, Pooled, Purpose, class};
#[cfg(not(target_arch = "wasm32"))]
use super::pipeline_cache::{PipelineCache, PipelineCacheFile};
use super::{Created, DeviceOptions};
use crate::error::{Error, Result};
use crate::host_memory;
use crate::waiting::locked;

/// What the error scopes around some work saw.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
/// What the error scopes around some work saw.
#[cfg(target_arch = "wasm32")]
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Set by the device-loss callback. wgpu says nothing else once a device is lost: calls then do nothing, and a
/// mapping may even "succeed", so the flag is looked at after every wait.
pub(super) type LossFlag = Arc<OnceLock<String>>;

pub(super) fn watch_loss(device: &wgpu::Device) -> LossFlag {
    let flag = LossFlag::default();
    let seen = flag.clone();
    device.set_device_lost_callback(move |reason, message| {
        let _ = seen.set(if message.is_empty() { format!("{reason:?}") } else { message });
    });
    flag
}

/// Why the device is lost, if it is. The callback speaks only once the queue is empty and somebody polls, and on a host's
/// device there is none of ours; but a lost device reports no error any more, so one is provoked.
async fn loss(device: &wgpu::Device, flag: Option<&LossFlag>) -> Option<String> {
    let known = || flag.and_then(|flag| flag.get()).cloned();
    if let Some(reason) = known() {
        return Some(reason);
    }
    // Provoking an error takes longer than this, which is enough where nothing is under way.
    #[cfg(not(target_arch = "wasm32"))]
    if flag.is_some() && is_idle(device) {
        return known();
    }
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let _ = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("without a usage, to see whether the device is lost"),
        size: 4,
        usage: wgpu::BufferUsages::empty(),
        mapped_at_creation: false,
    });
    let error = scope.pop();
    match error.await {
        Some(_) => None,
        None => known().or_else(|| Some("it was destroyed, or its driver gave up".to_owned())),
    }
}

/// Polls, and tells whether all that was submitted is done. wgpu panics where the driver says that the device is lost.
#[cfg(not(target_arch = "wasm32"))]
fn is_idle(device: &wgpu::Device) -> bool {
    let poll = || device.poll(wgpu::PollType::Poll);
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll));
    matches!(polled, Ok(Ok(status)) if status.is_queue_empty())
}

/// A compute pipeline with the layout of its bind group.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    number: u64,
}

/// A shader module of which a pipeline is to be made.
pub(crate) struct Module<'a> {
    /// Tells it from every other.
    pub key: Vec<u8>,
    pub label: &'a str,
    pub source: String,
    /// With naga's bounds checks and loop bounding, whatever the device's options say.
    pub checked: bool,
    /// From binding 1 on; binding 0 is the parameters' uniform buffer with a dynamic offset.
    pub slots: Vec<SlotType>,
}

/// How a shader has what is bound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SlotType {
    Storage { read_only: bool },
    Image(Texel),
}

/// A resource to be bound.
pub(crate) enum Resource<'a> {
    /// With its number, where it is ours, and what of it is bound.
    Buffer {
        buffer: &'a wgpu::Buffer,
        number: Option<u64>,
        offset: u64,
        bytes: u64,
    },
    Image(&'a Image),
}

pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    name: String,
    lost: Option<LossFlag>,
    timeout: Duration,
    shader_checks: bool,
    pipelines: Mutex<HashMap<Vec<u8>, Arc<Pipeline>>>,
    #[cfg(not(target_arch = "wasm32"))]
    pipeline_cache: Option<PipelineCache>,
    memory: Arc<Mutex<Memory>>,
    /// Held while something is submitted.
    submitting: Mutex<()>,
    buffers_made: AtomicU64,
    bind_groups_made: AtomicU64,
    pipelines_made: AtomicU64,
}

impl Gpu {
    pub(super) fn new(
        name: String,
        info: &wgpu::AdapterInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
        lost: Option<LossFlag>,
        options: &DeviceOptions,
    ) -> Self {
        #[cfg(target_arch = "wasm32")]
        let _ = info;
        #[cfg(not(target_arch = "wasm32"))]
        let folder = options.pipeline_cache.as_deref();
        Self {
            #[cfg(not(target_arch = "wasm32"))]
            pipeline_cache: folder.and_then(|folder| PipelineCache::open(folder, info, &device)),
            device,
            queue,
            name,
            lost,
            timeout: options.timeout,
            shader_checks: options.shader_checks,
            pipelines: Mutex::default(),
            memory: Arc::default(),
            submitting: Mutex::default(),
            buffers_made: AtomicU64::new(0),
            bind_groups_made: AtomicU64::new(0),
            pipelines_made: AtomicU64::new(0),
        }
    }

    /// [`Error::DeviceLost`] if the device is lost.
    pub async fn check_lost(&self) -> Result<()> {
        self.lost_or(Ok(())).await
    }

    /// `outcome`, or [`Error::DeviceLost`] if the device is lost: what failed on it failed by that.
    async fn lost_or<T>(&self, outcome: Result<T>) -> Result<T> {
        match loss(&self.device, self.lost.as_ref()).await {
            Some(reason) => Err(Error::DeviceLost { device: self.name.clone(), reason }),
            None => outcome,
        }
    }

    /// Runs `work` inside error scopes and gives its result with a future of the first error. `needed` is the size
    /// of what `work` allocates, for the message.
    pub fn scoped<T>(&self, what: &str, needed: u64, work: impl FnOnce() -> T) -> (T, Outcome) {
        let filters =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory];
        let mut scopes: Vec<_> =
            filters.into_iter().map(|filter| self.device.push_error_scope(filter)).collect();
        let value = work();
        // Scopes nest: the last pushed is popped first.
        let mut errors = Vec::new();
        while let Some(scope) = scopes.pop() {
            errors.push(scope.pop());
        }
        let (name, what) = (self.name.clone(), what.to_owned());
        let (device, lost) = (self.device.clone(), self.lost.clone());
        let memory = self.memory.clone();
        let outcome = async move {
            let mut first = None;
            for error in errors {
                first = first.or(error.await);
            }
            // Without an error nothing is asked: what was lost meanwhile shows at the next call.
            let Some(error) = first else { return Ok(()) };
            if let Some(reason) = loss(&device, lost.as_ref()).await {
                return Err(Error::DeviceLost { device: name, reason });
            }
            Err(match error {
                wgpu::Error::OutOfMemory { .. } => {
                    // The idle buffers may hold the memory that is missing.
                    locked(&memory).clear();
                    Error::OutOfMemory { device: name, what, needed }
                }
                error => Error::Rejected { device: name, what, message: error.to_string() },
            })
        };
        (value, Box::pin(outcome))
    }

    /// Waits until a submission is done, or all that there are. In the browser the event loop does the waiting, and this
    /// returns at once.
    pub fn wait(&self, what: &str, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let timeout = Some(self.timeout);
        let wait = || self.device.poll(wgpu::PollType::Wait { submission_index, timeout });
        // wgpu panics where the driver says, while it is waited for, that the device is lost.
        #[cfg(not(target_arch = "wasm32"))]
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
        #[cfg(target_arch = "wasm32")]
        let polled: std::thread::Result<_> = Ok(wait());
        let rejected =
            |message: String| Error::Rejected { device: self.name.clone(), what: what.to_owned(), message };
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(wgpu::PollError::Timeout)) => Err(Error::Timeout {
                device: self.name.clone(),
                what: what.to_owned(),
                seconds: self.timeout.as_secs_f64(),
            }),
            Ok(Err(error)) => Err(rejected(error.to_string())),
            Err(_) => Err(rejected("the driver failed while it was waited for".to_owned())),
        }
    }

    /// Submits what was encoded, unless it is no longer wanted: what is submitted after the end was asked for comes behind all
    /// that this has still submitted.
    pub fn submit(
        &self,
        encoder: wgpu::CommandEncoder,
        cancelled: &AtomicBool,
    ) -> Option<wgpu::SubmissionIndex> {
        let commands = encoder.finish();
        let _in_turn = locked(&self.submitting);
        (!cancelled.load(Ordering::SeqCst)).then(|| self.queue.submit([commands]))
    }

    /// Copies the first `bytes` of `buffer` to the host.
    pub async fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let ((staging, submission), outcome) = self.scoped("a buffer for reading back", bytes, || {
            let staging = self.acquire(Purpose::Readback, bytes);
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, 0, &staging.buffer, 0, bytes);
            let submission = self.submit(encoder, &AtomicBool::new(false));
            (staging, submission)
        });
        outcome.await?;
        self.read_copied(staging, bytes, submission).await
    }

    /// The first `bytes` of a buffer for reading back, to which that submission copied something.
    pub async fn read_copied(
        &self,
        staging: Pooled,
        bytes: u64,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<Vec<u32>> {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        let ((), outcome) = self.scoped("reading back", bytes, || {
            staging.buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
                let _ = sender.send(result);
            });
        });
        outcome.await?;
        let rejected = |message: String| Error::Rejected {
            device: self.name.clone(),
            what: "reading back".to_owned(),
            message,
        };
        let mapped = match self.wait("reading back", submission) {
            Ok(()) => match receiver.receive().await {
                Some(mapped) => mapped.map_err(|error| rejected(error.to_string())),
                None => Err(rejected("the mapping was dropped".to_owned())),
            },
            Err(error) => Err(error),
        };
        // After a loss a mapping may even succeed, so this is asked in any case.
        self.lost_or(mapped).await?;
        let slice = staging.buffer.slice(..bytes);
        let view = slice.get_mapped_range().map_err(|error| rejected(error.to_string()))?;
        let words = host_memory::zeroed(bytes as usize / 4, || "reading back".to_owned());
        let words = words.map(|mut words: Vec<u32>| {
            bytemuck::cast_slice_mut(&mut words).copy_from_slice(&view);
            words
        });
        drop(view);
        staging.buffer.unmap();
        // Only here: one that failed is not used again.
        self.release(staging);
        words
    }

    /// Hands over what was written to buffers and waits until the GPU has it, so that the host need not keep it. In the
    /// browser it does not wait.
    pub fn send(&self) -> Result<()> {
        self.queue.submit([]);
        self.wait("an upload", None)
    }

    /// The pipeline of that key, if it has been made.
    pub fn pipeline(&self, key: &[u8]) -> Option<Arc<Pipeline>> {
        locked(&self.pipelines).get(key).cloned()
    }

    /// Makes pipelines and keeps them: on native several at once, as compiling takes longest of all that a first call
    /// does.
    pub async fn make_pipelines(&self, modules: &[Module<'_>]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let made = Mutex::new(Vec::with_capacity(modules.len()));
        let work = || {
            while let Some(module) = modules.get(next.fetch_add(1, Ordering::Relaxed)) {
                // Error scopes are a thread's own.
                let one = self.scoped(module.label, 0, || self.create_pipeline(module));
                locked(&made).push((module, one));
            }
        };
        #[cfg(not(target_arch = "wasm32"))]
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(modules.len());
            for _ in 1..threads {
                // Without a further thread this one makes them all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        #[cfg(target_arch = "wasm32")]
        work();
        for (module, (pipeline, outcome)) in made.into_inner().unwrap_or_else(PoisonError::into_inner) {
            outcome.await?;
            locked(&self.pipelines).insert(module.key.clone(), Arc::new(pipeline));
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(cache) = &self.pipeline_cache {
            cache.made(modules.len() as u64);
        }
        Ok(())
    }

    fn create_pipeline(&self, module: &Module<'_>) -> Pipeline {
        let Module { label, source, slots, checked, .. } = module;
        let label = *label;
        let checks = match self.shader_checks || *checked {
            true => wgpu::ShaderRuntimeChecks::checked(),
            false => wgpu::ShaderRuntimeChecks::unchecked(),
        };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.as_str().into()),
        };
        // SAFETY: without checks only this crate's kernels come here, recorded by its ops or with their own cases, and
        // those that are `Unchecked`, of whom somebody has vouched as much by `unsafe`. Each bounds its own indices by its
        // parameters and ends its own loops; the suite runs all of ours with the checks on and off, sentinels behind every
        // output.
        let module = unsafe { self.device.create_shader_module_trusted(descriptor, checks) };
        let buffer = |ty: wgpu::BufferBindingType, dynamic: bool| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic,
            min_binding_size: None,
        };
        let types = slots.iter().map(|slot| match *slot {
            SlotType::Storage { read_only } => buffer(wgpu::BufferBindingType::Storage { read_only }, false),
            SlotType::Image(texel) => wgpu::BindingType::StorageTexture {
                access: wgpu::StorageTextureAccess::ReadOnly,
                format: texel.format(),
                view_dimension: wgpu::TextureViewDimension::D2,
            },
        });
        let types = std::iter::once(buffer(wgpu::BufferBindingType::Uniform, true)).chain(types);
        let entries = (0..).zip(types).map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        });
        let entries: Vec<_> = entries.collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(label),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            #[cfg(not(target_arch = "wasm32"))]
            cache: self.pipeline_cache.as_ref().map(|cache| &cache.cache),
            #[cfg(target_arch = "wasm32")]
            cache: None,
        });
        Pipeline { pipeline, layout, number: self.pipelines_made.fetch_add(1, Ordering::Relaxed) }
    }

    /// The bind group of a pipeline, from binding 0 on. Where all of the buffers are ours it is kept, and made once.
    pub fn bind(&self, label: &str, pipeline: &Pipeline, resources: &[Resource<'_>]) -> wgpu::BindGroup {
        let numbers = resources.iter().map(|resource| match resource {
            Resource::Buffer { number, offset, bytes, .. } => Some(((*number)?, *offset, *bytes)),
            Resource::Image(image) => Some((image.number, 0, 0)),
        });
        let numbers: Option<Vec<_>> = numbers.collect();
        let bound = numbers.map(|resources| Bound { pipeline: pipeline.number, resources });
        if let Some(known) = bound.as_ref().and_then(|bound| locked(&self.memory).bind_group(bound)) {
            return known;
        }
        let entries = (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry {
            binding,
            resource: match resource {
                &Resource::Buffer { buffer, offset, bytes, .. } => {
                    let size = wgpu::BufferSize::new(bytes);
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
                }
                Resource::Image(image) => wgpu::BindingResource::TextureView(&image.view),
            },
        });
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries.collect::<Vec<_>>(),
        });
        self.bind_groups_made.fetch_add(1, Ordering::Relaxed);
        if let Some(bound) = bound {
            locked(&self.memory).keep_bind_group(bound, bind_group.clone());
        }
        bind_group
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn pipeline_cache(&self) -> Option<&PipelineCacheFile> {
        self.pipeline_cache.as_ref().map(|cache| &cache.file)
    }

    pub fn pipeline_count(&self) -> usize {
        locked(&self.pipelines).len()
    }

    /// Counts of what has been made so far.
    pub fn created(&self) -> Created {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Created {
            buffers: count(&self.buffers_made),
            bind_groups: count(&self.bind_groups_made),
            pipelines: count(&self.pipelines_made),
        }
    }

    /// A buffer of at least `bytes`, an idle one where there is one of the size. Its content is undefined.
    pub fn acquire(&self, purpose: Purpose, bytes: u64) -> Pooled {
        // Some backends allow 2³¹ − 1 bytes: what just fits must not be rounded past that.
        let rounded = class(bytes);
        let size = if rounded <= self.device.limits().max_buffer_size { rounded } else { bytes };
        if let Some(idle) = locked(&self.memory).take(purpose, size) {
            return idle;
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attentive"),
            size,
            usage: purpose.usages(),
            mapped_at_creation: false,
        });
        Pooled { buffer, number: self.buffers_made.fetch_add(1, Ordering::Relaxed), purpose }
    }

    /// An image of so many rows at least, an idle one where there is one. Its content is undefined.
    pub fn acquire_image(&self, texel: Texel, rows: u32) -> Image {
        if let Some(idle) = locked(&self.memory).take_image(texel, rows) {
            return idle;
        }
        Image::new(&self.device, texel, rows, self.buffers_made.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps a buffer for the next [`Gpu::acquire`]; the oldest go when too much lies idle.
    pub fn release(&self, pooled: Pooled) {
        locked(&self.memory).keep(Idle::Buffer(pooled));
    }

    /// Lets go of the bind groups over a buffer that does not come again.
    pub fn forget(&self, pooled: &Pooled) {
        locked(&self.memory).forget(&[pooled.number]);
    }

    /// Keeps an image for the next [`Gpu::acquire_image`].
    pub fn release_image(&self, image: Image) {
        locked(&self.memory).keep(Idle::Image(image));
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Gpu {
    fn drop(&mut self) {
        let lost = self.lost.as_ref().is_some_and(|lost| lost.get().is_some());
        if let Some(cache) = self.pipeline_cache.as_ref().filter(|_| !lost) {
            cache.write();
        }
    }
}
