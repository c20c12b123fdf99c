//! A trace: a recording run on its device and held against the twins, dispatch by dispatch.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::plan::Plan;
use super::{Prepared, Recording, Submitted, cpu};
use crate::error::Result;
use crate::kernel::Access;
use crate::tensor::{HostBuffer, Storage};

/// One dispatch of a traced recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// Where in the model it stands.
    pub scope: String,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The variant.
    pub variant: String,
    /// Largest absolute difference to the twin fed with the device's own inputs: this kernel's share.
    pub own_difference: f64,
    /// Largest absolute difference to a run of twins alone: what has gathered up to here.
    pub gathered_difference: f64,
    /// Largest absolute value of the twins' run, to judge the differences by.
    pub magnitude: f64,
    /// False if either side has a NaN or an infinity where the other has not.
    pub finite_alike: bool,
}

/// Runs a recording on its GPU with every value kept, then the twins on the host: once fed by the device's values,
/// once by their own.
///
/// # Errors
/// As [`Recording::run_async`].
pub async fn trace(recording: &Recording) -> Result<Vec<Step>> {
    let plan = Plan::unshared(recording);
    let prepared = Prepared::new(recording, &plan, Submitted::ByUs, 0..0).await?;
    prepared.submit(&AtomicBool::new(false), &[]).await?;
    let mut device_values = Vec::with_capacity(recording.slots.len());
    let mut own_values = Vec::with_capacity(recording.slots.len());
    for (slot, storage) in recording.slots.iter().zip(&prepared.storages) {
        let words = match (storage, recording.device.gpu()) {
            (Some(Storage::Gpu(buffer)), Some(gpu)) => gpu.read(&buffer.buffer, slot.words * 4).await?,
            (Some(Storage::Host(buffer)), _) => buffer.read().clone(),
            _ => slot.constant.clone().unwrap_or_default(),
        };
        // A place that no dispatch writes has no meaning, and memory that was used before has anything in it: the twins' run
        // begins with the same.
        own_values.push(Some(HostBuffer::new(words.clone())));
        device_values.push(Some(HostBuffer::new(words)));
    }
    let mut steps = Vec::with_capacity(recording.dispatches.len());
    let mut updated = Updated::of(recording);
    for (time, dispatch) in recording.dispatches.iter().enumerate() {
        cpu::run_twin(dispatch, &own_values);
        // The twin writes over a copy of what the device wrote, so that what it leaves alone compares as equal.
        let mut forced = device_values.clone();
        for slot in dispatch.writes() {
            let before = updated.so_far.get(&slot).or(device_values[slot].as_ref());
            forced[slot] = before.map(|buffer| HostBuffer::new(buffer.read().clone()));
        }
        cpu::run_twin(dispatch, &forced);
        let mut step = Step {
            scope: dispatch.scope.clone(),
            kernel: dispatch.kernel.name(),
            variant: dispatch.variant.to_string(),
            own_difference: 0.0,
            gathered_difference: 0.0,
            magnitude: 0.0,
            finite_alike: true,
        };
        for slot in dispatch.writes() {
            let (Some(device), Some(forced), Some(own)) =
                (&device_values[slot], &forced[slot], &own_values[slot])
            else {
                continue;
            };
            if !updated.is_over(slot, time, forced) {
                continue;
            }
            step.compare(&device.read(), &forced.read(), &own.read());
        }
        steps.push(step);
    }
    Ok(steps)
}

/// The slots that some dispatch updates in place. The device tells what is in one when all is over, so what stands there in between
/// is the twins', fed by the device's other values, and the last dispatch that writes it is the one that is held against the device.
struct Updated {
    last_write: HashMap<usize, usize>,
    so_far: HashMap<usize, HostBuffer>,
}

impl Updated {
    fn of(recording: &Recording) -> Self {
        let mut last_write = HashMap::new();
        for dispatch in &recording.dispatches {
            let bindings = dispatch.kernel.bindings().iter().zip(&dispatch.bindings);
            let updates = bindings.filter(|(binding, _)| binding.access == Access::Update);
            last_write.extend(updates.map(|(_, &slot)| (slot, 0)));
        }
        for (time, dispatch) in recording.dispatches.iter().enumerate() {
            for slot in dispatch.writes() {
                last_write.entry(slot).and_modify(|last| *last = time);
            }
        }
        Self { last_write, so_far: HashMap::new() }
    }

    /// Whether what was written is what the device has in the end; keeps it otherwise.
    fn is_over(&mut self, slot: usize, time: usize, written: &HostBuffer) -> bool {
        let is_over = self.last_write.get(&slot).is_none_or(|&last| last == time);
        if !is_over {
            self.so_far.insert(slot, written.clone());
        }
        is_over
    }
}

impl Step {
    fn compare(&mut self, device: &[u32], forced: &[u32], own: &[u32]) {
        for ((&device, &forced), &own) in device.iter().zip(forced).zip(own) {
            let [device, forced, own] = [device, forced, own].map(|bits| f64::from(f32::from_bits(bits)));
            let alike = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
            if device.is_finite() && forced.is_finite() {
                self.own_difference = self.own_difference.max((device - forced).abs());
            } else {
                self.finite_alike &= alike(device, forced);
            }
            if device.is_finite() && own.is_finite() {
                self.gathered_difference = self.gathered_difference.max((device - own).abs());
                self.magnitude = self.magnitude.max(own.abs());
            } else {
                self.finite_alike &= alike(device, own);
            }
        }
    }
}
