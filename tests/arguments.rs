//! Arguments that do not fit are errors that name the tensors, what was expected and what was given; never a panic.

mod common;

use std::fmt::Debug;

use attentive::ops::{
    Attention, EmbeddingTables, Heads, LayerNormWeights, Linear, LinearWeights, Mask, Tokens, cast,
    embedding_norm, layer_norm, pool,
};
use attentive::recording::Value;
use attentive::{DType, Device, Error, Pooling, Recording, Result, Tensor, attention, half};

/// An [`Error::Argument`] whose message holds all of `words`.
#[track_caller]
fn assert_refused<T: Debug>(result: Result<T>, words: &[&str]) {
    let error = result.expect_err("it is refused");
    assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

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
        let (q, k) = (Heads::first(&q).unwrap(), Heads::first(&k).unwrap());
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
        assert_refused(outcome, &["the word table", "rows of 4", "6 elements"]);
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
