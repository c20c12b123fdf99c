//! Training of whole models: their gradients, the same bits again, runs that are saved and gone on with, folders that are written.

use attentive::layers::Parameter;
use attentive::models::pretraining::{Corpus, Masking};
use attentive::models::{BahdanauSeq2Seq, EmbeddedModel, TransformerSeq2Seq, Translator};
use attentive::models::{HeadKind, PretrainingInput};
use attentive::recording::{Recording, Value};
use attentive::train::{AdamW, Schedule, Sgd, Trainer, TrainingState, save_weights};
use attentive::weights::{BahdanauConfig, MarianConfig, WordPieceVocabulary};
use attentive::{BertModel, DType, Device, Embedder, Error, Tensor};

use crate::common;

/// Sizes that are no multiples of each other.
fn config() -> MarianConfig {
    let json = serde_json::json!({
        "model_type": "marian", "vocab_size": 23, "d_model": 24, "encoder_layers": 2, "decoder_layers": 1,
        "encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 20, "decoder_ffn_dim": 28,
        "activation_function": "gelu", "scale_embedding": true, "static_position_embeddings": true,
        "max_position_embeddings": 16, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0
    });
    MarianConfig::from_json(json.to_string().as_bytes(), "config.json").unwrap()
}

const SOURCES: [&[u32]; 3] = [&[5, 6, 7, 8, 1], &[9, 1], &[3, 22, 11, 1]];
const TARGETS: [&[u32]; 3] = [&[7, 6, 1], &[4, 4, 8, 1], &[12, 1]];

fn loss(recording: &mut Recording, model: &TransformerSeq2Seq) -> attentive::Result<Value> {
    model.record_loss(recording, &SOURCES, &TARGETS)
}

type Record = dyn Fn(&mut Recording) -> attentive::Result<Value>;

/// A model whose loss on the pairs is looked at: what is trained, and the loss as it is recorded.
struct Learner {
    name: &'static str,
    parameters: Vec<Parameter>,
    record: Box<Record>,
}

/// A Transformer; Bahdanau's model; and the same without attention.
fn learners(device: &Device) -> Vec<Learner> {
    let transformer = TransformerSeq2Seq::random(device, &config(), 3).unwrap();
    let mut all = vec![Learner {
        name: "a Transformer",
        parameters: transformer.parameters(),
        record: Box::new(move |recording| loss(recording, &transformer)),
    }];
    for (name, attention) in [("with attention", 10), ("without attention", 0)] {
        let json = serde_json::json!({
            "model_type": "attentive-bahdanau", "vocab_size": 23, "embedding_size": 6, "hidden_size": 9,
            "attention_size": attention, "readout_size": 7, "pad_token_id": 0, "eos_token_id": 1,
            "decoder_start_token_id": 0, "max_source_length": 16, "max_length": 16
        });
        let config = BahdanauConfig::from_json(json.to_string().as_bytes(), "config.json").unwrap();
        let model = BahdanauSeq2Seq::random(device, &config, 3).unwrap();
        all.push(Learner {
            name,
            parameters: model.parameters(),
            record: Box::new(move |recording| model.record_loss(recording, &SOURCES, &TARGETS)),
        });
    }
    let (bert, inputs) = bert(device);
    all.push(Learner {
        name: "BERT",
        parameters: bert.parameters(),
        record: Box::new(move |recording| bert.record_pretraining_loss(recording, &inputs)),
    });
    all
}

const VERSES: &str = "in the beginning was the word\nand the word was here\nthe same was in the beginning\n\n\
                      all things were made\nand the light was in the word\n\nthere was a man\nthe same came here\n";

/// A BERT that has learnt nothing, with the heads of both pre-training tasks, and inputs of a few verses.
fn bert(device: &Device) -> (BertModel, Vec<PretrainingInput>) {
    let corpus = Corpus::parse(VERSES);
    let vocabulary = WordPieceVocabulary::train(&corpus.documents().concat(), 60).unwrap();
    let model = BertModel::untrained(
        device,
        bert_config(vocabulary.tokens().len()).as_bytes(),
        vocabulary.tokenizer().unwrap(),
        &[HeadKind::MaskedLanguage, HeadKind::NextSentence],
        3,
    );
    let model = model.unwrap();
    let inputs = model.pretraining_inputs(&corpus, &Masking::default(), 5).unwrap();
    (model, inputs)
}

fn bert_config(vocabulary: usize) -> String {
    let config = serde_json::json!({
        "architectures": ["BertForPreTraining"], "model_type": "bert", "vocab_size": vocabulary,
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
        "hidden_act": "gelu", "max_position_embeddings": 19, "type_vocab_size": 2, "pad_token_id": 0,
    });
    config.to_string()
}

impl Learner {
    /// The loss, and the gradient of each parameter by its name.
    fn gradients(&self, device: &Device) -> (f32, Vec<(String, Vec<f32>)>) {
        let tensors = self.parameters.iter().map(|parameter| &parameter.tensor);
        let mut recording = Recording::training(device, tensors).unwrap();
        let loss = (self.record)(&mut recording).unwrap();
        let gradients = recording.backward(&loss).unwrap();
        recording.output(&loss).unwrap();
        let found: Vec<Value> = self
            .parameters
            .iter()
            .map(|parameter| {
                let gradient = gradients.of_parameter(&recording, &parameter.tensor);
                let gradient = gradient.unwrap_or_else(|| panic!("{} has no gradient", parameter.name()));
                assert_eq!(gradient.shape(), parameter.tensor.shape());
                gradient
            })
            .collect();
        found.iter().for_each(|gradient| recording.output(gradient).unwrap());
        let outputs = recording.run().unwrap();
        let values = |value: &Value| outputs.tensor(value).unwrap().to_f32().unwrap();
        let named = self
            .parameters
            .iter()
            .zip(&found)
            .map(|(parameter, gradient)| (parameter.name().to_owned(), values(gradient)));
        (values(&loss)[0], named.collect())
    }

    /// The loss of the model as it is.
    fn loss(&self, device: &Device) -> f64 {
        let mut recording = Recording::new(device);
        let loss = (self.record)(&mut recording).unwrap();
        recording.output(&loss).unwrap();
        recording.run().unwrap().tensor(&loss).unwrap().to_f32().unwrap()[0].into()
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Along each parameter's gradient the loss of a Transformer and of BERT rises by the gradient's norm: what is wrong in size or direction anywhere shows. Of the
/// recurrent models, whose maxout has no slope in places, `bahdanau` has the same along other directions.
#[test]
fn gradients_are_the_slope_of_the_loss() {
    let device = Device::cpu();
    let learners = learners(&device);
    for learner in learners.iter().filter(|learner| ["a Transformer", "BERT"].contains(&learner.name)) {
        slopes(learner, &device);
    }
}

fn slopes(learner: &Learner, device: &Device) {
    let (_, all) = learner.gradients(device);
    for (parameter, (name, gradient)) in learner.parameters.iter().zip(&all) {
        let norm = norm(gradient);
        // The bias of keys moves all scores of a query alike: it has no gradient, but for rounding; packed projections have others.
        if norm < 1e-5 {
            assert!(name.contains("k_proj.bias"), "{name}: {norm:e}");
            continue;
        }
        let before = parameter.tensor.to_f32().unwrap();
        let step = 0.02 / norm.min(1.0) * norm.min(1.0).sqrt();
        let at = |steps: f64| {
            let moved = |(&value, &slope): (&f32, &f32)| {
                (f64::from(value) + steps * step * f64::from(slope) / norm) as f32
            };
            let moved: Vec<f32> = before.iter().zip(gradient).map(moved).collect();
            parameter.tensor.write_f32(&moved).unwrap();
            learner.loss(device)
        };
        let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
        parameter.tensor.write_f32(&before).unwrap();
        let error = (slope - norm).abs() / norm;
        // f32 tells losses of 3 apart by 2.4e-7, a step of 0.02 or more.
        let what = format!("{}: {name}", learner.name);
        assert!(error <= 5e-3 + 1e-4 / norm, "{what}: the slope is {slope:e}, the gradient's norm {norm:e}");
    }
}

#[test]
fn gradients_agree_between_devices() {
    let device = Device::cpu();
    let of_cpu: Vec<_> = learners(&device).iter().map(|learner| learner.gradients(&device)).collect();
    for device in common::adapters() {
        for (learner, of_cpu) in learners(&device).iter().zip(&of_cpu) {
            let (loss, all) = learner.gradients(&device);
            let what = format!("{}: {}", device.name(), learner.name);
            assert!((loss - of_cpu.0).abs() <= 1e-5, "{what}: {loss} and {}", of_cpu.0);
            for ((name, got), (_, expected)) in all.iter().zip(&of_cpu.1) {
                let difference: Vec<f32> = got.iter().zip(expected).map(|(a, b)| a - b).collect();
                let bound = 1e-5 * norm(expected) + 1e-7;
                assert!(norm(&difference) <= bound, "{what}: {name}: {:e} > {bound:e}", norm(&difference));
            }
        }
    }
}

/// The same of an encoder of BERT's family with its pooling: packed projections, GELU, embeddings with their norm.
#[test]
fn an_embedders_gradients_are_the_slope_of_its_vectors() {
    let folder = common::repository().join("tests/fixtures/models/tiny-bert");
    let device = Device::cpu();
    let embedder = Embedder::from_dir(&device, &folder).unwrap();
    let parameters = embedder.parameters();
    let ids: [&[u32]; 3] = [&[2, 7, 8, 9, 3], &[2, 3], &[2, 11, 6, 3]];
    let encoder = embedder.encoder();
    let record = |recording: &mut Recording| -> attentive::Result<Value> {
        let (hidden, lengths) = encoder.record(recording, attentive::models::TokenBatch::new(&ids))?;
        attentive::ops::pool(recording, &hidden, &lengths, attentive::ops::Pooling::Mean, true)
    };
    let tensors = parameters.iter().map(|parameter| &parameter.tensor);
    let mut recording = Recording::training(&device, tensors).unwrap();
    let vectors = record(&mut recording).unwrap();
    let upstream = attentive::kernel::Inputs::new(3).values(vectors.shape().elements() as usize, 1.0);
    let seed = common::value(&mut recording, vectors.shape().dims(), &upstream);
    let gradients = recording.backward_from(&vectors, &seed).unwrap();
    let found: Vec<Value> = parameters
        .iter()
        .map(|parameter| gradients.of_parameter(&recording, &parameter.tensor).unwrap())
        .collect();
    found.iter().for_each(|gradient| recording.output(gradient).unwrap());
    let outputs = recording.run().unwrap();
    let weighted = || -> f64 {
        let mut recording = Recording::new(&device);
        let vectors = record(&mut recording).unwrap();
        recording.output(&vectors).unwrap();
        let vectors = recording.run().unwrap().tensor(&vectors).unwrap().to_f32().unwrap();
        vectors.iter().zip(&upstream).map(|(&vector, &u)| f64::from(vector) * f64::from(u)).sum()
    };
    for (parameter, gradient) in parameters.iter().zip(&found) {
        let gradient = outputs.tensor(gradient).unwrap().to_f32().unwrap();
        let (name, norm) = (parameter.name(), norm(&gradient));
        assert!(norm > 1e-4, "{name}: {norm:e}");
        let before = parameter.tensor.to_f32().unwrap();
        let step = 0.01;
        let at = |steps: f64| {
            let moved = |(&value, &slope): (&f32, &f32)| {
                (f64::from(value) + steps * step * f64::from(slope) / norm) as f32
            };
            let moved: Vec<f32> = before.iter().zip(&gradient).map(moved).collect();
            parameter.tensor.write_f32(&moved).unwrap();
            weighted()
        };
        let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
        parameter.tensor.write_f32(&before).unwrap();
        let error = (slope - norm).abs() / norm;
        assert!(error <= 5e-3 + 2e-4 / norm, "{name}: the slope is {slope:e}, the gradient's norm {norm:e}");
    }
}

fn trainer(device: &Device, model: &TransformerSeq2Seq) -> Trainer {
    let algorithm = AdamW { learning_rate: 0.01, ..AdamW::default() };
    let trainer = Trainer::new(device, algorithm, model.parameters()).unwrap();
    trainer.schedule(Schedule::Linear { warmup: 3, steps: 60 }).unwrap().clip(1.0).unwrap()
}

fn bits(parameters: &[Parameter]) -> Vec<Vec<u32>> {
    let bits = |tensor: &Tensor| tensor.to_f32().unwrap().iter().map(|value| value.to_bits()).collect();
    parameters.iter().map(|parameter| bits(&parameter.tensor)).collect()
}

#[test]
fn training_is_the_same_bits_again_and_goes_on_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    for device in common::devices() {
        let run = |steps: usize, go_on: bool| {
            // Other weights, which what is saved replaces.
            let model = TransformerSeq2Seq::random(&device, &config(), if go_on { 8 } else { 7 }).unwrap();
            let mut trainer = trainer(&device, &model);
            if go_on {
                let state = trainer.resume(&path).unwrap();
                assert_eq!(state, TrainingState::from([("place".to_owned(), "25".to_owned())]));
                assert_eq!(trainer.steps(), 25);
            }
            let mut losses = Vec::new();
            while trainer.steps() < steps as u64 {
                losses.push(trainer.step(|recording| loss(recording, &model)).unwrap().loss);
            }
            if steps == 25 {
                trainer.save(&path, &TrainingState::from([("place".to_owned(), "25".to_owned())])).unwrap();
            }
            (losses, bits(&model.parameters()))
        };
        let (losses, whole) = run(50, false);
        assert!(losses[49] < 0.05 * losses[0], "{}: {losses:?}", device.name());
        assert_eq!(run(50, false).1, whole, "{}", device.name());
        run(25, false);
        let (later, resumed) = run(50, true);
        assert_eq!(later, losses[25..], "{}", device.name());
        assert_eq!(resumed, whole, "{}", device.name());
    }
}

#[test]
fn a_run_of_another_model_or_optimizer_is_refused_and_changes_nothing() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let model = TransformerSeq2Seq::random(&device, &config(), 1).unwrap();
    trainer(&device, &model).save(&path, &TrainingState::new()).unwrap();
    let mut other =
        Trainer::new(&device, Sgd { learning_rate: 0.1, ..Sgd::default() }, model.parameters()).unwrap();
    assert!(matches!(other.resume(&path), Err(Error::File { .. })));
    let mut larger = config();
    larger.encoder_layers = 3;
    let larger = TransformerSeq2Seq::random(&device, &larger, 1).unwrap();
    let before = bits(&larger.parameters());
    assert!(matches!(trainer(&device, &larger).resume(&path), Err(Error::MissingTensor { .. })));
    let mut wider = config();
    wider.encoder_feed_forward_dim = 21;
    let wider = TransformerSeq2Seq::random(&device, &wider, 1).unwrap();
    assert!(matches!(trainer(&device, &wider).resume(&path), Err(Error::TensorShape { .. })));
    // Weights are no run, and what is damaged is said to be.
    let weights = folder.path().join("weights.safetensors");
    save_weights(&weights, &model.parameters(), &[], DType::F32).unwrap();
    let error = trainer(&device, &larger).resume(&weights).unwrap_err();
    assert!(error.to_string().contains("no run of training"), "{error}");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&weights, &whole[..length]).unwrap();
        let outcome = trainer(&device, &model).resume(&weights);
        assert!(matches!(outcome, Err(Error::File { .. })), "{length}: {outcome:?}");
    }
    assert!(matches!(trainer(&device, &model).resume(folder.path().join("none")), Err(Error::Io { .. })));
    assert_eq!(bits(&larger.parameters()), before);
}

/// The best weights of a run are kept while it goes on, and come back to the bit.
#[test]
fn parameters_alone_are_kept_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    for device in common::devices() {
        let model = TransformerSeq2Seq::random(&device, &config(), 7).unwrap();
        let mut trainer = trainer(&device, &model);
        let steps = |trainer: &mut Trainer, count: usize| {
            for _ in 0..count {
                trainer.step(|recording| loss(recording, &model)).unwrap();
            }
            bits(&model.parameters())
        };
        let state = TrainingState::from([("score".to_owned(), "0.5".to_owned())]);
        let best = steps(&mut trainer, 5);
        trainer.save_parameters(&path, &state).unwrap();
        assert_ne!(steps(&mut trainer, 3), best);
        assert_eq!(trainer.load_parameters(&path).unwrap(), state);
        assert_eq!((bits(&model.parameters()), trainer.steps()), (best, 8), "{}", device.name());
        // A whole run is no such file, nor is this a run.
        assert!(matches!(trainer.resume(&path), Err(Error::MissingTensor { .. })));
        trainer.save(&path, &state).unwrap();
        assert!(matches!(trainer.load_parameters(&path), Err(Error::File { .. })));
    }
}

/// A folder that cannot be written to leaves the run that is there.
#[cfg(unix)]
#[test]
fn what_cannot_be_written_leaves_what_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let model = TransformerSeq2Seq::random(&device, &config(), 1).unwrap();
    let trainer = trainer(&device, &model);
    trainer.save(&path, &TrainingState::new()).unwrap();
    let before = std::fs::read(&path).unwrap();
    std::fs::create_dir(folder.path().join("run.safetensors.partial")).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(trainer.save(&path, &TrainingState::new()), Err(Error::Io { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Of all translators that are part of the crate.
#[test]
fn a_folder_that_is_written_is_read_as_it_was() {
    let device = Device::cpu();
    for model in EmbeddedModel::ALL {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in model.texts() {
            std::fs::write(folder.path().join(name), contents).unwrap();
        }
        let path = folder.path().join("model.safetensors");
        let own = Translator::untrained(&device, model.folder().unwrap(), 5).unwrap();
        own.save_weights(&path, DType::F32).unwrap();
        let read = Translator::from_dir(&device, folder.path(), DType::F32).unwrap();
        assert_eq!(bits(&read.parameters()), bits(&own.parameters()), "{}", model.name());
        // The names are those of the model that others trained.
        let own = attentive::weights::Checkpoint::open(&path).unwrap();
        let theirs = model.folder().unwrap().checkpoint;
        assert_eq!(own.names().collect::<Vec<_>>(), theirs.names().collect::<Vec<_>>());
        for name in own.names() {
            assert_eq!(own.shape(name), theirs.shape(name), "{name}");
        }
    }
}

/// A translator learns a few pairs by heart, and then writes them.
#[test]
fn translators_learn_pairs_by_heart() {
    const STEPS: u64 = 100;
    let device = Device::cpu();
    for model in [EmbeddedModel::DatesTransformer, EmbeddedModel::DatesGru] {
        let translator = Translator::untrained(&device, model.folder().unwrap(), 2).unwrap();
        let texts = ["one", "two", "ninety-nine", "le 3 mai 1979"];
        let answers = ["1", "2", "99", "1979-05-03"];
        let ids = |texts: &[&str]| -> Vec<Vec<u32>> {
            let encoded = translator.tokenizer().encode_batch(texts, 64).unwrap();
            encoded.into_iter().map(|encoding| encoding.ids).collect()
        };
        let (sources, targets) = (ids(&texts), ids(&answers));
        let [sources, targets]: [Vec<&[u32]>; 2] =
            [sources.iter().map(Vec::as_slice).collect(), targets.iter().map(Vec::as_slice).collect()];
        let algorithm = AdamW { learning_rate: 0.004, weight_decay: 0.0, ..AdamW::default() };
        let trainer = Trainer::new(&device, algorithm, translator.parameters()).unwrap();
        let schedule = Schedule::Linear { warmup: 10, steps: STEPS };
        let mut trainer = trainer.schedule(schedule).unwrap().clip(1.0).unwrap();
        let what = format!("{} on {}", model.name(), device.name());
        let mut loss = f32::INFINITY;
        for _ in 0..STEPS {
            loss =
                trainer.step(|recording| translator.record_loss(recording, &sources, &targets)).unwrap().loss;
        }
        assert!(loss < 0.1, "{what}: {loss}");
        let found = translator.translate(&texts).run().unwrap();
        let found: Vec<&str> = found.texts.iter().map(|found| found[0].text.as_str()).collect();
        assert_eq!(found, answers, "{what}");
    }
}

/// What is written has the names of transformers' `BertForPreTraining`, and is read as it was, heads and all.
#[test]
fn a_bert_that_is_written_is_read_as_it_was() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let (own, inputs) = bert(&device);
    let vocabulary = WordPieceVocabulary::train(&Corpus::parse(VERSES).documents().concat(), 60).unwrap();
    std::fs::write(folder.path().join("config.json"), bert_config(vocabulary.tokens().len())).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), vocabulary.tokenizer_json()).unwrap();
    let path = folder.path().join("model.safetensors");
    own.save_weights(&path, DType::F32).unwrap();
    let read = BertModel::from_dir(&device, folder.path()).unwrap();
    let kinds: Vec<HeadKind> = read.heads().iter().map(|head| head.kind()).collect();
    assert_eq!(kinds, [HeadKind::Pooler, HeadKind::MaskedLanguage, HeadKind::NextSentence]);
    // The pooler, which two heads have, is there once.
    let by_name = |model: &BertModel| {
        let mut all = model.parameters();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        (all.iter().map(|parameter| parameter.name().to_owned()).collect::<Vec<_>>(), bits(&all))
    };
    assert_eq!(by_name(&read), by_name(&own));
    assert_eq!(read.weight_bytes(), own.weight_bytes());
    assert_eq!(read.pretraining_inputs(&Corpus::parse(VERSES), &Masking::default(), 5).unwrap(), inputs);
    // The names are those of the fixture, which transformers wrote.
    let fixture = common::repository().join("tests/fixtures/heads/bert-pretraining");
    let [own, theirs] = [folder.path(), &fixture].map(|folder| {
        let checkpoint = attentive::weights::Checkpoint::open(folder).unwrap();
        // The fixture's norms have their names of TensorFlow's time.
        let new = |name: &str| name.replace("gamma", "weight").replace("beta", "bias");
        checkpoint.names().map(new).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(own, theirs);
}

#[test]
fn a_bert_learns_verses_by_heart() {
    let device = Device::cpu();
    let (bert, inputs) = bert(&device);
    let algorithm = AdamW { learning_rate: 0.005, weight_decay: 0.0, ..AdamW::default() };
    let mut trainer = Trainer::new(&device, algorithm, bert.parameters()).unwrap().clip(1.0).unwrap();
    let losses: Vec<f32> = (0..150)
        .map(|_| trainer.step(|recording| bert.record_pretraining_loss(recording, &inputs)).unwrap().loss)
        .collect();
    assert!(losses[0] > 3.0 && losses[149] < 0.05, "{losses:?}");
}

#[test]
fn inputs_that_fit_nothing_are_refused() {
    let device = Device::cpu();
    let (bert, inputs) = bert(&device);
    let refused = |change: &dyn Fn(&mut PretrainingInput), words: &str| {
        let mut inputs = inputs.clone();
        change(&mut inputs[1]);
        let mut recording = Recording::new(&device);
        let error = bert.record_pretraining_loss(&mut recording, &inputs).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&|input| input.tokens.labels.truncate(0), "the labels of input 1");
    refused(&|input| input.tokens.places[0] = 99, "a place of input 1");
    refused(&|input| input.tokens.labels[0] = 60, "targets");
    refused(&|input| input.tokens.ids[0] = 600, "ids");
    refused(&|input| input.types[0] = 2, "token type");
    refused(&|input| input.tokens.ids.resize(20, 7), "19");
    let error = bert.record_pretraining_loss(&mut Recording::new(&device), &[]).unwrap_err();
    assert!(error.to_string().contains("one at least"), "{error}");
    // A head that the model was not made with.
    assert!(bert.head(HeadKind::Sequence).unwrap_err().to_string().contains("asked for"));
    let vocabulary = WordPieceVocabulary::train(&["a b c"], 60).unwrap();
    let made = |config: &str, kinds: &[HeadKind]| {
        let tokenizer = vocabulary.tokenizer().unwrap();
        BertModel::untrained(&device, config.as_bytes(), tokenizer, kinds, 1).unwrap_err().to_string()
    };
    let small = bert_config(60).replace("\"max_position_embeddings\":19", "\"max_position_embeddings\":3");
    assert!(made(&small, &[]).contains("above 3, the special tokens of a pair"));
    assert!(made(&bert_config(7), &[]).contains("vocabulary size (7)"));
    let distilbert = r#"{ "model_type": "distilbert", "vocab_size": 60, "dim": 8, "n_layers": 1, "n_heads": 2,
        "hidden_dim": 8, "max_position_embeddings": 16 }"#;
    assert!(made(distilbert, &[HeadKind::NextSentence]).contains("next-sentence head"));
}

/// An encoder of each family under a new classifier: it learns labels by heart, and is a folder of its family's class.
#[test]
fn every_familys_encoder_takes_a_new_classifier() {
    let device = Device::cpu();
    let labels = ["no", "perhaps", "yes"].map(str::to_owned);
    for (name, class) in [
        ("bert-pretraining", "Bert"),
        ("roberta-mlm", "Roberta"),
        ("distilbert-mlm", "DistilBert"),
        ("electra-mlm", "Electra"),
    ] {
        let from = common::repository().join("tests/fixtures/heads").join(name);
        let made = |kind, labels: &[String]| BertModel::with_new_head(&device, &from, kind, labels, 4);
        let model = made(HeadKind::Sequence, &labels).unwrap();
        let texts = ["the cat sat", "hello world", "this is it"];
        let encoded = model.tokenizer().encode_batch(&texts, 16).unwrap();
        let encoded: Vec<_> = encoded.iter().collect();
        let algorithm = AdamW { learning_rate: 0.003, ..AdamW::default() };
        let mut trainer = Trainer::new(&device, algorithm, model.parameters()).unwrap().clip(1.0).unwrap();
        let mut step = |labels: &[u32]| {
            trainer.step(|recording| model.record_classification_loss(recording, &encoded, labels))
        };
        let losses: Vec<f32> = (0..80).map(|_| step(&[2, 0, 1]).unwrap().loss).collect();
        assert!(losses[0] > 0.5 && losses[79] < 0.1, "{name}: {losses:?}");
        for wrong in [&[2, 0, 3][..], &[2, 0]] {
            assert!(step(wrong).unwrap_err().to_string().contains("targets"), "{name}");
        }
        let none = model.record_classification_loss(&mut Recording::new(&device), &[], &[]);
        assert!(none.unwrap_err().to_string().contains("one at least"));
        let folder = tempfile::tempdir().unwrap();
        model.save_classifier(&from, folder.path(), DType::F32).unwrap();
        let read = BertModel::from_dir(&device, folder.path()).unwrap();
        let sorted = |model: &BertModel| {
            let mut all = model.parameters();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            bits(&all)
        };
        assert_eq!(sorted(&read), sorted(&model), "{name}");
        let found = read.classify(&texts).run().unwrap();
        assert_eq!(found.labels, labels);
        let best: Vec<_> = found.answers.iter().map(|scores| scores.best()).collect();
        assert_eq!(best, [Some(2), Some(0), Some(1)], "{name}");
        let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
        assert!(config.contains(&format!("\"{class}ForSequenceClassification\"")), "{config}");
        // One of tokens is read as one of tokens.
        made(HeadKind::Token, &labels).unwrap().save_classifier(&from, folder.path(), DType::F32).unwrap();
        let kinds = BertModel::heads_of(folder.path()).unwrap();
        assert!(
            kinds.contains(&HeadKind::Token) && !kinds.contains(&HeadKind::Sequence),
            "{name}: {kinds:?}"
        );
        // What is no classifier, or has nothing to tell apart; a folder twice; a model without a classifier.
        assert!(
            made(HeadKind::MaskedLanguage, &labels).is_err()
                && made(HeadKind::Sequence, &labels[..1]).is_err()
        );
        let error = model.save_classifier(&from, &from, DType::F32).unwrap_err();
        assert!(error.to_string().contains("another than the model's own"), "{error}");
        let error =
            BertModel::from_dir(&device, &from).unwrap().save_classifier(&from, folder.path(), DType::F32);
        assert!(error.unwrap_err().to_string().contains("one with a classifier"));
    }
}
