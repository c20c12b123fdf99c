//! The prompt that is put before texts.

use std::collections::BTreeMap;

use clap::Args;

use crate::output::{Failure, Result, note, shortened};

#[derive(Args)]
pub struct PromptArguments {
    /// Put before each text (of pairs the first; the query), in place of the model's default prompt; "" for none
    #[arg(long, env = "ATTENTIVE_PROMPT", hide_env_values = true, value_name = "TEXT")]
    pub prompt: Option<String>,

    /// Put the model's prompt of that name before each text, such as query, in place of its default prompt
    #[arg(long, env = "ATTENTIVE_PROMPT_NAME", hide_env_values = true, value_name = "NAME")]
    #[arg(conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
}

impl PromptArguments {
    /// Refuses a name that the model does not have; one of `always` is empty then, and that is said.
    pub fn check(&self, prompts: &BTreeMap<String, String>, always: &[&str]) -> Result<()> {
        let Some(name) = self.prompt_name.as_deref().filter(|name| !prompts.contains_key(*name)) else {
            return Ok(());
        };
        if always.contains(&name) {
            note(format_args!("the model has no prompt `{name}`: nothing is put before the texts"));
            return Ok(());
        }
        let names: Vec<&str> = prompts.keys().map(String::as_str).collect();
        let names = match names.as_slice() {
            [] => "it has none (--prompt takes a text)".to_owned(),
            names => format!("there are {}", shortened(&names.join(", "), 300)),
        };
        Err(Failure::Usage(format!("the model has no prompt `{}`; {names}", shortened(name, 60))))
    }
}
