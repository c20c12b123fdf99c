//! Every kernel's quick cases, on every adapter that there is and on the CPU.

use attentive::Device;
use attentive::kernel::Depth;
use attentive::kernels::KERNELS;

use crate::common;
use crate::common::Work;
use crate::common::wrapped::{FOLD, Wrapped};

/// Every variant of every kernel that quick runs have.
fn all() -> Vec<Work> {
    let mut work = Vec::new();
    for &kernel in KERNELS {
        work.extend(kernel.variants_of(Depth::Quick).into_iter().map(|variant| (vec![kernel], variant)));
    }
    work
}

/// With folded workgroups too, where more of them are asked for than one dimension holds: a device has them from 65,536 on, which
/// is long for a case. Two in a dimension leave a surplus as well. Workgroups are counted by tiles, so that one variant of each tile
/// shows all of it on the first adapter, and one of each kernel on the others that they count alike.
#[test]
fn every_kernel_agrees_with_its_oracle_on_adapters() {
    let options = common::with_matrices();
    for (place, adapter) in common::usable_adapters().into_iter().enumerate() {
        let device = common::open(&adapter, &options);
        let mut work = all();
        for &kernel in KERNELS {
            let folded = Wrapped::folded(kernel, FOLD);
            let most = if place == 0 { usize::MAX } else { 1 };
            for variant in common::one_of_each_tile(kernel, &device).into_iter().take(most) {
                let same =
                    |(kernels, other): &&mut Work| kernels[0].name() == kernel.name() && *other == variant;
                match work.iter_mut().find(same) {
                    Some((kernels, _)) => kernels.push(folded),
                    None => work.push((vec![folded], variant)),
                }
            }
        }
        common::verify(|| common::open(&adapter, &options), &work);
    }
}

#[test]
fn every_twin_agrees_with_its_oracle() {
    let reports = common::verify(Device::cpu, &all());
    // The CPU device runs every variant; an adapter may run none of a kernel's.
    let empty = reports.iter().find(|report| report.cases == 0);
    assert!(empty.is_none(), "no cases: {empty:?}");
}
