//! Rows that have become slower since a CSV was written.

use std::collections::HashMap;
use std::path::Path;

use attentive::bench::{Outcome, Row, Spread};

use super::DeviceReport;
use super::report::{COLUMNS, Markdown};
use crate::output::{Failure, RED, Result, count, painted};

/// A change of the median by less than this is none, however small the spread is: clocks and caches differ from run to
/// run.
const LEAST: f64 = 0.03;

/// A change of the processor's time by less than this is none: it has no spread.
const LEAST_PROCESSOR: f64 = 0.1;

/// Milliseconds to which the sum of all rounds' processor time is known, at both of its ends.
const TICKS: f64 = 20.0;

/// Device, group, shape, dtype, implementation.
type Key = [String; 5];

/// The times of an earlier run.
pub struct Before {
    times: HashMap<Key, Times>,
    devices: Vec<String>,
}

/// In milliseconds: by the GPU, and by the host.
struct Times {
    gpu: Option<Spread>,
    wall: Spread,
    processor: Option<Processor>,
}

/// The processor's time of a call, in milliseconds.
#[derive(Clone, Copy)]
struct Processor {
    time: f64,
    /// To what it is known.
    within: f64,
}

impl Processor {
    /// Of so many calls.
    fn new(time: f64, calls: f64) -> Self {
        Self { time, within: TICKS / calls.max(1.0) }
    }

    /// Whether it is longer by more than what both are known to.
    fn later(&self, before: &Self) -> bool {
        self.time - self.within > (1.0 + LEAST_PROCESSOR) * (before.time + before.within)
    }
}

/// Reads a CSV that `--format csv` wrote.
pub fn read(path: &Path) -> Result<Before> {
    let bad = |problem: String| Failure::Failed(format!("{}: {problem}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(error.to_string()))?;
    let headers = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    let places = COLUMNS[..12].iter().map(|column| {
        let place = headers.iter().position(|header| header == *column);
        place.ok_or_else(|| {
            bad(format!("there is no column `{column}`: is it of `attentive bench --format csv`?"))
        })
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    let mut before = Before { times: HashMap::new(), devices: Vec::new() };
    for (line, record) in (2..).zip(reader.records()) {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let cell = |column: usize| record.get(places[column]).unwrap_or_default();
        let three = |first: usize| -> Result<Option<Spread>> {
            if cell(first).is_empty() {
                return Ok(None);
            }
            let number = |column: usize| match cell(column).parse::<f64>() {
                Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
                _ => Err(bad(format!("line {line}: `{}` is no time for {}", cell(column), COLUMNS[column]))),
            };
            Ok(Some(Spread { low: number(first + 1)?, median: number(first)?, high: number(first + 2)? }))
        };
        let (gpu, wall) = (three(6)?, three(9)?);
        if !before.devices.iter().any(|device| device == cell(0)) {
            before.devices.push(cell(0).to_owned());
        }
        // Older files have none of these.
        let more = |name: &str| -> Option<f64> {
            let place = headers.iter().position(|header| header == name)?;
            record.get(place)?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
        };
        let calls = more("rounds").unwrap_or(1.0) * more("calls").unwrap_or(1.0);
        let processor = more("processor_ms").map(|time| Processor::new(time, calls));
        if let Some(wall) = wall {
            let times = Times { gpu, wall, processor };
            before.times.insert([0, 1, 2, 3, 4].map(|column| cell(column).to_owned()), times);
        }
    }
    Ok(before)
}

/// The outcome of a comparison.
pub struct Compared {
    path: String,
    rows: usize,
    slower: Vec<Change>,
    faster: Vec<Change>,
    /// Rows that had times and have none.
    gone: Vec<(Key, String)>,
}

struct Change {
    key: Key,
    before: Spread,
    now: Spread,
    /// Where the device computes on the processor.
    processor: Option<[Processor; 2]>,
}

impl Change {
    /// Whether it took longer, by the clock or by the processor's time.
    fn slower(&self) -> bool {
        later(&self.before, &self.now) || self.processor.is_some_and(|[before, now]| now.later(&before))
    }

    fn faster(&self) -> bool {
        later(&self.now, &self.before) || self.processor.is_some_and(|[before, now]| before.later(&now))
    }
}

/// Holds all rows against an earlier run's.
pub fn against(before: &Before, reports: &[DeviceReport], path: &Path) -> Result<Compared> {
    let mut compared = Compared {
        path: path.display().to_string(),
        rows: 0,
        slower: Vec::new(),
        faster: Vec::new(),
        gone: Vec::new(),
    };
    for report in reports {
        for row in &report.rows {
            let key = key(report, row);
            let Some(earlier) = before.times.get(&key) else { continue };
            compared.rows += 1;
            let Some(times) = row.times() else {
                let reason = match &row.outcome {
                    Outcome::Unavailable(reason) | Outcome::LeftOut(reason) | Outcome::Wrong(reason) => {
                        reason
                    }
                    _ => "",
                };
                compared.gone.push((key, reason.to_owned()));
                continue;
            };
            let calls = (times.rounds * times.calls) as f64;
            let processor = times.processor.map(|seconds| Processor::new(seconds * 1e3, calls));
            let processor = earlier.processor.zip(processor).filter(|_| report.software);
            // The same clock on both sides.
            let (earlier, now) = match (earlier.gpu, times.gpu) {
                (Some(earlier), Some(now)) => (earlier, now),
                _ => (earlier.wall, times.wall),
            };
            let now = Spread { low: now.low * 1e3, median: now.median * 1e3, high: now.high * 1e3 };
            let change = Change { key, before: earlier, now, processor: processor.map(Into::into) };
            if change.slower() {
                compared.slower.push(change);
            } else if change.faster() {
                compared.faster.push(change);
            }
        }
    }
    if compared.rows == 0 {
        let here: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        return Err(Failure::Failed(format!(
            "{}: no row of it is one of these; it is of {}, this run of {}",
            compared.path,
            if before.devices.is_empty() { "no device".to_owned() } else { before.devices.join(", ") },
            here.join(", ")
        )));
    }
    Ok(compared)
}

fn key(report: &DeviceReport, row: &Row) -> Key {
    let texts = [&report.name, row.group.name(), &row.shape, &row.dtype.to_string(), &row.implementation];
    texts.map(ToOwned::to_owned)
}

/// Whether the second is longer by more than both spreads: their quartiles do not meet, and the medians differ.
fn later(first: &Spread, second: &Spread) -> bool {
    second.low > first.high && second.median > (1.0 + LEAST) * first.median
}

impl Compared {
    /// Whether something became slower, or has no time any more.
    pub fn slower(&self) -> bool {
        !self.slower.is_empty() || !self.gone.is_empty()
    }

    pub fn text(&self) -> String {
        let mut text = format!("## Against {}\n\n", self.path);
        let mut table = Markdown::new(&[
            "",
            "",
            "",
            "implementation",
            "ms before",
            "ms now",
            "ratio",
            "processor ms",
            "device",
        ]);
        for changes in [&self.slower, &self.faster] {
            for Change { key: [device, group, shape, dtype, implementation], before, now, processor } in
                changes
            {
                let range =
                    |spread: &Spread| format!("{:.4} ({:.4}–{:.4})", spread.median, spread.low, spread.high);
                table.row(vec![
                    group.clone(),
                    shape.clone(),
                    dtype.clone(),
                    implementation.clone(),
                    range(before),
                    range(now),
                    format!("{:.2}", now.median / before.median),
                    processor.map_or_else(
                        || "–".to_owned(),
                        |[before, now]| format!("{:.4}, {:.4}", before.time, now.time),
                    ),
                    device.clone(),
                ]);
            }
        }
        if !self.slower.is_empty() || !self.faster.is_empty() {
            text += &format!("{}\n", table.text());
        }
        for ([_, group, shape, dtype, implementation], reason) in &self.gone {
            text += &format!("{group} {shape} {dtype} {implementation} has no time any more: {reason}\n");
        }
        let slower = format!("{} slower", self.slower.len());
        let slower = if self.slower() { painted(RED, &slower) } else { slower };
        text + &format!(
            "{} compared: {slower}, {} faster, {} without a time, by more than the spread and {:.0} %, or on a software \
             adapter by {:.0} % of the processor's time.\n",
            count(self.rows, "row"),
            self.faster.len(),
            self.gone.len(),
            100.0 * LEAST,
            100.0 * LEAST_PROCESSOR
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_both_spreads_is_later() {
        let spread = |low, median, high| Spread { low, median, high };
        let before = spread(9.0, 10.0, 11.0);
        assert!(later(&before, &spread(11.5, 12.0, 13.0)));
        assert!(!later(&before, &spread(10.9, 12.0, 13.0)));
        assert!(!later(&before, &before));
        // Within 3 %, however narrow.
        assert!(!later(&spread(10.0, 10.0, 10.0), &spread(10.2, 10.2, 10.2)));
        assert!(later(&spread(10.0, 10.0, 10.0), &spread(10.4, 10.4, 10.4)));
    }

    #[test]
    fn the_processors_time_is_compared_within_its_ticks() {
        let times = |before: f64, now: f64, calls: f64| {
            let processor = Some([Processor::new(before, calls), Processor::new(now, calls)]);
            let same = Spread { low: 9.0, median: 10.0, high: 11.0 };
            let change = Change { key: Default::default(), before: same, now: same, processor };
            (change.slower(), change.faster())
        };
        assert_eq!(times(10.0, 12.0, 1000.0), (true, false));
        assert_eq!(times(12.0, 10.0, 1000.0), (false, true));
        assert_eq!(times(10.0, 10.9, 1000.0), (false, false));
        // A single call is known to two ticks.
        assert_eq!(times(10.0, 30.0, 1.0), (false, false));
        assert_eq!(times(100.0, 200.0, 1.0), (true, false));
    }
}
