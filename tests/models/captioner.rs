//! The captioner: its loss and gradients against the same model in f64, what it writes, folders, and what is refused.

use std::collections::HashMap;

use attentive::kernel::Inputs;
use attentive::layers::Parameter;
use attentive::models::{AttentionTerms, Captioner, EarlyStopping, Region, Strategy};
use attentive::recording::Recording;
use attentive::train::{AdamW, Trainer};
use attentive::weights::{CaptionerConfig, CaptionerFolder, Checkpoint};
use attentive::{DType, Device, Error};

use crate::common;

const WORDS: [&str; 7] = ["<pad>", "</s>", "a", "blue", "duck", "red", "two"];

/// Sizes that are no multiples of each other; patches reach over their place and over the edge.
fn config() -> serde_json::Value {
    serde_json::json!({
        "model_type": "attentive-captioner", "vocab_size": 7, "image_size": 8, "patch_size": 6,
        "patch_stride": 4, "feature_size": 9, "annotation_size": 10, "embedding_size": 5, "hidden_size": 11,
        "attention_size": 6, "readout_size": 3, "pad_token_id": 0, "eos_token_id": 1, "max_length": 6
    })
}

fn captioner(device: &Device, seed: u64) -> Captioner {
    let config = CaptionerConfig::from_json(config().to_string().as_bytes(), "config.json").unwrap();
    Captioner::untrained(device, config, WORDS.map(str::to_owned).to_vec(), seed).unwrap()
}

fn pictures() -> [Vec<u8>; 3] {
    let mut inputs = Inputs::new(4);
    [(); 3].map(|()| inputs.values(192, 60.0).iter().map(|value| (value + 128.0) as u8).collect())
}

const CAPTIONS: [&[u32]; 3] = [&[2, 3, 4, 1], &[5, 1], &[6, 5, 4, 4, 1]];

/// The same model in f64, from the checkpoint's tensors.
struct Reference(HashMap<String, Vec<f64>>);

impl Reference {
    fn of(captioner: &Captioner) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        captioner.save_weights(&path, DType::F32).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tensor = |name: &str| {
            let values = checkpoint.tensor_f32(name, checkpoint.shape(name).unwrap()).unwrap();
            (name.to_owned(), values.into_iter().map(f64::from).collect())
        };
        Self(checkpoint.names().map(tensor).collect())
    }

    /// W·x + b, b if there is one.
    fn linear(&self, weight: &str, bias: &str, x: &[f64]) -> Vec<f64> {
        let rows = self.0[weight].chunks_exact(x.len());
        let products = rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
        match self.0.get(bias) {
            None => products.collect(),
            Some(bias) => products.zip(bias).map(|(product, bias)| product + bias).collect(),
        }
    }

    fn layer(&self, name: &str, x: &[f64]) -> Vec<f64> {
        self.linear(&format!("{name}.weight"), &format!("{name}.bias"), x)
    }

    /// `[places][annotation_dim]`, from pixels (x, y) around each place.
    fn annotations(&self, picture: &[u8]) -> Vec<Vec<f64>> {
        let relu =
            |values: Vec<f64>| -> Vec<f64> { values.into_iter().map(|value| value.max(0.0)).collect() };
        let annotation = |place: usize| {
            let mut patch = Vec::new();
            for y in -1..5_i32 {
                for x in -1..5_i32 {
                    let (x, y) = (x + 4 * (place as i32 % 2), y + 4 * (place as i32 / 2));
                    let is_inside = (0..8).contains(&x) && (0..8).contains(&y);
                    let value = |channel: i32| f64::from(picture[((y * 8 + x) * 3 + channel) as usize]);
                    patch.extend((0..3).map(|c| if is_inside { value(c) / 127.5 - 1.0 } else { 0.0 }));
                }
            }
            // The middles of 2 by 2 places.
            patch.extend([place % 2, place / 2].map(|at| at as f64 - 0.5));
            relu(self.layer("annotation", &relu(self.layer("patch", &patch))))
        };
        (0..4).map(annotation).collect()
    }

    /// The loss as [`Captioner::record_loss`] has it.
    fn loss(&self, pictures: &[Vec<u8>], captions: &[&[u32]], terms: &AttentionTerms<'_>) -> f64 {
        let (mut losses, mut words, mut spread, mut missed) = (0.0, 0, 0.0, 0.0);
        for (index, (picture, caption)) in pictures.iter().zip(captions).enumerate() {
            let annotations = self.annotations(picture);
            let mean: Vec<f64> =
                (0..10).map(|column| annotations.iter().map(|row| row[column]).sum::<f64>() / 4.0).collect();
            let largest = |column: usize| annotations.iter().map(|row| row[column]).fold(0.0, f64::max);
            let initial: Vec<f64> = mean.into_iter().chain((0..10).map(largest)).collect();
            let mut state: Vec<f64> = self.layer("initial", &initial).into_iter().map(f64::tanh).collect();
            let mut looked = [0.0; 4];
            let read = std::iter::once(&0).chain(*caption);
            for (word, (&token, &next)) in read.zip(*caption).enumerate() {
                let query = self.linear("attention.query.weight", "", &state);
                let score = |annotation: &Vec<f64>| -> f64 {
                    let key = self.layer("attention.key", annotation);
                    let inner = key.iter().zip(&query).map(|(key, query)| (key + query).tanh());
                    inner.zip(&self.0["attention.value.weight"]).map(|(inner, w)| inner * w).sum()
                };
                let weights = softmax(&annotations.iter().map(score).collect::<Vec<_>>());
                let context: Vec<f64> = (0..10)
                    .map(|column| weights.iter().zip(&annotations).map(|(w, row)| w * row[column]).sum())
                    .collect();
                let regions = terms.regions.get(index).into_iter().flatten();
                for region in regions.filter(|region| region.word == word) {
                    let inside: f64 = region.places.iter().map(|&place| weights[place]).sum();
                    missed += (1.0 - inside) * (1.0 - inside);
                }
                looked.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += weight);
                let embedded = &self.0["target_embedding.weight"][token as usize * 5..][..5];
                let input = [embedded, &context].concat();
                let x = self.linear("decoder.weight_ih", "decoder.bias_ih", &input);
                let h = self.linear("decoder.weight_hh", "decoder.bias_hh", &state);
                let sigmoid = |value: f64| 1.0 / (1.0 + (-value).exp());
                state = (0..11)
                    .map(|unit| {
                        let [reset, update] = [0, 11].map(|gate| sigmoid(x[gate + unit] + h[gate + unit]));
                        let new = (x[22 + unit] + reset * h[22 + unit]).tanh();
                        new + update * (state[unit] - new)
                    })
                    .collect();
                let halves = self.layer("readout", &[&state[..], embedded, &context].concat());
                let readout: Vec<f64> = (0..3).map(|unit| halves[unit].max(halves[unit + 3])).collect();
                losses -= softmax(&self.layer("output", &readout))[next as usize].ln();
                words += 1;
            }
            spread += looked.iter().map(|sum| (1.0 - sum) * (1.0 - sum)).sum::<f64>();
        }
        let regions: usize = terms.regions.iter().map(Vec::len).sum();
        losses / f64::from(words)
            + f64::from(terms.doubly_stochastic) * spread / pictures.len() as f64
            + f64::from(terms.correctness) * missed / regions.max(1) as f64
    }

    /// With that many times `values` added to a parameter.
    fn moved(&self, parameter: &Parameter, values: &[f32], times: f64) -> Self {
        let mut tensors = self.0.clone();
        let rows = parameter.tensor.shape().dims().first().copied().unwrap_or(1);
        let columns = values.len() / rows;
        for slice in &parameter.slices {
            let wide = if slice.shape.len() > 1 { slice.shape[1] } else { 1 };
            let tensor = tensors.get_mut(&slice.name).unwrap();
            for (to, from) in (slice.at[0]..).zip(slice.rows.clone()) {
                let to = &mut tensor[to * wide + slice.at[1]..][..columns];
                let from = &values[from * columns..][..columns];
                to.iter_mut().zip(from).for_each(|(to, &value)| *to += times * f64::from(value));
            }
        }
        Self(tensors)
    }
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
}

/// The loss is that of the model in f64, and each parameter's gradient the slope of that one.
#[test]
fn the_loss_and_its_gradients_are_those_of_the_model_in_f64() {
    let owned = pictures();
    let pictures: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
    for device in common::devices() {
        let captioner = captioner(&device, 3);
        let reference = Reference::of(&captioner);
        let region = |word, places: &[usize]| Region { word, places: places.to_vec() };
        let regions = [vec![region(1, &[0, 3]), region(2, &[1])], vec![], vec![region(4, &[2])]];
        let all = AttentionTerms { doubly_stochastic: 0.7, correctness: 0.6, regions: &regions };
        let spread = AttentionTerms { doubly_stochastic: 0.7, ..AttentionTerms::default() };
        for terms in [AttentionTerms::default(), spread, all] {
            let parameters = captioner.parameters();
            let tensors = parameters.iter().map(|parameter| &parameter.tensor);
            let mut recording = Recording::training(&device, tensors).unwrap();
            let loss = captioner.record_loss(&mut recording, &pictures, &CAPTIONS, &terms).unwrap();
            let gradients = recording.backward(&loss).unwrap();
            let found: Vec<_> = parameters
                .iter()
                .map(|parameter| gradients.of_parameter(&recording, &parameter.tensor).unwrap())
                .collect();
            found.iter().chain([&loss]).for_each(|value| recording.output(value).unwrap());
            let outputs = recording.run().unwrap();
            let loss: f64 = outputs.tensor(&loss).unwrap().to_f32().unwrap()[0].into();
            let expected = reference.loss(&owned, &CAPTIONS, &terms);
            assert!((loss - expected).abs() <= 2e-6 * expected, "{}: {loss}, {expected}", device.name());
            for (parameter, gradient) in parameters.iter().zip(&found) {
                let gradient = outputs.tensor(gradient).unwrap().to_f32().unwrap();
                let norm = gradient.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
                let at = |times: f64| {
                    let moved = reference.moved(parameter, &gradient, times / norm);
                    moved.loss(&owned, &CAPTIONS, &terms)
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                let (name, error) = (parameter.name(), (slope - norm).abs());
                assert!(norm > 1e-4, "{}: {name}: {norm:e}", device.name());
                assert!(error <= 2e-5 * norm, "{}: {name}: {slope:e} and {norm:e}", device.name());
            }
        }
    }
}

/// It learns three pictures by heart, and writes their captions, greedily and by beams, on every device.
#[test]
fn pictures_are_learnt_by_heart() {
    let owned = pictures();
    let pictures: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
    let texts = ["a blue duck", "red", "two red duck duck"];
    for device in common::devices() {
        let captioner = captioner(&device, 5);
        let captions = texts.map(|text| captioner.encode(text).unwrap());
        assert_eq!(captions[0], CAPTIONS[0]);
        let captions: Vec<&[u32]> = captions.iter().map(Vec::as_slice).collect();
        let algorithm = AdamW { learning_rate: 0.02, ..AdamW::default() };
        let mut trainer = Trainer::new(&device, algorithm, captioner.parameters()).unwrap();
        for _ in 0..80 {
            let terms = AttentionTerms { doubly_stochastic: 0.01, ..AttentionTerms::default() };
            trainer.step(|recording| captioner.record_loss(recording, &pictures, &captions, &terms)).unwrap();
        }
        let beams =
            Strategy::Beam { beams: 3, length_penalty: 1.0, early_stopping: EarlyStopping::default() };
        for (strategy, n_best) in [(Strategy::Greedy, 1), (beams, 3)] {
            let mut told = Vec::new();
            let run = captioner.caption(&pictures).strategy(strategy).n_best(n_best);
            let found = run.progress(|done, all| told.push((done, all))).run().unwrap();
            assert_eq!(told.last(), Some(&(3, 3)));
            assert!(found.not_finite().is_empty());
            for (captions, text) in found.pictures.iter().zip(texts) {
                assert_eq!(captions.len(), n_best);
                let caption = &captions[0];
                assert_eq!(caption.text, text, "{}", device.name());
                assert!(caption.stopped && caption.probability() > 0.5);
                let [layers, heads, words, places] = caption.attention.shape();
                assert_eq!([layers, heads, words, places], [1, 1, caption.ids.len(), 4]);
                for word in 0..words {
                    let weights = caption.attention.row(0, 0, word);
                    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    let [x, y] = caption.peak(word).unwrap();
                    assert!(weights.iter().all(|&weight| weight <= weights[y * 2 + x]));
                }
                assert_eq!(caption.peak(words), None);
                let names: Vec<&str> =
                    caption.attention.rows().iter().map(|token| token.label.as_str()).collect();
                assert_eq!(names.join(" "), format!("{text} </s>"));
            }
        }
        // At the limit it is cut, and says so.
        let cut = captioner.caption(&pictures[..1]).max_tokens(2).run().unwrap();
        assert_eq!((cut.pictures[0][0].text.as_str(), cut.pictures[0][0].stopped), ("a blue", false));
        assert!(captioner.caption(&[]).run().unwrap().pictures.is_empty());
    }
}

fn written(captioner: &Captioner, dtype: DType) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config().to_string()).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), WORDS.join("\n")).unwrap();
    captioner.save_weights(folder.path().join("model.safetensors"), dtype).unwrap();
    folder
}

#[test]
fn a_folder_that_is_written_is_read_as_it_was() {
    let device = Device::cpu();
    let own = captioner(&device, 5);
    let folder = written(&own, DType::F32);
    let read = Captioner::from_dir(&device, folder.path(), DType::F32).unwrap();
    let values = |captioner: &Captioner| -> Vec<Vec<f32>> {
        captioner.parameters().iter().map(|parameter| parameter.tensor.to_f32().unwrap()).collect()
    };
    assert_eq!(values(&read), values(&own));
    assert_eq!((read.config(), read.vocabulary()), (own.config(), own.vocabulary()));
    // In f16 on both sides it says the same, within what f16 is.
    let folder = written(&own, DType::F16);
    let half = Captioner::from_dir(&device, folder.path(), DType::F16).unwrap();
    assert!(half.weight_bytes() < own.weight_bytes());
    let owned = pictures();
    let pictures: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
    let [first, second] = [&own, &half].map(|model| model.caption(&pictures).run().unwrap().pictures);
    for (first, second) in first.iter().flatten().zip(second.iter().flatten()) {
        assert!((first.log_probability - second.log_probability).abs() < 0.1);
    }
}

#[test]
fn a_damaged_folder_is_refused() {
    let device = Device::cpu();
    let own = captioner(&device, 5);
    let refused = |change: &dyn Fn(&std::path::Path), message: &str| {
        let folder = written(&own, DType::F32);
        change(folder.path());
        let error = Captioner::from_dir(&device, folder.path(), DType::F32).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    let with = |key: &'static str, value: serde_json::Value| {
        move |folder: &std::path::Path| {
            let mut config = config();
            config[key] = value.clone();
            std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        }
    };
    refused(&|folder| std::fs::remove_file(folder.join("config.json")).unwrap(), "config.json");
    refused(&|folder| std::fs::remove_file(folder.join("vocab.txt")).unwrap(), "the words of captions");
    refused(&|folder| std::fs::write(folder.join("vocab.txt"), "a\nb").unwrap(), "has 2 words");
    refused(&|folder| std::fs::write(folder.join("model.safetensors"), "").unwrap(), "model.safetensors");
    refused(&with("model_type", "marian".into()), "attentive-captioner");
    refused(&with("hidden_size", 12.into()), "[12, 20]");
    refused(&with("patch_size", 4.into()), "[9, 50]");
    let other = tempfile::tempdir().unwrap();
    let error = Captioner::from_dir(&device, other.path().join("none"), DType::F32).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let folder = written(&own, DType::F32);
    assert!(CaptionerFolder::open(folder.path()).is_ok());
    let error = Captioner::from_dir(&device, folder.path(), DType::U32).unwrap_err();
    assert!(error.to_string().contains("u32"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::cpu();
    let captioner = captioner(&device, 5);
    let [picture, ..] = pictures();
    let refused = |pictures: &[&[u8]], captions: &[&[u32]], terms: &AttentionTerms<'_>, words: &[&str]| {
        let mut recording = Recording::new(&device);
        let error = captioner.record_loss(&mut recording, pictures, captions, terms).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let none = AttentionTerms::default();
    refused(&[&picture], &[], &none, &["captions", "as many as the 1 pictures", "0"]);
    refused(&[], &[], &none, &["the pictures", "at least 1"]);
    refused(&[&picture[1..]], &[CAPTIONS[0]], &none, &["picture 0", "[8, 8, 3], 192 bytes", "191"]);
    refused(&[&picture], &[&[7, 1]], &none, &["7"]);
    refused(&[&picture], &[&[]], &none, &["caption 0", "at least 1 token"]);
    let with =
        |terms: AttentionTerms<'_>, words: &[&str]| refused(&[&picture], &[CAPTIONS[0]], &terms, words);
    with(AttentionTerms { doubly_stochastic: -1.0, ..none }, &["doubly_stochastic", "-1"]);
    with(AttentionTerms { correctness: f32::NAN, ..none }, &["correctness", "NaN"]);
    with(AttentionTerms { correctness: 1.0, ..none }, &["regions", "as many as the 1 captions", "0"]);
    for (word, place, message) in [(4, 0, "of a word below 4"), (0, 4, "of places below 4")] {
        let regions = [vec![Region { word, places: vec![place] }]];
        with(AttentionTerms { correctness: 1.0, regions: &regions, ..none }, &["regions 0", message, "4"]);
    }
    for (text, message) in [("a green duck", "`green`"), ("a a a a a a", "at most 5 words")] {
        let error = captioner.encode(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let error = captioner.caption(&[&picture[..3]]).run().unwrap_err().to_string();
    assert!(error.contains("picture 0") && error.contains("3 bytes"), "{error}");
    assert!(captioner.caption(&[&picture]).max_tokens(0).run().is_err());
    let stopped = captioner.caption(&[&picture]).progress(|_, _| std::ops::ControlFlow::Break(())).run();
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    let config = CaptionerConfig::from_json(config().to_string().as_bytes(), "config.json").unwrap();
    let error = Captioner::untrained(&device, config, vec!["a".to_owned()], 1).unwrap_err().to_string();
    assert!(error.contains("7 words"), "{error}");
}
