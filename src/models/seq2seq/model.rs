//! The models that translate. Each has `facts`, `sizes` and `generate`, and nothing else asks which of them it is.

use std::ops::Range;

use super::facts::{Facts, Sizes, Wanted};
use super::{BahdanauSeq2Seq, TransformerSeq2Seq};
use crate::device::Device;
use crate::error::Result;
use crate::layers::Parameter;
use crate::models::generation::Hypothesis;
use crate::recording::{Recording, Value};
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

    /// One that has learnt nothing yet, in f32.
    pub(super) fn random(device: &Device, config: &Seq2SeqConfig, seed: u64) -> Result<Self> {
        Ok(match config {
            Seq2SeqConfig::Marian(config) => {
                Self::Transformer(Box::new(TransformerSeq2Seq::random(device, config, seed)?))
            }
            Seq2SeqConfig::Bahdanau(config) => {
                Self::Bahdanau(Box::new(BahdanauSeq2Seq::random(device, config, seed)?))
            }
        })
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Transformer(model) => model.parameters(),
            Self::Bahdanau(model) => model.parameters(),
        }
    }

    pub(super) fn record_loss_part(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
        part: Range<usize>,
    ) -> Result<Value> {
        match self {
            Self::Transformer(model) => model.record_loss_part(recording, sources, targets, part),
            Self::Bahdanau(model) => model.record_loss_part(recording, sources, targets, part),
        }
    }

    /// Tensors of its checkpoint that are not trained and 0: their names and sizes.
    pub(super) fn zeros(&self) -> Vec<(&'static str, [usize; 2])> {
        match self {
            Self::Transformer(model) => {
                vec![("final_logits_bias", [1, model.config().target_vocabulary_size])]
            }
            Self::Bahdanau(_) => Vec::new(),
        }
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
