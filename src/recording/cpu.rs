//! The CPU executor: runs the twins over host buffers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::plan::Plan;
use super::{Dispatch, Outputs, Recording};
use crate::error::{Error, Result};
use crate::host_memory::{self, ScratchLacking};
use crate::kernel::{Access, Argument, Arguments};
use crate::tensor::{HostBuffer, Storage};

/// Runs it, until it is told to end.
pub(super) fn run(recording: Recording, cancelled: &AtomicBool) -> Result<Outputs> {
    let plan = Plan::of(&recording);
    let statistics = recording.statistics(&plan, &[]);
    let buffers = host_buffers(&recording, &plan)?;
    run_twins_unless(&recording, &buffers, cancelled)?;
    let tensors = recording.slots.iter().zip(buffers).map(|(slot, buffer)| {
        let buffer = buffer.filter(|_| slot.output)?;
        Some(Storage::Host(buffer))
    });
    Ok(Outputs {
        recording: recording.id,
        device: recording.device.clone(),
        tensors: tensors.collect(),
        statistics,
    })
}

/// Runs all twins, in order.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn run_twins(recording: &Recording, buffers: &[Option<HostBuffer>]) -> Result<()> {
    run_twins_unless(recording, buffers, &AtomicBool::new(false))
}

/// Runs the twins, in order, until it is told to end, when it leaves the rest.
fn run_twins_unless(
    recording: &Recording,
    buffers: &[Option<HostBuffer>],
    cancelled: &AtomicBool,
) -> Result<()> {
    for dispatch in &recording.dispatches {
        let run = || run_twin_unless(dispatch, buffers, cancelled);
        // Numbers that are on the device, such as running sums of lengths, no check has seen.
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            if let Some(ScratchLacking { bytes }) = panic.downcast_ref() {
                let what = format!("what {} computes with", dispatch.kernel.name());
                return host_memory::lacking::<u8>(*bytes as usize, what);
            }
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            let error = Error::Rejected {
                device: recording.device.name().to_owned(),
                what: dispatch.kernel.name().to_owned(),
                message: text.unwrap_or_default(),
            };
            error.within(&dispatch.scope)
        })?;
    }
    Ok(())
}

/// The memory of each slot.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(super) fn host_buffers(recording: &Recording, plan: &Plan) -> Result<Vec<Option<HostBuffer>>> {
    let temporary = |&words: &u64| {
        let zeros =
            host_memory::zeroed(words as usize, || "what a recording keeps between its ops".to_owned());
        zeros.map(HostBuffer::new)
    };
    let planned = plan.buffers.iter().map(temporary).collect::<Result<Vec<_>>>()?;
    let slots = recording.slots.iter().zip(&plan.buffer_of);
    Ok(slots
        .map(|(slot, planned_buffer)| match slot.tensor.as_ref().map(|tensor| tensor.storage()) {
            Some(Storage::Host(buffer)) => Some(buffer.clone()),
            Some(Storage::Gpu(_)) => None,
            None => match &slot.constant {
                Some(words) => Some(HostBuffer::new(words.clone())),
                None => planned_buffer.map(|buffer| planned[buffer].clone()),
            },
        })
        .collect())
}

/// Runs a dispatch's twin on the buffers of its slots.
pub(super) fn run_twin(dispatch: &Dispatch, buffers: &[Option<HostBuffer>]) {
    run_twin_unless(dispatch, buffers, &AtomicBool::new(false));
}

fn run_twin_unless(dispatch: &Dispatch, buffers: &[Option<HostBuffer>], cancelled: &AtomicBool) {
    // Each lock is taken once, in the order in which the buffers lie in memory: so two runs that have tensors in common
    // never wait for each other, whatever slots these have in either. No buffer is read and written by one dispatch.
    let bindings = dispatch.kernel.bindings().iter().zip(&dispatch.bindings);
    let mut wanted: Vec<(usize, Access, usize)> = bindings
        .filter_map(|(binding, &slot)| Some((buffers[slot].as_ref()?.address(), binding.access, slot)))
        .collect();
    wanted.sort_unstable_by_key(|&(address, ..)| address);
    wanted.dedup_by_key(|&mut (address, ..)| address);
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (address, access, slot) in wanted {
        let Some(buffer) = &buffers[slot] else { continue };
        match access {
            Access::Read => reads.push((address, buffer.read())),
            Access::Write | Access::Update => writes.push((slot, buffer.write())),
        }
    }
    // With the locks held: what begins after the end of this run was asked for finds all that it wrote.
    if cancelled.load(Ordering::SeqCst) {
        return;
    }
    let mut writes: Vec<_> = writes.iter_mut().map(|(slot, words)| (*slot, Some(&mut **words))).collect();
    let mut arguments = Vec::with_capacity(dispatch.bindings.len());
    for (binding, slot) in dispatch.kernel.bindings().iter().zip(&dispatch.bindings) {
        let address = buffers[*slot].as_ref().map(HostBuffer::address);
        arguments.push(match binding.access {
            Access::Read => {
                let words = reads.iter().find(|(read, _)| Some(*read) == address);
                Argument::Read(words.map(|(_, words)| words.as_slice()).unwrap_or_default())
            }
            Access::Write | Access::Update => {
                let words = writes.iter_mut().find(|(written, _)| written == slot);
                match words.and_then(|(_, words)| words.take()) {
                    Some(words) => Argument::Write(words),
                    None => Argument::Write(&mut []),
                }
            }
        });
    }
    dispatch.kernel.twin(&dispatch.variant, &dispatch.parameters, Arguments::new(arguments));
}
