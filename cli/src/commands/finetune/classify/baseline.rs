//! What words alone tell of labels: TF-IDF and multinomial logistic regression, to hold a model against.

use std::collections::HashMap;

use fastrand::Rng;

/// Times that each text is learnt from.
const EPOCHS: usize = 20;
/// AdaGrad's rate (Duchi et al. 2011), and what keeps its first steps finite.
const RATE: f32 = 0.5;
const EPSILON: f32 = 1e-6;

/// A text as the places of its words and their weights, of length 1.
type Words = Vec<(usize, f32)>;

/// The labels that logistic regression over words gives to `held_out`, learnt of `training`, texts with labels below `labels`.
///
/// A word is two letters or digits at least, in small letters; its weight is how often it is there times ln((1 + n) / (1 + d)) + 1, d of
/// n texts having it, and each text's weights have length 1, all as in scikit-learn's `TfidfVectorizer`. The weights of words and labels
/// are learnt text by text, without regularization but for the number of epochs.
pub fn by_words(training: &[(&str, u32)], held_out: &[&str], labels: usize, seed: u64) -> Vec<u32> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut texts_with: Vec<u32> = Vec::new();
    for (text, _) in training {
        for word in counted(text).into_keys() {
            let place = *places.entry(word).or_insert_with(|| {
                texts_with.push(0);
                texts_with.len() - 1
            });
            texts_with[place] += 1;
        }
    }
    let rarity = |place: usize| ((1.0 + training.len() as f32) / (1.0 + texts_with[place] as f32)).ln() + 1.0;
    let words = |text: &str| -> Words {
        let known = counted(text).into_iter().filter_map(|(word, count)| {
            let place = *places.get(&word)?;
            Some((place, count as f32 * rarity(place)))
        });
        let mut words: Words = known.collect();
        // Sums in one order, whatever the map's is.
        words.sort_unstable_by_key(|(place, _)| *place);
        let length = words.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        words.iter_mut().for_each(|(_, weight)| *weight /= length);
        words
    };
    let rows: Vec<(Words, u32)> = training.iter().map(|(text, label)| (words(text), *label)).collect();
    let mut model = Regression::new(texts_with.len(), labels);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut random = Rng::with_seed(seed);
    for _ in 0..EPOCHS {
        random.shuffle(&mut order);
        for &row in &order {
            let (words, label) = &rows[row];
            model.learn(words, *label);
        }
    }
    held_out.iter().map(|text| model.label(&words(text))).collect()
}

/// How often each word is there.
fn counted(text: &str) -> HashMap<String, u32> {
    let text = text.to_lowercase();
    let mut counts = HashMap::new();
    for word in text.split(|character: char| !character.is_alphanumeric() && character != '_') {
        if word.chars().nth(1).is_some() {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Scores of labels by words; a last row is there for every text.
struct Regression {
    labels: usize,
    weights: Vec<f32>,
    squares: Vec<f32>,
}

impl Regression {
    fn new(words: usize, labels: usize) -> Self {
        let zeros = vec![0.0; (words + 1) * labels];
        Self { labels, weights: zeros.clone(), squares: zeros }
    }

    /// The words with the row that every text has.
    fn with_bias(&self, words: &Words) -> Words {
        words.iter().copied().chain([(self.weights.len() / self.labels - 1, 1.0)]).collect()
    }

    fn scores(&self, words: &Words) -> Vec<f32> {
        let mut scores = vec![0.0; self.labels];
        for &(place, weight) in words {
            let row = &self.weights[place * self.labels..][..self.labels];
            scores.iter_mut().zip(row).for_each(|(score, w)| *score += weight * w);
        }
        scores
    }

    fn learn(&mut self, words: &Words, label: u32) {
        let words = self.with_bias(words);
        let mut slopes = self.scores(&words);
        // Softmax less the label.
        let largest = slopes.iter().copied().fold(f32::MIN, f32::max);
        slopes.iter_mut().for_each(|score| *score = (*score - largest).exp());
        let sum: f32 = slopes.iter().sum();
        slopes.iter_mut().for_each(|score| *score /= sum);
        slopes[label as usize] -= 1.0;
        for (place, weight) in words {
            let row = place * self.labels..(place + 1) * self.labels;
            let elements = self.weights[row.clone()].iter_mut().zip(&mut self.squares[row]);
            for ((w, square), slope) in elements.zip(&slopes) {
                let slope = slope * weight;
                *square += slope * slope;
                *w -= RATE * slope / (square.sqrt() + EPSILON);
            }
        }
    }

    fn label(&self, words: &Words) -> u32 {
        let scores = self.scores(&self.with_bias(words));
        let best = (0..).zip(&scores).max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        best.map_or(0, |(label, _)| label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_words_tell_are_told() {
        let rows =
            [("a red apple", 0), ("the red pear", 0), ("blue sky", 1), ("the blue Sea", 1), ("go home", 2)];
        let training: Vec<(&str, u32)> = rows.iter().copied().cycle().take(20).collect();
        let asked = ["RED sky in red", "blue", "home!", "nothing known", ""];
        let found = by_words(&training, &asked, 3, 1);
        assert_eq!(found[..3], [0, 1, 2]);
        assert_eq!(found, by_words(&training, &asked, 3, 1));
        // Where no word is known the labels' frequencies decide.
        assert!(found[3] < 2 && found[4] == found[3]);
    }

    #[test]
    fn words_are_letters_and_digits() {
        let counts = counted("Don't: x2, x2 – É_a b");
        let mut words: Vec<(&str, u32)> =
            counts.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        words.sort_unstable();
        assert_eq!(words, [("don", 1), ("x2", 2), ("é_a", 1)]);
    }
}
