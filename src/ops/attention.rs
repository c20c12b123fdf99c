//! Scaled dot-product attention.

use super::{choose_rows, expect_dtype, expect_shape, size};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernels::attention::{scale_mask_softmax, scores, weighted_values};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Shape, Tensor};

/// Which keys the order of the sequence allows. Drawn for 2 queries (rows) and 4 keys (columns), `x` allowed:
///
/// ```text
/// None      TopLeft   BottomRight
/// x x x x   x . . .   x x x .
/// x x x x   x x . .   x x x x
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Causal {
    /// All.
    #[default]
    None,
    /// Key j for query i if j ≤ i: PyTorch's `is_causal`.
    TopLeft,
    /// Key j for query i if j ≤ i + Lk − Lq: the last query sees the last key (FlashAttention since 2.1).
    BottomRight,
}

/// A mask over `[batch, heads, queries, keys]`; it may have fewer axes, and size 1 in any, and is then broadcast.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// u32: nonzero takes part. (PyTorch's `scaled_dot_product_attention` has it so, its `MultiheadAttention` the
    /// other way round.)
    Bool(&'a Value),
    /// f32, added to the scaled scores; −∞ masks out.
    Float(&'a Value),
}

impl<'a> Mask<'a> {
    fn value(self) -> &'a Value {
        match self {
            Self::Bool(value) | Self::Float(value) => value,
        }
    }
}

/// `[batch, heads, rows, columns]` somewhere in a value, the last axis contiguous: queries, keys and values packed in
/// one buffer need no copy.
#[derive(Clone, Debug)]
pub struct Heads<'a> {
    value: &'a Value,
    dims: [usize; 4],
    offset: usize,
    /// From one batch item, head and row to the next.
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    /// A dense `[batch, heads, rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value has another rank.
    pub fn first(value: &'a Value) -> Result<Self> {
        let &[batch, heads, rows, columns] = value.shape().dims() else {
            let found = value.shape().to_string();
            return Err(Error::argument("attention", "a tensor", "[batch, heads, length, head_dim]", found));
        };
        Ok(Self {
            value,
            dims: [batch, heads, rows, columns],
            offset: 0,
            // Without elements, sizes may be anything; those that no u32 holds are refused later.
            strides: [
                heads.saturating_mul(rows).saturating_mul(columns),
                rows.saturating_mul(columns),
                columns,
            ],
        })
    }

    /// A dense value of rank 4 in that layout.
    ///
    /// # Errors
    /// As [`Heads::first`].
    pub fn in_layout(value: &'a Value, layout: Layout) -> Result<Self> {
        let heads = Self::first(value)?;
        let [batch, second, third, columns] = heads.dims;
        Ok(match layout {
            Layout::HeadsFirst => heads,
            Layout::RowsFirst => Self {
                dims: [batch, third, second, columns],
                strides: [second * third * columns, columns, third * columns],
                ..heads
            },
        })
    }

    /// `heads` heads side by side in the rows of a `[batch, rows, width]`, from element `first` of each row on.
    ///
    /// # Errors
    /// [`Error::Argument`] if the value has another rank or the heads do not fit its rows.
    pub fn in_rows(value: &'a Value, first: usize, heads: usize, columns: usize) -> Result<Self> {
        let &[batch, rows, width] = value.shape().dims() else {
            let found = value.shape().to_string();
            return Err(Error::argument("attention", "a tensor", "[batch, length, width]", found));
        };
        let end = heads.saturating_mul(columns).saturating_add(first);
        if end > width {
            let expected = format!("at least {end} wide for {heads} heads of {columns}");
            return Err(Error::argument("attention", "a tensor", expected, value.shape().to_string()));
        }
        let strides = [rows.saturating_mul(width), columns, width];
        Ok(Self { value, dims: [batch, heads, rows, columns], offset: first, strides })
    }

    fn describe(&self) -> String {
        format!("{:?}", self.dims)
    }
}

/// Attention(Q, K, V) = softmax(scale · Q·Kᵀ + mask) · V (Vaswani et al. 2017, equation 1), to be recorded.
///
/// A query that may attend to no key gives 0. A NaN or infinity in what a query may attend to reaches its output
/// (unless its weight is 0 in f32); in what it may not, it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'a> {
    scale: Option<f32>,
    causal: Causal,
    padding: Option<KeyPadding<'a>>,
    mask: Option<Mask<'a>>,
    weights: bool,
    layout: Layout,
}

/// Which keys of each batch item are no padding.
#[derive(Clone, Copy, Debug)]
enum KeyPadding<'a> {
    Lengths(&'a [u32]),
    LengthsValue(&'a Value),
    Mask(&'a Value),
}

/// How the heads of a tensor lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[batch, length, heads, columns]`: the heads side by side in a row, as projections have them.
    #[default]
    RowsFirst,
    /// `[batch, heads, length, columns]`.
    HeadsFirst,
}

/// What a recorded attention gives.
#[derive(Clone, Debug)]
pub struct AttentionValues {
    /// `[batch, queries, heads · value_dim]`: the heads side by side, as an output projection takes them; or
    /// `[batch, heads, queries, value_dim]`, by the layout asked for.
    pub output: Value,
    /// `[batch, heads, queries, keys]`, if asked for.
    pub weights: Option<Value>,
}

impl<'a> Attention<'a> {
    /// Scale 1/√head_dim, every key allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another scale than 1/√head_dim.
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Which keys the order allows.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.causal = causal;
        self
    }

    /// Keys of each batch item; those from there on are padding.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [u32]) -> Self {
        self.padding = Some(KeyPadding::Lengths(lengths));
        self
    }

    /// The same on the device, u32 `[B]`; what is above the number of keys counts as that.
    #[must_use]
    pub fn key_lengths_value(mut self, lengths: &'a Value) -> Self {
        self.padding = Some(KeyPadding::LengthsValue(lengths));
        self
    }

    /// Keys that take part, u32 `[B, Lk]`, nonzero for true: padding that is no tail. In place of lengths.
    #[must_use]
    pub fn key_padding_mask(mut self, mask: &'a Value) -> Self {
        self.padding = Some(KeyPadding::Mask(mask));
        self
    }

    /// How the output's heads shall lie.
    #[must_use]
    pub fn output_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// A mask.
    #[must_use]
    pub fn mask(mut self, mask: Mask<'a>) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Gives the weights too, for all heads.
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.weights = true;
        self
    }

    /// Records it. Queries `[B, H, Lq, D]`, keys `[B, Hkv, Lk, D]`, values `[B, Hkv, Lk, Dv]`, f32; H is a multiple of
    /// Hkv, and head h reads key-value head h / (H / Hkv).
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes or dtypes that do not fit (both tensors are named), [`Error::Limit`].
    pub fn record(
        self,
        recording: &mut Recording,
        q: &Heads,
        k: &Heads,
        v: &Heads,
    ) -> Result<AttentionValues> {
        let ([batch, heads, queries, _], value_dim) = (q.dims, v.dims[3]);
        let output = match self.layout {
            Layout::RowsFirst => recording.temporary([batch, queries, heads * value_dim], DType::F32)?,
            Layout::HeadsFirst => recording.temporary([batch, heads, queries, value_dim], DType::F32)?,
        };
        self.record_into(recording, q, k, v, &output)
    }

    /// [`Attention::record`] into a value of the output's size that is there already.
    pub(crate) fn record_into(
        self,
        recording: &mut Recording,
        q: &Heads,
        k: &Heads,
        v: &Heads,
        output: &Value,
    ) -> Result<AttentionValues> {
        let plan = Chain::new(self, recording, q, k, v)?;
        let [batch, heads, queries, _] = q.dims;
        let keys = k.dims[2];
        // The weights of all heads at once if they are asked for, else a part at a time.
        let parts = match self.weights {
            true => vec![Part { heads: (0, batch * heads), queries: (0, queries) }],
            false => Part::split(batch * heads, queries, keys, recording.device()),
        };
        let mut weights = None;
        for part in parts {
            weights = Some(plan.record(recording, output, part)?);
        }
        let weights = match (self.weights, weights) {
            (true, Some(weights)) => Some(weights.reshape([batch, heads, queries, keys])?),
            _ => None,
        };
        Ok(AttentionValues { output: output.clone(), weights })
    }
}

/// Some of the batch-heads and of the queries: first and count.
#[derive(Clone, Copy)]
struct Part {
    heads: (usize, usize),
    queries: (usize, usize),
}

/// Bytes that the scores of one part may take: what is gained by more is little, and memory is not.
const PART_BYTES: u64 = 64 << 20;

impl Part {
    fn split(batch_heads: usize, queries: usize, keys: usize, device: &Device) -> Vec<Self> {
        if batch_heads == 0 || queries == 0 {
            return Vec::new();
        }
        let limit = (PART_BYTES.min(device.capabilities().tensor_bytes()) / 4).max(1) as usize;
        let per_head = queries.saturating_mul(keys).max(1);
        let (heads_step, queries_step) = match limit / per_head {
            0 => (1, (limit / keys.max(1)).max(1)),
            heads => (heads, queries.max(1)),
        };
        let steps = |count: usize, step: usize| {
            (0..count).step_by(step).map(move |first| (first, step.min(count - first)))
        };
        steps(batch_heads, heads_step)
            .flat_map(|heads| steps(queries, queries_step).map(move |queries| Self { heads, queries }))
            .collect()
    }
}

/// The chain of `scores`, `scale_mask_softmax` and `weighted_values`, with its arguments checked.
struct Chain<'a> {
    q: &'a Heads<'a>,
    k: &'a Heads<'a>,
    v: &'a Heads<'a>,
    scores: scores::Parameters,
    softmax: scale_mask_softmax::Parameters,
    values: weighted_values::Parameters,
    mask: Value,
    padding: Value,
}

impl<'a> Chain<'a> {
    fn new(
        options: Attention<'_>,
        recording: &mut Recording,
        q: &'a Heads<'a>,
        k: &'a Heads<'a>,
        v: &'a Heads<'a>,
    ) -> Result<Self> {
        const OP: &str = "attention";
        for (name, heads) in [("q", q), ("k", k), ("v", v)] {
            expect_dtype(OP, name, heads.value, &[DType::F32])?;
        }
        let [batch, heads, queries, head_dim] = q.dims;
        let [_, key_heads, keys, _] = k.dims;
        let value_dim = v.dims[3];
        let pair = |partner: &str, other: &Heads| format!("{partner} {}", other.describe());
        if k.dims[0] != batch || k.dims[3] != head_dim {
            let expected = format!("[{batch}, Hkv, Lk, {head_dim}] for {}", pair("q", q));
            return Err(Error::argument(OP, "k", expected, k.describe()));
        }
        if v.dims[..3] != k.dims[..3] {
            let expected = format!("[{batch}, {key_heads}, {keys}, Dv] for {}", pair("k", k));
            return Err(Error::argument(OP, "v", expected, v.describe()));
        }
        if key_heads == 0 && heads != 0 || key_heads != 0 && !heads.is_multiple_of(key_heads) {
            let expected = format!("a multiple of the {key_heads} heads of {}", pair("k", k));
            return Err(Error::argument(OP, "the heads of q", expected, q.describe()));
        }
        if head_dim == 0 {
            return Err(Error::argument(OP, "head_dim", "at least 1", format!("0 in {}", pair("q", q))));
        }
        let (padding, key_padding) = match options.padding {
            None => (recording.absent()?, 0),
            Some(KeyPadding::LengthsValue(lengths)) => {
                expect_dtype(OP, "key_lengths", lengths, &[DType::U32])?;
                expect_shape(OP, "key_lengths", lengths, &[batch])?;
                (lengths.clone(), 1)
            }
            Some(KeyPadding::Lengths(lengths)) => {
                let found = || format!("{lengths:?}");
                if lengths.len() != batch {
                    let expected = format!("one for each of {batch} batch items");
                    return Err(Error::argument(OP, "key_lengths", expected, found()));
                }
                if lengths.iter().any(|&length| length as usize > keys) {
                    let expected = format!("at most {keys}, the keys of {}", pair("k", k));
                    return Err(Error::argument(OP, "key_lengths", expected, found()));
                }
                let tensor = Tensor::from_u32(recording.device(), [batch], lengths)?;
                (recording.tensor(&tensor)?, 1)
            }
            Some(KeyPadding::Mask(mask)) => {
                expect_dtype(OP, "key_padding_mask", mask, &[DType::U32])?;
                expect_shape(OP, "key_padding_mask", mask, &[batch, keys])?;
                (mask.clone(), 2)
            }
        };
        let (mask, mask_kind, mask_strides) = match options.mask {
            None => (recording.absent()?, 0, [0; 4]),
            Some(mask) => {
                let (kind, dtype) = match mask {
                    Mask::Bool(_) => (1, DType::U32),
                    Mask::Float(_) => (2, DType::F32),
                };
                expect_dtype(OP, "the mask", mask.value(), &[dtype])?;
                let strides = broadcast(mask.value().shape(), [batch, heads, queries, keys])?;
                (mask.value().clone(), kind, strides)
            }
        };
        let rows_first = options.layout == Layout::RowsFirst;
        let product =
            |sizes: &[usize]| sizes.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
        let of = |value: usize| size(OP, "a size or stride", value);
        let heads_per_key = of(heads.checked_div(key_heads).unwrap_or(1))?;
        let (causal, causal_key, causal_query) = match options.causal {
            Causal::None => (0, 0, 0),
            Causal::TopLeft => (1, 0, 0),
            Causal::BottomRight => (1, of(queries)?, of(keys)?),
        };
        Ok(Self {
            q,
            k,
            v,
            scores: scores::Parameters {
                heads: of(heads)?,
                heads_per_key,
                key_length: of(keys)?,
                head_dim: of(head_dim)?,
                q_offset: of(q.offset)?,
                q_batch: of(q.strides[0])?,
                q_head: of(q.strides[1])?,
                q_row: of(q.strides[2])?,
                k_offset: of(k.offset)?,
                k_batch: of(k.strides[0])?,
                k_head: of(k.strides[1])?,
                k_row: of(k.strides[2])?,
                ..Default::default()
            },
            softmax: scale_mask_softmax::Parameters {
                heads: of(heads)?,
                key_length: of(keys)?,
                scale: options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt()),
                causal,
                causal_key,
                causal_query,
                key_padding,
                mask_kind,
                mask_batch: of(mask_strides[0])?,
                mask_head: of(mask_strides[1])?,
                mask_row: of(mask_strides[2])?,
                mask_column: of(mask_strides[3])?,
                ..Default::default()
            },
            values: weighted_values::Parameters {
                heads: of(heads)?,
                heads_per_key,
                key_length: of(keys)?,
                value_dim: of(value_dim)?,
                v_offset: of(v.offset)?,
                v_batch: of(v.strides[0])?,
                v_head: of(v.strides[1])?,
                v_row: of(v.strides[2])?,
                output_offset: 0,
                output_batch: of(product(&[queries, heads, value_dim]))?,
                output_head: of(if rows_first { value_dim } else { product(&[queries, value_dim]) })?,
                output_row: of(if rows_first { product(&[heads, value_dim]) } else { value_dim })?,
                ..Default::default()
            },
            mask,
            padding,
        })
    }

    /// Records one part and gives its weights.
    fn record(&self, recording: &mut Recording, output: &Value, part: Part) -> Result<Value> {
        let ((first_head, batch_heads), (first_query, query_length)) = (part.heads, part.queries);
        let keys = self.scores.key_length as usize;
        let [batch_heads32, first_batch_head, query_length32, first_query] =
            [batch_heads, first_head, query_length, first_query].map(|value| value as u32);
        let shape = [batch_heads, query_length, keys];
        let raw = recording.temporary(shape, DType::F32)?;
        let weights = recording.temporary(shape, DType::F32)?;
        let parameters = scores::Parameters {
            batch_heads: batch_heads32,
            first_batch_head,
            query_length: query_length32,
            first_query,
            ..self.scores
        };
        let bindings = [self.q.value, self.k.value, &raw];
        recording.dispatch(&scores::Scores, scores::tiled(), &parameters, &bindings)?;
        let parameters = scale_mask_softmax::Parameters {
            rows: size("attention", "the rows of the scores", batch_heads * query_length)?,
            first_batch_head,
            query_length: query_length32,
            first_query,
            ..self.softmax
        };
        let variant = choose_rows(recording.device(), "softmax", keys)?;
        let bindings = [&raw, &self.mask, &self.padding, &weights];
        recording.dispatch(&scale_mask_softmax::ScaleMaskSoftmax, variant, &parameters, &bindings)?;
        let parameters = weighted_values::Parameters {
            batch_heads: batch_heads32,
            first_batch_head,
            query_length: query_length32,
            first_query,
            ..self.values
        };
        let bindings = [&weights, self.v.value, output];
        let variant = weighted_values::tiled();
        recording.dispatch(&weighted_values::WeightedValues, variant, &parameters, &bindings)?;
        Ok(weights)
    }
}

/// The strides that broadcast a mask of that shape to `[batch, heads, queries, keys]`.
fn broadcast(shape: &Shape, onto: [usize; 4]) -> Result<[usize; 4]> {
    let dims = shape.dims();
    let mut strides = [0; 4];
    let mut stride = 1;
    let fits = dims.len() <= 4
        && dims.iter().rev().zip(onto.iter().rev()).enumerate().all(|(place, (&size, &whole))| {
            if size != 1 {
                strides[3 - place] = stride;
            }
            stride *= size;
            size == 1 || size == whole
        });
    if fits {
        return Ok(strides);
    }
    let expected = format!("broadcastable to {onto:?}");
    Err(Error::argument("attention", "the mask", expected, shape.to_string()))
}

/// Attention over tensors `[B, H, Lq, D]`, `[B, Hkv, Lk, D]`, `[B, Hkv, Lk, Dv]`, to be run: see [`Attention`].
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Causal, Device, Tensor, attention};
///
/// let device = Device::cpu();
/// let values: Vec<f32> = (0..2 * 3 * 4).map(|i| (i as f32).sin()).collect();
/// let q = Tensor::from_f32(&device, [1, 2, 3, 4], &values)?;
/// let y = attention(&q, &q, &q).causal(Causal::TopLeft).run()?;
/// assert_eq!(y.shape().dims(), [1, 2, 3, 4]);
/// // The first query sees the first key alone, so its output is the first value.
/// assert_eq!(y.to_f32()?[..4], values[..4]);
/// # Ok(())
/// # }
/// ```
pub fn attention<'a>(q: &'a Tensor, k: &'a Tensor, v: &'a Tensor) -> AttentionCall<'a> {
    AttentionCall { tensors: [q, k, v], options: Attention::new(), mask: None }
}

/// An [`attention`] to be run.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCall<'a> {
    tensors: [&'a Tensor; 3],
    options: Attention<'a>,
    mask: Option<&'a Tensor>,
}

impl<'a> AttentionCall<'a> {
    /// Another scale than 1/√head_dim.
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.options = self.options.scale(scale);
        self
    }

    /// Which keys the order allows.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.options = self.options.causal(causal);
        self
    }

    /// Keys of each batch item; those from there on are padding.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [u32]) -> Self {
        self.options = self.options.key_lengths(lengths);
        self
    }

    /// A mask, broadcast to `[B, H, Lq, Lk]`: u32 (nonzero takes part) or f32 (added to the scaled scores).
    #[must_use]
    pub fn mask(mut self, mask: &'a Tensor) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Runs it: `[B, H, Lq, Dv]`.
    ///
    /// # Errors
    /// As [`Attention::record`] and [`Recording::run_async`].
    pub async fn run_async(self) -> Result<Tensor> {
        let [q, k, v] = self.tensors;
        let mut recording = Recording::new(q.device());
        let (q, k, v) = (recording.tensor(q)?, recording.tensor(k)?, recording.tensor(v)?);
        let mask = self.mask.map(|mask| recording.tensor(mask)).transpose()?;
        let mut options = self.options.output_layout(Layout::HeadsFirst);
        if let Some(mask) = &mask {
            options = options.mask(match mask.dtype() {
                DType::U32 => Mask::Bool(mask),
                _ => Mask::Float(mask),
            });
        }
        let heads = (Heads::first(&q)?, Heads::first(&k)?, Heads::first(&v)?);
        let values = options.record(&mut recording, &heads.0, &heads.1, &heads.2)?;
        recording.output(&values.output)?;
        recording.run_async().await?.tensor(&values.output)
    }

    /// The blocking form of [`AttentionCall::run_async`].
    ///
    /// # Errors
    /// As [`AttentionCall::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(self) -> Result<Tensor> {
        pollster::block_on(self.run_async())
    }
}
