//! How much is computed at once.

use clap::Args;

#[derive(Args)]
pub struct BatchArgument {
    /// Tokens in one batch, padding included: more is faster on a large GPU and takes more memory [default: 8192]
    #[arg(long, env = "ATTENTIVE_MAX_BATCH_TOKENS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_batch_tokens: Option<u64>,
}

impl BatchArgument {
    /// Tokens in one batch, if a number is asked for.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_batch_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX))
    }
}
