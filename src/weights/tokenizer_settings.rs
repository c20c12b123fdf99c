//! The files beside `tokenizer.json` that change its tokens, read as transformers reads them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer as Inner};

use super::encoding::{TruncationSide, guarded};
use super::files::{bad, shown};
use super::json::{Object, brief};
use super::tokenizer_class::{Class, class};
use crate::error::Result;

/// The special tokens that have names in transformers, in its order.
const ATTRIBUTES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The special tokens without names of their own, as transformers 5 and 4 call them.
const EXTRA: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// Files with more tokens than this are no tokenizer's.
const MAX_TOKENS: usize = 1_000_000;

/// What the files beside `tokenizer.json` say.
pub(super) struct Settings {
    /// `tokenizer_config.json`, and what sentence-transformers puts over it.
    config: Object,
    class: Class,
    /// The class's name, as the files write it.
    name: String,
    /// The tokens that the files number.
    numbered: BTreeMap<u32, AddedToken>,
    /// The special tokens that have names.
    named: Vec<Named>,
    /// Special tokens without names.
    extra: Vec<AddedToken>,
}

/// A special token with a name.
struct Named {
    attribute: String,
    token: AddedToken,
}

/// Where a tokenizer's rules come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From the class that the folder's files name.
    Class,
    /// From `tokenizer.json`, whatever class is named.
    File,
}

/// What the settings leave to be known of a tokenizer.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) passes_types: bool,
    pub(super) side: Option<TruncationSide>,
    /// Ids behind the vocabulary of special tokens that no file numbers: a model need not have rows for them.
    pub(super) unlisted: Vec<u32>,
}

impl Settings {
    /// Reads the files of a folder, all of which may be missing. `arguments` win over `tokenizer_config.json`.
    pub(super) fn read(
        folder: &Path,
        arguments: Option<&Map<String, Value>>,
        inner: &Inner,
        source: Source,
        notices: &mut Vec<String>,
    ) -> Result<Self> {
        let path = folder.join("tokenizer_config.json");
        let config = Object::read_if_there(&path, "the tokenizer's settings")?;
        let mut config = config.unwrap_or_else(|| Object::new(&path, Map::new()));
        for (key, value) in arguments.into_iter().flatten() {
            config.put(key, value.clone());
        }
        let (class, name) = match source {
            Source::File => (Class::File, "TokenizersBackend".to_owned()),
            Source::Class => {
                let config_json = folder.join("config.json");
                let model = Object::read_if_there(&config_json, "the model's architecture and sizes")?;
                let (class, name) = class(&config, model.as_ref(), notices)?;
                (class.of_model(inner, &name, notices), name)
            }
        };
        let mut settings =
            Self { config, class, name, numbered: BTreeMap::new(), named: Vec::new(), extra: Vec::new() };
        settings.read_tokens(folder, inner)?;
        settings.tell(notices)?;
        Ok(settings)
    }

    /// `tokenizer_config.json` with the arguments over it.
    pub(super) fn into_config(self) -> Object {
        self.config
    }

    /// Finds the tokens; the older files are read only where `tokenizer_config.json` does not number the tokens itself.
    fn read_tokens(&mut self, folder: &Path, inner: &Inner) -> Result<()> {
        const NUMBERED: &str = "added_tokens_decoder";
        let config = &self.config;
        let mut named: BTreeMap<&str, Value> = BTreeMap::new();
        let mut extra = extra_tokens(config, &EXTRA)?;
        if let Some(map) = config.object(NUMBERED)? {
            for (id, token) in map {
                let number = id.parse().map_err(|_| {
                    bad(config.path(), format!("`{NUMBERED}`: `{}` is no number of a token", shown(id)))
                })?;
                self.numbered.insert(number, added_token(config, NUMBERED, token, false)?);
            }
        } else {
            let older = Object::read_if_there(&folder.join("special_tokens_map.json"), "the special tokens")?;
            if let Some(older) = &older {
                for attribute in ATTRIBUTES {
                    if let Some(value) = older.get(attribute) {
                        named.insert(attribute, value.clone());
                    }
                }
                extra.extend(extra_tokens(older, &EXTRA[..1])?);
            }
            let special: Vec<String> = ATTRIBUTES
                .iter()
                .filter_map(|&attribute| named.get(attribute).or_else(|| config.get(attribute)))
                .filter_map(content)
                .chain(extra.iter().filter_map(|(_, token)| content(token)))
                .map(str::to_owned)
                .collect();
            // By their older name they count only where there are no others, and not as special for the file below.
            if let Some(older) = older.as_ref().filter(|_| extra.is_empty()) {
                extra = extra_tokens(older, &EXTRA[1..])?;
            }
            let added = Object::read_if_there(&folder.join("added_tokens.json"), "the added tokens")?;
            for token in added.as_ref().map(Object::keys).into_iter().flatten() {
                let added = added.as_ref().map(|added| added.needed_count(token, 0..=u32::MAX as usize));
                let id = added.transpose()?.unwrap_or_default() as u32;
                let is_special = special.iter().any(|special| special == token);
                self.numbered.insert(id, AddedToken::from(token, is_special));
            }
            self.numbered.extend(inner.get_added_tokens_decoder());
        }
        self.check_count(self.numbered.len() + extra.len())?;

        let by_content: BTreeMap<&str, &AddedToken> =
            self.numbered.values().map(|token| (token.content.as_str(), token)).collect();
        let of_value = |attribute: &str, value: &Value| -> Result<AddedToken> {
            let text = content(value)
                .ok_or_else(|| config.wrong(attribute, "a string or an object with `content`", value))?;
            let mut token = match (by_content.get(text), value) {
                (Some(&known), _) => known.clone(),
                (None, Value::Object(_)) => added_token(config, attribute, value, true)?,
                (None, _) => self.class.special_token(attribute, text),
            };
            token.special = true;
            Ok(token)
        };
        let mut found = Vec::new();
        let usual = self.class.special_tokens();
        for attribute in ATTRIBUTES {
            let given = named.get(attribute).or_else(|| config.get(attribute));
            let usual = usual.iter().find(|(name, _)| *name == attribute).map(|(_, token)| *token);
            let token = match (given, usual) {
                (Some(value), _) => of_value(attribute, value)?,
                // `null` says that there is none.
                (None, Some(_)) if config.has(attribute) && attribute == "mask_token" => continue,
                (None, Some(token)) => of_value(attribute, &Value::from(token))?,
                (None, None) => continue,
            };
            found.push(Named { attribute: attribute.to_owned(), token });
        }
        // Special tokens of the model's own, such as `image_token`.
        for key in config.keys().filter(|key| key.ends_with("_token") && !ATTRIBUTES.contains(key)) {
            if let Some(value) = config.get(key).filter(|value| content(value).is_some()) {
                found.push(Named { attribute: key.to_owned(), token: of_value(key, value)? });
            }
        }
        let mut others = Vec::new();
        for (name, token) in &extra {
            let token = match token {
                Value::String(content) => AddedToken::from(content, true),
                other => added_token(config, "extra_special_tokens", other, true)?,
            };
            match name {
                Some(name) => found.push(Named { attribute: name.clone(), token }),
                None => others.push(token),
            }
        }
        self.named = found;
        self.extra = others;
        Ok(())
    }

    fn check_count(&self, count: usize) -> Result<()> {
        if count <= MAX_TOKENS {
            return Ok(());
        }
        let problem = format!("{count} added tokens, more than the {MAX_TOKENS} allowed");
        Err(bad(self.config.path(), problem))
    }

    /// Says what transformers would do with these settings and is done otherwise here.
    fn tell(&self, notices: &mut Vec<String>) -> Result<()> {
        let config = &self.config;
        let path = config.path().display();
        if config.text("padding_side")? == Some("left") {
            notices.push(format!(
                "{path}: `padding_side` is `left`; here no padding comes before a text, so that each has the places that it has alone"
            ));
        }
        if let Some(names) = self.input_names()?
            && !names.contains(&"attention_mask")
        {
            notices.push(format!(
                "{path}: `model_input_names` has no `attention_mask`; here padding is masked all the same, so that a text does not depend on its batch"
            ));
        }
        let code = match config.get("auto_map") {
            Some(Value::Object(map)) => map.get("AutoTokenizer"),
            other => other,
        };
        if code.is_some_and(|code| !code.is_null()) {
            notices.push(format!(
                "{path}: the tokenizer's own code (`auto_map`) is not run; `{}` is followed",
                shown(&self.name)
            ));
        }
        Ok(())
    }

    fn input_names(&self) -> Result<Option<Vec<&str>>> {
        const KEY: &str = "model_input_names";
        match self.config.get(KEY) {
            None => Ok(None),
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                Ok(Some(names.iter().filter_map(Value::as_str).collect()))
            }
            Some(other) => Err(self.config.wrong(KEY, "a list of names", other)),
        }
    }

    /// Makes a tokenizer that was read from `tokenizer.json` the one that transformers makes of the folder. `json` is the
    /// file's content.
    pub(super) fn apply(&self, inner: &mut Inner, json: &[u8], notices: &mut Vec<String>) -> Result<Applied> {
        let config = &self.config;
        let before = Parts::of(inner);
        let unknown = self.named("unk_token").map(|named| named.token.content.as_str());
        self.class.set_parts(inner, config, unknown, json)?;
        let unlisted = self.add_tokens(inner);
        self.tell_numbers(inner, notices);

        let token = |attribute: &str| {
            let content = self.named(attribute).map(|named| named.token.content.clone());
            let id = content.as_deref().and_then(|content| inner.token_to_id(content));
            content.zip(id).ok_or_else(|| {
                bad(config.path(), format!("`{attribute}` is missing: `{}` puts it around texts", self.name))
            })
        };
        let processor = match self.class.post_processor(config, &token)? {
            Some(processor) => Some(processor),
            None if inner.get_post_processor().is_none() => nothing_around(),
            None => None,
        };
        if processor.is_some() {
            inner.with_post_processor(processor);
        }
        inner.set_encode_special_tokens(config.flag("split_special_tokens")?.unwrap_or(false));
        let differ = before.differences(&Parts::of(inner));
        if !differ.is_empty() {
            notices.push(format!(
                "{}: `{}` makes its own {}, as in transformers 5, in place of what tokenizer.json says",
                config.path().display(),
                shown(&self.name),
                differ.join(" and ")
            ));
        }
        let passes_types = match self.input_names()? {
            Some(names) => names.contains(&"token_type_ids"),
            None => self.class.passes_types(&self.name),
        };
        Ok(Applied { passes_types, side: truncation_side(config)?, unlisted })
    }

    fn named(&self, attribute: &str) -> Option<&Named> {
        self.named.iter().find(|named| named.attribute == attribute)
    }

    /// Adds the tokens in transformers' order, on which the ids depend of those that the vocabulary does not have.
    fn add_tokens(&self, inner: &mut Inner) -> Vec<u32> {
        let vocabulary = inner.get_vocab_size(false) as u32;
        let is_named = |token: &AddedToken| self.named.iter().any(|n| n.token.content == token.content);
        let there = inner.get_added_tokens_decoder();
        let mut tokens: Vec<AddedToken> = Vec::new();
        for token in self.numbered.values().filter(|&token| !there.values().any(|other| other == token)) {
            let mut token = token.clone();
            token.special |= is_named(&token);
            tokens.push(token);
        }
        let usual: Vec<AddedToken> = match self.extra.is_empty() && !self.has_extra() {
            true => self.class.extra_tokens().iter().map(|&token| AddedToken::from(token, true)).collect(),
            false => Vec::new(),
        };
        let mut known: Vec<&str> = there.values().map(|token| token.content.as_str()).collect();
        known.extend(self.numbered.values().map(|token| token.content.as_str()));
        let others = self.named.iter().map(|named| &named.token).chain(&self.extra).chain(&usual);
        for token in others {
            if !known.contains(&token.content.as_str()) {
                known.push(&token.content);
                tokens.push(token.clone());
            }
        }
        inner.add_tokens(&tokens);
        // What has a number in a file is listed; the others, a model need not have rows for.
        let unlisted = self.named.iter().map(|named| &named.token).chain(&self.extra).chain(&usual);
        let ids = unlisted.filter_map(|token| inner.token_to_id(&token.content));
        ids.filter(|&id| id >= vocabulary && !self.numbered.contains_key(&id)).collect()
    }

    fn has_extra(&self) -> bool {
        EXTRA.iter().any(|key| self.config.get(key).is_some())
    }

    /// transformers numbers tokens itself where the vocabulary does not have them, whatever the files say.
    fn tell_numbers(&self, inner: &Inner, notices: &mut Vec<String>) {
        let numbers = self.numbered.iter().filter_map(|(&id, token)| {
            let found = inner.token_to_id(&token.content)?;
            Some((id, token, found))
        });
        // One says it; a hostile file has a million.
        if let Some((id, token, found)) = numbers.into_iter().find(|(id, _, found)| id != found) {
            notices.push(format!(
                "{}: the added token `{}` has the id {found}, as transformers numbers it, and not {id}",
                self.config.path().display(),
                shown(&token.content),
            ));
        }
    }
}

/// The side on which tokenizer_config.json cuts, if it says so.
pub(super) fn truncation_side(object: &Object) -> Result<Option<TruncationSide>> {
    match object.text("truncation_side")? {
        None => Ok(None),
        Some("left") => Ok(Some(TruncationSide::Left)),
        Some("right") => Ok(Some(TruncationSide::Right)),
        Some(other) => Err(object.wrong("truncation_side", "`left` or `right`", &Value::from(other))),
    }
}

/// The parts of a tokenizer that a class of transformers makes itself, as JSON.
struct Parts {
    normalizer: Option<String>,
    pre_tokenizer: Option<String>,
    around: Option<String>,
}

impl Parts {
    fn of(inner: &Inner) -> Self {
        let around = inner.get_post_processor().map(around);
        Self {
            normalizer: inner.get_normalizer().and_then(|part| serde_json::to_string(part).ok()),
            pre_tokenizer: inner.get_pre_tokenizer().and_then(|part| serde_json::to_string(part).ok()),
            around,
        }
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("normalizer", self.normalizer != other.normalizer),
            ("pre-tokenizer", self.pre_tokenizer != other.pre_tokenizer),
            ("special tokens around texts", self.around != other.around),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// What is put around a text and a pair; the same can be written in several ways.
fn around(processor: &PostProcessorWrapper) -> String {
    use tokenizers::{Encoding, PostProcessor as _};
    let empty = Encoding::default;
    let found = [None, Some(empty())].map(|pair| {
        guarded(|| processor.process(empty(), pair, true))
            .map(|whole| (whole.get_ids().to_vec(), whole.get_type_ids().to_vec()))
    });
    format!("{found:?}")
}

/// What transformers puts around texts where `tokenizer.json` says nothing: nothing, but the second text's type is 1.
fn nothing_around() -> Option<PostProcessorWrapper> {
    let text = |text: &str, kind: u32| json!({"Sequence": {"id": text, "type_id": kind}});
    let (first, second) = (text("A", 0), text("B", 1));
    let template = json!({
        "type": "TemplateProcessing", "single": [first], "pair": [first, second], "special_tokens": {}
    });
    serde_json::from_value(template).ok()
}

/// Tokens without names of their own; those in an object have names.
fn extra_tokens(object: &Object, keys: &[&str]) -> Result<Vec<(Option<String>, Value)>> {
    let given = keys.iter().find_map(|&key| {
        let value = object.get(key)?;
        let empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        (!empty).then_some((key, value))
    });
    match given {
        None => Ok(Vec::new()),
        Some((_, Value::Array(tokens))) if tokens.iter().all(|token| content(token).is_some()) => {
            Ok(tokens.iter().map(|token| (None, token.clone())).collect())
        }
        Some((_, Value::Object(tokens))) if tokens.values().all(|token| content(token).is_some()) => {
            Ok(tokens.iter().map(|(name, token)| (Some(name.clone()), token.clone())).collect())
        }
        Some((key, other)) => Err(object.wrong(key, "a list of tokens", other)),
    }
}

/// The text of a token that is given as a string or with its properties.
fn content(value: &Value) -> Option<&str> {
    match value {
        Value::String(content) => Some(content),
        other => other.get("content")?.as_str(),
    }
}

/// A token with its properties.
fn added_token(object: &Object, key: &str, value: &Value, special: bool) -> Result<AddedToken> {
    let wrong =
        |what: &str, found: &Value| bad(object.path(), format!("`{key}`: {what}, but is {}", brief(found)));
    let Some(content) = value.get("content").and_then(Value::as_str) else {
        return Err(wrong("a token must be an object with `content`", value));
    };
    let flag = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong(&format!("`{name}` of `{}` must be true or false", shown(content)), other)),
    };
    let special = special || flag("special")?.unwrap_or(false);
    let token = AddedToken::from(content, special);
    Ok(token
        .single_word(flag("single_word")?.unwrap_or(false))
        .lstrip(flag("lstrip")?.unwrap_or(false))
        .rstrip(flag("rstrip")?.unwrap_or(false))
        .normalized(flag("normalized")?.unwrap_or(!special)))
}

/// Limits above this are the placeholder 10³⁰ that transformers writes for "none".
const MAX_SANE_LIMIT: f64 = 1e9;

/// The limit that tokenizer_config.json sets, if it sets one.
pub(super) fn model_max_length(object: &Object) -> Result<Option<usize>> {
    // The second is what the first was called before.
    for key in ["model_max_length", "max_len"] {
        match object.number(key)? {
            None => continue,
            Some(limit) if limit > MAX_SANE_LIMIT => return Ok(None),
            Some(limit) if limit >= 1.0 && limit.fract() == 0.0 => return Ok(Some(limit as usize)),
            Some(_) => {
                let found = object.get(key).unwrap_or(&Value::Null);
                return Err(object.wrong(key, "a whole number above 0", found));
            }
        }
    }
    Ok(None)
}
