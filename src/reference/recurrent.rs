//! A step of a gated recurrent unit.

use super::activation::sigmoid;
use super::expect_length;

/// The new state \[B, H\] from the gates' sums over the input and over the state, `[B, 3H]` each: r, z, n.
///
/// r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), h' = (1 − z)·n + z·h: PyTorch's `nn.GRU` (Cho et al. 2014
/// have the reset gate inside the product with the state).
///
/// # Panics
/// If a slice has another length.
pub fn gru_step(x_gates: &[f32], h_gates: &[f32], h: &[f32], units: usize) -> Vec<f64> {
    expect_length("gru: x_gates", x_gates.len(), 3 * h.len());
    expect_length("gru: h_gates", h_gates.len(), 3 * h.len());
    let unit = |(index, &before): (usize, &f32)| {
        let first = index / units * 3 * units + index % units;
        let [r, z, n] = [0, 1, 2].map(|gate| {
            let at = first + gate * units;
            [f64::from(x_gates[at]), f64::from(h_gates[at])]
        });
        let [reset, update] = [r, z].map(|[x, h]| sigmoid(x + h));
        let new = (n[0] + reset * n[1]).tanh();
        new + update * (f64::from(before) - new)
    };
    h.iter().enumerate().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_near;
    use super::*;

    #[test]
    fn by_hand() {
        // Gates at 0 are ½: n = tanh(1 + ½·2), h' = ½·n + ½·3.
        let got = gru_step(&[0.0, 0.0, 1.0], &[0.0, 0.0, 2.0], &[3.0], 1);
        assert_near(&got, &[0.5 * 2.0_f64.tanh() + 1.5], 1e-15);
        // Two units: an update of 1 keeps the state, one of 0 takes the new; a reset of 0 forgets h_n.
        let (shut, open) = (-800.0, 800.0);
        let got =
            gru_step(&[shut, open, open, shut, 0.5, 0.25], &[0.0, 0.0, 0.0, 0.0, 9.0, 9.0], &[7.0, 7.0], 2);
        assert_near(&got, &[7.0, 9.25_f64.tanh()], 1e-15);
        let got = gru_step(&[shut, shut, 0.5], &[0.0, 0.0, 9.0], &[7.0], 1);
        assert_near(&got, &[0.5_f64.tanh()], 1e-15);
    }

    #[test]
    fn nan_stays_in_its_unit() {
        let nan = f32::NAN;
        let got = gru_step(&[nan, 0.0, 0.0, 0.0, 0.0, 0.0], &[0.0; 6], &[1.0, 1.0], 2);
        assert_near(&got, &[f64::NAN, 0.5], 0.0);
    }
}
