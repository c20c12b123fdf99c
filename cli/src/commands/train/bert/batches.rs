//! Batches of a corpus's pairs, epoch after epoch.

use attentive::BertModel;
use attentive::models::PretrainingInput;
use attentive::models::pretraining::{Corpus, Masking};
use fastrand::Rng;

use crate::output::Result;

/// Batches whose inputs are sorted by their lengths together, so that little of a batch is padding.
const WINDOW: usize = 32;

/// Batches of about the same length each. In every epoch each sentence begins one pair, with another second sentence and other hidden
/// words than in the epoch before.
pub struct Batches<'a> {
    model: &'a BertModel,
    corpus: &'a Corpus,
    size: usize,
    seed: u64,
    epoch: u64,
    ready: Vec<Vec<PretrainingInput>>,
}

impl<'a> Batches<'a> {
    /// Those behind the first `had`.
    pub fn new(model: &'a BertModel, corpus: &'a Corpus, size: usize, seed: u64, had: u64) -> Result<Self> {
        let pairs: usize = corpus.documents().iter().map(|document| document.len() - 1).sum();
        let of_epoch = pairs.div_ceil(size) as u64;
        let (epoch, ready) = (had / of_epoch, Vec::new());
        let mut batches = Self { model, corpus, size, seed, epoch, ready };
        for _ in 0..had % of_epoch {
            batches.next()?;
        }
        Ok(batches)
    }

    pub fn next(&mut self) -> Result<Vec<PretrainingInput>> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(batch);
            }
            self.fill()?;
        }
    }

    /// The batches of the next epoch.
    fn fill(&mut self) -> Result<()> {
        let seed = self.seed.wrapping_add(self.epoch);
        let mut random = Rng::with_seed(seed ^ 0x0ba7_c4e5);
        let mut inputs = self.model.pretraining_inputs(self.corpus, &Masking::default(), seed)?;
        random.shuffle(&mut inputs);
        for window in inputs.chunks_mut(WINDOW * self.size) {
            window.sort_by_key(|input| input.tokens.ids.len());
            self.ready.extend(window.chunks(self.size).map(<[_]>::to_vec));
        }
        random.shuffle(&mut self.ready);
        self.epoch += 1;
        Ok(())
    }
}
