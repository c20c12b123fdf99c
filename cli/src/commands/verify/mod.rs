//! `attentive verify`: agreement, shown on the user's own devices.

mod agreement;
mod kernels;
mod matrix;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attentive::Error;
use attentive::kernel::{Depth, Kernel};
use attentive::verify::{self, CooperativeReport};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};

use crate::arguments::{DevicesArgument, ModelArguments, OpenArguments, SENTENCE_TRANSFORMERS};
use crate::output::{self, Answers, Failure, GREEN, RED, Result, painted, print};
use crate::tunings;
use agreement::ModelReport;
use kernels::KernelsReport;
use matrix::MatrixReport;

/// Show that this machine computes what it should
///
/// Every kernel's cases run on the device and are held against an f64 oracle, and so is attention with sizes and options
/// sampled by seed. With --model, a whole model also runs on the device and on the CPU, kernel by kernel, and the first
/// kernel that parts is named. The exit status is 1 if anything disagrees.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive verify
  attentive verify --device all --full
  attentive verify -m all-MiniLM-L6-v2
  attentive verify -m all-MiniLM-L6-v2 --gradients
  attentive verify --kernel softmax --json - | jq .passed
  attentive verify --seeds 1234
  attentive verify --cooperative --kernel cooperative")]
pub struct Arguments {
    /// Also run this model: a folder, or a model of the Hugging Face hub
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: Option<String>,

    /// Of the model: gradients by all of its parameters too, kernel by kernel
    #[arg(long, env = "ATTENTIVE_GRADIENTS", hide_env_values = true, requires = "model")]
    #[arg(value_parser = FalseyValueParser::new())]
    gradients: bool,

    #[command(flatten)]
    device: DevicesArgument,

    /// The whole matrix of cases, in place of a few for each variant, and 20,000 sampled cases of attention in place of
    /// 400: most of an hour on a CPU
    #[arg(long, env = "ATTENTIVE_FULL", hide_env_values = true, value_parser = FalseyValueParser::new())]
    full: bool,

    /// Only the kernels whose names hold this
    #[arg(long, env = "ATTENTIVE_KERNEL", hide_env_values = true, value_name = "NAME")]
    kernel: Option<String>,

    /// Only these sampled cases of attention: a number, or two such as 0..400, the second left out
    #[arg(long, env = "ATTENTIVE_SEEDS", hide_env_values = true, value_name = "N|A..B")]
    #[arg(value_parser = matrix::seeds, conflicts_with_all = ["kernel", "full"])]
    seeds: Option<Range<u64>>,

    /// Write all results as JSON; - is stdout, in place of the tables
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

/// Runs of each case of cooperative matrices, and on a software adapter, where 50 would take a quarter of an hour.
const REPEATS: usize = 50;
const SOFTWARE_REPEATS: usize = 5;

/// One device's outcomes.
struct DeviceReport {
    spec: String,
    name: String,
    software: bool,
    kernels: Option<KernelsReport>,
    matrix: Option<MatrixReport>,
    /// The kernels of cooperative matrices, again and again.
    cooperative: Option<Result<CooperativeReport, Error>>,
    model: Option<Result<ModelReport, Error>>,
    /// Why it could not be opened.
    error: Option<Error>,
    took: Duration,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let kernels = kernels::selected(arguments.kernel.as_deref())?;
    let answers = Answers::of(arguments.json.as_deref())?;
    let to_stdout = answers.replace_report();
    let folder = arguments
        .model
        .as_deref()
        .map(|name| arguments.hub.folder(name, SENTENCE_TRANSFORMERS))
        .transpose()?;
    let specs = arguments.device.specs()?;
    let mut reports = Vec::new();
    for spec in &specs {
        let report = arguments.device_report(spec, &kernels, folder.as_deref());
        // A single device that cannot be opened is the call's failure, not a finding.
        match report.error {
            Some(error) if specs.len() == 1 => return Err(error.into()),
            _ if !to_stdout => print(&report.text(arguments.model.as_deref()))?,
            _ => {}
        }
        reports.push(report);
    }
    let passed = reports.iter().all(DeviceReport::passed);
    if specs == ["cpu"] && arguments.device.is_all() {
        let limited = std::env::var("WGPU_BACKEND").ok().filter(|value| !value.trim().is_empty());
        let limited = limited.map(|value| format!(" (WGPU_BACKEND={value})")).unwrap_or_default();
        output::note(format_args!(
            "there is no adapter here{limited}, only the CPU was verified: see `attentive doctor`"
        ));
    }
    let all = || {
        let devices: Vec<Value> = reports.iter().map(DeviceReport::json).collect();
        let version = env!("CARGO_PKG_VERSION");
        let model = &arguments.model;
        let depth = if arguments.full { "full" } else { "quick" };
        let all = json!({ "version": version, "depth": depth, "model": model, "passed": passed, "devices": devices });
        format!("{all:#}\n")
    };
    answers.write_text(all, "")?;
    if !to_stdout && reports.len() > 1 {
        print(&totals(&reports))?;
    }
    if passed { Ok(()) } else { Err(Failure::Said) }
}

fn totals(reports: &[DeviceReport]) -> String {
    let line = |report: &DeviceReport| {
        let verdict = if report.passed() { painted(GREEN, "agrees  ") } else { painted(RED, "DISAGREES") };
        format!("  {verdict}  {:<6}  {}\n", report.spec, report.name)
    };
    reports.iter().map(line).collect()
}

impl Arguments {
    /// The sampled cases that run; none where single kernels are asked for.
    fn sampled(&self) -> Option<Range<u64>> {
        let usual = if self.full { matrix::FULL } else { matrix::QUICK };
        self.seeds.clone().or_else(|| self.kernel.is_none().then_some(usual))
    }

    fn device_report(
        &self,
        spec: &str,
        kernels: &[&'static dyn Kernel],
        folder: Option<&std::path::Path>,
    ) -> DeviceReport {
        let start = Instant::now();
        let mut report = DeviceReport {
            spec: spec.to_owned(),
            name: spec.to_owned(),
            software: false,
            kernels: None,
            matrix: None,
            cooperative: None,
            model: None,
            error: None,
            took: Duration::ZERO,
        };
        let opened = self.open.open_to_verify(spec).and_then(|(device, kept)| self.open.tuned(device, kept));
        let device = match opened {
            Ok(opened) => opened,
            Err(error) => return DeviceReport { error: Some(error), ..report },
        };
        report.name = device.name().to_owned();
        report.software = device.is_software();
        let bar = output::bar();
        if self.seeds.is_none() {
            let depth = if self.full { Depth::Full } else { Depth::Quick };
            report.kernels = Some(kernels::verify(&device, kernels, depth, &bar));
        }
        // A lost device says nothing more.
        let broken = report.kernels.as_ref().is_some_and(|kernels| kernels.broken.is_some());
        if self.open.cooperative && self.seeds.is_none() && !broken && !device.is_cpu() {
            let told = |done: usize, all: usize, kernel: &str| {
                output::advance(&bar, done, all);
                bar.set_message(format!("{kernel}, again and again"));
            };
            let repeats = if device.is_software() { SOFTWARE_REPEATS } else { REPEATS };
            let outcome = pollster::block_on(verify::cooperative(&device, repeats, told));
            if let Ok(cooperative) = &outcome
                && cooperative.skipped.is_none()
                && let Err(failure) = tunings::keep_cooperative(&device, cooperative.passed())
            {
                failure.report();
            }
            report.cooperative = Some(outcome);
        }
        if let (Some(seeds), false) = (self.sampled(), broken) {
            report.matrix = Some(matrix::verify(&device, seeds, &bar));
        }
        if let (Some(folder), false) = (folder, broken) {
            report.model = Some(agreement::verify(&device, folder, self.gradients, &bar));
        }
        bar.finish_and_clear();
        report.took = start.elapsed();
        report
    }
}

impl DeviceReport {
    fn passed(&self) -> bool {
        self.error.is_none()
            && self.kernels.as_ref().is_none_or(KernelsReport::passed)
            && self.matrix.as_ref().is_none_or(MatrixReport::passed)
            && self.cooperative.as_ref().is_none_or(harmless)
            && self.model.as_ref().is_none_or(|model| model.as_ref().is_ok_and(ModelReport::passed))
    }

    fn text(&self, model: Option<&str>) -> String {
        let mut text = if self.spec == "auto" {
            format!("{}\n", self.name)
        } else {
            format!("{}  {}\n", self.spec, self.name)
        };
        if let Some(error) = &self.error {
            text += &format!("{}\n", painted(RED, &format!("cannot be opened: {error}")));
        }
        if let Some(kernels) = &self.kernels {
            text += &kernels.text();
        }
        if let Some(report) = &self.cooperative {
            text += &cooperative_text(report);
        }
        if let Some(matrix) = &self.matrix {
            text += &matrix.text();
        }
        let model = self.model.as_ref().zip(model);
        match model {
            None => {}
            Some((Ok(report), name)) => text += &format!("\n{name}\n{}", report.text()),
            Some((Err(error), name)) => text += &format!("\n{name}\n{}\n", painted(RED, &error.to_string())),
        }
        text + &format!("({:.1} s)\n\n", self.took.as_secs_f64())
    }

    fn json(&self) -> Value {
        json!({
            "spec": self.spec,
            "name": self.name,
            "software": self.software,
            "passed": self.passed(),
            "seconds": self.took.as_secs_f64(),
            "error": self.error.as_ref().map(ToString::to_string),
            "kernels": self.kernels.as_ref().map(KernelsReport::json),
            "cooperative": self.cooperative.as_ref().map(cooperative_json),
            "attention": self.matrix.as_ref().map(MatrixReport::json),
            "model": self.model.as_ref().map(|model| match model {
                Ok(model) => model.json(),
                Err(error) => json!({ "passed": false, "error": error.to_string() }),
            }),
        })
    }
}

/// Passed, or nothing was there to be run.
fn harmless(outcome: &Result<CooperativeReport, Error>) -> bool {
    outcome.as_ref().is_ok_and(|report| report.passed() || report.skipped.is_some())
}

fn cooperative_text(outcome: &Result<CooperativeReport, Error>) -> String {
    let what = "cooperative matrices";
    match outcome {
        Err(error) => format!("{}\n", painted(RED, &format!("{what}: broke off: {error}"))),
        Ok(CooperativeReport { skipped: Some(reason), .. }) => format!("{what}: not run, {reason}\n"),
        Ok(report) => {
            let CooperativeReport { variants, cases, repeats, failures, .. } = report;
            let said = format!("{what}: {cases} cases of {variants} variants, {repeats} times each");
            if report.passed() {
                return format!("{said}: {}\n", painted(GREEN, "right, and the same bits each time"));
            }
            let mut text = format!("{said}: {}\n", painted(RED, &format!("{} failed", failures.len())));
            for (case, reason) in failures.iter().take(5) {
                text += &format!("  {case}: {reason}\n");
            }
            text + "  Do not open this adapter with --cooperative.\n"
        }
    }
}

fn cooperative_json(outcome: &Result<CooperativeReport, Error>) -> Value {
    match outcome {
        Err(error) => json!({ "passed": false, "error": error.to_string() }),
        Ok(report) => json!({
            "passed": report.passed(),
            "variants": report.variants,
            "cases": report.cases,
            "repeats": report.repeats,
            "failures": report.failures,
            "skipped": report.skipped,
        }),
    }
}
