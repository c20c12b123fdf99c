//! Attention over the channels of a map: squeeze-and-excitation, and CBAM's channel module.

use super::{HostLinear, Part};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{Activation, Linear, LinearWeights, mean, mean_max, multiply};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// The result of attention over channels or over space.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatedValues {
    /// x · map, of x's shape.
    pub output: Value,
    /// From 0 to 1: `[batch, channels]` over channels, `[batch, height, width]` over space.
    pub map: Value,
}

/// Squeeze-and-excitation: x · σ(W₂·ReLU(W₁·mean(x) + b₁) + b₂), one factor for each channel (Hu et al. 2018, equations 2
/// to 4).
#[derive(Clone, Debug)]
pub struct SqueezeExcitation {
    linear: [LinearWeights; 2],
}

/// `[batch, channels, height, width]`.
fn expect_map(op: &str, x: &Value, channels: usize) -> Result<[usize; 2]> {
    match *x.shape().dims() {
        [batch, found, _, _] if found == channels => Ok([batch, channels]),
        _ => {
            let expected = format!("[batch, {channels}, height, width]");
            Err(Error::argument(op, "x", expected, x.shape().to_string()))
        }
    }
}

impl SqueezeExcitation {
    /// Uploads W₁ `[hidden, channels]` and W₂ `[channels, hidden]`, stored as `dtype`; hidden is channels / r in the paper.
    /// A 1×1 convolution has the same weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit or for another dtype than f32 and f16, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        [channels, hidden]: [usize; 2],
        [first, second]: [HostLinear<'_>; 2],
        dtype: DType,
    ) -> Result<Self> {
        let first = first.upload(device, Part("squeeze_excitation", "first"), [hidden, channels], dtype)?;
        let second =
            second.upload(device, Part("squeeze_excitation", "second"), [channels, hidden], dtype)?;
        Ok(Self { linear: [first, second] })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.linear.iter().map(LinearWeights::bytes).sum()
    }

    /// Records it on x `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit.
    pub fn record(&self, recording: &mut Recording, x: &Value) -> Result<GatedValues> {
        recording.atomically(|recording| {
            let [batch, channels] = expect_map("squeeze_excitation", x, self.linear[0].inputs())?;
            let [first, second] = &self.linear;
            let squeezed = recording.scoped("squeeze", |recording| mean(recording, x, 2..4))?;
            let map = recording.scoped("excite", |recording| {
                let hidden = Linear::new(first).activation(Activation::Relu).record(recording, &squeezed)?;
                Linear::new(second).activation(Activation::Sigmoid).record(recording, &hidden)
            })?;
            let factors = map.reshape([batch, channels, 1, 1])?;
            Ok(GatedValues { output: multiply(recording, x, &factors)?, map })
        })
    }
}

/// CBAM's channel attention: x · σ(MLP(mean(x)) + MLP(max(x))) with one MLP(z) = W₂·ReLU(W₁·z + b₁) + b₂ for both (Woo et al.
/// 2018, equation 2).
///
/// Since W₂ is linear it is multiplied once, with the sum of both hidden layers and twice b₂.
#[derive(Clone, Debug)]
pub struct ChannelAttention {
    linear: [LinearWeights; 2],
}

impl ChannelAttention {
    /// Uploads W₁ `[hidden, channels]` and W₂ `[channels, hidden]`, stored as `dtype`.
    ///
    /// # Errors
    /// As [`SqueezeExcitation::new`].
    pub fn new(
        device: &Device,
        [channels, hidden]: [usize; 2],
        [first, second]: [HostLinear<'_>; 2],
        dtype: DType,
    ) -> Result<Self> {
        let twice: Option<Vec<f32>> = second.bias.map(|bias| bias.iter().map(|b| 2.0 * b).collect());
        let second = HostLinear { weight: second.weight, bias: twice.as_deref() };
        let first = first.upload(device, Part("channel_attention", "first"), [hidden, channels], dtype)?;
        let second = second.upload(device, Part("channel_attention", "second"), [channels, hidden], dtype)?;
        Ok(Self { linear: [first, second] })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.linear.iter().map(LinearWeights::bytes).sum()
    }

    /// Records it on x `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit.
    pub fn record(&self, recording: &mut Recording, x: &Value) -> Result<GatedValues> {
        recording.atomically(|recording| {
            let [batch, channels] = expect_map("channel_attention", x, self.linear[0].inputs())?;
            let [first, second] = &self.linear;
            let [means, maxima] = recording.scoped("pool", |recording| mean_max(recording, x, 2..4))?;
            let map = recording.scoped("mlp", |recording| {
                let first = Linear::new(first).activation(Activation::Relu);
                let of_means = first.record(recording, &means)?;
                let hidden = first.residual(&of_means).record(recording, &maxima)?;
                Linear::new(second).activation(Activation::Sigmoid).record(recording, &hidden)
            })?;
            let factors = map.reshape([batch, channels, 1, 1])?;
            Ok(GatedValues { output: multiply(recording, x, &factors)?, map })
        })
    }
}
