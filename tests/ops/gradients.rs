//! Gradients of the ops, on every adapter and on the CPU device: what a recording's `backward_from` gives for a random upstream
//! gradient, against central differences of the f64 oracle. A test is a row: `check` with the inputs, the op and its oracle.

use crate::common;
use attentive::kernel::Inputs;
use attentive::ops::{LayerNorm, activate, mean, mean_max, pool, rms_norm, softmax, spatial_attention, sum};
use attentive::recording::Value;
use attentive::reference::pooling::{Dims, Kind};
use attentive::reference::{activation, normalization, pooling, reduction};
use attentive::{Activation, DType, Device, Error, Pooling, Recording, Result, Tensor};

/// One of an op's inputs.
pub struct Input {
    name: &'static str,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Input {
    /// Near normal with deviation 1, multiples of 2⁻¹², so that f32 has exactly what [`numeric_gradient`] puts beside them.
    pub fn new(name: &'static str, shape: &[usize]) -> Self {
        let count = shape.iter().product();
        let seed = name.bytes().chain(shape.iter().map(|&size| size as u8));
        let seed = seed.fold(17, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte));
        let values = Inputs::new(seed).values(count, 1.0);
        Self::of(name, shape, values.iter().map(|value| (value * 4096.0).round() / 4096.0).collect())
    }

    /// No two nearer than 1/16 to each other or than 1/32 to 0, in no order: for what has a kink, such as a maximum.
    pub fn apart(name: &'static str, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let value =
            |place: usize| ((place * 7919 + 13) % count) as f32 / 16.0 - (count / 2) as f32 / 16.0 + 0.03125;
        assert!(!count.is_multiple_of(7919) && count < 7919, "the values repeat");
        Self::of(name, shape, (0..count).map(value).collect())
    }

    /// Its values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// These values, multiples of 2⁻¹².
    pub fn of(name: &'static str, shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        Self { name, shape: shape.to_vec(), values }
    }
}

/// ∂f/∂x for each element of the input at that place, by central differences of the fourth order.
pub fn numeric_gradient(inputs: &[Vec<f32>], place: usize, f: impl Fn(&[Vec<f32>]) -> f64) -> Vec<f64> {
    const STEP: f32 = 1.0 / 256.0;
    let mut moved = inputs.to_vec();
    let mut at = |element: usize, steps: f32| {
        moved[place][element] = inputs[place][element] + steps * STEP;
        let value = f(&moved);
        moved[place][element] = inputs[place][element];
        value
    };
    let mut of =
        |element| 8.0 * (at(element, 1.0) - at(element, -1.0)) - (at(element, 2.0) - at(element, -2.0));
    (0..inputs[place].len()).map(|element| of(element) / (12.0 * f64::from(STEP))).collect()
}

/// Holds the gradients of an op against its oracle `forward`: with all inputs tracked, and with each alone.
///
/// An error of 1e-5 of the largest gradient (or of 1) is allowed: sums here are short, and f32 errs by 6e-8 a step.
#[track_caller]
pub fn check(
    name: &str,
    inputs: &[Input],
    record: impl Fn(&mut Recording, &[Value]) -> Result<Value>,
    forward: impl Fn(&[Vec<f32>]) -> Vec<f64>,
) {
    check_on(&common::devices(), name, inputs, record, forward);
}

/// [`check`] on these devices.
#[track_caller]
pub fn check_on(
    devices: &[Device],
    name: &str,
    inputs: &[Input],
    record: impl Fn(&mut Recording, &[Value]) -> Result<Value>,
    forward: impl Fn(&[Vec<f32>]) -> Vec<f64>,
) {
    let values: Vec<Vec<f32>> = inputs.iter().map(|input| input.values.clone()).collect();
    let count = forward(&values).len();
    let upstream = Inputs::new(count as u64 + 5).values(count, 1.0);
    let weighted = |values: &[Vec<f32>]| -> f64 {
        forward(values).iter().zip(&upstream).map(|(y, &u)| y * f64::from(u)).sum()
    };
    let expected: Vec<Vec<f64>> =
        (0..inputs.len()).map(|place| numeric_gradient(&values, place, weighted)).collect();
    for device in devices {
        let tensors: Vec<Tensor> = inputs
            .iter()
            .map(|input| Tensor::from_f32(device, &*input.shape, &input.values).unwrap())
            .collect();
        let all: Vec<usize> = (0..inputs.len()).collect();
        let mut choices: Vec<Vec<usize>> = all.iter().map(|&place| vec![place]).collect();
        choices.push(all);
        for tracked in choices {
            let what = format!("{name} on {}, {} tracked", device.name(), tracked.len());
            // All are parameters; one alone is an input.
            let parameters = if tracked.len() == inputs.len() { &tensors[..] } else { &[] };
            let mut recording = Recording::training(device, parameters).unwrap();
            let values: Vec<Value> = tensors.iter().map(|tensor| recording.tensor(tensor).unwrap()).collect();
            if parameters.is_empty() {
                tracked.iter().for_each(|&place| recording.track(&values[place]).unwrap());
            }
            let output = record(&mut recording, &values).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(output.shape().elements(), count as u64, "{what}: {}", output.shape());
            let seed = Tensor::from_f32(device, output.shape().clone(), &upstream).unwrap();
            let seed = recording.tensor(&seed).unwrap();
            let gradients =
                recording.backward_from(&output, &seed).unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut asked = Vec::new();
            for (place, value) in values.iter().enumerate() {
                let gradient = gradients.of(&recording, value);
                assert_eq!(gradient.is_some(), tracked.contains(&place), "{what}: {}", inputs[place].name);
                if let Some(gradient) = gradient {
                    assert_eq!(gradient.shape(), value.shape(), "{what}: {}", inputs[place].name);
                    recording.output(&gradient).unwrap();
                    asked.push((place, gradient));
                }
            }
            let outputs = recording.run().unwrap_or_else(|error| panic!("{what}: {error}"));
            for (place, gradient) in asked {
                let got = outputs.tensor(&gradient).unwrap().to_f32().unwrap();
                assert_near(
                    &format!("{what}: the gradient of {}", inputs[place].name),
                    &got,
                    &expected[place],
                );
            }
        }
    }
}

/// An error of 1e-5 of the largest is allowed, or of 1.
#[track_caller]
pub fn assert_near(what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let bound = 1e-5 * expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (place, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound, "{what}: element {place} is {got:e}, not {expected:e} (bound {bound:e})");
    }
}

/// Of an op at sizes of 0, or at zeros, with an upstream gradient of ones: the gradients are there, all of them 0, and no panic.
#[track_caller]
pub fn check_empty(
    name: &str,
    shapes: &[&[usize]],
    record: impl Fn(&mut Recording, &[Value]) -> Result<Value>,
) {
    for device in common::devices() {
        let what = format!("{name} of {shapes:?} on {}", device.name());
        let mut recording = Recording::training(&device, []).unwrap();
        let values: Vec<Value> = shapes.iter().map(|shape| common::zeros(&mut recording, shape)).collect();
        values.iter().for_each(|value| recording.track(value).unwrap());
        let output = record(&mut recording, &values).unwrap_or_else(|error| panic!("{what}: {error}"));
        let dims = output.shape().dims().to_vec();
        let seed = common::value(&mut recording, &dims, &vec![1.0; dims.iter().product()]);
        let gradients =
            recording.backward_from(&output, &seed).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found: Vec<Value> = values.iter().filter_map(|value| gradients.of(&recording, value)).collect();
        assert_eq!(found.len(), values.len(), "{what}");
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let outputs = recording.run().unwrap_or_else(|error| panic!("{what}: {error}"));
        for (gradient, value) in found.iter().zip(&values) {
            let got = outputs.tensor(gradient).unwrap().to_f32().unwrap();
            assert_eq!(got.len() as u64, value.shape().elements(), "{what}");
            assert!(got.iter().all(|&value| value == 0.0), "{what}: {got:?}");
        }
    }
}

/// The sizes in front of, in and behind a range of axes.
fn around(shape: &[usize], axes: &std::ops::Range<usize>) -> [usize; 3] {
    [&shape[..axes.start], &shape[axes.clone()], &shape[axes.end..]].map(|dims| dims.iter().product())
}

#[test]
fn sums() {
    for (shape, axes) in [
        (vec![3, 5], 0..1),
        (vec![3, 5], 1..2),
        (vec![2, 3, 4], 1..2),
        (vec![2, 3, 4], 0..3),
        (vec![2, 3, 4], 1..1),
        (vec![3, 1, 4], 1..2),
        // In blocks.
        (vec![2, 300, 2], 1..2),
    ] {
        let sizes = around(&shape, &axes);
        check(
            &format!("sum of {shape:?} over {axes:?}"),
            &[Input::new("x", &shape)],
            |recording, values| sum(recording, &values[0], axes.clone()),
            |values| reduction::sum(&values[0], sizes),
        );
    }
    check_empty("sum", &[&[2, 0, 3]], |recording, values| sum(recording, &values[0], 1..2));
    check_empty("sum", &[&[0, 2]], |recording, values| sum(recording, &values[0], 1..2));
}

#[test]
fn a_sum_keeps_its_digits_and_its_bits() {
    // [outer, count, inner]: in one block, in two dispatches, in three.
    for sizes in [[3, 256, 2], [1, 70_000, 1], [2, 70_000, 3], [1, 1, 1], [0, 3, 2], [2, 0, 3]] {
        let count: usize = sizes.iter().product();
        // Far from 0, so that a plain sum loses digits.
        let x: Vec<f32> = Inputs::new(count as u64).values(count, 1.0).iter().map(|x| x + 10.0).collect();
        let expected = reduction::sum(&x, sizes);
        for device in common::devices() {
            let run = || {
                let mut recording = Recording::new(&device);
                let x = common::value(&mut recording, &sizes, &x);
                let y = sum(&mut recording, &x, 1..2).unwrap();
                assert_eq!(y.shape().dims(), [sizes[0], sizes[2]]);
                recording.output(&y).unwrap();
                recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
            };
            let got = run();
            assert_eq!(got.len(), expected.len());
            for (&got, &expected) in got.iter().zip(&expected) {
                let error = (f64::from(got) - expected).abs();
                assert!(error <= 1e-6 * expected, "{}: {sizes:?}: {got} is not {expected}", device.name());
            }
            let bits = |values: Vec<f32>| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(got), bits(run()), "{}: {sizes:?}", device.name());
        }
    }
}

#[test]
fn a_sum_refuses_what_does_not_fit() {
    let mut recording = Recording::new(&Device::cpu());
    let x = common::zeros(&mut recording, &[2, 3]);
    for axes in [std::ops::Range { start: 1, end: 0 }, 0..3, 3..3] {
        let found = format!("{axes:?}");
        common::assert_refused(
            sum(&mut recording, &x, axes),
            &["sum", "axes", "within 0..2", "[2, 3]", &found],
        );
    }
    let words = common::zeros_of(DType::U32, &mut recording, &[2]);
    common::assert_refused(sum(&mut recording, &words, 0..1), &["x", "f32", "u32"]);
}

#[test]
fn means() {
    for (shape, axes) in [(vec![3, 5], 0..1), (vec![2, 3, 4], 1..2), (vec![2, 3, 4], 1..3), (vec![4], 0..1)] {
        let sizes = around(&shape, &axes);
        check(
            &format!("mean of {shape:?} over {axes:?}"),
            &[Input::new("x", &shape)],
            |recording, values| mean(recording, &values[0], axes.clone()),
            |values| pooling::mean_max(&values[0], sizes)[0].clone(),
        );
    }
    check_empty("mean", &[&[0, 2]], |recording, values| mean(recording, &values[0], 1..2));
}

#[test]
fn softmaxes() {
    for (shape, axis) in
        [(vec![3, 5], 1), (vec![3, 5], 0), (vec![2, 7, 3], 1), (vec![1], 0), (vec![2, 300], -1)]
    {
        let place = if axis < 0 { shape.len() - 1 } else { axis as usize };
        let sizes = around(&shape, &(place..place + 1));
        check(
            &format!("softmax of {shape:?} along {axis}"),
            &[Input::new("x", &shape)],
            |recording, values| softmax(recording, &values[0], axis),
            |values| attentive::reference::softmax::softmax(&values[0], sizes),
        );
    }
    for shape in [[0, 3], [3, 0]] {
        check_empty("softmax", &[&shape], |recording, values| softmax(recording, &values[0], 1));
    }
}

#[test]
fn activations() {
    let oracles = [
        (Activation::None, activation::identity as fn(f64) -> f64),
        (Activation::Gelu, activation::gelu),
        (Activation::GeluTanh, activation::gelu_tanh),
        (Activation::Relu, activation::relu),
        (Activation::Silu, activation::silu),
        (Activation::Tanh, activation::tanh),
        (Activation::Sigmoid, activation::sigmoid),
    ];
    assert_eq!(oracles.len(), Activation::ALL.len());
    for (of, oracle) in oracles {
        check(
            &format!("{of:?}"),
            &[Input::apart("x", &[5, 14])],
            |recording, values| activate(recording, &values[0], of),
            |values| activation::apply(&values[0], oracle),
        );
        check_empty("activate", &[&[0, 3]], |recording, values| activate(recording, &values[0], of));
    }
}

/// What is repeated to x's shape by NumPy's rule.
fn broadcast(values: &[f32], from: &[usize], to: &[usize]) -> Vec<f32> {
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for axis in (0..from.len()).rev() {
        if from[axis] != 1 {
            strides[to.len() - from.len() + axis] = stride;
        }
        stride *= from[axis];
    }
    let place = |element: usize| {
        let (mut rest, mut place) = (element, 0);
        for axis in (0..to.len()).rev() {
            place += rest % to[axis] * strides[axis];
            rest /= to[axis];
        }
        place
    };
    (0..to.iter().product()).map(|element| values[place(element)]).collect()
}

/// x, the axis that norms begin at, and the shape of γ and β.
fn norm_shapes() -> Vec<(Vec<usize>, usize, Vec<usize>)> {
    vec![
        (vec![4, 6], 1, vec![6]),
        (vec![1, 5], 1, vec![5]),
        (vec![2, 3, 4], 2, vec![4]),
        (vec![2, 3, 4], 1, vec![3, 4]),
        (vec![2, 3, 4], 1, vec![4]),
        (vec![2, 3, 4], 1, vec![3, 1]),
        // A γ for each row, and one that only some axes share.
        (vec![2, 3, 4], 2, vec![2, 3, 4]),
        (vec![2, 3, 4], 2, vec![2, 1, 4]),
        (vec![2, 3, 4], 2, vec![1, 3, 1]),
        // More rows than are summed in one block.
        (vec![300, 3], 1, vec![3]),
    ]
}

#[test]
fn layer_norms() {
    const EPSILON: f32 = 0.25;
    for (shape, axis, of_gamma) in norm_shapes() {
        let columns: usize = shape[axis..].iter().product();
        let forward = |x: &[f32], residual: Option<&[f32]>, gamma: &[f32], beta: &[f32]| -> Vec<f64> {
            let wide = |values: &[f32]| broadcast(values, &of_gamma, &shape);
            let (gamma, beta) = (wide(gamma), wide(beta));
            let rows = (0..x.len()).step_by(columns).map(|start| start..start + columns);
            rows.flat_map(|row| {
                let residual = residual.map(|residual| &residual[row.clone()]);
                let (x, gamma, beta) = (&x[row.clone()], &gamma[row.clone()], &beta[row]);
                normalization::layer_norm(x, residual, gamma, beta, EPSILON.into())
            })
            .collect()
        };
        let [x, residual] = ["x", "residual"].map(|name| Input::new(name, &shape));
        let [gamma, beta] = ["gamma", "beta"].map(|name| Input::new(name, &of_gamma));
        check(
            &format!("layer_norm of {shape:?} with {of_gamma:?}"),
            &[x, residual, gamma, beta],
            |recording, values| {
                let norm = LayerNorm::new(&values[2]).beta(&values[3]).residual(&values[1]);
                let norm = norm.axis(axis as isize).epsilon(EPSILON).with_moments();
                norm.record(recording, &values[0]).map(|values| values.output)
            },
            |values| forward(&values[0], Some(&values[1]), &values[2], &values[3]),
        );
        check(
            &format!("layer_norm of {shape:?} with {of_gamma:?}, neither β nor residual"),
            &[Input::new("x", &shape), Input::new("gamma", &of_gamma)],
            |recording, values| {
                let norm = LayerNorm::new(&values[1]).axis(axis as isize).epsilon(EPSILON);
                norm.record(recording, &values[0]).map(|values| values.output)
            },
            |values| forward(&values[0], None, &values[1], &vec![0.0; values[1].len()]),
        );
    }
    // x is its own residual, and gets both gradients.
    check(
        "layer_norm of x + x",
        &[Input::new("x", &[3, 4]), Input::new("gamma", &[4])],
        |recording, values| {
            let norm = LayerNorm::new(&values[1]).residual(&values[0]).epsilon(EPSILON);
            norm.record(recording, &values[0]).map(|values| values.output)
        },
        |values| {
            let zeros = [0.0; 4];
            normalization::layer_norm(&values[0], Some(&values[0]), &values[1], &zeros, EPSILON.into())
        },
    );
    check_empty("layer_norm", &[&[0, 3], &[3], &[3]], |recording, values| {
        let norm = LayerNorm::new(&values[1]).beta(&values[2]);
        norm.record(recording, &values[0]).map(|values| values.output)
    });
}

#[test]
fn rms_norms() {
    const EPSILON: f32 = 0.25;
    for (shape, axis, of_gamma) in norm_shapes() {
        let columns = shape[axis..].iter().product();
        check(
            &format!("rms_norm of {shape:?} with {of_gamma:?}"),
            &[Input::new("x", &shape), Input::new("gamma", &of_gamma)],
            |recording, values| rms_norm(recording, &values[0], &values[1], axis as isize, EPSILON),
            |values| {
                let gamma = broadcast(&values[1], &of_gamma, &shape);
                normalization::rms_norm(&values[0], &gamma, columns, EPSILON.into())
            },
        );
    }
    check_empty("rms_norm", &[&[0, 3], &[3]], |recording, values| {
        rms_norm(recording, &values[0], &values[1], -1, EPSILON)
    });
}

#[test]
fn poolings() {
    let dims = Dims { batch: 4, length: 6, columns: 9 };
    let lengths = [3, 0, 6, 1];
    for (pooling, kind) in [(Pooling::Mean, Kind::Mean), (Pooling::Cls, Kind::Cls), (Pooling::Max, Kind::Max)]
    {
        for normalize in [false, true] {
            check(
                &format!("pool {pooling:?}, normalized: {normalize}"),
                &[Input::apart("x", &[4, 6, 9])],
                |recording, values| pool(recording, &values[0], &lengths, pooling, normalize),
                |values| pooling::pool(&values[0], &lengths, kind, normalize, dims),
            );
            for shape in [[0, 3, 2], [2, 0, 3], [2, 3, 0]] {
                let lengths = vec![shape[1] as u32; shape[0]];
                check_empty("pool", &[&shape], |recording, values| {
                    pool(recording, &values[0], &lengths, pooling, normalize)
                });
            }
        }
    }
    // A vector of zeros has no direction: neither has its gradient, and it is no NaN.
    check_empty("pool of zeros", &[&[1, 3, 2]], |recording, values| {
        pool(recording, &values[0], &[3], Pooling::Mean, true)
    });
}

#[test]
fn rules_meet_in_one_recording() {
    // x goes into two ops, one of which takes the other's output.
    check(
        "layer norm of x and its activation",
        &[Input::new("x", &[4, 6]), Input::new("gamma", &[6])],
        |recording, values| {
            let active = activate(recording, &values[0], Activation::Tanh)?;
            let norm = LayerNorm::new(&values[1]).residual(&active).epsilon(0.25);
            norm.record(recording, &values[0]).map(|values| values.output)
        },
        |values| {
            let h: Vec<f64> = values[0].iter().map(|&x| f64::from(x) + f64::from(x).tanh()).collect();
            normalization::layer_norm_f64(&h, &values[1], &[0.0; 6], 0.25)
        },
    );
}

#[test]
fn an_op_without_a_rule_is_an_error() {
    for device in common::devices() {
        let mut recording = Recording::training(&device, []).unwrap();
        let map = common::zeros(&mut recording, &[1, 3, 3]);
        let weight = common::zeros(&mut recording, &[2, 1, 1]);
        // Untracked it is like any other.
        spatial_attention(&mut recording, [&map, &map], &weight, 0.0).unwrap();
        recording.track(&map).unwrap();
        let outcome = spatial_attention(&mut recording, [&map, &map], &weight, 0.0);
        assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
        // A norm's output has one, and its moments none.
        let gamma = common::zeros(&mut recording, &[3]);
        let values = LayerNorm::new(&gamma).with_moments().record(&mut recording, &map).unwrap();
        sum(&mut recording, &values.output, 0..1).unwrap();
        let outcome = sum(&mut recording, &values.mean.unwrap(), 0..1);
        assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
        // The mean has a rule, the mean beside the maximum none.
        let outcome = mean_max(&mut recording, &map, 1..2);
        assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
    }
}
