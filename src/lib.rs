//! Hand-written WGSL kernels for attention and Transformer models, on any GPU that wgpu reaches and on the CPU.
//!
//! Each kernel has a twin (the same computation in plain f32 Rust) and an f64 oracle (another algorithm). Tests, and
//! `attentive verify` on the user's own adapter, hold the three against each other. The CPU device runs the twins: it
//! is the same program, and always there.
//!
//! # Four levels
//!
//! Each can be used alone.
//!
//! **Models.** A sentence-transformers or Hugging Face folder in, vectors out, in the caller's order ([`BertModel`]: hidden
//! words, next sentences, labels, ranks; [`Translator`]: a text for a text):
//!
//! ```no_run
//! # #[cfg(feature = "models")]
//! # fn main() -> attentive::Result<()> {
//! use attentive::{Device, Embedder};
//!
//! let device = Device::open("auto")?; // see device::DeviceSpec
//! let embedder = Embedder::from_dir(&device, "all-MiniLM-L6-v2")?;
//! let vectors = embedder.encode(&["a sentence", "another"]).run()?;
//! println!("{:?} on {}: cosine {}", vectors.shape(), device.name(), vectors.cosine(0, 1));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "models"))]
//! # fn main() {}
//! ```
//!
//! **Tensors, ops and layers.** [`attention()`] on tensors is one call; several ops go into one [`Recording`], which
//! runs them at once and lets temporaries share memory:
//!
//! ```
//! use attentive::ops::{Linear, LinearWeights};
//! use attentive::{Activation, Causal, DType, Device, Recording, Tensor, attention};
//!
//! # fn main() -> attentive::Result<()> {
//! let device = Device::open("cpu")?; // or "auto"
//! let values: Vec<f32> = (0..2 * 4 * 5 * 8).map(|i| (i as f32 * 0.37).sin()).collect();
//! let x = Tensor::from_f32(&device, [2, 4, 5, 8], &values)?; // [batch, heads, length, head_dim]
//! let y = attention(&x, &x, &x).causal(Causal::TopLeft).key_lengths(&[5, 3]).run()?;
//! // The first query sees the first key alone, so its output is the first value.
//! assert_eq!(y.to_f32()?[..8], values[..8]);
//!
//! let weights = LinearWeights::new(&device, [3, 8], &[0.1; 3 * 8], Some(&[1.0; 3]), DType::F32)?;
//! let mut recording = Recording::new(&device);
//! let x = recording.tensor(&y)?;
//! let z = Linear::new(&weights).activation(Activation::Gelu).record(&mut recording, &x)?;
//! recording.output(&z)?;
//! let z = recording.run()?.tensor(&z)?;
//! assert_eq!(z.shape().dims(), [2, 4, 5, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! [`layers`] has multi-head attention, feed-forward and encoder layers on top of the ops.
//!
//! **The caller's own wgpu.** Kernels record into the host's encoder, over its buffers; nothing is submitted behind its
//! back. `examples/host_device.rs` is a whole program:
//!
//! ```no_run
//! use attentive::{AttentionBuffers, AttentionPlan, AttentionShape, Device, wgpu};
//!
//! # fn on_host(adapter: wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue, [q, k, v, output]: [wgpu::Buffer; 4])
//! # -> attentive::Result<()> {
//! // The host's device; device::required_features and required_limits say what to open it with.
//! let attentive = Device::from_wgpu(&adapter, device.clone(), queue.clone());
//! let plan = AttentionPlan::new(&attentive, &AttentionShape::new([1, 8, 128, 64]))?;
//!
//! let mut encoder = device.create_command_encoder(&Default::default());
//! let buffers = AttentionBuffers::new(&q, &k, &v, &output);
//! plan.record(&mut encoder, buffers)?;
//! queue.submit([encoder.finish()]);
//! # Ok(())
//! # }
//! ```
//!
//! Any other recording becomes a [`RecordingPlan`].
//!
//! **Your own kernels.** [`Recording::dispatch`] records a [`kernel::Kernel`] of the caller's between the ops, on a GPU and by its
//! twin on the CPU, and [`verify::verify_variant`] holds it against the caller's oracle: `examples/own_kernel.rs`.
//!
//! # Modules
//!
//! From the bottom up:
//!
//! - [`error`]: the one error type, with the numbers in it.
//! - [`device`]: adapters, device specifications, features and limits, known defects of drivers.
//! - [`tensor`]: shapes, dtypes, tensors on a device.
//! - [`kernel`]: what a kernel is: parameters, bindings, variants, cases, cost.
//! - [`recording`]: dispatches in order, run on a GPU or by the twins; the trace that finds where two devices part.
//! - [`reference`](mod@reference): the f64 oracles, and what rounding alone may do.
//! - [`kernels`]: the kernels, one module for each shader, and the list of all of them.
//! - [`verify`]: each kernel's cases on a device, and the comparison.
//! - `bench` (native alone): what ops and encoders take on a device, by each implementation, against its ceilings.
//! - [`ops`]: attention, linear, layer norm, …: check the arguments, choose an implementation, record it.
//! - [`layers`]: multi-head attention, feed-forward, decoder layers, encoder layers and stacks.
//! - [`mod@train`]: optimizers, their state, and a step of them.
//! - [`weights`]: safetensors, `config.json`, `tokenizer.json` and whole model folders.
//! - [`models`]: the BERT-family encoder and the sentence embedder; BERT with its heads, and the two tasks that it is
//!   pre-trained on; sequence to sequence, and generating.
//! - [`case_files`]: the answers of others, and what a device makes of the same inputs.
//!
//! # Features
//!
//! - `models` (default): [`models`], [`weights`] and [`case_files`]. Without it the crate reads no files.
//!
//! # Async
//!
//! What waits for the device is async. Where there is a blocking form too (absent on wasm32), the async one ends in
//! `_async`; [`device::list_adapters`], [`Device::from_adapter`], [`recording::trace`] and [`verify`] are async alone.
//!
//! The futures are `Send` outside wasm32, and any executor will do. Models, recordings and tensors never wait for a device,
//! compute on the CPU device or compile pipelines on the thread that polls: threads of this crate do, which end when there was
//! nothing for them for some seconds. (What verifies and measures computes where it is polled.) Many texts are tokenized some
//! in each poll. So time limits are kept, and a future that is dropped ends its run: what the device has already been given it
//! finishes (on the CPU device at most one dispatch), no result is torn, buffers come back, and the model is as it was. Loading
//! a model is blocking alone. The blocking forms do everything on the caller's thread (and the cores that a dispatch is cut
//! for), so call them where one may block.
//!
//! A model's run is over when its answers are on the host. [`Recording::run`] and [`Recording::run_async`] end earlier: when the
//! work is on the device's queue. [`Tensor::to_f32`] waits for what it reads. `examples/async_embed.rs` shows time limits, tasks
//! and a progress callback that ends a run ([`IntoControlFlow`]).
#![warn(missing_docs)]

// `parameters!` names this crate as its users do.
extern crate self as attentive;

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
#[cfg(feature = "models")]
pub mod case_files;
pub mod device;
pub mod error;
mod fnv;
mod host_memory;
pub mod kernel;
pub mod kernels;
pub mod layers;
#[cfg(feature = "models")]
pub mod models;
pub mod ops;
mod per_head;
mod progress;
pub mod recording;
pub mod reference;
mod shaders;
pub mod tensor;
pub mod train;
pub mod verify;
mod waiting;
#[cfg(feature = "models")]
pub mod weights;

pub use device::{Device, DeviceOptions};
pub use error::{Error, Result};
#[cfg(feature = "models")]
pub use models::{BertModel, BertModelOptions, Embedder, EmbedderOptions, Translator};
pub use ops::{Activation, AttentionBuffers, AttentionPlan, AttentionShape, Causal, Pooling, attention};
pub use progress::IntoControlFlow;
pub use recording::{Recording, RecordingPlan};
pub use tensor::{DType, Shape, Tensor};
pub use {bytemuck, half, wgpu};

#[cfg(doctest)]
#[doc = include_str!("../docs/attention.md")]
struct AttentionPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/vision.md")]
struct VisionPage;

#[cfg(all(doctest, feature = "models"))]
#[doc = include_str!("../README.md")]
struct Readme;
