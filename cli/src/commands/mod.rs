//! The commands: each is a module with its `Arguments` and what `run` makes of them. None uses another; what two have in
//! common is in `arguments`, `input`, `draw` or `output`.

mod attention;
mod bench;
mod caption;
mod check;
mod classify;
mod devices;
mod doctor;
mod embed;
mod evaluate;
mod fill_mask;
mod finetune;
mod next_sentence;
mod rerank;
mod train;
mod translate;
mod tune;
mod verify;

use clap::Subcommand;

use crate::output::Result;

#[derive(Subcommand)]
pub enum Command {
    Attention(attention::Arguments),
    Bench(bench::Arguments),
    Caption(caption::Arguments),
    Check(check::Arguments),
    Classify(classify::Arguments),
    Devices(devices::Arguments),
    Doctor(doctor::Arguments),
    Embed(embed::Arguments),
    Evaluate(evaluate::Arguments),
    FillMask(fill_mask::Arguments),
    Finetune(finetune::Arguments),
    NextSentence(next_sentence::Arguments),
    Rerank(rerank::Arguments),
    Train(train::Arguments),
    Translate(translate::Arguments),
    Tune(tune::Arguments),
    Verify(verify::Arguments),
}

impl Command {
    /// Whether the exit status says what came of a look at something, which is not known where the look was broken off.
    pub fn judges(&self) -> bool {
        matches!(self, Self::Bench(_) | Self::Check(_) | Self::Doctor(_) | Self::Verify(_))
    }

    pub fn run(self) -> Result<()> {
        match self {
            Self::Attention(arguments) => attention::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Caption(arguments) => caption::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
            Self::Classify(arguments) => classify::run(&arguments),
            Self::Devices(arguments) => devices::run(&arguments),
            Self::Doctor(_) => doctor::run(),
            Self::Embed(arguments) => embed::run(&arguments),
            Self::Evaluate(arguments) => evaluate::run(&arguments),
            Self::FillMask(arguments) => fill_mask::run(&arguments),
            Self::Finetune(arguments) => finetune::run(&arguments),
            Self::NextSentence(arguments) => next_sentence::run(&arguments),
            Self::Rerank(arguments) => rerank::run(&arguments),
            Self::Train(arguments) => train::run(&arguments),
            Self::Translate(arguments) => translate::run(&arguments),
            Self::Tune(arguments) => tune::run(&arguments),
            Self::Verify(arguments) => verify::run(&arguments),
        }
    }
}
