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
    let wanted = filters(std::env::args().skip(1));
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
            for name in bench.implementations(&shape) {
                let id = format!("{}/{shape}/{dtype}/{}", shape.group.name(), name.unwrap_or("choice"));
                if !wanted.is_empty() && !wanted.iter().any(|word| id.contains(word.as_str())) {
                    continue;
                }
                let repeated = match bench.repeated(&shape, name) {
                    Ok(Ok(repeated)) => repeated,
                    // What cannot run here, or is wrong, has no time.
                    Ok(Err(outcome)) => {
                        println!("{id}: {outcome:?}");
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                criterion.bench_function(&id, |bencher| {
                    bencher.iter_custom(|calls| {
                        let took = pollster::block_on(repeated.run(calls as usize));
                        let took = took.unwrap_or_else(|error| panic!("{error}"));
                        took.gpu.unwrap_or(took.wall)
                    });
                });
            }
        }
    }
    criterion.final_summary();
}

/// The words that criterion takes as filters, so that nothing else is prepared: neither options nor their values.
fn filters(arguments: impl Iterator<Item = String>) -> Vec<String> {
    const WITHOUT_A_VALUE: [&str; 10] = [
        "--bench",
        "--test",
        "--quick",
        "--list",
        "--exact",
        "--noplot",
        "--quiet",
        "--verbose",
        "--ignored",
        "--discard-baseline",
    ];
    let mut filters = Vec::new();
    let mut value_follows = false;
    for word in arguments {
        if word.starts_with('-') {
            value_follows =
                word.starts_with("--") && !word.contains('=') && !WITHOUT_A_VALUE.contains(&word.as_str());
        } else if !std::mem::take(&mut value_follows) {
            filters.push(word);
        }
    }
    filters
}
