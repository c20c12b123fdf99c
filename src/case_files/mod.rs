#![doc = include_str!("../../docs/cases.md")]

mod call;
mod file;
mod onnx;
mod onnx_attention;
mod scored_attention;
mod t5;
mod torch_attention;
mod torch_gru;
mod torch_layers;
mod vision;

use std::fmt;

pub use file::CaseFile;

use crate::device::Device;
use crate::error::Result;
use crate::verify::compare::{Comparison, compare_allclose};
use crate::weights::files::bad;
use call::{Array, Call};

/// An op that a case may ask for.
struct Op {
    name: &'static str,
    /// In groups that ops share.
    attributes: &'static [&'static [&'static str]],
    inputs: &'static [&'static str],
    /// Names after `weight.`, in groups too.
    weights: &'static [&'static [&'static str]],
    /// Names after `expected.`.
    outputs: &'static [&'static str],
    record: fn(&mut Call<'_>) -> Result<()>,
}

/// All of them.
const OPS: [&Op; 24] = [
    &onnx_attention::ATTENTION,
    &onnx::GELU,
    &onnx::GEMM,
    &onnx::LAYER_NORMALIZATION,
    &onnx::MATMUL,
    &onnx::RMS_NORMALIZATION,
    &onnx::ROTARY_EMBEDDING,
    &onnx::SOFTMAX,
    &torch_attention::SCALED_DOT_PRODUCT_ATTENTION,
    &torch_attention::MULTIHEAD_ATTENTION,
    &torch_layers::TRANSFORMER_ENCODER_LAYER,
    &torch_layers::TRANSFORMER_ENCODER,
    &torch_layers::TRANSFORMER_DECODER_LAYER,
    &torch_layers::TRANSFORMER_DECODER,
    &t5::T5_ATTENTION,
    &vision::SQUEEZE_EXCITATION,
    &vision::CHANNEL_ATTENTION,
    &vision::SPATIAL_ATTENTION,
    &vision::CBAM,
    &vision::MS_DEFORM_ATTN,
    &vision::MS_DEFORM_ATTN_MODULE,
    &torch_gru::GRU,
    &scored_attention::ADDITIVE_ATTENTION,
    &scored_attention::LUONG_ATTENTION,
];

/// The ops that a case may ask for.
pub fn ops() -> impl ExactSizeIterator<Item = &'static str> {
    OPS.iter().map(|op| op.name)
}

/// How a case's answers compare with what a device computed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// Each answer of the case by its name, without `expected.`.
    pub outputs: Vec<(String, Comparison)>,
}

impl CaseReport {
    /// Whether every answer agrees.
    pub fn passed(&self) -> bool {
        self.outputs.iter().all(|(_, comparison)| comparison.passed)
    }

    /// The largest absolute error of all answers; infinite for a NaN or an infinity in the wrong place.
    pub fn largest_error(&self) -> f64 {
        // None of them is NaN.
        self.outputs.iter().map(|(_, comparison)| comparison.largest_error).fold(0.0, f64::max)
    }
}

/// What is wrong with each answer that disagrees; nothing if all agree.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.outputs.iter().filter(|(_, comparison)| !comparison.passed);
        for (place, (name, comparison)) in failed.enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            let Comparison { reason, failing, elements, .. } = comparison;
            write!(
                f,
                "{separator}{name}: {reason}; {failing} of {elements} elements are beyond their bound"
            )?;
        }
        Ok(())
    }
}

impl CaseFile {
    /// Runs the case on that device and compares every answer.
    ///
    /// # Errors
    /// What is wrong with the file: [`Error::File`](crate::Error::File), [`Error::Unsupported`](crate::Error::Unsupported), [`Error::MissingTensor`](crate::Error::MissingTensor),
    /// [`Error::TensorShape`](crate::Error::TensorShape), [`Error::Argument`](crate::Error::Argument); [`Error::Implementation`](crate::Error::Implementation) where the device was told to use an
    /// implementation that cannot take the case; and those of [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(&self, device: &Device) -> Result<CaseReport> {
        let mut call = Call::new(self, device);
        (self.op().record)(&mut call)?;
        let answers = call.run().await?;
        let mut outputs = Vec::new();
        for name in self.answers() {
            let full = format!("expected.{name}");
            let (expected, dtype) = self.array(&full)?;
            let Some((_, got)) = answers.iter().find(|(answer, _)| *answer == name) else {
                return Err(bad(self.path(), format!("the op has no `{name}` with these attributes")));
            };
            if got.shape != expected.shape {
                let problem = format!("`{full}` is {:?}, but `{name}` is {:?}", expected.shape, got.shape);
                return Err(bad(self.path(), problem));
            }
            let got = dtype.round(&got.values);
            let (rtol, atol) = self.tolerance();
            outputs.push((name.to_owned(), compare_allclose(&got, &expected.values, rtol, atol)));
        }
        Ok(CaseReport { outputs })
    }

    /// The blocking form of [`CaseFile::run_async`].
    ///
    /// # Errors
    /// As [`CaseFile::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&self, device: &Device) -> Result<CaseReport> {
        crate::waiting::block_on(self.run_async(device))
    }
}
