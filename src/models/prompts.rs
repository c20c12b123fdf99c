//! Texts that are put before the input, by their names.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// A folder's prompts.
#[derive(Clone, Debug, Default)]
pub(super) struct Prompts {
    texts: BTreeMap<String, String>,
    default: Option<String>,
    /// Names that are empty prompts where the folder does not list them.
    always: &'static [&'static str],
}

/// Which prompt a call is given.
#[derive(Clone, Debug, Default)]
pub(super) enum Prompt {
    /// The folder's default, if it has one.
    #[default]
    Default,
    /// A text.
    Text(String),
    /// One of the folder's.
    Named(String),
}

impl Prompts {
    pub(super) fn new(
        texts: BTreeMap<String, String>,
        default: Option<String>,
        always: &'static [&'static str],
    ) -> Self {
        Self { texts, default, always }
    }

    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    pub(super) fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The text to put before the input; empty for none.
    pub(super) fn text<'a>(&'a self, op: &str, prompt: &'a Prompt) -> Result<&'a str> {
        let name = match prompt {
            Prompt::Text(text) => return Ok(text),
            Prompt::Named(name) => Some(name.as_str()),
            Prompt::Default => self.default_name(),
        };
        let Some(name) = name else { return Ok("") };
        match self.texts.get(name) {
            Some(text) => Ok(text),
            None if self.always.contains(&name) => Ok(""),
            None => {
                let names: Vec<&str> = self.texts.keys().map(String::as_str).collect();
                let expected = match names.as_slice() {
                    [] => "one of the model's, which has none".to_owned(),
                    names => format!("one of the model's ({})", names.join(", ")),
                };
                Err(Error::argument(op, "the prompt's name", expected, format!("`{name}`")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_a_text_a_name_or_the_default() {
        let texts = [("query", "query: "), ("passage", "passage: ")];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into_iter().collect();
        let prompts = Prompts::new(texts, Some("passage".to_owned()), &["query", "document"]);
        let of = |prompt: Prompt| prompts.text("embed", &prompt).map(str::to_owned);
        assert_eq!(of(Prompt::Default).unwrap(), "passage: ");
        assert_eq!(of(Prompt::Named("query".into())).unwrap(), "query: ");
        assert_eq!(of(Prompt::Named("document".into())).unwrap(), "");
        assert_eq!(of(Prompt::Text("x ".into())).unwrap(), "x ");
        assert_eq!(of(Prompt::Text(String::new())).unwrap(), "");
        let error = of(Prompt::Named("absent".into())).unwrap_err().to_string();
        assert!(error.contains("(passage, query)") && error.contains("`absent`"), "{error}");
        let none = Prompts::default();
        assert_eq!(none.text("embed", &Prompt::Default).unwrap(), "");
        assert!(none.text("embed", &Prompt::Named("query".into())).is_err());
    }
}
