//! The command line. Data goes to stdout, notices and progress to stderr. Exit status: 0 done, 1 disagreement or
//! failure, 2 wrong call.
#![deny(unsafe_code)]

mod arguments;
mod commands;
mod draw;
mod folders;
mod hub;
mod input;
mod output;
mod training;
mod tunings;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use commands::Command;
use output::{Failure, Result};

/// Attention and Transformer models by hand-written kernels on any GPU, each checked against the CPU.
#[derive(Parser)]
#[command(name = "attentive", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "\
Data goes to stdout, notices and progress to stderr.
Exit status: 0 done, 1 something disagreed or failed, 2 the call was wrong.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The arguments, with variables where a flag is missing.
fn parsed() -> Result<Cli, clap::Error> {
    let command = || without_empty_variables(Cli::command());
    let matches = command().try_get_matches()?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
}

/// A command and those below it, such as `train bert`.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(without_empty_variable).mut_subcommands(without_empty_variables)
}

/// A variable that is set to nothing, as compose files do to one that they pass on, is as good as one that is not set, but for the
/// flags to which nothing is an answer.
fn without_empty_variable(argument: clap::Arg) -> clap::Arg {
    let is_answer = ["pipeline_cache", "prompt"].contains(&argument.get_id().as_str());
    let value = argument.get_env().and_then(std::env::var_os);
    match value {
        Some(value) if value.is_empty() && !is_answer => argument.env(clap::builder::Resettable::Reset),
        _ => argument,
    }
}

/// An argument that begins as `-h` or `-V` do and is more than that.
fn cluster(arguments: impl Iterator<Item = OsString>) -> Option<String> {
    let options = arguments.skip(1).take_while(|argument| argument != "--");
    options
        .filter_map(|argument| argument.into_string().ok())
        .find(|argument| ["-h", "-V"].iter().any(|flag| argument.starts_with(flag) && argument != flag))
}

fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        // Help and the version are data; a full disk is no place for them.
        Err(said) if !said.use_stderr() => {
            // To clap `-hello` is -h and four more; who wrote it meant a text.
            if let Some(text) = cluster(std::env::args_os()) {
                let problem = format!(
                    "unexpected argument '{text}' found; a text that begins with - goes behind --: -- {text}"
                );
                Cli::command().error(ErrorKind::UnknownArgument, problem).exit();
            }
            let print =
                || said.print().and_then(|()| std::io::stdout().flush()).map_err(output::stdout_failure);
            return ended(output::stdout().map(drop).and_then(|()| print()));
        }
        Err(error) => error.exit(),
    };
    quiet_loader();
    let judges = cli.command.judges();
    match cli.command.run() {
        Err(Failure::Closed) if judges => {
            let problem =
                "standard output was closed before the end: what was not said yet was not looked at";
            Failure::Failed(problem.to_owned()).report()
        }
        result => ended(result),
    }
}

/// Where there is no desktop, Mesa's Vulkan layer that asks it for the preferred GPU says `error: XDG_RUNTIME_DIR is invalid or not
/// set…` in every run, which looks like an error of ours. The loader leaves the layer out by a variable, which must be there when the
/// process begins: so the program begins once more, in the same process.
#[cfg(target_os = "linux")]
fn quiet_loader() {
    use std::os::unix::process::CommandExt;
    const WITHOUT_LAYER: &str = "NODEVICE_SELECT";
    let desktop =
        std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| folder.as_encoded_bytes().starts_with(b"/"));
    // Whoever chooses a GPU by the layer needs it.
    let needed = ["MESA_VK_DEVICE_SELECT", "DRI_PRIME"].iter().any(|name| std::env::var_os(name).is_some());
    if desktop || needed || std::env::var_os(WITHOUT_LAYER).is_some() {
        return;
    }
    let mut words = std::env::args_os();
    if let (Some(name), Ok(program)) = (words.next(), std::env::current_exe()) {
        let mut again = std::process::Command::new(program);
        again.arg0(name).args(words).env(WITHOUT_LAYER, "1");
        output::hand_on(&mut again);
        // It comes back only where it failed, and then all is as it was.
        let _ = again.exec();
    }
}

#[cfg(not(target_os = "linux"))]
fn quiet_loader() {}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn texts_that_begin_with_a_hyphen_are_no_call_for_help() {
        let of = |words: &[&str]| super::cluster(words.iter().map(Into::into));
        assert_eq!(of(&["attentive", "embed", "-m", "x", "-hello"]), Some("-hello".to_owned()));
        assert_eq!(of(&["attentive", "-Venice"]), Some("-Venice".to_owned()));
        for words in [
            &["attentive", "embed", "-h"][..],
            &["attentive", "--help"],
            &["attentive", "-V", "--", "-hello"],
            &["-hello"],
        ] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        for command in super::Cli::command().get_subcommands() {
            let own = command.get_arguments().filter(|argument| !argument.is_positional());
            for argument in own.filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
            {
                assert!(argument.get_env().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
