//! Batches of pairs, as token ids.

use attentive::models::Translator;
use attentive::weights::Seq2SeqTokenizer;
use fastrand::Rng;

use super::models::Pairs;
use crate::output::Result;

/// Batches whose pairs are sorted by their lengths together, so that little of a batch is padding.
const WINDOW: usize = 64;
/// How many texts of all have a stranger in them.
const WITH_STRANGER: f64 = 0.02;

/// The sources and targets of a step.
pub struct Batch {
    pub sources: Vec<Vec<u32>>,
    pub targets: Vec<Vec<u32>>,
}

/// Batches of about the same source length each.
pub struct Batches<'a> {
    tokenizer: &'a Seq2SeqTokenizer,
    pairs: Pairs,
    random: Rng,
    size: usize,
    max_tokens: usize,
    ready: Vec<Batch>,
}

impl<'a> Batches<'a> {
    pub fn new(translator: &'a Translator, pairs: Pairs, size: usize, seed: u64) -> Self {
        let (tokenizer, max_tokens) = (translator.tokenizer(), translator.max_source_tokens());
        let random = Rng::with_seed(seed ^ 0x0ba7_c4e5);
        Self { tokenizer, pairs, random, size, max_tokens, ready: Vec::new() }
    }

    pub fn next(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(batch);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let (mut texts, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..self.size * WINDOW {
            let Some((mut text, answer)) = self.pairs.next() else { break };
            if self.random.f64() < WITH_STRANGER {
                self.pairs.add_stranger(&mut text, &mut self.random);
            }
            texts.push(text);
            answers.push(answer);
        }
        let ids = |texts: &[String]| -> Result<Vec<Vec<u32>>> {
            let encoded = self.tokenizer.encode_batch(texts, self.max_tokens)?;
            Ok(encoded.into_iter().map(|encoding| encoding.ids).collect())
        };
        let mut rows: Vec<_> = ids(&texts)?.into_iter().zip(ids(&answers)?).collect();
        rows.sort_by_key(|(source, _)| source.len());
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let (sources, targets) = rows.by_ref().take(self.size).unzip();
            self.ready.push(Batch { sources, targets });
        }
        self.random.shuffle(&mut self.ready);
        Ok(())
    }
}
