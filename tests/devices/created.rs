//! What a second call makes: no buffer, no bind group, no pipeline.

use crate::common;
use std::path::PathBuf;

use attentive::device::Created;
use attentive::layers::Parameters;
use attentive::models::Translator;
use attentive::ops::{Linear, LinearWeights};
use attentive::train::{AdamW, Trainer};
use attentive::{
    AttentionBuffers, AttentionPlan, AttentionShape, DType, Device, Embedder, Recording, Tensor, ops,
};

fn folder(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures/models").join(name)
}

/// What `work` makes each time.
fn made(device: &Device, times: usize, mut work: impl FnMut()) -> Vec<Created> {
    let mut made = Vec::new();
    for _ in 0..times {
        work();
        made.push(device.created());
    }
    made
}

#[track_caller]
fn assert_first_only(made: &[Created]) {
    for later in &made[1..] {
        assert_eq!(*later, made[0], "a later call has made something: {made:?}");
    }
}

#[test]
fn a_second_embedding_of_the_same_sizes_makes_nothing() {
    for device in common::devices() {
        let embedder = Embedder::from_dir(&device, folder("tiny-bert")).unwrap();
        let loaded = device.created();
        let texts = ["a sentence", "another sentence, which is longer", "one more"];
        let mut vectors = Vec::new();
        let made = made(&device, 3, || vectors.push(embedder.encode(&texts).run().unwrap()));
        assert_first_only(&made);
        assert_eq!(vectors[0].values(), vectors[2].values());
        if !device.is_cpu() {
            let first = made[0];
            assert!(first.pipelines > 0 && first.bind_groups > 0 && first.buffers > loaded.buffers);
        }
        // Another text of the same length has the same sizes.
        embedder.encode(&["a sentence", "another sentence, which is longer", "more one"]).run().unwrap();
        assert_eq!(device.created(), made[0]);
    }
}

#[test]
fn a_second_translation_makes_nothing() {
    for device in common::devices() {
        let translator = Translator::from_dir(&device, folder("tiny-marian"), DType::F32).unwrap();
        let made = made(&device, 3, || drop(translator.translate(&["a b c", "d e"]).run().unwrap()));
        assert_first_only(&made);
    }
}

/// Forward, backward and update, all of it in one submission.
#[test]
fn a_second_step_of_training_makes_nothing() {
    for device in common::devices() {
        let weights: Vec<f32> = (0..24).map(|place| (place as f32).sin()).collect();
        let layers: Vec<LinearWeights> = [[4, 6], [6, 4]]
            .map(|shape| {
                LinearWeights::new(&device, shape, &weights, Some(&vec![0.0; shape[0]]), DType::F32).unwrap()
            })
            .into();
        let mut parameters = Parameters::new();
        layers
            .iter()
            .enumerate()
            .for_each(|(place, layer)| parameters.linear(&format!("layer.{place}"), layer));
        let mut trainer =
            Trainer::new(&device, AdamW::default(), parameters.into_vec()).unwrap().clip(1.0).unwrap();
        let x = Tensor::from_f32(&device, [5, 6], &[0.5; 30]).unwrap();
        let mut submits = Vec::new();
        let made = made(&device, 4, || {
            let step = trainer.step(|recording| {
                let x = recording.tensor(&x)?;
                let hidden =
                    Linear::new(&layers[0]).activation(ops::Activation::Gelu).record(recording, &x)?;
                let logits = Linear::new(&layers[1]).record(recording, &hidden)?;
                ops::CrossEntropy::new(&[0, 1, 2, 3, 4]).record(recording, &logits)
            });
            submits.push(step.unwrap().statistics.submits);
        });
        assert_first_only(&made);
        assert!(submits.iter().all(|&submits| submits == usize::from(!device.is_cpu())), "{submits:?}");
    }
}

/// A run copies small outputs for reading back; what is written into one afterwards is read all the same.
#[test]
fn an_output_that_is_written_again_is_read_as_it_is_then() {
    for device in common::devices() {
        let square = |x: &Tensor| {
            let mut recording = Recording::new(&device);
            let x = recording.tensor(x).unwrap();
            let y = ops::multiply(&mut recording, &x, &x).unwrap();
            recording.output(&y).unwrap();
            recording.run().unwrap().tensor(&y).unwrap()
        };
        let x = Tensor::from_f32(&device, [4], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let y = square(&x);
        assert_eq!([y.to_f32().unwrap(), y.to_f32().unwrap()], [[1.0, 4.0, 9.0, 16.0]; 2]);
        // By the host, by its handle, and by a dispatch.
        let y = square(&x);
        y.write_f32(&[5.0; 4]).unwrap();
        assert_eq!(y.to_f32().unwrap(), [5.0; 4], "{}", device.name());
        if let Some((_, queue)) = device.wgpu() {
            let y = square(&x);
            queue.write_buffer(y.wgpu_buffer().unwrap(), 0, bytemuck::cast_slice(&[6.0_f32; 4]));
            assert_eq!(y.to_f32().unwrap(), [6.0; 4], "{}", device.name());
        }
        let y = square(&x);
        let y = y.reshape([1, 1, 1, 4]).unwrap();
        let mut recording = Recording::new(&device);
        let seven = Tensor::from_f32(&device, [1, 1, 1, 4], &[7.0; 4]).unwrap();
        let (seven, value) = (recording.tensor(&seven).unwrap(), recording.tensor(&y).unwrap());
        let [seven, to] = [&seven, &value].map(|value| ops::Heads::dense(value).unwrap());
        ops::Attention::new().record_into(&mut recording, &seven, &seven, &seven, &to).unwrap();
        recording.run().unwrap();
        assert_eq!(y.to_f32().unwrap(), [7.0; 4], "{}", device.name());
    }
}

#[test]
fn an_attention_plan_over_the_same_buffers_makes_nothing() {
    for device in common::adapters() {
        let plan = AttentionPlan::new(&device, &AttentionShape::new([1, 2, 9, 8])).unwrap();
        let (host, queue) = device.wgpu().unwrap();
        // More sets than are kept, each of the plan's own buffers.
        let sets: Vec<[Tensor; 4]> = (0..12)
            .map(|set| {
                let input = Tensor::from_f32(&device, [144], &[set as f32; 144]).unwrap();
                [input.clone(), input.clone(), input, Tensor::zeros(&device, [144], DType::F32).unwrap()]
            })
            .collect();
        let record = |set: &[Tensor; 4]| {
            let [q, k, v, output] = set.each_ref().map(|tensor| tensor.wgpu_buffer().unwrap());
            let mut encoder = host.create_command_encoder(&Default::default());
            plan.record(&mut encoder, AttentionBuffers::new(q, k, v, output)).unwrap();
            queue.submit([encoder.finish()]);
        };
        record(&sets[0]);
        record(&sets[1]);
        let made = made(&device, 200, || sets[..2].iter().for_each(record));
        assert_first_only(&made);
        sets.iter().for_each(record);
        sets.iter().for_each(record);
        assert_eq!(device.created().buffers, made[0].buffers);
        for (set, tensors) in sets.iter().enumerate() {
            assert_eq!(tensors[3].to_f32().unwrap(), [set as f32; 144], "{}", device.name());
        }
    }
}

#[test]
fn products_of_several_sizes_share_their_images() {
    for device in common::adapters() {
        // Each pays for images where lanes are chosen; x and W are the larger one in turn.
        let products = [[512, 64, 256], [64, 256, 512], [256, 512, 64]].map(|[rows, inputs, outputs]| {
            let weight = vec![0.5; inputs * outputs];
            let weights = LinearWeights::new(&device, [outputs, inputs], &weight, None, DType::F32).unwrap();
            (Tensor::from_f32(&device, [rows, inputs], &vec![0.25; rows * inputs]).unwrap(), weights)
        });
        let mut run = |(x, weights): &(Tensor, LinearWeights)| {
            let mut recording = Recording::new(&device);
            let x = recording.tensor(x).unwrap();
            let y = Linear::new(weights).record(&mut recording, &x).unwrap();
            recording.output(&y).unwrap();
            let y = recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap();
            assert!(y.iter().all(|&value| value == weights.inputs() as f32 / 8.0));
        };
        // The first round finds out how large the images must be, and the second binds those.
        let made = made(&device, 5, || products.iter().for_each(&mut run));
        assert_first_only(&made[1..]);
    }
}

#[test]
fn what_is_alive_is_not_used_again() {
    for device in common::adapters() {
        let x = Tensor::from_f32(&device, [3], &[1.0, 2.0, 3.0]).unwrap();
        let run = |factor: f32| {
            let mut recording = Recording::new(&device);
            let factors = Tensor::from_f32(&device, [3], &[factor; 3]).unwrap();
            let (x, factors) = (recording.tensor(&x).unwrap(), recording.tensor(&factors).unwrap());
            let y = ops::multiply(&mut recording, &x, &factors).unwrap();
            recording.output(&y).unwrap();
            recording.run().unwrap().tensor(&y).unwrap()
        };
        // Not read yet, so that the GPU may still be at it when the next one is recorded.
        let kept: Vec<Tensor> = (0..20).map(|factor| run(factor as f32)).collect();
        for (factor, y) in kept.iter().enumerate() {
            assert_eq!(y.to_f32().unwrap(), [1.0, 2.0, 3.0].map(|x| x * factor as f32));
        }
        // Now they lie idle, and take a tensor's values again.
        drop(kept);
        let before = device.created();
        for factor in 0..20 {
            assert_eq!(run(factor as f32).to_f32().unwrap(), [1.0, 2.0, 3.0].map(|x| x * factor as f32));
        }
        assert_eq!(device.created().buffers, before.buffers);
    }
}

#[test]
fn more_bind_groups_than_are_kept_and_the_results_stay_right() {
    let Some(device) = common::adapters().into_iter().next() else { return };
    // Each size binds other bytes.
    for size in (1..3000_usize).chain(1..100) {
        let values: Vec<f32> = (0..size).map(|value| value as f32).collect();
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, [size], &values).unwrap();
        let mut y = recording.tensor(&x).unwrap();
        for _ in 0..3 {
            y = ops::multiply(&mut recording, &y, &y).unwrap();
        }
        let last = y;
        recording.output(&last).unwrap();
        let y = recording.run().unwrap().tensor(&last).unwrap();
        if size % 97 == 0 {
            let expected: Vec<f32> =
                values.iter().map(|x| ((x * x) * (x * x)) * ((x * x) * (x * x))).collect();
            assert_eq!(y.to_f32().unwrap(), expected);
        }
    }
}
