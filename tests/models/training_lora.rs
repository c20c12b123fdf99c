//! Low-rank adaptation: gradients of A and B, what is trained and what stays, runs that go on, and adapters as PEFT has them.

use std::path::PathBuf;

use attentive::kernel::Inputs;
use attentive::layers::{Parameter, Parameters};
use attentive::models::HeadKind;
use attentive::ops::{self, Linear, LinearWeights};
use attentive::recording::{Recording, Value};
use attentive::train::{AdamW, Lora, LoraOptions, Sgd, Trainer, TrainingState, save_folder};
use attentive::weights::Checkpoint;
use attentive::{BertModel, DType, Device, Embedder, EmbedderOptions, Error, Result, Tensor};

use crate::common;

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures").join(name)
}

fn embedder(device: &Device) -> Embedder {
    Embedder::from_dir(device, fixture("models/tiny-bert")).unwrap()
}

const FIRST: [&str; 4] = ["the cat sat on the mat", "hello", "this is it", "we"];
const SECOND: [&str; 4] = ["a cat", "hello world of ours", "it", "we two"];

fn record(embedder: &Embedder, recording: &mut Recording) -> Result<Value> {
    embedder.record_ranking_loss(recording, [&FIRST, &SECOND], 20.0)
}

/// Queries and values, which lie in one tensor with the keys, and a layer that has its own.
fn options() -> LoraOptions {
    let mut options = LoraOptions::new(3);
    options.alpha = 5.0;
    options.targets = ["query", "value", "intermediate.dense"].map(str::to_owned).to_vec();
    options.seed = 7;
    options
}

/// With a B that is not 0 any more.
fn adapted(device: &Device, embedder: &Embedder) -> Lora {
    let lora = Lora::new(device, embedder.parameters(), &options()).unwrap();
    let mut inputs = Inputs::new(3);
    for parameter in lora.parameters().iter().filter(|parameter| parameter.name().contains("lora_B")) {
        let count = parameter.tensor.shape().elements() as usize;
        parameter.tensor.write_f32(&inputs.values(count, 0.1)).unwrap();
    }
    lora.merge().unwrap();
    lora
}

fn bits(parameters: &[Parameter]) -> Vec<Vec<u32>> {
    let bits = |tensor: &Tensor| tensor.to_f32().unwrap().iter().map(|value| value.to_bits()).collect();
    parameters.iter().map(|parameter| bits(&parameter.tensor)).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

fn gradients(device: &Device, embedder: &Embedder, lora: &Lora) -> Vec<Vec<f32>> {
    let mut recording = Recording::training(device, lora.tensors()).unwrap();
    let loss = record(embedder, &mut recording).unwrap();
    let mut gradients = recording.backward(&loss).unwrap();
    lora.record_gradients(&mut recording, &mut gradients).unwrap();
    let found = lora.parameters().iter().map(|parameter| {
        let found = gradients.of_parameter(&recording, &parameter.tensor).unwrap();
        assert_eq!(found.shape(), parameter.tensor.shape());
        found
    });
    let found: Vec<Value> = found.collect();
    found.iter().for_each(|gradient| recording.output(gradient).unwrap());
    let outputs = recording.run().unwrap();
    found.iter().map(|gradient| outputs.tensor(gradient).unwrap().to_f32().unwrap()).collect()
}

/// Along the gradient of each A and B the loss rises by its norm; every adapter has the CPU device's gradients.
#[test]
fn gradients_are_the_slope_of_the_loss() {
    let device = Device::cpu();
    let model = embedder(&device);
    let lora = adapted(&device, &model);
    let all = gradients(&device, &model, &lora);
    let loss = || -> f64 {
        let mut recording = Recording::new(&device);
        let loss = record(&model, &mut recording).unwrap();
        recording.output(&loss).unwrap();
        recording.run().unwrap().tensor(&loss).unwrap().to_f32().unwrap()[0].into()
    };
    for (parameter, gradient) in lora.parameters().iter().zip(&all) {
        let (name, norm) = (parameter.name(), norm(gradient));
        assert!(norm > 1e-3, "{name}: {norm:e}");
        let before = parameter.tensor.to_f32().unwrap();
        let step = 0.01;
        let at = |steps: f64| {
            let moved = |(&value, &slope): (&f32, &f32)| {
                (f64::from(value) + steps * step * f64::from(slope) / norm) as f32
            };
            let moved: Vec<f32> = before.iter().zip(gradient).map(moved).collect();
            parameter.tensor.write_f32(&moved).unwrap();
            lora.merge().unwrap();
            loss()
        };
        let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
        parameter.tensor.write_f32(&before).unwrap();
        lora.merge().unwrap();
        let error = (slope - norm).abs() / norm;
        assert!(error <= 5e-3 + 2e-4 / norm, "{name}: the slope is {slope:e}, the gradient's norm {norm:e}");
    }
    for device in common::adapters() {
        let model = embedder(&device);
        let lora = adapted(&device, &model);
        for ((parameter, own), of_cpu) in
            lora.parameters().iter().zip(gradients(&device, &model, &lora)).zip(&all)
        {
            let difference: Vec<f32> = own.iter().zip(of_cpu).map(|(a, b)| a - b).collect();
            let bound = 2e-5 * norm(of_cpu) + 1e-6;
            let (what, found) = (parameter.name(), norm(&difference));
            assert!(found <= bound, "{}: {what}: {found:e} > {bound:e}", device.name());
        }
    }
}

/// What is merged is W₀ + s·B·A; everything else keeps its bits, and the folder that is written is the merged model.
#[test]
fn only_the_products_change_and_the_model_is_merged() {
    let pairs: [&[&str]; 2] = [&FIRST, &SECOND];
    for device in common::devices() {
        let model = embedder(&device);
        let parameters = model.parameters();
        let before: Vec<Vec<f32>> =
            parameters.iter().map(|parameter| parameter.tensor.to_f32().unwrap()).collect();
        let lora = Lora::new(&device, model.parameters(), &options()).unwrap();
        // B is 0, and the model as it was.
        assert_eq!(bits(&model.parameters()), bits(&parameters));
        let algorithm = AdamW { learning_rate: 0.01, ..AdamW::default() };
        let mut trainer = Trainer::with_lora(&device, algorithm, lora).unwrap().clip(1.0).unwrap();
        let elements: u64 =
            trainer.parameters().iter().map(|parameter| parameter.tensor.shape().elements()).sum();
        let all: u64 = parameters.iter().map(|parameter| parameter.tensor.shape().elements()).sum();
        assert!(elements * 2 < all, "{elements} of {all}");
        let losses: Vec<f32> = (0..20)
            .map(|step| match step % 2 {
                0 => trainer.step(|recording| record(&model, recording)).unwrap().loss,
                // In parts, whose gradients of A and B are summed.
                _ => model.ranking_step(&mut trainer, pairs, 20.0, 2).unwrap().loss,
            })
            .collect();
        assert!(losses[19] < 0.5 * losses[0], "{}: {losses:?}", device.name());
        let tensor = |name: &str| {
            let found = trainer.parameters().iter().find(|parameter| parameter.name() == name).unwrap();
            found.tensor.to_f32().unwrap()
        };
        let mut adapted = 0;
        for (parameter, before) in parameters.iter().zip(&before) {
            let after = parameter.tensor.to_f32().unwrap();
            let columns = parameter.tensor.shape().last();
            for slice in &parameter.slices {
                let rows = slice.rows.start * columns..slice.rows.end * columns;
                let (before, after) = match slice.shape.len() {
                    2 => (&before[rows.clone()], &after[rows]),
                    _ => (&before[slice.rows.clone()], &after[slice.rows.clone()]),
                };
                let module = slice.name.trim_end_matches(".weight");
                let is_adapted = options().targets.iter().any(|target| module.ends_with(target));
                if !is_adapted {
                    let bits =
                        |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(after), bits(before), "{}: {}", device.name(), slice.name);
                    continue;
                }
                adapted += 1;
                let (a, b) =
                    (tensor(&format!("{module}.lora_A.weight")), tensor(&format!("{module}.lora_B.weight")));
                assert!(norm(&b) > 1e-3, "{module}");
                for (place, (before, after)) in before.iter().zip(after).enumerate() {
                    let (row, column) = (place / columns, place % columns);
                    let product = |k: usize| f64::from(b[3 * row + k]) * f64::from(a[columns * k + column]);
                    let products: f64 = (0..3).map(product).sum();
                    let expected = f64::from(*before) + 5.0 / 3.0 * products;
                    let bound = 3e-7 * (1.0 + expected.abs());
                    assert!(
                        (f64::from(*after) - expected).abs() <= bound,
                        "{module}[{place}]: {after}, {expected}"
                    );
                }
            }
        }
        // Of each of the two layers.
        assert_eq!(adapted, 6);
        let folder = tempfile::tempdir().unwrap();
        save_folder(&parameters, fixture("models/tiny-bert"), folder.path(), DType::F32).unwrap();
        let read = Embedder::from_dir(&device, folder.path()).unwrap();
        assert_eq!(bits(&read.parameters()), bits(&parameters));
    }
}

/// A new head is trained whole, and the encoder by its products.
#[test]
fn a_new_head_is_trained_whole() {
    let device = Device::cpu();
    let labels = ["no", "perhaps", "yes"].map(str::to_owned);
    for name in ["bert-pretraining", "roberta-mlm", "distilbert-mlm", "electra-mlm"] {
        let folder = fixture("heads").join(name);
        let model = BertModel::with_new_head(&device, folder, HeadKind::Sequence, &labels, 4).unwrap();
        let before = bits(&model.parameters());
        let texts = ["the cat sat", "hello world", "this is it"];
        let encoded = model.tokenizer().encode_batch(&texts, 16).unwrap();
        let encoded: Vec<_> = encoded.iter().collect();
        let lora = Lora::new(&device, model.parameters(), &model.lora(2)).unwrap();
        let is_head = |parameter: &Parameter| {
            let heads = ["classifier", "pooler"];
            parameter.slices.iter().any(|slice| heads.iter().any(|head| slice.name.contains(head)))
        };
        let (low, whole) =
            lora.parameters().iter().partition::<Vec<_>, _>(|own| own.name().contains(".lora_"));
        assert!(low.len() >= 4 && whole.len() >= 2 && whole.iter().all(|own| is_head(own)), "{name}");
        let algorithm = AdamW { learning_rate: 0.02, ..AdamW::default() };
        let mut trainer = Trainer::with_lora(&device, algorithm, lora).unwrap().clip(1.0).unwrap();
        let mut losses = Vec::new();
        for _ in 0..40 {
            let record =
                |recording: &mut Recording| model.record_classification_loss(recording, &encoded, &[2, 0, 1]);
            losses.push(trainer.step(record).unwrap().loss);
        }
        assert!(losses[39] < 0.3 * losses[0], "{name}: {losses:?}");
        for ((parameter, before), after) in
            model.parameters().iter().zip(before).zip(bits(&model.parameters()))
        {
            let names = model.lora(2).targets;
            let is_adapted = parameter.slices.iter().any(|slice| {
                let module = slice.name.strip_suffix(".weight").unwrap_or_default();
                names.iter().any(|name| module.ends_with(name.as_str()))
            });
            assert_eq!(before != after, is_adapted || is_head(parameter), "{name}: {}", parameter.name());
        }
    }
}

/// Products of full rank come to whatever a layer should be.
#[test]
fn products_of_full_rank_reach_any_matrix() {
    let device = Device::cpu();
    let mut inputs = Inputs::new(11);
    let (own, wanted, x) = (inputs.values(20, 0.5), inputs.values(20, 0.5), inputs.values(24, 1.0));
    let layer = LinearWeights::new(&device, [5, 4], &own, None, DType::F32).unwrap();
    let x = Tensor::from_f32(&device, [6, 4], &x).unwrap();
    let wanted = LinearWeights::new(&device, [5, 4], &wanted, None, DType::F32).unwrap();
    let mut parameters = Parameters::new();
    parameters.linear("layer", &layer);
    let mut options = LoraOptions::new(4);
    options.targets = vec!["layer".to_owned()];
    let lora = Lora::new(&device, parameters.into_vec(), &options).unwrap();
    let algorithm = AdamW { learning_rate: 0.03, weight_decay: 0.0, ..AdamW::default() };
    let mut trainer = Trainer::with_lora(&device, algorithm, lora).unwrap();
    let mut step = || {
        let record = |recording: &mut Recording| {
            let x = recording.tensor(&x)?;
            let (found, wanted) =
                (Linear::new(&layer).record(recording, &x)?, Linear::new(&wanted).record(recording, &x)?);
            let difference = ops::subtract(recording, &found, &wanted)?;
            let squares = ops::multiply(recording, &difference, &difference)?;
            ops::sum(recording, &squares, 0..2)
        };
        trainer.step(record).unwrap().loss
    };
    let losses: Vec<f32> = (0..400).map(|_| step()).collect();
    assert!(losses[0] > 1.0 && losses[399] < 1e-3 * losses[0], "{} to {}", losses[0], losses[399]);
}

/// A run that goes on over the model as it was loaded gives the bits that it would have given.
#[test]
fn a_run_goes_on_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (path, best) = (folder.path().join("run.safetensors"), folder.path().join("best.safetensors"));
    for device in common::devices() {
        let run = |until: u64, go_on: bool| {
            let model = embedder(&device);
            let lora = Lora::new(&device, model.parameters(), &options()).unwrap();
            let algorithm = AdamW { learning_rate: 0.01, ..AdamW::default() };
            let mut trainer = Trainer::with_lora(&device, algorithm, lora).unwrap().clip(1.0).unwrap();
            if go_on {
                trainer.resume(&path).unwrap();
            }
            while trainer.steps() < until {
                trainer.step(|recording| record(&model, recording)).unwrap();
            }
            (trainer, bits(&model.parameters()), model)
        };
        let (_, whole, _) = run(8, false);
        let (mut trainer, half, model) = run(4, false);
        trainer.save(&path, &TrainingState::new()).unwrap();
        trainer.save_parameters(&best, &TrainingState::new()).unwrap();
        assert_eq!(run(8, true).1, whole, "{}", device.name());
        // The best products bring the best weights.
        trainer.step(|recording| record(&model, recording)).unwrap();
        assert_ne!(bits(&model.parameters()), half);
        trainer.load_parameters(&best).unwrap();
        assert_eq!(bits(&model.parameters()), half, "{}", device.name());
    }
    // Of another scale, or another rank, it is another run.
    let device = Device::cpu();
    let other = |change: &dyn Fn(&mut LoraOptions)| {
        let mut options = options();
        change(&mut options);
        let model = embedder(&device);
        let lora = Lora::new(&device, model.parameters(), &options).unwrap();
        let before = bits(&model.parameters());
        let error = Trainer::with_lora(&device, AdamW::default(), lora).unwrap().resume(&path).unwrap_err();
        assert_eq!(bits(&model.parameters()), before);
        error
    };
    let error = other(&|options| options.alpha = 6.0).to_string();
    assert!(error.contains("1.6666666 times") && error.contains("2 times"), "{error}");
    assert!(matches!(other(&|options| options.rank = 4), Error::TensorShape { .. }));
    assert!(matches!(other(&|options| options.targets[2] = "key".to_owned()), Error::MissingTensor { .. }));
}

#[test]
fn what_cannot_be_adapted_is_refused() {
    let device = Device::cpu();
    let model = embedder(&device);
    let refused = |change: &dyn Fn(&mut LoraOptions), words: &[&str]| {
        let mut options = LoraOptions::new(2);
        change(&mut options);
        let error = Lora::new(&device, model.parameters(), &options).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&|options| options.rank = 0, &["rank", "at least 1"]);
    refused(&|options| options.alpha = f32::NAN, &["alpha", "above 0", "NaN"]);
    refused(&|options| options.alpha = 0.0, &["alpha", "above 0"]);
    refused(&|options| options.targets.clear(), &["the targets", "none"]);
    refused(&|options| options.targets.push("uery".to_owned()), &["`uery`", "query", "value"]);
    refused(&|options| options.targets.push("LayerNorm".to_owned()), &["LayerNorm.weight", "a matrix"]);
    refused(&|options| options.whole.push("head".to_owned()), &["trained whole", "`head`"]);
    // Queries lie in one tensor with keys and values.
    refused(&|options| options.whole.push("query".to_owned()), &["attention.self.query", "others are not"]);
    let mut in_f16 = EmbedderOptions::default();
    in_f16.dtype = DType::F16;
    let half = Embedder::from_dir_with(&device, fixture("models/tiny-bert"), &in_f16).unwrap();
    let error = Lora::new(&device, half.parameters(), &LoraOptions::new(2)).unwrap_err().to_string();
    assert!(error.contains("f32") && error.contains("f16"), "{error}");
    // What is not trained has no state: the optimizer knows of the products alone.
    let lora = Lora::new(&device, model.parameters(), &LoraOptions::new(2)).unwrap();
    let trainer = Trainer::with_lora(&device, Sgd::default(), lora).unwrap();
    assert!(trainer.parameters().iter().all(|parameter| parameter.name().contains(".lora_")));
}

/// Names, sizes and settings as PEFT writes them.
#[test]
fn adapters_are_written_as_peft_has_them() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let labels = ["no", "yes"].map(str::to_owned);
    let from = fixture("heads/bert-pretraining");
    let model = BertModel::with_new_head(&device, &from, HeadKind::Sequence, &labels, 4).unwrap();
    let lora = Lora::new(&device, model.parameters(), &model.lora(2)).unwrap();
    lora.save_adapter(folder.path(), "my-bert", "SEQ_CLS").unwrap();
    let checkpoint = Checkpoint::open(folder.path().join("adapter_model.safetensors")).unwrap();
    let width = model.config().hidden_size;
    for layer in 0..model.config().layers {
        for module in ["query", "value"] {
            let name = format!("base_model.model.bert.encoder.layer.{layer}.attention.self.{module}");
            assert_eq!(checkpoint.shape(&format!("{name}.lora_A.weight")), Some(&[2, width][..]));
            assert_eq!(checkpoint.shape(&format!("{name}.lora_B.weight")), Some(&[width, 2][..]));
        }
    }
    assert_eq!(checkpoint.shape("base_model.model.classifier.weight"), Some(&[2, width][..]));
    assert_eq!(checkpoint.shape("base_model.model.bert.pooler.dense.bias"), Some(&[width][..]));
    assert_eq!(checkpoint.names().len(), 4 * model.config().layers + 4);
    let config = std::fs::read_to_string(folder.path().join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        (&config["peft_type"], &config["r"], &config["lora_alpha"]),
        (&"LORA".into(), &2.into(), &2.0.into())
    );
    assert_eq!(config["target_modules"], serde_json::json!(["query", "value"]));
    assert_eq!(config["modules_to_save"], serde_json::json!(["bert.pooler", "classifier"]));
    assert_eq!(
        (&config["base_model_name_or_path"], &config["task_type"]),
        (&"my-bert".into(), &"SEQ_CLS".into())
    );
}
