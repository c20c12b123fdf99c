//! The command line. Data goes to stdout, notices and progress to stderr. Exit status: 0 done, 1 disagreement or
//! failure, 2 wrong call.
#![forbid(unsafe_code)]

mod agreement;
mod attention;
mod bench;
mod bert;
mod check;
mod classify;
mod devices;
mod doctor;
mod draw;
mod embed;
mod evaluate;
mod evaluate_pairs;
mod fill_mask;
mod finite;
mod input;
mod kernels;
mod matrix;
mod model;
mod next_sentence;
mod open;
mod output;
mod summary;
mod system;
mod table;
mod translate;
mod tune;
mod vectors;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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

#[derive(Subcommand)]
enum Command {
    Attention(attention::Arguments),
    Bench(bench::Arguments),
    Check(check::Arguments),
    Classify(classify::Arguments),
    Devices(devices::Arguments),
    Doctor(doctor::Arguments),
    Embed(embed::Arguments),
    Evaluate(evaluate::Arguments),
    FillMask(fill_mask::Arguments),
    NextSentence(next_sentence::Arguments),
    Translate(translate::Arguments),
    Tune(tune::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Attention(arguments) => attention::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Doctor(_) => doctor::run(),
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::FillMask(arguments) => fill_mask::run(&arguments),
        Command::NextSentence(arguments) => next_sentence::run(&arguments),
        Command::Translate(arguments) => translate::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
