//! The wgpu side of a device: error scopes, device loss, waiting, pipelines, and buffers kept for reuse.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::DeviceOptions;
use crate::error::{Error, Result};

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

/// A compute pipeline with the layout of its bind group.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Bytes of idle buffers that are kept for the next recording.
const IDLE_BYTES: u64 = 512 << 20;

pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    name: String,
    lost: Option<LossFlag>,
    timeout: Duration,
    shader_checks: bool,
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    idle: Arc<Mutex<Vec<wgpu::Buffer>>>,
}

impl Gpu {
    pub(super) fn new(
        name: String,
        device: wgpu::Device,
        queue: wgpu::Queue,
        lost: Option<LossFlag>,
        options: &DeviceOptions,
    ) -> Self {
        Self {
            device,
            queue,
            name,
            lost,
            timeout: options.timeout,
            shader_checks: options.shader_checks,
            pipelines: Mutex::default(),
            idle: Arc::default(),
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
        let idle = self.idle.clone();
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
                    // What lies idle may be what is missing.
                    idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    Error::OutOfMemory { device: name, what, needed }
                }
                error => Error::Rejected { device: name, what, message: error.to_string() },
            })
        };
        (value, Box::pin(outcome))
    }

    /// Waits until all that was submitted is done. In the browser the event loop does the waiting, and this returns at
    /// once.
    pub fn wait(&self, what: &str) -> Result<()> {
        let wait =
            || self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(self.timeout) });
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

    /// Copies the first `bytes` of `buffer` to the host.
    pub async fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let (staging, outcome) = self.scoped("a buffer for reading back", bytes, || {
            let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes);
            self.queue.submit([encoder.finish()]);
            staging
        });
        outcome.await?;
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        let ((), outcome) = self.scoped("reading back", bytes, || {
            staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
                let _ = sender.send(result);
            });
        });
        outcome.await?;
        let rejected = |message: String| Error::Rejected {
            device: self.name.clone(),
            what: "reading back".to_owned(),
            message,
        };
        let mapped = match self.wait("reading back") {
            Ok(()) => match receiver.receive().await {
                Some(mapped) => mapped.map_err(|error| rejected(error.to_string())),
                None => Err(rejected("the mapping was dropped".to_owned())),
            },
            Err(error) => Err(error),
        };
        // After a loss a mapping may even succeed, so this is asked in any case.
        self.lost_or(mapped).await?;
        let view = staging.slice(..).get_mapped_range().map_err(|error| rejected(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    /// The pipeline of a shader module, made once. `storage` tells for each storage binding (from binding 1 on)
    /// whether it is read-only; binding 0 is the parameters' uniform buffer with a dynamic offset.
    pub async fn pipeline(&self, label: &str, source: &str, storage: &[bool]) -> Result<Arc<Pipeline>> {
        let known = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned();
        if let Some(pipeline) = known {
            return Ok(pipeline);
        }
        let (made, outcome) = self.scoped(label, 0, || self.create_pipeline(label, source, storage));
        outcome.await?;
        let made = Arc::new(made);
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned(), made.clone());
        Ok(made)
    }

    fn create_pipeline(&self, label: &str, source: &str, storage: &[bool]) -> Pipeline {
        let checks = match self.shader_checks {
            true => wgpu::ShaderRuntimeChecks::checked(),
            false => wgpu::ShaderRuntimeChecks::unchecked(),
        };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        // SAFETY: only this crate's kernels come here. Each bounds its own indices by its parameters and ends its
        // own loops; the suite runs all of them with the checks on and off, sentinels behind every output.
        let module = unsafe { self.device.create_shader_module_trusted(descriptor, checks) };
        let entry = |binding: u32, ty: wgpu::BufferBindingType, dynamic: bool| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        for (binding, &read_only) in (1..).zip(storage) {
            entries.push(entry(binding, wgpu::BufferBindingType::Storage { read_only }, false));
        }
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
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    pub fn pipeline_count(&self) -> usize {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A storage buffer of at least `bytes`, an idle one where one fits well. Its content is undefined.
    pub fn acquire(&self, bytes: u64) -> wgpu::Buffer {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // At most a quarter too large: memory matters more than a hit.
        let fits =
            |buffer: &wgpu::Buffer| buffer.size() >= bytes && buffer.size() <= bytes + bytes / 4 + 4096;
        let best =
            (0..idle.len()).filter(|&index| fits(&idle[index])).min_by_key(|&index| idle[index].size());
        if let Some(index) = best {
            return idle.swap_remove(index);
        }
        drop(idle);
        // Some backends allow 2³¹ − 1 bytes: what just fits must not be rounded past that.
        let rounded = bytes.next_multiple_of(256).max(256);
        let size = if rounded <= self.device.limits().max_buffer_size { rounded } else { bytes };
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("attentive"),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Keeps a buffer for the next [`Gpu::acquire`]; the oldest go when too much lies idle.
    pub fn release(&self, buffer: wgpu::Buffer) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        while idle.iter().map(wgpu::Buffer::size).sum::<u64>() > IDLE_BYTES {
            idle.remove(0);
        }
    }
}
