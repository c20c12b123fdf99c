//! What the gradient of attention takes by the matrix of scores (`chained`) and by the fused kernels (`tiled`): seconds of a forward
//! and a backward pass, and bytes of the recording beside its inputs, by length.
//!
//!     cargo bench --bench attention_gradient
//!
//! One item of 2 heads of 32 elements, 512 to 4,096 tokens, both implementations in turns, the least of three times. Other lengths follow
//! `--`: `cargo bench --bench attention_gradient -- 16384`. On another device: `ATTENTIVE_DEVICE=gpu:1`.

use std::time::Instant;

use attentive::kernel::Inputs;
use attentive::ops::{Attention, Causal, Heads, Layout};
use attentive::recording::RunStatistics;
use attentive::{Device, DeviceOptions, Recording, Result, Tensor};

const HEADS: usize = 2;
const HEAD_DIM: usize = 32;
const TURNS: usize = 3;
const IMPLEMENTATIONS: [&str; 2] = ["chained", "tiled"];

fn main() -> Result<()> {
    let spec = std::env::var("ATTENTIVE_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let lengths = if given.is_empty() { vec![512, 1024, 2048, 4096] } else { given };
    let devices = IMPLEMENTATIONS.map(|implementation| {
        let mut options = DeviceOptions::default();
        options.implementations = vec![format!("attention_gradient={implementation}")];
        Device::open_with(&spec, options)
    });
    let [chained, tiled] = devices;
    let devices = [chained?, tiled?];
    println!("{}", devices[0].name());
    println!("causal  tokens  chained s    MiB  tiled s    MiB  chained : tiled");
    for causal in [false, true] {
        for &length in &lengths {
            let mut best = [f64::INFINITY; 2];
            let mut bytes = [0; 2];
            for turn in 0..=TURNS {
                for (place, device) in devices.iter().enumerate() {
                    let (seconds, statistics) = step(device, length, causal)?;
                    // The first turn makes the pipelines.
                    if turn > 0 {
                        best[place] = best[place].min(seconds);
                    }
                    bytes[place] = statistics.peak_bytes;
                }
            }
            let mebibytes = bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
            println!(
                "{:<6}  {length:>6}  {:>9.3}  {:>5.1}  {:>7.3}  {:>5.1}  {:>15.2}",
                if causal { "yes" } else { "no" },
                best[0],
                mebibytes[0],
                best[1],
                mebibytes[1],
                best[0] / best[1]
            );
        }
    }
    Ok(())
}

/// Seconds of a step, and its figures.
fn step(device: &Device, length: usize, causal: bool) -> Result<(f64, RunStatistics)> {
    let dims = [1, HEADS, length, HEAD_DIM];
    let mut inputs = Inputs::new(length as u64);
    let mut tensor = || Tensor::from_f32(device, dims, &inputs.values(HEADS * length * HEAD_DIM, 1.0));
    let (parameters, upstream) = ([tensor()?, tensor()?, tensor()?], tensor()?);
    let start = Instant::now();
    let mut recording = Recording::training(device, &parameters)?;
    let [q, k, v] = [0, 1, 2].map(|place: usize| recording.tensor(&parameters[place]));
    let (q, k, v) = (q?, k?, v?);
    let mut attention = Attention::new().output_layout(Layout::HeadsFirst);
    if causal {
        attention = attention.causal(Causal::TopLeft);
    }
    let (heads_q, heads_k, heads_v) = (Heads::dense(&q)?, Heads::dense(&k)?, Heads::dense(&v)?);
    let output = attention.record(&mut recording, &heads_q, &heads_k, &heads_v)?.output;
    let upstream = recording.tensor(&upstream)?;
    let gradients = recording.backward_from(&output, &upstream)?;
    for value in [&q, &k, &v] {
        if let Some(gradient) = gradients.of(&recording, value) {
            recording.output(&gradient)?;
        }
    }
    let outputs = recording.run()?;
    Ok((start.elapsed().as_secs_f64(), outputs.statistics))
}
