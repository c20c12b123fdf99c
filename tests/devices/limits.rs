//! What is larger than the device allows is split or refused with the numbers; what is empty is no special case.

use crate::common::{self, assert_agrees};
use attentive::kernel::Inputs;
use attentive::ops::{
    Attention, EmbeddingTables, Heads, LayerNormWeights, Linear, LinearWeights, Tokens, embedding_norm,
    layer_norm,
};
use attentive::recording::trace;
use attentive::reference::attention::Dims;
use attentive::reference::rounding_floor;
use attentive::reference::{self, activation, linear::WeightLayout};
use attentive::verify::compare::{compare_allclose, compare_bits};
use attentive::{
    Activation, Causal, DType, Device, DeviceOptions, Error, Recording, Tensor, attention, wgpu,
};

const MIB: u64 = 1 << 20;

/// Every adapter as small as the baseline allows, with bindings of 1 MiB and 300 workgroups in a dimension.
fn small_devices() -> Vec<Device> {
    let adapters = common::wgpu_adapters();
    let small = adapters.iter().map(|adapter| {
        common::with_limits(adapter, |limits| {
            limits.max_storage_buffer_binding_size = MIB;
            limits.max_buffer_size = 2 * MIB;
            limits.max_compute_workgroups_per_dimension = 300;
            limits.max_compute_workgroup_storage_size = 16352;
            limits.max_compute_invocations_per_workgroup = 256;
            limits.max_storage_buffers_per_shader_stage = 8;
        })
    });
    let small: Vec<Device> = small.collect();
    for device in &small {
        assert_eq!(device.capabilities().tensor_bytes(), MIB);
    }
    small
}

fn linear_on(device: &Device, sizes: [usize; 3], data: &[Vec<f32>; 3], dtype: DType) -> (Vec<f32>, usize) {
    let [rows, inputs, outputs] = sizes;
    let [x, weight, bias] = data;
    let weights = LinearWeights::new(device, [outputs, inputs], weight, Some(bias), dtype).unwrap();
    let x = Tensor::from_f32(device, [rows, inputs], x).unwrap();
    let mut recording = Recording::new(device);
    let x = recording.tensor(&x).unwrap();
    let y = Linear::new(&weights).activation(Activation::Relu).record(&mut recording, &x).unwrap();
    recording.output(&y).unwrap();
    (recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap(), weights.parts())
}

#[test]
fn a_weight_above_the_binding_limit_is_split() {
    // An odd number of columns: in f16 its rows begin inside words.
    for (sizes, dtype, parts) in [([5, 512, 700], DType::F32, 2), ([3, 701, 1600], DType::F16, 3)] {
        let [rows, inputs, outputs] = sizes;
        let mut random = Inputs::new(1);
        let mut weight = random.values(outputs * inputs, 0.05);
        if dtype == DType::F16 {
            // What f16 holds exactly, so that one oracle does for both.
            weight.iter_mut().for_each(|value| *value = (*value * 1024.0).round() / 1024.0);
        }
        let data = [random.values(rows * inputs, 1.0), weight, random.values(outputs, 1.0)];
        let oracle = reference::linear::linear(
            &data[0],
            &data[1],
            WeightLayout::OutIn,
            Some(&data[2]),
            activation::relu,
            None,
            reference::linear::Dims { rows, inputs, outputs },
        );
        let (twin, whole) = linear_on(&Device::cpu(), sizes, &data, dtype);
        assert_eq!(whole, 1, "the CPU device takes it in one");
        for device in small_devices() {
            let (got, split) = linear_on(&device, sizes, &data, dtype);
            assert_eq!(split, parts, "{}", device.name());
            assert_agrees(&device, "linear", (&got, &twin, &oracle), rounding_floor(inputs, 2.0));
        }
    }
}

/// A word table of `rows` × `columns` whose row `id` is known without the others.
fn word_row(id: usize, columns: usize) -> impl Iterator<Item = f32> {
    (0..columns).map(move |column| ((id * 31 + column * 17) % 1009) as f32 / 1024.0 - 0.5)
}

/// Looks up `ids` in a table of that size, made part by part, and holds the result against the oracle.
fn assert_gathers(device: &Device, [rows, columns]: [usize; 2], dtype: DType, parts: usize, ids: &[u32]) {
    let mut random = Inputs::new(3);
    let (position, types) = (random.values(7 * columns, 0.3), random.values(2 * columns, 0.3));
    let (gamma, beta) = (random.values(columns, 1.0), random.values(columns, 1.0));
    let positions: Vec<u32> = (0..ids.len() as u32).map(|place| place % 7).collect();
    let kinds: Vec<u32> = (0..ids.len() as u32).map(|place| place % 2).collect();
    let run = |device: &Device| {
        let norm = LayerNormWeights::new(device, &gamma, &beta, 1e-12).unwrap();
        let mut tables = EmbeddingTables::new(device, &position, Some(&types), norm).unwrap();
        let step = EmbeddingTables::part_rows(device, columns, dtype).min(rows);
        for first in (0..rows).step_by(step) {
            let last = (first + step).min(rows);
            let part: Vec<f32> = (first..last).flat_map(|id| word_row(id, columns)).collect();
            tables.push_words(device, &part, dtype).unwrap();
        }
        assert_eq!(tables.vocabulary_size(), rows);
        let mut recording = Recording::new(device);
        let tokens = Tokens { ids, positions: &positions, types: &kinds };
        let y = embedding_norm(&mut recording, tokens, &tables).unwrap();
        recording.output(&y).unwrap();
        (recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap(), tables.parts())
    };
    // The oracle needs the rows asked for, no others.
    let word: Vec<f32> = ids.iter().flat_map(|&id| word_row(id as usize, columns)).collect();
    let places: Vec<u32> = (0..ids.len() as u32).collect();
    let oracle = reference::embedding::embedding_norm(reference::embedding::EmbeddingNorm {
        ids: &places,
        type_ids: &kinds,
        positions: &positions,
        word: &word,
        position: &position,
        types: Some(&types),
        gamma: &gamma,
        beta: &beta,
        eps: 1e-12,
    });
    let (got, split) = run(device);
    assert_eq!(split, parts, "{}", device.name());
    let (twin, whole) = run(&Device::cpu());
    assert_eq!(whole, 1, "the CPU device takes it in one");
    let floor = rounding_floor(columns, 4.0 / (columns as f64).sqrt()) + 1e-6;
    assert_agrees(device, "embedding_norm", (&got, &twin, &oracle), floor);
}

#[test]
fn a_word_table_above_the_binding_limit_is_split() {
    for device in small_devices() {
        // Both sides of each seam, the ends, and the middle.
        assert_gathers(&device, [10_000, 64], DType::F32, 3, &[0, 4095, 4096, 8191, 8192, 9_999, 5, 5]);
        // 63 columns take 32 words a row in the reckoning, so 8,192 rows to a part.
        assert_gathers(&device, [9_001, 63], DType::F16, 2, &[9_000, 8191, 8192, 8193, 0, 1, 77]);
        // A part that no id asks for is passed over.
        assert_gathers(&device, [10_000, 64], DType::F32, 3, &[9_998]);
    }
}

#[test]
fn a_word_table_of_150_megabytes_is_split_at_the_default_limit() {
    let mut options = DeviceOptions::default();
    // WebGPU's default of 128 MiB, also where the adapter has more.
    options.baseline = true;
    for device in common::adapters_with(&options) {
        let limit = device.capabilities().tensor_bytes();
        assert_eq!(limit, 128 * MIB, "{}", device.name());
        let seam = (limit / (384 * 4) / 2 * 2) as u32;
        let ids = [0, 1, seam - 1, seam, seam + 1, 99_999, 50_000];
        assert_gathers(&device, [100_000, 384], DType::F32, 2, &ids);
    }
}

/// The attention of those sizes on that device, with a float mask `[Lq, Lk]` or `[Lq, 1]` and key lengths.
fn attention_on(device: &Device, dims: Dims, causal: Causal, data: &[Vec<f32>; 4]) -> Vec<f32> {
    let Dims { batch, heads, queries, keys, head_dim, .. } = dims;
    let tensor = |shape: &[usize], values: &[f32]| Tensor::from_f32(device, shape, values).unwrap();
    let q = tensor(&[batch, heads, queries, head_dim], &data[0]);
    let k = tensor(&[batch, heads, keys, head_dim], &data[1]);
    let v = tensor(&[batch, heads, keys, head_dim], &data[2]);
    let mask = tensor(&[queries, data[3].len() / queries], &data[3]);
    let lengths: Vec<u32> = (0..batch).map(|item| (keys - item * 7) as u32).collect();
    let call = attention(&q, &k, &v).causal(causal).mask(&mask).key_lengths(&lengths);
    call.run().unwrap().to_f32().unwrap()
}

#[test]
fn attention_whose_scores_pass_the_limit_runs_in_parts() {
    let dims = |batch, heads, queries, keys| Dims {
        batch,
        heads,
        heads_kv: heads,
        queries,
        keys,
        head_dim: 8,
        value_dim: 8,
    };
    // 262,144 scores fit: several heads to a part; then some queries of one head to a part.
    for (dims, causal) in
        [(dims(2, 5, 200, 200), Causal::TopLeft), (dims(1, 2, 600, 650), Causal::BottomRight)]
    {
        let Dims { batch, heads, queries, keys, .. } = dims;
        assert!((batch * heads * queries * keys * 4) as u64 > MIB);
        let mut random = Inputs::new(5);
        let size = |rows: usize| batch * heads * rows * 8;
        // The mask must fit a binding too: a whole one, or one that rules out every third query.
        let mask = match ((queries * keys * 4) as u64) < MIB {
            true => random.values(queries * keys, 1.0),
            false => (0..queries).map(|i| if i % 3 == 0 { f32::NEG_INFINITY } else { 0.0 }).collect(),
        };
        let data = [
            random.values(size(queries), 1.0),
            random.values(size(keys), 1.0),
            random.values(size(keys), 1.0),
            mask,
        ];
        for (device, whole) in small_devices().iter().zip(common::wgpu_adapters()) {
            let whole = common::with_limits(&whole, |_| {});
            let parts = attention_on(device, dims, causal, &data);
            let unsplit = attention_on(&whole, dims, causal, &data);
            let comparison = compare_bits(&parts, &unsplit);
            assert!(comparison.passed, "{}: {comparison}", device.name());
            // And right: against the twins, which rounding alone parts from them.
            let twin = attention_on(&Device::cpu(), dims, causal, &data);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 5e-6;
            let apart = parts.iter().zip(&twin).position(|pair| !near(pair));
            assert!(parts.len() == twin.len() && apart.is_none(), "{}: element {apart:?}", device.name());
        }
    }
}

#[test]
fn weights_that_cannot_be_handed_out_whole_are_refused() {
    for device in small_devices() {
        let q = Tensor::from_f32(&device, [1, 5, 300, 1], &[0.0; 1500]).unwrap();
        let mut recording = Recording::new(&device);
        let q = recording.tensor(&q).unwrap();
        let q = Heads::dense(&q).unwrap();
        let error = Attention::new().with_weights().record(&mut recording, &q, &q, &q).unwrap_err();
        assert_limit(&error, 5 * 300 * 300 * 4, MIB);
    }
}

#[track_caller]
fn assert_limit(error: &Error, expected_needed: u64, expected_available: u64) {
    let Error::Limit { limit, needed, available, .. } = error else { panic!("{error:?}") };
    assert_eq!(
        (*limit, *needed, *available),
        ("maxStorageBufferBindingSize", expected_needed, expected_available)
    );
    let message = error.to_string();
    assert!(message.contains(&needed.to_string()) && message.contains(&available.to_string()), "{message}");
}

#[test]
fn a_tensor_above_the_limit_is_refused_before_anything_is_allocated() {
    let mut devices = common::devices();
    devices.extend(small_devices());
    for device in devices {
        let limit = device.capabilities().tensor_bytes();
        // Past one binding; past 2³¹ bytes; past 2⁶⁴.
        let sizes: [(Vec<usize>, u64); 4] = [
            (vec![(limit / 4) as usize + 1], limit / 4 * 4 + 4),
            (vec![1 << 15, 1 << 16], 1 << 33),
            (vec![1 << 31, 1 << 31], u64::MAX),
            (vec![usize::MAX, usize::MAX], u64::MAX),
        ];
        for (shape, needed) in sizes {
            // No values are given: the size is refused before they are looked at.
            assert_limit(&Tensor::from_f32(&device, &*shape, &[]).unwrap_err(), needed.max(limit + 4), limit);
            let mut recording = Recording::new(&device);
            assert_limit(
                &recording.temporary(&*shape, DType::F32).unwrap_err(),
                needed.max(limit + 4),
                limit,
            );
            assert_eq!(recording.planned_bytes(), (0, 0));
        }
        // f16 takes half.
        let halves = [(limit / 4) as usize * 2];
        assert!(Recording::new(&device).temporary(halves, DType::F16).is_ok());
    }
}

#[test]
fn no_tensor_passes_what_a_kernel_can_index() {
    // Metal lets one binding be as large as the memory; shaders count in u32.
    let adapter = common::noop_adapter(wgpu::NoopBackendOptions {
        limits: Some(wgpu::Limits {
            max_buffer_size: 1 << 41,
            max_storage_buffer_binding_size: 1 << 41,
            ..wgpu::Limits::defaults()
        }),
        ..wgpu::NoopBackendOptions::enabled()
    });
    let device = common::with_limits(&adapter, |_| {});
    let limit = device.capabilities().tensor_bytes();
    assert!(device.capabilities().storage_binding_bytes > 1 << 40, "or this shows nothing");
    assert!(limit < 1 << 32 && limit.is_multiple_of(4), "{limit}");
    let mut recording = Recording::new(&device);
    assert_limit(&recording.temporary([1 << 16, 1 << 16], DType::F32).unwrap_err(), 1 << 34, limit);
}

#[test]
fn a_buffer_just_below_the_limit_is_not_rounded_past_it() {
    // Direct3D and OpenGL allow 2³¹ − 1 bytes: no multiple of anything.
    for adapter in common::wgpu_adapters() {
        let device = common::with_limits(&adapter, |limits| {
            limits.max_storage_buffer_binding_size = MIB + 4;
            limits.max_buffer_size = MIB + 7;
        });
        let count = device.capabilities().tensor_bytes() as usize / 4;
        let values: Vec<f32> = (0..count).map(|place| place as f32).collect();
        let tensor = Tensor::from_f32(&device, [count], &values).unwrap();
        assert!(tensor.to_f32().unwrap() == values);
    }
}

#[test]
fn more_workgroups_than_one_dimension_holds() {
    const ROWS: usize = 70_000;
    let mut random = Inputs::new(9);
    let (x, gamma, beta) = (random.values(ROWS * 3, 1.0), random.values(3, 1.0), random.values(3, 1.0));
    let oracle = reference::normalization::layer_norm(&x, None, &gamma, &beta, 1e-5);
    let run = |device: &Device| {
        let norm = LayerNormWeights::new(device, &gamma, &beta, 1e-5).unwrap();
        let x = Tensor::from_f32(device, [ROWS, 3], &x).unwrap();
        let mut recording = Recording::new(device);
        let x = recording.tensor(&x).unwrap();
        let y = layer_norm(&mut recording, &x, None, &norm).unwrap();
        recording.output(&y).unwrap();
        recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
    };
    let twin = run(&Device::cpu());
    // A workgroup for each row: 70,000 of them, in dimensions of 65,535; and of 300.
    let mut options = DeviceOptions::default();
    options.implementations = vec!["layer_norm=workgroup".to_owned()];
    for device in common::adapters_with(&options).into_iter().chain(small_devices()) {
        let got = run(&device);
        // Rows of three: a deviation near 0 makes the scale, and the error, large.
        assert_agrees(&device, "layer_norm", (&got, &twin, &oracle), 1e-5);
    }
}

#[test]
fn too_many_workgroups_for_two_dimensions_are_refused() {
    let adapter = common::noop_adapter(wgpu::NoopBackendOptions {
        limits: Some(wgpu::Limits { max_compute_workgroups_per_dimension: 100, ..wgpu::Limits::defaults() }),
        ..wgpu::NoopBackendOptions::enabled()
    });
    let mut options = DeviceOptions::default();
    options.implementations = vec!["layer_norm=workgroup".to_owned()];
    let device = pollster::block_on(Device::from_adapter(&adapter, options)).unwrap();
    let norm = LayerNormWeights::new(&device, &[1.0; 9], &[0.0; 9], 1e-5).unwrap();
    let record = |rows: usize| {
        let mut recording = Recording::new(&device);
        let x = recording.zeros([rows, 9], DType::F32)?;
        layer_norm(&mut recording, &x, None, &norm)
    };
    assert!(record(10_000).is_ok());
    let error = record(10_001).unwrap_err();
    let Error::Limit { limit, needed, available, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*limit, *available), ("maxComputeWorkgroupsPerDimension", 100));
    assert_eq!(*needed, 101);
}

#[test]
fn fewer_storage_buffers_than_a_kernel_binds_are_refused() {
    for adapter in common::wgpu_adapters() {
        let device = common::with_limits(&adapter, |limits| limits.max_storage_buffers_per_shader_stage = 4);
        let norm = LayerNormWeights::new(&device, &[1.0; 9], &[0.0; 9], 1e-5).unwrap();
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, [1, 9], &[1.0; 9]).unwrap();
        let x = recording.tensor(&x).unwrap();
        let error = layer_norm(&mut recording, &x, None, &norm).unwrap_err();
        let Error::Limit { limit, needed, available, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*limit, *needed, *available), ("maxStorageBuffersPerShaderStage", 7, 4));
    }
}

#[test]
fn rows_are_reduced_as_the_subgroups_allow() {
    // Pretended: subgroup sizes smallest and largest, whether the feature is there, and what is to be taken.
    for (min, max, feature, expected) in [
        (32, 32, true, "subgroup workgroup=32 subgroup_size=32"),
        (4, 4, true, "subgroup workgroup=4 subgroup_size=4"),
        (128, 128, true, "subgroup workgroup=128 subgroup_size=128"),
        // No variant is made for it; subgroups that vary cannot be relied on; none.
        (48, 48, true, "invocation"),
        (8, 64, true, "invocation"),
        (32, 32, false, "invocation"),
    ] {
        let adapter = common::noop_adapter(wgpu::NoopBackendOptions {
            features: Some(if feature { wgpu::Features::SUBGROUP } else { wgpu::Features::empty() }),
            limits: Some(wgpu::Limits::defaults()),
            subgroup_min_size: Some(min),
            subgroup_max_size: Some(max),
            ..wgpu::NoopBackendOptions::enabled()
        });
        let device = pollster::block_on(Device::from_adapter(&adapter, DeviceOptions::default())).unwrap();
        let norm = LayerNormWeights::new(&device, &[1.0; 100], &[0.0; 100], 1e-5).unwrap();
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, [2, 100], &[1.0; 200]).unwrap();
        let x = recording.tensor(&x).unwrap();
        layer_norm(&mut recording, &x, None, &norm).unwrap();
        let steps = pollster::block_on(trace(&recording)).unwrap();
        assert_eq!(steps.len(), 1);
        assert!(steps[0].variant.starts_with(expected), "{min} to {max}: {}", steps[0].variant);
    }
}

#[test]
fn fewer_invocations_than_the_large_tile_needs_take_the_small_one() {
    for adapter in common::wgpu_adapters() {
        let device = common::with_limits(&adapter, |limits| {
            limits.max_compute_invocations_per_workgroup = 64;
            limits.max_compute_workgroup_size_x = 64;
        });
        let values: Vec<f32> = (0..512 * 512).map(|i| ((i * 31 % 17) as f32 - 8.0) / 64.0).collect();
        let run = |device: &Device| {
            let weights = LinearWeights::new(device, [512, 512], &values, None, DType::F32).unwrap();
            let x = Tensor::from_f32(device, [512, 512], &values).unwrap();
            let mut recording = Recording::new(device);
            let x = recording.tensor(&x).unwrap();
            let y = Linear::new(&weights).record(&mut recording, &x).unwrap();
            recording.output(&y).unwrap();
            recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
        };
        let comparison = compare_allclose(&run(&device), &run(&Device::cpu()), 1e-5, 1e-5);
        assert!(comparison.passed, "{}: {comparison}", device.name());
    }
}
