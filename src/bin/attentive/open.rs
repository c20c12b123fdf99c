//! Which device, and what it is opened with.

use attentive::device::DeviceSpec;
use attentive::device::OPS;
use attentive::{Device, DeviceOptions};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::output::note;

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
}

impl OpenArguments {
    pub fn open(&self, spec: &str) -> attentive::Result<Device> {
        Device::open_with(spec, self.options())
    }

    pub fn options(&self) -> DeviceOptions {
        let mut options = DeviceOptions::default();
        options.shader_checks = self.shader_checks;
        options.implementations = self.implementation.clone();
        options
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
        note(
            "the device is the CPU: the kernels' twins run, one thread, meant for checking rather than for speed",
        );
    } else if device.is_software() {
        note(format_args!(
            "{} is a software adapter: the kernels run on the CPU. `attentive doctor` tells what a GPU would need",
            device.name()
        ));
    }
}
