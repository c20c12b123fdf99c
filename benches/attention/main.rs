//! What attention's implementations take, against the chain of three kernels: the source of the choice in
//! src/ops/attention/fused.rs, of the ladders in the kernels' headers and of the figures in docs/attention.md.
//!
//!     cargo bench --bench attention -- choice    each implementation over shapes that models have (choice "512, 64")
//!     cargo bench --bench attention -- skips     what a causal bound and a window save
//!     cargo bench --bench attention -- memory    16,384 keys in 12 heads
//!     cargo bench --bench attention -- cost docs/gallery/cost.svg    time and memory by the length, and a picture of it
//!
//! On another device: `ATTENTIVE_DEVICE=gpu:1`. Rounds of all implementations follow one another, each as many calls in
//! one recording as take a while; medians, and the spread from the first to the third quartile. A result that is not the
//! chain's has no time.

mod cost;

use std::time::{Duration, Instant};

use attentive::ops::{Attention, Heads, Layout};
use attentive::recording::RunStatistics;
use attentive::reference::attention::{Dims, Options, Strided, View};
use attentive::{Causal, Device, Recording, Result, Tensor, reference};

const ROUNDS: usize = 7;
/// About what the calls of one round take.
const ROUND: Duration = Duration::from_millis(60);

fn main() -> Result<()> {
    let spec = std::env::var("ATTENTIVE_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let device = Device::open(&spec)?;
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!("{}", device.name());
    if wants("choice") {
        // A further word picks shapes by their text.
        choice(&device, wanted.get(1).map_or("", String::as_str))?;
    }
    if wants("skips") {
        skips(&device)?;
    }
    if wants("memory") {
        memory(&device)?;
    }
    if wants("cost") {
        cost::cost(&device, wanted.get(1).map(String::as_str))?;
    }
    Ok(())
}

/// Sizes of an attention: `[B, H, Lq, D]` and `[B, Hkv, Lk, D]`.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    key_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
}

impl Sizes {
    const fn new(batch: usize, [heads, key_heads]: [usize; 2], lengths: [usize; 2], head_dim: usize) -> Self {
        Self { batch, heads, key_heads, queries: lengths[0], keys: lengths[1], head_dim }
    }

    /// Of the two products, without what is skipped.
    fn flops(self) -> f64 {
        4.0 * [self.batch, self.heads, self.queries, self.keys, self.head_dim]
            .map(|size| size as f64)
            .iter()
            .product::<f64>()
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { batch, heads, key_heads, queries, keys, head_dim } = self;
        let heads = if heads == key_heads { heads.to_string() } else { format!("{heads}/{key_heads}") };
        let lengths = if queries == keys { queries.to_string() } else { format!("{queries}×{keys}") };
        f.pad(&format!("[{batch}, {heads}, {lengths}, {head_dim}]"))
    }
}

/// An attention on a device, to be run again and again.
struct Bench<'a> {
    device: &'a Device,
    sizes: Sizes,
    tensors: [Tensor; 3],
    options: Attention<'a>,
    lengths: Option<Vec<u32>>,
}

impl<'a> Bench<'a> {
    fn new(device: &'a Device, sizes: Sizes, options: Attention<'a>, padded: bool) -> Result<Self> {
        let Sizes { batch, heads, key_heads, queries, keys, head_dim } = sizes;
        let mut state = 1_u32;
        let mut values = |count: usize| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            };
            (0..count).map(|_| next()).collect()
        };
        let mut tensor = |dims: [usize; 4]| Tensor::from_f32(device, dims, &values(dims.iter().product()));
        let tensors = [
            tensor([batch, heads, queries, head_dim])?,
            tensor([batch, key_heads, keys, head_dim])?,
            tensor([batch, key_heads, keys, head_dim])?,
        ];
        // Three quarters of the keys on average: from a half to all of them.
        let length = |item: usize| keys - keys / 2 * (item % 3) / 2;
        let lengths = padded.then(|| (0..batch).map(|item| length(item + 1) as u32).collect());
        Ok(Self { device, sizes, tensors, options, lengths })
    }

    /// So many calls in one recording, to their end; the last one's output.
    fn run(&self, implementation: Option<&str>, calls: usize) -> Result<(Duration, Tensor, RunStatistics)> {
        let mut recording = Recording::new(self.device);
        let [q, k, v] = &self.tensors;
        let (q, k, v) = (recording.tensor(q)?, recording.tensor(k)?, recording.tensor(v)?);
        let mut last = None;
        for _ in 0..calls {
            let mut options = self.options.output_layout(Layout::HeadsFirst);
            if let Some(name) = implementation {
                options = options.implementation(name);
            }
            if let Some(lengths) = &self.lengths {
                options = options.key_lengths(lengths);
            }
            let (q, k, v) = (Heads::first(&q)?, Heads::first(&k)?, Heads::first(&v)?);
            last = Some(options.record(&mut recording, &q, &k, &v)?.output);
        }
        let output = last.expect("at least one call");
        recording.output(&output)?;
        let start = Instant::now();
        let outputs = recording.run()?;
        wait(self.device);
        Ok((start.elapsed(), outputs.tensor(&output)?, outputs.statistics))
    }

    /// Median and quartiles in milliseconds of each, in turns; nothing where it cannot run or is wrong.
    fn times(&self, implementations: &[Option<&str>]) -> Result<Vec<Option<[f64; 3]>>> {
        let expected = self.run(Some("chained"), 1)?.1.to_f32()?;
        let mut calls = Vec::new();
        for implementation in implementations {
            // The first run makes pipelines.
            let Ok((_, output, _)) = self.run(*implementation, 1) else {
                calls.push(0);
                continue;
            };
            let output = output.to_f32()?;
            let near = |(got, expected): (&f32, &f32)| (got - expected).abs() <= 1e-5;
            if !output.iter().zip(&expected).all(near) {
                println!("{}: {implementation:?} is not what the chain gives", self.sizes);
                calls.push(0);
                continue;
            }
            let (took, ..) = self.run(*implementation, 1)?;
            calls.push((ROUND.as_secs_f64() / took.as_secs_f64()).ceil().clamp(1.0, 200.0) as usize);
        }
        let mut times = vec![Vec::new(); implementations.len()];
        for _ in 0..ROUNDS {
            for ((implementation, times), &calls) in implementations.iter().zip(&mut times).zip(&calls) {
                if calls > 0 {
                    let (took, ..) = self.run(*implementation, calls)?;
                    times.push(took.as_secs_f64() * 1e3 / calls as f64);
                }
            }
        }
        Ok(times.into_iter().map(|times| (!times.is_empty()).then(|| quartiles(times))).collect())
    }
}

fn wait(device: &Device) {
    if let Some((device, _)) = device.wgpu() {
        device.poll(attentive::wgpu::PollType::wait_indefinitely()).expect("the device works");
    }
}

fn quartiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| times[times.len() * quarter / 4])
}

fn choice(device: &Device, part: &str) -> Result<()> {
    const NAMES: [&str; 5] = ["chained", "tiled", "subgroup", "lanes", "decode"];
    println!("\nmilliseconds: median (quartiles); the last column is what is chosen, against the chain");
    println!(
        "{:<26} {:<14} {}   chosen",
        "[B, H, L, D]",
        "",
        NAMES.map(|name| format!("{name:>22}")).join(" ")
    );
    let shapes = [
        Sizes::new(1, [1, 1], [9, 9], 8),
        Sizes::new(1, [12, 12], [16, 16], 64),
        Sizes::new(8, [12, 12], [32, 32], 32),
        Sizes::new(1, [12, 12], [128, 128], 64),
        Sizes::new(8, [12, 12], [128, 128], 32),
        Sizes::new(1, [12, 12], [512, 512], 64),
        Sizes::new(1, [8, 2], [256, 256], 128),
        Sizes::new(1, [4, 4], [256, 256], 256),
        Sizes::new(1, [8, 8], [16, 1024], 64),
        Sizes::new(1, [8, 8], [1, 16], 64),
        Sizes::new(1, [8, 8], [1, 256], 64),
        Sizes::new(1, [12, 12], [1, 2048], 64),
        Sizes::new(1, [32, 8], [1, 2048], 128),
        Sizes::new(4, [8, 8], [8, 512], 64),
    ];
    for sizes in shapes.into_iter().filter(|sizes| sizes.to_string().contains(part)) {
        for (name, causal, padded) in
            [("", false, false), ("causal", true, false), ("causal, padded", true, true)]
        {
            if causal && sizes.queries != sizes.keys {
                continue;
            }
            let causal = if causal { Causal::TopLeft } else { Causal::None };
            let bench = Bench::new(device, sizes, Attention::new().causal(causal), padded)?;
            let names = NAMES.map(Some);
            let times = bench.times(&[&names[..], &[None]].concat())?;
            let cell = |times: &Option<[f64; 3]>| match times {
                Some([low, median, high]) => format!("{median:>8.3} ({low:.3}–{high:.3})"),
                None => "–".to_owned(),
            };
            let cells: Vec<String> =
                times[..NAMES.len()].iter().map(|times| format!("{:>22}", cell(times))).collect();
            let ratio = match (&times[NAMES.len()], &times[0]) {
                (Some(chosen), Some(chained)) => format!("{:>5.2}×", chained[1] / chosen[1]),
                _ => "–".to_owned(),
            };
            println!("{sizes:<26} {name:<14} {} {ratio}", cells.join(" "));
        }
    }
    Ok(())
}

fn skips(device: &Device) -> Result<()> {
    println!("\nmilliseconds: median (quartiles), and against all keys of the same length");
    let window = 256;
    for length in [1024, 2048, 4096, 8192] {
        let sizes = Sizes::new(1, [4, 4], [length, length], 64);
        let mut all = None;
        for (name, options) in [
            ("all", Attention::new()),
            ("causal", Attention::new().causal(Causal::TopLeft)),
            (
                "causal, window of 256",
                Attention::new().causal(Causal::TopLeft).window(Some(window - 1), None),
            ),
        ] {
            let [low, median, high] = Bench::new(device, sizes, options, false)?.fused_times()?;
            let share = median / *all.get_or_insert(median);
            let rate = sizes.flops() / median / 1e6;
            println!(
                "{sizes:<22} {name:<24} {median:>9.2} ({low:.2}–{high:.2}) {share:>6.3}  {rate:>7.1} GFLOP/s of all"
            );
        }
    }
    Ok(())
}

impl Bench<'_> {
    /// Of the implementation that is chosen, without the chain, which long sequences have no memory for.
    fn fused_times(&self) -> Result<[f64; 3]> {
        self.run(None, 1)?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(self.run(None, 1)?.0.as_secs_f64() * 1e3);
        }
        Ok(quartiles(times))
    }
}

fn memory(device: &Device) -> Result<()> {
    let sizes = Sizes::new(1, [12, 12], [16_384, 16_384], 64);
    println!("\n{sizes}, fused");
    let bench = Bench::new(device, sizes, Attention::new(), false)?;
    let (took, output, statistics) = bench.run(None, 1)?;
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    let tensors: u64 = bench.tensors.iter().map(|tensor| tensor.shape().elements() * 4).sum();
    let weights = 4.0 * (sizes.heads * sizes.queries) as f64 * sizes.keys as f64;
    println!("  q, k, v                        {:>8.0} MiB", mebibytes(tensors as f64));
    println!("  the output and all temporaries {:>8.0} MiB", mebibytes(statistics.peak_bytes as f64));
    println!("  all weights would take         {:>8.0} MiB", mebibytes(weights));
    if let Some(resident) = resident() {
        println!("  the process at its peak        {:>8.0} MiB", mebibytes(resident as f64));
    }
    let seconds = took.as_secs_f64();
    println!("  {seconds:.1} s, {:.1} GFLOP/s", sizes.flops() / seconds / 1e9);
    let (dispatches, submits) = (statistics.dispatches, statistics.submits);
    let largest = statistics.largest_submit as f64 / 1e9;
    println!("  {dispatches} dispatches in {submits} submissions, the largest of {largest:.0} GFLOP");
    let error = spot_check(&bench, &output)?;
    println!("  three queries in three heads: within {error:.1e} of the oracle");
    assert!(error <= 1e-6, "the output is wrong");
    Ok(())
}

/// The largest error of a few rows against the oracle.
fn spot_check(bench: &Bench<'_>, output: &Tensor) -> Result<f64> {
    let Sizes { heads, queries, keys, head_dim, .. } = bench.sizes;
    let [q, k, v] = &bench.tensors;
    let (q, k, v, output) = (q.to_f32()?, k.to_f32()?, v.to_f32()?, output.to_f32()?);
    let dims = Dims { batch: 1, heads: 1, heads_kv: 1, queries: 1, keys, head_dim, value_dim: head_dim };
    let mut largest = 0.0_f64;
    for head in [0, heads / 2, heads - 1] {
        for query in [0, queries / 2 + 1, queries - 1] {
            let row = (head * queries + query) * head_dim;
            let of_head = |values: &[f32]| values[head * keys * head_dim..][..keys * head_dim].to_vec();
            let (q, k, v) = (&q[row..][..head_dim], of_head(&k), of_head(&v));
            let at = |rows| Strided::heads_first(1, rows, head_dim);
            let expected = reference::attention::attention(
                View::new(q, at(1)),
                View::new(&k, at(keys)),
                View::new(&v, at(keys)),
                dims,
                Options::for_head_dim(head_dim),
            );
            for (got, expected) in output[row..][..head_dim].iter().zip(expected) {
                let error = (f64::from(*got) - expected).abs();
                largest = if error <= largest { largest } else { error };
            }
        }
    }
    Ok(largest)
}

/// The most memory that the process had so far, where the system says it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
