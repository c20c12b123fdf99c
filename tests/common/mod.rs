//! The devices that tests run on.
#![allow(dead_code)] // Each test crate uses some of this.

use attentive::device::list_adapters;
use attentive::{Device, DeviceOptions};

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
    let summaries = pollster::block_on(list_adapters());
    let usable = summaries.iter().filter(|adapter| adapter.unusable.is_none());
    let open = |index: usize| Device::open_with(&format!("gpu:{index}"), options.clone()).unwrap();
    let devices: Vec<Device> = usable.map(|adapter| open(adapter.index)).collect();
    let names: Vec<&str> = devices.iter().map(Device::name).collect();
    eprintln!("adapters: {}", if names.is_empty() { "none".to_owned() } else { names.join("; ") });
    assert!(
        !devices.is_empty() || std::env::var_os("ATTENTIVE_REQUIRE_ADAPTER").is_none(),
        "ATTENTIVE_REQUIRE_ADAPTER is set, and there is no usable adapter"
    );
    devices
}
