//! Ops on every adapter and on the CPU, against the f64 oracles: attention in all its forms, linear layers, pooling.

use crate::common::{self, assert_agrees};
use attentive::kernel::Inputs;
use attentive::ops::{Attention, Heads, Linear, LinearWeights, Mask, pool};
use attentive::recording::Value;
use attentive::reference::attention::{self as oracle, Dims, Options, Strided, View};
use attentive::reference::rounding_floor;
use attentive::reference::{self, activation, linear::WeightLayout};
use attentive::{Activation, Causal, DType, Device, Pooling, Recording, Tensor};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// What lies in a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MaskKind {
    Bool,
    Float,
}

/// One attention, with all that it is made from; its `Debug` form reproduces it.
#[derive(Clone, Debug)]
struct Case {
    dims: Dims,
    /// Q, K and V side by side in one buffer's rows (for Lq = Lk), else each heads first in its own.
    packed: bool,
    causal: Causal,
    /// Whether each batch item has its own number of keys.
    lengths: bool,
    /// Its axes, the last of them Lk or 1.
    mask: Option<(MaskKind, Vec<usize>)>,
    scale: Option<f32>,
    seed: u64,
}

impl Default for Case {
    fn default() -> Self {
        let dims =
            Dims { batch: 2, heads: 3, heads_kv: 3, queries: 19, keys: 19, head_dim: 12, value_dim: 12 };
        Self { dims, packed: false, causal: Causal::None, lengths: false, mask: None, scale: None, seed: 1 }
    }
}

/// A case's inputs.
struct Data {
    /// One buffer for all three, or one for each.
    buffers: Vec<Vec<f32>>,
    at: [Strided; 3],
    lengths: Vec<u32>,
    mask: Vec<u32>,
}

const GAP: usize = 3;

impl Case {
    /// First column, heads and columns of Q, K and V in packed rows, a gap behind each.
    fn columns(&self) -> ([(usize, usize, usize); 3], usize) {
        let Dims { heads, heads_kv, head_dim, value_dim, .. } = self.dims;
        let k = heads * head_dim + GAP;
        let v = k + heads_kv * head_dim + GAP;
        (
            [(0, heads, head_dim), (k, heads_kv, head_dim), (v, heads_kv, value_dim)],
            v + heads_kv * value_dim + GAP,
        )
    }

    fn data(&self) -> Data {
        let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = self.dims;
        let mut random = Inputs::new(self.seed);
        let lengths: Vec<u32> = random.below(batch, keys as u32 + 1);
        let mut buffers = Vec::new();
        let at = if self.packed {
            let (columns, width) = self.columns();
            // Gaps hold NaN: what is read there shows.
            let mut rows = vec![f32::NAN; batch * queries * width];
            for row in rows.chunks_exact_mut(width) {
                for (first, heads, size) in columns {
                    row[first..first + heads * size].copy_from_slice(&random.values(heads * size, 1.0));
                }
            }
            buffers.push(rows);
            columns.map(|(offset, _, head)| Strided { offset, batch: queries * width, head, row: width })
        } else {
            for (heads, rows, columns) in
                [(heads, queries, head_dim), (heads_kv, keys, head_dim), (heads_kv, keys, value_dim)]
            {
                buffers.push(random.values(batch * heads * rows * columns, 1.0));
            }
            [(heads, queries, head_dim), (heads_kv, keys, head_dim), (heads_kv, keys, value_dim)]
                .map(|(heads, rows, columns)| Strided::heads_first(heads, rows, columns))
        };
        // Padding holds NaN, in K and V.
        if self.lengths {
            for (part, columns) in [(1, head_dim), (2, value_dim)] {
                let at = at[part];
                let buffer = if self.packed { &mut buffers[0] } else { &mut buffers[part] };
                for (item, &length) in lengths.iter().enumerate() {
                    for (head, key) in
                        (0..heads_kv).flat_map(|head| (length as usize..keys).map(move |key| (head, key)))
                    {
                        let start = at.offset + item * at.batch + head * at.head + key * at.row;
                        buffer[start..start + columns].fill(f32::NAN);
                    }
                }
            }
        }
        let mask = match &self.mask {
            None => Vec::new(),
            Some((kind, shape)) => {
                let count = shape.iter().product();
                let keep = random.mask(count);
                let float = random.values(count, 1.0);
                match kind {
                    MaskKind::Bool => keep,
                    MaskKind::Float => {
                        let both = float.iter().zip(keep);
                        both.map(|(f, keep)| if keep == 0 { f32::NEG_INFINITY } else { *f }.to_bits())
                            .collect()
                    }
                }
            }
        };
        Data { buffers, at, lengths, mask }
    }

    /// Output `[B, Lq, H · Dv]` and weights `[B, H, Lq, Lk]` of a device.
    fn run(&self, device: &Device, data: &Data, with_weights: bool) -> (Vec<f32>, Vec<f32>) {
        let Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim } = self.dims;
        let mut recording = Recording::new(device);
        let mut taken = |shape: &[usize], values: &[f32]| {
            recording.tensor(&Tensor::from_f32(device, shape, values).unwrap()).unwrap()
        };
        let values: Vec<Value> = match self.packed {
            true => vec![taken(&[batch, queries, self.columns().1], &data.buffers[0])],
            false => [
                [batch, heads, queries, head_dim],
                [batch, heads_kv, keys, head_dim],
                [batch, heads_kv, keys, value_dim],
            ]
            .iter()
            .zip(&data.buffers)
            .map(|(shape, values)| taken(shape, values))
            .collect(),
        };
        let part = |part: usize| match self.packed {
            true => {
                let (first, heads, columns) = self.columns().0[part];
                Heads::in_rows(&values[0], first, heads, columns).unwrap()
            }
            false => Heads::dense(&values[part]).unwrap(),
        };
        let mask = self.mask.as_ref().map(|(kind, shape)| {
            let tensor = match kind {
                MaskKind::Bool => Tensor::from_u32(device, &**shape, &data.mask),
                MaskKind::Float => Tensor::from_f32(device, &**shape, &floats(&data.mask)),
            };
            (*kind, recording.tensor(&tensor.unwrap()).unwrap())
        });
        let mut options = Attention::new().causal(self.causal);
        options = self.scale.map_or(options, |scale| options.scale(scale));
        options = if self.lengths { options.key_lengths(&data.lengths) } else { options };
        options = if with_weights { options.with_weights() } else { options };
        options = match &mask {
            None => options,
            Some((MaskKind::Bool, mask)) => options.mask(Mask::Bool(mask)),
            Some((MaskKind::Float, mask)) => options.mask(Mask::Float(mask)),
        };
        let made = options.record(&mut recording, &part(0), &part(1), &part(2)).unwrap();
        assert_eq!(made.output.shape().dims(), [batch, queries, heads * value_dim]);
        recording.output(&made.output).unwrap();
        if let Some(weights) = &made.weights {
            assert_eq!(weights.shape().dims(), [batch, heads, queries, keys]);
            recording.output(weights).unwrap();
        }
        let outputs = recording.run().unwrap();
        let weights = made.weights.map(|weights| outputs.tensor(&weights).unwrap().to_f32().unwrap());
        (outputs.tensor(&made.output).unwrap().to_f32().unwrap(), weights.unwrap_or_default())
    }

    /// The same by the oracle, and whether each query may attend to anything.
    fn expected(&self, data: &Data) -> (Vec<f64>, Vec<f64>, Vec<bool>) {
        let dims = self.dims;
        let floats = floats(&data.mask);
        let strides = self.mask.as_ref().map_or([0; 4], |(_, shape)| broadcast_strides(shape));
        let options = Options {
            scale: self.scale.map_or(1.0 / (dims.head_dim as f64).sqrt(), f64::from),
            causal: match self.causal {
                Causal::TopLeft => oracle::Causal::TopLeft,
                Causal::BottomRight => oracle::Causal::BottomRight,
                _ => oracle::Causal::None,
            },
            key_lengths: self.lengths.then_some(&*data.lengths),
            mask: match self.mask {
                None => oracle::Mask::None,
                Some((MaskKind::Bool, _)) => oracle::Mask::Bool { data: &data.mask, strides },
                Some((MaskKind::Float, _)) => oracle::Mask::Float { data: &floats, strides },
            },
            ..Options::for_head_dim(dims.head_dim)
        };
        let view = |part: usize| View::new(&data.buffers[if self.packed { 0 } else { part }], data.at[part]);
        let scores = oracle::scores(view(0), view(1), dims);
        let weights = oracle::scale_mask_softmax(&scores, dims, options);
        let output = oracle::attention(view(0), view(1), view(2), dims, options);
        let allowed = oracle::allowed(dims, options);
        let seen = allowed.chunks_exact(dims.keys).map(|row| row.contains(&true)).collect();
        (oracle::rows_first(&output, dims), weights, seen)
    }

    /// Runs it on every device, with the weights and without.
    fn check(&self, devices: &[Device]) {
        let data = self.data();
        let (output, weights, seen) = self.expected(&data);
        let (twin_output, twin_weights) = self.run(&Device::cpu(), &data, true);
        // Values near 1, scores within ±6: an exponential of those is good to 15 units in the last place.
        let floor = rounding_floor(self.dims.head_dim + self.dims.keys, 1.0) + 1e-6;
        for device in devices {
            let (got, got_weights) = self.run(device, &data, true);
            assert_agrees(device, &format!("{self:?}"), (&got, &twin_output, &output), floor);
            assert_agrees(
                device,
                &format!("weights of {self:?}"),
                (&got_weights, &twin_weights, &weights),
                floor,
            );
            let (without, _) = self.run(device, &data, false);
            assert_agrees(
                device,
                &format!("without weights: {self:?}"),
                (&without, &twin_output, &output),
                floor,
            );
            // A query that may attend to nothing gives 0, not almost 0.
            let Dims { heads, queries, value_dim, .. } = self.dims;
            for (row, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
                let (item, head, query) = (row / queries / heads, row / queries % heads, row % queries);
                let start = ((item * queries + query) * heads + head) * value_dim;
                assert!(got[start..start + value_dim].iter().all(|&value| value == 0.0), "{self:?}");
                let weights = &got_weights[row * self.dims.keys..][..self.dims.keys];
                assert!(weights.iter().all(|&weight| weight == 0.0), "{self:?}");
            }
        }
    }
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&word| f32::from_bits(word)).collect()
}

/// The strides over `[B, H, Lq, Lk]` of a mask with those last axes; an axis of 1 repeats.
fn broadcast_strides(shape: &[usize]) -> [usize; 4] {
    let mut strides = [0; 4];
    for axis in 0..shape.len() {
        if shape[axis] != 1 {
            strides[4 - shape.len() + axis] = shape[axis + 1..].iter().product();
        }
    }
    strides
}

#[test]
fn attention_over_packed_queries_keys_and_values() {
    let devices = common::devices();
    let dims = Case::default().dims;
    for (heads, heads_kv, value_dim) in [(3, 3, 12), (6, 2, 12), (4, 1, 7)] {
        let dims = Dims { heads, heads_kv, value_dim, ..dims };
        Case { dims, packed: true, lengths: true, ..Default::default() }.check(&devices);
        Case { dims, packed: true, causal: Causal::TopLeft, ..Default::default() }.check(&devices);
    }
}

#[test]
fn attention_across_sequences_of_different_lengths() {
    let devices = common::devices();
    for (queries, keys) in [(5, 40), (40, 5), (1, 33), (33, 1)] {
        for causal in [Causal::None, Causal::TopLeft, Causal::BottomRight] {
            for (heads, heads_kv) in [(2, 2), (4, 2)] {
                let dims = Dims { batch: 2, heads, heads_kv, queries, keys, head_dim: 20, value_dim: 9 };
                // With more queries than keys, the first of them see nothing (bottom right).
                Case { dims, causal, lengths: heads_kv == 2, ..Default::default() }.check(&devices);
            }
        }
    }
}

#[test]
fn attention_under_masks_of_every_rank() {
    let devices = common::devices();
    let dims = Dims { queries: 11, keys: 23, ..Case::default().dims };
    let Dims { batch, heads, queries, keys, .. } = dims;
    let shapes = [
        vec![1],
        vec![keys],
        vec![queries, keys],
        vec![queries, 1],
        vec![1, keys],
        vec![heads, queries, keys],
        vec![heads, 1, keys],
        vec![1, queries, keys],
        vec![batch, 1, 1, keys],
        vec![batch, heads, 1, 1],
        vec![batch, 1, queries, keys],
        vec![1, heads, queries, keys],
        vec![batch, heads, queries, keys],
    ];
    for (seed, shape) in shapes.into_iter().enumerate() {
        for kind in [MaskKind::Bool, MaskKind::Float] {
            let mask = Some((kind, shape.clone()));
            let causal = if seed % 2 == 0 { Causal::None } else { Causal::BottomRight };
            Case { dims, mask, causal, lengths: seed % 3 == 0, seed: seed as u64, ..Default::default() }
                .check(&devices);
        }
    }
}

#[test]
fn attention_with_another_scale() {
    for scale in [0.0, -0.5, 1.5] {
        Case { scale: Some(scale), ..Default::default() }.check(&common::devices());
    }
}

/// Runs a property over seeded cases: the same ones each time.
fn for_random<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seeded = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, seeded)
        .run(strategy, |value| {
            check(value);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn attention_of_random_sizes() {
    let devices = common::devices();
    let sizes = (1..3_usize, 1..4_usize, 1..4_usize, 1..50_usize, 1..80_usize, 1..70_usize, 1..70_usize);
    let mask = (0..3_usize, 1..5_usize, any::<[bool; 4]>());
    let options = (0..3_usize, any::<bool>(), any::<bool>(), any::<u64>());
    for_random(48, &(sizes, mask, options), |(sizes, mask, options)| {
        let (batch, heads_kv, group, queries, keys, head_dim, value_dim) = sizes;
        let (causal, lengths, packed, seed) = options;
        let (queries, heads) = (if packed { keys } else { queries }, heads_kv * group);
        let whole = [batch, heads, queries, keys];
        let (kind, rank, broadcast) = mask;
        let axes = (4 - rank..4).map(|axis| if broadcast[axis] { 1 } else { whole[axis] }).collect();
        let kind = [None, Some(MaskKind::Bool), Some(MaskKind::Float)][kind];
        Case {
            dims: Dims { batch, heads, heads_kv, queries, keys, head_dim, value_dim },
            packed,
            causal: [Causal::None, Causal::TopLeft, Causal::BottomRight][causal],
            lengths,
            mask: kind.map(|kind| (kind, axes)),
            scale: None,
            seed,
        }
        .check(&devices);
    });
}

#[test]
fn linear_of_random_sizes() {
    let devices = common::devices();
    let sizes = (1..90_usize, 1..90_usize, 1..90_usize);
    let options = (0..6_usize, any::<[bool; 4]>(), any::<u64>());
    for_random(48, &(sizes, options), |((rows, inputs, outputs), options)| {
        let (activation, [transposed, half, has_bias, has_residual], seed) = options;
        let what = format!("[{rows}, {inputs}] to {outputs}: {options:?}");
        let mut random = Inputs::new(seed);
        let x = random.values(rows * inputs, 1.0);
        let mut weight = random.values(outputs * inputs, (1.0 / inputs as f32).sqrt());
        if half {
            weight.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
        }
        let (bias, residual) = (random.values(outputs, 1.0), random.values(rows * outputs, 1.0));
        let oracles = [
            activation::identity,
            activation::gelu,
            activation::gelu_tanh,
            activation::relu,
            activation::silu,
            activation::tanh,
        ];
        let oracle = reference::linear::linear(
            &x,
            &weight,
            if transposed { WeightLayout::OutIn } else { WeightLayout::InOut },
            has_bias.then_some(&bias[..]),
            oracles[activation],
            has_residual.then_some(&residual[..]),
            reference::linear::Dims { rows, inputs, outputs },
        );
        let run = |device: &Device| {
            let shape = if transposed { [outputs, inputs] } else { [inputs, outputs] };
            let weight = match half {
                true => Tensor::from_f32_as_f16(device, shape, &weight),
                false => Tensor::from_f32(device, shape, &weight),
            };
            let bias = has_bias.then(|| Tensor::from_f32(device, [outputs], &bias).unwrap());
            let weights = LinearWeights::from_tensors(&weight.unwrap(), bias.as_ref(), transposed).unwrap();
            let mut recording = Recording::new(device);
            let x = recording.tensor(&Tensor::from_f32(device, [rows, inputs], &x).unwrap()).unwrap();
            let residual = Tensor::from_f32(device, [rows, outputs], &residual).unwrap();
            let residual = recording.tensor(&residual).unwrap();
            let mut linear = Linear::new(&weights).activation(Activation::ALL[activation]);
            linear = if has_residual { linear.residual(&residual) } else { linear };
            let y = linear.record(&mut recording, &x).unwrap();
            recording.output(&y).unwrap();
            recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
        };
        let twin = run(&Device::cpu());
        for device in &devices {
            let floor = rounding_floor(inputs, 2.0) + 4e-7;
            assert_agrees(device, &what, (&run(device), &twin, &oracle), floor);
        }
    });
}

#[test]
fn pooling_of_random_sizes() {
    use reference::pooling::Kind;
    let devices = common::devices();
    let sizes = (1..5_usize, 1..40_usize, 1..100_usize);
    for_random(32, &(sizes, 0..3_usize, any::<bool>(), any::<u64>()), |(sizes, kind, normalize, seed)| {
        let (batch, length, columns) = sizes;
        let mut random = Inputs::new(seed);
        let mut x = random.values(batch * length * columns, 1.0);
        let lengths = random.below(batch, length as u32 + 1);
        for (item, &tokens) in x.chunks_exact_mut(length * columns).zip(&lengths) {
            item[tokens as usize * columns..].fill(f32::NAN);
        }
        let dims = reference::pooling::Dims { batch, length, columns };
        let oracle =
            reference::pooling::pool(&x, &lengths, [Kind::Mean, Kind::Cls, Kind::Max][kind], normalize, dims);
        let run = |device: &Device| {
            let mut recording = Recording::new(device);
            let x = Tensor::from_f32(device, [batch, length, columns], &x).unwrap();
            let x = recording.tensor(&x).unwrap();
            let pooling = [Pooling::Mean, Pooling::Cls, Pooling::Max][kind];
            let y = pool(&mut recording, &x, &lengths, pooling, normalize).unwrap();
            assert_eq!(y.dtype(), DType::F32);
            recording.output(&y).unwrap();
            recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
        };
        let twin = run(&Device::cpu());
        for device in &devices {
            let what = format!("{sizes:?} {kind} {normalize}");
            assert_agrees(device, &what, (&run(device), &twin, &oracle), rounding_floor(length, 1.0));
        }
    });
}
