//! Sums, differences and products element by element.

use super::expect_length;

/// `operation` on each element of a and of b, both broadcast to `dims` by NumPy's rule; returns `dims`. Each element's
/// indices are counted up as an odometer does, and looked up in both.
///
/// # Panics
/// If a slice has another length than its sizes say.
pub fn binary(
    operation: impl Fn(f64, f64) -> f64,
    (a, a_dims): (&[f32], &[usize]),
    (b, b_dims): (&[f32], &[usize]),
    dims: &[usize],
) -> Vec<f64> {
    expect_length("binary: a", a.len(), a_dims.iter().product());
    expect_length("binary: b", b.len(), b_dims.iter().product());
    let elements = dims.iter().product();
    let mut y = Vec::with_capacity(elements);
    let mut indices = vec![0; dims.len()];
    for _ in 0..elements {
        let at = |values: &[f32], sizes: &[usize]| {
            let own = &indices[indices.len() - sizes.len()..];
            let place = own.iter().zip(sizes).fold(0, |place, (&index, &size)| place * size + index % size);
            f64::from(values[place])
        };
        y.push(operation(at(a, a_dims), at(b, b_dims)));
        for (index, &size) in indices.iter_mut().zip(dims).rev() {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_repeated() {
        let x: Vec<f32> = (0..8).map(|value| value as f32).collect();
        let by_channel =
            binary(|a, b| a * b, (&x, &[1, 2, 2, 2]), (&[2.0, 3.0], &[1, 2, 1, 1]), &[1, 2, 2, 2]);
        assert_eq!(by_channel, [0.0, 2.0, 4.0, 6.0, 12.0, 15.0, 18.0, 21.0]);
        let by_column = binary(|a, b| a - b, (&x[..4], &[2, 2]), (&[2.0, 3.0], &[2]), &[2, 2]);
        assert_eq!(by_column, [-2.0, -2.0, 0.0, 0.0]);
        let both = binary(|a, b| a + b, (&[1.0, 2.0], &[2, 1]), (&[10.0, 20.0, 30.0], &[3]), &[2, 3]);
        assert_eq!(both, [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
        assert!(binary(|a, _| a, (&[], &[0, 3]), (&[1.0], &[]), &[0, 3]).is_empty());
    }
}
