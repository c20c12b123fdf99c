//! Every kernel's quick cases, on every adapter that there is and on the CPU.

mod common;

use attentive::kernel::Depth;
use attentive::verify::verify_kernels;

#[test]
fn every_kernel_agrees_with_its_oracle() {
    for device in common::devices() {
        let reports = pollster::block_on(verify_kernels(&device, Depth::Quick, |_, _, _| {})).unwrap();
        let mut failures = Vec::new();
        for report in &reports {
            for (case, reason) in &report.failures {
                failures.push(format!("{} {}: {case}: {reason}", report.kernel, report.variant));
            }
        }
        let cases: usize = reports.iter().map(|report| report.cases).sum();
        println!("{}: {cases} cases, {} failures", device.name(), failures.len());
        assert!(failures.is_empty(), "{}:\n{}", device.name(), failures.join("\n"));
        // The CPU device runs every variant; an adapter may run none of a kernel's.
        if device.is_cpu() {
            let empty = reports.iter().find(|report| report.cases == 0);
            assert!(empty.is_none(), "no cases: {empty:?}");
        }
        assert!(cases > 0);
    }
}
