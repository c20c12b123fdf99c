//! A bench's rows as Markdown, CSV and JSON.

use std::collections::BTreeMap;

use attentive::bench::{Ceilings, Outcome, Row, Spread, Times};
use serde_json::{Value, json};

use super::DeviceReport;
use crate::output::{Failure, Result, bytes};

/// Quartiles further apart than this part of the median are told.
pub const NOISY: f64 = 0.1;

/// The columns of the CSV.
pub const COLUMNS: [&str; 24] = [
    "device",
    "group",
    "shape",
    "dtype",
    "implementation",
    "chosen",
    "gpu_ms",
    "gpu_low_ms",
    "gpu_high_ms",
    "wall_ms",
    "wall_low_ms",
    "wall_high_ms",
    "processor_ms",
    "gflops",
    "gb_per_s",
    "share_of_ceiling",
    "peak_bytes",
    "first_call_ms",
    "first_call_processor_ms",
    "rounds",
    "calls",
    "ceiling_gflops",
    "ceiling_gb_per_s",
    "note",
];

/// The words in place of times that are not there.
fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Timed(_) => None,
        Outcome::Unavailable(reason) => Some(format!("unavailable: {reason}")),
        Outcome::LeftOut(reason) => Some(format!("left out: {reason}")),
        Outcome::Wrong(reason) => Some(format!("WRONG: {reason}")),
        _ => Some("unknown".to_owned()),
    }
}

/// Seconds as milliseconds of four digits.
fn milliseconds(seconds: f64) -> String {
    digits(seconds * 1e3)
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 100.0 => format!("{v:.1}"),
        v if v >= 10.0 => format!("{v:.2}"),
        v if v >= 1.0 => format!("{v:.3}"),
        v => format!("{v:.4}"),
    }
}

fn spread(spread: &Spread) -> String {
    let noisy = if spread.relative() > NOISY { "~" } else { "" };
    let Spread { low, median, high } = *spread;
    format!("{noisy}{} ({}–{})", milliseconds(median), milliseconds(low), milliseconds(high))
}

fn rate(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| "–".to_owned(), |rate| digits(rate / 1e9))
}

impl DeviceReport {
    /// A heading and the ceilings, before there are rows.
    pub fn heading(&self) -> String {
        let heading = format!("## {}\n\n", self.name);
        match &self.error {
            Some(error) => heading + &format!("No rows: {error}.\n\n"),
            None => heading + &format!("{}.\n\n", ceilings(&self.ceilings)),
        }
    }

    /// The table of a group's rows.
    pub fn table(&self, rows: &[Row]) -> String {
        let mut table = Markdown::new(&[
            rows.first().map_or("", |row| row.group.name()),
            "",
            "implementation",
            "GPU ms",
            "wall ms",
            "processor ms",
            "GFLOP/s",
            "GB/s",
            "of ceiling",
            "memory",
            "first call",
        ]);
        for row in rows.iter().filter(|row| !matches!(row.outcome, Outcome::Unavailable(_))) {
            table.row(self.cells(row));
        }
        let mut text = table.text();
        // One line for each reason, not for each shape.
        let mut unavailable: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for row in rows {
            if let Outcome::Unavailable(reason) = &row.outcome {
                *unavailable.entry((&row.implementation, reason)).or_default() += 1;
            }
        }
        for ((implementation, reason), count) in unavailable {
            text += &format!("\nNot here ({count}×): {implementation}: {reason}.\n");
        }
        text + "\n"
    }

    /// The error that ended the rows, if one did.
    pub fn ending(&self) -> String {
        match &self.error {
            Some(error) if !self.rows.is_empty() => format!("The rows end here: {error}.\n\n"),
            _ => String::new(),
        }
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let mark = if row.chosen { " ←" } else { "" };
        let mut cells =
            vec![row.shape.clone(), row.dtype.to_string(), format!("{}{mark}", row.implementation)];
        let Some(times) = row.times() else {
            cells.push(reason(&row.outcome).unwrap_or_default());
            return cells;
        };
        let share = row.share(&self.ceilings);
        cells.extend([
            times.gpu.as_ref().map_or_else(|| "–".to_owned(), spread),
            spread(&times.wall),
            times.processor.map_or_else(|| "–".to_owned(), milliseconds),
            rate(row.rate().filter(|_| row.flops > 0)),
            rate(row.bandwidth()),
            share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
            bytes(row.peak_bytes),
            format!("{:.0} ms", times.first_call * 1e3),
        ]);
        cells
    }
}

/// The ceilings in one sentence.
fn ceilings(ceilings: &Ceilings) -> String {
    let known = |rate: Option<f64>, unit: &str| match rate {
        Some(rate) => format!("{} {unit}", digits(rate / 1e9)),
        None => "not measured".to_owned(),
    };
    format!(
        "Ceilings: copy {}, multiply-add {}. ← is what the op chooses, ~ a time whose quartiles are far apart",
        known(ceilings.bandwidth, "GB/s"),
        known(ceilings.arithmetic, "GFLOP/s")
    )
}

/// A Markdown table whose columns line up.
pub struct Markdown {
    rows: Vec<Vec<String>>,
}

impl Markdown {
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn text(&self) -> String {
        let columns = self.rows[0].len();
        // A row of fewer cells ends in a sentence, which makes no column wider.
        let whole = || self.rows.iter().filter(|row| row.len() == columns);
        let width = |column: usize| whole().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}{}\n", cells.collect::<String>(), " |".repeat(columns - row.len()))
        };
        let rule: String = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
        let mut lines = self.rows.iter().map(line);
        lines.next().unwrap_or_default() + &format!("|{rule}\n") + &lines.collect::<String>()
    }
}

/// The line of the columns' names.
pub fn csv_heading() -> Result<String> {
    lines([COLUMNS.map(ToOwned::to_owned).to_vec()])
}

/// A device's rows as lines of a CSV.
pub fn csv(report: &DeviceReport, rows: &[Row]) -> Result<String> {
    lines(rows.iter().map(|row| record(report, row)))
}

fn lines(records: impl IntoIterator<Item = Vec<String>>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::Failed(error.to_string());
    for record in records {
        writer.write_record(record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn record(report: &DeviceReport, row: &Row) -> Vec<String> {
    let number = |value: Option<f64>, factor: f64| {
        value.map_or_else(String::new, |value| format!("{:.6}", value * factor))
    };
    let times = row.times();
    let three = |spread: Option<Spread>| {
        [
            number(spread.map(|spread| spread.median), 1e3),
            number(spread.map(|spread| spread.low), 1e3),
            number(spread.map(|spread| spread.high), 1e3),
        ]
    };
    let whole = |value: Option<usize>| value.map_or_else(String::new, |value| value.to_string());
    let mut cells = vec![
        report.name.clone(),
        row.group.name().to_owned(),
        row.shape.clone(),
        row.dtype.to_string(),
        row.implementation.clone(),
        row.chosen.to_string(),
    ];
    cells.extend(three(times.and_then(|times| times.gpu)));
    cells.extend(three(times.map(|times| times.wall)));
    cells.extend([
        number(times.and_then(|times| times.processor), 1e3),
        number(row.rate(), 1e-9),
        number(row.bandwidth(), 1e-9),
        number(row.share(&report.ceilings), 1.0),
        times.map_or_else(String::new, |_| row.peak_bytes.to_string()),
        number(times.map(|times| times.first_call), 1e3),
        number(times.and_then(|times| times.first_call_processor), 1e3),
        whole(times.map(|times| times.rounds)),
        whole(times.map(|times| times.calls)),
        number(report.ceilings.arithmetic, 1e-9),
        number(report.ceilings.bandwidth, 1e-9),
        reason(&row.outcome).unwrap_or_default(),
    ]);
    cells
}

/// Everything as JSON.
pub fn json(reports: &[DeviceReport]) -> String {
    let spread = |spread: &Spread| json!({ "low": spread.low, "median": spread.median, "high": spread.high });
    let times = |times: &Times| {
        json!({
            "gpu_seconds": times.gpu.as_ref().map(spread),
            "wall_seconds": spread(&times.wall),
            "processor_seconds": times.processor,
            "first_call_seconds": times.first_call,
            "first_call_processor_seconds": times.first_call_processor,
            "rounds": times.rounds,
            "calls": times.calls,
        })
    };
    let of = |report: &DeviceReport| {
        let row = |row: &Row| {
            json!({
                "group": row.group.name(),
                "shape": row.shape,
                "dtype": row.dtype.to_string(),
                "implementation": row.implementation,
                "chosen": row.chosen,
                "flops": row.flops,
                "bytes": row.bytes,
                "peak_bytes": row.peak_bytes,
                "times": row.times().map(times),
                "flops_per_second": row.rate(),
                "bytes_per_second": row.bandwidth(),
                "share_of_ceiling": row.share(&report.ceilings),
                "note": reason(&row.outcome),
            })
        };
        json!({
            "spec": report.spec,
            "name": report.name,
            "software": report.software,
            "timestamps": report.timestamps,
            "ceilings": {
                "bytes_per_second": report.ceilings.bandwidth,
                "flops_per_second": report.ceilings.arithmetic,
            },
            "rows": report.rows.iter().map(row).collect::<Vec<Value>>(),
            "error": report.error.as_ref().map(ToString::to_string),
        })
    };
    let devices: Vec<Value> = reports.iter().map(of).collect();
    format!("{:#}\n", json!({ "version": env!("CARGO_PKG_VERSION"), "devices": devices }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(
            [0.12345, 1.2345, 12.345, 123.45, 12345.6].map(digits),
            ["0.1235", "1.234", "12.35", "123.5", "12346"]
        );
    }

    #[test]
    fn a_table_lines_up_and_a_reason_widens_nothing() {
        let mut table = Markdown::new(&["a", "long", "c"]);
        table.row(vec!["x".into(), "1".into(), "2".into()]);
        table.row(vec!["y".into(), "left out: it does not fit".into()]);
        assert_eq!(
            table.text(),
            "| a | long | c |\n|---|------|---|\n| x | 1    | 2 |\n| y | left out: it does not fit | |\n"
        );
    }
}
