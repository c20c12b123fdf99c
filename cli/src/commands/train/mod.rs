//! `attentive train`: models of the program's own, from nothing.

mod bert;
mod caption;
mod dates;
mod ducks;
mod grammar;
mod pictures;
mod random;
mod translate;

use clap::{Args, Subcommand};

use crate::output::Result;

/// Train a model from nothing, on data that is made as it is asked for or on a text
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Bert(bert::Arguments),
    Caption(caption::Arguments),
    Pictures(pictures::Arguments),
    Translate(translate::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.task {
        Task::Bert(arguments) => bert::run(arguments),
        Task::Caption(arguments) => caption::run(arguments),
        Task::Pictures(arguments) => pictures::run(arguments),
        Task::Translate(arguments) => translate::run(arguments),
    }
}
