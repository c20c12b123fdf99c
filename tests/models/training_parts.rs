//! Steps in parts: what comes of them is what comes of the whole batch, of every model that is trained.

use std::ops::Range;
use std::path::PathBuf;

use attentive::layers::Parameter;
use attentive::models::pretraining::{Corpus, Masking};
use attentive::models::{
    AttentionTerms, BahdanauSeq2Seq, Captioner, EmbeddedModel, HeadKind, Region, TransformerSeq2Seq,
    Translator,
};
use attentive::recording::{Recording, Value};
use attentive::train::{Sgd, Trainer, TrainingStep};
use attentive::weights::{BahdanauConfig, CaptionerConfig, MarianConfig};
use attentive::{BertModel, Device, Embedder, Result};

use crate::common;

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures").join(name)
}

fn values(parameters: &[Parameter]) -> Vec<Vec<f32>> {
    parameters.iter().map(|parameter| parameter.tensor.to_f32().unwrap()).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// What a step of plain descent changes of each parameter, with a rate of 1: its gradient. The weights are put back.
fn gradients(
    device: &Device,
    parameters: &[Parameter],
    step: impl FnOnce(&mut Trainer) -> TrainingStep,
) -> (TrainingStep, Vec<Vec<f64>>) {
    let before = values(parameters);
    let algorithm = Sgd { learning_rate: 1.0, ..Sgd::default() };
    let step = step(&mut Trainer::new(device, algorithm, parameters.to_vec()).unwrap());
    let after = values(parameters);
    let change = |(before, after): (&Vec<f32>, &Vec<f32>)| -> Vec<f64> {
        before.iter().zip(after).map(|(before, after)| f64::from(*before) - f64::from(*after)).collect()
    };
    let changes = before.iter().zip(&after).map(change).collect();
    for (parameter, before) in parameters.iter().zip(&before) {
        parameter.tensor.write_f32(before).unwrap();
    }
    (step, changes)
}

/// Two steps had the same loss and the same gradients, but for rounding: `bound` of a gradient's norm, and a unit of the last place of the
/// weights, whose difference is what is seen, and of all gradients together, whose terms may cancel in a parameter's own, as they do in a
/// key's bias.
#[track_caller]
fn expect_same(
    what: &str,
    parameters: &[Parameter],
    bound: f64,
    [whole, parts]: [&(TrainingStep, Vec<Vec<f64>>); 2],
) {
    for (name, whole, parts) in [("loss", whole.0.loss, parts.0.loss), ("norm", whole.0.norm, parts.0.norm)] {
        assert!((whole - parts).abs() <= bound as f32 * whole, "{what}: the {name} is {parts}, not {whole}");
    }
    let all = f64::from(whole.0.norm);
    for ((parameter, whole), parts) in parameters.iter().zip(&whole.1).zip(&parts.1) {
        let weights = norm(parameter.tensor.to_f32().unwrap().into_iter().map(f64::from));
        let difference = norm(whole.iter().zip(parts).map(|(whole, parts)| whole - parts));
        let size = norm(whole.iter().copied());
        let bound = bound * size + f64::from(f32::EPSILON) * (weights + all);
        assert!(difference <= bound, "{what}: {}: {difference:e} of {size:e} > {bound:e}", parameter.name());
    }
}

/// A step of `examples` in parts of 1, 2, … of them against the whole.
fn parts_are_the_whole(
    what: &str,
    device: &Device,
    parameters: &[Parameter],
    examples: usize,
    record: impl Fn(&mut Recording, Range<usize>) -> Result<Value>,
) {
    let whole = gradients(device, parameters, |trainer| {
        trainer.step(|recording| record(recording, 0..examples)).unwrap()
    });
    for most in 1..examples {
        let parts = gradients(device, parameters, |trainer| {
            let step = trainer.step_in_parts(examples.div_ceil(most), |recording, part| {
                record(recording, part * most..examples.min((part + 1) * most))
            });
            step.unwrap()
        });
        // Another order of the sums.
        expect_same(&format!("{what} by {most}"), parameters, 2e-6, [&whole, &parts]);
    }
    let outside = [0..0, 1..examples + 1, examples..examples];
    for part in outside {
        let error = record(&mut Recording::new(device), part.clone()).unwrap_err().to_string();
        assert!(error.contains("the part") && error.contains(&format!("{part:?}")), "{what}: {error}");
    }
}

/// Of different lengths, so that a mean of the parts' means is another loss.
const SOURCES: [&[u32]; 4] = [&[5, 6, 7, 8, 1], &[9, 1], &[3, 22, 11, 1], &[4, 4, 1]];
const TARGETS: [&[u32]; 4] = [&[7, 6, 1], &[4, 4, 8, 13, 1], &[1], &[12, 1]];

#[test]
fn translators_have_the_same_gradients_in_parts() {
    let device = Device::cpu();
    let json = serde_json::json!({
        "model_type": "marian", "vocab_size": 23, "d_model": 24, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 20, "decoder_ffn_dim": 28,
        "activation_function": "gelu", "scale_embedding": true, "static_position_embeddings": true,
        "max_position_embeddings": 16, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0
    });
    let config = MarianConfig::from_json(json.to_string().as_bytes(), "config.json").unwrap();
    let model = TransformerSeq2Seq::random(&device, &config, 3).unwrap();
    parts_are_the_whole("a Transformer", &device, &model.parameters(), 4, |recording, part| {
        model.record_loss_part(recording, &SOURCES, &TARGETS, part)
    });
    let json = serde_json::json!({
        "model_type": "attentive-bahdanau", "vocab_size": 23, "embedding_size": 6, "hidden_size": 9,
        "attention_size": 10, "readout_size": 7, "pad_token_id": 0, "eos_token_id": 1,
        "decoder_start_token_id": 0, "max_source_length": 16, "max_length": 16
    });
    let config = BahdanauConfig::from_json(json.to_string().as_bytes(), "config.json").unwrap();
    let model = BahdanauSeq2Seq::random(&device, &config, 3).unwrap();
    parts_are_the_whole("Bahdanau's model", &device, &model.parameters(), 4, |recording, part| {
        model.record_loss_part(recording, &SOURCES, &TARGETS, part)
    });
    // The whole batch is the loss that it always was, by either of the models that a translator is.
    let translator = Translator::untrained(&device, EmbeddedModel::DatesGru.folder().unwrap(), 5).unwrap();
    let loss = |record: &dyn Fn(&mut Recording) -> Result<Value>| {
        let mut recording = Recording::new(&device);
        let loss = record(&mut recording).unwrap();
        recording.output(&loss).unwrap();
        recording.run().unwrap().tensor(&loss).unwrap().to_f32().unwrap()[0]
    };
    let whole = loss(&|recording| translator.record_loss(recording, &SOURCES, &TARGETS));
    let [first, second] = [0..3, 3..4].map(|part| {
        loss(&|recording| translator.record_loss_part(recording, &SOURCES, &TARGETS, part.clone()))
    });
    assert!((first + second - whole).abs() <= 2e-6 * whole, "{first} + {second}, {whole}");
}

#[test]
fn a_captioner_has_the_same_gradients_in_parts() {
    let device = Device::cpu();
    let json = serde_json::json!({
        "model_type": "attentive-captioner", "vocab_size": 7, "image_size": 8, "patch_size": 6,
        "patch_stride": 4, "feature_size": 9, "annotation_size": 10, "embedding_size": 5, "hidden_size": 11,
        "attention_size": 6, "readout_size": 3, "pad_token_id": 0, "eos_token_id": 1, "max_length": 6
    });
    let config = CaptionerConfig::from_json(json.to_string().as_bytes(), "config.json").unwrap();
    let words = ["<pad>", "</s>", "a", "blue", "duck", "red", "two"].map(str::to_owned).to_vec();
    let captioner = Captioner::untrained(&device, config, words, 3).unwrap();
    let pictures: Vec<Vec<u8>> =
        (0..3_u32).map(|seed| (0..192).map(|place| (place * 31 + seed * 77) as u8).collect()).collect();
    let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let captions: [&[u32]; 3] = [&[2, 3, 4, 1], &[5, 1], &[6, 5, 4, 4, 1]];
    let region = |word, places: &[usize]| Region { word, places: places.to_vec() };
    // A part without regions, and parts with other numbers of them.
    let regions = [vec![region(1, &[0, 3]), region(2, &[1])], vec![], vec![region(4, &[2])]];
    let all = AttentionTerms { doubly_stochastic: 0.7, correctness: 0.6, regions: &regions };
    for (name, terms) in [("words alone", AttentionTerms::default()), ("all terms", all)] {
        parts_are_the_whole(name, &device, &captioner.parameters(), 3, |recording, part| {
            captioner.record_loss_part(recording, &pictures, &captions, &terms, part)
        });
    }
}

#[test]
fn bert_has_the_same_gradients_in_parts() {
    let device = Device::cpu();
    let folder = fixture("heads/bert-pretraining");
    let model = BertModel::from_dir(&device, &folder).unwrap();
    let corpus = Corpus::parse("the cat sat\non the mat\nhello world\n\nit is this\nwe of and\n");
    let mut inputs = model.pretraining_inputs(&corpus, &Masking::default(), 5).unwrap();
    // An input without a hidden word, and others with different numbers of them.
    inputs[0].tokens.places.clear();
    inputs[0].tokens.labels.clear();
    let counts: Vec<usize> = inputs.iter().map(|input| input.tokens.labels.len()).collect();
    assert!(counts.len() >= 3 && counts[1..].iter().sum::<usize>() > 0, "{counts:?}");
    parts_are_the_whole("BERT", &device, &model.parameters(), inputs.len(), |recording, part| {
        model.record_pretraining_loss_part(recording, &inputs, part)
    });
    let labels = ["no", "perhaps", "yes"].map(str::to_owned);
    let model = BertModel::with_new_head(&device, &folder, HeadKind::Sequence, &labels, 4).unwrap();
    let texts = ["the cat sat", "hello world", "this is it", "we"];
    let encoded = model.tokenizer().encode_batch(&texts, 16).unwrap();
    let encoded: Vec<_> = encoded.iter().collect();
    parts_are_the_whole("a classifier", &device, &model.parameters(), 4, |recording, part| {
        model.record_classification_loss_part(recording, &encoded, &[2, 0, 1, 1], part)
    });
}

/// The ranking loss is one of all pairs, which no sum over parts is; so this is no `parts_are_the_whole`. On every device, since what is
/// between the passes lies there.
#[test]
fn an_embedder_has_the_same_gradients_in_parts() {
    let first = ["the cat sat on the mat", "hello", "this is it", "we", "and of the world"];
    let second = ["a cat", "hello world of ours and yours", "it", "we two", "the world"];
    let pairs = [first.as_slice(), &second];
    for device in common::devices() {
        let embedder = Embedder::from_dir(&device, fixture("models/tiny-bert")).unwrap();
        let parameters = embedder.parameters();
        let whole = gradients(&device, &parameters, |trainer| {
            trainer.step(|recording| embedder.record_ranking_loss(recording, pairs, 20.0)).unwrap()
        });
        for most in [1, 2, 3, 5] {
            let parts = gradients(&device, &parameters, |trainer| {
                embedder.ranking_step(trainer, pairs, 20.0, most).unwrap()
            });
            let what = format!("{}: by {most}", device.name());
            // Cosines are rounded to 6e-8, and times 20; another kernel may compute a product of another size.
            expect_same(&what, &parameters, 1e-5, [&whole, &parts]);
            // The last recording has one part, of as many texts at most.
            let (all, part) = (whole.0.statistics.cost.flops, parts.0.statistics.cost.flops);
            let share = part as f64 / all as f64;
            assert!(share < most as f64 / 10.0 * 1.6, "{what}: {share} of the operations at once");
        }
        let mut trainer = Trainer::new(&device, Sgd::default(), parameters.clone()).unwrap();
        let mut refused = |pairs: [&[&str]; 2], most, words: &str| {
            let error = embedder.ranking_step(&mut trainer, pairs, 20.0, most).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(pairs, 0, "at least 1");
        refused([&first, &second[1..]], 2, "as many as the first, 5");
        refused([&[], &[]], 2, "one at least");
    }
}

/// What a step that was given up between its parts had summed is in no later step.
#[test]
fn a_step_that_is_dropped_between_its_parts_leaves_nothing() {
    let device = Device::cpu();
    let embedder = Embedder::from_dir(&device, fixture("models/tiny-bert")).unwrap();
    let parameters = embedder.parameters();
    let pairs = [["the cat", "hello"].as_slice(), &["sat", "world"]];
    let whole = gradients(&device, &parameters, |trainer| {
        trainer.step(|recording| embedder.record_ranking_loss(recording, pairs, 20.0)).unwrap()
    });
    let after = gradients(&device, &parameters, |trainer| {
        let (recorded, is_recorded) = std::sync::mpsc::channel();
        let mut step = Box::pin(trainer.step_in_parts_async(3, |recording, _| {
            let _ = recorded.send(());
            embedder.record_ranking_loss(recording, pairs, 20.0)
        }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // Until the second part is recorded: the sums of the first are there.
        let mut parts = 0;
        while parts < 2 {
            assert!(step.as_mut().poll(&mut context).is_pending());
            parts += is_recorded.try_iter().count();
        }
        drop(step);
        trainer.step(|recording| embedder.record_ranking_loss(recording, pairs, 20.0)).unwrap()
    });
    expect_same("after a step that was dropped", &parameters, 2e-6, [&whole, &after]);
}
