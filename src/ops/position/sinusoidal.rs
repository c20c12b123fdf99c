//! Sinusoidal positions.

/// Which columns of a sinusoidal position are sines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SinusoidalLayout {
    /// sin and cos by turns, as in the paper.
    #[default]
    Interleaved,
    /// All sines, then all cosines, as Marian has them. (fairseq's lie so too, but its frequencies fall by another step,
    /// 10,000^(−1 / (dim/2 − 1)).)
    Halves,
}

/// The positions 0 to `length` − 1, `[length, dim]`: sin(p · ωᵢ) and cos(p · ωᵢ) with ωᵢ = 10,000^(−2i / dim) (Vaswani et al.
/// 2017, section 3.5). Computed in f64 and rounded once. Of an odd `dim` the last frequency has a sine alone.
///
/// They are added to the embeddings; a learned table of the same shape takes their place in BERT
/// ([`EmbeddingTables`](crate::ops::EmbeddingTables)).
///
/// ```
/// use attentive::ops::{SinusoidalLayout, sinusoidal_positions};
///
/// let (sin, cos) = (1.0_f64.sin() as f32, 1.0_f64.cos() as f32);
/// let slow = (0.01_f64.sin() as f32, 0.01_f64.cos() as f32);
/// let interleaved = sinusoidal_positions(2, 4, SinusoidalLayout::Interleaved);
/// assert_eq!(interleaved, [0.0, 1.0, 0.0, 1.0, sin, cos, slow.0, slow.1]);
/// let halves = sinusoidal_positions(2, 4, SinusoidalLayout::Halves);
/// assert_eq!(halves, [0.0, 0.0, 1.0, 1.0, sin, slow.0, cos, slow.1]);
/// ```
pub fn sinusoidal_positions(length: usize, dim: usize, layout: SinusoidalLayout) -> Vec<f32> {
    let sines = dim.div_ceil(2);
    // The frequency of each column, and whether it is a sine.
    let columns: Vec<(f64, bool)> = (0..dim)
        .map(|column| {
            let (pair, is_sine) = match layout {
                SinusoidalLayout::Interleaved => (column / 2, column % 2 == 0),
                SinusoidalLayout::Halves if column < sines => (column, true),
                SinusoidalLayout::Halves => (column - sines, false),
            };
            (10_000_f64.powf(-2.0 * pair as f64 / dim as f64), is_sine)
        })
        .collect();
    let element = |position: usize, (frequency, is_sine): (f64, bool)| {
        let angle = position as f64 * frequency;
        (if is_sine { angle.sin() } else { angle.cos() }) as f32
    };
    (0..length).flat_map(|position| columns.iter().map(move |&column| element(position, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::{SinusoidalLayout, sinusoidal_positions};

    #[test]
    fn both_layouts_have_the_same_columns() {
        for (length, dim) in [(0, 4), (3, 0), (1, 1), (5, 7), (40, 64)] {
            let interleaved = sinusoidal_positions(length, dim, SinusoidalLayout::Interleaved);
            let halves = sinusoidal_positions(length, dim, SinusoidalLayout::Halves);
            assert_eq!((interleaved.len(), halves.len()), (length * dim, length * dim));
            for position in 0..length {
                for column in 0..dim {
                    let there = column / 2 + if column % 2 == 0 { 0 } else { dim.div_ceil(2) };
                    assert_eq!(interleaved[position * dim + column], halves[position * dim + there]);
                }
            }
        }
    }

    #[test]
    fn far_positions_keep_their_digits() {
        // 1,000,000 rad by the series of sin after a reduction by hand: 1e6 − 159,154·2π.
        let reduced = 1e6 - 159_154.0 * std::f64::consts::TAU;
        let far = sinusoidal_positions(1_000_001, 1, SinusoidalLayout::Interleaved);
        assert!((f64::from(far[1_000_000]) - reduced.sin()).abs() < 1e-7);
    }
}
