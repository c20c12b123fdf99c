//! `attentive finetune`: models that exist, trained on with one's own data.

mod classify;
mod embed;

use clap::{Args, Subcommand};

use crate::output::Result;

/// Train a model on with your own data
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Classify(classify::Arguments),
    Embed(embed::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.task {
        Task::Classify(arguments) => classify::run(arguments),
        Task::Embed(arguments) => embed::run(arguments),
    }
}
