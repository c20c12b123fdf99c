//! What a captioner's loss asks of its attention, beside the words.

use std::ops::Range;

use super::OP;
use crate::error::{Error, Result};
use crate::ops::{add, concat, multiply, subtract, sum};
use crate::recording::{Recording, Value};
use crate::tensor::{DType, Tensor};

/// What a captioner's loss asks of its attention; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionTerms<'a> {
    /// λ of the mean over the pictures of λ·Σⱼ (1 − Σᵢ αᵢⱼ)², over the places j and the caption's words i, its end too: by that Xu et al.
    /// 2015 (equation 14) have a model look at all of a picture.
    pub doubly_stochastic: f32,
    /// μ of the mean over the regions of μ·(1 − Σⱼ αᵢⱼ)², over the places j of a word's region: where words and places are known, the model
    /// is told where to look (Liu, Mao, Sha and Yuille 2017, *Attention Correctness in Neural Image Captioning*, with a square for their
    /// cross-entropy).
    pub correctness: f32,
    /// The regions of each picture; none at all where `correctness` is 0.
    pub regions: &'a [Vec<Region>],
}

/// Where in a picture something is that a word of its caption stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The word's number.
    pub word: usize,
    /// The places, row by row of the picture.
    pub places: Vec<usize>,
}

/// What is asked of some pictures of a batch: the terms, divided by all of its pictures and regions.
pub(super) struct PartTerms<'a> {
    /// λ / pictures.
    doubly_stochastic: f32,
    /// μ / regions.
    correctness: f32,
    regions: &'a [Vec<Region>],
}

impl<'a> AttentionTerms<'a> {
    /// Those of a part of so many pictures, which [`AttentionTerms::check`] has seen.
    pub(super) fn part(&self, part: Range<usize>, pictures: usize) -> PartTerms<'a> {
        let regions: usize = self.regions.iter().map(Vec::len).sum();
        PartTerms {
            doubly_stochastic: self.doubly_stochastic / pictures as f32,
            correctness: self.correctness / regions.max(1) as f32,
            // None at all may be there where they count for nothing.
            regions: self.regions.get(part).unwrap_or_default(),
        }
    }

    pub(super) fn check(&self, captions: &[&[u32]], places: usize) -> Result<()> {
        let factors = [("doubly_stochastic", self.doubly_stochastic), ("correctness", self.correctness)];
        for (name, factor) in factors {
            if !(factor.is_finite() && factor >= 0.0) {
                return Err(Error::argument(OP, name, "a finite number, not below 0", factor.to_string()));
            }
        }
        if self.correctness == 0.0 {
            return Ok(());
        }
        if self.regions.len() != captions.len() {
            let expected = format!("as many as the {} captions", captions.len());
            return Err(Error::argument(OP, "regions", expected, self.regions.len().to_string()));
        }
        for (index, (regions, caption)) in self.regions.iter().zip(captions).enumerate() {
            for Region { word, places: own } in regions {
                if *word >= caption.len() {
                    let expected = format!("of a word below {}", caption.len());
                    return Err(Error::argument(OP, format!("regions {index}"), expected, word.to_string()));
                }
                if let Some(place) = own.iter().find(|&&place| place >= places) {
                    let expected = format!("of places below {places}");
                    return Err(Error::argument(OP, format!("regions {index}"), expected, place.to_string()));
                }
            }
        }
        Ok(())
    }
}

impl PartTerms<'_> {
    /// Whether anything is asked.
    pub(super) fn is_any(&self) -> bool {
        self.doubly_stochastic > 0.0 || self.has_regions()
    }

    fn has_regions(&self) -> bool {
        self.correctness > 0.0 && self.regions.iter().any(|regions| !regions.is_empty())
    }

    /// Records the loss with the terms added, of each step's weights `[pictures, places]`.
    pub(super) fn record(
        &self,
        recording: &mut Recording,
        loss: &Value,
        weights: &[Value],
        captions: &[&[u32]],
    ) -> Result<Value> {
        let steps = weights.len();
        let weights = concat(recording, &weights.iter().collect::<Vec<_>>(), 0)?;
        let places = weights.shape().last();
        let weights = weights.reshape([steps, captions.len(), places])?;
        let mut loss = loss.clone();
        if self.doubly_stochastic > 0.0 {
            let spread = record_spread(recording, &weights, captions)?;
            loss = added(recording, &loss, &spread, self.doubly_stochastic)?;
        }
        if self.has_regions() {
            let missed = self.record_missed(recording, &weights)?;
            loss = added(recording, &loss, &missed, self.correctness)?;
        }
        Ok(loss)
    }

    /// Records Σ (1 − Σⱼ αᵢⱼ)² over all regions, `[1]`.
    fn record_missed(&self, recording: &mut Recording, weights: &Value) -> Result<Value> {
        let &[steps, pictures, places] = weights.shape().dims() else {
            return Err(Error::argument(OP, "weights", "of 3 axes", weights.shape().to_string()));
        };
        let mut inside = vec![0.0; steps * pictures * places];
        let mut wanted = vec![0.0; steps * pictures];
        for (picture, regions) in self.regions.iter().enumerate() {
            for Region { word, places: own } in regions {
                let row = word * pictures + picture;
                wanted[row] = 1.0;
                own.iter().for_each(|place| inside[row * places + place] = 1.0);
            }
        }
        let device = recording.device().clone();
        let inside = recording.tensor(&Tensor::from_f32(&device, [steps, pictures, places], &inside)?)?;
        let wanted = recording.tensor(&Tensor::from_f32(&device, [steps, pictures], &wanted)?)?;
        let found = multiply(recording, weights, &inside)?;
        let found = sum(recording, &found, 2..3)?;
        let missed = subtract(recording, &wanted, &found)?;
        squares(recording, &missed)
    }
}

/// Records Σ (1 − Σᵢ αᵢⱼ)² over the pictures and their places, `[1]`, of weights `[steps, pictures, places]`, of which only those within a
/// caption count.
fn record_spread(recording: &mut Recording, weights: &Value, captions: &[&[u32]]) -> Result<Value> {
    let steps = weights.shape()[0];
    let counts = (0..steps).flat_map(|step| {
        captions.iter().map(move |caption| f32::from(u8::from(step < caption.len())).to_bits())
    });
    let counts = recording.constant([steps, captions.len(), 1], DType::F32, counts.collect())?;
    let counted = multiply(recording, weights, &counts)?;
    let looked = sum(recording, &counted, 0..1)?;
    let one = recording.constant([1], DType::F32, vec![1.0_f32.to_bits()])?;
    let missing = subtract(recording, &one, &looked)?;
    squares(recording, &missing)
}

/// Records the sum of the squares of `[…, …]`, `[1]`.
fn squares(recording: &mut Recording, x: &Value) -> Result<Value> {
    let squares = multiply(recording, x, x)?;
    sum(recording, &squares, 0..2)?.reshape([1])
}

fn added(recording: &mut Recording, loss: &Value, term: &Value, factor: f32) -> Result<Value> {
    let factor = recording.constant([1], DType::F32, vec![factor.to_bits()])?;
    let term = multiply(recording, term, &factor)?;
    add(recording, loss, &term)
}
