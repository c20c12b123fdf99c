//! Batches by tokens, and what running them took.

use std::ops::ControlFlow;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::progress::{IntoControlFlow, obey};
use crate::recording::{Recording, RunStatistics, Value};
use crate::waiting::{items_at_once, yield_now};
use crate::weights::{EncoderConfig, Encoding};

/// The last two methods of what is built option by option and then run, with a field `progress` and a method `run_async`.
macro_rules! told_and_run {
    ($output:ty) => {
        /// Tells of each batch: tokens done, and of how many. The answer may end the run
        /// ([`IntoControlFlow`](crate::IntoControlFlow)).
        #[must_use]
        pub fn progress<A: crate::progress::IntoControlFlow>(
            mut self,
            progress: impl FnMut(usize, usize) -> A + Send + 'a,
        ) -> Self {
            self.progress.set(progress);
            self
        }

        /// The blocking form of [`Self::run_async`].
        ///
        /// # Errors
        /// As [`Self::run_async`].
        #[cfg(not(target_arch = "wasm32"))]
        pub fn run(self) -> crate::error::Result<$output> {
            crate::waiting::block_on(self.run_async())
        }
    };
}
pub(super) use told_and_run;

/// Who is told of the progress: tokens done, and of how many.
pub(super) struct Progress<'a> {
    op: &'static str,
    tell: Option<Box<Tell<'a>>>,
}

type Tell<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + Send + 'a;

impl<'a> Progress<'a> {
    /// Nobody, of the progress of that op.
    pub(super) fn of(op: &'static str) -> Self {
        Self { op, tell: None }
    }

    pub(super) fn set<A: IntoControlFlow>(&mut self, mut tell: impl FnMut(usize, usize) -> A + Send + 'a) {
        self.tell = Some(Box::new(move |done, total| tell(done, total).into_control_flow()));
    }

    /// Tells it; [`Error::Interrupted`] if that is the answer.
    pub(super) fn tell(&mut self, done: usize, total: usize) -> Result<()> {
        self.tell.as_mut().map_or(Ok(()), |tell| obey(tell(done, total), self.op, [done, total]))
    }
}

/// Elements of the widest value of a token.
pub(super) fn widest(config: &EncoderConfig) -> usize {
    (3 * config.hidden_size).max(config.intermediate_size).max(config.embedding_size)
}

/// The tokens that one batch may have: those asked for, as far as the widest activations fit one binding.
pub(super) fn batch_tokens(device: &Device, widest: usize, wanted: usize) -> usize {
    let allowed = device.capabilities().tensor_bytes() / (widest as u64 * 4).max(1);
    wanted.clamp(1, usize::try_from(allowed).unwrap_or(usize::MAX).max(1))
}

/// Tokenizes items, some in one poll and then others, so that a future of many does not hold its thread for long. `encode`
/// does some of them.
pub(super) async fn tokenize<T>(
    items: &[T],
    encode: impl Fn(&[T]) -> Result<Vec<Encoding>>,
) -> Result<Vec<Encoding>> {
    let mut encodings = Vec::with_capacity(items.len());
    for some in items.chunks(items_at_once()) {
        let first = encodings.len();
        let found = encode(some).map_err(|error| match error {
            Error::Tokenize { index, problem } => Error::Tokenize { index: first + index, problem },
            error => error,
        });
        encodings.extend(found?);
        yield_now().await;
    }
    Ok(encodings)
}

/// A run of an encoder over encodings, batch by batch.
pub(super) struct BatchedRun<'a> {
    pub(super) device: &'a Device,
    pub(super) encodings: &'a [Encoding],
    /// The tokens that one batch may have, padding included.
    pub(super) batch_tokens: usize,
}

impl BatchedRun<'_> {
    /// Records each batch by `record`, which is given the places of its encodings and gives values of rows with the owner of
    /// each row, runs it, and hands each row to `sink`. `bytes` is what is read back for the encoding at a place.
    pub(super) async fn run<O>(
        self,
        bytes: impl Fn(usize) -> u64,
        mut record: impl FnMut(&mut Recording, &[usize]) -> Result<Vec<(Value, Vec<O>)>>,
        progress: &mut Progress<'_>,
        sink: &mut (dyn FnMut(&O, &[f32]) + Send),
    ) -> Result<ModelStatistics> {
        let tokens = |index: usize| self.encodings[index].ids.len();
        let loads =
            (0..self.encodings.len()).map(|index| Load { tokens: tokens(index), bytes: bytes(index) });
        let loads: Vec<Load> = loads.collect();
        let total = loads.iter().map(|load| load.tokens).sum();
        let mut statistics = ModelStatistics { texts: loads.len(), tokens: total, ..Default::default() };
        let mut done = 0;
        for batch in batches(&loads, &BatchLimits::of_tokens(self.batch_tokens)) {
            let mut recording = Recording::new(self.device);
            let pieces = record(&mut recording, &batch)?;
            let outputs = recording.run_async().await?;
            for (value, owners) in &pieces {
                let values = outputs.tensor(value)?.to_f32_async().await?;
                for (owner, row) in owners.iter().zip(values.chunks_exact(value.shape().last().max(1))) {
                    sink(owner, row);
                }
            }
            let longest = batch.iter().map(|&index| tokens(index)).max().unwrap_or(0);
            statistics.add(longest * batch.len(), &outputs.statistics);
            done += batch.iter().map(|&index| tokens(index)).sum::<usize>();
            progress.tell(done, total)?;
            yield_now().await;
        }
        Ok(statistics)
    }
}

/// The share of a sequence in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) tokens: usize,
    /// Bytes that are read back for it.
    pub(super) bytes: u64,
}

/// Bytes that are read back from one batch, unless one sequence alone has more.
const READ_BACK: u64 = 64 << 20;

/// What a batch may have, beside [`READ_BACK`], unless one sequence alone has more.
pub(super) struct BatchLimits<'a> {
    /// Tokens, padding included.
    pub(super) tokens: usize,
    /// Tokens below which a batch takes any text: what a batch costs by itself is more than their padding.
    pub(super) may_pad: usize,
    /// Sequences, where the longest has so many tokens.
    pub(super) texts: &'a (dyn Fn(usize) -> usize + Sync),
}

impl BatchLimits<'_> {
    /// For an encoder's batches.
    pub(super) fn of_tokens(tokens: usize) -> Self {
        Self { tokens, may_pad: 512, texts: &|_| usize::MAX }
    }
}

/// Sequences by falling length, so that little is padded, and the largest batch, which may not fit, comes first.
pub(super) fn batches(loads: &[Load], limits: &BatchLimits<'_>) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(loads[index].tokens));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = Room::default();
    for index in order {
        let load = loads[index];
        match batches.last_mut() {
            Some(batch) if room.takes(load, limits) => batch.push(index),
            _ => {
                room = Room { longest: load.tokens, texts: 1, padding: 0, bytes: load.bytes };
                batches.push(vec![index]);
            }
        }
    }
    batches
}

/// The contents of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    longest: usize,
    texts: usize,
    padding: usize,
    bytes: u64,
}

impl Room {
    /// Padding that a larger batch may have: one token of so many.
    const PADDING_SHARE: usize = 8;

    /// Takes in a text no longer than those before, if it may.
    fn takes(&mut self, load: Load, limits: &BatchLimits<'_>) -> bool {
        let total = (self.texts + 1).saturating_mul(self.longest);
        let padding = self.padding + self.longest - load.tokens;
        let bytes = self.bytes.saturating_add(load.bytes);
        let fits = total <= limits.tokens
            && self.texts < (limits.texts)(self.longest)
            && (bytes <= READ_BACK || load.bytes == 0);
        if !fits || total > limits.may_pad && padding * Self::PADDING_SHARE > total {
            return false;
        }
        (self.texts, self.padding, self.bytes) = (self.texts + 1, padding, bytes);
        true
    }
}

/// The figures of a model's run over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelStatistics {
    /// Texts, or pairs of texts.
    pub texts: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Tokens that were computed, padding included.
    pub padded_tokens: usize,
    /// Batches.
    pub batches: usize,
    /// Dispatches, over all batches.
    pub dispatches: usize,
    /// Submissions, over all batches.
    pub submits: usize,
    /// Floating-point operations, over all batches.
    pub flops: u64,
    /// Bytes of temporaries in the largest batch, as the memory plan shares them.
    pub peak_bytes: u64,
    /// What the same values would take without sharing.
    pub unshared_bytes: u64,
}

impl ModelStatistics {
    pub(super) fn add(&mut self, padded_tokens: usize, run: &RunStatistics) {
        self.padded_tokens += padded_tokens;
        self.batches += 1;
        self.dispatches += run.dispatches;
        self.submits += run.submits;
        self.flops += run.cost.flops;
        self.peak_bytes = self.peak_bytes.max(run.peak_bytes);
        self.unshared_bytes = self.unshared_bytes.max(run.unshared_bytes);
    }
}

/// Of parts of one run: sums, but of memory the larger.
impl std::ops::AddAssign for ModelStatistics {
    fn add_assign(&mut self, part: Self) {
        self.texts += part.texts;
        self.tokens += part.tokens;
        self.padded_tokens += part.padded_tokens;
        self.batches += part.batches;
        self.dispatches += part.dispatches;
        self.submits += part.submits;
        self.flops += part.flops;
        self.peak_bytes = self.peak_bytes.max(part.peak_bytes);
        self.unshared_bytes = self.unshared_bytes.max(part.unshared_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_each_sequence_once_within_their_limits() {
        let mut rng = fastrand::Rng::with_seed(7);
        let loads: Vec<Load> =
            (0..500).map(|_| Load { tokens: rng.usize(1..300), bytes: rng.u64(0..20 << 20) }).collect();
        let found = batches(&loads, &BatchLimits::of_tokens(1024));
        let mut seen: Vec<usize> = found.concat();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..500));
        for batch in &found {
            let longest = batch.iter().map(|&index| loads[index].tokens).max().unwrap();
            let bytes: u64 = batch.iter().map(|&index| loads[index].bytes).sum();
            assert!(longest * batch.len() <= 1024 && bytes <= READ_BACK, "{longest} {bytes}");
        }
        // One that is too large by itself still has a batch.
        assert_eq!(batches(&[Load { tokens: 9, bytes: u64::MAX }; 2], &BatchLimits::of_tokens(4)).len(), 2);
        // BatchLimits on the number of texts that depend on the longest, and on tokens alone.
        let texts = |longest: usize| 400 / longest;
        for limits in [
            BatchLimits { tokens: 1 << 20, may_pad: usize::MAX, texts: &texts },
            BatchLimits { tokens: 0, may_pad: 0, texts: &|_| 0 },
        ] {
            let found = batches(&loads, &limits);
            for batch in &found {
                let longest = loads[batch[0]].tokens;
                assert!(batch.len() <= (limits.texts)(longest).max(1), "{longest}");
            }
            let mut seen = found.concat();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..500));
        }
    }
}
