//! A Transformer encoder made of layers: weights from host slices in PyTorch's layout, all of it in one recording, on any
//! device; what one head attends to, captured beside the same fused run.
//!
//!     cargo run --release --example encoder [DEVICE]

use attentive::layers::{
    Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm, HostLinear, LayerCapture,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights,
};
use attentive::{Activation, DType, Device, Error, Recording, Result, Tensor};

const LAYERS: usize = 2;
const HEADS: usize = 4;
const MODEL_DIM: usize = 64;
const FEED_FORWARD_DIM: usize = 128;
const BATCH: usize = 2;
const LENGTH: usize = 10;

/// Numbers that stand for weights that were read from somewhere.
fn numbers(count: usize, scale: f32, seed: u32) -> Vec<f32> {
    let number = |place: u32| ((place.wrapping_add(seed) as f32 * 12.9898).sin() * 43758.547).fract() * scale;
    (0..count as u32).map(number).collect()
}

/// A `TransformerEncoderLayer` of PyTorch.
fn layer(device: &Device, index: usize) -> Result<EncoderLayer> {
    // `self_attn.in_proj_weight` is three matrices one below the other: those of queries, keys and values.
    let seed = 1000 * index as u32;
    let in_projection = numbers(3 * MODEL_DIM * MODEL_DIM, 0.2, seed);
    let [query, key, value] = [0, 1, 2].map(|place| {
        let weight = &in_projection[place * MODEL_DIM * MODEL_DIM..][..MODEL_DIM * MODEL_DIM];
        HostLinear { weight, bias: None }
    });
    let output = numbers(MODEL_DIM * MODEL_DIM, 0.2, seed + 1);
    let up = numbers(FEED_FORWARD_DIM * MODEL_DIM, 0.2, seed + 2);
    let up_bias = numbers(FEED_FORWARD_DIM, 0.1, seed + 3);
    let down = numbers(MODEL_DIM * FEED_FORWARD_DIM, 0.2, seed + 4);
    let norm = HostLayerNorm { gamma: &[1.0; MODEL_DIM], beta: &[0.0; MODEL_DIM] };
    let mut config = EncoderLayerConfig::new(MODEL_DIM, HEADS, FEED_FORWARD_DIM);
    config.activation = Activation::Gelu;
    // DType::F16 stores the matrices in half the memory
    let weights = EncoderLayerWeights {
        attention: MultiHeadAttentionWeights {
            query,
            key,
            value,
            output: HostLinear { weight: &output, bias: None },
        },
        attention_norm: norm,
        feed_forward: [
            HostLinear { weight: &up, bias: Some(&up_bias) },
            HostLinear { weight: &down, bias: None },
        ],
        feed_forward_norm: norm,
    };
    EncoderLayer::new(device, &config, &weights)
}

/// The output `[batch, length, model_dim]`, and the weights of layer 1's head 2, `[batch, 1, length, length]`.
fn run(device: &Device) -> Result<(Vec<f32>, Vec<f32>)> {
    let layers = (0..LAYERS).map(|index| layer(device, index)).collect::<Result<_>>()?;
    let encoder = Encoder::new(layers, None)?;

    // The second text has 7 tokens; the rest of its row is padding.
    let options = MultiHeadAttentionOptions { key_lengths: Some(&[10, 7]), ..Default::default() };
    let x = numbers(BATCH * LENGTH * MODEL_DIM, 1.0, 7);
    let x = Tensor::from_f32(device, [BATCH, LENGTH, MODEL_DIM], &x)?;

    let mut recording = Recording::new(device);
    let x = recording.tensor(&x)?;
    let capture = LayerCapture::of(&[1]).heads(&[2]);
    let (output, captured) = recording
        .scoped("encoder", |recording| encoder.record_captured(recording, &x, &options, &capture))?;
    recording.output(&output)?;
    recording.output(&captured[0])?;
    let outputs = recording.run()?;
    println!("{}: {:?}", device.name(), outputs.statistics);
    Ok((outputs.tensor(&output)?.to_f32()?, outputs.tensor(&captured[0])?.to_f32()?))
}

fn main() -> Result<()> {
    let device = Device::open(&std::env::args().nth(1).unwrap_or("auto".to_owned()))?;
    let (output, weights) = run(&device)?;
    let (on_cpu, _) = run(&Device::cpu())?;
    let difference = output.iter().zip(&on_cpu).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("the largest difference to the CPU device: {difference:e}");
    assert!(difference < 1e-4);

    // A row of weights is a distribution over the tokens; padding gets nothing.
    let last = &weights[LENGTH * LENGTH..][..LENGTH];
    println!("what the second text's first token attends to: {last:.3?}");
    assert!((last.iter().sum::<f32>() - 1.0).abs() < 1e-5 && last[7..].iter().all(|weight| *weight == 0.0));

    // What does not fit is an error that says where and what, and leaves the recording as it was.
    let encoder = Encoder::new(vec![layer(&device, 0)?], None)?;
    let mut recording = Recording::new(&device);
    let x = recording.tensor(&Tensor::zeros(&device, [1, LENGTH, MODEL_DIM + 1], DType::F32)?)?;
    let options = MultiHeadAttentionOptions::default();
    let error =
        recording.scoped("my.encoder", |recording| encoder.record(recording, &x, &options)).unwrap_err();
    println!("{error}");
    assert!(matches!(error.root(), Error::Argument { .. }));
    Ok(())
}
