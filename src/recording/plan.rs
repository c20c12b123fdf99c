//! The memory plan: which values share a buffer.
//!
//! Whole buffers are shared, not ranges of one: WebGPU forbids one buffer to be bound for reading and for writing in
//! the same dispatch, whatever the ranges.

use super::Recording;
use super::images::{self, Planned};

/// A buffer for each value that the caller did not bring.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The buffer of each slot; `None` for the caller's tensors and for values never used.
    pub buffer_of: Vec<Option<usize>>,
    /// Words of each buffer.
    pub buffers: Vec<u64>,
    /// The images that dispatches read.
    pub images: Vec<Planned>,
    /// Bytes that the values would take without sharing.
    pub unshared_bytes: u64,
}

impl Plan {
    /// Assigns buffers in the order of the dispatches: the smallest free one that is large enough, else the largest
    /// free one, grown. Outputs have their own.
    pub fn of(recording: &Recording) -> Self {
        Self::new(recording, true)
    }

    /// Gives every value its own buffer, so that all can be read after a run.
    pub fn unshared(recording: &Recording) -> Self {
        Self::new(recording, false)
    }

    fn new(recording: &Recording, share: bool) -> Self {
        let slots = &recording.slots;
        let mut last_use = vec![0; slots.len()];
        for (time, dispatch) in recording.dispatches.iter().enumerate() {
            for &slot in &dispatch.bindings {
                last_use[slot] = time;
            }
        }
        let mut plan = Self {
            buffer_of: vec![None; slots.len()],
            buffers: Vec::new(),
            images: images::planned(recording),
            unshared_bytes: 0,
        };
        let mut free: Vec<usize> = Vec::new();
        for (time, dispatch) in recording.dispatches.iter().enumerate() {
            for &slot in &dispatch.bindings {
                if !slots[slot].is_planned() || plan.buffer_of[slot].is_some() {
                    continue;
                }
                let words = slots[slot].words;
                plan.unshared_bytes += words * 4;
                let chosen = match slots[slot].output || !share {
                    true => None,
                    false => take(&mut free, &plan.buffers, words),
                };
                let buffer = chosen.unwrap_or_else(|| {
                    plan.buffers.push(0);
                    plan.buffers.len() - 1
                });
                plan.buffers[buffer] = plan.buffers[buffer].max(words);
                plan.buffer_of[slot] = Some(buffer);
            }
            let mut done: Vec<usize> = dispatch.bindings.clone();
            done.sort_unstable();
            done.dedup();
            for slot in done {
                if let (Some(buffer), true) =
                    (plan.buffer_of[slot], last_use[slot] == time && !slots[slot].output)
                {
                    free.push(buffer);
                }
            }
        }
        // An output that nothing wrote is still asked for.
        for (slot, entry) in slots.iter().enumerate() {
            if entry.output && entry.is_planned() && plan.buffer_of[slot].is_none() {
                plan.buffer_of[slot] = Some(plan.buffers.len());
                plan.buffers.push(entry.words);
                plan.unshared_bytes += entry.words * 4;
            }
        }
        plan
    }

    /// Bytes of all buffers and images.
    pub fn bytes(&self) -> u64 {
        let buffers: u64 = self.buffers.iter().map(|words| words * 4).sum();
        let images = self.images.iter().map(|image| image.texel.texture_bytes(image.rows));
        buffers + images.sum::<u64>()
    }
}

fn take(free: &mut Vec<usize>, buffers: &[u64], words: u64) -> Option<usize> {
    let large_enough = (0..free.len()).filter(|&place| buffers[free[place]] >= words);
    let place = large_enough
        .min_by_key(|&place| buffers[free[place]])
        .or_else(|| (0..free.len()).max_by_key(|&place| buffers[free[place]]))?;
    Some(free.swap_remove(place))
}
