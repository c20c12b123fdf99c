//! BERT's heads against transformers: small models of each family, alone and in padded batches, pairs with token types.

use crate::common;
use std::path::PathBuf;

use attentive::models::pretraining::{Corpus, Masking};
use attentive::models::{BertHead, Classifications, HeadKind, TokenBatch};
use attentive::ops::gather_rows;
use attentive::verify::compare::compare_allclose;
use attentive::weights::{Checkpoint, EncoderFolder, Problem, ScoreActivation};
use attentive::{BertModel, BertModelOptions, DType, Device, Error, Recording};

/// The bound on every logit: absolute, and make.py holds PyTorch's own f32 to a quarter of it.
const ATOL: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    common::repository().join("tests/fixtures/heads").join(name)
}

/// A fixture's inputs and answers.
struct Fixture {
    name: &'static str,
    folder: PathBuf,
    texts: Vec<String>,
    pairs: Vec<(String, String)>,
    answers: Checkpoint,
}

impl Fixture {
    fn open(name: &'static str) -> Self {
        let folder = fixture(name);
        let about: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("texts.json")).unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let texts = about["texts"].as_array().unwrap().iter().map(text).collect();
        let pairs = about["pairs"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
        let answers = Checkpoint::open(folder.join("expected.safetensors")).unwrap();
        Self { name, texts, pairs: pairs.collect(), folder, answers }
    }

    fn ids(&self, key: &str) -> Vec<Vec<u32>> {
        let one = |input: usize| {
            let name = format!("{key}.{input}");
            let shape = self.answers.shape(&name).unwrap();
            self.answers.tensor_i64(&name, shape).unwrap().into_iter().map(|id| id as u32).collect()
        };
        (0..self.texts.len() + self.pairs.len()).map(one).collect()
    }

    fn answer(&self, key: &str, input: usize) -> Vec<f32> {
        let name = format!("{key}.{input}");
        let shape = self.answers.shape(&name).unwrap_or_else(|| panic!("{}: no {name}", self.name));
        self.answers.tensor_f32(&name, shape).unwrap()
    }
}

#[track_caller]
fn near(device: &Device, what: &str, got: &[f32], expected: &[f32]) {
    let comparison = compare_allclose(got, expected, 0.0, ATOL);
    assert!(comparison.passed, "{what} on {}: {comparison}", device.name());
}

/// The folder, the head, what transformers calls its answers, and whether they are those of the first token alone.
const HEADS: [(&str, HeadKind, &str, bool); 17] = [
    ("bert-pretraining", HeadKind::MaskedLanguage, "prediction_logits", false),
    ("bert-pretraining", HeadKind::NextSentence, "seq_relationship_logits", true),
    ("bert-pretraining", HeadKind::Pooler, "pooler_output", true),
    ("bert-mlm-untied", HeadKind::MaskedLanguage, "logits", false),
    ("bert-sequence", HeadKind::Sequence, "logits", true),
    ("bert-sequence", HeadKind::Pooler, "pooler_output", true),
    ("bert-token", HeadKind::Token, "logits", false),
    ("distilbert-mlm", HeadKind::MaskedLanguage, "logits", false),
    ("distilbert-sequence", HeadKind::Sequence, "logits", true),
    ("distilbert-token", HeadKind::Token, "logits", false),
    ("electra-mlm", HeadKind::MaskedLanguage, "logits", false),
    ("electra-mlm-untied", HeadKind::MaskedLanguage, "logits", false),
    ("electra-sequence", HeadKind::Sequence, "logits", true),
    ("electra-token", HeadKind::Token, "logits", false),
    ("roberta-mlm", HeadKind::MaskedLanguage, "logits", false),
    ("roberta-sequence", HeadKind::Sequence, "logits", true),
    ("roberta-token", HeadKind::Token, "logits", false),
];

#[test]
fn every_head_agrees_with_pytorch_in_a_padded_batch() {
    for device in common::devices() {
        for (name, kind, key, of_text) in HEADS {
            check_head(&device, &Fixture::open(name), kind, key, of_text);
        }
    }
}

fn check_head(device: &Device, fixture: &Fixture, kind: HeadKind, key: &str, of_text: bool) {
    let mut options = BertModelOptions::default();
    options.heads = Some(vec![kind]);
    let model = BertModel::from_dir_with(device, &fixture.folder, &options).unwrap();
    let head = model.head(kind).unwrap();
    let (ids, types) = (fixture.ids("input_ids"), fixture.ids("token_type_ids"));
    let (ids, types): (Vec<&[u32]>, Vec<&[u32]>) =
        ids.iter().zip(&types).map(|(ids, types)| (ids.as_slice(), types.as_slice())).unzip();
    let mut recording = Recording::new(device);
    let batch = TokenBatch::new(&ids).types(&types);
    let (hidden, _) = model.encoder().record(&mut recording, batch).unwrap();
    let &[texts, longest, columns] = hidden.shape().dims() else { panic!() };
    let rows = hidden.reshape([texts * longest, columns]).unwrap();
    // All of them, for a head of tokens: [batch, length, outputs].
    let x = if of_text {
        let first: Vec<u32> = (0..texts).map(|text| (text * longest) as u32).collect();
        gather_rows(&mut recording, &rows, &first).unwrap()
    } else {
        hidden
    };
    let y = head.record(&mut recording, &x).unwrap();
    recording.output(&y).unwrap();
    let y = recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap();
    let outputs = head.outputs();
    let mut largest = 0.0_f64;
    for (input, ids) in ids.iter().enumerate() {
        let (stride, count) = if of_text { (1, 1) } else { (longest, ids.len()) };
        let got = &y[input * stride * outputs..][..count * outputs];
        let expected = fixture.answer(key, input);
        near(device, &format!("{} {kind:?} {input}", fixture.name), got, &expected);
        let errors = got.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs()));
        largest = errors.fold(largest, f64::max);
    }
    println!("{} {kind:?} on {}: largest error {largest:.1e}", fixture.name, device.name());
}

#[test]
fn masks_are_filled_as_by_pytorch() {
    for device in common::devices() {
        for (name, key) in [
            ("bert-pretraining", "prediction_logits"),
            ("bert-mlm-untied", "logits"),
            ("distilbert-mlm", "logits"),
            ("electra-mlm", "logits"),
            ("roberta-mlm", "logits"),
        ] {
            let fixture = Fixture::open(name);
            let model = BertModel::from_dir(&device, &fixture.folder).unwrap();
            let words = model.config().vocabulary_size;
            let (_, mask) = model.mask_token().unwrap();
            let all_ids = fixture.ids("input_ids");
            let texts = &fixture.texts[..3];
            let filled = model.fill_mask(texts).top(usize::MAX).run().unwrap();
            let few = model.fill_mask(texts).run().unwrap();
            assert_eq!(filled.statistics.texts, 3);
            for (input, text) in filled.texts.iter().enumerate() {
                let expected = fixture.answer(key, input);
                let places: Vec<usize> =
                    (0..all_ids[input].len()).filter(|&place| all_ids[input][place] == mask).collect();
                assert_eq!(text.masks.iter().map(|mask| mask.token).collect::<Vec<_>>(), places);
                assert_eq!(places.len(), [1, 3, 1][input]);
                for (mask, few) in text.masks.iter().zip(&few.texts[input].masks) {
                    let mut got = vec![0.0; words];
                    for word in &mask.predictions {
                        got[word.id as usize] = word.logit;
                    }
                    let row = &expected[mask.token * words..][..words];
                    near(&device, &format!("{name} {input} {}", mask.token), &got, row);
                    let sum: f64 = mask.predictions.iter().map(|word| f64::from(word.probability)).sum();
                    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                    assert!(mask.predictions.is_sorted_by(|a, b| a.logit >= b.logit));
                    assert_eq!(few.predictions, mask.predictions[..5]);
                    // Words that the tokenizer has no token for have no text either.
                    for word in &mask.predictions {
                        assert_eq!(word.token.is_empty(), model.tokenizer().token(word.id).is_none());
                        assert_eq!(word.token.is_empty(), word.text.is_empty());
                    }
                }
            }
        }
    }
}

#[test]
fn one_mask_gives_the_whole_sentence() {
    let model = BertModel::from_dir(&Device::cpu(), fixture("roberta-mlm")).unwrap();
    let filled = model.fill_mask(&["the<mask> sat"]).top(1).run().unwrap();
    let text = &filled.texts[0];
    let best = &text.masks[0].predictions[0];
    assert_eq!(text.masks.len(), 1);
    assert!(text.sequence.starts_with("the") && text.sequence.ends_with("sat"), "{}", text.sequence);
    assert!(text.sequence.contains(&best.text), "{} {}", text.sequence, best.text);
}

#[test]
fn pairs_are_judged_as_by_pytorch() {
    for device in common::devices() {
        let fixture = Fixture::open("bert-pretraining");
        let model = BertModel::from_dir(&device, &fixture.folder).unwrap();
        let next = model.next_sentence(&fixture.pairs).run().unwrap();
        for (index, answer) in next.answers.iter().enumerate() {
            let expected = fixture.answer("seq_relationship_logits", fixture.texts.len() + index);
            near(&device, &format!("pair {index}"), &answer.logits, &expected);
            let [next, random] = answer.logits.map(f64::from);
            let probability = 1.0 / (1.0 + (random - next).exp());
            assert!((f64::from(answer.probability) - probability).abs() < 1e-6);
        }
        // The order of the two texts counts.
        let turned: Vec<(&str, &str)> = fixture.pairs.iter().map(|(a, b)| (b.as_str(), a.as_str())).collect();
        let turned = model.next_sentence(&turned).run().unwrap();
        assert_ne!(turned.answers[0].logits, next.answers[0].logits);
    }
}

#[test]
fn texts_and_tokens_are_classified_as_by_pytorch() {
    for device in common::devices() {
        for name in ["bert-sequence", "roberta-sequence", "distilbert-sequence", "electra-sequence"] {
            let fixture = Fixture::open(name);
            let model = BertModel::from_dir(&device, &fixture.folder).unwrap();
            let singles = model.classify(&fixture.texts).run().unwrap();
            let pairs = model.classify_pairs(&fixture.pairs).run().unwrap();
            let problem = model.head_config().problem;
            let check = |got: &Classifications, from: usize| {
                for (index, scores) in got.answers.iter().enumerate() {
                    let expected = fixture.answer("logits", from + index);
                    near(&device, &format!("{name} {}", from + index), &scores.logits, &expected);
                    let sum: f32 = scores.scores.iter().sum();
                    match problem {
                        Problem::SingleLabel => assert!((sum - 1.0).abs() < 1e-6),
                        Problem::MultiLabel => {
                            for (p, logit) in scores.scores.iter().zip(&scores.logits) {
                                assert!((p - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
                            }
                        }
                        _ => assert_eq!(scores.scores, scores.logits),
                    }
                }
            };
            check(&singles, 0);
            check(&pairs, fixture.texts.len());
            let labels: &[&str] = if name == "distilbert-sequence" {
                &["LABEL_0"]
            } else {
                &["nothing", "a \"name\"", "地名"]
            };
            assert_eq!(singles.labels, labels);
        }
        for name in ["bert-token", "roberta-token", "distilbert-token", "electra-token"] {
            let fixture = Fixture::open(name);
            let model = BertModel::from_dir(&device, &fixture.folder).unwrap();
            let found = model.classify_tokens(&fixture.texts).run().unwrap();
            for (index, tokens) in found.texts.iter().enumerate() {
                let got: Vec<f32> = tokens.iter().flat_map(|token| token.scores.logits.clone()).collect();
                near(&device, &format!("{name} {index}"), &got, &fixture.answer("logits", index));
                assert!(tokens[0].special && tokens.last().unwrap().special);
                assert!(tokens.iter().all(|token| !token.token.is_empty()));
            }
        }
    }
}

#[test]
fn batches_and_their_order_change_no_answer() {
    let device = Device::cpu();
    let fixture = Fixture::open("bert-pretraining");
    let mut options = BertModelOptions::default();
    options.max_batch_tokens = 1;
    let alone = BertModel::from_dir_with(&device, &fixture.folder, &options).unwrap();
    let together = BertModel::from_dir(&device, &fixture.folder).unwrap();
    let texts: Vec<String> =
        (0..40).map(|n| format!("the [MASK] sat {}[MASK]", "on the mat ".repeat(n % 7))).collect();
    let mut told = Vec::new();
    let a = alone.fill_mask(&texts).progress(|done, total| told.push((done, total))).run().unwrap();
    let b = together.fill_mask(&texts).run().unwrap();
    assert!((a.statistics.batches, b.statistics.batches < 5) == (40, true), "{:?}", b.statistics);
    assert_eq!(told.len(), 40);
    assert!(told.is_sorted() && told.last().unwrap().0 == a.statistics.tokens);
    for (a, b) in a.texts.iter().zip(&b.texts) {
        for (a, b) in a.masks.iter().zip(&b.masks) {
            let ids = |mask: &attentive::models::FilledMask| {
                mask.predictions.iter().map(|word| word.id).collect::<Vec<_>>()
            };
            assert_eq!((a.token, ids(a)), (b.token, ids(b)));
        }
    }
    let none: [&str; 0] = [];
    assert!(together.fill_mask(&none).run().unwrap().texts.is_empty());
}

#[test]
fn half_weights_stay_near() {
    for device in common::devices() {
        let fixture = Fixture::open("bert-pretraining");
        let whole = BertModel::from_dir(&device, &fixture.folder).unwrap();
        let mut options = BertModelOptions::default();
        options.dtype = DType::F16;
        let half = BertModel::from_dir_with(&device, &fixture.folder, &options).unwrap();
        assert!(half.weight_bytes() < whole.weight_bytes());
        let of = |model: &BertModel| model.next_sentence(&fixture.pairs).run().unwrap().answers;
        for (half, whole) in of(&half).iter().zip(of(&whole)) {
            assert!((half.probability - whole.probability).abs() < 0.01, "{half:?} {whole:?}");
        }
    }
}

#[test]
fn a_tied_decoder_is_the_word_tables_memory() {
    let device = Device::cpu();
    let model = BertModel::from_dir(&device, fixture("bert-pretraining")).unwrap();
    let head = model.head(HeadKind::MaskedLanguage).unwrap();
    // Transform, its bias, γ, β, and the decoder's bias.
    assert_eq!(head.bytes(), 4 * (16 * 16 + 16 + 16 + 16 + 102));
    let untied = BertModel::from_dir(&device, fixture("bert-mlm-untied")).unwrap();
    let head = untied.head(HeadKind::MaskedLanguage).unwrap();
    assert_eq!(head.bytes(), 4 * (16 * 16 + 16 + 16 + 16 + 105 + 105 * 16));
    // Embeddings of 8.
    let narrow = BertModel::from_dir(&device, fixture("electra-mlm")).unwrap();
    assert_eq!(narrow.head(HeadKind::MaskedLanguage).unwrap().bytes(), 4 * (8 * 16 + 8 + 8 + 8 + 102));
}

#[test]
fn heads_are_told_apart() {
    let kinds = |name: &str| {
        let folder = EncoderFolder::open(fixture(name)).unwrap();
        BertHead::present(&folder.config, &folder.head_config, &folder.checkpoint)
    };
    use HeadKind::*;
    assert_eq!(kinds("bert-pretraining"), [Pooler, MaskedLanguage, NextSentence]);
    assert_eq!(kinds("bert-sequence"), [Pooler, Sequence]);
    assert_eq!(kinds("bert-token"), [Token]);
    assert_eq!(kinds("roberta-sequence"), [Sequence]);
    assert_eq!(kinds("roberta-token"), [Token]);
    assert_eq!(kinds("distilbert-sequence"), [Sequence]);
    assert_eq!(kinds("distilbert-token"), [Token]);
    assert_eq!(kinds("distilbert-mlm"), [MaskedLanguage]);
    assert_eq!(kinds("electra-sequence"), [Sequence]);
    assert_eq!(kinds("electra-token"), [Token]);
    assert_eq!(kinds("electra-mlm"), [MaskedLanguage]);
}

#[track_caller]
fn argument<T>(result: attentive::Result<T>, words: &[&str]) {
    match result.map(|_| ()) {
        Err(error @ Error::Argument { .. }) => {
            let error = error.to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_that_cannot_be_answered_are_refused() {
    let device = Device::cpu();
    let bert = BertModel::from_dir(&device, fixture("bert-pretraining")).unwrap();
    let roberta = BertModel::from_dir(&device, fixture("roberta-mlm")).unwrap();
    let long = "cat ".repeat(100);
    let fill = |text: &str| bert.fill_mask(&["the [MASK]", text]).run();
    argument(fill("the cat"), &["text 1", "`[MASK]`", "without one"]);
    argument(fill(""), &["text 1", "empty"]);
    argument(fill(&format!("[MASK] {long}")), &["text 1", "at most 40 tokens", "103 tokens"]);
    argument(fill("the <mask>"), &["`<mask>` is not this model's"]);
    argument(roberta.fill_mask(&["the [MASK]"]).run(), &["`<mask>`", "`[MASK]` is not this model's"]);
    assert_eq!(bert.count_masks("[MASK] a [MASK]").unwrap(), 2);
    argument(bert.count_masks("a"), &["text 0"]);
    let next = |a: &str, b: &str| bert.next_sentence(&[("a", "b"), (a, b)]).run();
    argument(next("", "b"), &["the first sentence of pair 1", "empty"]);
    argument(next("a", " \n"), &["the second sentence of pair 1", "empty"]);
    argument(next("a", &long), &["pair 1", "at most 40 tokens"]);
    argument(bert.check_pair("a", ""), &["pair 0"]);
    // As many tokens as there is room for are taken.
    let full = "cat ".repeat(37);
    assert_eq!(bert.fill_mask(&[format!("{full}[MASK]")]).run().unwrap().texts[0].masks[0].token, 38);
    // A classifier cuts, and says so.
    let classifier = BertModel::from_dir(&device, fixture("bert-sequence")).unwrap();
    let found = classifier.classify(&["the cat", &long]).run().unwrap();
    assert_eq!((found.truncations.len(), found.truncations[0].index, found.truncations[0].kept), (1, 1, 40));
}

#[test]
fn losses_and_accuracies_are_pytorchs() {
    let about: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("evaluation.json")).unwrap()).unwrap();
    let corpus = Corpus::parse(about["text"].as_str().unwrap());
    assert_eq!((corpus.documents().len(), corpus.sentences()), (3, 9));
    for device in common::devices() {
        for name in ["bert-pretraining", "distilbert-mlm", "roberta-mlm"] {
            let model = BertModel::from_dir(&device, fixture(name)).unwrap();
            for seed in [0, 7] {
                let found = model.evaluate(&corpus).seed(seed).run().unwrap();
                let expected = &about["answers"][format!("{name} {seed}")];
                for (task, score) in
                    [("masked_language", found.masked_language), ("next_sentence", found.next_sentence)]
                {
                    let Some(score) = score else {
                        assert!(expected[task].is_null());
                        continue;
                    };
                    let expected = |key: &str| expected[task][key].as_f64().unwrap();
                    let what = format!("{name} {task} with seed {seed} on {}: {score:?}", device.name());
                    assert_eq!(score.count as f64, expected("count"), "{what}");
                    assert_eq!(score.right as f64, expected("right"), "{what}");
                    // A loss is a difference of two scores.
                    assert!((score.loss - expected("loss")).abs() <= 2.0 * ATOL, "{what}");
                    assert!((score.perplexity().ln() - score.loss).abs() < 1e-12);
                }
            }
        }
    }
}

#[test]
fn an_evaluation_does_not_depend_on_its_batches() {
    let text: String = (0..30).map(|n| format!("the cat sat {}\n", "on the mat ".repeat(n % 5))).collect();
    let corpus = Corpus::parse(&text);
    let of = |tokens: usize| {
        let mut options = BertModelOptions::default();
        options.max_batch_tokens = tokens;
        let model = BertModel::from_dir_with(&Device::cpu(), fixture("bert-pretraining"), &options).unwrap();
        model.evaluate(&corpus).seed(3).run().unwrap()
    };
    let (alone, together) = (of(1), of(8192));
    assert!(alone.statistics.batches > together.statistics.batches);
    for (a, b) in
        [(alone.masked_language, together.masked_language), (alone.next_sentence, together.next_sentence)]
    {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.count, a.right), (b.count, b.right));
        assert!((a.loss - b.loss).abs() < 1e-5, "{a:?} {b:?}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let device = Device::cpu();
    let bert = BertModel::from_dir(&device, fixture("bert-pretraining")).unwrap();
    let refused = |text: &str, word: &str| {
        argument(bert.evaluate(&Corpus::parse(text)).run(), &[word]);
    };
    refused("", "with sentences");
    refused("a\n\nb\n", "two sentences in one document");
    let mut masking = Masking::default();
    masking.predicted = 2.0;
    argument(bert.evaluate(&Corpus::parse("a\nb")).masking(masking).run(), &["predicted", "from 0 to 1"]);
    // Without either head there is nothing to measure.
    let classifier = BertModel::from_dir(&device, fixture("roberta-token")).unwrap();
    let error = classifier.evaluate(&Corpus::parse("a\nb")).run().unwrap_err();
    assert!(matches!(error, Error::MissingHead { .. }), "{error}");
    // What is too long is cut and counted.
    let long = format!("the cat\n{}", "cat ".repeat(100));
    assert_eq!(bert.evaluate(&Corpus::parse(&long)).run().unwrap().truncated, 1);
}

/// A tokenizer that adds no special tokens leaves nothing of an empty text.
#[test]
fn texts_without_tokens_are_not_classified() {
    let bare = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("bert-sequence")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "tokenizer.json" {
            let mut tokenizer: serde_json::Value =
                serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
            tokenizer["post_processor"] = serde_json::Value::Null;
            std::fs::write(bare.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        } else if entry.path().is_file() {
            std::fs::copy(entry.path(), bare.path().join(entry.file_name())).unwrap();
        }
    }
    // BERT's own class would put its special tokens around texts, whatever the file says.
    let settings = r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
    std::fs::write(bare.path().join("tokenizer_config.json"), settings).unwrap();
    let bare = BertModel::from_dir(&Device::cpu(), bare.path()).unwrap();
    assert!(bare.classify(&["the cat"]).run().is_ok());
    let error = bare.classify(&["the cat", ""]).run().unwrap_err().to_string();
    assert!(error.contains("text 1 must be at least 1 token"), "{error}");
    let error = bare.classify_pairs(&[("", "")]).run().unwrap_err().to_string();
    assert!(error.contains("pair 0 must be at least 1 token"), "{error}");
}

#[test]
fn a_reranker_has_the_logits_of_sentence_transformers_on_every_device() {
    let folder = common::repository().join("tests/fixtures/reranker");
    let pairs = std::fs::read_to_string(folder.join("pairs.tsv")).unwrap();
    let logits: Vec<f32> =
        serde_json::from_slice(&std::fs::read(folder.join("logits.json")).unwrap()).unwrap();
    for device in common::devices() {
        let model = BertModel::from_dir(&device, &folder).unwrap();
        model.check_reranker().unwrap();
        for (pair, logit) in pairs.lines().zip(&logits) {
            let (query, document) = pair.split_once('\t').unwrap();
            // A long one beside it, so that there is padding.
            let documents = [document.to_owned(), format!("{document} {document} {document}")];
            let ranking = model.rerank(query, &documents).run().unwrap();
            assert!(ranking.not_finite().is_empty() && ranking.truncations.is_empty());
            assert!(ranking.ranked.is_sorted_by(|a, b| a.logit >= b.logit));
            let found = ranking.ranked.iter().find(|ranked| ranked.document == 0).unwrap();
            // config.json names Identity.
            assert_eq!(found.score, found.logit);
            assert!(f64::from(found.logit - logit).abs() <= ATOL, "{pair}: {} {logit}", found.logit);
            let sigmoid =
                model.rerank(query, &documents).activation(ScoreActivation::Sigmoid).top(1).run().unwrap();
            assert_eq!((sigmoid.ranked.len(), sigmoid.ranked[0].document), (1, ranking.ranked[0].document));
            assert!(sigmoid.ranked[0].score > 0.999 && sigmoid.ranked[0].score <= 1.0);
        }
        let none: [&str; 0] = [];
        assert!(model.rerank("a", &none).run().unwrap().ranked.is_empty());
        let unknown = model.rerank("a", &["b"]).prompt_name("absent").run();
        assert!(matches!(unknown, Err(Error::Argument { .. })), "{unknown:?}");
        let labels = BertModel::from_dir(&device, fixture("bert-sequence")).unwrap();
        assert!(matches!(labels.rerank("a", &["b"]).run(), Err(Error::Argument { .. })));
    }
}
