//! Which model: a folder, one of the Hugging Face hub, or one that the program holds.

use std::path::{Path, PathBuf};

use attentive::models::{EmbeddedModel, Translator};
use attentive::weights::Seq2SeqFolder;
use attentive::{DType, Device};
use clap::Args;
use clap::builder::FalseyValueParser;

use crate::hub;
use crate::output::{Failure, Result};

#[derive(Args)]
pub struct ModelArguments {
    /// Use only what is in the hub's cache, and no network
    #[arg(long, env = "HF_HUB_OFFLINE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    offline: bool,
}

impl ModelArguments {
    /// The folder of `name`: itself a folder, or `org/name` of the hub; `name` alone is also tried as `organization/name`.
    pub fn folder(&self, name: &str, organization: &str) -> Result<PathBuf> {
        let path = Path::new(name);
        if path.is_dir() {
            return Ok(path.to_owned());
        }
        if path.exists() {
            return Err(Failure::file(path, "this is a file; a model is the folder that holds it"));
        }
        let Some(id) = hub::id_of(name, organization) else {
            return Err(Failure::Failed(format!("there is no folder {name}")));
        };
        hub::folder(&id, self.offline).map_err(|problem| {
            Failure::Failed(format!(
                "no model `{name}`: there is no such folder, and {id} of the Hugging Face hub {problem}"
            ))
        })
    }

    /// The program's own model of that name, unless a folder of a model has it; else [`folder`](Self::folder).
    pub fn place(&self, name: &str, organization: &str) -> Result<Place> {
        match EmbeddedModel::named(name).filter(|_| !is_of_a_model(Path::new(name))) {
            Some(embedded) => Ok(Place::Embedded(embedded)),
            None => self.folder(name, organization).map(Place::Folder),
        }
    }
}

/// Whether it is a folder of a model, and not one of other things that has the name of a model which the program holds.
pub fn is_of_a_model(folder: &Path) -> bool {
    folder.join("config.json").is_file()
}

/// Where the hub has embedding models that are called by one word.
pub const SENTENCE_TRANSFORMERS: &str = "sentence-transformers";
/// BERT itself.
pub const GOOGLE_BERT: &str = "google-bert";
/// And translation models.
pub const HELSINKI: &str = "Helsinki-NLP";

/// Where a model is that the program may hold.
pub enum Place {
    /// In the program.
    Embedded(EmbeddedModel),
    /// In a folder.
    Folder(PathBuf),
}

impl Place {
    /// Whether it is one that writes a text for a text.
    pub fn is_translator(&self) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Folder(folder) => Seq2SeqFolder::is_at(folder),
        }
    }

    pub fn translator(&self, device: &Device, dtype: DType) -> attentive::Result<Translator> {
        match self {
            Self::Embedded(embedded) => Translator::embedded(device, *embedded, dtype),
            Self::Folder(folder) => Translator::from_dir(device, folder, dtype),
        }
    }
}

/// A model's name under a picture: of a path its last part.
pub fn caption(name: &str) -> &str {
    let name = name.trim_end_matches(['/', '\\']);
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_short() {
        for name in
            ["opus-mt-en-fr", "Helsinki-NLP/opus-mt-en-fr", "/a/opus-mt-en-fr/", "C:\\a\\opus-mt-en-fr"]
        {
            assert_eq!(caption(name), "opus-mt-en-fr");
        }
    }
}
