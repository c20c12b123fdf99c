//! Drivers' defects, as data: where each was seen, what differs, and how it is met.

/// A known defect of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverDefect {
    /// The driver.
    pub driver: &'static str,
    /// Where it was seen.
    pub seen: &'static str,
    /// The difference that was seen.
    pub differs: &'static str,
    /// How this crate meets it.
    pub met: &'static str,
}

/// Those that are known.
pub const DEFECTS: &[DriverDefect] = &[
    DriverDefect {
        driver: "llvmpipe and lavapipe",
        seen: "Mesa 22.3.6; not in Mesa 26",
        differs: "an invocation's loops end, without an error, after 65,535 iterations in all: `pool` over 171 tokens \
                  of 384 columns by one invocation a row, `weighted_values` over 33,000 keys",
        met: "kernels tell the iterations of a dispatch; row kernels take another implementation, and what is left \
              is refused as an `Error::Limit`",
    },
    DriverDefect {
        driver: "SwiftShader",
        seen: "the one of Chromium 156",
        differs: "exp of a NaN is 0 (WGSL allows it), so that `scale_mask_softmax` lost a NaN among the scores",
        met: "the kernel tells NaN and infinity by their bits",
    },
    DriverDefect {
        driver: "Direct3D 12's FXC",
        seen: "d3dcompiler_47, shader model 5.1",
        differs: "takes a component of a vector by a variable index as a dot product with a row of the identity, so \
                  that a NaN or an infinity in one component is a NaN in all: NaN in a padded key spoiled the scores \
                  of its three neighbours",
        met: "kernels whose shaders FXC compiles take components by `component`, which selects",
    },
    DriverDefect {
        driver: "Direct3D 12's FXC",
        seen: "d3dcompiler_47, shader model 5.1",
        differs: "takes what a function with more than one return gives for perhaps uninitialized (X4000), and refuses a \
                  barrier behind a branch on it (X4026): all fused attention",
        met: "functions whose results such branches depend on have one return",
    },
    DriverDefect {
        driver: "lavapipe",
        seen: "Mesa 22.3.6; not in Mesa 26",
        differs: "for some values of the parameters, such as 8 or 32 batch items in `flash_subgroup`, it compiles a shader \
                  again in each dispatch: 14 ms with Mesa's shader cache, seconds without (MESA_SHADER_CACHE_DISABLE)",
        met: "not at all: the results are right",
    },
    DriverDefect {
        driver: "naga",
        seen: "wgpu 30.0.1",
        differs: "rejects `enable subgroups;`, though it has the subgroup operations",
        met: "the line is written for browsers only",
    },
];

/// The loop iterations that one invocation may take in all, where the driver stops at a number.
pub(super) fn loop_iterations(info: &wgpu::AdapterInfo) -> Option<u64> {
    if !info.name.to_lowercase().contains("llvmpipe") {
        return None;
    }
    let text = format!("{} {}", info.driver, info.driver_info);
    let version =
        text.split("Mesa ").nth(1).and_then(|rest| rest.split('.').next()?.trim().parse::<u32>().ok());
    match version {
        Some(26..) => None,
        _ => Some(65_535),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, driver_info: &str) -> Option<u64> {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
        info.name = name.to_owned();
        info.driver_info = driver_info.to_owned();
        loop_iterations(&info)
    }

    #[test]
    fn the_loop_limit_is_known_by_the_version() {
        assert_eq!(limit("llvmpipe (LLVM 15.0.6, 256 bits)", "Mesa 22.3.6 (LLVM 15.0.6)"), Some(65_535));
        assert_eq!(limit("llvmpipe", "4.5 (Core Profile) Mesa 22.3.6"), Some(65_535));
        assert_eq!(limit("llvmpipe", ""), Some(65_535));
        assert_eq!(limit("llvmpipe", "Mesa 26.1.0"), None);
        assert_eq!(limit("NVIDIA H200", "580.1"), None);
    }
}
