//! What a step of decoding takes until its logits are on the host, recorded anew each time, beside the same dispatches in
//! raw wgpu, whose pipelines, buffers and bind groups are made before: what recording, checking, planning and reading cost.
//!
//!     cargo bench --bench decode_step
//!
//! A layer with an embedding before and logits behind it, 11 dispatches on lavapipe, one row, keys of a cache. Both take turns,
//! a step each. On another device: `ATTENTIVE_DEVICE=gpu:1`; on the CPU device there is nothing to compare with.

use std::time::{Duration, Instant};

use attentive::bench::Spread;
use attentive::kernel::Inputs;
use attentive::ops::{
    Activation, Attention, Embedding, EmbeddingTable, Heads, KvCache, KvCacheShape, LayerNormWeights, Linear,
    LinearWeights, layer_norm,
};
use attentive::recording::Value;
use attentive::{DType, Device, Recording, Result, wgpu};

const MODEL_DIM: usize = 64;
const HEADS: usize = 4;
const HEAD_DIM: usize = MODEL_DIM / HEADS;
const VOCABULARY: usize = 128;
const CAPACITY: usize = 128;
/// Keys before the step.
const KEYS: usize = 40;
const ROUNDS: usize = 400;
const WARM_UP: usize = 40;

fn main() -> Result<()> {
    let spec = std::env::var("ATTENTIVE_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let device = Device::open(&spec)?;
    println!("{}", device.name());
    let mut model = Model::new(&device)?;
    let (recording, logits) = model.record(3)?;
    println!("{} dispatches", recording.raw_dispatches().expect("its shaders are resolved").len());
    let raw = (!device.is_cpu()).then(|| Raw::new(&device, &recording, &logits));
    model.forget()?;
    let expected = model.step(3)?;
    let (mut ours, mut theirs, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        let (recording, logits) = model.record(3)?;
        let until_recorded = start.elapsed();
        recording.run()?.tensor(&logits)?.to_f32()?;
        let our_time = start.elapsed();
        model.forget()?;
        let start = Instant::now();
        if let Some(raw) = &raw {
            assert_eq!(raw.step(&device), expected);
        }
        if round >= WARM_UP {
            ours.push(our_time);
            recorded.push(until_recorded);
            theirs.push(start.elapsed());
        }
    }
    let tell = |name: &str, times: Vec<Duration>| {
        let spread = Spread::of(times.iter().map(Duration::as_secs_f64).collect()).unwrap();
        println!(
            "{name}: {:.0} µs ({:.0} to {:.0})",
            1e6 * spread.median,
            1e6 * spread.low,
            1e6 * spread.high
        );
        spread.median
    };
    let ours = tell("attentive", ours);
    tell("  of that until recorded", recorded);
    if raw.is_some() {
        let theirs = tell("raw wgpu", theirs);
        println!("{:.2} times raw wgpu's time", ours / theirs);
    }
    Ok(())
}

struct Model {
    device: Device,
    table: EmbeddingTable,
    qkv: LinearWeights,
    output: LinearWeights,
    norms: [LayerNormWeights; 2],
    up: LinearWeights,
    down: LinearWeights,
    logits: LinearWeights,
    cache: KvCache,
}

impl Model {
    fn new(device: &Device) -> Result<Self> {
        let mut inputs = Inputs::new(1);
        let mut linear = |outputs: usize, columns: usize| {
            let values = inputs.values(outputs * columns, 0.2);
            LinearWeights::new(device, [outputs, columns], &values, Some(&vec![0.1; outputs]), DType::F32)
        };
        let norm = || LayerNormWeights::new(device, &[1.0; MODEL_DIM], &[0.0; MODEL_DIM], 1e-5);
        let shape = KvCacheShape {
            batch: 1,
            key_heads: HEADS,
            capacity: CAPACITY,
            head_dim: HEAD_DIM,
            value_dim: HEAD_DIM,
            dtype: DType::F32,
            paged: None,
        };
        let rows = Inputs::new(2).values(VOCABULARY * MODEL_DIM, 1.0);
        let mut model = Self {
            device: device.clone(),
            table: EmbeddingTable::new(device, MODEL_DIM, &rows, DType::F32)?,
            qkv: linear(3 * MODEL_DIM, MODEL_DIM)?,
            output: linear(MODEL_DIM, MODEL_DIM)?,
            norms: [norm()?, norm()?],
            up: linear(2 * MODEL_DIM, MODEL_DIM)?,
            down: linear(MODEL_DIM, 2 * MODEL_DIM)?,
            logits: linear(VOCABULARY, MODEL_DIM)?,
            cache: KvCache::new(device, shape)?,
        };
        for token in 0..KEYS as u32 {
            model.step(token)?;
        }
        Ok(model)
    }

    fn record(&mut self, token: u32) -> Result<(Recording, Value)> {
        let mut recording = Recording::new(&self.device);
        let x = Embedding::new(&self.table).record(&mut recording, &[token])?;
        let x = x.reshape([1, 1, MODEL_DIM])?;
        let qkv = Linear::new(&self.qkv).record(&mut recording, &x)?;
        let [q, k, v] = [0, 1, 2].map(|part| Heads::in_rows(&qkv, part * MODEL_DIM, HEADS, HEAD_DIM));
        self.cache.record_append(&mut recording, &k?, &v?, None)?;
        let attended = self.cache.record_attention(&mut recording, Attention::new(), &q?)?.output;
        let attended = Linear::new(&self.output).record(&mut recording, &attended)?;
        let x = layer_norm(&mut recording, &attended, Some(&x), &self.norms[0])?;
        let hidden = Linear::new(&self.up).activation(Activation::Relu).record(&mut recording, &x)?;
        let y = Linear::new(&self.down).record(&mut recording, &hidden)?;
        let x = layer_norm(&mut recording, &y, Some(&x), &self.norms[1])?;
        let logits = Linear::new(&self.logits).record(&mut recording, &x)?;
        recording.output(&logits)?;
        Ok((recording, logits))
    }

    fn step(&mut self, token: u32) -> Result<Vec<f32>> {
        let (recording, logits) = self.record(token)?;
        recording.run()?.tensor(&logits)?.to_f32()
    }

    /// Takes the last step back, so that each has as many keys.
    fn forget(&mut self) -> Result<()> {
        self.cache.truncate(0, KEYS)
    }
}

/// The same dispatches as a program writes them that does nothing else.
struct Raw {
    /// Pipeline, bind group, offset of its parameters, workgroups.
    steps: Vec<(wgpu::ComputePipeline, wgpu::BindGroup, u32, [u32; 3])>,
    /// What comes from the host at each step: the parameters, then the token and the lengths.
    from_host: wgpu::Buffer,
    words: Vec<u8>,
    logits: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Raw {
    fn new(device: &Device, recording: &Recording, logits: &Value) -> Self {
        const ALIGNMENT: usize = 256;
        let (device, _) = device.wgpu().unwrap();
        let buffer = |size: u64, usage: wgpu::BufferUsages| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let storage =
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let dispatches = recording.raw_dispatches().expect("its shaders are resolved");
        let mut words = Vec::new();
        let mut put = |bytes: &[u8]| {
            let offset = words.len();
            words.extend_from_slice(bytes);
            words.resize(words.len().next_multiple_of(ALIGNMENT), 0);
            offset as u64
        };
        let offsets: Vec<u64> = dispatches.iter().map(|dispatch| put(dispatch.parameters)).collect();
        // A buffer of its own, or a place among what comes from the host.
        let slots: Vec<(Option<wgpu::Buffer>, u64, u64)> = recording
            .raw_slots()
            .map(|(words, tensor, constant)| {
                let bytes = (4 * words).max(4);
                match (tensor, constant) {
                    (Some(tensor), _) => (Some(tensor.wgpu_buffer().unwrap().clone()), 0, bytes),
                    (None, Some(constant)) => (None, put(attentive::bytemuck::cast_slice(constant)), bytes),
                    (None, None) => (Some(buffer(bytes, storage)), 0, bytes),
                }
            })
            .collect();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let from_host = buffer(words.len() as u64, usage);
        let mut steps = Vec::new();
        for (dispatch, offset) in dispatches.into_iter().zip(offsets) {
            let source = wgpu::ShaderSource::Wgsl(dispatch.module.into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
            let checks = wgpu::ShaderRuntimeChecks::unchecked();
            // SAFETY: the texts are those of the crate's own kernels, with the parameters of its own ops.
            let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
            let entry = |binding: u32, ty: wgpu::BufferBindingType, has_dynamic_offset: bool| {
                wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
                    count: None,
                }
            };
            let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
            let mut bound = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &from_host,
                    offset: 0,
                    size: wgpu::BufferSize::new(dispatch.parameters.len() as u64),
                }),
            }];
            for (binding, &(slot, read_only)) in (1..).zip(&dispatch.bindings) {
                entries.push(entry(binding, wgpu::BufferBindingType::Storage { read_only }, false));
                let &(ref own, offset, bytes) = &slots[slot];
                let buffer = own.as_ref().unwrap_or(&from_host);
                let size = wgpu::BufferSize::new(bytes);
                let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
                bound.push(wgpu::BindGroupEntry { binding, resource });
            }
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &bound,
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
            steps.push((pipeline, bind_group, offset as u32, dispatch.workgroups));
        }
        let logits = slots[logits.raw_slot()].0.clone().unwrap();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = buffer(logits.size(), usage);
        Self { steps, from_host, words, logits, staging }
    }

    fn step(&self, device: &Device) -> Vec<f32> {
        let (device, queue) = device.wgpu().unwrap();
        queue.write_buffer(&self.from_host, 0, &self.words);
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (pipeline, bind_group, offset, [x, y, z]) in &self.steps {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[*offset]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
        drop(pass);
        encoder.copy_buffer_to_buffer(&self.logits, 0, &self.staging, 0, self.logits.size());
        queue.submit([encoder.finish()]);
        self.staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let values =
            attentive::bytemuck::pod_collect_to_vec(&self.staging.slice(..).get_mapped_range().unwrap());
        self.staging.unmap();
        values
    }
}
