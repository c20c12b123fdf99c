//! SentencePiece models: unigram segmentation (Kudo, 2018).

mod model;
mod normalizer;
mod prefixes;
mod protobuf;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use model::{Piece, PieceKind};

use self::model::Model;
use self::normalizer::Normalizer;
use self::prefixes::Prefixes;
use super::files::{LFS_POINTER, bad, is_lfs_pointer, read};
use crate::error::Result;

/// The largest published models have 5 MB.
const MAX_BYTES: u64 = 64 << 20;
/// How much worse than the worst piece an unknown character is.
const UNKNOWN_PENALTY: f32 = 10.0;
/// How pieces write a space: ▁.
pub(super) const SPACE: &str = "\u{2581}";

/// A unigram SentencePiece model, as in the files `*.spm` and `spiece.model`.
///
/// A text is normalized and cut into the pieces whose scores have the greatest sum (Kudo, [Subword
/// Regularization](https://arxiv.org/abs/1804.10959), 2018). Pieces come as text: Marian's vocabularies number them
/// in an order of their own. It is `Send + Sync`.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// let model = attentive::weights::SentencePiece::open("opus-mt-en-fr/source.spm")?;
/// assert_eq!(model.encode("The cat sat."), ["▁The", "▁cat", "▁sat", "."]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SentencePiece {
    path: PathBuf,
    pieces: Vec<Piece>,
    normalizer: Normalizer,
    scores: Prefixes<f32>,
    unknown_score: f32,
    byte_fallback: bool,
}

/// The best way to a place in a text: its sum of scores, where its last piece begins, and whether that is unknown.
type Best = Option<(f32, usize, bool)>;

impl SentencePiece {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`SentencePiece::from_bytes`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(&read(path, MAX_BYTES, "a SentencePiece model")?, path)
    }

    /// Reads the content of a model file; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no such model or contradicts itself,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a model that is not a unigram one.
    pub fn from_bytes(bytes: &[u8], path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if is_lfs_pointer(bytes) {
            return Err(bad(&path, LFS_POINTER));
        }
        let model = Model::parse(bytes, &path)?;
        let of_kind = |kind: PieceKind| model.pieces.iter().filter(move |piece: &&Piece| piece.kind == kind);
        let user_defined = || of_kind(PieceKind::UserDefined).map(|piece| piece.text.as_str());
        let normalizer =
            Normalizer::new(&model, Prefixes::new(user_defined().map(|text| (text, ()))), &path)?;

        let lowest = of_kind(PieceKind::Normal).fold(f32::INFINITY, |low, piece| low.min(piece.score));
        let scored = of_kind(PieceKind::Normal).map(|piece| (piece.text.as_str(), piece.score));
        // Better than any logarithm of a probability, and the better the longer: the rule of SentencePiece 0.2.3.
        // In 0.2.0 all had -0.1, so which of two overlapping ones is taken may differ there.
        let unsplit = user_defined().map(|text| (text, ((text.len() - 1) as f64 * 0.1) as f32));
        let scores = Prefixes::new(scored.chain(unsplit));
        Ok(Self {
            path,
            normalizer,
            scores,
            unknown_score: lowest - UNKNOWN_PENALTY,
            byte_fallback: model.byte_fallback,
            pieces: model.pieces,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The vocabulary, in the file's order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether a character that no piece matches becomes its bytes, written `<0xE2>`.
    pub fn byte_fallback(&self) -> bool {
        self.byte_fallback
    }

    /// The text after the model's rules for characters and spaces, the spaces written as `▁`.
    pub fn normalize(&self, text: &str) -> String {
        self.normalizer.normalize(text)
    }

    /// Cuts a text into pieces.
    ///
    /// Neighbouring characters that no piece matches are one piece together, which is not in the vocabulary, or their
    /// bytes where the model has [`SentencePiece::byte_fallback`]. No text gives `<s>`, `</s>` or `<unk>`.
    pub fn encode(&self, text: &str) -> Vec<String> {
        let text = self.normalize(text);
        let mut pieces: Vec<String> = Vec::new();
        let mut after_unknown = false;
        for (piece, unknown) in self.segment(&text) {
            match pieces.last_mut() {
                _ if unknown && self.byte_fallback => {
                    pieces.extend(piece.bytes().map(|byte| format!("<0x{byte:02X}>")));
                }
                Some(last) if unknown && after_unknown => last.push_str(piece),
                _ => pieces.push(piece.to_owned()),
            }
            after_unknown = unknown;
        }
        pieces
    }

    /// The pieces of normalized text, and whether each is an unknown character.
    ///
    /// Viterbi's algorithm, with the sums in f32 and the earlier of two equal paths kept, as SentencePiece has it.
    fn segment<'a>(&self, text: &'a str) -> Vec<(&'a str, bool)> {
        let mut best: Vec<Best> = vec![None; text.len() + 1];
        for (start, character) in text.char_indices() {
            // Nothing has yet led to the text's beginning; each other character is the end of some path.
            let so_far = best[start].map_or(0.0, |(sum, ..)| sum);
            let mut offer = |length: usize, score: f32, unknown: bool| {
                let sum = so_far + score;
                let end = &mut best[start + length];
                if end.is_none_or(|(other, ..)| sum > other) {
                    *end = Some((sum, start, unknown));
                }
            };
            let mut alone = false;
            for (length, score) in self.scores.of(&text.as_bytes()[start..]) {
                offer(length, score, false);
                alone |= length == character.len_utf8();
            }
            if !alone {
                offer(character.len_utf8(), self.unknown_score, true);
            }
        }
        let mut pieces = Vec::new();
        let mut end = text.len();
        while let Some((_, start, unknown)) = best[end] {
            pieces.push((&text[start..end], unknown));
            end = start;
        }
        pieces.reverse();
        pieces
    }
}
