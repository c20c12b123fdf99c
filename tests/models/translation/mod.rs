//! Encoder–decoder models against transformers: logits, greedy and beam outputs, what is refused.

mod dates;

use crate::common;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attentive::layers::LayerCapture;
use attentive::models::{
    EarlyStopping, EmbeddedModel, GenerationOptions, MapToken, Seq2SeqAttention, Strategy, Translation,
    Translator,
};
use attentive::weights::Checkpoint;
use attentive::{DType, Device, Error, Recording};
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    common::repository().join("tests/fixtures")
}

fn folder(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

const FOLDERS: [&str; 4] = ["tiny-marian", "tiny-marian-spm", "tiny-marian-separate", "tiny-marian-tied"];

#[test]
fn logits_are_those_of_transformers() {
    for name in FOLDERS {
        let folder = folder(name);
        let expected = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
        let tolerance = &json(&folder.join("texts.json"))["tolerance"]["logits"];
        let [rtol, atol] = ["rtol", "atol"].map(|key| tolerance[key].as_f64().unwrap());
        // What the project promises.
        assert!(atol <= 1e-4);
        let rows = |name: &str, lengths: Option<&[usize]>| -> Vec<Vec<u32>> {
            let dims = expected.shape(name).unwrap().to_vec();
            let values = expected.tensor_i64(name, &dims).unwrap();
            let rows = values.chunks(dims[1]).enumerate();
            rows.map(|(row, ids)| {
                let length = lengths.map_or(ids.len(), |lengths| lengths[row]);
                ids[..length].iter().map(|&id| id as u32).collect()
            })
            .collect()
        };
        let masks = rows("attention_mask", None);
        let source_lengths: Vec<usize> = masks.iter().map(|row| row.iter().sum::<u32>() as usize).collect();
        let sources = rows("input_ids", Some(&source_lengths));
        let target_lengths = expected.tensor_i64("decoder_lengths", &[sources.len()]).unwrap();
        let target_lengths: Vec<usize> = target_lengths.iter().map(|&length| length as usize).collect();
        let targets = rows("decoder_input_ids", Some(&target_lengths));
        let dims = expected.shape("logits").unwrap().to_vec();
        let logits = expected.tensor_f32("logits", &dims).unwrap();
        for device in common::devices() {
            let translator = Translator::from_dir(&device, &folder, DType::F32).unwrap();
            let model = translator.transformer().unwrap();
            let slices = |rows: &'_ [Vec<u32>]| rows.iter().map(|row| row.to_owned()).collect::<Vec<_>>();
            let (sources, targets) = (slices(&sources), slices(&targets));
            let sources: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
            let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
            let mut recording = Recording::new(&device);
            let value = model.record_logits(&mut recording, &sources, &targets).unwrap();
            assert_eq!(value.shape().dims(), dims);
            recording.output(&value).unwrap();
            let got = recording.run().unwrap().tensor(&value).unwrap().to_f32().unwrap();
            for (place, (got, want)) in got.iter().zip(&logits).enumerate() {
                let (text, position) = (place / dims[2] / dims[1], place / dims[2] % dims[1]);
                if position < target_lengths[text] {
                    let bound = atol + rtol * f64::from(want.abs());
                    let error = (f64::from(*got) - f64::from(*want)).abs();
                    assert!(
                        error <= bound,
                        "{name} on {}: [{text}, {position}] {got} for {want}",
                        device.name()
                    );
                }
            }
        }
    }
}

/// The options of a case of `generation.json`, over what the folder says.
fn options(case: &Value, translator: &Translator) -> GenerationOptions {
    let mut options = translator.options().clone();
    let beams = case["num_beams"].as_u64().unwrap() as usize;
    options.strategy = match beams {
        1 => Strategy::Greedy,
        beams => Strategy::Beam {
            beams,
            length_penalty: case["length_penalty"].as_f64().unwrap() as f32,
            early_stopping: match &case["early_stopping"] {
                Value::Bool(true) => EarlyStopping::Yes,
                Value::Bool(false) => EarlyStopping::No,
                never => {
                    assert_eq!(never, "never");
                    EarlyStopping::Never
                }
            },
        },
    };
    options.n_best = case["num_return_sequences"].as_u64().unwrap() as usize;
    options.max_tokens = case["max_length"].as_u64().unwrap() as usize - 1;
    options.rules.forced_last = case["forced_eos_token_id"].as_u64().map(|id| id as u32);
    options.rules.renormalize = case["renormalize_logits"].as_bool().unwrap_or(false);
    let lists = case["bad_words_ids"].as_array().into_iter().flatten();
    options.rules.forbidden = lists.map(ids).collect();
    options
}

#[test]
fn outputs_are_those_of_transformers() {
    for name in &FOLDERS[..3] {
        let folder = folder(name);
        let [texts, generation] = ["texts.json", "generation.json"].map(|file| json(&folder.join(file)));
        let places = ids(&generation["texts"]);
        let texts: Vec<&str> =
            places.iter().map(|&place| texts["texts"][place as usize]["text"].as_str().unwrap()).collect();
        let cases = generation["cases"].as_array().unwrap();
        assert!(cases.len() >= 16);
        for device in common::devices() {
            let translator = Translator::from_dir(&device, &folder, DType::F32).unwrap();
            // All of them on the CPU device; what differs on an adapter are the logits alone.
            let each = if device.is_cpu() { 1 } else { 7 };
            for (place, case) in cases.iter().enumerate().step_by(each) {
                let what = format!("{name}, case {place} on {}", device.name());
                let options = options(case, &translator);
                let found = translator.translate(&texts).options(options.clone()).run().unwrap();
                let scores = if case["num_beams"] == 1 { "log_probabilities" } else { "sequences_scores" };
                for (text, outputs) in found.texts.iter().enumerate() {
                    assert_eq!(outputs.len(), options.n_best);
                    for (rank, output) in outputs.iter().enumerate() {
                        assert_eq!(
                            output.ids,
                            ids(&case["sequences"][text][rank]),
                            "{what}: text {text}, {rank}"
                        );
                        let want = case[scores][text][rank].as_f64().unwrap();
                        assert!(
                            (output.score - want).abs() <= 1e-4 * want.abs().max(1.0),
                            "{what}: {}",
                            output.score
                        );
                        let is_end = output.ids.last().is_some_and(|id| options.rules.stop.contains(id));
                        assert_eq!(output.stopped, is_end);
                    }
                }
            }
        }
    }
}

#[test]
fn f16_weights_give_like_logits() {
    for device in common::devices() {
        let texts = ["the cat sat on the mat"];
        let run = |dtype| {
            let translator = Translator::from_dir(&device, folder("tiny-marian-spm"), dtype).unwrap();
            let found = translator.translate(&texts).strategy(Strategy::Greedy).run().unwrap();
            (found.texts[0][0].clone(), translator.weight_bytes())
        };
        // That folder's weights are f16 already, but for the positions, which stay f32.
        let ((narrow, few), (wide, many)) = (run(DType::F16), run(DType::F32));
        assert_eq!(narrow.ids, wide.ids, "{}", device.name());
        assert!((narrow.score - wide.score).abs() < 1e-3 && few < many);
    }
}

#[test]
fn weight_bytes_are_the_checkpoints() {
    for name in FOLDERS {
        let checkpoint = Checkpoint::open(folder(name).join("model.safetensors")).unwrap();
        let translator = Translator::from_dir(&Device::cpu(), folder(name), DType::F32).unwrap();
        let config = translator.transformer().unwrap().config();
        // What a folder may repeat, and what it may leave out.
        let repeats = |name: &str| match config.shared_embeddings {
            true => name.ends_with("embed_tokens.weight") || (config.tied_output && name == "lm_head.weight"),
            false => config.tied_output && name == "lm_head.weight",
        };
        let elements = |name: &str| checkpoint.shape(name).unwrap().iter().product::<usize>();
        let mut expected: usize = checkpoint.names().filter(|name| !repeats(name)).map(elements).sum();
        for part in ["encoder", "decoder"] {
            if !checkpoint.contains(&format!("model.{part}.embed_positions.weight")) {
                expected += config.max_positions * config.model_dim;
            }
        }
        if !checkpoint.contains("final_logits_bias") {
            expected += config.target_vocabulary_size;
        }
        assert_eq!(translator.weight_bytes(), 4 * expected as u64, "{name}");
    }
}

#[test]
fn captured_attentions_are_those_of_transformers() {
    let folder = folder("tiny-marian");
    let expected = Checkpoint::open(folder.join("attentions.safetensors")).unwrap();
    let [texts, generation] = ["texts.json", "generation.json"].map(|file| json(&folder.join(file)));
    let text = |place: u32| texts["texts"][place as usize]["text"].as_str().unwrap();
    let texts: Vec<&str> = ids(&generation["texts"]).into_iter().map(text).collect();
    let kinds = [Seq2SeqAttention::Encoder, Seq2SeqAttention::Decoder, Seq2SeqAttention::Cross];
    for device in common::devices() {
        let translator = Translator::from_dir(&device, &folder, DType::F32).unwrap();
        let mut compared = 0;
        for (of, name) in kinds.into_iter().zip(["encoder", "decoder", "cross"]) {
            assert_eq!(translator.attention_size(of), Some([2, 4]));
            for (place, case) in generation["cases"].as_array().unwrap().iter().enumerate() {
                let Some(dims) = expected.shape(&format!("{place}.1.{name}")) else { continue };
                assert_eq!((dims.len(), dims[0]), (4, 2));
                let options = options(case, &translator);
                let plain = translator.translate(&texts).options(options.clone()).run().unwrap();
                // In another order, so that none is taken for another.
                let capture = LayerCapture::of(&[1, 0]).heads(&[3, 1]);
                let found = translator.translate(&texts).options(options).capture(of, capture).run().unwrap();
                for text in [1, 3, 4] {
                    let output = &found.texts[text][0];
                    assert_eq!(output.ids, plain.texts[text][0].ids);
                    let maps = output.attention.as_ref().unwrap();
                    assert_eq!(
                        (maps.layers(), maps.heads()),
                        (&[Some(1), Some(0)][..], &[Some(3), Some(1)][..])
                    );
                    let tensor = format!("{place}.{text}.{name}");
                    let dims = expected.shape(&tensor).unwrap().to_vec();
                    assert_eq!(maps.shape(), [2, 2, dims[2], dims[3]]);
                    let all = expected.tensor_f32(&tensor, &dims).unwrap();
                    let size = dims[2] * dims[3];
                    for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let map = [1, 0][layer] * 4 + [3, 1][head];
                        for (got, want) in maps.map(layer, head).iter().zip(&all[map * size..][..size]) {
                            let what = format!("{tensor} on {}: {got} for {want}", device.name());
                            assert!((got - want).abs() <= 1e-5, "{what}");
                            compared += 1;
                        }
                    }
                }
            }
        }
        assert!(compared > 10_000);
    }
}

#[test]
fn captured_maps_name_what_they_are_between() {
    let device = Device::cpu();
    let translator = Translator::from_dir(&device, folder("tiny-marian"), DType::F32).unwrap();
    let texts = ["the cat sat on the mat", "we sat"];
    let run = |of| {
        let found = translator.translate(&texts).capture(of, LayerCapture::of(&[0])).run().unwrap();
        let output = found.texts[1][0].clone();
        (output.attention.unwrap(), output.ids)
    };
    let labels = |tokens: &[MapToken]| tokens.iter().map(|token| token.label.clone()).collect::<Vec<_>>();
    let (encoder, _) = run(Seq2SeqAttention::Encoder);
    let (decoder, ids) = run(Seq2SeqAttention::Decoder);
    let (cross, _) = run(Seq2SeqAttention::Cross);
    let source = translator.tokenizer().encode("we sat", 64).unwrap().tokens;
    let target = translator.tokenizer().tokens(&ids);
    assert_eq!((labels(encoder.rows()), labels(encoder.columns())), (source.clone(), source.clone()));
    assert_eq!((labels(cross.rows()), labels(cross.columns())), (target.clone(), source));
    assert_eq!(labels(decoder.rows()), target);
    assert_eq!(labels(decoder.columns())[1..], target[..target.len() - 1]);
    let special = |tokens: &[MapToken]| tokens.iter().filter(|token| token.is_special()).count();
    let stopped = usize::from(ids.last().is_some_and(|id| translator.options().rules.stop.contains(id)));
    assert_eq!((special(cross.columns()), special(cross.rows())), (1, stopped));
    // The start token.
    assert!(decoder.columns()[0].is_special());
    assert_eq!(labels(cross.words().columns()), ["we", "sat", "</s>"]);
    for maps in [encoder, decoder, cross] {
        for row in maps.weights().chunks(maps.columns().len()) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn what_cannot_be_translated_is_refused() {
    let device = Device::cpu();
    let translator = Translator::from_dir(&device, folder("tiny-marian"), DType::F32).unwrap();
    let refused = |result: attentive::Result<attentive::models::Translations>, words: &[&str]| {
        let error = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let beams = |beams| Strategy::Beam { beams, length_penalty: 1.0, early_stopping: EarlyStopping::No };
    let texts = ["the cat"];
    refused(translator.translate(&texts).strategy(beams(0)).run(), &["beams", "1 to", "0"]);
    refused(translator.translate(&texts).strategy(beams(2)).n_best(3).run(), &["n_best", "2 beams", "3"]);
    // A target longer than the cache could be.
    refused(translator.translate(&texts).max_tokens(65).run(), &["max_tokens", "at most 64", "65"]);
    let long = ["the cat ".repeat(100)];
    refused(translator.translate(&long).run(), &["text 0", "at most 64 tokens"]);
    assert!(translator.check_source(&long[0]).is_err() && translator.check_source(texts[0]).is_ok());
    // Fewer where tokenizer_config.json says so.
    let fewer = changed("tiny-marian", &[("tokenizer_config.json", Some(r#"{"model_max_length": 3}"#))]);
    let narrow = Translator::from_dir(&device, fewer.path(), DType::F32).unwrap();
    refused(narrow.translate(&["the cat sat on the mat"]).run(), &["text 0", "at most 3 tokens"]);
    for of in [Seq2SeqAttention::Encoder, Seq2SeqAttention::Decoder, Seq2SeqAttention::Cross] {
        let capture = |capture| translator.translate(&texts).capture(of, capture).run();
        refused(capture(LayerCapture::of(&[2])), &["a layer", "2 there are (0 to 1)", "2"]);
        refused(capture(LayerCapture::all().heads(&[0, 4])), &["a head", "4 there are", "4"]);
        refused(capture(LayerCapture::all().heads(&[1, 1])), &["named once", "1"]);
        refused(capture(LayerCapture::all().max_bytes(63)), &["at most 63 bytes", "name fewer layers"]);
    }
    // More samples of one text than a call gives.
    let sample = Strategy::Sample { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };
    let dates = Translator::embedded(&device, EmbeddedModel::DatesGru, DType::F32).unwrap();
    for translator in [&translator, &dates] {
        for n_best in [usize::MAX, 1 << 40] {
            let many = translator.translate(&texts).strategy(sample).n_best(n_best).run();
            refused(many, &["n_best must be at most 1024", &n_best.to_string()]);
        }
    }
    // The text that cannot be read is named by its own number.
    let codes = Translator::from_dir(&device, folder("tiny-marian-spm"), DType::F32).unwrap();
    match codes.translate(&["the cat", "we sat", ">>xyz<< the cat"]).run() {
        Err(Error::Tokenize { index: 2, problem }) => assert!(problem.contains(">>xyz<<"), "{problem}"),
        other => panic!("{other:?}"),
    }
    let none = translator.translate::<&str>(&[]).run().unwrap();
    assert!(none.texts.is_empty());
    // Nothing but the end of the text is a text too.
    assert_eq!(translator.translate(&[""]).run().unwrap().texts[0].len(), 1);
}

#[test]
fn samples_of_a_text_do_not_depend_on_its_batch() {
    let strategy = Strategy::Sample { temperature: 2.0, top_k: 0, top_p: 1.0, seed: 3 };
    let texts = ["we sat", "the cat sat on the mat", "the cat", "we sat"];
    for device in common::devices() {
        let translator = Translator::from_dir(&device, folder("tiny-marian"), DType::F32).unwrap();
        let run = |tokens| {
            let run = translator.translate(&texts).strategy(strategy).n_best(3).max_batch_tokens(tokens);
            run.max_tokens(8).run().unwrap()
        };
        let (together, alone) = (run(4096), run(1));
        assert_eq!((together.statistics.batches, alone.statistics.batches), (1, 4));
        for (together, alone) in together.texts.iter().zip(&alone.texts) {
            let ids = |outputs: &[Translation]| outputs.iter().map(|o| o.ids.clone()).collect::<Vec<_>>();
            assert_eq!(ids(together), ids(alone), "{}", device.name());
        }
        assert_ne!(together.texts[0], together.texts[3]);
    }
}

#[test]
fn an_id_without_a_token_is_left_out_of_the_text() {
    let texts = ["the cat", "we sat on the mat"];
    let name = "tiny-marian-spm";
    let run = |folder: &Path| {
        let translator = Translator::from_dir(&Device::cpu(), folder, DType::F32).unwrap();
        translator.translate(&texts).strategy(Strategy::Greedy).run().unwrap().texts
    };
    let whole = run(&folder(name));
    let mut vocabulary = json(&folder(name).join("vocab.json"));
    let tokens = vocabulary.as_object_mut().unwrap();
    let read = Translator::from_dir(&Device::cpu(), folder(name), DType::F32).unwrap();
    let read = texts.map(|text| read.tokenizer().encode(text, 64).unwrap().ids).concat();
    // Of the words that are written, but not read, one.
    let id = *whole[0][0].ids.iter().find(|id| !read.contains(id)).unwrap();
    tokens.retain(|_, number| *number != id);
    let copy = changed(name, &[("vocab.json", Some(&vocabulary.to_string()))]);
    let found = run(copy.path());
    for (found, whole) in found.iter().zip(&whole) {
        assert_eq!(found[0].ids, whole[0].ids);
        assert_eq!(found[0].text == whole[0].text, !whole[0].ids.contains(&id));
    }
}

#[test]
fn captures_are_bounded_by_the_text_and_in_all() {
    let device = Device::cpu();
    let translator = Translator::from_dir(&device, folder("tiny-marian"), DType::F32).unwrap();
    let texts = ["the cat sat on the mat", "we sat", "the cat", "we sat on the mat"];
    for of in [Seq2SeqAttention::Encoder, Seq2SeqAttention::Decoder, Seq2SeqAttention::Cross] {
        let run = |texts: &[&str], bytes| {
            let capture = LayerCapture::all().max_bytes(bytes);
            translator.translate(texts).strategy(Strategy::Greedy).max_tokens(16).capture(of, capture).run()
        };
        let all = run(&texts, 1 << 30).unwrap();
        assert_eq!(all.statistics.batches, 1);
        let kept =
            |outputs: &[Translation]| 4 * outputs[0].attention.as_ref().unwrap().weights().len() as u64;
        let total = all.texts.iter().map(|text| kept(text)).sum::<u64>();
        // What all texts keep is enough for each by itself, though not for all in one batch.
        let bounded = run(&texts, total).unwrap();
        assert_eq!(bounded.texts, all.texts, "{of:?}");
        // A byte less is refused with the text at which it is too much; one text less is not.
        let error = run(&texts, total - 1).unwrap_err().to_string();
        assert!(error.contains("to text ") && error.contains("for all texts"), "{error}");
        assert!(run(&texts[..3], total - 1).is_ok());
    }
}

/// A copy of a folder with some files changed: the new content, or `None` for a file that is left out.
fn changed(name: &str, files: &[(&str, Option<&str>)]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let files: BTreeMap<&str, Option<&str>> = files.iter().copied().collect();
    for entry in std::fs::read_dir(folder(name)).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        match files.get(file.as_str()) {
            Some(None) => {}
            Some(Some(text)) => std::fs::write(copy.path().join(file), text).unwrap(),
            None => std::fs::copy(entry.path(), copy.path().join(file)).map(|_| ()).unwrap(),
        }
    }
    copy
}

#[test]
fn folders_that_do_not_fit_together_are_refused() {
    let refused = |copy: &tempfile::TempDir, words: &[&str]| {
        let error = Translator::from_dir(&Device::cpu(), copy.path(), DType::F32).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let config = |name: &str| json(&folder(name).join("config.json"));
    let with = |name: &str, changes: &[(&str, Value)]| {
        let mut config = config(name);
        for (key, value) in changes {
            config[*key] = value.clone();
        }
        changed(name, &[("config.json", Some(&config.to_string()))])
    };
    let set = |key, value: i64| with("tiny-marian", &[(key, Value::from(value))]);
    refused(&set("encoder_attention_heads", 5), &["encoder_attention_heads", "32", "5"]);
    refused(&set("decoder_ffn_dim", 0), &["decoder_ffn_dim", "0"]);
    refused(&set("d_model", 16), &["model.shared.weight", "16"]);
    refused(&set("encoder_layers", 3), &["model.encoder.layers.2"]);
    refused(&set("encoder_layers", 1), &["model.encoder.layers.1"]);
    refused(&set("decoder_start_token_id", 1 << 20), &["decoder_start_token_id"]);
    refused(&with("tiny-marian", &[("model_type", "t5".into())]), &["architecture", "t5", "marian"]);
    refused(&with("tiny-marian", &[("activation_function", "snake".into())]), &["snake"]);
    // Fewer words than the tokenizer has.
    for (name, key) in [("tiny-marian", "vocab_size"), ("tiny-marian-spm", "vocab_size")] {
        let fewer = config(name)[key].as_i64().unwrap() - 5;
        let changes =
            [(key, fewer), ("decoder_vocab_size", fewer), ("pad_token_id", 2), ("decoder_start_token_id", 2)];
        let changes = changes.map(|(key, value)| (key, Value::from(value)));
        refused(
            &with(name, &changes),
            &["its ids go up to", "`vocab_size` in", "config.json", &fewer.to_string()],
        );
    }
    let no_tokenizer = [("tokenizer.json", None)];
    refused(&changed("tiny-marian", &no_tokenizer), &["tokenizer.json", "source.spm"]);
    refused(&changed("tiny-marian", &[("config.json", None)]), &["config.json"]);
    refused(&changed("tiny-marian", &[("model.safetensors", None)]), &["model.safetensors"]);
    for (generation, words) in [
        ("{", &["generation_config.json", "JSON"][..]),
        (r#"{"num_beams": 0}"#, &["num_beams", "0"]),
        (r#"{"bad_words_ids": [1]}"#, &["bad_words_ids"]),
        (r#"{"bad_words_ids": [[1], [123456]]}"#, &["generation_config.json", "123456", "vocabulary"]),
        (r#"{"early_stopping": "soon"}"#, &["early_stopping", "soon"]),
        (r#"{"num_beams": 4, "num_beam_groups": 2}"#, &["num_beam_groups"]),
        (r#"{"eos_token_id": -1}"#, &["eos_token_id"]),
        (r#"{"eos_token_id": [0, 5000]}"#, &["generation_config.json: `eos_token_id`", "below 1", "5000"]),
        (r#"{"pad_token_id": 5000}"#, &["generation_config.json: `pad_token_id`", "5000"]),
        (
            r#"{"decoder_start_token_id": 5000}"#,
            &["generation_config.json: `decoder_start_token_id`", "5000"],
        ),
        (r#"{"forced_eos_token_id": 5000}"#, &["generation_config.json: `forced_eos_token_id`", "5000"]),
    ] {
        refused(&changed("tiny-marian", &[("generation_config.json", Some(generation))]), words);
    }
}

#[test]
fn settings_of_generation_that_are_not_computed_are_refused() {
    use attentive::weights::GenerationConfig;
    let read =
        |json: Value| GenerationConfig::from_json(json.to_string().as_bytes(), "generation_config.json");
    for (key, neutral, other) in [
        ("diversity_penalty", json!(0.0), json!(0.5)),
        ("encoder_no_repeat_ngram_size", json!(0), json!(2)),
        ("encoder_repetition_penalty", json!(1.0), json!(1.2)),
        ("epsilon_cutoff", json!(0.0), json!(3e-4)),
        ("eta_cutoff", json!(0.0), json!(3e-4)),
        ("guidance_scale", json!(1), json!(1.5)),
        ("min_p", json!(0), json!(0.05)),
        ("num_beam_groups", json!(1), json!(2)),
        ("penalty_alpha", json!(0), json!(0.6)),
        ("typical_p", json!(1.0), json!(0.9)),
        ("begin_suppress_tokens", Value::Null, json!([1])),
        ("constraints", Value::Null, json!([{}])),
        ("dola_layers", Value::Null, json!("high")),
        ("exponential_decay_length_penalty", Value::Null, json!([5, 1.1])),
        ("force_words_ids", Value::Null, json!([[1]])),
        ("forced_bos_token_id", Value::Null, json!(3)),
        ("sequence_bias", Value::Null, json!([[[1], 2.0]])),
        ("stop_strings", Value::Null, json!(["."])),
        ("suppress_tokens", Value::Null, json!([1])),
        ("top_h", Value::Null, json!(0.4)),
        ("watermarking_config", Value::Null, json!({"bias": 2.5})),
    ] {
        for same in [neutral, Value::Null] {
            assert!(read(json!({ key: same })).is_ok(), "{key}");
        }
        let error = read(json!({ key: other })).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { found, .. } if found.starts_with(key)), "{error}");
    }
}
