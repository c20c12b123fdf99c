//! The CPU executor: runs the twins over host buffers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::plan::Plan;
use super::{Dispatch, Outputs, Recording};
use crate::error::{Error, Result};
use crate::host_memory::{self, ScratchLacking};
use crate::kernel::{Access, Argument, Arguments};
use crate::tensor::{HostBuffer, Storage};

pub(super) fn run(recording: Recording) -> Result<Outputs> {
    let plan = Plan::of(&recording);
    let statistics = recording.statistics(&plan, &[]);
    let buffers = host_buffers(&recording, &plan)?;
    run_twins(&recording, &buffers)?;
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
pub(super) fn run_twins(recording: &Recording, buffers: &[Option<HostBuffer>]) -> Result<()> {
    for dispatch in &recording.dispatches {
        // Numbers that are on the device, such as running sums of lengths, no check has seen.
        catch_unwind(AssertUnwindSafe(|| run_twin(dispatch, buffers))).map_err(|panic| {
            if let Some(ScratchLacking { bytes }) = panic.downcast_ref() {
                let what = format!("what {} computes with", dispatch.kernel.name());
                return host_memory::lacking::<u8>(*bytes as usize, what);
            }
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Error::Rejected {
                device: recording.device.name().to_owned(),
                what: dispatch.kernel.name().to_owned(),
                message: text.unwrap_or_default(),
            }
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
            None => planned_buffer.map(|buffer| planned[buffer].clone()),
        })
        .collect())
}

/// Runs a dispatch's twin on the buffers of its slots.
pub(super) fn run_twin(dispatch: &Dispatch, buffers: &[Option<HostBuffer>]) {
    // A lock may be taken once only: reads of one slot share a guard. No slot is read and written by one dispatch.
    let mut read_slots: Vec<usize> = dispatch.reads().collect();
    read_slots.sort_unstable();
    read_slots.dedup();
    let buffer = |slot: usize| buffers[slot].as_ref();
    let reads: Vec<_> = read_slots.iter().filter_map(|&slot| Some((slot, buffer(slot)?.read()))).collect();
    let mut writes: Vec<_> =
        dispatch.writes().filter_map(|slot| Some((slot, buffer(slot)?.write()))).collect();
    let mut writes = writes.iter_mut();
    let mut arguments = Vec::with_capacity(dispatch.bindings.len());
    for (binding, slot) in dispatch.kernel.bindings().iter().zip(&dispatch.bindings) {
        arguments.push(match binding.access {
            Access::Read => {
                let words = reads.iter().find(|(read, _)| read == slot).map(|(_, words)| words.as_slice());
                Argument::Read(words.unwrap_or_default())
            }
            Access::Write => match writes.next() {
                Some((_, words)) => Argument::Write(words),
                None => Argument::Write(&mut []),
            },
        });
    }
    dispatch.kernel.twin(&dispatch.variant, &dispatch.parameters, Arguments::new(arguments));
}
