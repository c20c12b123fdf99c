//! Luong's attention: three scores.

use super::additive_attention::{check_lengths, check_shapes, expect_last};
use super::{
    AdditiveAttention, AdditiveAttentionWeights, Attention, Heads, Linear, LinearWeights,
    ScoredAttentionValues,
};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

const OP: &str = "luong_attention";

/// How a query and a key make a score (Luong et al. 2015, *Effective Approaches to Attention-based Neural Machine
/// Translation*, equation 8).
#[derive(Clone, Debug)]
pub enum LuongScore {
    /// qᵀ·k.
    Dot,
    /// qᵀ·W·k: the map from Dq to Dk that queries take, x ↦ Wᵀ·x. See [`LuongScore::general`].
    General(LinearWeights),
    /// vᵀ·tanh(W·\[q; k\]). See [`LuongScore::concat`].
    Concat(AdditiveAttentionWeights),
}

impl LuongScore {
    /// qᵀ·W·k from the sizes \[Dq, Dk\] and W `[Dq, Dk]`, row-major, stored as `dtype` (f32 or f16).
    ///
    /// # Errors
    /// [`Error::Argument`] if W has another length, [`Error::OutOfMemory`].
    pub fn general(
        device: &Device,
        [query_dim, key_dim]: [usize; 2],
        weight: &[f32],
        dtype: DType,
    ) -> Result<Self> {
        if Some(weight.len()) != query_dim.checked_mul(key_dim) {
            let found = format!("{} elements", weight.len());
            return Err(Error::argument(OP, "weight", format!("[{query_dim}, {key_dim}]"), found));
        }
        // By W's elements: without any, the other size may be whatever it is.
        let transposed: Vec<f32> = (0..weight.len())
            .map(|element| weight[element % query_dim * key_dim + element / query_dim])
            .collect();
        Ok(Self::General(LinearWeights::new(device, [key_dim, query_dim], &transposed, None, dtype)?))
    }

    /// vᵀ·tanh(W·\[q; k\]) from the sizes \[Dq, Dk\], W `[A, Dq + Dk]` and v `[A]`.
    ///
    /// # Errors
    /// As [`AdditiveAttentionWeights::concatenated`].
    pub fn concat(
        device: &Device,
        sizes: [usize; 2],
        weight: &[f32],
        score_weight: &[f32],
        dtype: DType,
    ) -> Result<Self> {
        AdditiveAttentionWeights::concatenated(device, sizes, weight, None, score_weight, dtype)
            .map(Self::Concat)
    }
}

/// Luong's global attention to be recorded: outputᵢ = Σⱼ softmaxⱼ(score(qᵢ, kⱼ))·vⱼ (Luong et al. 2015, equations 7 and 8).
/// There is no scale.
///
/// Dot and general run by [`Attention`], and so by all its implementations, concat by [`AdditiveAttention`]; what they say
/// of lengths, NaN and infinities holds here, and batches of queries may share keys as there.
#[derive(Clone, Copy, Debug)]
pub struct LuongAttention<'a> {
    score: &'a LuongScore,
    lengths: Option<&'a [u32]>,
    with_weights: bool,
}

impl<'a> LuongAttention<'a> {
    /// With that score, every key allowed.
    pub fn new(score: &'a LuongScore) -> Self {
        Self { score, lengths: None, with_weights: false }
    }

    /// Keys of each of the N items; those from there on are padding.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [u32]) -> Self {
        self.lengths = Some(lengths);
        self
    }

    /// Gives the weights too.
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.with_weights = true;
        self
    }

    /// Records it: queries `[B, Lq, Dq]`, keys `[N, Lk, Dk]`, values `[N, Lk, Dv]`, all f32, B a multiple of N. For
    /// [`LuongScore::Dot`] Dq is Dk.
    ///
    /// # Errors
    /// [`Error::Argument`] for shapes, dtypes or lengths that do not fit, [`Error::Limit`],
    /// [`Error::Implementation`] for a forced implementation that cannot take them.
    pub fn record(
        self,
        recording: &mut Recording,
        query: &Value,
        key: &Value,
        value: &Value,
    ) -> Result<ScoredAttentionValues> {
        recording.atomically(|recording| {
            let projected = match self.score {
                LuongScore::Concat(weights) => {
                    let mut attention = AdditiveAttention::new(weights);
                    if let Some(lengths) = self.lengths {
                        attention = attention.key_lengths(lengths);
                    }
                    if self.with_weights {
                        attention = attention.with_weights();
                    }
                    return attention.record(recording, query, key, value);
                }
                LuongScore::Dot => None,
                LuongScore::General(weight) => Some(weight),
            };
            let dims @ [batch, queries, items, keys] = check_shapes(OP, query, key, value)?;
            let columns = key.shape().last();
            match projected {
                None => expect_last(OP, "query", query, columns)?,
                Some(weight) => {
                    expect_last(OP, "query", query, weight.inputs())?;
                    expect_last(OP, "key", key, weight.outputs())?;
                }
            }
            if let Some(lengths) = self.lengths {
                check_lengths(OP, lengths, dims)?;
            }
            let projected =
                projected.map(|weight| Linear::new(weight).record(recording, query)).transpose()?;
            // Queries that share keys are rows of one item.
            let rows = batch.checked_div(items).unwrap_or(0).saturating_mul(queries);
            let query = projected.as_ref().unwrap_or(query).reshape([items, rows, columns])?;
            let mut attention = Attention::new().scale(1.0);
            if let Some(lengths) = self.lengths {
                attention = attention.key_lengths(lengths);
            }
            if self.with_weights {
                attention = attention.with_weights();
            }
            let value_dim = value.shape().last();
            let query = Heads::in_rows(&query, 0, 1, columns)?;
            let (key, value) = (Heads::in_rows(key, 0, 1, columns)?, Heads::in_rows(value, 0, 1, value_dim)?);
            let values = attention.record(recording, &query, &key, &value)?;
            let weights =
                values.weights.map(|weights| weights.reshape([batch, queries, keys])).transpose()?;
            Ok(ScoredAttentionValues { output: values.output.reshape([batch, queries, value_dim])?, weights })
        })
    }
}
