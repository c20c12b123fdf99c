//! The library's bench: what is timed is what is chosen, wrong results have no time, limits are rows, lost devices errors.
//! Times themselves are not judged.

use crate::common;
use attentive::bench::{Bench, CHOICE, GROUPS, Group, Outcome, Row, shapes};
use attentive::device::IMPLEMENTATIONS;
use attentive::ops::{
    Attention, Heads, LayerNormWeights, Linear, LinearWeights, layer_norm, rms_norm, softmax,
};
use attentive::recording::PreparedRecording;
use attentive::{DType, Device, DeviceOptions, Error, Recording, Tensor};

fn open(spec: &str, rounds: usize) -> Bench {
    let mut bench = Bench::open(spec, DeviceOptions::default()).unwrap();
    bench.rounds = rounds;
    bench
}

fn specs() -> Vec<String> {
    let adapters = common::usable_adapters();
    let mut specs: Vec<String> = adapters.iter().map(|adapter| format!("gpu:{}", adapter.index)).collect();
    specs.push("cpu".to_owned());
    specs
}

#[test]
fn a_quick_shape_of_each_group_is_right_and_timed_on_every_device() {
    for spec in specs() {
        let bench = open(&spec, 1);
        let ceilings = bench.ceilings().unwrap();
        assert!(ceilings.bandwidth.unwrap() > 1e7 && ceilings.arithmetic.unwrap() > 1e7, "{ceilings:?}");
        for shape in GROUPS.into_iter().flat_map(|group| shapes(group, DType::F16, true).into_iter().take(1))
        {
            let rows = bench.run(&shape, &ceilings).unwrap();
            assert_eq!(rows.iter().filter(|row| row.chosen && row.times().is_some()).count(), 1, "{rows:?}");
            for row in rows {
                assert!(matches!(row.outcome, Outcome::Timed(_) | Outcome::Unavailable(_)), "{spec} {row:?}");
            }
        }
    }
}

/// What an op says when an implementation is forced that there is not: the names that there are.
fn names_here(device_word: &str, record: impl Fn(&mut Recording) -> attentive::Result<()>) -> Vec<String> {
    let mut options = DeviceOptions::default();
    options.implementations = vec![format!("{device_word}=nonsense")];
    let device = Device::open_with("cpu", options).unwrap();
    let error = record(&mut Recording::new(&device)).unwrap_err();
    let Error::Implementation { reason, .. } = error else { panic!("{error}") };
    let names = reason.strip_prefix("here there are ").unwrap_or_else(|| panic!("{reason}"));
    names.split(", ").map(ToOwned::to_owned).collect()
}

#[test]
fn all_implementations_are_listed() {
    let x = |recording: &mut Recording| {
        let device = recording.device().clone();
        let x = Tensor::from_f32(&device, [1, 1, 8, 64], &[0.5; 512]).unwrap();
        recording.tensor(&x).unwrap()
    };
    // The other ops have theirs from the same variants of rows, and `choose` holds them against the list where it is debugged.
    let others = ["attention_gradient", "embedding_norm", "mean_max", "pool", "sum"];
    for (op, listed) in IMPLEMENTATIONS.into_iter().filter(|(op, _)| !others.contains(op)) {
        let names = names_here(op, |recording| {
            let device = recording.device().clone();
            let x = x(recording);
            match op {
                "attention" => {
                    let heads = Heads::dense(&x)?;
                    Attention::new().record(recording, &heads, &heads, &heads).map(|_| ())
                }
                "linear" => {
                    let weights = LinearWeights::new(&device, [64, 64], &[0.5; 4096], None, DType::F32)?;
                    Linear::new(&weights).record(recording, &x).map(|_| ())
                }
                "layer_norm" => {
                    let weights = LayerNormWeights::new(&device, &[1.0; 64], &[0.0; 64], 1e-5)?;
                    layer_norm(recording, &x, None, &weights).map(|_| ())
                }
                "rms_norm" => {
                    let gamma = Tensor::from_f32(&device, [64], &[1.0; 64])?;
                    let gamma = recording.tensor(&gamma)?;
                    rms_norm(recording, &x, &gamma, -1, 1e-5).map(|_| ())
                }
                "softmax" => softmax(recording, &x, -1).map(|_| ()),
                _ => panic!("{op}"),
            }
        });
        for name in names {
            assert!(listed.contains(&name.as_str()), "device::IMPLEMENTATIONS lacks {name} of {op}");
        }
    }
}

#[test]
fn a_shape_that_takes_too_long_is_left_out() {
    let mut bench = open("cpu", 1);
    bench.longest = 1e-9;
    let ceilings = bench.ceilings().unwrap();
    for shape in shapes(Group::Attention, DType::F32, false) {
        let rows = bench.run(&shape, &ceilings).unwrap();
        let [Row { outcome: Outcome::LeftOut(reason), .. }] = &rows[..] else { panic!("{rows:?}") };
        assert!(reason.starts_with("a call takes at least"), "{reason}");
        assert_eq!(rows[0].implementation, CHOICE);
        assert_eq!((rows[0].times(), rows[0].rate()), (None, None));
    }
}

#[test]
fn a_forced_implementation_is_what_is_timed() {
    let mut options = DeviceOptions::default();
    options.implementations = vec!["attention=chained".to_owned()];
    let mut bench = Bench::open("cpu", options).unwrap();
    bench.rounds = 1;
    let shape = &shapes(Group::Attention, DType::F32, true)[0];
    let rows = bench.run(shape, &bench.ceilings().unwrap()).unwrap();
    let chosen: Vec<&Row> = rows.iter().filter(|row| row.chosen).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].implementation, "chained");
}

#[test]
fn repeated_calls_give_what_one_gives() {
    for device in common::devices() {
        let values: Vec<f32> = (0..4096).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut recording = Recording::new(&device);
        let weights = LinearWeights::new(&device, [64, 64], &values, None, DType::F32).unwrap();
        let x = Tensor::from_f32(&device, [64, 64], &values).unwrap();
        let x = recording.tensor(&x).unwrap();
        let hidden = Linear::new(&weights).record(&mut recording, &x).unwrap();
        let y = softmax(&mut recording, &hidden, -1).unwrap();
        let (unmarked, other) = (hidden.clone(), Recording::new(&device));
        recording.output(&y).unwrap();
        let repeated = pollster::block_on(PreparedRecording::new(recording)).unwrap();
        assert_eq!(repeated.dispatches().count(), 2);
        assert_eq!(repeated.statistics().dispatches, 2);
        let took = pollster::block_on(repeated.run(1)).unwrap();
        let once = repeated.tensor(&y).unwrap().to_f32().unwrap();
        assert!(once.chunks(64).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-4));
        let many = pollster::block_on(repeated.run(70)).unwrap();
        assert_eq!(repeated.tensor(&y).unwrap().to_f32().unwrap(), once);
        assert!(many.wall > std::time::Duration::ZERO && took.wall > std::time::Duration::ZERO);
        // Nothing is longer inside the passes than outside, but for the clocks' own errors.
        if let Some(gpu) = many.gpu {
            assert!(device.capabilities().timestamps);
            assert!(gpu.as_secs_f64() <= 1.5 * many.wall.as_secs_f64() + 1e-3, "{many:?} on {device:?}");
        }
        let none = pollster::block_on(repeated.run(0)).unwrap();
        assert_eq!(none.gpu, None);
        assert!(repeated.tensor(&unmarked).is_err());
        let empty = pollster::block_on(PreparedRecording::new(other)).unwrap();
        assert!(empty.tensor(&y).is_err());
        assert_eq!(pollster::block_on(empty.run(3)).unwrap().gpu, None);
    }
}

#[test]
fn a_lost_device_is_an_error_and_not_a_time() {
    for device in common::adapters() {
        let mut recording = Recording::new(&device);
        let x = Tensor::from_f32(&device, [4, 4], &[1.0; 16]).unwrap();
        let x = recording.tensor(&x).unwrap();
        let y = softmax(&mut recording, &x, -1).unwrap();
        recording.output(&y).unwrap();
        let repeated = pollster::block_on(PreparedRecording::new(recording)).unwrap();
        device.wgpu().unwrap().0.destroy();
        let error = pollster::block_on(repeated.run(5)).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
}
