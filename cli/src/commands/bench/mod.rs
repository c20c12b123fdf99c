//! `attentive bench`: what ops and encoders take on the user's own devices, and what became slower.

mod compare;
#[cfg(feature = "pictures")]
mod plot;
mod report;

use std::path::PathBuf;

use attentive::bench::{self, Bench, Ceilings, GROUPS, Row, Shape};
use attentive::kernels::KERNELS;
use attentive::{DType, Error};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use crate::arguments::{DevicesArgument, OpenArguments};
use crate::output::{self, Failure, Result, Writer, count, note, print, say};

/// Measure how fast this machine computes
///
/// Every implementation of every op, over sizes that models have and sweeps of length, against what the device can do at
/// most: its copy bandwidth and its rate of multiply-adds are measured first. Times are medians with quartiles, by the GPU's
/// own timestamps where it has them. What is computed is checked in the same run: a wrong result has no time. docs/bench.md
/// says how.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive bench --quick
  attentive bench gemm attention --device all --svg bench.svg
  attentive bench --format csv -o before.csv
  attentive bench --compare before.csv
  attentive bench softmax layer_norm --dtype f32")]
pub struct Arguments {
    /// gemm, attention, norm, layer, model, or a part of a kernel's name; all five without any
    #[arg(value_name = "WHAT")]
    what: Vec<String>,

    #[command(flatten)]
    device: DevicesArgument,

    /// How the rows are written
    #[arg(long, env = "ATTENTIVE_BENCH_FORMAT", hide_env_values = true, value_enum, default_value = "md")]
    format: Format,

    /// Write the rows to a file in place of stdout
    #[arg(short, long, env = "ATTENTIVE_BENCH_OUTPUT", hide_env_values = true, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Draw the roofline, and times by length
    #[arg(long, env = "ATTENTIVE_BENCH_SVG", hide_env_values = true, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Say what became slower by more than the spread since this CSV was written; the exit status is then 1
    #[arg(long, env = "ATTENTIVE_BENCH_COMPARE", hide_env_values = true, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// What weights, and attention's queries, keys and values, are stored as
    #[arg(long, env = "ATTENTIVE_BENCH_DTYPE", hide_env_values = true, value_enum, default_value = "all")]
    dtype: Stored,

    /// A few small shapes alone: seconds
    #[arg(long, env = "ATTENTIVE_QUICK", hide_env_values = true, value_parser = FalseyValueParser::new())]
    quick: bool,

    /// Rounds of each implementation; fewer where one takes seconds
    #[arg(long, env = "ATTENTIVE_BENCH_ROUNDS", hide_env_values = true, value_name = "N")]
    #[arg(default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Leave out shapes of which a call takes longer than so many seconds even at the device's ceiling
    #[arg(long, env = "ATTENTIVE_BENCH_LONGEST", hide_env_values = true, value_name = "SECONDS")]
    #[arg(default_value = "0.2", value_parser = seconds)]
    longest: f64,

    #[command(flatten)]
    open: OpenArguments,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// Markdown tables
    Md,
    /// One line a row, for --compare and for other programs
    Csv,
    /// Everything
    Json,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stored {
    F32,
    F16,
    All,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Ok(seconds),
        _ => Err("it must be a number of seconds above 0, such as 0.2".to_owned()),
    }
}

/// One device's outcome.
struct DeviceReport {
    spec: String,
    name: String,
    software: bool,
    timestamps: bool,
    ceilings: Ceilings,
    rows: Vec<Row>,
    /// Why it could not be opened, or what ended its rows.
    error: Option<Error>,
}

/// What of a device's report is there now.
enum Part<'a> {
    /// Its name and its ceilings, or that it has no rows.
    Heading,
    /// The rows of one shape.
    Shape(&'a [Row]),
    /// All rows of one group.
    Group(&'a [Row]),
    End,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let shapes = arguments.shapes()?;
    arguments.check_implementations()?;
    let before = arguments.compare.as_deref().map(compare::read).transpose()?;
    let mut out = arguments.output.as_deref().map_or(Ok(Writer::stdout()), Writer::file)?;
    #[cfg(not(feature = "pictures"))]
    if arguments.svg.is_some() {
        return Err(Failure::Usage(crate::draw::without_pictures("--svg")));
    }
    #[cfg(feature = "pictures")]
    let picture = arguments.svg.as_deref().map(Writer::file).transpose()?;
    let specs = arguments.device.specs()?;
    say_if_busy();
    let mut reports = Vec::new();
    if arguments.format == Format::Csv {
        out.write(report::csv_heading()?)?;
    }
    for spec in &specs {
        let bench = match arguments.bench(spec) {
            // A single device that cannot be opened is the call's failure.
            Err(error) if specs.len() == 1 => return Err(error.into()),
            bench => bench,
        };
        // Each part is written as soon as it is there: the next may take long, or the driver may end the process.
        let report = arguments.measure(spec, bench, &shapes, &mut |report, part| {
            let text = match (arguments.format, part) {
                (Format::Md, Part::Heading) => report.heading(),
                (Format::Md, Part::Group(rows)) => report.table(rows),
                (Format::Md, Part::End) => report.ending(),
                (Format::Csv, Part::Shape(rows)) => report::csv(report, rows)?,
                _ => return Ok(()),
            };
            out.write(text)
        })?;
        if let Some(error) = &report.error {
            note(format_args!("{spec}: {error}; its rows end here"));
        }
        report.say_what_is_odd();
        reports.push(report);
    }
    if arguments.format == Format::Json {
        out.write(report::json(&reports))?;
    }
    out.finish()?;
    #[cfg(feature = "pictures")]
    if let Some(mut picture) = picture {
        picture.write(plot::draw(&reports)?)?;
        picture.finish()?;
    }
    let mut failed = reports.iter().any(|report| report.error.is_some() || report.wrong() > 0);
    if !arguments.open.implementation.is_empty() {
        for report in reports.iter().filter(|report| report.error.is_none() && report.timed() == 0) {
            note(format_args!("{}: nothing has a time with what --implementation forces", report.spec));
            failed = true;
        }
    }
    if let (Some(before), Some(path)) = (before, &arguments.compare) {
        let compared = compare::against(&before, &reports, path)?;
        // Where stdout is a CSV or JSON, nothing else goes there.
        if arguments.format == Format::Md || arguments.output.is_some() {
            print(&compared.text())?;
        } else {
            say(compared.text());
        }
        failed |= compared.slower();
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

impl Arguments {
    fn dtypes(&self) -> Vec<DType> {
        match self.dtype {
            Stored::F32 => vec![DType::F32],
            Stored::F16 => vec![DType::F16],
            Stored::All => vec![DType::F32, DType::F16],
        }
    }

    /// All shapes, by what they were asked for.
    fn shapes(&self) -> Result<Vec<Shape>> {
        let all: Vec<String> = GROUPS.iter().map(|group| group.name().to_owned()).collect();
        let mut shapes = Vec::new();
        for word in if self.what.is_empty() { &all } else { &self.what } {
            if let Some(&group) = GROUPS.iter().find(|group| group.name() == word) {
                shapes.extend(
                    self.dtypes().into_iter().flat_map(|dtype| bench::shapes(group, dtype, self.quick)),
                );
                continue;
            }
            let of_kernels = if word.is_empty() { Vec::new() } else { bench::kernel_shapes(word) };
            if of_kernels.is_empty() {
                let kernels: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name()).collect();
                return Err(Failure::Usage(format!(
                    "there is nothing named `{word}`; there are {}, and the kernels {}",
                    all.join(", "),
                    kernels.join(", ")
                )));
            }
            shapes.extend(of_kernels);
        }
        if shapes.is_empty() {
            return Err(Failure::Usage("norms are f32 alone: there is nothing to run in f16".to_owned()));
        }
        Ok(shapes)
    }

    /// What is forced must be an implementation: else no row that needs it would have a time.
    fn check_implementations(&self) -> Result<()> {
        for word in &self.open.implementation {
            let Some((op, name)) = word.split_once('=') else { continue };
            let listed = attentive::device::IMPLEMENTATIONS.iter().find(|(of, _)| *of == op);
            if let Some((_, names)) = listed.filter(|(_, names)| !names.contains(&name)) {
                return Err(Failure::Usage(format!(
                    "--implementation {word}: {op} has no implementation `{name}`; there are {}",
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn bench(&self, spec: &str) -> attentive::Result<Bench> {
        let mut options = self.open.options();
        // A first call is one that compiles.
        options.pipeline_cache = None;
        let opened = self.open.open(spec)?;
        options.tuning = opened.tuning().map(|tuning| (*tuning).clone());
        options.cooperative = opened.options().cooperative;
        let mut bench = Bench::open(spec, options)?;
        (bench.rounds, bench.longest) = (self.rounds.into(), self.longest);
        Ok(bench)
    }

    /// All rows of a device, up to what it is lost by; `write` is given each part of them as soon as it is there.
    fn measure(
        &self,
        spec: &str,
        bench: attentive::Result<Bench>,
        shapes: &[Shape],
        write: &mut dyn FnMut(&DeviceReport, Part<'_>) -> Result<()>,
    ) -> Result<DeviceReport> {
        let bench = match bench {
            Ok(bench) => bench,
            Err(error) => {
                let report = DeviceReport::broken(spec, error);
                write(&report, Part::Heading)?;
                return Ok(report);
            }
        };
        let device = bench.device();
        let mut report = DeviceReport {
            spec: spec.to_owned(),
            name: device.name().to_owned(),
            software: device.is_software(),
            timestamps: device.capabilities().timestamps,
            ceilings: Ceilings::default(),
            rows: Vec::new(),
            error: None,
        };
        let bar = output::bar();
        bar.set_length(shapes.len() as u64);
        bar.set_message(format!("{}: ceilings", report.name));
        match bench.ceilings() {
            Ok(ceilings) => report.ceilings = ceilings,
            Err(error) => report.error = Some(error),
        }
        bar.suspend(|| write(&report, Part::Heading))?;
        if report.error.is_none() {
            let (seconds, rows) = bench.estimate(shapes, &report.ceilings);
            bar.suspend(|| {
                note(format_args!(
                    "{spec}: {}, about {}",
                    count(rows, "row"),
                    indicatif::HumanDuration(std::time::Duration::from_secs_f64(seconds))
                ))
            });
        }
        for shapes in shapes.chunk_by(|one, next| one.group == next.group) {
            let first_of_group = report.rows.len();
            for shape in shapes {
                if report.error.is_some() {
                    break;
                }
                bar.set_message(format!("{shape:?}"));
                let first = report.rows.len();
                match bench.run(shape, &report.ceilings) {
                    Ok(rows) => report.rows.extend(rows),
                    // A lost device says nothing more.
                    Err(error) => report.error = Some(error),
                }
                bar.suspend(|| write(&report, Part::Shape(&report.rows[first..])))?;
                bar.inc(1);
            }
            let rows = &report.rows[first_of_group..];
            if !rows.is_empty() {
                bar.suspend(|| write(&report, Part::Group(rows)))?;
            }
        }
        bar.finish_and_clear();
        write(&report, Part::End)?;
        Ok(report)
    }
}

impl DeviceReport {
    fn broken(spec: &str, error: Error) -> Self {
        Self {
            spec: spec.to_owned(),
            name: spec.to_owned(),
            software: false,
            timestamps: false,
            ceilings: Ceilings::default(),
            rows: Vec::new(),
            error: Some(error),
        }
    }

    fn timed(&self) -> usize {
        self.rows.iter().filter(|row| row.times().is_some()).count()
    }

    fn wrong(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.outcome, bench::Outcome::Wrong(_))).count()
    }

    fn say_what_is_odd(&self) {
        let spec = &self.spec;
        let timed: Vec<_> = self.rows.iter().filter_map(Row::times).collect();
        if !self.timestamps && !timed.is_empty() {
            note(format_args!(
                "{spec} has no timestamps: its times are the host's, with submission and waiting"
            ));
        } else if timed.iter().any(|times| times.gpu.is_none()) {
            note(format_args!("{spec}: some timestamps made no sense, those times are the host's"));
        }
        let noisy = timed.iter().filter(|times| times.best().relative() > report::NOISY).count();
        if noisy > 0 {
            let of = count(timed.len(), "time");
            note(format_args!(
                "{spec}: in {noisy} of {of} the quartiles are more than {:.0} % of the median apart (~): what else runs on \
                 this machine disturbs them",
                100.0 * report::NOISY
            ));
        }
        if self.wrong() > 0 {
            note(format_args!("{spec}: {} wrong: see `attentive verify`", count(self.wrong(), "result")));
        }
    }
}

/// Says so where others use the processor, which a software adapter's times then depend on.
fn say_if_busy() {
    let Ok(text) = std::fs::read_to_string("/proc/loadavg") else { return };
    let load = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    if let Some(load) = load.filter(|load| *load > 0.5) {
        note(format_args!(
            "this machine is busy (load average {load}): times that need its processor are too long"
        ));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_lost_device_ends_its_rows_and_the_next_goes_on() {
        let words = ["bench", "gemm", "--dtype", "f32", "--quick", "--rounds", "1"];
        let Cli { arguments } = Cli::parse_from(words);
        let shapes = arguments.shapes().unwrap();
        let mut written = String::new();
        let mut reports = Vec::new();
        let usable = pollster::block_on(attentive::device::list_adapters())
            .unwrap()
            .into_iter()
            .filter(|adapter| adapter.unusable.is_none());
        let adapters: Vec<String> = usable.map(|adapter| format!("gpu:{}", adapter.index)).collect();
        for spec in adapters.iter().map(String::as_str).chain(["cpu"]) {
            let bench = arguments.bench(spec).unwrap();
            if let Some((device, _)) = bench.device().wgpu() {
                device.destroy();
            }
            let report = arguments.measure(spec, Ok(bench), &shapes, &mut |report, part| {
                written += &match part {
                    Part::Heading => report.heading(),
                    Part::Group(rows) => report.table(rows),
                    Part::Shape(_) | Part::End => report.ending(),
                };
                Ok(())
            });
            reports.push(report.unwrap());
        }
        let (last, lost) = reports.split_last().unwrap();
        for report in lost {
            assert!(matches!(report.error, Some(Error::DeviceLost { .. })), "{:?}", report.error);
            assert!(report.rows.is_empty());
        }
        assert_eq!(written.matches("No rows: ").count(), lost.len(), "{written}");
        assert!(last.error.is_none() && last.rows.iter().any(|row| row.times().is_some()));
        assert!(written.ends_with("\n\n") && written.contains("| gemm "), "{written}");
    }
}
