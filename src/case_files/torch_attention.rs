//! PyTorch's `scaled_dot_product_attention` and `MultiheadAttention`.

use super::Op;
use super::call::{Array, Call, DeviceMask, Finish, HostMask};
use super::file::LARGEST_SIZE;
use super::gradients::renamed;
use crate::error::Result;
use crate::layers::{
    AttentionWeights, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionOptions,
    MultiHeadAttentionWeights,
};
use crate::ops::{Attention, Causal, Heads, Layout};
use crate::recording::Value;
use crate::tensor::DType;

pub(super) const SCALED_DOT_PRODUCT_ATTENTION: Op = Op {
    name: "scaled_dot_product_attention",
    attributes: &[&["is_causal", "scale", "enable_gqa"]],
    inputs: &["query", "key", "value", "attn_mask"],
    weights: &[],
    outputs: &["out"],
    record: record_scaled_dot_product_attention,
};

pub(super) const MULTIHEAD_ATTENTION: Op = Op {
    name: "MultiheadAttention",
    attributes: &[
        &["embed_dim", "num_heads", "dropout", "bias", "add_bias_kv", "add_zero_attn", "kdim", "vdim"],
        &["batch_first", "average_attn_weights"],
    ],
    inputs: &["query", "key", "value", "key_padding_mask", "attn_mask"],
    weights: &[
        &[
            "in_proj_weight",
            "q_proj_weight",
            "k_proj_weight",
            "v_proj_weight",
            "in_proj_bias",
            "bias_k",
            "bias_v",
        ],
        &["out_proj.weight", "out_proj.bias"],
    ],
    outputs: &["attn_output", "attn_output_weights"],
    record: record_multihead_attention,
};

/// `[…, heads, length, columns]` as `[batch, heads, length, columns]`.
fn heads_first(shape: &[usize]) -> Option<[usize; 4]> {
    match *shape {
        [length, columns] => Some([1, 1, length, columns]),
        [heads, length, columns] => Some([1, heads, length, columns]),
        [ref batch @ .., heads, length, columns] => {
            let batch = batch.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
            Some([batch, heads, length, columns])
        }
        _ => None,
    }
}

fn record_scaled_dot_product_attention(call: &mut Call<'_>) -> Result<()> {
    let shape = call.shape("query")?;
    let mut tensors = Vec::new();
    for name in ["query", "key", "value"] {
        let array = call.array(name)?;
        let Some(dims) = heads_first(&array.shape).filter(|_| array.shape.len() == shape.len()) else {
            let problem = format!(
                "`{name}` {:?} must be [batch…, length, columns], and of the rank of `query` {shape:?}",
                array.shape
            );
            return Err(call.wrong(problem));
        };
        let value = call.upload_floats(&dims, &array.values)?;
        call.differentiate(name, &value, |array| array)?;
        tensors.push(value);
    }
    let [q, k, v] = [&tensors[0], &tensors[1], &tensors[2]];
    let (heads, key_heads) = (q.shape()[1], k.shape()[1]);
    if heads != key_heads && !call.attributes().flag("enable_gqa", false)? {
        let problem = format!(
            "`query` has {heads} heads and `key` {key_heads}, which needs the attribute `enable_gqa`"
        );
        return Err(call.wrong(problem));
    }
    let mask = if call.has("attn_mask") {
        let (mask_shape, mask) = call.mask("attn_mask")?;
        // The axes before the heads are one here.
        let dims = match mask_shape.len() {
            0..=4 => Some(mask_shape.clone()),
            rank if rank == shape.len() => {
                let (batch, rest) = mask_shape.split_at(rank - 3);
                let one = batch.iter().all(|&size| size == 1);
                let dims = [&[if one { 1 } else { q.shape()[0] }], rest].concat();
                (one || batch == &shape[..rank - 3]).then_some(dims)
            }
            _ => None,
        };
        let Some(dims) = dims else {
            return Err(call.wrong(format!("`attn_mask` {mask_shape:?} does not fit `query` {shape:?}")));
        };
        let mask = call.upload_mask(&dims, &mask)?;
        mask.differentiate(call, "attn_mask")?;
        Some(mask)
    } else {
        None
    };
    let mut attention = Attention::new().output_layout(Layout::HeadsFirst);
    if let Some(mask) = &mask {
        attention = attention.mask(mask.get());
    }
    if call.attributes().flag("is_causal", false)? {
        attention = attention.causal(Causal::TopLeft);
    }
    if let Some(scale) = call.attributes().number("scale")? {
        attention = attention.scale(scale);
    }
    let (q, k, v) = (Heads::dense(q)?, Heads::dense(k)?, Heads::dense(v)?);
    let output = attention.record(&mut call.recording, &q, &k, &v)?.output;
    let columns = output.shape().last();
    let output = output.reshape([&shape[..shape.len() - 1], &[columns]].concat())?;
    call.answer("out", &output)
}

/// How PyTorch's modules lay the axes of a sequence.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum SequenceLayout {
    BatchFirst,
    /// `[length, batch, columns]`, which is PyTorch's default.
    BatchSecond,
    Unbatched,
}

impl SequenceLayout {
    /// By the attribute `batch_first`, and by the rank of a sequence.
    pub(super) fn of(call: &mut Call<'_>, name: &str) -> Result<Self> {
        let shape = call.shape(name)?;
        match (shape.len(), call.attributes().flag("batch_first", false)?) {
            (2, _) => Ok(Self::Unbatched),
            (3, true) => Ok(Self::BatchFirst),
            (3, false) => Ok(Self::BatchSecond),
            _ => Err(call.wrong(format!("`{name}` must have 2 or 3 axes, but is {shape:?}"))),
        }
    }

    /// A sequence as `[batch, length, columns]`.
    pub(super) fn read(self, call: &mut Call<'_>, name: &str, columns: usize) -> Result<Array> {
        let mut array = call.array(name)?;
        let rank = if self == Self::Unbatched { 2 } else { 3 };
        if array.shape.len() != rank || array.shape.last() != Some(&columns) {
            let problem =
                format!("`{name}` must have {rank} axes and {columns} columns, but is {:?}", array.shape);
            return Err(call.wrong(problem));
        }
        match self {
            Self::BatchFirst => {}
            Self::BatchSecond => array = array.swapped(),
            Self::Unbatched => array.shape.insert(0, 1),
        }
        Ok(array)
    }

    /// A sequence on its way out.
    pub(super) fn finish(self) -> Finish {
        match self {
            Self::BatchFirst => |array| array,
            Self::BatchSecond => Array::swapped,
            Self::Unbatched => without_batch,
        }
    }
}

/// The one item of a batch.
fn without_batch(mut array: Array) -> Array {
    array.shape.remove(0);
    array
}

/// PyTorch's masks of a module, in which true leaves out, as ours.
pub(super) struct Masks {
    /// `[batch, keys]`, nonzero takes part.
    padding: Option<Value>,
    mask: Option<DeviceMask>,
}

impl Masks {
    pub(super) fn of(
        call: &mut Call<'_>,
        [mask, padding]: [&str; 2],
        [batch, heads, queries, keys]: [usize; 4],
    ) -> Result<Self> {
        let inverted = |mask: HostMask| match mask {
            HostMask::Bool(values) => HostMask::Bool(values.into_iter().map(|out| !out).collect()),
            float => float,
        };
        let batch_heads = batch.saturating_mul(heads);
        let mut masks = Self { padding: None, mask: None };
        let mut scores_mask = None;
        if call.has(mask) {
            let (shape, values) = call.mask(mask)?;
            let dims = if shape == [queries, keys] {
                [1, 1, queries, keys]
            } else if shape == [batch_heads, queries, keys] {
                [batch, heads, queries, keys]
            } else {
                let problem = format!(
                    "`{mask}` must be [{queries}, {keys}] or [{}, {queries}, {keys}], but is {shape:?}",
                    batch_heads
                );
                return Err(call.wrong(problem));
            };
            scores_mask = Some((dims, inverted(values)));
        }
        if call.has(padding) {
            let (shape, values) = call.mask(padding)?;
            // Of a batch of one the axis may be left out.
            if shape != [batch, keys] && !(batch == 1 && shape == [keys]) {
                return Err(call.wrong(format!("`{padding}` must be [{batch}, {keys}], but is {shape:?}")));
            }
            match inverted(values) {
                HostMask::Bool(values) => masks.padding = Some(call.upload_bools(&[batch, keys], &values)?),
                // Both are added to the scores, so they are one mask.
                HostMask::Float(values) => {
                    let dims = scores_mask.as_ref().map_or([1, 1, 1, keys], |(dims, _)| *dims);
                    let dims = [batch, dims[1], dims[2], keys];
                    call.room(&dims, "the masks, added,")?;
                    let sum = added(dims, scores_mask, &values);
                    scores_mask = Some((dims, HostMask::Float(sum)));
                }
            }
        }
        if let Some((dims, values)) = scores_mask {
            let uploaded = call.upload_mask(&dims, &values)?;
            // A sum of both has not the mask's own elements.
            if !call.has(padding) || masks.padding.is_some() {
                uploaded.differentiate(call, mask)?;
            }
            masks.mask = Some(uploaded);
        }
        Ok(masks)
    }

    pub(super) fn options(&self) -> MultiHeadAttentionOptions<'_> {
        MultiHeadAttentionOptions {
            key_padding_mask: self.padding.as_ref(),
            mask: self.mask.as_ref().map(DeviceMask::get),
            ..Default::default()
        }
    }
}

/// A mask of `[1 or batch, …]`, and a padding `[batch, keys]`, as one of `dims`.
fn added(
    dims @ [batch, heads, queries, keys]: [usize; 4],
    mask: Option<([usize; 4], HostMask)>,
    padding: &[f32],
) -> Vec<f32> {
    if batch == 0 {
        return Vec::new();
    }
    let rows = heads * queries;
    let bias = |item: usize, row: usize, key: usize| match &mask {
        None => 0.0,
        Some((shape, values)) => {
            let item = if shape[0] == dims[0] { item } else { 0 };
            let place = (item * rows + row) * keys + key;
            match values {
                HostMask::Float(values) => values[place],
                HostMask::Bool(values) if values[place] => 0.0,
                HostMask::Bool(_) => f32::NEG_INFINITY,
            }
        }
    };
    let mut sum = Vec::with_capacity(batch * rows * keys);
    for item in 0..batch {
        for row in 0..rows {
            sum.extend((0..keys).map(|key| bias(item, row, key) + padding[item * keys + key]));
        }
    }
    sum
}

/// `in_proj_weight` and its kin, cut into the three projections.
pub(super) struct AttentionTensors {
    model_dim: usize,
    inputs: [Vec<f32>; 3],
    input_bias: Option<Vec<f32>>,
    output: Vec<f32>,
    output_bias: Option<Vec<f32>>,
    /// All three inputs have the width of the model.
    pub(super) packed: bool,
}

impl AttentionTensors {
    /// The weights of the attention at `prefix` of a model of `width`, keys and values of those widths, with a bias if
    /// `bias`.
    pub(super) fn of(
        call: &mut Call<'_>,
        prefix: &str,
        [width, key_width, value_width]: [usize; 3],
        bias: bool,
    ) -> Result<Self> {
        let packed = key_width == width && value_width == width;
        let inputs = if packed {
            let all = call.floats(&format!("{prefix}in_proj_weight"), &[3 * width, width])?;
            let third = width * width;
            [0, 1, 2].map(|part| all[part * third..(part + 1) * third].to_vec())
        } else {
            [
                call.floats(&format!("{prefix}q_proj_weight"), &[width, width])?,
                call.floats(&format!("{prefix}k_proj_weight"), &[width, key_width])?,
                call.floats(&format!("{prefix}v_proj_weight"), &[width, value_width])?,
            ]
        };
        let mut of_bias = |name: &str, size: usize| {
            bias.then(|| call.floats(&format!("{prefix}{name}"), &[size])).transpose()
        };
        let (input_bias, output_bias) =
            (of_bias("in_proj_bias", 3 * width)?, of_bias("out_proj.bias", width)?);
        let output = call.floats(&format!("{prefix}out_proj.weight"), &[width, width])?;
        Ok(Self { model_dim: width, inputs, input_bias, output, output_bias, packed })
    }

    /// Where the file has a part of the attention's own parameters, such as `key.bias`.
    pub(super) fn place(&self, prefix: &str, own: &str) -> (String, [usize; 2]) {
        let (part, kind) = own.split_once('.').unwrap_or((own, ""));
        let third = ["query", "key", "value"].iter().position(|&name| name == part);
        match (third, kind) {
            (None, _) => (format!("{prefix}out_proj.{kind}"), [0; 2]),
            (Some(third), "weight") if !self.packed => {
                (format!("{prefix}{}_proj_weight", ["q", "k", "v"][third]), [0; 2])
            }
            (Some(third), _) => (format!("{prefix}in_proj_{kind}"), [third * self.model_dim, 0]),
        }
    }

    pub(super) fn weights(&self) -> MultiHeadAttentionWeights<'_> {
        let projection = |part: usize| HostLinear {
            weight: &self.inputs[part],
            bias: self
                .input_bias
                .as_ref()
                .map(|bias| &bias[part * self.model_dim..(part + 1) * self.model_dim]),
        };
        MultiHeadAttentionWeights {
            query: projection(0),
            key: projection(1),
            value: projection(2),
            output: HostLinear { weight: &self.output, bias: self.output_bias.as_deref() },
        }
    }
}

fn record_multihead_attention(call: &mut Call<'_>) -> Result<()> {
    let attributes = call.attributes();
    let sizes = 1..=LARGEST_SIZE;
    let width = attributes.needed_count("embed_dim", sizes.clone())?;
    let heads = attributes.needed_count("num_heads", sizes.clone())?;
    let key_width = attributes.count("kdim", sizes.clone())?.unwrap_or(width);
    let value_width = attributes.count("vdim", sizes)?.unwrap_or(width);
    attributes.number("dropout")?;
    let layout = SequenceLayout::of(call, "query")?;
    let query = layout.read(call, "query", width)?;
    let key = layout.read(call, "key", key_width)?;
    let value = layout.read(call, "value", value_width)?;
    if key.shape[..2] != value.shape[..2] || key.shape[0] != query.shape[0] {
        let problem = format!(
            "`query`, `key` and `value` must be of one batch, `key` and `value` of one length, but are {:?}, {:?} and {:?} (batch first)",
            query.shape, key.shape, value.shape
        );
        return Err(call.wrong(problem));
    }
    let tensors = AttentionTensors::of(
        call,
        "weight.",
        [width, key_width, value_width],
        attributes.flag("bias", true)?,
    )?;
    let bits = |array: &Array| array.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    // Gradients by the inputs are those of each for itself.
    let asks = ["query", "key", "value"].iter().any(|name| call.asks_gradient(name));
    let is_self = !asks && tensors.packed && bits(&query) == bits(&key) && bits(&key) == bits(&value);
    let config = match is_self {
        true => MultiHeadAttentionConfig::self_attention(width, heads)?,
        false => MultiHeadAttentionConfig::cross_attention(width, heads, key_width, value_width)?,
    };
    let device = call.recording.device().clone();
    let attention = MultiHeadAttention::new(&device, config, &tensors.weights(), DType::F32)?;
    let bias_kv = match attributes.flag("add_bias_kv", false)? {
        true => {
            let shape = [1, 1, width];
            Some([call.floats("weight.bias_k", &shape)?, call.floats("weight.bias_v", &shape)?])
        }
        false => None,
    };
    let bias_kv = bias_kv.as_ref().map(|[key, value]| [&key[..], &value[..]]);
    let attention =
        attention.with_appended_keys(&device, bias_kv, attributes.flag("add_zero_attn", false)?)?;
    let place = |name: &str| tensors.place("weight.", name);
    call.train(&renamed(attention.parameters(), place), |array| array)?;
    let dims = [query.shape[0], heads, query.shape[1], key.shape[1]];
    let masks = Masks::of(call, ["attn_mask", "key_padding_mask"], dims)?;
    let weights = match (call.expects("attn_output_weights"), attributes.flag("average_attn_weights", true)?)
    {
        (false, _) => AttentionWeights::None,
        (true, true) => AttentionWeights::Averaged,
        (true, false) => AttentionWeights::PerHead,
    };
    let options = MultiHeadAttentionOptions { weights, ..masks.options() };
    let query = call.upload(&query)?;
    let values = if is_self {
        attention.record_self(&mut call.recording, &query, &options)?
    } else {
        let (key, value) = (call.upload(&key)?, call.upload(&value)?);
        for (name, input) in [("query", &query), ("key", &key), ("value", &value)] {
            call.differentiate(name, input, layout.finish())?;
        }
        attention.record(&mut call.recording, [&query, &key, &value], &options)?
    };
    call.answer_as("attn_output", &values.output, layout.finish())?;
    if let Some(weights) = values.weights {
        let finish: Finish = if layout == SequenceLayout::Unbatched { without_batch } else { |array| array };
        call.answer_as("attn_output_weights", &weights, finish)?;
    }
    Ok(())
}
