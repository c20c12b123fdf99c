//! A stack of encoder layers.

use super::{EncoderLayer, LayerCapture, MultiHeadAttentionOptions};
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

    /// Records it on x `[batch, length, model_dim]`; each layer under the name `layer.N`. `options.capture` is not used:
    /// [`Encoder::record_captured`] gives what layers capture.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<Value> {
        Ok(self.record_captured(recording, x, options, &LayerCapture::none())?.0)
    }

    /// Records it as [`Encoder::record`] does, and gives what the layers' attention captured as well: a value
    /// `[batch, heads, queries, keys]` for each layer that `capture` names, in that order. `options.capture` is not used.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for shapes that do not fit, for layers or heads that there are not,
    /// and for a capture above its bound.
    pub fn record_captured(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
        capture: &LayerCapture<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        let heads: Vec<usize> = self.layers.iter().map(EncoderLayer::heads).collect();
        let &[batch, length, _] = x.shape().dims() else {
            // The first layer says what is wrong with x.
            let options = MultiHeadAttentionOptions { capture: None, ..*options };
            return Ok((self.record_layers(recording, x, |_| options)?.0, Vec::new()));
        };
        let layers = capture.check(&heads, [batch, length, length])?;
        let (x, captured) = self.record_layers(recording, x, |index| {
            let capture = layers.contains(&index).then(|| capture.of_a_layer());
            MultiHeadAttentionOptions { capture, ..*options }
        })?;
        let captured = layers.iter().filter_map(|&layer| captured.get(layer)?.clone()).collect();
        Ok((x, captured))
    }

    fn record_layers<'a>(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: impl Fn(usize) -> MultiHeadAttentionOptions<'a>,
    ) -> Result<(Value, Vec<Option<Value>>)> {
        let mut x = x.clone();
        let mut captured = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let name = format!("layer.{index}");
            let values = recording.scoped(name, |recording| layer.record(recording, &x, &options(index)))?;
            x = values.output;
            captured.push(values.captured);
        }
        let x = match &self.norm {
            Some(norm) => recording.scoped("norm", |recording| layer_norm(recording, &x, None, norm))?,
            None => x,
        };
        Ok((x, captured))
    }
}
