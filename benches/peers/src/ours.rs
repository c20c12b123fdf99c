//! attentive, on an adapter and on the CPU device.

use attentive::layers::{
    EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, HostLayerNorm, HostLinear,
    MultiHeadAttentionOptions, MultiHeadAttentionWeights,
};
use attentive::ops::{Activation, Attention, Heads, Layout, Linear, LinearWeights};
use attentive::{Causal, DType, Device, Recording, Tensor};

use crate::inputs::{Layer, values};
use crate::task::{Keys, Task};
use crate::{Error, Rival, Run, Taken};

pub struct Ours {
    device: Device,
}

impl Ours {
    pub fn new(spec: &str) -> Result<Self, Error> {
        Ok(Self { device: Device::open(spec)? })
    }
}

impl Rival for Ours {
    fn name(&self) -> String {
        format!("attentive {}", if self.device.is_cpu() { "CPU" } else { "wgpu" })
    }

    fn on_adapter(&self) -> bool {
        !self.device.is_cpu()
    }

    fn prepare(&mut self, task: Task) -> Result<Box<dyn Run + '_>, Error> {
        let device = &self.device;
        let tensor = |dims: &[usize], seed: u32| {
            Tensor::from_f32(device, dims, &values(seed, dims.iter().product(), 1.0))
        };
        let work = match task {
            Task::Gemm { rows, depth, columns } => {
                let weight = values(2, columns * depth, 1.0);
                let weights = LinearWeights::new(device, [columns, depth], &weight, None, DType::F32)?;
                Work::Gemm(tensor(&[rows, depth], 1)?, weights)
            }
            Task::Attention { batch, heads, length, head_dim, keys } => {
                let dims = [batch, heads, length, head_dim];
                let lengths = (keys == Keys::Lengths).then(|| Task::lengths(batch, length));
                let qkv = [tensor(&dims, 1)?, tensor(&dims, 2)?, tensor(&dims, 3)?];
                Work::Attention(qkv, keys, lengths)
            }
            Task::Layer { batch, length, width, heads } => {
                let Layer { matrices } = Layer::new(width);
                let linear = |place: usize| {
                    let (weight, bias) = &matrices[place];
                    HostLinear { weight, bias: Some(bias) }
                };
                let (weight, bias) = &matrices[0];
                let part = |place: usize| HostLinear {
                    weight: &weight[place * width * width..][..width * width],
                    bias: Some(&bias[place * width..][..width]),
                };
                let (ones, zeros) = (vec![1.0; width], vec![0.0; width]);
                let norm = || HostLayerNorm { gamma: &ones, beta: &zeros };
                let mut config = EncoderLayerConfig::new(width, heads, 4 * width);
                config.activation = Activation::Gelu;
                let weights = EncoderLayerWeights {
                    attention: MultiHeadAttentionWeights {
                        query: part(0),
                        key: part(1),
                        value: part(2),
                        output: linear(1),
                    },
                    attention_norm: norm(),
                    feed_forward: [linear(2), linear(3)],
                    feed_forward_norm: norm(),
                };
                let layer = EncoderLayer::new(device, &config, &weights)?;
                Work::Layer(tensor(&[batch, length, width], 1)?, Box::new(layer))
            }
        };
        Ok(Box::new(Ready { device: device.clone(), work }))
    }
}

enum Work {
    Gemm(Tensor, LinearWeights),
    Attention([Tensor; 3], Keys, Option<Vec<u32>>),
    Layer(Tensor, Box<EncoderLayer>),
}

struct Ready {
    device: Device,
    work: Work,
}

impl Ready {
    fn run(&self, calls: usize) -> Result<Tensor, Error> {
        let mut recording = Recording::new(&self.device);
        let mut last = None;
        for _ in 0..calls {
            last = Some(match &self.work {
                Work::Gemm(x, weights) => {
                    let x = recording.tensor(x)?;
                    Linear::new(weights).record(&mut recording, &x)?
                }
                Work::Attention([q, k, v], keys, lengths) => {
                    let [q, k, v] = [recording.tensor(q)?, recording.tensor(k)?, recording.tensor(v)?];
                    let causal = if *keys == Keys::Causal { Causal::TopLeft } else { Causal::None };
                    let mut attention = Attention::new().causal(causal).output_layout(Layout::HeadsFirst);
                    if let Some(lengths) = lengths {
                        attention = attention.key_lengths(lengths);
                    }
                    let heads = [Heads::dense(&q)?, Heads::dense(&k)?, Heads::dense(&v)?];
                    attention.record(&mut recording, &heads[0], &heads[1], &heads[2])?.output
                }
                Work::Layer(x, layer) => {
                    let x = recording.tensor(x)?;
                    layer.record(&mut recording, &x, &MultiHeadAttentionOptions::default())?.output
                }
            });
        }
        let output = last.ok_or("no calls")?;
        recording.output(&output)?;
        let outputs = recording.run()?;
        if let Some((device, _)) = self.device.wgpu() {
            device.poll(attentive::wgpu::PollType::wait_indefinitely())?;
        }
        Ok(outputs.tensor(&output)?)
    }
}

impl Run for Ready {
    fn calls(&mut self, count: usize) -> Result<Taken, Error> {
        Taken::of(|| self.run(count).map(|_| ()))
    }

    fn output(&mut self) -> Result<Vec<f32>, Error> {
        Ok(self.run(1)?.to_f32()?)
    }
}
