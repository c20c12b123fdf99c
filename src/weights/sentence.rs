//! The files that sentence-transformers adds to a model's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::files::{self, CONFIG_BYTES, bad, shown, unsupported};
use super::head_config::{ScoreActivation, named_activation};
use super::json::{self, Object, bare, brief};
use crate::error::Result;
use crate::ops::Pooling;

const MODULES: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
const POOLINGS: [&str; 3] = ["cls", "max", "mean"];
const MAX_MODULES: usize = 100;
const SETTINGS: &str = "config_sentence_transformers.json";

/// The modules of `modules.json`, with their folders.
pub(super) struct Modules {
    pub(super) transformer: PathBuf,
    pub(super) pooling: PathBuf,
    pub(super) normalize: bool,
}

impl Modules {
    /// Reads `modules.json`, if there is one.
    pub(super) fn read(root: &Path) -> Result<Option<Self>> {
        let path = root.join("modules.json");
        let Some(list) = module_list(&path)? else { return Ok(None) };
        let (mut transformer, mut pooling, mut normalize) = (None, None, false);
        for (place, module) in list.iter().enumerate() {
            let text = |key: &str| match module.get(key) {
                Some(Value::String(text)) => Ok(text.as_str()),
                found => Err(bad(
                    &path,
                    format!(
                        "module {place}: `{key}` must be a string, but is {}",
                        brief(found.unwrap_or(&Value::Null))
                    ),
                )),
            };
            let kind = text("type")?;
            let folder = files::inside(root, text("path")?, &path)?;
            let order = || {
                bad(
                    &path,
                    format!(
                        "module {place}, `{}`, is out of order: needed are one Transformer, one Pooling, then Normalize or nothing",
                        shown(kind)
                    ),
                )
            };
            // The dotted path before the class changed more than once.
            match kind.rsplit('.').next().unwrap_or(kind) {
                "Transformer" if transformer.is_none() && pooling.is_none() => transformer = Some(folder),
                "Pooling" if transformer.is_some() && pooling.is_none() => pooling = Some(folder),
                "Normalize" if pooling.is_some() => {
                    check_normalize(&folder)?;
                    normalize = true;
                }
                known if MODULES.contains(&known) => return Err(order()),
                _ => return Err(unsupported(&path, "module", kind, &MODULES)),
            }
        }
        match (transformer, pooling) {
            (Some(transformer), Some(pooling)) => Ok(Some(Self { transformer, pooling, normalize })),
            (None, _) => Err(bad(&path, "there is no module `Transformer`")),
            (_, None) => Err(bad(&path, "there is no module `Pooling`")),
        }
    }
}

/// The list of `modules.json`, if there is one.
fn module_list(path: &Path) -> Result<Option<Vec<Value>>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, CONFIG_BYTES, "the list of the model's modules")?;
    let Value::Array(list) = json::parse(path, &bytes)? else {
        return Err(bad(path, "needed a list of modules"));
    };
    if list.len() > MAX_MODULES {
        return Err(bad(path, format!("{} modules, more than the {MAX_MODULES} allowed", list.len())));
    }
    Ok(Some(list))
}

/// Normalize may be set to work on the tokens instead of on the embedding.
fn check_normalize(folder: &Path) -> Result<()> {
    let Some(config) = Object::read_if_there(&folder.join("config.json"), "the normalization")? else {
        return Ok(());
    };
    for key in ["module_input_name", "module_output_name"] {
        if let Some(name) = config.text(key)?
            && name != "sentence_embedding"
        {
            return Err(unsupported(config.path(), "normalization of", name, &["sentence_embedding"]));
        }
    }
    Ok(())
}

/// Reads `1_Pooling/config.json`: how tokens are pooled, and whether a prompt's are among them.
pub(super) fn pooling(folder: &Path, hidden_size: usize) -> Result<(Pooling, bool)> {
    let config = Object::read(&folder.join("config.json"), "how the tokens' vectors are pooled into one")?;
    for key in ["word_embedding_dimension", "embedding_dimension"] {
        if let Some(width) = config.get(key)
            && width.as_u64() != Some(hidden_size as u64)
        {
            return Err(config.wrong(key, &format!("the model's hidden size, {hidden_size}"), width));
        }
    }
    let include_prompt = config.flag("include_prompt")?.unwrap_or(true);
    let modes = pooling_modes(&config)?;
    let pooling = match modes.as_slice() {
        // sentence-transformers takes the mean where nothing is said.
        [] => Ok(Pooling::Mean),
        [mode] => match mode.as_str() {
            "mean" => Ok(Pooling::Mean),
            "cls" => Ok(Pooling::Cls),
            "max" => Ok(Pooling::Max),
            other => Err(unsupported(config.path(), "pooling", other, &POOLINGS)),
        },
        several => Err(unsupported(config.path(), "pooling", &several.join(" and "), &POOLINGS)),
    };
    Ok((pooling?, include_prompt))
}

/// The modes by the newer key, a name or a list of names, or by the older flags.
fn pooling_modes(config: &Object) -> Result<Vec<String>> {
    match config.get("pooling_mode") {
        Some(Value::String(mode)) => return Ok(vec![mode.clone()]),
        Some(Value::Array(modes)) if modes.iter().all(Value::is_string) && modes.len() <= MAX_MODULES => {
            return Ok(modes.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        }
        Some(other) => return Err(config.wrong("pooling_mode", "a mode's name", other)),
        None => {}
    }
    let flags = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    let mut modes = Vec::new();
    for (key, mode) in flags {
        if config.flag(key)? == Some(true) {
            modes.push(mode.to_owned());
        }
    }
    Ok(modes)
}

/// The settings of `sentence_bert_config.json` about texts.
#[derive(Default)]
pub(super) struct TextSettings {
    /// The limit, and the file that gave it.
    pub(super) max_tokens: Option<(usize, String)>,
    pub(super) lowercase: bool,
    /// What is given to transformers' tokenizer over its own settings.
    pub(super) tokenizer_arguments: Map<String, Value>,
    /// Notices for the user about them.
    pub(super) notices: Vec<String>,
}

impl TextSettings {
    /// Reads `sentence_bert_config.json`, or what older versions called it, of an embedder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        Self::read_for(folder, ["feature-extraction", "token_embeddings"])
    }

    /// As [`TextSettings::read`], of a cross-encoder.
    pub(super) fn read_of_cross_encoder(folder: &Path) -> Result<Self> {
        Self::read_for(folder, ["sequence-classification", "scores"])
    }

    /// For a task, with what the module of it gives.
    fn read_for(folder: &Path, [task, output]: [&str; 2]) -> Result<Self> {
        let names = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];
        for name in names.map(|name| format!("sentence_{name}_config.json")) {
            if let Some(config) = Object::read_if_there(&folder.join(&name), "the sequence limit")? {
                return Self::of(&config, name, [task, output]);
            }
        }
        Ok(Self::default())
    }

    fn of(config: &Object, name: String, [task, output]: [&str; 2]) -> Result<Self> {
        let path = config.path();
        for (key, known) in [("transformer_task", task), ("module_output_name", output)] {
            if let Some(found) = config.text(key)?
                && found != known
            {
                return Err(unsupported(path, key, found, &[known]));
            }
        }
        // Each of these changes the tokens or the model behind the back of the files read here.
        if let Some(other) = config.text("tokenizer_name_or_path")? {
            return Err(unsupported(path, "tokenizer_name_or_path", other, &["the tokenizer of the folder"]));
        }
        for key in ["processing_kwargs", "config_args", "config_kwargs", "query_expansion"] {
            if config.object(key)?.is_some_and(|map| !map.is_empty()) {
                return Err(unsupported(path, "setting", key, &["none"]));
            }
        }
        for key in ["query_length", "document_length"] {
            if let Some(value) = config.get(key) {
                return Err(unsupported(
                    path,
                    "setting",
                    &format!("{key}: {}", bare(value)),
                    &["max_seq_length"],
                ));
            }
        }
        let mut tokenizer_arguments = Map::new();
        for key in ["tokenizer_args", "processor_kwargs"] {
            tokenizer_arguments
                .extend(config.object(key)?.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
        let limit = config.count("max_seq_length", 1..=usize::MAX)?;
        // As in sentence-transformers, where this one is the tokenizer's own name for the limit.
        let limit = limit.filter(|_| !tokenizer_arguments.contains_key("model_max_length"));
        Ok(Self {
            max_tokens: limit.map(|limit| (limit, name)),
            lowercase: config.flag("do_lower_case")?.unwrap_or(false),
            tokenizer_arguments,
            notices: model_arguments(config)?,
        })
    }
}

/// The prompts that sentence-transformers has, empty, in every embedding model.
pub(crate) const EVERY_EMBEDDERS: [&str; 2] = ["query", "document"];

/// What is given to transformers' model over its own config, and is not followed here; some of it changes no number.
fn model_arguments(config: &Object) -> Result<Vec<String>> {
    const WITHOUT_EFFECT: [&str; 5] = [
        "attn_implementation",
        "_attn_implementation",
        "add_pooling_layer",
        "trust_remote_code",
        "use_safetensors",
    ];
    let mut notices = Vec::new();
    for key in ["model_args", "model_kwargs"] {
        let names = config.object(key)?.into_iter().flatten().map(|(name, _)| name.as_str());
        let names: Vec<_> = names.filter(|name| !WITHOUT_EFFECT.contains(name)).map(shown).collect();
        if !names.is_empty() {
            let (path, names) = (config.path().display(), names.join(", "));
            notices.push(format!("{path}: `{key}` is not followed: {names}"));
        }
    }
    Ok(notices)
}

/// The settings of `config_sentence_transformers.json` about prompts.
#[derive(Default)]
pub(super) struct Prompts {
    pub(super) texts: BTreeMap<String, String>,
    pub(super) default: Option<String>,
}

impl Prompts {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let path = root.join(SETTINGS);
        let Some(config) = Object::read_if_there(&path, "the prompts")? else {
            return Ok(Self::default());
        };
        if let Some(kind) = config.text("model_type")?
            && kind != "SentenceTransformer"
        {
            return Err(unsupported(&path, "model_type", kind, &["SentenceTransformer"]));
        }
        Self::of(&config, &EVERY_EMBEDDERS)
    }

    /// `of_every_model` are prompts that need not be listed, and are empty then.
    fn of(config: &Object, of_every_model: &[&str]) -> Result<Self> {
        let path = config.path();
        let mut texts = BTreeMap::new();
        for (name, prompt) in config.object("prompts")?.into_iter().flatten() {
            let prompt = match prompt {
                Value::String(prompt) => prompt.as_str(),
                Value::Null => "",
                other => {
                    return Err(bad(
                        path,
                        format!("`prompts`: `{}` must be a string, but is {}", shown(name), brief(other)),
                    ));
                }
            };
            texts.insert(name.clone(), prompt.to_owned());
        }
        let default = config.text("default_prompt_name")?.map(str::to_owned);
        if let Some(name) = &default {
            if !texts.contains_key(name) && of_every_model.contains(&name.as_str()) {
                texts.insert(name.clone(), String::new());
            }
            if !texts.contains_key(name) {
                let names: Vec<_> = texts.keys().map(|name| shown(name)).collect();
                return Err(bad(
                    path,
                    format!(
                        "`default_prompt_name` must be one of the prompts ({}), but is `{}`",
                        names.join(", "),
                        shown(name)
                    ),
                ));
            }
        }
        Ok(Self { texts, default })
    }
}

/// What sentence-transformers adds to a cross-encoder's folder.
pub(super) struct CrossEncoder {
    /// The activation of its scores; `Err` is why the named one is not used.
    pub(super) activation: Option<std::result::Result<ScoreActivation, String>>,
    pub(super) prompts: Prompts,
    pub(super) texts: TextSettings,
}

impl CrossEncoder {
    /// Reads `config_sentence_transformers.json` and the files beside it, if the folder was saved as a `CrossEncoder` (which
    /// versions from 6 on say there).
    pub(super) fn read(root: &Path) -> Result<Option<Self>> {
        let Some(config) = Object::read_if_there(&root.join(SETTINGS), "the cross-encoder's settings")?
        else {
            return Ok(None);
        };
        if config.text("model_type")? != Some("CrossEncoder") {
            return Ok(None);
        }
        let path = root.join("modules.json");
        for module in module_list(&path)?.unwrap_or_default() {
            let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
            // What comes behind the model would change its scores.
            if kind.rsplit('.').next() != Some("Transformer") {
                return Err(unsupported(&path, "module of a cross-encoder", kind, &["Transformer"]));
            }
        }
        let activation = config.text("activation_fn")?;
        let activation =
            activation.map(|name| named_activation(&config, "activation_fn", name)).transpose()?;
        let texts = TextSettings::read_of_cross_encoder(root)?;
        Ok(Some(Self { activation, prompts: Prompts::of(&config, &[])?, texts }))
    }
}
