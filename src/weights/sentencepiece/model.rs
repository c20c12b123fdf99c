//! What a model file says: sentencepiece_model.proto, as far as encoding needs it.

use std::collections::HashSet;
use std::path::Path;

use super::protobuf::Fields;
use crate::error::Result;
use crate::weights::files::{bad, shown, unsupported};

/// Gemma's, among the largest published, has 262,144.
const MAX_PIECES: usize = 1 << 21;
/// By default a piece has at most 16 characters. What a piece may be bounds the work for each position of a text.
const MAX_PIECE_BYTES: usize = 4096;

/// The use of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PieceKind {
    /// A part of texts, with a score.
    Normal,
    /// What stands for text that no piece matches.
    Unknown,
    /// A mark such as `</s>`. It matches no text.
    Control,
    /// A part of texts that is never split, whatever its score.
    UserDefined,
    /// No longer used. It matches no text.
    Unused,
    /// One byte of a character that no piece matches.
    Byte,
}

/// A piece of the vocabulary.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Piece {
    /// The piece, spaces written as `▁`.
    pub text: String,
    /// The logarithm of its probability.
    pub score: f32,
    /// What it is for.
    pub kind: PieceKind,
}

/// A model file's content. Fields that are absent have protobuf's defaults.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) pieces: Vec<Piece>,
    pub(super) byte_fallback: bool,
    pub(super) whitespace_as_suffix: bool,
    pub(super) charsmap: &'a [u8],
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

impl<'a> Model<'a> {
    /// Reads a ModelProto; `path` stands for it in errors.
    pub(super) fn parse(bytes: &'a [u8], path: &Path) -> Result<Self> {
        let mut model = Self {
            pieces: Vec::new(),
            byte_fallback: false,
            whitespace_as_suffix: false,
            charsmap: &[],
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut kind = 1;
        let mut denormalizes = false;
        let read = model.read(bytes, &mut kind, &mut denormalizes);
        read.map_err(|problem| bad(path, format!("not a SentencePiece model that can be read: {problem}")))?;
        match kind {
            1 => {}
            2 => return Err(unsupported(path, "SentencePiece model type", "bpe", &["unigram"])),
            3 => return Err(unsupported(path, "SentencePiece model type", "word", &["unigram"])),
            4 => return Err(unsupported(path, "SentencePiece model type", "char", &["unigram"])),
            other => {
                return Err(unsupported(path, "SentencePiece model type", &other.to_string(), &["unigram"]));
            }
        }
        if denormalizes {
            return Err(unsupported(path, "SentencePiece field", "denormalizer_spec", &["an empty one"]));
        }
        model.check(path)?;
        Ok(model)
    }

    fn read(&mut self, bytes: &'a [u8], kind: &mut u64, denormalizes: &mut bool) -> Result<(), String> {
        for field in Fields::of(bytes) {
            match field? {
                (1, message) => {
                    let place = self.pieces.len();
                    if place >= MAX_PIECES {
                        return Err(format!("more than {MAX_PIECES} pieces"));
                    }
                    let piece = message.bytes().and_then(piece);
                    self.pieces.push(piece.map_err(|problem| format!("piece {place}: {problem}"))?);
                }
                (2, message) => {
                    let read = message.bytes().and_then(|message| self.trainer(message, kind));
                    read.map_err(|problem| format!("trainer_spec: {problem}"))?;
                }
                (3, message) => {
                    let read = message.bytes().and_then(|message| self.normalizer(message));
                    read.map_err(|problem| format!("normalizer_spec: {problem}"))?;
                }
                (5, message) => {
                    let rules = message.bytes().and_then(charsmap);
                    *denormalizes |=
                        !rules.map_err(|problem| format!("denormalizer_spec: {problem}"))?.is_empty();
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn trainer(&mut self, message: &[u8], kind: &mut u64) -> Result<(), String> {
        for field in Fields::of(message) {
            match field? {
                (3, value) => *kind = value.varint()?,
                (24, value) => self.whitespace_as_suffix = value.flag()?,
                (35, value) => self.byte_fallback = value.flag()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, message: &'a [u8]) -> Result<(), String> {
        self.charsmap = charsmap(message)?;
        for field in Fields::of(message) {
            match field? {
                (3, value) => self.add_dummy_prefix = value.flag()?,
                (4, value) => self.remove_extra_whitespaces = value.flag()?,
                (5, value) => self.escape_whitespaces = value.flag()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What SentencePiece itself asks of a vocabulary when it loads one.
    fn check(&self, path: &Path) -> Result<()> {
        let mut seen = HashSet::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            if !seen.insert(piece.text.as_str()) {
                return Err(bad(path, format!("the piece `{}` is there twice", shown(&piece.text))));
            }
        }
        let count = |kind| self.pieces.iter().filter(|piece| piece.kind == kind).count();
        if count(PieceKind::Normal) == 0 {
            return Err(bad(path, format!("none of its {} pieces is a normal one", self.pieces.len())));
        }
        match count(PieceKind::Unknown) {
            1 => Ok(()),
            several => Err(bad(
                path,
                format!("there must be one piece for what is unknown, but there are {several}"),
            )),
        }
    }
}

/// The `precompiled_charsmap` of a NormalizerSpec.
fn charsmap(message: &[u8]) -> Result<&[u8], String> {
    let mut last = &[][..];
    for field in Fields::of(message) {
        if let (2, value) = field? {
            last = value.bytes()?;
        }
    }
    Ok(last)
}

fn piece(message: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    for field in Fields::of(message) {
        match field? {
            (1, value) => piece.text = value.text()?.to_owned(),
            (2, value) => piece.score = value.float()?,
            (3, value) => {
                piece.kind = match value.varint()? {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    other => return Err(format!("the type {other}, where 1 to 6 are known")),
                }
            }
            _ => {}
        }
    }
    match &piece {
        Piece { text, .. } if text.is_empty() => Err("its text is empty".to_owned()),
        Piece { text, .. } if text.len() > MAX_PIECE_BYTES => {
            Err(format!("its text has {} bytes, more than the {MAX_PIECE_BYTES} allowed", text.len()))
        }
        Piece { score, .. } if !score.is_finite() => Err(format!("its score is {score}")),
        _ => Ok(piece),
    }
}
