//! Losses, what trains, and the gradients that they hand on.

use attentive::layers::{Parameter, Parameters};
use attentive::ops::{
    CrossEntropy, Dropout, Embedding, EmbeddingTable, Linear, LinearWeights, add, dropout, gather_rows,
};
use attentive::recording::Value;
use attentive::reference::embedding::scatter_add;
use attentive::reference::{loss as oracle, optimizer, random};
use attentive::train::{AdamW, Algorithm, Control, Optimizer, Sgd, Trainer};
use attentive::{DType, Device, Recording, Tensor};

use crate::common;

/// Numbers that look random, of a seed.
fn values(count: usize, seed: u64) -> Vec<f32> {
    attentive::kernel::Inputs::new(seed).values(count, 1.0)
}

fn devices() -> Vec<Device> {
    common::devices()
}

#[track_caller]
fn assert_near(device: &Device, what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = (f64::from(*got) - expected).abs() <= tolerance;
        assert!(near, "{}: {what}: element {place} is {got}, not {expected}", device.name());
    }
}

/// The loss, and its gradient by the logits, of a random upstream gradient.
fn loss_and_gradient(
    device: &Device,
    logits: (&[usize], &[f32]),
    upstream: f32,
    loss: CrossEntropy<'_>,
) -> (f32, Vec<f32>) {
    let logits = Tensor::from_f32(device, logits.0, logits.1).unwrap();
    let mut recording = Recording::training(device, [&logits]).unwrap();
    let value = recording.tensor(&logits).unwrap();
    let loss = loss.record(&mut recording, &value).unwrap();
    let upstream = common::value(&mut recording, &[1], &[upstream]);
    let gradients = recording.backward_from(&loss, &upstream).unwrap();
    let gradient = gradients.of_parameter(&recording, &logits).unwrap();
    recording.output(&loss).unwrap();
    recording.output(&gradient).unwrap();
    let outputs = recording.run().unwrap();
    let read = |value| outputs.tensor(value).unwrap().to_f32().unwrap();
    (read(&loss)[0], read(&gradient))
}

#[test]
fn cross_entropy_is_the_mean_over_what_counts() {
    let (rows, classes) = (6, 37);
    let x = values(rows * classes, 3);
    let (weights, upstream) = ([0.5, 2.0, 0.0, 1.25, 3.0, 1.0], -1.375);
    // The second is ignored by its target, the third by its weight, the last one for good.
    let targets = [4, 100, 36, 0, 4, u32::MAX];
    let labels = [4, u32::MAX, u32::MAX, 0, 4, u32::MAX];
    for device in devices() {
        for (smoothing, divisor) in [(0.0, None), (0.2, None), (0.1, Some(8.0))] {
            let mut loss =
                CrossEntropy::new(&targets).ignore(100).weights(&weights).label_smoothing(smoothing);
            loss = divisor.map_or(loss, |divisor| loss.divisor(divisor));
            let factors = weights.map(|weight| weight / divisor.unwrap_or(4.75));
            let each = oracle::cross_entropy(&x, classes, &labels, &factors, smoothing.into());
            let expected =
                oracle::cross_entropy_gradient(&x, classes, &labels, &factors, smoothing.into(), upstream);
            // NaN where nothing counts.
            let mut x = x.clone();
            for row in [1, 2, 5] {
                x[row * classes..(row + 1) * classes].fill(f32::NAN);
            }
            let (loss, gradient) = loss_and_gradient(&device, (&[2, 3, classes], &x), upstream, loss);
            assert_near(&device, "loss", &[loss], &[each.iter().sum()], 2e-6);
            assert_near(&device, "gradient", &gradient, &expected, 1e-6);
        }
    }
}

#[test]
fn parts_of_a_step_add_up_by_one_divisor() {
    let (x, targets) = (values(5 * 11, 8), [3, 10, u32::MAX, 0, 7]);
    for device in devices() {
        let (whole, _) = loss_and_gradient(&device, (&[5, 11], &x), 1.0, CrossEntropy::new(&targets));
        let part = |rows: std::ops::Range<usize>| {
            let x = &x[rows.start * 11..rows.end * 11];
            let loss = CrossEntropy::new(&targets[rows.clone()]).divisor(4.0);
            loss_and_gradient(&device, (&[rows.len(), 11], x), 1.0, loss).0
        };
        assert_near(&device, "loss", &[part(0..2) + part(2..5)], &[whole.into()], 1e-6);
    }
}

#[test]
fn a_loss_of_nothing_is_0() {
    for device in devices() {
        for (shape, targets) in
            [([0, 5], &[][..]), ([2, 3], &[u32::MAX; 2][..]), ([2, 0], &[u32::MAX; 2]), ([0, 0], &[])]
        {
            let x = vec![f32::NAN; shape.iter().product()];
            let (loss, gradient) = loss_and_gradient(&device, (&shape, &x), 1.0, CrossEntropy::new(targets));
            assert_eq!((loss, gradient), (0.0, vec![0.0; x.len()]), "{} {shape:?}", device.name());
        }
    }
}

#[test]
fn cross_entropy_refuses_what_does_not_fit() {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let x = common::zeros(&mut recording, &[2, 3]);
    let mut refused = |loss: CrossEntropy<'_>, words: &[&str]| {
        common::assert_refused(loss.record(&mut recording, &x), words);
    };
    refused(CrossEntropy::new(&[1, 3]), &["targets[1]", "below 3", "but is 3"]);
    refused(CrossEntropy::new(&[1]), &["targets", "2 rows", "but is 1"]);
    refused(CrossEntropy::new(&[1, 1]).weights(&[1.0]), &["weights", "2 rows", "but is 1"]);
    refused(CrossEntropy::new(&[1, 1]).weights(&[1.0, -1.0]), &["weights[1]", "-1"]);
    refused(CrossEntropy::new(&[1, 1]).weights(&[f32::NAN, 1.0]), &["weights[0]", "NaN"]);
    refused(CrossEntropy::new(&[1, 1]).label_smoothing(1.5), &["label_smoothing", "1.5"]);
    refused(CrossEntropy::new(&[1, 1]).divisor(0.0), &["divisor", "above 0"]);
    let scalar = common::zeros(&mut recording, &[]);
    common::assert_refused(CrossEntropy::new(&[1]).record(&mut recording, &scalar), &["[…, classes]"]);
}

/// The gradients of Σ upstream · output by those tensors.
fn gradients_of(
    device: &Device,
    parameters: &[&Tensor],
    upstream: &[f32],
    output: impl FnOnce(&mut Recording) -> Value,
) -> Vec<Option<Vec<f32>>> {
    let mut recording = Recording::training(device, parameters.iter().copied()).unwrap();
    let output = output(&mut recording);
    let upstream = common::value(&mut recording, output.shape().dims(), upstream);
    let gradients = recording.backward_from(&output, &upstream).unwrap();
    let found = parameters.iter().map(|parameter| gradients.of_parameter(&recording, parameter));
    let found: Vec<Option<Value>> = found.collect();
    found.iter().flatten().for_each(|value| recording.output(value).unwrap());
    let outputs = recording.run().unwrap();
    let read = |value: Option<Value>| value.map(|value| outputs.tensor(&value).unwrap().to_f32().unwrap());
    found.into_iter().map(read).collect()
}

#[test]
fn an_embedding_hands_its_gradient_to_tables_in_parts_and_to_positions() {
    let (columns, rows) = (5, 700);
    let words = values(12 * columns, 1);
    let position = values(3 * columns, 2);
    // A row that is there more often than a segment is long, rows that are not there at all, and a part of which none is.
    let ids: Vec<u32> = (0..rows as u32).map(|row| if row % 2 == 0 { 5 } else { row * 7 % 8 }).collect();
    let places: Vec<u32> = (0..rows as u32).map(|row| row / 300).collect();
    let upstream = values(rows * columns, 4);
    let [of_words, of_position] =
        [(&ids, 12, 1.5), (&places, 3, 1.0)].map(|(ids, rows, scale): (&Vec<u32>, usize, f32)| {
            scatter_add(ids, &upstream, columns, scale, &vec![0.0; rows * columns])
        });
    for device in devices() {
        let mut table = EmbeddingTable::empty(columns);
        for part in words.chunks(4 * columns) {
            table.push(&device, part, DType::F32).unwrap();
        }
        let position = Tensor::from_f32(&device, [3, columns], &position).unwrap();
        let parameters: Vec<&Tensor> = table.parts().iter().chain([&position]).collect();
        let found = gradients_of(&device, &parameters, &upstream, |recording| {
            Embedding::new(&table).scale(1.5).positions(&position, &places).record(recording, &ids).unwrap()
        });
        let [first, second, third, of_places] = &found[..] else { panic!("{} gradients", found.len()) };
        assert!(third.is_none(), "no id is of the third part");
        let parts = [first, second].map(|part| part.clone().unwrap()).concat();
        assert_near(&device, "words", &parts, &of_words[..8 * columns], 2e-4);
        assert_near(&device, "positions", of_places.as_ref().unwrap(), &of_position, 2e-4);
    }
}

#[test]
fn gathered_rows_add_to_their_gradient_in_levels_and_in_place() {
    // 70,000 rows of one index: 274 sums of 256, two sums of these, and one of both.
    let (many, upstream) = (70_000, values(70_002, 6));
    let index: Vec<u32> =
        (0..many as u32 + 2).map(|row| if row < 70_000 { 1 } else { row - 70_000 }).collect();
    let expected = scatter_add(&index, &upstream, 1, 1.0, &[0.0; 3]);
    for device in devices() {
        let table = Tensor::from_f32(&device, [3, 1], &[1.0, 2.0, 3.0]).unwrap();
        let found = gradients_of(&device, &[&table], &upstream, |recording| {
            let table = recording.tensor(&table).unwrap();
            gather_rows(recording, &table, &index).unwrap()
        });
        assert_near(&device, "levels", found[0].as_ref().unwrap(), &expected, 1e-3);
        // Rows of rows: gradients of intermediate values, twice the same row.
        let found = gradients_of(&device, &[&table], &[1.5, 0.25, -1.0, 4.0], |recording| {
            let table = recording.tensor(&table).unwrap();
            let rows = gather_rows(recording, &table, &[2, 0, 2]).unwrap();
            gather_rows(recording, &rows, &[0, 1, 2, 0]).unwrap()
        });
        assert_eq!(found[0].as_deref(), Some(&[0.25, 0.0, 4.5][..]), "{}", device.name());
        // Nothing gathered, nothing there.
        let found = gradients_of(&device, &[&table], &[], |recording| {
            let table = recording.tensor(&table).unwrap();
            gather_rows(recording, &table, &[]).unwrap()
        });
        assert!(found[0].as_ref().is_none_or(|gradient| *gradient == [0.0; 3]), "{found:?}");
    }
}

#[test]
fn dropout_drops_the_same_elements_everywhere_and_in_its_gradient() {
    let (x, upstream) = (values(1000, 9), values(1000, 10));
    let place = Dropout { seed: 7, step: 3, site: 11 };
    let words = random::threefry2x32([7, 3], 11, 1000);
    let kept = |x: &[f32]| -> Vec<f32> {
        let kept =
            |(x, &word): (&f32, &u32)| if f64::from(word) < 0.25 * 2_f64.powi(32) { 0.0 } else { x / 0.75 };
        x.iter().zip(&words).map(kept).collect()
    };
    let near = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    for device in devices() {
        let tensor = Tensor::from_f32(&device, [10, 100], &x).unwrap();
        let found = gradients_of(&device, &[&tensor], &upstream, |recording| {
            let value = recording.tensor(&tensor).unwrap();
            dropout(recording, &value, 0.25, place).unwrap()
        });
        assert_near(&device, "gradient", found[0].as_ref().unwrap(), &near(kept(&upstream)), 1e-6);
        let mut recording = Recording::new(&device);
        let value = recording.tensor(&tensor).unwrap();
        let y = dropout(&mut recording, &value, 0.25, place).unwrap();
        let others =
            [Dropout { seed: 8, ..place }, Dropout { step: 4, ..place }, Dropout { site: 12, ..place }];
        let others = others.map(|other| dropout(&mut recording, &value, 0.25, other).unwrap());
        assert!(dropout(&mut recording, &value, 0.0, place).unwrap().is(&value));
        let empty = common::zeros(&mut recording, &[0, 3]);
        let empty = dropout(&mut recording, &empty, 0.5, place).unwrap();
        for value in others.iter().chain([&y, &empty]) {
            recording.output(value).unwrap();
        }
        let outputs = recording.run().unwrap();
        let read = |value| outputs.tensor(value).unwrap().to_f32().unwrap();
        assert_near(&device, "y", &read(&y), &near(kept(&x)), 1e-6);
        for other in &others {
            let same = read(other).iter().zip(read(&y)).filter(|(a, b)| (**a == 0.0) == (*b == 0.0)).count();
            // Independent words agree on 1 − 2 · 1/4 · 3/4 of the elements.
            assert!((550..700).contains(&same), "{}: {same}", device.name());
        }
    }
    let mut recording = Recording::new(&Device::cpu());
    let x = common::zeros(&mut recording, &[2]);
    for probability in [1.0, -0.5, f32::NAN] {
        common::assert_refused(
            dropout(&mut recording, &x, probability, place),
            &["the probability", "below 1"],
        );
    }
}

/// What is trained in the tests of optimizers: two tables that are added, and one that nobody reads.
struct Trained {
    table: EmbeddingTable,
    position: Tensor,
    idle: Tensor,
}

impl Trained {
    fn new(device: &Device) -> Self {
        let table = EmbeddingTable::new(device, 9, &values(4 * 9, 20), DType::F32).unwrap();
        let position = Tensor::from_f32(device, [4, 9], &values(4 * 9, 21)).unwrap();
        let idle = Tensor::from_f32(device, [2], &[1.0, -1.0]).unwrap();
        Self { table, position, idle }
    }

    /// The first and the last decay.
    fn parameters(&self) -> Vec<Parameter> {
        let tensors = [(&self.table.parts()[0], true), (&self.position, false), (&self.idle, true)];
        let named = tensors.iter().zip(["words", "positions", "idle"]);
        named.map(|(&(tensor, decay), name)| Parameter::new(name, tensor, decay)).collect()
    }

    /// A step with those gradients of the positions; the words' are twice that.
    fn step(&self, device: &Device, optimizer: &mut Optimizer, gradient: &[f32], rate: f32) -> Control {
        let mut recording = Recording::training(device, optimizer.tensors()).unwrap();
        let places = [0, 1, 2, 3];
        let rows = Embedding::new(&self.table).scale(2.0).positions(&self.position, &places);
        let rows = rows.record(&mut recording, &places).unwrap();
        let upstream = common::value(&mut recording, &[4, 9], gradient);
        let gradients = recording.backward_from(&rows, &upstream).unwrap();
        let control = optimizer.record(&mut recording, &gradients, rate).unwrap();
        recording.output(&control).unwrap();
        let outputs = recording.run().unwrap();
        Control::new(&outputs.tensor(&control).unwrap().to_f32().unwrap()).unwrap()
    }

    fn read(&self) -> [Vec<f32>; 3] {
        [&self.table.parts()[0], &self.position, &self.idle].map(|tensor| tensor.to_f32().unwrap())
    }
}

/// Ten steps on each device, with clipping, against the same in f64: `after` is a step of the rule by its number, its rate, whether there is
/// decay, the clipped gradient, and the state.
fn ten_steps<const N: usize>(
    algorithm: impl Into<Algorithm> + Copy,
    after: impl Fn(u32, f64, bool, &[f64], [Vec<f64>; N]) -> [Vec<f64>; N],
) {
    let largest_norm = 14.0_f32;
    let rate = |step: u32| 0.1 / f64::from(step + 4);
    let in_f64 = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
    for device in devices() {
        let trained = Trained::new(&device);
        let mut optimizer =
            Optimizer::new(&device, algorithm, trained.parameters()).unwrap().clip(largest_norm).unwrap();
        let begin = |values: &[f32]| -> [Vec<f64>; N] {
            std::array::from_fn(|place| if place == 0 { in_f64(values) } else { vec![0.0; values.len()] })
        };
        let [words, positions, idle] = trained.read();
        let mut expected = [begin(&words), begin(&positions)];
        let mut clipped = 0;
        for step in 1..=10 {
            let gradient = values(36, 100 + u64::from(step));
            let control = trained.step(&device, &mut optimizer, &gradient, rate(step) as f32);
            let square: f64 = gradient.iter().map(|&g| 5.0 * f64::from(g) * f64::from(g)).sum();
            let factor = (f64::from(largest_norm) / (square.sqrt() + 1e-6)).min(1.0);
            clipped += usize::from(factor < 1.0);
            assert!(control.finite, "{control:?}");
            assert_near(
                &device,
                "control",
                &[control.clip_factor, control.norm / 10.0],
                &[factor, square.sqrt() / 10.0],
                1e-6,
            );
            for (index, state) in expected.iter_mut().enumerate() {
                let scale = if index == 0 { 2.0 } else { 1.0 };
                let gradient: Vec<f64> = gradient.iter().map(|&g| scale * factor * f64::from(g)).collect();
                let rate = f64::from(rate(step) as f32);
                *state = after(
                    step,
                    rate,
                    index == 0,
                    &gradient,
                    std::mem::replace(state, [const { Vec::new() }; N]),
                );
            }
        }
        assert!((1..10).contains(&clipped), "{clipped} steps of 10 are clipped");
        let found = trained.read();
        for (found, expected) in found.iter().zip(&expected) {
            assert_near(&device, "parameter", found, &expected[0], 2e-6);
        }
        assert_eq!(found[2], idle, "what has no gradient is left alone");
        let states: Vec<_> = optimizer.state().collect();
        assert_eq!(states.len(), 3 * (N - 1));
        for ((_, _, state), expected) in states.iter().zip(expected.iter().flat_map(|state| &state[1..])) {
            assert_near(&device, "state", &state.to_f32().unwrap(), expected, 1e-5);
        }
        assert_eq!(optimizer.steps(), 10);
    }
}

#[test]
fn ten_steps_of_adamw_are_those_in_f64() {
    let algorithm = AdamW { learning_rate: 1e-3, betas: [0.9, 0.98], epsilon: 1e-6, weight_decay: 0.2 };
    ten_steps(algorithm, |step, rate, decays, gradient, state| {
        let decay = if decays { algorithm.weight_decay } else { 0.0 };
        let AdamW { betas, epsilon, .. } = algorithm;
        optimizer::adamw(optimizer::AdamW { betas, epsilon, rate, decay }, step, gradient, state)
    });
}

#[test]
fn ten_steps_of_sgd_are_those_in_f64() {
    for nesterov in [false, true] {
        let algorithm = Sgd { learning_rate: 0.1, momentum: 0.75, weight_decay: 0.25, nesterov };
        ten_steps(algorithm, |_, rate, decays, gradient, state| {
            let decay = if decays { 0.25 } else { 0.0 };
            optimizer::sgd(optimizer::Sgd { momentum: 0.75, nesterov, rate, decay }, gradient, state)
        });
    }
    let algorithm = Sgd { learning_rate: 0.1, weight_decay: 0.25, ..Sgd::default() };
    ten_steps(algorithm, |_, rate, decays, gradient, [state]| {
        let decay = if decays { 0.25 } else { 0.0 };
        let settings = optimizer::Sgd { momentum: 0.0, nesterov: false, rate, decay };
        let [parameter, _] = optimizer::sgd(settings, gradient, [state, vec![0.0; 36]]);
        [parameter]
    });
}

/// A batch in parts takes the step of the whole, of losses that are divided by all its rows.
#[test]
fn a_step_in_parts_is_that_of_the_batch() {
    let (x, targets) = (values(6 * 4, 5), [2_u32, 0, 1, 1, 0, 2]);
    for device in devices() {
        let run = |parts: &[std::ops::Range<usize>]| {
            let weights =
                LinearWeights::new(&device, [3, 4], &values(12, 9), Some(&[0.0; 3]), DType::F32).unwrap();
            // Of no rows of the last part's own.
            let idle = Tensor::from_f32(&device, [3], &[0.25; 3]).unwrap();
            let mut parameters = Parameters::new();
            parameters.linear("layer", &weights);
            parameters.tensor("first part's", &idle, true);
            let parameters = parameters.into_vec();
            let algorithm = AdamW { learning_rate: 0.05, ..AdamW::default() };
            let mut trainer =
                Trainer::new(&device, algorithm, parameters.clone()).unwrap().clip(0.5).unwrap();
            let mut losses = Vec::new();
            for _ in 0..4 {
                let step = trainer.step_in_parts(parts.len(), |recording, part| {
                    let rows = parts[part].clone();
                    let x = common::value(recording, &[rows.len(), 4], &x[4 * rows.start..4 * rows.end]);
                    let mut logits = Linear::new(&weights).record(recording, &x)?;
                    if part == 0 {
                        let shift = recording.tensor(&idle)?;
                        logits = add(recording, &logits, &shift)?;
                    }
                    CrossEntropy::new(&targets[rows]).divisor(6.0).record(recording, &logits)
                });
                let step = step.unwrap();
                losses.push(f64::from(step.loss));
                losses.push(step.norm.into());
            }
            let after: Vec<f32> =
                parameters.iter().flat_map(|parameter| parameter.tensor.to_f32().unwrap()).collect();
            (losses, after)
        };
        // Of one part all rows have the shift, of several the first alone: those are held to each other.
        let (losses, after) = run(&[0..2, 2..6]);
        let (in_three, after_three) = run(&[0..2, 2..5, 5..6]);
        let narrow: Vec<f32> = in_three.iter().map(|value| *value as f32).collect();
        assert_near(&device, "losses and norms", &narrow, &losses, 2e-6);
        let wide: Vec<f64> = after.iter().map(|value| f64::from(*value)).collect();
        assert_near(&device, "parameters", &after_three, &wide, 2e-6);
        assert!(losses[6] < losses[0], "{losses:?}");
    }
}

#[test]
fn a_part_that_fails_is_forgotten() {
    let device = Device::cpu();
    let tensor = Tensor::from_f32(&device, [1, 2], &[0.5, -0.5]).unwrap();
    let mut parameters = Parameters::new();
    parameters.tensor("logits", &tensor, false);
    let mut trainer =
        Trainer::new(&device, Sgd { learning_rate: 1.0, ..Sgd::default() }, parameters.into_vec()).unwrap();
    let record = |recording: &mut Recording| {
        let logits = recording.tensor(&tensor)?;
        CrossEntropy::new(&[0]).record(recording, &logits)
    };
    let outcome = trainer.step_in_parts(2, |recording, part| match part {
        0 => record(recording),
        _ => {
            let empty = Tensor::from_f32(recording.device(), [0], &[])?;
            recording.tensor(&empty)
        }
    });
    assert!(outcome.is_err() && trainer.step_in_parts(0, |recording, _| record(recording)).is_err());
    assert_eq!(tensor.to_f32().unwrap(), [0.5, -0.5]);
    // The gradient of the next step is its own alone.
    trainer.step(record).unwrap();
    let moved = 1.0 - 1.0 / (1.0 + (-1.0_f64).exp());
    assert_near(&device, "logits", &tensor.to_f32().unwrap(), &[0.5 + moved, -0.5 - moved], 1e-6);
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    for device in devices() {
        let trained = Trained::new(&device);
        let before = trained.read();
        let mut optimizer = Optimizer::new(&device, AdamW::default(), trained.parameters()).unwrap();
        // A NaN, an infinity, and a number whose square is one.
        for strange in [f32::NAN, f32::INFINITY, 3e19] {
            let mut gradient = values(36, 5);
            gradient[35] = strange;
            let control = trained.step(&device, &mut optimizer, &gradient, 0.1);
            assert!(!control.finite && control.norm.is_nan() && control.clip_factor == 0.0, "{control:?}");
            assert_eq!(optimizer.steps(), 1);
            optimizer.take_back();
            assert_eq!(trained.read(), before, "{}: {strange}", device.name());
            for (_, _, state) in optimizer.state() {
                assert!(state.to_f32().unwrap().iter().all(|&x| x == 0.0));
            }
        }
        // Without a largest norm nothing is clipped.
        let gradient = values(36, 5).iter().map(|g| 1e3 * g).collect::<Vec<_>>();
        let control = trained.step(&device, &mut optimizer, &gradient, 0.1);
        assert!(control.finite && control.clip_factor == 1.0 && control.norm > 1e3, "{control:?}");
        assert_ne!(trained.read(), before);
    }
}

#[test]
fn an_optimizer_of_nothing_takes_its_steps() {
    for device in devices() {
        let empty = Tensor::from_f32(&device, [0, 3], &[]).unwrap();
        let logits = Tensor::from_f32(&device, [2, 3], &values(6, 1)).unwrap();
        let parameter = Parameter::new("empty", &empty, true);
        for parameters in [vec![], vec![parameter]] {
            let mut optimizer = Optimizer::new(&device, Sgd::default(), parameters).unwrap();
            let mut recording = Recording::training(&device, [&logits, &empty]).unwrap();
            let value = recording.tensor(&logits).unwrap();
            let loss = CrossEntropy::new(&[0, 1]).record(&mut recording, &value).unwrap();
            let gradients = recording.backward(&loss).unwrap();
            let control = optimizer.record(&mut recording, &gradients, 0.5).unwrap();
            recording.output(&control).unwrap();
            let control = recording.run().unwrap().tensor(&control).unwrap().to_f32().unwrap();
            assert_eq!(control, [1.0, 0.0, 1.0], "{}", device.name());
        }
    }
}

#[test]
fn optimizers_refuse_what_does_not_fit() {
    let device = Device::cpu();
    let tensor = Tensor::from_f32(&device, [2], &[0.0; 2]).unwrap();
    let named = |name: &str, tensor: &Tensor| Parameter::new(name, tensor, true);
    let half = Tensor::from_f32_as_f16(&device, [2], &[0.0; 2]).unwrap();
    let other = Tensor::from_f32(&device, [2], &[0.0; 2]).unwrap();
    let refused = |parameters: Vec<Parameter>, words: &[&str]| {
        common::assert_refused(Optimizer::new(&device, Sgd::default(), parameters), words);
    };
    refused(vec![named("a", &half)], &["a", "f32", "f16"]);
    refused(vec![named("a", &tensor), named("b", &tensor)], &["b", "`a` again"]);
    refused(vec![named("a", &tensor), named("a", &other)], &["a", "`a` again"]);
    let algorithms: [(Algorithm, &str); 5] = [
        (AdamW { betas: [0.9, 1.0], ..AdamW::default() }.into(), "beta"),
        (AdamW { epsilon: -1.0, ..AdamW::default() }.into(), "epsilon"),
        (AdamW { weight_decay: f64::NAN, ..AdamW::default() }.into(), "weight decay"),
        (Sgd { momentum: 1.0, ..Sgd::default() }.into(), "momentum"),
        (Sgd { weight_decay: -1.0, ..Sgd::default() }.into(), "weight decay"),
    ];
    for (algorithm, word) in algorithms {
        common::assert_refused(Optimizer::new(&device, algorithm, vec![]), &[word]);
    }
    let optimizer = || Optimizer::new(&device, Sgd::default(), vec![]).unwrap();
    for largest in [0.0, f32::NAN] {
        common::assert_refused(optimizer().clip(largest), &["the largest norm", "above 0"]);
    }
    let mut recording = Recording::training(&device, [&tensor]).unwrap();
    let value = recording.tensor(&tensor).unwrap();
    let loss = CrossEntropy::new(&[0]).record(&mut recording, &value).unwrap();
    let gradients = recording.backward(&loss).unwrap();
    let mut optimizer = optimizer();
    for rate in [-1.0, f32::INFINITY] {
        let outcome = optimizer.record(&mut recording, &gradients, rate);
        common::assert_refused(outcome, &["the learning rate", "at least 0"]);
    }
    assert_eq!(optimizer.steps(), 0);
    common::assert_refused(Control::new(&[1.0]), &["the control", "3 elements"]);
}
