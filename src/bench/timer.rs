//! Times: many calls in one pass, in rounds, medians with quartiles.

use std::time::Duration;

use crate::error::Result;
use crate::recording::PreparedRecording;

/// About what one round of calls takes: far above the resolution of any clock, and of timestamps that a browser or driver
/// rounds.
pub(super) const ROUND: f64 = 0.06;
/// The most calls in a round.
const MOST_CALLS: usize = 1000;
/// Seconds that all rounds of one implementation may take together; fewer rounds are run where one takes long.
pub(super) const ALL_ROUNDS: f64 = 8.0;

/// First quartile, median, third quartile; in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The first quartile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The third quartile.
    pub high: f64,
}

impl Spread {
    /// Of those times; `None` without any. Between two of them it lies in proportion.
    pub fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        let at = |quarter: usize| {
            let place = (last * quarter) as f64 / 4.0;
            let (below, part) = (place as usize, place.fract());
            times[below] + part * (times[(below + 1).min(last)] - times[below])
        };
        Some(Self { low: at(1), median: at(2), high: at(3) })
    }

    /// The distance between the quartiles as a part of the median.
    pub fn relative(&self) -> f64 {
        (self.high - self.low) / self.median.max(f64::MIN_POSITIVE)
    }
}

/// Seconds of each call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// By the GPU's timestamps, where it has them.
    pub gpu: Option<Spread>,
    /// By the host's clock: with submission and waiting, shared by the calls of a round.
    pub wall: Spread,
    /// The processor's time of this process and of all its threads, the driver's too, a call: the mean over all rounds, to 10
    /// milliseconds of their sum. On a software adapter it is what the work takes, whatever else runs on the machine. Linux
    /// alone.
    pub processor: Option<f64>,
    /// From the recorded call to its end on a device that has just been opened: pipelines are compiled in it, and buffers
    /// allocated. A driver may keep what an earlier process compiled.
    pub first_call: f64,
    /// The processor's time of that, to 10 milliseconds. Linux alone.
    pub first_call_processor: Option<f64>,
    /// Rounds.
    pub rounds: usize,
    /// Calls in each.
    pub calls: usize,
}

impl Times {
    /// The one to judge by: the GPU's, else the host's.
    pub fn best(&self) -> Spread {
        self.gpu.unwrap_or(self.wall)
    }
}

/// Something to be timed: prepared, and run once.
pub(super) struct Candidate {
    pub repeated: PreparedRecording,
    pub first_call: Duration,
    pub first_call_processor: Option<f64>,
}

/// Times the candidates in turns, so that what disturbs the machine disturbs all of them; each round takes about that long.
pub(super) fn time(candidates: &[Candidate], rounds: usize, round_seconds: f64) -> Result<Vec<Times>> {
    let calls_for = |took| calls_for(took, round_seconds);
    let run = |candidate: &Candidate, calls| crate::waiting::block_on(candidate.repeated.run(calls));
    let mut plans = Vec::new();
    for candidate in candidates {
        // The first run after the one that compiled.
        let mut took = run(candidate, 1)?.wall.as_secs_f64();
        let mut calls = calls_for(took);
        if calls > 1 {
            // One call is mostly submission and waiting: with some more the guess is better, and the device warm.
            took = run(candidate, calls.min(8))?.wall.as_secs_f64() / calls.min(8) as f64;
            calls = calls_for(took);
            took = run(candidate, calls)?.wall.as_secs_f64() / calls as f64;
        }
        let of_a_round = took * calls as f64;
        plans.push((calls, ((ALL_ROUNDS / of_a_round.max(1e-9)) as usize).clamp(1, rounds.max(1))));
    }
    let mut taken = vec![(Vec::new(), Vec::new(), Some(0.0)); candidates.len()];
    for round in 0..rounds.max(1) {
        for ((candidate, &(calls, rounds)), (gpu, wall, processor)) in
            candidates.iter().zip(&plans).zip(&mut taken)
        {
            if round >= rounds {
                continue;
            }
            let before = processor_time();
            let took = run(candidate, calls)?;
            let used = before.zip(processor_time()).map(|(before, after)| after - before);
            *processor = processor.zip(used).map(|(sum, used)| sum + used);
            wall.push(took.wall.as_secs_f64() / calls as f64);
            gpu.extend(took.gpu.map(|gpu| gpu.as_secs_f64() / calls as f64));
        }
    }
    let none = Spread { low: 0.0, median: 0.0, high: 0.0 };
    let all = candidates.iter().zip(plans).zip(taken);
    let times = all.map(|((candidate, (calls, rounds)), (gpu, wall, processor))| Times {
        // Timestamps that are sometimes nonsense are not to be trusted when they are not.
        gpu: if gpu.len() == wall.len() { Spread::of(gpu) } else { None },
        wall: Spread::of(wall).unwrap_or(none),
        processor: processor.map(|sum| sum / (rounds * calls) as f64),
        first_call: candidate.first_call.as_secs_f64(),
        first_call_processor: candidate.first_call_processor,
        rounds,
        calls,
    });
    Ok(times.collect())
}

/// Seconds of the processor that this process took so far, in user and system mode, of all its threads.
pub(super) fn processor_time() -> Option<f64> {
    /// Of the system's clock in a second: on Linux the same for all programs.
    const TICKS: f64 = 100.0;
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let field = |place| fields.split_whitespace().nth(place)?.parse::<f64>().ok();
    Some((field(11)? + field(12)?) / TICKS)
}

/// Calls that make up a round of so many seconds, each of that many.
fn calls_for(took: f64, round: f64) -> usize {
    ((round / took.max(1e-9)).ceil() as usize).clamp(1, MOST_CALLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_by_hand() {
        assert_eq!(Spread::of(vec![]), None);
        let one = Spread::of(vec![3.0]).unwrap();
        assert_eq!((one.low, one.median, one.high, one.relative()), (3.0, 3.0, 3.0, 0.0));
        let five = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((five.low, five.median, five.high), (2.0, 3.0, 4.0));
        let four = Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.low, four.median, four.high), (1.75, 2.5, 3.25));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_processor_time_grows_by_what_is_computed() {
        let before = processor_time().unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            std::hint::black_box((0..1000).sum::<u64>());
        }
        let took = processor_time().unwrap() - before;
        // Other tests run beside it, and others on the machine.
        assert!(took > 0.02, "{took}");
    }

    #[test]
    fn short_calls_are_many_and_long_ones_single() {
        let calls = [10.0, 0.01, 0.0].map(|took| calls_for(took, ROUND));
        assert_eq!(calls, [1, 6, MOST_CALLS]);
    }
}
