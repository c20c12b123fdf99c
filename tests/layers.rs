//! Layers against PyTorch: `MultiheadAttention`, `TransformerEncoderLayer`, `TransformerEncoder`, and
//! `scaled_dot_product_attention` by the attention op.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use attentive::layers::{
    AttentionWeights, Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm,
    HostLinear, MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionOptions,
    MultiHeadAttentionWeights, NormPosition,
};
use attentive::ops::{LayerNormWeights, Mask};
use attentive::recording::Value;
use attentive::verify::compare::compare_allclose;
use attentive::{Activation, Causal, DType, Device, Recording, Tensor, attention};
use fixtures::Fixture;

fn check(fixture: &Fixture, device: &Device, what: &str, got: &[f32]) {
    let expected = fixture.f32(&format!("expected.{what}"));
    let (rtol, atol) = fixture.tolerance();
    let comparison = compare_allclose(got, &expected, rtol, atol);
    assert!(comparison.passed, "{} {what} on {}: {comparison}", fixture.name, device.name());
}

/// A tensor of the fixture, taken into the recording.
fn input(recording: &mut Recording, fixture: &Fixture, name: &str) -> Value {
    let tensor = Tensor::from_f32(recording.device(), fixture.shape(name), &fixture.f32(name)).unwrap();
    recording.tensor(&tensor).unwrap()
}

/// PyTorch's masks in ours: true leaves out there and takes part here; `[B·H, L, S]` is `[B, H, L, S]`.
struct Masks {
    /// `[B, S]`, nonzero takes part.
    padding: Option<Value>,
    mask: Option<Value>,
}

impl Masks {
    fn of(recording: &mut Recording, fixture: &Fixture, [padding, mask]: [&str; 2], heads: usize) -> Self {
        let device = recording.device().clone();
        let inverted = |bools: Vec<bool>| bools.into_iter().map(|out| u32::from(!out)).collect::<Vec<_>>();
        let mut masks = Self { padding: None, mask: None };
        if fixture.has(mask) {
            let shape = match fixture.shape(mask)[..] {
                [batch_heads, queries, keys] => vec![batch_heads / heads, heads, queries, keys],
                ref shape => shape.to_vec(),
            };
            let tensor = match fixture.bools(mask) {
                Some(bools) => Tensor::from_u32(&device, shape, &inverted(bools)),
                None => Tensor::from_f32(&device, shape, &fixture.f32(mask)),
            };
            masks.mask = Some(recording.tensor(&tensor.unwrap()).unwrap());
        }
        if fixture.has(padding) {
            let shape = fixture.shape(padding);
            match fixture.bools(padding) {
                Some(bools) => {
                    let tensor = Tensor::from_u32(&device, shape, &inverted(bools)).unwrap();
                    masks.padding = Some(recording.tensor(&tensor).unwrap());
                }
                None => {
                    assert!(masks.mask.is_none(), "a float padding mask beside another mask");
                    let tensor = Tensor::from_f32(&device, [shape[0], 1, 1, shape[1]], &fixture.f32(padding));
                    masks.mask = Some(recording.tensor(&tensor.unwrap()).unwrap());
                }
            }
        }
        masks
    }

    fn options(&self) -> MultiHeadAttentionOptions<'_> {
        let mask = self.mask.as_ref().map(|mask| match mask.dtype() {
            DType::U32 => Mask::Bool(mask),
            _ => Mask::Float(mask),
        });
        MultiHeadAttentionOptions { key_padding_mask: self.padding.as_ref(), mask, ..Default::default() }
    }
}

/// `in_proj_weight` and its kin, cut into the three projections.
struct AttentionTensors {
    weights: [Vec<f32>; 3],
    biases: Option<Vec<f32>>,
    output: Vec<f32>,
    output_bias: Option<Vec<f32>>,
    model_dim: usize,
}

impl AttentionTensors {
    fn of(fixture: &Fixture, prefix: &str, model_dim: usize) -> Self {
        let name = |name: &str| format!("{prefix}{name}");
        let weights = match fixture.optional_f32(&name("in_proj_weight")) {
            Some(all) => {
                let third = all.len() / 3;
                [0, 1, 2].map(|part| all[part * third..(part + 1) * third].to_vec())
            }
            None => ["q", "k", "v"].map(|part| fixture.f32(&name(&format!("{part}_proj_weight")))),
        };
        Self {
            weights,
            biases: fixture.optional_f32(&name("in_proj_bias")),
            output: fixture.f32(&name("out_proj.weight")),
            output_bias: fixture.optional_f32(&name("out_proj.bias")),
            model_dim,
        }
    }

    fn weights(&self) -> MultiHeadAttentionWeights<'_> {
        let projection = |part: usize| HostLinear {
            weight: &self.weights[part],
            bias: self.biases.as_ref().map(|bias| &bias[part * self.model_dim..(part + 1) * self.model_dim]),
        };
        MultiHeadAttentionWeights {
            query: projection(0),
            key: projection(1),
            value: projection(2),
            output: HostLinear { weight: &self.output, bias: self.output_bias.as_deref() },
        }
    }
}

#[test]
fn multi_head_attention_agrees_with_pytorch() {
    for device in common::devices() {
        for fixture in fixtures::all("mha_") {
            check_multi_head_attention(&device, &fixture);
        }
    }
}

fn check_multi_head_attention(device: &Device, fixture: &Fixture) {
    let (model_dim, heads) = (fixture.count("embed_dim"), fixture.count("num_heads"));
    let (key_dim, value_dim) =
        (*fixture.shape("key").last().unwrap(), *fixture.shape("value").last().unwrap());
    let is_self = fixture.f32("query") == fixture.f32("key") && fixture.f32("key") == fixture.f32("value");
    let config = match is_self {
        true => MultiHeadAttentionConfig::self_attention(model_dim, heads),
        false => MultiHeadAttentionConfig::cross_attention(model_dim, heads, key_dim, value_dim),
    };
    let tensors = AttentionTensors::of(fixture, "weight.", model_dim);
    let attention = MultiHeadAttention::new(device, config.unwrap(), &tensors.weights(), DType::F32).unwrap();
    let mut recording = Recording::new(device);
    let query = input(&mut recording, fixture, "query");
    let masks = Masks::of(&mut recording, fixture, ["key_padding_mask", "attn_mask"], heads);
    let weights = match fixture.flag("average_attn_weights") {
        true => AttentionWeights::Averaged,
        false => AttentionWeights::PerHead,
    };
    let options = MultiHeadAttentionOptions { weights, ..masks.options() };
    let values = if is_self {
        attention.record_self(&mut recording, &query, &options).unwrap()
    } else {
        let key = input(&mut recording, fixture, "key");
        let value = input(&mut recording, fixture, "value");
        attention.record(&mut recording, [&query, &key, &value], &options).unwrap()
    };
    let weights = values.weights.unwrap();
    recording.output(&values.output).unwrap();
    recording.output(&weights).unwrap();
    let outputs = recording.run().unwrap();
    let weights = outputs.tensor(&weights).unwrap();
    assert_eq!(weights.shape().dims(), fixture.shape("expected.attn_output_weights"), "{}", fixture.name);
    check(fixture, device, "attn_output", &outputs.tensor(&values.output).unwrap().to_f32().unwrap());
    check(fixture, device, "attn_output_weights", &weights.to_f32().unwrap());
}

/// The tensors of an encoder layer; a layer norm without a bias has zeros.
struct LayerTensors {
    attention: AttentionTensors,
    linear: [(Vec<f32>, Option<Vec<f32>>); 2],
    norms: [(Vec<f32>, Vec<f32>); 2],
}

fn norm(fixture: &Fixture, name: &str) -> (Vec<f32>, Vec<f32>) {
    let gamma = fixture.f32(&format!("{name}.weight"));
    let beta = fixture.optional_f32(&format!("{name}.bias")).unwrap_or(vec![0.0; gamma.len()]);
    (gamma, beta)
}

impl LayerTensors {
    fn of(fixture: &Fixture, prefix: &str) -> Self {
        let linear = |name: &str| {
            let name = format!("{prefix}{name}");
            (fixture.f32(&format!("{name}.weight")), fixture.optional_f32(&format!("{name}.bias")))
        };
        let attention = format!("{prefix}self_attn.");
        Self {
            attention: AttentionTensors::of(fixture, &attention, fixture.count("d_model")),
            linear: ["linear1", "linear2"].map(linear),
            norms: ["norm1", "norm2"].map(|name| norm(fixture, &format!("{prefix}{name}"))),
        }
    }

    fn upload(&self, device: &Device, fixture: &Fixture) -> EncoderLayer {
        let config = EncoderLayerConfig {
            model_dim: fixture.count("d_model"),
            heads: fixture.count("nhead"),
            feed_forward_dim: fixture.count("dim_feedforward"),
            activation: match fixture.attribute("activation").as_str().unwrap() {
                "gelu" => Activation::Gelu,
                "relu" => Activation::Relu,
                other => panic!("{other}"),
            },
            norm_position: if fixture.flag("norm_first") { NormPosition::Pre } else { NormPosition::Post },
            epsilon: fixture.attribute("layer_norm_eps").as_f64().unwrap_or(1e-5) as f32,
            dtype: DType::F32,
        };
        let norms =
            [0, 1].map(|index| HostLayerNorm { gamma: &self.norms[index].0, beta: &self.norms[index].1 });
        let linear = [0, 1]
            .map(|index| HostLinear { weight: &self.linear[index].0, bias: self.linear[index].1.as_deref() });
        let weights = EncoderLayerWeights {
            attention: self.attention.weights(),
            attention_norm: norms[0],
            feed_forward: linear,
            feed_forward_norm: norms[1],
        };
        EncoderLayer::new(device, &config, &weights).unwrap()
    }
}

fn run_encoder(device: &Device, fixture: &Fixture, encoder: &Encoder, mask: &str) {
    let mut recording = Recording::new(device);
    let source = input(&mut recording, fixture, "src");
    let masks = Masks::of(&mut recording, fixture, ["src_key_padding_mask", mask], fixture.count("nhead"));
    let output = encoder.record(&mut recording, &source, &masks.options()).unwrap();
    recording.output(&output).unwrap();
    let output = recording.run().unwrap().tensor(&output).unwrap();
    check(fixture, device, "out", &output.to_f32().unwrap());
}

#[test]
fn encoder_layers_agree_with_pytorch() {
    for device in common::devices() {
        for fixture in fixtures::all("layer_") {
            let layer = LayerTensors::of(&fixture, "weight.").upload(&device, &fixture);
            run_encoder(&device, &fixture, &Encoder::new(vec![layer], None), "src_mask");
        }
    }
}

#[test]
fn encoder_stacks_agree_with_pytorch() {
    for device in common::devices() {
        for fixture in fixtures::all("encoder_") {
            let layers = (0..fixture.count("num_layers")).map(|index| {
                LayerTensors::of(&fixture, &format!("weight.layers.{index}.")).upload(&device, &fixture)
            });
            let layers = layers.collect();
            let norm = fixture.has("weight.norm.weight").then(|| {
                let (gamma, beta) = norm(&fixture, "weight.norm");
                LayerNormWeights::new(&device, &gamma, &beta, 1e-5).unwrap()
            });
            run_encoder(&device, &fixture, &Encoder::new(layers, norm), "mask");
        }
    }
}

#[test]
fn attention_agrees_with_scaled_dot_product_attention() {
    for device in common::devices() {
        for fixture in fixtures::all("sdpa_") {
            // f16 and bf16 inputs, and outputs rounded to them, are for case files (a later part).
            if fixture.name.contains("f16") {
                continue;
            }
            let tensor = |name: &str| {
                let shape = match fixture.shape(name)[..] {
                    [heads, length, columns] => vec![1, heads, length, columns],
                    ref shape => shape.to_vec(),
                };
                Tensor::from_f32(&device, shape, &fixture.f32(name)).unwrap()
            };
            let (query, key, value) = (tensor("query"), tensor("key"), tensor("value"));
            let mask = fixture.has("attn_mask").then(|| {
                let shape = fixture.shape("attn_mask");
                match fixture.bools("attn_mask") {
                    // Here true takes part, as with us.
                    Some(bools) => {
                        let words: Vec<u32> = bools.into_iter().map(u32::from).collect();
                        Tensor::from_u32(&device, shape, &words).unwrap()
                    }
                    None => Tensor::from_f32(&device, shape, &fixture.f32("attn_mask")).unwrap(),
                }
            });
            let mut call = attention(&query, &key, &value);
            if let Some(mask) = &mask {
                call = call.mask(mask);
            }
            if fixture.flag("is_causal") {
                call = call.causal(Causal::TopLeft);
            }
            if let Some(scale) = fixture.attribute("scale").as_f64() {
                call = call.scale(scale as f32);
            }
            check(&fixture, &device, "out", &call.run().unwrap().to_f32().unwrap());
        }
    }
}
