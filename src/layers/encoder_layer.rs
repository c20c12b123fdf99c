//! An encoder layer: self-attention and feed-forward, each with its residual and its norm.

use super::{
    FeedForward, HostLayerNorm, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig,
    MultiHeadAttentionOptions, MultiHeadAttentionValues, MultiHeadAttentionWeights,
};
use crate::device::Device;
use crate::error::Result;
use crate::ops::{Activation, LayerNormWeights, layer_norm};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// Where the norms stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormPosition {
    /// After each residual: x ← norm(x + f(x)) (Vaswani et al. 2017; BERT).
    #[default]
    Post,
    /// Before each block: x ← x + f(norm(x)) (Xiong et al. 2020; PyTorch's `norm_first`).
    Pre,
}

/// The sizes and options of an encoder layer.
#[derive(Clone, Copy, Debug)]
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
    /// What the weights are stored as: f32 or f16.
    pub dtype: DType,
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

/// An encoder layer on a device.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    attention: MultiHeadAttention,
    attention_norm: LayerNormWeights,
    feed_forward: FeedForward,
    feed_forward_norm: LayerNormWeights,
    norm_position: NormPosition,
}

impl EncoderLayer {
    /// Uploads the weights.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if sizes do not fit,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn new(
        device: &Device,
        config: &EncoderLayerConfig,
        weights: &EncoderLayerWeights<'_>,
    ) -> Result<Self> {
        let attention = MultiHeadAttentionConfig::self_attention(config.model_dim, config.heads)?;
        let sizes = [config.model_dim, config.feed_forward_dim];
        Ok(Self {
            attention: MultiHeadAttention::new(device, attention, &weights.attention, config.dtype)?,
            attention_norm: weights.attention_norm.upload(device, config.epsilon)?,
            feed_forward: FeedForward::new(
                device,
                sizes,
                weights.feed_forward,
                config.activation,
                config.dtype,
            )?,
            feed_forward_norm: weights.feed_forward_norm.upload(device, config.epsilon)?,
            norm_position: config.norm_position,
        })
    }

    /// Bytes of the weights on the device, the norms' left out.
    pub fn bytes(&self) -> u64 {
        self.attention.bytes() + self.feed_forward.bytes()
    }

    /// Records it on x `[batch, length, model_dim]`. `options` go to the attention; its residual is the layer's own.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        let scoped_norm = |recording: &mut Recording, name: &str, x: &Value, residual, weights| {
            recording.scoped(name, |recording| layer_norm(recording, x, residual, weights))
        };
        let attend = |recording: &mut Recording, x: &Value, residual: Option<&Value>| {
            let options = MultiHeadAttentionOptions { residual, ..*options };
            recording.scoped("attention", |recording| self.attention.record_self(recording, x, &options))
        };
        let feed = |recording: &mut Recording, x: &Value, residual: Option<&Value>| {
            recording.scoped("feed_forward", |recording| self.feed_forward.record(recording, x, residual))
        };
        let (output, weights) = match self.norm_position {
            NormPosition::Post => {
                let attended = attend(recording, x, None)?;
                let x = scoped_norm(
                    recording,
                    "attention_norm",
                    &attended.output,
                    Some(x),
                    &self.attention_norm,
                )?;
                let fed = feed(recording, &x, None)?;
                let norm = &self.feed_forward_norm;
                (scoped_norm(recording, "feed_forward_norm", &fed, Some(&x), norm)?, attended.weights)
            }
            NormPosition::Pre => {
                let normed = scoped_norm(recording, "attention_norm", x, None, &self.attention_norm)?;
                let attended = attend(recording, &normed, Some(x))?;
                let x = attended.output;
                let normed = scoped_norm(recording, "feed_forward_norm", &x, None, &self.feed_forward_norm)?;
                (feed(recording, &normed, Some(&x))?, attended.weights)
            }
        };
        Ok(MultiHeadAttentionValues { output, weights })
    }
}
