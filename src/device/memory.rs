//! Buffers and images kept for reuse, and the bind groups over them.
//!
//! A buffer has the size of its class, and of those that lie idle in a class the first made is taken. So the same work
//! over the same sizes gets the same buffers each time, whatever else lies idle, and with them the same bind groups.

use std::collections::HashMap;

use super::image::{Image, Texel};

/// Bytes of idle buffers and images that are kept.
const IDLE_BYTES: u64 = 512 << 20;

/// Bind groups that are kept.
const BIND_GROUPS: usize = 8192;

/// The use of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Storage,
    Parameters,
    Readback,
}

impl Purpose {
    pub fn usages(self) -> wgpu::BufferUsages {
        use wgpu::BufferUsages as Usages;
        match self {
            Self::Storage => Usages::STORAGE | Usages::COPY_SRC | Usages::COPY_DST,
            Self::Parameters => Usages::UNIFORM | Usages::STORAGE | Usages::COPY_DST,
            Self::Readback => Usages::MAP_READ | Usages::COPY_DST,
        }
    }
}

/// A buffer of ours, with the number of its making.
#[derive(Clone, Debug)]
pub(crate) struct Pooled {
    pub buffer: wgpu::Buffer,
    pub number: u64,
    pub purpose: Purpose,
}

/// The size of the class that so many bytes are in: at most a sixteenth more, as memory matters more than a hit.
pub(crate) fn class(bytes: u64) -> u64 {
    let step = 1_u64 << bytes.max(1).ilog2().saturating_sub(4);
    bytes.max(1).checked_next_multiple_of(step.max(256)).unwrap_or(bytes)
}

/// What a bind group is made of: the pipeline's number, and each buffer's with the bytes that are bound. An image's is
/// with 0; a pipeline has them at the same places each time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub pipeline: u64,
    pub resources: Vec<(u64, u64, u64)>,
}

/// A buffer or an image that lies idle.
#[derive(Debug)]
pub(crate) enum Idle {
    Buffer(Pooled),
    Image(Image),
}

impl Idle {
    fn number(&self) -> u64 {
        match self {
            Self::Buffer(pooled) => pooled.number,
            Self::Image(image) => image.number,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Buffer(pooled) => pooled.buffer.size(),
            Self::Image(image) => image.bytes(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// In the order in which they were let go.
    idle: Vec<Idle>,
    bytes: u64,
    /// With the time of their last use.
    bind_groups: HashMap<Bound, (wgpu::BindGroup, u64)>,
    time: u64,
}

impl Memory {
    /// An idle buffer of that purpose and size.
    pub fn take(&mut self, purpose: Purpose, size: u64) -> Option<Pooled> {
        let fits = |pooled: &Pooled| pooled.purpose == purpose && pooled.buffer.size() == size;
        let buffers = self.idle.iter().enumerate().filter_map(|(place, idle)| match idle {
            Idle::Buffer(pooled) if fits(pooled) => Some((pooled.number, place)),
            _ => None,
        });
        let (_, place) = buffers.min()?;
        match self.remove(place) {
            Idle::Buffer(pooled) => Some(pooled),
            Idle::Image(_) => None,
        }
    }

    /// The smallest idle image with that texel and so many rows at least. Where there is none the smaller ones go: the
    /// one that is made instead will do for all that they did.
    pub fn take_image(&mut self, texel: Texel, rows: u32) -> Option<Image> {
        let images = self.idle.iter().enumerate().filter_map(|(place, idle)| match idle {
            Idle::Image(image) if image.texel == texel => Some((image.rows(), image.number, place)),
            _ => None,
        });
        let mut images: Vec<_> = images.collect();
        if let Some((.., place)) = images.iter().copied().filter(|(has, ..)| *has >= rows).min() {
            return match self.remove(place) {
                Idle::Image(image) => Some(image),
                Idle::Buffer(_) => None,
            };
        }
        images.sort_by_key(|(.., place)| std::cmp::Reverse(*place));
        let gone: Vec<u64> = images.into_iter().map(|(.., place)| self.remove(place).number()).collect();
        self.forget(&gone);
        None
    }

    fn remove(&mut self, place: usize) -> Idle {
        let idle = self.idle.remove(place);
        self.bytes -= idle.bytes();
        idle
    }

    /// Keeps it; those that lie idle for the longest go when there is too much.
    pub fn keep(&mut self, idle: Idle) {
        self.bytes += idle.bytes();
        self.idle.push(idle);
        let mut gone = Vec::new();
        while self.bytes > IDLE_BYTES {
            gone.push(self.remove(0).number());
        }
        self.forget(&gone);
    }

    /// Lets go of the bind groups over what is gone: each holds what is bound.
    pub fn forget(&mut self, gone: &[u64]) {
        if !gone.is_empty() {
            let has = |bound: &Bound| bound.resources.iter().any(|(number, ..)| gone.contains(number));
            self.bind_groups.retain(|bound, _| !has(bound));
        }
    }

    /// Lets go of all that is not in use.
    pub fn clear(&mut self) {
        self.idle.clear();
        self.bytes = 0;
        self.bind_groups.clear();
    }

    pub fn bind_group(&mut self, bound: &Bound) -> Option<wgpu::BindGroup> {
        self.time += 1;
        let (bind_group, used) = self.bind_groups.get_mut(bound)?;
        *used = self.time;
        Some(bind_group.clone())
    }

    /// Keeps a bind group; the half that was not used for the longest goes when there are too many.
    pub fn keep_bind_group(&mut self, bound: Bound, bind_group: wgpu::BindGroup) {
        self.time += 1;
        self.bind_groups.insert(bound, (bind_group, self.time));
        if self.bind_groups.len() > BIND_GROUPS {
            let mut times: Vec<u64> = self.bind_groups.values().map(|(_, used)| *used).collect();
            times.sort_unstable();
            let median = times[times.len() / 2];
            self.bind_groups.retain(|_, (_, used)| *used >= median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_are_little_larger_than_what_is_asked_for() {
        assert_eq!([0, 1, 256, 257, 4096, 4097].map(class), [256, 256, 256, 512, 4096, 4352]);
        assert_eq!([8192, 8193, 1 << 20, (1 << 20) + 1].map(class), [8192, 8704, 1 << 20, 17 << 16]);
        for bytes in (1..5_000_000).step_by(997) {
            let size = class(bytes);
            assert!(size >= bytes && size <= (bytes + bytes / 16).max(bytes + 255), "{bytes}: {size}");
            assert_eq!(class(size), size);
        }
        assert!(class(u64::MAX) == u64::MAX);
    }
}
