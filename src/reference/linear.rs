//! Linear layers: a matrix product by a triple loop, with its epilogue.

use super::expect_length;

/// How a weight matrix lies in memory; K is the number of inputs, N that of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[N, K]`, one row for each output: the product is x·Wᵀ (PyTorch's `nn.Linear`).
    OutIn,
    /// `[K, N]`, one row for each input: the product is x·W (TensorFlow's `Dense`, GPT-2's `Conv1D`).
    InOut,
}

/// The sizes of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// M: the rows of x and of the output.
    pub rows: usize,
    /// K: the columns of x.
    pub inputs: usize,
    /// N: the columns of the output.
    pub outputs: usize,
}

/// y\[m, n\] = activation(Σₖ x\[m, k\]·w\[n, k\] + bias\[n\]) + residual\[m, n\]; returns `[M, N]`.
///
/// With [`WeightLayout::InOut`] the weight is read as w\[k, n\]. The order of the epilogue (bias, activation,
/// residual) is that of the feed-forward sublayer in Vaswani et al. 2017 (*Attention Is All You Need*),
/// equation 2 and section 3.1. NaN and infinity go where IEEE 754 takes them, and stay in their row or column.
///
/// Lengths: `x` M·K, `w` N·K, `bias` N, `residual` M·N. K = 0 gives activation(bias) + residual. For no
/// activation pass [`identity`](super::activation::identity).
///
/// # Panics
/// If a slice has another length.
pub fn linear(
    x: &[f32],
    w: &[f32],
    layout: WeightLayout,
    bias: Option<&[f32]>,
    activation: fn(f64) -> f64,
    residual: Option<&[f32]>,
    dims: Dims,
) -> Vec<f64> {
    let Dims { rows, inputs, outputs } = dims;
    expect_length("linear: x", x.len(), rows * inputs);
    expect_length("linear: w", w.len(), outputs * inputs);
    if let Some(bias) = bias {
        expect_length("linear: bias", bias.len(), outputs);
    }
    if let Some(residual) = residual {
        expect_length("linear: residual", residual.len(), rows * outputs);
    }
    let mut y = Vec::with_capacity(rows * outputs);
    for m in 0..rows {
        for n in 0..outputs {
            let mut sum = 0.0;
            for k in 0..inputs {
                let weight = match layout {
                    WeightLayout::OutIn => w[n * inputs + k],
                    WeightLayout::InOut => w[k * outputs + n],
                };
                sum += f64::from(x[m * inputs + k]) * f64::from(weight);
            }
            let biased = sum + bias.map_or(0.0, |b| f64::from(b[n]));
            y.push(activation(biased) + residual.map_or(0.0, |r| f64::from(r[m * outputs + n])));
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::super::activation::{identity, relu};
    use super::super::testing::{Random, assert_near};
    use super::*;

    const DIMS: Dims = Dims { rows: 2, inputs: 3, outputs: 2 };
    const X: [f32; 6] = [1.0, 2.0, 3.0, -1.0, 0.5, 2.0];
    const W: [f32; 6] = [1.0, 0.0, -1.0, 2.0, 1.0, 0.5];

    #[test]
    fn by_hand() {
        // Rows of W as outputs: [1, 0, -1] and [2, 1, 0.5].
        let y = linear(&X, &W, WeightLayout::OutIn, None, identity, None, DIMS);
        assert_eq!(y, [-2.0, 5.5, -3.0, -0.5]);
        // The same numbers as [3, 2]: columns [1, -1, 1] and [0, 2, 0.5].
        let y = linear(&X, &W, WeightLayout::InOut, None, identity, None, DIMS);
        assert_eq!(y, [2.0, 5.5, 0.5, 2.0]);
    }

    #[test]
    fn the_epilogue_is_bias_then_activation_then_residual() {
        let (bias, residual) = ([1.0, -1.0], [-10.0, 10.0, 20.0, 0.25]);
        let y = linear(&X, &W, WeightLayout::OutIn, Some(&bias), relu, Some(&residual), DIMS);
        // -2 + 1 = -1 → 0 → -10; 5.5 - 1 = 4.5 → 14.5; -3 + 1 → 0 → 20; -0.5 - 1 → 0 → 0.25.
        assert_eq!(y, [-10.0, 14.5, 20.0, 0.25]);
    }

    #[test]
    fn the_layouts_are_transposes_of_each_other() {
        let (dims, mut random) = (Dims { rows: 4, inputs: 7, outputs: 5 }, Random(1));
        let (x, w) = (random.values(28), random.values(35));
        let transposed: Vec<f32> = (0..35).map(|i| w[(i % 5) * 7 + i / 5]).collect();
        let a = linear(&x, &w, WeightLayout::OutIn, None, identity, None, dims);
        let b = linear(&x, &transposed, WeightLayout::InOut, None, identity, None, dims);
        assert_eq!(a, b);
        // Linear in x: twice the input, twice the output.
        let doubled: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
        let c = linear(&doubled, &w, WeightLayout::OutIn, None, identity, None, dims);
        assert_near(&c, &a.iter().map(|a| 2.0 * a).collect::<Vec<_>>(), 0.0);
    }

    #[test]
    fn nan_stays_in_its_row() {
        let mut x = X;
        x[1] = f32::NAN;
        let y = linear(&x, &W, WeightLayout::OutIn, None, identity, None, DIMS);
        // 0·NaN is NaN too.
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == -3.0 && y[3] == -0.5);
    }

    #[test]
    fn sizes_of_zero() {
        let dims = Dims { rows: 2, inputs: 0, outputs: 2 };
        let y = linear(&[], &[], WeightLayout::OutIn, Some(&[3.0, 4.0]), identity, None, dims);
        assert_eq!(y, [3.0, 4.0, 3.0, 4.0]);
        let dims = Dims { rows: 0, inputs: 3, outputs: 2 };
        assert!(linear(&[], &W, WeightLayout::OutIn, None, identity, None, dims).is_empty());
    }

    #[test]
    #[should_panic(expected = "linear: bias must have 2 elements, but has 3")]
    fn a_wrong_length_is_named() {
        linear(&X, &W, WeightLayout::OutIn, Some(&[0.0; 3]), identity, None, DIMS);
    }
}
