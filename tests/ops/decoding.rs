//! A decoder layer step by step over a cache gives what it gives on whole sequences, beams and reordering included.

use crate::common;
use attentive::kernel::Inputs;
use attentive::layers::{
    DecoderLayer, DecoderLayerConfig, DecoderLayerOptions, DecoderLayerWeights, HostLayerNorm, HostLinear,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights, NormPosition,
};
use attentive::ops::{Capture, Mask};
use attentive::{Causal, Device, Recording, Tensor};

const WIDTH: usize = 12;
const HEADS: usize = 3;
const INNER: usize = 20;
const MEMORY: usize = 7;
/// Two texts of two beams each, for five steps, of which the middle one is of two positions.
const LENGTHS: [u32; 2] = [7, 4];
const POSITIONS: [usize; 5] = [1, 1, 2, 1, 1];
const PARENTS: [[u32; 4]; 5] = [[0, 1, 2, 3], [0, 0, 3, 2], [1, 0, 2, 2], [1, 1, 3, 3], [0, 1, 2, 3]];

fn layer(device: &Device, norm_position: NormPosition) -> DecoderLayer {
    let mut random = Inputs::new(5);
    let mut values = |count: usize, scale: f32| random.values(count, scale);
    let square: Vec<[Vec<f32>; 2]> =
        (0..8).map(|_| [values(WIDTH * WIDTH, 0.4), values(WIDTH, 0.2)]).collect();
    let norms: Vec<[Vec<f32>; 2]> = (0..3).map(|_| [values(WIDTH, 1.0), values(WIDTH, 0.3)]).collect();
    let up = [values(INNER * WIDTH, 0.4), values(INNER, 0.2)];
    let down = [values(WIDTH * INNER, 0.4), values(WIDTH, 0.2)];
    let linear = |part: &'_ [Vec<f32>; 2]| -> HostLinear<'static> {
        HostLinear { weight: part[0].clone().leak(), bias: Some(part[1].clone().leak()) }
    };
    let norm = |part: &'_ [Vec<f32>; 2]| -> HostLayerNorm<'static> {
        HostLayerNorm { gamma: part[0].clone().leak(), beta: part[1].clone().leak() }
    };
    let attention = |first: usize| MultiHeadAttentionWeights {
        query: linear(&square[first]),
        key: linear(&square[first + 1]),
        value: linear(&square[first + 2]),
        output: linear(&square[first + 3]),
    };
    let mut config = DecoderLayerConfig::new(WIDTH, HEADS, INNER);
    config.norm_position = norm_position;
    let weights = DecoderLayerWeights {
        self_attention: attention(0),
        self_attention_norm: norm(&norms[0]),
        cross_attention: attention(4),
        cross_attention_norm: norm(&norms[1]),
        feed_forward: [linear(&up), linear(&down)],
        feed_forward_norm: norm(&norms[2]),
    };
    DecoderLayer::new(device, &config, &weights).unwrap()
}

/// What each row has seen before each step and in it: inputs `[WIDTH]`.
type History = Vec<Vec<f32>>;

#[test]
fn steps_give_what_whole_sequences_give() {
    for device in common::devices() {
        for norm_position in [NormPosition::Post, NormPosition::Pre] {
            let layer = layer(&device, norm_position);
            let mut random = Inputs::new(6);
            let memory =
                Tensor::from_f32(&device, [2, MEMORY, WIDTH], &random.values(2 * MEMORY * WIDTH, 1.0))
                    .unwrap();
            let mut recording = Recording::new(&device);
            let value = recording.tensor(&memory).unwrap();
            let projected = layer.record_memory(&mut recording, &value).unwrap();
            projected.iter().for_each(|value| recording.output(value).unwrap());
            let outputs = recording.run().unwrap();
            let projected = projected.map(|value| outputs.tensor(&value).unwrap());
            let mut cache = layer.cache(4, 6, projected).unwrap();

            let cross_attention = MultiHeadAttentionOptions {
                key_lengths: Some(&LENGTHS),
                capture: Some(Capture::default().heads(&[2, 0])),
                ..Default::default()
            };
            let options = DecoderLayerOptions { cross_attention, ..Default::default() };
            let mut rows: Vec<History> = vec![Vec::new(); 4];
            for (parents, new) in PARENTS.into_iter().zip(POSITIONS) {
                cache.reorder(&parents).unwrap();
                let x = random.values(4 * new * WIDTH, 1.0);
                let next = parents.iter().zip(x.chunks_exact(new * WIDTH)).map(|(&parent, x)| {
                    let mut row = rows[parent as usize].clone();
                    row.extend(x.chunks_exact(WIDTH).map(<[f32]>::to_vec));
                    row
                });
                rows = next.collect();
                let mut recording = Recording::new(&device);
                let x = recording.tensor(&Tensor::from_f32(&device, [4, new, WIDTH], &x).unwrap()).unwrap();
                let values = layer.record_step(&mut recording, &x, &mut cache, &options).unwrap();
                let captured = values.cross_attention_captured.unwrap();
                assert_eq!(captured.shape().dims(), [2, 2, 2 * new, MEMORY]);
                [&values.output, &captured].into_iter().for_each(|value| recording.output(value).unwrap());
                let outputs = recording.run().unwrap();
                let read = |value| outputs.tensor(value).unwrap().to_f32().unwrap();
                let got = [read(&values.output), read(&captured)];
                check(&device, &layer, &memory, &rows, new, [&got[0], &got[1]]);
            }
            assert_eq!(cache.own().lengths(), [6; 4]);
        }
    }
}

/// The last `new` positions of each row by the layer on whole sequences.
fn check(
    device: &Device,
    layer: &DecoderLayer,
    memory: &Tensor,
    rows: &[History],
    new: usize,
    got: [&[f32]; 2],
) {
    let length = rows[0].len();
    for (text, beams) in rows.chunks(2).enumerate() {
        for (beam, row) in beams.iter().enumerate() {
            let mut recording = Recording::new(device);
            let x = Tensor::from_f32(device, [1, length, WIDTH], &row.concat()).unwrap();
            let x = recording.tensor(&x).unwrap();
            let memory = memory.to_f32().unwrap();
            let of_text = &memory[text * MEMORY * WIDTH..][..LENGTHS[text] as usize * WIDTH];
            let of_text = Tensor::from_f32(device, [1, LENGTHS[text] as usize, WIDTH], of_text).unwrap();
            let of_text = recording.tensor(&of_text).unwrap();
            let self_attention = MultiHeadAttentionOptions { causal: Causal::TopLeft, ..Default::default() };
            let cross_attention =
                MultiHeadAttentionOptions { capture: Some(Capture::default()), ..Default::default() };
            let options = DecoderLayerOptions { self_attention, cross_attention };
            let values = layer.record(&mut recording, &x, &of_text, &options).unwrap();
            let captured = values.cross_attention_captured.unwrap();
            [&values.output, &captured].into_iter().for_each(|value| recording.output(value).unwrap());
            let outputs = recording.run().unwrap();
            let output = outputs.tensor(&values.output).unwrap().to_f32().unwrap();
            let captured = outputs.tensor(&captured).unwrap().to_f32().unwrap();
            let expected = &output[(length - new) * WIDTH..];
            assert_close(device, &got[0][(text * 2 + beam) * new * WIDTH..][..new * WIDTH], expected);
            for (place, head) in [2, 0].into_iter().enumerate() {
                let keys = LENGTHS[text] as usize;
                let expected = &captured[(head * length + length - new) * keys..][..new * keys];
                let got = &got[1][((text * 2 + place) * 2 + beam) * new * MEMORY..][..new * MEMORY];
                for (got, expected) in got.chunks_exact(MEMORY).zip(expected.chunks_exact(keys)) {
                    assert_close(device, &got[..keys], expected);
                    assert!(got[keys..].iter().all(|&weight| weight == 0.0), "{got:?}");
                }
            }
        }
    }
}

fn assert_close(device: &Device, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        // Other kernels, another order of sums over at most 20 products near 1.
        assert!((got - expected).abs() <= 1e-5, "{}: {got} for {expected}", device.name());
    }
}

#[test]
fn what_does_not_fit_a_cache_is_refused() {
    let device = Device::cpu();
    let layer = layer(&device, NormPosition::Post);
    let memory = || {
        let values = Tensor::from_f32(&device, [2, 3, WIDTH], &[0.5; 2 * 3 * WIDTH]).unwrap();
        [values.clone(), values]
    };
    let mut cache = layer.cache(4, 2, memory()).unwrap();
    let mut step = |shape: [usize; 3]| {
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, shape, &vec![0.1; shape.iter().product()]).unwrap();
        let x = recording.tensor(&x).unwrap();
        layer.record_step(&mut recording, &x, &mut cache, &DecoderLayerOptions::default()).map(|_| ())
    };
    let refused = |result: attentive::Result<()>, words: &[&str]| {
        let error = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(step([3, 1, WIDTH]), &["multiple of the memory's 2 items", "[3, 1, 12]"]);
    refused(step([4, 1, 5]), &["[batch, length, 12]", "[4, 1, 5]"]);
    refused(step([2, 1, WIDTH]), &["kv_cache", "[2, 3, 1, 4]"]);
    step([4, 2, WIDTH]).unwrap();
    // A target longer than the cache.
    refused(step([4, 1, WIDTH]), &["keys of item 0", "at most 2 in all", "2 and 1 more"]);
    let [k, _] = memory();
    let v = Tensor::from_f32(&device, [2, 4, WIDTH], &[0.5; 2 * 4 * WIDTH]).unwrap();
    refused(layer.cache(4, 2, [k, v]).map(|_| ()), &["the memory", "[2, 3, 12] and [2, 4, 12]"]);
    assert!(layer.cache(0, 2, memory()).is_err());
    let cache_of = |shape: [usize; 3]| {
        let tensor = Tensor::from_f32(&device, shape, &vec![0.5; shape.iter().product()]).unwrap();
        layer.cache(4, 2, [tensor.clone(), tensor]).map(|_| ())
    };
    refused(cache_of([2, 3, 10]), &["the memory", "keys [items, length, 12]", "[2, 3, 10] and [2, 3, 10]"]);
    refused(cache_of([3, 3, WIDTH]), &["the rows", "a multiple of the memory's 3 items", "4"]);
    refused(cache_of([0, 3, WIDTH]), &["the rows", "0 items"]);
    let half = Tensor::from_f32_as_f16(&device, [2, 3, WIDTH], &[0.5; 2 * 3 * WIDTH]).unwrap();
    refused(layer.cache(4, 2, [half.clone(), half]).map(|_| ()), &["the memory", "f32", "f16"]);
}

/// A step that is refused after its keys were appended.
#[test]
fn a_refused_step_leaves_the_cache_as_it_was() {
    for device in common::devices() {
        let layer = layer(&device, NormPosition::Pre);
        let mut random = Inputs::new(8);
        let memory = Tensor::from_f32(&device, [2, 3, WIDTH], &random.values(2 * 3 * WIDTH, 1.0)).unwrap();
        let steps = [random.values(4 * WIDTH, 1.0), random.values(4 * WIDTH, 1.0)];
        let mut outputs = Vec::new();
        for refused in [None, Some(0), Some(1)] {
            let mut cache = layer.cache(4, 2, [memory.clone(), memory.clone()]).unwrap();
            let mut step = |x: &[f32], lengths: Option<&[u32]>, mask: Option<&Tensor>| {
                let mut recording = Recording::new(&device);
                let x = recording.tensor(&Tensor::from_f32(&device, [4, 1, WIDTH], x).unwrap()).unwrap();
                let mask = mask.map(|mask| recording.tensor(mask).unwrap());
                let before = cache.own().lengths().to_vec();
                let options = DecoderLayerOptions {
                    self_attention: MultiHeadAttentionOptions {
                        mask: mask.as_ref().map(Mask::Float),
                        ..Default::default()
                    },
                    cross_attention: MultiHeadAttentionOptions { key_lengths: lengths, ..Default::default() },
                };
                match layer.record_step(&mut recording, &x, &mut cache, &options) {
                    Ok(values) => {
                        recording.output(&values.output).unwrap();
                        let outputs = recording.run().unwrap();
                        Some(outputs.tensor(&values.output).unwrap().to_f32().unwrap())
                    }
                    Err(_) => {
                        assert_eq!(cache.own().lengths(), before, "{}", device.name());
                        None
                    }
                }
            };
            let wide = Tensor::from_f32(&device, [1, 9], &[0.0; 9]).unwrap();
            for (place, x) in steps.iter().enumerate() {
                if refused == Some(place) {
                    // By the cross-attention, and by the self-attention itself.
                    assert_eq!(step(x, Some(&[99, 99]), None), None);
                    assert_eq!(step(x, None, Some(&wide)), None);
                }
                outputs.push(step(x, Some(&[3, 2]), None).expect("it fits"));
            }
            // Rows may be cut by hand as well.
            assert_eq!(cache.own().lengths(), [2; 4]);
            cache.truncate(3, 1).unwrap();
            assert_eq!(cache.own().lengths(), [2, 2, 2, 1]);
            assert!(cache.truncate(3, 2).is_err() && cache.truncate(4, 0).is_err());
        }
        assert!(outputs.chunks_exact(2).all(|run| run == &outputs[..2]), "{}", device.name());
    }
}
