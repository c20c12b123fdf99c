//! The tests' own test, in full.

use crate::call::Call;
use crate::{Options, Result};

/// The test prints a table as it goes and fails where a fault went through.
pub fn run(options: &Options) -> Result<()> {
    let kernels = options.kernel.as_deref().unwrap_or("all");
    Call::cargo()
        .words("test --package attentive-tests --test mutants -- --nocapture")
        .env("ATTENTIVE_MUTANTS", kernels)
        .env("ATTENTIVE_MUTANTS_FILE", options.file.as_deref().unwrap_or_default())
        .env("ATTENTIVE_REQUIRE_ADAPTER", "1")
        .run()
}
