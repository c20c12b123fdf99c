//! Losses, what trains, and the gradients that they hand on.

use attentive::ops::CrossEntropy;
use attentive::reference::loss as oracle;
use attentive::{Device, Recording, Tensor};

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
