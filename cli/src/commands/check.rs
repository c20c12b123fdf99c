//! `attentive check`: case files on the user's own devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attentive::case_files::{CaseFile, CaseReport};
use attentive::verify::compare::Comparison;
use attentive::{Device, Error};
use clap::Args;
use serde_json::{Value, json};

use crate::arguments::{DevicesArgument, OpenArguments};
use crate::output::{self, Answers, Failure, GREEN, RED, Result, painted, print, shortened};

/// Hold a device against the answers of others: case files
///
/// A case is one .safetensors file with an op, its inputs and what it should answer; docs/cases.md tells how to make one
/// from your own model in PyTorch. Each runs on the device, and every answer is compared, and every gradient where it has some. The exit status is 1 if any
/// fails: also where the device cannot run it, and where the file is wrong.
#[derive(Args)]
#[command(after_help = "\
Examples:
  attentive check my_attention.safetensors
  attentive check tests/cases --device all
  attentive check cases --implementation softmax=workgroup
  attentive check cases --json - | jq '.devices[].cases[] | select(.passed | not)'")]
pub struct Arguments {
    /// Case files, and folders to be searched for .safetensors files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    device: DevicesArgument,

    /// Write all results as JSON; - is stdout, in place of the lines
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    open: OpenArguments,
}

/// One case's outcome on one device.
struct Outcome {
    path: PathBuf,
    op: Option<&'static str>,
    source: Option<String>,
    result: Result<CaseReport, Error>,
    took: Duration,
}

/// One device's outcomes.
struct DeviceReport {
    spec: String,
    name: String,
    software: bool,
    outcomes: Vec<Outcome>,
    /// Why it could not be opened, or not again after it was lost.
    error: Option<Error>,
    /// Cases that it should have run.
    cases: usize,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let answers = Answers::of(arguments.json.as_deref())?;
    let to_stdout = answers.replace_report();
    let paths = found(&arguments.paths)?;
    let specs = arguments.device.specs()?;
    let mut reports = Vec::new();
    for spec in &specs {
        let report = arguments.device_report(spec, &paths, !to_stdout)?;
        // A single device that cannot be opened is the call's failure, not a finding.
        match report.error {
            Some(error) if specs.len() == 1 => return Err(error.into()),
            _ => reports.push(report),
        }
    }
    if specs == ["cpu"] && arguments.device.is_all() {
        output::note("there is no adapter here, only the CPU was checked: see `attentive doctor`");
    }
    let passed = reports.iter().all(DeviceReport::passed);
    let all = || {
        let devices: Vec<Value> = reports.iter().map(DeviceReport::json).collect();
        let all = json!({ "version": env!("CARGO_PKG_VERSION"), "passed": passed, "devices": devices });
        format!("{all:#}\n")
    };
    answers.write_text(all, "")?;
    if !to_stdout {
        print(&totals(&reports))?;
    }
    if passed { Ok(()) } else { Err(Failure::Said) }
}

/// The files, in the order of the arguments, each once; a folder's sorted, with those of its folders.
fn found(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let mut here = Vec::new();
        if path.is_dir() {
            search(path, &mut here)?;
            if here.is_empty() {
                let problem = format!("there is no .safetensors file in {}", path.display());
                return Err(Failure::Usage(problem));
            }
            here.sort();
        } else {
            here.push(path.clone());
        }
        files.extend(here.into_iter().filter(|path| seen.insert(path.clone())));
    }
    Ok(files)
}

fn search(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::file(folder, error))?;
        let path = entry.path();
        // A link to a folder could lead back here.
        let kind = entry.file_type().map_err(|error| Failure::file(&path, error))?;
        if kind.is_dir() {
            search(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "safetensors") {
            files.push(path);
        }
    }
    Ok(())
}

impl Arguments {
    /// Runs all cases; prints each as it ends if `say`.
    fn device_report(&self, spec: &str, paths: &[PathBuf], say: bool) -> Result<DeviceReport> {
        let mut report = DeviceReport {
            spec: spec.to_owned(),
            name: spec.to_owned(),
            software: false,
            outcomes: Vec::new(),
            error: None,
            cases: paths.len(),
        };
        let mut device = match self.open.open(spec) {
            Ok(device) => device,
            Err(error) => {
                if say && self.device.is_all() {
                    print(&format!("{spec}  {}\n\n", painted(RED, &format!("cannot be opened: {error}"))))?;
                }
                return Ok(DeviceReport { error: Some(error), ..report });
            }
        };
        report.name = device.name().to_owned();
        report.software = device.is_software();
        if say {
            let spec = if spec == "auto" { String::new() } else { format!("{spec}  ") };
            print(&format!("{spec}{}\n", report.name))?;
        }
        let bar = output::bar();
        bar.set_length(paths.len() as u64);
        for path in paths {
            bar.set_message(shortened(&path.display().to_string(), 60));
            let outcome = Outcome::of(path, &device);
            if say {
                bar.suspend(|| print(&outcome.line()))?;
            }
            let lost = matches!(outcome.error(), Some(Error::DeviceLost { .. }));
            report.outcomes.push(outcome);
            bar.inc(1);
            // The other cases are not at fault.
            if lost {
                match self.open.open(spec) {
                    Ok(again) => device = again,
                    Err(error) => {
                        report.error = Some(error);
                        break;
                    }
                }
            }
        }
        bar.finish_and_clear();
        if say && self.device.is_all() {
            print("\n")?;
        }
        Ok(report)
    }
}

impl Outcome {
    fn of(path: &Path, device: &Device) -> Self {
        let start = Instant::now();
        let (mut op, mut source) = (None, None);
        let result = CaseFile::open(path).and_then(|case| {
            (op, source) = (Some(case.op_name()), case.source().map(str::to_owned));
            case.run(device)
        });
        Self { path: path.to_owned(), op, source, result, took: start.elapsed() }
    }

    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(CaseReport::passed)
    }

    /// The forced implementation cannot take the case: it failed, but disagreed with nothing.
    fn refused(&self) -> bool {
        matches!(self.error(), Some(Error::Implementation { .. }))
    }

    /// Why it was not compared.
    fn error(&self) -> Option<&Error> {
        self.result.as_ref().err().map(Error::root)
    }

    /// Why it failed.
    fn reason(&self) -> Option<String> {
        match &self.result {
            Ok(report) if report.passed() => None,
            Ok(report) => Some(report.to_string()),
            Err(error) => {
                let text = error.to_string();
                // The line names the file already.
                let file = format!("{}: ", self.path.display());
                Some(text.strip_prefix(&file).map(str::to_owned).unwrap_or(text))
            }
        }
    }

    fn line(&self) -> String {
        let verdict = if self.passed() { painted(GREEN, "PASS") } else { painted(RED, "FAIL") };
        let error = match &self.result {
            Ok(report) => format!("{:.1e}", report.largest_error()),
            Err(_) => "-".to_owned(),
        };
        // A path may hold what a terminal would act on, and so may a message with the path.
        let name = shortened(&self.path.display().to_string(), 1000);
        let reason = self.reason().map_or(String::new(), |reason| format!(": {}", shortened(&reason, 2000)));
        format!("{verdict}  {error:>7}  {:<28}  {name}{reason}\n", self.op.unwrap_or("-"))
    }

    fn json(&self) -> Value {
        let report = self.result.as_ref().ok();
        let compared = |of: fn(&CaseReport) -> &Vec<(String, Comparison)>| {
            let all = report.map(of).into_iter().flatten();
            let all = all.map(|(name, comparison)| {
                json!({
                    "name": name,
                    "passed": comparison.passed,
                    "largest_error": comparison.largest_error,
                    "elements": comparison.elements,
                    "failing": comparison.failing,
                    "reason": comparison.reason,
                })
            });
            all.collect::<Vec<Value>>()
        };
        json!({
            "path": self.path.display().to_string(),
            "op": self.op,
            "source": self.source,
            "passed": self.passed(),
            "refused": self.refused(),
            "reason": self.reason(),
            "seconds": self.took.as_secs_f64(),
            "outputs": compared(|report| &report.outputs),
            "gradients": compared(|report| &report.gradients),
        })
    }
}

impl DeviceReport {
    fn count(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.passed()).count()
    }

    fn passed(&self) -> bool {
        self.error.is_none() && self.count() == self.cases
    }

    fn json(&self) -> Value {
        json!({
            "spec": self.spec,
            "name": self.name,
            "software": self.software,
            "passed": self.passed(),
            "error": self.error.as_ref().map(ToString::to_string),
            "cases": self.outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        })
    }
}

/// A line for each device where there are several, what kept a device from its cases, and the last line.
fn totals(reports: &[DeviceReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let (passed, not_run) = (report.count(), report.cases - report.outcomes.len());
        if reports.len() > 1 {
            let verdict =
                if report.passed() { painted(GREEN, "agrees  ") } else { painted(RED, "DISAGREES") };
            text +=
                &format!("  {verdict}  {:<6}  {passed} of {}  {}\n", report.spec, report.cases, report.name);
        }
        if let Some(error) = &report.error {
            text +=
                &format!("  {}: {error}; {not_run} cases were not run, and count as failed\n", report.spec);
        }
        let refused = report.outcomes.iter().filter(|outcome| outcome.refused()).count();
        if refused > 0 {
            text +=
                &format!("  {}: the implementation cannot take {refused} of the failed cases\n", report.spec);
        }
    }
    let passed: usize = reports.iter().map(DeviceReport::count).sum();
    let all: usize = reports.iter().map(|report| report.cases).sum();
    text + &format!("{passed} passed, {} failed\n", all - passed)
}
