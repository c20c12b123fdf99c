//! Gradients of additive attention and of Luong's scores.

use crate::common;
use crate::gradients::{Input, check, check_empty};
use attentive::kernel::Inputs;
use attentive::ops::{
    AdditiveAttention, AdditiveAttentionWeights, HostAdditiveAttention, LuongAttention, LuongScore,
    ScoredAttentionValues, concat,
};
use attentive::recording::Value;
use attentive::reference::additive::{Dims, additive};
use attentive::reference::attention::{self as scaled, Options, Strided, View};
use attentive::{DType, Device, Recording, Result};

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
