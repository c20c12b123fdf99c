//! Multi-head attention (Vaswani et al. 2017, section 3.2.2).

use super::appended_keys::AppendedKeys;
use super::{HostLinear, Parameter, Parameters, Part, expect_sequence};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::host_memory;
use crate::ops::{
    Attention, AttentionValues, Capture, Causal, Heads, KvCache, Linear, LinearWeights, Mask, Pooling, pool,
    slice,
};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "multi_head_attention";

/// The sizes of a multi-head attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeadAttentionConfig {
    /// Heads.
    pub heads: usize,
    /// Columns of the query input, and of the output.
    pub model_dim: usize,
    /// Columns of the key input.
    pub key_dim: usize,
    /// Columns of the value input.
    pub value_dim: usize,
    /// Elements of a query and a key in one head.
    pub head_dim: usize,
    /// Elements of a value in one head.
    pub value_head_dim: usize,
    /// Keep the three input projections in one matrix: one GEMM, for self-attention alone.
    pub packed: bool,
}

impl MultiHeadAttentionConfig {
    /// Self-attention: all inputs of `model_dim`, heads of `model_dim / heads`, projections packed.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `model_dim` is a multiple of `heads`.
    pub fn self_attention(model_dim: usize, heads: usize) -> Result<Self> {
        if heads == 0 || model_dim == 0 || !model_dim.is_multiple_of(heads) {
            let found = format!("{model_dim} for {heads} heads");
            return Err(Error::argument(OP, "model_dim", "a multiple of heads", found));
        }
        let head_dim = model_dim / heads;
        Ok(Self {
            heads,
            model_dim,
            key_dim: model_dim,
            value_dim: model_dim,
            head_dim,
            value_head_dim: head_dim,
            packed: true,
        })
    }

    /// Cross-attention, to keys of `key_dim` and values of `value_dim` columns.
    ///
    /// # Errors
    /// As [`MultiHeadAttentionConfig::self_attention`].
    pub fn cross_attention(model_dim: usize, heads: usize, key_dim: usize, value_dim: usize) -> Result<Self> {
        Ok(Self { key_dim, value_dim, packed: false, ..Self::self_attention(model_dim, heads)? })
    }

    /// Rows of the projections of keys, and of values.
    fn check(&self) -> Result<[usize; 2]> {
        let wrong =
            |name: &str, expected: &str, found: String| Err(Error::argument(OP, name, expected, found));
        if self.heads == 0 || self.head_dim == 0 || self.value_head_dim == 0 {
            return wrong("heads and head sizes", "at least 1", format!("{self:?}"));
        }
        if self.packed && (self.key_dim != self.model_dim || self.value_dim != self.model_dim) {
            let found = format!("{}, {}, {}", self.model_dim, self.key_dim, self.value_dim);
            return wrong("model_dim, key_dim and value_dim of packed projections", "equal", found);
        }
        let rows = [self.head_dim, self.value_head_dim].map(|size| self.heads.checked_mul(size));
        match rows {
            [Some(keys), Some(values)]
                if keys.checked_mul(2).and_then(|all| all.checked_add(values)).is_some() =>
            {
                Ok([keys, values])
            }
            _ => wrong("heads and head sizes", "fewer", format!("{self:?}")),
        }
    }
}

/// The weights of a multi-head attention on the host, each `[outputs, inputs]`.
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadAttentionWeights<'a> {
    /// `[heads · head_dim, model_dim]`.
    pub query: HostLinear<'a>,
    /// `[heads · head_dim, key_dim]`.
    pub key: HostLinear<'a>,
    /// `[heads · value_head_dim, value_dim]`.
    pub value: HostLinear<'a>,
    /// `[model_dim, heads · value_head_dim]`.
    pub output: HostLinear<'a>,
}

/// Multi-head attention on a device.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    config: MultiHeadAttentionConfig,
    projections: Projections,
    output: LinearWeights,
    appended: Option<AppendedKeys>,
}

#[derive(Clone, Debug)]
enum Projections {
    Packed(Box<LinearWeights>),
    Separate(Box<[LinearWeights; 3]>),
}

/// Which weights to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttentionWeights {
    /// None.
    #[default]
    None,
    /// `[batch, heads, queries, keys]`.
    PerHead,
    /// Their mean over the heads, `[batch, queries, keys]`.
    Averaged,
}

/// The optional arguments of a call of multi-head attention.
#[derive(Clone, Copy, Debug, Default)]
pub struct MultiHeadAttentionOptions<'a> {
    /// Which keys the order allows.
    pub causal: Causal,
    /// Keys of each batch item; those from there on are padding.
    pub key_lengths: Option<&'a [u32]>,
    /// Keys that take part, u32 `[batch, keys]`, nonzero for true (PyTorch's `key_padding_mask` inverted).
    pub key_padding_mask: Option<&'a Value>,
    /// A mask, broadcast to `[batch, heads, queries, keys]`.
    pub mask: Option<Mask<'a>>,
    /// Which weights to give.
    pub weights: AttentionWeights,
    /// Weights, or scores before them, of some heads and queries, to be given beside the output.
    pub capture: Option<Capture<'a>>,
    /// Added to the output.
    pub residual: Option<&'a Value>,
}

impl<'a> MultiHeadAttentionOptions<'a> {
    /// [`Error::Argument`] if a residual is given to a layer that has its own.
    pub(super) fn refuse_residual(&self, layer: &str) -> Result<()> {
        match self.residual {
            None => Ok(()),
            Some(_) => {
                Err(Error::argument(layer, "options.residual", "None: the layer has its own", "given"))
            }
        }
    }

    /// The op, but for what it is told of padded keys.
    fn attention(&self) -> Attention<'a> {
        let mut attention = Attention::new().causal(self.causal);
        if let Some(mask) = self.mask {
            attention = attention.mask(mask);
        }
        if self.weights != AttentionWeights::None {
            attention = attention.with_weights();
        }
        if let Some(capture) = self.capture {
            attention = attention.capture(capture);
        }
        attention
    }
}

/// The result of a call of multi-head attention.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MultiHeadAttentionValues {
    /// `[batch, queries, model_dim]`.
    pub output: Value,
    /// The weights that were asked for.
    pub weights: Option<Value>,
    /// The captured weights, `[batch, heads, queries, keys]` of the heads and queries that were asked for.
    pub captured: Option<Value>,
}

impl MultiHeadAttention {
    /// Uploads the weights, stored as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit or for another dtype than f32 and f16, [`Error::OutOfMemory`].
    pub fn new(
        device: &Device,
        config: MultiHeadAttentionConfig,
        weights: &MultiHeadAttentionWeights<'_>,
        dtype: DType,
    ) -> Result<Self> {
        let [keys, values] = config.check()?;
        let MultiHeadAttentionWeights { query, key, value, output } = weights;
        let upload = |part: &HostLinear<'_>, name: &str, shape: [usize; 2]| {
            part.upload(device, Part(OP, name), shape, dtype)
        };
        let projections = if config.packed {
            let parts = [(query, keys), (key, keys), (value, values)];
            for ((part, outputs), name) in parts.into_iter().zip(["query", "key", "value"]) {
                // Their sum alone would let two wrong sizes pass.
                part.expect(Part(OP, name), [outputs, config.model_dim])?;
            }
            let slices = parts.map(|(part, _)| part.weight);
            let weight = host_memory::joined(&slices, || "packed projections".to_owned())?;
            let has_bias = parts.iter().any(|(part, _)| part.bias.is_some());
            let bias = parts.map(|(part, outputs)| match part.bias {
                Some(bias) => bias.to_vec(),
                None => vec![0.0; outputs],
            });
            let bias = has_bias.then(|| bias.concat());
            let packed = HostLinear { weight: &weight, bias: bias.as_deref() };
            let packed = upload(&packed, "query, key and value", [2 * keys + values, config.model_dim])?;
            Projections::Packed(Box::new(packed))
        } else {
            Projections::Separate(Box::new([
                upload(query, "query", [keys, config.model_dim])?,
                upload(key, "key", [keys, config.key_dim])?,
                upload(value, "value", [values, config.value_dim])?,
            ]))
        };
        let output = upload(output, "output", [config.model_dim, values])?;
        Ok(Self { config, projections, output, appended: None })
    }

    /// The same with keys and values that are no input's, behind those of every batch item: `bias_kv`, a key
    /// `[heads · head_dim]` and a value `[heads · value_head_dim]` (`bias_k` and `bias_v` of PyTorch's `add_bias_kv`), and then,
    /// if `zero_attn`, a key and a value of zeros (`add_zero_attn`). Every query may attend to them: masks and key padding
    /// are of the keys before them. Weights and captures have columns for them, the last ones.
    ///
    /// Calls then take no causal bound, since these keys have no place in an order: give it as a mask, as PyTorch has it. A
    /// cache does not take them.
    ///
    /// # Errors
    /// [`Error::Argument`] if sizes do not fit, [`Error::OutOfMemory`].
    pub fn with_appended_keys(
        self,
        device: &Device,
        bias_kv: Option<[&[f32]; 2]>,
        zero_attn: bool,
    ) -> Result<Self> {
        let columns = self.config.check()?;
        let appended = AppendedKeys::new(device, OP, columns, bias_kv, zero_attn)?;
        Ok(Self { appended, ..self })
    }

    /// The sizes.
    pub fn config(&self) -> &MultiHeadAttentionConfig {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        let inputs: u64 = match &self.projections {
            Projections::Packed(packed) => packed.bytes(),
            Projections::Separate(separate) => separate.iter().map(LinearWeights::bytes).sum(),
        };
        inputs + self.output.bytes() + self.appended.as_ref().map_or(0, AppendedKeys::bytes)
    }

    /// What can be trained, by the names that the layer itself has for its parts: `query.weight`, `output.bias` and so on. Keys
    /// and values that are no input's are not among them: they are not trained.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Parameters::new();
        self.add_parameters(&mut parameters, &["query", "key", "value", "output"]);
        parameters.into_vec()
    }

    /// Its projections by the names of the query's, key's, value's and output's. Keys and values that are no input's are not
    /// among them: they are not trained.
    pub(crate) fn add_parameters<N: AsRef<str>>(&self, to: &mut Parameters, names: &[N; 4]) {
        let [query, key, value, output] = names.each_ref().map(|name| name.as_ref());
        let (heads, keys) = (self.config.heads, self.config.heads * self.config.head_dim);
        let values = heads * self.config.value_head_dim;
        match &self.projections {
            Projections::Packed(packed) => {
                let names = [(query.to_owned(), keys), (key.to_owned(), keys), (value.to_owned(), values)];
                to.packed(&names, packed);
            }
            Projections::Separate(separate) => {
                for (name, weights) in [query, key, value].into_iter().zip(separate.iter()) {
                    to.linear(name, weights);
                }
            }
        }
        to.linear(output, &self.output);
    }

    /// Records self-attention over x `[batch, length, model_dim]`.
    ///
    /// # Errors
    /// As [`MultiHeadAttention::record`].
    pub fn record_self(
        &self,
        recording: &mut Recording,
        x: &Value,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        recording.atomically(|recording| {
            let Projections::Packed(packed) = &self.projections else {
                return self.record(recording, [x, x, x], options);
            };
            let MultiHeadAttentionConfig { heads, model_dim, head_dim, value_head_dim, .. } = self.config;
            expect_sequence(OP, "x", x, model_dim)?;
            let all = project(recording, "qkv", packed, x)?;
            if self.appended.is_some() {
                let [keys, values] = [heads * head_dim, heads * value_head_dim];
                let k = slice(recording, &all, -1, keys..2 * keys)?;
                let v = slice(recording, &all, -1, 2 * keys..2 * keys + values)?;
                return self.record_projected(recording, &all, [&k, &v], options);
            }
            let [q, k, v] = in_rows(&all, heads, [head_dim, value_head_dim])?;
            self.attend(recording, [&q, &k, &v], options)
        })
    }

    /// Records attention of queries `[batch, queries, model_dim]` to keys `[batch, keys, key_dim]` and values
    /// `[batch, keys, value_dim]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit, or for different inputs to packed projections.
    pub fn record(
        &self,
        recording: &mut Recording,
        [query, key, value]: [&Value; 3],
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        recording.atomically(|recording| {
            let Projections::Separate(separate) = &self.projections else {
                if query.is(key) && key.is(value) {
                    return self.record_self(recording, query, options);
                }
                return Err(packed("query, key and value"));
            };
            let MultiHeadAttentionConfig { model_dim, key_dim, value_dim, .. } = self.config;
            expect_sequence(OP, "query", query, model_dim)?;
            expect_sequence(OP, "key", key, key_dim)?;
            expect_sequence(OP, "value", value, value_dim)?;
            let [batch, keys] = [query.shape()[0], key.shape()[1]];
            let of_batch = |name: &str, value: &Value, length: usize| {
                if value.shape().dims()[..2] == [batch, length] {
                    return Ok(());
                }
                let expected =
                    format!("[{batch}, {length}, {}] for query {}", value.shape().last(), query.shape());
                Err(Error::argument(OP, name, expected, value.shape().to_string()))
            };
            of_batch("key", key, keys)?;
            of_batch("value", value, keys)?;
            let q = project(recording, "query", &separate[0], query)?;
            let k = project(recording, "key", &separate[1], key)?;
            let v = project(recording, "value", &separate[2], value)?;
            self.record_projected(recording, &q, [&k, &v], options)
        })
    }

    /// Records the keys `[batch, keys, heads · head_dim]` and values `[batch, keys, heads · value_head_dim]` of a memory
    /// `[batch, keys, key_dim]`, for [`MultiHeadAttention::record_to_memory`] in one step after the other.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit, or packed projections.
    pub fn record_memory(&self, recording: &mut Recording, memory: &Value) -> Result<[Value; 2]> {
        recording.atomically(|recording| {
            let Projections::Separate(separate) = &self.projections else { return Err(packed("a memory")) };
            // One input for both projections.
            expect_sequence(OP, "memory", memory, self.config.key_dim)?;
            expect_sequence(OP, "memory", memory, self.config.value_dim)?;
            let k = project(recording, "key", &separate[1], memory)?;
            Ok([k, project(recording, "value", &separate[2], memory)?])
        })
    }

    /// Records attention of queries `[batch, queries, model_dim]` to the keys and values of a memory, as
    /// [`MultiHeadAttention::record_memory`] gives them.
    ///
    /// # Errors
    /// As [`MultiHeadAttention::record`].
    pub fn record_to_memory(
        &self,
        recording: &mut Recording,
        query: &Value,
        memory: [&Value; 2],
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        recording.atomically(|recording| {
            let Projections::Separate(separate) = &self.projections else { return Err(packed("a memory")) };
            let q = project(recording, "query", &separate[0], query)?;
            self.record_projected(recording, &q, memory, options)
        })
    }

    /// Records self-attention of new positions x `[batch, length, model_dim]` to all that the cache has, to which their
    /// keys and values are appended first. A causal bound is [`Causal::BottomRight`].
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes that do not fit the cache, a cache that has no room, or key padding, which a cache
    /// knows itself; [`Error::Limit`]. After an error the cache has what it had before.
    pub fn record_cached(
        &self,
        recording: &mut Recording,
        x: &Value,
        cache: &mut KvCache,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        recording.atomically(|recording| {
            let MultiHeadAttentionConfig { heads, head_dim, value_head_dim, .. } = self.config;
            let attention = options.attention();
            let Projections::Packed(packed) = &self.projections else {
                let (expected, found) = ("packed projections", "separate ones");
                return Err(Error::argument(OP, "a cached self-attention", expected, found));
            };
            if self.appended.is_some() {
                let (expected, found) = ("without bias_kv and zero_attn", "with them");
                return Err(Error::argument(OP, "a cached self-attention", expected, found));
            }
            if options.key_lengths.is_some() || options.key_padding_mask.is_some() {
                let (expected, found) = ("left to the cache", "given");
                return Err(Error::argument(OP, "key lengths or padding", expected, found));
            }
            let all = project(recording, "qkv", packed, x)?;
            let [q, k, v] = in_rows(&all, heads, [head_dim, value_head_dim])?;
            let before = cache.lengths().to_vec();
            cache.record_append(recording, &k, &v, None)?;
            let values = cache.record_attention(recording, attention, &q);
            let values = values.and_then(|values| self.finish(recording, values, options));
            if values.is_err() {
                cache.truncate_all(&before)?;
            }
            values
        })
    }

    /// Attention over what the projections gave; q are the first columns of rows that may have more.
    fn record_projected(
        &self,
        recording: &mut Recording,
        q: &Value,
        [k, v]: [&Value; 2],
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        let (Some(appended), &[batch, keys, _]) = (&self.appended, k.shape().dims()) else {
            return self.attend_rows(recording, q, [k, v], options);
        };
        let extended = appended.extend(recording, options, [batch, keys])?;
        let [k, v] = appended.append(recording, batch, [k, v])?;
        self.attend_rows(recording, q, [&k, &v], &extended.options(options))
    }

    fn attend_rows(
        &self,
        recording: &mut Recording,
        q: &Value,
        [k, v]: [&Value; 2],
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        let MultiHeadAttentionConfig { heads, head_dim, value_head_dim, .. } = self.config;
        let q = Heads::in_rows(q, 0, heads, head_dim)?;
        let k = Heads::in_rows(k, 0, heads, head_dim)?;
        let v = Heads::in_rows(v, 0, heads, value_head_dim)?;
        self.attend(recording, [&q, &k, &v], options)
    }

    fn attend(
        &self,
        recording: &mut Recording,
        [q, k, v]: [&Heads; 3],
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        let mut attention = options.attention();
        if let Some(lengths) = options.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(mask) = options.key_padding_mask {
            attention = attention.key_padding_mask(mask);
        }
        let values = attention.record(recording, q, k, v)?;
        self.finish(recording, values, options)
    }

    /// The output projection, and the weights as they were asked for.
    fn finish(
        &self,
        recording: &mut Recording,
        values: AttentionValues,
        options: &MultiHeadAttentionOptions<'_>,
    ) -> Result<MultiHeadAttentionValues> {
        let weights = match (options.weights, values.weights) {
            (AttentionWeights::Averaged, Some(weights)) => {
                let &[batch, heads, queries, keys] = weights.shape().dims() else {
                    return Err(unranked(&weights));
                };
                let flat = weights.reshape([batch, heads, queries * keys])?;
                let lengths = vec![heads as u32; batch];
                let mean = pool(recording, &flat, &lengths, Pooling::Mean, false)?;
                Some(mean.reshape([batch, queries, keys])?)
            }
            (_, weights) => weights,
        };
        let output = recording.scoped("output", |recording| {
            let mut output = Linear::new(&self.output);
            if let Some(residual) = options.residual {
                output = output.residual(residual);
            }
            output.record(recording, &values.output)
        })?;
        Ok(MultiHeadAttentionValues { output, weights, captured: values.captured })
    }
}

fn project(recording: &mut Recording, name: &str, weights: &LinearWeights, x: &Value) -> Result<Value> {
    recording.scoped(name, |recording| Linear::new(weights).record(recording, x))
}

/// Queries, keys and values of packed projections.
fn in_rows(all: &Value, heads: usize, [head_dim, value_head_dim]: [usize; 2]) -> Result<[Heads<'_>; 3]> {
    let keys = heads * head_dim;
    let q = Heads::in_rows(all, 0, heads, head_dim)?;
    let k = Heads::in_rows(all, keys, heads, head_dim)?;
    Ok([q, k, Heads::in_rows(all, 2 * keys, heads, value_head_dim)?])
}

fn packed(argument: &str) -> Error {
    let expected = "the same value (the projections are packed: make it with `packed: false`)";
    Error::argument(OP, argument, expected, "different ones")
}

fn unranked(weights: &Value) -> Error {
    Error::argument(OP, "weights", "[batch, heads, queries, keys]", weights.shape().to_string())
}
