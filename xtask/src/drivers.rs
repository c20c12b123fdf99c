//! `attentive verify` on every driver that a contributor has.

use std::process::ExitCode;

use crate::call::Call;
use crate::steps::Steps;
use crate::{Options, Result, place};

/// A way to run `attentive` on another driver.
#[derive(Debug, PartialEq)]
pub struct Runner {
    name: String,
    command: Vec<String>,
    /// Whether `command` runs the program that follows it, or is itself in the place of `attentive`.
    prefix: bool,
}

impl Runner {
    /// `NAME=COMMAND`, where COMMAND runs the program that follows it.
    pub fn prefix(text: &str) -> Result<Self> {
        Self::read(text, true)
    }

    /// `NAME=COMMAND`, where COMMAND is in the place of `attentive`.
    pub fn program(text: &str) -> Result<Self> {
        Self::read(text, false)
    }

    fn read(text: &str, prefix: bool) -> Result<Self> {
        let (name, command) = text.split_once('=').unwrap_or((text, ""));
        let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err(format!("{text:?} is not of the form NAME=COMMAND"));
        }
        Ok(Self { name: name.into(), command, prefix })
    }

    fn call(&self) -> Call {
        let mut words = self.command.clone();
        if self.prefix {
            let attentive = place::attentive("release");
            words.push(place::from_root(&attentive).to_string_lossy().into_owned());
        }
        let mut words = words.into_iter();
        let call = Call::new(words.next().unwrap_or_default());
        words.fold(call, Call::arg)
    }
}

pub fn run(options: &Options) -> ExitCode {
    let mut steps = Steps::default();
    let build = || Call::cargo().words("build --release").run();
    if steps.run("build", build).is_none() {
        return steps.finish();
    }
    let attentive = || Call::new(place::attentive("release"));
    let verify = |call: Call| call.words("verify --device auto").run();
    steps.run("auto", || verify(attentive()));
    if std::env::consts::OS != "macos" {
        steps.run("gl", || verify(attentive().env("WGPU_BACKEND", "gl")));
    }
    for runner in &options.runners {
        steps.run(&runner.name, || verify(runner.call()));
    }
    steps.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_followed_by_the_program() {
        let line = Runner::prefix("other=run-on other").unwrap().call().line().replace('\\', "/");
        assert!(line.starts_with("run-on other "), "{line}");
        assert!(line.contains("release/attentive"), "{line}");
    }

    #[test]
    fn a_program_stands_alone() {
        let line = Runner::program("dx12=wine attentive.exe").unwrap().call().line();
        assert_eq!(line, "wine attentive.exe");
        assert!(Runner::program("dx12=").is_err());
        assert!(Runner::prefix("=command").is_err());
    }
}
