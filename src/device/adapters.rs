//! Adapters: listing them, describing them, choosing one.

use super::capabilities;
use crate::device::{Capabilities, DeviceSpec, required_features};
use crate::error::{Error, Result};

/// One adapter, as `attentive devices` shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdapterSummary {
    /// Its number, as `gpu:N` takes it.
    pub index: usize,
    /// Name, backend and driver in one line.
    pub name: String,
    /// wgpu's own description.
    pub info: wgpu::AdapterInfo,
    /// True where the driver runs on the CPU.
    pub software: bool,
    /// The capabilities that kernels could use there.
    pub capabilities: Capabilities,
    /// Why it cannot run compute kernels, if it cannot.
    pub unusable: Option<String>,
}

/// All adapters of the backends that `WGPU_BACKEND` leaves (all, where it is not set or empty), in the order of `gpu:N`: the one
/// `auto` takes first.
///
/// # Errors
/// [`Error::Variable`] if `WGPU_BACKEND` names something that is no backend.
pub async fn list_adapters() -> Result<Vec<AdapterSummary>> {
    let adapters = enumerate(wgpu::Backends::all()).await?;
    let summaries = adapters.iter().enumerate().map(|(index, adapter)| {
        let info = adapter.get_info();
        AdapterSummary {
            index,
            name: describe(&info),
            software: is_software(&info),
            capabilities: Capabilities {
                cooperative: capabilities::cooperative(adapter),
                ..Capabilities::from_parts(required_features(adapter), &adapter.limits(), &info)
            },
            unusable: unusable(adapter),
            info,
        }
    });
    Ok(summaries.collect())
}

/// The backends that `WGPU_BACKEND` leaves. wgpu itself passes over words that it does not know, and so sees no adapter at all where
/// none is known.
fn left_by_environment() -> Result<wgpu::Backends> {
    const NAME: &str = "WGPU_BACKEND";
    let Some(value) = std::env::var_os(NAME) else { return Ok(wgpu::Backends::all()) };
    let text = value.to_string_lossy();
    backends_of(&text).ok_or_else(|| Error::Variable {
        name: NAME,
        value: text.chars().take(80).collect(),
        expected: "one or more of vulkan, metal, dx12, gl, webgpu, with commas, or empty for all",
    })
}

/// The backends of a list with commas, by wgpu's words; all of an empty one, as compose files make it.
fn backends_of(text: &str) -> Option<wgpu::Backends> {
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_lowercase()).collect();
    if words.iter().all(String::is_empty) {
        return Some(wgpu::Backends::all());
    }
    words.iter().filter(|word| !word.is_empty()).try_fold(wgpu::Backends::empty(), |backends, word| {
        Some(
            backends
                | match word.as_str() {
                    "vulkan" | "vk" => wgpu::Backends::VULKAN,
                    "metal" | "mtl" => wgpu::Backends::METAL,
                    "dx12" | "d3d12" => wgpu::Backends::DX12,
                    "gl" | "gles" | "opengl" => wgpu::Backends::GL,
                    "webgpu" => wgpu::Backends::BROWSER_WEBGPU,
                    "noop" => wgpu::Backends::NOOP,
                    _ => return None,
                },
        )
    })
}

/// Name, backend and driver in one line: `llvmpipe (LLVM 15) [vulkan, Mesa 22.3.6]`.
pub(super) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = if info.driver_info.is_empty() { &info.driver } else { &info.driver_info };
    let separator = if driver.is_empty() { "" } else { ", " };
    format!("{} [{}{separator}{driver}]", info.name.trim(), info.backend.to_str())
}

/// True where the driver runs on the CPU, also where it does not say so by its type (OpenGL's llvmpipe).
pub(super) fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    let known = ["llvmpipe", "lavapipe", "softpipe", "swiftshader", "microsoft basic render"];
    info.device_type == wgpu::DeviceType::Cpu || known.iter().any(|driver| name.contains(driver))
}

fn unusable(adapter: &wgpu::Adapter) -> Option<String> {
    let flags = adapter.get_downlevel_capabilities().flags;
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("it has no compute shaders".to_owned());
    }
    let limits = adapter.limits();
    let needs = [
        ("maxStorageBuffersPerShaderStage", limits.max_storage_buffers_per_shader_stage, 8),
        ("maxComputeInvocationsPerWorkgroup", limits.max_compute_invocations_per_workgroup, 256),
        ("maxComputeWorkgroupStorageSize", limits.max_compute_workgroup_storage_size, 16352),
    ];
    needs
        .into_iter()
        .find(|(_, has, needed)| has < needed)
        .map(|(name, has, needed)| format!("{name} is {has}, the kernels need {needed}"))
}

/// Usable kinds first; among equals the order in which wgpu lists them (by backend, then by driver).
fn rank(adapter: &wgpu::Adapter) -> (bool, bool, u8, u8) {
    let info = adapter.get_info();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let backend = match info.backend {
        wgpu::Backend::Metal => 0,
        wgpu::Backend::Vulkan => 1,
        wgpu::Backend::Dx12 => 2,
        wgpu::Backend::BrowserWebGpu => 3,
        wgpu::Backend::Gl => 4,
        wgpu::Backend::Noop => 5,
    };
    (unusable(adapter).is_some(), is_software(&info), kind, backend)
}

/// The adapters of those backends that `WGPU_BACKEND` leaves, the best first.
async fn enumerate(backends: wgpu::Backends) -> Result<Vec<wgpu::Adapter>> {
    let backends = backends & left_by_environment()?;
    if backends.is_empty() {
        return Ok(Vec::new());
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Nothing here dispatches indirectly, and some drivers cannot compile wgpu's check for it.
    descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION_INDIRECT_CALL);
    let mut descriptor = descriptor.with_env();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    #[cfg(not(target_arch = "wasm32"))]
    let mut adapters = instance.enumerate_adapters(backends).await;
    // The browser shows one adapter, the one it would give.
    #[cfg(target_arch = "wasm32")]
    let mut adapters: Vec<wgpu::Adapter> = {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        instance.request_adapter(&options).await.into_iter().collect()
    };
    adapters.sort_by_key(rank);
    Ok(adapters)
}

/// The adapter that `spec` names; `WGPU_ADAPTER_NAME` narrows `auto`, `gpu` and the backends further.
pub(crate) async fn choose(spec: &DeviceSpec) -> Result<wgpu::Adapter> {
    let wanted_name = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    // OpenGL comes last and takes long to start, so it is started only if nothing else will do.
    let rounds = match spec {
        DeviceSpec::Backend(backend) => vec![wgpu::Backends::from(*backend)],
        DeviceSpec::Auto | DeviceSpec::Gpu => {
            vec![wgpu::Backends::all() - wgpu::Backends::GL, wgpu::Backends::all()]
        }
        _ => vec![wgpu::Backends::all()],
    };
    for backends in rounds {
        let adapters = enumerate(backends).await?;
        let mut fitting = adapters.iter().enumerate();
        let Some((_, adapter)) =
            fitting.find(|(index, adapter)| fits(spec, wanted_name.as_deref(), *index, adapter))
        else {
            continue;
        };
        if let Some(reason) = unusable(adapter) {
            return Err(Error::DeviceRequest { adapter: describe(&adapter.get_info()), reason });
        }
        return Ok(adapter.clone());
    }
    let wanted = match &wanted_name {
        Some(name) => format!("{spec}, WGPU_ADAPTER_NAME={name}"),
        None => spec.to_string(),
    };
    let adapters = enumerate(wgpu::Backends::all()).await?;
    let hint = match adapters.is_empty() {
        true => "`attentive doctor` says which driver is missing; the device `cpu` is always there",
        false => "The device `cpu` is always there",
    };
    Err(Error::NoAdapter {
        wanted,
        available: adapters.iter().map(|adapter| describe(&adapter.get_info())).collect(),
        hint: hint.to_owned(),
    })
}

fn fits(spec: &DeviceSpec, wanted_name: Option<&str>, index: usize, adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    let holds = |text: &str| describe(&info).to_lowercase().contains(&text.to_lowercase());
    match spec {
        DeviceSpec::Index(wanted) => index == *wanted,
        DeviceSpec::Name(name) => holds(name),
        _ if unusable(adapter).is_some() => false,
        _ if wanted_name.is_some_and(|name| !holds(name)) => false,
        DeviceSpec::Gpu => !is_software(&info),
        DeviceSpec::Backend(backend) => info.backend == *backend,
        DeviceSpec::Auto | DeviceSpec::Cpu => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_read_by_their_words_alone() {
        let all = wgpu::Backends::all();
        for (text, backends) in [
            ("", all),
            (" , ", all),
            ("vulkan", wgpu::Backends::VULKAN),
            ("GL, vk,", wgpu::Backends::GL | wgpu::Backends::VULKAN),
            ("dx12,metal", wgpu::Backends::DX12 | wgpu::Backends::METAL),
        ] {
            assert_eq!(backends_of(text), Some(backends), "{text:?}");
        }
        for text in ["cuda", "vulkan;gl", "vulkan,cuda", "primary"] {
            assert_eq!(backends_of(text), None, "{text:?}");
        }
    }
}
