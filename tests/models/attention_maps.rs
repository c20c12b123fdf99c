//! Attention weights captured beside a fused run: those of a run that materializes them, within the same bound as the
//! attention itself; and what a capture refuses.

use crate::common;
use std::path::PathBuf;

use attentive::layers::{
    AttentionWeights, Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm,
    HostLinear, LayerCapture, MultiHeadAttentionOptions, MultiHeadAttentionWeights,
};
use attentive::models::TokenBatch;
use attentive::ops::Capture;
use attentive::{Activation, DType, Device, DeviceOptions, Embedder, Error, Recording, Tensor};

const DIM: usize = 24;
const HEADS: usize = 3;
const LAYERS: usize = 3;

/// Values in −0.3..0.3, so that scores stay of the order of 1.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (random.f32() - 0.5) * 0.6).collect()
}

fn encoder(device: &Device) -> Encoder {
    let layer = |index: usize| {
        let seed = 100 * index as u64;
        let square: Vec<Vec<f32>> = (0..4).map(|part| values(seed + part, DIM * DIM)).collect();
        let (up, down) = (values(seed + 5, 2 * DIM * DIM), values(seed + 6, 2 * DIM * DIM));
        let (gamma, beta) = (vec![1.0; DIM], vec![0.0; DIM]);
        let linear = |part: usize| HostLinear { weight: &square[part], bias: None };
        let norm = HostLayerNorm { gamma: &gamma, beta: &beta };
        let mut config = EncoderLayerConfig::new(DIM, HEADS, 2 * DIM);
        config.activation = Activation::Gelu;
        config.epsilon = 1e-12;
        let weights = EncoderLayerWeights {
            attention: MultiHeadAttentionWeights {
                query: linear(0),
                key: linear(1),
                value: linear(2),
                output: linear(3),
            },
            attention_norm: norm,
            feed_forward: [HostLinear { weight: &up, bias: None }, HostLinear { weight: &down, bias: None }],
            feed_forward_norm: norm,
        };
        EncoderLayer::new(device, &config, &weights).unwrap()
    };
    Encoder::new((0..LAYERS).map(layer).collect(), None).unwrap()
}

fn tiny() -> PathBuf {
    common::repository().join("tests/fixtures/models/tiny-bert")
}

#[track_caller]
fn near(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        // A softmax of scores that were added up in another order.
        assert!((got - expected).abs() <= 2e-6, "{what}: weight {place} is {got}, not {expected}");
    }
}

#[track_caller]
fn rows_sum_to_one(what: &str, weights: &[f32], columns: usize) {
    for (row, weights) in weights.chunks_exact(columns).enumerate() {
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        assert!((sum - 1.0).abs() <= 1e-5, "{what}: row {row} sums to {sum}");
        assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)), "{what}: row {row}");
    }
}

#[test]
fn captured_weights_are_those_of_an_unfused_run() {
    let (batch, length) = (2, 37);
    let x: Vec<f32> = values(7, batch * length * DIM).iter().map(|value| value * 4.0).collect();
    let lengths = [length as u32, 20];
    for device in common::devices() {
        let encoder = encoder(&device);
        let x = Tensor::from_f32(&device, [batch, length, DIM], &x).unwrap();
        let options = MultiHeadAttentionOptions { key_lengths: Some(&lengths), ..Default::default() };

        let mut recording = Recording::new(&device);
        let input = recording.tensor(&x).unwrap();
        let plain = encoder.record(&mut recording, &input, &options).unwrap();
        recording.output(&plain).unwrap();
        let without = recording.run().unwrap().tensor(&plain).unwrap().to_f32().unwrap();

        let mut recording = Recording::new(&device);
        let input = recording.tensor(&x).unwrap();
        let capture = LayerCapture::of(&[2, 0]).heads(&[2, 1]);
        let (output, captured) = encoder.record_captured(&mut recording, &input, &options, &capture).unwrap();
        for value in captured.iter().chain([&output]) {
            recording.output(value).unwrap();
        }
        let outputs = recording.run().unwrap();
        // What the options of a layer would give nobody would get.
        let capture = Some(Capture::default());
        for given in [
            MultiHeadAttentionOptions { capture, ..options },
            MultiHeadAttentionOptions { weights: AttentionWeights::PerHead, ..options },
            MultiHeadAttentionOptions { weights: AttentionWeights::Averaged, ..options },
        ] {
            let mut recording = Recording::new(&device);
            let input = recording.tensor(&x).unwrap();
            let words = ["encoder: options.", "None (record_captured"];
            common::assert_refused(encoder.record(&mut recording, &input, &given), &words);
        }
        // Nothing else changes by looking.
        assert_eq!(outputs.tensor(&output).unwrap().to_f32().unwrap(), without, "{}", device.name());

        let mut recording = Recording::new(&device);
        let mut input = recording.tensor(&x).unwrap();
        let mut unfused = Vec::new();
        let options = MultiHeadAttentionOptions { weights: AttentionWeights::PerHead, ..options };
        for layer in encoder.layers() {
            let values = layer.record(&mut recording, &input, &options).unwrap();
            let weights = values.weights.unwrap();
            recording.output(&weights).unwrap();
            (input, unfused) = (values.output, [unfused, vec![weights]].concat());
        }
        let expected = recording.run().unwrap();
        for (layer, value) in [2, 0].into_iter().zip(&captured) {
            assert_eq!(value.shape().dims(), [batch, 2, length, length]);
            let got = outputs.tensor(value).unwrap().to_f32().unwrap();
            let whole = expected.tensor(&unfused[layer]).unwrap().to_f32().unwrap();
            let head = length * length;
            for (item, head_place, number) in [(0, 0, 2), (0, 1, 1), (1, 0, 2), (1, 1, 1)] {
                let what = format!("{}: layer {layer}, head {number} of text {item}", device.name());
                let got = &got[(item * 2 + head_place) * head..][..head];
                near(&what, got, &whole[(item * HEADS + number) * head..][..head]);
                rows_sum_to_one(&what, got, length);
                let padding = got.chunks(length).flat_map(|row| &row[lengths[item] as usize..]);
                assert!(padding.into_iter().all(|&weight| weight == 0.0), "{what}: padding");
            }
        }
    }
}

#[test]
fn a_model_says_where_it_attends() {
    for device in common::devices() {
        let embedder = Embedder::from_dir(&device, tiny()).unwrap();
        let unfused = Device::open_with(if device.is_cpu() { "cpu" } else { "auto" }, {
            let mut options = DeviceOptions::default();
            options.implementations = vec!["attention=chained".to_owned()];
            options
        })
        .unwrap();
        for second in [None, Some("on the mat")] {
            let attended = embedder.attention("the cat sat", second, &LayerCapture::all()).unwrap();
            let maps = &attended.maps;
            let [layers, heads, rows, columns] = maps.shape();
            assert_eq!((layers, heads), (embedder.config().layers, embedder.config().heads));
            assert_eq!(maps.rows(), maps.columns());
            assert_eq!(rows, maps.rows().len());
            assert!(attended.truncation.is_none());
            rows_sum_to_one(device.name(), maps.weights(), columns);
            assert!(maps.rows()[0].is_special() && maps.rows()[rows - 1].is_special());
            let source: String = maps.rows().iter().map(|token| token.source.as_str()).collect();
            assert_eq!(source, format!("thecatsat{}", second.map_or("", |_| "onthemat")));
            assert_eq!(maps.rows().iter().any(|token| token.text == 1), second.is_some());
            rows_sum_to_one(device.name(), maps.words().weights(), maps.words().columns().len());
            let chained = Embedder::from_dir(&unfused, tiny()).unwrap();
            let same = chained.attention("the cat sat", second, &LayerCapture::all()).unwrap();
            near(device.name(), maps.weights(), same.maps.weights());
            let one = embedder.attention("the cat sat", second, &LayerCapture::of(&[1]).heads(&[1])).unwrap();
            assert_eq!(one.maps.map(0, 0), maps.map(1, 1), "{}", device.name());
            assert_eq!((one.maps.layers(), one.maps.heads()), (&[Some(1)][..], &[Some(1)][..]));
        }
    }
}

#[test]
fn what_cannot_be_captured_is_named() {
    let embedder = Embedder::from_dir(&Device::cpu(), tiny()).unwrap();
    let refused = |capture: &LayerCapture<'_>| match embedder.attention("the cat", None, capture) {
        Err(error @ Error::Argument { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(
        refused(&LayerCapture::of(&[0, 9]))
            .contains("a layer must be one of the 2 there are (0 to 1), but is 9")
    );
    assert!(refused(&LayerCapture::of(&[0, 0])).contains("named once"));
    let heads = refused(&LayerCapture::all().heads(&[0, 1, 4]));
    assert!(heads.contains("a head of layer 0 must be one of the ") && heads.contains("but is 4"), "{heads}");
    let maps = embedder.attention("the cat", None, &LayerCapture::all()).unwrap().maps;
    let bytes = 4 * maps.weights().len() as u64;
    let large = refused(&LayerCapture::all().max_bytes(bytes - 1));
    assert!(large.contains(&format!("at most {} bytes", bytes - 1)), "{large}");
    assert!(
        large.contains(&format!("{bytes} bytes (")) && large.contains("fewer layers or heads"),
        "{large}"
    );
    assert!(embedder.attention("the cat", None, &LayerCapture::all().max_bytes(bytes)).is_ok());
    let none = embedder.attention("the cat", None, &LayerCapture::none().max_bytes(0)).unwrap();
    assert_eq!(none.maps.shape()[0], 0);
    let encoder = encoder(&Device::cpu());
    let mut recording = Recording::new(&Device::cpu());
    let x = recording.temporary([2, 3, DIM], DType::F32).unwrap();
    let options = MultiHeadAttentionOptions::default();
    let capture = LayerCapture::of(&[LAYERS]);
    let error = encoder.record_captured(&mut recording, &x, &options, &capture).unwrap_err();
    assert!(error.to_string().contains("0 to 2"), "{error}");
}

#[test]
fn a_batch_with_padding_gives_weights_for_each_text() {
    use attentive::models::BertEncoder;
    use attentive::weights::EmbedderFolder;
    let device = Device::cpu();
    let folder = EmbedderFolder::open(tiny()).unwrap();
    let encoder = BertEncoder::load(&device, &folder.config, &folder.checkpoint, DType::F32).unwrap();
    let ids =
        ["the cat sat on the mat", "the cat"].map(|text| folder.tokenizer.encode(text, 16).unwrap().ids);
    let mut recording = Recording::new(&device);
    let ids: Vec<&[u32]> = ids.iter().map(|ids| ids.as_slice()).collect();
    let batch = TokenBatch::new(&ids);
    let (_, lengths, captured) =
        encoder.record_captured(&mut recording, batch, &LayerCapture::of(&[1])).unwrap();
    recording.output(&captured[0]).unwrap();
    let weights = recording.run().unwrap().tensor(&captured[0]).unwrap();
    let longest = ids[0].len();
    assert_eq!(weights.shape().dims(), [2, folder.config.heads, longest, longest]);
    let weights = weights.to_f32().unwrap();
    rows_sum_to_one("both texts", &weights, longest);
    let second = &weights[folder.config.heads * longest * longest..];
    assert!(second.chunks(longest).all(|row| row[lengths[1] as usize..].iter().all(|&weight| weight == 0.0)));
}
