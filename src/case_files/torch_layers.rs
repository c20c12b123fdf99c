//! PyTorch's `TransformerEncoderLayer` and `TransformerDecoderLayer`, and their stacks.

use super::Op;
use super::call::Call;
use super::file::LARGEST_SIZE;
use super::gradients::renamed;
use super::torch_attention::{AttentionTensors, Masks, SequenceLayout};
use crate::error::Result;
use crate::layers::{
    DecoderLayer, DecoderLayerConfig, DecoderLayerOptions, DecoderLayerWeights, Encoder, EncoderLayer,
    EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm, HostLinear, NormPosition, Parameter, Parameters,
};
use crate::ops::{Activation, LayerNormWeights, layer_norm};
use crate::tensor::DType;

const ATTRIBUTES: &[&str] = &[
    "d_model",
    "nhead",
    "dim_feedforward",
    "dropout",
    "activation",
    "layer_norm_eps",
    "batch_first",
    "norm_first",
    "bias",
];

/// What a stack has beside its layers' attributes.
const STACK: &[&str] = &["num_layers", "norm_eps"];

const DECODER_INPUTS: &[&str] =
    &["tgt", "memory", "tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"];

const SELF_ATTENTION: &[&str] = &[
    "self_attn.in_proj_weight",
    "self_attn.in_proj_bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
];
const CROSS_ATTENTION: &[&str] = &[
    "multihead_attn.in_proj_weight",
    "multihead_attn.in_proj_bias",
    "multihead_attn.out_proj.weight",
    "multihead_attn.out_proj.bias",
];
const FEED_FORWARD: &[&str] = &["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"];
const TWO_NORMS: &[&str] = &["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"];
const THIRD_NORM: &[&str] = &["norm3.weight", "norm3.bias"];
const LAST_NORM: &[&str] = &["norm.weight", "norm.bias"];

/// PyTorch's two names, and one for each other function that it takes and that the layers have.
const ACTIVATIONS: &[(&str, Activation)] = &[
    ("relu", Activation::Relu),
    ("gelu", Activation::Gelu),
    ("gelu_tanh", Activation::GeluTanh),
    ("silu", Activation::Silu),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
];

pub(super) const TRANSFORMER_ENCODER_LAYER: Op = Op {
    name: "TransformerEncoderLayer",
    attributes: &[ATTRIBUTES],
    inputs: &["src", "src_mask", "src_key_padding_mask"],
    weights: &[SELF_ATTENTION, FEED_FORWARD, TWO_NORMS],
    outputs: &["out"],
    record: |call| {
        let config = Config::of(call)?;
        let mut parameters = Vec::new();
        let layers = vec![encoder_layer(call, &config, "weight.", &mut parameters)?];
        call.train(&parameters, |array| array)?;
        record_encoder(call, &config, &Encoder::new(layers, None)?, "src_mask")
    },
};

pub(super) const TRANSFORMER_ENCODER: Op = Op {
    name: "TransformerEncoder",
    attributes: &[ATTRIBUTES, STACK],
    inputs: &["src", "mask", "src_key_padding_mask"],
    weights: &[SELF_ATTENTION, FEED_FORWARD, TWO_NORMS, LAST_NORM],
    outputs: &["out"],
    record: |call| {
        let config = Config::of(call)?;
        let mut parameters = Vec::new();
        let layers = in_stack(call, |call, prefix| encoder_layer(call, &config, prefix, &mut parameters))?;
        let norm = last_norm(call, &config, &mut parameters)?;
        call.train(&parameters, |array| array)?;
        record_encoder(call, &config, &Encoder::new(layers, norm)?, "mask")
    },
};

pub(super) const TRANSFORMER_DECODER_LAYER: Op = Op {
    name: "TransformerDecoderLayer",
    attributes: &[ATTRIBUTES],
    inputs: DECODER_INPUTS,
    weights: &[SELF_ATTENTION, CROSS_ATTENTION, FEED_FORWARD, TWO_NORMS, THIRD_NORM],
    outputs: &["out"],
    record: |call| {
        let config = Config::of(call)?;
        let mut parameters = Vec::new();
        let layers = vec![decoder_layer(call, &config, "weight.", &mut parameters)?];
        call.train(&parameters, |array| array)?;
        record_decoder(call, &config, &layers, None)
    },
};

pub(super) const TRANSFORMER_DECODER: Op = Op {
    name: "TransformerDecoder",
    attributes: &[ATTRIBUTES, STACK],
    inputs: DECODER_INPUTS,
    weights: &[SELF_ATTENTION, CROSS_ATTENTION, FEED_FORWARD, TWO_NORMS, THIRD_NORM, LAST_NORM],
    outputs: &["out"],
    record: |call| {
        let config = Config::of(call)?;
        let mut parameters = Vec::new();
        let layers = in_stack(call, |call, prefix| decoder_layer(call, &config, prefix, &mut parameters))?;
        let norm = last_norm(call, &config, &mut parameters)?;
        call.train(&parameters, |array| array)?;
        record_decoder(call, &config, &layers, norm.as_ref())
    },
};

/// The layers of a stack, each by the prefix of its weights.
fn in_stack<'a, T>(
    call: &mut Call<'a>,
    mut layer: impl FnMut(&mut Call<'a>, &str) -> Result<T>,
) -> Result<Vec<T>> {
    let count = call.attributes().needed_count("num_layers", 1..=LARGEST_SIZE)?;
    let mut layers = Vec::new();
    for index in 0..count {
        layers.push(layer(call, &format!("weight.layers.{index}."))?);
    }
    Ok(layers)
}

/// The norm behind a stack, where it has one.
fn last_norm(
    call: &mut Call<'_>,
    config: &Config,
    parameters: &mut Vec<Parameter>,
) -> Result<Option<LayerNormWeights>> {
    // It is made by itself, so that its ε is not the layers'.
    let epsilon = call.attributes().number("norm_eps")?.unwrap_or(1e-5);
    if !call.has("weight.norm.weight") {
        return Ok(None);
    }
    let norm = Norm::of(call, config, "weight.norm")?;
    let norm = LayerNormWeights::new(call.recording.device(), &norm.gamma, &norm.beta, epsilon)?;
    let mut own = Parameters::new();
    own.norm("weight.norm", &norm);
    parameters.extend(own.into_vec());
    Ok(Some(norm))
}

/// The attribute `activation`, if it is there.
pub(super) fn activation(call: &Call<'_>) -> Result<Option<Activation>> {
    let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
    let name = call.attributes().text("activation", &names)?;
    let named = ACTIVATIONS.iter().find(|(known, _)| Some(*known) == name);
    Ok(named.map(|(_, activation)| *activation))
}

/// The constructor's arguments, PyTorch's defaults where they are absent.
struct Config {
    model_dim: usize,
    heads: usize,
    feed_forward_dim: usize,
    activation: Activation,
    epsilon: f32,
    norm_position: NormPosition,
    bias: bool,
}

impl Config {
    fn of(call: &Call<'_>) -> Result<Self> {
        let attributes = call.attributes();
        attributes.number("dropout")?;
        let sizes = 1..=LARGEST_SIZE;
        Ok(Self {
            model_dim: attributes.needed_count("d_model", sizes.clone())?,
            heads: attributes.needed_count("nhead", sizes.clone())?,
            feed_forward_dim: attributes.count("dim_feedforward", sizes)?.unwrap_or(2048),
            activation: activation(call)?.unwrap_or(Activation::Relu),
            epsilon: attributes.number("layer_norm_eps")?.unwrap_or(1e-5),
            norm_position: match attributes.flag("norm_first", false)? {
                true => NormPosition::Pre,
                false => NormPosition::Post,
            },
            bias: attributes.flag("bias", true)?,
        })
    }
}

/// A layer norm; without a bias β is 0.
struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Norm {
    fn of(call: &mut Call<'_>, config: &Config, name: &str) -> Result<Self> {
        let gamma = call.floats(&format!("{name}.weight"), &[config.model_dim])?;
        let bias = format!("{name}.bias");
        // A stack's own norm may have one where its layers have none.
        let beta = match config.bias || call.has(&bias) {
            true => call.floats(&bias, &[config.model_dim])?,
            false => vec![0.0; config.model_dim],
        };
        Ok(Self { gamma, beta })
    }

    fn host(&self) -> HostLayerNorm<'_> {
        HostLayerNorm { gamma: &self.gamma, beta: &self.beta }
    }
}

/// What encoder and decoder layers have in common.
struct LayerTensors {
    attention: AttentionTensors,
    linear: [(Vec<f32>, Option<Vec<f32>>); 2],
    norms: Vec<Norm>,
}

impl LayerTensors {
    fn of(call: &mut Call<'_>, config: &Config, prefix: &str, norms: usize) -> Result<Self> {
        let (width, hidden) = (config.model_dim, config.feed_forward_dim);
        let mut linear = |name: &str, [outputs, inputs]: [usize; 2]| -> Result<_> {
            let weight = call.floats(&format!("{prefix}{name}.weight"), &[outputs, inputs])?;
            let bias =
                config.bias.then(|| call.floats(&format!("{prefix}{name}.bias"), &[outputs])).transpose()?;
            Ok((weight, bias))
        };
        let linear = [linear("linear1", [hidden, width])?, linear("linear2", [width, hidden])?];
        let attention = AttentionTensors::of(call, &format!("{prefix}self_attn."), [width; 3], config.bias)?;
        let norms = (1..=norms).map(|number| Norm::of(call, config, &format!("{prefix}norm{number}")));
        let norms = norms.collect::<Result<_>>()?;
        Ok(Self { attention, linear, norms })
    }

    fn feed_forward(&self) -> [HostLinear<'_>; 2] {
        [0, 1]
            .map(|index| HostLinear { weight: &self.linear[index].0, bias: self.linear[index].1.as_deref() })
    }

    /// Where the file has a part of the layer's own parameters, such as `feed_forward.up.weight`, that is none of an attention's. The
    /// norms have those names.
    fn place(prefix: &str, own: &str, norms: &[&str]) -> (String, [usize; 2]) {
        let (part, kind) = own.rsplit_once('.').unwrap_or((own, ""));
        let name = match norms.iter().position(|&norm| norm == part) {
            Some(place) => format!("norm{}", place + 1),
            None if part == "feed_forward.up" => "linear1".to_owned(),
            None => "linear2".to_owned(),
        };
        (format!("{prefix}{name}.{kind}"), [0; 2])
    }
}

/// The layer whose weights have that prefix, and its parameters by the file's names.
fn encoder_layer(
    call: &mut Call<'_>,
    config: &Config,
    prefix: &str,
    parameters: &mut Vec<Parameter>,
) -> Result<EncoderLayer> {
    let tensors = LayerTensors::of(call, config, prefix, 2)?;
    let weights = EncoderLayerWeights {
        attention: tensors.attention.weights(),
        attention_norm: tensors.norms[0].host(),
        feed_forward: tensors.feed_forward(),
        feed_forward_norm: tensors.norms[1].host(),
    };
    let &Config { model_dim, heads, feed_forward_dim, activation, epsilon, norm_position, .. } = config;
    let config = EncoderLayerConfig {
        model_dim,
        heads,
        feed_forward_dim,
        activation,
        norm_position,
        epsilon,
        dtype: DType::F32,
    };
    let layer = EncoderLayer::new(call.recording.device(), &config, &weights)?;
    parameters.extend(renamed(layer.parameters(), |own| match own.split_once('.') {
        Some(("attention", rest)) => tensors.attention.place(&format!("{prefix}self_attn."), rest),
        _ => LayerTensors::place(prefix, own, &["attention_norm", "feed_forward_norm"]),
    }));
    Ok(layer)
}

fn record_encoder(call: &mut Call<'_>, config: &Config, encoder: &Encoder, mask: &str) -> Result<()> {
    let layout = SequenceLayout::of(call, "src")?;
    let source = layout.read(call, "src", config.model_dim)?;
    let (batch, length) = (source.shape[0], source.shape[1]);
    let dims = [batch, config.heads, length, length];
    let masks = Masks::of(call, [mask, "src_key_padding_mask"], dims)?;
    let source = call.upload(&source)?;
    call.differentiate("src", &source, layout.finish())?;
    let output = encoder.record(&mut call.recording, &source, &masks.options())?;
    call.answer_as("out", &output, layout.finish())
}

/// As [`encoder_layer`].
fn decoder_layer(
    call: &mut Call<'_>,
    config: &Config,
    prefix: &str,
    parameters: &mut Vec<Parameter>,
) -> Result<DecoderLayer> {
    let tensors = LayerTensors::of(call, config, prefix, 3)?;
    let cross = format!("{prefix}multihead_attn.");
    let cross = AttentionTensors::of(call, &cross, [config.model_dim; 3], config.bias)?;
    let weights = DecoderLayerWeights {
        self_attention: tensors.attention.weights(),
        self_attention_norm: tensors.norms[0].host(),
        cross_attention: cross.weights(),
        cross_attention_norm: tensors.norms[1].host(),
        feed_forward: tensors.feed_forward(),
        feed_forward_norm: tensors.norms[2].host(),
    };
    let &Config { model_dim, heads, feed_forward_dim, activation, epsilon, norm_position, .. } = config;
    let config = DecoderLayerConfig {
        model_dim,
        heads,
        feed_forward_dim,
        activation,
        norm_position,
        epsilon,
        dtype: DType::F32,
    };
    let layer = DecoderLayer::new(call.recording.device(), &config, &weights)?;
    let norms = ["self_attention_norm", "cross_attention_norm", "feed_forward_norm"];
    parameters.extend(renamed(layer.parameters(), |own| match own.split_once('.') {
        Some(("self_attention", rest)) => tensors.attention.place(&format!("{prefix}self_attn."), rest),
        Some(("cross_attention", rest)) => cross.place(&format!("{prefix}multihead_attn."), rest),
        _ => LayerTensors::place(prefix, own, &norms),
    }));
    Ok(layer)
}

fn record_decoder(
    call: &mut Call<'_>,
    config: &Config,
    layers: &[DecoderLayer],
    norm: Option<&LayerNormWeights>,
) -> Result<()> {
    let layout = SequenceLayout::of(call, "tgt")?;
    let target = layout.read(call, "tgt", config.model_dim)?;
    let memory = layout.read(call, "memory", config.model_dim)?;
    let (batch, queries, keys) = (target.shape[0], target.shape[1], memory.shape[1]);
    let own_dims = [batch, config.heads, queries, queries];
    let own = Masks::of(call, ["tgt_mask", "tgt_key_padding_mask"], own_dims)?;
    let cross_dims = [batch, config.heads, queries, keys];
    let to_memory = Masks::of(call, ["memory_mask", "memory_key_padding_mask"], cross_dims)?;
    let (mut target, memory) = (call.upload(&target)?, call.upload(&memory)?);
    call.differentiate("tgt", &target, layout.finish())?;
    call.differentiate("memory", &memory, layout.finish())?;
    let options = DecoderLayerOptions { self_attention: own.options(), cross_attention: to_memory.options() };
    for layer in layers {
        target = layer.record(&mut call.recording, &target, &memory, &options)?.output;
    }
    if let Some(norm) = norm {
        target = layer_norm(&mut call.recording, &target, None, norm)?;
    }
    call.answer_as("out", &target, layout.finish())
}
