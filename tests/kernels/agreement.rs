//! Every kernel's quick cases, on every adapter that there is and on the CPU.

use attentive::Device;
use attentive::kernel::{Depth, Kernel, Variant};
use attentive::kernels::KERNELS;

use crate::common;
use crate::common::wrapped::Wrapped;

/// Every variant of every kernel that quick runs have.
fn all() -> Vec<(&'static dyn Kernel, Variant)> {
    let variants = |&kernel: &&'static dyn Kernel| {
        kernel.variants_of(Depth::Quick).into_iter().map(move |variant| (kernel, variant))
    };
    KERNELS.iter().flat_map(variants).collect()
}

#[test]
fn every_kernel_agrees_with_its_oracle_on_adapters() {
    let options = common::with_matrices();
    for adapter in common::usable_adapters() {
        common::verify(|| common::open(&adapter, &options), &all());
    }
}

#[test]
fn every_twin_agrees_with_its_oracle() {
    let reports = common::verify(Device::cpu, &all());
    // The CPU device runs every variant; an adapter may run none of a kernel's.
    let empty = reports.iter().find(|report| report.cases == 0);
    assert!(empty.is_none(), "no cases: {empty:?}");
}

/// More workgroups than one dimension holds: a device has them from 65,536 on, which is long for a case. Two in a
/// dimension leave a surplus too. Workgroups are counted by tiles, so that one variant of each tile shows all of it, on one
/// adapter; on the others one variant of each kernel shows that the driver counts them alike.
#[test]
fn every_kernel_agrees_where_its_workgroups_fold() {
    let options = common::with_matrices();
    for (place, adapter) in common::usable_adapters().into_iter().enumerate() {
        let device = common::open(&adapter, &options);
        let most = if place == 0 { usize::MAX } else { 1 };
        let folded = |&kernel: &&'static dyn Kernel| {
            let folded: &dyn Kernel = Wrapped::folded(kernel, common::wrapped::FOLD);
            let variants = common::one_of_each_tile(kernel, &device).into_iter().take(most);
            variants.map(move |variant| (folded, variant))
        };
        common::verify(
            || common::open(&adapter, &options),
            &KERNELS.iter().flat_map(folded).collect::<Vec<_>>(),
        );
    }
}
