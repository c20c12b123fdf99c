//! Which layers' and heads' attention weights a stack gives.

use crate::error::{Error, Result};
use crate::ops::{Capture, Stage};

const OP: &str = "capture";

/// The layers of a stack, and their heads, whose attention weights are captured on the device during a run. The run's
/// own attention stays fused; the weights of what is captured are computed beside it from the same queries and keys.
///
/// They take layers · batch · heads · queries · keys · 4 bytes on the device until they are read.
#[derive(Clone, Copy, Debug)]
pub struct LayerCapture<'a> {
    layers: Option<&'a [usize]>,
    heads: Option<&'a [usize]>,
    max_bytes: u64,
}

impl Default for LayerCapture<'_> {
    fn default() -> Self {
        Self { layers: None, heads: None, max_bytes: Self::MAX_BYTES }
    }
}

impl<'a> LayerCapture<'a> {
    /// The bytes that a capture may take where nothing else is said: 256 MiB.
    pub const MAX_BYTES: u64 = 256 << 20;

    /// All heads of all layers.
    pub fn all() -> Self {
        Self::default()
    }

    /// No layer.
    pub fn none() -> Self {
        Self::of(&[])
    }

    /// All heads of these layers, counted from 0, each once.
    pub fn of(layers: &'a [usize]) -> Self {
        Self::default().layers(layers)
    }

    /// Of these layers alone, counted from 0, each once.
    #[must_use]
    pub fn layers(mut self, layers: &'a [usize]) -> Self {
        self.layers = Some(layers);
        self
    }

    /// Of these heads alone, counted from 0, each once.
    #[must_use]
    pub fn heads(mut self, heads: &'a [usize]) -> Self {
        self.heads = Some(heads);
        self
    }

    /// Refuses to take more bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The layers and heads among those there are, each with its heads, that are captured; and that they may be, for
    /// `[batch, queries, keys]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a layer or head that there is not or that is named twice, and for more bytes than are
    /// allowed.
    pub(crate) fn check(&self, heads: &[usize], sizes: [usize; 3]) -> Result<Vec<usize>> {
        let layers = chosen("a layer", self.layers, heads.len())?;
        let mut maps = 0_u64;
        for &layer in &layers {
            let there = heads.get(layer).copied().unwrap_or(0);
            maps += chosen(&format!("a head of layer {layer}"), self.heads, there)?.len() as u64;
        }
        let bytes = Self::bytes(maps, &sizes);
        if bytes > self.max_bytes {
            let [batch, queries, keys] = sizes;
            let expected =
                format!("at most {} bytes: name fewer layers or heads, or allow more bytes", self.max_bytes);
            let found = format!(
                "{bytes} bytes ({maps} heads in {} of the layers, {batch} · {queries} · {keys} · 4 bytes each)",
                layers.len()
            );
            return Err(Error::argument(OP, "the captured weights", expected, found));
        }
        Ok(layers)
    }

    /// The numbers of the captured layers, and of their heads, in their order; all layers have as many heads.
    #[cfg(feature = "models")]
    pub(crate) fn numbers(&self, [layers, heads]: [usize; 2]) -> Result<[Vec<Option<usize>>; 2]> {
        let layers = chosen("a layer", self.layers, layers)?;
        let heads = chosen("a head", self.heads, heads)?;
        Ok([layers, heads].map(|numbers| numbers.into_iter().map(Some).collect()))
    }

    /// Bytes of so many maps of these sizes; as many as a number can say where they are more.
    pub(crate) fn bytes(maps: u64, sizes: &[usize]) -> u64 {
        sizes.iter().fold(maps.saturating_mul(4), |bytes, &size| bytes.saturating_mul(size as u64))
    }

    /// The most bytes.
    #[cfg(feature = "models")]
    pub(crate) fn bound(&self) -> u64 {
        self.max_bytes
    }

    pub(crate) fn of_a_layer(&self) -> Capture<'a> {
        let capture = Capture::new(Stage::Weights);
        match self.heads {
            Some(heads) => capture.heads(heads),
            None => capture,
        }
    }
}

fn chosen(what: &str, chosen: Option<&[usize]>, there: usize) -> Result<Vec<usize>> {
    let Some(chosen) = chosen else { return Ok((0..there).collect()) };
    let wrong = |expected: String, found: usize| Err(Error::argument(OP, what, expected, found.to_string()));
    for (place, &number) in chosen.iter().enumerate() {
        if number >= there {
            let last = there.saturating_sub(1);
            return wrong(format!("one of the {there} there are (0 to {last})"), number);
        }
        if chosen[..place].contains(&number) {
            return wrong("named once".to_owned(), number);
        }
    }
    Ok(chosen.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_are_only_large() {
        let sizes = [usize::MAX; 3];
        let error = LayerCapture::all().check(&[1], sizes).unwrap_err().to_string();
        assert!(error.contains(&format!("{} bytes (1 heads in 1 of the layers", u64::MAX)), "{error}");
        assert!(LayerCapture::all().max_bytes(u64::MAX).check(&[1], sizes).is_ok());
        assert_eq!(LayerCapture::none().check(&[1], sizes).unwrap(), Vec::<usize>::new());
    }
}
