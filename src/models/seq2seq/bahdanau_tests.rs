//! Decoding step by step: against the fixture's greedy outputs, and against whole targets.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::*;
use crate::models::generation::{GenerationOptions, StepDecoder, Strategy, generate};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny-bahdanau")
}

fn json(name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn ids(json: &Json) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn sources() -> Vec<Vec<u32>> {
    json("texts.json")["sources"].as_array().unwrap().iter().map(ids).collect()
}

/// The CPU, and the best adapter there is.
fn devices() -> Vec<Device> {
    let mut devices = vec![Device::cpu()];
    devices.extend(Device::open("gpu"));
    devices
}

fn model(device: &Device) -> BahdanauSeq2Seq {
    let config = BahdanauConfig::open(folder().join("config.json")).unwrap();
    BahdanauSeq2Seq::load(device, &config, &Checkpoint::open(folder()).unwrap(), DType::F32).unwrap()
}

fn options(strategy: Strategy, n_best: usize) -> GenerationOptions {
    let mut options = GenerationOptions { strategy, n_best, max_tokens: 12, ..Default::default() };
    options.rules.stop = vec![2];
    options
}

fn numbers(texts: &[&[u32]]) -> Vec<usize> {
    (0..texts.len()).collect()
}

#[test]
fn greedy_outputs_are_pytorchs() {
    let sources = sources();
    let texts: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
    for device in devices() {
        let model = model(&device);
        // All at once, and each by itself.
        for batch in [&texts[..]].into_iter().chain(texts.chunks(1)) {
            let mut decoder =
                pollster::block_on(model.decoder(&device, batch, 1, Some(LayerCapture::all()))).unwrap();
            let options = options(Strategy::Greedy, 1);
            let all =
                pollster::block_on(generate(&mut decoder, &numbers(batch), 1, &options, |_| Ok(()))).unwrap();
            for (text, hypotheses) in batch.iter().zip(&all) {
                let place = texts.iter().position(|other| other == text).unwrap();
                let expected = &json("texts.json")["greedy"][place];
                assert_eq!(hypotheses[0].ids, ids(&expected["ids"]), "{}: text {place}", device.name());
                let sum = expected["log_probability"].as_f64().unwrap();
                let found = hypotheses[0].log_probability;
                assert!((found - sum).abs() <= 1e-4, "{}: {found} for {sum}", device.name());
                assert_eq!(hypotheses[0].attention.len(), hypotheses[0].ids.len());
                for weights in &hypotheses[0].attention {
                    assert_eq!(weights.len(), text.len());
                    let sum: f32 = weights.iter().sum();
                    assert!((sum - 1.0).abs() <= 1e-5, "{}: {sum}", device.name());
                }
            }
        }
    }
}

/// The log-probability that the whole model gives a target, without its start token.
fn whole(device: &Device, model: &BahdanauSeq2Seq, source: &[u32], target: &[u32]) -> f64 {
    let mut recording = Recording::new(device);
    let with_start = [&[1], &target[..target.len() - 1]].concat();
    let steps = model.record_logits(&mut recording, &[source], &[&with_start], false).unwrap();
    steps.iter().for_each(|step| recording.output(&step.logits).unwrap());
    let outputs = recording.run().unwrap();
    let of_token = |(step, &token): (&BahdanauStep, &u32)| {
        let logits = outputs.tensor(&step.logits).unwrap().to_f32().unwrap();
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
        f64::from(logits[token as usize]) - largest - sum.ln()
    };
    steps.iter().zip(target).map(of_token).sum()
}

/// What the whole model attends to at each token of a target.
fn attended(device: &Device, model: &BahdanauSeq2Seq, source: &[u32], target: &[u32]) -> Vec<Vec<f32>> {
    let mut recording = Recording::new(device);
    let with_start = [&[1], &target[..target.len() - 1]].concat();
    let steps = model.record_logits(&mut recording, &[source], &[&with_start], true).unwrap();
    let weights: Vec<&Value> = steps.iter().filter_map(|step| step.weights.as_ref()).collect();
    weights.iter().for_each(|value| recording.output(value).unwrap());
    let outputs = recording.run().unwrap();
    weights.iter().map(|value| outputs.tensor(value).unwrap().to_f32().unwrap()).collect()
}

#[test]
fn beams_go_on_from_their_parents() {
    let sources = sources();
    let texts: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
    for device in devices() {
        let model = model(&device);
        let beams = 4;
        let strategy = Strategy::Beam { beams, length_penalty: 1.0, early_stopping: Default::default() };
        let mut decoder = pollster::block_on(model.decoder(&device, &texts, beams, None)).unwrap();
        let options = options(strategy, beams);
        let all =
            pollster::block_on(generate(&mut decoder, &numbers(&texts), 1, &options, |_| Ok(()))).unwrap();
        for (text, hypotheses) in texts.iter().zip(&all) {
            assert_eq!(hypotheses.len(), beams);
            for hypothesis in hypotheses {
                let expected = whole(&device, &model, text, &hypothesis.ids);
                let found = hypothesis.log_probability;
                assert!((found - expected).abs() <= 1e-4, "{}: {found} for {expected}", device.name());
                assert!(hypothesis.attention.is_empty());
            }
        }
        // What each step of a beam attended to is what its whole target attends to.
        let capture = Some(LayerCapture::all());
        let mut decoder = pollster::block_on(model.decoder(&device, &texts, beams, capture)).unwrap();
        let captured =
            pollster::block_on(generate(&mut decoder, &numbers(&texts), 1, &options, |_| Ok(()))).unwrap();
        let mut lengths = Vec::new();
        for ((text, hypotheses), plain) in texts.iter().zip(&captured).zip(&all) {
            assert_eq!(hypotheses.len(), beams);
            for (hypothesis, plain) in hypotheses.iter().zip(plain) {
                assert_eq!(hypothesis.ids, plain.ids);
                let expected = attended(&device, &model, text, &hypothesis.ids);
                assert_eq!(hypothesis.attention.len(), expected.len());
                for (found, expected) in hypothesis.attention.iter().zip(&expected) {
                    assert_eq!(found.len(), text.len());
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() <= 1e-5,
                            "{}: {found} for {expected}",
                            device.name()
                        );
                    }
                }
                lengths.push([text.len(), hypothesis.ids.len()]);
            }
        }
        lengths.sort_unstable();
        lengths.dedup();
        assert!(lengths.len() > 3, "{lengths:?}");
        // One beam is greedy.
        let strategy = Strategy::Beam { beams: 1, length_penalty: 0.0, early_stopping: Default::default() };
        let mut decoder = pollster::block_on(model.decoder(&device, &texts, 1, None)).unwrap();
        let options = self::options(strategy, 1);
        let all =
            pollster::block_on(generate(&mut decoder, &numbers(&texts), 1, &options, |_| Ok(()))).unwrap();
        for (place, hypotheses) in all.iter().enumerate() {
            assert_eq!(hypotheses[0].ids, ids(&json("texts.json")["greedy"][place]["ids"]));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::cpu();
    let model = model(&device);
    let refused = |texts: &[&[u32]], words: &[&str]| {
        let error = pollster::block_on(model.decoder(&device, texts, 1, None)).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&[], &["a source", "no texts"]);
    refused(&[&[5], &[]], &["a source", "at least 1 token"]);
    refused(&[&[5; 41]], &["at most 40 tokens", "41"]);
    refused(&[&[5, 23]], &["ids[1]", "below 23", "23"]);
    let mut decoder = pollster::block_on(model.decoder(&device, &[&[5]], 2, None)).unwrap();
    let error = pollster::block_on(decoder.step(&[1, 1], &[0, 2])).unwrap_err().to_string();
    assert!(error.contains("index[1]") && error.contains("below 2"), "{error}");
    let error = pollster::block_on(decoder.step(&[1, 99], &[0, 1])).unwrap_err().to_string();
    assert!(error.contains("ids[1]") && error.contains("below 23"), "{error}");
    let error = pollster::block_on(decoder.step(&[1], &[0, 1])).unwrap_err().to_string();
    assert!(error.contains("the state"), "{error}");
}

/// All steps at once, as training records them, give what one after the other gives.
#[test]
fn whole_targets_are_their_steps() {
    let texts = json("texts.json");
    let lists = |name: &str| -> Vec<Vec<u32>> { texts[name].as_array().unwrap().iter().map(ids).collect() };
    let (sources, targets) = (lists("sources"), lists("targets"));
    let [sources, targets] =
        [&sources, &targets].map(|all| all.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for device in devices() {
        let model = model(&device);
        let mut recording = Recording::new(&device);
        let steps = model.record_logits(&mut recording, &sources, &targets, true).unwrap();
        let memory = model.record_encoder(&mut recording, &sources).unwrap();
        let padding = model.config.padding_id;
        let whole = model.decoder.record_targets(&mut recording, &memory, &targets, padding, true).unwrap();
        assert_eq!(whole.logits.shape().dims(), [steps.len(), targets.len(), 23]);
        assert_eq!(whole.weights.len(), steps.len());
        let of_steps = |step: &BahdanauStep| [step.logits.clone(), step.weights.clone().unwrap()];
        let by_step: Vec<[Value; 2]> = steps.iter().map(of_steps).collect();
        let all = by_step.iter().flatten().chain(&whole.weights).chain([&whole.logits]);
        all.for_each(|value| recording.output(value).unwrap());
        let outputs = recording.run().unwrap();
        let read = |value: &Value| outputs.tensor(value).unwrap().to_f32().unwrap();
        let logits = read(&whole.logits);
        let logits = logits.chunks_exact(targets.len() * 23);
        for (step, (logits, weights)) in by_step.iter().zip(logits.zip(&whole.weights)) {
            for (expected, found) in step.iter().zip([logits.to_vec(), read(weights)]) {
                let expected = read(expected);
                assert_eq!(expected.len(), found.len());
                for (expected, found) in expected.iter().zip(&found) {
                    assert!((expected - found).abs() <= 1e-5, "{}: {found} for {expected}", device.name());
                }
            }
        }
    }
}
