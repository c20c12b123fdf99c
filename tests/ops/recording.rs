//! Recordings: what nothing wrote is not read, an error leaves nothing behind, and memory that was used before shows nowhere.

use crate::common;
use attentive::kernel::Inputs;
use attentive::layers::{
    AttentionWeights, Cbam, ChannelAttention, DecoderLayer, DecoderLayerConfig, DecoderLayerOptions,
    DecoderLayerWeights, DeformableAttention, DeformableAttentionConfig, DeformableAttentionInputs,
    DeformableAttentionWeights, Encoder, EncoderLayer, EncoderLayerConfig, EncoderLayerWeights, FeedForward,
    Gru, GruCell, GruConfig, GruDirection, GruOptions, HostGru, HostLayerNorm, HostLinear,
    MultiHeadAttention, MultiHeadAttentionConfig, MultiHeadAttentionOptions, MultiHeadAttentionWeights,
    NormPosition, SpatialAttention, SqueezeExcitation,
};
use attentive::ops::{Attention, Heads, KvCache, KvCacheShape, Layout, Mask, multiply, softmax};
use attentive::recording::Value;
use attentive::{
    Activation, DType, Device, DeviceOptions, Error, Recording, RecordingPlan, Result, Tensor, wgpu,
};

/// Leaves buffers of many sizes idle, full of 42.
fn soil(device: &Device) {
    let sizes = (0..24).map(|exponent| 1_usize << exponent).take_while(|&size| size <= 1 << 20);
    let tensors: Vec<Tensor> = sizes
        .flat_map(|size| [size, size + size / 2])
        .flat_map(|size| [size; 6])
        .map(|size| Tensor::from_f32(device, [size], &vec![42.0; size]).unwrap())
        .collect();
    drop(tensors);
}

#[track_caller]
pub(super) fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error @ (Error::Argument { .. } | Error::In { .. })) = result else { panic!("not refused") };
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn what_nothing_wrote_is_not_read() {
    for device in common::devices() {
        soil(&device);
        let mut recording = Recording::new(&device);
        let nothing = recording.temporary([4, 8], DType::F32).unwrap();
        let before = recording.cost();
        refused(
            multiply(&mut recording, &nothing, &nothing),
            &["elementwise/binary", "`a`", "temporary f32 [4, 8]", "nothing has written", "zeros"],
        );
        assert_eq!(recording.cost(), before);
        // Nor is it given.
        recording.output(&nothing).unwrap();
        refused(recording.run(), &["output", "32 words", "nothing writes"]);
        // Where there is no element, there is nothing to be written.
        let mut recording = Recording::new(&device);
        let empty = recording.temporary([0, 8], DType::F32).unwrap();
        recording.output(&empty).unwrap();
        assert!(recording.run().unwrap().tensor(&empty).unwrap().to_f32().unwrap().is_empty());
    }
}

#[test]
fn zeros_are_zeros_whatever_the_memory_held() {
    for device in common::devices() {
        for round in 0..2 {
            soil(&device);
            let mut recording = Recording::new(&device);
            let x = recording.tensor(&Tensor::from_f32(&device, [3, 5], &[2.0; 15]).unwrap()).unwrap();
            let squares = multiply(&mut recording, &x, &x).unwrap();
            let zeros = recording.zeros([3, 5], DType::F32).unwrap();
            let product = multiply(&mut recording, &squares, &zeros).unwrap();
            let others = [
                recording.zeros([7], DType::F32).unwrap(),
                recording.zeros([1], DType::F16).unwrap(),
                recording.zeros([70_001], DType::F16).unwrap(),
                recording.zeros([0, 3], DType::F32).unwrap(),
            ];
            for value in others.iter().chain([&zeros, &product]) {
                recording.output(value).unwrap();
            }
            let outputs = recording.run().unwrap();
            for value in others.iter().chain([&zeros, &product]) {
                let values = outputs.tensor(value).unwrap().to_f32().unwrap();
                assert_eq!(values.len() as u64, value.shape().elements());
                assert!(
                    values.iter().all(|value| *value == 0.0),
                    "round {round} on {}: {values:?}",
                    device.name()
                );
            }
        }
    }
}

/// Attention of 2 heads over 3 rows of 4 columns into a part of a value `[1, 3, 4 · 4]`, from that head on.
fn into_heads(recording: &mut Recording, x: &Value, to: &Value, first: usize) -> Result<()> {
    let heads = Heads::in_rows(x, 0, 2, 4)?;
    let to = Heads::in_rows(to, 4 * first, 2, 4)?;
    Attention::new().record_into(recording, &heads, &heads, &heads, &to).map(|_| ())
}

#[test]
fn a_part_of_a_temporary_is_not_written_and_of_zeros_it_is() {
    for device in common::devices() {
        soil(&device);
        let tensor = Tensor::from_f32(&device, [1, 3, 8], &Inputs::new(1).values(24, 1.0)).unwrap();
        let mut recording = Recording::new(&device);
        let x = recording.tensor(&tensor).unwrap();
        let before = recording.cost();
        let temporary = recording.temporary([1, 3, 16], DType::F32).unwrap();
        refused(
            into_heads(&mut recording, &x, &temporary, 0),
            &["the output", "all of a temporary", "Recording::zeros", "24 elements", "[1, 3, 16]"],
        );
        assert_eq!(recording.cost(), before);
        // All of one is written, and then a part of it again.
        let whole = recording.temporary([1, 3, 8], DType::F32).unwrap();
        into_heads(&mut recording, &x, &whole, 0).unwrap();
        let parts = recording.zeros([1, 3, 16], DType::F32).unwrap();
        into_heads(&mut recording, &x, &parts, 2).unwrap();
        recording.output(&whole).unwrap();
        recording.output(&parts).unwrap();
        let outputs = recording.run().unwrap();
        let [whole, parts] = [&whole, &parts].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap());
        for (whole, parts) in whole.chunks(8).zip(parts.chunks(16)) {
            assert_eq!(parts[..8], [0.0; 8], "{}", device.name());
            assert_eq!(&parts[8..], whole, "{}", device.name());
        }
    }
}

#[test]
fn rows_that_running_sums_on_the_device_leave_out_are_zero() {
    for device in common::devices() {
        for implementation in ["tiled", "decode", "chained"] {
            soil(&device);
            let x = Tensor::from_f32(&device, [1, 2, 9, 4], &Inputs::new(2).values(72, 1.0)).unwrap();
            // Of 9 rows, 5 belong to items.
            let sums = Tensor::from_u32(&device, [2, 3], &[0, 2, 5, 0, 2, 5]).unwrap();
            let mut recording = Recording::new(&device);
            let (x, sums) = (recording.tensor(&x).unwrap(), recording.tensor(&sums).unwrap());
            let heads = Heads::dense(&x).unwrap();
            let attention = Attention::new()
                .packed_value(&sums, [3, 3])
                .output_layout(Layout::HeadsFirst)
                .with_log_sum_exp()
                .implementation(implementation);
            let values = attention.record(&mut recording, &heads, &heads, &heads).unwrap();
            let sums = values.log_sum_exp.unwrap();
            recording.output(&values.output).unwrap();
            recording.output(&sums).unwrap();
            let outputs = recording.run().unwrap();
            let output = outputs.tensor(&values.output).unwrap().to_f32().unwrap();
            let sums = outputs.tensor(&sums).unwrap().to_f32().unwrap();
            for head in 0..2 {
                let rows = &output[head * 36..][..36];
                let name = format!("{implementation} on {}: {rows:?}", device.name());
                assert!(rows[..20].iter().any(|value| *value != 0.0), "{name}");
                assert!(rows[20..].iter().all(|value| *value == 0.0), "{name}");
                assert!(sums[head * 9..][5..9].iter().all(|sum| *sum == 0.0), "{name} {sums:?}");
            }
            // Into a temporary of the caller's it is refused.
            let mut recording = Recording::new(&device);
            let x = recording.zeros([1, 2, 9, 4], DType::F32).unwrap();
            let sums = recording.tensor(&Tensor::zeros(&device, [2, 3], DType::U32).unwrap()).unwrap();
            let to = recording.temporary([1, 2, 9, 4], DType::F32).unwrap();
            let (heads, to) = (Heads::dense(&x).unwrap(), Heads::dense(&to).unwrap());
            let attention = Attention::new().packed_value(&sums, [3, 3]).implementation(implementation);
            refused(
                attention.record_into(&mut recording, &heads, &heads, &heads, &to),
                &["the output", "running sums"],
            );
        }
    }
}

#[test]
fn an_error_takes_back_what_was_written_and_marked() {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let x = recording.tensor(&Tensor::from_f32(&device, [2], &[3.0, 4.0]).unwrap()).unwrap();
    let square = multiply(&mut recording, &x, &x).unwrap();
    let before = recording.cost();
    let mut leaked = None;
    let outcome: Result<()> = recording.atomically(|recording| {
        let cube = multiply(recording, &square, &x)?;
        recording.output(&square)?;
        recording.output(&cube)?;
        leaked = Some(cube);
        let nothing = recording.temporary([2], DType::F32)?;
        recording.scoped("inner", |recording| multiply(recording, &nothing, &x))?;
        Ok(())
    });
    refused(outcome, &["nothing has written"]);
    assert_eq!(recording.cost(), before);
    // What it held is a value that nothing wrote, and those made later are others.
    let leaked = leaked.unwrap();
    let later = multiply(&mut recording, &x, &x).unwrap();
    assert!(!later.is(&leaked));
    refused(multiply(&mut recording, &leaked, &x), &["nothing has written"]);
    recording.output(&later).unwrap();
    let outputs = recording.run().unwrap();
    assert_eq!(outputs.tensor(&later).unwrap().to_f32().unwrap(), [9.0, 16.0]);
    assert!(outputs.tensor(&square).is_err());
    assert_eq!(outputs.statistics.dispatches, 2);
}

/// Runs `record`, which must fail, on a recording that has something already, and holds that nothing of it is left.
#[track_caller]
fn leaves_nothing<T>(
    name: &str,
    recording: &mut Recording,
    record: impl FnOnce(&mut Recording) -> Result<T>,
) {
    let before = (recording.cost(), recording.planned_bytes());
    assert!(record(recording).is_err(), "{name} was not refused");
    assert_eq!((recording.cost(), recording.planned_bytes()), before, "{name} left something");
}

const DIM: usize = 12;

/// Weights of every layer, DIM wide.
struct Weights {
    square: Vec<f32>,
    zeros: Vec<f32>,
}

impl Weights {
    fn new() -> Self {
        Self { square: Inputs::new(3).values(3 * DIM * DIM, 0.3), zeros: vec![0.0; 3 * DIM] }
    }

    fn linear(&self) -> HostLinear<'_> {
        HostLinear { weight: &self.square[..DIM * DIM], bias: Some(&self.zeros[..DIM]) }
    }

    fn attention(&self) -> MultiHeadAttentionWeights<'_> {
        let linear = self.linear();
        MultiHeadAttentionWeights { query: linear, key: linear, value: linear, output: linear }
    }

    fn norm(&self) -> HostLayerNorm<'_> {
        HostLayerNorm { gamma: &self.zeros[..DIM], beta: &self.zeros[..DIM] }
    }

    fn gru(&self) -> HostGru<'_> {
        let gates = HostLinear { weight: &self.square, bias: None };
        HostGru { input: gates, hidden: gates }
    }

    fn encoder_layer(&self, device: &Device, model_dim: usize) -> EncoderLayer {
        let weight = |outputs: usize, inputs: usize| HostLinear {
            weight: &self.square[..outputs * inputs],
            bias: None,
        };
        let square = weight(model_dim, model_dim);
        let norm = HostLayerNorm { gamma: &self.zeros[..model_dim], beta: &self.zeros[..model_dim] };
        let config = EncoderLayerConfig::new(model_dim, 2, model_dim);
        let weights = EncoderLayerWeights {
            attention: MultiHeadAttentionWeights {
                query: square,
                key: square,
                value: square,
                output: square,
            },
            attention_norm: norm,
            feed_forward: [square, square],
            feed_forward_norm: norm,
        };
        EncoderLayer::new(device, &config, &weights).unwrap()
    }
}

/// Each fails after it has recorded something.
#[test]
fn a_layer_that_fails_leaves_nothing() {
    let device = Device::cpu();
    let weights = Weights::new();
    let mut recording = Recording::new(&device);
    let recording = &mut recording;
    let x = recording.zeros([2, 3, DIM], DType::F32).unwrap();
    let misfit = recording.zeros([2, 3, DIM + 1], DType::F32).unwrap();
    let mask = recording.zeros([5], DType::F32).unwrap();
    let masked = MultiHeadAttentionOptions { mask: Some(Mask::Float(&mask)), ..Default::default() };
    let residual = MultiHeadAttentionOptions { residual: Some(&misfit), ..Default::default() };
    let averaged = MultiHeadAttentionOptions { weights: AttentionWeights::Averaged, ..residual };

    let linear = weights.linear();
    let feed_forward =
        FeedForward::new(&device, [DIM, DIM], [linear; 2], Activation::Relu, DType::F32).unwrap();
    leaves_nothing("feed-forward", recording, |to| feed_forward.record(to, &x, Some(&misfit)));

    let packed = MultiHeadAttentionConfig::self_attention(DIM, 2).unwrap();
    let packed = MultiHeadAttention::new(&device, packed, &weights.attention(), DType::F32).unwrap();
    let separate = MultiHeadAttentionConfig::cross_attention(DIM, 2, DIM, DIM).unwrap();
    let separate = MultiHeadAttention::new(&device, separate, &weights.attention(), DType::F32).unwrap();
    for options in [masked, residual, averaged] {
        leaves_nothing("self-attention", recording, |to| packed.record_self(to, &x, &options));
        leaves_nothing("cross-attention", recording, |to| separate.record(to, [&x; 3], &options));
        leaves_nothing("a memory's", recording, |to| separate.record_to_memory(to, &x, [&x, &x], &options));
        let shape = KvCacheShape {
            batch: 2,
            key_heads: 2,
            capacity: 4,
            head_dim: DIM / 2,
            value_dim: DIM / 2,
            dtype: DType::F32,
            paged: None,
        };
        let mut cache = KvCache::new(&device, shape).unwrap();
        leaves_nothing("cached", recording, |to| packed.record_cached(to, &x, &mut cache, &options));
        assert_eq!(cache.lengths(), [0, 0]);
    }
    leaves_nothing("cross-attention", recording, |to| {
        separate.record(to, [&x, &x, &misfit], &Default::default())
    });

    let layer = weights.encoder_layer(&device, DIM);
    let masked_layer = MultiHeadAttentionOptions { residual: None, ..masked };
    leaves_nothing("encoder layer", recording, |to| layer.record(to, &x, &masked_layer));
    let encoder = Encoder::new(vec![layer.clone(), layer], None).unwrap();
    leaves_nothing("encoder", recording, |to| encoder.record(to, &x, &masked_layer));

    let mut config = DecoderLayerConfig::new(DIM, 2, DIM);
    config.norm_position = NormPosition::Pre;
    let decoder = DecoderLayerWeights {
        self_attention: weights.attention(),
        self_attention_norm: weights.norm(),
        cross_attention: weights.attention(),
        cross_attention_norm: weights.norm(),
        feed_forward: [linear; 2],
        feed_forward_norm: weights.norm(),
    };
    let decoder = DecoderLayer::new(&device, &config, &decoder).unwrap();
    let options = DecoderLayerOptions { cross_attention: masked_layer, ..Default::default() };
    leaves_nothing("decoder layer", recording, |to| decoder.record(to, &x, &x, &options));
    let memory = [(); 2].map(|()| Tensor::zeros(&device, [2, 3, DIM], DType::F32).unwrap());
    let mut cache = decoder.cache(2, 4, memory).unwrap();
    leaves_nothing("decoder step", recording, |to| decoder.record_step(to, &x, &mut cache, &options));
    assert_eq!(cache.own().lengths(), [0, 0]);

    let config =
        GruConfig { input_dim: DIM, hidden_dim: DIM, direction: GruDirection::Forward, dtype: DType::F32 };
    let gru = Gru::new(&device, config, &[weights.gru()]).unwrap();
    let foreign = Recording::new(&device).zeros([2, DIM], DType::F32).unwrap();
    let options = GruOptions { initial: Some(&[&foreign]), ..Default::default() };
    leaves_nothing("GRU", recording, |to| gru.record(to, &x, &options));
    let cell = GruCell::new(&device, &[DIM], DIM, &weights.gru(), DType::F32).unwrap();
    let one = recording.zeros([2, DIM], DType::F32).unwrap();
    leaves_nothing("GRU cell", recording, |to| cell.record(to, &[&one], &foreign));

    let config = DeformableAttentionConfig { model_dim: DIM, heads: 2, levels: 1, points: 3 };
    let sampled = DeformableAttentionWeights {
        value: linear,
        sampling_offsets: linear,
        attention_weights: HostLinear { weight: &weights.square[..6 * DIM], bias: None },
        output: linear,
    };
    let deformable = DeformableAttention::new(&device, config, &sampled, DType::F32).unwrap();
    let inputs = DeformableAttentionInputs {
        queries: &x,
        references: &mask,
        input: &x,
        shapes: &[[1, 3]],
        padding: None,
    };
    leaves_nothing("deformable attention", recording, |to| deformable.record(to, &inputs));
}

/// Layers over channels and space fail where their weights are not on the recording's device, or where the product that is
/// forced cannot take 3 channels.
#[test]
fn a_vision_layer_that_fails_leaves_nothing() {
    let mut options = DeviceOptions::default();
    options.implementations = vec!["linear=subgroup8".to_owned()];
    let device = Device::open_with("cpu", options).unwrap();
    let other = Device::cpu();
    let values = vec![0.5; 98];
    let linear = [HostLinear { weight: &values[..6], bias: None }; 2];
    let mut recording = Recording::new(&device);
    let recording = &mut recording;
    let x = recording.zeros([1, 3, 4, 5], DType::F32).unwrap();
    let excitation = SqueezeExcitation::new(&device, [3, 2], linear, DType::F32).unwrap();
    leaves_nothing("squeeze and excitation", recording, |to| excitation.record(to, &x));
    let channel = ChannelAttention::new(&device, [3, 2], linear, DType::F32).unwrap();
    leaves_nothing("channel attention", recording, |to| channel.record(to, &x));
    let spatial = SpatialAttention::new(&other, 7, &values, 0.0).unwrap();
    leaves_nothing("spatial attention", recording, |to| spatial.record(to, &x));

    let device = Device::cpu();
    let channel = ChannelAttention::new(&device, [3, 2], linear, DType::F32).unwrap();
    let mut recording = Recording::new(&device);
    let x = recording.zeros([1, 3, 4, 5], DType::F32).unwrap();
    leaves_nothing("CBAM", &mut recording, |to| Cbam { channel, spatial }.record(to, &x));
}

/// y = softmax(x · w) over a host's x; the plan, x and y.
fn planned(device: &Device, rows: usize) -> (RecordingPlan, Tensor, Value) {
    let w = Tensor::from_f32(device, [rows, 6], &Inputs::new(4).values(6 * rows, 1.0)).unwrap();
    let x = Tensor::zeros(device, [rows, 6], DType::F32).unwrap();
    let mut recording = Recording::new(device);
    let (w, value) = (recording.tensor(&w).unwrap(), recording.tensor(&x).unwrap());
    let product = multiply(&mut recording, &value, &w).unwrap();
    let y = softmax(&mut recording, &product, -1).unwrap();
    let zeros = recording.zeros([rows, 6], DType::F32).unwrap();
    let y = multiply(&mut recording, &y, &y).and_then(|y| {
        into_zeros(&mut recording, &zeros, &y)?;
        Ok(y)
    });
    let y = y.unwrap();
    recording.output(&y).unwrap();
    (RecordingPlan::new(recording).unwrap(), x, y)
}

/// So that a plan has zeros to make again at each run.
fn into_zeros(recording: &mut Recording, zeros: &Value, y: &Value) -> Result<()> {
    multiply(recording, zeros, y).map(|_| ())
}

fn write(device: &Device, tensor: &Tensor, values: &[f32]) {
    let (_, queue) = device.wgpu().unwrap();
    queue.write_buffer(tensor.wgpu_buffer().unwrap(), 0, bytemuck::cast_slice(values));
}

fn submit(device: &Device, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let (wgpu_device, queue) = device.wgpu().unwrap();
    let mut encoder = wgpu_device.create_command_encoder(&Default::default());
    record(&mut encoder);
    queue.submit([encoder.finish()]);
}

/// What [`planned`] computes, by a recording of its own.
fn expected(device: &Device, rows: usize, x: &[f32]) -> Vec<f32> {
    let w = Tensor::from_f32(device, [rows, 6], &Inputs::new(4).values(6 * rows, 1.0)).unwrap();
    let mut recording = Recording::new(device);
    let w = recording.tensor(&w).unwrap();
    let x = recording.tensor(&Tensor::from_f32(device, [rows, 6], x).unwrap()).unwrap();
    let product = multiply(&mut recording, &x, &w).unwrap();
    let y = softmax(&mut recording, &product, -1).unwrap();
    let y = multiply(&mut recording, &y, &y).unwrap();
    recording.output(&y).unwrap();
    recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
}

#[test]
fn a_plan_gives_a_runs_bits_each_time_and_makes_nothing() {
    for device in common::adapters() {
        let (plan, x, y) = planned(&device, 50);
        let output = plan.tensor(&y).unwrap();
        for seed in 0..20 {
            let values = Inputs::new(seed).values(300, 1.0);
            write(&device, &x, &values);
            let before = device.created();
            submit(&device, |encoder| plan.record(encoder).unwrap());
            assert_eq!(device.created(), before, "{}", device.name());
            assert_eq!(output.to_f32().unwrap(), expected(&device, 50, &values), "{}", device.name());
        }
        // Twice in one encoder, and in flight: the queue has them one after the other.
        let second = Inputs::new(30).values(300, 1.0);
        let other = Tensor::from_f32(&device, [50, 6], &second).unwrap();
        let copied = Tensor::zeros(&device, [50, 6], DType::F32).unwrap();
        write(&device, &x, &Inputs::new(29).values(300, 1.0));
        submit(&device, |encoder| {
            plan.record(encoder).unwrap();
            let [from, to] = [&output, &copied].map(|tensor| tensor.wgpu_buffer().unwrap());
            encoder.copy_buffer_to_buffer(from, 0, to, 0, 1200);
            let [from, to] = [&other, &x].map(|tensor| tensor.wgpu_buffer().unwrap());
            encoder.copy_buffer_to_buffer(from, 0, to, 0, 1200);
            plan.record(encoder).unwrap();
        });
        submit(&device, |encoder| plan.record(encoder).unwrap());
        assert_eq!(copied.to_f32().unwrap(), expected(&device, 50, &Inputs::new(29).values(300, 1.0)));
        assert_eq!(output.to_f32().unwrap(), expected(&device, 50, &second));
        assert_eq!(plan.statistics().dispatches, 5);
        let product_was_not_marked = plan.tensor(&Recording::new(&device).zeros([1], DType::F32).unwrap());
        refused(product_was_not_marked, &["marked as an output"]);
    }
}

#[test]
fn a_plan_and_its_tensors_may_go_before_its_encoder_is_submitted() {
    for device in common::adapters() {
        let values = Inputs::new(5).values(300, 1.0);
        let (plan, x, y) = planned(&device, 50);
        let output = plan.tensor(&y).unwrap().wgpu_buffer().unwrap().clone();
        write(&device, &x, &values);
        let (wgpu_device, queue) = device.wgpu().unwrap();
        let mut encoder = wgpu_device.create_command_encoder(&Default::default());
        plan.record(&mut encoder).unwrap();
        drop((plan, x));
        // Others of the same sizes, which would take what lies idle.
        soil(&device);
        let others: Vec<_> = (0..3).map(|_| planned(&device, 50)).collect();
        soil(&device);
        queue.submit([encoder.finish()]);
        let output = Tensor::from_wgpu_buffer(&device, &output, [300], DType::F32).unwrap();
        assert_eq!(output.to_f32().unwrap(), expected(&device, 50, &values), "{}", device.name());
        drop(others);
    }
}

#[test]
fn a_plan_for_the_cpu_and_one_without_its_output_are_refused() {
    for device in common::devices() {
        let mut recording = Recording::new(&device);
        let nothing = recording.temporary([3], DType::F32).unwrap();
        recording.output(&nothing).unwrap();
        let words = if device.is_cpu() { ["a GPU", "CPU"] } else { ["output", "nothing writes"] };
        refused(RecordingPlan::new(recording), &words);
    }
}
