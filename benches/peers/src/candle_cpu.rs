//! candle on the CPU.

use candle_core::{D, DType, Device, Tensor};

use crate::inputs::{Layer, values};
use crate::task::{Keys, Task};
use crate::{Error, Rival, Run, Taken};

pub struct CandleCpu;

fn tensor(dims: &[usize], values: Vec<f32>) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values, dims, &Device::Cpu)
}

fn attention(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
    let scale = 1.0 / (q.dim(D::Minus1)? as f64).sqrt();
    let mut scores = (q.matmul(&k.t()?)? * scale)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    candle_nn::ops::softmax_last_dim(&scores)?.matmul(v)
}

impl Rival for CandleCpu {
    fn name(&self) -> String {
        "candle 0.10 CPU".to_owned()
    }

    fn on_adapter(&self) -> bool {
        false
    }

    fn prepare(&mut self, task: Task) -> Result<Box<dyn Run + '_>, Error> {
        let input = |dims: &[usize], seed: u32| tensor(dims, values(seed, dims.iter().product(), 1.0));
        let work: Work = match task {
            Task::Gemm { rows, depth, columns } => {
                let (x, weight) = (input(&[rows, depth], 1)?, input(&[columns, depth], 2)?);
                Box::new(move || x.matmul(&weight.t()?))
            }
            Task::Attention { batch, heads, length, head_dim, keys } => {
                let dims = [batch, heads, length, head_dim];
                let (q, k, v) = (input(&dims, 1)?, input(&dims, 2)?, input(&dims, 3)?);
                let out = |out: bool| if out { f32::NEG_INFINITY } else { 0.0 };
                let bias = match keys {
                    Keys::All => None,
                    Keys::Causal => {
                        let all = (0..length * length).map(|place| out(place % length > place / length));
                        Some(tensor(&[1, 1, length, length], all.collect())?)
                    }
                    Keys::Lengths => {
                        let lengths = Task::lengths(batch, length);
                        let all = lengths
                            .iter()
                            .flat_map(|&keys| (0..length).map(move |key| out(key >= keys as usize)));
                        Some(tensor(&[batch, 1, 1, length], all.collect())?)
                    }
                };
                Box::new(move || attention(&q, &k, &v, bias.as_ref()))
            }
            Task::Layer { batch, length, width, heads } => {
                let x = input(&[batch * length, width], 1)?;
                let mut linears = Vec::new();
                for ([outputs, inputs], (weight, bias)) in
                    Layer::sizes(width).into_iter().zip(Layer::new(width).matrices)
                {
                    linears.push((tensor(&[outputs, inputs], weight)?, tensor(&[outputs], bias)?));
                }
                let (ones, zeros) = (
                    Tensor::ones(width, DType::F32, &Device::Cpu)?,
                    Tensor::zeros(width, DType::F32, &Device::Cpu)?,
                );
                let linear = move |place: usize, x: &Tensor| -> candle_core::Result<Tensor> {
                    let (weight, bias) = &linears[place];
                    x.matmul(&weight.t()?)?.broadcast_add(bias)
                };
                Box::new(move || {
                    let all = linear(0, &x)?;
                    let head = |place: usize| {
                        let part = all.narrow(1, place * width, width)?;
                        part.reshape((batch, length, heads, width / heads))?.transpose(1, 2)?.contiguous()
                    };
                    let attended = attention(&head(0)?, &head(1)?, &head(2)?, None)?;
                    let attended = attended.transpose(1, 2)?.reshape((batch * length, width))?;
                    let norm = |x: &Tensor| candle_nn::ops::layer_norm(x, &ones, &zeros, 1e-5);
                    let x = norm(&(linear(1, &attended)? + &x)?)?;
                    norm(&(linear(3, &linear(2, &x)?.gelu_erf()?)? + &x)?)
                })
            }
        };
        Ok(Box::new(Ready { work }))
    }
}

type Work = Box<dyn Fn() -> candle_core::Result<Tensor>>;

struct Ready {
    work: Work,
}

impl Run for Ready {
    fn calls(&mut self, count: usize) -> Result<Taken, Error> {
        Taken::of(|| {
            for _ in 0..count {
                (self.work)()?;
            }
            Ok(())
        })
    }

    fn output(&mut self) -> Result<Vec<f32>, Error> {
        Ok((self.work)()?.flatten_all()?.to_vec1()?)
    }
}
