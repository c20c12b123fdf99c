//! The command line, called as a user calls it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The repository's root, where fixtures and models are.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The program, called in the repository's root.
pub fn attentive() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attentive"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ATTENTIVE_") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("WGPU_ADAPTER_NAME")
        .env("HF_HUB_OFFLINE", "1")
        .env("ATTENTIVE_PIPELINE_CACHE", "")
        .current_dir(repository())
        .stdin(Stdio::null());
    command
}

pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn run(command: &mut Command) -> Ended {
    ended(command.output().unwrap())
}

/// With this exit status, and these words on stderr.
#[track_caller]
pub fn ends(command: &mut Command, code: i32, words: &[&str]) -> Ended {
    let end = run(command);
    assert_eq!(end.code, Some(code), "{}", end.stderr);
    for word in words {
        assert!(end.stderr.contains(word), "no `{word}` in: {}", end.stderr);
    }
    assert!(!end.stderr.contains("panicked"), "{}", end.stderr);
    end
}

/// As [`ends`], without any output.
#[track_caller]
pub fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let end = ends(command, code, words);
    assert!(end.stdout.is_empty(), "{}", end.stdout);
}
