//! Gradients of GRUs, by all that may be used of them, and of additive and Luong's attention, against central differences in f64.

use attentive::kernel::Inputs;
use attentive::layers::{
    Gru, GruCell, GruConfig, GruDirection, GruOptions, HostGru, HostLinear, Parameter, Parameters,
};
use attentive::ops::{
    AdditiveAttention, AdditiveAttentionWeights, HostAdditiveAttention, LuongAttention, LuongScore,
    ScoredAttentionValues, concat,
};
use attentive::recording::Value;
use attentive::reference::additive::{Dims, additive};
use attentive::reference::attention::{self as scaled, Options, Strided, View};
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

/// Four queries' rows on two texts.
const ATTENDED: Dims = Dims { items: 2, queries: 4, keys: 5, width: 3, value_dim: 2 };
const LENGTHS: [u32; 2] = [3, 5];

/// Multiples of ¼, so that what is projected is exact in f32.
fn quarters(count: usize) -> Vec<f32> {
    let values = Inputs::new(count as u64 + 3).values(count, 1.0);
    values.into_iter().map(|value| (value * 4.0).round() / 4.0).collect()
}

/// W_q of 2 columns, W_k of 4, b and w.
fn score_weights() -> [Vec<f32>; 4] {
    let width = ATTENDED.width;
    [quarters(2 * width), quarters(4 * width), quarters(width), vec![1.5, -0.75, 1.25]]
}

fn additive_weights(device: &Device) -> AdditiveAttentionWeights {
    let [query_weight, key_weight, bias, score_weight] = &score_weights();
    let host = HostAdditiveAttention { query_weight, key_weight, bias: Some(bias), score_weight };
    AdditiveAttentionWeights::new(device, [2, 4], &host, DType::F32).unwrap()
}

/// x times Wᵀ, plus b.
fn projected(x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let columns = weight.len() / ATTENDED.width;
    let row = |x: &[f32]| -> Vec<f32> {
        let rows = weight.chunks_exact(columns).enumerate();
        rows.map(|(a, row)| {
            row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + bias.map_or(0.0, |bias| bias[a])
        })
        .collect()
    };
    x.chunks_exact(columns).flat_map(row).collect()
}

fn attended() -> Vec<Input> {
    // Two rows of two queries for each text.
    let Dims { items, keys, value_dim, .. } = ATTENDED;
    vec![
        Input::new("query", &[4, 2, 2]),
        Input::new("key", &[items, keys, 4]),
        Input::new("value", &[items, keys, value_dim]),
    ]
}

/// The weights of an attention in a row, behind the output or without.
fn both(recording: &mut Recording, made: &ScoredAttentionValues, with_output: bool) -> Result<Value> {
    let flat = |value: &Value| value.reshape([value.shape().elements() as usize]);
    let weights = flat(made.weights.as_ref().unwrap())?;
    if with_output { concat(recording, &[&flat(&made.output)?, &weights], 0) } else { Ok(weights) }
}

#[test]
fn additive_attention() {
    let [query_weight, key_weight, bias, score_weight] = score_weights();
    let oracle = |values: &[Vec<f32>], lengths: Option<&[u32]>| {
        let q = projected(&values[0], &query_weight, None);
        let k = projected(&values[1], &key_weight, Some(&bias));
        additive(&q, &k, &values[2], &score_weight, lengths, ATTENDED).output
    };
    check(
        "additive attention",
        &attended(),
        |recording, values| {
            let weights = additive_weights(recording.device());
            let attention = AdditiveAttention::new(&weights);
            Ok(attention.record(recording, &values[0], &values[1], &values[2])?.output)
        },
        |values| oracle(values, None),
    );
    // As a decoder does: keys once, then steps over them, with the weights beside.
    check(
        "additive attention, projected",
        &attended(),
        |recording, values| {
            let weights = additive_weights(recording.device());
            let keys = weights.project_keys(recording, &values[1])?;
            let attention = AdditiveAttention::new(&weights).key_lengths(&LENGTHS);
            let first = attention.record_projected(recording, &values[0], &keys, &values[2])?.output;
            let second =
                attention.with_weights().record_projected(recording, &values[0], &keys, &values[2])?;
            assert!(second.weights.is_some());
            concat(recording, &[&first, &second.output], 0)
        },
        |values| oracle(values, Some(&LENGTHS)).repeat(2),
    );
    // The weights have gradients of their own, alone and beside the output's.
    for with_output in [false, true] {
        check(
            "additive attention's weights",
            &attended(),
            |recording, values| {
                let weights = additive_weights(recording.device());
                let attention = AdditiveAttention::new(&weights).key_lengths(&LENGTHS).with_weights();
                let made = attention.record(recording, &values[0], &values[1], &values[2])?;
                both(recording, &made, with_output)
            },
            |values| {
                let q = projected(&values[0], &query_weight, None);
                let k = projected(&values[1], &key_weight, Some(&bias));
                let made = additive(&q, &k, &values[2], &score_weight, Some(&LENGTHS), ATTENDED);
                if with_output { [made.output, made.weights].concat() } else { made.weights }
            },
        );
    }
    // One value for both, as annotations are.
    check(
        "additive attention to x",
        &[Input::new("query", &[2, 4, 2]), Input::new("x", &[2, 5, 4])],
        |recording, values| {
            let weights = additive_weights(recording.device());
            let lengths = attentive::Tensor::from_u32(recording.device(), [2], &LENGTHS)?;
            let lengths = recording.tensor(&lengths)?;
            let attention = AdditiveAttention::new(&weights).key_lengths_value(&lengths);
            Ok(attention.record(recording, &values[0], &values[1], &values[1])?.output)
        },
        |values| {
            let q = projected(&values[0], &query_weight, None);
            let k = projected(&values[1], &key_weight, Some(&bias));
            let dims = Dims { value_dim: 4, ..ATTENDED };
            additive(&q, &k, &values[1], &score_weight, Some(&LENGTHS), dims).output
        },
    );
    for [batch, queries, items, keys] in [[0, 2, 0, 3], [2, 0, 2, 3], [2, 1, 2, 0]] {
        check_empty(
            "additive attention",
            &[&[batch, queries, 2], &[items, keys, 4], &[items, keys, 2]],
            |recording, values| {
                let weights = additive_weights(recording.device());
                let attention = AdditiveAttention::new(&weights);
                Ok(attention.record(recording, &values[0], &values[1], &values[2])?.output)
            },
        );
    }
}

#[test]
fn additive_attentions_padding_has_no_part() {
    let Dims { items, keys, width, value_dim, .. } = ATTENDED;
    for device in common::devices() {
        let weights = additive_weights(&device);
        let mut recording = Recording::training(&device, []).unwrap();
        let shapes = [vec![4, 2, 2], vec![items, keys, width], vec![items, keys, value_dim]];
        let mut values = Vec::new();
        for (place, shape) in shapes.iter().enumerate() {
            let mut input = Input::new("padded", shape).values().to_vec();
            if place > 0 {
                let columns = shape[2];
                input[3 * columns..5 * columns].fill(f32::NAN);
            }
            let value = common::value(&mut recording, shape, &input);
            recording.track(&value).unwrap();
            values.push(value);
        }
        let attention = AdditiveAttention::new(&weights).key_lengths(&LENGTHS).with_weights();
        let made = attention.record_projected(&mut recording, &values[0], &values[1], &values[2]).unwrap();
        let made = both(&mut recording, &made, true).unwrap();
        let shape = made.shape().dims().to_vec();
        let upstream = Input::new("upstream", &shape);
        let seed = common::value(&mut recording, &shape, upstream.values());
        let gradients = recording.backward_from(&made, &seed).unwrap();
        let found: Vec<Value> = values.iter().map(|value| gradients.of(&recording, value).unwrap()).collect();
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let outputs = recording.run().unwrap();
        for (place, gradient) in found.iter().enumerate() {
            let got = outputs.tensor(gradient).unwrap().to_f32().unwrap();
            assert!(got.iter().all(|value| value.is_finite()), "{}: {place}: {got:?}", device.name());
            if place > 0 {
                let columns = shapes[place][2];
                let (padding, others) = (3 * columns..5 * columns, &got[..3 * columns]);
                assert!(got[padding].iter().all(|&value| value == 0.0), "{}: {got:?}", device.name());
                assert!(others.iter().all(|&value| value != 0.0), "{}: {got:?}", device.name());
            }
        }
    }
}

#[test]
fn luongs_attention() {
    let (items, rows, keys, dim, value_dim) = (2, 3, 5, 4, 2);
    let dims =
        scaled::Dims { batch: items, heads: 1, heads_kv: 1, queries: rows, keys, head_dim: dim, value_dim };
    let oracle = |q: &[f32], k: &[f32], v: &[f32]| {
        let heads = |values, rows, columns| View::new(values, Strided::heads_first(1, rows, columns));
        let options = Options { scale: 1.0, key_lengths: Some(&LENGTHS), ..Options::for_head_dim(dim) };
        scaled::attention(heads(q, rows, dim), heads(k, keys, dim), heads(v, keys, value_dim), dims, options)
    };
    let inputs = |query_dim: usize| {
        [
            Input::new("query", &[items, rows, query_dim]),
            Input::new("key", &[items, keys, dim]),
            Input::new("value", &[items, keys, value_dim]),
        ]
    };
    let attend = |score: &LuongScore, recording: &mut Recording, values: &[Value]| {
        let attention = LuongAttention::new(score).key_lengths(&LENGTHS);
        Ok(attention.record(recording, &values[0], &values[1], &values[2])?.output)
    };
    check(
        "Luong's attention by products",
        &inputs(dim),
        |recording, values| attend(&LuongScore::Dot, recording, values),
        |values| oracle(&values[0], &values[1], &values[2]),
    );
    // W of [2, 4].
    let general = quarters(2 * dim);
    check(
        "Luong's general attention",
        &inputs(2),
        |recording, values| {
            let score = LuongScore::general(recording.device(), [2, dim], &general, DType::F32)?;
            attend(&score, recording, values)
        },
        |values| {
            let row = |q: &[f32]| -> Vec<f32> {
                (0..dim).map(|column| q[0] * general[column] + q[1] * general[dim + column]).collect()
            };
            let q: Vec<f32> = values[0].chunks_exact(2).flat_map(row).collect();
            oracle(&q, &values[1], &values[2])
        },
    );
    let [query_weight, key_weight, _, score_weight] = score_weights();
    let whole: Vec<f32> = query_weight
        .chunks_exact(2)
        .zip(key_weight.chunks_exact(4))
        .flat_map(|(query, key)| [query, key].concat())
        .collect();
    check(
        "Luong's attention by concatenation",
        &inputs(2),
        |recording, values| {
            let score = LuongScore::concat(recording.device(), [2, 4], &whole, &score_weight, DType::F32)?;
            attend(&score, recording, values)
        },
        |values| {
            let q = projected(&values[0], &query_weight, None);
            let k = projected(&values[1], &key_weight, None);
            let dims = Dims { queries: rows, ..ATTENDED };
            additive(&q, &k, &values[2], &score_weight, Some(&LENGTHS), dims).output
        },
    );
}
