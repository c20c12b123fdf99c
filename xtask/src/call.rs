//! Calls of other programs, shown so that a person can repeat them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Result, place};

/// A program, its arguments and what is added to its environment. It runs in the repository's root.
#[derive(Debug, Clone)]
pub struct Call {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Call {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().into(), args: Vec::new(), env: Vec::new() }
    }

    /// The cargo that runs us.
    pub fn cargo() -> Self {
        Self::new("cargo")
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// The words of `line`, split at spaces.
    pub fn words(mut self, line: &str) -> Self {
        self.args.extend(line.split_whitespace().map(OsString::from));
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().into()));
        self
    }

    /// The line that a person would type in the repository's root.
    pub fn line(&self) -> String {
        let mut words = Vec::new();
        for (name, value) in &self.env {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(value)));
        }
        // A path below the root is shown from there.
        let program = Path::new(&self.program);
        words.push(quoted(program.strip_prefix(place::root()).unwrap_or(program).as_os_str()));
        words.extend(self.args.iter().map(|arg| quoted(arg)));
        words.join(" ")
    }

    fn command(&self) -> Command {
        let mut command = if self.program == "cargo" {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            Command::new(cargo)
        } else {
            Command::new(&self.program)
        };
        // `cargo run` tells us of the package xtask. Told so, some build scripts below us would think
        // that something had changed, and run again.
        for (name, _) in std::env::vars_os() {
            let told = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
                .iter()
                .any(|start| told.starts_with(start))
            {
                command.env_remove(name);
            }
        }
        // Without it, a library below OpenGL says so at each start, as an "error:" that is none.
        if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
        }
        command
            .args(&self.args)
            // Tests write nothing into the user's folders.
            .env("ATTENTIVE_PIPELINE_CACHE", "")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(place::root())
            .stdin(Stdio::null());
        command
    }

    /// Shows the line, runs it with its output on our own, and says how it failed if it did.
    pub fn run(&self) -> Result<()> {
        println!("$ {}", self.line());
        let program = self.program.to_string_lossy();
        let status =
            self.command().status().map_err(|error| format!("{program} could not be started: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
    }

    /// Runs it unseen: its standard output if it could be started and ended well.
    pub fn output(&self) -> Option<String> {
        let output = self.command().stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it can be started and ends well, unseen.
    pub fn works(&self) -> bool {
        self.output().is_some()
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_=+./:,@%\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("{word:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_repeated() {
        let program = place::root().join("target").join("release").join("attentive");
        let call =
            Call::new(program).words("embed -m").arg("a model").arg("One, two.").env("WGPU_BACKEND", "gl");
        let line = call.line().replace('\\', "/");
        assert_eq!(line, r#"WGPU_BACKEND=gl target/release/attentive embed -m "a model" "One, two.""#);
    }

    #[test]
    fn failures_are_said() {
        let missing = Call::new("no-such-program-of-attentive");
        assert!(!missing.works());
        assert!(missing.run().unwrap_err().contains("no-such-program-of-attentive"));
        assert!(Call::cargo().arg("--version").works());
        assert!(!Call::cargo().arg("no-such-command").works());
    }
}
