//! The model and the report that the commands on BERT's heads share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attentive::models::{HeadKind, ModelStatistics};
use attentive::{BertModel, BertModelOptions, DType, Device};
use clap::Args;

use super::{
    BatchArgument, DTypeArgument, DeviceArgument, GOOGLE_BERT, ModelArguments, OpenArguments, Place,
};
use crate::output::{Answers, Failure, Result, bytes, count, note, thousands};

#[derive(Args)]
pub struct BertArguments {
    /// A folder, or a model of the Hugging Face hub (ORG/NAME; NAME is google-bert/NAME), which is downloaded into its
    /// cache (HF_HOME)
    #[arg(short, long, env = "ATTENTIVE_MODEL", hide_env_values = true, value_name = "MODEL")]
    #[arg(default_value = "google-bert/bert-base-uncased")]
    pub model: String,

    #[command(flatten)]
    device: DeviceArgument,

    #[command(flatten)]
    batch: BatchArgument,

    #[command(flatten)]
    dtype: DTypeArgument,

    /// Write the answers as JSON, an object a line, into a file, or to standard output (-) in place of the report
    #[arg(long, env = "ATTENTIVE_JSON", hide_env_values = true, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    open: OpenArguments,

    #[command(flatten)]
    hub: ModelArguments,
}

impl BertArguments {
    /// As [`BertArguments::load`] would find it, or the program's own.
    pub fn place(&self) -> Result<Place> {
        self.place_of(&self.model)
    }

    /// The same of another model.
    pub fn place_of(&self, model: &str) -> Result<Place> {
        self.hub.place(model, GOOGLE_BERT).map_err(with_hint)
    }

    /// Tokens in one batch, if a number is asked for.
    pub fn max_batch_tokens(&self) -> Option<usize> {
        self.batch.max_tokens()
    }

    pub fn device(&self) -> Result<Device> {
        Ok(self.device.open(&self.open)?)
    }

    pub fn dtype(&self) -> DType {
        self.dtype.dtype()
    }

    /// The model with its heads.
    pub fn load(&self, heads: Option<Vec<HeadKind>>) -> Result<Loaded> {
        self.load_of(GOOGLE_BERT, heads)
    }

    /// As [`BertArguments::load`], where the hub has one-word names in that organization.
    pub fn load_of(&self, organization: &str, heads: Option<Vec<HeadKind>>) -> Result<Loaded> {
        let folder = self.hub.folder(&self.model, organization).map_err(with_hint)?;
        let start = Instant::now();
        let device = self.device()?;
        let mut options = BertModelOptions::default();
        options.dtype = self.dtype.dtype();
        options.heads = heads;
        if let Some(tokens) = self.max_batch_tokens() {
            options.max_batch_tokens = tokens;
        }
        let model = BertModel::from_dir_with(&device, folder, &options)?;
        for notice in model.notices() {
            note(notice);
        }
        Ok(Loaded { model, load: start.elapsed(), start: Instant::now() })
    }

    /// Where the answers go; found wrong before the work.
    pub fn answers(&self) -> Result<Answers> {
        Answers::of(self.json.as_deref())
    }

    /// Device, model, sizes and times.
    pub fn summary(&self, loaded: &Loaded, statistics: &ModelStatistics, noun: &str) -> String {
        let model = &loaded.model;
        let config = model.config();
        let padding = match statistics.padded_tokens.saturating_sub(statistics.tokens) {
            0 => String::new(),
            padding => format!(" and {} of padding", thousands(padding as u64)),
        };
        format!(
            "device  {}\nmodel   {}: {:?}, {} layers, {} wide, {} heads\ninput   {}, {} tokens{padding}, {}\n\
             memory  weights {}, temporaries {} at the peak\ntime    loading {:.2} s, running {:.2} s\n",
            model.device().name(),
            self.model,
            config.family,
            config.layers,
            config.hidden_size,
            config.heads,
            count(statistics.texts, noun),
            thousands(statistics.tokens as u64),
            match statistics.batches {
                1 => "1 batch".to_owned(),
                batches => format!("{} batches", thousands(batches as u64)),
            },
            bytes(model.weight_bytes()),
            bytes(statistics.peak_bytes),
            loaded.load.as_secs_f64(),
            loaded.start.elapsed().as_secs_f64(),
        )
    }
}

fn with_hint(failure: Failure) -> Failure {
    let hint = "-m FOLDER takes a folder that has config.json, model.safetensors and tokenizer.json";
    match failure {
        Failure::Failed(problem) => Failure::Failed(format!("{problem}. {hint}")),
        other => other,
    }
}

/// A model on its device, and when.
pub struct Loaded {
    pub model: BertModel,
    load: Duration,
    start: Instant,
}
