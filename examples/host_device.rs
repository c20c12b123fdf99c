//! Attention inside a program that has its own wgpu device: our kernels record into its encoder, over its buffers,
//! and nothing is submitted behind its back.
//!
//!     cargo run --example host_device

use attentive::wgpu::{self, util::DeviceExt};
use attentive::{AttentionBuffers, AttentionPlan, AttentionShape, Causal, Device};

const SHAPE: [usize; 4] = [1, 8, 128, 64];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The host's own set-up; `required_features` and `required_limits` say what makes our kernels faster.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: attentive::device::required_features(&adapter),
        required_limits: attentive::device::required_limits(&adapter, false),
        ..Default::default()
    }))?;
    let elements: usize = SHAPE.iter().product();
    let values: Vec<f32> = (0..elements).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let input = |label| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(label),
            contents: bytemuck::cast_slice(&values),
            usage: wgpu::BufferUsages::STORAGE,
        })
    };
    let buffer = |usage| {
        let size = (elements * 4) as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (q, k, v) = (input("q"), input("k"), input("v"));
    let output = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);

    // Once: pipelines and temporaries.
    let attentive = Device::from_wgpu(&adapter, device.clone(), queue.clone());
    let shape = AttentionShape { causal: Causal::TopLeft, ..AttentionShape::new(SHAPE) };
    let plan = AttentionPlan::new(&attentive, &shape)?;

    // In each frame: into the host's encoder, between its own work.
    let mut encoder = device.create_command_encoder(&Default::default());
    let buffers = AttentionBuffers::new(&q, &k, &v, &output);
    plan.record(&mut encoder, buffers)?;
    encoder.copy_buffer_to_buffer(&output, 0, &staging, 0, output.size());
    queue.submit([encoder.finish()]);

    staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let result: Vec<f32> = bytemuck::pod_collect_to_vec(&staging.slice(..).get_mapped_range()?);

    // The first query sees the first key alone, so its output is the first value.
    assert_eq!(result[..SHAPE[3]], values[..SHAPE[3]]);
    println!(
        "{SHAPE:?} on {}, {} bytes of temporaries: {:?} …",
        attentive.name(),
        plan.bytes(),
        &result[..4]
    );
    Ok(())
}
