//! Norms, softmax, activations, rotary embeddings and products over any axes and layouts.

use super::tensor_ops::{Array, broadcast_place, check, run};
use crate::common;
use attentive::kernel::Inputs;
use attentive::ops::{
    Gemm, Heads, LayerNorm, Linear, LinearWeights, RotaryEmbedding, activate, matmul, rms_norm,
    rotary_tables, softmax,
};
use attentive::reference::linear::{Dims, WeightLayout, linear};
use attentive::reference::{self, rounding_floor};
use attentive::{Activation, DType, Recording, Shape, Tensor, half};

/// Shapes that broadcast to x's from an axis on, and to all of x.
fn scales(dims: &[usize], axis: usize) -> Vec<Vec<usize>> {
    let inner = &dims[axis..];
    let mut last = vec![1; inner.len()];
    *last.last_mut().unwrap() = dims[dims.len() - 1];
    let mut outer = vec![1; dims.len()];
    outer[0] = dims[0];
    vec![inner.to_vec(), [vec![1; axis], inner.to_vec()].concat(), vec![], last, outer, dims.to_vec()]
}

#[test]
fn norms_over_any_axes() {
    let (devices, dims) = (common::devices(), [2, 3, 4, 5]);
    let mut inputs = Inputs::new(11);
    let x = Array::random(&mut inputs, &dims);
    for (axis, epsilon) in [(0, 0.1), (1, 1e-5), (2, 1e-5), (3, 1e-5)] {
        let columns: usize = dims[axis..].iter().product();
        let ones = vec![1.0; x.values.len()];
        for scale in scales(&dims, axis) {
            let gamma = Array::random(&mut inputs, &scale);
            let beta = Array::random(&mut inputs, &gamma.dims);
            let residual = Array::random(&mut inputs, &dims);
            let (wide_gamma, wide_beta) = (gamma.broadcast(&dims), beta.broadcast(&dims));
            let what = format!("axis {axis}, gamma {scale:?}");
            let oracle = reference::normalization::rms_norm(&x.values, &wide_gamma, columns, epsilon.into());
            let floor = rounding_floor(columns, 8.0);
            for axis in [axis as isize, axis as isize - 4] {
                check(
                    &devices,
                    &what,
                    &[&x, &gamma],
                    &[(dims.to_vec(), oracle.clone())],
                    floor,
                    |recording, values| Ok(vec![rms_norm(recording, &values[0], &values[1], axis, epsilon)?]),
                );
            }
            // Normalized by the oracle, then γ and β by hand.
            let normalized = |residual: Option<&[f32]>| {
                let ones = &ones[..columns];
                reference::normalization::layer_norm(
                    &x.values,
                    residual,
                    ones,
                    &vec![0.0; columns],
                    epsilon.into(),
                )
            };
            let affine = |normalized: Vec<f64>, beta: Option<&[f32]>| -> Vec<f64> {
                let scaled = normalized.iter().zip(&wide_gamma).map(|(x, &gamma)| x * f64::from(gamma));
                scaled.enumerate().map(|(i, x)| x + beta.map_or(0.0, |beta| f64::from(beta[i]))).collect()
            };
            let (means, inverses) = reference::normalization::moments(&x.values, columns, epsilon.into());
            let row_dims = [&dims[..axis], &vec![1; dims.len() - axis]].concat();
            let oracles = [
                (dims.to_vec(), affine(normalized(None), Some(&wide_beta))),
                (row_dims.clone(), means),
                (row_dims, inverses),
            ];
            check(&devices, &what, &[&x, &gamma, &beta], &oracles, floor, |recording, values| {
                let norm = LayerNorm::new(&values[1]).beta(&values[2]).axis(axis as isize).epsilon(epsilon);
                let made = norm.with_moments().record(recording, &values[0])?;
                Ok(vec![made.output, made.mean.unwrap(), made.inv_std_dev.unwrap()])
            });
            let oracles = [(dims.to_vec(), affine(normalized(Some(&residual.values)), None))];
            check(&devices, &what, &[&x, &gamma, &residual], &oracles, floor, |recording, values| {
                let norm =
                    LayerNorm::new(&values[1]).residual(&values[2]).axis(axis as isize - 4).epsilon(epsilon);
                let made = norm.record(recording, &values[0])?;
                assert!(made.mean.is_none() && made.inv_std_dev.is_none());
                Ok(vec![made.output])
            });
        }
    }
}

#[test]
fn softmax_along_any_axis() {
    let devices = common::devices();
    let mut inputs = Inputs::new(12);
    for dims in [&[7][..], &[1, 3], &[3, 4, 5], &[2, 33, 3, 2]] {
        for spread in [1.0, 1e4] {
            let mut x = Array::random(&mut inputs, dims);
            x.values.iter_mut().for_each(|value| *value *= spread);
            x.values[0] = f32::NEG_INFINITY;
            for axis in 0..dims.len() {
                let sizes = [dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()];
                let oracle = (dims.to_vec(), reference::softmax::softmax(&x.values, sizes));
                let floor = rounding_floor(dims[axis], 1.0) + 1e-6;
                for axis in [axis as isize, axis as isize - dims.len() as isize] {
                    let what = format!("{dims:?} along {axis}, ×{spread}");
                    check(
                        &devices,
                        &what,
                        &[&x],
                        std::slice::from_ref(&oracle),
                        floor,
                        |recording, values| Ok(vec![softmax(recording, &values[0], axis)?]),
                    );
                }
            }
        }
    }
    // A NaN, +∞ and −∞ alone, in a row each.
    let infinite = f32::INFINITY;
    let values = vec![f32::NAN, 1.0, 2.0, infinite, -infinite, -infinite, -infinite, 5.0];
    let x = Array { dims: vec![4, 2], values };
    let oracle = (vec![4, 2], reference::softmax::softmax(&x.values, [4, 2, 1]));
    check(&devices, "infinities", &[&x], &[oracle], 0.0, |recording, values| {
        Ok(vec![softmax(recording, &values[0], 1)?])
    });
}

#[test]
fn activations_by_themselves() {
    use reference::activation as oracle;
    let devices = common::devices();
    let mut inputs = Inputs::new(13);
    for dims in [&[3][..], &[3, 4, 5], &[]] {
        let mut x = Array::random(&mut inputs, dims);
        x.values[0] = 8.0 * x.values[0].abs();
        for (activation, function) in [
            (Activation::None, oracle::identity as fn(f64) -> f64),
            (Activation::Gelu, oracle::gelu),
            (Activation::GeluTanh, oracle::gelu_tanh),
            (Activation::Relu, oracle::relu),
            (Activation::Silu, oracle::silu),
            (Activation::Tanh, oracle::tanh),
        ] {
            let oracle = (dims.to_vec(), oracle::apply(&x.values, function));
            // Values within ±10, and the activations good to 2e-7 of them.
            let floor = rounding_floor(1, 10.0) + 2e-6;
            let what = format!("{activation:?} of {dims:?}");
            check(&devices, &what, &[&x], &[oracle], floor, |recording, values| {
                Ok(vec![activate(recording, &values[0], activation)?])
            });
        }
    }
}

/// Queries and keys in the rows of a packed projection, whose values stay where they are; positions from the host and the device.
#[test]
fn rotary_embeddings_in_packed_rows() {
    use reference::rotary::{Layout, rotary_embedding};
    let devices = common::devices();
    let [batch, length, heads, key_heads, head_dim] = [2, 3, 4, 2, 6];
    let (row, turned) = ((heads + 2 * key_heads) * head_dim, (heads + key_heads) * head_dim);
    let mut inputs = Inputs::new(15);
    let mut x = Array::random(&mut inputs, &[batch, length, row]);
    // The values are not read.
    x.values.chunks_mut(row).for_each(|row| row[turned..].fill(f32::NAN));
    let positions = inputs.below(batch * length, 9);
    let (cos, sin) = rotary_tables(9, head_dim, 10_000.0).unwrap();
    let [cos, sin] = [cos, sin].map(|values| Array { dims: vec![9, head_dim / 2], values });
    let dense: Vec<f32> = x.values.chunks(row).flat_map(|row| &row[..turned]).copied().collect();
    let layout = Layout {
        heads: heads + key_heads,
        length,
        head_dim,
        rotary_dim: head_dim,
        interleaved: false,
        rows_first: true,
    };
    let oracle = rotary_embedding(&dense, &cos.values, &sin.values, Some(&positions), layout);
    let oracle = (vec![batch, length, turned], oracle);
    let oracles = [oracle.clone(), oracle];
    check(&devices, "packed", &[&x, &cos, &sin], &oracles, rounding_floor(2, 6.0), |recording, values| {
        let x = Heads::in_rows(&values[0], 0, heads + key_heads, head_dim)?;
        let rotary = RotaryEmbedding::new(&values[1], &values[2]);
        let by_host = rotary.positions(&positions).record_heads(recording, &x)?;
        // One past the tables reads their last row.
        let on_device = positions.iter().map(|&position| if position == 8 { 1_000_000 } else { position });
        let on_device: Vec<u32> = on_device.collect();
        let on_device = Tensor::from_u32(recording.device(), [batch, length], &on_device)?;
        let on_device = recording.tensor(&on_device)?;
        Ok(vec![by_host, rotary.positions_value(&on_device).record_heads(recording, &x)?])
    });
}

/// x and the residual stored as f16: as what they hold in f32.
#[test]
fn linear_layers_of_f16() {
    let devices = common::devices();
    let [rows, inputs, outputs] = [5, 33, 7];
    let mut random = Inputs::new(16);
    let mut halves = |count: usize| -> Vec<f32> {
        random.values(count, 1.0).into_iter().map(|value| half::f16::from_f32(value).to_f32()).collect()
    };
    let (x, weight, residual) = (halves(rows * inputs), halves(outputs * inputs), halves(rows * outputs));
    for device in &devices {
        for dtype in [DType::F32, DType::F16] {
            let weights = LinearWeights::new(device, [outputs, inputs], &weight, None, dtype).unwrap();
            let run = |half: bool| {
                let make = if half { Tensor::from_f32_as_f16 } else { Tensor::from_f32 };
                let x = make(device, Shape::from([rows, inputs]), &x).unwrap();
                let residual = make(device, Shape::from([rows, outputs]), &residual).unwrap();
                let y = run(device, &[x, residual], |recording, values| {
                    Linear::new(&weights).residual(&values[1]).record(recording, &values[0])
                });
                assert_eq!((y.dtype(), y.shape().dims()), (DType::F32, &[rows, outputs][..]));
                y.to_f32().unwrap()
            };
            assert_eq!(run(true), run(false), "{}: {dtype}", device.name());
        }
        // What fails later leaves no cast behind.
        let weights = LinearWeights::new(device, [outputs, inputs], &weight, None, DType::F32).unwrap();
        let mut recording = Recording::new(device);
        let x = common::zeros_of(DType::F16, &mut recording, &[rows, inputs]);
        let wrong = common::zeros(&mut recording, &[rows, outputs + 1]);
        assert!(Linear::new(&weights).residual(&wrong).record(&mut recording, &x).is_err());
        assert_eq!(recording.run().unwrap().statistics.dispatches, 0);
    }
}

#[test]
fn rotary_embeddings_in_every_layout() {
    use reference::rotary::{Layout, rotary_embedding};
    let devices = common::devices();
    let mut inputs = Inputs::new(14);
    let [batch, heads, length, head_dim] = [2, 4, 3, 8];
    for options in 0..16 {
        let [interleaved, rows_first, with_positions, partly] = [1, 2, 4, 8].map(|bit| options & bit != 0);
        let rotary_dim = if partly { 4 } else { head_dim };
        let dims = match rows_first {
            true => vec![batch, length, heads * head_dim],
            false => vec![batch, heads, length, head_dim],
        };
        let x = Array::random(&mut inputs, &dims);
        let rows = if with_positions { 50 } else { batch * length };
        let positions = inputs.below(batch * length, 50);
        let (cos, sin) = rotary_tables(rows, rotary_dim, 10_000.0).unwrap();
        let table = match with_positions {
            true => vec![rows, rotary_dim / 2],
            false => vec![batch, length, rotary_dim / 2],
        };
        let [cos, sin] = [cos, sin].map(|values| Array { dims: table.clone(), values });
        let layout = Layout { heads, length, head_dim, rotary_dim, interleaved, rows_first };
        let given = with_positions.then_some(&positions[..]);
        let oracle = rotary_embedding(&x.values, &cos.values, &sin.values, given, layout);
        let what = format!("interleaved {interleaved}, rows first {rows_first}, {table:?}");
        check(
            &devices,
            &what,
            &[&x, &cos, &sin],
            &[(dims, oracle)],
            rounding_floor(2, 6.0),
            |recording, values| {
                let mut rotary = RotaryEmbedding::new(&values[1], &values[2]);
                rotary = if interleaved { rotary.interleaved() } else { rotary };
                rotary = if rows_first { rotary.heads(heads) } else { rotary };
                rotary = if with_positions { rotary.positions(&positions) } else { rotary };
                rotary = if partly { rotary.rotary_dim(rotary_dim) } else { rotary };
                Ok(vec![rotary.record(recording, &values[0])?])
            },
        );
    }
}

#[test]
fn rotary_tables_turn_by_their_frequencies() {
    let (cos, sin) = rotary_tables(3, 4, 100.0).unwrap();
    // Frequencies 1 and 100^(−2 / 4) = 0.1.
    let angles = [0.0, 0.0, 1.0, 0.1, 2.0, 0.2_f64];
    assert_eq!(cos, angles.map(|angle| angle.cos() as f32));
    assert_eq!(sin, angles.map(|angle| angle.sin() as f32));
    assert_eq!(
        rotary_tables(0, 4, 10_000.0).unwrap().0.len() + rotary_tables(4, 0, 10_000.0).unwrap().1.len(),
        0
    );
}

/// The sums of a product of dense matrices.
fn products(a: &[f32], b: &[f32], [rows, inputs, outputs]: [usize; 3], layout: WeightLayout) -> Vec<f64> {
    let dims = Dims { rows, inputs, outputs };
    linear(a, b, layout, None, reference::activation::identity, None, dims)
}

#[test]
fn products_of_stacked_matrices() {
    let devices = common::devices();
    let mut inputs = Inputs::new(15);
    // Both operands, and what the axes before the last two come to. With rows of a and b that are whole vec4s or not.
    let cases: [(&[usize], &[usize], &[usize]); 19] = [
        (&[3, 4], &[4, 3], &[]),
        (&[2, 3, 4], &[2, 4, 3], &[2]),
        (&[1, 2, 3, 4], &[1, 2, 4, 3], &[1, 2]),
        (&[3, 1, 3, 4], &[1, 2, 4, 2], &[3, 2]),
        (&[3, 1, 33, 16], &[1, 2, 16, 36], &[3, 2]),
        (&[2, 1, 3, 1, 5, 8], &[4, 1, 2, 8, 4], &[2, 4, 3, 2]),
        (&[5, 70, 20], &[20, 72], &[5]),
        (&[2, 5, 9, 20], &[1, 1, 20, 7], &[2, 5]),
        (&[7, 20], &[3, 20, 40], &[3]),
        (&[4], &[2, 4, 1], &[2]),
        (&[1, 2, 4, 3], &[3], &[1, 2]),
        (&[2, 3, 8], &[8], &[2]),
        (&[8], &[8, 4], &[]),
        (&[3], &[3], &[]),
        (&[130, 64], &[64, 132], &[]),
        (&[2, 0], &[0, 3], &[]),
        (&[2, 5, 0], &[2, 0, 3], &[2]),
        (&[2, 0, 4], &[2, 4, 3], &[2]),
        (&[0, 2, 4], &[4, 3], &[0]),
    ];
    for (a_dims, b_dims, outer) in cases {
        let (a, b) = (Array::random(&mut inputs, a_dims), Array::random(&mut inputs, b_dims));
        let rows = if a_dims.len() > 1 { Some(a_dims[a_dims.len() - 2]) } else { None };
        let columns = if b_dims.len() > 1 { b_dims.last().copied() } else { None };
        let (m, k, n) = (rows.unwrap_or(1), a_dims[a_dims.len() - 1], columns.unwrap_or(1));
        let mut oracle = Vec::new();
        for index in 0..outer.iter().product() {
            let [left, right] = [(a_dims, m * k), (b_dims, k * n)].map(|(dims, size)| {
                let own = &dims[..dims.len().saturating_sub(2)];
                broadcast_place(own, outer, index) * size
            });
            let (a, b) = (&a.values[left..left + m * k], &b.values[right..right + k * n]);
            oracle.extend(products(a, b, [m, k, n], WeightLayout::InOut));
        }
        let dims = outer.iter().copied().chain(rows).chain(columns).collect();
        let what = format!("{a_dims:?} · {b_dims:?}");
        // Sums of k products of values near 1.
        let floor = rounding_floor(k, 8.0 * (k as f64).sqrt());
        check(&devices, &what, &[&a, &b], &[(dims, oracle)], floor, |recording, values| {
            Ok(vec![matmul(recording, &values[0], &values[1])?])
        });
    }
}

#[test]
fn products_with_alpha_beta_and_transposed_operands() {
    let devices = common::devices();
    let mut inputs = Inputs::new(16);
    for (seed, [m, k, n]) in
        [[3, 5, 4], [33, 16, 36], [70, 20, 65], [1, 4, 4], [2, 0, 3]].into_iter().enumerate()
    {
        let shapes = [vec![], vec![1], vec![n], vec![1, n], vec![m, n], vec![m, 1], vec![1, 1]];
        for (index, shape) in shapes.iter().enumerate() {
            let options = seed + index;
            let (transpose_a, transpose_b) = (options % 2 == 1, options / 2 % 2 == 1);
            let (alpha, beta) = [(1.0, 1.0), (0.25, 0.35), (-2.0, 1.0), (1.0, 0.0), (0.0, 2.0)][options % 5];
            let a = Array::random(&mut inputs, &if transpose_a { [k, m] } else { [m, k] });
            let b = Array::random(&mut inputs, &if transpose_b { [n, k] } else { [k, n] });
            let mut c = Array::random(&mut inputs, shape);
            if beta == 0.0 {
                c.values.fill(f32::NAN);
            }
            let left: Vec<f32> = match transpose_a {
                true => (0..m * k).map(|i| a.values[i % k * m + i / k]).collect(),
                false => a.values.clone(),
            };
            let layout = if transpose_b { WeightLayout::OutIn } else { WeightLayout::InOut };
            let sums = products(&left, &b.values, [m, k, n], layout);
            let addend = |c: f32| if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(c) };
            let both = sums.iter().zip(c.broadcast(&[m, n]));
            let oracle = both.map(|(sum, c)| f64::from(alpha) * sum + addend(c)).collect();
            let what = format!("[{m}, {k}, {n}], c {shape:?}, {alpha}, {beta}, {transpose_a}, {transpose_b}");
            let floor = rounding_floor(k + 2, 8.0 * (k as f64 + 2.0).sqrt());
            check(&devices, &what, &[&a, &b, &c], &[(vec![m, n], oracle)], floor, |recording, values| {
                let mut gemm = Gemm::new().alpha(alpha).beta(beta).c(&values[2]);
                gemm = if transpose_a { gemm.transpose_a() } else { gemm };
                gemm = if transpose_b { gemm.transpose_b() } else { gemm };
                Ok(vec![gemm.record(recording, &values[0], &values[1])?])
            });
        }
    }
}
