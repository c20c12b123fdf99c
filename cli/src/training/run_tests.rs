//! Runs whose scores and failures are chosen: what is written in the end.

use std::cell::Cell;

use attentive::layers::Parameter;
use attentive::ops;
use attentive::train::Sgd;
use attentive::{Device, Tensor};

use super::*;

/// A trainer of one number, which each step moves by a half: from 8 on, 7.5, 7, …
fn trainer() -> (Trainer, Tensor) {
    let device = Device::cpu();
    let weight = Tensor::from_f32(&device, [1], &[8.0]).unwrap();
    let algorithm = Sgd { learning_rate: 0.5, ..Sgd::default() };
    (Trainer::new(&device, algorithm, vec![Parameter::new("weight", &weight, false)]).unwrap(), weight)
}

fn arguments(output: &Path, resume: bool) -> RunArguments {
    RunArguments { output: output.to_owned(), resume, force: false, log: Vec::new(), curve: None }
}

fn settings(steps: u64, patience: Option<u64>) -> Settings {
    let (batch_size, micro_batch, learning_rate, seed, evaluate_every) = (4, Some(3), 0.5, 1, Some(2));
    Settings { steps, batch_size, micro_batch, learning_rate, seed, evaluate_every, patience }
}

fn scoring<'a>(score: impl Fn() -> f64 + 'a) -> Scoring<'a> {
    Scoring { name: "accuracy", better: Better::Higher, score: Box::new(move || Ok(score())) }
}

/// A step of 4 examples in parts, of which each records a share of the whole loss.
fn step(run: &mut Run<'_>, weight: &Tensor) {
    let mut parts = Vec::new();
    run.step([4, 7], |recording, part| {
        parts.push(part.len());
        let weight = recording.tensor(weight)?;
        let device = recording.device().clone();
        let share = recording.tensor(&Tensor::from_f32(&device, [1], &[part.len() as f32 / 4.0])?)?;
        ops::multiply(recording, &weight, &share)
    })
    .unwrap();
    assert_eq!(parts, [2, 2]);
}

fn diverged(run: &mut Run<'_>) -> Result<()> {
    let error = Error::Diverged { step: 20, skipped: 10, loss: f32::NAN, learning_rate: 0.5 };
    run.step_by([4, 7], |_, _| Err(error))
}

/// The value that the end of a run writes.
fn written(run: Run<'_>, weight: &Tensor) -> (f32, Result<()>) {
    let value = Cell::new(f32::NAN);
    let end = run.end(|_| {
        value.set(weight.to_f32()?[0]);
        Ok(())
    });
    (value.get(), end)
}

#[test]
fn a_run_that_diverges_leaves_its_best_model_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, weight) = trainer();
    // 0.1 behind step 2, 0.3 behind step 4, 0.2 behind step 6.
    let scores = Cell::new(0);
    let score = || [0.1, 0.3, 0.2][scores.replace(scores.get() + 1)];
    let arguments = arguments(folder.path(), false);
    let mut run = Run::begin(&arguments, trainer, &settings(20, None), &[], scoring(score)).unwrap();
    (0..7).for_each(|_| step(&mut run, &weight));
    assert!(run.goes_on() && folder.path().join(BEST).is_file());
    diverged(&mut run).unwrap();
    assert!(!run.goes_on());
    let (value, end) = written(run, &weight);
    assert_eq!(value, 6.0);
    let Err(Failure::Failed(said)) = end else { panic!("{end:?}") };
    assert!(said.contains("diverged") && said.contains("has the best model from before"), "{said}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_run_that_diverges_before_its_first_score_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, weight) = trainer();
    let arguments = arguments(folder.path(), false);
    let mut run = Run::begin(&arguments, trainer, &settings(20, None), &[], scoring(|| 1.0)).unwrap();
    step(&mut run, &weight);
    assert!(matches!(diverged(&mut run), Err(Failure::Failed(said)) if said.contains("diverged")));
    // A score that is no number is none.
    let (trainer, weight) = self::trainer();
    let mut run = Run::begin(&arguments, trainer, &settings(20, None), &[], scoring(|| f64::NAN)).unwrap();
    (0..4).for_each(|_| step(&mut run, &weight));
    diverged(&mut run).unwrap_err();
}

/// Patience counts on, and the best weights are there, where a run goes on.
#[test]
fn a_run_that_goes_on_knows_its_best_score() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, weight) = trainer();
    let settings = settings(20, Some(2));
    let begun = arguments(folder.path(), false);
    let scores = Cell::new(0);
    let score = || [0.4, 0.3, 0.4, 0.9][scores.replace(scores.get() + 1)];
    let mut run = Run::begin(&begun, trainer, &settings, &[], scoring(score)).unwrap();
    (0..4).for_each(|_| step(&mut run, &weight));
    run.interrupted.store(true, Ordering::Relaxed);
    let interrupted = run.step_by([4, 7], |trainer, _| {
        trainer.step(|recording| {
            let weight = recording.tensor(&weight)?;
            ops::sum(recording, &weight, 0..1)
        })
    });
    assert!(matches!(interrupted, Err(Failure::Said)));
    drop(run);
    let resumed = arguments(folder.path(), true);
    let other = Settings { patience: Some(3), ..settings };
    let refused = Run::begin(&resumed, self::trainer().0, &other, &[], scoring(score));
    assert!(matches!(refused.err(), Some(Failure::Usage(said)) if said.contains("patience is 2, not 3")));
    let (trainer, weight) = self::trainer();
    let mut run = Run::begin(&resumed, trainer, &settings, &[], scoring(score)).unwrap();
    assert_eq!(run.taken(), 5);
    step(&mut run, &weight);
    assert!(!run.goes_on());
    assert_eq!(weight.to_f32().unwrap(), [5.0]);
    let (value, end) = written(run, &weight);
    end.unwrap();
    // Of two that are as good the first.
    assert_eq!(value, 7.0);
}

#[test]
fn a_run_without_its_best_weights_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, weight) = trainer();
    let settings = settings(20, None);
    let begun = arguments(folder.path(), false);
    let mut run = Run::begin(&begun, trainer, &settings, &[], scoring(|| 0.5)).unwrap();
    (0..2).for_each(|_| step(&mut run, &weight));
    drop(run);
    std::fs::remove_file(folder.path().join(BEST)).unwrap();
    let refused =
        Run::begin(&arguments(folder.path(), true), self::trainer().0, &settings, &[], scoring(|| 0.5));
    assert!(
        matches!(refused.err(), Some(Failure::Failed(said)) if said.contains("best.safetensors") && said.contains("step 2"))
    );
}
