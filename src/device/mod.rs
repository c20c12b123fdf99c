//! Where work runs: a GPU that wgpu reaches, or the CPU.
//!
//! [`Device::open`] takes a [`DeviceSpec`]; [`Device::from_wgpu`] takes a host's own wgpu device. Features and
//! limits are asked for only where the adapter has them, and [`Capabilities`] says what came of it.

mod adapters;
mod capabilities;
mod drivers;
mod gpu;
mod image;
mod implementations;
mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod pipeline_cache;
#[cfg(not(target_arch = "wasm32"))]
mod replace;
mod spec;
mod tuning;

#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use adapters::choose as choose_adapter;
pub use adapters::{AdapterSummary, list_adapters};
pub use capabilities::{Capabilities, Cooperative, required_features, required_limits};
pub use drivers::{DEFECTS, DriverDefect};
pub(crate) use gpu::{Gpu, Module, Outcome, Pipeline, Resource, SlotType};
pub(crate) use image::Image;
pub use image::{IMAGE_COLUMNS, Texel};
pub(crate) use implementations::AdapterClass;
pub use implementations::{IMPLEMENTATIONS, OPS, implementations_of};
pub(crate) use memory::{Pooled, Purpose, class};
#[cfg(not(target_arch = "wasm32"))]
pub use pipeline_cache::PipelineCacheFile;
pub use spec::DeviceSpec;
pub use tuning::{TunedChoice, TunedSize, Tuning, TuningKey};

use crate::error::{Error, Result};

/// The options that a device is opened with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Keep naga's bounds checks and loop bounding in the shaders. Slower; the results are the same.
    pub shader_checks: bool,
    /// Ask for no optional feature and for no more than WebGPU's default limits.
    pub baseline: bool,
    /// Ask for cooperative matrices (tensor cores), which wgpu counts among its experimental features, and choose the
    /// kernels that use them. These take f16: a linear layer with f16 weights then rounds x to f16, and attention over f16
    /// keys and values rounds q and the weights; sums stay f32. An adapter without them is used as without this option.
    ///
    /// Off until [`verify::cooperative`](crate::verify::cooperative) has passed on the adapter and its driver: wgpu's
    /// translation says less of memory order than Vulkan's memory model asks for (gfx-rs/wgpu#8805), and sums have come out
    /// doubled on some card.
    pub cooperative: bool,
    /// How long one wait for the device may take.
    pub timeout: Duration,
    /// Implementations to force, as `op=name`, such as `linear=tiled`.
    pub implementations: Vec<String>,
    /// A folder for the driver's compiled pipelines, so that the next process need not compile them again: made where it is
    /// not there, a file for each adapter and driver. On Vulkan; elsewhere it changes nothing. A file that is damaged or
    /// another driver's is not used ([`Device::pipeline_cache`]); it is replaced once pipelines are made, if it can be.
    ///
    /// Drivers trust such a file: the folder should be one that only the user writes to.
    #[cfg(not(target_arch = "wasm32"))]
    pub pipeline_cache: Option<PathBuf>,
    /// What was measured on the device by [`bench::tune`](crate::bench::tune); without it tables choose. It must hold for the
    /// adapter that is opened. The CPU device has none.
    pub tuning: Option<Tuning>,
}

impl DeviceOptions {
    fn check(&self) -> Result<()> {
        for word in &self.implementations {
            let (op, name) = word.split_once('=').unwrap_or((word, ""));
            if !OPS.contains(&op) || name.is_empty() {
                let reason = format!("write OP=NAME with one of the ops {}", OPS.join(", "));
                return Err(Error::Implementation { op: op.to_owned(), name: name.to_owned(), reason });
            }
        }
        Ok(())
    }
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            shader_checks: false,
            baseline: false,
            cooperative: false,
            timeout: Duration::from_secs(600),
            implementations: Vec::new(),
            #[cfg(not(target_arch = "wasm32"))]
            pipeline_cache: None,
            tuning: None,
        }
    }
}

/// Counts of the things made on a device: see [`Device::created`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// Buffers: tensors, temporaries, parameters, and those for reading back; and images ([`Texel`]).
    pub buffers: u64,
    /// Bind groups.
    pub bind_groups: u64,
    /// Compute pipelines.
    pub pipelines: u64,
}

/// An open device. Cloning is cheap and gives the same device.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    software: bool,
    capabilities: Capabilities,
    options: DeviceOptions,
    gpu: Option<Gpu>,
    tuning_key: Option<TuningKey>,
    tuning: OnceLock<Option<Arc<Tuning>>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

impl Device {
    /// Opens the device that `spec` names (see [`DeviceSpec`]), with the default options.
    ///
    /// # Errors
    /// [`Error::DeviceSpec`] for a text that is no specification, [`Error::Variable`] for a `WGPU_BACKEND` that cannot be read,
    /// [`Error::NoAdapter`] where none fits,
    /// [`Error::DeviceRequest`] where the adapter gives no device, [`Error::Tuning`] for another adapter's tuning.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(spec: &str) -> Result<Self> {
        Self::open_with(spec, DeviceOptions::default())
    }

    /// [`Device::open`] with options.
    ///
    /// # Errors
    /// As [`Device::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_with(spec: &str, options: DeviceOptions) -> Result<Self> {
        crate::waiting::block_on(Self::open_async(spec, options))
    }

    /// The async form of [`Device::open_with`].
    ///
    /// # Errors
    /// As [`Device::open`].
    pub async fn open_async(spec: &str, options: DeviceOptions) -> Result<Self> {
        options.check()?;
        match spec.parse::<DeviceSpec>()? {
            DeviceSpec::Cpu => Ok(Self::cpu_with(options)),
            spec => {
                let adapter = adapters::choose(&spec).await?;
                Self::from_adapter(&adapter, options).await
            }
        }
    }

    /// The CPU device: it runs each kernel's twin and is always there.
    pub fn cpu() -> Self {
        Self::cpu_with(DeviceOptions::default())
    }

    fn cpu_with(options: DeviceOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: "CPU".to_owned(),
                software: true,
                capabilities: Capabilities::cpu(),
                options,
                gpu: None,
                tuning_key: None,
                tuning: OnceLock::new(),
            }),
        }
    }

    /// Opens a device on an adapter of the caller's choice.
    ///
    /// # Errors
    /// [`Error::DeviceRequest`] where the adapter gives no device, [`Error::Tuning`] for another adapter's tuning.
    pub async fn from_adapter(adapter: &wgpu::Adapter, mut options: DeviceOptions) -> Result<Self> {
        options.check()?;
        let info = adapter.get_info();
        let baseline = options.baseline;
        let mut features = if baseline { wgpu::Features::empty() } else { required_features(adapter) };
        #[cfg(not(target_arch = "wasm32"))]
        if options.pipeline_cache.is_some() && !baseline {
            features |= wgpu::Features::PIPELINE_CACHE & adapter.features();
        }
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if options.cooperative && !baseline && capabilities::cooperative(adapter).is_some() {
            features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: what wgpu asks for is that its experimental features may have bugs, undefined behaviour among them.
            // The caller's option says so, and only kernels that the suite runs come here.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("attentive"),
                required_features: features,
                required_limits: required_limits(adapter, baseline),
                experimental_features,
                ..Default::default()
            })
            .await
            .map_err(|error| Error::DeviceRequest {
                adapter: adapters::describe(&info),
                reason: error.to_string(),
            })?;
        let lost = gpu::watch_loss(&device);
        let tuning = options.tuning.take();
        let device = Self::wrap(adapter, device, queue, Some(lost), options);
        tuning.map_or(Ok(()), |tuning| device.set_tuning(tuning))?;
        Ok(device)
    }

    /// Takes a host's own device. Its error handler and its device-loss callback are left as they are; error
    /// scopes surround our own work. `adapter` should be the one that `device` came from: it tells the name and the
    /// subgroup sizes. [`required_features`] and [`required_limits`] say what to ask for.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::wrap(adapter, device, queue, None, DeviceOptions::default())
    }

    fn wrap(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        lost: Option<gpu::LossFlag>,
        options: DeviceOptions,
    ) -> Self {
        let info = adapter.get_info();
        let name = adapters::describe(&info);
        let gpu = Gpu::new(name.clone(), &info, device, queue, lost, &options);
        Self {
            inner: Arc::new(Inner {
                software: adapters::is_software(&info),
                capabilities: Capabilities::of(&gpu.device, adapter),
                name,
                options,
                gpu: Some(gpu),
                tuning_key: Some(TuningKey::of(&info)),
                tuning: OnceLock::new(),
            }),
        }
    }

    /// The adapter's name with its backend and driver, or `CPU`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// True for the CPU device and for GPU drivers that run on the CPU (lavapipe, SwiftShader, WARP).
    pub fn is_software(&self) -> bool {
        self.inner.software
    }

    /// True for the CPU device.
    pub fn is_cpu(&self) -> bool {
        self.inner.gpu.is_none()
    }

    /// The features and limits that kernels may use here.
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// The options that the device was opened with.
    pub fn options(&self) -> &DeviceOptions {
        &self.inner.options
    }

    /// The wgpu device and queue, absent on the CPU device.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.inner.gpu.as_ref().map(|gpu| (&gpu.device, &gpu.queue))
    }

    /// Pipelines made on this device so far: one for each kernel variant used.
    pub fn pipelines(&self) -> usize {
        self.inner.gpu.as_ref().map_or(0, Gpu::pipeline_count)
    }

    /// What has been made on this device so far, all 0 on the CPU device. All of it is kept for reuse within bounds: a
    /// second call with the same sizes makes nothing.
    pub fn created(&self) -> Created {
        self.inner.gpu.as_ref().map_or_else(Created::default, Gpu::created)
    }

    /// The file of compiled pipelines that the device reads and writes, if it has one.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn pipeline_cache(&self) -> Option<&PipelineCacheFile> {
        self.inner.gpu.as_ref()?.pipeline_cache()
    }

    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu.as_ref()
    }

    /// The implementation of `op` that the options force, if any; the last word counts.
    pub(crate) fn forced(&self, op: &str) -> Option<&str> {
        let words = self.inner.options.implementations.iter().rev();
        words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == op).map(|(_, name)| name)
    }

    /// True if both are the same open device.
    pub fn same(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// [`Error::WrongDevice`] unless `found` is this device.
    pub(crate) fn expect_same(
        &self,
        op: &str,
        argument: impl FnOnce() -> String,
        found: &Device,
    ) -> Result<()> {
        if self.same(found) {
            return Ok(());
        }
        Err(Error::WrongDevice {
            op: op.to_owned(),
            argument: argument(),
            expected: self.name().to_owned(),
            found: found.name().to_owned(),
        })
    }
}
