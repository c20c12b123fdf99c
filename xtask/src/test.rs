//! Every check of this repository.

use std::process::ExitCode;

use crate::call::Call;
use crate::steps::Steps;
use crate::{Options, Result, browser, fetch, place, setup};

pub const STEPS: [&str; 10] =
    ["setup", "fetch", "browser", "fmt", "clippy", "doc", "build", "test", "verify", "check"];

pub fn run(options: &Options) -> ExitCode {
    let wanted = |step: &str| options.only.is_empty() || options.only.iter().any(|only| only == step);
    let mut steps = Steps::default();

    if wanted("setup") {
        steps.run("setup", || setup::run(options));
    }
    let model = if wanted("fetch") { steps.run("fetch", || fetch::run(options)) } else { fetch::found() };
    let browser = if wanted("browser") {
        steps.run("browser", || browser::run(options)).flatten()
    } else {
        browser::found()
    };
    if wanted("fmt") {
        steps.run("fmt", || {
            component("rustfmt", "fmt")?;
            Call::cargo().words("fmt --all --check").run()
        });
    }
    if wanted("clippy") {
        steps.run("clippy", || {
            component("clippy", "clippy")?;
            Call::cargo().words("clippy --workspace --all-targets --all-features -- -D warnings").run()?;
            // The command line as a user may have it who needs no pictures.
            // All of the workspace, so that the crates below it are those that the line before has checked.
            let small = "clippy --workspace --no-default-features -- -D warnings";
            Call::cargo().words(small).run()
        });
    }
    if wanted("doc") {
        steps.run("doc", || {
            Call::cargo()
                .words("doc --workspace --no-deps --all-features")
                .env("RUSTDOCFLAGS", "-D warnings")
                .run()
        });
    }

    // Clippy has checked the examples; built they would be nine programs more.
    let tests = || Call::cargo().words("test --workspace --all-features --lib --bins --tests");
    let build = || tests().arg("--no-run").run();
    let mut built = true;
    if wanted("build") {
        built = steps.run("build", build).is_some();
    }
    let not_built = || Err("not run, because the build failed".to_owned());
    if wanted("test") {
        steps.run("test", || {
            if !built {
                return not_built();
            }
            let documented = Call::cargo().words("test --workspace --all-features --doc");
            let ran = [tests(), documented].map(|call| {
                // A machine without an adapter is a failure here, not a skip.
                let mut call = call.arg("--no-fail-fast").env("ATTENTIVE_REQUIRE_ADAPTER", "1");
                if let Some(model) = &model {
                    call = call.env("ATTENTIVE_TEST_MODEL", model);
                }
                if let Some(browser) = &browser {
                    call = call.env("ATTENTIVE_TEST_BROWSER", browser);
                }
                call.run()
            });
            ran.into_iter().collect()
        });
    }
    // The program itself, on every device: the kernels by their oracles, and the answers of others. All quick cases of the kernels have
    // run in the tests by then; a few of them show that the program does as the tests do.
    for (step, line) in [
        ("verify", "verify --device all --kernel normalization"),
        ("check", "check tests/cases --device all"),
    ] {
        if wanted(step) {
            steps.run(step, || {
                if !built {
                    return not_built();
                }
                // The integration tests come with the binary. Building it apart, with other features than
                // theirs, would build most of it again.
                if !wanted("build") {
                    build()?;
                }
                let attentive = place::attentive("debug");
                if !attentive.is_file() {
                    Call::cargo().words("build --workspace --all-features").run()?;
                }
                Call::new(attentive).words(line).run()
            });
        }
    }
    steps.finish()
}

/// Sees that a component of the toolchain is there.
fn component(component: &str, command: &str) -> Result<()> {
    let there = || Call::cargo().words(command).arg("--version").works();
    if there() {
        return Ok(());
    }
    println!("This toolchain has no {component}; trying to add it.");
    let add = Call::new("rustup").words("component add").arg(component);
    let added = add.run();
    if there() {
        return Ok(());
    }
    let why = added.err().map(|problem| format!(" ({problem})")).unwrap_or_default();
    Err(format!("this toolchain has no {component}: `{}` would add it{why}", add.line()))
}
