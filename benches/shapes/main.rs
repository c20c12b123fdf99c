//! Criterion's entry points for the shapes of `attentive bench`, for who wants its statistics and its history:
//!
//!     cargo bench --bench shapes -- gemm             names are group/shape/dtype/implementation
//!     cargo bench --bench shapes -- --save-baseline before
//!
//! On another device: `ATTENTIVE_DEVICE=cpu`; `ATTENTIVE_QUICK=1` for a few small shapes. Times are the GPU's by its
//! timestamps where it has them, else the host's. Results are checked by `attentive bench`, which runs the same.

use std::time::Duration;

use attentive::bench::{Bench, GROUPS, shapes};
use attentive::{DType, DeviceOptions};
use criterion::Criterion;

fn main() {
    let spec = std::env::var("ATTENTIVE_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let quick = std::env::var_os("ATTENTIVE_QUICK").is_some();
    let bench = Bench::open(&spec, DeviceOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let ceilings = bench.ceilings().unwrap_or_else(|error| panic!("{error}"));
    println!("{}: {ceilings:?}", bench.device().name());
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for dtype in [DType::F32, DType::F16] {
        for shape in GROUPS.into_iter().flat_map(|group| shapes(group, dtype, quick)) {
            let least = ceilings.least_seconds(shape.flops(), shape.bytes());
            if least.is_some_and(|least| least > bench.longest) {
                continue;
            }
            // Criterion decides by the name whether it is wanted, so nothing is prepared before.
            for name in bench.implementations(&shape) {
                let mut prepared = None;
                let id = format!("{}/{shape}/{dtype}/{}", shape.group.name(), name.unwrap_or("choice"));
                criterion.bench_function(&id, |bencher| {
                    let repeated = prepared.get_or_insert_with(|| bench.repeated(&shape, name));
                    bencher.iter_custom(|calls| match repeated {
                        Ok(Ok(repeated)) => {
                            let took = pollster::block_on(repeated.run(calls as usize));
                            took.map_or(Duration::MAX, |took| took.gpu.unwrap_or(took.wall))
                        }
                        // It cannot run here; `attentive bench` says why.
                        _ => Duration::from_nanos(calls),
                    });
                });
            }
        }
    }
    criterion.final_summary();
}
