//! Async runs: what may be sent to another thread, that nothing holds the executor's thread, and that a run may be dropped
//! wherever it waits.

use crate::common;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use attentive::bench::tune;
use attentive::case_files::CaseFile;
use attentive::device::list_adapters;
use attentive::kernel::{Case, Depth, Kernel, Variant};
use attentive::layers::LayerCapture;
use attentive::models::pretraining::Corpus;
use attentive::models::{Captioner, EmbeddedModel, Translator};
use attentive::ops::matmul;
use attentive::recording::{PreparedRecording, trace};
use attentive::train::{Lora, LoraOptions, Trainer};
use attentive::verify::{cooperative, run_case, verify_attention, verify_kernels, verify_variant};
use attentive::{
    AttentionPlan, AttentionShape, BertModel, DType, Device, DeviceOptions, Embedder, EmbedderOptions, Error,
    Recording, RecordingPlan, Tensor, attention, wgpu,
};

/// What an async function of this crate is called with, for the compiler to look at.
#[allow(dead_code)]
struct Given<'a> {
    device: &'a Device,
    adapter: &'a wgpu::Adapter,
    tensor: &'a Tensor,
    recording: fn() -> Recording,
    shape: &'a AttentionShape,
    repeated: &'a PreparedRecording,
    kernel: (&'static dyn Kernel, &'a Variant, &'a Case),
    embedder: &'a Embedder,
    bert: &'a BertModel,
    captioner: &'a Captioner,
    corpus: &'a Corpus,
    translator: &'a Translator,
    case_file: &'a CaseFile,
    texts: &'a [String],
    pairs: &'a [(String, String)],
    trainer: fn() -> Trainer,
    lora: fn() -> Lora,
}

fn send<F: Future + Send>(_: F) {}

/// The public async functions by their files, each with a call that compiles where its future is `Send`.
macro_rules! async_functions {
    ($given:ident: $($file:literal $name:ident => $call:expr;)*) => {
        const ASYNC_FUNCTIONS: &[(&str, &str)] = &[$(($file, stringify!($name))),*];

        #[allow(dead_code)]
        fn all_are_send($given: Given<'_>) {
            $(send($call);)*
        }
    };
}

async_functions! { given:
    "case_files/mod.rs" run_async => given.case_file.run_async(given.device);
    "device/adapters.rs" list_adapters => list_adapters();
    "device/mod.rs" from_adapter => Device::from_adapter(given.adapter, DeviceOptions::default());
    "device/mod.rs" open_async => Device::open_async("cpu", DeviceOptions::default());
    "models/captioner/caption.rs" run_async => given.captioner.caption(&[]).run_async();
    "models/classify.rs" run_async => given.bert.next_sentence(given.pairs).run_async();
    "models/classify.rs" run_async => given.bert.classify(given.texts).run_async();
    "models/classify.rs" run_async => given.bert.classify_tokens(given.texts).run_async();
    "models/embedder.rs" attention_async =>
        given.embedder.attention_async("a", None, &LayerCapture::all());
    "models/embedder.rs" run_async => given.embedder.encode(given.texts).progress(|_, _| {}).run_async();
    "models/embedder.rs" trace => given.embedder.trace(given.texts);
    "models/embedder.rs" trace_gradients => given.embedder.trace_gradients(given.texts);
    "models/embedder_training.rs" ranking_step_async =>
        given.embedder.ranking_step_async(&mut (given.trainer)(), [given.texts, given.texts], 20.0, 2);
    "models/evaluate.rs" run_async => given.bert.evaluate(given.corpus).run_async();
    "models/fill_mask.rs" run_async => given.bert.fill_mask(given.texts).run_async();
    "models/rerank.rs" run_async => given.bert.rerank("a", given.texts).run_async();
    "models/seq2seq/translator.rs" run_async => given.translator.translate(given.texts).run_async();
    "ops/attention/call.rs" run_all_async => attention(given.tensor, given.tensor, given.tensor).run_all_async();
    "ops/attention/call.rs" run_async => attention(given.tensor, given.tensor, given.tensor).run_async();
    "ops/attention/plan.rs" new_async => AttentionPlan::new_async(given.device, given.shape);
    "recording/mod.rs" run_async => (given.recording)().run_async();
    "recording/recording_plan.rs" new_async => RecordingPlan::new_async((given.recording)());
    "recording/prepared.rs" new => PreparedRecording::new((given.recording)());
    "recording/prepared.rs" run => given.repeated.run(1);
    "recording/trace.rs" trace => trace(&(given.recording)());
    "tensor/mod.rs" to_f16_async => given.tensor.to_f16_async();
    "tensor/mod.rs" to_f32_async => given.tensor.to_f32_async();
    "tensor/mod.rs" to_u32_async => given.tensor.to_u32_async();
    "train/lora.rs" merge_async => (given.lora)().merge_async();
    "train/lora.rs" new_async => Lora::new_async(given.device, Vec::new(), &LoraOptions::new(1));
    "train/trainer.rs" step_from_outputs_async =>
        (given.trainer)().step_from_outputs_async(0.5, 2, |recording, _| {
            Ok((recording.zeros([1], DType::F32)?, recording.zeros([1], DType::F32)?))
        });
    "train/trainer.rs" step_in_parts_async =>
        (given.trainer)().step_in_parts_async(2, |recording, _| recording.zeros([1], DType::F32));
    "train/trainer.rs" step_async =>
        (given.trainer)().step_async(|recording| recording.zeros([1], DType::F32));
    "verify/attention.rs" verify_attention => verify_attention(given.device, 0..1, |_| {});
    "verify/cooperative.rs" cooperative => cooperative(given.device, 1, |_, _, _| {});
    "verify/mod.rs" run_case => run_case(given.device, given.kernel.0, given.kernel.1, given.kernel.2);
    "verify/mod.rs" verify_kernels => verify_kernels(given.device, Depth::Quick, |_, _, _| {});
    "verify/mod.rs" verify_variant =>
        verify_variant(given.device, given.kernel.0, given.kernel.1, Depth::Quick);
}

/// The list is whole: it names what the sources have.
#[test]
fn every_public_async_function_is_known_to_be_send() {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let sources = common::repository().join("src");
    let mut files = Vec::new();
    walk(&sources, &mut files);
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(&sources).unwrap().to_str().unwrap().replace('\\', "/");
        if name.starts_with("bin/") {
            continue;
        }
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            if let Some(rest) = line.trim_start().strip_prefix("pub async fn ") {
                let function = rest.split(['(', '<']).next().unwrap().to_owned();
                found.push((name.clone(), function));
            }
        }
    }
    // Of parts of the crate that nobody outside can name.
    let within = ["device/gpu.rs", "models/recurrent_decoder.rs", "recording/gpu.rs", "recording/cpu.rs"];
    found.retain(|(file, _)| !within.contains(&file.as_str()) && file != "waiting.rs");
    found.sort();
    let mut known: Vec<(String, String)> =
        ASYNC_FUNCTIONS.iter().map(|(file, name)| (file.to_string(), name.to_string())).collect();
    known.sort();
    assert_eq!(found, known, "async functions, and those that the list at the top of this file has");
}

/// Wakes the thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Arc::new(Unpark(std::thread::current())).into()
}

/// Polls a future so often at most, each time after it has woken this thread; then it is dropped.
fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = waker();
    for _ in 0..polls {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        // Somebody must wake it, or it would stand still for ever.
        let asleep = Instant::now();
        std::thread::park_timeout(Duration::from_secs(120));
        assert!(asleep.elapsed() < Duration::from_secs(119), "nobody woke the future");
    }
    None
}

/// Runs a future to its end: what it gives, and how long each poll took.
fn timed_polls<F: Future>(future: F) -> (F::Output, Vec<Duration>) {
    let mut future = pin!(future);
    let waker = waker();
    let mut polls = Vec::new();
    loop {
        let start = Instant::now();
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        polls.push(start.elapsed());
        match polled {
            Poll::Ready(done) => return (done, polls),
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(120)),
        }
    }
}

fn fixture(path: &str) -> PathBuf {
    common::repository().join("tests/fixtures").join(path)
}

/// An embedder whose batches are small, so that a run has several.
fn embedder(device: &Device) -> Embedder {
    let mut options = EmbedderOptions::default();
    options.max_batch_tokens = 16;
    Embedder::from_dir_with(device, fixture("models/tiny-bert"), &options).unwrap()
}

const TEXTS: [&str; 7] =
    ["the cat sat", "a dog", "the cat sat on the mat", "", "on", "the dog sat on the cat", "mat mat mat mat"];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A run is dropped at every place where it waits; nothing of it is left that would change the next, and its buffers come
/// back.
#[test]
fn a_run_may_be_dropped_wherever_it_waits() {
    for device in common::devices() {
        let embedder = embedder(&device);
        let expected = bits(embedder.encode(&TEXTS).run().unwrap().values());
        let (embeddings, polls) = timed_polls(embedder.encode(&TEXTS).run_async());
        assert_eq!(bits(embeddings.unwrap().values()), expected, "{}", device.name());
        // Each of the batches waits at least for its end, and then lets others in.
        assert!(polls.len() > 4, "{}: {} polls", device.name(), polls.len());
        let made = device.created();
        let mut dropped = 0;
        while poll_at_most(dropped, embedder.encode(&TEXTS).run_async()).is_none() {
            dropped += 1;
            let again = embedder.encode(&TEXTS).run().unwrap();
            assert_eq!(bits(again.values()), expected, "{}: after {dropped} polls", device.name());
        }
        assert!(dropped > 4, "{}", device.name());
        assert_eq!(device.created(), made, "{}: what was made for dropped runs", device.name());
    }
}

/// As above for steps of decoding, whose caches belong to the run.
#[test]
fn translations_and_hidden_words_may_be_dropped() {
    for device in common::devices() {
        for model in [EmbeddedModel::DatesTransformer, EmbeddedModel::DatesGru] {
            let translator = Translator::embedded(&device, model, DType::F32).unwrap();
            let texts = ["3 May 1990", "tuesday 14 june 2005"];
            let answer = |translations: attentive::models::Translations| {
                let all = translations.texts.into_iter().flatten();
                all.map(|found| (found.ids, found.score.to_bits())).collect::<Vec<_>>()
            };
            let expected = answer(translator.translate(&texts).run().unwrap());
            let (found, polls) = timed_polls(translator.translate(&texts).run_async());
            assert_eq!(answer(found.unwrap()), expected, "{}", device.name());
            for polls in (0..polls.len()).step_by(5) {
                let _ = poll_at_most(polls, translator.translate(&texts).run_async());
                let again = translator.translate(&texts).run().unwrap();
                assert_eq!(answer(again), expected, "{}: after {polls} polls", device.name());
            }
        }
        let bert = BertModel::from_dir(&device, fixture("heads/bert-mlm-untied")).unwrap();
        let texts = ["the [MASK] sat", "a [MASK] [MASK]"];
        let expected = bert.fill_mask(&texts).run().unwrap().texts;
        for polls in 0.. {
            match poll_at_most(polls, bert.fill_mask(&texts).run_async()) {
                Some(found) => {
                    assert_eq!(found.unwrap().texts, expected, "{}", device.name());
                    break;
                }
                None => {
                    assert_eq!(bert.fill_mask(&texts).run().unwrap().texts, expected, "{}", device.name())
                }
            }
        }
    }
}

/// Work for a good part of a second.
fn long_recording(device: &Device) -> (Recording, attentive::recording::Value) {
    let size = 512;
    let tensor = Tensor::from_f32(device, [size, size], &vec![1.0 / size as f32; size * size]).unwrap();
    let mut recording = Recording::new(device);
    let x = recording.tensor(&tensor).unwrap();
    let mut y = x.clone();
    for _ in 0..10 {
        y = matmul(&mut recording, &x, &y).unwrap();
    }
    recording.output(&y).unwrap();
    (recording, y)
}

/// Nobody computes or waits on the thread that polls.
#[test]
fn no_poll_takes_as_long_as_the_device() {
    for device in common::devices() {
        let run = || async {
            let (recording, y) = long_recording(&device);
            recording.run_async().await.unwrap().tensor(&y).unwrap().to_f32_async().await.unwrap()
        };
        // Pipelines are made here, and one of the runs may be held up by something else on the machine.
        let expected = pollster::block_on(run());
        let found = (0..5).find_map(|_| {
            let start = Instant::now();
            let (values, polls) = timed_polls(run());
            let (whole, longest) = (start.elapsed(), polls.into_iter().max().unwrap());
            assert_eq!(bits(&values), bits(&expected));
            eprintln!("{}: the longest poll took {longest:?} of {whole:?}", device.name());
            (longest < whole / 3).then_some(())
        });
        assert!(found.is_some(), "{}", device.name());
        // And so a run can be given up in the middle of it.
        let start = Instant::now();
        pollster::block_on(run());
        let whole = start.elapsed();
        let start = Instant::now();
        let mut future: Pin<Box<dyn Future<Output = Vec<f32>>>> = Box::pin(run());
        let waker = waker();
        while start.elapsed() < whole / 10 {
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            std::thread::park_timeout(whole / 10);
        }
        drop(future);
        eprintln!("{}: given up after {:?} of {whole:?}", device.name(), start.elapsed());
        // The device takes the next work as if nothing had been.
        assert_eq!(bits(&pollster::block_on(run())), bits(&expected));
    }
}

/// What an async runtime does with tasks: each is polled by whichever thread is free.
#[test]
fn tasks_of_one_embedder_run_on_many_threads() {
    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let mut task = Box::pin(task);
        // Begun on this thread, ended on another.
        if let Poll::Ready(done) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return std::thread::spawn(|| done);
        }
        std::thread::spawn(|| pollster::block_on(task))
    }
    for device in common::devices() {
        let embedder = Arc::new(embedder(&device));
        let expected = bits(embedder.encode(&TEXTS).run().unwrap().values());
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let embedder = embedder.clone();
                spawn(async move {
                    let texts = TEXTS.map(str::to_owned);
                    let first = embedder.encode(&texts).run_async().await.unwrap();
                    assert_eq!(first.shape(), [TEXTS.len(), embedder.dimensions()]);
                    embedder.encode(&texts).run_async().await.unwrap().values().to_vec()
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(bits(&task.join().unwrap()), expected, "{}", device.name());
        }
    }
}

/// The longest poll of 192 texts through all-MiniLM-L6-v2, in target/models (`cargo xtask fetch`), and the time of all
/// beside the blocking form's: `cargo test --release --test models futures -- --ignored --nocapture`.
#[test]
#[ignore = "it measures, and needs a model that is fetched"]
fn the_longest_poll_of_192_texts() {
    let folder = common::repository().join("target/models/all-MiniLM-L6-v2");
    let texts: Vec<String> = (0..192)
        .map(|number| format!("sentence {number} of many, {}", "word ".repeat(number % 60)))
        .collect();
    for device in common::devices() {
        let embedder = Embedder::from_dir(&device, &folder).unwrap();
        embedder.encode(&texts).run().unwrap();
        for _ in 0..3 {
            let start = Instant::now();
            let blocking = embedder.encode(&texts).run().unwrap();
            let took = start.elapsed();
            let start = Instant::now();
            let (values, polls) = timed_polls(embedder.encode(&texts).run_async());
            assert_eq!(bits(values.unwrap().values()), bits(blocking.values()));
            println!(
                "{}: blocking {took:?}, async {:?} in {} polls, the longest {:?}",
                device.name(),
                start.elapsed(),
                polls.len(),
                polls.iter().max().unwrap()
            );
        }
    }
}

/// A callback that lets so many calls pass and then ends the run.
fn stops_after<T>(passed: usize) -> (impl FnMut(T) -> ControlFlow<()> + Send, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let told = calls.clone();
    let answer = move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        before if before < passed => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    (answer, told)
}

/// A run whose callback says so ends there, and says how far it came; the model is as good as before.
#[test]
fn a_progress_callback_may_end_a_run() {
    #[track_caller]
    fn interrupted<T: std::fmt::Debug>(outcome: attentive::Result<T>, op: &str) -> [usize; 2] {
        match outcome {
            Err(Error::Interrupted { op: found, done, total }) => {
                assert_eq!(found, op);
                [done, total]
            }
            other => panic!("{op}: {other:?}"),
        }
    }
    for device in common::devices() {
        let embedder = embedder(&device);
        let expected = embedder.encode(&TEXTS).run().unwrap();
        for passed in 0..3 {
            let (mut stop, calls) = stops_after(passed);
            let run = embedder.encode(&TEXTS).progress(move |done, total| stop((done, total))).run();
            let [done, total] = interrupted(run, "encode");
            assert_eq!(calls.load(Ordering::Relaxed), passed + 1);
            assert!(done > 0 && done < total && total == expected.statistics.tokens, "{done} of {total}");
        }
        let go_on = embedder.encode(&TEXTS).progress(|_, _| ControlFlow::Continue(())).run().unwrap();
        assert_eq!(bits(go_on.values()), bits(expected.values()));

        let stop = || |_: usize, _: usize| ControlFlow::Break(());
        let pairs = [("the cat sat", "on the mat"), ("a dog", "sat")];
        let texts = ["the cat sat", "a dog"];
        let bert = |name: &str| BertModel::from_dir(&device, fixture(&format!("heads/{name}"))).unwrap();
        let model = bert("bert-pretraining");
        interrupted(model.fill_mask(&["the [MASK]"]).progress(stop()).run(), "fill_mask");
        interrupted(model.next_sentence(&pairs).progress(stop()).run(), "next_sentence");
        let corpus = Corpus::parse("the cat sat\na dog sat\n\non the mat\nthe dog");
        interrupted(model.evaluate(&corpus).progress(stop()).run(), "evaluate");
        let model = bert("bert-sequence");
        interrupted(model.classify(&texts).progress(stop()).run(), "classify");
        interrupted(model.classify_pairs(&pairs).progress(stop()).run(), "classify");
        interrupted(bert("bert-token").classify_tokens(&texts).progress(stop()).run(), "classify_tokens");

        let translator = Translator::embedded(&device, EmbeddedModel::DatesGru, DType::F32).unwrap();
        let (stop, calls) = stops_after(3);
        let run = translator.translate(&["3 May 1990", "1 June 2001"]).progress(stop).run();
        assert_eq!(interrupted(run, "translate"), [0, 2]);
        assert_eq!(calls.load(Ordering::Relaxed), 4);

        let (mut stop, _) = stops_after(1);
        let run = verify_kernels(&device, Depth::Quick, |done, total, _| stop((done, total)));
        assert_eq!(interrupted(pollster::block_on(run), "verify")[0], 1);
        let (stop, calls) = stops_after(2);
        assert_eq!(interrupted(pollster::block_on(verify_attention(&device, 5..9, stop)), "verify"), [2, 4]);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }
    for adapter in common::usable_adapters() {
        let spec = format!("gpu:{}", adapter.index);
        let run = tune(&spec, DeviceOptions::default(), true, |_, _, _| ControlFlow::Break(()));
        assert_eq!(interrupted(run.map(|_| ()), "tune")[0], 0);
    }
}
