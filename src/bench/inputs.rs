//! Inputs of a shape, and how a result is held against another device's.

use crate::device::Device;
use crate::error::Result;
use crate::tensor::{DType, Tensor};
use crate::verify::compare::compare_allclose;

/// The largest NMSE of an f32 result against its oracle.
pub(super) const NMSE: f64 = 1e-9;

/// Seeded values between −1 and 1, as they are stored.
pub(super) fn values(rng: &mut fastrand::Rng, count: usize, dtype: DType) -> Vec<f32> {
    let stored = |value: f32| if dtype == DType::F16 { half::f16::from_f32(value).to_f32() } else { value };
    (0..count).map(|_| stored(rng.f32() * 2.0 - 1.0)).collect()
}

pub(super) fn upload(device: &Device, dims: &[usize], values: &[f32], dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::F16 => Tensor::from_f32_as_f16(device, dims.to_vec(), values),
        _ => Tensor::from_f32(device, dims.to_vec(), values),
    }
}

/// What is wrong with a part that was computed again on the CPU, if something is.
pub(super) fn difference(got: &[f32], expected: &[f32]) -> Option<String> {
    // After a norm elements are about 1; rounding gathers over the layers.
    let comparison = compare_allclose(got, expected, 1e-3, 1e-4);
    let within = comparison.nmse <= NMSE;
    (!comparison.passed || !within).then(|| format!("not what the CPU device gives: {comparison}"))
}
