//! `attentive doctor`: what is there, what is missing, how to get it, and whether what is there computes.

mod packagers;
mod shader_cache;
mod system;

use std::path::Path;

use attentive::device::{AdapterSummary, list_adapters};
use attentive::{Causal, Device, Error, Tensor, attention};
use clap::Args;

use crate::arguments::taken_by_auto;
use crate::output::{Failure, GREEN, RED, Result, YELLOW, painted, print};
use packagers::{PACKAGERS, Packager, packager};
use shader_cache::full_shader_cache;
use system::{Library, System};

/// Say what this machine has for the kernels to run on, what is missing, and how to get it
///
/// Looks for drivers, then opens each adapter and holds a small attention on it against the CPU. The exit status is 0
/// if some adapter works. `attentive verify` looks at everything.
#[derive(Args)]
pub struct Arguments {}

/// How far the small attention may be from the CPU's: outputs are averages of values below 1 in magnitude.
const BOUND: f32 = 1e-5;

pub fn run() -> Result<()> {
    if let Some(folder) = cfg!(target_os = "linux").then(full_shader_cache).flatten() {
        return without_shader_cache(&folder);
    }
    print(&format!("{}\n", environment()))?;
    let adapters = pollster::block_on(list_adapters())?;
    let mut text = match std::env::consts::OS {
        "linux" => linux(&System::here(), &adapters),
        "windows" => {
            "Drivers\n  Direct3D 12 is part of Windows, with WARP where there is no GPU. Vulkan and a faster \
                      Direct3D 12\n  come with the GPU's own driver, from its maker or by Windows Update.\n"
                .to_owned()
        }
        "macos" => "Drivers\n  Metal is part of macOS: there is nothing to install.\n".to_owned(),
        other => format!("Drivers\n  Nothing is known here about the drivers of {other}.\n"),
    };
    text += if adapters.is_empty() { "\nAdapters\n  none\n" } else { "\nAdapters\n" };
    print(&text)?;
    let auto = taken_by_auto(&adapters);
    let mut working = 0;
    for adapter in &adapters {
        let mark = if auto == Some(adapter.index) { ", taken by `auto`" } else { "" };
        print(&format!("  gpu:{} {}{mark}\n", adapter.index, adapter.name))?;
        let tried = try_adapter(adapter);
        working += usize::from(tried.is_ok());
        print(&match tried {
            Ok(difference) => format!(
                "        {}\n",
                good(&format!("attention agrees with the CPU (within {difference:.1e})"))
            ),
            Err(problem) => format!("        {}\n", bad(&problem)),
        })?;
        if let Some(has) = adapter.capabilities.cooperative {
            let said = format!(
                "cooperative matrices of {0} × {0}: used with --cooperative; \
                 `attentive verify --cooperative --kernel cooperative` tells whether they can be trusted",
                has.side
            );
            print(&format!("        {}\n", warned(&said)))?;
        }
    }
    let software =
        adapters.iter().filter(|adapter| adapter.unusable.is_none()).all(|adapter| adapter.software);
    let verdict = match (adapters.len(), working) {
        (0, _) => bad("there is no adapter; the device `cpu` works without one"),
        (_, 0) => bad("no adapter works; the device `cpu` works without one"),
        _ if software => warned("there is no GPU among them: the kernels will run, on the CPU"),
        _ => good("ready"),
    };
    print(&format!("\n{verdict}\n"))?;
    if working > 0 { Ok(()) } else { Err(Failure::Said) }
}

/// Mesa would end this process too, as it opens an adapter: what there is to say, another one says, without Mesa's cache.
fn without_shader_cache(folder: &Path) -> Result<()> {
    const WITHOUT: &str = "MESA_SHADER_CACHE_DISABLE";
    let said = format!(
        "the disk under {}, where Mesa keeps compiled shaders, is full: its drivers (vulkan, gl) then end any program by SIGBUS. \
         Make room there, or set {WITHOUT}=true, as it is for what follows",
        folder.display()
    );
    print(&format!("{}\n\n", bad(&said)))?;
    let program = std::env::current_exe().map_err(|error| Failure::Failed(error.to_string()))?;
    let mut again = std::process::Command::new(program);
    let ended = again.args(std::env::args_os().skip(1)).env(WITHOUT, "true").status();
    ended.map_err(|error| Failure::Failed(error.to_string()))?;
    Err(Failure::Said)
}

fn good(text: &str) -> String {
    format!("{} {text}", painted(GREEN, "ok"))
}

fn warned(text: &str) -> String {
    format!("{} {text}", painted(YELLOW, "note"))
}

fn bad(text: &str) -> String {
    format!("{} {text}", painted(RED, "problem"))
}

fn missing(text: &str) -> String {
    format!("{} {text}", painted(RED, "missing"))
}

fn environment() -> String {
    let meaning = [
        ("WGPU_BACKEND", "only adapters of these backends are seen: vulkan, metal, dx12, gl"),
        ("WGPU_ADAPTER_NAME", "`auto`, `gpu` and the backends take only adapters whose name holds it"),
    ];
    let mut text = "Environment\n".to_owned();
    for (name, effect) in meaning {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        let value = value.map_or("not set".to_owned(), |value| format!("= {}", value.display()));
        text += &format!("  {name} {value} ({effect})\n");
    }
    text
}

fn linux(system: &System, adapters: &[AdapterSummary]) -> String {
    let packager = packager();
    let mut lines = Vec::new();
    match system.library("libvulkan.so.1") {
        Some(Library { path, problem: None }) => {
            lines.push(good(&format!("Vulkan loader: {}", path.display())));
        }
        Some(Library { path, problem: Some(problem) }) => {
            lines.push(bad(&format!("Vulkan loader {} cannot be loaded: {problem}", path.display())));
            lines.extend(advice(packager, |packager| packager.loader));
        }
        None => {
            lines.push(missing("the Vulkan loader, libvulkan.so.1"));
            lines.extend(advice(packager, |packager| packager.loader));
        }
    }
    let manifests = system.manifests();
    for manifest in &manifests {
        let path = manifest.path.display();
        lines.push(match &manifest.problem {
            None => good(&format!("Vulkan driver: {path}")),
            Some(problem) => warned(&format!("Vulkan driver {path} cannot be used: {problem}")),
        });
    }
    if let Some((name, value)) = &system.forced {
        lines.push(warned(&format!("{name} = {}: no other Vulkan driver is looked at", value.display())));
    }
    let usable = manifests.iter().any(|manifest| manifest.problem.is_none());
    if !usable {
        let folders: Vec<String> =
            system.manifest_folders().iter().map(|folder| folder.display().to_string()).collect();
        match &system.forced {
            Some((name, _)) => {
                lines.push(missing(&format!("a Vulkan driver: {name} names none that is there")))
            }
            None => {
                lines.push(missing(&format!("a Vulkan driver; none in {}", folders.join(", "))));
                lines.extend(advice(packager, |packager| packager.software));
            }
        }
    }
    match system.library("libEGL.so.1") {
        Some(Library { path, problem: None }) => {
            lines.push(good(&format!("EGL, for OpenGL: {}", path.display())));
        }
        Some(Library { path, problem: Some(problem) }) => {
            lines.push(bad(&format!("EGL {} cannot be loaded: {problem}", path.display())));
            lines.extend(advice(packager, |packager| packager.gl));
        }
        None => {
            lines.push(warned("no libEGL.so.1: OpenGL, which is taken after Vulkan, is not seen"));
            lines.extend(advice(packager, |packager| packager.gl));
        }
    }
    let nodes = system.nodes();
    for node in &nodes {
        let path = node.path.display();
        lines.push(match &node.problem {
            None => good(&format!("GPU: {path}")),
            Some(problem) => bad(&format!(
                "GPU: {path} cannot be opened: {problem}. Your user may have to join the group that owns it: \
                 `sudo usermod -aG $(stat -c %G {path}) $USER`, then log in again"
            )),
        });
    }
    let hardware = adapters.iter().any(|adapter| !adapter.software);
    match (nodes.is_empty(), hardware) {
        (true, false) => {
            lines.push(warned("no GPU shows itself in /dev (/dev/dri/renderD*, /dev/nvidia*, /dev/dxg)"))
        }
        (false, false) if usable => {
            let nvidia = nodes.iter().any(|node| node.path.to_string_lossy().contains("nvidia"));
            lines.push(warned("there is a GPU, but no driver offers it as an adapter"));
            if nvidia {
                lines.push("     NVIDIA's own driver brings nvidia_icd.json; a container needs the capability `graphics`".into());
                lines.push("     (NVIDIA_DRIVER_CAPABILITIES=all)".into());
            } else {
                lines.extend(advice(packager, |packager| packager.hardware));
            }
        }
        _ => {}
    }
    lines.iter().fold("Drivers\n".to_owned(), |text, line| text + "  " + line + "\n")
}

/// The line that installs it here; all lines where the distribution is not known.
fn advice(packager: Option<&'static Packager>, packages: fn(&Packager) -> &'static str) -> Vec<String> {
    let packagers: Vec<&Packager> =
        packager.map_or_else(|| PACKAGERS.iter().collect(), |packager| vec![packager]);
    packagers.iter().map(|packager| format!("     {} {}", packager.install, packages(packager))).collect()
}

/// The largest difference of a small attention to the CPU's.
fn try_adapter(adapter: &AdapterSummary) -> Result<f32, String> {
    if let Some(reason) = &adapter.unusable {
        return Err(format!("it cannot be used: {reason}"));
    }
    let run = || -> Result<f32, Error> {
        let device = Device::open(&format!("gpu:{}", adapter.index))?;
        let (here, cpu) = (small_attention(&device)?, small_attention(&Device::cpu())?);
        let part =
            |(a, b): (&f32, &f32)| if a.is_finite() && b.is_finite() { (a - b).abs() } else { f32::INFINITY };
        Ok(here.iter().zip(&cpu).map(part).fold(0.0, f32::max))
    };
    match run() {
        Ok(difference) if difference <= BOUND => Ok(difference),
        Ok(difference) => {
            Err(format!("its numbers are wrong: attention differs from the CPU's by {difference:.1e}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn small_attention(device: &Device) -> Result<Vec<f32>, Error> {
    let shape = [2, 3, 37, 24];
    let elements: usize = shape.iter().product();
    let wave = |speed: f32| -> Vec<f32> { (0..elements).map(|i| (i as f32 * speed).sin()).collect() };
    let tensor = |speed| Tensor::from_f32(device, shape, &wave(speed));
    let (q, k, v) = (tensor(0.37)?, tensor(0.73)?, tensor(1.31)?);
    attention(&q, &k, &v).causal(Causal::TopLeft).key_lengths(&[37, 20]).run()?.to_f32()
}
