//! Gradients of GRUs, by all that may be used of them, and of additive and Luong's attention, against central differences in f64.

use attentive::kernel::Inputs;
use attentive::layers::{
    Gru, GruCell, GruConfig, GruDirection, GruOptions, HostGru, HostLinear, Parameter, Parameters,
};
use attentive::ops::concat;
use attentive::recording::Value;
use attentive::{DType, Device, Recording, Result};

use crate::common;
use crate::gradients::{Input, assert_near, check, check_empty, numeric_gradient};

const INPUTS: usize = 3;
const UNITS: usize = 4;

/// W_ih, b_ih, W_hh and b_hh of each direction.
fn weights(directions: usize) -> Vec<[Vec<f32>; 4]> {
    let mut random = Inputs::new(directions as u64 + 40);
    let mut values = |count| -> Vec<f32> {
        random.values(count, 0.7).into_iter().map(|value| (value * 4096.0).round() / 4096.0).collect()
    };
    let gates = 3 * UNITS;
    let mut one = || [values(gates * INPUTS), values(gates), values(gates * UNITS), values(gates)];
    (0..directions).map(|_| one()).collect()
}

fn host([input, input_bias, hidden, hidden_bias]: &[Vec<f32>; 4]) -> HostGru<'_> {
    HostGru {
        input: HostLinear { weight: input, bias: Some(input_bias) },
        hidden: HostLinear { weight: hidden, bias: Some(hidden_bias) },
    }
}

fn gru(device: &Device, direction: GruDirection, weights: &[[Vec<f32>; 4]]) -> Gru {
    let config = GruConfig { input_dim: INPUTS, hidden_dim: UNITS, direction, dtype: DType::F32 };
    let host: Vec<HostGru<'_>> = weights.iter().map(host).collect();
    Gru::new(device, config, &host).unwrap()
}

/// One step in f64.
fn step(x: &[f64], state: &[f64], [input, input_bias, hidden, hidden_bias]: &[Vec<f32>; 4]) -> Vec<f64> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let sums = |x: &[f64], weight: &[f32], bias: &[f32]| -> Vec<f64> {
        let row = |(row, &bias): (&[f32], &f32)| {
            f64::from(bias) + row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>()
        };
        weight.chunks_exact(x.len()).zip(bias).map(row).collect()
    };
    let (x, h) = (sums(x, input, input_bias), sums(state, hidden, hidden_bias));
    let unit = |(unit, &before): (usize, &f64)| {
        let reset = sigmoid(x[unit] + h[unit]);
        let update = sigmoid(x[UNITS + unit] + h[UNITS + unit]);
        let new = (x[2 * UNITS + unit] + reset * h[2 * UNITS + unit]).tanh();
        (1.0 - update) * new + update * before
    };
    state.iter().enumerate().map(unit).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The output `[B, L, directions · H]`, and the last states, of each sequence by itself.
fn exact(
    x: &[f32],
    lengths: &[u32],
    length: usize,
    initial: &[Vec<f32>],
    directions: &[(&[Vec<f32>; 4], bool)],
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let columns = UNITS * directions.len();
    let mut output = vec![0.0; lengths.len() * length * columns];
    let mut states = vec![Vec::new(); directions.len()];
    for (row, &steps) in lengths.iter().enumerate() {
        for (direction, &(weights, reverse)) in directions.iter().enumerate() {
            let mut state = match initial.get(direction) {
                Some(initial) => wide(&initial[row * UNITS..][..UNITS]),
                None => vec![0.0; UNITS],
            };
            for step_of in 0..steps as usize {
                let place = if reverse { steps as usize - 1 - step_of } else { step_of };
                let at = row * length + place;
                state = step(&wide(&x[at * INPUTS..][..INPUTS]), &state, weights);
                output[at * columns + direction * UNITS..][..UNITS].copy_from_slice(&state);
            }
            states[direction].extend(state);
        }
    }
    (output, states)
}

/// What is used of a GRU's values.
#[derive(Clone, Copy, Debug)]
enum Used {
    Output,
    States,
    Both,
}

impl Used {
    fn of(self, recording: &mut Recording, output: Value, states: Vec<Value>) -> Result<Value> {
        let batch = output.shape()[0];
        let output = output.reshape([batch, output.shape()[1] * output.shape().last()])?;
        let all: Vec<&Value> = match self {
            Self::Output => return Ok(output),
            Self::States => states.iter().collect(),
            Self::Both => [&output].into_iter().chain(&states).collect(),
        };
        concat(recording, &all, 1)
    }

    fn exact(self, batch: usize, (output, states): (Vec<f64>, Vec<Vec<f64>>)) -> Vec<f64> {
        let all: Vec<Vec<f64>> = match self {
            Self::Output => vec![output],
            Self::States => states,
            Self::Both => [output].into_iter().chain(states).collect(),
        };
        let row = |row: usize| {
            all.iter().flat_map(move |values| {
                let columns = values.len() / batch;
                values[row * columns..][..columns].to_vec()
            })
        };
        (0..batch).flat_map(row).collect()
    }
}

fn reverses(direction: GruDirection) -> &'static [bool] {
    match direction {
        GruDirection::Forward => &[false],
        GruDirection::Backward => &[true],
        GruDirection::Bidirectional => &[false, true],
    }
}

#[test]
fn inputs_and_first_states_of_a_gru() {
    let (batch, length) = (3, 4);
    for (direction, lengths, used) in [
        (GruDirection::Forward, None, Used::Output),
        (GruDirection::Forward, Some([4, 0, 2]), Used::Both),
        (GruDirection::Backward, Some([1, 4, 3]), Used::Output),
        (GruDirection::Backward, None, Used::States),
        (GruDirection::Bidirectional, Some([3, 1, 4]), Used::States),
        (GruDirection::Bidirectional, Some([2, 4, 3]), Used::Both),
    ] {
        let reverses = reverses(direction);
        let weights = weights(reverses.len());
        let mut inputs = vec![Input::new("x", &[batch, length, INPUTS])];
        inputs.extend(["first", "second"].map(|name| Input::new(name, &[batch, UNITS])));
        inputs.truncate(1 + reverses.len());
        let steps = lengths.unwrap_or([length as u32; 3]);
        check(
            &format!("a GRU {direction:?} of {lengths:?}, {used:?}"),
            &inputs,
            |recording, values| {
                let gru = gru(recording.device(), direction, &weights);
                let initial: Vec<&Value> = values[1..].iter().collect();
                let options =
                    GruOptions { lengths: lengths.as_ref().map(|all| &all[..]), initial: Some(&initial) };
                let made = gru.record(recording, &values[0], &options)?;
                used.of(recording, made.output, made.states)
            },
            |values| {
                let directions: Vec<_> = weights.iter().zip(reverses.iter().copied()).collect();
                used.exact(batch, exact(&values[0], &steps, length, &values[1..], &directions))
            },
        );
    }
}

/// By PyTorch's names, the gradients of all of a layer's parameters, against those of the host's arrays by those names.
#[track_caller]
fn check_parameters(
    what: &str,
    device: &Device,
    parameters: &[Parameter],
    record: impl Fn(&mut Recording) -> Result<Value>,
    (names, host): (&[String], &[Vec<f32>]),
    forward: impl Fn(&[Vec<f32>]) -> Vec<f64>,
) {
    let count = forward(host).len();
    let upstream = Inputs::new(count as u64 + 9).values(count, 1.0);
    let mut recording =
        Recording::training(device, parameters.iter().map(|parameter| &parameter.tensor)).unwrap();
    let output = record(&mut recording).unwrap();
    let seed = common::value(&mut recording, output.shape().dims(), &upstream);
    let gradients = recording.backward_from(&output, &seed).unwrap();
    let found: Vec<Value> = parameters
        .iter()
        .map(|parameter| gradients.of_parameter(&recording, &parameter.tensor).unwrap())
        .collect();
    found.iter().for_each(|gradient| recording.output(gradient).unwrap());
    let outputs = recording.run().unwrap();
    let mut seen = 0;
    for (parameter, gradient) in parameters.iter().zip(&found) {
        let got = outputs.tensor(gradient).unwrap().to_f32().unwrap();
        let columns = got.len() / parameter.tensor.shape()[0];
        for slice in &parameter.slices {
            let place = names.iter().position(|name| *name == slice.name).unwrap();
            let expected = numeric_gradient(host, place, |host| {
                forward(host).iter().zip(&upstream).map(|(y, &u)| y * f64::from(u)).sum()
            });
            // Rows and columns of the whole that are here.
            let whole = slice.shape.get(1).copied().unwrap_or(1);
            let expected: Vec<f64> = (0..slice.rows.len())
                .flat_map(|row| {
                    expected[(slice.at[0] + row) * whole + slice.at[1]..][..columns].iter().copied()
                })
                .collect();
            let rows = slice.rows.start * columns..slice.rows.end * columns;
            assert_near(&format!("{what} on {}: {}", device.name(), slice.name), &got[rows], &expected);
            seen += expected.len();
        }
    }
    assert_eq!(seen, host.iter().map(Vec::len).sum::<usize>(), "{what}");
}

#[test]
fn weights_of_a_gru() {
    let (batch, length) = (3, 4);
    let x = Input::new("x", &[batch, length, INPUTS]);
    let first = [Input::new("first", &[batch, UNITS]), Input::new("second", &[batch, UNITS])];
    let (direction, lengths) = (GruDirection::Bidirectional, [2, 4, 3]);
    let (reverses, weights) = (reverses(direction), weights(2));
    let names: Vec<String> = ["_l0", "_l0_reverse"]
        .iter()
        .flat_map(|ending| {
            ["weight_ih", "bias_ih", "weight_hh", "bias_hh"].map(|name| format!("rnn.{name}{ending}"))
        })
        .collect();
    for device in common::devices() {
        for with_first in [false, true] {
            let gru = gru(&device, direction, &weights);
            let mut parameters = Parameters::new();
            gru.add_parameters(&mut parameters, "rnn.", &["_l0", "_l0_reverse"]);
            check_parameters(
                &format!("a GRU, first states: {with_first}"),
                &device,
                &parameters.into_vec(),
                |recording| {
                    let x = common::value(recording, &[batch, length, INPUTS], x.values());
                    let initial: Vec<Value> = first
                        .iter()
                        .map(|first| common::value(recording, &[batch, UNITS], first.values()))
                        .collect();
                    let initial: Vec<&Value> = initial.iter().collect();
                    let options =
                        GruOptions { lengths: Some(&lengths), initial: with_first.then_some(&initial[..]) };
                    let made = gru.record(recording, &x, &options)?;
                    Used::Both.of(recording, made.output, made.states)
                },
                (&names, &weights.concat()),
                |host| {
                    let weights: Vec<[Vec<f32>; 4]> =
                        host.chunks_exact(4).map(|own| std::array::from_fn(|at| own[at].clone())).collect();
                    let initial = first.iter().map(|first| first.values().to_vec());
                    let initial: Vec<Vec<f32>> = initial.filter(|_| with_first).collect();
                    let directions: Vec<_> = weights.iter().zip(reverses.iter().copied()).collect();
                    Used::Both.exact(batch, exact(x.values(), &lengths, length, &initial, &directions))
                },
            );
        }
    }
}

/// Two steps of a cell on two inputs side by side.
fn two_steps(cell: &GruCell, recording: &mut Recording, values: &[Value]) -> Result<Value> {
    let state = cell.record(recording, &[&values[0], &values[1]], &values[2])?;
    let last = cell.record(recording, &[&values[0], &values[1]], &state)?;
    concat(recording, &[&state, &last], 1)
}

fn two_exact_steps(values: &[Vec<f32>], batch: usize, weights: &[Vec<f32>; 4]) -> Vec<f64> {
    let row = |row: usize| {
        let x = [&values[0][row..=row], &values[1][row * 2..][..2]].concat();
        let state = step(&wide(&x), &wide(&values[2][row * UNITS..][..UNITS]), weights);
        let last = step(&wide(&x), &state, weights);
        [state, last].concat()
    };
    (0..batch).flat_map(row).collect()
}

#[test]
fn a_gru_cell() {
    let batch = 3;
    let weights = weights(1).remove(0);
    let inputs = [
        Input::new("one", &[batch, 1]),
        Input::new("two", &[batch, 2]),
        Input::new("state", &[batch, UNITS]),
    ];
    let cell = |device: &Device| GruCell::new(device, &[1, 2], UNITS, &host(&weights), DType::F32).unwrap();
    check(
        "a GRU cell",
        &inputs,
        |recording, values| two_steps(&cell(recording.device()), recording, values),
        |values| two_exact_steps(values, batch, &weights),
    );
    let names = ["weight_ih", "bias_ih", "weight_hh", "bias_hh"].map(|name| format!("cell.{name}"));
    let values: Vec<Vec<f32>> = inputs.iter().map(|input| input.values().to_vec()).collect();
    for device in common::devices() {
        let cell = cell(&device);
        let mut parameters = Parameters::new();
        cell.add_parameters(&mut parameters, "cell.");
        check_parameters(
            "a GRU cell",
            &device,
            &parameters.into_vec(),
            |recording| {
                let sizes = [1, 2, UNITS];
                let values: Vec<Value> = values
                    .iter()
                    .zip(sizes)
                    .map(|(values, size)| common::value(recording, &[batch, size], values))
                    .collect();
                two_steps(&cell, recording, &values)
            },
            (&names, &weights),
            |host| two_exact_steps(&values, batch, &std::array::from_fn(|at| host[at].clone())),
        );
    }
}

#[test]
fn a_gru_of_nothing() {
    for (batch, length) in [(0, 3), (2, 0)] {
        check_empty("a GRU", &[&[batch, length, INPUTS], &[batch, UNITS]], |recording, values| {
            let gru = gru(recording.device(), GruDirection::Forward, &weights(1));
            let options = GruOptions { lengths: None, initial: Some(&[&values[1]]) };
            Ok(gru.record(recording, &values[0], &options)?.output)
        });
    }
    // Without a step the states are those that were given, and so is their gradient.
    for device in common::devices() {
        let mut recording = Recording::training(&device, []).unwrap();
        let x = common::zeros(&mut recording, &[2, 0, INPUTS]);
        let first = common::zeros(&mut recording, &[2, UNITS]);
        recording.track(&first).unwrap();
        let gru = gru(&device, GruDirection::Forward, &weights(1));
        let options = GruOptions { lengths: None, initial: Some(&[&first]) };
        let made = gru.record(&mut recording, &x, &options).unwrap();
        let seed = common::value(&mut recording, &[2, UNITS], &[3.0; 2 * UNITS]);
        let gradients = recording.backward_from(&made.states[0], &seed).unwrap();
        let gradient = gradients.of(&recording, &first).unwrap();
        recording.output(&gradient).unwrap();
        let outputs = recording.run().unwrap();
        assert_eq!(outputs.tensor(&gradient).unwrap().to_f32().unwrap(), [3.0; 2 * UNITS]);
    }
}

#[test]
fn a_sequences_padding_has_no_part() {
    // What is behind a sequence's end may be anything, and so may what comes of the output there.
    let (batch, length, lengths) = (2, 3, [1, 3]);
    for device in common::devices() {
        let gru = gru(&device, GruDirection::Bidirectional, &weights(2));
        let mut x = Input::new("x", &[batch, length, INPUTS]).values().to_vec();
        x[INPUTS..length * INPUTS].fill(f32::NAN);
        let mut recording = Recording::training(&device, []).unwrap();
        let x = common::value(&mut recording, &[batch, length, INPUTS], &x);
        recording.track(&x).unwrap();
        let options = GruOptions { lengths: Some(&lengths), initial: None };
        let made = gru.record(&mut recording, &x, &options).unwrap();
        let columns = 2 * UNITS;
        let mut upstream = Input::new("upstream", &[batch, length, columns]).values().to_vec();
        upstream[columns..length * columns].fill(f32::NAN);
        let seed = common::value(&mut recording, &[batch, length, columns], &upstream);
        let gradients = recording.backward_from(&made.output, &seed).unwrap();
        let gradient = gradients.of(&recording, &x).unwrap();
        recording.output(&gradient).unwrap();
        let got = recording.run().unwrap().tensor(&gradient).unwrap().to_f32().unwrap();
        assert!(got.iter().all(|value| value.is_finite()), "{}: {got:?}", device.name());
        assert!(got[INPUTS..length * INPUTS].iter().all(|&value| value == 0.0), "{}: {got:?}", device.name());
        assert!(got[..INPUTS].iter().all(|&value| value != 0.0), "{}: {got:?}", device.name());
    }
}
