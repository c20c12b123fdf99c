//! A decoder layer: self-attention, cross-attention to a memory and feed-forward, each with its residual and its norm
//! (Vaswani et al. 2017, section 3.1; PyTorch's `TransformerDecoderLayer`).

use super::residual_block::ResidualBlock;
use super::{
    FeedForward, HostLayerNorm, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights, NormPosition,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::Activation;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// The sizes and options of a decoder layer.
#[derive(Clone, Copy, Debug)]
pub struct DecoderLayerConfig {
    /// Columns of the input, the memory and the output.
    pub model_dim: usize,
    /// Heads of either attention.
    pub heads: usize,
    /// Columns inside the feed-forward network.
    pub feed_forward_dim: usize,
    /// Its activation.
    pub activation: Activation,
    /// Where the norms stand.
    pub norm_position: NormPosition,
    /// ε of the norms.
    pub epsilon: f32,
    /// What the weights are stored as: f32 or f16.
    pub dtype: DType,
}

/// The weights of a decoder layer on the host.
#[derive(Clone, Copy, Debug)]
pub struct DecoderLayerWeights<'a> {
    /// Self-attention.
    pub self_attention: MultiHeadAttentionWeights<'a>,
    /// Its norm.
    pub self_attention_norm: HostLayerNorm<'a>,
    /// Attention to the memory.
    pub cross_attention: MultiHeadAttentionWeights<'a>,
    /// Its norm.
    pub cross_attention_norm: HostLayerNorm<'a>,
    /// W₁ `[feed_forward_dim, model_dim]` and W₂ `[model_dim, feed_forward_dim]`.
    pub feed_forward: [HostLinear<'a>; 2],
    /// The norm of the feed-forward block.
    pub feed_forward_norm: HostLayerNorm<'a>,
}

/// What a call of a decoder layer may be given. The residuals are the layer's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecoderLayerOptions<'a> {
    /// Which of its own positions each position may attend to.
    pub self_attention: MultiHeadAttentionOptions<'a>,
    /// Which of the memory's.
    pub cross_attention: MultiHeadAttentionOptions<'a>,
}

/// What a call of a decoder layer gives.
#[derive(Clone, Debug)]
pub struct DecoderLayerValues {
    /// `[batch, length, model_dim]`.
    pub output: Value,
    /// The weights of the self-attention, if asked for.
    pub self_attention_weights: Option<Value>,
    /// The weights of the cross-attention, if asked for.
    pub cross_attention_weights: Option<Value>,
    /// What was captured of the self-attention.
    pub self_attention_captured: Option<Value>,
    /// What was captured of the cross-attention.
    pub cross_attention_captured: Option<Value>,
}

/// A decoder layer on a device.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    self_attention: MultiHeadAttention,
    self_attention_block: ResidualBlock,
    cross_attention: MultiHeadAttention,
    cross_attention_block: ResidualBlock,
    feed_forward: FeedForward,
    feed_forward_block: ResidualBlock,
}

impl DecoderLayer {
    /// Uploads the weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        config: &DecoderLayerConfig,
        weights: &DecoderLayerWeights<'_>,
    ) -> Result<Self> {
        let &DecoderLayerConfig { model_dim, heads, activation, dtype, .. } = config;
        let own = MultiHeadAttentionConfig::self_attention(model_dim, heads)?;
        let cross = MultiHeadAttentionConfig::cross_attention(model_dim, heads, model_dim, model_dim)?;
        let block =
            |names, norm| ResidualBlock::new(device, names, norm, config.epsilon, config.norm_position);
        let sizes = [model_dim, config.feed_forward_dim];
        Ok(Self {
            self_attention: MultiHeadAttention::new(device, own, &weights.self_attention, dtype)?,
            self_attention_block: block(
                ["self_attention", "self_attention_norm"],
                &weights.self_attention_norm,
            )?,
            cross_attention: MultiHeadAttention::new(device, cross, &weights.cross_attention, dtype)?,
            cross_attention_block: block(
                ["cross_attention", "cross_attention_norm"],
                &weights.cross_attention_norm,
            )?,
            feed_forward: FeedForward::new(device, sizes, weights.feed_forward, activation, dtype)?,
            feed_forward_block: block(["feed_forward", "feed_forward_norm"], &weights.feed_forward_norm)?,
        })
    }

    /// Bytes of the weights on the device, the norms' left out.
    pub fn bytes(&self) -> u64 {
        self.self_attention.bytes() + self.cross_attention.bytes() + self.feed_forward.bytes()
    }

    /// Records it on x `[batch, length, model_dim]` and the memory `[batch, memory_length, model_dim]`, which is an
    /// encoder's output.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        memory: &Value,
        options: &DecoderLayerOptions<'_>,
    ) -> Result<DecoderLayerValues> {
        let columns = self.self_attention.config().model_dim;
        for (argument, value) in [("x", x), ("memory", memory)] {
            if value.shape().rank() != 3 || value.shape().last() != columns {
                let (expected, found) = (format!("[batch, length, {columns}]"), value.shape().to_string());
                return Err(Error::argument("decoder_layer", argument, expected, found));
            }
        }
        if memory.shape()[0] != x.shape()[0] {
            let expected = format!("of as many batch items as x {}", x.shape());
            return Err(Error::argument("decoder_layer", "memory", expected, memory.shape().to_string()));
        }
        let (mut own, mut cross) = ((None, None), (None, None));
        let x = self.self_attention_block.record(recording, x, |recording, x, residual| {
            let options = MultiHeadAttentionOptions { residual, ..options.self_attention };
            let values = self.self_attention.record_self(recording, x, &options)?;
            own = (values.weights, values.captured);
            Ok(values.output)
        })?;
        let x = self.cross_attention_block.record(recording, &x, |recording, x, residual| {
            let options = MultiHeadAttentionOptions { residual, ..options.cross_attention };
            let values = self.cross_attention.record(recording, [x, memory, memory], &options)?;
            cross = (values.weights, values.captured);
            Ok(values.output)
        })?;
        let output = self.feed_forward_block.record(recording, &x, |recording, x, residual| {
            self.feed_forward.record(recording, x, residual)
        })?;
        Ok(DecoderLayerValues {
            output,
            self_attention_weights: own.0,
            cross_attention_weights: cross.0,
            self_attention_captured: own.1,
            cross_attention_captured: cross.1,
        })
    }
}
