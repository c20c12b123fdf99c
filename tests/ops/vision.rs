//! Attention over channels, over space and at sampled places: the ops against the oracles on every device, what they
//! refuse, and sizes of 0. That the layers compute what their papers say is for tests/case_files.

use std::ops::Range;

use crate::common::{self, assert_agrees, assert_refused, value, zeros};
use attentive::kernel::Inputs;
use attentive::layers::{
    ChannelAttention, DeformableAttention, DeformableAttentionConfig, DeformableAttentionInputs,
    DeformableAttentionWeights, HostLinear, SpatialAttention, SqueezeExcitation,
};
use attentive::ops::{DeformableInputs, deformable_attention, mean, mean_max, multiply, spatial_attention};
use attentive::recording::Value;
use attentive::reference::{self, rounding_floor};
use attentive::{DType, Device, DeviceOptions, Recording, Tensor};

fn run(recording: Recording, value: &Value) -> Vec<f32> {
    let mut recording = recording;
    recording.output(value).unwrap();
    recording.run().unwrap().tensor(value).unwrap().to_f32().unwrap()
}

#[test]
fn means_and_maxima_over_axes() {
    let cases: [(&[usize], Range<usize>); 7] = [
        (&[2, 12, 9, 7], 2..4),
        (&[2, 12, 9, 7], 1..2),
        (&[2, 12, 9, 7], 0..1),
        (&[3, 2050, 4], 1..2),
        (&[70], 0..1),
        (&[2, 3, 4], 1..1),
        (&[4, 5], 0..2),
    ];
    for (seed, (shape, axes)) in cases.into_iter().enumerate() {
        let x = Inputs::new(seed as u64).values(shape.iter().product(), 1.0);
        let size = |axes: Range<usize>| shape[axes].iter().product::<usize>();
        let sizes = [size(0..axes.start), size(axes.clone()), size(axes.end..shape.len())];
        let expected = reference::pooling::mean_max(&x, sizes);
        let on = |device: &Device| {
            let mut recording = Recording::new(device);
            let x = value(&mut recording, shape, &x);
            let both = mean_max(&mut recording, &x, axes.clone()).unwrap();
            let alone = mean(&mut recording, &x, axes.clone()).unwrap();
            let rest = [&shape[..axes.start], &shape[axes.end..]].concat();
            assert!([&both[0], &both[1], &alone].iter().all(|value| value.shape().dims() == rest));
            for value in both.iter().chain([&alone]) {
                recording.output(value).unwrap();
            }
            let outputs = recording.run().unwrap();
            [&both[0], &both[1], &alone].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap())
        };
        let twin = on(&Device::cpu());
        let mut devices = common::devices();
        for name in ["workgroup", "invocation"] {
            let mut options = DeviceOptions::default();
            options.implementations = vec![format!("mean_max={name}")];
            devices.extend(common::adapters_with(&options));
        }
        for device in devices {
            let got = on(&device);
            let floor = rounding_floor(sizes[1], 1.0);
            for (part, oracle) in [(0, &expected[0]), (1, &expected[1]), (2, &expected[0])] {
                let what = format!("{shape:?} over {axes:?}, part {part}");
                assert_agrees(&device, &what, (&got[part], &twin[part], oracle), floor);
            }
        }
    }
}

/// A layer's weights stored as f16 are f16's nearest, and everything else is as with f32.
#[test]
fn layers_with_f16_weights() {
    let mut inputs = Inputs::new(9);
    let mut halves = |count: usize| -> Vec<f32> {
        let values = inputs.values(count, 0.5);
        values.into_iter().map(|value| attentive::half::f16::from_f32(value).to_f32()).collect()
    };
    let (weights, x) = ([halves(24), halves(24)], halves(2 * 8 * 12));
    for device in common::devices() {
        let both = [DType::F32, DType::F16].map(|dtype| {
            let mlp = [&weights[0], &weights[1]].map(|weight| HostLinear { weight, bias: None });
            let layer = SqueezeExcitation::new(&device, [8, 3], mlp, dtype).unwrap();
            let channel = ChannelAttention::new(&device, [8, 3], mlp, dtype).unwrap();
            assert_eq!(layer.bytes(), if dtype == DType::F32 { 192 } else { 96 });
            let mut recording = Recording::new(&device);
            let x = value(&mut recording, &[2, 8, 3, 4], &x);
            let y = layer.record(&mut recording, &x).unwrap();
            let y = channel.record(&mut recording, &y.output).unwrap();
            run(recording, &y.output)
        });
        for (a, b) in both[0].iter().zip(&both[1]) {
            assert!((a - b).abs() <= 1e-6, "{}: {a} {b}", device.name());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let r = &mut recording;
        let x = zeros(r, &[2, 3, 4, 5]);
        let words = Tensor::from_u32(&device, [2, 3], &[0; 6]).unwrap();
        let words = r.tensor(&words).unwrap();
        for axes in [3..5, Range { start: 3, end: 2 }, 5..5, 0..usize::MAX] {
            let found = format!("{axes:?}");
            assert_refused(mean(r, &x, axes), &["mean_max", "axes", "within 0..4", "[2, 3, 4, 5]", &found]);
        }
        assert_refused(mean_max(r, &words, 0..1), &["x", "f32", "u32"]);
        let empty = zeros(r, &[2, 0]);
        assert_refused(mean(r, &empty, 1..2), &["x", "not empty along the axes 1..2", "[2, 0]"]);

        let map = zeros(r, &[2, 4, 5]);
        let weight = zeros(r, &[1, 2, 7, 7]);
        assert_refused(spatial_attention(r, [&x, &map], &weight, 0.0), &["the mean", "[2, 3, 4, 5]"]);
        let other = zeros(r, &[2, 5, 4]);
        let outcome = spatial_attention(r, [&map, &other], &weight, 0.0);
        assert_refused(outcome, &["the maximum", "[2, 4, 5]", "[2, 5, 4]"]);
        for shape in [&[1, 2, 6, 6][..], &[2, 7, 5], &[1, 1, 7, 7], &[2, 49], &[2, 0, 0]] {
            let (weight, found) = (zeros(r, shape), format!("{shape:?}"));
            let outcome = spatial_attention(r, [&map, &map], &weight, 0.0);
            assert_refused(outcome, &["the weight", "with an odd k", &found]);
        }
        let outcome = spatial_attention(r, [&map, &map], &weight, f32::NAN);
        assert_refused(outcome, &["the bias", "finite", "NaN"]);
        assert_refused(SpatialAttention::new(&device, 4, &[0.0; 32], 0.0), &["the window", "odd", "4"]);
        assert_refused(SpatialAttention::new(&device, 3, &[0.0; 9], 0.0), &["[1, 2, 3, 3]", "9 elements"]);
        assert_refused(SpatialAttention::new(&device, 1, &[0.0; 2], f32::INFINITY), &["bias", "inf"]);

        let mlp = [HostLinear { weight: &[0.0; 8], bias: None }; 2];
        assert!(SqueezeExcitation::new(&device, [4, 3], mlp, DType::F32).is_err());
        let layer = SqueezeExcitation::new(&device, [4, 2], mlp, DType::F32).unwrap();
        assert_refused(
            layer.record(r, &x),
            &["squeeze_excitation", "[batch, 4, height, width]", "[2, 3, 4, 5]"],
        );
        let layer = ChannelAttention::new(&device, [4, 2], mlp, DType::F32).unwrap();
        assert_refused(
            layer.record(r, &map),
            &["channel_attention", "[batch, 4, height, width]", "[2, 4, 5]"],
        );
        // Nothing was recorded for what was refused.
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
}

#[test]
fn deformable_inputs_that_do_not_fit_are_refused() {
    let shapes = [[4, 5], [2, 3]];
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let r = &mut recording;
        let values = zeros(r, &[2, 26, 3, 4]);
        let references = zeros(r, &[2, 7, 2, 2]);
        let offsets = zeros(r, &[2, 7, 3, 2, 5, 2]);
        let weights = zeros(r, &[2, 7, 3, 2, 5]);
        let padding = r.tensor(&Tensor::from_u32(&device, [2, 26], &[1; 52]).unwrap()).unwrap();
        let good = DeformableInputs {
            values: &values,
            shapes: &shapes,
            references: &references,
            offsets: &offsets,
            weights: &weights,
            padding: Some(&padding),
        };
        let bad = zeros(r, &[2, 7, 2, 3]);
        let short = zeros(r, &[2, 25]);
        let other = zeros(r, &[2, 7, 3, 10]);
        let refused = [
            (DeformableInputs { shapes: &shapes[..1], ..good }, ["values", "[2, 20, 3, 4]", "[2, 26, 3, 4]"]),
            (DeformableInputs { shapes: &[[usize::MAX, 2]], ..good }, ["a height", "at most", ""]),
            (DeformableInputs { values: &other, ..good }, ["values", "[2, 26, 3, 10]", "[2, 7, 3, 10]"]),
            (DeformableInputs { values: &weights, ..good }, ["values", "[batch, S, heads, head_dim]", ""]),
            (DeformableInputs { references: &bad, ..good }, ["references", "2 or 4", "[2, 7, 2, 3]"]),
            (DeformableInputs { references: &short, ..good }, ["references", "2 or 4", "[2, 25]"]),
            (DeformableInputs { offsets: &weights, ..good }, ["offsets", "[2, 7, 3, 2, 5, 2]", ""]),
            (
                DeformableInputs { weights: &other, ..good },
                ["weights", "[2, 7, 3, 2, points]", "[2, 7, 3, 10]"],
            ),
            (DeformableInputs { padding: Some(&short), ..good }, ["padding", "u32", "f32"]),
        ];
        for (inputs, words) in refused {
            assert_refused(deformable_attention(r, &inputs), &words);
        }
        let linear = HostLinear { weight: &[0.0; 64], bias: None };
        let four = DeformableAttentionWeights {
            value: linear,
            sampling_offsets: linear,
            attention_weights: linear,
            output: linear,
        };
        let config = DeformableAttentionConfig { model_dim: 8, heads: 2, levels: 2, points: 2 };
        for bad in [
            DeformableAttentionConfig { heads: 3, ..config },
            DeformableAttentionConfig { points: 0, ..config },
            DeformableAttentionConfig { levels: usize::MAX, ..config },
        ] {
            let outcome = DeformableAttention::new(&device, bad, &four, DType::F32);
            assert_refused(outcome, &["deformable_attention", "config"]);
        }
        // The offsets need 16 rows of 8.
        let outcome = DeformableAttention::new(&device, config, &four, DType::F32);
        assert_refused(outcome, &["[16, 8]", "64 elements"]);
        let weights = DeformableAttentionWeights {
            sampling_offsets: HostLinear { weight: &[0.0; 128], bias: None },
            ..four
        };
        let layer = DeformableAttention::new(&device, config, &weights, DType::F32).unwrap();
        let (queries, input) = (zeros(r, &[2, 7, 8]), zeros(r, &[2, 26, 8]));
        let good = DeformableAttentionInputs {
            queries: &queries,
            references: &references,
            input: &input,
            shapes: &shapes,
            padding: None,
        };
        let (narrow, single) = (zeros(r, &[2, 7, 6]), zeros(r, &[1, 26, 8]));
        for (inputs, words) in [
            (DeformableAttentionInputs { queries: &narrow, ..good }, ["queries", "[batch, rows, 8]"]),
            (DeformableAttentionInputs { input: &single, ..good }, ["the input", "[2, S, 8]"]),
            (DeformableAttentionInputs { shapes: &shapes[1..], ..good }, ["shapes", "2 levels"]),
        ] {
            assert_refused(layer.record(r, &inputs), &words);
        }
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
}

#[test]
fn sizes_of_0() {
    for device in common::devices() {
        for shape in [[0, 3, 4, 5], [2, 0, 4, 5], [2, 3, 0, 5], [0; 4]] {
            let [batch, channels, height, width] = shape;
            let mut recording = Recording::new(&device);
            let x = zeros(&mut recording, &shape);
            let factors = zeros(&mut recording, &[batch, channels, 1, 1]);
            let y = multiply(&mut recording, &x, &factors).unwrap();
            assert_eq!(y.shape().dims(), shape);
            assert!(run(recording, &y).is_empty());
            if channels > 0 {
                let mut recording = Recording::new(&device);
                let x = zeros(&mut recording, &shape);
                let [mean, _] = mean_max(&mut recording, &x, 1..2).unwrap();
                assert_eq!(mean.shape().dims(), [batch, height, width]);
                let weight = zeros(&mut recording, &[2, 3, 3]);
                let map = spatial_attention(&mut recording, [&mean, &mean], &weight, 0.0).unwrap();
                assert!(run(recording, &map).is_empty());
            }
        }
        // Batch, queries, heads, head_dim, points; levels, one of them empty, or none.
        let empty: &[[usize; 2]] = &[[0, 3], [2, 2]];
        for (sizes, shapes) in [
            ([0, 2, 2, 3, 2], empty),
            ([2, 0, 2, 3, 2], empty),
            ([2, 2, 0, 3, 2], empty),
            ([2, 2, 2, 0, 2], empty),
            ([2, 2, 2, 3, 0], empty),
            ([2, 2, 2, 3, 2], empty),
            ([2, 2, 2, 3, 2], &[]),
            ([1, 1, 1, 1, 1], &[[0, 0]]),
        ] {
            let [batch, queries, heads, head_dim, points] = sizes;
            let positions: usize = shapes.iter().map(|[height, width]| height * width).sum();
            let mut recording = Recording::new(&device);
            let r = &mut recording;
            // Every value is 1, and every place the middle of its level: a level with values adds its share of 1.
            let all = |shape: &[usize], value: f32| vec![value; shape.iter().product::<usize>()];
            let samples = [batch, queries, heads, shapes.len(), points];
            let of_values = [batch, positions, heads, head_dim];
            let of_references = [batch, queries, shapes.len(), 2];
            let values = all(&of_values, 1.0);
            let references = all(&of_references, 0.5);
            let offsets = [all(&samples, 0.0), all(&samples, 0.0)].concat();
            let weights = all(&samples, 1.0 / (shapes.len() * points).max(1) as f32);
            let inputs = DeformableInputs {
                values: &value(r, &of_values, &values),
                shapes,
                references: &value(r, &of_references, &references),
                offsets: &value(r, &[&samples[..], &[2]].concat(), &offsets),
                weights: &value(r, &samples, &weights),
                padding: None,
            };
            let output = deformable_attention(r, &inputs).unwrap();
            assert_eq!(output.shape().dims(), [batch, queries, heads * head_dim]);
            let got = run(recording, &output);
            let dims = reference::vision::DeformableDims { batch, queries, heads, head_dim, points };
            let expected = reference::vision::deformable_attention(
                &values,
                shapes,
                (&references, false),
                &offsets,
                &weights,
                None,
                dims,
            );
            let filled = shapes.iter().filter(|[height, width]| height * width > 0).count();
            let one =
                if shapes.is_empty() || points == 0 { 0.0 } else { filled as f64 / shapes.len() as f64 };
            assert_eq!(expected, vec![one; batch * queries * heads * head_dim], "{sizes:?}");
            assert_eq!(
                got.iter().map(|&got| f64::from(got)).collect::<Vec<_>>(),
                expected,
                "{}: {sizes:?}",
                device.name()
            );
        }
    }
}
