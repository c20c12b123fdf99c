//! Long texts, tokenized in pieces.
//!
//! The tokenizers library holds some hundred bytes for each byte of a text. A long text is therefore cut at places where
//! the tokens of the parts, one after another, are those of the whole: what counts is tokenized as it would be, the rest
//! is only counted, word by word, and a word that came before is not tokenized again.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use tokenizers::parallelism::MaybeParallelIterator;
use tokenizers::{
    Encoding as Tokens, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizerWrapper,
    Tokenizer as Inner,
};

use super::encoding::{TruncationSide, guarded};

/// Shorter texts are tokenized at once.
const WHOLE: usize = 16 << 10;
/// Bytes of the pieces whose tokens are kept.
const STEP: usize = 8 << 10;
/// Bytes that one thread counts at a time, with its own memory of words.
const BLOCK: usize = 4 << 20;
/// The longest piece that is tokenized at once, which takes some 4 GB.
const LARGEST: usize = 32 << 20;

/// Where a text may be cut: before some ASCII characters that follow others, and between ideographs.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    /// White space after a visible ASCII character.
    spaces: Vec<u8>,
    /// Punctuation after an ASCII letter or digit.
    marks: Vec<u8>,
    ideographs: bool,
}

impl Cuts {
    /// The cuts that change no token; `None` where the rules allow none, or are not known to.
    ///
    /// A word must end at a cut whatever comes after it, and begin there whatever came before: the normalizer may look
    /// at no more than the neighbours of a character, of which the one before the cut is ASCII; the pre-tokenizer must
    /// part the two; and no added token may reach over the cut or take in the spaces behind it.
    pub(super) fn of(inner: &Inner) -> Option<Self> {
        if matches!(inner.get_model(), ModelWrapper::BPE(model) if model.dropout.is_some()) {
            return None;
        }
        let normalizer = inner.get_normalizer();
        if !normalizer.is_none_or(is_local) {
            return None;
        }
        let (spaces, marks, written) = match inner.get_pre_tokenizer()? {
            PreTokenizerWrapper::Sequence(steps) => {
                let (spaces, _, written) = parts_words(steps.as_ref().first()?)?;
                // Behind the first step each word is by itself, but only if no space is left in it.
                (spaces.len() > 1).then_some((spaces, "", written))?
            }
            single => parts_words(single)?,
        };
        let mut contents = String::new();
        for token in inner.get_added_tokens_decoder().values() {
            if token.rstrip {
                return None;
            }
            contents.push_str(&token.content);
            contents.push_str(&normalized(normalizer, &token.content)?);
        }
        if contents.contains(char::is_whitespace) {
            return None;
        }
        let parted = |&space: &u8| {
            let text = ['x', space as char, 'y'].iter().collect::<String>();
            let found = normalized(normalizer, &text).unwrap_or_default();
            found.chars().nth(1).is_some_and(|c| c.is_whitespace() || c == written)
        };
        let spaces: Vec<u8> = spaces.bytes().filter(parted).collect();
        let marks = marks.bytes().filter(|&mark| !contents.contains(mark as char)).collect();
        let is_bert = |n: &NormalizerWrapper| matches!(n, NormalizerWrapper::BertNormalizer(n) if n.handle_chinese_chars);
        let ideographs = normalizer.is_some_and(is_bert)
            && matches!(inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
            && !contents.chars().any(is_ideograph);
        (!spaces.is_empty()).then_some(Self { spaces, marks, ideographs })
    }

    fn is_cut(&self, text: &str, at: usize) -> bool {
        let bytes = text.as_bytes();
        let (Some(&before), Some(&after)) = (at.checked_sub(1).and_then(|at| bytes.get(at)), bytes.get(at))
        else {
            return false;
        };
        if after.is_ascii() {
            before.is_ascii_graphic() && self.spaces.contains(&after)
                || before.is_ascii_alphanumeric() && self.marks.contains(&after)
        } else {
            let ideograph = |part: Option<char>| part.is_some_and(is_ideograph);
            self.ideographs
                && text.is_char_boundary(at)
                && ideograph(text[at..].chars().next())
                && ideograph(text[..at].chars().next_back())
        }
    }

    /// The first cut at `from` or behind it, else the text's end.
    fn next(&self, text: &str, from: usize) -> usize {
        (from..text.len()).find(|&at| self.is_cut(text, at)).unwrap_or(text.len())
    }

    /// The last cut at `from` or before it, else the text's beginning.
    fn previous(&self, text: &str, from: usize) -> usize {
        (1..=from).rev().find(|&at| self.is_cut(text, at)).unwrap_or(0)
    }
}

/// The white space before which a pre-tokenizer ends a word, the punctuation before which it does, and how it writes
/// a space.
fn parts_words(step: &PreTokenizerWrapper) -> Option<(&'static str, &'static str, char)> {
    const DROPPED: &str = " \n\t";
    match step {
        PreTokenizerWrapper::BertPreTokenizer(_) => {
            Some((DROPPED, r##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##, ' '))
        }
        // Its words are of letters, digits and `_`.
        PreTokenizerWrapper::Whitespace(_) => Some((DROPPED, r##"!"#$%&'()*+,-./:;<=>?@[\]^`{|}~"##, ' ')),
        PreTokenizerWrapper::WhitespaceSplit(_) => Some((DROPPED, "", ' ')),
        // A part that does not begin with a space would be given one. Behind `'` may come `s`, as one word.
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex && bytes.add_prefix_space => {
            Some((" ", "", ' '))
        }
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex => {
            Some((" ", r##"!"#$%&()*+,-./:;<=>?@[\]^_`{|}~"##, ' '))
        }
        PreTokenizerWrapper::Metaspace(spaces) if spaces.get_split() => {
            Some((" ", "", spaces.get_replacement()))
        }
        _ => None,
    }
}

/// Whether a normalizer changes nothing over a cut.
fn is_local(step: &NormalizerWrapper) -> bool {
    match step {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::Nmt(_)
        | NormalizerWrapper::Precompiled(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(is_local),
        NormalizerWrapper::Replace(_) => {
            let pattern = serde_json::to_value(step).ok();
            let pattern = pattern.as_ref().and_then(|step| step.get("pattern"));
            match (pattern.and_then(|p| p.get("String")), pattern.and_then(|p| p.get("Regex"))) {
                (Some(Value::String(text)), _) => !text.chars().skip(1).any(char::is_whitespace),
                (_, Some(Value::String(pattern))) => pattern == " {2,}",
                _ => false,
            }
        }
        _ => false,
    }
}

fn normalized(normalizer: Option<&NormalizerWrapper>, text: &str) -> Option<String> {
    let mut string = NormalizedString::from(text);
    guarded(|| normalizer.map_or(Ok(()), |normalizer| normalizer.normalize(&mut string))).ok()?;
    Some(string.get().to_owned())
}

/// The ideographs that no normalization changes and that BERT takes one by one.
fn is_ideograph(c: char) -> bool {
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
}

/// A tokenizer, and where it may cut.
pub(super) struct Pieces<'a> {
    pub(super) inner: &'a Inner,
    pub(super) cuts: Option<&'a Cuts>,
    pub(super) side: TruncationSide,
    /// Whether it must be known where tokens come from.
    pub(super) with_origins: bool,
}

impl Pieces<'_> {
    /// The tokens of a text without special ones, and how many it has. Of a long text only those of one side may be
    /// there, but never less than `room`.
    pub(super) fn tokens(&self, text: &str, room: usize) -> Result<(Tokens, usize), String> {
        match self.cuts.filter(|_| text.len() > WHOLE) {
            Some(cuts) => self.in_pieces(text, room, cuts, STEP),
            None => {
                let tokens = self.at_once(text)?;
                let count = tokens.len();
                Ok((tokens, count))
            }
        }
    }

    fn in_pieces(
        &self,
        text: &str,
        room: usize,
        cuts: &Cuts,
        step: usize,
    ) -> Result<(Tokens, usize), String> {
        let mut pieces: Vec<(usize, Tokens)> = Vec::new();
        let mut count = 0;
        let mut rest = 0..text.len();
        while count < room && !rest.is_empty() {
            let piece = match self.side {
                TruncationSide::Right => rest.start..cuts.next(text, (rest.start + step).min(rest.end)),
                TruncationSide::Left => cuts.previous(text, rest.end.saturating_sub(step))..rest.end,
            };
            rest = match self.side {
                TruncationSide::Right => piece.end..rest.end,
                TruncationSide::Left => rest.start..piece.start,
            };
            let tokens = self.at_once(&text[piece.clone()])?;
            count += tokens.len();
            pieces.push((piece.start, tokens));
        }
        if self.side == TruncationSide::Left {
            pieces.reverse();
        }
        Ok((joined(pieces), count + self.count(text, rest, cuts)?))
    }

    /// Counts the tokens of a part that begins and ends at cuts.
    fn count(&self, text: &str, part: Range<usize>, cuts: &Cuts) -> Result<usize, String> {
        let mut blocks = Vec::new();
        let mut at = part.start;
        while at < part.end {
            let end = cuts.next(text, (at + BLOCK).min(part.end)).min(part.end);
            blocks.push(at..end);
            at = end;
        }
        let several = cfg!(not(target_arch = "wasm32")) && blocks.len() > 1;
        let counts: Vec<Result<usize, String>> = blocks
            .into_maybe_par_iter_cond(several)
            .map(|block| self.count_words(&text[block], cuts))
            .collect();
        counts.into_iter().sum()
    }

    fn count_words(&self, text: &str, cuts: &Cuts) -> Result<usize, String> {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut count = 0;
        let mut at = 0;
        while at < text.len() {
            let end = cuts.next(text, at + 1);
            let word = &text[at..end];
            count += match known.get(word) {
                Some(&count) => count,
                None => *known.entry(word).or_insert(self.at_once(word)?.len()),
            };
            at = end;
        }
        Ok(count)
    }

    fn at_once(&self, text: &str) -> Result<Tokens, String> {
        if text.len() > LARGEST {
            let place = match self.cuts {
                Some(_) => "without a space",
                None => "that this tokenizer takes as a whole",
            };
            return Err(format!(
                "the text has {} bytes {place}, but at most {LARGEST} are tokenized at once",
                text.len()
            ));
        }
        guarded(|| match self.with_origins {
            true => self.inner.encode(text, false),
            false => self.inner.encode_fast(text, false),
        })
    }
}

/// The tokens of pieces that begin at these places.
fn joined(mut pieces: Vec<(usize, Tokens)>) -> Tokens {
    if pieces.len() == 1 && pieces[0].0 == 0 {
        return pieces.remove(0).1;
    }
    let mut ids = Vec::new();
    let (mut kinds, mut tokens, mut words) = (Vec::new(), Vec::new(), Vec::new());
    let (mut offsets, mut special, mut attention) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_word = 0;
    for (start, piece) in &pieces {
        ids.extend_from_slice(piece.get_ids());
        kinds.extend_from_slice(piece.get_type_ids());
        tokens.extend_from_slice(piece.get_tokens());
        words.extend(piece.get_word_ids().iter().map(|word| word.map(|word| first_word + word)));
        first_word = words.iter().rev().find_map(|word| *word).map_or(first_word, |word| word + 1);
        offsets.extend(piece.get_offsets().iter().map(|(from, to)| (start + from, start + to)));
        special.extend_from_slice(piece.get_special_tokens_mask());
        attention.extend_from_slice(piece.get_attention_mask());
    }
    Tokens::new(ids, kinds, tokens, words, offsets, special, attention, Vec::new(), Default::default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokenizers::AddedToken;

    use super::*;

    /// The tokenizers of the fixtures, and some with more added tokens.
    fn tokenizers() -> Vec<(String, Inner)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
        let mut found = Vec::new();
        for name in [
            "uncased",
            "cased",
            "keep",
            "extra",
            "foreign",
            "mpnet",
            "bytes",
            "bytes-prefix",
            "unigram",
            "unigram-spaces",
            "camembert",
        ] {
            let inner = Inner::from_file(folder.join(format!("{name}.json"))).unwrap();
            let mut more = inner.clone();
            more.add_tokens(&[
                AddedToken::from("<Entity>", false),
                AddedToken::from("mat.", false).single_word(true),
                AddedToken::from("#", true).lstrip(true),
            ]);
            found.extend([(name.to_owned(), inner), (format!("{name} with more"), more)]);
        }
        found
    }

    const PARTS: [&str; 44] = [
        " ", " ", " ", "  ", "\n", "\t ", "the", "cat", "sat", "on", "mat", "mat.", "hello", "Hello",
        "world", "x", "'s", "'", ".", ",", "!?", "-", "[", "[MASK]", "<mask>", " <mask>", "</s>", "<s>",
        "<Entity>", "#", "42", "7", "é", "e\u{301}", "\u{301}", "世", "界", "你好", "猫", "\u{200D}", "🐈",
        "Ł", "\u{3000}", "_",
    ];

    fn text(rng: &mut fastrand::Rng, parts: usize) -> String {
        (0..parts).map(|_| PARTS[rng.usize(..PARTS.len())]).collect()
    }

    #[test]
    fn pieces_give_the_tokens_of_the_whole() {
        let mut rng = fastrand::Rng::with_seed(11);
        for (name, inner) in tokenizers() {
            let cuts = Cuts::of(&inner).unwrap_or_else(|| panic!("{name} has no cuts"));
            let (mut many, mut texts) = (0, 0);
            for _ in 0..400 {
                let parts = rng.usize(0..60);
                let text = text(&mut rng, parts);
                let whole = inner.encode(text.as_str(), false).unwrap();
                for side in [TruncationSide::Right, TruncationSide::Left] {
                    let pieces = Pieces { inner: &inner, cuts: Some(&cuts), side, with_origins: true };
                    for step in [1, 7, 40] {
                        let (all, count) = pieces.in_pieces(&text, usize::MAX, &cuts, step).unwrap();
                        assert_eq!(all.get_ids(), whole.get_ids(), "{name}, {side:?}, {step}: {text:?}");
                        // Where a space is put in, the library gives some tokens the space before them and others not.
                        if !name.starts_with("bytes-prefix") {
                            assert_eq!(
                                all.get_offsets(),
                                whole.get_offsets(),
                                "{name}, {side:?}, {step}: {text:?}"
                            );
                        }
                        assert_eq!(count, whole.len());
                        let room = rng.usize(1..20);
                        let (some, count) = pieces.in_pieces(&text, room, &cuts, step).unwrap();
                        assert_eq!(count, whole.len(), "{name}, {side:?}, {step}: {text:?}");
                        assert!(some.len() >= room.min(count));
                        let kept = match side {
                            TruncationSide::Right => &whole.get_ids()[..some.len()],
                            TruncationSide::Left => &whole.get_ids()[count - some.len()..],
                        };
                        assert_eq!(some.get_ids(), kept, "{name}, {side:?}, {step}: {text:?}");
                    }
                }
                texts += 1;
                many += (1..text.len()).filter(|&at| cuts.is_cut(&text, at)).count();
            }
            assert!(many > texts, "{name}: {many} cuts in {texts} texts");
        }
    }

    #[test]
    fn no_cut_where_a_token_could_reach_over_it() {
        for token in [
            AddedToken::from("New York", true),
            AddedToken::from(" x", true),
            AddedToken::from("<e>", true).rstrip(true),
        ] {
            for (name, mut inner) in tokenizers() {
                inner.add_tokens(std::slice::from_ref(&token));
                assert!(Cuts::of(&inner).is_none(), "{name}: {token:?}");
            }
        }
    }

    #[test]
    fn a_piece_that_cannot_be_cut_is_bounded() {
        let (_, inner) = tokenizers().swap_remove(0);
        let cuts = Cuts::of(&inner);
        let side = TruncationSide::Right;
        let pieces = Pieces { inner: &inner, cuts: cuts.as_ref(), side, with_origins: false };
        let problem = pieces.tokens(&"x".repeat(LARGEST + 1), 5).unwrap_err();
        assert!(problem.contains("33554433 bytes without a space"), "{problem}");
    }
}
