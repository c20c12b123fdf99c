//! `attentive verify`: agreement, shown on the user's own devices.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attentive::Error;
use attentive::device::list_adapters;
use attentive::kernel::{Depth, Kernel};
use clap::Args;
use clap::builder::FalseyValueParser;
use serde_json::{Value, json};

use crate::agreement::{self, ModelReport};
use crate::kernels::{self, KernelsReport};
use crate::matrix::{self, MatrixReport};
use crate::model::{self, ModelArguments};
use crate::open::{self, OpenArguments};
use crate::output::{Failure, GREEN, RED, Result, WholeFile, painted, print};
use crate::{devices, output};

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
  attentive verify --kernel softmax --json - | jq .passed
  attentive verify --seeds 1234")]
pub struct Arguments {
    /// Also run this model: a folder, or a model of the Hugging Face hub
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    model: Option<String>,

    /// A device (see `attentive embed --help`), or all: every adapter, and the CPU
    #[arg(long, env = "ATTENTIVE_DEVICE", hide_env_values = true, value_name = "SPEC|all")]
    #[arg(default_value = "auto", value_parser = open::device_spec_or_all)]
    device: String,

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
    #[arg(long, env = "ATTENTIVE_VERIFY_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

/// What came of one device.
struct DeviceReport {
    spec: String,
    name: String,
    software: bool,
    kernels: Option<KernelsReport>,
    matrix: Option<MatrixReport>,
    model: Option<Result<ModelReport, Error>>,
    /// Why it could not be opened.
    error: Option<Error>,
    took: Duration,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let kernels = kernels::selected(arguments.kernel.as_deref())?;
    let to_stdout = arguments.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let file = arguments.json.as_deref().filter(|_| !to_stdout).map(WholeFile::create).transpose()?;
    let folder = arguments
        .model
        .as_deref()
        .map(|name| model::find(name, model::SENTENCE_TRANSFORMERS, arguments.hub.offline))
        .transpose()?;
    let specs = match arguments.device.as_str() {
        "all" => devices::specs(&pollster::block_on(list_adapters())),
        spec => vec![spec.to_owned()],
    };
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
    if specs == ["cpu"] && arguments.device == "all" {
        output::note("there is no adapter here, only the CPU was verified: see `attentive doctor`");
    }
    if arguments.json.is_some() {
        let devices: Vec<Value> = reports.iter().map(DeviceReport::json).collect();
        let version = env!("CARGO_PKG_VERSION");
        let model = &arguments.model;
        let depth = if arguments.full { "full" } else { "quick" };
        let all = json!({ "version": version, "depth": depth, "model": model, "passed": passed, "devices": devices });
        let text = format!("{all:#}\n");
        match file {
            None => print(&text)?,
            Some(mut file) => {
                let written = file.write_all(text.as_bytes());
                written.map_err(|error| Failure::file(file.path(), error))?;
                file.finish()?;
            }
        }
    }
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
            model: None,
            error: None,
            took: Duration::ZERO,
        };
        let device = match self.open.open(spec) {
            Ok(device) => device,
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
        if let (Some(seeds), false) = (self.sampled(), broken) {
            report.matrix = Some(matrix::verify(&device, seeds, &bar));
        }
        if let (Some(folder), false) = (folder, broken) {
            report.model = Some(agreement::verify(&device, folder, &bar));
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
            "attention": self.matrix.as_ref().map(MatrixReport::json),
            "model": self.model.as_ref().map(|model| match model {
                Ok(model) => model.json(),
                Err(error) => json!({ "passed": false, "error": error.to_string() }),
            }),
        })
    }
}
