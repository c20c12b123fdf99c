//! Layers: multi-head attention, feed-forward, decoder layers, encoder layers and their stack, gated recurrent units; attention
//! over channels, over space, and at sampled places.
//!
//! A layer holds its weights on a device and records itself. Weights come as host slices in PyTorch's layout.

mod appended_keys;
mod channel_attention;
mod decoder_layer;
mod deformable_attention;
mod encoder;
mod encoder_layer;
mod feed_forward;
mod gru;
mod layer_capture;
mod multi_head_attention;
mod parameters;
mod residual_block;
mod spatial_attention;
mod split_linear;

pub use channel_attention::{ChannelAttention, GatedValues, SqueezeExcitation};
pub(crate) use decoder_layer::DecoderLayerNames;
pub use decoder_layer::{
    DecoderLayer, DecoderLayerCache, DecoderLayerConfig, DecoderLayerOptions, DecoderLayerValues,
    DecoderLayerWeights,
};
pub use deformable_attention::{
    DeformableAttention, DeformableAttentionConfig, DeformableAttentionInputs, DeformableAttentionValues,
    DeformableAttentionWeights,
};
pub use encoder::Encoder;
pub(crate) use encoder_layer::EncoderLayerNames;
pub use encoder_layer::{EncoderLayer, EncoderLayerConfig, EncoderLayerWeights};
pub use feed_forward::FeedForward;
pub use gru::{Gru, GruCell, GruConfig, GruDirection, GruOptions, GruValues, HostGru};
pub use layer_capture::LayerCapture;
pub use multi_head_attention::{
    AttentionWeights, MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionOptions,
    MultiHeadAttentionValues, MultiHeadAttentionWeights,
};
pub use parameters::{Parameter, Parameters, Slice};
pub use residual_block::NormPosition;
pub use spatial_attention::{Cbam, CbamValues, SpatialAttention};
pub(crate) use split_linear::SplitLinear;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{LayerNormWeights, LinearWeights, expect_weight_dtype};
use crate::recording::Value;
use crate::tensor::DType;

/// A linear layer's weights on the host: W `[outputs, inputs]` and a bias `[outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct HostLinear<'a> {
    /// W, row-major.
    pub weight: &'a [f32],
    /// The bias.
    pub bias: Option<&'a [f32]>,
}

/// A part of a layer, as errors name it: the layer, and the part's name in it.
#[derive(Clone, Copy)]
struct Part<'a>(&'a str, &'a str);

impl Part<'_> {
    fn expect(self, field: &str, shape: &[usize], found: &[f32]) -> Result<()> {
        let needed = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if needed == Some(found.len()) {
            return Ok(());
        }
        let Self(layer, part) = self;
        let found = format!("{} elements", found.len());
        Err(Error::argument(layer, format!("{part}.{field}"), format!("{shape:?}"), found))
    }
}

impl HostLinear<'_> {
    fn expect(&self, part: Part<'_>, [outputs, inputs]: [usize; 2]) -> Result<()> {
        part.expect("weight", &[outputs, inputs], self.weight)?;
        self.bias.map_or(Ok(()), |bias| part.expect("bias", &[outputs], bias))
    }

    fn upload(
        &self,
        device: &Device,
        part: Part<'_>,
        shape: [usize; 2],
        dtype: DType,
    ) -> Result<LinearWeights> {
        expect_weight_dtype(part.0, dtype)?;
        self.expect(part, shape)?;
        LinearWeights::new(device, shape, self.weight, self.bias, dtype)
    }
}

/// A layer norm's weights on the host.
#[derive(Clone, Copy, Debug)]
pub struct HostLayerNorm<'a> {
    /// γ.
    pub gamma: &'a [f32],
    /// β.
    pub beta: &'a [f32],
}

impl HostLayerNorm<'_> {
    fn upload(
        &self,
        device: &Device,
        part: Part<'_>,
        columns: usize,
        epsilon: f32,
    ) -> Result<LayerNormWeights> {
        part.expect("gamma", &[columns], self.gamma)?;
        part.expect("beta", &[columns], self.beta)?;
        LayerNormWeights::new(device, self.gamma, self.beta, epsilon)
    }
}

/// [`Error::Argument`] unless the value is f32 `[batch, length, columns]`.
fn expect_sequence(layer: &str, argument: &str, value: &Value, columns: usize) -> Result<()> {
    if value.shape().rank() == 3 && value.shape().last() == columns && value.dtype() == DType::F32 {
        return Ok(());
    }
    let found = format!("{} {}", value.dtype(), value.shape());
    Err(Error::argument(layer, argument, format!("f32 [batch, length, {columns}]"), found))
}
