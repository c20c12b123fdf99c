//! A BERT-family model with its heads, and the run over texts that all of them share.

use std::collections::BTreeMap;
use std::path::Path;

use super::batches::{BatchedRun, ModelStatistics, Progress, batch_tokens, tokenize, widest};
use super::heads::{BertHead, HeadKind};
use super::prompts::Prompts;
use super::{BertEncoder, TokenBatch};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::{expect_weight_dtype, gather_rows};
use crate::recording::{Recording, Value};
use crate::tensor::DType;
use crate::weights::{
    Checkpoint, EncoderConfig, EncoderFolder, Encoding, HeadConfig, Problem, ScoreActivation, Tokenizer,
};

/// How a model folder is loaded and run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BertModelOptions {
    /// What the weights are stored as on the device: f32, or f16 at half the memory.
    pub dtype: DType,
    /// Tokens, padding included, that one batch may have. More is faster on a large GPU and takes more memory.
    pub max_batch_tokens: usize,
    /// The heads to load, each of which must be there; `None` for all that there are.
    pub heads: Option<Vec<HeadKind>>,
}

impl Default for BertModelOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, max_batch_tokens: 8192, heads: None }
    }
}

/// A model of the BERT family with the heads of its folder, on a device.
///
/// ```no_run
/// # fn main() -> attentive::Result<()> {
/// use attentive::{BertModel, Device};
///
/// let device = Device::open("auto")?;
/// let bert = BertModel::from_dir(&device, "bert-base-uncased")?;
/// let filled = bert.fill_mask(&["Paris is the [MASK] of France."]).top(3).run()?;
/// for word in &filled.texts[0].masks[0].predictions {
///     println!("{:.3} {}", word.probability, word.text);
/// }
/// let next = bert.next_sentence(&[("It rained all day.", "So we stayed at home.")]).run()?;
/// println!("{:.3}", next.answers[0].probability);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BertModel {
    device: Device,
    encoder: BertEncoder,
    heads: Vec<BertHead>,
    head_config: HeadConfig,
    pub(super) tokenizer: Tokenizer,
    mask_token: Option<(String, u32)>,
    pub(super) max_tokens: usize,
    max_tokens_source: String,
    pub(super) prompts: Prompts,
    notices: Vec<String>,
    batch_tokens: usize,
    /// For the error where a head is missing; `None` where heads were made.
    checkpoint: Option<Checkpoint>,
    dtype: DType,
}

impl BertModel {
    /// Loads a Hugging Face folder with all the heads that it has.
    ///
    /// # Errors
    /// Those of [`EncoderFolder::open`], [`BertEncoder::load`] and [`BertHead::load`]; [`Error::Argument`] for options with
    /// another dtype than f32 and f16.
    pub fn from_dir(device: &Device, folder: impl AsRef<Path>) -> Result<Self> {
        Self::from_dir_with(device, folder, &BertModelOptions::default())
    }

    /// [`BertModel::from_dir`] with options.
    ///
    /// # Errors
    /// As [`BertModel::from_dir`].
    pub fn from_dir_with(
        device: &Device,
        folder: impl AsRef<Path>,
        options: &BertModelOptions,
    ) -> Result<Self> {
        expect_weight_dtype("bert", options.dtype)?;
        let EncoderFolder {
            config,
            head_config,
            checkpoint,
            tokenizer,
            mask_token,
            max_tokens,
            max_tokens_source,
            prompts,
            default_prompt,
            notices,
            ..
        } = EncoderFolder::open(folder)?;
        let present = BertHead::present(&config, &head_config, &checkpoint);
        let kinds = options.heads.as_ref().unwrap_or(&present);
        // A head that is not there is told before the weights are loaded.
        if let Some(&kind) = kinds.iter().find(|kind| !present.contains(kind)) {
            return Err(BertHead::missing(kind, &config, &head_config, &checkpoint));
        }
        let encoder = BertEncoder::load(device, &config, &checkpoint, options.dtype)?;
        let mut heads = Vec::with_capacity(kinds.len());
        for &kind in kinds {
            let from = (&checkpoint, options.dtype);
            let head = BertHead::load_beside(&heads, device, kind, &encoder, &head_config, from)?;
            heads.push(head);
        }
        Ok(Self {
            device: device.clone(),
            heads,
            head_config,
            tokenizer,
            mask_token,
            max_tokens,
            max_tokens_source,
            prompts: Prompts::new(prompts, default_prompt, &[]),
            notices,
            batch_tokens: batch_tokens(device, widest(&config), options.max_batch_tokens),
            checkpoint: Some(checkpoint),
            dtype: options.dtype,
            encoder,
        })
    }

    /// A model that has learnt nothing yet, with those heads, its weights made from a seed, in f32: what pre-training begins with.
    /// `config` is the content of a `config.json`, and the limit of an input its positions.
    ///
    /// # Errors
    /// Those of [`EncoderConfig::from_json`] and [`HeadConfig::from_json`]; [`Error::File`] for a tokenizer with ids that the config's
    /// vocabulary does not have, and [`Error::Argument`] for more special tokens than positions; those of [`BertHead::untrained`].
    pub fn untrained(
        device: &Device,
        config: &[u8],
        tokenizer: Tokenizer,
        heads: &[HeadKind],
        seed: u64,
    ) -> Result<Self> {
        let head_config = HeadConfig::from_json(config, "config.json")?;
        let config = EncoderConfig::from_json(config, "config.json")?;
        tokenizer.check_vocabulary(config.vocabulary_size)?;
        let (max_tokens, special) = (config.usable_positions(), tokenizer.special_tokens_in_pair());
        if max_tokens <= special {
            let expected = format!("above {special}, the special tokens of a pair");
            return Err(Error::argument("bert", "the positions", expected, max_tokens.to_string()));
        }
        let encoder = BertEncoder::untrained(device, &config, seed)?;
        let made = heads.iter().map(|&kind| BertHead::untrained(device, kind, &encoder, &head_config, seed));
        let mask = tokenizer.token_id(config.family.mask_token);
        Ok(Self {
            device: device.clone(),
            heads: made.collect::<Result<_>>()?,
            head_config,
            mask_token: mask.map(|id| (config.family.mask_token.to_owned(), id)),
            tokenizer,
            max_tokens,
            max_tokens_source: "config.json: max_position_embeddings".to_owned(),
            prompts: Prompts::default(),
            notices: Vec::new(),
            batch_tokens: batch_tokens(device, widest(&config), BertModelOptions::default().max_batch_tokens),
            checkpoint: None,
            dtype: DType::F32,
            encoder,
        })
    }

    /// The encoder of a folder under a classifier that has learnt nothing yet, its weights made from a seed, in f32: what fine-tuning
    /// begins with. A pooler that the folder has is taken over; other heads are not loaded.
    ///
    /// # Errors
    /// Those of [`EncoderFolder::open`] and [`BertEncoder::load`]; [`Error::Argument`] for a head that is no classifier, or less than two
    /// labels.
    pub fn with_new_head(
        device: &Device,
        folder: impl AsRef<Path>,
        kind: HeadKind,
        labels: &[String],
        seed: u64,
    ) -> Result<Self> {
        if !matches!(kind, HeadKind::Sequence | HeadKind::Token) {
            let expected = "one with labels, of sequences or of tokens";
            return Err(Error::argument("bert", "the new head", expected, format!("the {}", kind.name())));
        }
        if labels.len() < 2 {
            return Err(Error::argument("bert", "the labels", "two at least", labels.len().to_string()));
        }
        let folder = EncoderFolder::open(folder)?;
        let encoder = BertEncoder::load(device, &folder.config, &folder.checkpoint, DType::F32)?;
        let head_config = HeadConfig {
            labels: labels.to_vec(),
            problem: Problem::SingleLabel,
            activation: ScoreActivation::Softmax,
            activation_notice: None,
            ..folder.head_config
        };
        let made = (&folder.checkpoint, seed);
        let head = BertHead::untrained_on(device, kind, &encoder, &head_config, made)?;
        Ok(Self {
            device: device.clone(),
            heads: vec![head],
            head_config,
            tokenizer: folder.tokenizer,
            mask_token: folder.mask_token,
            max_tokens: folder.max_tokens,
            max_tokens_source: folder.max_tokens_source,
            prompts: Prompts::default(),
            notices: folder.notices,
            batch_tokens: batch_tokens(
                device,
                widest(&folder.config),
                BertModelOptions::default().max_batch_tokens,
            ),
            checkpoint: None,
            dtype: DType::F32,
            encoder,
        })
    }

    /// The heads that a folder has, without its weights being loaded.
    ///
    /// # Errors
    /// Those of [`EncoderFolder::open`].
    pub fn heads_of(folder: impl AsRef<Path>) -> Result<Vec<HeadKind>> {
        let folder = EncoderFolder::open(folder)?;
        Ok(BertHead::present(&folder.config, &folder.head_config, &folder.checkpoint))
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The encoder's sizes.
    pub fn config(&self) -> &EncoderConfig {
        self.encoder.config()
    }

    /// Labels, and what the folder says about its heads.
    pub fn head_config(&self) -> &HeadConfig {
        &self.head_config
    }

    /// The encoder.
    pub fn encoder(&self) -> &BertEncoder {
        &self.encoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The heads that were loaded.
    pub fn heads(&self) -> &[BertHead] {
        &self.heads
    }

    /// A loaded head.
    ///
    /// # Errors
    /// [`Error::MissingHead`] where the folder has none; [`Error::Argument`] where it was not asked for.
    pub fn head(&self, kind: HeadKind) -> Result<&BertHead> {
        if let Some(head) = self.heads.iter().find(|head| head.kind() == kind) {
            return Ok(head);
        }
        let (config, head) = (self.config(), &self.head_config);
        match &self.checkpoint {
            Some(checkpoint) if !BertHead::present(config, head, checkpoint).contains(&kind) => {
                Err(BertHead::missing(kind, config, head, checkpoint))
            }
            _ => {
                let found = "not among the heads that were asked for";
                Err(Error::argument("bert", format!("the {}", kind.name()), "loaded", found))
            }
        }
    }

    /// The token that stands for a hidden word, such as `[MASK]`, and its id; `None` where the tokenizer has none.
    pub fn mask_token(&self) -> Option<(&str, u32)> {
        self.mask_token.as_ref().map(|(token, id)| (token.as_str(), *id))
    }

    /// The most tokens of a text or a pair, special ones included, and where the folder says so.
    pub fn max_tokens(&self) -> (usize, &str) {
        (self.max_tokens, &self.max_tokens_source)
    }

    /// What the matrices are stored as on the device.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The prompts of a cross-encoder's folder by their names, for [`Classify::prompt_name`](super::Classify::prompt_name) and
    /// [`Rerank::prompt_name`](super::Rerank::prompt_name).
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        self.prompts.texts()
    }

    /// The name of the prompt that is put before texts and queries where nothing is said.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.prompts.default_name()
    }

    /// Notices for the user about the folder.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.encoder.bytes() + self.heads.iter().map(BertHead::bytes).sum::<u64>()
    }

    /// [`Error::Argument`] if a text lost tokens, for a task that cannot do without them.
    pub(super) fn refuse_cut(&self, op: &str, what: &str, index: usize, encoding: &Encoding) -> Result<()> {
        if !encoding.is_truncated() {
            return Ok(());
        }
        let expected = format!("at most {} tokens ({})", self.max_tokens, self.max_tokens_source);
        let found = format!("{} tokens with the special ones", encoding.total_tokens);
        Err(Error::argument(op, format!("{what} {index}"), expected, found))
    }

    /// Tokenizes texts.
    pub(super) async fn encode_texts<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Encoding>> {
        tokenize(texts, |texts| self.tokenizer.encode_batch(texts, self.max_tokens)).await
    }

    /// Tokenizes pairs of texts.
    pub(super) async fn encode_pairs<S: AsRef<str> + Sync>(&self, pairs: &[(S, S)]) -> Result<Vec<Encoding>> {
        tokenize(pairs, |pairs| self.tokenizer.encode_pairs(pairs, self.max_tokens)).await
    }

    /// Runs encodings through the encoder, and chosen rows of each through heads. `sink` gets each row's answer with
    /// the place of its head in `wanted`, of its encoding, and of the row among that encoding's.
    pub(super) async fn answer(
        &self,
        encodings: &[Encoding],
        wanted: &[Wanted<'_>],
        progress: &mut Progress<'_>,
        sink: &mut (dyn FnMut(Place, &[f32]) + Send),
    ) -> Result<ModelStatistics> {
        let run = BatchedRun { device: &self.device, encodings, batch_tokens: self.batch_tokens };
        let bytes = |index: usize| wanted.iter().map(|wanted| wanted.bytes(wanted.rows[index].len())).sum();
        let record = |recording: &mut Recording, batch: &[usize]| {
            self.record_batch(recording, encodings, batch, wanted)
        };
        run.run(bytes, record, progress, &mut |place, row| sink(*place, row)).await
    }

    /// Records a batch: for each piece of answers, whose they are.
    fn record_batch(
        &self,
        recording: &mut Recording,
        encodings: &[Encoding],
        batch: &[usize],
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<(Value, Vec<Place>)>> {
        let ids: Vec<&[u32]> = batch.iter().map(|&index| encodings[index].ids.as_slice()).collect();
        let types: Vec<&[u32]> = batch.iter().map(|&index| encodings[index].type_ids.as_slice()).collect();
        let (hidden, _) = self.encoder.record(recording, TokenBatch::new(&ids).types(&types))?;
        let &[_, longest, columns] = hidden.shape().dims() else { return Ok(Vec::new()) };
        let tokens = hidden.reshape([batch.len() * longest, columns])?;
        let mut pieces = Vec::new();
        for (number, wanted) in wanted.iter().enumerate() {
            let mut index = Vec::new();
            let mut owners = Vec::new();
            for (member, &encoding) in batch.iter().enumerate() {
                for (row, &token) in wanted.rows[encoding].iter().enumerate() {
                    index.push((member * longest) as u32 + token);
                    owners.push(Place { head: number, encoding, row });
                }
            }
            // One tensor of answers must fit a binding.
            let allowed = self.device.capabilities().tensor_bytes() / wanted.bytes(1).max(1);
            let part = usize::try_from(allowed).unwrap_or(usize::MAX).max(1);
            let name = wanted.head.kind().name();
            for (index, owners) in index.chunks(part).zip(owners.chunks(part)) {
                let answers = recording.scoped(name, |recording| {
                    let rows = gather_rows(recording, &tokens, index)?;
                    wanted.head.record(recording, &rows)
                })?;
                recording.output(&answers)?;
                pieces.push((answers, owners.to_vec()));
            }
        }
        Ok(pieces)
    }
}

/// A head, and the tokens of each encoding that go through it.
pub(super) struct Wanted<'a> {
    pub(super) head: &'a BertHead,
    pub(super) rows: &'a [Vec<u32>],
}

impl Wanted<'_> {
    fn bytes(&self, rows: usize) -> u64 {
        4 * self.head.outputs() as u64 * rows as u64
    }
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) head: usize,
    pub(super) encoding: usize,
    pub(super) row: usize,
}
