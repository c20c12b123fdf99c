//! What was measured on a device chooses there, and nowhere else.

use crate::common;
use attentive::device::{TunedChoice, TunedSize, Tuning};
use attentive::ops::{Attention, Heads, Linear, LinearWeights};
use attentive::recording::PreparedRecording;
use attentive::{DType, Device, DeviceOptions, Error, Recording, Tensor};

/// The first dispatch's kernel and variant of a linear layer `[rows, 64]` to 64 columns.
fn of_linear(device: &Device, rows: usize) -> String {
    let weights = LinearWeights::new(device, [64, 64], &[0.5; 4096], None, DType::F32).unwrap();
    let x = Tensor::from_f32(device, [rows, 64], &vec![0.5; rows * 64]).unwrap();
    let mut recording = Recording::new(device);
    let x = recording.tensor(&x).unwrap();
    let y = Linear::new(&weights).record(&mut recording, &x).unwrap();
    recording.output(&y).unwrap();
    first(recording)
}

fn of_attention(device: &Device, queries: usize) -> String {
    let x = Tensor::from_f32(device, [1, 1, queries, 16], &vec![0.5; queries * 16]).unwrap();
    let mut recording = Recording::new(device);
    let x = recording.tensor(&x).unwrap();
    let heads = Heads::dense(&x).unwrap();
    let output = Attention::new().record(&mut recording, &heads, &heads, &heads).unwrap().output;
    recording.output(&output).unwrap();
    first(recording)
}

fn first(recording: Recording) -> String {
    let repeated = pollster::block_on(PreparedRecording::new(recording)).unwrap();
    let (kernel, variant) = repeated.dispatches().next().unwrap();
    format!("{kernel} {variant}")
}

fn choice(op: &str, dims: [u32; 3], name: &str) -> TunedChoice {
    TunedChoice::new(op, TunedSize { half: false, dims }, name, 1e-3)
}

fn open(index: usize, change: impl FnOnce(&mut DeviceOptions)) -> attentive::Result<Device> {
    let mut options = DeviceOptions::default();
    change(&mut options);
    Device::open_with(&format!("gpu:{index}"), options)
}

#[test]
fn a_tuned_choice_is_taken_by_the_nearest_size() {
    for adapter in common::usable_adapters() {
        let untuned = open(adapter.index, |_| {}).unwrap();
        let table = [of_linear(&untuned, 3), of_linear(&untuned, 100), of_attention(&untuned, 40)];
        let mut tuning = Tuning::new(&untuned).unwrap();
        tuning.choices = vec![
            choice("linear", [1, 64, 64], "gemv"),
            choice("linear", [64, 64, 64], "small"),
            choice("linear", [4096, 64, 64], "medium"),
            choice("attention", [64, 16, 1], "chained"),
        ];
        let later = open(adapter.index, |_| {}).unwrap();
        later.set_tuning(tuning.clone()).unwrap();
        for device in [open(adapter.index, |options| options.tuning = Some(tuning.clone())).unwrap(), later] {
            assert_eq!(device.tuning().as_deref(), Some(&tuning));
            assert!(of_linear(&device, 3).starts_with("linear/gemv gemv"), "{}", of_linear(&device, 3));
            // It is nearest, but takes up to 8 rows.
            assert!(!of_linear(&device, 9).starts_with("linear/gemv"));
            assert!(of_linear(&device, 100).starts_with("linear/gemm_blocked small"));
            assert!(of_linear(&device, 3000).starts_with("linear/gemm_blocked medium"));
            assert!(
                of_attention(&device, 40).starts_with("attention/scores "),
                "{}",
                of_attention(&device, 40)
            );
        }
        // What is forced stays forced.
        let device = open(adapter.index, |options| {
            options.tuning = Some(tuning.clone());
            options.implementations = vec!["linear=tiled".to_owned(), "attention=tiled".to_owned()];
        });
        let device = device.unwrap();
        assert!(of_linear(&device, 100).starts_with("linear/gemm_tiled tiled"));
        assert!(of_attention(&device, 40).starts_with("attention/flash_tiled"));
        // Names that there are not choose nothing.
        let device = open(adapter.index, |_| {}).unwrap();
        tuning.choices = vec![choice("linear", [1, 1, 1], "fastest"), choice("attention", [1, 1, 1], "best")];
        device.set_tuning(tuning.clone()).unwrap();
        assert_eq!([of_linear(&device, 3), of_linear(&device, 100), of_attention(&device, 40)], table);
        // A device's choices never change.
        for device in [device, untuned] {
            let error = device.set_tuning(tuning.clone()).unwrap_err();
            assert!(error.to_string().contains("chosen implementations already"), "{error}");
        }
    }
}

#[test]
fn a_tuning_of_something_else_is_refused() {
    assert!(Tuning::new(&Device::cpu()).is_none());
    for adapter in common::usable_adapters() {
        let device = open(adapter.index, |_| {}).unwrap();
        let tuning = Tuning::new(&device).unwrap();
        assert_eq!(tuning.key.difference(device.tuning_key().unwrap()), None);
        let refused = |change: fn(&mut Tuning), word: &str| {
            let mut tuning = tuning.clone();
            change(&mut tuning);
            for error in [
                device.set_tuning(tuning.clone()).unwrap_err(),
                open(adapter.index, |options| options.tuning = Some(tuning.clone())).unwrap_err(),
            ] {
                assert!(matches!(error, Error::Tuning { .. }) && error.to_string().contains(word), "{error}");
            }
        };
        refused(|tuning| tuning.key.backend = "x".to_owned(), "backend was `x`");
        refused(|tuning| tuning.key.name += " Ti", "adapter");
        refused(|tuning| tuning.key.driver = "y".repeat(4000), "driver");
        refused(|tuning| tuning.key.driver_info.push('1'), "driver's version");
        refused(|tuning| tuning.key.version = "0.0.1".to_owned(), "0.0.1");
        refused(|tuning| tuning.key.kernels = "0".to_owned(), "kernels");
        refused(|tuning| tuning.choices = vec![choice("linaer", [1; 3], "tiled")], "no op `linaer`");
        refused(|tuning| tuning.choices = vec![choice("linear", [1; 3], "ti led")], "ti led");
        refused(|tuning| tuning.choices = vec![choice("linear", [1; 3], "tiled"); 5000], "5000 choices");
        refused(
            |tuning| {
                tuning.choices = vec![choice("linear", [1; 3], "tiled")];
                tuning.choices[0].seconds = f64::NAN;
            },
            "NaN seconds",
        );
        assert_eq!(device.tuning(), None);
        let error = Device::cpu().set_tuning(tuning).unwrap_err();
        assert!(error.to_string().contains("CPU"), "{error}");
    }
}

#[test]
fn a_file_gives_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    for adapter in common::usable_adapters() {
        let device = open(adapter.index, |_| {}).unwrap();
        let mut tuning = Tuning::new(&device).unwrap();
        let path = folder.path().join(tuning.key.file_name());
        for cooperative in [None, Some(true), Some(false)] {
            tuning.cooperative = cooperative;
            tuning.choices.push(choice("linear", [1, 384, 1536], "gemv"));
            tuning.choices[0].seconds = 0.1 + 0.2;
            tuning.choices[0].size.half = true;
            tuning.save(&path).unwrap();
            assert_eq!(Tuning::load(&path).unwrap(), tuning);
        }
        let whole = std::fs::read(&path).unwrap();
        // Nothing that is cut, and nothing with one byte changed, panics; what still parses holds or is refused.
        for end in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(end + 2 > whole.len() || Tuning::load(&path).is_err(), "{end}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x15;
            std::fs::write(&path, &changed).unwrap();
            if let Ok(tuning) = Tuning::load(&path) {
                let _ = device.set_tuning(tuning);
            }
        }
        let missing = Tuning::load(&folder.path().join("none.json")).unwrap_err();
        assert!(matches!(missing, Error::Io { .. }), "{missing}");
        let error = tuning.save(&folder.path().join("none").join("a.json")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
        std::fs::remove_file(&path).unwrap();
    }
}
