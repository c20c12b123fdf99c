//! The images of a recording: one for each place among a variant's images and each kind of texel, as large as the largest
//! binding that is read there. A dispatch that reads images copies its buffers into them first.

use super::{Dispatch, Recording, Slot};
use crate::device::{Device, Gpu, Image, Texel};
use crate::tensor::Storage;

/// An image that dispatches read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// The place among a variant's images.
    place: usize,
    pub texel: Texel,
    pub rows: u32,
}

/// All that dispatches read.
pub(super) fn planned(recording: &Recording) -> Vec<Planned> {
    let mut images: Vec<Planned> = Vec::new();
    for (place, texel, slot) in recording.dispatches.iter().flat_map(Dispatch::images) {
        // `Recording::dispatch` has held it against the device's limit, which is in 32 bits.
        let rows = texel.rows(recording.slots[slot].words).max(1) as u32;
        match images.iter_mut().find(|known| (known.place, known.texel) == (place, texel)) {
            Some(known) => known.rows = known.rows.max(rows),
            None => images.push(Planned { place, texel, rows }),
        }
    }
    images
}

/// The images of a run, which go back to the device's idle ones afterwards where they may be used again.
pub(crate) struct Images {
    device: Device,
    images: Vec<(usize, Image)>,
    reusable: bool,
}

impl Images {
    pub(super) fn acquire(gpu: &Gpu, planned: &[Planned]) -> Vec<(usize, Image)> {
        planned.iter().map(|image| (image.place, gpu.acquire_image(image.texel, image.rows))).collect()
    }

    /// Those that were acquired without an error.
    pub(super) fn of(device: &Device, images: Vec<(usize, Image)>, reusable: bool) -> Self {
        Self { device: device.clone(), images, reusable }
    }

    pub(super) fn get(&self, place: usize, texel: Texel) -> Option<&Image> {
        let mut images = self.images.iter();
        images.find(|(at, image)| (*at, image.texel) == (place, texel)).map(|(_, image)| image)
    }

    /// The copies that a dispatch needs before it.
    pub(super) fn copies(
        &self,
        dispatch: &Dispatch,
        slots: &[Slot],
        storages: &[Option<Storage>],
    ) -> Vec<Copy> {
        let copies = dispatch.images().filter_map(|(place, texel, slot)| match &storages[slot] {
            Some(Storage::Gpu(storage)) => Some(Copy {
                image: self.get(place, texel)?.clone(),
                buffer: storage.buffer.clone(),
                words: slots[slot].words,
            }),
            _ => None,
        });
        copies.collect()
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Some(gpu) = self.device.gpu().filter(|_| self.reusable) {
            self.images.drain(..).for_each(|(_, image)| gpu.release_image(image));
        }
    }
}

/// Of a buffer into an image.
pub(super) struct Copy {
    image: Image,
    buffer: wgpu::Buffer,
    words: u64,
}

impl Copy {
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.image.copy_from(encoder, &self.buffer, self.words);
    }
}
