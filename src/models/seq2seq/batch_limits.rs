//! How much a batch of translations may be: by the device, and by limits of our own.

use super::maps::Captured;
use super::translator::{OP, Translator};
use crate::error::{Error, Result};
use crate::models::batches::{BatchLimits, Load, batch_tokens, batches};
use crate::models::generation::{GenerationOptions, Strategy};
use crate::weights::Encoding;

/// Bytes of the decoder's own keys and values, which a batch has from its first step on, unless one text alone has more.
const CACHE_BYTES: u64 = 1 << 30;

/// The same of one text's rows, its beams or samples, past which they are refused.
const TEXT_CACHE_BYTES: u64 = 4 * CACHE_BYTES;

/// How many of so many elements, 4 bytes each, those bytes hold.
fn fit(bytes: u64, elements: usize) -> usize {
    let each = (elements as u64).saturating_mul(4).max(1);
    usize::try_from(bytes / each).unwrap_or(usize::MAX)
}

impl Translator {
    /// [`Error::Argument`] if the rows of one text alone are more than one tensor of the device can hold, or keep too much from
    /// step to step.
    pub(super) fn check_rows(&self, options: &GenerationOptions) -> Result<()> {
        let sizes = self.model.sizes(options.max_tokens);
        let of_tensor = fit(self.device().capabilities().tensor_bytes(), sizes.row);
        let of_cache = fit(TEXT_CACHE_BYTES, sizes.kept);
        let most = of_tensor.min(of_cache).max(1);
        let rows = options.rows_per_text();
        if rows <= most {
            return Ok(());
        }
        let name = if matches!(options.strategy, Strategy::Beam { .. }) { "beams" } else { "n_best" };
        let expected = if of_tensor <= of_cache {
            format!("at most {most}, as many as fit one tensor of the device")
        } else {
            format!("at most {most}, as many as keep {TEXT_CACHE_BYTES} bytes from step to step")
        };
        Err(Error::argument(OP, name, expected, rows.to_string()))
    }

    /// The sources by falling length, in batches that the device and the limits allow.
    pub(super) fn batches(
        &self,
        sources: &[Encoding],
        options: &GenerationOptions,
        wanted: usize,
        captured: Option<&Captured<'_>>,
    ) -> Vec<Vec<usize>> {
        let sizes = self.model.sizes(options.max_tokens);
        let per_text = options.rows_per_text().max(1);
        let of_tensor = fit(self.device().capabilities().tensor_bytes(), sizes.row);
        let rows = of_tensor.min(fit(CACHE_BYTES, sizes.kept));
        let texts = |longest: usize| {
            let of_capture = captured.map(|captured| captured.rows(longest, options.max_tokens, per_text));
            rows.min(of_capture.unwrap_or(usize::MAX)) / per_text
        };
        let tokens = batch_tokens(self.device(), sizes.token, wanted / per_text);
        let read_back =
            (per_text as u64).saturating_mul(4).saturating_mul(self.target_vocabulary_size() as u64);
        let load = |source: &Encoding| Load { tokens: source.ids.len(), bytes: read_back };
        let loads: Vec<Load> = sources.iter().map(load).collect();
        // A batch costs as many steps as its longest output has; padding costs little beside them.
        batches(&loads, &BatchLimits { tokens, may_pad: usize::MAX, texts: &texts })
    }
}
