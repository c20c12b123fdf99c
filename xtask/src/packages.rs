//! Packages of the system: installed by apt where that may be, named for the person elsewhere.

use crate::call::Call;
use crate::{Options, Result};

/// The packages that bring one thing, as each package manager calls them.
pub struct Packages {
    pub what: &'static str,
    pub apt: &'static str,
    pub dnf: &'static str,
    pub pacman: &'static str,
    pub zypper: &'static str,
    pub apk: &'static str,
}

impl Packages {
    /// Installs them, or says what a person has to install.
    pub fn install(&self, options: &Options) -> Result<()> {
        let Self { what, apt, .. } = self;
        if options.no_install {
            return Err(format!("{what} is missing and nothing may be installed.\n{}", self.advice()));
        }
        if !Call::new("apt-get").arg("--version").works() {
            return Err(format!("{what} is missing, and there is no apt here.\n{}", self.advice()));
        }
        let root = Call::new("id").arg("-u").output().is_some_and(|id| id.trim() == "0");
        if !root && !Call::new("sudo").words("-n true").works() {
            return Err(format!(
                "{what} is missing; to install it needs root, and `sudo` without a password does not work \
                 here.\n{}",
                self.advice()
            ));
        }
        let apt_get = || {
            let env = "DEBIAN_FRONTEND=noninteractive";
            if root {
                Call::new("env").words(env).arg("apt-get")
            } else {
                Call::new("sudo").words("-n env").words(env).arg("apt-get")
            }
            .words("-o DPkg::Lock::Timeout=120 -o Acquire::Retries=2")
        };
        println!("Installing {what} ({apt}).");
        // One source that is down need not be the one that has the packages.
        if let Err(error) = apt_get().words("-q update").run() {
            println!("{error}; trying with the lists that are here.");
        }
        apt_get()
            .words("-q install -y --no-install-recommends")
            .words(apt)
            .run()
            .map_err(|error| format!("{what} could not be installed: {error}.\n{}", self.advice()))
    }

    fn advice(&self) -> String {
        format!(
            "Install it with the line for this system, and call again:\n\
             \x20 sudo apt-get install --no-install-recommends {}\n\
             \x20 sudo dnf install {}\n\
             \x20 sudo pacman -S {}\n\
             \x20 sudo zypper install {}\n\
             \x20 sudo apk add {}",
            self.apt, self.dnf, self.pacman, self.zypper, self.apk
        )
    }
}
