//! Gradients of attention, by its options, against central differences of the f64 oracle.

use attentive::ops::{Attention, Causal, Heads, Layout, Mask};
use attentive::recording::Value;
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::{Device, DeviceOptions, Error, Recording, Result};

use crate::common;
use crate::gradients::{Input, check, check_on};

/// Two items, four heads on two key-value heads.
const DIMS: Dims = Dims { batch: 2, heads: 4, heads_kv: 2, queries: 5, keys: 6, head_dim: 4, value_dim: 3 };

/// Every device, with each way to compute the gradient.
fn devices() -> Vec<Device> {
    let mut devices = Vec::new();
    for implementation in ["chained", "tiled"] {
        let mut options = DeviceOptions::default();
        options.implementations = vec![format!("attention_gradient={implementation}")];
        devices.push(Device::open_with("cpu", options.clone()).unwrap());
        devices.extend(common::adapters_with(&options));
    }
    devices
}

fn inputs() -> Vec<Input> {
    let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = DIMS;
    vec![
        Input::new("q", &[batch, heads, queries, head_dim]),
        Input::new("k", &[batch, heads_kv, keys, head_dim]),
        Input::new("v", &[batch, heads_kv, keys, value_dim]),
    ]
}

fn recorded(recording: &mut Recording, values: &[Value], options: Attention<'_>) -> Result<Value> {
    let (q, k, v) = (Heads::dense(&values[0])?, Heads::dense(&values[1])?, Heads::dense(&values[2])?);
    Ok(options.output_layout(Layout::HeadsFirst).record(recording, &q, &k, &v)?.output)
}

fn exact(values: &[Vec<f32>], options: Options<'_>) -> Vec<f64> {
    let Dims { heads, heads_kv, queries, keys, head_dim, value_dim, .. } = DIMS;
    let q = View::new(&values[0], Strided::heads_first(heads, queries, head_dim));
    let k = View::new(&values[1], Strided::heads_first(heads_kv, keys, head_dim));
    let v = View::new(&values[2], Strided::heads_first(heads_kv, keys, value_dim));
    oracle::attention(q, k, v, DIMS, options)
}

#[test]
fn plain() {
    check_on(
        &devices(),
        "attention",
        &inputs(),
        |recording, values| recorded(recording, values, Attention::new()),
        |values| exact(values, Options::for_head_dim(4)),
    );
    // As a model's heads come: side by side in rows, of all three inputs in one value.
    let (heads, length, dim) = (2, 5, 3);
    let dims = Dims {
        batch: 2,
        heads,
        heads_kv: heads,
        queries: length,
        keys: length,
        head_dim: dim,
        value_dim: dim,
    };
    check_on(
        &devices(),
        "attention in packed rows",
        &[Input::new("qkv", &[2, length, 3 * heads * dim])],
        |recording, values| {
            let part = |part: usize| Heads::in_rows(&values[0], part * heads * dim, heads, dim);
            Ok(Attention::new().record(recording, &part(0)?, &part(1)?, &part(2)?)?.output)
        },
        |values| {
            let part = |part| View::new(&values[0], Strided::packed(part, 3, heads, length, dim));
            let y = oracle::attention(part(0), part(1), part(2), dims, Options::for_head_dim(dim));
            oracle::rows_first(&y, dims)
        },
    );
    // One value three times.
    check_on(
        &devices(),
        "attention of x to x",
        &[Input::new("x", &[1, 2, 4, 3])],
        |recording, values| {
            let x = Heads::dense(&values[0])?;
            Ok(Attention::new().output_layout(Layout::HeadsFirst).record(recording, &x, &x, &x)?.output)
        },
        |values| {
            let dims =
                Dims { batch: 1, heads: 2, heads_kv: 2, queries: 4, keys: 4, head_dim: 3, value_dim: 3 };
            let x = View::new(&values[0], Strided::heads_first(2, 4, 3));
            oracle::attention(x, x, x, dims, Options::for_head_dim(3))
        },
    );
}

#[test]
fn options() {
    let base = Options::for_head_dim(4);
    let softcapped = |attention: Attention<'static>| attention.softcap(1.5).scale(0.7);
    check_on(
        &devices(),
        "softcap and scale",
        &inputs(),
        |recording, values| recorded(recording, values, softcapped(Attention::new())),
        |values| exact(values, Options { scale: f64::from(0.7_f32), softcap: 1.5, ..base }),
    );
    for (causal, bound) in [
        (Causal::TopLeft, oracle::Causal::TopLeft),
        (Causal::BottomRight, oracle::Causal::BottomRight),
        // The first queries see nothing.
        (Causal::Offset(-2), oracle::Causal::Offset(-2)),
    ] {
        check_on(
            &devices(),
            &format!("{causal:?}"),
            &inputs(),
            |recording, values| recorded(recording, values, Attention::new().causal(causal)),
            |values| exact(values, Options { causal: bound, position: bound, ..base }),
        );
    }
    let lengths = [4, 0];
    check_on(
        &devices(),
        "window and lengths",
        &inputs(),
        |recording, values| {
            let options = Attention::new().window(Some(2), Some(1)).key_lengths(&lengths);
            recorded(recording, values, options)
        },
        |values| {
            let (window, key_lengths) = ([Some(2), Some(1)], Some(&lengths[..]));
            exact(values, Options { window, key_lengths, position: oracle::Causal::TopLeft, ..base })
        },
    );
    let (slopes, sinks) = ([0.5, 0.25, 1.0, 0.125], [0.5, -1.0, 0.0, 2.0]);
    check_on(
        &devices(),
        "slopes and sinks",
        &inputs(),
        |recording, values| recorded(recording, values, Attention::new().alibi_slopes(&slopes).sinks(&sinks)),
        |values| {
            let per_head = attentive::ops::PerHead::from_names(|name| match name {
                "alibi_slopes" => Some(&slopes[..]),
                "sinks" => Some(&sinks[..]),
                _ => None,
            });
            exact(values, Options { per_head, position: oracle::Causal::TopLeft, ..base })
        },
    );
}

#[test]
fn masks_of_floats_have_gradients() {
    for (dims, strides) in
        [(vec![5, 6], [0, 0, 6, 1]), (vec![2, 1, 1, 6], [6, 0, 0, 1]), (vec![4, 5, 6], [0, 30, 6, 1])]
    {
        let mut all = inputs();
        all.push(Input::new("mask", &dims));
        check(
            &format!("mask {dims:?}"),
            &all,
            |recording, values| recorded(recording, values, Attention::new().mask(Mask::Float(&values[3]))),
            |values| {
                let mask = oracle::Mask::Float { data: &values[3], strides };
                exact(values, Options { mask, ..Options::for_head_dim(4) })
            },
        );
    }
}

/// What is masked out may be NaN, and a row without keys gives nothing: gradients are finite, and 0 there.
#[test]
fn masked_places_give_zeros() {
    for device in devices() {
        let mut recording = Recording::training(&device, []).unwrap();
        let mut host: Vec<Vec<f32>> = inputs().iter().map(|input| input.values().to_vec()).collect();
        // Keys from 4 on are padding of item 0; item 1 has none.
        for (values, columns) in [(1, 4), (2, 3)] {
            host[values][4 * columns..6 * columns].fill(f32::NAN);
        }
        let shapes = [[2, 4, 5, 4], [2, 2, 6, 4], [2, 2, 6, 3]];
        let values: Vec<Value> = shapes
            .iter()
            .zip(&host)
            .map(|(shape, host)| common::value(&mut recording, shape, host))
            .collect();
        values.iter().for_each(|value| recording.track(value).unwrap());
        let y = recorded(&mut recording, &values, Attention::new().key_lengths(&[4, 0])).unwrap();
        let upstream = Input::new("upstream", &[2, 4, 5, 3]);
        let seed = common::value(&mut recording, &[2, 4, 5, 3], upstream.values());
        let gradients = recording.backward_from(&y, &seed).unwrap();
        let found: Vec<Value> = values.iter().map(|value| gradients.of(&recording, value).unwrap()).collect();
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let outputs = recording.run().unwrap();
        let got: Vec<Vec<f32>> =
            found.iter().map(|gradient| outputs.tensor(gradient).unwrap().to_f32().unwrap()).collect();
        for (place, (got, shape)) in got.iter().zip(shapes).enumerate() {
            let item = shape[1] * shape[2] * shape[3];
            // Head 0 of item 0 has a NaN in its keys' padding alone, and head 1 none.
            assert!(got.iter().all(|value| value.is_finite()), "{}: {place}: {got:?}", device.name());
            assert!(got[item..].iter().all(|&value| value == 0.0), "{}: {place}", device.name());
            if place > 0 {
                let columns = shape[3];
                assert!(got[4 * columns..6 * columns].iter().all(|&value| value == 0.0), "{}", device.name());
                assert!(got[..4 * columns].iter().any(|&value| value != 0.0), "{}", device.name());
            }
        }
    }
}

#[test]
fn what_has_no_gradient_is_said() {
    let device = attentive::Device::cpu();
    let mut recording = Recording::training(&device, []).unwrap();
    let values: Vec<Value> = [[2, 4, 5, 4], [2, 2, 6, 4], [2, 2, 6, 3]]
        .iter()
        .map(|shape| common::zeros(&mut recording, shape))
        .collect();
    let slopes = common::zeros(&mut recording, &[4]);
    recording.track(&slopes).unwrap();
    let outcome = recorded(&mut recording, &values, Attention::new().alibi_slopes_value(&slopes));
    assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
    // The weights beside the output have no rule: who reads them is told.
    recording.track(&values[0]).unwrap();
    let (q, k, v) = (
        Heads::dense(&values[0]).unwrap(),
        Heads::dense(&values[1]).unwrap(),
        Heads::dense(&values[2]).unwrap(),
    );
    let attended = Attention::new().with_weights().record(&mut recording, &q, &k, &v).unwrap();
    let weights = attended.weights.unwrap();
    let outcome = attentive::ops::sum(&mut recording, &weights, 0..1);
    assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
}
