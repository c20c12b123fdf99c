//! The driver's compiled pipelines in a file, so that the next process need not compile them again. Vulkan's alone: other
//! backends and some drivers keep such a cache by themselves.
//!
//! The file has a header of ours before wgpu's data: what the data is for (adapter, driver, this crate's version), its length
//! and its checksum. Drivers trust what they are given, so a file that is damaged, or that another adapter, driver or version
//! wrote, is not handed on; wgpu then looks at the header that Vulkan prescribes.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::replace::replace;
use crate::fnv::hash;
use crate::waiting::locked;

/// The most bytes that are read or written.
const LARGEST: u64 = 256 << 20;

/// The first bytes of a file, with the version of its form.
const MAGIC: [u8; 8] = *b"attpipe1";

/// Magic, key, length, checksum.
const HEADER: usize = 32;

/// The pause between two writes, in multiples of the last write's duration. Pipelines made in a pause are written when the device
/// is dropped.
const REST: u32 = 20;

/// The file of a device's pipeline cache: see [`DeviceOptions::pipeline_cache`](super::DeviceOptions::pipeline_cache).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineCacheFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that were taken over when the device was opened: 0 where there was no file, or none that could be used.
    pub bytes: u64,
    /// Why the file that was there was not used.
    pub ignored: Option<String>,
}

/// A device's cache and its file.
pub(super) struct PipelineCache {
    pub cache: wgpu::PipelineCache,
    pub file: PipelineCacheFile,
    key: u64,
    /// Pipelines that were made since it was written.
    new: AtomicU64,
    /// When it may be written again.
    rest: Mutex<Instant>,
}

impl PipelineCache {
    /// The cache in `folder` for that adapter, if the device can have one.
    pub fn open(folder: &Path, info: &wgpu::AdapterInfo, device: &wgpu::Device) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = key(info);
        // Drivers of one adapter have files of their own, as they would only replace each other's.
        let name = format!("{}_{key:016x}", wgpu::util::pipeline_cache_key(info)?);
        let path = folder.join(name);
        let (data, ignored) = match read(&path, key) {
            Ok(data) => (data, None),
            Err(reason) => (None, Some(reason)),
        };
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("attentive"), data: data.as_deref(), fallback: true };
        // SAFETY: the data are what `get_data` gave for this adapter, driver and version: key and checksum say so. That
        // the folder is the user's own is what `DeviceOptions::pipeline_cache` asks for.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        let bytes = data.map_or(0, |data| data.len() as u64);
        Some(Self {
            cache,
            file: PipelineCacheFile { path, bytes, ignored },
            key,
            new: AtomicU64::new(0),
            rest: Mutex::new(Instant::now()),
        })
    }

    /// So many pipelines have been made: they are written, unless the last write was a moment ago.
    pub fn made(&self, pipelines: u64) {
        self.new.fetch_add(pipelines, Ordering::Relaxed);
        let mut rest = locked(&self.rest);
        let before = Instant::now();
        if before >= *rest {
            self.write();
            let after = Instant::now();
            *rest = after + REST * (after - before).max(Duration::from_millis(1));
        }
    }

    /// Writes what has been made since the last write. A file that cannot be written is none of the caller's problems: the
    /// next process compiles again.
    pub fn write(&self) {
        let new = self.new.load(Ordering::Relaxed);
        if new == 0 {
            return;
        }
        if let Some(data) = self.cache.get_data()
            && write(&self.file.path, self.key, &data).is_ok()
        {
            self.new.fetch_sub(new, Ordering::Relaxed);
        }
    }
}

/// Tells what a file is for from everything else that it might be for.
fn key(info: &wgpu::AdapterInfo) -> u64 {
    let parts = [
        &info.name,
        &info.driver,
        &info.driver_info,
        &format!("{:?} {} {} {}", info.backend, info.vendor, info.device, info.device_pci_bus_id),
        env!("CARGO_PKG_VERSION"),
    ];
    hash(parts.into_iter().flat_map(|part| part.bytes().chain([0])))
}

fn header(key: u64, data: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    let words = [key, data.len() as u64, hash(data.iter().copied())];
    for (to, word) in header[8..].chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    header
}

/// The data of a file, if there is one.
///
/// # Errors
/// Why it cannot be used.
fn read(path: &Path, key: u64) -> Result<Option<Vec<u8>>, String> {
    let length = match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => return Err("it is no file".to_owned()),
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if length > LARGEST {
        return Err(format!("it has {length} bytes, more than {LARGEST}"));
    }
    let file = std::fs::read(path).map_err(|error| error.to_string())?;
    let Some((found, data)) = file.split_first_chunk::<HEADER>() else {
        return Err(format!("it has {} bytes, fewer than its header's {HEADER}", file.len()));
    };
    let expected = header(key, data);
    match () {
        () if found[..8] != MAGIC => Err("it is no pipeline cache of this form".to_owned()),
        () if found[8..16] != expected[8..16] => {
            Err("it is for another adapter, driver or version".to_owned())
        }
        () if found[16..24] != expected[16..24] => Err("it is not as long as it says".to_owned()),
        () if *found != expected => Err("its checksum is another".to_owned()),
        () => Ok(Some(data.to_vec())),
    }
}

/// Replaces the file.
fn write(path: &Path, key: u64, data: &[u8]) -> std::io::Result<()> {
    if data.len() as u64 + HEADER as u64 > LARGEST {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    replace(path, &[&header(key, data), data])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_is_read() {
        let folder = std::env::temp_dir().join(format!("attentive-pipelines-{}", std::process::id()));
        let path = folder.join("deep/file");
        assert_eq!(read(&path, 7), Ok(None));
        let data: Vec<u8> = (0..1000_u32).map(|i| (i % 251) as u8).collect();
        write(&path, 7, &data).unwrap();
        assert_eq!(read(&path, 7), Ok(Some(data.clone())));
        assert!(read(&path, 8).unwrap_err().contains("another adapter, driver or version"));
        let whole = std::fs::read(&path).unwrap();
        // Cut anywhere, and each byte of the header and one of the data turned over.
        for length in (0..whole.len()).step_by(13).chain([HEADER - 1, HEADER, whole.len() - 1]) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path, 7).is_err(), "{length}");
        }
        for place in (0..HEADER).chain([HEADER, 500, whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            assert!(read(&path, 7).is_err(), "{place}");
        }
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert!(read(&path, 7).unwrap_err().contains("as long as it says"));
        std::fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(read(&path, 7).unwrap_err().contains("more than"));
        // The file that is there already is replaced, and nothing else is left.
        write(&path, 7, &data).unwrap();
        assert_eq!(read(&path, 7), Ok(Some(data)));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(read(&folder, 7).unwrap_err().contains("no file"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
