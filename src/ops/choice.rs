//! The one place where an implementation is chosen among several: forced, else tuned, else an op's own table.

pub(super) use crate::device::TunedSize as Size;
use crate::device::{Device, implementations_of};
use crate::error::{Error, Result};

/// Chooses an implementation: the first name for which `make` succeeds. The names are the forced one alone (`forced`, else by the
/// device's options), else the one that was fastest when the device was tuned, then those of `table`. Without a size nothing was
/// tuned.
///
/// # Errors
/// [`Error::Implementation`] with the reason that `make` gives for the forced one.
pub(super) fn choose_by<T>(
    device: &Device,
    op: &'static str,
    forced: Option<&str>,
    size: Option<&Size>,
    table: &[&'static str],
    make: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    let names = implementations_of(op);
    debug_assert!(!names.is_empty(), "`{op}` is not in device::IMPLEMENTATIONS, so that it cannot be forced");
    let refused = |name: &str, reason: String| Error::Implementation {
        op: op.to_owned(),
        name: name.to_owned(),
        reason,
    };
    if let Some(name) = forced.or_else(|| device.forced(op)) {
        if !names.contains(&name) {
            return Err(refused(name, format!("here there are {}", names.join(", "))));
        }
        return make(name).map_err(|reason| refused(name, reason));
    }
    let tuned = device.settled_tuning().zip(size).and_then(|(tuning, size)| tuning.implementation(op, size));
    let tuned = tuned.filter(|name| names.contains(name));
    let mut last = "the device can run none of them".to_owned();
    for name in tuned.into_iter().chain(table.iter().copied()) {
        match make(name) {
            Ok(choice) => return Ok(choice),
            Err(reason) => last = reason,
        }
    }
    Err(refused("any", last))
}
