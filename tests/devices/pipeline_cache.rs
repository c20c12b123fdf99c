//! Compiled pipelines in a file: the next device takes them over; damaged and foreign files change nothing.

use std::path::{Path, PathBuf};

use crate::common::{self, open, usable_adapters};
use attentive::ops::softmax;
use attentive::{Device, DeviceOptions, Recording, Tensor, wgpu};

fn options(folder: &Path) -> DeviceOptions {
    let mut options = DeviceOptions::default();
    options.pipeline_cache = Some(folder.to_owned());
    options
}

fn results(device: &Device) -> Vec<f32> {
    let mut recording = Recording::new(device);
    let values: Vec<f32> = (0..300).map(|i| (i % 17) as f32).collect();
    let x = recording.tensor(&Tensor::from_f32(device, [3, 100], &values).unwrap()).unwrap();
    let y = softmax(&mut recording, &x, -1).unwrap();
    recording.output(&y).unwrap();
    recording.run().unwrap().tensor(&y).unwrap().to_f32().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_next_device_takes_over_what_fits() {
    for adapter in usable_adapters() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("made/where/missing");
        let first = open(&adapter, &options(&folder));
        let expected = results(&first);
        let Some(file) = first.pipeline_cache() else {
            assert!(!first.wgpu().unwrap().0.features().contains(wgpu::Features::PIPELINE_CACHE));
            assert!(!folder.exists());
            continue;
        };
        let path = file.path.clone();
        assert_eq!((file.bytes, &file.ignored), (0, &None));
        // At once: what ends without its destructors has it too.
        assert_eq!(files(&folder), std::slice::from_ref(&path));
        let written = std::fs::read(&path).unwrap();
        let next = || {
            let device = open(&adapter, &options(&folder));
            assert_eq!(results(&device), expected, "{}", adapter.name);
            device.pipeline_cache().unwrap().clone()
        };
        let taken = next();
        assert_eq!((taken.ignored, taken.bytes > 0), (None, true));
        let mut turned = written.clone();
        *turned.last_mut().unwrap() ^= 1;
        let mut foreign = written.clone();
        foreign[8] ^= 1;
        let damaged: [(&str, &[u8]); 5] = [
            ("fewer than its header's", &[]),
            ("no pipeline cache of this form", &[b'x'; 1000]),
            ("not as long as it says", &written[..written.len() - 1]),
            ("checksum", &turned),
            ("another adapter, driver or version", &foreign),
        ];
        for (words, bytes) in damaged {
            std::fs::write(&path, bytes).unwrap();
            let ignored = next().ignored.unwrap();
            assert!(ignored.contains(words), "{ignored}");
            // It is replaced.
            assert_eq!(next().ignored, None, "{words}");
            assert_eq!(files(&folder), std::slice::from_ref(&path));
        }
        // What wgpu and the driver find fault with is begun anew as well.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(next().ignored.unwrap().contains("no file"));
        // A folder that cannot be one.
        let blocked = home.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let device = open(&adapter, &options(&blocked));
        assert_eq!(results(&device), expected);
        drop(device);
        assert_eq!(std::fs::read(&blocked).unwrap(), b"");
    }
}

#[test]
fn nothing_is_written_where_nobody_asks() {
    for device in common::devices() {
        results(&device);
        assert_eq!(device.pipeline_cache(), None);
    }
    assert_eq!(Device::cpu().pipeline_cache(), None);
}
