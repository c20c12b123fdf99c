//! Attention over channels, over space, and at sampled places, as `tests/cases/vision.py` writes them from their papers.

use super::Op;
use super::call::{Call, HostMask};
use super::file::LARGEST_SIZE;
use crate::error::Result;
use crate::layers::{
    Cbam, ChannelAttention, DeformableAttention, DeformableAttentionConfig, DeformableAttentionInputs,
    DeformableAttentionWeights, HostLinear, SpatialAttention, SqueezeExcitation,
};
use crate::ops::{DeformableInputs, deformable_attention};
use crate::recording::Value;
use crate::tensor::DType;

pub(super) const SQUEEZE_EXCITATION: Op = Op {
    name: "SqueezeExcitation",
    attributes: &[],
    inputs: &["x"],
    weights: &[&["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]],
    outputs: &["out", "scale"],
    record: |call| {
        let mlp = Mlp::of(call, ["fc1", "fc2"])?;
        let layer = SqueezeExcitation::new(call.recording.device(), mlp.sizes, mlp.host(), DType::F32)?;
        let x = call.value("x")?;
        let values = layer.record(&mut call.recording, &x)?;
        call.answer("out", &values.output)?;
        call.answer("scale", &values.map)
    },
};

pub(super) const CHANNEL_ATTENTION: Op = Op {
    name: "ChannelAttention",
    attributes: &[],
    inputs: &["x"],
    weights: &[&["mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"]],
    outputs: &["out", "map"],
    record: |call| {
        let layer = channel_attention(call, "")?;
        let x = call.value("x")?;
        let values = layer.record(&mut call.recording, &x)?;
        call.answer("out", &values.output)?;
        call.answer("map", &values.map)
    },
};

pub(super) const SPATIAL_ATTENTION: Op = Op {
    name: "SpatialAttention",
    attributes: &[],
    inputs: &["x"],
    weights: &[&["conv.weight", "conv.bias"]],
    outputs: &["out", "map"],
    record: |call| {
        let layer = spatial_attention(call, "")?;
        let x = call.value("x")?;
        let values = layer.record(&mut call.recording, &x)?;
        call.answer("out", &values.output)?;
        call.answer("map", &values.map)
    },
};

pub(super) const CBAM: Op = Op {
    name: "CBAM",
    attributes: &[],
    inputs: &["x"],
    weights: &[
        &["channel.mlp.0.weight", "channel.mlp.0.bias", "channel.mlp.2.weight", "channel.mlp.2.bias"],
        &["spatial.conv.weight", "spatial.conv.bias"],
    ],
    outputs: &["out", "channel_map", "spatial_map"],
    record: |call| {
        let channel = channel_attention(call, "channel.")?;
        let spatial = spatial_attention(call, "spatial.")?;
        let x = call.value("x")?;
        let values = Cbam { channel, spatial }.record(&mut call.recording, &x)?;
        call.answer("out", &values.output)?;
        call.answer("channel_map", &values.channel_map)?;
        call.answer("spatial_map", &values.spatial_map)
    },
};

pub(super) const MS_DEFORM_ATTN: Op = Op {
    name: "ms_deform_attn",
    attributes: &[],
    inputs: &[
        "value",
        "spatial_shapes",
        "reference_points",
        "sampling_offsets",
        "attention_weights",
        "padding_mask",
    ],
    weights: &[],
    outputs: &["out"],
    record: |call| {
        let shapes = spatial_shapes(call, "spatial_shapes")?;
        let values = call.value("value")?;
        let references = call.value("reference_points")?;
        let offsets = call.value("sampling_offsets")?;
        let weights = call.value("attention_weights")?;
        let padding = padding(call, "padding_mask")?;
        let inputs = DeformableInputs {
            values: &values,
            shapes: &shapes,
            references: &references,
            offsets: &offsets,
            weights: &weights,
            padding: padding.as_ref(),
        };
        let output = deformable_attention(&mut call.recording, &inputs)?;
        call.answer("out", &output)
    },
};

pub(super) const MS_DEFORM_ATTN_MODULE: Op = Op {
    name: "MSDeformAttn",
    attributes: &[&["d_model", "n_levels", "n_heads", "n_points"]],
    inputs: &["query", "reference_points", "input_flatten", "input_spatial_shapes", "input_padding_mask"],
    weights: &[
        &["value_proj.weight", "value_proj.bias", "sampling_offsets.weight", "sampling_offsets.bias"],
        &["attention_weights.weight", "attention_weights.bias", "output_proj.weight", "output_proj.bias"],
    ],
    outputs: &["out", "attention_weights"],
    record: |call| {
        let size = |name: &str| call.attributes().needed_count(name, 1..=LARGEST_SIZE);
        let [model_dim, levels] = [size("d_model")?, size("n_levels")?];
        let [heads, points] = [size("n_heads")?, size("n_points")?];
        let config = DeformableAttentionConfig { model_dim, heads, levels, points };
        let sampled = heads * levels * points;
        let mut parts = Vec::new();
        for (name, outputs) in [
            ("value_proj", model_dim),
            ("sampling_offsets", 2 * sampled),
            ("attention_weights", sampled),
            ("output_proj", model_dim),
        ] {
            parts.push(HostWeights::shaped(call, name, [outputs, model_dim])?);
        }
        let weights = DeformableAttentionWeights {
            value: parts[0].host(),
            sampling_offsets: parts[1].host(),
            attention_weights: parts[2].host(),
            output: parts[3].host(),
        };
        let layer = DeformableAttention::new(call.recording.device(), config, &weights, DType::F32)?;
        let shapes = spatial_shapes(call, "input_spatial_shapes")?;
        let queries = call.value("query")?;
        let references = call.value("reference_points")?;
        let input = call.value("input_flatten")?;
        let padding = padding(call, "input_padding_mask")?;
        let inputs = DeformableAttentionInputs {
            queries: &queries,
            references: &references,
            input: &input,
            shapes: &shapes,
            padding: padding.as_ref(),
        };
        let values = layer.record(&mut call.recording, &inputs)?;
        call.answer("out", &values.output)?;
        call.answer("attention_weights", &values.weights)
    },
};

/// A linear layer of the file, its bias if it has one.
struct HostWeights {
    /// `[outputs, inputs]`.
    shape: [usize; 2],
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl HostWeights {
    fn of(call: &mut Call<'_>, name: &str) -> Result<Self> {
        let shape = call.shape(&format!("weight.{name}.weight"))?;
        let &[outputs, inputs] = shape.as_slice() else {
            let problem = format!("`weight.{name}.weight` must have 2 axes, but is {shape:?}");
            return Err(call.wrong(problem));
        };
        Self::shaped(call, name, [outputs, inputs])
    }

    fn shaped(call: &mut Call<'_>, name: &str, shape: [usize; 2]) -> Result<Self> {
        let weight = call.floats(&format!("weight.{name}.weight"), &shape)?;
        let bias = format!("weight.{name}.bias");
        let bias = call.has(&bias).then(|| call.floats(&bias, &shape[..1])).transpose()?;
        Ok(Self { shape, weight, bias })
    }

    fn host(&self) -> HostLinear<'_> {
        HostLinear { weight: &self.weight, bias: self.bias.as_deref() }
    }
}

/// Two linear layers, from channels to fewer and back.
struct Mlp {
    layers: [HostWeights; 2],
    sizes: [usize; 2],
}

impl Mlp {
    fn of(call: &mut Call<'_>, names: [&str; 2]) -> Result<Self> {
        let layers = [HostWeights::of(call, names[0])?, HostWeights::of(call, names[1])?];
        let [[hidden, channels], second] = [layers[0].shape, layers[1].shape];
        if second != [channels, hidden] {
            let problem =
                format!("`weight.{}.weight` must be [{channels}, {hidden}], but is {second:?}", names[1]);
            return Err(call.wrong(problem));
        }
        Ok(Self { layers, sizes: [channels, hidden] })
    }

    fn host(&self) -> [HostLinear<'_>; 2] {
        [self.layers[0].host(), self.layers[1].host()]
    }
}

fn channel_attention(call: &mut Call<'_>, prefix: &str) -> Result<ChannelAttention> {
    let mlp = Mlp::of(call, [&format!("{prefix}mlp.0"), &format!("{prefix}mlp.2")])?;
    ChannelAttention::new(call.recording.device(), mlp.sizes, mlp.host(), DType::F32)
}

fn spatial_attention(call: &mut Call<'_>, prefix: &str) -> Result<SpatialAttention> {
    let name = format!("weight.{prefix}conv.weight");
    let weight = call.array(&name)?;
    let window = match *weight.shape.as_slice() {
        [1, 2, rows, columns] if rows == columns => rows,
        _ => {
            let problem = format!("`{name}` must be [1, 2, k, k], but is {:?}", weight.shape);
            return Err(call.wrong(problem));
        }
    };
    let bias = format!("weight.{prefix}conv.bias");
    let bias = call.has(&bias).then(|| call.floats(&bias, &[1])).transpose()?;
    let bias = bias.map_or(0.0, |bias| bias[0]);
    SpatialAttention::new(call.recording.device(), window, &weight.values, bias)
}

/// Height and width of each level.
fn spatial_shapes(call: &mut Call<'_>, name: &str) -> Result<Vec<[usize; 2]>> {
    let (shape, counts) = call.counts(name)?;
    if shape.len() != 2 || shape[1] != 2 {
        return Err(call.wrong(format!("`{name}` must be [levels, 2], but is {shape:?}")));
    }
    Ok(counts.chunks_exact(2).map(|level| [level[0] as usize, level[1] as usize]).collect())
}

/// A mask in which true is padding, as the kernels have it: nonzero takes part.
fn padding(call: &mut Call<'_>, name: &str) -> Result<Option<Value>> {
    if !call.has(name) {
        return Ok(None);
    }
    let (shape, mask) = call.mask(name)?;
    let HostMask::Bool(mask) = mask else {
        return Err(call.wrong(format!("`{name}` must be BOOL, true for padding")));
    };
    let keep: Vec<bool> = mask.into_iter().map(|padding| !padding).collect();
    Ok(Some(call.upload_bools(&shape, &keep)?))
}
