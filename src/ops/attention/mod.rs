//! Scaled dot-product attention: the op, its options and what they are checked for.
//!
//! Fused implementations and the chain of three kernels take the same arguments: see [`Attention`].

mod call;
mod capture;
mod chained;
mod checked;
mod fused;
mod fused_gradient;
mod gradient;
mod heads;
mod kv_cache;
mod plan;
mod plan_shape;

pub use call::{AttentionCall, AttentionTensors, attention};
pub use capture::{Capture, Stage};
pub use heads::{Heads, Layout};
pub use kv_cache::{KvCache, KvCacheShape};
pub use plan::AttentionPlan;
pub use plan_shape::{
    AttentionBuffers, AttentionShape, AttentionVariableLengths, BufferPart, PagedKeys, Placement,
};

use checked::Checked;

use super::{RelativePositionBias, cast};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
pub use crate::per_head::PerHead;
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "attention";

/// Which keys the order of the sequence allows. Drawn for 2 queries (rows) and 4 keys (columns), `x` allowed:
///
/// ```text
/// None      TopLeft   BottomRight   Offset(1)
/// x x x x   x . . .   x x x .       x x . .
/// x x x x   x x . .   x x x x       x x x .
/// ```
///
/// With key lengths, `BottomRight` counts from the end of each batch item: for a length of 3 in the drawing above the
/// rows are `x x . .` and `x x x .`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Causal {
    /// All.
    #[default]
    None,
    /// Key j for query i if j ≤ i: PyTorch's `is_causal`.
    TopLeft,
    /// Key j for query i if j ≤ i + n − Lq, n the keys of the batch item: the last query sees the last key
    /// (FlashAttention since 2.1).
    BottomRight,
    /// Key j for query i if j ≤ i + offset: query 0 stands at that key (ONNX, by the length of its cache).
    Offset(i32),
}

/// Where query i stands among the keys, for windows, ALiBi and biases by distance without a causal bound (which has its own). Drawn for 2
/// queries, 4 keys and a window of 1 to the left and 0 to the right:
///
/// ```text
/// TopLeft   BottomRight   Offset(1)
/// x . . .   . x x .       x x . .
/// x x . .   . . x x       . x x .
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alignment {
    /// At key i.
    #[default]
    TopLeft,
    /// At key i + n − Lq, n the keys of the batch item: the last query at the last key.
    BottomRight,
    /// At key i + offset.
    Offset(i32),
}

impl Causal {
    fn alignment(self) -> Option<Alignment> {
        match self {
            Self::None => None,
            Self::TopLeft => Some(Alignment::TopLeft),
            Self::BottomRight => Some(Alignment::BottomRight),
            Self::Offset(offset) => Some(Alignment::Offset(offset)),
        }
    }
}

/// A mask over `[batch, heads, queries, keys]`; it may have fewer axes, and size 1 in any, and is then broadcast.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// u32: nonzero takes part. (PyTorch's `scaled_dot_product_attention` has it so, its `MultiheadAttention` the
    /// other way round.)
    Bool(&'a Value),
    /// f32 or f16, added to the scaled scores; −∞ masks out.
    Float(&'a Value),
}

/// Attention(Q, K, V) = softmax(softcap(scale · τ · Q·Kᵀ) + mask + bias(distance) − slope · distance) · V (Vaswani et al. 2017, equation 1),
/// to be recorded.
///
/// Every option goes with every other and with each implementation ([`IMPLEMENTATIONS`](crate::device::IMPLEMENTATIONS)):
/// `chained` goes through the matrix of scores, a part at a time; the others are fused (one pass over the keys, memory that
/// grows with B·H·L·D and not with L²; head_dim and value_dim up to 256, `subgroup8`, for software adapters, up to 128), and of
/// these `cooperative` rounds to f16, so that it must be asked for. One may be forced, here or by
/// [`DeviceOptions::implementations`](crate::device::DeviceOptions) (`attention=tiled`).
///
/// A query that may attend to no key gives 0, decided on the masks. A NaN or infinity in what a query may attend to
/// reaches its output (unless its weight is 0 in f32); in what it may not, it does not. Sums are in f32, whatever the
/// inputs are stored as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'a> {
    scale: Option<f32>,
    softcap: f32,
    causal: Causal,
    alignment: Option<Alignment>,
    window: [Option<u32>; 2],
    padding: Option<KeyPadding<'a>>,
    sequences: Option<Sequences<'a>>,
    pages: Option<PageTable<'a>>,
    mask: Option<Mask<'a>>,
    per_head: PerHead<Option<HeadTerms<'a>>>,
    relative: Option<RelativeBias<'a>>,
    weights: bool,
    log_sum_exp: bool,
    capture: Option<Capture<'a>>,
    implementation: Option<&'a str>,
    layout: Layout,
}

/// Which keys of each batch item are no padding.
#[derive(Clone, Copy, Debug)]
enum KeyPadding<'a> {
    Lengths(&'a [u32]),
    LengthsValue(&'a Value),
    Mask(&'a Value),
}

/// Where the items of packed rows begin: running sums of their lengths.
#[derive(Clone, Copy, Debug)]
enum Sequences<'a> {
    Host {
        queries: &'a [u32],
        keys: &'a [u32],
    },
    /// Of queries, then of keys; and the longest of each.
    Value {
        sums: &'a Value,
        longest: [usize; 2],
    },
}

/// Which pages of a pool hold the keys of an item.
#[derive(Clone, Copy, Debug)]
enum PageTable<'a> {
    Host(&'a [u32]),
    /// `[B, pages]`.
    Value(&'a Value),
}

/// A bias for each head and distance.
#[derive(Clone, Copy, Debug)]
enum RelativeBias<'a> {
    Host(&'a RelativePositionBias),
    Value(&'a Value),
}

/// A number for each head, f32 `[H]`.
#[derive(Clone, Copy, Debug)]
pub enum HeadTerms<'a> {
    /// On the host; finite.
    Host(&'a [f32]),
    /// On the device.
    Value(&'a Value),
}

/// The values of a recorded attention.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttentionValues {
    /// `[batch, queries, heads · value_dim]`: the heads side by side, as an output projection takes them; or
    /// `[batch, heads, queries, value_dim]`, by the layout asked for. In the dtype of the queries.
    pub output: Value,
    /// `[batch, heads, queries, keys]`, if asked for.
    pub weights: Option<Value>,
    /// The natural logarithm of each row's sum of exponentials, sink included, `[batch, heads, queries]`, if asked for.
    /// −∞ for a query that may attend to nothing.
    pub log_sum_exp: Option<Value>,
    /// `[batch, heads, queries, keys]` of the heads and queries that were asked for.
    pub captured: Option<Value>,
}

/// The options that are one number a head: of the host and of the device for [`Attention`], of the host for [`AttentionCall`].
macro_rules! per_head_options {
    ($($(#[$meta:meta])* $name:ident, $name_value:ident;)*) => {
        impl<'a> Attention<'a> {
            $($(#[$meta])*
            #[must_use]
            pub fn $name(mut self, terms: &'a [f32]) -> Self {
                self.per_head.$name = Some(HeadTerms::Host(terms));
                self
            }

            /// The same on the device, f32 `[H]`.
            #[must_use]
            pub fn $name_value(mut self, terms: &'a Value) -> Self {
                self.per_head.$name = Some(HeadTerms::Value(terms));
                self
            })*
        }

        impl<'a> AttentionCall<'a> {
            $($(#[$meta])*
            #[must_use]
            pub fn $name(mut self, terms: &'a [f32]) -> Self {
                self.options = self.options.$name(terms);
                self
            })*
        }
    };
}

per_head_options! {
    /// The scale of each head's scores is multiplied with its τ, one for each head, before the softcap: the learned logit scale of
    /// Swin Transformer v2 (Liu et al. 2022, equation 2).
    head_scales, head_scales_value;
    /// slope·|p − j| is taken from the scores of a query at key p, one slope for each head (ALiBi, Press et al. 2022).
    alibi_slopes, alibi_slopes_value;
    /// A further logit in each row's sum, without a value, one for each head (attention sinks, as gpt-oss has them).
    sinks, sinks_value;
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

    /// c·tanh(s / c) in place of the scaled score s, before anything is added to it (Gemma 2). 0 for none.
    #[must_use]
    pub fn softcap(mut self, softcap: f32) -> Self {
        self.softcap = softcap;
        self
    }

    /// Which keys the order allows.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.causal = causal;
        self
    }

    /// Where queries stand among the keys where no causal bound says it, for [`Attention::window`],
    /// [`Attention::alibi_slopes`] and [`Attention::relative_bias`].
    #[must_use]
    pub fn alignment(mut self, alignment: Alignment) -> Self {
        self.alignment = Some(alignment);
        self
    }

    /// A query at key p sees the keys p − left to p + right, `None` for all on that side (Beltagy et al. 2020; Mistral's
    /// window of w tokens is `left = w − 1` with a causal bound). Keys outside are not visited: time is linear in the
    /// length.
    #[must_use]
    pub fn window(mut self, left: Option<u32>, right: Option<u32>) -> Self {
        self.window = [left, right];
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

    /// Items of different lengths one after the other in tensors of batch 1, without padding: item b has the queries
    /// `queries[b]..queries[b + 1]` and the keys `keys[b]..keys[b + 1]` (`cu_seqlens`). The output and the sums'
    /// logarithms are packed as the queries are.
    #[must_use]
    pub fn packed(mut self, queries: &'a [u32], keys: &'a [u32]) -> Self {
        self.sequences = Some(Sequences::Host { queries, keys });
        self
    }

    /// The same on the device, u32 `[2, B + 1]`: the queries' running sums, then the keys'. `longest` are the most
    /// queries and keys of any item. Sums that lead out of the tensors give no error but wrong numbers.
    #[must_use]
    pub fn packed_value(mut self, sums: &'a Value, longest: [usize; 2]) -> Self {
        self.sequences = Some(Sequences::Value { sums, longest });
        self
    }

    /// Keys and values in pages of a pool (Kwon et al. 2023): k is `[pages, Hkv, page_size, D]` and v likewise, and
    /// the keys of batch item b are those of the pages `table[b, 0]`, `table[b, 1]`, …, with `[B, n]` entries in all.
    /// [`Attention::key_lengths`] says how many of them there are.
    #[must_use]
    pub fn page_table(mut self, table: &'a [u32]) -> Self {
        self.pages = Some(PageTable::Host(table));
        self
    }

    /// The same on the device, u32 `[B, n]`. An index outside the pool reads its last page.
    #[must_use]
    pub fn page_table_value(mut self, table: &'a Value) -> Self {
        self.pages = Some(PageTable::Value(table));
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

    /// All options that are one number a head: those that are there, in place of what was said before.
    #[must_use]
    pub fn per_head(mut self, terms: PerHead<Option<HeadTerms<'a>>>) -> Self {
        self.per_head = terms;
        self
    }

    /// A bias by head and distance is added to the scores (T5, Raffel et al. 2020), before a mask is. It lies in memory
    /// by distance alone, `[H, 2 · reach + 1]`, whatever the lengths are. The distance of a key is counted from where its
    /// query stands, as for [`Attention::window`].
    #[must_use]
    pub fn relative_bias(mut self, bias: &'a RelativePositionBias) -> Self {
        self.relative = Some(RelativeBias::Host(bias));
        self
    }

    /// The same on the device, f32 `[H, 2 · reach + 1]` for the distances j − p from −reach to reach, which also stand for
    /// what is further away: [`RelativePositionBias::upload`].
    #[must_use]
    pub fn relative_bias_value(mut self, bias: &'a Value) -> Self {
        self.relative = Some(RelativeBias::Value(bias));
        self
    }

    /// Gives the weights too, for all heads and queries. They take B·H·Lq·Lk·4 bytes; [`Attention::capture`] gives
    /// those of some.
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.weights = true;
        self
    }

    /// Gives the logarithm of each row's sum too.
    #[must_use]
    pub fn with_log_sum_exp(mut self) -> Self {
        self.log_sum_exp = true;
        self
    }

    /// Gives the weights, or a stage before them, of some heads and queries.
    #[must_use]
    pub fn capture(mut self, capture: Capture<'a>) -> Self {
        self.capture = Some(capture);
        self
    }

    /// The implementation to use, one of [`IMPLEMENTATIONS`](crate::device::IMPLEMENTATIONS); before what the device was told.
    #[must_use]
    pub fn implementation(mut self, name: &'a str) -> Self {
        self.implementation = Some(name);
        self
    }

    /// Records it. Queries `[B, H, Lq, D]`, keys `[B, Hkv, Lk, D]`, values `[B, Hkv, Lk, Dv]`, each f32 or f16 (keys and
    /// values alike); H is a multiple of Hkv, and head h reads key-value head h / (H / Hkv).
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes, dtypes or options that do not fit (both tensors are named), [`Error::Limit`],
    /// [`Error::Implementation`] for a forced implementation that cannot take them. Then nothing is recorded.
    pub fn record(
        self,
        recording: &mut Recording,
        q: &Heads,
        k: &Heads,
        v: &Heads,
    ) -> Result<AttentionValues> {
        let ([batch, heads, queries, _], value_dim) = (q.dims, v.dims[3]);
        let shape = match self.layout {
            Layout::RowsFirst => [batch, queries, heads, value_dim],
            Layout::HeadsFirst => [batch, heads, queries, value_dim],
        };
        let record = |recording: &mut Recording| {
            let output = self.made(recording, shape)?;
            let sums = self.made_sums(recording, q)?;
            let into = Heads::in_layout(&output, self.layout)?;
            let (checked, mut values) = self.record_with(recording, [q, k, v], &into, sums)?;
            if self.layout == Layout::RowsFirst {
                values.output = values.output.reshape([batch, queries, heads * value_dim])?;
            }
            if q.value.dtype() == DType::F16 {
                values.output = cast(recording, &values.output, DType::F16)?;
            }
            Ok((values.output.clone(), (checked, values)))
        };
        recording.atomically(|recording| {
            self.expect_gradients(recording)?;
            let mask = match self.mask {
                Some(Mask::Float(mask)) => Some(mask),
                Some(Mask::Bool(_)) | None => None,
            };
            let inputs: Vec<&Value> = [q.value, k.value, v.value].into_iter().chain(mask).collect();
            let is_tracked = recording.is_taping() && inputs.iter().any(|input| recording.is_tracked(input));
            let (_, (_, values)) = recording.differentiable_with(&inputs, record, |_, (checked, _)| {
                gradient::rule(checked.clone(), [q, k, v], mask.cloned())
            })?;
            if is_tracked {
                let others = [&values.weights, &values.log_sum_exp, &values.captured];
                others.into_iter().flatten().for_each(|value| recording.refuse_gradient(value));
            }
            Ok(values)
        })
    }

    /// The sums' logarithms, if they are asked for; packed as the queries are.
    fn made_sums(&self, recording: &mut Recording, q: &Heads) -> Result<Option<Value>> {
        let shape = [q.dims[0], q.dims[1], q.dims[2]];
        self.log_sum_exp.then(|| self.made(recording, shape)).transpose()
    }

    /// A value that it writes. Running sums on the device may leave rows out, which are 0 then.
    fn made<const RANK: usize>(&self, recording: &mut Recording, shape: [usize; RANK]) -> Result<Value> {
        match self.sequences {
            Some(Sequences::Value { .. }) => recording.zeros(shape, DType::F32),
            _ => recording.temporary(shape, DType::F32),
        }
    }

    /// [`Attention::record`] into an f32 `[B, H, Lq, Dv]` anywhere in a value that is there already.
    ///
    /// # Errors
    /// As [`Attention::record`], and [`Error::Argument`] for an output of another shape, one whose rows overlap, one
    /// in the value of an input, or a part of a temporary that nothing has written
    /// ([`Recording::zeros`] makes one to be written in parts).
    pub fn record_into(
        self,
        recording: &mut Recording,
        q: &Heads,
        k: &Heads,
        v: &Heads,
        output: &Heads,
    ) -> Result<AttentionValues> {
        recording.atomically(|recording| {
            let sums = self.made_sums(recording, q)?;
            Ok(self.record_with(recording, [q, k, v], output, sums)?.1)
        })
    }

    /// [`Attention::record_into`] with a value for the sums' logarithms.
    fn record_with(
        self,
        recording: &mut Recording,
        inputs: [&Heads; 3],
        output: &Heads,
        sums: Option<Value>,
    ) -> Result<(Checked, AttentionValues)> {
        recording.atomically(|recording| {
            let checked = Checked::new(&self, recording, inputs, output, sums.as_ref())?;
            let weights = checked.record(recording, self.implementation, sums.as_ref(), self.weights)?;
            let capture = self.capture.as_ref();
            let captured = capture.map(|capture| checked.capture(recording, capture)).transpose()?;
            let values =
                AttentionValues { output: output.value.clone(), weights, log_sum_exp: sums, captured };
            Ok((checked, values))
        })
    }
}
