//! CBAM's attention over space, and the whole of CBAM.

use super::channel_attention::{ChannelAttention, GatedValues};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{mean_max, multiply, spatial_attention};
use crate::recording::{Recording, Value};
use crate::tensor::Tensor;

const OP: &str = "spatial_attention";

/// CBAM's spatial attention: x · σ(f^{k×k}(\[mean(x); max(x)\]) + bias), mean and maximum over the channels (Woo et al. 2018,
/// equation 3; k is 7 there, and the bias 0).
#[derive(Clone, Debug)]
pub struct SpatialAttention {
    weight: Tensor,
    bias: f32,
}

impl SpatialAttention {
    /// Uploads the convolution's weight `[1, 2, window, window]`: that of the mean, then that of the maximum, as in the
    /// paper. (The authors' code has the maximum first.) A batch norm behind it folds into weight and bias.
    ///
    /// # Errors
    /// [`Error::Argument`] for an even window, another number of weights or a bias that is not finite,
    /// [`Error::OutOfMemory`].
    pub fn new(device: &Device, window: usize, weight: &[f32], bias: f32) -> Result<Self> {
        if window.is_multiple_of(2) {
            return Err(Error::argument(OP, "the window", "odd", window.to_string()));
        }
        if window.checked_mul(window).and_then(|square| square.checked_mul(2)) != Some(weight.len()) {
            let found = format!("{} elements", weight.len());
            return Err(Error::argument(OP, "weight", format!("[1, 2, {window}, {window}]"), found));
        }
        if !bias.is_finite() {
            return Err(Error::argument(OP, "bias", "a finite number", bias.to_string()));
        }
        Ok(Self { weight: Tensor::from_f32(device, [2, window, window], weight)?, bias })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.weight.bytes()
    }

    /// Records it on x `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for another rank, or no channels.
    pub fn record(&self, recording: &mut Recording, x: &Value) -> Result<GatedValues> {
        recording.atomically(|recording| {
            let &[batch, _, height, width] = x.shape().dims() else {
                let found = x.shape().to_string();
                return Err(Error::argument(OP, "x", "[batch, channels, height, width]", found));
            };
            let [means, maxima] = recording.scoped("pool", |recording| mean_max(recording, x, 1..2))?;
            let weight = recording.tensor(&self.weight)?;
            let map = spatial_attention(recording, [&means, &maxima], &weight, self.bias)?;
            let factors = map.reshape([batch, 1, height, width])?;
            Ok(GatedValues { output: multiply(recording, x, &factors)?, map })
        })
    }
}

/// CBAM: attention over channels, then over space (Woo et al. 2018, equation 1).
#[derive(Clone, Debug)]
pub struct Cbam {
    /// The first module.
    pub channel: ChannelAttention,
    /// The second.
    pub spatial: SpatialAttention,
}

/// The result of [`Cbam`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CbamValues {
    /// Of x's shape.
    pub output: Value,
    /// `[batch, channels]`.
    pub channel_map: Value,
    /// `[batch, height, width]`.
    pub spatial_map: Value,
}

impl Cbam {
    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.channel.bytes() + self.spatial.bytes()
    }

    /// Records it on x `[batch, channels, height, width]`.
    ///
    /// ```
    /// # fn main() -> attentive::Result<()> {
    /// use attentive::layers::{Cbam, ChannelAttention, HostLinear, SpatialAttention};
    /// use attentive::{DType, Device, Recording, Tensor};
    ///
    /// let device = Device::cpu();
    /// let (first, second) = ([0.5; 8], [0.25; 8]); // 4 channels, 2 hidden
    /// let mlp = [&first, &second].map(|weight| HostLinear { weight, bias: None });
    /// let cbam = Cbam {
    ///     channel: ChannelAttention::new(&device, [4, 2], mlp, DType::F32)?,
    ///     spatial: SpatialAttention::new(&device, 7, &[0.01; 98], 0.0)?,
    /// };
    /// let mut recording = Recording::new(&device);
    /// let x = recording.tensor(&Tensor::from_f32(&device, [1, 4, 5, 6], &[1.0; 120])?)?;
    /// let y = cbam.record(&mut recording, &x)?;
    /// recording.output(&y.output)?;
    /// recording.output(&y.spatial_map)?;
    /// let outputs = recording.run()?;
    /// assert_eq!(outputs.tensor(&y.output)?.shape().dims(), [1, 4, 5, 6]);
    /// // Where it looks, from 0 to 1.
    /// let map = outputs.tensor(&y.spatial_map)?.to_f32()?;
    /// assert!(map.len() == 30 && map.iter().all(|weight| *weight > 0.0 && *weight < 1.0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit.
    pub fn record(&self, recording: &mut Recording, x: &Value) -> Result<CbamValues> {
        recording.atomically(|recording| {
            let of_channels = recording.scoped("channel", |recording| self.channel.record(recording, x))?;
            let of_space = recording
                .scoped("spatial", |recording| self.spatial.record(recording, &of_channels.output))?;
            Ok(CbamValues {
                output: of_space.output,
                channel_map: of_channels.map,
                spatial_map: of_space.map,
            })
        })
    }
}
