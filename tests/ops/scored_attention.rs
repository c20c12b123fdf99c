//! Additive and Luong's attention through the ops: against the f64 oracle with shared keys, sizes of 0, and what is
//! refused. PyTorch's answers are case files (tests/cases).

use crate::common::{self, assert_agrees, assert_refused, value, zeros};
use attentive::kernel::Inputs;
use attentive::ops::{
    AdditiveAttention, AdditiveAttentionWeights, HostAdditiveAttention, LuongAttention, LuongScore,
    ScoredAttentionValues,
};
use attentive::reference::additive::{Dims, additive};
use attentive::reference::rounding_floor;
use attentive::{DType, Device, Recording, Tensor};

/// Output and weights.
fn run(recording: Recording, values: &ScoredAttentionValues) -> [Vec<f32>; 2] {
    let mut recording = recording;
    recording.output(&values.output).unwrap();
    let weights = values.weights.as_ref().unwrap();
    recording.output(weights).unwrap();
    let outputs = recording.run().unwrap();
    [&values.output, weights].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap())
}

/// x `[rows, columns]` times Wᵀ, plus b, in f64, rounded.
fn projected(x: &[f32], weight: &[f32], bias: &[f32], columns: usize) -> Vec<f32> {
    let row = |x: &[f32]| -> Vec<f32> {
        let sum = |(row, &bias): (&[f32], &f32)| {
            let products = row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            (products.sum::<f64>() + f64::from(bias)) as f32
        };
        weight.chunks_exact(columns).zip(bias).map(sum).collect()
    };
    x.chunks_exact(columns).flat_map(row).collect()
}

#[test]
fn queries_share_keys() {
    // Two texts of three beams each, whose queries are one or two long.
    for queries in [1, 2] {
        let (texts, beams, keys, [query_dim, key_dim, width, value_dim]) = (2, 3, 9, [5, 7, 12, 6]);
        let mut random = Inputs::new(7);
        let rows = texts * beams * queries;
        let q = random.values(rows * query_dim, 1.0);
        let k = random.values(texts * keys * key_dim, 1.0);
        let v = random.values(texts * keys * value_dim, 1.0);
        let (query_weight, key_weight) =
            (random.values(width * query_dim, 0.4), random.values(width * key_dim, 0.4));
        let (bias, score_weight) = (random.values(width, 0.3), random.values(width, 1.0));
        let lengths = [9, 4];
        let dims = Dims { items: texts, queries: beams * queries, keys, width, value_dim };
        let expected = additive(
            &projected(&q, &query_weight, &vec![0.0; width], query_dim),
            &projected(&k, &key_weight, &bias, key_dim),
            &v,
            &score_weight,
            Some(&lengths),
            dims,
        );
        let host = HostAdditiveAttention {
            query_weight: &query_weight,
            key_weight: &key_weight,
            bias: Some(&bias),
            score_weight: &score_weight,
        };
        let on = |device: &Device, on_device: bool, precomputed: bool| {
            let weights =
                AdditiveAttentionWeights::new(device, [query_dim, key_dim], &host, DType::F32).unwrap();
            let mut recording = Recording::new(device);
            let q = value(&mut recording, &[texts * beams, queries, query_dim], &q);
            let k = value(&mut recording, &[texts, keys, key_dim], &k);
            let v = value(&mut recording, &[texts, keys, value_dim], &v);
            let tensor = Tensor::from_u32(device, [texts], &lengths).unwrap();
            let value = recording.tensor(&tensor).unwrap();
            let attention = AdditiveAttention::new(&weights).with_weights();
            let attention = match on_device {
                true => attention.key_lengths_value(&value),
                false => attention.key_lengths(&lengths),
            };
            let values = match precomputed {
                true => {
                    let k = weights.project_keys(&mut recording, &k).unwrap();
                    attention.record_projected(&mut recording, &q, &k, &v).unwrap()
                }
                false => attention.record(&mut recording, &q, &k, &v).unwrap(),
            };
            assert_eq!(values.output.shape().dims(), [texts * beams, queries, value_dim]);
            assert_eq!(values.weights.as_ref().unwrap().shape().dims(), [texts * beams, queries, keys]);
            run(recording, &values)
        };
        let twin = on(&Device::cpu(), false, false);
        for device in common::devices() {
            for (on_device, precomputed) in [(false, false), (true, true)] {
                let got = on(&device, on_device, precomputed);
                // The projections were rounded too.
                let floor = rounding_floor(width, 12.0);
                assert_agrees(&device, "output", (&got[0], &twin[0], &expected.output), floor);
                assert_agrees(&device, "weights", (&got[1], &twin[1], &expected.weights), floor);
            }
        }
    }
}

#[test]
fn luongs_dot_of_shared_keys_is_that_of_repeated_ones() {
    for device in common::devices() {
        let mut random = Inputs::new(8);
        let (q, k, v) =
            (random.values(6 * 4, 1.0), random.values(2 * 5 * 4, 1.0), random.values(2 * 5 * 3, 1.0));
        let repeat = |x: &[f32]| -> Vec<f32> {
            x.chunks_exact(x.len() / 2).flat_map(|item| [item, item, item].concat()).collect()
        };
        let on = |items: usize, k: &[f32], v: &[f32], lengths: &[u32]| {
            let mut recording = Recording::new(&device);
            let q = value(&mut recording, &[6, 1, 4], &q);
            let (k, v) = (value(&mut recording, &[items, 5, 4], k), value(&mut recording, &[items, 5, 3], v));
            let attention = LuongAttention::new(&LuongScore::Dot).key_lengths(lengths).with_weights();
            let values = attention.record(&mut recording, &q, &k, &v).unwrap();
            run(recording, &values)
        };
        let (shared, own) = (on(2, &k, &v, &[5, 2]), on(6, &repeat(&k), &repeat(&v), &[5, 5, 5, 2, 2, 2]));
        for (shared, own) in shared.iter().flatten().zip(own.iter().flatten()) {
            // Perhaps by other implementations.
            assert!((shared - own).abs() <= 1e-6, "{}: {shared} for {own}", device.name());
        }
    }
}

fn weights(device: &Device, [query_dim, key_dim, width]: [usize; 3]) -> AdditiveAttentionWeights {
    let host = HostAdditiveAttention {
        query_weight: &vec![0.5; width * query_dim],
        key_weight: &vec![0.5; width * key_dim],
        bias: None,
        score_weight: &vec![1.0; width],
    };
    AdditiveAttentionWeights::new(device, [query_dim, key_dim], &host, DType::F32).unwrap()
}

#[test]
fn sizes_of_0() {
    for device in common::devices() {
        // B, Lq, Lk, Dq, Dk, A, Dv: one of them 0 at a time.
        for zero in 0..7 {
            let mut sizes = [2, 3, 4, 5, 6, 7, 8];
            sizes[zero] = 0;
            let [batch, queries, keys, query_dim, key_dim, width, value_dim] = sizes;
            let weights = weights(&device, [query_dim, key_dim, width]);
            let mut recording = Recording::new(&device);
            let ones = |recording: &mut Recording, shape: [usize; 3]| {
                value(recording, &shape, &vec![1.0; shape.iter().product()])
            };
            let q = ones(&mut recording, [batch, queries, query_dim]);
            let k = ones(&mut recording, [batch, keys, key_dim]);
            let v = ones(&mut recording, [batch, keys, value_dim]);
            let attention = AdditiveAttention::new(&weights).with_weights();
            let values = attention.record(&mut recording, &q, &k, &v).unwrap();
            let [output, weights] = run(recording, &values);
            // Without keys 0, else the mean of ones; all scores are alike.
            let expected = if keys == 0 { 0.0 } else { 1.0 };
            assert_eq!(output.len(), batch * queries * value_dim);
            assert!(output.iter().all(|&x| (x - expected).abs() < 1e-6), "{}: {output:?}", device.name());
            assert_eq!(weights.len(), batch * queries * keys);
            assert!(weights.iter().all(|&x| (x - 0.25).abs() < 1e-6), "{}: {weights:?}", device.name());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::cpu();
    let weights = weights(&device, [5, 6, 7]);
    let mut recording = Recording::new(&device);
    let mut record = |shapes: [&[usize]; 3], lengths: Option<&[u32]>| {
        let [q, k, v] = shapes.map(|shape| zeros(&mut recording, shape));
        let mut attention = AdditiveAttention::new(&weights);
        if let Some(lengths) = lengths {
            attention = attention.key_lengths(lengths);
        }
        attention.record(&mut recording, &q, &k, &v).map(|_| ())
    };
    let (q, k, v): (&[usize], &[usize], &[usize]) = (&[4, 3, 5], &[2, 9, 6], &[2, 9, 8]);
    record([q, k, v], Some(&[9, 0])).unwrap();
    assert_refused(record([&[4, 3, 4], k, v], None), &["query", "[batch, length, 5]", "[4, 3, 4]"]);
    assert_refused(record([&[4, 5], k, v], None), &["query", "[batch, length, 5]", "[4, 5]"]);
    assert_refused(record([q, &[2, 9, 7], v], None), &["key", "[batch, length, 6]", "[2, 9, 7]"]);
    assert_refused(record([q, k, &[2, 8, 8]], None), &["value", "[2, 9, columns]", "[2, 9, 6]", "[2, 8, 8]"]);
    assert_refused(record([q, k, &[2, 9]], None), &["value", "[2, 9]"]);
    assert_refused(record([&[3, 3, 5], k, v], None), &["query", "a multiple of 2", "[3, 3, 5]"]);
    assert_refused(record([q, &[0, 9, 6], &[0, 9, 8]], None), &["query", "a multiple of 0"]);
    assert_refused(record([q, k, v], Some(&[9])), &["key_lengths", "one for each of 2 items", "[9]"]);
    assert_refused(record([q, k, v], Some(&[9, 10])), &["key_lengths", "at most 9", "[9, 10]"]);

    let words = Tensor::from_u32(&device, [2, 9, 6], &[0; 108]).unwrap();
    let words = recording.tensor(&words).unwrap();
    let [q, k, v] = [q, k, v].map(|shape| zeros(&mut recording, shape));
    let attention = AdditiveAttention::new(&weights);
    assert_refused(attention.record(&mut recording, &q, &words, &v), &["key", "f32", "u32"]);
    assert_refused(
        attention.record_projected(&mut recording, &q, &k, &v),
        &["projected_key", "[batch, length, 7]"],
    );
    let wrong = attention.key_lengths_value(&v).record(&mut recording, &q, &k, &v);
    assert_refused(wrong, &["key_lengths", "u32", "f32"]);

    let host = HostAdditiveAttention {
        query_weight: &[0.0; 34],
        key_weight: &[0.0; 42],
        bias: Some(&[0.0; 6]),
        score_weight: &[0.0; 7],
    };
    let make = |host| AdditiveAttentionWeights::new(&device, [5, 6], &host, DType::F32);
    assert_refused(make(host), &["query_weight", "[7, 5], 35 elements", "34 elements"]);
    let host = HostAdditiveAttention { query_weight: &[0.0; 35], ..host };
    assert_refused(make(host), &["bias", "[7]", "6 elements"]);
    let concatenated =
        AdditiveAttentionWeights::concatenated(&device, [5, 6], &[0.0; 70], None, &[0.0; 7], DType::F32);
    assert_refused(concatenated, &["weight", "[7, 5 + 6]", "70 elements"]);
    let sizes = [usize::MAX, 2];
    assert!(LuongScore::concat(&device, sizes, &[], &[0.0; 7], DType::F32).is_err());
    assert_refused(LuongScore::general(&device, sizes, &[], DType::F32), &["weight", "0 elements"]);

    let mut luong = |score: &LuongScore, lengths: Option<&[u32]>| {
        let mut attention = LuongAttention::new(score);
        if let Some(lengths) = lengths {
            attention = attention.key_lengths(lengths);
        }
        attention.record(&mut recording, &q, &k, &v).map(|_| ())
    };
    assert_refused(
        luong(&LuongScore::Dot, None),
        &["luong_attention", "query", "[batch, length, 6]", "[4, 3, 5]"],
    );
    let general = LuongScore::general(&device, [5, 6], &[0.0; 30], DType::F32).unwrap();
    luong(&general, Some(&[3, 9])).unwrap();
    assert_refused(luong(&general, Some(&[3, 9, 1])), &["key_lengths", "2 items"]);
    assert_refused(luong(&general, Some(&[3, 11])), &["key_lengths", "at most 9"]);
    let general = LuongScore::general(&device, [5, 7], &[0.0; 35], DType::F32).unwrap();
    assert_refused(luong(&general, None), &["key", "[batch, length, 7]", "[2, 9, 6]"]);
}
