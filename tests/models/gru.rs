//! GRUs: the directions and the cell do the same, sizes of 0, refusals.

use super::bahdanau::assert_near;
use crate::common::{self, assert_refused};
use attentive::kernel::Inputs;
use attentive::layers::{Gru, GruCell, GruConfig, GruDirection, GruOptions, HostGru, HostLinear};
use attentive::recording::Value;
use attentive::{DType, Device, Recording, Result, Tensor};

/// Weights of one direction.
struct Direction([Vec<f32>; 4]);

impl Direction {
    fn new(seed: u64, input_dim: usize, hidden_dim: usize) -> Self {
        let mut random = Inputs::new(seed);
        let gates = 3 * hidden_dim;
        Self([gates * input_dim, gates * hidden_dim, gates, gates].map(|count| random.values(count, 0.4)))
    }

    fn host(&self) -> HostGru<'_> {
        let [input, hidden, input_bias, hidden_bias] = &self.0;
        HostGru {
            input: HostLinear { weight: input, bias: Some(input_bias) },
            hidden: HostLinear { weight: hidden, bias: Some(hidden_bias) },
        }
    }
}

fn gru(device: &Device, direction: GruDirection, weights: &[Direction], sizes: [usize; 2]) -> Result<Gru> {
    let [input_dim, hidden_dim] = sizes;
    let hosts: Vec<HostGru<'_>> = weights.iter().map(Direction::host).collect();
    Gru::new(device, GruConfig { input_dim, hidden_dim, direction, dtype: DType::F32 }, &hosts)
}

/// The output and the last state of one direction.
fn run(device: &Device, gru: &Gru, x: &[f32], shape: [usize; 3], lengths: Option<&[u32]>) -> [Vec<f32>; 2] {
    let mut recording = Recording::new(device);
    let x = recording.tensor(&Tensor::from_f32(device, shape, x).unwrap()).unwrap();
    let options = GruOptions { lengths, ..Default::default() };
    let values = gru.record(&mut recording, &x, &options).unwrap();
    let state = values.states.last().unwrap();
    recording.output(&values.output).unwrap();
    recording.output(state).unwrap();
    let outputs = recording.run().unwrap();
    [&values.output, state].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap())
}

#[test]
fn directions_and_cells_do_the_same() {
    let (batch, length, sizes @ [input_dim, hidden_dim]) = (3, 5, [4, 6]);
    let lengths = [5, 0, 3];
    for device in common::devices() {
        let mut random = Inputs::new(3);
        let mut x = random.values(batch * length * input_dim, 1.0);
        for (item, &steps) in x.chunks_exact_mut(length * input_dim).zip(&lengths) {
            item[steps as usize * input_dim..].fill(f32::NAN);
        }
        let weights = || Direction::new(1, input_dim, hidden_dim);
        let shape = [batch, length, input_dim];
        let forward = gru(&device, GruDirection::Forward, &[weights()], sizes).unwrap();
        let backward = gru(&device, GruDirection::Backward, &[weights()], sizes).unwrap();
        // Each sequence the other way round, up to its own end.
        let mut reversed = x.clone();
        for (row, &steps) in lengths.iter().enumerate() {
            let at = |step: usize| (row * length + step) * input_dim;
            for step in 0..steps as usize {
                let from = at(steps as usize - 1 - step);
                reversed[at(step)..][..input_dim].copy_from_slice(&x[from..][..input_dim]);
            }
        }
        let [output, state] = run(&device, &forward, &x, shape, Some(&lengths));
        let [other_output, other_state] = run(&device, &backward, &reversed, shape, Some(&lengths));
        assert_eq!(state, other_state, "{}", device.name());
        // A cell, a step and a sequence at a time; its input in two pieces.
        let cell = GruCell::new(&device, &[1, 3], hidden_dim, &weights().host(), DType::F32).unwrap();
        for (row, &steps) in lengths.iter().enumerate() {
            let steps = steps as usize;
            let mut before = Tensor::zeros(&device, [1, hidden_dim], DType::F32).unwrap();
            for step in 0..length {
                let at = (row * length + step) * hidden_dim;
                if step >= steps {
                    assert!(output[at..][..hidden_dim].iter().all(|&x| x == 0.0));
                    assert!(other_output[at..][..hidden_dim].iter().all(|&x| x == 0.0));
                    continue;
                }
                let mut recording = Recording::new(&device);
                let state = recording.tensor(&before).unwrap();
                let (first, rest) = x[(row * length + step) * input_dim..][..input_dim].split_at(1);
                let [first, rest] = [first, rest].map(|part| {
                    let tensor = Tensor::from_f32(&device, [1, part.len()], part).unwrap();
                    recording.tensor(&tensor).unwrap()
                });
                let state = cell.record(&mut recording, &[&first, &rest], &state).unwrap();
                recording.output(&state).unwrap();
                before = recording.run().unwrap().tensor(&state).unwrap();
                let after = before.to_f32().unwrap();
                assert_near(&device, "a cell's state", &after, &output[at..][..hidden_dim], 0.0, 1e-6);
                let other = (row * length + steps - 1 - step) * hidden_dim;
                assert_eq!(
                    output[at..][..hidden_dim],
                    other_output[other..][..hidden_dim],
                    "{}",
                    device.name()
                );
            }
            let last = &state[row * hidden_dim..][..hidden_dim];
            assert_near(&device, "the last state", &before.to_f32().unwrap(), last, 0.0, 1e-6);
        }
    }
}

#[test]
fn grus_with_sizes_of_0() {
    for device in common::devices() {
        for [batch, length, input_dim, hidden_dim] in [[0, 3, 4, 5], [2, 0, 4, 5], [2, 3, 0, 5], [2, 3, 4, 0]]
        {
            let weights =
                [Direction::new(1, input_dim, hidden_dim), Direction::new(2, input_dim, hidden_dim)];
            let gru = gru(&device, GruDirection::Bidirectional, &weights, [input_dim, hidden_dim]).unwrap();
            let shape = [batch, length, input_dim];
            let [output, state] = run(&device, &gru, &vec![1.0; shape.iter().product()], shape, None);
            assert_eq!(output.len(), batch * length * 2 * hidden_dim);
            assert!(output.iter().all(|x| x.is_finite() && *x != 0.0), "{}: {output:?}", device.name());
            assert_eq!(state.len(), batch * hidden_dim);
            assert!(length > 0 || state.iter().all(|&x| x == 0.0), "{}: {state:?}", device.name());
        }
        // Without a state no step is recorded, however many there are.
        for [batch, hidden_dim] in [[0, 5], [0, 0]] {
            let weights = [Direction::new(1, 4, hidden_dim)];
            let gru = gru(&device, GruDirection::Backward, &weights, [4, hidden_dim]).unwrap();
            let [output, state] = run(&device, &gru, &[], [batch, 1 << 31, 4], None);
            assert!(output.is_empty() && state.is_empty(), "{}", device.name());
        }
    }
}

#[test]
fn grus_refuse_what_does_not_fit() {
    let device = Device::cpu();
    let sizes = [4, 6];
    let weights = || Direction::new(1, 4, 6);
    let both = GruDirection::Bidirectional;
    assert_refused(gru(&device, both, &[weights()], sizes), &["weights", "2 directions", "1"]);
    let narrow = Direction::new(1, 3, 6);
    assert_refused(
        gru(&device, GruDirection::Forward, &[narrow], sizes),
        &["input.weight", "[18, 4]", "54 elements"],
    );
    let mut short = weights();
    short.0[2].pop();
    assert_refused(
        gru(&device, GruDirection::Forward, &[short], sizes),
        &["input.bias", "[18]", "17 elements"],
    );
    let small = Direction::new(1, 4, 5);
    assert!(gru(&device, GruDirection::Forward, &[small], sizes).is_err());
    assert!(gru(&device, GruDirection::Forward, &[weights()], [usize::MAX, 6]).is_err());
    assert!(gru(&device, GruDirection::Forward, &[weights()], [4, usize::MAX]).is_err());

    let none = HostLinear { weight: &[], bias: None };
    let config =
        GruConfig { input_dim: 0, hidden_dim: 1 << 62, direction: GruDirection::Forward, dtype: DType::F32 };
    let huge = Gru::new(&device, config, &[HostGru { input: none, hidden: none }]);
    assert_refused(huge, &["weight", "4611686018427387904]", "0 elements"]);

    let gru = gru(&device, both, &[weights(), weights()], sizes).unwrap();
    let mut recording = Recording::new(&device);
    let mut value = |shape: &[usize]| {
        let tensor = Tensor::zeros(&device, shape, DType::F32).unwrap();
        recording.tensor(&tensor).unwrap()
    };
    let (x, narrow, flat) = (value(&[2, 3, 4]), value(&[2, 3, 5]), value(&[2, 4]));
    let (state, other) = (value(&[2, 6]), value(&[3, 6]));
    let mut record = |x: &Value, options: GruOptions<'_>| gru.record(&mut recording, x, &options).map(|_| ());
    let lengths = |lengths| GruOptions { lengths: Some(lengths), ..Default::default() };
    assert_refused(record(&narrow, GruOptions::default()), &["x", "[batch, length, 4]", "[2, 3, 5]"]);
    assert_refused(record(&flat, GruOptions::default()), &["x", "[2, 4]"]);
    assert_refused(record(&x, lengths(&[3])), &["lengths", "2 sequences", "[3]"]);
    assert_refused(record(&x, lengths(&[3, 4])), &["lengths", "at most 3", "[3, 4]"]);
    let initial = [&state];
    let options = GruOptions { initial: Some(&initial), ..Default::default() };
    assert_refused(record(&x, options), &["initial states", "2 directions", "1"]);
    let initial = [&state, &other];
    let options = GruOptions { initial: Some(&initial), ..Default::default() };
    assert_refused(record(&x, options), &["initial state", "[2, 6]", "[3, 6]"]);

    assert!(GruCell::new(&device, &[1, 2], 6, &weights().host(), DType::F32).is_err());
    let cell = GruCell::new(&device, &[1, 3], 6, &weights().host(), DType::F32).unwrap();
    let [one, three] = [[2, 1], [2, 3]].map(|shape| {
        let tensor = Tensor::zeros(&device, shape, DType::F32).unwrap();
        recording.tensor(&tensor).unwrap()
    });
    assert_refused(cell.record(&mut recording, &[&one], &state), &["2 values", "1"]);
    assert_refused(cell.record(&mut recording, &[&one, &one], &state), &["an input", "[2, 3]", "[2, 1]"]);
    assert_refused(cell.record(&mut recording, &[&one, &three], &other), &["an input", "[3, 1]"]);
    assert!(cell.record(&mut recording, &[&one, &three], &three).is_err());
    cell.record(&mut recording, &[&one, &three], &state).unwrap();
}
