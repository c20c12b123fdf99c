//! How to get what is missing: package managers, and what they call it.

/// The package manager of this distribution, by `/etc/os-release`.
pub fn packager() -> Option<&'static Packager> {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    of_release(&files.into_iter().find_map(|file| std::fs::read_to_string(file).ok())?)
}

/// How a package manager calls what is needed.
#[derive(Debug, PartialEq)]
pub struct Packager {
    distributions: &'static [&'static str],
    pub install: &'static str,
    pub loader: &'static str,
    /// Mesa's drivers for AMD, Intel and others, where they are not those for the CPU.
    pub hardware: &'static str,
    pub software: &'static str,
    pub gl: &'static str,
}

pub static PACKAGERS: [Packager; 5] = [
    Packager {
        distributions: &["debian", "ubuntu"],
        install: "sudo apt-get install",
        loader: "libvulkan1",
        hardware: "mesa-vulkan-drivers",
        software: "mesa-vulkan-drivers",
        gl: "libegl1 libgl1-mesa-dri",
    },
    Packager {
        distributions: &["fedora", "rhel", "centos"],
        install: "sudo dnf install",
        loader: "vulkan-loader",
        hardware: "mesa-vulkan-drivers",
        software: "mesa-vulkan-drivers",
        gl: "mesa-libEGL mesa-dri-drivers",
    },
    Packager {
        distributions: &["arch"],
        install: "sudo pacman -S",
        loader: "vulkan-icd-loader",
        hardware: "vulkan-radeon or vulkan-intel",
        software: "vulkan-swrast",
        gl: "mesa",
    },
    Packager {
        distributions: &["suse", "opensuse"],
        install: "sudo zypper install",
        loader: "libvulkan1",
        hardware: "libvulkan_radeon or libvulkan_intel",
        software: "libvulkan_lvp",
        gl: "Mesa-libEGL1 Mesa-dri",
    },
    Packager {
        distributions: &["alpine"],
        install: "sudo apk add",
        loader: "vulkan-loader",
        hardware: "mesa-vulkan-ati or mesa-vulkan-intel",
        software: "mesa-vulkan-swrast",
        gl: "mesa-egl mesa-dri-gallium",
    },
];

/// By `ID`, then by `ID_LIKE`.
fn of_release(os_release: &str) -> Option<&'static Packager> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
    };
    let names = format!("{} {}", value("ID"), value("ID_LIKE"));
    let known = |name: &str| {
        PACKAGERS.iter().find(|packager| packager.distributions.iter().any(|known| name.starts_with(known)))
    };
    names.split_whitespace().find_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_known_by_their_kin() {
        let install = |text: &str| of_release(text).map(|packager| packager.install);
        assert_eq!(install("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some("sudo apt-get install"));
        assert_eq!(
            install("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\""),
            Some("sudo zypper install")
        );
        assert_eq!(install("NAME=Fedora\nID=fedora"), Some("sudo dnf install"));
        assert_eq!(install("ID=nixos"), None);
    }
}
