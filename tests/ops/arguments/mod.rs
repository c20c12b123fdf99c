//! Arguments that do not fit are errors that name the tensors, what was expected and what was given; never a panic.

mod layer_calls;
mod layers;

use std::ops::Range;

use crate::common::{self, assert_refused};
use attentive::layers::{
    HostLinear, MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionWeights,
};
use attentive::ops::{
    Attention, EmbeddingTable, EmbeddingTables, Gemm, Heads, LayerNorm, LayerNormWeights, Linear,
    LinearWeights, Mask, RotaryEmbedding, Tokens, activate, add, cast, concat, embedding_norm, gather_rows,
    layer_norm, matmul, multiply, permute, pool, rms_norm, rotary_tables, slice, softmax, subtract,
    transpose,
};
use attentive::recording::Value;
use attentive::{Activation, DType, Device, Pooling, Recording, Tensor, attention, half, wgpu};

fn zeros(device: &Device, shape: &[usize]) -> Tensor {
    Tensor::from_f32(device, shape, &vec![0.0; shape.iter().product()]).unwrap()
}

fn value(recording: &mut Recording, shape: &[usize]) -> Value {
    let tensor = zeros(recording.device(), shape);
    recording.tensor(&tensor).unwrap()
}

#[test]
fn shapes_of_attention() {
    for device in common::devices() {
        let run = |q: &[usize], k: &[usize], v: &[usize]| {
            attention(&zeros(&device, q), &zeros(&device, k), &zeros(&device, v)).run()
        };
        assert!(run(&[2, 4, 3, 8], &[2, 2, 5, 8], &[2, 2, 5, 6]).is_ok());
        let cases: [([&[usize]; 3], &[&str]); 8] = [
            (
                [&[4, 3, 8], &[2, 2, 5, 8], &[2, 2, 5, 8]],
                &["attention", "[batch, heads, length, head_dim]", "[4, 3, 8]"],
            ),
            ([&[2, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 8]], &["k must be", "q [2, 4, 3, 8]", "[1, 2, 5, 8]"]),
            ([&[2, 4, 3, 8], &[2, 2, 5, 7], &[2, 2, 5, 8]], &["k must be", "q [2, 4, 3, 8]", "[2, 2, 5, 7]"]),
            ([&[2, 4, 3, 8], &[2, 2, 5, 8], &[2, 2, 6, 8]], &["v must be", "k [2, 2, 5, 8]", "[2, 2, 6, 8]"]),
            ([&[2, 4, 3, 8], &[2, 2, 5, 8], &[2, 4, 5, 8]], &["v must be", "k [2, 2, 5, 8]", "[2, 4, 5, 8]"]),
            (
                [&[2, 4, 3, 8], &[2, 3, 5, 8], &[2, 3, 5, 8]],
                &["heads of q", "multiple of the 3", "k [2, 3, 5, 8]", "[2, 4, 3, 8]"],
            ),
            ([&[2, 4, 3, 8], &[2, 0, 5, 8], &[2, 0, 5, 8]], &["heads of q", "[2, 0, 5, 8]", "[2, 4, 3, 8]"]),
            ([&[2, 4, 3, 0], &[2, 4, 5, 0], &[2, 4, 5, 8]], &["head_dim", "at least 1", "[2, 4, 3, 0]"]),
        ];
        for ([q, k, v], words) in cases {
            assert_refused(run(q, k, v), words);
        }
    }
}

#[test]
fn masks_and_lengths_of_attention() {
    for device in common::devices() {
        let q = zeros(&device, &[2, 4, 3, 8]);
        let k = zeros(&device, &[2, 4, 5, 8]);
        let call = attention(&q, &k, &k);
        for lengths in [&[5][..], &[5, 5, 5], &[]] {
            let found = format!("{lengths:?}");
            assert_refused(call.key_lengths(lengths).run(), &["key_lengths", "2 batch items", &found]);
        }
        assert_refused(
            call.key_lengths(&[5, 6]).run(),
            &["key_lengths", "at most 5", "k [2, 4, 5, 8]", "[5, 6]"],
        );
        assert!(call.key_lengths(&[0, 5]).run().is_ok());
        for shape in [&[3][..], &[5, 3], &[2, 3, 5], &[3, 4, 3, 5], &[1, 1, 1, 3, 5], &[0]] {
            let (mask, found) = (zeros(&device, shape), format!("{shape:?}"));
            assert_refused(call.mask(&mask).run(), &["the mask", "broadcastable to [2, 4, 3, 5]", &found]);
        }
        let half = Tensor::from_f32_as_f16(&device, [3, 5], &[0.0; 15]).unwrap();
        assert!(call.mask(&half).run().is_ok());
        // What the mask is said to be must be what it is.
        let mut recording = Recording::new(&device);
        let (q, k) = (recording.tensor(&q).unwrap(), recording.tensor(&k).unwrap());
        let (q, k) = (Heads::dense(&q).unwrap(), Heads::dense(&k).unwrap());
        let float = value(&mut recording, &[3, 5]);
        let words = recording.tensor(&Tensor::from_u32(&device, [3, 5], &[1; 15]).unwrap()).unwrap();
        for (mask, expected, found) in
            [(Mask::Bool(&float), "u32", "f32"), (Mask::Float(&words), "f32", "u32")]
        {
            let outcome = Attention::new().mask(mask).record(&mut recording, &q, &k, &k);
            assert_refused(outcome.map(|_| ()), &["the mask", expected, found]);
        }
    }
}

#[test]
fn heads_in_rows() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let packed = value(&mut recording, &[2, 5, 24]);
        assert!(Heads::in_rows(&packed, 0, 3, 8).is_ok() && Heads::in_rows(&packed, 16, 1, 8).is_ok());
        assert_refused(Heads::in_rows(&packed, 1, 3, 8), &["25", "3 heads of 8", "[2, 5, 24]"]);
        assert_refused(Heads::in_rows(&packed, usize::MAX, 1, 8), &["1 heads of 8", "[2, 5, 24]"]);
        assert_refused(Heads::in_rows(&packed, 0, usize::MAX, 2), &["heads of 2", "[2, 5, 24]"]);
        let flat = value(&mut recording, &[10, 24]);
        assert_refused(Heads::in_rows(&flat, 0, 3, 8), &["[batch, length, width]", "[10, 24]"]);
        // Keys and values are stored alike.
        let half = Tensor::from_f32_as_f16(&device, [1, 1, 2, 2], &[0.0; 4]).unwrap();
        let single = zeros(&device, &[1, 1, 2, 2]);
        assert!(attention(&half, &half, &half).run().is_ok());
        assert_refused(attention(&single, &half, &single).run(), &["attention", "v", "f16", "f32"]);
    }
}

#[test]
fn sizes_whose_products_overflow() {
    // No element, so the tensor can be made; the other sizes' product does not fit a usize.
    let (huge, device) = (usize::MAX / 2, Device::cpu());
    let q = zeros(&device, &[0, huge, huge, 8]);
    assert!(attention(&q, &q, &q).run().is_err());
    let middle = zeros(&device, &[0, 1 << 31, 1 << 31, 8]);
    assert!(attention(&middle, &middle, &middle).run().is_err());
    // Nor are there 2⁶² heads to go through where none has a query.
    let q = zeros(&device, &[1 << 31, 1 << 31, 0, 1]);
    assert_eq!(attention(&q, &q, &q).run().unwrap().shape().dims(), [1 << 31, 1 << 31, 0, 1]);
    let outcome = LinearWeights::new(&device, [huge, huge], &[], None, DType::F32);
    assert_refused(outcome, &["linear", "weight", "0 elements"]);
    let mut recording = Recording::new(&device);
    let x = value(&mut recording, &[0, huge, huge]);
    assert!(pool(&mut recording, &x, &[], Pooling::Mean, true).is_err());
    let norm = LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
    assert_refused(layer_norm(&mut recording, &x, None, &norm), &["layer_norm", "x", "gamma [4]"]);
}

#[test]
fn linear_layers() {
    for device in common::devices() {
        let new = |sizes, weight: &[f32], bias: Option<&[f32]>| {
            LinearWeights::new(&device, sizes, weight, bias, DType::F32)
        };
        assert_refused(new([3, 4], &[0.0; 11], None), &["linear", "weight", "[3, 4], 12", "11 elements"]);
        assert_refused(new([3, 4], &[0.0; 12], Some(&[0.0; 4])), &["linear", "bias", "[3]", "4 elements"]);
        let weight = zeros(&device, &[3, 4]);
        let from = |weight: &Tensor, bias: Option<&Tensor>, transposed| {
            LinearWeights::from_tensors(weight, bias, transposed)
        };
        assert_refused(from(&zeros(&device, &[3, 4, 1]), None, true), &["weight", "rank 2", "[3, 4, 1]"]);
        let words = Tensor::from_u32(&device, [3, 4], &[0; 12]).unwrap();
        assert_refused(from(&words, None, true), &["weight", "f32 or f16", "u32"]);
        assert_refused(from(&weight, Some(&zeros(&device, &[4])), true), &["bias", "[3]", "[4]"]);
        assert_refused(from(&weight, Some(&zeros(&device, &[3])), false), &["bias", "[4]", "[3]"]);
        let half = Tensor::from_f32_as_f16(&device, [3], &[0.0; 3]).unwrap();
        assert_refused(from(&weight, Some(&half), true), &["bias", "f32 [3]", "f16 [3]"]);
        let weights = from(&weight, None, true).unwrap();
        let mut recording = Recording::new(&device);
        for shape in [&[2, 3][..], &[5], &[]] {
            let (x, found) = (value(&mut recording, shape), format!("{shape:?}"));
            let outcome = Linear::new(&weights).record(&mut recording, &x);
            assert_refused(outcome, &["linear", "x must be", "[…, 4]", "weight [3, 4]", &found]);
        }
        let (x, residual) = (value(&mut recording, &[2, 4]), value(&mut recording, &[2, 4]));
        let outcome = Linear::new(&weights).residual(&residual).record(&mut recording, &x);
        assert_refused(outcome, &["residual", "[2, 3]", "[2, 4]"]);
        let ids = recording.tensor(&words).unwrap();
        assert_refused(Linear::new(&weights).record(&mut recording, &ids), &["linear", "x", "f32", "u32"]);
    }
}

#[test]
fn layer_norms() {
    for device in common::devices() {
        let outcome = LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 5], 1e-5);
        assert_refused(outcome, &["layer_norm", "beta", "[4]", "gamma", "[5]"]);
        let norm = LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
        let mut recording = Recording::new(&device);
        let x = value(&mut recording, &[2, 5]);
        assert_refused(layer_norm(&mut recording, &x, None, &norm), &["x must be", "gamma [4]", "[2, 5]"]);
        let (x, residual) = (value(&mut recording, &[2, 4]), value(&mut recording, &[1, 4]));
        let outcome = layer_norm(&mut recording, &x, Some(&residual), &norm);
        assert_refused(outcome, &["residual", "[2, 4]", "[1, 4]"]);
    }
}

#[test]
fn embeddings() {
    for device in common::devices() {
        let norm = || LayerNormWeights::new(&device, &[1.0; 4], &[0.0; 4], 1e-5).unwrap();
        let new =
            |position: &[f32], types: Option<&[f32]>| EmbeddingTables::new(&device, position, types, norm());
        assert_refused(new(&[0.0; 9], None), &["the position table", "rows of 4", "9 elements"]);
        assert_refused(new(&[0.0; 8], Some(&[0.0; 5])), &["the token type table", "rows of 4", "5 elements"]);
        let mut tables = new(&[0.0; 8], Some(&[0.0; 4])).unwrap();
        let outcome = tables.push_words(&device, &[0.0; 6], DType::F32);
        assert_refused(outcome, &["the table", "rows of 4", "6 elements"]);
        tables.push_words(&device, &[0.0; 12], DType::F32).unwrap();
        tables.push_words(&device, &[0.0; 8], DType::F16).unwrap();
        let record = |ids: &[u32], positions: &[u32], types: &[u32]| {
            embedding_norm(&mut Recording::new(&device), Tokens { ids, positions, types }, &tables)
        };
        assert!(record(&[4, 0], &[1, 0], &[0, 0]).is_ok());
        assert_refused(record(&[0, 5], &[0, 0], &[0, 0]), &["ids[1]", "below 5", "is 5"]);
        assert_refused(record(&[u32::MAX], &[0], &[0]), &["ids[0]", "below 5", "4294967295"]);
        assert_refused(record(&[0, 1], &[0, 2], &[0, 0]), &["positions[1]", "below 2", "is 2"]);
        assert_refused(record(&[0, 1], &[0, 0], &[1, 0]), &["types[0]", "below 1", "is 1"]);
        assert_refused(record(&[0, 1], &[0], &[0, 0]), &["positions", "2 ids", "is 1"]);
        assert_refused(record(&[0, 1], &[0, 0], &[]), &["types", "2 ids", "is 0"]);
    }
}

#[test]
fn pooling() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let (x, flat) = (value(&mut recording, &[2, 3, 4]), value(&mut recording, &[6, 4]));
        let mut run = |x: &Value, lengths: &[u32]| pool(&mut recording, x, lengths, Pooling::Mean, false);
        assert!(run(&x, &[3, 0]).is_ok());
        assert_refused(run(&flat, &[3, 3]), &["pool", "x", "[batch, length, columns]", "[6, 4]"]);
        assert_refused(run(&x, &[3]), &["lengths", "2 items", "is 1"]);
        assert_refused(run(&x, &[3, 4]), &["lengths[1]", "at most 3", "is 4"]);
    }
}

#[test]
fn tensors() {
    for device in common::devices() {
        assert_refused(Tensor::from_f32(&device, [2, 3], &[0.0; 5]), &["values", "[2, 3]", "5"]);
        assert_refused(Tensor::from_u32(&device, [2], &[0; 3]), &["values", "u32 [2]", "3"]);
        // Three f16 take two words, and so do four: the count is held to elements, not to words.
        assert_refused(Tensor::from_f32_as_f16(&device, [3], &[0.0; 4]), &["values", "f16 [3]", "4"]);
        let tensor = zeros(&device, &[2, 3]);
        assert_refused(tensor.reshape([4]), &["reshape", "6 elements", "[4]"]);
        assert_eq!(tensor.reshape([3, 1, 2]).unwrap().shape().dims(), [3, 1, 2]);
        assert_refused(Tensor::from_f16(&device, [3], &[half::f16::ONE; 4]), &["values", "f16 [3]", "4"]);
        assert_refused(tensor.to_f16(), &["to_f16", "f16", "f32"]);
        let words = Tensor::from_u32(&device, [1], &[7]).unwrap();
        assert_refused(words.to_f32(), &["to_f32", "f32 or f16", "u32"]);
    }
}

#[test]
fn casts() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let words = recording.tensor(&Tensor::from_u32(&device, [2], &[1, 2]).unwrap()).unwrap();
        assert_refused(cast(&mut recording, &words, DType::F32), &["cast", "x", "f32 or f16", "u32"]);
        let x = value(&mut recording, &[2]);
        assert_refused(cast(&mut recording, &x, DType::U32), &["cast", "dtype", "f32 or f16", "u32"]);
    }
}

#[test]
fn slices_permutations_and_concatenations() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let r = &mut recording;
        let x = value(r, &[2, 3, 4]);
        for axis in [3, -4] {
            let words = ["axis", "-3 to 3 - 1", "[2, 3, 4]", &axis.to_string()];
            assert_refused(slice(r, &x, axis, 0..1), &words);
            assert_refused(transpose(r, &x, 0, axis), &words);
            assert_refused(concat(r, &[&x, &x], axis), &words);
        }
        for range in [1..4, Range { start: 2, end: 1 }, 0..usize::MAX, 4..4] {
            let found = format!("{range:?}");
            assert_refused(
                slice(r, &x, 1, range),
                &["slice", "the range", "within 0..3", "[2, 3, 4]", &found],
            );
        }
        for axes in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, 2, 3], &[]] {
            let found = format!("{axes:?}");
            assert_refused(
                permute(r, &x, axes),
                &["permute", "axes", "each of 0..3 once", "[2, 3, 4]", &found],
            );
        }
        let many = value(r, &[2; 10]);
        let axes: Vec<usize> = (0..10).rev().collect();
        assert_refused(permute(r, &many, &axes), &["permute", "x", "at most 8 axes", "10"]);
        assert_refused(concat(r, &[], 0), &["concat", "at least one", "none"]);
        for shape in [&[2, 3][..], &[2, 4, 4], &[3, 3, 4], &[2, 3, 4, 1], &[0, 3, 4]] {
            let (other, found) = (value(r, shape), format!("{shape:?}"));
            assert_refused(
                concat(r, &[&x, &other], 2),
                &["concat", "values[1]", "[2, 3, 4]", "axis 2", &found],
            );
        }
        let words = r.tensor(&Tensor::from_u32(&device, [2, 3, 4], &[1; 24]).unwrap()).unwrap();
        assert_refused(concat(r, &[&x, &words], 2), &["concat", "values[1]", "f32", "u32"]);
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
}

#[test]
fn what_cannot_be_written_into_a_tensor() {
    for device in common::devices() {
        let x = zeros(&device, &[2, 3]);
        let words = Tensor::from_u32(&device, [3], &[1; 3]).unwrap();
        assert_refused(x.write_f32(&[1.0; 5]), &["write_f32", "the values", "6 for f32 [2, 3]", "5"]);
        assert_refused(x.write_u32(&[1; 6]), &["write_u32", "the tensor", "u32", "f32"]);
        assert_refused(x.write_f16(&[half::f16::ONE; 6]), &["write_f16", "f16", "f32"]);
        assert_refused(words.write_f32(&[1.0; 3]), &["write_f32", "f32 or f16", "u32"]);
        assert_refused(x.to_u32(), &["to_u32", "the tensor", "u32", "f32"]);
        assert_eq!((x.to_f32().unwrap(), words.to_u32().unwrap()), (vec![0.0; 6], vec![1; 3]));
        if let Some((host, _)) = device.wgpu() {
            let usage = wgpu::BufferUsages::STORAGE;
            let descriptor =
                wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false };
            let buffer = host.create_buffer(&descriptor);
            let tensor = Tensor::from_wgpu_buffer(&device, &buffer, [4], DType::F32).unwrap();
            assert_refused(tensor.write_f32(&[0.0; 4]), &["write_f32", "the buffer", "COPY_DST", "STORAGE"]);
        }
    }
}

#[test]
fn sums_differences_and_products() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let x = value(&mut recording, &[2, 3, 4, 5]);
        let words = recording.tensor(&Tensor::from_u32(&device, [5], &[1; 5]).unwrap()).unwrap();
        let half = recording.tensor(&Tensor::from_f32_as_f16(&device, [5], &[1.0; 5]).unwrap()).unwrap();
        let turns = [value(&mut recording, &[2, 1, 2, 1, 2]), value(&mut recording, &[1, 2, 1, 2, 1])];
        for (name, op) in
            [("add", add as fn(_: &mut _, _: &_, _: &_) -> _), ("subtract", subtract), ("multiply", multiply)]
        {
            for shape in [&[2][..], &[2, 3, 4, 1, 5], &[3, 3, 1, 1], &[0]] {
                let (b, found) = (value(&mut recording, shape), format!("{shape:?}"));
                assert_refused(
                    op(&mut recording, &x, &b),
                    &[name, "b", "broadcastable with a [2, 3, 4, 5]", &found],
                );
            }
            assert_refused(op(&mut recording, &words, &x), &[name, "a", "f32", "u32"]);
            assert_refused(op(&mut recording, &x, &half), &[name, "b", "f32", "f16"]);
            let expected = [name, "at most 4 axes", "5 in a [2, 1, 2, 1, 2] and b [1, 2, 1, 2, 1]"];
            assert_refused(op(&mut recording, &turns[0], &turns[1]), &expected);
        }
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
}

#[test]
fn norms_over_axes() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let (x, gamma) = (value(&mut recording, &[2, 3, 4]), value(&mut recording, &[4]));
        for axis in [3, -4, isize::MIN, isize::MAX] {
            let words = ["axis", "-3 to 3 - 1", "[2, 3, 4]", &axis.to_string()];
            assert_refused(rms_norm(&mut recording, &x, &gamma, axis, 1e-5), &words);
            assert_refused(LayerNorm::new(&gamma).axis(axis).record(&mut recording, &x), &words);
        }
        let scalar = value(&mut recording, &[]);
        assert_refused(rms_norm(&mut recording, &scalar, &scalar, -1, 1e-5), &["axis", "[]", "-1"]);
        for shape in [&[3][..], &[2, 4], &[1, 2, 3, 4], &[0]] {
            let (bad, found) = (value(&mut recording, shape), format!("{shape:?}"));
            let words = ["gamma", "broadcastable to [2, 3, 4]", &found];
            assert_refused(rms_norm(&mut recording, &x, &bad, -1, 1e-5), &words);
            assert_refused(LayerNorm::new(&bad).record(&mut recording, &x), &words);
            let outcome = LayerNorm::new(&gamma).beta(&bad).record(&mut recording, &x);
            assert_refused(outcome, &["layer_norm", "beta", "broadcastable", &found]);
            let outcome = LayerNorm::new(&gamma).residual(&bad).record(&mut recording, &x);
            assert_refused(outcome, &["layer_norm", "residual", "[2, 3, 4]", &found]);
        }
        let half = recording.tensor(&Tensor::from_f32_as_f16(&device, [4], &[0.0; 4]).unwrap()).unwrap();
        assert_refused(rms_norm(&mut recording, &x, &half, -1, 1e-5), &["rms_norm", "gamma", "f32", "f16"]);
        assert_refused(rms_norm(&mut recording, &half, &gamma, -1, 1e-5), &["rms_norm", "x", "f32", "f16"]);
        assert_refused(LayerNorm::new(&half).record(&mut recording, &x), &["gamma", "f32", "f16"]);
        let empty = value(&mut recording, &[2, 0]);
        assert_refused(rms_norm(&mut recording, &empty, &scalar, -1, 1e-5), &["x", "not empty", "[2, 0]"]);
        assert_refused(LayerNorm::new(&scalar).record(&mut recording, &empty), &["x", "not empty", "[2, 0]"]);
        // Nothing was recorded for what was refused.
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
    let (device, huge) = (Device::cpu(), usize::MAX / 2);
    let mut recording = Recording::new(&device);
    let x = value(&mut recording, &[0, huge, huge]);
    let gamma = value(&mut recording, &[1]);
    assert!(rms_norm(&mut recording, &x, &gamma, 1, 1e-5).is_err());
    assert!(LayerNorm::new(&gamma).axis(1).record(&mut recording, &x).is_err());
}

#[test]
fn softmax_and_activations() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let (x, scalar) = (value(&mut recording, &[2, 3]), value(&mut recording, &[]));
        for axis in [2, -3] {
            let words = ["softmax", "axis", "-2 to 2 - 1", "[2, 3]", &axis.to_string()];
            assert_refused(softmax(&mut recording, &x, axis), &words);
        }
        assert_refused(softmax(&mut recording, &scalar, -1), &["axis", "[]", "-1"]);
        let half = recording.tensor(&Tensor::from_f32_as_f16(&device, [4], &[0.0; 4]).unwrap()).unwrap();
        assert_refused(softmax(&mut recording, &half, 0), &["softmax", "x", "f32", "f16"]);
        let outcome = activate(&mut recording, &half, Activation::Gelu);
        assert_refused(outcome, &["activate", "x", "f32", "f16"]);
    }
    let (device, huge) = (Device::cpu(), usize::MAX / 2);
    let mut recording = Recording::new(&device);
    let x = value(&mut recording, &[0, huge, huge]);
    assert!(softmax(&mut recording, &x, 0).is_err());
    // Nothing to do.
    assert!(activate(&mut recording, &x, Activation::Relu).is_ok());
}

#[test]
fn rotary_embeddings() {
    assert_refused(rotary_tables(2, 3, 1e4), &["rotary_dim", "even", "3"]);
    for base in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_refused(rotary_tables(2, 4, base), &["base", "positive", &base.to_string()]);
    }
    assert_refused(rotary_tables(usize::MAX, 4, 1e4), &["rotary_tables", "elements"]);
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let x = value(&mut recording, &[2, 4, 3, 8]);
        let rows = value(&mut recording, &[2, 3, 32]);
        let (table, own) = (value(&mut recording, &[9, 4]), value(&mut recording, &[2, 3, 4]));
        let new = || RotaryEmbedding::new(&table, &table);
        assert!(new().positions(&[8; 6]).record(&mut recording, &x).is_ok());
        let mut refused = |rotary: RotaryEmbedding, x: &Value, words: &[&str]| {
            assert_refused(rotary.record(&mut recording, x), words);
        };
        refused(new().positions(&[8; 6]), &rows, &["x", "rank 3", "number of heads", "[2, 3, 32]"]);
        refused(new().positions(&[8; 6]).heads(5), &rows, &["x", "5 · head_dim", "[2, 3, 32]"]);
        refused(new().positions(&[8; 6]).heads(0), &rows, &["x", "[2, 3, 32]"]);
        refused(new().positions(&[8; 6]).heads(2), &x, &["x", "[batch, 2, length", "[2, 4, 3, 8]"]);
        refused(new().positions(&[8; 5]), &x, &["positions", "[2, 3] tokens", "is 5"]);
        refused(new().positions(&[0, 0, 0, 0, 9, 0]), &x, &["positions[4]", "below 9", "[9, 4]", "is 9"]);
        refused(new(), &x, &["cos", "[2, 3, 4]", "[9, 4]"]);
        refused(RotaryEmbedding::new(&own, &table), &x, &["sin", "[2, 3, 4]", "[9, 4]"]);
        refused(RotaryEmbedding::new(&own, &own).rotary_dim(4), &x, &["cos", "[2, 3, 2]", "[2, 3, 4]"]);
        let two = Tensor::from_u32(&device, [2, 2], &[0; 4]).unwrap();
        let floats = zeros(&device, &[2, 3]);
        let mut other = Recording::new(&device);
        let (two, floats) = (other.tensor(&two).unwrap(), other.tensor(&floats).unwrap());
        refused(new().positions_value(&two), &x, &["positions", "[2, 3]", "[2, 2]"]);
        refused(new().positions_value(&floats), &x, &["positions", "u32", "f32"]);
        for columns in [3, 10, usize::MAX] {
            let words = ["rotary_dim", "even and at most 8", &columns.to_string()];
            refused(new().positions(&[8; 6]).rotary_dim(columns), &x, &words);
        }
    }
}

#[test]
fn matrix_products() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let mut of = |shape: &[usize]| value(&mut recording, shape);
        let (a, scalar, stack, three) = (of(&[2, 3, 4]), of(&[]), of(&[3, 4, 5]), of(&[3]));
        let (matrix, wrong, row) = (of(&[4, 5]), of(&[5, 4]), of(&[4]));
        let half = recording.tensor(&Tensor::from_f32_as_f16(&device, [4], &[0.0; 4]).unwrap()).unwrap();
        let mut refused = |a: &Value, b: &Value, words: &[&str]| {
            assert_refused(matmul(&mut recording, a, b), words);
        };
        refused(&a, &scalar, &["matmul", "b", "rank 1 or more", "[]"]);
        refused(&scalar, &a, &["matmul", "a", "rank 1 or more", "[]"]);
        refused(&a, &wrong, &["b", "[…, 4, N]", "a [2, 3, 4]", "[5, 4]"]);
        refused(&a, &three, &["b", "[…, 4, N]", "a [2, 3, 4]", "[3]"]);
        refused(&a, &stack, &["b", "broadcastable", "a [2, 3, 4]", "[3, 4, 5]"]);
        refused(&half, &matrix, &["a", "f32", "f16"]);
        let mut refused = |gemm: Gemm, a: &Value, b: &Value, words: &[&str]| {
            assert_refused(gemm.record(&mut recording, a, b), words);
        };
        refused(Gemm::new(), &a, &matrix, &["gemm", "a", "rank 2", "[2, 3, 4]"]);
        refused(Gemm::new(), &matrix, &row, &["gemm", "b", "rank 2", "[4]"]);
        refused(Gemm::new(), &matrix, &matrix, &["b", "[5, N]", "a [4, 5]", "[4, 5]"]);
        refused(Gemm::new().transpose_b(), &matrix, &wrong, &["b", "[N, 5]", "a [4, 5]", "[5, 4]"]);
        refused(
            Gemm::new().transpose_a(),
            &matrix,
            &wrong,
            &["b", "[4, N]", "a [4, 5] transposed", "[5, 4]"],
        );
        refused(Gemm::new().c(&three), &matrix, &wrong, &["c", "broadcastable to [4, 4]", "[3]"]);
        refused(Gemm::new().c(&a), &matrix, &wrong, &["c", "broadcastable to [4, 4]", "[2, 3, 4]"]);
        refused(Gemm::new().c(&half), &matrix, &wrong, &["c", "f32", "f16"]);
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
    let (device, huge) = (Device::cpu(), usize::MAX / 2);
    let mut recording = Recording::new(&device);
    let (a, b) = (value(&mut recording, &[huge, 0]), value(&mut recording, &[0, huge]));
    assert!(matmul(&mut recording, &a, &b).is_err() && Gemm::new().record(&mut recording, &a, &b).is_err());
    let (stack, b) = (value(&mut recording, &[0, huge, huge, 4]), value(&mut recording, &[4, 3]));
    assert!(matmul(&mut recording, &stack, &b).is_err());
}

#[test]
fn rows_of_nothing_may_be_long() {
    for device in common::devices() {
        for dtype in [DType::F32, DType::F16] {
            let table = EmbeddingTable::new(&device, 1 << 62, &[], dtype).unwrap();
            assert_eq!((table.rows(), table.bytes()), (0, 0));
            assert!(EmbeddingTable::part_rows(&device, 1 << 62, dtype) >= 2);
            let nothing = LinearWeights::new(&device, [0, 1 << 62], &[], None, dtype).unwrap();
            assert_eq!(nothing.bytes(), 0);
        }
        let mut recording = Recording::new(&device);
        let x = value(&mut recording, &[0, 1 << 62, 4]);
        assert_refused(gather_rows(&mut recording, &x, &[]), &["gather_rows", "the columns", "at most"]);
    }
}

/// Two wrong sizes that are right together.
#[test]
fn packed_projections_are_checked_one_by_one() {
    let device = Device::cpu();
    let config = MultiHeadAttentionConfig::self_attention(4, 2).unwrap();
    let new = |weights: [usize; 3], biases: [usize; 3]| {
        let numbers = [0.0; 24];
        let part = |place: usize| HostLinear {
            weight: &numbers[..weights[place]],
            bias: Some(&numbers[..biases[place]]),
        };
        let output = HostLinear { weight: &numbers[..16], bias: None };
        let weights = MultiHeadAttentionWeights { query: part(0), key: part(1), value: part(2), output };
        MultiHeadAttention::new(&device, config, &weights, DType::F32)
    };
    new([16; 3], [4; 3]).unwrap();
    assert_refused(new([20, 12, 16], [4; 3]), &["query.weight", "[4, 4]", "20 elements"]);
    assert_refused(new([16; 3], [6, 2, 4]), &["query.bias", "[4]", "6 elements"]);
    assert_refused(new([16; 3], [4, 5, 3]), &["key.bias", "[4]", "5 elements"]);
}
