//! A JSON object whose values are asked for by key, type and range.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::files::{self, bad, shown};
use crate::error::{Error, Result};

/// A JSON object and the file that it came from, which the errors name.
pub(crate) struct Object {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Object {
    /// Reads a file; `purpose` says what it is for, should it be missing.
    pub(crate) fn read(path: &Path, purpose: &str) -> Result<Self> {
        Self::parse(path, &files::read(path, files::CONFIG_BYTES, purpose)?)
    }

    /// Like [`Object::read`], but a missing file is `None`.
    pub(crate) fn read_if_there(path: &Path, purpose: &str) -> Result<Option<Self>> {
        match Self::read(path, purpose) {
            Ok(object) => Ok(Some(object)),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        match parse(path, bytes)? {
            Value::Object(map) => Ok(Self { path: path.to_owned(), map }),
            other => Err(bad(path, format!("needed a JSON object, found {}", kind(&other)))),
        }
    }

    /// An object that came out of a file's.
    pub(crate) fn new(path: &Path, map: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map }
    }

    /// All keys, those with `null` too.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key; `null` counts as absent, as Python's `None` does in these files.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it with `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Sets a key, as if the file had it.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// The key's own object, if it has one.
    pub(crate) fn object(&self, key: &str) -> Result<Option<&Map<String, Value>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", other)),
        }
    }

    /// The text of a special token: the key's value, or its `content`.
    pub(crate) fn token(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(token)) => Ok(Some(token)),
            Some(value) => match value.get("content") {
                Some(Value::String(token)) => Ok(Some(token)),
                _ => Err(self.wrong(key, "a string or an object with `content`", value)),
            },
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(key, "true or false", other)),
        }
    }

    /// A whole number inside `range`.
    pub(crate) fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(self.wrong(
                key,
                &format!("a whole number from {} to {}", range.start(), range.end()),
                value,
            )),
        }
    }

    /// Like [`Object::count`], for a key that must be there.
    pub(crate) fn needed_count(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize> {
        self.count(key, range)?.ok_or_else(|| bad(&self.path, format!("the key `{key}` is missing")))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number", value)),
        }
    }

    /// The error for a key with a value that will not do.
    pub(crate) fn wrong(&self, key: &str, needed: &str, found: &Value) -> Error {
        bad(&self.path, format!("`{key}` must be {needed}, but is {}", brief(found)))
    }
}

/// Parses JSON; serde_json itself stops at a depth of 128.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Value> {
    if files::is_lfs_pointer(bytes) {
        return Err(bad(path, files::LFS_POINTER));
    }
    serde_json::from_slice(bytes).map_err(|error| bad(path, format!("not valid JSON: {error}")))
}

/// A value as it may stand in a message, where backticks are around it already.
pub(crate) fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| brief(value), shown)
}

/// A value as it may stand in a message.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => shown(&value.to_string()),
        Value::String(text) => format!("`{}`", shown(text)),
        other => kind(other).to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
