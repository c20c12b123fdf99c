//! A stack of encoder layers.

use super::{AttentionWeights, EncoderLayer, LayerCapture, MultiHeadAttentionOptions, expect_sequence};
use crate::error::{Error, Result};
use crate::ops::{LayerNormWeights, layer_norm};
use crate::recording::{Recording, Value};

const OP: &str = "encoder";

/// Encoder layers one after the other, with a norm at the end where there is one (pre-norm stacks have it).
#[derive(Clone, Debug)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
    norm: Option<LayerNormWeights>,
}

impl Encoder {
    /// A stack of those layers.
    ///
    /// # Errors
    /// [`Error::Argument`] for layers of different `model_dim` or a norm of another one, [`Error::WrongDevice`] for parts
    /// that live on different devices.
    pub fn new(layers: Vec<EncoderLayer>, norm: Option<LayerNormWeights>) -> Result<Self> {
        if let Some(first) = layers.first() {
            let of_layers = (1..)
                .zip(&layers[1..])
                .map(|(index, layer)| (format!("layer {index}"), layer.model_dim(), layer.device()));
            let of_norm = norm.iter().map(|norm| ("the norm".to_owned(), norm.columns(), norm.device()));
            for (part, columns, device) in of_layers.chain(of_norm) {
                first.device().expect_same(OP, || part.clone(), device)?;
                if columns != first.model_dim() {
                    let expected = format!("of {} columns, as layer 0", first.model_dim());
                    return Err(Error::argument(OP, part, expected, format!("of {columns}")));
                }
            }
        }
        Ok(Self { layers, norm })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let norm = self.norm.as_ref().map_or(0, |norm| norm.gamma.bytes() + norm.beta.bytes());
        self.layers.iter().map(EncoderLayer::bytes).sum::<u64>() + norm
    }

    /// The layers.
    pub fn layers(&self) -> &[EncoderLayer] {
        &self.layers
    }

    /// Records it on x `[batch, length, model_dim]`; each layer under the name `layer.N`.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit, and for options that ask for what a stack does not give: weights or a
    /// capture, which [`Encoder::record_captured`] gives for the layers that it is told, and a residual, of which each layer
    /// has its own.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<Value> {
        Ok(self.record_captured(recording, x, options, &LayerCapture::none())?.0)
    }

    /// Records it as [`Encoder::record`] does, and gives what the layers' attention captured as well: a value
    /// `[batch, heads, queries, keys]` for each layer that `capture` names, in that order.
    ///
    /// # Errors
    /// As [`Encoder::record`]; [`Error::Argument`] for layers or heads that there are not and for a capture above its bound.
    pub fn record_captured(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
        capture: &LayerCapture<'_>,
    ) -> Result<(Value, Vec<Value>)> {
        recording.atomically(|recording| {
            if options.weights != AttentionWeights::None {
                let expected = "AttentionWeights::None (record_captured gives the weights of layers)";
                return Err(Error::argument(
                    OP,
                    "options.weights",
                    expected,
                    format!("{:?}", options.weights),
                ));
            }
            if options.capture.is_some() {
                let expected = "None (record_captured takes a capture of layers)";
                return Err(Error::argument(OP, "options.capture", expected, "given"));
            }
            options.refuse_residual(OP)?;
            let columns = self.layers.first().map(EncoderLayer::model_dim);
            let columns = columns.or(self.norm.as_ref().map(LayerNormWeights::columns));
            expect_sequence(OP, "x", x, columns.unwrap_or(x.shape().last()))?;
            let heads: Vec<usize> = self.layers.iter().map(EncoderLayer::heads).collect();
            let [batch, length] = [x.shape()[0], x.shape()[1]];
            let layers = capture.check(&heads, [batch, length, length])?;
            let (x, captured) = self.record_layers(recording, x, |index| {
                let capture = layers.contains(&index).then(|| capture.of_a_layer());
                MultiHeadAttentionOptions { capture, ..*options }
            })?;
            let captured = layers.iter().filter_map(|&layer| captured.get(layer)?.clone()).collect();
            Ok((x, captured))
        })
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
