//! What a layer cannot be made of is refused when it is made: each weight, bias, γ, β, ε and dtype of each layer.

use attentive::layers::{
    AttentionWeights, Cbam, ChannelAttention, DecoderLayer, DecoderLayerConfig, DecoderLayerWeights,
    DeformableAttention, DeformableAttentionConfig, DeformableAttentionWeights, Encoder, EncoderLayer,
    EncoderLayerConfig, EncoderLayerWeights, FeedForward, Gru, GruCell, GruConfig, GruDirection, HostGru,
    HostLayerNorm, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionOptions,
    MultiHeadAttentionWeights, NormPosition, SpatialAttention, SqueezeExcitation,
};
use attentive::ops::{EmbeddingTable, LayerNorm, LayerNormWeights, LinearWeights, rms_norm};
use attentive::{Activation, Causal, DType, Device, Error, Recording, Result, Tensor};

use super::{value, zeros};
use crate::common::{self, assert_refused};

/// What a layer is made of.
pub(super) struct Given<'a> {
    device: &'a Device,
    linears: &'a [HostLinear<'a>],
    norms: &'a [HostLayerNorm<'a>],
    epsilon: f32,
    dtype: DType,
}

/// A layer, the shapes of its parts by the names in its errors, and how it is made.
struct Layer {
    linears: Vec<(&'static str, [usize; 2])>,
    norms: Vec<&'static str>,
    columns: usize,
    new: fn(&Given<'_>) -> Result<()>,
}

pub(super) const DIM: usize = 4;
const HIDDEN: usize = 6;
const UP: (&str, [usize; 2]) = ("feed_forward: up", [HIDDEN, DIM]);
const DOWN: (&str, [usize; 2]) = ("feed_forward: down", [DIM, HIDDEN]);

fn attention<'a>(linears: &[HostLinear<'a>]) -> MultiHeadAttentionWeights<'a> {
    MultiHeadAttentionWeights { query: linears[0], key: linears[1], value: linears[2], output: linears[3] }
}

pub(super) fn encoder_layer(given: &Given<'_>) -> Result<EncoderLayer> {
    let mut config = EncoderLayerConfig::new(DIM, 2, HIDDEN);
    config.activation = Activation::Gelu;
    config.epsilon = given.epsilon;
    config.dtype = given.dtype;
    let weights = EncoderLayerWeights {
        attention: attention(given.linears),
        attention_norm: given.norms[0],
        feed_forward: [given.linears[4], given.linears[5]],
        feed_forward_norm: given.norms[1],
    };
    EncoderLayer::new(given.device, &config, &weights)
}

pub(super) fn decoder_layer(given: &Given<'_>) -> Result<DecoderLayer> {
    let mut config = DecoderLayerConfig::new(DIM, 2, HIDDEN);
    config.activation = Activation::Gelu;
    config.norm_position = NormPosition::Pre;
    config.epsilon = given.epsilon;
    config.dtype = given.dtype;
    let weights = DecoderLayerWeights {
        self_attention: attention(given.linears),
        self_attention_norm: given.norms[0],
        cross_attention: attention(&given.linears[4..]),
        cross_attention_norm: given.norms[1],
        feed_forward: [given.linears[8], given.linears[9]],
        feed_forward_norm: given.norms[2],
    };
    DecoderLayer::new(given.device, &config, &weights)
}

fn gru_weights<'a>(linears: &[HostLinear<'a>]) -> Vec<HostGru<'a>> {
    linears.chunks(2).map(|pair| HostGru { input: pair[0], hidden: pair[1] }).collect()
}

fn layers() -> Vec<Layer> {
    let square = [DIM, DIM];
    let plain = |linears: &[(&'static str, [usize; 2])], new| Layer {
        linears: linears.to_vec(),
        norms: Vec::new(),
        columns: DIM,
        new,
    };
    let of = |scope: [&'static str; 4]| scope.map(|name| (name, square)).to_vec();
    vec![
        plain(&[UP, DOWN], |given| {
            let weights = [given.linears[0], given.linears[1]];
            FeedForward::new(given.device, [DIM, HIDDEN], weights, Activation::Gelu, given.dtype).map(drop)
        }),
        plain(
            &of([
                "multi_head_attention: query",
                "multi_head_attention: key",
                "multi_head_attention: value",
                "multi_head_attention: output",
            ]),
            |given| {
                let config = MultiHeadAttentionConfig::self_attention(DIM, 2)?;
                MultiHeadAttention::new(given.device, config, &attention(given.linears), given.dtype)
                    .map(drop)
            },
        ),
        plain(
            &[
                ("multi_head_attention: query", [6, 4]),
                ("multi_head_attention: key", [6, 5]),
                ("multi_head_attention: value", [4, 7]),
                ("multi_head_attention: output", [4, 4]),
            ],
            |given| {
                let config = MultiHeadAttentionConfig {
                    heads: 2,
                    model_dim: 4,
                    key_dim: 5,
                    value_dim: 7,
                    head_dim: 3,
                    value_head_dim: 2,
                    packed: false,
                };
                MultiHeadAttention::new(given.device, config, &attention(given.linears), given.dtype)
                    .map(drop)
            },
        ),
        Layer {
            linears: [
                of([
                    "attention: multi_head_attention: query",
                    "attention: multi_head_attention: key",
                    "attention: multi_head_attention: value",
                    "attention: multi_head_attention: output",
                ]),
                vec![UP, DOWN],
            ]
            .concat(),
            norms: vec!["encoder_layer: attention_norm", "encoder_layer: feed_forward_norm"],
            columns: DIM,
            new: |given| encoder_layer(given).map(drop),
        },
        Layer {
            linears: [
                of([
                    "self_attention: multi_head_attention: query",
                    "self_attention: multi_head_attention: key",
                    "self_attention: multi_head_attention: value",
                    "self_attention: multi_head_attention: output",
                ]),
                of([
                    "cross_attention: multi_head_attention: query",
                    "cross_attention: multi_head_attention: key",
                    "cross_attention: multi_head_attention: value",
                    "cross_attention: multi_head_attention: output",
                ]),
                vec![UP, DOWN],
            ]
            .concat(),
            norms: vec![
                "decoder_layer: self_attention_norm",
                "decoder_layer: cross_attention_norm",
                "decoder_layer: feed_forward_norm",
            ],
            columns: DIM,
            new: |given| decoder_layer(given).map(drop),
        },
        plain(
            &[
                ("gru: weights[0].input", [9, 2]),
                ("gru: weights[0].hidden", [9, 3]),
                ("gru: weights[1].input", [9, 2]),
                ("gru: weights[1].hidden", [9, 3]),
            ],
            |given| {
                let direction = GruDirection::Bidirectional;
                let config = GruConfig { input_dim: 2, hidden_dim: 3, direction, dtype: given.dtype };
                Gru::new(given.device, config, &gru_weights(given.linears)).map(drop)
            },
        ),
        plain(&[("gru: input", [9, 7]), ("gru: hidden", [9, 3])], |given| {
            let weights = gru_weights(given.linears);
            GruCell::new(given.device, &[2, 5], 3, &weights[0], given.dtype).map(drop)
        }),
        plain(&[("squeeze_excitation: first", [2, 8]), ("squeeze_excitation: second", [8, 2])], |given| {
            let weights = [given.linears[0], given.linears[1]];
            SqueezeExcitation::new(given.device, [8, 2], weights, given.dtype).map(drop)
        }),
        plain(&[("channel_attention: first", [2, 8]), ("channel_attention: second", [8, 2])], |given| {
            let weights = [given.linears[0], given.linears[1]];
            ChannelAttention::new(given.device, [8, 2], weights, given.dtype).map(drop)
        }),
        plain(
            &[
                ("deformable_attention: value", square),
                ("deformable_attention: sampling_offsets", [24, DIM]),
                ("deformable_attention: attention_weights", [12, DIM]),
                ("deformable_attention: output", square),
            ],
            |given| {
                let config = DeformableAttentionConfig { model_dim: DIM, heads: 2, levels: 2, points: 3 };
                let weights = DeformableAttentionWeights {
                    value: given.linears[0],
                    sampling_offsets: given.linears[1],
                    attention_weights: given.linears[2],
                    output: given.linears[3],
                };
                DeformableAttention::new(given.device, config, &weights, given.dtype).map(drop)
            },
        ),
    ]
}

pub(super) const NUMBERS: [f32; 256] = [0.0; 256];

impl Layer {
    /// Makes it of parts with as many elements as `sizes` tells for the weight and the bias of each linear, and for the γ
    /// and β of each norm behind them.
    fn make(&self, device: &Device, sizes: &[[usize; 2]], epsilon: f32, dtype: DType) -> Result<()> {
        let (linears, norms) = sizes.split_at(self.linears.len());
        let part = |&[weight, bias]: &[usize; 2]| HostLinear {
            weight: &NUMBERS[..weight],
            bias: Some(&NUMBERS[..bias]),
        };
        let norm =
            |&[gamma, beta]: &[usize; 2]| HostLayerNorm { gamma: &NUMBERS[..gamma], beta: &NUMBERS[..beta] };
        let linears: Vec<_> = linears.iter().map(part).collect();
        let norms: Vec<_> = norms.iter().map(norm).collect();
        (self.new)(&Given { device, linears: &linears, norms: &norms, epsilon, dtype })
    }

    fn sizes(&self) -> Vec<[usize; 2]> {
        let linears = self.linears.iter().map(|&(_, [outputs, inputs])| [outputs * inputs, outputs]);
        linears.chain(self.norms.iter().map(|_| [self.columns; 2])).collect()
    }
}

#[test]
fn every_part_of_every_layer_is_checked_when_it_is_made() {
    let device = Device::cpu();
    for layer in layers() {
        let right = layer.sizes();
        let name = layer.linears[0].0;
        for dtype in [DType::F32, DType::F16] {
            layer.make(&device, &right, 1e-5, dtype).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_refused(layer.make(&device, &right, 1e-5, DType::U32), &["dtype", "f32 or f16", "u32"]);
        let linears = layer.linears.iter().map(|&(part, [outputs, inputs])| {
            (part, [("weight", format!("[{outputs}, {inputs}]")), ("bias", format!("[{outputs}]"))])
        });
        let norms = layer
            .norms
            .iter()
            .map(|&part| (part, ["gamma", "beta"].map(|field| (field, format!("[{}]", layer.columns)))));
        for (place, (part, fields)) in linears.chain(norms).enumerate() {
            for (number, (field, shape)) in fields.into_iter().enumerate() {
                for wrong in [right[place][number] - 1, right[place][number] + 1, 0] {
                    let mut sizes = right.clone();
                    sizes[place][number] = wrong;
                    let sentence = format!("{part}.{field} must be {shape}, but is {wrong} elements");
                    assert_refused(layer.make(&device, &sizes, 1e-5, DType::F32), &[&sentence]);
                }
            }
        }
        if !layer.norms.is_empty() {
            for epsilon in [f32::NAN, f32::INFINITY, -1e-5] {
                let words = ["epsilon", "a finite number, at least 0", &epsilon.to_string()];
                assert_refused(layer.make(&device, &right, epsilon, DType::F32), &words);
            }
            layer.make(&device, &right, 0.0, DType::F32).unwrap();
        }
    }
}

#[test]
fn swapped_feed_forward_weights_say_which() {
    let (up, down) = (
        HostLinear { weight: &NUMBERS[..24], bias: Some(&NUMBERS[..6]) },
        HostLinear { weight: &NUMBERS[..24], bias: Some(&NUMBERS[..4]) },
    );
    let new = |weights| FeedForward::new(&Device::cpu(), [4, 6], weights, Activation::Gelu, DType::F32);
    assert!(new([up, down]).is_ok());
    assert_refused(new([down, up]), &["feed_forward: up.bias must be [6], but is 4 elements"]);
}

#[test]
fn weights_and_norms_by_themselves() {
    for device in crate::common::devices() {
        let outcome = LinearWeights::new(&device, [2, 3], &[0.0; 6], None, DType::U32);
        assert_refused(outcome, &["linear", "dtype", "f32 or f16", "u32"]);
        let outcome = EmbeddingTable::new(&device, 3, &[0.0; 6], DType::U32);
        assert_refused(outcome, &["embedding", "dtype", "f32 or f16", "u32"]);
        for epsilon in [f32::NAN, f32::NEG_INFINITY, -0.5] {
            let words = ["epsilon", "a finite number, at least 0", &epsilon.to_string()];
            assert_refused(LayerNormWeights::new(&device, &[1.0; 3], &[0.0; 3], epsilon), &words);
            let mut recording = Recording::new(&device);
            let (x, gamma) = (value(&mut recording, &[2, 3]), value(&mut recording, &[3]));
            assert_refused(rms_norm(&mut recording, &x, &gamma, -1, epsilon), &words);
            assert_refused(LayerNorm::new(&gamma).epsilon(epsilon).record(&mut recording, &x), &words);
        }
    }
    let (here, there) = (Device::cpu(), Device::cpu());
    let (weight, bias) = (zeros(&here, &[2, 3]), zeros(&there, &[2]));
    let error = LinearWeights::from_tensors(&weight, Some(&bias), true).unwrap_err();
    assert!(matches!(error, Error::WrongDevice { .. }), "{error:?}");
}

#[test]
fn attention_of_sizes_that_are_none() {
    let config = MultiHeadAttentionConfig::self_attention(4, 2).unwrap();
    let linear = HostLinear { weight: &NUMBERS[..16], bias: None };
    let weights = attention(&[linear; 4]);
    let new = |config| MultiHeadAttention::new(&Device::cpu(), config, &weights, DType::F32);
    for (heads, head_dim, value_head_dim) in [(0, 2, 2), (2, 0, 2), (2, 2, 0)] {
        let words = ["heads and head sizes", "at least 1"];
        assert_refused(new(MultiHeadAttentionConfig { heads, head_dim, value_head_dim, ..config }), &words);
    }
    for (heads, head_dim) in [(usize::MAX, 2), (2, usize::MAX), (1, usize::MAX / 2)] {
        let words = ["heads and head sizes", "fewer"];
        assert_refused(new(MultiHeadAttentionConfig { heads, head_dim, ..config }), &words);
    }
    assert_refused(new(MultiHeadAttentionConfig { key_dim: 5, ..config }), &["packed", "equal", "4, 5, 4"]);
}

#[test]
fn keys_that_are_no_inputs() {
    use attentive::ops::{KvCache, KvCacheShape, Mask};

    let config = MultiHeadAttentionConfig::self_attention(4, 2).unwrap();
    let weight: Vec<f32> = (0..16).map(|place| ((place * 7 % 16) as f32 - 8.0) / 8.0).collect();
    let weights = attention(&[HostLinear { weight: &weight, bias: None }; 4]);
    let bias = [[0.5, -1.0, 0.25, 2.0], [3.0, 1.0, -2.0, 0.5]];
    let x: Vec<f32> = (0..24).map(|place| ((place * 5 % 24) as f32 - 12.0) / 6.0).collect();
    for device in common::devices() {
        let new = || MultiHeadAttention::new(&device, config, &weights, DType::F32).unwrap();
        for (key, value, name) in [(3, 4, "bias_kv.key"), (4, 5, "bias_kv.value")] {
            let (key, value) = (&NUMBERS[..key], &NUMBERS[..value]);
            assert_refused(new().with_appended_keys(&device, Some([key, value]), true), &[name, "[4]"]);
        }
        // Without any it is as it was.
        assert_eq!(new().with_appended_keys(&device, None, false).unwrap().bytes(), new().bytes());
        let layer = new().with_appended_keys(&device, Some([&bias[0], &bias[1]]), true).unwrap();
        assert_eq!(layer.bytes(), new().bytes() + 4 * 4 * 4);

        let run = |of: &dyn Fn(&mut Recording) -> Result<MultiHeadAttentionOptions<'static>>| {
            let mut recording = Recording::new(&device);
            let x = Tensor::from_f32(&device, [2, 3, 4], &x).and_then(|x| recording.tensor(&x))?;
            let options =
                MultiHeadAttentionOptions { weights: AttentionWeights::PerHead, ..of(&mut recording)? };
            let values = layer.record_self(&mut recording, &x, &options)?;
            let weights = values.weights.unwrap();
            assert_eq!(weights.shape().dims(), [2, 2, 3, 5]);
            recording.output(&values.output)?;
            recording.output(&weights)?;
            let outputs = recording.run()?;
            Ok([outputs.tensor(&values.output)?.to_f32()?, outputs.tensor(&weights)?.to_f32()?])
        };
        let plain = MultiHeadAttentionOptions::default();
        // Two keys of the first item, none of the second: what is left there are the keys that are no input's.
        let by_lengths =
            run(&|_| Ok(MultiHeadAttentionOptions { key_lengths: Some(&[2, 0]), ..plain })).unwrap();
        for (row, weights) in by_lengths[1].chunks(5).enumerate() {
            let zeros: &[usize] = if row < 6 { &[2] } else { &[0, 1, 2] };
            for (key, &weight) in weights.iter().enumerate() {
                assert_eq!(weight == 0.0, zeros.contains(&key), "{} {row} {weights:?}", device.name());
            }
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        // The same as a mask of padding, which must be made on the device first.
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, [2, 3, 4], &x).unwrap();
        let x = recording.tensor(&x).unwrap();
        let padding = Tensor::from_u32(&device, [2, 3], &[1, 1, 0, 0, 0, 0]).unwrap();
        let padding = recording.tensor(&padding).unwrap();
        let weights = AttentionWeights::PerHead;
        let options = MultiHeadAttentionOptions { key_padding_mask: Some(&padding), weights, ..plain };
        let by_mask = layer.record_self(&mut recording, &x, &options).unwrap().output;
        recording.output(&by_mask).unwrap();
        let by_mask = recording.run().unwrap().tensor(&by_mask).unwrap().to_f32().unwrap();
        assert_eq!(by_mask, by_lengths[0], "{}", device.name());

        assert_refused(
            run(&|_| Ok(MultiHeadAttentionOptions { causal: Causal::TopLeft, ..plain })),
            &["causal", "no place in the order", "TopLeft"],
        );
        for lengths in [&[1, 2, 3][..], &[4, 0]] {
            let lengths: &'static [u32] = lengths;
            let options = move |_: &mut Recording| {
                Ok(MultiHeadAttentionOptions { key_lengths: Some(lengths), ..plain })
            };
            assert_refused(run(&options), &["key_lengths", "2 of at most 3"]);
        }
        let mut recording = Recording::new(&device);
        let x = value(&mut recording, &[2, 3, 4]);
        let narrow = value(&mut recording, &[3, 1]);
        let mask = MultiHeadAttentionOptions { mask: Some(Mask::Float(&narrow)), ..plain };
        assert_refused(layer.record_self(&mut recording, &x, &mask), &["the mask", "[…, 3]", "[3, 1]"]);
        let padding = MultiHeadAttentionOptions { key_padding_mask: Some(&narrow), ..plain };
        assert_refused(
            layer.record_self(&mut recording, &x, &padding),
            &["key_padding_mask", "u32 [2, 3]", "f32 [3, 1]"],
        );
        let shape = KvCacheShape {
            batch: 2,
            key_heads: 2,
            capacity: 8,
            head_dim: 2,
            value_dim: 2,
            dtype: DType::F32,
            paged: None,
        };
        let mut cache = KvCache::new(&device, shape).unwrap();
        assert_refused(
            layer.record_cached(&mut recording, &x, &mut cache, &plain),
            &["cached", "without bias_kv and zero_attn"],
        );
    }
}

/// A layer of zeros.
pub(super) fn made<T>(layer: usize, new: impl FnOnce(&Given<'_>) -> Result<T>, device: &Device) -> T {
    let layer = &layers()[layer];
    let sizes = layer.sizes();
    let (linears, norms) = sizes.split_at(layer.linears.len());
    let part = |&[weight, bias]: &[usize; 2]| HostLinear {
        weight: &NUMBERS[..weight],
        bias: Some(&NUMBERS[..bias]),
    };
    let linears: Vec<_> = linears.iter().map(part).collect();
    let norm =
        |&[gamma, beta]: &[usize; 2]| HostLayerNorm { gamma: &NUMBERS[..gamma], beta: &NUMBERS[..beta] };
    let norms: Vec<_> = norms.iter().map(norm).collect();
    new(&Given { device, linears: &linears, norms: &norms, epsilon: 1e-5, dtype: DType::F32 }).unwrap()
}

#[test]
fn a_stack_fits_together() {
    let (here, there) = (Device::cpu(), Device::cpu());
    let layer = |device: &Device| made(3, encoder_layer, device);
    let norm = |device: &Device, columns: usize| {
        LayerNormWeights::new(device, &NUMBERS[..columns], &NUMBERS[..columns], 1e-5).unwrap()
    };
    assert!(Encoder::new(vec![layer(&here), layer(&here)], Some(norm(&here, DIM))).is_ok());
    assert!(Encoder::new(Vec::new(), None).is_ok());
    let outcome = Encoder::new(vec![layer(&here)], Some(norm(&here, 5)));
    assert_refused(outcome, &["encoder: the norm must be of 4 columns, as layer 0, but is of 5"]);
    let other = {
        let config = EncoderLayerConfig::new(2, 1, 2);
        let linear = HostLinear { weight: &NUMBERS[..4], bias: None };
        let norm = HostLayerNorm { gamma: &NUMBERS[..2], beta: &NUMBERS[..2] };
        let weights = EncoderLayerWeights {
            attention: attention(&[linear; 4]),
            attention_norm: norm,
            feed_forward: [linear; 2],
            feed_forward_norm: norm,
        };
        EncoderLayer::new(&here, &config, &weights).unwrap()
    };
    assert_refused(Encoder::new(vec![layer(&here), other], None), &["encoder: layer 1", "4 columns", "of 2"]);
    for parts in [(vec![layer(&here), layer(&there)], None), (vec![layer(&here)], Some(norm(&there, DIM)))] {
        let error = Encoder::new(parts.0, parts.1).unwrap_err();
        assert!(matches!(error, Error::WrongDevice { .. }), "{error:?}");
        assert!(error.to_string().ends_with("another open device of that name"), "{error}");
    }
}

#[test]
fn attention_over_space() {
    let device = Device::cpu();
    let new =
        |window, elements: usize, bias| SpatialAttention::new(&device, window, &NUMBERS[..elements], bias);
    assert!(new(3, 18, 0.0).is_ok());
    assert_refused(new(2, 8, 0.0), &["spatial_attention: the window must be odd, but is 2"]);
    for elements in [17, 19, 0] {
        assert_refused(
            new(3, elements, 0.0),
            &["weight must be [1, 2, 3, 3]", &format!("{elements} elements")],
        );
    }
    assert_refused(new(usize::MAX, 18, 0.0), &["weight", "18 elements"]);
    for bias in [f32::NAN, f32::INFINITY] {
        assert_refused(new(3, 18, bias), &["bias", "finite", &bias.to_string()]);
    }
    let mlp = [HostLinear { weight: &NUMBERS[..8], bias: None }; 2];
    let channel = ChannelAttention::new(&device, [4, 2], mlp, DType::F32).unwrap();
    let cbam = Cbam { channel, spatial: new(3, 18, 0.0).unwrap() };
    let mut recording = Recording::new(&device);
    let x = value(&mut recording, &[1, 5, 6, 7]);
    let outcome = cbam.record(&mut recording, &x);
    assert_refused(outcome, &["channel: channel_attention: x must be [batch, 4, height, width]"]);
    let config = DeformableAttentionConfig { model_dim: 4, heads: 3, levels: 1, points: 1 };
    let linear = HostLinear { weight: &NUMBERS[..16], bias: None };
    let weights = DeformableAttentionWeights {
        value: linear,
        sampling_offsets: linear,
        attention_weights: linear,
        output: linear,
    };
    for (heads, points) in [(3, 1), (0, 1), (2, 0)] {
        let config = DeformableAttentionConfig { heads, points, ..config };
        let outcome = DeformableAttention::new(&device, config, &weights, DType::F32);
        assert_refused(outcome, &["the config", "at least 1", "a multiple of heads"]);
    }
    let config = DeformableAttentionConfig { heads: 2, levels: usize::MAX, ..config };
    let outcome = DeformableAttention::new(&device, config, &weights, DType::F32);
    assert_refused(outcome, &["the config", "fewer points"]);
}
