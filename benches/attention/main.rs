//! What attention skips, and what it costs by the length: figures of docs/attention.md and docs/from-attention-to-bert.md.
//! What each implementation takes `attentive bench attention` tells.
//!
//!     cargo bench --bench attention -- skips     what a causal bound and a window save
//!     cargo bench --bench attention -- memory    16,384 keys in 12 heads
//!     cargo bench --bench attention -- cost docs/gallery/cost.svg    time and memory by the length, and a picture of it
//!
//! On another device: `ATTENTIVE_DEVICE=gpu:1`. Medians, and the spread from the first to the third quartile.

mod cost;

use std::time::{Duration, Instant};

use attentive::bench::Spread;
use attentive::ops::{Attention, Heads, Layout};
use attentive::recording::RunStatistics;
use attentive::reference::attention::{Dims, Options, Strided, View};
use attentive::{Causal, Device, Recording, Result, Tensor, reference};

const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let spec = std::env::var("ATTENTIVE_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let device = Device::open(&spec)?;
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!("{}", device.name());
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
}

impl<'a> Bench<'a> {
    fn new(device: &'a Device, sizes: Sizes, options: Attention<'a>) -> Result<Self> {
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
        Ok(Self { device, sizes, tensors, options })
    }

    /// A call to its end, and its output.
    fn run(&self, implementation: Option<&str>) -> Result<(Duration, Tensor, RunStatistics)> {
        let mut recording = Recording::new(self.device);
        let [q, k, v] = &self.tensors;
        let (q, k, v) = (recording.tensor(q)?, recording.tensor(k)?, recording.tensor(v)?);
        let mut options = self.options.output_layout(Layout::HeadsFirst);
        if let Some(name) = implementation {
            options = options.implementation(name);
        }
        let (q, k, v) = (Heads::dense(&q)?, Heads::dense(&k)?, Heads::dense(&v)?);
        let output = options.record(&mut recording, &q, &k, &v)?.output;
        recording.output(&output)?;
        let start = Instant::now();
        let outputs = recording.run()?;
        wait(self.device);
        Ok((start.elapsed(), outputs.tensor(&output)?, outputs.statistics))
    }
}

fn wait(device: &Device) {
    if let Some((device, _)) = device.wgpu() {
        device.poll(attentive::wgpu::PollType::wait_indefinitely()).expect("the device works");
    }
}

/// First quartile, median, third quartile.
fn quartiles(times: Vec<f64>) -> [f64; 3] {
    let Spread { low, median, high } = Spread::of(times).expect("at least one time");
    [low, median, high]
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
            let [low, median, high] = Bench::new(device, sizes, options)?.fused_times()?;
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
        self.run(None)?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(self.run(None)?.0.as_secs_f64() * 1e3);
        }
        Ok(quartiles(times))
    }
}

fn memory(device: &Device) -> Result<()> {
    let sizes = Sizes::new(1, [12, 12], [16_384, 16_384], 64);
    println!("\n{sizes}, fused");
    let bench = Bench::new(device, sizes, Attention::new())?;
    let (took, output, statistics) = bench.run(None)?;
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
