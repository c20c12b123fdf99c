//! A block of a Transformer layer with its residual and its norm.

use super::{HostLayerNorm, Part};
use crate::device::Device;
use crate::error::Result;
use crate::ops::{LayerNormWeights, layer_norm};
use crate::recording::{Recording, Value};

/// Where the norms stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormPosition {
    /// After each residual: x ← norm(x + f(x)) (Vaswani et al. 2017; BERT).
    #[default]
    Post,
    /// Before each block: x ← x + f(norm(x)) (Xiong et al. 2020; PyTorch's `norm_first`).
    Pre,
}

/// The residual and the norm around a block f.
#[derive(Clone, Debug)]
pub(super) struct ResidualBlock {
    name: &'static str,
    norm_name: &'static str,
    norm: LayerNormWeights,
    position: NormPosition,
}

impl ResidualBlock {
    /// The names are the layer's, and those of the block's and the norm's scopes.
    pub(super) fn new(
        device: &Device,
        [layer, name, norm_name]: [&'static str; 3],
        norm: &HostLayerNorm<'_>,
        (columns, epsilon, position): (usize, f32, NormPosition),
    ) -> Result<Self> {
        let norm = norm.upload(device, Part(layer, norm_name), columns, epsilon)?;
        Ok(Self { name, norm_name, norm, position })
    }

    pub(super) fn device(&self) -> &Device {
        self.norm.device()
    }

    pub(super) fn norm(&self) -> &LayerNormWeights {
        &self.norm
    }

    /// Bytes of the norm on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.norm.gamma.bytes() + self.norm.beta.bytes()
    }

    /// The scope of the block.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Records f around x: `block` is given its input, and the residual where it is to be added to its output.
    pub(super) fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        block: impl FnOnce(&mut Recording, &Value, Option<&Value>) -> Result<Value>,
    ) -> Result<Value> {
        let norm = |recording: &mut Recording, x: &Value, residual: Option<&Value>| {
            recording.scoped(self.norm_name, |recording| layer_norm(recording, x, residual, &self.norm))
        };
        match self.position {
            NormPosition::Post => {
                let y = recording.scoped(self.name, |recording| block(recording, x, None))?;
                norm(recording, &y, Some(x))
            }
            NormPosition::Pre => {
                let normed = norm(recording, x, None)?;
                recording.scoped(self.name, |recording| block(recording, &normed, Some(x)))
            }
        }
    }
}
