//! A shape with its inputs: recorded on any device, and its result checked on sampled parts.

use crate::bench::encoder::EncoderProblem;
use crate::bench::inputs::{NMSE, upload, values};
use crate::bench::shape::{AttentionSizes, Masking, RowOp, Shape, Work};
use crate::device::Device;
use crate::error::Result;
use crate::kernel::{Case, CaseArgument, Depth, Kernel, Variant};
use crate::ops::{
    Attention, Causal, Heads, LayerNormWeights, Layout, Linear, LinearWeights, layer_norm, rms_norm, softmax,
};
use crate::recording::{Recording, Value};
use crate::reference::attention::{Dims, Options, Strided, View};
use crate::reference::{self, largest, rounding_floor};
use crate::tensor::{DType, Tensor};
use crate::verify::run_case;

/// Elements, or rows, of which the oracle is asked.
const SAMPLES: usize = 64;
/// Half a unit in the last place of an f16, relative.
const HALF_ROUNDOFF: f64 = 1.0 / 2048.0;
const EPSILON: f32 = 1e-5;

/// A shape's inputs on the host.
pub(super) struct Problem {
    shape: Shape,
    inputs: Vec<Vec<f32>>,
    encoder: Option<EncoderProblem>,
    case: Option<Case>,
}

impl Problem {
    /// Makes the inputs, the same each time.
    pub fn new(shape: &Shape) -> Self {
        let mut rng = fastrand::Rng::with_seed(shape.flops() ^ shape.bytes());
        let mut tensor = |count, dtype| values(&mut rng, count, dtype);
        let (mut encoder, mut case) = (None, None);
        let inputs = match &shape.work {
            &Work::Gemm { rows, depth, columns } => {
                // x too, so that an implementation that rounds it to f16 has the same to do.
                vec![tensor(rows * depth, shape.dtype), tensor(depth * columns, shape.dtype)]
            }
            Work::Attention(sizes) => {
                let keys = sizes.batch * sizes.key_heads * sizes.keys * sizes.head_dim;
                let queries = sizes.batch * sizes.heads * sizes.queries * sizes.head_dim;
                [queries, keys, keys].map(|count| tensor(count, shape.dtype)).to_vec()
            }
            &Work::Rows { rows, columns, .. } => {
                [rows * columns, rows * columns, columns, columns].map(|n| tensor(n, DType::F32)).to_vec()
            }
            &Work::Encoder { sizes, whole, batch, length } => {
                encoder = Some(EncoderProblem::new(sizes, whole, [batch, length], shape.dtype));
                Vec::new()
            }
            Work::Kernel { kernel, variant } => {
                case = largest_case(*kernel, variant);
                Vec::new()
            }
        };
        Self { shape: shape.clone(), inputs, encoder, case }
    }

    /// Records it on a device, its result marked as an output. A kernel's case writes into tensors instead, and gives none.
    pub fn record(&self, device: &Device) -> Result<(Recording, Option<Value>)> {
        let mut recording = Recording::new(device);
        let dtype = self.shape.dtype;
        let take = |recording: &mut Recording, place: usize, dims: &[usize], dtype| {
            recording.tensor(&upload(device, dims, &self.inputs[place], dtype)?)
        };
        let output = match &self.shape.work {
            &Work::Gemm { rows, depth, columns } => {
                let x = take(&mut recording, 0, &[rows, depth], DType::F32)?;
                let weights = LinearWeights::new(device, [columns, depth], &self.inputs[1], None, dtype)?;
                Linear::new(&weights).record(&mut recording, &x)?
            }
            Work::Attention(sizes) => {
                let &AttentionSizes { batch, heads, key_heads, queries, keys, head_dim, masking } = sizes;
                let q = take(&mut recording, 0, &[batch, heads, queries, head_dim], dtype)?;
                let k = take(&mut recording, 1, &[batch, key_heads, keys, head_dim], dtype)?;
                let v = take(&mut recording, 2, &[batch, key_heads, keys, head_dim], dtype)?;
                let lengths: Vec<u32> = (0..batch).map(|item| sizes.key_length(item) as u32).collect();
                let mut attention = Attention::new().output_layout(Layout::HeadsFirst);
                match masking {
                    Masking::None => {}
                    Masking::Causal => attention = attention.causal(Causal::TopLeft),
                    Masking::KeyLengths => attention = attention.key_lengths(&lengths),
                }
                let (q, k, v) = (Heads::dense(&q)?, Heads::dense(&k)?, Heads::dense(&v)?);
                attention.record(&mut recording, &q, &k, &v)?.output
            }
            &Work::Rows { op, rows, columns } => {
                let x = take(&mut recording, 0, &[rows, columns], DType::F32)?;
                let [gamma, beta] = [&self.inputs[2], &self.inputs[3]];
                match op {
                    RowOp::Softmax => softmax(&mut recording, &x, -1)?,
                    RowOp::RmsNorm => {
                        let gamma = take(&mut recording, 2, &[columns], DType::F32)?;
                        rms_norm(&mut recording, &x, &gamma, -1, EPSILON)?
                    }
                    RowOp::LayerNorm | RowOp::ResidualLayerNorm => {
                        let weights = LayerNormWeights::new(device, gamma, beta, EPSILON)?;
                        let residual = match op {
                            RowOp::LayerNorm => None,
                            _ => Some(take(&mut recording, 1, &[rows, columns], DType::F32)?),
                        };
                        layer_norm(&mut recording, &x, residual.as_ref(), &weights)?
                    }
                }
            }
            Work::Encoder { .. } => match &self.encoder {
                Some(encoder) => encoder.record(&mut recording, encoder.items())?,
                None => return Ok((recording, None)),
            },
            Work::Kernel { kernel, variant } => {
                if let Some(case) = &self.case {
                    record_case(&mut recording, *kernel, variant, case)?;
                }
                return Ok((recording, None));
            }
        };
        recording.output(&output)?;
        Ok((recording, Some(output)))
    }

    /// The operations and bytes of one call: the shape's own, or those of a kernel's case.
    pub fn cost(&self) -> (u64, u64) {
        match (&self.shape.work, &self.case) {
            (Work::Kernel { kernel, variant }, Some(case)) => {
                let cost = kernel.cost(variant, &case.parameters);
                (cost.flops, cost.bytes)
            }
            _ => (self.shape.flops(), self.shape.bytes()),
        }
    }

    /// The sizes, and for a kernel those of its case.
    pub fn label(&self) -> String {
        match (&self.shape.work, &self.case) {
            (Work::Kernel { variant, .. }, Some(case)) => format!("{} {}, {variant}", self.shape, case.label),
            _ => self.shape.to_string(),
        }
    }

    /// The fault of a result, if it has one.
    ///
    /// # Errors
    /// Of the device, where a part is computed again.
    pub fn fault(&self, device: &Device, output: Option<&Tensor>) -> Result<Option<String>> {
        if let Work::Kernel { kernel, variant } = &self.shape.work {
            let Some(case) = &self.case else { return Ok(Some("the kernel has no case".to_owned())) };
            return Ok(crate::waiting::block_on(run_case(device, *kernel, variant, case))?.failure);
        }
        let Some(output) = output else { return Ok(Some("there is no result".to_owned())) };
        let got = output.to_f32()?;
        if let Some(encoder) = &self.encoder {
            return encoder.fault(&got);
        }
        let half = output.dtype() == DType::F16;
        // Cooperative matrices take weights of attention in f16, of values up to 1.
        let taken = device.forced("attention").is_none_or(|name| name == "cooperative");
        let rounded =
            device.options().cooperative && taken && matches!(self.shape.work, Work::Attention(_)) && half;
        let of_weights = if rounded { HALF_ROUNDOFF } else { 0.0 };
        let mut sampled = Sampled { half, of_weights, ..Sampled::default() };
        self.sample(&got, &mut sampled);
        Ok(sampled.fault())
    }

    fn sample(&self, got: &[f32], sampled: &mut Sampled) {
        let mut rng = fastrand::Rng::with_seed(7);
        match &self.shape.work {
            &Work::Gemm { rows, depth, columns } => {
                let corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)];
                let inside = (0..SAMPLES).map(|_| (rng.usize(..rows), rng.usize(..columns)));
                for (row, column) in corners.into_iter().chain(inside) {
                    let (x, weight) = (&self.inputs[0][row * depth..], &self.inputs[1][column * depth..]);
                    let products = x[..depth].iter().zip(weight).map(|(&x, &w)| f64::from(x) * f64::from(w));
                    let floor = rounding_floor(depth, (depth as f64).sqrt());
                    sampled.add(&got[row * columns + column..][..1], &[products.sum()], floor);
                }
            }
            Work::Attention(sizes) => self.sample_attention(sizes, got, sampled),
            &Work::Rows { op, rows, columns } => {
                let [x, residual, gamma, beta] = &self.inputs[..] else { return };
                for row in [0, rows - 1].into_iter().chain((2..SAMPLES / 4).map(|_| rng.usize(..rows))) {
                    let at = row * columns..(row + 1) * columns;
                    let x = &x[at.clone()];
                    let epsilon = f64::from(EPSILON);
                    let expected = match op {
                        RowOp::LayerNorm => {
                            reference::normalization::layer_norm(x, None, gamma, beta, epsilon)
                        }
                        RowOp::ResidualLayerNorm => {
                            let residual = Some(&residual[at.clone()]);
                            reference::normalization::layer_norm(x, residual, gamma, beta, epsilon)
                        }
                        RowOp::RmsNorm => reference::normalization::rms_norm(x, gamma, columns, epsilon),
                        RowOp::Softmax => reference::softmax::softmax(x, [1, columns, 1]),
                    };
                    let magnitude = if op == RowOp::Softmax { largest(&expected) } else { 8.0 };
                    sampled.add(&got[at], &expected, rounding_floor(columns, magnitude));
                }
            }
            Work::Encoder { .. } | Work::Kernel { .. } => {}
        }
    }

    /// The first and the last batch item, three heads and three queries in each, by the oracle.
    fn sample_attention(&self, sizes: &AttentionSizes, got: &[f32], sampled: &mut Sampled) {
        let &AttentionSizes { batch, heads, key_heads, queries, keys: all, head_dim, .. } = sizes;
        let [q, k, v] = &self.inputs[..] else { return };
        for (item, head, query) in spread(batch, heads, queries) {
            let row = ((item * heads + head) * queries + query) * head_dim;
            let key_head = item * key_heads + head / (heads / key_heads);
            let keys = sizes.keys_of(item, query);
            let dims =
                Dims { batch: 1, heads: 1, heads_kv: 1, queries: 1, keys, head_dim, value_dim: head_dim };
            let at = |rows| Strided::heads_first(1, rows, head_dim);
            let expected = reference::attention::attention(
                View::new(&q[row..][..head_dim], at(1)),
                View::new(&k[key_head * all * head_dim..][..keys * head_dim], at(keys)),
                View::new(&v[key_head * all * head_dim..][..keys * head_dim], at(keys)),
                dims,
                Options::for_head_dim(head_dim),
            );
            // A weighted mean of values up to 1.
            sampled.add(&got[row..][..head_dim], &expected, rounding_floor(keys + head_dim, 1.0));
        }
    }
}

/// First, middle and last of heads and queries, in the first and the last item.
fn spread(batch: usize, heads: usize, queries: usize) -> Vec<(usize, usize, usize)> {
    let three = |count: usize| {
        let mut places = vec![0, count / 2, count - 1];
        places.dedup();
        places
    };
    let mut items = vec![0, batch - 1];
    items.dedup();
    let mut places = Vec::new();
    for item in items {
        for head in three(heads) {
            places.extend(three(queries).into_iter().map(|query| (item, head, query)));
        }
    }
    places
}

/// Sampled elements against their oracle.
#[derive(Default)]
struct Sampled {
    half: bool,
    /// The part of a bound that rounded weights need.
    of_weights: f64,
    squares: f64,
    energy: f64,
    beyond: Option<String>,
}

impl Sampled {
    fn add(&mut self, got: &[f32], expected: &[f64], floor: f64) {
        for (&got, &expected) in got.iter().zip(expected) {
            let error = (f64::from(got) - expected).abs();
            let bound =
                floor + self.of_weights + if self.half { HALF_ROUNDOFF * expected.abs() } else { 0.0 };
            // A NaN is beyond every bound.
            let within = error <= bound;
            if !within && self.beyond.is_none() {
                self.beyond =
                    Some(format!("a sampled element is {got:e}, not {expected:e} (bound {bound:.1e})"));
            }
            self.squares += error * error;
            self.energy += expected * expected;
        }
    }

    fn fault(self) -> Option<String> {
        let bound = if self.half { HALF_ROUNDOFF * HALF_ROUNDOFF } else { NMSE };
        let nmse = self.squares / self.energy;
        let within = nmse <= bound;
        self.beyond.or_else(|| {
            (!within).then(|| format!("the NMSE of what was sampled is {nmse:.1e}, above {bound:.1e}"))
        })
    }
}

/// The quick case that takes most.
fn largest_case(kernel: &dyn Kernel, variant: &Variant) -> Option<Case> {
    let cost = |case: &Case| {
        let cost = kernel.cost(variant, &case.parameters);
        cost.flops.saturating_add(cost.bytes)
    };
    kernel.cases(variant, Depth::Quick).into_iter().max_by_key(cost)
}

fn record_case(
    recording: &mut Recording,
    kernel: &'static dyn Kernel,
    variant: &Variant,
    case: &Case,
) -> Result<()> {
    let device = recording.device().clone();
    let words = |argument: &CaseArgument| -> Vec<u32> {
        match argument {
            CaseArgument::F32(values) => bytemuck::cast_slice(values).to_vec(),
            CaseArgument::Words(words) => words.clone(),
            CaseArgument::Output(_) | CaseArgument::Exact(_) => vec![0; argument.words()],
            CaseArgument::Update(before, _) => bytemuck::cast_slice(before).to_vec(),
        }
    };
    let mut values = Vec::new();
    for argument in &case.arguments {
        let words = words(argument);
        values.push(recording.tensor(&Tensor::from_u32(&device, [words.len()], &words)?)?);
    }
    let bindings: Vec<&Value> = values.iter().collect();
    recording.dispatch_case(kernel, variant, &case.parameters, &bindings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{GROUPS, shapes};

    #[test]
    fn what_is_wrong_has_a_fault_and_what_is_right_has_none() {
        let device = Device::cpu();
        for dtype in [DType::F32, DType::F16] {
            for shape in GROUPS.into_iter().flat_map(|group| shapes(group, dtype, true)) {
                let problem = Problem::new(&shape);
                let (recording, output) = problem.record(&device).unwrap();
                let output = output.unwrap();
                let right = recording.run().unwrap().tensor(&output).unwrap();
                assert_eq!(problem.fault(&device, Some(&right)).unwrap(), None, "{shape:?}");
                let dims = right.shape().dims().to_vec();
                let values = right.to_f32().unwrap();
                let faults: [(&str, &dyn Fn(f32) -> f32); 4] = [
                    ("all are 1 % larger", &|value| value * 1.01),
                    ("all are 0", &|_| 0.0),
                    ("all are NaN", &|_| f32::NAN),
                    ("all are infinite", &|_| f32::INFINITY),
                ];
                for (name, fault) in faults {
                    let wrong: Vec<f32> = values.iter().copied().map(fault).collect();
                    let wrong = upload(&device, &dims, &wrong, right.dtype()).unwrap();
                    assert!(problem.fault(&device, Some(&wrong)).unwrap().is_some(), "{shape:?}: {name}");
                }
                assert!(problem.fault(&device, None).unwrap().is_some());
            }
        }
    }
}
