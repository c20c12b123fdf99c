//! The two models of dates that the crate holds, against PyTorch: logits, alignments, answers.

use attentive::layers::LayerCapture;
use attentive::models::{EarlyStopping, EmbeddedModel, MapToken, Seq2SeqAttention, Strategy, Translator};
use attentive::weights::Checkpoint;
use attentive::{DType, Device, Recording};
use serde_json::Value;

use super::{fixtures, ids, json};
use crate::common;

const ATOL: f64 = 1e-4;

fn assert_near(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - f64::from(*expected)).abs();
        assert!(error <= ATOL, "{what}: {got} for {expected} at {place}");
    }
}

/// The models of dates.
const DATES: [EmbeddedModel; 2] = [EmbeddedModel::DatesTransformer, EmbeddedModel::DatesGru];

/// Sources, of their own lengths, and the first six tokens of each target.
fn pairs(expected: &Checkpoint, answers: &Value) -> [Vec<Vec<u32>>; 2] {
    let sources: Vec<Vec<u32>> = answers["ids"].as_array().unwrap().iter().map(ids).collect();
    let targets = expected.tensor_i64("decoder_input_ids", &[sources.len(), 6]).unwrap();
    [sources, targets.chunks(6).map(|row| row.iter().map(|&id| id as u32).collect()).collect()]
}

#[test]
fn logits_and_alignments_are_those_of_pytorch() {
    let answers = json(&fixtures().join("dates.json"));
    assert!(answers["tolerance"]["logits"]["atol"].as_f64().unwrap() <= ATOL);
    for model in DATES {
        let name = model.name();
        let expected = Checkpoint::open(fixtures().join(format!("{name}.safetensors"))).unwrap();
        let [sources, targets] = pairs(&expected, &answers);
        let (texts, vocabulary) = (sources.len(), 100);
        let longest = sources.iter().map(Vec::len).max().unwrap();
        let logits = expected.tensor_f32("logits", &[texts, 6, vocabulary]).unwrap();
        let sources: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        for device in common::devices() {
            let what = format!("{name} on {}", device.name());
            let translator = Translator::embedded(&device, model, DType::F32).unwrap();
            let mut recording = Recording::new(&device);
            if let Some(transformer) = translator.transformer() {
                let value = transformer.record_logits(&mut recording, &sources, &targets).unwrap();
                recording.output(&value).unwrap();
                let got = recording.run().unwrap().tensor(&value).unwrap().to_f32().unwrap();
                assert_near(&what, &got, &logits);
                continue;
            }
            let bahdanau = translator.bahdanau().unwrap();
            let steps = bahdanau.record_logits(&mut recording, &sources, &targets, true).unwrap();
            for step in &steps {
                recording.output(&step.logits).unwrap();
                recording.output(step.weights.as_ref().unwrap()).unwrap();
            }
            let outputs = recording.run().unwrap();
            let attention = expected.tensor_f32("attention", &[texts, 6, longest]).unwrap();
            for (place, step) in steps.iter().enumerate() {
                let of_step = |values: &[f32], columns: usize| -> Vec<f32> {
                    let rows = values.chunks(6 * columns);
                    rows.flat_map(|row| row[place * columns..][..columns].to_vec()).collect()
                };
                let read = |value| outputs.tensor(value).unwrap().to_f32().unwrap();
                assert_near(&what, &read(&step.logits), &of_step(&logits, vocabulary));
                assert_near(&what, &read(step.weights.as_ref().unwrap()), &of_step(&attention, longest));
            }
        }
    }
}

#[test]
fn answers_are_those_of_pytorch() {
    let answers = json(&fixtures().join("dates.json"));
    let sources: Vec<&str> =
        answers["sources"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for model in DATES {
        for device in common::devices() {
            let what = format!("{} on {}", model.name(), device.name());
            let translator = Translator::embedded(&device, model, DType::F32).unwrap();
            let found = translator.translate(&sources).run().unwrap();
            for (output, expected) in found.texts.iter().zip(answers[model.name()].as_array().unwrap()) {
                let output = &output[0];
                assert_eq!(output.text, expected["text"].as_str().unwrap(), "{what}");
                assert_eq!(output.ids, ids(&expected["ids"]), "{what}");
                let sum = expected["log_probability"].as_f64().unwrap();
                assert!((output.log_probability - sum).abs() <= 1e-3, "{what}: {}", output.log_probability);
            }
            // The weights are f16 in the file: as f16 on the device they are the same.
            let narrow = Translator::embedded(&device, model, DType::F16).unwrap();
            assert!(narrow.weight_bytes() < translator.weight_bytes());
            let narrow = narrow.translate(&sources[..3]).run().unwrap();
            for (a, b) in narrow.texts.iter().zip(&found.texts) {
                assert_eq!(a[0].ids, b[0].ids, "{what}, f16");
            }
        }
    }
}

#[test]
fn a_date_that_the_model_knows_is_surer_than_what_it_cannot_know() {
    let device = Device::cpu();
    for model in DATES {
        let translator = Translator::embedded(&device, model, DType::F32).unwrap();
        let texts =
            ["le 3 mai 1979", "Thursday, May 3rd 1979", "一九七九年五月三日", "the day after the feast"];
        let beams = Strategy::Beam { beams: 4, length_penalty: 1.0, early_stopping: EarlyStopping::No };
        for strategy in [Strategy::Greedy, beams] {
            let found = translator.translate(&texts).strategy(strategy).run().unwrap();
            for known in &found.texts[..3] {
                assert_eq!(known[0].text, "1979-05-03");
                assert!(known[0].probability() > 0.95, "{}", known[0].probability());
            }
            // It answers, and says so.
            let unknown = &found.texts[3][0];
            assert!(
                !unknown.text.is_empty() && unknown.probability() < 0.9,
                "{}: {}",
                unknown.text,
                unknown.probability()
            );
        }
    }
}

#[test]
fn the_last_digit_of_the_day_looks_at_the_day() {
    let device = Device::cpu();
    let translator = Translator::embedded(&device, EmbeddedModel::DatesGru, DType::F32).unwrap();
    let capture = LayerCapture::all();
    let found = translator.translate(&["le 3 mai 1979"]).capture(Seq2SeqAttention::Cross, capture).run();
    let output = &found.unwrap().texts[0][0];
    let maps = output.attention.as_ref().unwrap();
    let text = |tokens: &[MapToken]| tokens.iter().map(|token| token.label.as_str()).collect::<String>();
    assert_eq!(text(&maps.rows()[..10]), "1979-05-03");
    assert_eq!(text(&maps.columns()[..13]), "le 3 mai 1979");
    let words = maps.words();
    let labels = |tokens: &[MapToken]| tokens.iter().map(|token| token.label.clone()).collect::<Vec<_>>();
    assert_eq!(labels(words.rows())[..5], ["1979", "-", "05", "-", "03"]);
    assert_eq!(labels(words.columns())[..4], ["le", "3", "mai", "1979"]);
    let only = words.only(|token| !token.is_special());
    assert_eq!(only.shape(), [1, 1, 5, 4]);
    for row in maps.weights().chunks(maps.columns().len()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    // Of the day's two digits, the second looks most at the day itself.
    let day = maps.row(0, 0, 9);
    assert!((0..day.len()).all(|place| day[place] <= day[3]), "{day:?}");
    for of in [Seq2SeqAttention::Encoder, Seq2SeqAttention::Decoder] {
        assert_eq!(translator.attention_size(of), None);
        let refused = translator.translate(&["le 3 mai 1979"]).capture(of, capture).run();
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("the attention to the source, all that a recurrent"), "{error}");
    }
}
