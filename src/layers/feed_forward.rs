//! The position-wise feed-forward network (Vaswani et al. 2017, section 3.3).

use super::{HostLinear, Parameters, Part};
use crate::device::Device;
use crate::error::Result;
use crate::ops::{Activation, Linear, LinearWeights};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// activation(x·W₁ᵀ + b₁)·W₂ᵀ + b₂ on a device.
#[derive(Clone, Debug)]
pub struct FeedForward {
    up: LinearWeights,
    down: LinearWeights,
    activation: Activation,
}

impl FeedForward {
    /// Uploads W₁ `[hidden, model_dim]` and W₂ `[model_dim, hidden]`, stored as `dtype`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if sizes do not fit or for another dtype than f32 and f16,
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn new(
        device: &Device,
        [model_dim, hidden]: [usize; 2],
        [up, down]: [HostLinear<'_>; 2],
        activation: Activation,
        dtype: DType,
    ) -> Result<Self> {
        let up = up.upload(device, Part("feed_forward", "up"), [hidden, model_dim], dtype)?;
        let down = down.upload(device, Part("feed_forward", "down"), [model_dim, hidden], dtype)?;
        Ok(Self { up, down, activation })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.up.bytes() + self.down.bytes()
    }

    /// W₁ and its bias as `up.weight` and `up.bias`, W₂ likewise, under those names.
    pub(crate) fn add_parameters(&self, to: &mut Parameters, [up, down]: [&str; 2]) {
        to.linear(up, &self.up);
        to.linear(down, &self.down);
    }

    /// Records it on x `[…, model_dim]`, with a residual added last.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit.
    pub fn record(&self, recording: &mut Recording, x: &Value, residual: Option<&Value>) -> Result<Value> {
        recording.atomically(|recording| {
            let hidden = recording.scoped("up", |recording| {
                Linear::new(&self.up).activation(self.activation).record(recording, x)
            })?;
            recording.scoped("down", |recording| {
                let mut down = Linear::new(&self.down);
                if let Some(residual) = residual {
                    down = down.residual(residual);
                }
                down.record(recording, &hidden)
            })
        })
    }
}
