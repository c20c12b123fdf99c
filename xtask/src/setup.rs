//! The driver: without one, wgpu has no adapter on Linux.

use crate::packages::Packages;
use crate::system::System;
use crate::vulkan::{State, drivers, has_library, state};
use crate::{Options, Result};

/// Mesa's drivers for the CPU: lavapipe for Vulkan, and llvmpipe behind EGL for wgpu's GL backend.
const MESA: Packages = Packages {
    what: "Mesa's software driver for Vulkan and OpenGL",
    apt: "mesa-vulkan-drivers libvulkan1 libegl1 libgl1-mesa-dri",
    dnf: "mesa-vulkan-drivers vulkan-loader mesa-libEGL mesa-dri-drivers",
    pacman: "vulkan-swrast vulkan-icd-loader mesa",
    zypper: "libvulkan_lvp libvulkan1 Mesa-libEGL1 Mesa-dri",
    apk: "mesa-vulkan-swrast vulkan-loader mesa-egl mesa-dri-gallium",
};

pub fn run(options: &Options) -> Result<()> {
    match std::env::consts::OS {
        "linux" => linux(options),
        "windows" => {
            println!("Direct3D 12 is part of Windows, with WARP where there is no GPU: nothing to set up.");
            Ok(())
        }
        "macos" => {
            println!("Metal is part of macOS: nothing to set up.");
            Ok(())
        }
        other => {
            println!("Nothing is known here about the drivers of {other}: nothing set up.");
            Ok(())
        }
    }
}

fn linux(options: &Options) -> Result<()> {
    let found = System::here();
    let missing = match state(&found) {
        State::Usable => {
            println!("Vulkan is here, with {}: nothing to install.", names(&found));
            say_gl(&found);
            return Ok(());
        }
        State::Missing(why) => why,
    };
    println!("{missing}");
    if let Some((name, _)) = &found.forced {
        return Err(format!("{missing} {name} decides it: another driver would not be looked at."));
    }
    MESA.install(options)?;
    let found = System::here();
    match state(&found) {
        State::Usable => {
            println!("Installed. Vulkan is here now, with {}.", names(&found));
            say_gl(&found);
            Ok(())
        }
        State::Missing(why) => Err(format!("after the installation: {why}")),
    }
}

fn names(found: &System) -> String {
    drivers(found).into_iter().map(|driver| driver.name).collect::<Vec<_>>().join(", ")
}

/// Vulkan is enough, so what the GL backend lacks is said and not installed.
fn say_gl(found: &System) {
    if !has_library(found, "libEGL.so.1") {
        println!(
            "libEGL.so.1 is not: wgpu's GL backend will find no adapter (apt: libegl1 libgl1-mesa-dri)."
        );
    }
}
