//! The models that translate. Each has `facts`, `sizes` and `generate`, and nothing else asks which of them it is.

use super::facts::{Facts, Sizes, Wanted};
use super::{BahdanauSeq2Seq, TransformerSeq2Seq};
use crate::device::Device;
use crate::error::Result;
use crate::models::generation::Hypothesis;
use crate::tensor::DType;
use crate::weights::{Checkpoint, Seq2SeqConfig};

#[derive(Debug)]
pub(super) enum Model {
    Transformer(Box<TransformerSeq2Seq>),
    Bahdanau(Box<BahdanauSeq2Seq>),
}

impl Model {
    pub(super) fn load(
        device: &Device,
        config: &Seq2SeqConfig,
        checkpoint: &Checkpoint,
        dtype: DType,
    ) -> Result<Self> {
        Ok(match config {
            Seq2SeqConfig::Marian(config) => {
                Self::Transformer(Box::new(TransformerSeq2Seq::load(device, config, checkpoint, dtype)?))
            }
            Seq2SeqConfig::Bahdanau(config) => {
                Self::Bahdanau(Box::new(BahdanauSeq2Seq::load(device, config, checkpoint, dtype)?))
            }
        })
    }

    pub(super) fn facts(&self) -> Facts {
        match self {
            Self::Transformer(model) => model.facts(),
            Self::Bahdanau(model) => model.facts(),
        }
    }

    /// For outputs of at most so many tokens.
    pub(super) fn sizes(&self, max_tokens: usize) -> Sizes {
        match self {
            Self::Transformer(model) => model.sizes(max_tokens),
            Self::Bahdanau(model) => model.sizes(),
        }
    }

    /// The hypotheses of each source; `progress` is told the tokens of each row after each step, and ends it by an error.
    pub(super) async fn generate(
        &self,
        device: &Device,
        wanted: Wanted<'_>,
        progress: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        match self {
            Self::Transformer(model) => model.generate(device, wanted, progress).await,
            Self::Bahdanau(model) => model.generate(device, wanted, progress).await,
        }
    }
}
