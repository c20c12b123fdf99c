//! Models of the Hugging Face hub: in the cache that other programs share, downloaded where they are not there yet.

use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::folders::hub_cache;
use crate::output::{note, say};

/// Files that may lie beside the weights in a Transformer's folder.
const BESIDE: [&str; 15] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "source.spm",
    "target.spm",
    "vocab.json",
    "target_vocab.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];
const AT_THE_ROOT: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The name that a hub could know, unless it can only be a path; `name` alone is one of `organization`.
pub fn id_of(name: &str, organization: &str) -> Option<String> {
    let valid = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(known) && !part.starts_with('.')
    };
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [name] if valid(name) => Some(format!("{organization}/{name}")),
        [organization, name] if valid(organization) && valid(name) => Some(format!("{organization}/{name}")),
        _ => None,
    }
}

/// The folder of a model in the cache, downloaded first where it is not whole there.
pub fn folder(id: &str, offline: bool) -> Result<PathBuf, String> {
    let folder =
        hub_cache().ok_or_else(|| "has no cache here: there is no home folder, set HF_HOME".to_owned())?;
    let cache = Cache::new(folder.clone());
    let cached = cached(&cache, id);
    if let Some((snapshot, true)) = &cached {
        return Ok(snapshot.clone());
    }
    let here = folder.display();
    if offline {
        return match cached {
            Some((snapshot, _)) => Ok(snapshot),
            None => {
                Err(format!("is not whole in the cache {here} (offline: by --offline or HF_HUB_OFFLINE)"))
            }
        };
    }
    match download(&cache, id) {
        Ok(snapshot) => Ok(snapshot),
        Err(problem) => match cached {
            Some((snapshot, _)) => {
                note(format_args!("{problem}; taking what is in the cache"));
                Ok(snapshot)
            }
            None => Err(format!("is not whole in the cache {here} and cannot be downloaded: {problem}")),
        },
    }
}

/// The snapshot in the cache that can be loaded, and whether it is known to be whole. Without `modules.json` it may
/// have been loaded by a program that needs no pooling, so that the hub must be asked.
fn cached(cache: &Cache, id: &str) -> Option<(PathBuf, bool)> {
    let repo = cache.model(id.to_owned());
    let Some(modules) = repo.get("modules.json") else {
        let config = repo.get("config.json")?;
        // MarianMT's folders have two SentencePiece models and a vocabulary instead.
        let of_marian =
            || ["source.spm", "target.spm", "vocab.json"].iter().all(|file| repo.get(file).is_some());
        if repo.get("tokenizer.json").is_none() && !of_marian() {
            return None;
        }
        repo.get(WEIGHTS)?;
        return Some((config.parent()?.to_owned(), false));
    };
    let folders = module_folders(&modules);
    let there = |folder: &String, file: &str| repo.get(&format!("{folder}{file}")).is_some();
    let transformer = folders.first()?;
    let whole = ["config.json", "tokenizer.json", WEIGHTS].iter().all(|file| there(transformer, file))
        && folders
            .iter()
            .filter(|folder| folder.contains("Pooling"))
            .all(|folder| there(folder, "config.json"));
    whole.then(|| Some((modules.parent()?.to_owned(), true)))?
}

/// The folders that `modules.json` names, each empty or with a `/` at its end.
fn module_folders(modules: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(modules).unwrap_or_default();
    let modules: Value = serde_json::from_str(&text).unwrap_or_default();
    let paths = modules.as_array().into_iter().flatten().filter_map(|module| module.get("path")?.as_str());
    let inside = paths.filter(|path| !path.starts_with('/') && !path.contains("..") && !path.contains('\\'));
    inside
        .map(|path| if path.is_empty() { String::new() } else { format!("{}/", path.trim_end_matches('/')) })
        .collect()
}

fn download(cache: &Cache, id: &str) -> Result<PathBuf, String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
    let mut builder =
        ApiBuilder::from_cache(cache.clone()).with_endpoint(endpoint.trim_end_matches('/').to_owned());
    if let Some(token) = set("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let api = builder.build().map_err(|error| error.to_string())?;
    let info = api.model(id.to_owned()).info().map_err(|error| format!("{endpoint} answers: {error}"))?;
    if info.sha.is_empty() || !info.sha.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("{endpoint} answers with a commit that is none"));
    }
    let listed: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
    let repo = Repo::with_revision(id.to_owned(), RepoType::Model, info.sha.clone());
    let get = |file: &str| match cache.repo(repo.clone()).get(file) {
        Some(path) => Ok(path),
        None => fetch(&api.repo(repo.clone()), file),
    };

    let mut folders = vec![String::new()];
    for file in AT_THE_ROOT.into_iter().filter(|file| listed.contains(file)) {
        let path = get(file)?;
        if file == "modules.json" {
            folders.extend(module_folders(&path));
        }
    }
    let known = |file: &&&str| {
        let in_folder = |folder: &String| {
            let name = file.strip_prefix(folder.as_str());
            name.is_some_and(|name| BESIDE.contains(&name))
        };
        folders.iter().any(in_folder)
    };
    let mut snapshot = None;
    for file in listed.iter().filter(known) {
        let path = get(file)?;
        snapshot = path.ancestors().nth(file.split('/').count()).map(Path::to_owned);
    }
    let snapshot =
        snapshot.ok_or_else(|| format!("{id} has no config.json, so it is no model for Transformers"))?;
    let weights = folders.iter().find_map(|folder| weights(folder, &listed));
    let Some(weights) = weights else {
        let others: Vec<&str> =
            listed.iter().copied().filter(|file| file.ends_with(".bin") || file.ends_with(".onnx")).collect();
        return Err(format!(
            "{id} has no {WEIGHTS} (it has {}), and nothing else is read",
            others.join(", ")
        ));
    };
    for file in weights {
        get(file)?;
    }
    // Only now is this what the name means: the cache never shows half a model.
    cache.model(id.to_owned()).create_ref(&info.sha).map_err(|error| format!("cache: {error}"))?;
    Ok(snapshot)
}

/// The files of the weights in a folder: one, or an index and its shards.
fn weights<'a>(folder: &str, listed: &[&'a str]) -> Option<Vec<&'a str>> {
    let find = |name: &str| listed.iter().copied().find(|file| file.strip_prefix(folder) == Some(name));
    if let Some(single) = find(WEIGHTS) {
        return Some(vec![single]);
    }
    let index = find(INDEX)?;
    let shard = |file: &&str| {
        let name = file.strip_prefix(folder).unwrap_or_default();
        name.starts_with("model-") && name.ends_with(".safetensors") && !name.contains('/')
    };
    Some(listed.iter().copied().filter(shard).chain([index]).collect())
}

/// Downloads a file, with a bar on a terminal.
fn fetch(repo: &ApiRepo, file: &str) -> Result<PathBuf, String> {
    let bar = || {
        let style =
            ProgressStyle::with_template("downloading {msg} {wide_bar} {bytes}/{total_bytes} ({eta})");
        Bar(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    };
    let mut result = repo.download_with_progress(file, bar());
    if let Err(ApiError::LockAcquisition(_)) = result {
        say("another process is downloading the same file: waiting for it");
        std::thread::sleep(std::time::Duration::from_secs(5));
        result = repo.download_with_progress(file, bar());
    }
    result.map_err(|error| format!("{file}: {error}"))
}

/// A bar for one file that leaves no trace.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn init(&mut self, size: usize, filename: &str) {
        self.0.set_length(size as u64);
        self.0.set_message(filename.to_owned());
    }

    fn update(&mut self, size: usize) {
        self.0.inc(size as u64);
    }

    fn finish(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_hub_could_know() {
        let id_of = |name| id_of(name, "sentence-transformers");
        assert_eq!(id_of("all-MiniLM-L6-v2").unwrap(), "sentence-transformers/all-MiniLM-L6-v2");
        assert_eq!(id_of("BAAI/bge-small-en-v1.5").unwrap(), "BAAI/bge-small-en-v1.5");
        for path in ["", "/", "./model", "../model", "a/b/c", "/model", "model/", "C:\\model", "a b"] {
            assert_eq!(id_of(path), None, "{path}");
        }
    }

    #[test]
    fn weights_are_one_file_or_shards() {
        let listed = [
            "model.safetensors.index.json",
            "model-2.safetensors",
            "model-1.safetensors",
            "x/model.safetensors",
        ];
        assert_eq!(weights("x/", &listed).unwrap(), ["x/model.safetensors"]);
        assert_eq!(weights("", &listed).unwrap().len(), 3);
        assert_eq!(weights("y/", &listed), None);
    }
}
