//! How the learning rate goes over a run.

use crate::error::{Error, Result};

/// The factor of the learning rate by the step, counted from 1. All but [`Schedule::Constant`] rise linearly from 0 over `warmup` steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// 1 throughout.
    #[default]
    Constant,
    /// Down to 0 in a straight line, which it reaches behind the last of `steps` (Devlin et al. 2019, appendix A.2).
    Linear {
        /// Steps of the rise.
        warmup: u64,
        /// Steps of the run.
        steps: u64,
    },
    /// Down to 0 along half a cosine (Loshchilov and Hutter 2017, equation 5, without restarts).
    Cosine {
        /// Steps of the rise.
        warmup: u64,
        /// Steps of the run.
        steps: u64,
    },
    /// At 1 until the last `decay` steps, over which it goes down to 0 in a straight line (warmup, stable, decay; Hu et al. 2024,
    /// section 4).
    WarmupStableDecay {
        /// Steps of the rise.
        warmup: u64,
        /// Steps of the run.
        steps: u64,
        /// Those of them at the end that go down.
        decay: u64,
    },
    /// Down with the root of the step, from 1 at the end of the rise (Vaswani et al. 2017, equation 3, but for their factor).
    InverseSquareRoot {
        /// Steps of the rise.
        warmup: u64,
    },
}

impl Schedule {
    /// The factor of a step, the first of which is 1.
    pub fn factor(self, step: u64) -> f64 {
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let rise = |warmup: u64| if step < warmup { ratio(step, warmup) } else { 1.0 };
        // Of what follows the rise, the share that is left when the step begins.
        let left = |warmup: u64, steps: u64| match step > warmup {
            true => ratio((steps + 1).saturating_sub(step), (steps + 1).saturating_sub(warmup)).min(1.0),
            false => 1.0,
        };
        match self {
            Self::Constant => 1.0,
            Self::Linear { warmup, steps } => rise(warmup) * left(warmup, steps),
            Self::Cosine { warmup, steps } => {
                let done = 1.0 - left(warmup, steps);
                rise(warmup) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Self::WarmupStableDecay { warmup, steps, decay } => {
                rise(warmup) * left(steps.saturating_sub(decay), steps)
            }
            Self::InverseSquareRoot { warmup } => match step > warmup {
                true => ratio(warmup.max(1), step).sqrt(),
                false => rise(warmup),
            },
        }
    }

    /// Whether it can be.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rise, or a rise and a fall, of more steps than the run has.
    pub fn check(self) -> Result<()> {
        let (warmup, decay, steps) = match self {
            Self::Constant | Self::InverseSquareRoot { .. } => return Ok(()),
            Self::Linear { warmup, steps } | Self::Cosine { warmup, steps } => (warmup, 0, steps),
            Self::WarmupStableDecay { warmup, steps, decay } => (warmup, decay, steps),
        };
        match warmup.saturating_add(decay) <= steps {
            true => Ok(()),
            false => {
                let found = format!("{warmup} of warmup and {decay} of decay");
                Err(Error::argument(
                    "schedule",
                    "its parts",
                    format!("at most the run's {steps} steps"),
                    found,
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn factors_by_hand() {
        let near = |schedule: Schedule, step, expected: f64| {
            let got = schedule.factor(step);
            assert!((got - expected).abs() < 1e-12, "{schedule:?} at {step}: {got}, not {expected}");
        };
        near(Schedule::Constant, 1_000_000, 1.0);
        let linear = Schedule::Linear { warmup: 4, steps: 13 };
        for (step, factor) in
            [(1, 0.25), (2, 0.5), (4, 1.0), (5, 0.9), (9, 0.5), (13, 0.1), (14, 0.0), (99, 0.0)]
        {
            near(linear, step, factor);
        }
        let cosine = Schedule::Cosine { warmup: 0, steps: 3 };
        for (step, factor) in [(1, 0.853_553_390_593_273_8), (2, 0.5), (4, 0.0)] {
            near(cosine, step, factor);
        }
        let stable = Schedule::WarmupStableDecay { warmup: 2, steps: 10, decay: 4 };
        for (step, factor) in [(1, 0.5), (2, 1.0), (6, 1.0), (7, 0.8), (10, 0.2), (11, 0.0)] {
            near(stable, step, factor);
        }
        let root = Schedule::InverseSquareRoot { warmup: 4 };
        for (step, factor) in [(1, 0.25), (4, 1.0), (16, 0.5), (400, 0.1)] {
            near(root, step, factor);
        }
        near(Schedule::InverseSquareRoot { warmup: 0 }, 4, 0.5);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert!(Schedule::Linear { warmup: 5, steps: 4 }.check().is_err());
        assert!(Schedule::WarmupStableDecay { warmup: 3, steps: 5, decay: 3 }.check().is_err());
        assert!(Schedule::WarmupStableDecay { warmup: 2, steps: 5, decay: 3 }.check().is_ok());
    }
}
