//! Which sentences training has, and which it never sees.

use fastrand::Rng;

use super::{SHORTEST, sentence};

/// The most words of a sentence in training.
const LONGEST: usize = 20;

/// One sentence in so many is kept from training.
const KEPT_ONE_IN: u64 = 40;

/// Pairs to train on, without end, of up to 20 English words, each number as likely as another.
pub struct Sentences(Rng);

impl Sentences {
    pub fn training(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }
}

impl Iterator for Sentences {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let pair = sentence(&mut self.0, SHORTEST..=LONGEST);
            if !is_held_out(&pair.0) {
                return Some(pair);
            }
        }
    }
}

/// Whether training never has that sentence, by a hash of its letters (FNV-1a, of 64 bits).
fn is_held_out(english: &str) -> bool {
    let hash = english.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash % KEPT_ONE_IN == 0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::path::{Path, PathBuf};

    use super::super::tests::vocabulary;
    use super::*;

    /// Words of the sentences in the file: of the last four, training has none.
    const LENGTHS: [usize; 8] = [5, 10, 15, 20, 25, 30, 40, 50];
    const EACH: usize = 200;

    fn models() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
    }

    /// So many different pairs of each length that training never sees, the lengths in turn: what `models/sentences/held_out.tsv` has.
    fn held_out(lengths: &[usize], each: usize) -> Vec<(String, String)> {
        let of_length = |&length: &usize| {
            let (mut random, mut seen) = (Rng::with_seed(length as u64), HashSet::new());
            let drawn = std::iter::repeat_with(move || sentence(&mut random, length..=length));
            let new = drawn.filter(move |(english, _)| is_held_out(english) && seen.insert(english.clone()));
            new.take(each).collect::<Vec<_>>()
        };
        let all: Vec<Vec<(String, String)>> = lengths.iter().map(of_length).collect();
        (0..each).flat_map(|place| all.iter().map(move |pairs| pairs[place].clone())).collect()
    }

    /// The first lines of the file.
    fn lines(each: usize) -> String {
        held_out(&LENGTHS, each).iter().map(|(english, french)| format!("{english}\t{french}\n")).collect()
    }

    #[test]
    fn the_file_of_held_out_sentences_is_the_grammars() {
        let file = std::fs::read_to_string(models().join("sentences/held_out.tsv")).unwrap();
        assert!(
            file.starts_with(&lines(EACH / 20)),
            "cargo test -p attentive-cli --bin attentive -- --ignored write_the_held_out_sentences"
        );
        // Of the others what can be told without drawing them again; none of them is drawn for training, and one in 40 is held out.
        let sentences: HashSet<&str> = file.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(
            sentences.len() == LENGTHS.len() * EACH && sentences.iter().all(|english| is_held_out(english))
        );
        let mut random = Rng::with_seed(1);
        let kept = (0..4_000).filter(|_| is_held_out(&sentence(&mut random, 12..=12).0)).count();
        assert!((70..130).contains(&kept), "{kept}");
        assert!(Sentences::training(7).take(2_000).all(|(english, _)| !is_held_out(&english)));
    }

    #[test]
    #[ignore = "it writes models/sentences/held_out.tsv"]
    fn write_the_held_out_sentences() {
        std::fs::write(models().join("sentences/held_out.tsv"), lines(EACH)).unwrap();
    }

    #[test]
    fn the_tokenizers_have_the_grammars_words() {
        let (english, french) = vocabulary();
        let mut words: Vec<String> = english.into_iter().chain(french).collect();
        words.sort();
        words.dedup();
        let ids: BTreeMap<String, u64> = ["<pad>", "</s>", "<unk>"]
            .map(str::to_owned)
            .into_iter()
            .chain(words.iter().map(|word| format!("▁{word}")))
            .zip(0..)
            .collect();
        for model in ["english-french", "english-french-without-attention"] {
            let json = std::fs::read(models().join(model).join("tokenizer.json")).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let found: BTreeMap<String, u64> =
                serde_json::from_value(json["model"]["vocab"].clone()).unwrap();
            assert_eq!(found, ids, "{model}");
        }
    }
}
