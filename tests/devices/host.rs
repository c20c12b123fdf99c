//! A host's own buffers and encoder: `AttentionPlan` gives the bits that the op gives, and refuses what does not fit.

use crate::common;
use attentive::device::{required_features, required_limits};
use attentive::ops::Layout;
use attentive::verify::compare::compare_bits;
use attentive::wgpu::{self, util::DeviceExt};
use attentive::{AttentionBuffers, AttentionPlan, AttentionShape, Causal, Device, Error, Tensor, attention};

/// Batch, heads, key heads, queries, keys, head_dim, value_dim: all different.
fn shape() -> AttentionShape {
    AttentionShape {
        key_heads: 2,
        keys: 70,
        value_dim: 40,
        causal: Causal::BottomRight,
        scale: Some(0.3),
        has_key_lengths: true,
        mask: Some([1, 4, 1, 70]),
        ..AttentionShape::new([2, 4, 37, 24])
    }
}
const LENGTHS: [u32; 2] = [70, 41];

fn values(count: usize, seed: u64) -> Vec<f32> {
    attentive::kernel::Inputs::new(seed).values(count, 1.0)
}

fn storage(device: &wgpu::Device, contents: &[u8]) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
}

/// `[batch, heads, rows, columns]` to `[batch, rows, heads, columns]`.
fn rows_first(values: &[f32], [batch, heads, rows, columns]: [usize; 4]) -> Vec<f32> {
    let mut permuted = Vec::with_capacity(values.len());
    for b in 0..batch {
        for row in 0..rows {
            for head in 0..heads {
                let start = ((b * heads + head) * rows + row) * columns;
                permuted.extend_from_slice(&values[start..start + columns]);
            }
        }
    }
    permuted
}

#[test]
fn a_plan_gives_the_ops_bits_in_both_layouts() {
    let shape = shape();
    for device in common::adapters() {
        let q_dims = [shape.batch, shape.heads, shape.queries, shape.head_dim];
        let k_dims = [shape.batch, shape.key_heads, shape.keys, shape.head_dim];
        let v_dims = [shape.batch, shape.key_heads, shape.keys, shape.value_dim];
        let y_dims = [shape.batch, shape.heads, shape.queries, shape.value_dim];
        let count = |dims: [usize; 4]| dims.iter().product::<usize>();
        let [q, k, v] = [(q_dims, 1), (k_dims, 2), (v_dims, 3)].map(|(dims, seed)| values(count(dims), seed));
        let mask = values(4 * 70, 4);
        let tensor = |dims: [usize; 4], values: &[f32]| Tensor::from_f32(&device, dims, values).unwrap();
        let expected = attention(&tensor(q_dims, &q), &tensor(k_dims, &k), &tensor(v_dims, &v))
            .causal(Causal::BottomRight)
            .scale(0.3)
            .key_lengths(&LENGTHS)
            .mask(&tensor([1, 4, 1, 70], &mask))
            .run()
            .unwrap()
            .to_f32()
            .unwrap();
        for layout in [Layout::HeadsFirst, Layout::RowsFirst] {
            let lay = |values: &[f32], dims: [usize; 4]| match layout {
                Layout::HeadsFirst => values.to_vec(),
                Layout::RowsFirst => rows_first(values, dims),
            };
            let plan = AttentionPlan::new(&device, &AttentionShape { layout, ..shape }).unwrap();
            let [q, k, v] = [lay(&q, q_dims), lay(&k, k_dims), lay(&v, v_dims)];
            let got = run(&device, &plan, [&q, &k, &v], &mask, count(y_dims));
            let comparison = compare_bits(&got, &lay(&expected, y_dims));
            assert!(comparison.passed, "{layout:?} on {}: {comparison}", device.name());
        }
    }
}

/// Records the plan twice into one encoder of the host, and reads the second output.
fn run(device: &Device, plan: &AttentionPlan, inputs: [&[f32]; 3], mask: &[f32], outputs: usize) -> Vec<f32> {
    let (wgpu_device, queue) = device.wgpu().unwrap();
    let [q, k, v] = inputs.map(|values| storage(wgpu_device, bytemuck::cast_slice(values)));
    let mask = storage(wgpu_device, bytemuck::cast_slice(mask));
    let lengths = storage(wgpu_device, bytemuck::cast_slice(&LENGTHS));
    let output = storage(wgpu_device, bytemuck::cast_slice(&vec![f32::NAN; outputs]));
    let first = storage(wgpu_device, bytemuck::cast_slice(&vec![f32::NAN; outputs]));
    let mut encoder = wgpu_device.create_command_encoder(&Default::default());
    for output in [&first, &output] {
        let buffers = AttentionBuffers {
            key_lengths: Some((&lengths).into()),
            mask: Some((&mask).into()),
            ..AttentionBuffers::new(&q, &k, &v, output)
        };
        plan.record(&mut encoder, buffers).unwrap();
    }
    // Other work between recording and submission must not disturb the plan's temporaries.
    let other = Tensor::from_f32(device, [1, 1, 64, 64], &[1.0; 4096]).unwrap();
    attention(&other, &other, &other).run().unwrap();
    queue.submit([encoder.finish()]);
    let tensor = Tensor::from_wgpu_buffer(device, &output, [outputs], attentive::DType::F32).unwrap();
    tensor.to_f32().unwrap()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let shape = shape();
    for device in common::adapters() {
        let (wgpu_device, _) = device.wgpu().unwrap();
        let plan = AttentionPlan::new(&device, &shape).unwrap();
        let large = storage(wgpu_device, &[0; 1 << 20]);
        let small = storage(wgpu_device, &[0; 64]);
        let whole = AttentionBuffers {
            key_lengths: Some((&large).into()),
            mask: Some((&large).into()),
            ..AttentionBuffers::new(&large, &large, &large, &large)
        };
        let refused = |buffers: AttentionBuffers<'_>, words: &[&str]| {
            let mut encoder = wgpu_device.create_command_encoder(&Default::default());
            let message = plan.record(&mut encoder, buffers).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        };
        refused(
            AttentionBuffers { q: (&small).into(), ..whole },
            &["[2, 4, 37, 24]", "28416 bytes", "64 bytes"],
        );
        refused(AttentionBuffers { key_lengths: None, ..whole }, &["key_lengths", "absent"]);
        refused(AttentionBuffers { mask: None, ..whole }, &["mask", "absent"]);
        let odd = AttentionShape { key_heads: 3, ..shape };
        assert!(matches!(AttentionPlan::new(&device, &odd), Err(Error::Argument { .. })));
    }
    assert!(matches!(AttentionPlan::new(&Device::cpu(), &shape), Err(Error::Argument { .. })));
}

/// The first words of a buffer, and all that are behind them.
fn words(device: &Device, buffer: &wgpu::Buffer) -> Vec<f32> {
    let count = buffer.size() as usize / 4;
    Tensor::from_wgpu_buffer(device, buffer, [count], attentive::DType::F32).unwrap().to_f32().unwrap()
}

#[test]
fn a_buffer_that_was_given_out_is_never_another_tensors() {
    for device in common::adapters() {
        let tensor = Tensor::from_f32(&device, [1000], &[1.0; 1000]).unwrap();
        let kept = tensor.wgpu_buffer().unwrap().clone();
        drop(tensor);
        let others: Vec<Tensor> =
            (0..40).map(|_| Tensor::from_f32(&device, [1000], &[2.0; 1000]).unwrap()).collect();
        assert_eq!(words(&device, &kept)[..1000], [1.0; 1000], "{}", device.name());
        // Nor is one of an output, and what the host writes into it changes no other.
        let q = Tensor::from_f32(&device, [1, 1, 2, 4], &[0.5; 8]).unwrap();
        let kept = attention(&q, &q, &q).run().unwrap().wgpu_buffer().unwrap().clone();
        let again: Vec<Tensor> = (0..10).map(|_| attention(&q, &q, &q).run().unwrap()).collect();
        device.wgpu().unwrap().1.write_buffer(&kept, 0, &[0; 32]);
        assert!(again.iter().all(|tensor| tensor.to_f32().unwrap() == [0.5; 8]));
        assert!(others.iter().all(|tensor| tensor.to_f32().unwrap() == [2.0; 1000]));
    }
}

#[test]
fn what_a_tensor_does_not_fill_of_its_buffer_is_zero_and_no_other_tensors() {
    for device in common::adapters() {
        drop((0..30).map(|_| Tensor::from_f32(&device, [64], &[42.0; 64]).unwrap()).collect::<Vec<_>>());
        let small = Tensor::from_f32(&device, [3], &[1.0, 2.0, 3.0]).unwrap();
        let q = Tensor::from_f32(&device, [1, 1, 2, 4], &[0.5; 8]).unwrap();
        let output = attention(&q, &q, &q).run().unwrap();
        for (tensor, used) in [(&small, 3), (&output, 8)] {
            let all = words(&device, tensor.wgpu_buffer().unwrap());
            assert!(all.len() > used && all[used..].iter().all(|word| *word == 0.0), "{all:?}");
            // Only the first time: what is there is the host's.
            device.wgpu().unwrap().1.write_buffer(tensor.wgpu_buffer().unwrap(), 4 * used as u64, &[0xff; 4]);
            assert!(words(&device, tensor.wgpu_buffer().unwrap())[used].is_nan());
        }
    }
}

/// wgpu tells what is of another device of its instance: an error, and no panic.
#[test]
fn buffers_of_another_device_are_refused() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let Ok(adapter) = pollster::block_on(adapter) else { return };
    let descriptor = wgpu::DeviceDescriptor {
        required_features: required_features(&adapter),
        required_limits: required_limits(&adapter, false),
        ..Default::default()
    };
    let [(device, queue), (other, _)] =
        [(); 2].map(|()| pollster::block_on(adapter.request_device(&descriptor)).unwrap());
    let attentive = Device::from_wgpu(&adapter, device.clone(), queue);
    let plan = AttentionPlan::new(&attentive, &AttentionShape::new([1, 2, 8, 4])).unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut record = |of: &wgpu::Device| {
        let [q, k, v, output] = [(); 4].map(|()| storage(of, &[0; 4 * 64]));
        plan.record(&mut encoder, AttentionBuffers::new(&q, &k, &v, &output))
    };
    let found = record(&other);
    assert!(matches!(&found, Err(Error::Rejected { .. })), "{found:?}");
    // The plan is none the worse for it.
    record(&device).unwrap();
}
