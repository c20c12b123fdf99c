//! Attention on tensors, to be run at once.

use super::{Alignment, Attention, Capture, Causal, Heads, Layout, Mask};
use crate::error::Result;
use crate::ops::RelativePositionBias;
use crate::recording::Recording;
use crate::tensor::{DType, Tensor};

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
    AttentionCall {
        tensors: [q, k, v],
        options: Attention::new(),
        mask: None,
        padding: None,
        layout: Layout::HeadsFirst,
    }
}

/// An [`attention`] to be run.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCall<'a> {
    tensors: [&'a Tensor; 3],
    pub(super) options: Attention<'a>,
    mask: Option<&'a Tensor>,
    padding: Option<&'a Tensor>,
    layout: Layout,
}

/// The values of an attention.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttentionTensors {
    /// `[B, H, Lq, Dv]`, or `[B, Lq, H, Dv]` for [`Layout::RowsFirst`]; in the dtype of the queries.
    pub output: Tensor,
    /// `[B, H, Lq, Lk]`, if asked for.
    pub weights: Option<Tensor>,
    /// `[B, H, Lq]`, if asked for.
    pub log_sum_exp: Option<Tensor>,
    /// `[B, heads, queries, Lk]` of those that were asked for.
    pub captured: Option<Tensor>,
}

/// The same option of [`Attention`].
macro_rules! options {
    ($($(#[$meta:meta])* $name:ident($($argument:ident: $kind:ty),*);)*) => {
        $($(#[$meta])*
        #[must_use]
        pub fn $name(mut self, $($argument: $kind),*) -> Self {
            self.options = self.options.$name($($argument),*);
            self
        })*
    };
}

impl<'a> AttentionCall<'a> {
    options! {
        /// Another scale than 1/√head_dim.
        scale(scale: f32);
        /// c·tanh(s / c) in place of the scaled score: see [`Attention::softcap`].
        softcap(softcap: f32);
        /// Which keys the order allows.
        causal(causal: Causal);
        /// Where queries stand among the keys where no causal bound says it.
        alignment(alignment: Alignment);
        /// The keys before and after its own that a query sees: see [`Attention::window`].
        window(left: Option<u32>, right: Option<u32>);
        /// Keys of each batch item; those from there on are padding.
        key_lengths(lengths: &'a [u32]);
        /// Items of different lengths one after the other: see [`Attention::packed`].
        packed(queries: &'a [u32], keys: &'a [u32]);
        /// Keys and values in pages of a pool: see [`Attention::page_table`].
        page_table(table: &'a [u32]);
        /// Biases by head and distance: see [`Attention::relative_bias`].
        relative_bias(bias: &'a RelativePositionBias);
        /// The implementation to use: see [`Attention::implementation`].
        implementation(name: &'a str);
        /// Gives the weights too.
        with_weights();
        /// Gives the logarithm of each row's sum too.
        with_log_sum_exp();
        /// Gives the weights, or a stage before them, of some heads and queries.
        capture(capture: Capture<'a>);
    }

    /// A mask, broadcast to `[B, H, Lq, Lk]`: u32 (nonzero takes part), or f32 or f16 (added to the scaled scores).
    #[must_use]
    pub fn mask(mut self, mask: &'a Tensor) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Keys that take part, u32 `[B, Lk]`, nonzero for true. In place of lengths.
    #[must_use]
    pub fn key_padding_mask(mut self, mask: &'a Tensor) -> Self {
        self.padding = Some(mask);
        self
    }

    /// How the heads of q, k, v and the output lie: [`Layout::HeadsFirst`] unless said otherwise.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Runs it, for the output alone.
    ///
    /// # Errors
    /// As [`Attention::record`] and [`Recording::run_async`].
    pub async fn run_async(self) -> Result<Tensor> {
        Ok(self.run_all_async().await?.output)
    }

    /// Runs it, for all that was asked for.
    ///
    /// # Errors
    /// As [`AttentionCall::run_async`].
    pub async fn run_all_async(self) -> Result<AttentionTensors> {
        let [q, k, v] = self.tensors;
        let mut recording = Recording::new(q.device());
        let (q, k, v) = (recording.tensor(q)?, recording.tensor(k)?, recording.tensor(v)?);
        let mask = self.mask.map(|mask| recording.tensor(mask)).transpose()?;
        let padding = self.padding.map(|mask| recording.tensor(mask)).transpose()?;
        let mut options = self.options.output_layout(self.layout);
        if let Some(mask) = &mask {
            options = options.mask(match mask.dtype() {
                DType::U32 => Mask::Bool(mask),
                DType::F32 | DType::F16 => Mask::Float(mask),
            });
        }
        if let Some(padding) = &padding {
            options = options.key_padding_mask(padding);
        }
        let [q, k, v] = [&q, &k, &v].map(|value| Heads::in_layout(value, self.layout));
        let (q, k, v) = (q?, k?, v?);
        let mut values = options.record(&mut recording, &q, &k, &v)?;
        let ([batch, heads, queries, _], value_dim) = (q.dims(), v.dims()[3]);
        if self.layout == Layout::RowsFirst {
            values.output = values.output.reshape([batch, queries, heads, value_dim])?;
        }
        let others = [&values.weights, &values.log_sum_exp, &values.captured];
        for value in others.into_iter().flatten().chain([&values.output]) {
            recording.output(value)?;
        }
        let outputs = recording.run_async().await?;
        let tensor = |value: &Option<_>| value.as_ref().map(|value| outputs.tensor(value)).transpose();
        Ok(AttentionTensors {
            output: outputs.tensor(&values.output)?,
            weights: tensor(&values.weights)?,
            log_sum_exp: tensor(&values.log_sum_exp)?,
            captured: tensor(&values.captured)?,
        })
    }

    /// The blocking form of [`AttentionCall::run_async`].
    ///
    /// # Errors
    /// As [`AttentionCall::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(self) -> Result<Tensor> {
        crate::waiting::block_on(self.run_async())
    }

    /// The blocking form of [`AttentionCall::run_all_async`].
    ///
    /// # Errors
    /// As [`AttentionCall::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_all(self) -> Result<AttentionTensors> {
        crate::waiting::block_on(self.run_all_async())
    }
}
