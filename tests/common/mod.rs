//! The devices that tests run on.
#![allow(dead_code)] // Each test crate uses some of this.

pub mod child;
pub mod wrapped;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use attentive::device::{AdapterSummary, list_adapters, required_features, required_limits};
use attentive::kernel::{Depth, Kernel, Variant, imports};
use attentive::recording::Value;
use attentive::verify::compare::{Tolerance, compare};
use attentive::verify::{VariantReport, verify_variant};
use attentive::{DType, Device, DeviceOptions, Error, Recording, Result, Tensor, wgpu};

/// The repository's root, below which fixtures and models are.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every usable adapter, and the CPU device. Says which; with `ATTENTIVE_REQUIRE_ADAPTER` a machine without an adapter
/// fails.
pub fn devices() -> Vec<Device> {
    let mut devices = adapters();
    devices.push(Device::cpu());
    devices
}

/// Every usable adapter.
pub fn adapters() -> Vec<Device> {
    adapters_with(&DeviceOptions::default())
}

/// Every usable adapter, opened with these options.
pub fn adapters_with(options: &DeviceOptions) -> Vec<Device> {
    usable_adapters().iter().map(|adapter| open(adapter, options)).collect()
}

/// Every usable adapter, with the cooperative matrices that it has: for kernels, as ops would choose by them.
pub fn adapters_with_matrices() -> Vec<Device> {
    adapters_with(&with_matrices())
}

/// The options that take an adapter's cooperative matrices.
pub fn with_matrices() -> DeviceOptions {
    let mut options = DeviceOptions::default();
    options.cooperative = true;
    options
}

/// One variant of each implementation and tile that the device has: activations and the like change no geometry, and nothing
/// that could race. Those of quick runs come first, since the driver has compiled them for those.
pub fn one_of_each_tile(kernel: &dyn Kernel, device: &Device) -> Vec<Variant> {
    let mut seen = BTreeSet::new();
    let mut variants = kernel.variants_of(Depth::Quick);
    variants.extend(kernel.variants());
    variants.retain(|variant| {
        let shared = imports(kernel, variant).unwrap();
        let tile = ["TILE_ROWS", "TILE_COLUMNS", "FRAGMENTS"].map(|name| variant.get(name));
        let tile = (tile, variant.get("RIGHT_TRANSPOSED"));
        variant.runs_on(device.capabilities()).is_ok()
            && seen.insert((variant.name(), format!("{tile:?}"), shared))
    });
    variants
}

/// What `worker` comes to on each of as many threads as there are cores, four at most: a software driver compiles on one core, and that
/// is what takes the time.
pub fn on_all_cores<T: Send>(worker: impl Fn() -> T + Sync) -> Vec<T> {
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(4);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(&worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

/// Kernels of one text, and a variant of them: a device compiles it once for all of them.
pub type Work = (Vec<&'static dyn Kernel>, Variant);

/// Holds the quick cases of these variants against their oracles, with a device on each core.
#[track_caller]
pub fn verify(open: impl Fn() -> Device + Sync, work: &[Work]) -> Vec<VariantReport> {
    let name = open().name().to_owned();
    let next = AtomicUsize::new(0);
    let worker = || {
        let device = open();
        let mut reports = Vec::new();
        while let Some((kernels, variant)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            for kernel in kernels {
                let report = verify_variant(&device, *kernel, variant, Depth::Quick);
                reports.push(pollster::block_on(report).unwrap());
            }
        }
        reports
    };
    let reports: Vec<VariantReport> = on_all_cores(worker).into_iter().flatten().collect();
    let failures = reports.iter().flat_map(|report| {
        let of = move |(case, reason): &(String, String)| {
            format!("{} {}: {case}: {reason}", report.kernel, report.variant)
        };
        report.failures.iter().map(of)
    });
    let failures: Vec<String> = failures.collect();
    let cases: usize = reports.iter().map(|report| report.cases).sum();
    println!("{name}: {cases} cases of {} variants, {} failures", work.len(), failures.len());
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
    assert!(cases > 0, "{name}: no case was run");
    reports
}

/// That adapter, opened with these options.
pub fn open(adapter: &AdapterSummary, options: &DeviceOptions) -> Device {
    Device::open_with(&format!("gpu:{}", adapter.index), options.clone()).unwrap()
}

/// Every usable adapter, not yet opened.
pub fn usable_adapters() -> Vec<AdapterSummary> {
    let mut usable = pollster::block_on(list_adapters()).unwrap();
    usable.retain(|adapter| adapter.unusable.is_none());
    let names: Vec<&str> = usable.iter().map(|adapter| adapter.name.as_str()).collect();
    eprintln!("adapters: {}", if names.is_empty() { "none".to_owned() } else { names.join("; ") });
    assert!(
        !usable.is_empty() || std::env::var_os("ATTENTIVE_REQUIRE_ADAPTER").is_none(),
        "ATTENTIVE_REQUIRE_ADAPTER is set, and there is no usable adapter"
    );
    usable
}

/// A device on that adapter with lowered limits, as a host of its own would open it.
pub fn with_limits(adapter: &wgpu::Adapter, lower: impl FnOnce(&mut wgpu::Limits)) -> Device {
    let mut limits = required_limits(adapter, false);
    lower(&mut limits);
    let descriptor = wgpu::DeviceDescriptor {
        required_features: required_features(adapter),
        required_limits: limits,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Device::from_wgpu(adapter, device, queue)
}

/// wgpu's own handles of every usable adapter.
pub fn wgpu_adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
    let backends = wgpu::Backends::from_env().filter(|backends| !backends.is_empty());
    let backends = backends.unwrap_or(wgpu::Backends::all());
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(compute));
    adapters
}

/// wgpu's noop adapter: it computes nothing, but has whatever limits and subgroups it is told to have.
pub fn noop_adapter(options: wgpu::NoopBackendOptions) -> wgpu::Adapter {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::NOOP,
        // As the crate itself does; with indirect validation, buffers end at 2³² bytes.
        flags: wgpu::InstanceFlags::empty(),
        backend_options: wgpu::BackendOptions { noop: options, ..Default::default() },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP)).remove(0)
}

/// A value of those numbers.
pub fn value(recording: &mut Recording, shape: &[usize], values: &[f32]) -> Value {
    let tensor = Tensor::from_f32(recording.device(), shape, values).unwrap();
    recording.tensor(&tensor).unwrap()
}

/// Zeros.
pub fn zeros(recording: &mut Recording, shape: &[usize]) -> Value {
    zeros_of(DType::F32, recording, shape)
}

/// Zeros of that dtype.
pub fn zeros_of(dtype: DType, recording: &mut Recording, shape: &[usize]) -> Value {
    let count = shape.iter().product();
    let device = recording.device();
    let tensor = match dtype {
        DType::F32 => Tensor::from_f32(device, shape, &vec![0.0; count]),
        DType::F16 => Tensor::from_f32_as_f16(device, shape, &vec![0.0; count]),
        DType::U32 => Tensor::from_u32(device, shape, &vec![0; count]),
        _ => panic!("zeros of {dtype}"),
    };
    recording.tensor(&tensor.unwrap()).unwrap()
}

/// The implementations of attention that a device has.
pub fn attention_implementations(device: &Device) -> Vec<&'static str> {
    let subgroups = device.capabilities().subgroups.filter(|_| !device.is_cpu());
    let mut here = vec!["tiled"];
    if subgroups.is_some_and(|(min, max)| min == max && [4, 8, 16, 32, 64].contains(&min)) {
        here.push("subgroup");
    }
    if subgroups == Some((8, 8)) {
        here.push("subgroup8");
    }
    here.extend(["decode", "chained"]);
    here
}

/// An error whose message holds all of `words`.
#[track_caller]
pub fn assert_fails<T>(outcome: Result<T>, words: &[&str]) -> Error {
    let Err(error) = outcome else { panic!("it is refused: {words:?}") };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    error
}

/// An [`Error::Argument`] whose message holds all of `words`.
#[track_caller]
pub fn assert_refused<T>(outcome: Result<T>, words: &[&str]) {
    let error = assert_fails(outcome, words);
    assert!(matches!(error.root(), Error::Argument { .. }), "{error:?}");
}

/// Holds a device's result against the oracle, with the CPU device's as the twin. The CPU device itself gets no more
/// than `floor`: its own error must not widen its bound.
#[track_caller]
pub fn assert_agrees(device: &Device, what: &str, (got, twin, oracle): (&[f32], &[f32], &[f64]), floor: f64) {
    let factor = if device.is_cpu() { 0.0 } else { 2.0 };
    let comparison = compare(got, twin, oracle, Tolerance { factor, floor, ..Tolerance::default() });
    assert!(comparison.passed, "{}: {what}: {comparison}", device.name());
}
