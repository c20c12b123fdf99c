//! Gradients of products, of sums and products element by element, and of moves, against central differences.

use attentive::ops::{
    Activation, Gemm, Linear, LinearWeights, RotaryEmbedding, activate, add, cast, concat, matmul, multiply,
    permute, slice, subtract, transpose,
};
use attentive::reference::elementwise;
use attentive::{DType, Device, Error, Recording, Tensor};

use crate::common;
use crate::gradients::{Input, check, check_empty};

/// Rows and columns of a matrix, and whether it is given transposed.
type Side = ([usize; 2], bool);

/// alpha · op(a) · op(b) + beta · c, c broadcast.
fn gemm(
    [alpha, beta]: [f64; 2],
    (a, ([rows, depth], a_turned)): (&[f32], Side),
    (b, ([_, columns], b_turned)): (&[f32], Side),
    c: Option<(&[f32], [usize; 2])>,
) -> Vec<f64> {
    let mut y = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let term = |k: usize| {
                let left = if a_turned { a[k * rows + row] } else { a[row * depth + k] };
                let right = if b_turned { b[column * depth + k] } else { b[k * columns + column] };
                f64::from(left) * f64::from(right)
            };
            let sum = alpha * (0..depth).map(term).sum::<f64>();
            let addend = c.map_or(0.0, |(c, [c_rows, c_columns])| {
                f64::from(c[row % c_rows * c_columns + column % c_columns])
            });
            y.push(sum + beta * addend);
        }
    }
    y
}

#[test]
fn gemms() {
    let [rows, depth, columns] = [5, 4, 3];
    for (turned, c_dims) in
        [([false, false], [5, 3]), ([false, true], [1, 3]), ([true, false], [5, 1]), ([true, true], [1, 1])]
    {
        let dims = |[rows, columns]: [usize; 2], turned: bool| {
            if turned { [columns, rows] } else { [rows, columns] }
        };
        let inputs = [
            Input::new("a", &dims([rows, depth], turned[0])),
            Input::new("b", &dims([depth, columns], turned[1])),
            Input::new("c", &c_dims),
        ];
        check(
            &format!("gemm transposed {turned:?}"),
            &inputs,
            |recording, values| {
                let mut gemm = Gemm::new().alpha(0.5).beta(-1.5).c(&values[2]);
                if turned[0] {
                    gemm = gemm.transpose_a();
                }
                if turned[1] {
                    gemm = gemm.transpose_b();
                }
                gemm.record(recording, &values[0], &values[1])
            },
            |values| {
                let a = (&values[0][..], ([rows, depth], turned[0]));
                let b = (&values[1][..], ([depth, columns], turned[1]));
                gemm([0.5, -1.5], a, b, Some((&values[2], c_dims)))
            },
        );
    }
}

#[test]
fn stacked_products() {
    // Shapes of a and of b, and how many stacked matrices there are; of each, which a and which b it has.
    type Case<'a> = (&'a [usize], &'a [usize], &'a [[usize; 2]]);
    let cases: [Case<'_>; 6] = [
        (&[3, 4], &[4, 2], &[[0, 0]]),
        (&[2, 3, 4], &[2, 4, 5], &[[0, 0], [1, 1]]),
        // One b for all, and one a for all.
        (&[2, 3, 4], &[4, 5], &[[0, 0], [1, 0]]),
        (&[3, 4], &[2, 4, 5], &[[0, 0], [0, 1]]),
        (&[4], &[4, 3], &[[0, 0]]),
        (&[2, 3, 4], &[4], &[[0, 0], [1, 0]]),
    ];
    for (a_shape, b_shape, pairs) in cases {
        let depth = *a_shape.last().unwrap();
        let rows = if a_shape.len() > 1 { a_shape[a_shape.len() - 2] } else { 1 };
        let columns = if b_shape.len() > 1 { *b_shape.last().unwrap() } else { 1 };
        check(
            &format!("matmul of {a_shape:?} and {b_shape:?}"),
            &[Input::new("a", a_shape), Input::new("b", b_shape)],
            |recording, values| matmul(recording, &values[0], &values[1]),
            |values| {
                let of = |&[a, b]: &[usize; 2]| {
                    let a = (&values[0][a * rows * depth..], ([rows, depth], false));
                    let b = (&values[1][b * depth * columns..], ([depth, columns], false));
                    gemm([1.0, 0.0], a, b, None)
                };
                pairs.iter().flat_map(of).collect()
            },
        );
    }
    check_empty("matmul", &[&[0, 3], &[3, 2]], |recording, values| matmul(recording, &values[0], &values[1]));
}

#[test]
fn sums_and_products_element_by_element() {
    let shapes: [(&[usize], &[usize], &[usize]); 4] = [
        (&[2, 3], &[2, 3], &[2, 3]),
        (&[2, 3, 4], &[4], &[2, 3, 4]),
        (&[2, 1, 4], &[3, 1], &[2, 3, 4]),
        (&[5], &[], &[5]),
    ];
    for (a, b, dims) in shapes {
        let inputs = [Input::new("a", a), Input::new("b", b)];
        let forward = |values: &[Vec<f32>], operation: fn(f64, f64) -> f64| {
            elementwise::binary(operation, (&values[0], a), (&values[1], b), dims)
        };
        check(
            &format!("{a:?} + {b:?}"),
            &inputs,
            |recording, values| add(recording, &values[0], &values[1]),
            |values| forward(values, |a, b| a + b),
        );
        check(
            &format!("{a:?} − {b:?}"),
            &inputs,
            |recording, values| subtract(recording, &values[0], &values[1]),
            |values| forward(values, |a, b| a - b),
        );
        check(
            &format!("{a:?} · {b:?}"),
            &inputs,
            |recording, values| multiply(recording, &values[0], &values[1]),
            |values| forward(values, |a, b| a * b),
        );
    }
    // One value on both sides: both gradients are its own.
    check(
        "x · x",
        &[Input::new("x", &[3, 2])],
        |recording, values| multiply(recording, &values[0], &values[0]),
        |values| values[0].iter().map(|&x| f64::from(x) * f64::from(x)).collect(),
    );
}

#[test]
fn moves() {
    let exact = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    check(
        "permute",
        &[Input::new("x", &[2, 3, 4])],
        |recording, values| permute(recording, &values[0], &[2, 0, 1]),
        |values| {
            let at = |place: usize| values[0][place % 6 * 4 + place / 6];
            (0..24).map(|place| f64::from(at(place))).collect()
        },
    );
    check(
        "transpose",
        &[Input::new("x", &[5, 3])],
        |recording, values| transpose(recording, &values[0], 0, 1),
        |values| (0..15).map(|place| f64::from(values[0][place % 5 * 3 + place / 5])).collect(),
    );
    // Two overlapping parts of one value, joined.
    check(
        "slices, joined",
        &[Input::new("x", &[2, 5]), Input::new("y", &[2, 1])],
        |recording, values| {
            let first = slice(recording, &values[0], 1, 0..3)?;
            let second = slice(recording, &values[0], -1, 2..5)?;
            concat(recording, &[&first, &values[1], &second], -1)
        },
        |values| {
            let row = |row: usize| {
                let x = &values[0][5 * row..][..5];
                [&x[..3], &values[1][row..=row], &x[2..]].concat()
            };
            exact(&[row(0), row(1)].concat())
        },
    );
    // Through f16 and back: rounding has no gradient of its own, and these numbers are not rounded.
    let coarse: Vec<f32> = (0..6).map(|place| place as f32 / 4.0 - 0.5).collect();
    check(
        "casts",
        &[Input::of("x", &[6], coarse)],
        |recording, values| {
            let half = cast(recording, &values[0], DType::F16)?;
            cast(recording, &half, DType::F32)
        },
        |values| exact(&values[0]),
    );
}

#[test]
fn rotary_positions() {
    let [batch, heads, length, head_dim] = [2, 3, 4, 6];
    let angles: Vec<f32> = (0..batch * length * 2).map(|place| 0.3 * place as f32).collect();
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
    for interleaved in [false, true] {
        check(
            &format!("rotary, interleaved {interleaved}"),
            &[Input::new("x", &[batch, length, heads * head_dim])],
            |recording, values| {
                let cos = common::value(recording, &[batch, length, 2], &cos);
                let sin = common::value(recording, &[batch, length, 2], &sin);
                let rotary = RotaryEmbedding::new(&cos, &sin).rotary_dim(4).heads(heads);
                if interleaved { rotary.interleaved() } else { rotary }.record(recording, &values[0])
            },
            |values| {
                let mut y = Vec::new();
                for token in 0..batch * length {
                    for head in 0..heads {
                        let x = &values[0][(token * heads + head) * head_dim..][..head_dim];
                        let mut row: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                        for pair in 0..2 {
                            let [a, b] =
                                if interleaved { [2 * pair, 2 * pair + 1] } else { [pair, pair + 2] };
                            let (cos, sin) =
                                (f64::from(cos[token * 2 + pair]), f64::from(sin[token * 2 + pair]));
                            row[a] = cos * f64::from(x[a]) - sin * f64::from(x[b]);
                            row[b] = sin * f64::from(x[a]) + cos * f64::from(x[b]);
                        }
                        y.extend(row);
                    }
                }
                y
            },
        );
    }
}

/// An op with a rule for x has none for its tables: they are not cut silently.
#[test]
fn an_input_that_a_rule_does_not_know_is_an_error() {
    let mut recording = Recording::training(&Device::cpu(), []).unwrap();
    let x = common::zeros(&mut recording, &[1, 2, 4]);
    let cos = common::zeros(&mut recording, &[1, 2, 2]);
    let sin = common::zeros(&mut recording, &[1, 2, 2]);
    recording.track(&x).unwrap();
    RotaryEmbedding::new(&cos, &sin).heads(1).record(&mut recording, &x).unwrap();
    recording.track(&cos).unwrap();
    let outcome = RotaryEmbedding::new(&cos, &sin).heads(1).record(&mut recording, &x);
    assert!(matches!(outcome, Err(Error::NoGradient { .. })), "{outcome:?}");
}

/// A linear layer's gradients are those of the ops that it is made of, which are held against central differences above.
#[test]
fn linear_layers() {
    let (rows, inputs, outputs) = (7, 5, 6);
    let values = |name, shape: &[usize]| Input::new(name, shape).values().to_vec();
    let host = [
        values("x", &[rows, inputs]),
        values("weight", &[outputs, inputs]),
        values("bias", &[outputs]),
        values("residual", &[rows, outputs]),
    ];
    let shapes = [vec![rows, inputs], vec![outputs, inputs], vec![outputs], vec![rows, outputs]];
    let upstream = values("upstream", &[rows, outputs]);
    for device in common::devices() {
        for activation in Activation::ALL {
            let of = |fused: bool| -> Vec<Vec<f32>> {
                let tensors: Vec<Tensor> = host
                    .iter()
                    .zip(&shapes)
                    .map(|(values, shape)| Tensor::from_f32(&device, &**shape, values).unwrap())
                    .collect();
                let mut recording = Recording::training(&device, &tensors).unwrap();
                let [x, weight, bias, residual] =
                    [0, 1, 2, 3].map(|place: usize| recording.tensor(&tensors[place]).unwrap());
                let y = if fused {
                    let weights = LinearWeights::from_tensors(&tensors[1], Some(&tensors[2]), true).unwrap();
                    let linear = Linear::new(&weights).activation(activation).residual(&residual);
                    linear.record(&mut recording, &x).unwrap()
                } else {
                    let gemm = Gemm::new().transpose_b().c(&bias);
                    let sums = gemm.record(&mut recording, &x, &weight).unwrap();
                    let y = activate(&mut recording, &sums, activation).unwrap();
                    add(&mut recording, &y, &residual).unwrap()
                };
                let seed = common::value(&mut recording, &[rows, outputs], &upstream);
                let gradients = recording.backward_from(&y, &seed).unwrap();
                let found: Vec<_> = tensors
                    .iter()
                    .map(|tensor| gradients.of_parameter(&recording, tensor).unwrap())
                    .collect();
                found.iter().for_each(|gradient| recording.output(gradient).unwrap());
                let outputs = recording.run().unwrap();
                found.iter().map(|gradient| outputs.tensor(gradient).unwrap().to_f32().unwrap()).collect()
            };
            for ((fused, composed), shape) in of(true).iter().zip(of(false)).zip(&shapes) {
                assert_eq!(fused.len(), shape.iter().product::<usize>());
                for (a, b) in fused.iter().zip(&composed) {
                    assert!(
                        (a - b).abs() <= 2e-6 * (1.0 + b.abs()),
                        "{}: {activation:?}: {a} {b}",
                        device.name()
                    );
                }
            }
        }
    }
}
