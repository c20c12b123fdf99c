//! What was fastest when an adapter was tuned: [`bench::tune`](crate::bench::tune) measures it, [`Device::set_tuning`] or
//! [`DeviceOptions::tuning`] uses it.
//!
//! The library neither reads nor writes a file unless [`Tuning::load`] or [`Tuning::save`] is called.

use std::fmt;
#[cfg(feature = "models")]
use std::path::Path;
use std::sync::Arc;

use super::{Device, OPS};
use crate::error::{Error, Result};

/// The adapter, driver and kernels that a tuning was measured with. It holds for nothing else: another driver may turn the order over, and so may
/// another text of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "models", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct TuningKey {
    /// wgpu's backend, such as `vulkan`.
    pub backend: String,
    /// The adapter's name.
    pub name: String,
    /// The driver's name.
    pub driver: String,
    /// Its version, as it tells it.
    pub driver_info: String,
    /// This library's version.
    pub version: String,
    /// A hash of the texts of all kernels.
    pub kernels: String,
}

impl TuningKey {
    pub(super) fn of(info: &wgpu::AdapterInfo) -> Self {
        Self {
            backend: info.backend.to_str().to_owned(),
            name: info.name.trim().to_owned(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: format!("{:016x}", crate::shaders::hash()),
        }
    }

    /// A file's name for the adapter, with its backend, of letters, digits, `-` and `_`. It does not name the driver: a new
    /// driver's tuning takes the old one's place.
    pub fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.name.chars().take(60).map(plain).collect();
        let hash =
            self.name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        format!("{}_{}_{hash:08x}.json", self.backend, name.trim_matches('-'))
    }

    /// The difference from another key, as a sentence's end; `None` if there is none.
    pub fn difference(&self, here: &TuningKey) -> Option<String> {
        let pairs = [
            ("backend", &self.backend, &here.backend),
            ("adapter", &self.name, &here.name),
            ("driver", &self.driver, &here.driver),
            ("driver's version", &self.driver_info, &here.driver_info),
            ("attentive's version", &self.version, &here.version),
            ("kernels' hash", &self.kernels, &here.kernels),
        ];
        let (what, then, now) = pairs.into_iter().find(|(_, then, now)| then != now)?;
        Some(format!("the {what} was `{}` and is `{}`", shortened(then), shortened(now)))
    }
}

/// A text from a file, for a message.
fn shortened(text: &str) -> String {
    let known = |c: &char| !c.is_control();
    let mut short: String = text.chars().filter(known).take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The sizes by which an implementation is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "models", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct TunedSize {
    /// Whether W, or keys and values, are stored as f16; else as f32.
    pub half: bool,
    /// Of `linear` rows, columns and depth; of `attention` queries, head_dim and 1.
    pub dims: [u32; 3],
}

impl TunedSize {
    /// How far two sizes are apart: the sum of the dims' ratios as powers of two, the first twice, as most depends on it.
    fn distance(&self, other: &Self) -> f64 {
        let log = |size: u32| f64::from(size.max(1)).log2();
        let apart = |place: usize| (log(self.dims[place]) - log(other.dims[place])).abs();
        2.0 * apart(0) + apart(1) + apart(2)
    }
}

impl fmt::Display for TunedSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.dims, if self.half { "f16" } else { "f32" })
    }
}

/// The implementation that was fastest at one size.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "models", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct TunedChoice {
    /// The op: `linear` or `attention`.
    pub op: String,
    /// Where it was measured.
    pub size: TunedSize,
    /// The implementation's name, as it is forced by.
    pub implementation: String,
    /// Seconds of a call.
    pub seconds: f64,
}

impl TunedChoice {
    /// A measured choice.
    pub fn new(op: &str, size: TunedSize, implementation: &str, seconds: f64) -> Self {
        Self { op: op.to_owned(), size, implementation: implementation.to_owned(), seconds }
    }
}

/// Which implementations were fastest on one adapter with one driver.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "models", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Tuning {
    /// The key that it holds for.
    pub key: TuningKey,
    /// Whether cooperative matrices gave right results, repeatedly, on this adapter with this driver; `None` where that was
    /// not tried. Nothing uses them unless it is `Some(true)` here or they are asked for.
    #[cfg_attr(feature = "models", serde(default))]
    pub cooperative: Option<bool>,
    /// The measured choices.
    pub choices: Vec<TunedChoice>,
}

/// The largest file that is read, in bytes: some hundred times what tuning writes.
#[cfg(feature = "models")]
const LARGEST_FILE: u64 = 1 << 20;
/// The most choices that are kept: each call looks through them.
const MOST_CHOICES: usize = 1024;

impl Tuning {
    /// One without choices, for what is measured on `device` to be added. `None` for the CPU device.
    pub fn new(device: &Device) -> Option<Self> {
        Some(Self { key: device.tuning_key()?.clone(), cooperative: None, choices: Vec::new() })
    }

    /// The implementation of the nearest size that was measured that was stored alike.
    pub fn implementation(&self, op: &str, size: &TunedSize) -> Option<&str> {
        let fitting = self.choices.iter().filter(|choice| choice.op == op && choice.size.half == size.half);
        let nearest = fitting.min_by(|a, b| {
            let [a, b] = [a, b].map(|choice| choice.size.distance(size));
            a.total_cmp(&b)
        });
        nearest.map(|choice| choice.implementation.as_str())
    }

    /// Takes over what an earlier tuning of the same adapter, driver and kernels knows better: choices at sizes that this one lacks,
    /// and at the same size the one that took less time, since what else runs on a machine only makes a measurement longer. Also
    /// whether cooperative matrices gave right results, where that was not tried since. Gives the choices that were taken over; a
    /// tuning of something else has none.
    pub fn keep_better(&mut self, before: &Tuning) -> Vec<TunedChoice> {
        if before.key.difference(&self.key).is_some() {
            return Vec::new();
        }
        self.cooperative = self.cooperative.or(before.cooperative);
        let mut taken = Vec::new();
        for old in &before.choices {
            let same = |new: &TunedChoice| new.op == old.op && new.size == old.size;
            match self.choices.iter().position(same) {
                Some(place) if self.choices[place].seconds <= old.seconds => continue,
                Some(place) => self.choices[place] = old.clone(),
                None if self.choices.len() < MOST_CHOICES => self.choices.push(old.clone()),
                None => continue,
            }
            taken.push(old.clone());
        }
        taken
    }

    /// Why what it holds cannot have been measured, if so.
    fn check(&self) -> std::result::Result<(), String> {
        let wrong = Err::<(), String>;
        if self.choices.len() > MOST_CHOICES {
            return wrong(format!("it has {} choices, at most {MOST_CHOICES} are kept", self.choices.len()));
        }
        for choice in &self.choices {
            let name = &choice.implementation;
            if !OPS.contains(&choice.op.as_str()) {
                return wrong(format!("there is no op `{}`", shortened(&choice.op)));
            }
            if name.is_empty()
                || name.len() > 40
                || !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
            {
                return wrong(format!("`{}` is no implementation's name", shortened(name)));
            }
            if !(choice.seconds.is_finite() && choice.seconds > 0.0) {
                return wrong(format!("{} of {} took {} seconds", choice.op, choice.size, choice.seconds));
            }
        }
        Ok(())
    }

    /// Reads one that [`Tuning::save`] wrote. Whether it holds for a device is told by [`TuningKey::difference`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is larger than 1 MiB or not what `save` writes.
    #[cfg(feature = "models")]
    pub fn load(path: &Path) -> Result<Self> {
        use std::io::Read;
        let unread = |source| Error::Io { path: path.to_owned(), source };
        let wrong = |problem: String| Error::File { path: path.to_owned(), problem: shortened(&problem) };
        // A folder can be opened, and a pipe may never end.
        if !std::fs::metadata(path).map_err(unread)?.is_file() {
            return Err(wrong("it is no file".to_owned()));
        }
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(unread)?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut text).map_err(unread)?;
        if text.len() as u64 > LARGEST_FILE {
            return Err(wrong(format!("it is larger than {LARGEST_FILE} bytes")));
        }
        let tuning: Self =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("it is no tuning: {error}")))?;
        tuning.check().map_err(wrong)?;
        Ok(tuning)
    }

    /// Writes it as JSON, beside its place first, so that no other process reads half of it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    #[cfg(feature = "models")]
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        #[cfg(not(target_arch = "wasm32"))]
        let saved = super::replace::replace(path, &[text.as_bytes(), b"\n"]);
        #[cfg(target_arch = "wasm32")]
        let saved = std::fs::write(path, text + "\n");
        saved.map_err(failed)
    }
}

impl Device {
    /// The key that a tuning of this device is kept under; `None` for the CPU device.
    pub fn tuning_key(&self) -> Option<&TuningKey> {
        self.inner.tuning_key.as_ref()
    }

    /// Uses a tuning for all that is recorded. Implementations that are forced stay so.
    ///
    /// # Errors
    /// [`Error::Tuning`] if it was measured on another adapter, with another driver or other kernels; if the device has one,
    /// or has chosen without one: its choices never change, since plans are made by them.
    pub fn set_tuning(&self, tuning: Tuning) -> Result<()> {
        let wrong = |reason: String| Error::Tuning { reason };
        let here = self.tuning_key().ok_or_else(|| wrong("the CPU device has nothing to tune".to_owned()))?;
        if let Some(reason) = tuning.key.difference(here) {
            return Err(wrong(reason));
        }
        tuning.check().map_err(wrong)?;
        let late = |_| wrong("the device has chosen implementations already".to_owned());
        self.inner.tuning.set(Some(Arc::new(tuning))).map_err(late)
    }

    /// The tuning in use.
    pub fn tuning(&self) -> Option<Arc<Tuning>> {
        self.inner.tuning.get().cloned().flatten()
    }

    /// The same for a choice; from then on there is no other.
    pub(crate) fn settled_tuning(&self) -> Option<&Tuning> {
        self.inner.tuning.get_or_init(|| None).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::IMPLEMENTATIONS;

    fn tuning(driver_info: &str, choices: &[(u32, &str, f64)], cooperative: Option<bool>) -> Tuning {
        let [backend, name, driver, version, kernels] = ["vulkan", "a", "b", "1", "0"].map(str::to_owned);
        let key = TuningKey { backend, name, driver, driver_info: driver_info.to_owned(), version, kernels };
        let choice = |&(rows, name, seconds): &(u32, &str, f64)| {
            TunedChoice::new("linear", TunedSize { half: false, dims: [rows, 64, 64] }, name, seconds)
        };
        Tuning { key, cooperative, choices: choices.iter().map(choice).collect() }
    }

    #[test]
    fn every_implementation_can_be_kept() {
        for (op, name) in
            IMPLEMENTATIONS.iter().flat_map(|(op, names)| names.iter().map(move |name| (op, name)))
        {
            let mut tuning = tuning("1", &[(1, name, 1e-3)], None);
            (*op).clone_into(&mut tuning.choices[0].op);
            assert_eq!(tuning.check(), Ok(()), "{op} {name}");
        }
    }

    #[test]
    fn what_was_measured_better_is_kept() {
        let before = tuning("1", &[(1, "gemv", 1e-3), (8, "small", 2e-3), (64, "large", 3e-3)], Some(true));
        let mut now = tuning("1", &[(1, "split", 5e-3), (8, "medium", 1e-3), (512, "subgroup8", 1e-2)], None);
        let taken = now.keep_better(&before);
        assert_eq!(taken, [before.choices[0].clone(), before.choices[2].clone()]);
        let expected = tuning(
            "1",
            &[(1, "gemv", 1e-3), (8, "medium", 1e-3), (512, "subgroup8", 1e-2), (64, "large", 3e-3)],
            Some(true),
        );
        assert_eq!(now, expected);
        assert_eq!(now.keep_better(&before), []);
        // Another driver's times say nothing.
        let mut other = tuning("2", &[], Some(false));
        assert_eq!(other.keep_better(&before), []);
        assert_eq!(other, tuning("2", &[], Some(false)));
        let mut verified = tuning("1", &[], Some(false));
        verified.keep_better(&before);
        assert_eq!(verified.cooperative, Some(false));
    }
}
