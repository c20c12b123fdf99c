//! Marian's own files: `source.spm`, `target.spm`, `vocab.json`, and `target_vocab.json` where there are two
//! vocabularies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::MAX_VOCABULARY;
use super::encoding::{Encoding, TruncationSide, no_token};
use super::files::{bad, shown};
use super::json::{Object, brief};
use super::sentencepiece::{PieceKind, SPACE, SentencePiece};
use crate::error::{Error, Result};

/// A vocabulary's file: tokens and their numbers.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) path: PathBuf,
    ids: BTreeMap<String, u32>,
    tokens: HashMap<u32, String>,
    pub(super) largest: u32,
}

impl Vocabulary {
    fn open(path: PathBuf) -> Result<Self> {
        let object = Object::read(&path, "the vocabulary's tokens and their ids")?;
        let mut ids = BTreeMap::new();
        let mut tokens = HashMap::new();
        for token in object.keys() {
            let value = object.get(token).unwrap_or(&Value::Null);
            let number = value.as_u64().filter(|&id| id <= MAX_VOCABULARY as u64);
            let number = number.and_then(|id| u32::try_from(id).ok());
            let id = number.ok_or_else(|| {
                let (token, found) = (shown(token), brief(value));
                bad(
                    &path,
                    format!("the id of `{token}` must be a whole number to {MAX_VOCABULARY}, but is {found}"),
                )
            })?;
            if let Some(other) = tokens.insert(id, token.to_owned()) {
                let (one, other) = (shown(&other), shown(token));
                return Err(bad(&path, format!("`{one}` and `{other}` have the same id, {id}")));
            }
            ids.insert(token.to_owned(), id);
        }
        let Some(largest) = ids.values().copied().max() else {
            return Err(bad(&path, "the vocabulary is empty"));
        };
        Ok(Self { path, ids, tokens, largest })
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(String::as_str)
    }

    fn needed(&self, token: &str) -> Result<u32> {
        self.id(token)
            .ok_or_else(|| bad(&self.path, format!("the token `{}` is not in the vocabulary", shown(token))))
    }

    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        let all = self.ids.range(">>".to_owned()..).map(|(token, _)| token.as_str());
        all.take_while(|token| token.starts_with(">>")).filter(|token| token.ends_with("<<"))
    }
}

/// One of the two languages: how its text is cut, and the numbers of its pieces.
#[derive(Debug)]
struct Language {
    pieces: SentencePiece,
    unknown: u32,
    end: u32,
}

/// As transformers' `MarianTokenizer`.
#[derive(Debug)]
pub(super) struct Marian {
    source: Language,
    target: Language,
    pub(super) vocabulary: Vocabulary,
    target_vocabulary: Option<Vocabulary>,
    /// The tokens that a text may spell: end, unknown, padding. As in transformers, their ids are those of `vocab.json`
    /// in the target's text too.
    special: Vec<(String, u32)>,
    /// Target ids that leave no text.
    silent: HashSet<u32>,
    /// Whether pieces such as `<0xE2>` are bytes.
    bytes: bool,
    side: TruncationSide,
}

impl Marian {
    pub(super) fn open(folder: &Path, config: Option<&Object>, notices: &mut Vec<String>) -> Result<Self> {
        let vocabulary = Vocabulary::open(folder.join("vocab.json"))?;
        let separate = config.map(|config| config.flag("separate_vocabs")).transpose()?.flatten();
        let target_vocabulary = match separate {
            Some(true) => Some(Vocabulary::open(folder.join("target_vocab.json"))?),
            Some(false) | None => None,
        };
        let special = |key: &str, usual: &str| -> Result<String> {
            let token = config.map(|config| config.token(key)).transpose()?.flatten();
            Ok(token.unwrap_or(usual).to_owned())
        };
        let (end, unknown, padding) =
            (special("eos_token", "</s>")?, special("unk_token", "<unk>")?, special("pad_token", "<pad>")?);
        let language = |file: &str, vocabulary: &Vocabulary, notices: &mut Vec<String>| {
            let pieces = SentencePiece::open(folder.join(file))?;
            check_pieces(&pieces, vocabulary, notices)?;
            let (unknown, end) = (vocabulary.needed(&unknown)?, vocabulary.needed(&end)?);
            Ok(Language { pieces, unknown, end })
        };
        let source = language("source.spm", &vocabulary, notices)?;
        let target = language("target.spm", target_vocabulary.as_ref().unwrap_or(&vocabulary), notices)?;
        if let Some(other) = &target_vocabulary
            && source.end != target.end
        {
            let problem = format!(
                "`{}` has the id {}, but {} in {}",
                shown(&end),
                target.end,
                source.end,
                vocabulary.path.display()
            );
            return Err(bad(&other.path, problem));
        }
        let special = [end, unknown, padding].map(|token| {
            let id = vocabulary.id(&token).unwrap_or(source.unknown);
            (token, id)
        });
        let special = special.to_vec();
        // transformers puts text together by the target's model only where the vocabularies are two.
        let written = target_vocabulary.as_ref().unwrap_or(&vocabulary);
        let model = if target_vocabulary.is_some() { &target.pieces } else { &source.pieces };
        let controls = model.pieces().iter().filter(|piece| piece.kind == PieceKind::Control);
        let silent = controls
            .filter_map(|piece| written.id(&piece.text))
            .chain(special.iter().flat_map(|(token, id)| [Some(*id), written.id(token)]).flatten())
            .collect();
        let bytes = model.byte_fallback();
        let side = TruncationSide::Right;
        Ok(Self { source, target, vocabulary, target_vocabulary, special, silent, bytes, side })
    }

    pub(super) fn set_truncation_side(&mut self, side: TruncationSide) {
        self.side = side;
    }

    pub(super) fn target_vocabulary(&self) -> &Vocabulary {
        self.target_vocabulary.as_ref().unwrap_or(&self.vocabulary)
    }

    pub(super) fn encode(&self, index: usize, text: &str, max_tokens: usize) -> Result<Encoding> {
        let vocabulary = &self.vocabulary;
        let ids = self.ids(index, text, &self.source, vocabulary)?;
        self.finish(ids, &self.source, vocabulary, max_tokens)
    }

    pub(super) fn encode_target(&self, text: &str, max_tokens: usize) -> Result<Encoding> {
        let vocabulary = self.target_vocabulary();
        let ids = self.ids(0, text, &self.target, vocabulary)?;
        self.finish(ids, &self.target, vocabulary, max_tokens)
    }

    /// The text's ids, without the end's.
    fn ids(
        &self,
        index: usize,
        text: &str,
        language: &Language,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, special, after) = self.next_special(rest);
            let (code, words) = split_code(part);
            if let Some(code) = code {
                check_code(index, code, &vocabulary.path, vocabulary.codes(), vocabulary.id(code))?;
                // As in transformers' MarianTokenizer, where there are no codes.
                ids.push(vocabulary.id(code).unwrap_or(language.unknown));
            }
            let pieces = language.pieces.encode(words);
            ids.extend(pieces.iter().map(|piece| vocabulary.id(piece).unwrap_or(language.unknown)));
            ids.extend(special);
            rest = after;
        }
        Ok(ids)
    }

    /// The text before the first special token that it spells, this token's id, and the text after it.
    fn next_special<'a>(&self, text: &'a str) -> (&'a str, Option<u32>, &'a str) {
        for (at, _) in text.char_indices() {
            let (before, rest) = text.split_at(at);
            let spelled = |token: &str| !token.is_empty() && rest.starts_with(token);
            let here = self.special.iter().filter(|(token, _)| spelled(token));
            if let Some((token, id)) = here.max_by_key(|(token, _)| token.len()) {
                return (before, Some(*id), &rest[token.len()..]);
            }
        }
        (text, None, "")
    }

    fn finish(
        &self,
        mut ids: Vec<u32>,
        language: &Language,
        vocabulary: &Vocabulary,
        max_tokens: usize,
    ) -> Result<Encoding> {
        const SPECIAL: usize = 1;
        let Some(room) = max_tokens.checked_sub(SPECIAL).filter(|&room| room > 0) else {
            return Err(Error::argument(
                "encode",
                "max_tokens",
                format!("above the number of special tokens ({SPECIAL})"),
                max_tokens.to_string(),
            ));
        };
        let total_tokens = ids.len() + SPECIAL;
        match self.side {
            TruncationSide::Left => drop(ids.drain(..ids.len().saturating_sub(room))),
            TruncationSide::Right => ids.truncate(room),
        }
        ids.push(language.end);
        Ok(Encoding {
            type_ids: vec![0; ids.len()],
            tokens: ids.iter().map(|&id| vocabulary.token(id).unwrap_or_default().to_owned()).collect(),
            ids,
            total_tokens,
        })
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        let vocabulary = self.target_vocabulary();
        let mut out: Vec<u8> = Vec::new();
        for id in ids.iter().filter(|id| !self.silent.contains(id)) {
            let Some(token) = vocabulary.token(*id) else { return Err(no_token(*id, &vocabulary.path)) };
            match byte(token).filter(|_| self.bytes) {
                Some(byte) => out.push(byte),
                None => out.extend(token.as_bytes()),
            }
        }
        // SentencePiece has a mark for each byte that is in no character, the standard library one for several.
        let mut text = String::with_capacity(out.len());
        for chunk in out.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        // Python's white space, which has four separators among the control characters too.
        let space = |c: char| c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c);
        Ok(text.replace(SPACE, " ").trim_matches(space).to_owned())
    }
}

/// In a vocabulary with language codes, a text may not begin with another. Without any, a code is no error: it is read as
/// transformers reads it, by `MarianTokenizer` as an unknown token, by a tokenizer.json as the file says.
pub(super) fn check_code<'a>(
    index: usize,
    code: &str,
    vocabulary: &Path,
    codes: impl Iterator<Item = &'a str>,
    id: Option<u32>,
) -> Result<()> {
    const EXAMPLES: usize = 5;
    if id.is_some() {
        return Ok(());
    }
    let known: Vec<&str> = codes.collect();
    if known.is_empty() {
        return Ok(());
    }
    let mut there: Vec<String> =
        known.iter().take(EXAMPLES).map(|code| format!("`{}`", shown(code))).collect();
    if known.len() > EXAMPLES {
        there.push("…".to_owned());
    }
    let (code, file, count, there) = (shown(code), vocabulary.display(), known.len(), there.join(", "));
    let problem = format!("the language code `{code}` is unknown; {file} has {count}: {there}");
    Err(Error::Tokenize { index, problem })
}

/// A code such as `>>fra<<` at the very beginning, and the text after it.
pub(super) fn split_code(text: &str) -> (Option<&str>, &str) {
    match text.find("<<").filter(|_| text.starts_with(">>")) {
        Some(at) => {
            let (code, rest) = text.split_at(at + 2);
            (Some(code), rest)
        }
        None => (None, text),
    }
}

/// The byte of a piece such as `<0xE2>`.
fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
}

/// Whether the model's pieces and the vocabulary are of one another.
fn check_pieces(pieces: &SentencePiece, vocabulary: &Vocabulary, notices: &mut Vec<String>) -> Result<()> {
    let normal = || pieces.pieces().iter().filter(|piece| piece.kind == PieceKind::Normal);
    let all = normal().count();
    let known = normal().filter(|piece| vocabulary.id(&piece.text).is_some()).count();
    let told = format!("of its {all} pieces, {known} are in {}", vocabulary.path.display());
    if known == 0 {
        return Err(bad(pieces.path(), format!("{told}: the two files are not of one model")));
    }
    if known < all.div_ceil(2) {
        notices.push(format!("{}: {told}; the others become unknown tokens", pieces.path().display()));
    }
    Ok(())
}
