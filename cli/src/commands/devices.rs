//! `attentive devices`: every adapter, with the features and limits that matter here.

use std::path::PathBuf;

use attentive::Device;
use attentive::device::{AdapterSummary, Capabilities, list_adapters};
use clap::Args;
use serde_json::{Value, json};

use crate::arguments::taken_by_auto;
use crate::output::{Answers, GREEN, RED, Result, bytes, painted, thousands};

/// List the adapters, with the features and limits that matter here
///
/// The order is that of `gpu:N`: the first is what the device `auto` takes, unless WGPU_ADAPTER_NAME narrows it.
/// WGPU_BACKEND (vulkan, metal, dx12, gl; several with commas) limits the list.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive devices
  attentive devices --json - | jq '.devices[].name'
  WGPU_BACKEND=gl attentive devices")]
pub struct Arguments {
    /// Write the list as JSON into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let answers = Answers::of(arguments.json.as_deref())?;
    let adapters = pollster::block_on(list_adapters())?;
    let auto = taken_by_auto(&adapters);
    let mut text = String::new();
    for adapter in &adapters {
        text += &block(adapter, auto == Some(adapter.index));
    }
    text += "cpu      CPU: the kernels' twins, always there\n";
    if auto.is_none() {
        text += "\nThere is no adapter that could be used. `attentive doctor` says what is missing.\n";
    }
    answers.write_text(|| format!("{:#}\n", as_json(&adapters, auto)), &text)
}

fn kind(adapter: &AdapterSummary) -> &'static str {
    match adapter.info.device_type {
        _ if adapter.software => "software",
        attentive::wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        attentive::wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        attentive::wgpu::DeviceType::VirtualGpu => "virtual GPU",
        attentive::wgpu::DeviceType::Cpu => "software",
        attentive::wgpu::DeviceType::Other => "GPU of unknown kind",
    }
}

fn block(adapter: &AdapterSummary, auto: bool) -> String {
    let AdapterSummary { index, info, capabilities, .. } = adapter;
    let number = format!("gpu:{index}");
    let mark = if auto { format!("  {}", painted(GREEN, "← auto")) } else { String::new() };
    let driver = format!("{} {}", info.driver, info.driver_info);
    let driver =
        if driver.trim().is_empty() { "driver not named".to_owned() } else { driver.trim().to_owned() };
    let mut text = format!("{number:<8} {}{mark}\n", info.name.trim());
    text += &format!("         {}, {}, {driver}\n", info.backend.to_str(), kind(adapter));
    if let Some(reason) = &adapter.unusable {
        text += &format!("         {}: {reason}\n", painted(RED, "cannot be used"));
    }
    text + &features(capabilities) + "\n"
}

fn features(capabilities: &Capabilities) -> String {
    let has = |there: bool| if there { "yes" } else { "no" };
    let subgroups = match capabilities.subgroups {
        Some((min, max)) if min == max => format!("of {min}"),
        Some((min, max)) => format!("of {min} to {max}"),
        None => "no".to_owned(),
    };
    let matrices = match capabilities.cooperative {
        Some(has) => format!("of {0} × {0}", has.side),
        None => "no".to_owned(),
    };
    format!(
        "         f16 {}, subgroups {subgroups}, cooperative matrices {matrices}, timestamps {}\n         \
         largest binding {}, largest buffer {}, workgroups with {} of memory and {} invocations, {} storage buffers\n",
        has(capabilities.shader_f16),
        has(capabilities.timestamps),
        bytes(capabilities.storage_binding_bytes),
        bytes(capabilities.buffer_bytes),
        bytes(capabilities.workgroup_bytes.into()),
        thousands(capabilities.workgroup_invocations.into()),
        thousands(capabilities.storage_buffers.into()),
    )
}

fn as_json(adapters: &[AdapterSummary], auto: Option<usize>) -> Value {
    let mut devices: Vec<Value> = adapters
        .iter()
        .map(|adapter| {
            json!({
                "spec": format!("gpu:{}", adapter.index),
                "name": adapter.info.name.trim(),
                "backend": adapter.info.backend.to_str(),
                "kind": kind(adapter),
                "driver": adapter.info.driver,
                "driver_info": adapter.info.driver_info,
                "vendor": adapter.info.vendor,
                "device": adapter.info.device,
                "software": adapter.software,
                "auto": auto == Some(adapter.index),
                "unusable": adapter.unusable,
                "capabilities": capabilities(&adapter.capabilities),
            })
        })
        .collect();
    let cpu = Device::cpu();
    devices.push(json!({
        "spec": "cpu",
        "name": cpu.name(),
        "backend": "cpu",
        "kind": "cpu",
        "software": cpu.is_software(),
        "auto": false,
        "unusable": null,
        "capabilities": capabilities(cpu.capabilities()),
    }));
    json!({ "version": env!("CARGO_PKG_VERSION"), "devices": devices })
}

fn capabilities(capabilities: &Capabilities) -> Value {
    json!({
        "shader_f16": capabilities.shader_f16,
        "subgroups": capabilities.subgroups.map(|(min, max)| json!({ "min": min, "max": max })),
        "cooperative_matrices": capabilities
            .cooperative
            .map(|has| json!({ "side": has.side, "subgroup_size": has.subgroup_size })),
        "timestamps": capabilities.timestamps,
        "storage_binding_bytes": capabilities.storage_binding_bytes,
        "buffer_bytes": capabilities.buffer_bytes,
        "workgroup_bytes": capabilities.workgroup_bytes,
        "workgroup_invocations": capabilities.workgroup_invocations,
        "workgroups_per_dimension": capabilities.workgroups_per_dimension,
        "storage_buffers": capabilities.storage_buffers,
    })
}
