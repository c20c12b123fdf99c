//! GRUs and Bahdanau's model: PyTorch's logits and weights (tests/fixtures/bahdanau.py), sizes of 0, damaged folders, and
//! what is refused. PyTorch's answers to `nn.GRU` are case files (tests/cases).

use std::path::PathBuf;

use crate::common::{self, assert_fails, assert_refused};
use attentive::kernel::Inputs;
use attentive::models::BahdanauSeq2Seq;
use attentive::ops::{CrossEntropy, concat};
use attentive::recording::Value;
use attentive::weights::{BahdanauConfig, Checkpoint};
use attentive::{DType, Device, Error, Recording};
use serde_json::{Value as Json, json};

fn folder() -> PathBuf {
    crate::common::repository().join("tests/fixtures/models/tiny-bahdanau")
}

fn read_json(name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn lists(json: &Json) -> Vec<Vec<u32>> {
    let ids = |list: &Json| list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    json.as_array().unwrap().iter().map(ids).collect()
}

fn load(device: &Device, dtype: DType) -> BahdanauSeq2Seq {
    let config = BahdanauConfig::open(folder().join("config.json")).unwrap();
    BahdanauSeq2Seq::load(device, &config, &Checkpoint::open(folder()).unwrap(), dtype).unwrap()
}

/// Logits and weights of each step, `[pairs, …]`.
fn teacher(device: &Device, dtype: DType, sources: &[&[u32]], targets: &[&[u32]]) -> Vec<[Vec<f32>; 2]> {
    let model = load(device, dtype);
    let mut recording = Recording::new(device);
    let steps = model.record_logits(&mut recording, sources, targets, true).unwrap();
    for step in &steps {
        recording.output(&step.logits).unwrap();
        recording.output(step.weights.as_ref().unwrap()).unwrap();
    }
    let outputs = recording.run().unwrap();
    let read = |value: &Value| outputs.tensor(value).unwrap().to_f32().unwrap();
    steps.iter().map(|step| [read(&step.logits), read(step.weights.as_ref().unwrap())]).collect()
}

#[track_caller]
pub(super) fn assert_near(device: &Device, what: &str, got: &[f32], expected: &[f32], rtol: f32, atol: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let bound = atol + rtol * expected.abs();
        assert!(
            (got - expected).abs() <= bound,
            "{}: {what}[{place}] is {got}, not {expected}",
            device.name()
        );
    }
}

#[test]
fn logits_and_weights_are_pytorchs() {
    let texts = read_json("texts.json");
    let (sources, targets) = (lists(&texts["sources"]), lists(&texts["targets"]));
    let tolerance = |name: &str| texts["tolerance"][name].as_f64().unwrap() as f32;
    let (rtol, atol) = (tolerance("rtol"), tolerance("atol"));
    let expected = Checkpoint::open(folder().join("expected.safetensors")).unwrap();
    for device in common::devices() {
        // All at once, and each pair by itself.
        for chunk in [sources.len(), 1] {
            for (batch, (sources, targets)) in sources.chunks(chunk).zip(targets.chunks(chunk)).enumerate() {
                let [sources, targets] =
                    [sources, targets].map(|ids| ids.iter().map(Vec::as_slice).collect::<Vec<_>>());
                let steps = teacher(&device, DType::F32, &sources, &targets);
                let longest = sources.iter().map(|source| source.len()).max().unwrap();
                for (row, (source, target)) in sources.iter().zip(&targets).enumerate() {
                    let pair = batch * chunk + row;
                    let [logits, weights] =
                        [("logits", 23), ("weights", source.len())].map(|(name, columns)| {
                            expected.tensor_f32(&format!("{name}.{pair}"), &[target.len(), columns]).unwrap()
                        });
                    for place in 0..target.len() {
                        let [all_logits, all_weights] = &steps[place];
                        let what = format!("pair {pair}, token {place}: ");
                        let row_logits = &all_logits[row * 23..][..23];
                        let logits = &logits[place * 23..][..23];
                        assert_near(&device, &format!("{what}logits"), row_logits, logits, rtol, atol);
                        let row_weights = &all_weights[row * longest..][..longest];
                        let (row_weights, padding) = row_weights.split_at(source.len());
                        let weights = &weights[place * source.len()..][..source.len()];
                        assert_near(&device, &format!("{what}weights"), row_weights, weights, rtol, atol);
                        assert!(padding.iter().all(|&weight| weight == 0.0), "{padding:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn weights_may_be_stored_as_f16() {
    let (source, target): (&[u32], &[u32]) = (&[5, 9, 4, 22, 11, 2], &[1, 12, 5]);
    for device in common::devices() {
        let [half, single] =
            [DType::F16, DType::F32].map(|dtype| teacher(&device, dtype, &[source], &[target]));
        let largest = half.iter().zip(&single).flat_map(|(half, single)| {
            half[0].iter().zip(&single[0]).map(|(half, single)| (half - single).abs())
        });
        let largest = largest.fold(0.0, f32::max);
        // Weights are off by 2⁻¹¹ of their size; logits have a few dozen terms of about 1.
        assert!(largest > 0.0 && largest < 0.05, "{}: {largest}", device.name());
    }
    assert!(load(&Device::cpu(), DType::F16).bytes() < load(&Device::cpu(), DType::F32).bytes() * 7 / 10);
}

#[test]
fn configs_that_make_no_sense_are_refused_by_key() {
    let good = read_json("config.json");
    let config = |value: &Json| BahdanauConfig::from_json(value.to_string().as_bytes(), "config.json");
    assert_eq!(config(&good).unwrap().vocabulary_size, 23);
    for (key, value) in [
        ("vocab_size", json!(0)),
        ("vocab_size", json!(1_u64 << 40)),
        ("embedding_size", json!(-1)),
        ("hidden_size", json!(0)),
        ("hidden_size", json!(u64::MAX)),
        ("attention_size", Json::Null),
        ("readout_size", json!("6")),
        ("pad_token_id", json!(23)),
        ("eos_token_id", json!([2])),
        ("unk_token_id", json!(99)),
        ("decoder_start_token_id", json!(1.5)),
        ("max_source_length", json!(0)),
        ("max_length", Json::Null),
        ("model_type", json!("marian")),
        ("model_type", Json::Null),
    ] {
        let mut wrong = good.clone();
        wrong[key] = value;
        let word = if key == "model_type" { "attentive-bahdanau" } else { key };
        assert_fails(config(&wrong), &["config.json", word]);
    }
    assert!(BahdanauConfig::from_json(b"[]", "config.json").is_err());
    assert!(matches!(BahdanauConfig::open("no/such/config.json"), Err(Error::Io { .. })));
}

/// The config of the fixture, but for the attention that it has.
fn without_attention() -> BahdanauConfig {
    let mut config = read_json("config.json");
    config["attention_size"] = json!(0);
    BahdanauConfig::from_json(config.to_string().as_bytes(), "config.json").unwrap()
}

/// A model without attention has one vector of a text, the same in every step, and no weights.
#[test]
fn a_model_may_have_no_attention() {
    for device in common::devices() {
        let model = BahdanauSeq2Seq::random(&device, &without_attention(), 4).unwrap();
        let parameters = model.parameters();
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name()).collect();
        assert!(names.contains(&"readout.weight") && !names.iter().any(|name| name.starts_with("attention")));
        assert!(parameters.iter().all(|parameter| !parameter.slices.is_empty()));
        let mut recording = Recording::new(&device);
        let sources: [&[u32]; 2] = [&[5, 9, 4, 2], &[7, 2]];
        let targets: [&[u32]; 2] = [&[1, 12, 5], &[1, 3, 8]];
        assert_refused(
            model.record_logits(&mut recording, &sources, &targets, true).map(|_| ()),
            &["weights", "a model with attention", "one without"],
        );
        let memory = model.record_encoder(&mut recording, &sources).unwrap();
        assert!(memory.keys.is_none());
        assert_eq!(memory.annotations.shape().dims(), [2, 1, 2 * model.config().hidden_dim]);
        let all = model.record_logits(&mut recording, &sources, &targets, false).unwrap();
        // Two rows for each text, as beams are.
        let (rows, state) =
            ([1, 1, 1, 1], concat(&mut recording, &[&memory.state, &memory.state], 1).unwrap());
        let state = state.reshape([4, model.config().hidden_dim]).unwrap();
        let beams = model.record_step(&mut recording, &memory, &rows, &state, false).unwrap();
        let odd = concat(&mut recording, &[&state, &memory.state], 0).unwrap();
        let odd = attentive::ops::slice(&mut recording, &odd, 0, 0..5).unwrap();
        assert_refused(
            model.record_step(&mut recording, &memory, &[1; 5], &odd, false).map(|_| ()),
            &["a multiple of 2 rows", "5"],
        );
        recording.output(&all[0].logits).unwrap();
        recording.output(&beams.logits).unwrap();
        let outputs = recording.run().unwrap();
        let [one, beams] =
            [&all[0].logits, &beams.logits].map(|value| outputs.tensor(value).unwrap().to_f32().unwrap());
        for (row, beam) in beams.chunks_exact(23).enumerate() {
            assert_near(&device, "a beam's logits", beam, &one[row / 2 * 23..][..23], 0.0, 1e-6);
        }
        assert_ne!(one[..23], one[23..]);
    }
}

#[test]
fn a_config_that_does_not_fit_the_weights_is_refused() {
    let device = Device::cpu();
    let checkpoint = Checkpoint::open(folder()).unwrap();
    for (key, tensor) in [
        ("vocab_size", "source_embedding.weight"),
        ("hidden_size", "encoder.weight_ih_l0"),
        ("attention_size", "attention.key.weight"),
        ("readout_size", "readout.weight"),
    ] {
        let mut config = read_json("config.json");
        config[key] = json!(config[key].as_u64().unwrap() + 1);
        let config = BahdanauConfig::from_json(config.to_string().as_bytes(), "config.json").unwrap();
        let error = BahdanauSeq2Seq::load(&device, &config, &checkpoint, DType::F32).unwrap_err();
        assert!(matches!(error, Error::TensorShape { .. }), "{error:?}");
        assert!(error.to_string().contains(tensor), "{key}: {error}");
    }
    // Weights of an attention that the config does not have.
    let error = BahdanauSeq2Seq::load(&device, &without_attention(), &checkpoint, DType::F32).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("attention."), "{error}");
    let config = BahdanauConfig::open(folder().join("config.json")).unwrap();
    let other = Checkpoint::open(folder().join("expected.safetensors")).unwrap();
    let error = BahdanauSeq2Seq::load(&device, &config, &other, DType::F32).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { .. }), "{error:?}");
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let device = Device::cpu();
    let model = load(&device, DType::F32);
    let mut recording = Recording::new(&device);
    let mut record = |sources: &[&[u32]], targets: &[&[u32]]| {
        model.record_logits(&mut recording, sources, targets, false).map(|_| ())
    };
    assert_refused(record(&[&[5]], &[]), &["targets", "as many as the 1 sources", "0"]);
    assert_refused(record(&[], &[]), &["a source", "no texts"]);
    assert_refused(record(&[&[]], &[&[1]]), &["a source", "at least 1 token"]);
    assert_refused(record(&[&[4; 41]], &[&[1]]), &["a source", "at most 40 tokens", "41 tokens"]);
    assert_refused(record(&[&[23]], &[&[1]]), &["ids[0]", "below 23"]);
    assert_refused(record(&[&[5]], &[&[1, 23]]), &["ids[0]", "below 23"]);
    // Nothing to write is no error.
    record(&[&[5]], &[&[]]).unwrap();
}

/// Σ upstream · logits of all steps, with texts of several lengths.
struct Training {
    sources: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    upstream: Vec<f32>,
}

impl Training {
    fn new() -> Self {
        let texts = read_json("texts.json");
        let [mut sources, mut targets] = ["sources", "targets"].map(|name| lists(&texts[name]));
        sources.truncate(3);
        targets.truncate(3);
        let longest = targets.iter().map(Vec::len).max().unwrap();
        let upstream = Inputs::new(77).values(sources.len() * longest * 23, 1.0);
        Self { sources, targets, upstream }
    }

    /// Logits of all steps side by side.
    fn record(&self, recording: &mut Recording, model: &BahdanauSeq2Seq) -> Value {
        let [sources, targets] =
            [&self.sources, &self.targets].map(|all| all.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let steps = model.record_logits(recording, &sources, &targets, false).unwrap();
        let logits: Vec<&Value> = steps.iter().map(|step| &step.logits).collect();
        concat(recording, &logits, 1).unwrap()
    }

    fn loss(&self, device: &Device, model: &BahdanauSeq2Seq) -> f64 {
        let mut recording = Recording::new(device);
        let logits = self.record(&mut recording, model);
        recording.output(&logits).unwrap();
        let logits = recording.run().unwrap().tensor(&logits).unwrap().to_f32().unwrap();
        logits.iter().zip(&self.upstream).map(|(&y, &u)| f64::from(y) * f64::from(u)).sum()
    }

    /// Of each parameter.
    fn gradients(&self, device: &Device, model: &BahdanauSeq2Seq) -> Vec<Vec<f32>> {
        let parameters = model.parameters();
        let tensors = parameters.iter().map(|parameter| &parameter.tensor);
        let mut recording = Recording::training(device, tensors).unwrap();
        let logits = self.record(&mut recording, model);
        let seed = common::value(&mut recording, logits.shape().dims(), &self.upstream);
        let gradients = recording.backward_from(&logits, &seed).unwrap();
        let found = parameters.iter().map(|parameter| {
            let gradient = gradients.of_parameter(&recording, &parameter.tensor);
            gradient.unwrap_or_else(|| panic!("{} has no gradient", parameter.name()))
        });
        let found: Vec<Value> = found.collect();
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let outputs = recording.run().unwrap();
        found.iter().map(|gradient| outputs.tensor(gradient).unwrap().to_f32().unwrap()).collect()
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// In a random direction of each parameter the loss rises as its gradient says.
#[test]
fn gradients_are_slopes() {
    let device = Device::cpu();
    slopes_are_gradients(&device, &load(&device, DType::F32));
    slopes_are_gradients(&device, &BahdanauSeq2Seq::random(&device, &without_attention(), 4).unwrap());
}

fn slopes_are_gradients(device: &Device, model: &BahdanauSeq2Seq) {
    let training = Training::new();
    let gradients = training.gradients(device, model);
    for (place, (parameter, gradient)) in model.parameters().iter().zip(&gradients).enumerate() {
        let direction = Inputs::new(place as u64 + 5).values(gradient.len(), 1.0);
        let length = norm(&direction);
        let before = parameter.tensor.to_f32().unwrap();
        let loss_at = |moved: f64| {
            let moved = |(&value, &along): (&f32, &f32)| {
                (f64::from(value) + moved * f64::from(along) / length) as f32
            };
            let moved: Vec<f32> = before.iter().zip(&direction).map(moved).collect();
            parameter.tensor.write_f32(&moved).unwrap();
            training.loss(device, model)
        };
        let along = gradient.iter().zip(&direction).map(|(&of, &along)| f64::from(of) * f64::from(along));
        let expected = along.sum::<f64>() / length;
        // What a random direction has of the gradient is of this size.
        let size = expected.abs().max(norm(gradient) / (gradient.len() as f64).sqrt());
        // A long step may pass where the larger half of a maxout changes; a short one is lost in what f32 tells apart of some hundred
        // logits.
        let slopes = [0.02, 0.004].map(|step| {
            let slope = (8.0 * (loss_at(step) - loss_at(-step))
                - (loss_at(2.0 * step) - loss_at(-2.0 * step)))
                / (12.0 * step);
            ((slope - expected).abs() <= 1e-2 * size + 1e-5 / step, slope)
        });
        parameter.tensor.write_f32(&before).unwrap();
        assert!(
            slopes.iter().any(|(is_near, _)| *is_near),
            "{}: the slopes are {slopes:?}, not {expected:e}, of a gradient of {:e}",
            parameter.name(),
            norm(gradient)
        );
    }
}

/// What training records, all steps of whole targets at once, has the loss and the gradients of the steps one after the other.
#[test]
fn whole_targets_have_the_gradients_of_their_steps() {
    let device = Device::cpu();
    let random = |config| BahdanauSeq2Seq::random(&device, config, 4).unwrap();
    let with = BahdanauConfig::open(folder().join("config.json")).unwrap();
    for model in [random(&with), random(&without_attention())] {
        let (sources, targets): ([&[u32]; 2], [&[u32]; 2]) =
            ([&[5, 9, 4, 2], &[7, 2]], [&[12, 5, 2], &[3, 8, 2]]);
        let parameters = model.parameters();
        let gradients = |whole: bool| {
            let tensors = parameters.iter().map(|parameter| &parameter.tensor);
            let mut recording = Recording::training(&device, tensors).unwrap();
            let loss = if whole {
                model.record_loss(&mut recording, &sources, &targets).unwrap()
            } else {
                let start = model.config().start_id;
                let inputs = targets.map(|target| [&[start], &target[..2]].concat());
                let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
                let steps = model.record_logits(&mut recording, &sources, &inputs, false).unwrap();
                let logits: Vec<&Value> = steps.iter().map(|step| &step.logits).collect();
                let logits = concat(&mut recording, &logits, 0).unwrap();
                CrossEntropy::new(&[12, 3, 5, 8, 2, 2]).record(&mut recording, &logits).unwrap()
            };
            let gradients = recording.backward(&loss).unwrap();
            let found = parameters
                .iter()
                .map(|parameter| gradients.of_parameter(&recording, &parameter.tensor).unwrap());
            let found: Vec<Value> = found.chain([loss.clone()]).collect();
            found.iter().for_each(|value| recording.output(value).unwrap());
            let outputs = recording.run().unwrap();
            found.iter().map(|value| outputs.tensor(value).unwrap().to_f32().unwrap()).collect::<Vec<_>>()
        };
        let names = parameters.iter().map(|parameter| parameter.name()).chain(["the loss"]);
        for (name, (whole, steps)) in names.zip(gradients(true).iter().zip(&gradients(false))) {
            let difference: Vec<f32> = whole.iter().zip(steps).map(|(a, b)| a - b).collect();
            let bound = 1e-5 * norm(steps) + 1e-7;
            assert!(norm(&difference) <= bound, "{name}: {:e} > {bound:e}", norm(&difference));
        }
    }
}

#[test]
fn gradients_agree_between_devices() {
    let training = Training::new();
    let cpu = Device::cpu();
    let of_cpu = training.gradients(&cpu, &load(&cpu, DType::F32));
    for device in common::adapters() {
        let model = load(&device, DType::F32);
        let gradients = training.gradients(&device, &model);
        for ((parameter, got), expected) in model.parameters().iter().zip(&gradients).zip(&of_cpu) {
            let difference: Vec<f32> = got.iter().zip(expected).map(|(a, b)| a - b).collect();
            let error = norm(&difference) / norm(expected);
            assert!(error <= 1e-4, "{}: {}: {error:e}", device.name(), parameter.name());
        }
    }
}

/// All of the checkpoint's tensors, whole, under their names and with their sizes.
#[test]
fn parameters_are_the_checkpoints() {
    let checkpoint = Checkpoint::open(folder()).unwrap();
    let model = load(&Device::cpu(), DType::F32);
    let mut elements = std::collections::BTreeMap::new();
    for parameter in model.parameters() {
        let values = parameter.tensor.to_f32().unwrap();
        let columns = values.len() / parameter.tensor.shape()[0];
        for slice in &parameter.slices {
            let whole = checkpoint.tensor_f32(&slice.name, &slice.shape).unwrap();
            let of_row = slice.shape.get(1).copied().unwrap_or(1);
            for (place, row) in slice.rows.clone().enumerate() {
                let at = (slice.at[0] + place) * of_row + slice.at[1];
                assert_eq!(values[row * columns..][..columns], whole[at..at + columns], "{}", slice.name);
            }
            *elements.entry(slice.name.clone()).or_insert(0) += slice.rows.len() * columns;
        }
    }
    for name in checkpoint.names() {
        let count: usize = checkpoint.shape(name).unwrap().iter().product();
        assert_eq!(elements.remove(name), Some(count), "{name}");
    }
    assert!(elements.is_empty(), "{elements:?}");
}
