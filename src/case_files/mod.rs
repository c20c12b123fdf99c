#![doc = include_str!("../../docs/cases.md")]

mod call;
mod file;
mod gradients;
mod onnx;
mod onnx_attention;
mod scored_attention;
mod t5;
mod torch_attention;
mod torch_functional;
mod torch_gru;
mod torch_layers;
mod vision;

use std::fmt;

pub use file::CaseFile;

use crate::device::Device;
use crate::error::Result;
use crate::verify::compare::{Comparison, compare_allclose};
use crate::weights::files::bad;
use call::{Array, Call, Computed};

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
const OPS: [&Op; 28] = [
    &onnx_attention::ATTENTION,
    &onnx::GELU,
    &onnx::GEMM,
    &onnx::LAYER_NORMALIZATION,
    &onnx::MATMUL,
    &onnx::RMS_NORMALIZATION,
    &onnx::ROTARY_EMBEDDING,
    &onnx::SOFTMAX,
    &torch_functional::LINEAR,
    &torch_functional::EMBEDDING,
    &torch_functional::CROSS_ENTROPY,
    &torch_functional::POOLING,
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
    /// Each gradient of the case by its tensor's name, without `gradient.`.
    pub gradients: Vec<(String, Comparison)>,
}

impl CaseReport {
    /// Whether every answer and every gradient agrees.
    pub fn passed(&self) -> bool {
        self.comparisons().all(|comparison| comparison.passed)
    }

    /// The largest absolute error of all answers and gradients; infinite for a NaN or an infinity in the wrong place.
    pub fn largest_error(&self) -> f64 {
        // None of them is NaN.
        self.comparisons().map(|comparison| comparison.largest_error).fold(0.0, f64::max)
    }

    fn comparisons(&self) -> impl Iterator<Item = &Comparison> {
        self.outputs.iter().chain(&self.gradients).map(|(_, comparison)| comparison)
    }
}

/// What is wrong with each answer and gradient that disagrees; nothing if all agree.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs = self.outputs.iter().map(|output| ("", output));
        let gradients = self.gradients.iter().map(|gradient| ("gradient.", gradient));
        let failed = outputs.chain(gradients).filter(|(_, (_, comparison))| !comparison.passed);
        for (place, (kind, (name, comparison))) in failed.enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            let Comparison { reason, failing, elements, .. } = comparison;
            write!(
                f,
                "{separator}{kind}{name}: {reason}; {failing} of {elements} elements are beyond their bound"
            )?;
        }
        Ok(())
    }
}

impl CaseFile {
    /// Runs the case on that device and compares every answer and every gradient.
    ///
    /// # Errors
    /// What is wrong with the file: [`Error::File`](crate::Error::File), [`Error::Unsupported`](crate::Error::Unsupported), [`Error::MissingTensor`](crate::Error::MissingTensor),
    /// [`Error::TensorShape`](crate::Error::TensorShape), [`Error::Argument`](crate::Error::Argument); [`Error::NoGradient`](crate::Error::NoGradient) where an op on the way to a gradient has
    /// none; [`Error::Implementation`](crate::Error::Implementation) where the device was told to use an
    /// implementation that cannot take the case; and those of [`Recording::run_async`](crate::Recording::run_async).
    pub async fn run_async(&self, device: &Device) -> Result<CaseReport> {
        let mut call = Call::new(self, device)?;
        (self.op().record)(&mut call)?;
        let Computed { answers, gradients } = call.run().await?;
        let mut outputs = Vec::new();
        for name in self.answers() {
            let full = format!("expected.{name}");
            let Some((_, got)) = answers.iter().find(|(answer, _)| *answer == name) else {
                return Err(bad(self.path(), format!("the op has no `{name}` with these attributes")));
            };
            outputs.push((name.to_owned(), self.compared(&full, got, self.tolerance())?));
        }
        let compared = |(name, got): &(String, Array)| {
            let comparison = self.compared(&format!("gradient.{name}"), got, self.gradient_tolerance())?;
            Ok((name.clone(), comparison))
        };
        let gradients = gradients.iter().map(compared).collect::<Result<_>>()?;
        Ok(CaseReport { outputs, gradients })
    }

    /// What was computed, held against the file's tensor of that name, whose shape it must have.
    fn compared(&self, name: &str, got: &Array, (rtol, atol): (f64, f64)) -> Result<Comparison> {
        let (expected, dtype) = self.array(name)?;
        if got.shape != expected.shape {
            let (_, answer) = name.split_once('.').unwrap_or(("", name));
            let problem = format!("`{name}` is {:?}, but `{answer}` is {:?}", expected.shape, got.shape);
            return Err(bad(self.path(), problem));
        }
        Ok(compare_allclose(&dtype.round(&got.values), &expected.values, rtol, atol))
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
