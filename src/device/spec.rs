//! Device specifications, as the command line and [`Device::open`](super::Device::open) take them.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Which device is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceSpec {
    /// `auto`: the best adapter by kind (discrete, integrated, virtual, software), then by backend
    /// (Metal, Vulkan, Direct3D 12, OpenGL); the CPU device is never taken silently.
    Auto,
    /// `gpu`: as `auto`, but never a software adapter.
    Gpu,
    /// `gpu:N`: the adapter with that number in `attentive devices`.
    Index(usize),
    /// `gpu:name=TEXT`: the first adapter whose name holds the text, in any case.
    Name(String),
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu`: the best adapter of that backend.
    Backend(wgpu::Backend),
    /// `cpu`: the CPU device, which runs the kernels' twins.
    Cpu,
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(spec: &str) -> Result<Self, Error> {
        let unreadable = || Error::DeviceSpec { spec: spec.to_owned() };
        let lower = spec.trim().to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("gpu:") {
            return match rest.strip_prefix("name=") {
                Some("") => Err(unreadable()),
                Some(name) => Ok(Self::Name(name.to_owned())),
                None => rest.parse().map(Self::Index).map_err(|_| unreadable()),
            };
        }
        Ok(match lower.as_str() {
            "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "vulkan" => Self::Backend(wgpu::Backend::Vulkan),
            "metal" => Self::Backend(wgpu::Backend::Metal),
            "dx12" => Self::Backend(wgpu::Backend::Dx12),
            "gl" => Self::Backend(wgpu::Backend::Gl),
            "webgpu" => Self::Backend(wgpu::Backend::BrowserWebGpu),
            "cpu" => Self::Cpu,
            _ => return Err(unreadable()),
        })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gpu => f.write_str("gpu"),
            Self::Index(index) => write!(f, "gpu:{index}"),
            Self::Name(name) => write!(f, "gpu:name={name}"),
            Self::Backend(backend) => f.write_str(backend.to_str()),
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, spec) in [
            ("auto", DeviceSpec::Auto),
            ("GPU", DeviceSpec::Gpu),
            ("gpu:1", DeviceSpec::Index(1)),
            ("gpu:name=llvm pipe", DeviceSpec::Name("llvm pipe".into())),
            ("vulkan", DeviceSpec::Backend(wgpu::Backend::Vulkan)),
            (" cpu ", DeviceSpec::Cpu),
        ] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap(), spec, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["", "gpu:", "gpu:-1", "gpu:name=", "cuda", "gpu:99999999999999999999"] {
            let message = text.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
        }
    }
}
