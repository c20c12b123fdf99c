//! Embedding look-up, summed and normalized.

use super::expect_length;
use super::normalization::layer_norm_f64;

/// What [`embedding_norm`] reads. T tokens, V words, P positions, S segment types, C columns (the length of
/// `gamma`).
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingNorm<'a> {
    /// `[T]`: the row of `word` for each token.
    pub ids: &'a [u32],
    /// `[T]`: the row of `types` for each token; not read without `types`.
    pub type_ids: &'a [u32],
    /// `[T]`: the row of `position` for each token.
    pub positions: &'a [u32],
    /// `[V, C]`: the word embeddings.
    pub word: &'a [f32],
    /// `[P, C]`: the position embeddings.
    pub position: &'a [f32],
    /// `[S, C]`: the segment embeddings, if the model has them.
    pub types: Option<&'a [f32]>,
    /// `[C]`: the gain of the layer normalization.
    pub gamma: &'a [f32],
    /// `[C]`: the bias of the layer normalization.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub eps: f64,
}

/// y\[t\] = LayerNorm(word\[ids\[t\]\] + position\[positions\[t\]\] + types\[type_ids\[t\]\]); returns `[T, C]`.
///
/// The input representation of Devlin et al. 2019 (*BERT*), figure 2, and the normalization of
/// [`layer_norm`](super::normalization::layer_norm).
///
/// # Panics
/// If a table is not a whole number of rows, a slice has another length, or an id lies outside its table.
pub fn embedding_norm(inputs: EmbeddingNorm) -> Vec<f64> {
    let EmbeddingNorm { ids, type_ids, positions, word, position, types, gamma, beta, eps } = inputs;
    expect_length("embedding_norm: positions", positions.len(), ids.len());
    if types.is_some() {
        expect_length("embedding_norm: type_ids", type_ids.len(), ids.len());
    }
    let columns = gamma.len();
    let mut sum = Vec::with_capacity(ids.len() * columns);
    for t in 0..ids.len() {
        let word = row("word", word, ids[t], columns);
        let position = row("position", position, positions[t], columns);
        let types = types.map(|types| row("types", types, type_ids[t], columns));
        for c in 0..columns {
            let embedded = f64::from(word[c]) + f64::from(position[c]);
            sum.push(embedded + types.map_or(0.0, |types| f64::from(types[c])));
        }
    }
    layer_norm_f64(&sum, gamma, beta, eps)
}

/// y\[t\] = scale · word\[ids\[t\]\] + position\[p\[t\]\], with p and the table of positions `[P, C]` in `positions`;
/// returns `[T, C]` (Vaswani et al. 2017, section 3.4).
///
/// # Panics
/// As [`embedding_norm`].
pub fn embedding(
    ids: &[u32],
    word: &[f32],
    columns: usize,
    scale: f32,
    positions: Option<(&[u32], &[f32])>,
) -> Vec<f64> {
    // Column by column, so that no row is read as one.
    let mut y = vec![0.0; ids.len() * columns];
    for c in 0..columns {
        for (t, &id) in ids.iter().enumerate() {
            let added = positions.map(|(places, table)| row("position", table, places[t], columns)[c]);
            let product = f64::from(scale) * f64::from(row("word", word, id, columns)[c]);
            y[t * columns + c] = product + added.map_or(0.0, f64::from);
        }
    }
    y
}

/// y\[v\] + scale · Σ dy\[r\] over the rows r whose id is v, of y `[V, C]`: what [`embedding`] adds to the gradient y of its table
/// where that of its result is dy `[T, C]`; returns `[V, C]`.
///
/// # Panics
/// If dy has another length, y is not a whole number of rows, or an id lies outside of it.
pub fn scatter_add(ids: &[u32], dy: &[f32], columns: usize, scale: f32, y: &[f32]) -> Vec<f64> {
    expect_length("scatter_add: dy", dy.len(), ids.len() * columns);
    let mut sums: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
    // Row by row, in the order of dy.
    for (t, &id) in ids.iter().enumerate() {
        for c in 0..columns {
            sums[id as usize * columns + c] += f64::from(scale) * f64::from(dy[t * columns + c]);
        }
    }
    sums
}

/// Row `id` of a table.
fn row<'a>(name: &str, table: &'a [f32], id: u32, columns: usize) -> &'a [f32] {
    if columns == 0 {
        return &[];
    }
    let rows = table.len() / columns;
    assert!(
        table.len().is_multiple_of(columns),
        "embedding: {name} must be rows of {columns} elements, but has {} elements",
        table.len()
    );
    assert!((id as usize) < rows, "embedding: {name} has {rows} rows, but row {id} is asked for");
    &table[id as usize * columns..][..columns]
}

#[cfg(test)]
mod tests {
    use super::super::normalization::layer_norm;
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
    use super::*;

    #[test]
    fn scatter_add_is_the_gradient_of_embedding() {
        let mut random = Random(5);
        let (ids, columns, scale) = ([2, 0, 2, 2], 3, 1.75);
        let (table, dy) = (coarse_values(&mut random, 4 * columns), random.values(4 * columns));
        let loss = |table: &[f32]| {
            let y = embedding(&ids, table, columns, scale, None);
            y.iter().zip(&dy).map(|(y, &dy)| y * f64::from(dy)).sum()
        };
        let gradient = scatter_add(&ids, &dy, columns, scale, &vec![0.0; table.len()]);
        let size = super::super::largest(&gradient);
        assert_near(&gradient, &numeric_gradient(&table, loss), 1e-7 * size);
        // What was there stays.
        assert_eq!(scatter_add(&[1], &[3.0], 1, 0.5, &[7.0, 8.0]), [7.0, 9.5]);
    }

    const INPUTS: EmbeddingNorm = EmbeddingNorm {
        ids: &[2, 0, 2],
        type_ids: &[0, 1, 1],
        positions: &[0, 1, 3],
        word: &[1.0, 2.0, 50.0, 60.0, 3.0, 7.0],
        position: &[0.5, 0.0, 1.0, 4.0, 80.0, 90.0, -1.0, 2.0],
        types: Some(&[0.25, -0.25, 8.0, 4.0]),
        gamma: &[1.0, 2.0],
        beta: &[0.0, 1.0],
        eps: 0.25,
    };

    #[test]
    fn by_hand() {
        // Rows of sums: [3.75, 6.75], [10, 10], [10, 13].
        let sums = [3.75, 6.75, 10.0, 10.0, 10.0, 13.0];
        assert_eq!(embedding_norm(INPUTS), layer_norm(&sums, None, INPUTS.gamma, INPUTS.beta, 0.25));
        // The first: mean 5.25, variance 2.25, deviation √2.5.
        let y = embedding_norm(INPUTS)[0];
        assert!((y + 1.5 / 2.5f64.sqrt()).abs() < 1e-15, "{y}");
    }

    #[test]
    fn without_segment_types() {
        let inputs = EmbeddingNorm { types: None, type_ids: &[], ..INPUTS };
        let sums = [3.5, 7.0, 2.0, 6.0, 2.0, 9.0];
        assert_eq!(embedding_norm(inputs), layer_norm(&sums, None, INPUTS.gamma, INPUTS.beta, 0.25));
    }

    #[test]
    fn scaled_and_without_a_norm() {
        let EmbeddingNorm { ids, positions, word, position, .. } = INPUTS;
        let scaled = [6.0, 14.0, 2.0, 4.0, 6.0, 14.0];
        assert_eq!(embedding(ids, word, 2, 2.0, None), scaled);
        let sums = [6.5, 14.0, 3.0, 8.0, 5.0, 16.0];
        assert_eq!(embedding(ids, word, 2, 2.0, Some((positions, position))), sums);
    }

    #[test]
    fn no_tokens_give_nothing() {
        assert!(
            embedding_norm(EmbeddingNorm { ids: &[], type_ids: &[], positions: &[], ..INPUTS }).is_empty()
        );
    }

    #[test]
    #[should_panic(expected = "embedding: word has 3 rows, but row 3 is asked for")]
    fn an_id_outside_is_named() {
        embedding_norm(EmbeddingNorm { ids: &[0, 3, 0], ..INPUTS });
    }
}
