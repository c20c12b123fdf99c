//! The flags that all commands of training have: how long a run is, how large its batches, how fast it learns, and its seed.
//!
//! Each command has its own defaults and its own words for them: a [`Flags`], which `mut_args` puts into the help.

use clap::{Arg, Args, value_parser};

use crate::output::{Failure, Result};

/// Examples of a step at most.
const LARGEST_BATCH: i64 = 65_536;

/// The numbers of a run that nobody asked for otherwise.
#[derive(Clone, Copy)]
pub struct Defaults {
    /// Steps of the run, or epochs.
    pub length: u64,
    pub batch_size: u32,
    pub learning_rate: f32,
}

/// The flags as one command has them.
pub struct Flags {
    /// What an example is, of which a step has several: `pairs`.
    pub examples: &'static str,
    /// What is the same where the seed is.
    pub seeded: &'static str,
    pub seed: u64,
    /// Without them each model has its own.
    pub defaults: Option<Defaults>,
    /// The smallest batch that can be learnt from.
    pub smallest_batch: u32,
    /// What else is to be known of the learning rate.
    pub advice: &'static str,
}

impl Flags {
    /// A flag with the words and the default of this command; those that are not shared stay as they are.
    pub fn describe(&self, argument: Arg) -> Arg {
        let Self { examples, seeded, seed, defaults, smallest_batch, advice } = self;
        let number = |value: fn(&Defaults) -> String, own: &str| {
            let value = defaults.as_ref().map_or(format!("the model's own{own}"), value);
            format!("[default: {value}]")
        };
        match argument.get_id().as_str() {
            "steps" => {
                let default = number(|defaults| defaults.length.to_string(), " number");
                argument.help(format!("Steps of the whole run {default}"))
            }
            "epochs" => {
                let default = number(|defaults| defaults.length.to_string(), " number");
                argument.help(format!("How often each of the {examples} is seen {default}"))
            }
            "batch_size" => {
                let default = number(|defaults| defaults.batch_size.to_string(), " number");
                let (first, rest) = examples.split_at(1);
                argument
                    .help(format!("{}{rest} of a step {default}", first.to_uppercase()))
                    .value_parser(value_parser!(u32).range(i64::from(*smallest_batch)..=LARGEST_BATCH))
            }
            "learning_rate" => {
                let default = number(|defaults| defaults.learning_rate.to_string(), "");
                argument.help(format!("The largest learning rate{advice} {default}"))
            }
            "seed" => argument.help(format!("Same seed, {seeded} [default: {seed}]")),
            _ => argument,
        }
    }
}

/// Flags of a run that is so many steps.
#[derive(Args)]
pub struct StepArguments {
    #[arg(long, env = "ATTENTIVE_STEPS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// Score the model on what is held out every so many steps, and at the last one; the best model is what is written
    #[arg(long, env = "ATTENTIVE_EVALUATE_EVERY", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    evaluate_every: Option<u64>,

    /// End the run after so many scores in a row without a better one
    #[arg(long, env = "ATTENTIVE_PATIENCE", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..), requires = "evaluate_every")]
    patience: Option<u64>,

    #[command(flatten)]
    shared: SharedArguments,
}

/// Flags of a run that goes so many times over its data.
#[derive(Args)]
pub struct EpochArguments {
    #[arg(long, env = "ATTENTIVE_EPOCHS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..=100_000))]
    epochs: Option<u64>,

    /// Score the model on what is held out every so many steps, and at the last one; the best model is what is written [default: behind
    /// each epoch]
    #[arg(long, env = "ATTENTIVE_EVALUATE_EVERY", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    evaluate_every: Option<u64>,

    /// End the run after so many scores in a row without a better one
    #[arg(long, env = "ATTENTIVE_PATIENCE", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    patience: Option<u64>,

    #[command(flatten)]
    shared: SharedArguments,
}

#[derive(Args)]
struct SharedArguments {
    #[arg(long, env = "ATTENTIVE_BATCH_SIZE", hide_env_values = true, value_name = "N")]
    batch_size: Option<u32>,

    /// Compute a step in parts of at most so many of them, for a batch that memory does not hold at once: their gradients are summed, and
    /// what comes of the step is that of the whole batch, but for rounding
    #[arg(long, env = "ATTENTIVE_MICRO_BATCH", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,

    #[arg(long, env = "ATTENTIVE_LEARNING_RATE", hide_env_values = true, value_name = "η")]
    learning_rate: Option<f32>,

    #[arg(long, env = "ATTENTIVE_SEED", hide_env_values = true, value_name = "N")]
    seed: Option<u64>,
}

/// What a run goes by.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Steps of the whole run.
    pub steps: u64,
    /// Examples of a step.
    pub batch_size: usize,
    /// Examples of a part of it at most.
    pub micro_batch: Option<usize>,
    pub learning_rate: f32,
    pub seed: u64,
    /// Steps between scores; none without.
    pub evaluate_every: Option<u64>,
    /// Scores without a better one, behind which a run ends.
    pub patience: Option<u64>,
}

impl StepArguments {
    /// With those defaults where a flag is not there.
    pub fn settings(&self, flags: &Flags, defaults: Defaults) -> Settings {
        let settings = self.shared.settings(flags, defaults, |_| self.steps.unwrap_or(defaults.length));
        Settings { evaluate_every: self.evaluate_every, patience: self.patience, ..settings }
    }
}

impl EpochArguments {
    /// The seed, by which the data is parted before it is known how much there is to train on.
    pub fn seed(&self, flags: &Flags) -> u64 {
        self.shared.seed.unwrap_or(flags.seed)
    }

    /// Of a run over so many examples, beside those that are held out, and how often it goes over them.
    pub fn settings(
        &self,
        flags: &Flags,
        defaults: Defaults,
        [examples, held_out]: [usize; 2],
    ) -> Result<(Settings, u64)> {
        let epochs = self.epochs.unwrap_or(defaults.length);
        let of_epoch = |batch_size: usize| examples.div_ceil(batch_size) as u64;
        let settings = self.shared.settings(flags, defaults, |size| epochs.saturating_mul(of_epoch(size)));
        let evaluate_every = self.evaluate_every.unwrap_or(of_epoch(settings.batch_size));
        let asked = [("--evaluate-every", self.evaluate_every), ("--patience", self.patience)];
        let asked = asked.into_iter().find(|(_, asked)| asked.is_some());
        match asked {
            Some((flag, _)) if held_out == 0 => Err(Failure::Usage(format!(
                "{flag} asks for scores on {} that are held back, and --held-out leaves none",
                flags.examples
            ))),
            _ => {
                let evaluate_every = (held_out > 0).then_some(evaluate_every);
                Ok((Settings { evaluate_every, patience: self.patience, ..settings }, epochs))
            }
        }
    }
}

impl SharedArguments {
    fn settings(&self, flags: &Flags, defaults: Defaults, steps: impl Fn(usize) -> u64) -> Settings {
        let batch_size = self.batch_size.unwrap_or(defaults.batch_size) as usize;
        Settings {
            steps: steps(batch_size),
            batch_size,
            micro_batch: self.micro_batch.map(|most| most as usize),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            seed: self.seed.unwrap_or(flags.seed),
            evaluate_every: None,
            patience: None,
        }
    }
}
