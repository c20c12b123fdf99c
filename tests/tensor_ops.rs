//! Ops on whole tensors, on every adapter and on the CPU, against the f64 oracles: casts.

mod common;

use attentive::ops::cast;
use attentive::recording::Value;
use attentive::{DType, Device, Recording, Result, Tensor, half};

/// What a device makes of some tensors.
fn run(
    device: &Device,
    tensors: &[Tensor],
    record: impl FnOnce(&mut Recording, &[Value]) -> Result<Value>,
) -> Tensor {
    let mut recording = Recording::new(device);
    let values: Vec<Value> = tensors.iter().map(|tensor| recording.tensor(tensor).unwrap()).collect();
    let y = record(&mut recording, &values).unwrap();
    recording.output(&y).unwrap();
    recording.run().unwrap().tensor(&y).unwrap()
}

#[test]
fn casts_are_the_half_crates() {
    // A stride prime to 2³²: all exponents, signs and payloads, an odd number of them.
    let values: Vec<f32> = (0..70_001_u32)
        .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761)))
        .chain([f32::NAN, 65_520.0])
        .collect();
    let halves: Vec<half::f16> = values.iter().map(|&value| half::f16::from_f32(value)).collect();
    let bits_16 = |values: &[half::f16]| values.iter().map(|value| value.to_bits()).collect::<Vec<u16>>();
    let bits_32 = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let widened: Vec<f32> = halves.iter().map(|value| value.to_f32()).collect();
    for device in common::devices() {
        for count in [1, 2, 3, 127, 128, 129, values.len()] {
            let x = Tensor::from_f32(&device, [count], &values[..count]).unwrap();
            let narrow = run(&device, &[x], |recording, x| cast(recording, &x[0], DType::F16));
            assert_eq!((narrow.dtype(), narrow.shape().dims()), (DType::F16, &[count][..]));
            assert_eq!(bits_16(&narrow.to_f16().unwrap()), bits_16(&halves[..count]), "{}", device.name());
            let wide = run(&device, &[narrow], |recording, x| cast(recording, &x[0], DType::F32));
            assert_eq!(wide.dtype(), DType::F32);
            assert_eq!(bits_32(&wide.to_f32().unwrap()), bits_32(&widened[..count]), "{}", device.name());
        }
        // From f16 on the host, by a shape of three axes, in one recording there and back.
        let x = Tensor::from_f16(&device, [3, 1, 5], &halves[..15]).unwrap();
        let y = run(&device, &[x], |recording, x| {
            let same = cast(recording, &x[0], DType::F16)?;
            assert!(same.is(&x[0]));
            let wide = cast(recording, &same, DType::F32)?;
            cast(recording, &wide, DType::F16)
        });
        assert_eq!(
            (bits_16(&y.to_f16().unwrap()), y.shape().dims()),
            (bits_16(&halves[..15]), &[3, 1, 5][..])
        );
    }
}
