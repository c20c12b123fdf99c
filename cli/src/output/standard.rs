//! Standard output. One that is closed when the program begins is an error: Rust's runtime puts /dev/null in its place, where
//! everything would be lost without a word, so that it is looked at before the runtime begins.

use std::io::{self, StdoutLock};

use super::{Failure, Result};

/// Set where the program begins once more after it was closed.
const CLOSED: &str = "ATTENTIVE_STDOUT_CLOSED";

/// Standard output, to be written to.
pub fn stdout() -> Result<StdoutLock<'static>> {
    expect_open().map_err(Failure::Failed)?;
    Ok(io::stdout().lock())
}

/// The sentence that says that it was closed, if it was.
pub fn expect_open() -> std::result::Result<(), String> {
    if was_closed() { Err("standard output is closed".to_owned()) } else { Ok(()) }
}

fn was_closed() -> bool {
    at_start::was_closed() || std::env::var_os(CLOSED).is_some()
}

/// Hands on to the same program, begun once more, that it was closed.
#[cfg(target_os = "linux")]
pub fn hand_on(command: &mut std::process::Command) {
    if was_closed() {
        command.env(CLOSED, "1");
    }
}

#[cfg(unix)]
#[allow(
    unsafe_code,
    reason = "what runs before `main` must be declared so; it makes one system call, and stores a flag"
)]
mod at_start {
    use std::sync::atomic::{AtomicBool, Ordering};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    #[ctor::ctor(unsafe)]
    fn look() {
        let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
        CLOSED.store(closed, Ordering::Relaxed);
    }

    pub fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

#[cfg(not(unix))]
mod at_start {
    pub fn was_closed() -> bool {
        false
    }
}
