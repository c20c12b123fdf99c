//! A stack of encoder layers.

use super::{EncoderLayer, MultiHeadAttentionOptions};
use crate::error::Result;
use crate::ops::{LayerNormWeights, layer_norm};
use crate::recording::{Recording, Value};

/// Encoder layers one after the other, with a norm at the end where there is one (pre-norm stacks have it).
#[derive(Clone, Debug)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
    norm: Option<LayerNormWeights>,
}

impl Encoder {
    /// A stack of those layers.
    pub fn new(layers: Vec<EncoderLayer>, norm: Option<LayerNormWeights>) -> Self {
        Self { layers, norm }
    }

    /// The layers.
    pub fn layers(&self) -> &[EncoderLayer] {
        &self.layers
    }

    /// Records it on x `[batch, length, model_dim]`; each layer under the name `layer.N`.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<Value> {
        let mut x = x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let name = format!("layer.{index}");
            x = recording.scoped(name, |recording| layer.record(recording, &x, options))?.output;
        }
        match &self.norm {
            Some(norm) => recording.scoped("norm", |recording| layer_norm(recording, &x, None, norm)),
            None => Ok(x),
        }
    }
}
