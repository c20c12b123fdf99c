//! Ops: check the arguments, choose an implementation, record its dispatches.
//!
//! An op takes values of a [`Recording`] and gives values that are there once it has run. What does not fit is an
//! [`Error::Argument`] with what was needed and what there was, and then nothing is recorded. f16 is a way to store: all sums are
//! in f32. Sizes of 0 are valid.
//!
//! | op | takes | gives |
//! |---|---|---|
//! | [`Linear`] | x `[…, inputs]` f32 or f16, weights f32 or f16, a residual | `[…, outputs]` f32 |
//! | [`matmul`], [`Gemm`] | f32 `[…, m, k]` and `[…, k, n]`, batches broadcast | `[…, m, n]` |
//! | [`Attention`], [`attention()`] | q `[B, H, Lq, D]`, k `[B, Hkv, Lk, D]`, v `[B, Hkv, Lk, Dv]`, f32 or f16, anywhere in their values ([`Heads`]) | `[B, Lq, H · Dv]`, or heads first |
//! | [`AdditiveAttention`], [`LuongAttention`] | f32 queries, keys, values of `[B, L, …]` | `[B, Lq, Dv]` |
//! | [`KvCache`] | new keys and values f32, kept as f32 or f16 | attention to all that it holds |
//! | [`LayerNorm`], [`layer_norm()`], [`rms_norm()`] | f32, over the axes from one on | x's shape |
//! | [`softmax()`] | f32, along any axis | x's shape |
//! | [`activate()`] | f32 | x's shape |
//! | [`add`], [`subtract`], [`multiply`] | f32, broadcast by NumPy's rule | the shape that both are broadcast to |
//! | [`slice()`], [`concat()`], [`permute()`], [`transpose`] | any dtype, any shape | a copy, in x's dtype |
//! | [`cast()`] | f32 or f16 | the other, x's shape |
//! | [`RotaryEmbedding`] | f32 `[B, H, L, D]`, `[B, L, H · D]`, or heads anywhere in a value | rotated, dense |
//! | [`Embedding`], [`gather_rows`] | ids or indices from the host, a table f32 or f16 | rows, f32 |
//! | [`embedding_norm()`] | ids, positions and types from the host, three tables | their sum's layer norm |
//! | [`pool()`] | f32 `[B, L, columns]` | a vector for each text |
//! | [`mean`], [`mean_max()`], [`sum()`] | f32, over a range of axes | without them |
//! | [`dropout()`] | f32 | x's shape |
//! | [`CrossEntropy`] | logits f32 `[…, classes]`, targets from the host | the mean loss, f32 `[1]` |
//! | [`spatial_attention()`], [`deformable_attention()`] | f32 maps, samples of maps | see there |

mod activate;
mod additive_attention;
mod attention;
mod axes;
mod binary;
mod cast;
mod choice;
mod concat;
mod cross_entropy;
mod deformable_attention;
mod dropout;
mod embedding;
mod embedding_norm;
mod gru_step;
mod layer_norm;
mod linear;
mod luong_attention;
mod matmul;
mod mean_max;
mod norm_gradient;
mod permute;
mod pool;
mod position;
mod product;
mod rms_norm;
mod scatter;
mod slice;
mod softmax;
mod spatial_attention;
mod sum;

pub use crate::kernels::activation::Activation;
pub use activate::activate;
pub use additive_attention::{
    AdditiveAttention, AdditiveAttentionWeights, HostAdditiveAttention, ScoredAttentionValues,
};
pub use attention::{
    Alignment, Attention, AttentionBuffers, AttentionCall, AttentionPlan, AttentionShape, AttentionTensors,
    AttentionValues, AttentionVariableLengths, BufferPart, Capture, Causal, HeadTerms, Heads, KvCache,
    KvCacheShape, Layout, Mask, PagedKeys, PerHead, Placement, Stage, attention,
};
pub use binary::{add, multiply, subtract};
pub use cast::cast;
pub use concat::concat;
pub use cross_entropy::CrossEntropy;
pub use deformable_attention::{DeformableInputs, deformable_attention};
pub use dropout::{Dropout, dropout};
pub use embedding::{Embedding, EmbeddingTable, gather_rows};
pub use embedding_norm::{EmbeddingTables, Tokens, embedding_norm};
pub(crate) use gru_step::{GruStep, GruStepGradients, writable};
pub use layer_norm::{LayerNorm, LayerNormValues, LayerNormWeights, layer_norm};
pub use linear::{Linear, LinearWeights};
pub(crate) use linear::{LinearValues, cut_columns};
pub use luong_attention::{LuongAttention, LuongScore};
pub use matmul::{Gemm, matmul};
pub use mean_max::{mean, mean_max};
pub use permute::{permute, transpose};
pub use pool::{Pooling, pool};
pub use position::{
    RelativePositionBias, RelativePositionBuckets, RotaryEmbedding, SinusoidalLayout, alibi_slopes,
    rotary_tables, sinusoidal_positions,
};
pub use rms_norm::rms_norm;
pub use slice::slice;
pub use softmax::softmax;
pub use spatial_attention::spatial_attention;
pub use sum::sum;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::recording::{Recording, Value};
use crate::tensor::DType;

/// Rows of a weight that one tensor of the device can hold: an even number, so that f16 rows of odd length begin at
/// words in each part.
fn part_rows(device: &Device, columns: usize, dtype: DType) -> usize {
    let row_bytes = dtype.words(columns as u64).max(1).saturating_mul(4);
    usize::try_from((device.capabilities().tensor_bytes() / row_bytes).max(2) / 2 * 2).unwrap_or(usize::MAX)
}

/// A size as the kernels count it.
fn size(op: &str, argument: &str, value: usize) -> Result<u32> {
    // Kernels compute indices in u32 and go a tile past the end.
    const LARGEST: usize = (u32::MAX - (1 << 16)) as usize;
    match value {
        0..=LARGEST => Ok(value as u32),
        _ => Err(Error::argument(op, argument, format!("at most {LARGEST}"), value.to_string())),
    }
}

/// [`Error::Argument`] unless the value has that dtype.
fn expect_dtype(op: &str, argument: &str, value: &Value, dtypes: &[DType]) -> Result<()> {
    if dtypes.contains(&value.dtype()) {
        return Ok(());
    }
    let expected: Vec<String> = dtypes.iter().map(ToString::to_string).collect();
    Err(Error::argument(op, argument, expected.join(" or "), value.dtype().to_string()))
}

/// [`Error::Argument`] unless weights can be stored as that dtype.
pub(crate) fn expect_weight_dtype(op: &str, dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 => Ok(()),
        other => Err(Error::argument(op, "the weights' dtype", "f32 or f16", other.to_string())),
    }
}

/// [`Error::Argument`] unless ε can stand under a root.
pub(crate) fn expect_epsilon(op: &str, epsilon: f32) -> Result<()> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, "epsilon", "a finite number, at least 0", epsilon.to_string()))
}

/// [`Error::Argument`] unless the value is one of that recording.
fn expect_own(recording: &Recording, op: &str, argument: &str, value: &Value) -> Result<()> {
    if recording.has(value) {
        return Ok(());
    }
    let found = format!("{} {} of another", value.dtype(), value.shape());
    Err(Error::argument(op, argument, "a value of this recording", found))
}

/// [`Error::Argument`] unless the value has that shape.
fn expect_shape(op: &str, argument: &str, value: &Value, dims: &[usize]) -> Result<()> {
    if value.shape().dims() == dims {
        return Ok(());
    }
    Err(Error::argument(op, argument, format!("{dims:?}"), value.shape().to_string()))
}
