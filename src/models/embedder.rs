//! Sentence embeddings: tokenizer, BERT-family encoder, pooling, normalization.

use std::collections::BTreeMap;
use std::path::Path;

use super::attention_maps::map_tokens;
use super::batches::{BatchedRun, ModelStatistics, Progress, batch_tokens, tokenize, told_and_run, widest};
use super::prompts::{Prompt, Prompts};
use super::{AttentionMaps, BertEncoder, TokenBatch};
use crate::device::Device;
use crate::error::Result;
use crate::kernel::Inputs;
use crate::layers::LayerCapture;
use crate::ops::{Pooling, expect_weight_dtype, gather_rows, pool};
use crate::recording::{Recording, RunStatistics, Step, Value, trace};
use crate::tensor::{DType, Tensor};
use crate::weights::{EVERY_EMBEDDERS, EmbedderFolder, EncoderConfig, Encoding, Tokenizer};

/// How a model folder is loaded and run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmbedderOptions {
    /// What the weights are stored as on the device: f32, or f16 at half the memory.
    pub dtype: DType,
    /// Tokens, padding included, that one batch may have. More is faster on a large GPU and takes more memory.
    pub max_batch_tokens: usize,
    /// In place of the folder's pooling.
    pub pooling: Option<Pooling>,
    /// In place of the folder's normalization.
    pub normalize: Option<bool>,
}

impl Default for EmbedderOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, max_batch_tokens: 8192, pooling: None, normalize: None }
    }
}

/// A sentence embedder on a device.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// use attentive::{Device, Embedder};
///
/// let device = Device::open("auto")?;
/// let embedder = Embedder::from_dir(&device, "all-MiniLM-L6-v2")?;
/// let vectors = embedder.encode(&["a sentence", "another"]).run()?;
/// println!("{:?} on {}", vectors.row(0), device.name());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Embedder {
    pub(super) device: Device,
    pub(super) encoder: BertEncoder,
    pub(super) tokenizer: Tokenizer,
    pub(super) pooling: Pooling,
    normalize: bool,
    pub(super) max_tokens: usize,
    max_tokens_source: String,
    prompts: Prompts,
    /// Whether a prompt's tokens are pooled with the text's.
    include_prompt: bool,
    notices: Vec<String>,
    batch_tokens: usize,
}

impl Embedder {
    /// Loads a sentence-transformers or Hugging Face folder.
    ///
    /// # Errors
    /// Those of [`EmbedderFolder::open`] and [`BertEncoder::load`]; [`Error::Argument`](crate::Error::Argument) for options
    /// with another dtype than f32 and f16.
    pub fn from_dir(device: &Device, folder: impl AsRef<Path>) -> Result<Self> {
        Self::from_dir_with(device, folder, &EmbedderOptions::default())
    }

    /// [`Embedder::from_dir`] with options.
    ///
    /// # Errors
    /// As [`Embedder::from_dir`].
    pub fn from_dir_with(
        device: &Device,
        folder: impl AsRef<Path>,
        options: &EmbedderOptions,
    ) -> Result<Self> {
        expect_weight_dtype("embedder", options.dtype)?;
        let folder = EmbedderFolder::open(folder)?;
        let encoder = BertEncoder::load(device, &folder.config, &folder.checkpoint, options.dtype)?;
        let batch_tokens = batch_tokens(device, widest(&folder.config), options.max_batch_tokens);
        let prompts = Prompts::new(folder.prompts, folder.default_prompt, &EVERY_EMBEDDERS);
        Ok(Self {
            device: device.clone(),
            encoder,
            tokenizer: folder.tokenizer,
            pooling: options.pooling.unwrap_or(folder.pooling),
            normalize: options.normalize.unwrap_or(folder.normalize),
            max_tokens: folder.max_tokens,
            max_tokens_source: folder.max_tokens_source,
            prompts,
            include_prompt: folder.include_prompt,
            notices: folder.notices,
            batch_tokens,
        })
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The encoder's sizes.
    pub fn config(&self) -> &EncoderConfig {
        self.encoder.config()
    }

    /// Elements of an embedding.
    pub fn dimensions(&self) -> usize {
        self.config().hidden_size
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How token vectors become one.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Whether embeddings have length 1.
    pub fn normalizes(&self) -> bool {
        self.normalize
    }

    /// The most tokens of a text, special ones included, and where the folder says so; what is longer is cut.
    pub fn max_tokens(&self) -> (usize, &str) {
        (self.max_tokens, &self.max_tokens_source)
    }

    /// The folder's prompts by their names, such as `query`, for [`Encode::prompt_name`].
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        self.prompts.texts()
    }

    /// The name of the prompt that is put before texts where nothing is said.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.prompts.default_name()
    }

    /// Notices for the user about the folder.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.encoder.bytes()
    }

    /// Embeds texts, any number and any length.
    pub fn encode<'a, S: AsRef<str> + Sync>(&'a self, texts: &'a [S]) -> Encode<'a, S> {
        Encode { embedder: self, texts, prompt: Prompt::Default, progress: Progress::of("encode") }
    }

    /// Runs the encoder on a text, or on a pair, and gives the attention weights of some layers and heads. They are
    /// captured beside the run's fused attention. The text is taken as it is, without the folder's default prompt, which
    /// [`Embedder::encode`] puts before it; one longer than the model takes is cut.
    ///
    /// # Errors
    /// [`Error::Tokenize`](crate::Error::Tokenize); [`Error::Argument`](crate::Error::Argument) for layers or heads
    /// that there are not, and for a capture above its bound, before anything runs; those of
    /// [`Recording::run_async`].
    pub async fn attention_async(
        &self,
        text: &str,
        second: Option<&str>,
        capture: &LayerCapture<'_>,
    ) -> Result<Attended> {
        let (encoding, origins) = self.tokenizer.encode_with_origins(text, second, self.max_tokens)?;
        let tokens = map_tokens(&self.tokenizer, &encoding, &origins, [text, second.unwrap_or_default()]);
        let length = encoding.ids.len();
        let config = self.config();
        capture.check(&vec![config.heads; config.layers], [1, length, length])?;
        let [layers, heads] = capture.numbers([config.layers, config.heads])?;
        let mut recording = Recording::new(&self.device);
        let batch = TokenBatch { ids: &[&encoding.ids], types: &[&encoding.type_ids] };
        let (_, _, captured) = self.encoder.record_captured(&mut recording, batch, capture)?;
        for value in &captured {
            recording.output(value)?;
        }
        let outputs = recording.run_async().await?;
        let mut weights = Vec::with_capacity(layers.len() * heads.len() * length * length);
        for value in &captured {
            weights.extend(outputs.tensor(value)?.to_f32_async().await?);
        }
        let truncation = truncations(std::slice::from_ref(&encoding)).pop();
        let sides = [tokens.clone(), tokens];
        let maps = AttentionMaps::new(sides, layers, heads, weights)?;
        Ok(Attended { maps, truncation, statistics: outputs.statistics })
    }

    /// The blocking form of [`Embedder::attention_async`].
    ///
    /// ```no_run
    /// # fn main() -> attentive::Result<()> {
    /// use attentive::layers::LayerCapture;
    /// use attentive::{Device, Embedder};
    ///
    /// let embedder = Embedder::from_dir(&Device::open("auto")?, "all-MiniLM-L6-v2")?;
    /// let attended = embedder.attention("The cat sat.", None, &LayerCapture::of(&[4, 5]))?;
    /// println!("{:?}: {:?}", attended.maps.shape(), attended.maps.row(0, 3, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Embedder::attention_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn attention(
        &self,
        text: &str,
        second: Option<&str>,
        capture: &LayerCapture<'_>,
    ) -> Result<Attended> {
        crate::waiting::block_on(self.attention_async(text, second, capture))
    }

    /// How many tokens of a text are not pooled: where the folder leaves out its prompts (`include_prompt`), so many as the
    /// prompt has by itself, but for a special one behind it, as sentence-transformers counts them.
    fn unpooled_tokens(&self, prompt: &str) -> Result<usize> {
        if self.include_prompt || prompt.is_empty() {
            return Ok(0);
        }
        let ids = self.tokenizer.encode(prompt, self.max_tokens)?.ids;
        let special = |id: &u32| self.tokenizer.special_ids().binary_search(id).is_ok();
        Ok(ids.len() - usize::from(ids.last().is_some_and(special)))
    }

    /// Runs the model on texts in one batch and holds each dispatch against its twin: see
    /// [`trace`](crate::recording::trace).
    ///
    /// # Errors
    /// Those of tokenizing and running.
    pub async fn trace<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Step>> {
        let encodings = self.tokenizer.encode_batch(texts, self.max_tokens)?;
        let mut recording = Recording::new(&self.device);
        self.record(&mut recording, &encodings.iter().collect::<Vec<_>>(), 0)?;
        trace(&recording).await
    }

    /// Its encoder, to record it by oneself, as training does.
    pub fn encoder(&self) -> &BertEncoder {
        &self.encoder
    }

    /// [`Embedder::trace`] of the vectors' gradients too: by every parameter, from a gradient of each vector that is made from a seed.
    ///
    /// # Errors
    /// Those of tokenizing and running; [`Error::Argument`](crate::Error::Argument) for matrices that are not f32.
    pub async fn trace_gradients<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Step>> {
        let encodings = self.tokenizer.encode_batch(texts, self.max_tokens)?;
        let parameters = self.parameters();
        let tensors = parameters.iter().map(|parameter| &parameter.tensor);
        let mut recording = Recording::training(&self.device, tensors)?;
        let vectors = self.record(&mut recording, &encodings.iter().collect::<Vec<_>>(), 0)?;
        let count = vectors.shape().elements() as usize;
        let upstream =
            Tensor::from_f32(&self.device, vectors.shape().clone(), &Inputs::new(7).values(count, 1.0))?;
        let upstream = recording.tensor(&upstream)?;
        recording.backward_from(&vectors, &upstream)?;
        trace(&recording).await
    }

    /// Records a batch, of which the first `skipped` tokens of each text are not pooled.
    fn record(&self, recording: &mut Recording, batch: &[&Encoding], skipped: usize) -> Result<Value> {
        let ids: Vec<&[u32]> = batch.iter().map(|encoding| encoding.ids.as_slice()).collect();
        let types: Vec<&[u32]> = batch.iter().map(|encoding| encoding.type_ids.as_slice()).collect();
        let (hidden, lengths) = self.encoder.record(recording, TokenBatch::new(&ids).types(&types))?;
        let vectors = recording.scoped("pooling", |recording| {
            let (hidden, lengths) = without_first(recording, hidden, lengths, skipped)?;
            pool(recording, &hidden, &lengths, self.pooling, self.normalize)
        })?;
        recording.output(&vectors)?;
        Ok(vectors)
    }
}

/// `[batch, longest, columns]` without the first tokens of each text.
fn without_first(
    recording: &mut Recording,
    hidden: Value,
    mut lengths: Vec<u32>,
    skipped: usize,
) -> Result<(Value, Vec<u32>)> {
    let &[batch, longest, columns] = hidden.shape().dims() else { return Ok((hidden, lengths)) };
    if skipped == 0 {
        return Ok((hidden, lengths));
    }
    lengths.iter_mut().for_each(|length| *length = length.saturating_sub(skipped as u32));
    let left = longest.saturating_sub(skipped);
    if left == 0 {
        return Ok((hidden, lengths));
    }
    let kept = (0..batch).flat_map(|text| text * longest + skipped..(text + 1) * longest);
    let kept: Vec<u32> = kept.map(|row| row as u32).collect();
    let rows = hidden.reshape([batch * longest, columns])?;
    Ok((gather_rows(recording, &rows, &kept)?.reshape([batch, left, columns])?, lengths))
}

/// An [`Embedder::encode`] to be run.
pub struct Encode<'a, S> {
    embedder: &'a Embedder,
    texts: &'a [S],
    prompt: Prompt,
    progress: Progress<'a>,
}

impl<'a, S: AsRef<str> + Sync> Encode<'a, S> {
    /// Puts this before each text, in place of the folder's default prompt; empty for none.
    #[must_use]
    pub fn prompt(mut self, prompt: &str) -> Self {
        self.prompt = Prompt::Text(prompt.to_owned());
        self
    }

    /// Puts the folder's prompt of that name before each text, in place of its default one: one of [`Embedder::prompts`], or
    /// `query` or `document`, which are empty where a folder has none.
    #[must_use]
    pub fn prompt_name(mut self, name: &str) -> Self {
        self.prompt = Prompt::Named(name.to_owned());
        self
    }

    /// Embeds the texts: one vector each, in their order.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a prompt's name that the folder does not have;
    /// [`Error::Tokenize`](crate::Error::Tokenize), [`Error::Interrupted`](crate::Error::Interrupted), and those of
    /// [`Recording::run_async`].
    pub async fn run_async(mut self) -> Result<Embeddings> {
        let embedder = self.embedder;
        let prompt = embedder.prompts.text("embed", &self.prompt)?;
        let skipped = embedder.unpooled_tokens(prompt)?;
        let encode = |texts: &[S]| embedder.tokenizer.encode_batch(texts, embedder.max_tokens);
        let encodings = match prompt {
            "" => tokenize(self.texts, encode).await?,
            prompt => {
                let prompted = |text: &S| format!("{prompt}{}", text.as_ref());
                tokenize(self.texts, |texts| {
                    let texts: Vec<String> = texts.iter().map(prompted).collect();
                    embedder.tokenizer.encode_batch(&texts, embedder.max_tokens)
                })
                .await?
            }
        };
        let dimensions = embedder.dimensions();
        let mut values = vec![0.0; encodings.len() * dimensions];
        let run = BatchedRun {
            device: &embedder.device,
            encodings: &encodings,
            batch_tokens: embedder.batch_tokens,
        };
        let record = |recording: &mut Recording, batch: &[usize]| {
            let members: Vec<&Encoding> = batch.iter().map(|&index| &encodings[index]).collect();
            Ok(vec![(embedder.record(recording, &members, skipped)?, batch.to_vec())])
        };
        let sink = &mut |&index: &usize, row: &[f32]| {
            values[index * dimensions..][..dimensions].copy_from_slice(row);
        };
        // One row each: what is read back bounds no batch.
        let statistics = run.run(|_| 0, record, &mut self.progress, sink).await?;
        Ok(Embeddings { values, dimensions, truncations: truncations(&encodings), statistics })
    }

    told_and_run!(Embeddings);
}

/// The places of what is not finite.
pub(super) fn not_finite<T>(
    items: impl IntoIterator<Item = T>,
    is_finite: impl Fn(&T) -> bool,
) -> Vec<usize> {
    let others = items.into_iter().enumerate().filter(|(_, item)| !is_finite(item));
    others.map(|(place, _)| place).collect()
}

pub(super) fn truncations(encodings: &[Encoding]) -> Vec<Truncation> {
    let cut = encodings.iter().enumerate().filter(|(_, encoding)| encoding.is_truncated());
    cut.map(|(index, encoding)| Truncation { index, tokens: encoding.total_tokens, kept: encoding.ids.len() })
        .collect()
}

/// A text that was longer than the model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// Its place in the caller's list.
    pub index: usize,
    /// The tokens that it has, special ones included.
    pub tokens: usize,
    /// Those that were used.
    pub kept: usize,
}

/// What [`Embedder::attention_async`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attended {
    /// The weights, with their tokens.
    pub maps: AttentionMaps,
    /// That the text was cut, if it was.
    pub truncation: Option<Truncation>,
    /// The figures of the run.
    pub statistics: RunStatistics,
}

/// Embeddings, `[texts, dimensions]`, in the order of the texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Embeddings {
    values: Vec<f32>,
    dimensions: usize,
    /// The texts that were cut.
    pub truncations: Vec<Truncation>,
    /// The figures of the run.
    pub statistics: ModelStatistics,
}

impl Embeddings {
    /// `[texts, dimensions]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.statistics.texts, self.dimensions]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The embedding of one text; empty if there is none of that number.
    pub fn row(&self, text: usize) -> &[f32] {
        self.values.chunks_exact(self.dimensions.max(1)).nth(text).unwrap_or_default()
    }

    /// The embeddings, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimensions.max(1))
    }

    /// The texts whose embeddings have a NaN or an infinity. A model whose weights were refused for neither may still
    /// make them, where its activations pass what f32 holds.
    pub fn not_finite(&self) -> Vec<usize> {
        not_finite(self.rows(), |row| row.iter().all(|value| value.is_finite()))
    }

    /// The cosine similarity of two texts' embeddings; NaN if one of them is 0.
    pub fn cosine(&self, first: usize, second: usize) -> f32 {
        let (a, b) = (self.row(first), self.row(second));
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
    }
}
