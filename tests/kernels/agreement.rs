//! Every kernel's quick cases, on every adapter that there is and on the CPU.

use crate::common::{self, wrapped::Wrapped};
use attentive::Device;
use attentive::kernel::{Depth, Kernel};
use attentive::kernels::KERNELS;
use attentive::verify::{VariantReport, verify_kernels, verify_variant};

#[track_caller]
fn assert_no_failures(device: &Device, reports: &[VariantReport]) {
    let mut failures = Vec::new();
    for report in reports {
        for (case, reason) in &report.failures {
            failures.push(format!("{} {}: {case}: {reason}", report.kernel, report.variant));
        }
    }
    let cases: usize = reports.iter().map(|report| report.cases).sum();
    println!("{}: {cases} cases, {} failures", device.name(), failures.len());
    assert!(failures.is_empty(), "{}:\n{}", device.name(), failures.join("\n"));
    assert!(cases > 0);
}

#[test]
fn every_kernel_agrees_with_its_oracle() {
    for device in common::adapters_with_matrices().into_iter().chain([Device::cpu()]) {
        let reports = pollster::block_on(verify_kernels(&device, Depth::Quick, |_, _, _| {})).unwrap();
        assert_no_failures(&device, &reports);
        // The CPU device runs every variant; an adapter may run none of a kernel's.
        if device.is_cpu() {
            let empty = reports.iter().find(|report| report.cases == 0);
            assert!(empty.is_none(), "no cases: {empty:?}");
        }
    }
}

/// More workgroups than one dimension holds: a device has them from 65,536 on, which is long for a case. Two in a
/// dimension leave a surplus too.
#[test]
fn every_kernel_agrees_where_its_workgroups_fold() {
    for device in common::adapters_with_matrices() {
        let mut reports = Vec::new();
        for &kernel in KERNELS {
            let folded = Wrapped::folded(kernel, common::wrapped::FOLD);
            for variant in folded.variants() {
                let report = verify_variant(&device, folded, &variant, Depth::Quick);
                reports.push(pollster::block_on(report).unwrap());
            }
        }
        assert_no_failures(&device, &reports);
    }
}
