//! A WordPiece vocabulary, made from texts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::encoding::guarded;
use super::files::shown;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

const OP: &str = "word_piece";

/// What stands for no piece of a text, with the ids from 0 on: padding, what the vocabulary lacks, an input's beginning, the end of each
/// text, a hidden word.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// What a piece begins with that does not begin a word.
const PREFIX: &str = "##";
/// Longer words are unknown as a whole, as BERT has it.
const MAX_WORD_CHARACTERS: usize = 100;
/// Rarer pairs are not made one piece.
const LEAST_FREQUENCY: u64 = 2;

/// An uncased WordPiece vocabulary (Devlin et al. 2019, section 3; Wu et al. 2016), made from texts.
///
/// Texts are cleaned, lowercased, rid of accents and cut into words and signs as BERT does. The first pieces are the characters that
/// these have; then, again and again, the two pieces become one that stand beside each other most often in words (Sennrich et al. 2016),
/// of those as frequent the ones with the smallest ids. The same texts make the same vocabulary, whatever their order: the trainer of the
/// tokenizers crate goes through its words in the order of a hash map with random keys, and so makes another one each time.
///
/// ```
/// use attentive::weights::WordPieceVocabulary;
///
/// # fn main() -> attentive::Result<()> {
/// let vocabulary = WordPieceVocabulary::train(&["The duck swims, the ducks swim."], 40)?;
/// let encoding = vocabulary.tokenizer()?.encode("the ducks", 16)?;
/// assert_eq!(encoding.tokens, ["[CLS]", "the", "duck", "##s", "[SEP]"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordPieceVocabulary {
    tokens: Vec<String>,
}

impl WordPieceVocabulary {
    /// A vocabulary of at most `size` tokens, the five special ones among them: fewer where the texts have no more pairs of pieces that
    /// are there twice. Of more characters than there is room for the most frequent are taken.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size that leaves no room beside the special tokens, and for texts without a word.
    pub fn train<S: AsRef<str>>(texts: &[S], size: usize) -> Result<Self> {
        let room = size.saturating_sub(SPECIAL.len());
        if room == 0 {
            let expected = format!("above {}, the number of special tokens", SPECIAL.len());
            return Err(Error::argument(OP, "the vocabulary's size", expected, size.to_string()));
        }
        let counts = word_counts(texts)?;
        if counts.is_empty() {
            return Err(Error::argument(OP, "the texts", "texts with words", "without one"));
        }
        let mut pieces = Pieces::new(&counts, room);
        while pieces.tokens.len() < room && pieces.merge() {}
        let tokens = SPECIAL.into_iter().map(str::to_owned).chain(pieces.tokens).collect();
        Ok(Self { tokens })
    }

    /// The tokens by their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The content of a `vocab.txt`: a token on each line.
    pub fn vocab_txt(&self) -> String {
        self.tokens.iter().map(|token| format!("{token}\n")).collect()
    }

    /// The content of a `tokenizer.json`: `[CLS] A [SEP]`, and for pairs `[CLS] A [SEP] B [SEP]`, B with the token type 1.
    pub fn tokenizer_json(&self) -> String {
        let special = |token: &str| SPECIAL.iter().position(|special| *special == token).unwrap_or(0);
        let added: Vec<Value> = (0..)
            .zip(SPECIAL)
            .map(|(id, content)| {
                json!({
                    "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                })
            })
            .collect();
        let token = |token: &str, kind: u32| json!({ "SpecialToken": { "id": token, "type_id": kind } });
        let text = |name: &str, kind: u32| json!({ "Sequence": { "id": name, "type_id": kind } });
        let around = |token: &str| json!({ "id": token, "ids": [special(token)], "tokens": [token] });
        let vocabulary: Map<String, Value> =
            (0..).zip(&self.tokens).map(|(id, token)| (token.clone(), Value::from(id))).collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)],
                "pair": [
                    token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1), token("[SEP]", 1),
                ],
                "special_tokens": { "[CLS]": around("[CLS]"), "[SEP]": around("[SEP]") },
            },
            "decoder": { "type": "WordPiece", "prefix": PREFIX, "cleanup": true },
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": PREFIX,
                "max_input_chars_per_word": MAX_WORD_CHARACTERS, "vocab": vocabulary,
            },
        })
        .to_string()
    }

    /// The tokenizer of [`WordPieceVocabulary::tokenizer_json`].
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::from_json(self.tokenizer_json().as_bytes(), "tokenizer.json")
    }
}

/// How often each word is there that is not too long to be known.
fn word_counts<S: AsRef<str>>(texts: &[S]) -> Result<BTreeMap<String, u64>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let words = guarded(|| {
            let mut text = NormalizedString::from(text.as_ref());
            BertNormalizer::default().normalize(&mut text)?;
            let mut words = PreTokenizedString::from(text);
            BertPreTokenizer.pre_tokenize(&mut words)?;
            let words = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(words.into_iter().map(|(word, ..)| word.to_owned()).collect::<Vec<_>>())
        });
        let words = words.map_err(|problem| Error::Tokenize { index, problem: shown(&problem) })?;
        for word in words.into_iter().filter(|word| word.chars().count() <= MAX_WORD_CHARACTERS) {
            *counts.entry(word).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Two pieces beside each other, by their places among the tokens.
type Pair = (u32, u32);

/// The words of the texts, each as the pieces that it has come to.
struct Pieces {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    /// Each word's pieces, and how often the word is there.
    words: Vec<(Vec<u32>, u64)>,
    /// How often a pair is there, in all words together.
    counts: HashMap<Pair, u64>,
    /// The words that have, or had, a pair.
    places: HashMap<Pair, HashSet<usize>>,
    /// Pairs by how often they were there when they were put here.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Pieces {
    /// Words of single characters, as many kinds of them as there is room for.
    fn new(counts: &BTreeMap<String, u64>, room: usize) -> Self {
        let mut characters: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in counts {
            for piece in single(word) {
                *characters.entry(piece).or_default() += count;
            }
        }
        let mut kept: Vec<(String, u64)> = characters.into_iter().collect();
        // The most frequent, and of those as frequent the first in order.
        kept.sort_by_key(|(_, count)| Reverse(*count));
        kept.truncate(room);
        let mut tokens: Vec<String> = kept.into_iter().map(|(piece, _)| piece).collect();
        tokens.sort_unstable();
        let ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        // A word with a character that has no token is unknown as a whole, and has no pieces.
        let word = |(word, count): (&String, &u64)| {
            let pieces: Option<Vec<u32>> = single(word).map(|piece| ids.get(&piece).copied()).collect();
            pieces.map(|pieces| (pieces, *count))
        };
        let words: Vec<_> = counts.iter().filter_map(word).collect();
        let (mut counts, mut places) = (HashMap::new(), HashMap::<Pair, HashSet<usize>>::new());
        for (place, (pieces, count)) in words.iter().enumerate() {
            for pair in pairs(pieces) {
                *counts.entry(pair).or_default() += count;
                places.entry(pair).or_default().insert(place);
            }
        }
        let queue = counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
        Self { tokens, ids, words, counts, places, queue }
    }

    /// Makes the most frequent pair one piece; whether there was one that is frequent enough.
    fn merge(&mut self) -> bool {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let now = self.counts.get(&pair).copied().unwrap_or(0);
            // It has become rarer since it was put there; where it is still there, it stands further behind.
            if now != count {
                continue;
            }
            if count < LEAST_FREQUENCY {
                return false;
            }
            self.merge_pair(pair);
            return true;
        }
        false
    }

    fn merge_pair(&mut self, pair: Pair) {
        let [first, second] = [pair.0, pair.1].map(|id| self.tokens[id as usize].as_str());
        let token = format!("{first}{}", second.strip_prefix(PREFIX).unwrap_or(second));
        // Other pieces may have made the same one.
        let id = *self.ids.entry(token.clone()).or_insert_with(|| {
            self.tokens.push(token);
            self.tokens.len() as u32 - 1
        });
        let mut changed = HashSet::new();
        for place in self.places.remove(&pair).unwrap_or_default() {
            let (pieces, count) = &mut self.words[place];
            for before in pairs(pieces) {
                *self.counts.entry(before).or_default() -= *count;
                changed.insert(before);
            }
            let mut merged = Vec::with_capacity(pieces.len());
            let mut rest = pieces.as_slice();
            while let Some((&next, others)) = rest.split_first() {
                let is_pair = next == pair.0 && others.first() == Some(&pair.1);
                merged.push(if is_pair { id } else { next });
                rest = if is_pair { &others[1..] } else { others };
            }
            *pieces = merged;
            for after in pairs(pieces) {
                *self.counts.entry(after).or_default() += *count;
                self.places.entry(after).or_default().insert(place);
                changed.insert(after);
            }
        }
        for pair in changed {
            match self.counts.get(&pair).copied() {
                Some(count) if count > 0 => self.queue.push((count, Reverse(pair))),
                _ => {
                    self.counts.remove(&pair);
                }
            }
        }
    }
}

/// A word's characters as pieces.
fn single(word: &str) -> impl Iterator<Item = String> {
    let prefix = |place: usize| if place == 0 { "" } else { PREFIX };
    word.chars().enumerate().map(move |(place, character)| format!("{}{character}", prefix(place)))
}

fn pairs(pieces: &[u32]) -> impl Iterator<Item = Pair> + use<> {
    let pairs: Vec<Pair> = pieces.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 3] =
        ["In the beginning was the word,", "and the word was with Ðod; and THE WÖRD", "was, was, was … 事"];

    #[test]
    fn frequent_words_are_one_piece_and_others_are_put_together() {
        let vocabulary = WordPieceVocabulary::train(&TEXTS, 70).unwrap();
        let tokens = vocabulary.tokens();
        assert_eq!(tokens[..5], SPECIAL);
        assert!(tokens.len() <= 70);
        for word in ["the", "was", "word", "and", ",", "事"] {
            assert!(tokens.iter().any(|token| token == word), "{word}: {tokens:?}");
        }
        let unique: HashSet<&String> = tokens.iter().collect();
        assert_eq!(unique.len(), tokens.len());
        let tokenizer = vocabulary.tokenizer().unwrap();
        for (id, token) in (0..).zip(tokens) {
            assert_eq!(tokenizer.token(id).as_ref(), Some(token));
        }
        // Each text is made of known pieces and comes back, lowercased and without accents.
        let encoding = tokenizer.encode("THE WÖRD with winds 漢", 32).unwrap();
        assert_eq!(encoding.tokens[..3], ["[CLS]", "the", "word"]);
        assert_eq!(encoding.tokens[encoding.tokens.len() - 2..], ["[UNK]", "[SEP]"]);
        assert_eq!(tokenizer.decode(&encoding.ids).unwrap(), "the word with winds");
        let pair = tokenizer.encode_pair("word", "was", 32).unwrap();
        assert_eq!(pair.tokens, ["[CLS]", "word", "[SEP]", "was", "[SEP]"]);
        assert_eq!(pair.type_ids, [0, 0, 0, 1, 1]);
        assert_eq!(tokenizer.special_ids(), [0, 1, 2, 3, 4]);
        assert_eq!(vocabulary.vocab_txt().lines().collect::<Vec<_>>(), tokens);
    }

    #[test]
    fn the_order_of_the_texts_changes_nothing() {
        let vocabulary = WordPieceVocabulary::train(&TEXTS, 70).unwrap();
        for order in [[0, 1, 2], [2, 0, 1], [2, 1, 0]] {
            let texts = order.map(|place| TEXTS[place]);
            assert_eq!(WordPieceVocabulary::train(&texts, 70).unwrap(), vocabulary);
        }
        assert_eq!(vocabulary.tokenizer_json(), vocabulary.clone().tokenizer_json());
    }

    /// The counts that are kept beside the words are those that counting anew gives, and what is merged is the most frequent pair.
    #[test]
    fn what_is_merged_is_the_most_frequent_pair() {
        let text = include_str!("word_piece.rs");
        let counts = word_counts(&text.lines().collect::<Vec<_>>()).unwrap();
        let mut pieces = Pieces::new(&counts, 10_000);
        loop {
            let mut anew: BTreeMap<Pair, u64> = BTreeMap::new();
            for (word, count) in &pieces.words {
                pairs(word).for_each(|pair| *anew.entry(pair).or_default() += count);
            }
            let kept: BTreeMap<Pair, u64> =
                pieces.counts.iter().map(|(pair, count)| (*pair, *count)).collect();
            assert_eq!(kept, anew);
            let most = anew.iter().map(|(pair, count)| (*count, Reverse(*pair))).max();
            let joined = most.filter(|(count, _)| *count >= LEAST_FREQUENCY).map(|(_, Reverse(pair))| {
                let [first, second] = [pair.0, pair.1].map(|id| pieces.tokens[id as usize].clone());
                format!("{first}{}", second.strip_prefix(PREFIX).unwrap())
            });
            let merged = pieces.merge();
            assert_eq!(merged, joined.is_some());
            let Some(joined) = joined else { break };
            assert!(pieces.ids.contains_key(&joined), "{joined}");
        }
        // All words that are there twice are one piece.
        for (word, count) in counts {
            assert!(count < LEAST_FREQUENCY || pieces.ids.contains_key(&word), "{word}");
        }
    }

    #[test]
    fn little_room_and_texts_without_words() {
        for size in [0, 5] {
            let error = WordPieceVocabulary::train(&TEXTS, size).unwrap_err();
            assert!(error.to_string().contains("above 5"), "{error}");
        }
        for texts in [&[][..], &["", " \t"]] {
            assert!(WordPieceVocabulary::train(texts, 40).unwrap_err().to_string().contains("without one"));
        }
        // Of all characters the three most frequent.
        assert_eq!(
            WordPieceVocabulary::train(&["b aaab aab"], 8).unwrap().tokens()[5..],
            ["##a", "##b", "a"]
        );
        // A word that is too long to be known gives no pieces.
        let long = format!("{} cat cat", "z".repeat(MAX_WORD_CHARACTERS + 1));
        let vocabulary = WordPieceVocabulary::train(&[long], 40).unwrap();
        assert!(vocabulary.tokens().iter().all(|token| !token.contains('z')));
        assert!(vocabulary.tokens().iter().any(|token| token == "cat"));
    }
}
