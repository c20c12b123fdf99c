//! Rotary position embedding, as a product of complex numbers.

use super::expect_length;

/// How x lies and what of it is rotated.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Heads.
    pub heads: usize,
    /// Tokens of a batch item.
    pub length: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Those that are rotated, the first ones.
    pub rotary_dim: usize,
    /// Pairs are neighbours; else the first half's with the second's.
    pub interleaved: bool,
    /// `[batch, length, heads, head_dim]`; else `[batch, heads, length, head_dim]`.
    pub rows_first: bool,
}

/// (xₐ + i·x_b)·(cos + i·sin) for each pair of the rotated columns; returns an array like x.
///
/// Su et al. 2021 (*RoFormer*), equation 13 with section 3.2.2. The tables have a row of `rotary_dim / 2` for each
/// position; token t of all batch items reads row `positions[t]`, or row t without positions.
///
/// # Panics
/// If x is not a whole number of batch items.
pub fn rotary_embedding(
    x: &[f32],
    cos: &[f32],
    sin: &[f32],
    positions: Option<&[u32]>,
    layout: Layout,
) -> Vec<f64> {
    let Layout { heads, length, head_dim, rotary_dim, interleaved, rows_first } = layout;
    let mut y: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let item = heads * length * head_dim;
    let batch = x.len().checked_div(item).unwrap_or(0);
    expect_length("rotary_embedding: x", x.len(), batch * item);
    let half = rotary_dim / 2;
    for token in 0..batch * length {
        let (item, place) = (token / length, token % length);
        let row = positions.map_or(token, |positions| positions[token] as usize);
        for head in 0..heads {
            let start = match rows_first {
                true => ((item * length + place) * heads + head) * head_dim,
                false => ((item * heads + head) * length + place) * head_dim,
            };
            for pair in 0..half {
                let (a, b) = if interleaved { (2 * pair, 2 * pair + 1) } else { (pair, half + pair) };
                let [cos, sin] = [cos, sin].map(|table| f64::from(table[row * half + pair]));
                let [real, imaginary] = [a, b].map(|column| f64::from(x[start + column]));
                y[start + a] = real * cos - imaginary * sin;
                y[start + b] = imaginary * cos + real * sin;
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout =
        Layout { heads: 1, length: 2, head_dim: 5, rotary_dim: 4, interleaved: false, rows_first: false };
    const X: [f32; 10] = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0];

    #[test]
    fn by_hand() {
        // No turn and a quarter turn for the first token; half a turn and three quarters for the second.
        let (cos, sin) = ([1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]);
        let y = rotary_embedding(&X, &cos, &sin, None, LAYOUT);
        assert_eq!(y, [1.0, -4.0, 3.0, 2.0, 5.0, -1.0, 4.0, -3.0, -2.0, 5.0]);
        let layout = Layout { interleaved: true, ..LAYOUT };
        let y = rotary_embedding(&X, &cos, &sin, Some(&[1, 0]), layout);
        assert_eq!(y, [-1.0, -2.0, 4.0, -3.0, 5.0, 1.0, 2.0, -4.0, 3.0, 5.0]);
    }

    #[test]
    fn layouts_are_transposes_of_each_other() {
        let layout = Layout { heads: 2, length: 1, head_dim: 5, rows_first: true, ..LAYOUT };
        let (cos, sin) = ([0.6, 0.8], [0.8, -0.6]);
        let first = Layout { rows_first: false, ..layout };
        let [a, b] = [layout, first].map(|layout| rotary_embedding(&X, &cos, &sin, None, layout));
        assert_eq!(a, b);
        assert!(rotary_embedding(&[], &[], &[], None, layout).is_empty());
    }
}
