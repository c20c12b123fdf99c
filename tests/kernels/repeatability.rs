//! The same call gives the same bits, again and again: a result that moves is a race. And the two other ways to open an
//! adapter, with naga's checks in the shaders and without any feature, give right results too.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common;

use attentive::kernel::{Case, CaseArgument, Depth, Inputs, Kernel};
use attentive::kernels::KERNELS;
use attentive::ops::{Attention, Heads, LayerNormWeights, Linear, LinearWeights, Mask, layer_norm};
use attentive::verify::compare::{compare_allclose, compare_bits};
use attentive::verify::run_case;
use attentive::{Activation, Causal, DType, Device, DeviceOptions, Recording, Tensor, wgpu};

const RUNS: usize = 50;
/// So many runs there are at least, and no more where they have taken so long: a software driver takes a second for some.
const LEAST: usize = 6;
const LONG: Duration = Duration::from_millis(100);

/// The numbers of the runs behind the first: all of them, or, where they take longer than `long`, those that fit and the least.
fn repeats(long: Duration) -> impl Iterator<Item = usize> {
    let begun = Instant::now();
    (1..RUNS).take_while(move |&repeat| repeat < LEAST || begun.elapsed() <= long)
}

/// The cases with the most output: the most workgroups at once.
fn largest(mut cases: Vec<Case>, count: usize) -> Vec<Case> {
    let outputs = |case: &Case| {
        let arguments = case.arguments.iter();
        arguments
            .filter(|argument| matches!(argument, CaseArgument::Output(_) | CaseArgument::Update(..)))
            .map(CaseArgument::words)
            .sum()
    };
    cases.sort_by_key(|case| std::cmp::Reverse::<usize>(outputs(case)));
    cases.truncate(count);
    cases
}

#[test]
fn every_kernel_gives_the_same_bits_each_time() {
    for device in common::adapters_with_matrices() {
        let mut runs = 0;
        for &kernel in KERNELS {
            for variant in common::one_of_each_tile(kernel, &device) {
                for case in largest(kernel.cases(&variant, Depth::Quick), 1) {
                    let run = || pollster::block_on(run_case(&device, kernel, &variant, &case)).unwrap();
                    let first = run();
                    assert_eq!(first.failure, None, "{}: {} {variant}", device.name(), kernel.name());
                    let first = first.outputs;
                    for repeat in repeats(LONG) {
                        let again = run().outputs;
                        let moved = first
                            .iter()
                            .flatten()
                            .zip(again.iter().flatten())
                            .position(|(first, again)| first != again);
                        assert_eq!(
                            moved,
                            None,
                            "{}: {} {variant}, {}: run {repeat} differs",
                            device.name(),
                            kernel.name(),
                            case.label
                        );
                        runs += 1;
                    }
                }
            }
        }
        println!("{}: {runs} repeats", device.name());
        assert!(runs > 0);
    }
}

/// A chain of ops in one pass: its dispatches share temporaries, so a missing barrier between them shows.
fn chain(device: &Device) -> Vec<f32> {
    const WIDTH: usize = 96;
    let mut inputs = Inputs::new(7);
    let x = Tensor::from_f32(device, [3, 50, WIDTH], &inputs.values(3 * 50 * WIDTH, 1.0)).unwrap();
    let weights = |inputs: &mut Inputs, outputs: usize, dtype| {
        let (weight, bias) = (inputs.values(outputs * WIDTH, 0.1), inputs.values(outputs, 1.0));
        LinearWeights::new(device, [outputs, WIDTH], &weight, Some(&bias), dtype).unwrap()
    };
    let (qkv, output) =
        (weights(&mut inputs, 3 * WIDTH, DType::F32), weights(&mut inputs, WIDTH, DType::F16));
    let norm = LayerNormWeights::new(device, &[1.0; WIDTH], &[0.1; WIDTH], 1e-5).unwrap();
    let mut recording = Recording::new(device);
    let mut x = recording.tensor(&x).unwrap();
    for _ in 0..3 {
        let packed = Linear::new(&qkv).record(&mut recording, &x).unwrap();
        let part = |part: usize| Heads::in_rows(&packed, part * WIDTH, 4, WIDTH / 4).unwrap();
        let attention = Attention::new().causal(Causal::TopLeft).key_lengths(&[50, 31, 1]);
        let y = attention.record(&mut recording, &part(0), &part(1), &part(2)).unwrap().output;
        let y = Linear::new(&output).activation(Activation::Gelu).record(&mut recording, &y).unwrap();
        x = layer_norm(&mut recording, &y, Some(&x), &norm).unwrap();
    }
    recording.output(&x).unwrap();
    recording.run().unwrap().tensor(&x).unwrap().to_f32().unwrap()
}

#[test]
fn a_chain_of_ops_gives_the_same_bits_each_time() {
    let on_cpu = chain(&Device::cpu());
    for device in common::devices() {
        let first = chain(&device);
        // Three layers of norm: values near 1, and the devices' roundings apart by some ulps.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4;
        let apart = first.iter().zip(&on_cpu).position(|pair| !near(pair));
        let same = first.len() == on_cpu.len() && apart.is_none();
        assert!(same, "{}: element {apart:?} differs from the CPU's", device.name());
        for repeat in repeats(10 * LONG) {
            let again = chain(&device);
            let moved = first.iter().zip(&again).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(moved, None, "{}: run {repeat} differs", device.name());
        }
    }
}

#[test]
fn attention_gives_the_same_bits_each_time() {
    // Few queries over many keys: `decode` splits them among workgroups and brings the parts together.
    for (queries, keys) in [(3, 1100), (40, 70)] {
        let mut inputs = Inputs::new(11);
        let mut values = |heads: usize, rows: usize| inputs.values(heads * rows * 24, 1.0);
        let (q, k, v) = (values(4, queries), values(2, keys), values(2, keys));
        let mask = inputs.mask(queries * keys);
        for device in common::adapters() {
            let tensor = |heads: usize, rows: usize, values: &[f32]| {
                Tensor::from_f32(&device, [1, heads, rows, 24], values).unwrap()
            };
            let inputs = [tensor(4, queries, &q), tensor(2, keys, &k), tensor(2, keys, &v)];
            let mask = Tensor::from_u32(&device, [queries, keys], &mask).unwrap();
            let mut firsts: Vec<Vec<f32>> = Vec::new();
            for name in common::attention_implementations(&device) {
                let run = || {
                    let mut recording = Recording::new(&device);
                    let mask = recording.tensor(&mask).unwrap();
                    let [q, k, v] = inputs.each_ref().map(|tensor| recording.tensor(tensor).unwrap());
                    let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
                    let attention = Attention::new().causal(Causal::BottomRight).mask(Mask::Bool(&mask));
                    let attention = attention.implementation(name).with_log_sum_exp();
                    let made = attention.record(&mut recording, &q, &k, &v).unwrap();
                    let sums = made.log_sum_exp.unwrap();
                    recording.output(&made.output).unwrap();
                    recording.output(&sums).unwrap();
                    let outputs = recording.run().unwrap();
                    let values =
                        [&made.output, &sums].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap());
                    (values.concat(), outputs.statistics.dispatches)
                };
                let (first, dispatches) = run();
                if name == "decode" && keys > 1000 {
                    assert_eq!(dispatches, 2, "{}: the parts, and what merges them", device.name());
                }
                for repeat in repeats(LONG) {
                    let comparison = compare_bits(&first, &run().0);
                    assert!(comparison.passed, "{}: {name}, run {repeat}: {comparison}", device.name());
                }
                firsts.push(first);
            }
            // They agree with each other too, up to rounding.
            for other in &firsts[1..] {
                let comparison = compare_allclose(other, &firsts[0], 1e-5, 1e-5);
                assert!(comparison.passed, "{}: {comparison}", device.name());
            }
        }
    }
}

/// The quick cases of one variant of each implementation: what the device is opened with changes all alike.
fn assert_quick_cases(open: impl Fn() -> Device + Sync) -> Vec<String> {
    let device = open();
    let variants = |&kernel: &&'static dyn Kernel| {
        let mut variants = common::one_of_each_tile(kernel, &device);
        let mut seen = BTreeSet::new();
        variants.retain(|variant| seen.insert(variant.name()));
        variants.into_iter().map(move |variant| (vec![kernel], variant))
    };
    let reports = common::verify(open, &KERNELS.iter().flat_map(variants).collect::<Vec<_>>());
    // A kernel may need an extension in every variant; then another kernel of the op is the baseline.
    let anywhere =
        |kernel: &&&dyn Kernel| kernel.variants().iter().any(|variant| variant.enables().is_empty());
    for kernel in KERNELS.iter().filter(anywhere) {
        let run: usize =
            reports.iter().filter(|report| report.kernel == kernel.name()).map(|r| r.cases).sum();
        assert!(run > 0, "{}: no variant of {} runs", device.name(), kernel.name());
    }
    reports.iter().map(|report| report.variant.clone()).collect()
}

#[test]
fn with_shader_checks_the_results_are_right() {
    let mut options = DeviceOptions::default();
    options.shader_checks = true;
    for adapter in common::usable_adapters() {
        assert!(common::open(&adapter, &options).options().shader_checks);
        assert_quick_cases(|| common::open(&adapter, &options));
    }
}

#[test]
fn without_features_and_raised_limits_the_results_are_right() {
    let mut options = DeviceOptions::default();
    options.baseline = true;
    for adapter in common::usable_adapters() {
        let device = common::open(&adapter, &options);
        let (inner, _) = device.wgpu().unwrap();
        assert_eq!(inner.features(), wgpu::Features::empty(), "{}", device.name());
        let limits = inner.limits();
        assert!(limits.check_limits(&wgpu::Limits::defaults()), "{}: {limits:?}", device.name());
        let capabilities = device.capabilities();
        assert!(!capabilities.shader_f16 && capabilities.subgroups.is_none(), "{capabilities:?}");
        let run = assert_quick_cases(|| common::open(&adapter, &options));
        assert!(!run.iter().any(|variant| variant.starts_with("subgroup")), "{run:?}");
    }
}

/// The vectors of a few texts of different lengths, as bits.
fn vectors(embedder: &attentive::Embedder, first: usize) -> Vec<u32> {
    let texts = ["a sentence", "the cat sat on the mat and looked at another cat", "", "one more", "dogs"];
    let texts: Vec<&str> = texts.iter().cycle().skip(first % 5).take(5).copied().collect();
    let vectors = embedder.encode(&texts).run().unwrap();
    vectors.values().iter().map(|value| value.to_bits()).collect()
}

fn tiny_embedder(device: &Device) -> attentive::Embedder {
    let folder = common::repository().join("tests/fixtures/models/tiny-bert");
    attentive::Embedder::from_dir(device, folder).unwrap()
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}

/// The same bits from each thread at each time, and memory that does not grow: what it is in the last quarter of the minute is
/// held against the second. `cargo test --test kernels eight_threads -- --ignored --nocapture`
#[cfg(target_os = "linux")]
#[test]
#[ignore = "a minute for each device"]
fn eight_threads_on_one_embedder_for_a_minute() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    for device in common::devices() {
        let embedder = tiny_embedder(&device);
        let expected: Vec<Vec<u32>> = (0..5).map(|first| vectors(&embedder, first)).collect();
        let (ended, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut samples = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (embedder, expected, ended, calls) = (&embedder, &expected, &ended, &calls);
                scope.spawn(move || {
                    let mut first = thread;
                    while !ended.load(Ordering::Relaxed) {
                        assert_eq!(vectors(embedder, first), expected[first % 5]);
                        calls.fetch_add(1, Ordering::Relaxed);
                        first += 1;
                    }
                });
            }
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(500));
                samples.push(resident());
            }
            ended.store(true, Ordering::Relaxed);
        });
        let quarter = samples.len() / 4;
        let largest = |samples: &[u64]| samples.iter().copied().max().unwrap_or(0);
        let [second, last] = [&samples[quarter..2 * quarter], &samples[3 * quarter..]].map(largest);
        println!("{}: {calls:?} calls, {} and then {} KiB", device.name(), second / 1024, last / 1024);
        assert!(last <= second + second / 50 + (1 << 20), "memory grows: {samples:?}");
    }
}

/// Four processes at once, 200 calls each on every device: the same bits in all of them.
#[test]
#[ignore = "half a minute"]
fn four_processes_at_once_give_the_same_bits_200_times() {
    if common::child::is_child() {
        for device in common::devices() {
            let embedder = tiny_embedder(&device);
            let expected = vectors(&embedder, 0);
            for repeat in 0..200 {
                assert_eq!(vectors(&embedder, 0), expected, "repeat {repeat} on {}", device.name());
            }
            let sum =
                expected.iter().fold(0_u64, |sum, &bits| sum.wrapping_mul(31).wrapping_add(bits.into()));
            println!("\nbits of {}: {sum:x}", device.name());
        }
        return;
    }
    let name = "repeatability::four_processes_at_once_give_the_same_bits_200_times";
    let command = || {
        let mut command = common::child::command(name);
        command.arg("--ignored");
        command
    };
    let children = [(); 4].map(|()| common::child::spawn(command()));
    let bits = children.map(|child| {
        let output = child.passed();
        output.lines().filter(|line| line.starts_with("bits of ")).map(str::to_owned).collect::<Vec<_>>()
    });
    println!("{:?}", bits[0]);
    assert!(!bits[0].is_empty() && bits.iter().all(|other| *other == bits[0]), "{bits:?}");
}
