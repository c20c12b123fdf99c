//! A decoder layer: self-attention, cross-attention to a memory and feed-forward, each with its residual and its norm
//! (Vaswani et al. 2017, section 3.1; PyTorch's `TransformerDecoderLayer`).

use super::encoder_layer::own_projections;
use super::residual_block::ResidualBlock;
use super::{
    FeedForward, HostLayerNorm, HostLinear, MultiHeadAttention, MultiHeadAttentionConfig,
    MultiHeadAttentionOptions, MultiHeadAttentionValues, MultiHeadAttentionWeights, NormPosition, Parameter,
    Parameters, expect_sequence,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{Activation, Causal, KvCache, KvCacheShape, PagedKeys};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

const OP: &str = "decoder_layer";

/// The sizes and options of a decoder layer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DecoderLayerConfig {
    /// Columns of the input, the memory and the output.
    pub model_dim: usize,
    /// Heads of either attention.
    pub heads: usize,
    /// Columns inside the feed-forward network.
    pub feed_forward_dim: usize,
    /// Its activation.
    pub activation: Activation,
    /// Where the norms stand.
    pub norm_position: NormPosition,
    /// ε of the norms.
    pub epsilon: f32,
    /// The dtype of the weights: f32 or f16.
    pub dtype: DType,
}

impl DecoderLayerConfig {
    /// A layer with ReLU, norms behind the blocks with an ε of 1e-5, and weights in f32, as PyTorch's `nn.TransformerDecoderLayer` is
    /// by default. Each field may be set.
    pub fn new(model_dim: usize, heads: usize, feed_forward_dim: usize) -> Self {
        Self {
            model_dim,
            heads,
            feed_forward_dim,
            activation: Activation::Relu,
            norm_position: NormPosition::Post,
            epsilon: 1e-5,
            dtype: DType::F32,
        }
    }
}

/// The weights of a decoder layer on the host.
#[derive(Clone, Copy, Debug)]
pub struct DecoderLayerWeights<'a> {
    /// Self-attention.
    pub self_attention: MultiHeadAttentionWeights<'a>,
    /// Its norm.
    pub self_attention_norm: HostLayerNorm<'a>,
    /// Attention to the memory.
    pub cross_attention: MultiHeadAttentionWeights<'a>,
    /// Its norm.
    pub cross_attention_norm: HostLayerNorm<'a>,
    /// W₁ `[feed_forward_dim, model_dim]` and W₂ `[model_dim, feed_forward_dim]`.
    pub feed_forward: [HostLinear<'a>; 2],
    /// The norm of the feed-forward block.
    pub feed_forward_norm: HostLayerNorm<'a>,
}

/// The optional arguments of a call of a decoder layer. The residuals are the layer's own: to give one is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecoderLayerOptions<'a> {
    /// Which of its own positions each position may attend to.
    pub self_attention: MultiHeadAttentionOptions<'a>,
    /// Which of the memory's.
    pub cross_attention: MultiHeadAttentionOptions<'a>,
}

impl DecoderLayerOptions<'_> {
    fn refuse_residuals(&self) -> Result<()> {
        self.self_attention.refuse_residual(OP)?;
        self.cross_attention.refuse_residual(OP)
    }
}

/// The result of a call of a decoder layer.
///
/// Weights and captures are `[batch, heads, length, keys]`, or without the heads where their mean was asked for. In a step
/// ([`DecoderLayer::record_step`]) those of the self-attention are `[rows, heads, length, keys]`, keys being as many as the
/// longest row then has; those of the cross-attention `[items, heads, beams · length, keys]`, one beam's positions after
/// the other's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecoderLayerValues {
    /// `[batch, length, model_dim]`.
    pub output: Value,
    /// The weights of the self-attention, if asked for.
    pub self_attention_weights: Option<Value>,
    /// The weights of the cross-attention, if asked for.
    pub cross_attention_weights: Option<Value>,
    /// The capture of the self-attention.
    pub self_attention_captured: Option<Value>,
    /// The capture of the cross-attention.
    pub cross_attention_captured: Option<Value>,
}

/// The names that a checkpoint has for a decoder layer's parts.
pub(crate) struct DecoderLayerNames {
    /// Query, key, value and output.
    pub self_attention: [String; 4],
    pub self_attention_norm: String,
    /// The same of the attention to the memory.
    pub cross_attention: [String; 4],
    pub cross_attention_norm: String,
    /// Up and down.
    pub feed_forward: [String; 2],
    pub feed_forward_norm: String,
}

impl DecoderLayerNames {
    fn own() -> Self {
        Self {
            self_attention: own_projections("self_attention"),
            self_attention_norm: "self_attention_norm".to_owned(),
            cross_attention: own_projections("cross_attention"),
            cross_attention_norm: "cross_attention_norm".to_owned(),
            feed_forward: ["feed_forward.up".to_owned(), "feed_forward.down".to_owned()],
            feed_forward_norm: "feed_forward_norm".to_owned(),
        }
    }
}

/// A decoder layer on a device.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    self_attention: MultiHeadAttention,
    self_attention_block: ResidualBlock,
    cross_attention: MultiHeadAttention,
    cross_attention_block: ResidualBlock,
    feed_forward: FeedForward,
    feed_forward_block: ResidualBlock,
}

/// The state of a decoder layer between two steps of decoding: its own keys and values, and those of the memory.
#[derive(Debug)]
pub struct DecoderLayerCache {
    own: KvCache,
    /// Keys `[items, length, heads · head_dim]` and values.
    memory: [Tensor; 2],
}

impl DecoderLayerCache {
    /// Its own keys and values, an item for each row.
    pub fn own(&self) -> &KvCache {
        &self.own
    }

    /// Lets each row go on from what row `parents[row]` has: [`KvCache::reorder`].
    ///
    /// # Errors
    /// As there.
    pub fn reorder(&mut self, parents: &[u32]) -> Result<()> {
        self.own.reorder(parents)
    }

    /// Forgets what a row has of its own from `length` on: [`KvCache::truncate`].
    ///
    /// # Errors
    /// As there.
    pub fn truncate(&mut self, row: usize, length: usize) -> Result<()> {
        self.own.truncate(row, length)
    }

    /// Every row back to the length that it had.
    pub(crate) fn truncate_all(&mut self, lengths: &[u32]) -> Result<()> {
        self.own.truncate_all(lengths)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.own.bytes() + self.memory.iter().map(Tensor::bytes).sum::<u64>()
    }
}

impl DecoderLayer {
    /// Uploads the weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit, for an ε that is negative or not finite and for another dtype than f32 and
    /// f16, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        config: &DecoderLayerConfig,
        weights: &DecoderLayerWeights<'_>,
    ) -> Result<Self> {
        let &DecoderLayerConfig { model_dim, heads, activation, dtype, .. } = config;
        let own = MultiHeadAttentionConfig::self_attention(model_dim, heads)?;
        let cross = MultiHeadAttentionConfig::cross_attention(model_dim, heads, model_dim, model_dim)?;
        let block = |[name, norm_name]: [_; 2], norm| {
            let how = (model_dim, config.epsilon, config.norm_position);
            ResidualBlock::new(device, [OP, name, norm_name], norm, how)
        };
        let sizes = [model_dim, config.feed_forward_dim];
        Ok(Self {
            self_attention: MultiHeadAttention::new(device, own, &weights.self_attention, dtype)
                .map_err(|error| error.within("self_attention"))?,
            self_attention_block: block(
                ["self_attention", "self_attention_norm"],
                &weights.self_attention_norm,
            )?,
            cross_attention: MultiHeadAttention::new(device, cross, &weights.cross_attention, dtype)
                .map_err(|error| error.within("cross_attention"))?,
            cross_attention_block: block(
                ["cross_attention", "cross_attention_norm"],
                &weights.cross_attention_norm,
            )?,
            feed_forward: FeedForward::new(device, sizes, weights.feed_forward, activation, dtype)?,
            feed_forward_block: block(["feed_forward", "feed_forward_norm"], &weights.feed_forward_norm)?,
        })
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let blocks = [&self.self_attention_block, &self.cross_attention_block, &self.feed_forward_block];
        let norms: u64 = blocks.map(ResidualBlock::bytes).iter().sum();
        self.self_attention.bytes() + self.cross_attention.bytes() + self.feed_forward.bytes() + norms
    }

    /// Records it on x `[batch, length, model_dim]` and the memory `[batch, memory_length, model_dim]`, which is an
    /// encoder's output.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit and for a residual in the options.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Value,
        memory: &Value,
        options: &DecoderLayerOptions<'_>,
    ) -> Result<DecoderLayerValues> {
        self.check("x", x)?;
        self.check("memory", memory)?;
        options.refuse_residuals()?;
        if memory.shape()[0] != x.shape()[0] {
            let expected = format!("of as many batch items as x {}", x.shape());
            return Err(Error::argument(OP, "memory", expected, memory.shape().to_string()));
        }
        self.record_blocks(
            recording,
            x,
            |recording, x, residual| {
                let options = MultiHeadAttentionOptions { residual, ..options.self_attention };
                self.self_attention.record_self(recording, x, &options)
            },
            |recording, x, residual| {
                let options = MultiHeadAttentionOptions { residual, ..options.cross_attention };
                self.cross_attention.record(recording, [x, memory, memory], &options)
            },
        )
    }

    /// Records what the steps of decoding need of the memory `[items, memory_length, model_dim]`: its keys and values, in
    /// that shape, for a [`DecoderLayerCache`].
    ///
    /// # Errors
    /// [`Error::Argument`] for a shape that does not fit.
    pub fn record_memory(&self, recording: &mut Recording, memory: &Value) -> Result<[Value; 2]> {
        self.check("memory", memory)?;
        let name = self.cross_attention_block.name();
        recording.scoped(name, |recording| self.cross_attention.record_memory(recording, memory))
    }

    /// Records it on new positions x `[items · beams, length, model_dim]`, behind those that the cache has: each sees
    /// those, itself and those before it. The beams of an item lie one after the other and share its memory. The causal
    /// bound is the layer's own.
    ///
    /// The cross-attention has an item's beams and positions for its queries, `[items, heads, beams · length, keys]`: so its
    /// weights and captures come, a mask is broadcast to that, and `key_lengths` has one for each item.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit, a cache without room, and for a residual, key padding of the
    /// self-attention or another causal bound of it in the options; [`Error::Limit`]. After an error the cache has what it had before.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        x: &Value,
        cache: &mut DecoderLayerCache,
        options: &DecoderLayerOptions<'_>,
    ) -> Result<DecoderLayerValues> {
        self.check("x", x)?;
        options.refuse_residuals()?;
        let causal = options.self_attention.causal;
        if !matches!(causal, Causal::None | Causal::BottomRight) {
            let expected = "left to the layer, which takes Causal::BottomRight";
            return Err(Error::argument(
                OP,
                "options.self_attention.causal",
                expected,
                format!("{causal:?}"),
            ));
        }
        let [k, v] = [recording.tensor(&cache.memory[0])?, recording.tensor(&cache.memory[1])?];
        let (items, columns) = (k.shape()[0], x.shape().last());
        let [rows, length] = [x.shape()[0], x.shape()[1]];
        if items == 0 || !rows.is_multiple_of(items) {
            let expected = format!("a multiple of the memory's {items} items in its first axis");
            return Err(Error::argument(OP, "x", expected, x.shape().to_string()));
        }
        // The beams of an item are so many queries to one memory.
        let beams = [items, rows / items * length, columns];
        let before = cache.own.lengths().to_vec();
        let values = self.record_blocks(
            recording,
            x,
            |recording, x, residual| {
                let causal = Causal::BottomRight;
                let options = MultiHeadAttentionOptions { residual, causal, ..options.self_attention };
                self.self_attention.record_cached(recording, x, &mut cache.own, &options)
            },
            |recording, x, residual| {
                let residual = residual.map(|residual| residual.reshape(beams)).transpose()?;
                let options =
                    MultiHeadAttentionOptions { residual: residual.as_ref(), ..options.cross_attention };
                let x = x.reshape(beams)?;
                let mut values = self.cross_attention.record_to_memory(recording, &x, [&k, &v], &options)?;
                values.output = values.output.reshape([rows, length, columns])?;
                Ok(values)
            },
        );
        if values.is_err() {
            cache.truncate_all(&before)?;
        }
        values
    }

    /// An empty cache for `rows` rows (items · beams) of at most `capacity` positions, with the keys and values of a memory
    /// as [`DecoderLayer::record_memory`] gives them.
    ///
    /// # Errors
    /// [`Error::Argument`] for sizes of 0 or a memory that does not fit, [`Error::WrongDevice`] for one that lives
    /// elsewhere, [`Error::Limit`], [`Error::OutOfMemory`].
    pub fn cache(&self, rows: usize, capacity: usize, memory: [Tensor; 2]) -> Result<DecoderLayerCache> {
        let &MultiHeadAttentionConfig { heads, head_dim, value_head_dim, .. } = self.self_attention.config();
        let wrong =
            |name: &str, expected: String, found: String| Err(Error::argument(OP, name, expected, found));
        let cross = self.cross_attention.config();
        let columns = [cross.heads * cross.head_dim, cross.heads * cross.value_head_dim];
        let [k, v] = memory.each_ref().map(|tensor| tensor.shape().dims());
        let fits = |dims: &[usize], columns: usize| dims.len() == 3 && dims[2] == columns;
        if !fits(k, columns[0]) || !fits(v, columns[1]) || k[..2] != v[..2] {
            let found = format!("{} and {}", memory[0].shape(), memory[1].shape());
            let expected =
                format!("keys [items, length, {}] and values [items, length, {}]", columns[0], columns[1]);
            return wrong("the memory", expected, found);
        }
        for tensor in &memory {
            if tensor.dtype() != DType::F32 {
                return wrong("the memory", "f32".to_owned(), tensor.dtype().to_string());
            }
            let device = self.self_attention_block.device();
            device.expect_same(OP, || "the memory".to_owned(), tensor.device())?;
        }
        if k[0] == 0 || !rows.is_multiple_of(k[0]) {
            let expected = format!("a multiple of the memory's {} items", k[0]);
            return wrong("the rows", expected, rows.to_string());
        }
        let shape = KvCacheShape {
            batch: rows,
            key_heads: heads,
            capacity,
            head_dim,
            value_dim: value_head_dim,
            dtype: DType::F32,
            // So that beams can share what they have in common.
            paged: Some(PagedKeys { pages: rows.saturating_mul(capacity), page_size: 1 }),
        };
        Ok(DecoderLayerCache { own: KvCache::new(memory[0].device(), shape)?, memory })
    }

    /// What can be trained, by the names that the layer itself has for its parts: `self_attention.query.weight`,
    /// `cross_attention_norm.weight`, `feed_forward.up.weight` and so on.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Parameters::new();
        self.add_parameters(&mut parameters, &DecoderLayerNames::own());
        parameters.into_vec()
    }

    pub(crate) fn add_parameters(&self, to: &mut Parameters, names: &DecoderLayerNames) {
        self.self_attention.add_parameters(to, &names.self_attention);
        to.norm(&names.self_attention_norm, self.self_attention_block.norm());
        self.cross_attention.add_parameters(to, &names.cross_attention);
        to.norm(&names.cross_attention_norm, self.cross_attention_block.norm());
        self.feed_forward.add_parameters(to, names.feed_forward.each_ref().map(String::as_str));
        to.norm(&names.feed_forward_norm, self.feed_forward_block.norm());
    }

    fn check(&self, argument: &str, value: &Value) -> Result<()> {
        expect_sequence(OP, argument, value, self.self_attention.config().model_dim)
    }

    /// The three blocks, each attention by its own way; it is given its input and the residual to be added.
    fn record_blocks(
        &self,
        recording: &mut Recording,
        x: &Value,
        self_attention: impl FnOnce(&mut Recording, &Value, Option<&Value>) -> Result<MultiHeadAttentionValues>,
        cross_attention: impl FnOnce(&mut Recording, &Value, Option<&Value>) -> Result<MultiHeadAttentionValues>,
    ) -> Result<DecoderLayerValues> {
        recording.atomically(|recording| {
            let (mut own, mut cross) = ((None, None), (None, None));
            let x = self.self_attention_block.record(recording, x, |recording, x, residual| {
                let values = self_attention(recording, x, residual)?;
                own = (values.weights, values.captured);
                Ok(values.output)
            })?;
            let x = self.cross_attention_block.record(recording, &x, |recording, x, residual| {
                let values = cross_attention(recording, x, residual)?;
                cross = (values.weights, values.captured);
                Ok(values.output)
            })?;
            let output = self.feed_forward_block.record(recording, &x, |recording, x, residual| {
                self.feed_forward.record(recording, x, residual)
            })?;
            Ok(DecoderLayerValues {
                output,
                self_attention_weights: own.0,
                cross_attention_weights: cross.0,
                self_attention_captured: own.1,
                cross_attention_captured: cross.1,
            })
        })
    }
}
