//! Attention weights with the tokens that they are between.

use crate::error::{Error, Result};
use crate::weights::{Encoding, Origin, Tokenizer};

const OP: &str = "attention_maps";

/// A token, or a word, at a side of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapToken {
    /// As the vocabulary writes it; where that is bytes, as the text does; an unknown one with what it stands for.
    pub label: String,
    /// The piece of the text that it stands for; empty for special tokens.
    pub source: String,
    /// 0, or 1 for the second text of a pair.
    pub text: usize,
    /// The word of that text that it is (a piece of); none for special tokens.
    pub word: Option<usize>,
}

impl MapToken {
    /// A token that is all of a text's next word, such as one of a vocabulary of characters.
    pub fn new(label: impl Into<String>) -> Self {
        let label = label.into();
        Self { source: label.clone(), label, ..Self::default() }
    }

    /// Whether it is not of the text.
    pub fn is_special(&self) -> bool {
        self.source.is_empty() && self.word.is_none()
    }
}

/// Attention weights of one sequence of queries over one of keys: a map for each layer and head. In self-attention both
/// are the same tokens; in a translation the queries are the target's tokens and the keys the source's.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    rows: Vec<MapToken>,
    columns: Vec<MapToken>,
    layers: Vec<Option<usize>>,
    heads: Vec<Option<usize>>,
    weights: Vec<f32>,
}

impl AttentionMaps {
    /// Maps of weights `[layers, heads, rows, columns]`: a row's tokens attend to the columns'. A layer or head that is
    /// none is a mean over some, or the only one.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are more or fewer weights.
    pub fn new(
        [rows, columns]: [Vec<MapToken>; 2],
        layers: Vec<Option<usize>>,
        heads: Vec<Option<usize>>,
        weights: Vec<f32>,
    ) -> Result<Self> {
        let sizes = [layers.len(), heads.len(), rows.len(), columns.len()];
        let expected = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if expected != Some(weights.len()) {
            let (expected, found) = (format!("{sizes:?}"), format!("{} elements", weights.len()));
            return Err(Error::argument(OP, "the weights", expected, found));
        }
        Ok(Self { rows, columns, layers, heads, weights })
    }

    /// Layers, heads, rows and columns.
    pub fn shape(&self) -> [usize; 4] {
        [self.layers.len(), self.heads.len(), self.rows.len(), self.columns.len()]
    }

    /// The tokens that attend.
    pub fn rows(&self) -> &[MapToken] {
        &self.rows
    }

    /// The tokens that are attended to.
    pub fn columns(&self) -> &[MapToken] {
        &self.columns
    }

    /// The numbers of the layers, in the order of the weights; none where it is a mean over layers.
    pub fn layers(&self) -> &[Option<usize>] {
        &self.layers
    }

    /// The numbers of the heads, in the order of the weights; none where it is a mean over heads.
    pub fn heads(&self) -> &[Option<usize>] {
        &self.heads
    }

    /// All weights, `[layers, heads, rows, columns]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Whether no weight is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.weights.iter().all(|weight| weight.is_finite())
    }

    /// The map of the layer and the head at these places, `[rows, columns]`; empty if there is none.
    pub fn map(&self, layer: usize, head: usize) -> &[f32] {
        let [layers, heads, rows, columns] = self.shape();
        if layer >= layers || head >= heads {
            return &[];
        }
        self.weights.chunks_exact((rows * columns).max(1)).nth(layer * heads + head).unwrap_or_default()
    }

    /// What one token attends to: the row of a map; empty if there is none.
    pub fn row(&self, layer: usize, head: usize, row: usize) -> &[f32] {
        self.map(layer, head).chunks_exact(self.columns.len().max(1)).nth(row).unwrap_or_default()
    }

    /// Whether rows and columns are the same tokens.
    pub fn is_self_attention(&self) -> bool {
        self.rows == self.columns
    }

    /// The mean over the heads, a map for each layer.
    #[must_use]
    pub fn mean_of_heads(&self) -> Self {
        let [layers, heads, rows, columns] = self.shape();
        let size = rows * columns;
        let mut weights = Vec::with_capacity(layers * size);
        for layer in self.weights.chunks((heads * size).max(1)).take(layers) {
            weights.extend(mean(layer, size));
        }
        // Without heads there is no mean.
        let known = usize::from(heads > 0);
        let layers = self.layers.iter().copied().take(layers * known).collect();
        Self { layers, heads: vec![None; known], weights, ..self.clone_tokens() }
    }

    /// The mean over all heads of all layers: one map.
    #[must_use]
    pub fn mean(&self) -> Self {
        let [layers, heads, rows, columns] = self.shape();
        let known = usize::from(layers * heads > 0);
        let weights = if known == 0 { Vec::new() } else { mean(&self.weights, rows * columns) };
        Self { layers: vec![None; known], heads: vec![None; known], weights, ..self.clone_tokens() }
    }

    /// Words in the place of their pieces: what is attended to is summed over the pieces of a word, and what attends is
    /// the mean of them (Clark et al. 2019, section 4.1), so that a row that sums to 1 still does.
    #[must_use]
    pub fn words(&self) -> Self {
        let (rows, columns) = (words(&self.rows), words(&self.columns));
        let [.., old_rows, old_columns] = self.shape();
        let mut weights = Vec::new();
        for map in self.weights.chunks((old_rows * old_columns).max(1)) {
            for row in &rows {
                for column in &columns {
                    let sum: f64 = row
                        .clone()
                        .flat_map(|row| column.clone().map(move |column| row * old_columns + column))
                        .map(|place| map.get(place).map_or(0.0, |&weight| f64::from(weight)))
                        .sum();
                    weights.push((sum / row.len() as f64) as f32);
                }
            }
        }
        let merged = |tokens: &[MapToken], words: &[std::ops::Range<usize>]| {
            words.iter().map(|word| merged(&tokens[word.clone()])).collect()
        };
        Self {
            rows: merged(&self.rows, &rows),
            columns: merged(&self.columns, &columns),
            layers: self.layers.clone(),
            heads: self.heads.clone(),
            weights,
        }
    }

    /// Those rows and columns alone whose tokens `keep` wants. What a row attends to beside them is left out, so that it
    /// then sums to less.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&MapToken) -> bool) -> Self {
        let kept = |tokens: &[MapToken]| tokens.iter().map(&keep).collect::<Vec<bool>>();
        let (rows, columns) = (kept(&self.rows), kept(&self.columns));
        let lines = self.weights.chunks(self.columns.len().max(1)).zip(rows.iter().cycle());
        let weights = lines
            .filter(|(_, kept)| **kept)
            .flat_map(|(line, _)| {
                line.iter().zip(&columns).filter(|(_, kept)| **kept).map(|(&weight, _)| weight)
            })
            .collect();
        let of = |tokens: &[MapToken], kept: &[bool]| {
            tokens.iter().zip(kept).filter(|(_, kept)| **kept).map(|(token, _)| token.clone()).collect()
        };
        Self {
            rows: of(&self.rows, &rows),
            columns: of(&self.columns, &columns),
            layers: self.layers.clone(),
            heads: self.heads.clone(),
            weights,
        }
    }

    fn clone_tokens(&self) -> Self {
        Self {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            layers: Vec::new(),
            heads: Vec::new(),
            weights: Vec::new(),
        }
    }
}

/// The mean of maps of one size.
fn mean(maps: &[f32], size: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; size];
    let mut count = 0.0_f64;
    for map in maps.chunks_exact(size.max(1)) {
        count += 1.0;
        for (sum, &weight) in sums.iter_mut().zip(map) {
            *sum += f64::from(weight);
        }
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// The places of each word's pieces, which are neighbours.
fn words(tokens: &[MapToken]) -> Vec<std::ops::Range<usize>> {
    let mut words: Vec<std::ops::Range<usize>> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| tokens.get(before));
        let goes_on = before.is_some_and(|before| {
            token.word.is_some() && before.word == token.word && before.text == token.text
        });
        match words.last_mut() {
            Some(word) if goes_on => word.end = place + 1,
            _ => words.push(place..place + 1),
        }
    }
    words
}

fn merged(pieces: &[MapToken]) -> MapToken {
    match pieces {
        [token] if token.source.is_empty() => token.clone(),
        _ => {
            let source: String = pieces.iter().map(|piece| piece.source.as_str()).collect();
            let first = pieces.first().cloned().unwrap_or_default();
            let label = match source.trim() {
                "" => first.label.clone(),
                word => word.to_owned(),
            };
            MapToken { label, source, ..first }
        }
    }
}

/// The tokens of a text or a pair for a map.
pub(super) fn map_tokens(
    tokenizer: &Tokenizer,
    encoding: &Encoding,
    origins: &[Option<Origin>],
    texts: [&str; 2],
) -> Vec<MapToken> {
    let byte_level = tokenizer.is_byte_level();
    let token = |(token, origin): (&String, &Option<Origin>)| {
        let Some(Origin { text, word, bytes }) = origin else {
            return MapToken { label: token.clone(), ..MapToken::default() };
        };
        let source = texts[*text].get(bytes.clone()).unwrap_or_default().to_owned();
        let label = match source.trim() {
            "" => token.clone(),
            source if byte_level => source.to_owned(),
            // What it stands for, since all unknown tokens are called the same.
            source if ["[UNK]", "<unk>"].contains(&token.as_str()) => format!("{token} {source}"),
            _ => token.clone(),
        };
        MapToken { label, source, text: *text, word: Some(*word) }
    };
    encoding.tokens.iter().zip(origins).map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(label: &str, source: &str, word: Option<usize>) -> MapToken {
        MapToken { label: label.to_owned(), source: source.to_owned(), text: 0, word }
    }

    fn maps() -> AttentionMaps {
        let tokens =
            vec![piece("[CLS]", "", None), piece("play", "play", Some(0)), piece("##ing", "ing", Some(0))];
        let weights =
            vec![0.5, 0.25, 0.25, 0.0, 1.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let heads = vec![Some(2), Some(7)];
        AttentionMaps::new([tokens.clone(), tokens], vec![Some(4)], heads, weights).unwrap()
    }

    #[test]
    fn words_are_summed_over_what_is_attended_to_and_averaged_over_what_attends() {
        let words = maps().words();
        let labels: Vec<&str> = words.rows().iter().map(|token| token.label.as_str()).collect();
        assert_eq!(labels, ["[CLS]", "playing"]);
        assert_eq!(words.shape(), [1, 2, 2, 2]);
        assert_eq!(words.map(0, 0), [0.5, 0.5, 0.25, 0.75]);
        assert_eq!(words.map(0, 1), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(words.words(), words);
    }

    #[test]
    fn means_are_of_heads_or_of_everything() {
        let mean = maps().mean_of_heads();
        assert_eq!((mean.layers(), mean.heads()), (&[Some(4)][..], &[None][..]));
        assert_eq!(mean.map(0, 0), [0.75, 0.125, 0.125, 0.0, 0.5, 0.5, 0.25, 0.0, 0.75]);
        assert_eq!(maps().mean().weights(), mean.weights());
        assert_eq!(maps().mean().layers(), [None]);
    }

    #[test]
    fn tokens_can_be_left_out() {
        let only = maps().only(|token| !token.is_special());
        assert_eq!(only.shape(), [1, 2, 2, 2]);
        assert_eq!(only.map(0, 0), [1.0, 0.0, 0.0, 0.5]);
        assert_eq!(only.row(0, 1, 1), [0.0, 1.0]);
        for place in [2, usize::MAX] {
            assert!(only.row(0, 1, place).is_empty() && only.map(place, 0).is_empty());
        }
    }

    #[test]
    fn nothing_is_no_panic() {
        let sizes = |layers: usize, heads: usize, tokens: usize| {
            let tokens = vec![MapToken::new("x"); tokens];
            AttentionMaps::new([tokens.clone(), tokens], vec![None; layers], vec![None; heads], Vec::new())
        };
        for (layers, heads, tokens) in [(0, 3, 2), (3, 0, 2), (3, 3, 0), (0, 0, 0)] {
            let maps = sizes(layers, heads, tokens).unwrap();
            for maps in [maps.words(), maps.mean(), maps.mean_of_heads(), maps.only(|_| true), maps] {
                assert!(maps.weights().is_empty());
                for place in [0, 9, usize::MAX] {
                    assert!(maps.map(place, 0).is_empty() && maps.map(0, place).is_empty());
                    assert!(maps.row(0, 0, place).is_empty() && maps.row(place, place, place).is_empty());
                }
            }
        }
        assert!(sizes(1, 1, 1).unwrap_err().to_string().contains("[1, 1, 1, 1]"));
    }
}
