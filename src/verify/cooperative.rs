//! Whether cooperative matrices can be trusted on an adapter: the kernels that use them, again and again.

use super::{guarded, run_case, run_on};
use crate::device::Device;
use crate::error::Result;
use crate::kernel::{Depth, Kernel, Variant};
use crate::kernels::KERNELS;
use crate::progress::{IntoControlFlow, obey};

/// The outcome of [`cooperative`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CooperativeReport {
    /// Variants run.
    pub variants: usize,
    /// Their cases, each run `repeats` times.
    pub cases: usize,
    /// Runs of each case.
    pub repeats: usize,
    /// The failures: kernel, variant and case, and the reason.
    pub failures: Vec<(String, String)>,
    /// Why nothing could be run.
    pub skipped: Option<String>,
}

impl CooperativeReport {
    /// Whether cases were run, and all of them are right each time.
    pub fn passed(&self) -> bool {
        self.cases > 0 && self.failures.is_empty() && self.skipped.is_none()
    }
}

/// Runs the cases of all kernels of cooperative matrices: the first run of each against its oracle, `repeats` − 1 more against
/// the bits of the first, since what goes wrong with memory order goes wrong now and then. The device must have been opened with
/// [`DeviceOptions::cooperative`](crate::DeviceOptions::cooperative). `progress` is told of each variant before it runs: how many
/// are done, of how many, and its kernel; its answer may end the run ([`IntoControlFlow`]).
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted);
/// [`Error::DeviceLost`](crate::Error::DeviceLost) and [`Error::Timeout`](crate::Error::Timeout), after which nothing more can be
/// run; other errors are failures of their case.
pub async fn cooperative<A: IntoControlFlow>(
    device: &Device,
    repeats: usize,
    mut progress: impl FnMut(usize, usize, &str) -> A,
) -> Result<CooperativeReport> {
    let mut report = CooperativeReport { repeats: repeats.max(1), ..CooperativeReport::default() };
    if device.capabilities().cooperative.is_none() {
        let reason = match device.options().cooperative {
            true => "the adapter has no cooperative matrices that kernels are written for",
            false => "the device was not asked for cooperative matrices",
        };
        report.skipped = Some(reason.to_owned());
        return Ok(report);
    }
    let of = |kernel: &&'static dyn Kernel| {
        let kernel = *kernel;
        kernel.variants_of(Depth::Quick).into_iter().map(move |variant| (kernel, variant))
    };
    let all = KERNELS.iter().flat_map(of);
    let here = |(_, variant): &(&dyn Kernel, Variant)| {
        variant.name() == "cooperative" && variant.runs_on(device.capabilities()).is_ok()
    };
    let variants: Vec<(&'static dyn Kernel, Variant)> = all.filter(here).collect();
    for (done, (kernel, variant)) in variants.iter().enumerate() {
        obey(progress(done, variants.len(), kernel.name()), "verify", [done, variants.len()])?;
        report.variants += 1;
        for case in kernel.cases(variant, Depth::Quick) {
            report.cases += 1;
            let outcome = run_case(device, *kernel, variant, &case).await;
            let reason = match outcome {
                Err(error @ (crate::Error::DeviceLost { .. } | crate::Error::Timeout { .. })) => {
                    return Err(error);
                }
                Err(error) => Some(error.to_string()),
                Ok(outcome) => match outcome.failure {
                    Some(failure) => Some(failure),
                    None => {
                        let words: Vec<Vec<u32>> = case.arguments.iter().map(guarded).collect();
                        let mut other = None;
                        for repeat in 2..=report.repeats {
                            let again = run_on(device, *kernel, variant, &case, &words).await?;
                            if again != outcome.outputs {
                                other = Some(format!("run {repeat} gave other bits than the first"));
                                break;
                            }
                        }
                        other
                    }
                },
            };
            if let Some(reason) = reason {
                report.failures.push((format!("{} {variant} {}", kernel.name(), case.label), reason));
            }
        }
    }
    Ok(report)
}
