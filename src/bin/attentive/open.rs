//! Which device, and what it is opened with.

use std::ffi::OsString;
use std::path::PathBuf;

use attentive::device::DeviceSpec;
use attentive::device::OPS;
use attentive::{Device, DeviceOptions};
use clap::Args;
use clap::builder::{FalseyValueParser, OsStringValueParser};

use crate::output::note;
use crate::tune;

#[derive(Args)]
pub struct OpenArguments {
    /// Force an implementation, such as linear=tiled (may be repeated); NAME alone is one of attention's
    #[arg(long, env = "ATTENTIVE_IMPLEMENTATION", hide_env_values = true, value_name = "[OP=]NAME")]
    #[arg(value_delimiter = ',', value_parser = implementation)]
    pub implementation: Vec<String>,

    /// Keep the shaders' bounds checks: slower, the results are the same
    #[arg(long, env = "ATTENTIVE_SHADER_CHECKS", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub shader_checks: bool,

    /// Keep compiled pipelines in this folder, where the driver can (Vulkan); empty for nowhere [default: attentive/pipelines
    /// in the user's cache folder]
    #[arg(long, env = "ATTENTIVE_PIPELINE_CACHE", hide_env_values = true, value_name = "FOLDER")]
    #[arg(value_parser = OsStringValueParser::new())]
    pipeline_cache: Option<OsString>,

    /// Choose implementations by tables, not by what `attentive tune` measured
    #[arg(long, env = "ATTENTIVE_NO_TUNING", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_tuning: bool,

    /// Use cooperative matrices (tensor cores) where the adapter has them: f16 weights, keys and values then meet inputs that
    /// are rounded to f16. Experimental: see `attentive verify --cooperative`
    #[arg(long, env = "ATTENTIVE_COOPERATIVE", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub cooperative: bool,
}

impl OpenArguments {
    /// Opens the device, with what was measured on it unless --no-tuning.
    pub fn open(&self, spec: &str) -> attentive::Result<Device> {
        let device = Device::open_with(spec, self.options())?;
        say_if_cache_ignored(&device);
        let tuning = if self.no_tuning { None } else { tune::kept(&device) };
        tuning.map_or(Ok(()), |tuning| device.set_tuning(tuning))?;
        Ok(device)
    }

    pub fn options(&self) -> DeviceOptions {
        let mut options = DeviceOptions::default();
        options.shader_checks = self.shader_checks;
        options.cooperative = self.cooperative;
        options.implementations = self.implementation.clone();
        options.pipeline_cache = match &self.pipeline_cache {
            Some(folder) => Some(PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty()),
            None => cache_folder().map(|folder| folder.join("pipelines")),
        };
        options
    }
}

/// This program's folder in the user's cache folder.
pub fn cache_folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("attentive"))
}

/// Says so where the file of compiled pipelines could not be used.
pub fn say_if_cache_ignored(device: &Device) {
    let Some(file) = device.pipeline_cache() else { return };
    if let Some(reason) = &file.ignored {
        note(format_args!("{} is not used, and replaced: {reason}", file.path.display()));
    }
}

fn implementation(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        None if !text.is_empty() => Ok(format!("attention={text}")),
        Some((op, name)) if OPS.contains(&op) && !name.is_empty() => Ok(text.to_owned()),
        Some((op, _)) if !OPS.contains(&op) => {
            Err(format!("there is no op `{op}`; there are {}", OPS.join(", ")))
        }
        _ => Err("it must have the form OP=NAME, such as linear=tiled".to_owned()),
    }
}

/// A device specification, so that a wrong one is a wrong call.
pub fn device_spec(text: &str) -> Result<String, String> {
    text.parse::<DeviceSpec>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// As [`device_spec`], or `all`.
pub fn device_spec_or_all(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("all") { Ok("all".to_owned()) } else { device_spec(text) }
}

/// Says so where no GPU computes: a user who expected one would only see that it is slow.
pub fn say_if_slow(device: &Device) {
    if device.is_cpu() {
        note("the device is the CPU: the kernels' twins run, meant for checking rather than for speed");
    } else if device.is_software() {
        note(format_args!(
            "{} is a software adapter: the kernels run on the CPU. `attentive doctor` tells what a GPU would need",
            device.name()
        ));
    }
}
