//! Whole models against PyTorch's autograd and its AdamW in f64 (tests/fixtures/make_training.py): an embedder of BERT's family, a
//! Transformer of Marian's, Bahdanau's model.

use std::path::PathBuf;

use attentive::layers::Parameter;
use attentive::models::{BahdanauSeq2Seq, Embedder, TransformerSeq2Seq};
use attentive::recording::{Recording, Value};
use attentive::train::{AdamW, Trainer};
use attentive::weights::{BahdanauConfig, Checkpoint, MarianConfig};
use attentive::{DType, Device, Result};
use serde_json::Value as Json;

use crate::common;

/// The largest difference of a gradient, of its norm; and of a loss, of the loss.
const GRADIENT: f64 = 1e-5;
const LOSS: f64 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures").join(name)
}

fn rows(json: &Json) -> Vec<Vec<u32>> {
    serde_json::from_value(json.clone()).unwrap()
}

fn refs(rows: &[Vec<u32>]) -> Vec<&[u32]> {
    rows.iter().map(Vec::as_slice).collect()
}

type Record = Box<dyn Fn(&mut Recording) -> Result<Value>>;

/// A model's parameters, and its loss on the pairs of the fixture.
fn model(device: &Device, name: &str, about: &Json) -> (Vec<Parameter>, Record) {
    let folder = fixture("models").join(name);
    let config = folder.join("config.json");
    if name == "tiny-bert" {
        let embedder = Embedder::from_dir(device, &folder).unwrap();
        let pairs: Vec<[String; 2]> = serde_json::from_value(about["pairs"].clone()).unwrap();
        let [first, second] =
            [0, 1].map(|side| pairs.iter().map(|pair| pair[side].clone()).collect::<Vec<_>>());
        let scale = about["scale"].as_f64().unwrap() as f32;
        let parameters = embedder.parameters();
        return (
            parameters,
            Box::new(move |recording| embedder.record_ranking_loss(recording, [&first, &second], scale)),
        );
    }
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let (sources, targets) = (rows(&about["sources"]), rows(&about["targets"]));
    if name == "tiny-marian" {
        let model =
            TransformerSeq2Seq::load(device, &MarianConfig::open(config).unwrap(), &checkpoint, DType::F32)
                .unwrap();
        let parameters = model.parameters();
        (
            parameters,
            Box::new(move |recording| model.record_loss(recording, &refs(&sources), &refs(&targets))),
        )
    } else {
        let model =
            BahdanauSeq2Seq::load(device, &BahdanauConfig::open(config).unwrap(), &checkpoint, DType::F32)
                .unwrap();
        let parameters = model.parameters();
        (
            parameters,
            Box::new(move |recording| model.record_loss(recording, &refs(&sources), &refs(&targets))),
        )
    }
}

/// The gradient of each of the checkpoint's tensors, put together from its parts.
fn gradients(
    device: &Device,
    parameters: &[Parameter],
    record: &Record,
) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let tensors = parameters.iter().map(|parameter| &parameter.tensor);
    let mut recording = Recording::training(device, tensors).unwrap();
    let loss = record(&mut recording).unwrap();
    let gradients = recording.backward(&loss).unwrap();
    let of = |parameter: &Parameter| gradients.of_parameter(&recording, &parameter.tensor).unwrap();
    let found: Vec<Value> = parameters.iter().map(of).collect();
    found.iter().for_each(|gradient| recording.output(gradient).unwrap());
    let outputs = recording.run().unwrap();
    let mut all: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (parameter, gradient) in parameters.iter().zip(&found) {
        let gradient = outputs.tensor(gradient).unwrap().to_f32().unwrap();
        let columns: usize = parameter.tensor.shape().dims()[1..].iter().product();
        for slice in &parameter.slices {
            let place = all.iter().position(|(name, ..)| *name == slice.name).unwrap_or_else(|| {
                let elements = slice.shape.iter().product();
                // What no part covers would be NaN, and disagree.
                all.push((slice.name.clone(), slice.shape.clone(), vec![f32::NAN; elements]));
                all.len() - 1
            });
            let whole: usize = slice.shape[1..].iter().product();
            for (row, own) in slice.rows.clone().enumerate() {
                let to = (slice.at[0] + row) * whole + slice.at[1];
                all[place].2[to..to + columns].copy_from_slice(&gradient[own * columns..(own + 1) * columns]);
            }
        }
    }
    all
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn gradients_and_ten_steps_agree_with_pytorch() {
    for device in common::devices() {
        for name in ["tiny-bert", "tiny-marian", "tiny-bahdanau"] {
            let expected = Checkpoint::open(fixture("training").join(format!("{name}.safetensors"))).unwrap();
            let about: Json = serde_json::from_str(expected.metadata("training").unwrap()).unwrap();
            let what = format!("{name} on {}", device.name());
            let (parameters, record) = model(&device, name, &about);
            let found = gradients(&device, &parameters, &record);
            let mut names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, expected.names().collect::<Vec<_>>(), "{what}");
            let all = found.iter().flat_map(|(.., values)| values).map(|&value| f64::from(value));
            let (all, mut largest) = (norm(all), (0.0, ""));
            for (name, shape, values) in &found {
                let expected = expected.tensor_f32(name, shape).unwrap();
                let pairs = values.iter().zip(&expected);
                let error = norm(pairs.map(|(&got, &expected)| f64::from(got) - f64::from(expected)));
                let size = norm(expected.iter().map(|&value| value.into()));
                // The bias of keys moves all scores of a query alike: its gradient is 0, and rounding is all that there is of it.
                if name.ends_with("self.key.bias") || name.ends_with("k_proj.bias") {
                    assert!(
                        size <= 1e-12 * all && error <= 1e-6 * all,
                        "{what}: {name}: {error:e} of {all:e}"
                    );
                    continue;
                }
                let share = error / size;
                assert!(share <= GRADIENT, "{what}: {name} is off by {share:e} of its norm");
                largest = if share > largest.0 { (share, name) } else { largest };
            }
            let losses: Vec<f64> = serde_json::from_value(about["losses"].clone()).unwrap();
            let algorithm = AdamW {
                learning_rate: about["learning_rate"].as_f64().unwrap() as f32,
                weight_decay: about["weight_decay"].as_f64().unwrap(),
                ..AdamW::default()
            };
            let mut trainer = Trainer::new(&device, algorithm, parameters).unwrap();
            let mut furthest = 0.0_f64;
            for (step, &expected) in losses.iter().enumerate() {
                let loss = f64::from(trainer.step(&record).unwrap().loss);
                let share = (loss - expected).abs() / expected;
                assert!(share <= LOSS, "{what}: the loss of step {} is {loss}, not {expected}", step + 1);
                furthest = furthest.max(share);
            }
            println!(
                "{what}: gradients within {:.1e} ({}), losses within {furthest:.1e}",
                largest.0, largest.1
            );
        }
    }
}
