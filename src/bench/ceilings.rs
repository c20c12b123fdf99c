//! A device's measured ceilings: bytes copied and multiply-adds, each a second.

use std::time::Duration;

use super::inputs::values;
use super::timer::{Candidate, ROUND, time};
use crate::device::Device;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernels::ceiling::copy::{self, Copy};
use crate::kernels::ceiling::multiply_add::{self, MultiplyAdd};
use crate::ops::{Linear, LinearWeights};
use crate::recording::{PreparedRecording, Recording};
use crate::reference;
use crate::tensor::{DType, Tensor};

/// Bytes that are copied: far above any cache, where a device can bind as much.
const COPIED: u64 = 256 << 20;
/// On a software adapter, whose caches are a CPU's.
const COPIED_BY_SOFTWARE: u64 = 64 << 20;
/// Side of the matrices whose product the CPU device's arithmetic is measured by.
const PRODUCT: usize = 512;
const ROUNDS: usize = 7;

/// What a device can do at most, by the medians of several rounds. `None` where it could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ceilings {
    /// Bytes a second that a copy reads and writes, together: the kernel `ceiling/copy`.
    pub bandwidth: Option<f64>,
    /// f32 operations a second, two for each multiply-add: the kernel `ceiling/multiply_add`; on the CPU device its own
    /// matrix product, 512³, since the twins are compiled for any processor and the product is not.
    pub arithmetic: Option<f64>,
}

impl Ceilings {
    /// The least seconds that so many operations and bytes take; `None` where nothing is known.
    pub fn least_seconds(&self, flops: u64, bytes: u64) -> Option<f64> {
        let seconds = |amount: u64, rate: Option<f64>| rate.map(|rate| amount as f64 / rate);
        match (seconds(flops, self.arithmetic), seconds(bytes, self.bandwidth)) {
            (Some(arithmetic), Some(memory)) => Some(arithmetic.max(memory)),
            (one, other) => one.or(other),
        }
    }

    /// Measures a device.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), [`Error::Timeout`](crate::Error::Timeout); what else a
    /// measurement fails by leaves its ceiling unknown.
    pub fn measure(device: &Device) -> Result<Self> {
        let arithmetic = match device.is_cpu() {
            true => product(device),
            false => multiply_adds(device),
        };
        Ok(Self { bandwidth: unless_broken(bandwidth(device))?, arithmetic: unless_broken(arithmetic)? })
    }
}

fn unless_broken(rate: Result<Option<f64>>) -> Result<Option<f64>> {
    match rate {
        Err(error) if super::is_broken(&error) => Err(error),
        Err(_) => Ok(None),
        Ok(rate) => Ok(rate),
    }
}

/// The rate of the fastest, of so much a call.
fn best_rate(candidates: &[Candidate], amount: u64) -> Result<Option<f64>> {
    let times = time(candidates, ROUNDS, ROUND)?;
    let best = times.iter().map(|times| times.best().median).min_by(f64::total_cmp);
    Ok(best.map(|seconds| amount as f64 / seconds))
}

fn candidate(recording: Recording) -> Result<Candidate> {
    let repeated = crate::waiting::block_on(PreparedRecording::new(recording))?;
    crate::waiting::block_on(repeated.run(1))?;
    Ok(Candidate { repeated, first_call: Duration::ZERO, first_call_processor: None })
}

fn bandwidth(device: &Device) -> Result<Option<f64>> {
    let wanted = if device.is_software() { COPIED_BY_SOFTWARE } else { COPIED };
    let bytes = wanted.min(device.capabilities().tensor_bytes()) / 16 * 16;
    let (words, parameters) = ((bytes / 4) as usize, copy::Parameters { vectors: (bytes / 16) as u32 });
    let ones: Vec<u32> = (0..words as u32).collect();
    let x = Tensor::from_u32(device, [words], &ones)?;
    let y = Tensor::zeros(device, [words], DType::U32)?;
    let mut candidates = Vec::new();
    for variant in Copy.variants() {
        let mut recording = Recording::new(device);
        let (x, y) = (recording.tensor(&x)?, recording.tensor(&y)?);
        recording.dispatch_trusted(&Copy, variant, &parameters, &[&x, &y])?;
        candidates.push(candidate(recording)?);
    }
    let rate = best_rate(&candidates, 2 * bytes)?;
    let right = crate::waiting::block_on(y.to_words())? == ones;
    Ok(rate.filter(|_| right))
}

fn multiply_adds(device: &Device) -> Result<Option<f64>> {
    let (invocations, trips) = if device.is_software() { (1 << 16, 64) } else { (1 << 20, 256) };
    // The chains run to 1, so that no number becomes denormal.
    let parameters = multiply_add::Parameters { invocations, trips, factor: 0.999, term: 0.001 };
    let starts = values(&mut fastrand::Rng::with_seed(1), invocations as usize, DType::F32);
    let x = Tensor::from_f32(device, [starts.len()], &starts)?;
    let y = Tensor::zeros(device, [starts.len()], DType::F32)?;
    let mut candidates = Vec::new();
    let mut flops = 0;
    for variant in MultiplyAdd.variants() {
        flops = MultiplyAdd.cost(&variant, bytemuck::bytes_of(&parameters)).flops;
        let mut recording = Recording::new(device);
        let (x, y) = (recording.tensor(&x)?, recording.tensor(&y)?);
        recording.dispatch_trusted(&MultiplyAdd, variant, &parameters, &[&x, &y])?;
        candidates.push(candidate(recording)?);
    }
    let rate = best_rate(&candidates, flops)?;
    let (factor, term) = (parameters.factor.into(), parameters.term.into());
    let expected = reference::ceiling::multiply_add(&starts, 16 * trips, 8, factor, term);
    let near = |(got, expected): (&f32, &f64)| (f64::from(*got) - expected).abs() <= 1e-2;
    let right = y.to_f32()?.iter().zip(&expected).all(near);
    Ok(rate.filter(|_| right))
}

fn product(device: &Device) -> Result<Option<f64>> {
    let matrix = values(&mut fastrand::Rng::with_seed(1), PRODUCT * PRODUCT, DType::F32);
    let weights = LinearWeights::new(device, [PRODUCT; 2], &matrix, None, DType::F32)?;
    let mut recording = Recording::new(device);
    let x = Tensor::from_f32(device, [PRODUCT; 2], &matrix)?;
    let x = recording.tensor(&x)?;
    let y = Linear::new(&weights).record(&mut recording, &x)?;
    recording.output(&y)?;
    best_rate(&[candidate(recording)?], 2 * (PRODUCT as u64).pow(3))
}
