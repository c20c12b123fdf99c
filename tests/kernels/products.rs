//! Products of matrices by every implementation, as ops: the parts of a split among them, and what each refuses.

use crate::common::{self, assert_agrees};
use attentive::kernel::Inputs;
use attentive::ops::{Activation, Gemm, Linear, LinearWeights, matmul};
use attentive::recording::PreparedRecording;
use attentive::reference::{self, linear::WeightLayout, rounding_floor};
use attentive::wgpu::util::DeviceExt;
use attentive::{DType, Device, DeviceOptions, Error, Recording, Result, Tensor, wgpu};

const NAMES: [&str; 7] = ["subgroup8", "large", "medium", "small", "split", "gemv", "tiled"];

/// Every adapter and the CPU device, with linear forced to that.
fn forced(name: &str) -> Vec<Device> {
    let mut options = DeviceOptions::default();
    options.implementations = vec![format!("linear={name}")];
    let mut devices = common::adapters_with(&options);
    devices.push(Device::open_with("cpu", options).unwrap());
    devices
}

/// What the implementation gives; `None` if it refuses for a reason that has one of these words.
fn or_refused(result: Result<Vec<f32>>, words: &[&str]) -> Option<Vec<f32>> {
    match result {
        Ok(values) => Some(values),
        Err(Error::Implementation { reason, .. }) => {
            assert!(words.iter().any(|word| reason.contains(word)), "{reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const REASONS: [&str; 5] =
    ["up to 8 rows", "divisible by 4", "needs a depth of 64", "one product at a time", "subgroup"];

#[test]
fn linear_layers_agree_by_every_implementation() {
    let sizes = [[1, 64, 70], [8, 300, 72], [9, 64, 30], [70, 2048, 33], [130, 132, 131], [5, 30, 8]];
    let mut ran = std::collections::BTreeSet::new();
    for name in NAMES {
        for device in forced(name) {
            for (place, [rows, inputs, outputs]) in sizes.into_iter().enumerate() {
                let mut random = Inputs::new(place as u64);
                let x = random.values(rows * inputs, 1.0);
                let mut weight = random.values(outputs * inputs, (1.0 / inputs as f32).sqrt());
                let half = place % 2 == 1;
                if half {
                    weight.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
                }
                let (bias, residual) = (random.values(outputs, 1.0), random.values(rows * outputs, 1.0));
                let dims = reference::linear::Dims { rows, inputs, outputs };
                let gelu = reference::activation::gelu;
                let oracle = reference::linear::linear(
                    &x,
                    &weight,
                    WeightLayout::OutIn,
                    Some(&bias),
                    gelu,
                    Some(&residual),
                    dims,
                );
                let run = |device: &Device| {
                    let dtype = if half { DType::F16 } else { DType::F32 };
                    let weights = LinearWeights::new(device, [outputs, inputs], &weight, Some(&bias), dtype)?;
                    let mut recording = Recording::new(device);
                    let x = recording.tensor(&Tensor::from_f32(device, [rows, inputs], &x)?)?;
                    let residual = Tensor::from_f32(device, [rows, outputs], &residual)?;
                    let residual = recording.tensor(&residual)?;
                    let linear = Linear::new(&weights).activation(Activation::Gelu).residual(&residual);
                    let y = linear.record(&mut recording, &x)?;
                    recording.output(&y)?;
                    recording.run()?.tensor(&y)?.to_f32()
                };
                let Some(got) = or_refused(run(&device), &REASONS) else { continue };
                ran.insert((name, place));
                let twin = run(&Device::cpu()).unwrap();
                let what = format!("{name} [{rows}, {inputs}] to {outputs}");
                assert_agrees(&device, &what, (&got, &twin, &oracle), rounding_floor(inputs, 8.0));
            }
        }
    }
    // What fits is computed, and what does not is refused. Lanes need an adapter of theirs.
    for (name, places) in [
        ("large", &[0, 1, 2, 3, 4][..]),
        ("medium", &[0, 1, 2, 3, 4]),
        ("small", &[0, 1, 2, 3, 4]),
        ("split", &[0, 1, 2, 3, 4]),
        ("gemv", &[0, 1]),
        ("tiled", &[0, 1, 2, 3, 4, 5]),
    ] {
        let found: Vec<usize> = ran.iter().filter(|(of, _)| *of == name).map(|&(_, place)| place).collect();
        assert_eq!(found, places, "{name}");
    }
}

#[test]
fn stacks_and_scaled_products_agree_by_every_implementation() {
    let mut random = Inputs::new(3);
    let (a, b, c) = (random.values(3 * 6 * 68, 1.0), random.values(3 * 68 * 36, 0.1), random.values(36, 1.0));
    let product = |batch: usize| {
        reference::linear::linear(
            &a[batch * 6 * 68..][..6 * 68],
            &b[batch * 68 * 36..][..68 * 36],
            WeightLayout::InOut,
            None,
            reference::activation::identity,
            None,
            reference::linear::Dims { rows: 6, inputs: 68, outputs: 36 },
        )
    };
    let stack: Vec<f64> = (0..3).flat_map(product).collect();
    let scaled: Vec<f64> =
        product(0).iter().zip(c.iter().cycle()).map(|(sum, c)| -0.5 * sum + 3.0 * f64::from(*c)).collect();
    let of_stack = |device: &Device| {
        let mut recording = Recording::new(device);
        let a = recording.tensor(&Tensor::from_f32(device, [3, 6, 68], &a)?)?;
        let b = recording.tensor(&Tensor::from_f32(device, [3, 68, 36], &b)?)?;
        let y = matmul(&mut recording, &a, &b)?;
        recording.output(&y)?;
        recording.run()?.tensor(&y)?.to_f32()
    };
    let of_scaled = |device: &Device| {
        let mut recording = Recording::new(device);
        let a = recording.tensor(&Tensor::from_f32(device, [6, 68], &a[..6 * 68])?)?;
        let b = recording.tensor(&Tensor::from_f32(device, [68, 36], &b[..68 * 36])?)?;
        let c = recording.tensor(&Tensor::from_f32(device, [36], &c)?)?;
        let y = Gemm::new().alpha(-0.5).beta(3.0).c(&c).record(&mut recording, &a, &b)?;
        recording.output(&y)?;
        recording.run()?.tensor(&y)?.to_f32()
    };
    let cpu = Device::cpu();
    let twins = [of_stack(&cpu).unwrap(), of_scaled(&cpu).unwrap()];
    for name in NAMES {
        for device in forced(name) {
            let floor = rounding_floor(68, 4.0);
            match or_refused(of_stack(&device), &REASONS) {
                Some(got) => assert_agrees(&device, name, (&got, &twins[0], &stack), floor),
                None => assert!(["split", "subgroup8"].contains(&name), "{name}"),
            }
            match or_refused(of_scaled(&device), &REASONS) {
                Some(got) => assert_agrees(&device, name, (&got, &twins[1], &scaled), floor),
                None => assert_eq!(name, "subgroup8"),
            }
        }
    }
}

/// Sizes whose products pay for images: x and W of whole rows of texels, and not.
const LARGE: [[usize; 3]; 3] = [[64, 512, 128], [70, 500, 131], [9, 1536, 384]];

/// y, the recording's kernels and what else its dispatches tell.
fn linear_of(device: &Device, x: &Tensor, weights: &LinearWeights) -> Result<(Vec<f32>, Vec<String>)> {
    let mut recording = Recording::new(device);
    let x = recording.tensor(x)?;
    let y = Linear::new(weights).record(&mut recording, &x)?;
    recording.output(&y)?;
    let repeated = pollster::block_on(PreparedRecording::new(recording))?;
    let variants = repeated.dispatches().map(|(_, variant)| variant).collect();
    // What is timed has passes of another form.
    pollster::block_on(repeated.run(3))?;
    Ok((repeated.tensor(&y)?.to_f32()?, variants))
}

/// Holds a linear layer of these sizes against the oracle, and tells whether x and W were read as images.
#[track_caller]
fn reads_images(
    device: &Device,
    [rows, inputs, outputs]: [usize; 3],
    dtype: DType,
    transposed: bool,
) -> bool {
    let mut random = Inputs::new((rows + outputs) as u64);
    let x = random.values(rows * inputs, 1.0);
    let mut weight = random.values(outputs * inputs, (1.0 / inputs as f32).sqrt());
    if dtype == DType::F16 {
        weight.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
    }
    let (shape, layout) = match transposed {
        true => ([outputs, inputs], WeightLayout::OutIn),
        false => ([inputs, outputs], WeightLayout::InOut),
    };
    let dims = reference::linear::Dims { rows, inputs, outputs };
    let identity = reference::activation::identity;
    let oracle = reference::linear::linear(&x, &weight, layout, None, identity, None, dims);
    let run = |device: &Device| {
        let weight = match dtype {
            DType::F16 => Tensor::from_f32_as_f16(device, shape, &weight)?,
            _ => Tensor::from_f32(device, shape, &weight)?,
        };
        let weights = LinearWeights::from_tensors(&weight, None, transposed)?;
        linear_of(device, &Tensor::from_f32(device, [rows, inputs], &x)?, &weights)
    };
    let ((got, variants), (twin, _)) = (run(device).unwrap(), run(&Device::cpu()).unwrap());
    let what = format!("[{rows}, {inputs}] to {outputs} by {}", variants.join(", "));
    assert_agrees(device, &what, (&got, &twin, &oracle), rounding_floor(inputs, 4.0));
    variants.iter().any(|variant| variant.split(' ').any(|word| word == "images"))
}

#[test]
fn large_products_are_read_as_images_where_lanes_are_chosen() {
    for device in common::adapters() {
        let lanes = device.capabilities().subgroups == Some((8, 8));
        for size in LARGE {
            for (dtype, transposed) in [(DType::F32, true), (DType::F32, false), (DType::F16, true)] {
                // Rows of W that are no whole vec4s are for another kernel.
                let fits = transposed || size[2] % 4 == 0;
                assert_eq!(reads_images(&device, size, dtype, transposed), lanes && fits, "{size:?}");
            }
        }
        assert!(!reads_images(&device, [8, 64, 64], DType::F32, true), "too small to pay");
        assert!(!reads_images(&device, [8, 1024, 2100], DType::F32, true), "W too large for so few rows");
    }
}

#[test]
fn what_fits_no_image_is_read_from_buffers() {
    for adapter in common::wgpu_adapters() {
        // W has 650 rows of texels, of 512 and a few more columns.
        for (most, fits) in [(700, true), (649, false), (516, false), (16, false)] {
            let device = common::with_limits(&adapter, |limits| limits.max_texture_dimension_2d = most);
            let lanes = device.capabilities().subgroups == Some((8, 8));
            assert_eq!(reads_images(&device, [8, 1024, 1300], DType::F32, true), lanes && fits, "{most}");
        }
        let device = common::with_limits(&adapter, |limits| limits.max_storage_textures_per_shader_stage = 0);
        assert!(!reads_images(&device, [64, 512, 128], DType::F32, true));
    }
}

#[test]
fn a_hosts_buffer_that_must_not_be_copied_is_read_as_it_is() {
    let (rows, inputs, outputs) = (64, 512, 128);
    for adapter in common::wgpu_adapters() {
        let device = common::with_limits(&adapter, |_| ());
        let (gpu, _) = device.wgpu().unwrap();
        let x = Inputs::new(5).values(rows * inputs, 1.0);
        let weight = Inputs::new(6).values(outputs * inputs, 0.1);
        let weights = LinearWeights::new(&device, [outputs, inputs], &weight, None, DType::F32).unwrap();
        let ours = Tensor::from_f32(&device, [rows, inputs], &x).unwrap();
        let buffer = gpu.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(&x),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let theirs = Tensor::from_wgpu_buffer(&device, &buffer, [rows, inputs], DType::F32).unwrap();
        let (of_ours, _) = linear_of(&device, &ours, &weights).unwrap();
        let (of_theirs, variants) = linear_of(&device, &theirs, &weights).unwrap();
        assert!(variants.iter().all(|variant| !variant.contains("image")), "{variants:?}");
        let far = of_ours.iter().zip(&of_theirs).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert_eq!(far, 0, "{}", device.name());
    }
}
