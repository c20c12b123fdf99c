//! An embedder that is trained, by pairs of texts that belong together.

use super::TokenBatch;
use super::batches::tokenize;
use super::embedder::Embedder;
use crate::error::{Error, Result};
use crate::layers::Parameter;
use crate::ops::{CrossEntropy, Gemm, concat, pool};
use crate::recording::{Recording, Value};
use crate::tensor::Tensor;
use crate::train::{LoraOptions, Trainer, TrainingStep};
use crate::weights::Encoding;

const OP: &str = "ranking_loss";

impl Embedder {
    /// What can be trained, by the names of its checkpoint.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.encoder.parameters()
    }

    /// Low-rank adaptation of the encoder's queries and values, with that rank ([`Lora`](crate::train::Lora)).
    pub fn lora(&self, rank: usize) -> LoraOptions {
        self.encoder.lora(rank)
    }

    /// Records the multiple negatives ranking loss of pairs (Henderson et al. 2017, section 4.4; sentence-transformers'
    /// `MultipleNegativesRankingLoss`): of each first text the cross-entropy of its own second text among those of all pairs, by
    /// the cosines of their vectors times `scale`, which is 20 there. Texts are taken as they are, without prompts, and cut where
    /// they are longer than the model takes.
    ///
    /// # Errors
    /// Those of tokenizing; [`Error::Argument`] for other numbers of first and second texts, or none.
    pub fn record_ranking_loss<S: AsRef<str> + Sync>(
        &self,
        recording: &mut Recording,
        [first, second]: [&[S]; 2],
        scale: f32,
    ) -> Result<Value> {
        expect_pairs([first, second])?;
        recording.atomically(|recording| {
            let mut vectors = |texts: &[S]| {
                let encodings = self.tokenizer.encode_batch(texts, self.max_tokens)?;
                self.record_unit_vectors(recording, &encodings)
            };
            let (first, second) = (vectors(first)?, vectors(second)?);
            record_ranking(recording, [&first, &second], scale)
        })
    }

    /// Takes a step of a trainer of [`Embedder::parameters`] by the loss of [`Embedder::record_ranking_loss`], with at most `part` texts
    /// in memory at once (Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*;
    /// sentence-transformers' `CachedMultipleNegativesRankingLoss`). The loss is that of all pairs, which parts of a batch have no sums
    /// of: the texts are embedded part by part without gradients, the loss and its gradient by each vector are computed of all vectors,
    /// and each part is embedded once more, to go on from that gradient to the parameters. That is the forward pass twice, and the
    /// memory of one part.
    ///
    /// # Errors
    /// As there, and [`Error::Argument`] for parts of no texts; those of [`Trainer::step_in_parts_async`].
    pub async fn ranking_step_async<S: AsRef<str> + Sync>(
        &self,
        trainer: &mut Trainer,
        [first, second]: [&[S]; 2],
        scale: f32,
        part: usize,
    ) -> Result<TrainingStep> {
        expect_pairs([first, second])?;
        if part == 0 {
            return Err(Error::argument(OP, "the texts of a part", "at least 1", "0"));
        }
        let encode = |texts: &[S]| self.tokenizer.encode_batch(texts, self.max_tokens);
        let (first, second) = (tokenize(first, encode).await?, tokenize(second, encode).await?);
        let parts: Vec<&[Encoding]> = first.chunks(part).chain(second.chunks(part)).collect();
        let of_first = first.len().div_ceil(part);
        let mut vectors = Vec::with_capacity(parts.len());
        for texts in &parts {
            let mut recording = Recording::new(&self.device);
            let own = self.record_unit_vectors(&mut recording, texts)?;
            recording.output(&own)?;
            vectors.push(recording.run_async().await?.tensor(&own)?);
        }
        let (loss, gradients) = self.ranking_gradients(&vectors, of_first, scale).await?;
        let record = |recording: &mut Recording, part: usize| {
            let own = self.record_unit_vectors(recording, parts[part])?;
            let gradient = recording.tensor(&gradients[part])?;
            Ok((own, gradient))
        };
        trainer.step_from_outputs_async(loss, parts.len(), record).await
    }

    /// The loss of vectors in parts, the first so many of which are those of first texts, and its gradient by each part.
    async fn ranking_gradients(
        &self,
        vectors: &[Tensor],
        of_first: usize,
        scale: f32,
    ) -> Result<(f32, Vec<Tensor>)> {
        let mut recording = Recording::training(&self.device, vectors)?;
        let parts = vectors.iter().map(|vectors| recording.tensor(vectors)).collect::<Result<Vec<_>>>()?;
        let parts: Vec<&Value> = parts.iter().collect();
        let first = concat(&mut recording, &parts[..of_first], 0)?;
        let second = concat(&mut recording, &parts[of_first..], 0)?;
        let loss = record_ranking(&mut recording, [&first, &second], scale)?;
        let gradients = recording.backward(&loss)?;
        let mut found = Vec::with_capacity(vectors.len());
        for vectors in vectors {
            let gradient = gradients.of_parameter(&recording, vectors).ok_or_else(|| {
                Error::argument(OP, "the vectors", "a part of the loss", "some that it does not depend on")
            })?;
            recording.output(&gradient)?;
            found.push(gradient);
        }
        recording.output(&loss)?;
        let outputs = recording.run_async().await?;
        let loss = outputs.tensor(&loss)?.to_f32_async().await?.first().copied().unwrap_or(f32::NAN);
        let gradients = found.iter().map(|gradient| outputs.tensor(gradient)).collect::<Result<_>>()?;
        Ok((loss, gradients))
    }

    /// The blocking form of [`Embedder::ranking_step_async`].
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn ranking_step<S: AsRef<str> + Sync>(
        &self,
        trainer: &mut Trainer,
        pairs: [&[S]; 2],
        scale: f32,
        part: usize,
    ) -> Result<TrainingStep> {
        crate::waiting::block_on(self.ranking_step_async(trainer, pairs, scale, part))
    }

    /// Records the vectors of texts at length 1, `[texts, dimensions]`.
    fn record_unit_vectors(&self, recording: &mut Recording, texts: &[Encoding]) -> Result<Value> {
        let ids: Vec<&[u32]> = texts.iter().map(|encoding| encoding.ids.as_slice()).collect();
        let types: Vec<&[u32]> = texts.iter().map(|encoding| encoding.type_ids.as_slice()).collect();
        let (hidden, lengths) = self.encoder.record(recording, TokenBatch::new(&ids).types(&types))?;
        pool(recording, &hidden, &lengths, self.pooling, true)
    }
}

fn expect_pairs<S>([first, second]: [&[S]; 2]) -> Result<()> {
    if first.len() == second.len() && !first.is_empty() {
        return Ok(());
    }
    let expected = format!("as many as the first, {}, and one at least", first.len());
    Err(Error::argument(OP, "the second texts", expected, second.len().to_string()))
}

/// Records the loss of vectors at length 1: of each of the first the cross-entropy of its own partner among the second.
fn record_ranking(recording: &mut Recording, [first, second]: [&Value; 2], scale: f32) -> Result<Value> {
    let cosines = Gemm::new().alpha(scale).transpose_b().record(recording, first, second)?;
    let own: Vec<u32> = (0..cosines.shape()[0] as u32).collect();
    CrossEntropy::new(&own).record(recording, &cosines)
}
