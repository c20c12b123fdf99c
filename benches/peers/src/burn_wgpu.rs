//! burn on the same adapter, with its own tuning and fusion: its matrix product, its fused attention, and an encoder layer of
//! these and its norm.

use burn::backend::Wgpu;
use burn::backend::wgpu::WgpuDevice;
use burn::prelude::Backend;
use burn::tensor::activation::gelu;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, TensorData};

use crate::inputs::{Layer, values};
use crate::task::{Keys, Task};
use crate::{Error, Rival, Run, Taken};

type B = Wgpu<f32, i32>;

pub struct BurnWgpu {
    device: WgpuDevice,
}

impl BurnWgpu {
    /// On what wgpu holds for the best, as attentive's `auto`; CUBECL_WGPU_DEFAULT_DEVICE names another.
    pub fn new() -> Self {
        Self { device: WgpuDevice::DefaultDevice }
    }
}

fn tensor<const D: usize>(dims: [usize; D], values: Vec<f32>, device: &WgpuDevice) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, dims), device)
}

impl Rival for BurnWgpu {
    fn name(&self) -> String {
        "burn 0.21 wgpu".to_owned()
    }

    fn on_adapter(&self) -> bool {
        true
    }

    fn prepare(&mut self, task: Task) -> Result<Box<dyn Run + '_>, Error> {
        let device = self.device.clone();
        let input = |seed: u32, count: usize| values(seed, count, 1.0);
        let work: Work = match task {
            Task::Gemm { rows, depth, columns } => {
                let x = tensor([rows, depth], input(1, rows * depth), &device);
                let weight = tensor([columns, depth], input(2, columns * depth), &device).transpose();
                Box::new(move || x.clone().matmul(weight.clone()).reshape([-1]))
            }
            Task::Attention { batch, heads, length, head_dim, keys } => {
                let dims = [batch, heads, length, head_dim];
                let [q, k, v] =
                    [1, 2, 3].map(|seed| tensor(dims, input(seed, dims.iter().product()), &device));
                let options =
                    AttentionModuleOptions { is_causal: keys == Keys::Causal, ..Default::default() };
                let mask = (keys == Keys::Lengths).then(|| {
                    let lengths = Task::lengths(batch, length);
                    let out =
                        lengths.iter().flat_map(|&keys| (0..length).map(move |key| key >= keys as usize));
                    let out: Vec<bool> = out.collect();
                    let mask =
                        Tensor::<B, 4, Bool>::from_data(TensorData::new(out, [batch, 1, 1, length]), &device);
                    mask.expand([batch, heads, length, length])
                });
                Box::new(move || {
                    attention(q.clone(), k.clone(), v.clone(), mask.clone(), None, options.clone())
                        .reshape([-1])
                })
            }
            Task::Layer { batch, length, width, heads } => {
                let x = tensor([batch, length, width], input(1, batch * length * width), &device);
                let layer = Layer::new(width);
                let linears: Vec<(Tensor<B, 3>, Tensor<B, 3>)> = Layer::sizes(width)
                    .into_iter()
                    .zip(layer.matrices)
                    .map(|([outputs, inputs], (weight, bias))| {
                        let weight = tensor([outputs, inputs], weight, &device).transpose().unsqueeze();
                        (weight, tensor([1, 1, outputs], bias, &device))
                    })
                    .collect();
                let linear = move |place: usize, x: Tensor<B, 3>| {
                    let (weight, bias) = &linears[place];
                    x.matmul(weight.clone()) + bias.clone()
                };
                let norm = |x: Tensor<B, 3>| {
                    let (variance, mean) = x.clone().var_mean_bias(2);
                    (x - mean) / (variance + 1e-5).sqrt()
                };
                Box::new(move || {
                    let all = linear(0, x.clone());
                    let head = |place: usize| {
                        all.clone()
                            .slice([0..batch, 0..length, place * width..(place + 1) * width])
                            .reshape([batch, length, heads, width / heads])
                            .swap_dims(1, 2)
                    };
                    let attended = attention(head(0), head(1), head(2), None, None, Default::default());
                    let attended = attended.swap_dims(1, 2).reshape([batch, length, width]);
                    let x = norm(linear(1, attended) + x.clone());
                    norm(linear(3, gelu(linear(2, x.clone()))) + x).reshape([-1])
                })
            }
        };
        Ok(Box::new(Ready { device, work }))
    }
}

type Work = Box<dyn Fn() -> Tensor<B, 1>>;

struct Ready {
    device: WgpuDevice,
    work: Work,
}

impl Run for Ready {
    fn calls(&mut self, count: usize) -> Result<Taken, Error> {
        Taken::of(|| {
            for _ in 0..count {
                drop((self.work)());
            }
            B::sync(&self.device).map_err(|error| format!("{error:?}").into())
        })
    }

    fn output(&mut self) -> Result<Vec<f32>, Error> {
        (self.work)().into_data().to_vec().map_err(|error| format!("{error:?}").into())
    }
}
