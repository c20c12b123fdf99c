//! The commands of a contributor: `cargo xtask help`.
#![forbid(unsafe_code)]

mod browser;
mod call;
mod demo;
mod drivers;
mod fetch;
mod gallery;
mod mutants;
mod packages;
mod place;
mod setup;
mod steps;
#[allow(dead_code, reason = "`attentive doctor` uses the rest")]
#[path = "../../cli/src/commands/doctor/system.rs"]
mod system;
mod test;
mod vulkan;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  demo      the whole thing on a fresh machine: a driver, a model, embeddings, their verification
  test      the driver, the model and the browser that the tests need, then every check of this
            repository
  setup     the driver alone: where Linux has no Vulkan driver, the software one is installed
  fetch     the model alone: all-MiniLM-L6-v2, once, its checksum verified
  drivers   `attentive verify` on each driver that is here
  mutants   the tests' own test in full: kernels with a fault planted, which their cases must see
  gallery   the pictures of docs/gallery, made again
  help      this page

Options
  --no-install             never install a package: say what is missing and fail (not for drivers)
  --only STEP              test: this step alone (may be repeated): setup, fetch, browser, fmt,
                           clippy, doc, build, test, verify, check
  --kernel TEXT            mutants: only of the kernels that have TEXT in their names
  --file TEXT              mutants: only those that operators make in shaders that have TEXT in their names
  --runner NAME=COMMAND    drivers: COMMAND runs the program that follows it on another driver
  --program NAME=COMMAND   drivers: COMMAND stands in the place of `attentive` itself, such as a build
                           for another system with what runs it

Environment
  ATTENTIVE_MODELS         the folder that holds the models (default: models/ in the target folder)
  ATTENTIVE_TEST_MODEL     a folder with all-MiniLM-L6-v2, used as it is in place of the fetched one
  ATTENTIVE_TEST_BROWSER   the browser for the tests of pages (default: Chromium or Chrome, installed
                           where there is none)
  ATTENTIVE_NO_INSTALL=1   the same as --no-install
  HF_ENDPOINT              another address for the Hugging Face hub
  HF_HUB_OFFLINE=1         do not try the hub

A command line split at spaces is all that COMMAND can be. `test` and `drivers` end with a table and exit
with 1 where something failed; a wrong call exits with 2.
";

/// A failure, in words for the person who called.
type Result<T> = std::result::Result<T, String>;

/// The options of the command line.
#[derive(Debug, Default, PartialEq)]
struct Options {
    no_install: bool,
    only: Vec<String>,
    runners: Vec<drivers::Runner>,
    kernel: Option<String>,
    file: Option<String>,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".into());
    let options = match parse(&command, args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("xtask: {message}\n");
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    let done = match command.as_str() {
        "demo" => demo::run(&options),
        "test" => return test::run(&options),
        "setup" => setup::run(&options),
        "fetch" => fetch::run(&options).map(|_| ()),
        "drivers" => return drivers::run(&options),
        "gallery" => gallery::run(&options),
        "mutants" => mutants::run(&options),
        _ => {
            print!("{HELP}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(command: &str, mut args: impl Iterator<Item = String>) -> Result<Options> {
    let commands =
        ["demo", "test", "setup", "fetch", "drivers", "gallery", "mutants", "help", "-h", "--help"];
    if !commands.contains(&command) {
        return Err(format!("there is no command {command:?}"));
    }
    let no_install = std::env::var_os("ATTENTIVE_NO_INSTALL").is_some_and(|v| !v.is_empty() && v != "0");
    let mut options = Options { no_install, ..Options::default() };
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
            _ => (arg, None),
        };
        let mut value =
            || inline.clone().or_else(|| args.next()).ok_or_else(|| format!("{flag} needs a value after it"));
        match (command, flag.as_str()) {
            ("setup" | "fetch" | "demo" | "gallery" | "test", "--no-install") => options.no_install = true,
            ("test", "--only") => {
                let step = value()?;
                if !test::STEPS.contains(&step.as_str()) {
                    return Err(format!("there is no step {step:?}; there are {}", test::STEPS.join(", ")));
                }
                options.only.push(step);
            }
            ("mutants", "--kernel") => options.kernel = Some(value()?),
            ("mutants", "--file") => options.file = Some(value()?),
            ("drivers", "--runner") => options.runners.push(drivers::Runner::prefix(&value()?)?),
            ("drivers", "--program") => options.runners.push(drivers::Runner::program(&value()?)?),
            _ => return Err(format!("`{command}` has no option {flag:?}")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(command: &str, args: &[&str]) -> Result<Options> {
        parse(command, args.iter().map(|arg| arg.to_string()))
    }

    #[test]
    fn options_are_read() {
        assert!(parsed("setup", &["--no-install"]).unwrap().no_install);
        assert_eq!(parsed("test", &["--only", "fmt", "--only=doc"]).unwrap().only, ["fmt", "doc"]);
        let runners = parsed("drivers", &["--runner", "a=b c", "--program=d=e f=g"]).unwrap().runners;
        assert_eq!(runners.len(), 2);
        assert_eq!(parsed("mutants", &["--kernel=gemm"]).unwrap().kernel.as_deref(), Some("gemm"));
    }

    #[test]
    fn wrong_calls_are_named() {
        assert!(parsed("tset", &[]).unwrap_err().contains("tset"));
        assert!(parsed("test", &["--only"]).unwrap_err().contains("--only"));
        assert!(parsed("test", &["--only", "fmtt"]).unwrap_err().contains("fmtt"));
        assert!(parsed("demo", &["--only", "fmt"]).unwrap_err().contains("--only"));
        assert!(parsed("test", &["--kernel", "gemm"]).unwrap_err().contains("--kernel"));
        assert!(parsed("drivers", &["--runner", "nothing"]).unwrap_err().contains("NAME=COMMAND"));
    }
}
