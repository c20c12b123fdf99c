//! Which device, and what it is opened with.

use std::ffi::OsString;
use std::path::PathBuf;

use attentive::device::{AdapterSummary, DeviceSpec, OPS, Tuning, list_adapters};
use attentive::{Device, DeviceOptions};
use clap::Args;
use clap::builder::{FalseyValueParser, OsStringValueParser};

use crate::folders::own_cache;
use crate::output::note;
use crate::tunings;

/// One device.
#[derive(Args)]
pub struct DeviceArgument {
    /// auto, gpu, gpu:N, gpu:name=TEXT, vulkan, metal, dx12, gl or cpu (see `attentive devices`)
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC")]
    #[arg(default_value = "auto", value_parser = device_spec)]
    device: String,
}

impl DeviceArgument {
    /// Opens it, and says so where it is slow.
    pub fn open(&self, options: &OpenArguments) -> attentive::Result<Device> {
        let device = options.open(&self.device)?;
        say_if_slow(&device);
        Ok(device)
    }
}

/// One device, or all.
#[derive(Args)]
pub struct DevicesArgument {
    /// A device (see `attentive embed --help`), or all: every adapter, and the CPU
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC|all")]
    #[arg(default_value = "auto", value_parser = device_spec_or_all)]
    device: String,
}

impl DevicesArgument {
    pub fn is_all(&self) -> bool {
        self.device == "all"
    }

    /// The specifications of what is meant.
    pub fn specs(&self) -> attentive::Result<Vec<String>> {
        if self.is_all() { all_specs() } else { Ok(vec![self.device.clone()]) }
    }
}

/// The options that a device is opened with.
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
    /// are rounded to f16. Not before `attentive verify --cooperative` has passed on this adapter and driver
    #[arg(long, env = "ATTENTIVE_COOPERATIVE", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub cooperative: bool,
}

impl OpenArguments {
    /// Opens the device, with what was measured on it unless --no-tuning, and without cooperative matrices that have not been
    /// verified there.
    pub fn open(&self, spec: &str) -> attentive::Result<Device> {
        let (device, kept) = self.open_to_verify(spec)?;
        if device.capabilities().cooperative.is_none()
            || kept.as_ref().and_then(|kept| kept.cooperative) == Some(true)
        {
            return self.tuned(device, kept);
        }
        note(format_args!(
            "cooperative matrices are not used: {} on this adapter with this driver",
            match kept.as_ref().and_then(|kept| kept.cooperative) {
                Some(_) => "they failed `attentive verify --cooperative`",
                None => "`attentive verify --cooperative` has not passed",
            }
        ));
        let mut options = self.options();
        options.cooperative = false;
        self.tuned(Device::open_with(spec, options)?, kept)
    }

    /// The device with all that was asked for, and what is kept of it.
    pub fn open_to_verify(&self, spec: &str) -> attentive::Result<(Device, Option<Tuning>)> {
        let device = Device::open_with(spec, self.options())?;
        say_if_cache_ignored(&device);
        let wanted = self.cooperative || !self.no_tuning;
        let kept = wanted.then(|| tunings::kept(&device)).flatten();
        Ok((device, kept))
    }

    /// The device with what was measured on it, unless --no-tuning.
    pub fn tuned(&self, device: Device, kept: Option<Tuning>) -> attentive::Result<Device> {
        kept.filter(|_| !self.no_tuning).map_or(Ok(()), |tuning| device.set_tuning(tuning))?;
        Ok(device)
    }

    pub fn options(&self) -> DeviceOptions {
        let mut options = DeviceOptions::default();
        options.shader_checks = self.shader_checks;
        options.cooperative = self.cooperative;
        options.implementations = self.implementation.clone();
        options.pipeline_cache = match &self.pipeline_cache {
            Some(folder) => Some(PathBuf::from(folder)).filter(|folder| !folder.as_os_str().is_empty()),
            None => own_cache().map(|folder| folder.join("pipelines")),
        };
        options
    }
}

/// Says so where the file of compiled pipelines could not be used.
fn say_if_cache_ignored(device: &Device) {
    let Some(file) = device.pipeline_cache() else { return };
    if let Some(reason) = &file.ignored {
        note(format_args!("{} is not used: {reason}", file.path.display()));
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

/// Takes a device specification, so that a wrong one is a wrong call.
fn device_spec(text: &str) -> Result<String, String> {
    text.parse::<DeviceSpec>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// As [`device_spec`], or `all`.
fn device_spec_or_all(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("all") { Ok("all".to_owned()) } else { device_spec(text) }
}

/// Says so where no GPU computes: a user who expected one would only see that it is slow.
fn say_if_slow(device: &Device) {
    if device.is_cpu() {
        note("the device is the CPU: the kernels' twins run, meant for checking rather than for speed");
    } else if device.is_software() {
        note(format_args!(
            "{} is a software adapter: the kernels run on the CPU. `attentive doctor` tells what a GPU would need",
            device.name()
        ));
    }
}

/// The number of the adapter that `auto` takes: as the library chooses it.
pub fn taken_by_auto(adapters: &[AdapterSummary]) -> Option<usize> {
    let wanted = std::env::var("WGPU_ADAPTER_NAME").unwrap_or_default().to_lowercase();
    let fits = |adapter: &&AdapterSummary| {
        adapter.unusable.is_none() && adapter.name.to_lowercase().contains(&wanted)
    };
    adapters.iter().find(fits).map(|adapter| adapter.index)
}

/// The specifications of every usable adapter, and of the CPU device.
fn all_specs() -> attentive::Result<Vec<String>> {
    let adapters = pollster::block_on(list_adapters())?;
    let usable = adapters.iter().filter(|adapter| adapter.unusable.is_none());
    let mut specs: Vec<String> = usable.map(|adapter| format!("gpu:{}", adapter.index)).collect();
    specs.push("cpu".to_owned());
    Ok(specs)
}
