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

/// The gradients of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct GruStepGradient {
    /// `[B, 3H]`: of the gates' sums over the input.
    pub of_x_gates: Vec<f64>,
    /// `[B, 3H]`: of those over the state.
    pub of_h_gates: Vec<f64>,
    /// `[B, H]`: of the state before, but for what goes through its gates.
    pub of_state: Vec<f64>,
}

/// The gradients of Σ upstream · h' for [`gru_step`] with H = the units of one row: upstream and h are `[H]`, the gates `[3H]`.
///
/// By forward differentiation (Wengert 1964): each of a unit's seven inputs is moved by itself, and its motion followed to the new
/// state. A NaN among a unit's inputs or in its upstream makes all of its gradients NaN.
///
/// # Panics
/// If a slice has another length.
pub fn gru_step_gradient(x_gates: &[f32], h_gates: &[f32], h: &[f32], upstream: &[f64]) -> GruStepGradient {
    let units = h.len();
    expect_length("gru gradient: x_gates", x_gates.len(), 3 * units);
    expect_length("gru gradient: h_gates", h_gates.len(), 3 * units);
    expect_length("gru gradient: upstream", upstream.len(), units);
    let mut found = GruStepGradient {
        of_x_gates: vec![0.0; 3 * units],
        of_h_gates: vec![0.0; 3 * units],
        of_state: vec![0.0; units],
    };
    for (unit, &upstream) in upstream.iter().enumerate() {
        let at = |gates: &[f32], gate: usize| f64::from(gates[gate * units + unit]);
        let values = [
            at(x_gates, 0),
            at(x_gates, 1),
            at(x_gates, 2),
            at(h_gates, 0),
            at(h_gates, 1),
            at(h_gates, 2),
            h[unit].into(),
        ];
        let strange = upstream.is_nan() || values.iter().any(|value| value.is_nan());
        let of = |moved: usize| {
            // A value and how fast it moves.
            let input = |place: usize| [values[place], f64::from(u8::from(place == moved))];
            let plus = |[a, da]: [f64; 2], [b, db]: [f64; 2]| [a + b, da + db];
            let times = |[a, da]: [f64; 2], [b, db]: [f64; 2]| [a * b, da * b + a * db];
            let gate = |[x, dx]: [f64; 2]| [sigmoid(x), dx * sigmoid(x) * sigmoid(-x)];
            let [reset, update] = [0, 1].map(|place| gate(plus(input(place), input(place + 3))));
            let [sum, motion] = plus(input(2), times(reset, input(5)));
            let new = [sum.tanh(), motion / sum.cosh().powi(2)];
            let kept = [1.0 - update[0], -update[1]];
            upstream * plus(times(kept, new), times(update, input(6)))[1]
        };
        let of = |moved: usize| if strange { f64::NAN } else { of(moved) };
        for gate in 0..3 {
            found.of_x_gates[gate * units + unit] = of(gate);
            found.of_h_gates[gate * units + unit] = of(gate + 3);
        }
        found.of_state[unit] = of(6);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, assert_near, coarse_values, numeric_gradient};
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

    #[test]
    fn gradients_are_central_differences() {
        let (units, mut random) = (3, Random(5));
        let all = coarse_values(&mut random, 7 * units);
        let upstream: Vec<f64> = random.values(units).into_iter().map(f64::from).collect();
        let loss = |all: &[f32]| -> f64 {
            let (x, rest) = all.split_at(3 * units);
            let (h_gates, h) = rest.split_at(3 * units);
            gru_step(x, h_gates, h, units).iter().zip(&upstream).map(|(h, u)| h * u).sum()
        };
        let found =
            gru_step_gradient(&all[..3 * units], &all[3 * units..6 * units], &all[6 * units..], &upstream);
        let got = [found.of_x_gates, found.of_h_gates, found.of_state].concat();
        assert_near(&got, &numeric_gradient(&all, loss), 1e-7);
    }

    #[test]
    fn gradients_at_ends_and_of_nan() {
        let nan = f32::NAN;
        // An update of 1 gives all to the state before; a new state at its end gives nothing to anything.
        let found = gru_step_gradient(&[0.0, 800.0, 0.5], &[0.0, 0.0, 2.0], &[3.0], &[2.0]);
        assert_near(&found.of_state, &[2.0], 1e-15);
        assert_near(&[found.of_x_gates, found.of_h_gates].concat(), &[0.0; 6], 1e-15);
        let found = gru_step_gradient(&[0.0, -800.0, 1e30], &[0.0, 0.0, 2.0], &[3.0], &[2.0]);
        assert_near(&[found.of_state, found.of_x_gates, found.of_h_gates].concat(), &[0.0; 7], 1e-15);
        for (x, h, upstream) in [(nan, 1.0, 1.0), (0.0, nan, 1.0), (0.0, 1.0, f64::NAN)] {
            let found = gru_step_gradient(&[x, 0.0, 0.0], &[0.0; 3], &[h], &[upstream]);
            assert_near(&[found.of_state, found.of_x_gates, found.of_h_gates].concat(), &[f64::NAN; 7], 0.0);
        }
    }
}
