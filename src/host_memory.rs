//! The host's memory where a model, a file or a tensor decides how much of it is needed: a lack of it is an
//! [`Error::OutOfMemory`], not the end of the process.

use bytemuck::Zeroable;

use crate::error::{Error, Result};

/// The host has no memory for that many elements.
pub(crate) fn lacking<T>(elements: usize, what: String) -> Error {
    let needed = (elements as u64).saturating_mul(size_of::<T>() as u64);
    Error::OutOfMemory { device: "the host".to_owned(), what, needed }
}

/// An empty vector with room for that many elements; `what` says what it will hold, should there be no room.
pub(crate) fn with_room<T>(elements: usize, what: impl FnOnce() -> String) -> Result<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(elements) {
        Ok(()) => Ok(values),
        Err(_) => Err(lacking::<T>(elements, what())),
    }
}

/// That many zeros, whose pages the system may give only when they are touched.
pub(crate) fn zeroed<T: Zeroable>(elements: usize, what: impl FnOnce() -> String) -> Result<Vec<T>> {
    bytemuck::try_zeroed_vec(elements).map_err(|()| lacking::<T>(elements, what()))
}

/// A copy of all that `slices` have, one after the other.
pub(crate) fn joined<T: Copy>(slices: &[&[T]], what: impl FnOnce() -> String) -> Result<Vec<T>> {
    let mut values = with_room(slices.iter().map(|slice| slice.len()).sum(), what)?;
    slices.iter().for_each(|slice| values.extend_from_slice(slice));
    Ok(values)
}

/// What a twin, which can give no error, unwinds with where it lacks memory; the CPU executor makes the error of it.
pub(crate) struct ScratchLacking {
    pub bytes: u64,
}

/// Zeros for a twin's own use, of a size that grows with its arguments.
pub(crate) fn scratch<T: Zeroable>(elements: usize) -> Vec<T> {
    bytemuck::try_zeroed_vec(elements).unwrap_or_else(|()| {
        let bytes = (elements as u64).saturating_mul(size_of::<T>() as u64);
        // Without the hook of a panic, which would print it.
        std::panic::resume_unwind(Box::new(ScratchLacking { bytes }))
    })
}
