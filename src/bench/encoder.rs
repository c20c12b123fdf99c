//! Encoders with random weights of a model's sizes: one layer, or embeddings, all layers and mean pooling.

use std::ops::Range;
use std::sync::OnceLock;

use super::inputs::{difference, upload, values};
use super::shape::EncoderSizes;
use crate::device::Device;
use crate::error::Result;
use crate::layers::{
    Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm, HostLinear,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights, NormPosition,
};
use crate::ops::{Activation, EmbeddingTables, LayerNormWeights, Pooling, Tokens, embedding_norm, pool};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const EPSILON: f32 = 1e-12;

/// An encoder's inputs and weights on the host. All layers have the same weights: their values change no time.
pub(super) struct EncoderProblem {
    sizes: EncoderSizes,
    whole: bool,
    batch: usize,
    length: usize,
    dtype: DType,
    /// The layer's input, where it is one layer.
    x: Vec<f32>,
    ids: Vec<u32>,
    /// Query, key, value, output, up, down.
    matrices: [Vec<f32>; 6],
    biases: [Vec<f32>; 6],
    words: Vec<f32>,
    /// The CPU device's results for the first and the last item.
    expected: OnceLock<Vec<(Range<usize>, Vec<f32>)>>,
}

impl EncoderProblem {
    pub fn new(sizes: EncoderSizes, whole: bool, [batch, length]: [usize; 2], dtype: DType) -> Self {
        let mut rng = fastrand::Rng::with_seed((sizes.model_dim * length + batch) as u64);
        let (d, hidden) = (sizes.model_dim, sizes.feed_forward_dim);
        let shapes = [[d, d], [d, d], [d, d], [d, d], [hidden, d], [d, hidden]];
        let matrices = shapes.map(|[outputs, inputs]| {
            // Of deviation 1 / √inputs, so that what comes out is as large as what goes in.
            let scale = (3.0 / inputs as f32).sqrt();
            let mut matrix = values(&mut rng, outputs * inputs, DType::F32);
            matrix.iter_mut().for_each(|value| *value *= scale);
            matrix
        });
        let biases = shapes.map(|[outputs, _]| values(&mut rng, outputs, DType::F32));
        let (x, words) = match whole {
            true => (Vec::new(), values(&mut rng, sizes.vocabulary * d, DType::F32)),
            false => (values(&mut rng, batch * length * d, DType::F32), Vec::new()),
        };
        let ids = (0..batch * length).map(|_| rng.u32(..sizes.vocabulary as u32)).collect();
        let expected = OnceLock::new();
        Self { sizes, whole, batch, length, dtype, x, ids, matrices, biases, words, expected }
    }

    /// All of them.
    pub fn items(&self) -> Range<usize> {
        0..self.batch
    }

    /// Records it for some of the batch's items.
    pub fn record(&self, recording: &mut Recording, items: Range<usize>) -> Result<Value> {
        let device = recording.device().clone();
        let (d, length, count) = (self.sizes.model_dim, self.length, items.len());
        let options = MultiHeadAttentionOptions::default();
        if !self.whole {
            let of_items = &self.x[items.start * length * d..items.end * length * d];
            let x = recording.tensor(&upload(&device, &[count, length, d], of_items, DType::F32)?)?;
            return Ok(self.layer(&device)?.record(recording, &x, &options)?.output);
        }
        let (ones, zeros) = (vec![1.0; d], vec![0.0; d]);
        let norm = LayerNormWeights::new(&device, &ones, &zeros, EPSILON)?;
        let position = &self.words[..length * d];
        let mut tables = EmbeddingTables::new(&device, position, None, norm)?;
        let rows = EmbeddingTables::part_rows(&device, d, self.dtype);
        for part in self.words.chunks(rows.saturating_mul(d).max(1)) {
            tables.push_words(&device, part, self.dtype)?;
        }
        let ids = &self.ids[items.start * length..items.end * length];
        let positions: Vec<u32> = (0..count).flat_map(|_| 0..length as u32).collect();
        let tokens = Tokens { ids, positions: &positions, types: &[] };
        let embedded = embedding_norm(recording, tokens, &tables)?.reshape([count, length, d])?;
        let layers = (0..self.sizes.layers).map(|_| self.layer(&device)).collect::<Result<Vec<_>>>()?;
        let encoded = Encoder::new(layers, None)?.record(recording, &embedded, &options)?;
        pool(recording, &encoded, &vec![length as u32; count], Pooling::Mean, true)
    }

    fn layer(&self, device: &Device) -> Result<EncoderLayer> {
        let linear =
            |place: usize| HostLinear { weight: &self.matrices[place], bias: Some(&self.biases[place]) };
        let EncoderSizes { model_dim, heads, feed_forward_dim, .. } = self.sizes;
        let (ones, zeros) = (vec![1.0; model_dim], vec![0.0; model_dim]);
        let norm = HostLayerNorm { gamma: &ones, beta: &zeros };
        let config = EncoderLayerConfig {
            model_dim,
            heads,
            feed_forward_dim,
            activation: Activation::Gelu,
            norm_position: NormPosition::Post,
            epsilon: EPSILON,
            dtype: self.dtype,
        };
        let attention = MultiHeadAttentionWeights {
            query: linear(0),
            key: linear(1),
            value: linear(2),
            output: linear(3),
        };
        let weights = EncoderLayerWeights {
            attention,
            attention_norm: norm,
            feed_forward: [linear(4), linear(5)],
            feed_forward_norm: norm,
        };
        EncoderLayer::new(device, &config, &weights)
    }

    /// What is wrong with a result: its first and its last item are computed again, each by itself, on the CPU device.
    pub fn fault(&self, got: &[f32]) -> Result<Option<String>> {
        if self.expected.get().is_none() {
            let mut expected = Vec::new();
            let mut items = vec![0, self.batch - 1];
            items.dedup();
            for item in items {
                let mut recording = Recording::new(&Device::cpu());
                let value = self.record(&mut recording, item..item + 1)?;
                recording.output(&value)?;
                let values = recording.run()?.tensor(&value)?.to_f32()?;
                expected.push((item * values.len()..(item + 1) * values.len(), values));
            }
            let _ = self.expected.set(expected);
        }
        let all = self.expected.get().map_or(&[][..], Vec::as_slice);
        Ok(all.iter().find_map(|(at, expected)| match got.get(at.clone()) {
            Some(got) => difference(got, expected),
            None => Some("the result is too short".to_owned()),
        }))
    }
}
