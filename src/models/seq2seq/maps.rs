//! Maps of what was captured of a translation.

use std::sync::Arc;

use super::captured::Seq2SeqAttention;
use crate::error::{Error, Result};
use crate::layers::LayerCapture;
use crate::models::attention_maps::{AttentionMaps, MapToken};

/// What a run captures: layers and heads by their numbers.
pub(super) struct Captured<'a> {
    of: Seq2SeqAttention,
    capture: LayerCapture<'a>,
    numbers: [Vec<Option<usize>>; 2],
    /// Bytes of the maps that are kept already.
    kept: u64,
}

impl<'a> Captured<'a> {
    /// Of an attention of `size`: layers, and heads of each.
    pub fn new(of: Seq2SeqAttention, capture: LayerCapture<'a>, size: [usize; 2]) -> Result<Self> {
        Ok(Self { of, capture, numbers: capture.numbers(size)?, kept: 0 })
    }

    pub fn of(&self) -> Seq2SeqAttention {
        self.of
    }

    fn maps(&self) -> usize {
        self.numbers.iter().map(Vec::len).product()
    }

    /// Bytes of all maps of `[rows, columns]`.
    fn bytes(&self, size: [usize; 2]) -> u64 {
        LayerCapture::bytes(self.maps() as u64, &size)
    }

    /// The most rows of a batch whose longest source has so many tokens.
    pub fn rows(&self, longest: usize, max_tokens: usize, per_text: usize) -> usize {
        // The encoder's has no beams.
        let (each, rows) = match self.of {
            Seq2SeqAttention::Encoder => ([longest, longest], per_text),
            Seq2SeqAttention::Cross => ([longest, max_tokens], 1),
            Seq2SeqAttention::Decoder => ([max_tokens, max_tokens], 1),
        };
        let fit = self.capture.bound() / self.bytes(each).max(1);
        usize::try_from(fit).unwrap_or(usize::MAX).saturating_mul(rows)
    }

    /// The maps of one output of a text: `parts` are what its [`Hypothesis`](crate::models::generation::Hypothesis) has.
    ///
    /// # Errors
    /// [`Error::Argument`] with the text's number if all maps kept are then more than the bound.
    pub fn lay_out(
        &mut self,
        text: usize,
        [rows, columns]: [Vec<MapToken>; 2],
        parts: &[Arc<[f32]>],
    ) -> Result<AttentionMaps> {
        let of = self.of;
        let width = |place: usize| match of {
            // A step sees itself and what is before it.
            Seq2SeqAttention::Decoder => place + 1,
            Seq2SeqAttention::Encoder | Seq2SeqAttention::Cross => columns.len(),
        };
        self.kept = self.kept.saturating_add(self.bytes([rows.len(), columns.len()]));
        if self.kept > self.capture.bound() {
            let expected = format!(
                "at most {} bytes for all texts: give fewer texts, name fewer layers or heads, or allow more bytes",
                self.capture.bound()
            );
            let (name, found) =
                (format!("the captured weights to text {text}"), format!("{} bytes", self.kept));
            return Err(Error::argument("capture", name, expected, found));
        }
        let weights = laid_out(parts, self.maps(), columns.len(), width);
        let [layers, heads] = self.numbers.clone();
        AttentionMaps::new([rows, columns], layers, heads, weights)
    }
}

/// `[maps, rows, columns]` of parts `[maps, rows of the part, its width]`; what a part lacks is 0.
fn laid_out(parts: &[Arc<[f32]>], maps: usize, columns: usize, width: impl Fn(usize) -> usize) -> Vec<f32> {
    let mut weights = Vec::new();
    for map in 0..maps {
        for (place, part) in parts.iter().enumerate() {
            let size = part.len() / maps;
            for row in part[map * size..][..size].chunks(width(place).max(1)) {
                weights.extend_from_slice(row);
                weights.resize(weights.len() + columns - row.len(), 0.0);
            }
        }
    }
    weights
}

/// The mark with which SentencePiece begins a word.
const SPACE: char = '▁';

/// Tokens for a map; those of `special` ids are none of the text.
///
/// A word begins at a piece with a space before it. Where no piece has SentencePiece's mark, the tokens are characters:
/// there each punctuation mark is a word too.
pub(super) fn map_tokens(tokens: Vec<String>, ids: &[u32], special: &[u32]) -> Vec<MapToken> {
    let pieces = tokens.iter().any(|token| token.starts_with(SPACE));
    let punctuation =
        |token: &str| !pieces && token.chars().all(|c| !c.is_alphanumeric() && !c.is_whitespace());
    let mut words = 0;
    let mut before: Option<String> = None;
    let token = |(label, id): (String, &u32)| {
        if special.contains(id) {
            before = None;
            return MapToken { label, ..MapToken::default() };
        }
        let begins = match &before {
            None => true,
            Some(before) => label.starts_with([SPACE, ' ']) || punctuation(&label) || punctuation(before),
        };
        words += usize::from(begins);
        before = Some(label.clone());
        MapToken { source: label.replace(SPACE, " "), label, text: 0, word: Some(words - 1) }
    };
    tokens.into_iter().zip(ids).map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &[&str]) -> Vec<String> {
        let ids: Vec<u32> = (0..tokens.len() as u32).collect();
        let last = [ids.len() as u32 - 1];
        let tokens = map_tokens(tokens.iter().map(|&token| token.to_owned()).collect(), &ids, &last);
        assert!(tokens[..ids.len() - 1].iter().all(|token| !token.is_special()));
        assert!(tokens[ids.len() - 1].is_special());
        let maps = AttentionMaps::new([tokens, Vec::new()], vec![None], vec![None], Vec::new()).unwrap();
        maps.words().rows().iter().map(|token| token.label.clone()).collect()
    }

    #[test]
    fn words_begin_at_spaces() {
        let found = words(&["▁The", "▁play", "ing", "▁", "<unk>", "▁cat", "s", ".", "</s>"]);
        assert_eq!(found, ["The", "playing", "<unk>", "cats.", "</s>"]);
        assert_eq!(
            words(&["1", "9", "-", "0", "5", " ", "m", "a", "i", ",", " ", "3", "<s>"]),
            ["19", "-", "05", "mai", ",", "3", "<s>"]
        );
        // A space that nothing follows is still shown.
        assert_eq!(words(&["▁a", "▁", "</s>"]), ["a", "▁", "</s>"]);
    }

    #[test]
    fn each_part_has_its_width() {
        let part = |weights: &[f32]| Arc::from(weights);
        // Two maps; the decoder's steps see one token, then two, then three.
        let parts = [part(&[1.0, 2.0]), part(&[3.0, 4.0, 5.0, 6.0]), part(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])];
        let found = laid_out(&parts, 2, 3, |place| place + 1);
        let first = [1.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 1.0, 2.0];
        let second = [2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 3.0, 4.0, 5.0];
        assert_eq!(found, [first, second].concat());
        // All of the encoder is one part.
        assert_eq!(laid_out(&parts[1..2], 1, 2, |_| 2), [3.0, 4.0, 5.0, 6.0]);
    }
}
