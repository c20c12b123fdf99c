//! BERT's two pre-training tasks as data: hidden words and sentence pairs (Devlin et al. 2019, section 3.1 and appendix
//! A.2).
//!
//! All that is drawn comes from a seed, by a generator that gives the same on every platform: the same text and seed make
//! the same tasks.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};

/// Numbers from a seed. Only 64-bit draws are used: those of `usize` would differ on 32-bit platforms.
#[derive(Clone, Debug)]
struct Draws(fastrand::Rng);

impl Draws {
    /// A stream of its own for each task and item, so that what one draws changes nothing for the others.
    fn new(seed: u64, task: &[u8; 4], item: u64) -> Self {
        let seed = seed ^ u64::from(u32::from_le_bytes(*task)) << 32;
        // The finalizer of SplitMix64 (Steele et al. 2014), so that neighbouring seeds and items have nothing in common.
        let mut z = seed.wrapping_add(item.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(fastrand::Rng::with_seed(z ^ (z >> 31)))
    }

    /// Below `bound`, which must not be 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0.u64(0..bound as u64) as usize
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.0.f64()
    }
}

/// How words are hidden: the first task, "masked LM".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Masking {
    /// The share of a sequence's tokens that are to be predicted, 0.15; special tokens do not count. At least one token is.
    pub predicted: f64,
    /// Of these, the share that the mask token stands for, 0.8.
    pub masked: f64,
    /// Of these, the share that a random word stands for, 0.1. The others stay as they are.
    pub random: f64,
}

impl Default for Masking {
    fn default() -> Self {
        Self { predicted: 0.15, masked: 0.8, random: 0.1 }
    }
}

/// The ids of a vocabulary, as masking takes them.
#[derive(Clone, Debug)]
pub struct MaskVocabulary {
    mask: u32,
    special: HashSet<u32>,
    /// Those that a random word is drawn from.
    words: Vec<u32>,
}

impl MaskVocabulary {
    /// From all ids, the special ones among them, which are never hidden and never drawn, and the mask token's.
    pub fn new(ids: &[u32], special: &[u32], mask: u32) -> Self {
        let mut special: HashSet<u32> = special.iter().copied().collect();
        special.insert(mask);
        let words = ids.iter().copied().filter(|id| !special.contains(id)).collect();
        Self { mask, special, words }
    }
}

/// A sequence with hidden words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaskedTokens {
    /// The ids, some of them replaced.
    pub ids: Vec<u32>,
    /// The places to predict, in order.
    pub places: Vec<u32>,
    /// The ids that stood there.
    pub labels: Vec<u32>,
}

impl Masking {
    /// Hides words of a sequence, the `item`th under that seed.
    ///
    /// Of n tokens that are not special, round(`predicted` · n) are chosen, at least one where n is not 0, each choice as
    /// probable as any other. Then each becomes the mask token, a random word or what it was, by chance.
    ///
    /// # Errors
    /// [`Error::Argument`] for shares that are none.
    pub fn apply(
        &self,
        ids: &[u32],
        vocabulary: &MaskVocabulary,
        seed: u64,
        item: usize,
    ) -> Result<MaskedTokens> {
        self.check()?;
        let mut draws = Draws::new(seed, b"mask", item as u64);
        let mut places: Vec<u32> = (0..)
            .zip(ids)
            .filter(|(_, id)| !vocabulary.special.contains(id))
            .map(|(place, _)| place)
            .collect();
        let count = ((self.predicted * places.len() as f64).round() as usize).max(1).min(places.len());
        // The first steps of a Fisher–Yates shuffle.
        for index in 0..count {
            let other = index + draws.below(places.len() - index);
            places.swap(index, other);
        }
        places.truncate(count);
        places.sort_unstable();
        let labels = places.iter().map(|&place| ids[place as usize]).collect();
        let mut ids = ids.to_vec();
        for &place in &places {
            let chance = draws.unit();
            if chance < self.masked {
                ids[place as usize] = vocabulary.mask;
            } else if chance < self.masked + self.random && !vocabulary.words.is_empty() {
                ids[place as usize] = vocabulary.words[draws.below(vocabulary.words.len())];
            }
        }
        Ok(MaskedTokens { ids, places, labels })
    }

    /// [`Error::Argument`] for shares that are none.
    pub(super) fn check(&self) -> Result<()> {
        let shares = [("predicted", self.predicted), ("masked", self.masked), ("random", self.random)];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::argument("masking", name, "from 0 to 1", share.to_string()));
            }
        }
        let sum = self.masked + self.random;
        if sum > 1.0 + 1e-12 {
            return Err(Error::argument("masking", "masked + random", "at most 1", sum.to_string()));
        }
        Ok(())
    }
}

/// Documents of sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    documents: Vec<Vec<String>>,
}

/// Where a sentence stands: its document, and its place in that.
pub type SentencePlace = (usize, usize);

/// Two sentences for the second task, "next sentence prediction".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentencePair {
    /// The first sentence.
    pub first: SentencePlace,
    /// The second.
    pub second: SentencePlace,
    /// Whether the second is the one that follows.
    pub is_next: bool,
}

impl Corpus {
    /// From a text with a sentence on each line and blank lines between documents. White space around a sentence is not
    /// part of it; `\r\n` ends a line too.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut documents = vec![Vec::new()];
        for line in text.lines().map(str::trim) {
            match (line, documents.last_mut()) {
                ("", Some(last)) if last.is_empty() => {}
                ("", _) => documents.push(Vec::new()),
                (line, Some(last)) => last.push(line.to_owned()),
                (_, None) => {}
            }
        }
        documents.retain(|document| !document.is_empty());
        Self { documents }
    }

    /// From documents; those without sentences are left out.
    pub fn new(mut documents: Vec<Vec<String>>) -> Self {
        documents.retain(|document| !document.is_empty());
        Self { documents }
    }

    /// The documents.
    pub fn documents(&self) -> &[Vec<String>] {
        &self.documents
    }

    /// The number of sentences.
    pub fn sentences(&self) -> usize {
        self.documents.iter().map(Vec::len).sum()
    }

    /// A sentence; empty if there is none there.
    pub fn sentence(&self, (document, sentence): SentencePlace) -> &str {
        let found = self.documents.get(document).and_then(|document| document.get(sentence));
        found.map_or("", String::as_str)
    }

    /// Pairs for the second task: one for each sentence that another follows, in the order of the text. By even chance the
    /// second sentence is the one that follows, or a random one: of another document, or where there is only one, from
    /// another place of it. A sentence with the same words as the one that follows is never taken for a random one; where
    /// none is left, the pair is the true one.
    pub fn pairs(&self, seed: u64) -> Vec<SentencePair> {
        let places = Places::new(&self.documents);
        let mut pairs = Vec::new();
        let mut begin = 0;
        for (document, sentences) in self.documents.iter().enumerate() {
            let own = begin..begin + sentences.len();
            begin = own.end;
            for sentence in 0..sentences.len().saturating_sub(1) {
                let (first, next) = ((document, sentence), (document, sentence + 1));
                let mut draws = Draws::new(seed, b"pair", pairs.len() as u64);
                let random = (draws.unit() >= 0.5)
                    .then(|| places.random(&mut draws, own.clone(), own.start + sentence));
                let pair = match random.flatten() {
                    Some(second) => SentencePair { first, second, is_next: false },
                    None => SentencePair { first, second: next, is_next: true },
                };
                pairs.push(pair);
            }
        }
        pairs
    }
}

/// All sentences, in the order of the text.
struct Places {
    all: Vec<SentencePlace>,
    /// The same number for the same words.
    words: Vec<usize>,
    /// Behind the neighbours with the same words.
    ends: Vec<usize>,
}

impl Places {
    fn new(documents: &[Vec<String>]) -> Self {
        let of = |(document, sentences): (usize, &Vec<String>)| {
            (0..sentences.len()).map(move |sentence| (document, sentence))
        };
        let all: Vec<SentencePlace> = documents.iter().enumerate().flat_map(of).collect();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut number = |sentence| {
            let new = numbers.len();
            *numbers.entry(sentence).or_insert(new)
        };
        let words: Vec<usize> =
            documents.iter().flatten().map(|sentence| number(sentence.as_str())).collect();
        let mut ends = vec![all.len(); all.len()];
        for place in (1..all.len()).rev() {
            ends[place - 1] = if words[place - 1] == words[place] { ends[place] } else { place };
        }
        Self { all, words, ends }
    }

    /// A sentence that does not follow the one at `first`, whose document has the places `own`.
    fn random(&self, draws: &mut Draws, own: std::ops::Range<usize>, first: usize) -> Option<SentencePlace> {
        let next = first + 1;
        let others = self.all.len() - own.len();
        // The candidates: those of other documents, else all.
        let (count, skip) = if others > 0 { (others, own) } else { (self.all.len(), 0..0) };
        let candidate = |index: usize| if index < skip.start { index } else { index + skip.len() };
        let same = |place: usize| self.words[place] == self.words[next];
        let fits = |&place: &usize| place != first && !same(place);
        // Nearly always the first will do; where few do, the nearest behind one that was drawn.
        const TRIES: usize = 32;
        if let Some(place) = (0..TRIES).map(|_| candidate(draws.below(count))).find(fits) {
            return Some(self.all[place]);
        }
        let start = draws.below(count);
        let mut step = 0;
        while step < count {
            let index = (start + step) % count;
            let place = candidate(index);
            if fits(&place) {
                return Some(self.all[place]);
            }
            // Past the neighbours with the words that are not wanted, were there ever so many.
            let end = if same(place) { self.ends[place] } else { place + 1 };
            let end = if end <= skip.start { end } else { end.max(skip.end) - skip.len() };
            step += end.saturating_sub(index).max(1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPECIAL: [u32; 4] = [0, 1, 2, 3];
    const MASK: u32 = 3;

    fn vocabulary(words: u32) -> MaskVocabulary {
        MaskVocabulary::new(&(0..words).collect::<Vec<_>>(), &SPECIAL, MASK)
    }

    proptest! {
        #[test]
        fn masking_leaves_special_tokens_and_what_it_did_not_choose(
            ids in prop::collection::vec(0_u32..50, 0..200), seed: u64, item in 0_usize..1000,
        ) {
            let vocabulary = vocabulary(50);
            let found = Masking::default().apply(&ids, &vocabulary, seed, item).unwrap();
            prop_assert_eq!(found.ids.len(), ids.len());
            let ordinary = ids.iter().filter(|id| !SPECIAL.contains(id)).count();
            let expected = if ordinary == 0 { 0 } else { ((0.15 * ordinary as f64).round() as usize).max(1) };
            prop_assert_eq!(found.places.len(), expected);
            prop_assert!(found.places.is_sorted_by(|a, b| a < b));
            for (place, (&before, &after)) in ids.iter().zip(&found.ids).enumerate() {
                match found.places.iter().position(|&chosen| chosen as usize == place) {
                    None => prop_assert_eq!(before, after),
                    Some(index) => {
                        prop_assert_eq!(found.labels[index], before);
                        prop_assert!(!SPECIAL.contains(&before));
                        prop_assert!(after == MASK || !SPECIAL.contains(&after));
                    }
                }
            }
            prop_assert_eq!(&found, &Masking::default().apply(&ids, &vocabulary, seed, item).unwrap());
        }

        #[test]
        fn pairs_are_what_they_say(lengths in prop::collection::vec(1_usize..6, 0..6), seed: u64) {
            // Few different sentences, so that some are the same.
            let documents = lengths.iter().enumerate().map(|(document, &length)| {
                (0..length).map(|sentence| format!("s{}", (document * 3 + sentence * 5) % 7)).collect()
            });
            let corpus = Corpus::new(documents.collect());
            let pairs = corpus.pairs(seed);
            prop_assert_eq!(pairs.len(), lengths.iter().map(|length| length - 1).sum::<usize>());
            for pair in &pairs {
                let next = (pair.first.0, pair.first.1 + 1);
                prop_assert_eq!(pair.is_next, pair.second == next);
                prop_assert!(!corpus.sentence(pair.second).is_empty());
                prop_assert!(pair.second != pair.first);
                if !pair.is_next {
                    prop_assert!(corpus.sentence(pair.second) != corpus.sentence(next));
                    prop_assert!(lengths.len() == 1 || pair.second.0 != pair.first.0);
                }
            }
            prop_assert_eq!(&pairs, &corpus.pairs(seed));
        }
    }

    /// Whether a count is within 5 standard deviations of the binomial distribution.
    fn likely(count: usize, of: usize, probability: f64) -> bool {
        let (mean, deviation) =
            (of as f64 * probability, (of as f64 * probability * (1.0 - probability)).sqrt());
        (count as f64 - mean).abs() <= 5.0 * deviation
    }

    #[test]
    fn the_rates_are_those_of_the_paper() {
        let vocabulary = vocabulary(30_000);
        let ids: Vec<u32> = [2].into_iter().chain(100..200).chain([1]).collect();
        let (mut counts, mut chosen) = ([0; 3], vec![0; ids.len()]);
        let mut drawn = HashSet::new();
        const SEQUENCES: usize = 4000;
        for item in 0..SEQUENCES {
            let found = Masking::default().apply(&ids, &vocabulary, 1, item).unwrap();
            assert_eq!(found.places.len(), 15);
            for (&place, &label) in found.places.iter().zip(&found.labels) {
                chosen[place as usize] += 1;
                match found.ids[place as usize] {
                    MASK => counts[0] += 1,
                    id if id == label => counts[2] += 1,
                    id => {
                        counts[1] += 1;
                        drawn.insert(id);
                    }
                }
            }
        }
        let all = 15 * SEQUENCES;
        assert!(likely(counts[0], all, 0.8) && likely(counts[1], all, 0.1), "{counts:?} of {all}");
        assert!(likely(counts[2], all, 0.1), "{counts:?} of {all}");
        // Each place is as probable as any other, and random words come from the whole vocabulary.
        assert!(chosen[1..101].iter().all(|&count| likely(count, SEQUENCES, 0.15)), "{chosen:?}");
        assert_eq!((chosen[0], chosen[101]), (0, 0));
        assert!(drawn.len() > counts[1] * 3 / 4 && drawn.iter().max() > Some(&29_000), "{}", drawn.len());
    }

    #[test]
    fn half_of_the_pairs_are_true() {
        let document = |name: usize| (0..100).map(|sentence| format!("{name} {sentence}")).collect();
        let corpus = Corpus::new((0..50).map(document).collect());
        let pairs = corpus.pairs(3);
        let next = pairs.iter().filter(|pair| pair.is_next).count();
        assert!(likely(next, pairs.len(), 0.5), "{next} of {}", pairs.len());
        // Random sentences come from every document, each as probable as any other.
        let mut from = vec![0; 50];
        pairs.iter().filter(|pair| !pair.is_next).for_each(|pair| from[pair.second.0] += 1);
        assert!(from.iter().all(|&count| likely(count, pairs.len() - next, 0.02)), "{from:?}");
        let other = corpus.pairs(4);
        let same = pairs.iter().zip(&other).filter(|(a, b)| a.is_next == b.is_next).count();
        assert!(likely(same, pairs.len(), 0.5), "{same}");
    }

    /// The same numbers on every platform and in every version: reports name only the seed.
    #[test]
    fn a_seed_gives_what_it_always_gave() {
        let ids: Vec<u32> = (10..40).collect();
        let masking = Masking { predicted: 0.2, masked: 0.3, random: 0.5 };
        let found = masking.apply(&ids, &vocabulary(1000), 7, 0).unwrap();
        let replaced: Vec<u32> = found.places.iter().map(|&place| found.ids[place as usize]).collect();
        assert_eq!((found.places, replaced), (KNOWN_PLACES.to_vec(), KNOWN_IDS.to_vec()));
        let document = |name: usize| (0..5).map(|sentence| format!("{name} {sentence}")).collect();
        let pairs = Corpus::new((0..3).map(document).collect()).pairs(7);
        let found: Vec<SentencePlace> = pairs.iter().map(|pair| pair.second).collect();
        assert_eq!(found, KNOWN_PAIRS);
    }

    // As a second implementation of the generator gives them.
    const KNOWN_PLACES: [u32; 6] = [1, 3, 10, 13, 21, 28];
    const KNOWN_IDS: [u32; 6] = [MASK, 35, 753, MASK, MASK, MASK];
    const KNOWN_PAIRS: [SentencePlace; 12] =
        [(1, 4), (0, 2), (2, 0), (2, 4), (0, 1), (0, 3), (1, 3), (1, 4), (1, 2), (2, 2), (2, 3), (2, 4)];

    /// The nearest other sentence is found by looking at all of them, one by one, as well.
    #[test]
    fn many_equal_sentences_cost_little_and_give_the_same() {
        let slow = |places: &Places, draws: &mut Draws, own: std::ops::Range<usize>, first: usize| {
            let others: Vec<usize> = match places.all.len() - own.len() {
                0 => (0..places.all.len()).collect(),
                _ => (0..places.all.len()).filter(|place| !own.contains(place)).collect(),
            };
            let fits = |place: &usize| *place != first && places.words[*place] != places.words[first + 1];
            let drawn = (0..32).map(|_| others[draws.below(others.len())]).find(fits);
            drawn.or_else(|| {
                let start = draws.below(others.len());
                (0..others.len()).map(|step| others[(start + step) % others.len()]).find(fits)
            })
        };
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let documents = rng.usize(1..4);
            let sentence = |rng: &mut fastrand::Rng| if rng.f64() < 0.97 { "a" } else { "b" }.to_owned();
            let document = |_| (0..rng.usize(2..40)).map(|_| sentence(&mut rng)).collect();
            let documents: Vec<Vec<String>> = (0..documents).map(document).collect();
            let places = Places::new(&documents);
            let mut begin = 0;
            for document in &documents {
                let own = begin..begin + document.len();
                begin = own.end;
                for first in own.start..own.end - 1 {
                    let [mut a, mut b] = [0, 0].map(|_| Draws::new(1, b"pair", first as u64));
                    let found = places.random(&mut a, own.clone(), first);
                    assert_eq!(
                        found,
                        slow(&places, &mut b, own.clone(), first).map(|place| places.all[place])
                    );
                }
            }
        }
        // A hundred thousand would take minutes one by one.
        let mut sentences = vec!["a".to_owned(); 100_000];
        assert!(Corpus::new(vec![sentences.clone()]).pairs(1).iter().all(|pair| pair.is_next));
        sentences[77] = "b".to_owned();
        assert!(Corpus::new(vec![sentences]).pairs(1).iter().any(|pair| !pair.is_next));
    }

    #[test]
    fn documents_are_parted_by_blank_lines() {
        let corpus = Corpus::parse("\u{feff}\n a\r\nb \n\n \t\n\nc\n");
        assert_eq!(corpus.documents(), [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
        assert_eq!((corpus.sentences(), corpus.sentence((0, 1)), corpus.sentence((5, 0))), (3, "b", ""));
        assert_eq!(Corpus::parse(" \n\n").sentences(), 0);
        assert!(Corpus::parse("a\n\nb").pairs(1).is_empty());
        // Of two sentences neither can stand for the other.
        assert!((0..20).all(|seed| Corpus::parse("a\nb").pairs(seed)[0].is_next));
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        let apply = |masking: Masking| masking.apply(&[10, 11], &vocabulary(20), 0, 0);
        for predicted in [-0.1, 1.1, f64::NAN] {
            assert!(apply(Masking { predicted, ..Default::default() }).is_err());
        }
        assert!(apply(Masking { masked: 0.8, random: 0.3, ..Default::default() }).is_err());
        let all = apply(Masking { predicted: 1.0, masked: 1.0, random: 0.0 }).unwrap();
        assert_eq!((all.ids, all.labels), (vec![MASK; 2], vec![10, 11]));
        assert_eq!(apply(Masking { masked: 0.0, random: 0.0, ..Default::default() }).unwrap().ids, [10, 11]);
    }
}
