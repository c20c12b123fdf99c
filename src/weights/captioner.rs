//! A folder of a captioner: `config.json`, `vocab.txt` and `model.safetensors`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::config::{MAX_POSITIONS, MAX_VOCABULARY, MAX_WIDTH, expect_model_type};
use super::files::{CONFIG_BYTES, bad, check_folder, read, shown};
use super::json::Object;
use crate::error::Result;
use crate::host_memory;

/// The `model_type` that these folders have.
const MODEL_TYPE: &str = "attentive-captioner";
/// The most pixels on a side of what such a model looks at.
const MAX_SIDE: usize = 4096;

/// The sizes of a captioner. Every value has been checked against bounds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CaptionerConfig {
    /// V: words, those that are none counted.
    pub vocabulary_size: usize,
    /// Pixels on a side of the square pictures; a multiple of the stride.
    pub image_size: usize,
    /// Pixels on a side of a patch: what one place sees.
    pub patch_size: usize,
    /// Pixels from one place to the next; at most the patch's size, and differing from it by an even number, so that a place lies in the
    /// middle of what it sees.
    pub patch_stride: usize,
    /// F: the width within what is made of a patch.
    pub feature_dim: usize,
    /// D: the width of an annotation.
    pub annotation_dim: usize,
    /// E: the width of words' embeddings.
    pub embedding_dim: usize,
    /// H: the width of the decoder's state.
    pub hidden_dim: usize,
    /// A: the width inside the attention's score.
    pub attention_dim: usize,
    /// M: the width behind maxout.
    pub readout_dim: usize,
    /// What fills up short captions, and begins each.
    pub padding_id: u32,
    /// What ends a caption.
    pub stop_id: u32,
    /// The most words of a caption, its end counted.
    pub max_length: usize,
}

impl CaptionerConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read, and those of
    /// [`CaptionerConfig::from_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(&read(path, CONFIG_BYTES, "the model's architecture and sizes")?, path)
    }

    /// Reads the content of a `config.json`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for what is no JSON, out of bounds or contradicts itself,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for another architecture.
    pub fn from_json(json: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let object = Object::parse(path, json)?;
        expect_model_type(&object, MODEL_TYPE)?;
        let needed = |key: &str, most: usize| object.needed_count(key, 1..=most);
        let vocabulary_size = needed("vocab_size", MAX_VOCABULARY)?;
        let id = |key: &str| Ok(object.needed_count(key, 0..=vocabulary_size - 1)? as u32);
        let config = Self {
            vocabulary_size,
            image_size: needed("image_size", MAX_SIDE)?,
            patch_size: needed("patch_size", MAX_SIDE)?,
            patch_stride: needed("patch_stride", MAX_SIDE)?,
            feature_dim: needed("feature_size", MAX_WIDTH)?,
            annotation_dim: needed("annotation_size", MAX_WIDTH)?,
            embedding_dim: needed("embedding_size", MAX_WIDTH)?,
            hidden_dim: needed("hidden_size", MAX_WIDTH)?,
            attention_dim: needed("attention_size", MAX_WIDTH)?,
            readout_dim: needed("readout_size", MAX_WIDTH)?,
            padding_id: id("pad_token_id")?,
            stop_id: id("eos_token_id")?,
            max_length: needed("max_length", MAX_POSITIONS)?,
        };
        let Self { image_size, patch_size, patch_stride, .. } = config;
        if !image_size.is_multiple_of(patch_stride) {
            let problem =
                format!("`image_size` is {image_size}, no multiple of `patch_stride` {patch_stride}");
            return Err(bad(path, problem));
        }
        if patch_size < patch_stride || !(patch_size - patch_stride).is_multiple_of(2) {
            let problem =
                format!("`patch_size` is {patch_size}, not `patch_stride` {patch_stride} and an even number");
            return Err(bad(path, problem));
        }
        Ok(config)
    }

    /// Places on a side of a picture.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_stride
    }

    /// Places of a picture, row by row.
    pub fn places(&self) -> usize {
        self.side() * self.side()
    }

    /// Bytes of a picture, RGB.
    pub fn picture_bytes(&self) -> usize {
        self.image_size * self.image_size * 3
    }

    /// Numbers of a patch: its pixels, and where it is.
    pub fn patch_dim(&self) -> usize {
        self.patch_size * self.patch_size * 3 + 2
    }
}

/// A folder of a captioner, read and checked: everything but the weights themselves.
#[derive(Debug)]
#[non_exhaustive]
pub struct CaptionerFolder {
    /// The model's sizes.
    pub config: CaptionerConfig,
    /// Its words by their ids.
    pub vocabulary: Vec<String>,
    /// The weights.
    pub checkpoint: Checkpoint,
}

impl CaptionerFolder {
    /// Reads and checks a folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) for a file that is missing or cannot be read,
    /// [`Error::File`](crate::Error::File) for one that is damaged or contradicts another,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for another architecture.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let root = folder.as_ref();
        check_folder(root, "config.json")?;
        let config = CaptionerConfig::open(root.join("config.json"))?;
        let path = root.join("vocab.txt");
        let words = read(&path, CONFIG_BYTES, "the words of captions, one a line")?;
        let vocabulary = vocabulary(&words, &config, &path)?;
        Ok(Self { config, vocabulary, checkpoint: Checkpoint::open(root)? })
    }

    /// The same from files that are in memory: `config.json`, `vocab.txt` and `model.safetensors`; `name` stands for the folder in
    /// errors.
    ///
    /// # Errors
    /// As [`CaptionerFolder::open`].
    pub fn from_files(name: impl Into<PathBuf>, [config, words, weights]: [&[u8]; 3]) -> Result<Self> {
        let root = name.into();
        let config = CaptionerConfig::from_json(config, root.join("config.json"))?;
        let vocabulary = vocabulary(words, &config, &root.join("vocab.txt"))?;
        let path = root.join("model.safetensors");
        let weights = host_memory::joined(&[weights], || path.display().to_string())?;
        Ok(Self { config, vocabulary, checkpoint: Checkpoint::from_bytes(weights, path)? })
    }
}

/// The words of a `vocab.txt`, one a line.
fn vocabulary(content: &[u8], config: &CaptionerConfig, path: &Path) -> Result<Vec<String>> {
    let text =
        std::str::from_utf8(content).map_err(|error| bad(path, format!("the file is no UTF-8: {error}")))?;
    let words: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    if words.len() != config.vocabulary_size {
        let problem = format!(
            "the file has {} words, and `vocab_size` of config.json is {}",
            words.len(),
            config.vocabulary_size
        );
        return Err(bad(path, problem));
    }
    let mut seen = HashSet::new();
    for (line, word) in words.iter().enumerate() {
        if word.is_empty() || word.contains(char::is_whitespace) || !seen.insert(word) {
            let problem = match word.as_str() {
                "" => "is empty".to_owned(),
                word if word.contains(char::is_whitespace) => format!("`{}` is not one word", shown(word)),
                word => format!("`{}` is there already", shown(word)),
            };
            return Err(bad(path, format!("line {}: {problem}", line + 1)));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_config(change: &dyn Fn(&mut serde_json::Value)) -> Result<CaptionerConfig> {
        let mut config = json!({
            "model_type": "attentive-captioner", "vocab_size": 3, "image_size": 12, "patch_size": 6,
            "patch_stride": 4, "feature_size": 5, "annotation_size": 6, "embedding_size": 7, "hidden_size": 8,
            "attention_size": 9, "readout_size": 10, "pad_token_id": 0, "eos_token_id": 1, "max_length": 11
        });
        change(&mut config);
        CaptionerConfig::from_json(config.to_string().as_bytes(), "config.json")
    }

    #[test]
    fn a_config_is_checked() {
        let config = read_config(&|_| {}).unwrap();
        assert_eq!((config.side(), config.places()), (3, 9));
        assert_eq!((config.picture_bytes(), config.patch_dim()), (432, 110));
        for (key, value, message) in [
            ("model_type", json!("marian"), "`marian`"),
            ("vocab_size", json!(null), "`vocab_size` is missing"),
            ("vocab_size", json!(0), "`vocab_size` must be a whole number from 1"),
            ("image_size", json!(13), "`image_size` is 13, no multiple of `patch_stride` 4"),
            ("image_size", json!(1_000_000), "`image_size` must be a whole number from 1 to 4096"),
            ("patch_size", json!(3), "`patch_size` is 3, not `patch_stride` 4 and an even number"),
            ("patch_size", json!(5), "`patch_size` is 5"),
            ("eos_token_id", json!(3), "`eos_token_id` must be a whole number from 0 to 2"),
        ] {
            let error = read_config(&|config| config[key] = value.clone()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_vocabulary_is_checked() {
        let config = read_config(&|_| {}).unwrap();
        let of = |text: &[u8]| vocabulary(text, &config, Path::new("vocab.txt")).map_err(|e| e.to_string());
        assert_eq!(of(b"<pad>\r\n</s>\nduck\n").unwrap(), ["<pad>", "</s>", "duck"]);
        for (text, message) in [
            (&b"a\nb\n"[..], "has 2 words, and `vocab_size` of config.json is 3"),
            (b"a\n\nb\n", "line 2: is empty"),
            (b"a\nb c\nd\n", "line 2: `b c` is not one word"),
            (b"a\nb\na\n", "line 3: `a` is there already"),
            (b"a\nb\n\xff\n", "no UTF-8"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
