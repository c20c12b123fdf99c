//! Agreement, shown on the user's own device: each kernel's cases against their f64 oracle.

mod attention;
pub mod compare;
mod cooperative;

pub use attention::{AttentionReport, verify_attention};
pub use cooperative::{CooperativeReport, cooperative};

use crate::device::Device;
use crate::error::Result;
use crate::kernel::{
    Access, Argument, Arguments, Case, CaseArgument, Depth, Kernel, Variant, parameter_bytes,
};
use crate::kernels::KERNELS;
use crate::progress::{IntoControlFlow, obey};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};
use compare::{Tolerance, compare};

/// A NaN that no computation makes lies in outputs before a run, and behind them.
const POISON: u32 = 0x7fc0_dead;
/// Another one lies behind inputs, since a NaN that is read may be written with its bits unchanged.
const INPUT_POISON: u32 = 0x7fc0_0bad;
/// Words behind every buffer: what is read there shows as NaN, what is written there as a changed word.
const GUARD: usize = 64;

/// How one variant of a kernel fared on a device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VariantReport {
    /// The kernel.
    pub kernel: &'static str,
    /// The variant's name and constants.
    pub variant: String,
    /// Cases run.
    pub cases: usize,
    /// Those that failed: label and reason.
    pub failures: Vec<(String, String)>,
    /// Largest absolute error against the oracle over all cases.
    pub largest_error: f64,
    /// The twin's.
    pub twin_error: f64,
    /// Why it cannot run here; then no case was.
    pub skipped: Option<String>,
}

/// Runs every kernel's cases for every variant that the device can run. `progress` is told of each variant before it
/// runs: how many are done, of how many, and its name; its answer may end the run ([`IntoControlFlow`]).
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted);
/// [`Error::DeviceLost`](crate::Error::DeviceLost) and [`Error::Timeout`](crate::Error::Timeout), after which nothing
/// more can be run; other errors are failures of their case.
pub async fn verify_kernels<A: IntoControlFlow>(
    device: &Device,
    depth: Depth,
    mut progress: impl FnMut(usize, usize, &str) -> A,
) -> Result<Vec<VariantReport>> {
    let variants: Vec<(&dyn Kernel, Variant)> = KERNELS
        .iter()
        .flat_map(|kernel| kernel.variants_of(depth).into_iter().map(|variant| (*kernel, variant)))
        .collect();
    let mut reports = Vec::with_capacity(variants.len());
    for (done, (kernel, variant)) in variants.iter().enumerate() {
        obey(progress(done, variants.len(), kernel.name()), "verify", [done, variants.len()])?;
        reports.push(verify_variant(device, *kernel, variant, depth).await?);
    }
    Ok(reports)
}

/// Runs one variant's cases.
///
/// # Errors
/// As [`verify_kernels`].
pub async fn verify_variant(
    device: &Device,
    kernel: &'static dyn Kernel,
    variant: &Variant,
    depth: Depth,
) -> Result<VariantReport> {
    let mut report = VariantReport {
        kernel: kernel.name(),
        variant: variant.to_string(),
        cases: 0,
        failures: Vec::new(),
        largest_error: 0.0,
        twin_error: 0.0,
        skipped: None,
    };
    // The CPU device runs the twins, which know no features.
    if let (false, Err(reason)) = (device.is_cpu(), variant.runs_on(device.capabilities())) {
        report.skipped = Some(reason);
        return Ok(report);
    }
    for case in kernel.cases(variant, depth) {
        report.cases += 1;
        match run_case(device, kernel, variant, &case).await {
            Ok(outcome) => {
                report.largest_error = report.largest_error.max(outcome.largest_error);
                report.twin_error = report.twin_error.max(outcome.twin_error);
                if let Some(reason) = outcome.failure {
                    report.failures.push((case.label, reason));
                }
            }
            Err(error @ (crate::Error::DeviceLost { .. } | crate::Error::Timeout { .. })) => {
                return Err(error);
            }
            Err(error) => report.failures.push((case.label, error.to_string())),
        }
    }
    Ok(report)
}

/// A case's outcome.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CaseOutcome {
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Largest absolute error against the oracle.
    pub largest_error: f64,
    /// The twin's.
    pub twin_error: f64,
    /// The words that the device wrote, guard included, for each output.
    pub outputs: Vec<Vec<u32>>,
}

/// Runs one case and judges it.
///
/// # Errors
/// The reason why the dispatch does not run.
pub async fn run_case(
    device: &Device,
    kernel: &'static dyn Kernel,
    variant: &Variant,
    case: &Case,
) -> Result<CaseOutcome> {
    if let Some(failure) = misfit(kernel, variant, case) {
        return Ok(CaseOutcome { failure: Some(failure), ..CaseOutcome::default() });
    }
    let words: Vec<Vec<u32>> = case.arguments.iter().map(guarded).collect();
    let outputs = run_on(device, kernel, variant, case, &words).await?;
    let twin_outputs = run_twin(kernel, variant, case, &words);
    let mut outcome = CaseOutcome::default();
    let written = kernel.bindings().iter().zip(&case.arguments);
    let written = written.filter(|(binding, _)| binding.access != Access::Read);
    for (((_, expected), got), twin) in written.zip(&outputs).zip(&twin_outputs) {
        match expected {
            CaseArgument::Output(expected) => {
                let mut tolerance =
                    Tolerance { floor: expected.floor.unwrap_or(case.floor), ..Tolerance::default() };
                tolerance.nmse = expected.nmse.unwrap_or(tolerance.nmse);
                judge(&mut outcome, device.is_cpu(), tolerance, (&[], &expected.values), got, twin);
            }
            CaseArgument::Update(before, expected) => {
                let tolerance =
                    Tolerance { floor: expected.floor.unwrap_or(case.floor), ..Tolerance::default() };
                judge(&mut outcome, device.is_cpu(), tolerance, (before, &expected.values), got, twin);
            }
            CaseArgument::Exact(expected) => judge_words(&mut outcome, expected, got, twin),
            CaseArgument::F32(_) | CaseArgument::Words(_) => {
                outcome.failure = Some("a written binding is given inputs".to_owned());
            }
        }
    }
    outcome.outputs = outputs;
    Ok(outcome)
}

/// Why a case is none of that kernel's, or is not what the kernel says of itself.
fn misfit(kernel: &dyn Kernel, variant: &Variant, case: &Case) -> Option<String> {
    let (bytes, bindings) = (parameter_bytes(kernel), kernel.bindings());
    if case.parameters.len() != bytes {
        return Some(format!(
            "the case has {} bytes of parameters, the kernel {bytes}",
            case.parameters.len()
        ));
    }
    if case.arguments.len() != bindings.len() {
        let (arguments, bindings) = (case.arguments.len(), bindings.len());
        return Some(format!("the case has {arguments} arguments, the kernel {bindings} bindings"));
    }
    let extents = kernel.extents(variant, &case.parameters)?;
    if extents.len() != bindings.len() {
        return Some(format!("{} extents for {} bindings", extents.len(), bindings.len()));
    }
    for ((binding, argument), extent) in bindings.iter().zip(&case.arguments).zip(extents) {
        // Words, and those of them that the oracle says are written.
        let words = argument.words();
        let written = match argument {
            CaseArgument::F32(_) | CaseArgument::Words(_) => words,
            CaseArgument::Exact(expected) => first_gap(expected),
            CaseArgument::Output(expected) => first_gap(&expected.values),
            CaseArgument::Update(before, _) => before.len(),
        };
        let name = binding.name;
        if extent > words as u64 {
            return Some(format!("the kernel takes {extent} words of `{name}`, the case has {words}"));
        }
        if extent > written as u64 {
            return Some(format!(
                "the kernel says that it writes {extent} words of `{name}`, the oracle {written}"
            ));
        }
    }
    None
}

fn first_gap<T>(expected: &[Option<T>]) -> usize {
    expected.iter().position(Option::is_none).unwrap_or(expected.len())
}

fn guarded(argument: &CaseArgument) -> Vec<u32> {
    let (mut words, guard) = match argument {
        CaseArgument::F32(values) => (values.iter().map(|value| value.to_bits()).collect(), INPUT_POISON),
        CaseArgument::Words(words) => (words.clone(), INPUT_POISON),
        CaseArgument::Output(_) | CaseArgument::Exact(_) => (vec![POISON; argument.words()], POISON),
        CaseArgument::Update(before, _) => (before.iter().map(|value| value.to_bits()).collect(), POISON),
    };
    words.extend([guard; GUARD]);
    words
}

async fn run_on(
    device: &Device,
    kernel: &'static dyn Kernel,
    variant: &Variant,
    case: &Case,
    words: &[Vec<u32>],
) -> Result<Vec<Vec<u32>>> {
    if device.is_cpu() {
        return Ok(run_twin(kernel, variant, case, words));
    }
    let mut recording = Recording::new(device);
    let tensors =
        words.iter().map(|words| Tensor::from_words(device, [words.len()].into(), DType::U32, words));
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let values = tensors.iter().map(|tensor| recording.tensor(tensor)).collect::<Result<Vec<_>>>()?;
    let bindings: Vec<&Value> = values.iter().collect();
    recording.dispatch_case(kernel, variant, &case.parameters, &bindings)?;
    recording.run_async().await?;
    let mut outputs = Vec::new();
    for (binding, tensor) in kernel.bindings().iter().zip(&tensors) {
        if binding.access != Access::Read {
            outputs.push(tensor.to_words().await?);
        }
    }
    Ok(outputs)
}

fn run_twin(kernel: &dyn Kernel, variant: &Variant, case: &Case, words: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut words = words.to_vec();
    let bindings = kernel.bindings();
    let arguments = bindings.iter().zip(&mut words).map(|(binding, words)| {
        // The twin sees what the kernel may touch; the guard is for the device.
        let inside = words.len() - GUARD;
        match binding.access {
            Access::Read => Argument::Read(&words[..inside]),
            Access::Write | Access::Update => Argument::Write(&mut words[..inside]),
        }
    });
    kernel.twin(variant, &case.parameters, Arguments::new(arguments.collect()));
    let outputs = bindings.iter().zip(words).filter(|(binding, _)| binding.access != Access::Read);
    outputs.map(|(_, words)| words).collect()
}

/// Holds one output against the oracle: what should be written by value, all the rest by its bits, which are those of
/// `before` in a binding that is updated, and poison elsewhere.
fn judge(
    outcome: &mut CaseOutcome,
    is_cpu: bool,
    bounds: Tolerance,
    (before, expected): (&[f32], &[Option<f64>]),
    got: &[u32],
    twin: &[u32],
) {
    let untouched = expected.iter().map(Option::is_none).chain(std::iter::repeat(true));
    let before = before.iter().map(|value| value.to_bits()).chain(std::iter::repeat(POISON));
    let mut all = untouched.zip(before).zip(got);
    let overwritten = all.position(|((untouched, before), &word)| untouched && word != before);
    if let Some(place) = overwritten {
        let behind = if place < expected.len() { "in a gap" } else { "behind the end" };
        outcome.failure = Some(format!("element {place}, {behind}, was written"));
    }
    let values = |words: &[u32]| -> Vec<f32> {
        let written = expected.iter().zip(words).filter(|(expected, _)| expected.is_some());
        written.map(|(_, &word)| f32::from_bits(word)).collect()
    };
    let oracle: Vec<f64> = expected.iter().copied().flatten().collect();
    // On the CPU device what is judged is the twin, so its own error must not widen the bound.
    let factor = if is_cpu { 0.0 } else { bounds.factor };
    let comparison = compare(&values(got), &values(twin), &oracle, Tolerance { factor, ..bounds });
    outcome.largest_error = outcome.largest_error.max(comparison.largest_error);
    outcome.twin_error = outcome.twin_error.max(comparison.twin_error.unwrap_or(0.0));
    if !comparison.passed && outcome.failure.is_none() {
        outcome.failure = Some(comparison.to_string());
    }
}

/// Holds one output and the twin's against the only words that are right.
fn judge_words(outcome: &mut CaseOutcome, expected: &[Option<u32>], got: &[u32], twin: &[u32]) {
    let right = || expected.iter().map(|word| word.unwrap_or(POISON)).chain(std::iter::repeat(POISON));
    for (whose, words) in [("the twin's ", twin), ("", got)] {
        if let Some((place, (right, word))) =
            right().zip(words).enumerate().find(|(_, (right, word))| right != *word)
        {
            let at = if place < expected.len() { "" } else { ", behind the end," };
            outcome.failure = Some(format!("{whose}word {place}{at} is {word:08x}, not {right:08x}"));
            (outcome.largest_error, outcome.twin_error) = (f64::INFINITY, f64::INFINITY);
            return;
        }
    }
}
