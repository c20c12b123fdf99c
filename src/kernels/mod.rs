//! The kernels, and the one list of them.

pub mod activation;
pub mod attention;
pub mod ceiling;
pub mod elementwise;
pub mod embedding;
pub mod linear;
pub mod loss;
pub(crate) mod matrices;
pub(crate) mod multiply;
pub mod normalization;
pub mod optimizer;
pub(crate) mod parallel;
pub mod pooling;
pub mod position;
pub mod recurrent;
pub(crate) mod reduce;
pub mod reduction;
pub(crate) mod shared;
pub mod vision;
pub(crate) mod wide;

use crate::kernel::Kernel;

/// Every kernel. Tests and `verify` walk this list; a shader that is not in it fails a test.
pub static KERNELS: &[&dyn Kernel] = &[
    &attention::scores::Scores,
    &attention::scale_mask_softmax::ScaleMaskSoftmax,
    &attention::weighted_values::WeightedValues,
    &attention::score_gradient::ScoreGradient,
    &attention::transposed_values::TransposedValues,
    &attention::flash_tiled::FlashTiled,
    &attention::flash_subgroup::FlashSubgroup,
    &attention::flash_subgroup8::FlashSubgroup8,
    &attention::flash_decode::FlashDecode,
    &attention::flash_cooperative::FlashCooperative,
    &attention::flash_gradient_rows::FlashGradientRows,
    &attention::flash_query_gradient::FlashQueryGradient,
    &attention::flash_key_gradient::FlashKeyGradient,
    &attention::merge::Merge,
    &attention::append::Append,
    &attention::additive::Additive,
    &attention::additive_gradient::AdditiveGradient,
    &linear::gemm_tiled::GemmTiled,
    &linear::gemm_subgroup8::GemmSubgroup8,
    &linear::gemm_blocked::GemmBlocked,
    &linear::gemv::Gemv,
    &linear::sum_splits::SumSplits,
    &linear::gemm_cooperative::GemmCooperative,
    &normalization::layer_norm::LayerNorm,
    &normalization::rms_norm::RmsNorm,
    &normalization::softmax::Softmax,
    &normalization::softmax_gradient::SoftmaxGradient,
    &normalization::norm_gradient::NormGradient,
    &embedding::gather::Gather,
    &embedding::embedding_norm::EmbeddingNorm,
    &embedding::scatter_add::ScatterAdd,
    &loss::cross_entropy::CrossEntropy,
    &loss::cross_entropy_gradient::CrossEntropyGradient,
    &optimizer::adamw::AdamW,
    &optimizer::sgd::Sgd,
    &optimizer::squares::Squares,
    &optimizer::norm::Norm,
    &pooling::pool::Pool,
    &pooling::pool_gradient::PoolGradient,
    &pooling::mean_max::MeanMax,
    &reduction::sum::Sum,
    &position::rotary_embedding::RotaryEmbedding,
    &recurrent::gru::Gru,
    &recurrent::gru_gradient::GruGradient,
    &elementwise::activate::Activate,
    &elementwise::activation_gradient::ActivationGradient,
    &elementwise::binary::Binary,
    &elementwise::cast::Cast,
    &elementwise::strided_add::StridedAdd,
    &elementwise::strided_copy::StridedCopy,
    &elementwise::dropout::Dropout,
    &vision::spatial_attention::SpatialAttention,
    &vision::deformable_attention::DeformableAttention,
    &ceiling::copy::Copy,
    &ceiling::multiply_add::MultiplyAdd,
];

/// Whether a kernel has the text of one of these.
pub(crate) fn is_ours(kernel: &dyn Kernel) -> bool {
    KERNELS.iter().any(|ours| std::ptr::eq(ours.source(), kernel.source()))
}
