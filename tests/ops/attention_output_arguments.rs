//! Where attention cannot write its output: rows that overlap, that lead out of the memory, or that lie in an input's.

use crate::attention_arguments::{Bench, K, Q, V, assert_refused, each_of_heads};
use crate::common::{self, zeros, zeros_of};
use attentive::ops::{Attention, Heads, Mask};
use attentive::{DType, Tensor};

#[test]
fn outputs_that_cannot_be_written() {
    for device in common::devices() {
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let (recording, [q, k, v]) = (&mut bench.recording, &bench.inputs);
        let [q, k, v] = [q, k, v].map(|value| Heads::dense(value).unwrap());
        // Elsewhere than dense, and larger.
        let place = zeros(recording, &[1000]);
        let strided = |dims, offset, strides| Heads::strided(&place, dims, offset, strides);
        let needed = [2, 4, 3, 6];
        for (strides, why) in [
            ([72, 18, 5], "rows"),
            ([72, 17, 6], "heads"),
            ([71, 18, 6], "batch items"),
            ([0, 18, 6], "batch items"),
            ([72, 0, 6], "heads"),
            ([72, 18, 0], "rows"),
            // Heads between the rows, and too near.
            ([72, 6, 23], "rows"),
            ([2, 4, 8], "everything"),
        ] {
            let to = strided(needed, 7, strides).unwrap();
            let outcome = Attention::new().record_into(recording, &q, &k, &v, &to);
            let words = ["the output", "rows that do not overlap", &format!("{strides:?}"), "[2, 4, 3, 6]"];
            assert!(outcome.is_err(), "{why} that overlap are refused");
            assert_refused(outcome, &words);
        }
        for (offset, strides, reach) in [
            (857, [72, 18, 6], 1001),
            (0, [930, 18, 6], 1002),
            (usize::MAX, [72, 18, 6], 0),
            (0, [usize::MAX; 3], 0),
        ] {
            let reach = if reach == 0 { "at least".to_owned() } else { format!("at least {reach} elements") };
            let words = [&reach, "[2, 4, 3, 6]", &format!("from {offset}"), "1000 in [1000]"];
            assert_refused(strided(needed, offset, strides), &words);
        }
        for dims in [[2, 4, 3, 8], [2, 4, 4, 6], [2, 2, 3, 6], [1, 4, 3, 6]] {
            let to = strided(dims, 0, [200, 50, 8]).unwrap();
            let outcome = Attention::new().record_into(recording, &q, &k, &v, &to);
            let words = [
                "the output must be [2, 4, 3, 6]",
                "q [2, 4, 3, 8] and v [2, 2, 5, 6]",
                &format!("{dims:?}"),
            ];
            assert_refused(outcome, &words);
        }
        let half = zeros_of(DType::F16, recording, &needed);
        let outcome = Attention::new().record_into(recording, &q, &k, &v, &Heads::dense(&half).unwrap());
        assert_refused(outcome, &["the output must be f32", "f16"]);
        // Far apart, or within one another without touching, they are fine.
        for (offset, strides) in [(0, [480, 120, 40]), (5, [72, 6, 24]), (1, [6, 12, 48])] {
            let to = strided(needed, offset, strides).unwrap();
            Attention::new().record_into(recording, &q, &k, &v, &to).unwrap();
        }
        bench.recording.run().unwrap();
    }
}

#[test]
fn outputs_in_the_memory_of_an_input() {
    for device in common::devices() {
        // Large enough for anything, and taken in twice: two values, one memory.
        let tensor = Tensor::from_f32(&device, [500], &[0.0; 500]).unwrap();
        let words = Tensor::from_u32(&device, [2], &[5; 2]).unwrap();
        let mut bench = Bench::new(&device, [&Q, &K, &V]);
        let (recording, [q, k, v]) = (&mut bench.recording, &bench.inputs);
        let (place, again) = (recording.tensor(&tensor).unwrap(), recording.tensor(&tensor).unwrap());
        let reshaped = recording.tensor(&tensor.reshape([25, 20]).unwrap()).unwrap();
        let lengths = recording.tensor(&words).unwrap();
        let [q, k, v] = [q, k, v].map(|value| Heads::dense(value).unwrap());
        let to = Heads::strided(&place, [2, 4, 3, 6], 300, [72, 18, 6]).unwrap();
        let far = |value, dims: [usize; 4]| {
            Heads::strided(value, dims, 0, [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3]]).unwrap()
        };
        for other in [&place, &again, &reshaped] {
            let [q_in, k_in, v_in] = [Q, K, V].map(|dims| far(other, dims));
            for (name, inputs) in [("q", [&q_in, &k, &v]), ("k", [&q, &k_in, &v]), ("v", [&q, &k, &v_in])] {
                let [q, k, v] = inputs;
                let outcome = Attention::new().record_into(recording, q, k, v, &to);
                assert_refused(outcome, &["the output", "a value of its own", &format!("that of {name}")]);
            }
        }
        // A view of [1] for the mask; an exact one for the terms of four heads.
        let four = Tensor::from_f32(&device, [4], &[0.0; 4]).unwrap();
        let (mask, terms) = (
            recording.tensor(&four.reshape([1, 4, 1, 1]).unwrap()).unwrap(),
            recording.tensor(&four).unwrap(),
        );
        let taken = recording.tensor(&four).unwrap();
        let [one, keys, values] =
            [[1, 4, 1, 8], [1, 2, 5, 8], [1, 2, 5, 1]].map(|shape| zeros(recording, &shape));
        let [one, keys, values] = [&one, &keys, &values].map(|value| Heads::dense(value).unwrap());
        let to_terms = Heads::strided(&taken, [1, 4, 1, 1], 0, [4, 1, 1]).unwrap();
        let bias = recording.tensor(&four.reshape([4, 1]).unwrap()).unwrap();
        for (name, attention) in [
            ("the mask", Attention::new().mask(Mask::Float(&mask))),
            ("relative_bias", Attention::new().relative_bias_value(&bias)),
        ]
        .into_iter()
        .chain(each_of_heads(&terms))
        {
            let outcome = attention.record_into(recording, &one, &keys, &values, &to_terms);
            assert_refused(outcome, &["the output", "a value of its own", &format!("that of {name}")]);
        }
        // Inputs may share what they like.
        let [k_in, v_in] = [K, V].map(|dims| far(&again, dims));
        let output = zeros(recording, &[2, 4, 3, 6]);
        let attention = Attention::new().key_lengths_value(&lengths);
        attention
            .record_into(recording, &far(&place, Q), &k_in, &v_in, &Heads::dense(&output).unwrap())
            .unwrap();
        bench.recording.run().unwrap();
    }
}
