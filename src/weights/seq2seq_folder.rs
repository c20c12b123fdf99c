//! A whole folder of a sequence-to-sequence model.

use std::path::{Path, PathBuf};

use super::bahdanau::{self, BahdanauConfig};
use super::checkpoint::Checkpoint;
use super::files::{CONFIG_BYTES, bad, check_folder, read, unsupported};
use super::generation_config::GenerationConfig;
use super::json::Object;
use super::marian::{self, MarianConfig};
use super::seq2seq_tokenizer::Seq2SeqTokenizer;
use super::tokenizer::Tokenizer;
use crate::error::Result;
use crate::host_memory;

/// What `model_type` is in `config.json`.
const KNOWN: [&str; 2] = [marian::MODEL_TYPE, bahdanau::MODEL_TYPE];

/// The sizes of a sequence-to-sequence model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Seq2SeqConfig {
    /// The encoder–decoder Transformer, as MarianMT folders have it.
    Marian(MarianConfig),
    /// Bahdanau's recurrent model.
    Bahdanau(BahdanauConfig),
}

impl Seq2SeqConfig {
    /// Reads the content of a `config.json`, by its `model_type`; `path` stands for it in errors.
    ///
    /// # Errors
    /// Those of [`MarianConfig::from_json`] and [`BahdanauConfig::from_json`].
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match Object::parse(path, json)?.text("model_type")? {
            Some(marian::MODEL_TYPE) => Ok(Self::Marian(MarianConfig::from_json(json, path)?)),
            Some(bahdanau::MODEL_TYPE) => Ok(Self::Bahdanau(BahdanauConfig::from_json(json, path)?)),
            Some(other) => Err(unsupported(path, "architecture", other, &KNOWN)),
            None => Err(bad(
                path,
                format!("the key `model_type` is missing; needed is one of {}", KNOWN.join(", ")),
            )),
        }
    }
}

/// A folder of a sequence-to-sequence model, read and checked: everything but the weights themselves.
#[derive(Debug)]
#[non_exhaustive]
pub struct Seq2SeqFolder {
    /// The model's sizes.
    pub config: Seq2SeqConfig,
    /// How outputs are generated.
    pub generation: GenerationConfig,
    /// The weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer. All its ids are below the config's vocabulary sizes.
    pub tokenizer: Seq2SeqTokenizer,
    /// Notices for the user about this folder.
    pub notices: Vec<String>,
}

/// The content of a folder's files.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Seq2SeqFiles<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `generation_config.json`.
    pub generation: Option<&'a [u8]>,
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `model.safetensors`.
    pub weights: &'a [u8],
}

impl<'a> Seq2SeqFiles<'a> {
    /// `config.json`, `tokenizer.json` and `model.safetensors`; without `generation_config.json`.
    pub fn new(config: &'a [u8], tokenizer: &'a [u8], weights: &'a [u8]) -> Self {
        Self { config, generation: None, tokenizer, weights }
    }

    /// With this `generation_config.json`.
    #[must_use]
    pub fn generation(mut self, generation: &'a [u8]) -> Self {
        self.generation = Some(generation);
        self
    }
}

impl Seq2SeqFolder {
    /// Whether a folder's `config.json` says that it is of such a model; nothing else of it is read.
    pub fn is_at(folder: impl AsRef<Path>) -> bool {
        let path = folder.as_ref().join("config.json");
        let Ok(json) = read(&path, CONFIG_BYTES, "the model's architecture and sizes") else { return false };
        let object = Object::parse(&path, &json);
        let model_type = object.as_ref().ok().and_then(|object| object.text("model_type").ok().flatten());
        model_type.is_some_and(|model_type| KNOWN.contains(&model_type))
    }

    /// Reads and checks a folder: MarianMT's as Hugging Face ships them, or one of `models/train.py`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read,
    /// [`Error::File`](crate::Error::File) for one that is damaged or contradicts another,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what this crate cannot compute.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let root = folder.as_ref();
        check_folder(root, "config.json")?;
        let path = root.join("config.json");
        let json = read(&path, CONFIG_BYTES, "the model's architecture and sizes")?;
        let config = Seq2SeqConfig::from_json(&json, &path)?;
        let generation = GenerationConfig::open_of(root)?;
        let tokenizer = Seq2SeqTokenizer::open(root)?;
        Self::new(&path, config, generation, tokenizer, Checkpoint::open(root)?)
    }

    /// The same from files that are in memory; `name` stands for the folder in errors.
    ///
    /// # Errors
    /// As [`Seq2SeqFolder::open`].
    pub fn from_files(name: impl Into<PathBuf>, files: Seq2SeqFiles<'_>) -> Result<Self> {
        let root = name.into();
        let path = root.join("config.json");
        let config = Seq2SeqConfig::from_json(files.config, &path)?;
        let (json, generation_path) = match files.generation {
            Some(json) => (json, root.join("generation_config.json")),
            None => (files.config, path.clone()),
        };
        let generation = (GenerationConfig::from_json(json, &generation_path)?, generation_path);
        let tokenizer = Tokenizer::from_json(files.tokenizer, root.join("tokenizer.json"))?;
        let path_of_weights = root.join("model.safetensors");
        let weights = host_memory::joined(&[files.weights], || path_of_weights.display().to_string())?;
        let checkpoint = Checkpoint::from_bytes(weights, path_of_weights)?;
        Self::new(&path, config, generation, Seq2SeqTokenizer::new(tokenizer), checkpoint)
    }

    fn new(
        config_path: &Path,
        config: Seq2SeqConfig,
        (mut generation, generation_path): (GenerationConfig, PathBuf),
        tokenizer: Seq2SeqTokenizer,
        checkpoint: Checkpoint,
    ) -> Result<Self> {
        let [source, target] = match &config {
            Seq2SeqConfig::Marian(marian) => [marian.vocabulary_size, marian.target_vocabulary_size],
            Seq2SeqConfig::Bahdanau(bahdanau) => [bahdanau.vocabulary_size; 2],
        };
        tokenizer.check_vocabulary(config_path, ("vocab_size", source), ("decoder_vocab_size", target))?;
        generation.check_ids(target, &generation_path)?;
        if let Seq2SeqConfig::Bahdanau(bahdanau) = &config {
            // That folder's config has all of it, in words of its own.
            generation = GenerationConfig {
                max_new_tokens: Some(bahdanau.max_length),
                max_length: None,
                stop: vec![bahdanau.stop_id],
                padding: Some(bahdanau.padding_id),
                start: Some(bahdanau.start_id),
                forbidden: vec![vec![bahdanau.padding_id]],
                ..generation
            };
        }
        let notices = tokenizer.notices().to_vec();
        Ok(Self { config, generation, checkpoint, tokenizer, notices })
    }
}
