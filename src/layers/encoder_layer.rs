//! An encoder layer: self-attention and feed-forward, each with its residual and its norm.

use super::residual_block::ResidualBlock;
use super::{
    FeedForward, HostLayerNorm, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig,
    MultiHeadAttentionOptions, MultiHeadAttentionValues, MultiHeadAttentionWeights, NormPosition, Parameter,
    Parameters, expect_sequence,
};
use crate::device::Device;
use crate::error::Result;
use crate::ops::Activation;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "encoder_layer";

/// The sizes and options of an encoder layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EncoderLayerConfig {
    /// Columns of the input and the output.
    pub model_dim: usize,
    /// Attention heads.
    pub heads: usize,
    /// Columns inside the feed-forward network.
    pub feed_forward_dim: usize,
    /// Its activation.
    pub activation: Activation,
    /// Where the norms stand.
    pub norm_position: NormPosition,
    /// ε of the norms.
    pub epsilon: f32,
    /// The dtype of the weights: f32 or f16.
    pub dtype: DType,
}

impl EncoderLayerConfig {
    /// A layer with ReLU, norms behind the blocks with an ε of 1e-5, and weights in f32, as PyTorch's `nn.TransformerEncoderLayer` is
    /// by default. Each field may be set.
    pub fn new(model_dim: usize, heads: usize, feed_forward_dim: usize) -> Self {
        Self {
            model_dim,
            heads,
            feed_forward_dim,
            activation: Activation::Relu,
            norm_position: NormPosition::Post,
            epsilon: 1e-5,
            dtype: DType::F32,
        }
    }
}

/// The weights of an encoder layer on the host.
#[derive(Clone, Copy, Debug)]
pub struct EncoderLayerWeights<'a> {
    /// Self-attention.
    pub attention: MultiHeadAttentionWeights<'a>,
    /// The norm of the attention block.
    pub attention_norm: HostLayerNorm<'a>,
    /// W₁ `[feed_forward_dim, model_dim]` and W₂ `[model_dim, feed_forward_dim]`.
    pub feed_forward: [HostLinear<'a>; 2],
    /// The norm of the feed-forward block.
    pub feed_forward_norm: HostLayerNorm<'a>,
}

/// The names that a checkpoint has for an encoder layer's parts.
pub(crate) struct EncoderLayerNames {
    /// Query, key, value and output.
    pub attention: [String; 4],
    pub attention_norm: String,
    /// Up and down.
    pub feed_forward: [String; 2],
    pub feed_forward_norm: String,
}

impl EncoderLayerNames {
    fn own() -> Self {
        Self {
            attention: own_projections("attention"),
            attention_norm: "attention_norm".to_owned(),
            feed_forward: ["feed_forward.up".to_owned(), "feed_forward.down".to_owned()],
            feed_forward_norm: "feed_forward_norm".to_owned(),
        }
    }
}

/// The layers' own names for the projections of an attention.
pub(super) fn own_projections(attention: &str) -> [String; 4] {
    ["query", "key", "value", "output"].map(|part| format!("{attention}.{part}"))
}

/// An encoder layer on a device.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    attention: MultiHeadAttention,
    attention_block: ResidualBlock,
    feed_forward: FeedForward,
    feed_forward_block: ResidualBlock,
}

impl EncoderLayer {
    /// Uploads the weights.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if sizes do not fit, for an ε that is negative or not finite and for
    /// another dtype than f32 and f16,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn new(
        device: &Device,
        config: &EncoderLayerConfig,
        weights: &EncoderLayerWeights<'_>,
    ) -> Result<Self> {
        let &EncoderLayerConfig { model_dim, heads, feed_forward_dim, activation, dtype, .. } = config;
        let attention = MultiHeadAttentionConfig::self_attention(model_dim, heads)?;
        let block = |[name, norm_name]: [_; 2], norm| {
            let how = (model_dim, config.epsilon, config.norm_position);
            ResidualBlock::new(device, [OP, name, norm_name], norm, how)
        };
        let sizes = [model_dim, feed_forward_dim];
        Ok(Self {
            attention: MultiHeadAttention::new(device, attention, &weights.attention, dtype)
                .map_err(|error| error.within("attention"))?,
            attention_block: block(["attention", "attention_norm"], &weights.attention_norm)?,
            feed_forward: FeedForward::new(device, sizes, weights.feed_forward, activation, dtype)?,
            feed_forward_block: block(["feed_forward", "feed_forward_norm"], &weights.feed_forward_norm)?,
        })
    }

    /// The device that it lives on.
    pub(super) fn device(&self) -> &Device {
        self.attention_block.device()
    }

    /// Columns of its input and of its output.
    pub fn model_dim(&self) -> usize {
        self.attention.config().model_dim
    }

    /// Heads of its attention.
    pub fn heads(&self) -> usize {
        self.attention.config().heads
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let norms = self.attention_block.bytes() + self.feed_forward_block.bytes();
        self.attention.bytes() + self.feed_forward.bytes() + norms
    }

    /// What can be trained, by the names that the layer itself has for its parts: `attention.query.weight`,
    /// `attention_norm.weight`, `feed_forward.up.weight` and so on.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Parameters::new();
        self.add_parameters(&mut parameters, &EncoderLayerNames::own());
        parameters.into_vec()
    }

    pub(crate) fn add_parameters(&self, to: &mut Parameters, names: &EncoderLayerNames) {
        self.attention.add_parameters(to, &names.attention);
        to.norm(&names.attention_norm, self.attention_block.norm());
        self.feed_forward.add_parameters(to, names.feed_forward.each_ref().map(String::as_str));
        to.norm(&names.feed_forward_norm, self.feed_forward_block.norm());
    }

    /// Records it on x `[batch, length, model_dim]`. `options` go to the attention.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit, and for a residual in `options`: the layer
    /// has its own.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        recording.atomically(|recording| {
            expect_sequence(OP, "x", x, self.model_dim())?;
            options.refuse_residual(OP)?;
            let (mut weights, mut captured) = (None, None);
            let x = self.attention_block.record(recording, x, |recording, x, residual| {
                let options = MultiHeadAttentionOptions { residual, ..*options };
                let values = self.attention.record_self(recording, x, &options)?;
                (weights, captured) = (values.weights, values.captured);
                Ok(values.output)
            })?;
            let output = self.feed_forward_block.record(recording, &x, |recording, x, residual| {
                self.feed_forward.record(recording, x, residual)
            })?;
            Ok(MultiHeadAttentionValues { output, weights, captured })
        })
    }
}
