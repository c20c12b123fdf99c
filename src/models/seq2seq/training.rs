//! A translator that is trained.

use std::ops::Range;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::Translator;
use super::model::Model;
use crate::device::Device;
use crate::error::Result;
use crate::layers::Parameter;
use crate::recording::{Recording, Value};
#[cfg(not(target_arch = "wasm32"))]
use crate::tensor::DType;
#[cfg(not(target_arch = "wasm32"))]
use crate::train::save_weights;
use crate::weights::Seq2SeqFolder;

impl Translator {
    /// A translator of a folder's sizes, tokenizer and settings that has learnt nothing yet: its weights are made from a seed, in f32, and
    /// those of the folder are not read.
    ///
    /// # Errors
    /// As [`Translator::from_folder`].
    pub fn untrained(device: &Device, folder: Seq2SeqFolder, seed: u64) -> Result<Self> {
        let model = Model::random(device, &folder.config, seed)?;
        Self::with_model(device, folder, model)
    }

    /// What can be trained, by the names of a checkpoint.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.model.parameters()
    }

    /// Records the loss of pairs of token ids, as training has it: the mean cross-entropy over the targets' tokens, each after those
    /// before it and the start token. Targets are with the token that ends them, and without the one that begins them.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for other numbers of sources and targets, an empty one, one that is longer than the
    /// model takes, or an id past its table.
    pub fn record_loss(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
    ) -> Result<Value> {
        self.record_loss_part(recording, sources, targets, 0..sources.len())
    }

    /// Records what some pairs of a batch add to its loss ([`Translator::record_loss`]): the cross-entropy of their targets' tokens,
    /// divided by the tokens of all targets of the batch. So the losses of its parts add up to that of the whole
    /// ([`Trainer::step_in_parts_async`](crate::train::Trainer::step_in_parts_async)).
    ///
    /// # Errors
    /// As there, and [`Error::Argument`](crate::Error::Argument) for a part that is empty or not within the batch.
    pub fn record_loss_part(
        &self,
        recording: &mut Recording,
        sources: &[&[u32]],
        targets: &[&[u32]],
        part: Range<usize>,
    ) -> Result<Value> {
        self.model.record_loss_part(recording, sources, targets, part)
    }

    /// Writes the weights as a folder's `model.safetensors`, stored as f32 or f16.
    ///
    /// # Errors
    /// As [`save_weights`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_weights(&self, path: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let zeros = self.model.zeros();
        let zeros: Vec<_> =
            zeros.iter().map(|(name, shape)| (*name, shape, vec![0.0; shape[0] * shape[1]])).collect();
        let others: Vec<(&str, &[usize], &[f32])> =
            zeros.iter().map(|(name, shape, values)| (*name, &shape[..], &values[..])).collect();
        save_weights(path, &self.parameters(), &others, dtype)
    }
}
