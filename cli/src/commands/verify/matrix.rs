//! The sampled matrix' part of `verify`: attention through the op, over sizes, options and data that a seed gives.

use std::ops::Range;

use attentive::verify::{AttentionReport, verify_attention};
use attentive::{Device, Error};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::output::{GREEN, RED, count, painted, shortened};

/// Cases of a quick run, and of a full one.
pub const QUICK: Range<u64> = 0..400;
pub const FULL: Range<u64> = 0..20_000;

/// `N`, or `A..B` without its end, as clap takes it.
pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((start, end)) => number(start).zip(number(end)).map(|(start, end)| start..end),
        None => number(text).map(|seed| seed..seed.saturating_add(1)),
    };
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| format!("it should be a number, or two such as 0..400, and is `{text}`"))
}

/// The matrix's outcome on one device.
pub struct MatrixReport {
    seeds: Range<u64>,
    outcome: Result<AttentionReport, Error>,
    /// The last case that was begun.
    last: u64,
}

pub fn verify(device: &Device, seeds: Range<u64>, bar: &ProgressBar) -> MatrixReport {
    bar.set_length(seeds.end - seeds.start);
    bar.set_position(0);
    bar.set_message("attention, sampled");
    let mut last = seeds.start;
    let outcome = pollster::block_on(verify_attention(device, seeds.clone(), |seed| {
        bar.set_position(seed - seeds.start);
        last = seed;
    }));
    MatrixReport { seeds, outcome, last }
}

impl MatrixReport {
    pub fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|report| report.failures.is_empty())
    }

    pub fn text(&self) -> String {
        let report = match &self.outcome {
            Ok(report) => report,
            Err(error) => {
                let said = format!("attention, sampled: broke off at case #{}: {error}", self.last);
                return format!("{}\n", painted(RED, &said));
            }
        };
        let mut text = String::new();
        for (case, reason) in &report.failures {
            text += &format!("\n{}\n    {}\n", painted(RED, case), shortened(reason, 600));
        }
        let taken: Vec<String> = report.taken.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let (cases, failed) = (count(report.cases, "sampled case"), report.failures.len());
        let verdict = match failed {
            0 => painted(GREEN, &format!("all {cases} of attention agree with the oracle")),
            _ => painted(
                RED,
                &format!(
                    "{failed} of {cases} of attention disagree with the oracle (--seeds N repeats case #N)"
                ),
            ),
        };
        let (error, twin) = (report.largest_error, report.twin_error);
        format!("{text}{verdict}: {}; largest error {error:.1e}, the twins' {twin:.1e}\n", taken.join(", "))
    }

    pub fn json(&self) -> Value {
        let seeds = [self.seeds.start, self.seeds.end];
        match &self.outcome {
            Err(error) => {
                json!({ "passed": false, "seeds": seeds, "last": self.last, "error": error.to_string() })
            }
            Ok(report) => {
                let failures = report.failures.iter();
                let failures = failures.map(|(case, reason)| json!({ "case": case, "reason": reason }));
                let taken = report.taken.iter().map(|(name, count)| ((*name).to_owned(), json!(count)));
                json!({
                    "passed": self.passed(),
                    "seeds": seeds,
                    "cases": report.cases,
                    "taken": taken.collect::<serde_json::Map<_, _>>(),
                    "failures": failures.collect::<Vec<_>>(),
                    "largest_error": report.largest_error,
                    "twin_error": report.twin_error,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seeds;

    #[test]
    fn seeds_are_one_or_a_range() {
        assert_eq!(seeds("7"), Ok(7..8));
        assert_eq!(seeds("0..400"), Ok(0..400));
        for wrong in ["", "x", "5..5", "9..3", "-1", "1..", "18446744073709551615"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
