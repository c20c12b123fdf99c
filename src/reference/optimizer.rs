//! Steps of optimizers, in f64.

/// What a step of AdamW takes beside its state.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// β₁ and β₂.
    pub betas: [f64; 2],
    /// ε.
    pub epsilon: f64,
    /// η.
    pub rate: f64,
    /// λ.
    pub decay: f64,
}

/// Step t, from 1 on, of Loshchilov and Hutter 2019, algorithm 2, on the state \[p, m, v\], element by element, with a schedule of
/// 1 and the decay η·λ as PyTorch has it.
///
/// # Panics
/// If the slices have different lengths.
pub fn adamw(settings: AdamW, t: u32, gradient: &[f64], [p, m, v]: [Vec<f64>; 3]) -> [Vec<f64>; 3] {
    let AdamW { betas: [beta_1, beta_2], epsilon, rate, decay } = settings;
    let mut after = [Vec::new(), Vec::new(), Vec::new()];
    // 1 − βᵗ by multiplying.
    let correction = |beta: f64| 1.0 - (0..t).fold(1.0, |power, _| power * beta);
    for [x, name] in [[p.len(), 0], [m.len(), 1], [v.len(), 2]] {
        super::expect_length(["adamw: p", "adamw: m", "adamw: v"][name], x, gradient.len());
    }
    for (i, g) in gradient.iter().enumerate() {
        let mean = beta_1 * m[i] + (1.0 - beta_1) * g;
        let square = beta_2 * v[i] + (1.0 - beta_2) * g.powi(2);
        let (unbiased, spread) = (mean / correction(beta_1), square / correction(beta_2));
        after[0].push(p[i] - rate * (unbiased / (spread.sqrt() + epsilon) + decay * p[i]));
        after[1].push(mean);
        after[2].push(square);
    }
    after
}

/// What a step of stochastic gradient descent takes beside its state.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// μ; 0 for none.
    pub momentum: f64,
    /// Nesterov's rule.
    pub nesterov: bool,
    /// η.
    pub rate: f64,
    /// λ.
    pub decay: f64,
}

/// A step on the state \[p, b\], element by element: `torch.optim.SGD` without dampening. Without momentum b becomes the
/// gradient with its decay.
///
/// # Panics
/// If the slices have different lengths.
pub fn sgd(settings: Sgd, gradient: &[f64], [p, b]: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
    super::expect_length("sgd: p", p.len(), gradient.len());
    super::expect_length("sgd: b", b.len(), gradient.len());
    let Sgd { momentum, nesterov, rate, decay } = settings;
    let decayed: Vec<f64> = gradient.iter().zip(&p).map(|(g, p)| g + decay * p).collect();
    let velocity: Vec<f64> = decayed.iter().zip(&b).map(|(g, b)| g + momentum * b).collect();
    let ahead = |i: usize| if nesterov { decayed[i] + momentum * velocity[i] } else { velocity[i] };
    let parameter = p.iter().enumerate().map(|(i, p)| p - rate * ahead(i)).collect();
    [parameter, velocity]
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_near;
    use super::*;

    #[test]
    fn by_hand() {
        // The first step of AdamW goes by the gradient's sign.
        let settings = AdamW { betas: [0.9, 0.999], epsilon: 0.0, rate: 0.5, decay: 0.25 };
        let [p, m, v] = adamw(settings, 1, &[4.0, -0.01], [vec![2.0, 0.0], vec![0.0; 2], vec![0.0; 2]]);
        assert_near(&p, &[2.0 - 0.25 - 0.5, 0.5], 1e-12);
        assert_near(&m, &[0.4, -0.001], 1e-12);
        assert_near(&v, &[0.016, 1e-7], 1e-12);
        // g = 3 + 0.5·2 = 4, b = 4 + 0.5·6 = 7; by Nesterov 4 + 0.5·7 = 7.5.
        let settings = Sgd { momentum: 0.5, nesterov: false, rate: 0.1, decay: 0.5 };
        let [p, b] = sgd(settings, &[3.0], [vec![2.0], vec![6.0]]);
        assert_near(&[p[0], b[0]], &[2.0 - 0.7, 7.0], 1e-12);
        let [p, _] = sgd(Sgd { nesterov: true, ..settings }, &[3.0], [vec![2.0], vec![6.0]]);
        assert_near(&p, &[2.0 - 0.1 * 7.5], 1e-12);
        let [p, _] = sgd(Sgd { momentum: 0.0, ..settings }, &[3.0], [vec![2.0], vec![6.0]]);
        assert_near(&p, &[1.6], 1e-12);
    }
}
