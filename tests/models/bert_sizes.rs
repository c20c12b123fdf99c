//! BERT Base and Large with random weights: they load, run and give what the CPU device gives; bytes of the weights and of
//! the temporaries are told (`-- --nocapture`).
//!
//! Large takes about 4 GiB and half a minute for each device, so it runs when it is asked for:
//! `cargo test --test models bert_sizes -- --ignored --nocapture`.

#[cfg(target_os = "linux")]
use crate::common::{self, child};

use attentive::models::{BertEncoder, BertHead, HeadKind, TokenBatch};
use attentive::ops::gather_rows;
use attentive::verify::compare::compare_allclose;
use attentive::weights::{Checkpoint, EncoderConfig, HeadConfig};
use attentive::{DType, Device, Recording};
use serde_json::json;

const POSITIONS: usize = 512;

/// Layers, width and heads; the feed-forward is four times as wide (Devlin et al. 2019, section 3).
struct Size {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    vocabulary: usize,
}

const BASE: Size = Size { name: "Base", layers: 12, width: 768, heads: 12, vocabulary: 30_522 };
const LARGE: Size = Size { name: "Large", layers: 24, width: 1024, heads: 16, vocabulary: 30_522 };

impl Size {
    fn config(&self) -> Vec<u8> {
        let config = json!({
            "model_type": "bert", "architectures": ["BertForPreTraining"], "vocab_size": self.vocabulary,
            "hidden_size": self.width, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.width, "max_position_embeddings": POSITIONS,
        });
        config.to_string().into_bytes()
    }

    /// Names and shapes of `BertForPreTraining`.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.width, 4 * self.width);
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
        let linear = |add: &mut dyn FnMut(String, &[usize]), name: String, out: usize, inputs: usize| {
            add(format!("{name}.weight"), &[out, inputs]);
            add(format!("{name}.bias"), &[out]);
        };
        let norm = |add: &mut dyn FnMut(String, &[usize]), name: String| {
            add(format!("{name}.weight"), &[d]);
            add(format!("{name}.bias"), &[d]);
        };
        for (name, rows) in [("word", self.vocabulary), ("position", POSITIONS), ("token_type", 2)] {
            add(format!("bert.embeddings.{name}_embeddings.weight"), &[rows, d]);
        }
        norm(&mut add, "bert.embeddings.LayerNorm".to_owned());
        for layer in 0..self.layers {
            let home = format!("bert.encoder.layer.{layer}");
            for name in ["self.query", "self.key", "self.value", "output.dense"] {
                linear(&mut add, format!("{home}.attention.{name}"), d, d);
            }
            norm(&mut add, format!("{home}.attention.output.LayerNorm"));
            linear(&mut add, format!("{home}.intermediate.dense"), f, d);
            linear(&mut add, format!("{home}.output.dense"), d, f);
            norm(&mut add, format!("{home}.output.LayerNorm"));
        }
        linear(&mut add, "bert.pooler.dense".to_owned(), d, d);
        linear(&mut add, "cls.predictions.transform.dense".to_owned(), d, d);
        norm(&mut add, "cls.predictions.transform.LayerNorm".to_owned());
        add("cls.predictions.bias".to_owned(), &[self.vocabulary]);
        linear(&mut add, "cls.seq_relationship".to_owned(), 2, d);
        tensors
    }

    /// What a safetensors file begins with, and the bytes of the whole.
    fn header(&self) -> (Vec<u8>, usize) {
        let (mut header, mut end) = (serde_json::Map::new(), 0);
        for (name, shape) in self.tensors() {
            let begin = end;
            end += 4 * shape.iter().product::<usize>();
            header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] }));
        }
        let header = serde_json::Value::Object(header).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        let all = bytes.len() + end;
        (bytes, all)
    }

    /// A safetensors file: weights of deviation 0.02, as BERT begins with them, but uniform; norms γ = 1, β = 0.
    fn checkpoint(&self) -> Checkpoint {
        let tensors = self.tensors();
        let (mut bytes, all) = self.header();
        bytes.reserve_exact(all - bytes.len());
        let mut rng = fastrand::Rng::with_seed(self.width as u64);
        for (name, shape) in &tensors {
            let constant = match () {
                () if name.contains("LayerNorm.weight") => Some(1.0_f32),
                () if name.contains("LayerNorm.bias") => Some(0.0),
                () => None,
            };
            for _ in 0..shape.iter().product::<usize>() {
                // The half width is √3 of the deviation.
                let value = constant.unwrap_or_else(|| (rng.f32() - 0.5) * 0.0693);
                bytes.extend(value.to_le_bytes());
            }
        }
        Checkpoint::from_bytes(bytes, self.name).unwrap()
    }

    fn elements(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }
}

/// What a run gives: the encoder's output, and the logits of two masked tokens and of a pair.
struct Answers {
    hidden: Vec<f32>,
    words: Vec<f32>,
    next: Vec<f32>,
}

const LENGTHS: [usize; 2] = [24, 16];

fn run(device: &Device, size: &Size, checkpoint: &Checkpoint) -> Answers {
    let config = EncoderConfig::from_json(&size.config(), "config.json").unwrap();
    let head_config = HeadConfig::from_json(&size.config(), "config.json").unwrap();
    let encoder = BertEncoder::load(device, &config, checkpoint, DType::F32).unwrap();
    let head = |kind| BertHead::load(device, kind, &encoder, &head_config, checkpoint, DType::F32).unwrap();
    let (words, next) = (head(HeadKind::MaskedLanguage), head(HeadKind::NextSentence));
    // Every parameter is on the device once.
    let bytes = encoder.bytes() + words.bytes() + next.bytes();
    assert_eq!(bytes, 4 * size.elements(), "{}", size.name);

    let ids: Vec<Vec<u32>> =
        LENGTHS.iter().map(|&n| (0..n).map(|i| (i * 467 % 30_000) as u32).collect()).collect();
    let types: Vec<Vec<u32>> =
        LENGTHS.iter().map(|&n| (0..n).map(|i| u32::from(i > n / 2)).collect()).collect();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let types: Vec<&[u32]> = types.iter().map(Vec::as_slice).collect();
    let mut recording = Recording::new(device);
    let (hidden, _) = encoder.record(&mut recording, TokenBatch::new(&ids).types(&types)).unwrap();
    let rows = hidden.reshape([2 * LENGTHS[0], size.width]).unwrap();
    let masked = gather_rows(&mut recording, &rows, &[7, LENGTHS[0] as u32 + 9]).unwrap();
    let words = words.record(&mut recording, &masked).unwrap();
    let first = gather_rows(&mut recording, &rows, &[0, LENGTHS[0] as u32]).unwrap();
    let next = next.record(&mut recording, &first).unwrap();
    for value in [&hidden, &words, &next] {
        recording.output(value).unwrap();
    }
    let (peak, unshared) = recording.planned_bytes();
    println!(
        "{} on {}: weights {bytes} bytes ({} parameters), temporaries {peak} bytes at the peak ({unshared} without sharing){}",
        size.name,
        device.name(),
        size.elements(),
        process_peak()
    );
    // Of all tokens only the masked ones have a row of the vocabulary's width. lavapipe reads the other weights as images, one
    // at a time, of 8 MiB at most for so few tokens.
    let images = if device.capabilities().subgroups == Some((8, 8)) { 8 << 20 } else { 0 };
    assert!(peak < 4 * (2 * LENGTHS[0] * size.vocabulary) as u64 + images, "{peak}");
    let outputs = recording.run().unwrap();
    let read = |value| outputs.tensor(value).unwrap().to_f32().unwrap();
    Answers { hidden: read(&hidden), words: read(&words), next: read(&next) }
}

/// The most memory that the process has had, where the system tells.
fn process_peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(String::new(), |line| format!(", the process {}", line.trim()))
}

fn check(size: &Size) {
    let checkpoint = size.checkpoint();
    let cpu = run(&Device::cpu(), size, &checkpoint);
    let tokens = |answers: &Answers| -> Vec<f32> {
        // Padding means nothing.
        let text =
            |text: usize| &answers.hidden[text * LENGTHS[0] * size.width..][..LENGTHS[text] * size.width];
        [text(0), text(1)].concat()
    };
    // With γ = 1 and β = 0 the last norm leaves rows of mean 0 and variance 1.
    for row in tokens(&cpu).chunks_exact(size.width) {
        let n = size.width as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
    assert!(cpu.words.iter().chain(&cpu.next).all(|value| value.is_finite()));
    for device in common::adapters() {
        let got = run(&device, size, &checkpoint);
        for (what, got, expected) in [
            ("hidden states", tokens(&got), tokens(&cpu)),
            ("words", got.words.clone(), cpu.words.clone()),
            ("next sentence", got.next.clone(), cpu.next.clone()),
        ] {
            let comparison = compare_allclose(&got, &expected, 0.0, 1e-4);
            assert!(comparison.passed, "{} {what} on {}: {comparison}", size.name, device.name());
        }
    }
}

/// While a model is loaded, the process has what goes to the device, the matrices of one layer in f32, and pieces: of the table
/// of words no second copy, and with f16 none in f32. (A GPU's own memory may not count.)
#[cfg(target_os = "linux")]
#[test]
fn loading_takes_one_copy_of_each_table() {
    const SIZE: Size = Size { name: "many words", layers: 2, width: 256, heads: 4, vocabulary: 80_000 };
    if !child::is_child() {
        let command = child::command("bert_sizes::loading_takes_one_copy_of_each_table");
        return print!("{}", child::spawn(command).passed());
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let (header, all) = SIZE.header();
    std::fs::write(&path, header).unwrap();
    // All weights are 0, so that the disk need not hold them.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(all as u64).unwrap();
    let config = EncoderConfig::from_json(&SIZE.config(), "config.json").unwrap();
    for device in common::devices() {
        for dtype in [DType::F32, DType::F16] {
            let before = kib("VmRSS:");
            // From here on the peak is counted anew.
            std::fs::write("/proc/self/clear_refs", "5").unwrap();
            let checkpoint = Checkpoint::open(&path).unwrap();
            let encoder = BertEncoder::load(&device, &config, &checkpoint, dtype).unwrap();
            let grown = (kib("VmHWM:") - before) << 10;
            let layer = 4 * 12 * SIZE.width * SIZE.width;
            // wgpu keeps 32 MiB that are under way to a GPU, in buffers of its own; the rest is the driver's.
            let under_way = if device.is_cpu() { 8 << 20 } else { 96 << 20 };
            let most = encoder.bytes() as usize + 2 * layer + under_way;
            println!("{} {dtype}: {} bytes, the process {grown} more", device.name(), encoder.bytes());
            assert!(grown <= most, "{} {dtype}: {grown} bytes, not {most}", device.name());
        }
    }
}

/// A line of the process's status.
#[cfg(target_os = "linux")]
fn kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn base_runs_with_random_weights() {
    assert_eq!(BASE.elements(), 110_106_428);
    check(&BASE);
}

#[test]
#[ignore = "4 GiB and half a minute a device: cargo test --test models bert_sizes -- --ignored"]
fn large_runs_with_random_weights() {
    assert_eq!(LARGE.elements(), 336_226_108);
    check(&LARGE);
}
