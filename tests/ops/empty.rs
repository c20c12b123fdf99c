//! Sizes of 0 are no special case: empty results for empty inputs, zeros where there is nothing to sum, and no panic.

use crate::common;
use attentive::ops::{
    Attention, EmbeddingTables, Gemm, Heads, LayerNorm, LayerNormWeights, Layout, Linear, LinearWeights,
    Mask, RotaryEmbedding, Tokens, activate, add, cast, embedding_norm, layer_norm, matmul, multiply, pool,
    rms_norm, softmax, subtract,
};
use attentive::recording::Value;
use attentive::{Activation, Causal, DType, Device, Error, Pooling, Recording, Result, Tensor};

/// Fills the device's idle buffers with NaN, so that a result that nothing wrote shows.
fn poison(device: &Device) {
    let tensors = [4, 16, 64, 300, 2000].map(|count| vec![f32::NAN; count]);
    for values in tensors.iter().chain(&tensors) {
        drop(Tensor::from_f32(device, [values.len()], values).unwrap());
    }
}

fn run(device: &Device, record: impl FnOnce(&mut Recording) -> Result<Value>) -> Result<Tensor> {
    poison(device);
    let mut recording = Recording::new(device);
    let value = record(&mut recording)?;
    recording.output(&value)?;
    recording.run()?.tensor(&value)
}

fn ones(recording: &mut Recording, shape: &[usize]) -> Value {
    let tensor = Tensor::from_f32(recording.device(), shape, &vec![1.0; shape.iter().product()]).unwrap();
    recording.tensor(&tensor).unwrap()
}

#[test]
fn attention_with_an_axis_of_0() {
    // B, H, Lq, Lk, D, Dv; one of them 0 at a time, and all but the keys' of a decoder's first step.
    for sizes in [
        [0, 2, 3, 4, 8, 8],
        [1, 0, 3, 4, 8, 8],
        [2, 2, 0, 4, 8, 8],
        [2, 2, 3, 0, 8, 5],
        [2, 2, 3, 4, 8, 0],
        [0; 6],
    ] {
        let [batch, heads, queries, keys, head_dim, value_dim] = sizes;
        for device in common::devices() {
            for (causal, with_weights) in [(Causal::None, false), (Causal::BottomRight, true)] {
                let lengths = vec![keys as u32; batch];
                let outcome = run(&device, |recording| {
                    let q = ones(recording, &[batch, heads, queries, head_dim]);
                    let k = ones(recording, &[batch, heads, keys, head_dim]);
                    let v = ones(recording, &[batch, heads, keys, value_dim]);
                    let mut options = Attention::new().causal(causal);
                    if with_weights {
                        options = options.with_weights().key_lengths(&lengths);
                    }
                    let values = options.record(
                        recording,
                        &Heads::dense(&q)?,
                        &Heads::dense(&k)?,
                        &Heads::dense(&v)?,
                    )?;
                    let weights = values.weights.map(|weights| weights.shape().dims().to_vec());
                    assert_eq!(weights.is_some(), with_weights);
                    assert!(weights.is_none_or(|shape| shape == [batch, heads, queries, keys]));
                    Ok(values.output)
                });
                let what = format!("{}: {sizes:?} {causal:?}", device.name());
                if head_dim == 0 {
                    assert!(matches!(outcome, Err(Error::Argument { .. })), "{what}: {outcome:?}");
                    continue;
                }
                let output = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(output.shape().dims(), [batch, queries, heads * value_dim], "{what}");
                // Without keys there is nothing to weigh: zeros.
                let values = output.to_f32().unwrap();
                assert_eq!(values.len(), batch * queries * heads * value_dim, "{what}");
                assert!(values.iter().all(|&value| value == 0.0), "{what}: {values:?}");
            }
        }
    }
}

#[test]
fn attention_of_nothing_by_each_implementation() {
    let sinks = [0.5, -1.5];
    for device in common::devices() {
        for name in common::attention_implementations(&device) {
            // B, H, Lq, Lk; no key for any query, or for some.
            for (sizes, seen) in [
                ([0, 2, 3, 4], [4; 3]),
                ([3, 0, 3, 4], [4; 3]),
                ([3, 2, 0, 4], [4; 3]),
                ([3, 2, 3, 0], [0; 3]),
                ([3, 2, 40, 0], [0; 3]),
                ([3, 2, 3, 4], [0, 4, 0]),
                ([3, 2, 3, 70], [0; 3]),
                ([3, 2, 40, 70], [0, 70, 1]),
            ] {
                let [batch, heads, queries, keys] = sizes;
                let seen = &seen[..batch];
                for (with_sinks, given_by) in
                    [(false, "lengths"), (true, "lengths"), (false, "a mask"), (true, "blocks")]
                {
                    let what = format!("{}: {name} {sizes:?} {seen:?} by {given_by}", device.name());
                    poison(&device);
                    let mut recording = Recording::new(&device);
                    let q = ones(&mut recording, &[batch, heads, queries, 8]);
                    let k = ones(&mut recording, &[batch, heads, keys, 8]);
                    let v = ones(&mut recording, &[batch, heads, keys, 5]);
                    let keep =
                        seen.iter().flat_map(|&seen| (0..keys as u32).map(move |key| u32::from(key < seen)));
                    let keep: Vec<u32> = keep.collect();
                    let mask = Tensor::from_u32(&device, [batch, 1, 1, keys], &keep).unwrap();
                    let mask = recording.tensor(&mask).unwrap();
                    // A block for each item.
                    let table: Vec<u32> = if keys == 0 { Vec::new() } else { (0..batch as u32).collect() };
                    let mut options = Attention::new().implementation(name).with_log_sum_exp();
                    options = match given_by {
                        "a mask" => options.mask(Mask::Bool(&mask)),
                        "blocks" => options.page_table(&table).key_lengths(seen),
                        _ => options.key_lengths(seen),
                    };
                    options = if with_sinks { options.sinks(&sinks[..heads]) } else { options };
                    let [q, k, v] = [&q, &k, &v].map(|value| Heads::dense(value).unwrap());
                    let made = options.output_layout(Layout::HeadsFirst).record(&mut recording, &q, &k, &v);
                    let made = made.unwrap_or_else(|error| panic!("{what}: {error}"));
                    let sums = made.log_sum_exp.unwrap();
                    recording.output(&made.output).unwrap();
                    recording.output(&sums).unwrap();
                    let outputs = recording.run().unwrap();
                    let [output, sums] =
                        [&made.output, &sums].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap());
                    assert_eq!(
                        (output.len(), sums.len()),
                        (batch * heads * queries * 5, batch * heads * queries)
                    );
                    for (row, (output, sum)) in output.chunks_exact(5).zip(sums).enumerate() {
                        let (item, head) = (row / queries / heads, row / queries % heads);
                        let count = seen[item] as f32;
                        // All scores are √8 and all values 1, and a sink has a weight but no value.
                        let sink = if with_sinks { sinks[head].exp() } else { 0.0 };
                        let total = count * 8.0_f32.sqrt().exp() + sink;
                        let (value, log) = match seen[item] {
                            0 => (0.0, if with_sinks { sinks[head] } else { f32::NEG_INFINITY }),
                            _ => (1.0 - sink / total, total.ln()),
                        };
                        let near = |a: f32, b: f32| a == b || (a - b).abs() <= 1e-5;
                        let exactly = seen[item] == 0;
                        let right = |&got: &f32| if exactly { got == 0.0 } else { near(got, value) };
                        assert!(output.iter().all(right), "{what}: row {row} is {output:?}, not {value}");
                        assert!(near(sum, log), "{what}: the sum of row {row} is {sum}, not {log}");
                    }
                }
            }
        }
    }
}

#[test]
fn linear_with_an_axis_of_0() {
    for device in common::devices() {
        for ([rows, inputs, outputs], transposed) in
            [([0, 8, 5], true), ([3, 8, 0], true), ([3, 0, 5], true), ([3, 0, 5], false), ([0, 0, 0], true)]
        {
            let what = format!("{}: [{rows}, {inputs}] to {outputs}", device.name());
            let bias: Vec<f32> = (0..outputs).map(|column| column as f32 - 2.0).collect();
            let weight = vec![1.0; inputs * outputs];
            let weights = match transposed {
                true => {
                    LinearWeights::new(&device, [outputs, inputs], &weight, Some(&bias), DType::F32).unwrap()
                }
                false => {
                    let weight = Tensor::from_f32(&device, [inputs, outputs], &weight).unwrap();
                    let bias = Tensor::from_f32(&device, [outputs], &bias).unwrap();
                    LinearWeights::from_tensors(&weight, Some(&bias), false).unwrap()
                }
            };
            let output = run(&device, |recording| {
                let x = ones(recording, &[rows, inputs]);
                let residual = ones(recording, &[rows, outputs]);
                let linear = Linear::new(&weights).activation(Activation::Relu).residual(&residual);
                linear.record(recording, &x)
            });
            let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(output.shape().dims(), [rows, outputs], "{what}");
            // A sum of no products is 0: relu(bias) + residual.
            let expected: Vec<f32> = (0..rows).flat_map(|_| bias.iter().map(|b| b.max(0.0) + 1.0)).collect();
            assert_eq!(output.to_f32().unwrap(), expected, "{what}");
        }
    }
}

#[test]
fn layer_norm_of_no_rows() {
    for device in common::devices() {
        let norm = LayerNormWeights::new(&device, &[1.0; 7], &[0.0; 7], 1e-5).unwrap();
        let y = run(&device, |recording| {
            let x = ones(recording, &[2, 0, 7]);
            layer_norm(recording, &x, Some(&x), &norm)
        });
        let y = y.unwrap();
        assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (&[2, 0, 7][..], 0));
        // Of no columns there is no mean.
        let nothing = LayerNormWeights::new(&device, &[], &[], 1e-5).unwrap();
        let error = run(&device, |recording| {
            let x = ones(recording, &[2, 0]);
            layer_norm(recording, &x, None, &nothing)
        });
        let message = error.unwrap_err().to_string();
        assert!(message.contains("layer_norm") && message.contains("[2, 0]"), "{message}");
    }
}

#[test]
fn pooling_of_nothing() {
    for device in common::devices() {
        for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Max] {
            for ([batch, length, columns], lengths) in [
                ([0, 4, 6], vec![]),
                ([2, 0, 6], vec![0, 0]),
                ([2, 4, 0], vec![4, 1]),
                ([2, 4, 6], vec![0, 0]),
            ] {
                let y = run(&device, |recording| {
                    let x = ones(recording, &[batch, length, columns]);
                    pool(recording, &x, &lengths, pooling, true)
                });
                let what = format!("{}: {pooling:?} [{batch}, {length}, {columns}]", device.name());
                let y = y.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(y.shape().dims(), [batch, columns], "{what}");
                // Not NaN: zeros have a norm of 0, and are left as they are.
                assert_eq!(y.to_f32().unwrap(), vec![0.0; batch * columns], "{what}");
            }
        }
    }
}

#[test]
fn embedding_of_no_tokens() {
    for device in common::devices() {
        let norm = LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
        let mut tables = EmbeddingTables::new(&device, &[0.0; 8], None, norm).unwrap();
        tables.push_words(&device, &[1.0; 12], DType::F32).unwrap();
        let tokens = Tokens { ids: &[], positions: &[], types: &[] };
        let y = run(&device, |recording| embedding_norm(recording, tokens, &tables)).unwrap();
        assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (&[0, 4][..], 0));
    }
}

#[test]
fn an_empty_tensor_and_an_empty_recording() {
    for device in common::devices() {
        let tensor = Tensor::from_f32(&device, [3, 0], &[]).unwrap();
        assert_eq!((tensor.to_f32().unwrap(), tensor.bytes()), (vec![], 0));
        let statistics = Recording::new(&device).run().unwrap().statistics;
        assert_eq!((statistics.dispatches, statistics.submits), (0, 0), "{}", device.name());
    }
}

#[test]
fn casts_of_nothing() {
    for device in common::devices() {
        for dtype in [DType::F16, DType::F32] {
            let y = run(&device, |recording| {
                let x = ones(recording, &[2, 0, 3]);
                let half = cast(recording, &x, DType::F16)?;
                cast(recording, &half, dtype)
            });
            let y = y.unwrap();
            assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (&[2, 0, 3][..], 0));
        }
    }
}

#[test]
fn norms_of_no_rows() {
    for device in common::devices() {
        for (shape, axis) in [(&[2, 0, 7][..], -1), (&[0, 2, 7], 1), (&[0, 7], 1)] {
            let y = run(&device, |recording| {
                let (x, gamma) = (ones(recording, shape), ones(recording, &[7]));
                let y = rms_norm(recording, &x, &gamma, axis, 1e-5)?;
                // One γ for each row, of which there are none.
                let rows = ones(recording, &[&[shape[0]][..], &vec![1; shape.len() - 1]].concat());
                rms_norm(recording, &y, &rows, axis, 1e-5)
            });
            let y = y.unwrap();
            assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (shape, 0));
            let mean = run(&device, |recording| {
                let (x, gamma) = (ones(recording, shape), ones(recording, &[7]));
                let norm = LayerNorm::new(&gamma).beta(&gamma).axis(axis).with_moments();
                Ok(norm.record(recording, &x)?.mean.unwrap())
            });
            assert_eq!(mean.unwrap().to_f32().unwrap().len(), 0);
        }
    }
}

#[test]
fn softmax_activations_and_rotary_embeddings_of_nothing() {
    for device in common::devices() {
        for (shape, axis) in [(&[0][..], 0), (&[2, 0], 1), (&[2, 0], 0), (&[3, 0, 4], -1)] {
            let y = run(&device, |recording| {
                let x = ones(recording, shape);
                let y = softmax(recording, &x, axis)?;
                activate(recording, &y, Activation::Gelu)
            });
            let y = y.unwrap();
            assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (shape, 0));
        }
        for sizes in [[0, 4, 3, 8], [2, 0, 3, 8], [2, 4, 0, 8], [2, 4, 3, 0]] {
            let y = run(&device, |recording| {
                let x = ones(recording, &sizes);
                let table = ones(recording, &[sizes[0], sizes[2], sizes[3] / 2]);
                let y = RotaryEmbedding::new(&table, &table).record(recording, &x)?;
                let table = ones(recording, &[5, sizes[3] / 2]);
                let positions = vec![4; sizes[0] * sizes[2]];
                RotaryEmbedding::new(&table, &table).positions(&positions).record(recording, &y)
            });
            let y = y.unwrap();
            assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (&sizes[..], 0));
        }
    }
}

#[test]
fn sums_differences_and_products_of_nothing() {
    for device in common::devices() {
        for (a, b, shape) in [
            (&[0][..], &[1][..], &[0][..]),
            (&[1], &[0], &[0]),
            (&[2, 0, 5], &[0, 1], &[2, 0, 5]),
            (&[2, 1, 5], &[0, 5], &[2, 0, 5]),
            (&[0, 3], &[], &[0, 3]),
            (&[0; 9], &[1, 0, 1, 0, 1], &[0; 9]),
        ] {
            for op in [add, subtract, multiply] {
                let y = run(&device, |recording| {
                    let (a, b) = (ones(recording, a), ones(recording, b));
                    op(recording, &a, &b)
                });
                let y = y.unwrap();
                assert_eq!((y.shape().dims(), y.to_f32().unwrap().len()), (shape, 0));
            }
        }
    }
}

#[test]
fn products_of_nothing() {
    for device in common::devices() {
        // Sums of no products are 0, and of no rows or columns there are none.
        for (a, b, c) in [
            (&[2, 0][..], &[0, 3][..], &[2, 3][..]),
            (&[5, 2, 0], &[5, 0, 3], &[5, 2, 3]),
            (&[0], &[0], &[]),
            (&[0, 4], &[4, 3], &[0, 3]),
            (&[2, 4], &[4, 0], &[2, 0]),
            (&[0, 2, 4], &[1, 4, 3], &[0, 2, 3]),
        ] {
            let y = run(&device, |recording| {
                let (a, b) = (ones(recording, a), ones(recording, b));
                matmul(recording, &a, &b)
            });
            let y = y.unwrap();
            assert_eq!(y.shape().dims(), c, "{}", device.name());
            assert_eq!(y.to_f32().unwrap(), vec![0.0; c.iter().product()], "{}: {a:?} {b:?}", device.name());
        }
        let y = run(&device, |recording| {
            let (a, b, c) = (ones(recording, &[0, 2]), ones(recording, &[0, 3]), ones(recording, &[2, 1]));
            Gemm::new().transpose_a().alpha(3.0).beta(0.5).c(&c).record(recording, &a, &b)
        });
        assert_eq!(y.unwrap().to_f32().unwrap(), [0.5; 6], "{}", device.name());
    }
}
