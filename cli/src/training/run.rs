//! What every run of training has around its steps: a progress line, logs, a file to go on from, an end by Ctrl-C.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attentive::Error;
use attentive::recording::{Recording, Value};
use attentive::train::{BestScore, Better, Score, Trainer, TrainingState, TrainingStep};
use clap::Args;
use clap::builder::FalseyValueParser;
use indicatif::ProgressBar;

use super::log::{self, Log};
use super::parts::{failure, parts};
use super::{Settings, curve};
use crate::output::{Failure, Result, advance, bar, count, note, say};

/// The file that a run goes on from, in its folder.
const SAVED: &str = "training.safetensors";
/// The weights with the best score, beside it.
const BEST: &str = "best.safetensors";
/// How often it is written.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How often a line is said where there is no terminal for a bar.
const SAY_EVERY: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct RunArguments {
    /// The folder that the model is written to, and while it trains a file to go on from
    #[arg(short, long, env = "ATTENTIVE_OUTPUT", hide_env_values = true, value_name = "FOLDER")]
    pub output: PathBuf,

    /// Go on with the run that the folder has
    #[arg(long, env = "ATTENTIVE_RESUME", hide_env_values = true, value_parser = FalseyValueParser::new())]
    resume: bool,

    /// Write over a model, or a run, that the folder has
    #[arg(long, env = "ATTENTIVE_FORCE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with = "resume")]
    force: bool,

    /// Write each step: NAME.csv, NAME.jsonl, or events.out.tfevents.NAME for TensorBoard; may be repeated
    #[arg(long, env = "ATTENTIVE_LOG", hide_env_values = true, value_name = "FILE", value_parser = log::path)]
    log: Vec<PathBuf>,

    /// Draw the loss, step by step, as NAME.svg
    #[arg(long, env = "ATTENTIVE_CURVE", hide_env_values = true, value_name = "FILE")]
    curve: Option<PathBuf>,
}

impl RunArguments {
    /// Refuses the folder that a model comes from, which is read to the end, as the one that it is written to.
    pub fn refuse_folder(&self, model: &Path) -> Result<()> {
        match (model.canonicalize(), self.output.canonicalize()) {
            (Ok(from), Ok(to)) if from == to => Err(Failure::Usage(format!(
                "{}: the model comes from this folder; --output is to be another than the model's own",
                self.output.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// How a model is scored on what is held out, while it trains.
pub struct Scoring<'a> {
    /// What the score is, such as `accuracy`.
    pub name: &'static str,
    pub better: Better,
    pub score: Box<dyn Fn() -> Result<f64> + 'a>,
}

/// The scores of a run.
struct Scores<'a> {
    of: Scoring<'a>,
    best: BestScore,
    every: u64,
    /// The last score.
    last: Option<f64>,
}

/// Why a run has ended before its last step.
enum End {
    /// No score was better for long enough.
    Patience,
    /// Nothing is finite any more, in these words; there is a best model from before.
    Diverged(String),
}

/// A run that has begun.
pub struct Run<'a> {
    trainer: Trainer,
    /// Steps of the whole run.
    steps: u64,
    micro_batch: Option<usize>,
    settings: TrainingState,
    saved: PathBuf,
    best: PathBuf,
    scores: Option<Scores<'a>>,
    ended: Option<End>,
    logs: Vec<Log>,
    curve: Option<PathBuf>,
    losses: Vec<(u64, f32)>,
    bar: ProgressBar,
    began: Instant,
    first: u64,
    last_saved: Instant,
    last_said: Instant,
    /// A mean of the last losses, for the eye.
    loss: Option<f64>,
    tokens: u64,
    interrupted: Arc<AtomicBool>,
}

impl<'a> Run<'a> {
    /// Makes the folder, or goes on with what it has. The settings, and those that a command has of its own, are what a run cannot go on
    /// with if they are others.
    pub fn begin(
        arguments: &RunArguments,
        mut trainer: Trainer,
        settings: &Settings,
        own: &[(&str, String)],
        scoring: Scoring<'a>,
    ) -> Result<Self> {
        let RunArguments { output, resume, force, log, curve } = arguments;
        let (saved, best) = (output.join(SAVED), output.join(BEST));
        let &Settings { steps, batch_size, micro_batch, learning_rate, seed, evaluate_every, patience } =
            settings;
        let never = |number: Option<u64>| number.map_or("never".to_owned(), |number| number.to_string());
        let settings = [
            ("steps", steps.to_string()),
            ("batch size", batch_size.to_string()),
            ("learning rate", learning_rate.to_string()),
            ("seed", seed.to_string()),
            ("steps between scores", never(evaluate_every)),
            ("patience", never(patience)),
        ];
        let settings = settings.iter().chain(own).map(|(name, value)| ((*name).to_owned(), value.clone()));
        let settings: TrainingState = settings.collect();
        let mut scores = evaluate_every.map(|every| {
            let best = BestScore::new(scoring.better);
            let best = patience.into_iter().fold(best, BestScore::patience);
            Scores { of: scoring, best, every, last: None }
        });
        if *resume {
            let mut found = trainer.resume(&saved)?;
            for (name, value) in &settings {
                let found = found.get(name).map_or("", String::as_str);
                if found != value {
                    return Err(Failure::Usage(format!(
                        "{}: its {name} is {found}, not {value}: a run goes on as it began",
                        saved.display()
                    )));
                }
            }
            if let Some(Scores { best: score, .. }) = &mut scores {
                score.resume(&mut found)?;
                if let (Some(score), false) = (score.best(), best.is_file()) {
                    return Err(Failure::Failed(format!(
                        "{}: the run's best weights, those of step {}, are not there",
                        best.display(),
                        score.step
                    )));
                }
            }
            note(format_args!("going on behind step {}", trainer.steps()));
        } else if !force && (saved.exists() || output.join("model.safetensors").exists()) {
            return Err(Failure::Usage(format!(
                "{} has a model or a run already: --resume goes on with a run, --force writes over it",
                output.display()
            )));
        }
        std::fs::create_dir_all(output).map_err(|error| Failure::file(output, error))?;
        if !resume {
            // A run that is written over has weights that are not this one's.
            [&saved, &best].into_iter().try_for_each(|path| remove(path))?;
        }
        let behind = resume.then(|| trainer.steps());
        let logs = log.iter().map(|path| Log::open(path, behind));
        let now = Instant::now();
        Ok(Self {
            first: trainer.steps(),
            // It may have been saved by the last of its scores.
            ended: scores.as_ref().is_some_and(|scores| scores.best.is_over()).then_some(End::Patience),
            trainer,
            steps,
            micro_batch,
            settings,
            saved,
            best,
            scores,
            logs: logs.collect::<Result<_>>()?,
            curve: curve.clone(),
            losses: Vec::new(),
            bar: bar(),
            began: now,
            last_saved: now,
            last_said: now,
            loss: None,
            tokens: 0,
            interrupted: interrupted(),
        })
    }

    /// Steps that were taken.
    pub fn taken(&self) -> u64 {
        self.trainer.steps()
    }

    /// Elements of what is trained.
    pub fn parameters(&self) -> u64 {
        self.trainer.parameters().iter().map(|parameter| parameter.tensor.shape().elements()).sum()
    }

    /// Whether there is a step to be taken.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none() && self.trainer.steps() < self.steps
    }

    /// Takes a step of so many examples and tokens, by what `record` records of the loss of each part of them.
    pub fn step(
        &mut self,
        [examples, tokens]: [usize; 2],
        mut record: impl FnMut(&mut Recording, Range<usize>) -> attentive::Result<Value>,
    ) -> Result<()> {
        self.step_by([examples, tokens], |trainer, micro_batch| {
            let parts = parts(examples, micro_batch);
            trainer.step_in_parts(parts.len(), |recording, part| record(recording, parts[part].clone()))
        })
    }

    /// The same by what a trainer is told to do, with at most so many examples in memory at once, where that is asked for.
    pub fn step_by(
        &mut self,
        [examples, tokens]: [usize; 2],
        step: impl FnOnce(&mut Trainer, Option<usize>) -> attentive::Result<TrainingStep>,
    ) -> Result<()> {
        let micro_batch = self.micro_batch.filter(|most| *most < examples);
        match step(&mut self.trainer, micro_batch) {
            Ok(step) => self.took(&step, tokens),
            Err(error @ Error::Diverged { .. }) if self.best_score().is_some() => {
                self.ended = Some(End::Diverged(error.to_string()));
                Ok(())
            }
            Err(error) => Err(failure(error, micro_batch.unwrap_or(examples))),
        }
    }

    /// Tells of a step; [`Failure::Said`] where the user has asked for an end, with the run saved.
    fn took(&mut self, step: &TrainingStep, tokens: usize) -> Result<()> {
        self.tokens += tokens as u64;
        if step.skipped {
            self.bar.suspend(|| {
                note(format_args!("step {}: the gradients are not finite; it was left out", step.number))
            });
        } else {
            let before = self.loss.unwrap_or(step.loss.into());
            self.loss = Some(0.98 * before + 0.02 * f64::from(step.loss));
        }
        self.losses.push((step.number, step.loss));
        let (number, steps) = (step.number, self.steps);
        let (score, is_best) = self.scored(number)?;
        let seconds = self.began.elapsed().as_secs_f64();
        self.logs.iter_mut().try_for_each(|log| log.write(step, seconds, tokens, score))?;
        advance(&self.bar, number as usize, steps as usize);
        let line = self.line(step);
        if self.bar.is_hidden() {
            if self.last_said.elapsed() >= SAY_EVERY || number == steps || score.is_some() {
                say(format_args!("step {number} of {steps}: {line}"));
                self.last_said = Instant::now();
            }
        } else {
            self.bar.set_message(line);
        }
        if is_best {
            // A run that is killed between the two goes on from a step before, and comes to the same weights again.
            self.trainer.save_parameters(&self.best, &TrainingState::new())?;
            self.save()?;
        }
        if self.interrupted.load(Ordering::Relaxed) && self.goes_on() {
            self.save()?;
            self.bar.finish_and_clear();
            note(format_args!(
                "ended behind step {number}; --resume in place of --force goes on from {}",
                self.saved.display()
            ));
            return Err(Failure::Said);
        }
        if self.last_saved.elapsed() >= SAVE_EVERY {
            self.save()?;
        }
        Ok(())
    }

    /// The model's score behind a step, where it is time for one, and whether it is the best so far.
    fn scored(&mut self, step: u64) -> Result<(Option<f64>, bool)> {
        let Some(scores) = &mut self.scores else { return Ok((None, false)) };
        if !step.is_multiple_of(scores.every) && step != self.steps {
            return Ok((None, false));
        }
        let score = self.bar.suspend(|| (scores.of.score)())?;
        scores.last = Some(score);
        let is_best = scores.best.take(step, score);
        if scores.best.is_over() {
            self.ended = Some(End::Patience);
        }
        Ok((Some(score), is_best))
    }

    fn best_score(&self) -> Option<Score> {
        self.scores.as_ref()?.best.best()
    }

    /// Loss, rate, norm, speed and the time that is left.
    fn line(&self, step: &TrainingStep) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let done = (step.number - self.first).max(1);
        let left = seconds / done as f64 * self.steps.saturating_sub(step.number) as f64;
        let mut line = format!(
            "loss {:.4}, rate {:.1e}, norm {:.2}, {:.0} tokens/s",
            self.loss.unwrap_or(f64::NAN),
            step.learning_rate,
            step.norm,
            self.tokens as f64 / seconds.max(1e-9)
        );
        if let (Some(Scores { of, last: Some(last), .. }), Some(best)) = (&self.scores, self.best_score()) {
            let _ = write!(line, ", {} {last:.4} (best {:.4} at step {})", of.name, best.value, best.step);
        }
        let _ = match left {
            left if left >= 90.0 => write!(line, ", {:.0} min left", left / 60.0),
            left => write!(line, ", {left:.0} s left"),
        };
        line
    }

    fn save(&mut self) -> Result<()> {
        let mut state = self.settings.clone();
        if let Some(scores) = &self.scores {
            scores.best.save(&mut state);
        }
        self.trainer.save(&self.saved, &state)?;
        self.last_saved = Instant::now();
        Ok(())
    }

    /// The run is over: the model is written, with the best weights where there are scores, and what it would go on from is of no use any
    /// more. A run that has diverged is an error even then.
    pub fn end(mut self, write: impl FnOnce(&Trainer) -> Result<()>) -> Result<()> {
        self.bar.finish_and_clear();
        let taken = self.taken();
        let best = self.best_score().zip(self.scores.as_ref().map(|scores| scores.of.name));
        if let Some((Score { value, step }, name)) = best {
            if let Some((End::Patience, scores)) = self.ended.as_ref().zip(self.scores.as_ref()) {
                let since = scores.best.since();
                note(format_args!(
                    "ended behind step {taken}: {} without a better {name}",
                    count(since as usize, "score")
                ));
            }
            // Those of the last step are there.
            if step != taken {
                self.trainer.load_parameters(&self.best)?;
                note(format_args!("the model is that of step {step}, with the best {name}, {value:.4}"));
            }
        }
        write(&self.trainer)?;
        if let Some(path) = &self.curve {
            write_curve(path, &self.losses)?;
        }
        [&self.saved, &self.best].into_iter().try_for_each(|path| remove(path))?;
        match self.ended {
            Some(End::Diverged(problem)) => {
                let folder = self.saved.parent().unwrap_or(Path::new("."));
                Err(Failure::Failed(format!(
                    "{problem}; {} has the best model from before",
                    folder.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(path, error)),
        _ => Ok(()),
    }
}

fn write_curve(path: &Path, losses: &[(u64, f32)]) -> Result<()> {
    std::fs::write(path, curve::svg(losses)).map_err(|error| Failure::file(path, error))
}

/// Set by the first Ctrl-C; the second ends the program at once.
fn interrupted() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag not set yet.
        let _ = signal_hook::flag::register_conditional_default(signal, Arc::clone(&ended));
        let _ = signal_hook::flag::register(signal, Arc::clone(&ended));
    }
    ended
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
