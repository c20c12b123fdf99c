//! The answers of a progress callback.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// The answer of a progress callback: nothing, to go on, or a [`ControlFlow`], by which it may end the run with
/// [`Error::Interrupted`].
///
/// ```no_run
/// # #[cfg(feature = "models")]
/// # fn main() -> attentive::Result<()> {
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use attentive::{Device, Embedder, Error};
///
/// // Set by a signal handler, say, or by a button.
/// static STOP: AtomicBool = AtomicBool::new(false);
///
/// let embedder = Embedder::from_dir(&Device::open("auto")?, "all-MiniLM-L6-v2")?;
/// let texts = vec!["a sentence"; 100_000];
/// let ended = embedder.encode(&texts).progress(|done, total| {
///     println!("{done} of {total} tokens");
///     if STOP.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// match ended.run() {
///     Err(Error::Interrupted { done, total, .. }) => println!("stopped after {done} of {total} tokens"),
///     other => println!("{:?}", other?.shape()),
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "models"))]
/// # fn main() {}
/// ```
pub trait IntoControlFlow {
    /// Whether to go on.
    fn into_control_flow(self) -> ControlFlow<()>;
}

impl IntoControlFlow for () {
    fn into_control_flow(self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl IntoControlFlow for ControlFlow<()> {
    fn into_control_flow(self) -> ControlFlow<()> {
        self
    }
}

/// [`Error::Interrupted`] if that is the answer.
pub(crate) fn obey(answer: impl IntoControlFlow, op: &'static str, [done, total]: [usize; 2]) -> Result<()> {
    match answer.into_control_flow() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted { op, done, total }),
    }
}
